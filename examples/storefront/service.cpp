#include "service.hpp"

#include <otp/doctor.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

#include "actions.hpp"
#include "catalogue.hpp"
#include "chaos.hpp"
#include "counters.hpp"
#include "db_pool.hpp"
#include "health.hpp"
#include "json.hpp"
#include "news.hpp"
#include "orders.hpp"
#include "rate_limiter.hpp"
#include "status.hpp"

namespace storefront {
using namespace std::chrono_literals;
using nlohmann::json;

response json_response(int status, const json& body) {
  return {.status = status, .body = body.dump(-1, ' ', false, json::error_handler_t::replace)};
}
response try_later(int status, std::string_view code, std::string_view message) {
  response answer = error_response(status, code, message);
  answer.headers.emplace_back("Retry-After", "1");
  return answer;
}
response database_unavailable() {
  return try_later(503, "unavailable", "the database does not answer; the same request may be sent again");
}

response act(const show_health&, const customer&) {
  auto report = otp::try_call(health::name, health::show{}, 4s);
  if (!report) return try_later(503, "unknown", "nobody watches the shop's health at this moment");
  json checks = json::object();
  for (const check_result& c : report->checks) checks[c.name] = {{"ok", c.good}, {"detail", c.detail}};
  auto age = std::chrono::duration_cast<std::chrono::milliseconds>(otp::now() - report->at);
  return json_response(report->good() ? 200 : 503, {{"status", report->good() ? "ok" : "failing"},
                                                    {"checks", std::move(checks)},
                                                    {"age_ms", age.count()}});
}

response act(const show_status&, const customer&) {
  auto text = status::show();
  return text ? response{.status = 200, .body = *text} : try_later(503, "unavailable", "the status is not available");
}

response act(const show_doctor&, const customer&) {
  json findings = json::array();
  for (const otp::doctor::finding& f : otp::doctor::examine())
    findings.push_back({{"rule", otp::doctor::to_string(f.what)},
                        {"pid", f.process.to_string()},
                        {"name", f.name},
                        {"type", f.type},
                        {"age_s", std::chrono::duration_cast<std::chrono::seconds>(f.age).count()},
                        {"advice", f.advice}});
  return json_response(200, {{"findings", std::move(findings)}});
}

response act(const list_products&, const customer&) {
  auto products = db_pool::read(&all_products);
  return products ? json_response(200, {{"products", *products}}) : database_unavailable();
}

response act(const show_product& asked, const customer&) {
  auto found = db_pool::read([id = asked.id](sqlite::database& db) { return find_product(db, id); });
  if (!found) return database_unavailable();
  return *found ? json_response(200, **found) : error_response(404, "not_found", "there is no such product");
}

// [submit_order]
response act(const submit_order& asked, const customer& by) {
  order_request wanted{by.name, asked.key, asked.product, asked.quantity};
  auto outcome = db_pool::write([wanted](sqlite::database& db) { return place_order(db, wanted); });
  if (!outcome) return database_unavailable();
  if (!*outcome) switch (outcome->error()) {
      case refusal::unknown_product: return error_response(422, "unknown_product", "there is no such product");
      case refusal::out_of_stock: return error_response(409, "out_of_stock", "there is not enough of it left");
      case refusal::key_reused:
        return error_response(422, "key_reused", "this Idempotency-Key belongs to another order");
    }
  const placed_order& placed = **outcome;
  ++(placed.replayed ? counters.replays : counters.orders);
  response answer = json_response(201, placed.order);
  answer.headers.emplace_back("Location", "/orders/" + std::to_string(placed.order.id));
  if (placed.replayed) answer.headers.emplace_back("Idempotent-Replayed", "true");
  // Also of a replayed one: whoever placed it first may have died before it told.
  publish("orders", {{"order", placed.order.id}, {"product", placed.order.product}, {"quantity", placed.order.quantity}});
  return answer;
}
// [/submit_order]

response act(const show_order& asked, const customer& by) {
  auto found = db_pool::read([id = asked.id, user = by.name](sqlite::database& db) { return find_order(db, id, user); });
  if (!found) return database_unavailable();
  return *found ? json_response(200, **found) : error_response(404, "not_found", "you have no such order");
}

response act(const kill_something& asked, const customer&) {
  auto victim = chaos_kill(asked.what);
  if (!victim) return error_response(404, "not_found", "nothing of this kind runs now");
  return json_response(202, {{"killed", victim->to_string()}, {"what", asked.what}});
}

namespace {

// What is asked for, unless the answer is known already.
std::expected<routed, response> admit(const request& asked, const settings& how) {
  auto found = route(asked, how.chaos);
  if (found && found->limited && rate_limiter::check_rate(found->user) == rate_limiter::verdict::rate_limited)
    return std::unexpected(try_later(429, "rate_limited", "100 requests at once and 10 a second are enough"));
  return found;
}

bool is_topic(const std::string& name) { return std::ranges::find(all_topics, name) != std::end(all_topics); }

response no_such_topic() { return error_response(404, "not_found", "the topics are orders and payments"); }

}  // namespace

// [answer]
response answer(const request& asked, const settings& how) {
  auto found = admit(asked, how);
  if (!found) return found.error();
  try {
    return std::visit([&](const auto& action) { return act(action, customer{found->user, how}); }, found->action);
  } catch (const otp::exited& e) {  // whoever had to be asked is not there, and did not come back in time
    return try_later(503, "unavailable", "a part of the shop is being restarted: " + e.reason().to_string());
  }
}
// [/answer]

response act(const follow_news& asked, const customer&) {
  if (!is_topic(asked.topic)) return no_such_topic();
  response answer = error_response(426, "upgrade_required", "news come by websocket");
  answer.headers.emplace_back("Upgrade", "websocket");
  return answer;
}

std::expected<std::string, response> topic_of(const request& asked, const settings& how) {
  auto found = admit(asked, how);
  if (!found) return std::unexpected(std::move(found.error()));
  auto* news = std::get_if<follow_news>(&found->action);
  if (!news) return std::unexpected(error_response(400, "no_websocket", "websockets are at /news/orders and /news/payments"));
  if (!is_topic(news->topic)) return std::unexpected(no_such_topic());
  if (counters.subscribers_open >= how.subscribers_max)
    return std::unexpected(try_later(503, "overloaded", "there are too many subscribers"));
  return std::move(news->topic);
}

response too_many_connections() { return try_later(503, "overloaded", "there are too many connections"); }

}  // namespace storefront
