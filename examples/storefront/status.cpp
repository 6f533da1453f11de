#include "status.hpp"

#include <otp/supervisor.hpp>

#include <nlohmann/json.hpp>

#include "counters.hpp"
#include "journal.hpp"

namespace storefront {
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr std::size_t children_shown = 50;  // of one supervisor: a page stays small however many connections there are

json describe(const std::string& id, otp::pid process) {
  json node{{"id", id}, {"pid", process.to_string()}, {"restarts", the_journal().restarts(id)}};
  if (auto info = otp::info(process)) {
    node["type"] = info->type;
    node["mailbox"] = info->message_queue_len;
    node["messages_in"] = info->messages_in;
    node["oldest_message_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(info->oldest_message_age).count();
  } else {
    node["state"] = "not running";
  }
  return node;
}

// What the children of a dynamic supervisor are.
std::string kind_of(const std::string& supervisor) {
  for (auto [of, kind] : {std::pair("connections", "connection"), std::pair("payment_sup", "payment"),
                          std::pair("cart_sup", "cart"), std::pair("background", "task")})
    if (supervisor == of) return kind;
  return "subscriber";
}

// [describe_tree]
json describe_tree(const std::string& id, otp::pid supervisor) {
  json node = describe(id, supervisor);
  json& children = node["children"] = json::array();
  auto all = otp::supervisor::which_children(supervisor);
  for (auto child = all.rbegin(); child != all.rend() && children.size() < children_shown; ++child) {
    std::string name = child->id.empty() ? kind_of(id) : plain_id(child->id.to_string());
    bool inner = child->type == otp::child_type::supervisor && child->process;
    children.push_back(inner ? describe_tree(name, child->process) : describe(name, child->process));
  }
  if (all.size() > children.size()) node["children_not_shown"] = all.size() - children.size();
  return node;
}
// [/describe_tree]

json counts() {
  json answers = json::object();
  for (std::size_t i = 1; i < counters.answers.size(); ++i)
    answers[std::to_string(i) + "xx"] = counters.answers[i].load();
  return {{"connections", counters.connections.load()},
          {"connections_open", counters.connections_open.load()},
          {"connections_refused", counters.connections_refused.load()},
          {"answers", answers},
          {"rate_limited", counters.rate_limited.load()},
          {"unavailable", counters.unavailable.load()},
          {"orders", counters.orders.load()},
          {"replays", counters.replays.load()},
          {"payment_steps", counters.payment_steps.load()},
          {"payments_read", counters.payments_read.load()},
          {"news", counters.news.load()},
          {"subscribers", counters.subscribers.load()},
          {"subscribers_open", counters.subscribers_open.load()},
          {"subscribers_dropped", counters.subscribers_dropped.load()},
          {"jobs_done", counters.jobs_done.load()},
          {"job_retries", counters.job_retries.load()},
          {"retries", counters.retries.load()},
          {"kills", counters.kills.load()},
          {"restarts", the_journal().restarts()},
          {"restarts_of", the_journal().all_restarts()}};
}

json runtime_counts() {
  otp::runtime_counters c = otp::counters();
  return {{"processes", c.processes}, {"spawned", c.spawned},   {"exited", c.exited},   {"abandoned", c.abandoned},
          {"handled", c.handled},     {"refused", c.refused},   {"expired", c.expired}, {"late_replies", c.late_replies},
          {"timers", c.timers},       {"stacks", c.stacks_live}};
}

}  // namespace

std::string status::handle_call(const show_tree&) {
  json all{{"counters", counts()}, {"runtime", runtime_counts()}};
  if (auto root = otp::whereis("storefront")) all["tree"] = describe_tree("storefront", *root);
  return all.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<std::string> status::show() {
  auto text = otp::try_call(name, show_tree{}, 2s);
  return text ? std::optional(std::move(*text)) : std::nullopt;
}

}  // namespace storefront
