// Registered names: one table per runtime, one lock.
//
// Rule    a process that ends closes its inbox (an exchange), then looks at `named`; who registers sets `named`, then
//         looks at the inbox, with a full barrier between the two on either side. So one of them sees the other, a dead
//         process is never left in the table, and an unnamed one ends without the lock.
#include "process/runtime_core.hpp"

#include <algorithm>

namespace otp::detail {

bool valid_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= 255 && name.find('\0') == std::string_view::npos && name != "undefined" &&
         name != "none";
}

result<void> try_register(runtime_core& core, std::string_view name, pid who) {
  auto refuse = [&](std::string text) {
    return std::unexpected(exit_reason(exit_reason::kind::bad_argument, "register_name: " + std::move(text)));
  };
  if (!valid_name(name))
    return refuse("the name " + quoted(name) +
                  " cannot be used; give 1 to 255 bytes without NUL, other than \"undefined\" and \"none\"");
  std::string key(name);
  std::string copy(name);
  std::lock_guard lock(core.names_lock);
  process* p = core.table.find(who);
  if (!p || p->in.closed()) return refuse("process " + who.to_string() + " is not alive");
  if (auto held = core.names.find(name); held != core.names.end()) {
    exit_reason taken = exit_reason::of_pid(exit_reason::kind::already_started, held->second);
    return std::unexpected(std::move(taken));
  }
  if (auto named = core.names_of.find(who.value()); named != core.names_of.end())
    return refuse("process " + who.to_string() + " is registered as " + quoted(named->second) + " already");
  p->named.store(true);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  // The place may have changed its tenant since the look above: then the mark is on somebody who has no name, who only
  // looks here for nothing when it ends.
  if (p->in.closed() || core.table.find(who) != p) return refuse("process " + who.to_string() + " is not alive");
  core.names_of.emplace(who.value(), std::move(copy));
  try {
    core.names.emplace(std::move(key), who);
  } catch (...) {
    core.names_of.erase(who.value());
    throw;
  }
  return {};
}

void release_name(runtime_core& core, process& p) noexcept {
  barrier_after_exchange();
  if (!p.named.load()) return;
  std::lock_guard lock(core.names_lock);
  p.named.store(false);
  auto named = core.names_of.find(p.self().value());
  if (named == core.names_of.end()) return;
  core.names.erase(named->second);
  core.names_of.erase(named);
  core.names_given_up.fetch_add(1);
}

std::optional<pid> runtime_core::whereis(std::string_view name) const {
  std::lock_guard lock(names_lock);
  auto held = names.find(name);
  if (held == names.end()) return std::nullopt;
  process* p = table.find(held->second);
  if (!p || p->in.closed()) return std::nullopt;
  return held->second;
}

std::vector<std::string> runtime_core::names_held() const {
  std::vector<std::string> all;
  {
    std::lock_guard lock(names_lock);
    for (auto& [name, holder] : names) all.push_back(name);
  }
  std::sort(all.begin(), all.end());
  return all;
}

pid pid_of_name(std::string_view name) {
  auto held = require_runtime("send").whereis(name);
  if (!held)
    throw bad_argument("send: nobody is registered as " + quoted(name) +
                       "; register it first, or look with otp::whereis");
  return *held;
}

}  // namespace otp::detail

namespace otp {

using namespace detail;

void register_name(std::string_view name, pid process) {
  auto done = try_register(require_runtime("register_name"), name, process);
  if (done) return;
  if (done.error() == reason::already_started)
    throw bad_argument("register_name: " + quoted(name) + " belongs to " + done.error().process().to_string() +
                       "; choose another name or unregister it first");
  throw bad_argument(std::string(done.error().text()));
}

void unregister_name(std::string_view name) {
  runtime_core& core = require_runtime("unregister_name");
  std::lock_guard lock(core.names_lock);
  auto held = core.names.find(name);
  if (held == core.names.end()) throw bad_argument("unregister_name: nobody is registered as " + quoted(name));
  if (detail::process* p = core.table.find(held->second)) p->named.store(false);
  core.names_of.erase(held->second.value());
  core.names.erase(held);
  core.names_given_up.fetch_add(1);
}

std::optional<pid> whereis(std::string_view name) { return require_runtime("whereis").whereis(name); }

std::vector<std::string> registered() { return require_runtime("registered").names_held(); }

}  // namespace otp
