// What a crash report says: proc_lib's, of the process itself, its ancestors and who is linked with it.
#include "process/runtime_core.hpp"
#include "runtime/stall_probe.hpp"

#include <algorithm>

namespace otp::detail {

namespace {

constexpr std::size_t most_listed = 20;
constexpr nanos patience = 1'000'000;  // for others, who may be busy

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (std::size_t i = 0; i < texts.size() && i < most_listed; ++i) all += (i == 0 ? "" : ", ") + texts[i];
  if (texts.size() > most_listed) all += ", and " + unsigned_text(texts.size() - most_listed) + " more";
  return all;
}

std::string name_or_pid(const process_info& who) { return who.name.empty() ? who.pid.to_string() : quoted(who.name); }

std::string status_text(process_status s) {
  switch (s) {
    case process_status::runnable: return "runnable";
    case process_status::running: return "running";
    case process_status::waiting: return "waiting";
    case process_status::exiting: return "exiting";
  }
  return "unknown";
}

// Parent, its parent and so on, as far as they live.
std::vector<std::string> ancestors_of(runtime_core& core, pid parent) {
  std::vector<std::string> chain;
  while (parent && chain.size() < most_listed) {
    auto seen = look_at(core, parent, patience);
    chain.push_back(seen ? name_or_pid(*seen) : parent.to_string());
    parent = seen ? seen->parent : pid();
  }
  return chain;
}

// Those that the crash takes along: linked, and not trapping exits.
std::vector<std::string> neighbours_of(runtime_core& core, const std::vector<pid>& links) {
  std::vector<std::string> all;
  for (pid peer : links) {
    if (all.size() == most_listed) break;
    auto seen = look_at(core, peer, patience);
    if (!seen || seen->trap_exit) continue;
    all.push_back(name_or_pid(*seen) + " (initial call " + seen->initial_call + ", " + status_text(seen->status) +
                  ", messages " + unsigned_text(seen->message_queue_len) + ")");
  }
  return all;
}

std::string frames_text(const std::vector<void*>& frames) {
  stall_trace trace;
  trace.count = std::min(frames.size(), trace.frames.size());
  std::copy_n(frames.begin(), trace.count, trace.frames.begin());
  return trace.text();
}

}  // namespace

bool is_error(const exit_reason& why) noexcept {
  switch (why.what()) {
    case exit_reason::kind::error:
    case exit_reason::kind::bad_argument:
    case exit_reason::kind::system_limit:
    case exit_reason::kind::stack_overflow: return true;
    default: return false;
  }
}

event crash_event(runtime_core& core, process& p, const exit_reason& why) {
  event e{.what = "crash",
          .severity = severity::error,
          .process = p.self(),
          .name = core.describe(p.self()),
          .reason = why,
          .fields = {{"type", std::string(p.body ? p.body->type() : std::string_view())}}};
  if (const std::vector<void*>* frames = why.backtrace(); frames && !frames->empty())
    e.fields.emplace_back("thrown_at", frames_text(*frames));
  // The texts of messages and of the dictionary are user code: a report without them is better than none.
  std::vector<std::pair<std::string_view, std::string>> more;
  auto failed = guarded(p, [&] {
    auto mine = look_at(core, p.self());
    if (!mine) return;
    std::vector<std::string> links, dictionary;
    for (pid peer : mine->links) links.push_back(peer.to_string());
    for (auto& [key, value] : mine->dictionary)
      dictionary.push_back("{" + key.to_string() + ", " + value.to_string() + "}");
    more = {{"initial_call", mine->initial_call},
            {"registered_name", mine->name},
            {"label", mine->label},
            {"class", is_error(why) ? "error" : "exit"},
            {"ancestors", joined(ancestors_of(core, mine->parent))},
            {"message_queue_len", unsigned_text(mine->message_queue_len)},
            {"messages", joined(mine->messages)},
            {"links", joined(links)},
            {"dictionary", joined(dictionary)},
            {"trap_exit", mine->trap_exit ? "true" : "false"},
            {"status", status_text(mine->status)},
            {"neighbours", joined(neighbours_of(core, mine->links))}};
  });
  if (failed) more = {{"details", "could not be read: the text of a message or of the dictionary failed"}};
  for (auto& field : more) e.fields.push_back(std::move(field));
  return e;
}

event crash_event(const exit_reason& why) {
  runtime_core& core = require_runtime("report");
  return crash_event(core, require_process("report"), why);
}

}  // namespace otp::detail
