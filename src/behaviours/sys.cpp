// The asking side of sys, and the plain process that answers.
#include <otp/sys.hpp>

#include "behaviours/server_parts.hpp"
#include "behaviours/system_request.hpp"

namespace otp {

namespace detail {

namespace {

system_reply ask(const sys::target& who, const char* function, std::unique_ptr<system_request> request,
                 duration timeout) {
  auto failed = [&](exit_reason cause) {
    return exited(call_failure(std::move(cause), function, who.to_string(), "system", timeout));
  };
  require_valid_timeout(timeout);
  if (!who.process()) throw failed(reason::noproc);
  request_holder<system_request> holder(request.release());  // from here the callee has a reference as well
  if (auto why = call_and_wait(who.process(), holder.r, timeout)) throw failed(std::move(*why));
  system_reply& reply = *holder.r->reply.value;
  if (reply.failure) throw failed(std::move(*reply.failure));
  return std::move(reply);
}

system_reply ask(const sys::target& who, const char* function, system_op op, duration timeout) {
  return ask(who, function, std::make_unique<system_request>(op), timeout);
}
system_reply ask_switch(const sys::target& who, const char* function, system_op op, bool on, duration timeout) {
  auto r = std::make_unique<system_request>(op);
  r->on = on;
  return ask(who, function, std::move(r), timeout);
}

}  // namespace

void visit_state(const sys::target& who, const char* function, std::shared_ptr<system_visitor> visitor,
                 duration timeout) {
  auto r = std::make_unique<system_request>(system_op::visit);
  r->visitor = std::move(visitor);
  ask(who, function, std::move(r), timeout);
}

bool install_hook(const sys::target& who, std::string id, std::unique_ptr<debug_hook> hook, duration timeout) {
  auto r = std::make_unique<system_request>(system_op::install);
  r->text = std::move(id);
  r->hook = std::move(hook);
  return ask(who, "sys.install", std::move(r), timeout).done;
}

void trace_into(const sys::target& who, std::unique_ptr<debug_hook> hook, duration timeout) {
  auto r = std::make_unique<system_request>(system_op::trace_into);
  r->hook = std::move(hook);
  ask(who, "sys.trace", std::move(r), timeout);
}

void refuse_log_size(const std::string& given) {
  throw bad_argument("sys.log: " + given + " events; give 1 to " + unsigned_text(debugging::log_max) +
                     ", or false to switch the log off");
}

// ---- plain processes ---------------------------------------------------------------------------------------------

struct special_core::part final : system_subject {
  part(const server_type& t, void* s, std::string (*to_text)(const void*)) : kind(t), held(s), text(to_text) {}

  server_status status() override {
    server_status s;
    s.pid = self();
    s.parent = otp::parent();
    s.type = std::string(kind.name);
    s.name = name();
    s.suspended = suspended;
    if (guard([&] { s.state = text(held); })) s.state = "to_string() failed";
    return s;
  }
  std::string state() override { return text(held); }
  const server_type* type() const override { return &kind; }
  void* object() override { return held; }
  std::unique_ptr<debugging>& debug() override { return watched; }
  static std::string name() {
    auto mine = otp::info(self());
    return mine && !mine->name.empty() ? quoted(mine->name) : self().to_string();
  }

  const server_type& kind;
  void* held;
  std::string (*text)(const void*);
  std::unique_ptr<debugging> watched;
  bool suspended = false;
};

special_core::special_core(const server_type& type, void* state, std::string (*text)(const void*),
                           std::vector<debug_option> debug)
    : part_(std::make_unique<part>(type, state, text)) {
  if (!self()) throw bad_argument("special_process: only a process can be one; make it inside of the process");
  for (const debug_option& option : debug) {
    if (!part_->watched) part_->watched = std::make_unique<debugging>();
    if (!part_->watched->option(option)) report_bad_debug_option(option);
  }
}
special_core::~special_core() = default;

void special_core::tell(sys::debug_facts&& facts) {
  if (!part_->watched) return;
  std::string name = part::name();
  facts.name = name;
  facts.sort = facts.what == sys::debug_kind::in ? "message" : "";
  part_->watched->tell(facts);
  if (being_ended()) go_on_unwinding();
}

envelope* special_core::receive(const pattern* patterns, std::size_t count, duration timeout, std::size_t& which) {
  if (timeout.count() < 0)
    throw bad_argument("receive: the timeout is negative; give 0, a positive duration or infinity");
  std::vector<pattern> all{{&system_signal, nullptr, nullptr}, {&stop_signal, nullptr, nullptr}};
  all.insert(all.end(), patterns, patterns + count);
  const instant deadline = deadline_after(timeout);
  for (;;) {
    const std::size_t looked_for = part_->suspended ? 2 : all.size();
    duration left = timeout == infinity || part_->suspended
                        ? infinity
                        : std::max(duration(deadline - otp::now()), duration::zero());
    envelope* e = receive_envelope(all.data(), looked_for, left, which);
    if (!e) return nullptr;
    if (which >= 2) {
      which -= 2;
      return e;
    }
    exit_reason why;
    if (which == 1) {
      why = std::move(static_cast<stop_envelope*>(e)->why);
      destroy(e);
      throw exited(std::move(why));
    }
    system_order order;
    if (!answer_system(*part_, static_cast<system_request*>(e), order)) go_on_unwinding();
    switch (order.next) {
      case system_order::what::nothing: break;
      case system_order::what::suspend: part_->suspended = true; break;
      case system_order::what::resume: part_->suspended = false; break;
      case system_order::what::terminate: throw exited(std::move(order.why));
    }
  }
}

}  // namespace detail

namespace sys {

using namespace otp::detail;

target::target(otp::pid process) : process_(process), text_(process.to_string()) {}
target::target(std::string_view local_name)
    : process_(otp::whereis(local_name).value_or(otp::pid())), text_(quoted(local_name)) {}

server_status get_status(const target& who, duration timeout) {
  return ask(who, "sys.get_status", system_op::get_status, timeout).status;
}
std::string get_state(const target& who, duration timeout) {
  return ask(who, "sys.get_state", system_op::get_state, timeout).text;
}
void suspend(const target& who, duration timeout) { ask(who, "sys.suspend", system_op::suspend, timeout); }
void resume(const target& who, duration timeout) { ask(who, "sys.resume", system_op::resume, timeout); }
void terminate(const target& who, exit_reason why, duration timeout) {
  auto r = std::make_unique<system_request>(system_op::terminate);
  r->why = std::move(why);
  ask(who, "sys.terminate", std::move(r), timeout);
}
void trace(const target& who, bool on, duration timeout) {
  ask_switch(who, "sys.trace", system_op::trace, on, timeout);
}
result<void> log_to_file(const target& who, std::string path, duration timeout) {
  auto r = std::make_unique<system_request>(system_op::log_to_file);
  r->on = true;
  r->text = path;
  std::string failure = ask(who, "sys.log_to_file", std::move(r), timeout).text;
  if (!failure.empty())
    return std::unexpected(reason::error(failure, quoted(path) + " cannot be opened for writing by this program"));
  return {};
}
void close_log_file(const target& who, duration timeout) {
  ask_switch(who, "sys.log_to_file", system_op::log_to_file, false, timeout);
}
void log(const target& who, bool on, duration timeout) { ask_switch(who, "sys.log", system_op::log, on, timeout); }
void log(const target& who, std::size_t events, duration timeout) {
  if (events == 0 || events > debugging::log_max) refuse_log_size(unsigned_text(events));
  auto r = std::make_unique<system_request>(system_op::log);
  r->on = true;
  r->number = events;
  ask(who, "sys.log", std::move(r), timeout);
}
std::vector<std::string> get_log(const target& who, duration timeout) {
  return ask(who, "sys.get_log", system_op::get_log, timeout).lines;
}
void statistics(const target& who, bool on, duration timeout) {
  ask_switch(who, "sys.statistics", system_op::statistics, on, timeout);
}
std::optional<server_statistics> get_statistics(const target& who, duration timeout) {
  return ask(who, "sys.get_statistics", system_op::get_statistics, timeout).numbers;
}
bool remove(const target& who, std::string id, duration timeout) {
  auto r = std::make_unique<system_request>(system_op::remove);
  r->text = std::move(id);
  return ask(who, "sys.remove", std::move(r), timeout).done;
}
void no_debug(const target& who, duration timeout) { ask(who, "sys.no_debug", system_op::no_debug, timeout); }

}  // namespace sys

}  // namespace otp
