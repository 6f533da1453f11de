// The life of a server: init, messages one at a time, what their results ask for, terminate, reports.
#include <otp/gen_server.hpp>
#include <otp/receive.hpp>
#include <otp/sys.hpp>

#include "behaviours/system_request.hpp"

#include <algorithm>
#include <deque>

namespace otp::detail {

namespace {

/// What the idle timer sends; one that was cancelled too late carries an old number.
struct idle_expired {
  std::uint64_t number;
};
struct hibernate_due {
  std::uint64_t number;
};

std::string text_of_envelope(const envelope& e) {
  if (!e.type->record) return {};
  return e.type->record->text(e.type->payload(&e));
}

}  // namespace

struct server_core::rare {
  server_name name;
  duration start_timeout = infinity;
  duration hibernate_after = infinity;
  std::vector<std::string> debug;
  std::vector<request_envelope*> outstanding;
  std::size_t prune_at = 16;
  ref idle_timer;
  std::uint64_t idle_number = 0;  // of the idle timeout that counts; 0: none
  std::uint64_t idle_last = 0;
  envelope* idle_message = nullptr;
  ref hibernate_timer;
  std::uint64_t hibernate_number = 0;
  bool suspended = false;
  std::deque<envelope*> held;  // arrived while suspended, in order
  ~rare() {
    if (idle_message) destroy(idle_message);
    for (envelope* e : held) destroy(e);
  }
};

server_core::server_core(const server_type& type, const start_options& options, start_ticket* ticket)
    : type_(type), ticket_(ticket) {
  if (!options.name.empty()) more().name = options.name;
  if (options.hibernate_after != infinity) more().hibernate_after = options.hibernate_after;
  if (!options.debug.empty()) more().debug = options.debug;
}

server_core::~server_core() {
  if (continuation_) destroy(continuation_);
  delete rare_;
}

server_core::rare& server_core::more() {
  if (!rare_) rare_ = new rare;
  return *rare_;
}

std::string_view server_core::doing() const noexcept {
  const type_record* what = doing_.load(std::memory_order_relaxed);  // static data
  return what ? what->name : std::string_view();
}

// ---- init --------------------------------------------------------------------------------------------------------

bool server_core::start() {
  if (spawned_with_link()) parent_ = otp::parent();
  if (rare_ && !rare_->name.empty()) {
    if (auto claimed = rare_->name.claim(self()); !claimed) {
      rare_->name = server_name();
      ticket_->failed_at_end(std::move(claimed.error()));
      return false;
    }
  }
  if (rare_)
    for (const std::string& option : rare_->debug)
      if (option != "trace" && option != "log" && option != "statistics")
        report({.what = "bad_debug_option",
                .severity = severity::warning,
                .process = self(),
                .name = describe(self()),
                .fields = {{"option", option}, {"accepted", "trace, log, statistics"}}});
  init_step done;
  auto failed = guard([&] { done = init(); });
  auto refuse = [&](exit_reason answer, exit_reason end) {
    if (rare_) rare_->name.release();
    if (ticket_) ticket_->failed_at_end(std::move(answer));
    end_with(std::move(end));
  };
  if (failed) {
    if (being_ended()) return true;  // the fatal signal decides
    if (!failed->is_expected())
      report({.what = "crash",
              .severity = severity::error,
              .process = self(),
              .name = describe(self()),
              .reason = *failed,
              .fields = {{"type", std::string(type_.name)}, {"in", "init"}}});
    refuse(*failed, *failed);
    return true;
  }
  switch (done.outcome) {
    case init_step::what::ok: break;
    case init_step::what::ignore: refuse(reason::ignore, reason::normal); return true;
    case init_step::what::error: refuse(done.step.reason, reason::normal); return true;
    case init_step::what::stop:
      if (!done.step.reason.is_expected())
        report({.what = "crash",
                .severity = severity::error,
                .process = self(),
                .name = describe(self()),
                .reason = done.step.reason,
                .fields = {{"type", std::string(type_.name)}, {"in", "init"}}});
      refuse(done.step.reason, done.step.reason);
      return true;
  }
  if (ticket_) {
    ticket_->succeeded(self());
    std::exchange(ticket_, nullptr)->drop();
  }
  set_step(std::move(done.step));
  apply(nullptr);
  return true;
}

// ---- messages ----------------------------------------------------------------------------------------------------

bool server_core::has_work() const noexcept {
  return continuation_ || (rare_ && !rare_->suspended && !rare_->held.empty());
}

void server_core::work() {
  if (continuation_) {
    envelope* e = std::exchange(continuation_, nullptr);
    for (std::size_t i = 0; i < type_.continue_count; ++i)
      if (type_.continues[i].type == e->type) {
        run(type_.continues[i].run, e, "handle_continue");
        return;
      }
    message owned(e);
    crash(exit_reason(reason::error("undefined_function", std::string(type_.name) + " has no handle_continue for " +
                                                              std::string(owned.type_name()))),
          nullptr, owned.to_string());
    return;
  }
  envelope* e = rare_->held.front();
  rare_->held.pop_front();
  dispatch(e);
}

void server_core::receive(envelope* e) {
  if (e->type->kind == signal::system) return run_system(static_cast<request_envelope*>(e));
  if (e->type->kind == signal::stop) {
    exit_reason why = static_cast<stop_envelope*>(e)->why;
    destroy(e);
    return stop(std::move(why), true, {}, false);
  }
  if (rare_) {
    // Suspended: everything waits, except for what ends the server.
    bool parent_exit = e->type == &value_envelope<exit_signal>::type_of &&
                       static_cast<value_envelope<exit_signal>*>(e)->value.from == parent_ && parent_;
    if ((rare_->suspended || !rare_->held.empty()) && !parent_exit) {
      if (e->type->kind == signal::request) request_done();  // it is kept here, and failed by ended() or given_up()
      runtime_bracket bracket;
      rare_->held.push_back(e);
      return;
    }
  }
  dispatch(e);
}

void server_core::dispatch(envelope* e) {
  if (e->type->kind != signal::request) count_handled();
  if (rare_) {
    if (e->type == &value_envelope<idle_expired>::type_of) {
      bool counts = static_cast<value_envelope<idle_expired>*>(e)->value.number == rare_->idle_number;
      destroy(e);
      if (!counts) return;
      rare_->idle_number = 0;
      envelope* due = std::exchange(rare_->idle_message, nullptr);
      return run_info(due ? due : make_envelope(otp::timeout{}));
    }
    if (e->type == &value_envelope<hibernate_due>::type_of) {
      bool counts = static_cast<value_envelope<hibernate_due>*>(e)->value.number == rare_->hibernate_number;
      destroy(e);
      if (counts) release_unused();
      return;
    }
    cancel_idle_timeout();
  }
  switch (e->type->kind) {
    case signal::request: return run_request(static_cast<request_envelope*>(e));
    case signal::cast: {
      auto& type = static_cast<const server_envelope_type&>(*e->type);
      if (type.server != &type_) return unhandled(e, "sent to a server of another type");
      return run(type.run, e, "handle_cast");
    }
    default: return run_info(e);
  }
}

// Runs one handler for a message that is not a request.
void server_core::run(runner r, envelope* e, std::string_view) {
  doing_.store(e->type->record, std::memory_order_relaxed);
  // run_any_info takes the envelope over; the others leave it.
  bool taken = r == type_.any_info && r != nullptr;
  auto failed = guard([&] { r(*this, server(), e); });
  doing_.store(nullptr, std::memory_order_relaxed);
  if (failed) {
    step_.reset();
    std::string text;
    if (!taken && !being_ended()) text = text_of_envelope(*e);
    std::optional<exit_reason> worse;
    if (!taken) worse = guard([&] { destroy(e); });
    if (being_ended()) return;
    return crash(std::move(*failed), nullptr, std::move(text));
  }
  if (!taken)
    if (auto broken = guard([&] { destroy(e); })) {
      step_.reset();
      if (!being_ended()) crash(std::move(*broken), nullptr, "while a message was destroyed");
      return;
    }
  apply(nullptr);
}

void server_core::run_info(envelope* e) {
  if (e->type == &value_envelope<exit_signal>::type_of) {
    auto& signal = static_cast<value_envelope<exit_signal>*>(e)->value;
    if (parent_ && signal.from == parent_) {
      exit_reason why = std::move(signal.reason);
      std::string text = text_of_envelope(*e);
      destroy(e);
      return stop(std::move(why), true, std::move(text), false);
    }
  }
  for (std::size_t i = 0; i < type_.info_count; ++i)
    if (type_.infos[i].type == e->type) return run(type_.infos[i].run, e, "handle_info");
  if (type_.any_info) return run(type_.any_info, e, "handle_info");
  unhandled(e, "no handler");
}

void server_core::unhandled(envelope* e, const char* what) {
  count_unhandled();
  std::string text = text_of_envelope(*e);
  std::string_view name = e->type->record ? e->type->record->name : std::string_view("reply");
  report({.what = "unhandled_message",
          .severity = severity::warning,
          .process = self(),
          .name = describe(self()),
          .fields = {{"server", std::string(type_.name)},
                     {"message", std::move(text)},
                     {"why", what},
                     {"advice", "add  void handle_info(" + std::string(name) + ")  and list the type in `messages`"}}});
  destroy(e);
}

void server_core::run_request(request_envelope* r) {
  auto& type = static_cast<const server_envelope_type&>(*r->type);
  if (type.server != &type_) {
    {
      runtime_bracket bracket;
      request_done();
    }
    fail_request(r, exit_reason(exit_reason::kind::bad_server_type, "the caller takes it for a " +
                                                                        std::string(type.server->name) + ", but a " +
                                                                        std::string(type_.name) + " runs there"));
    return;
  }
  if (!take_request(*r)) {
    {
      runtime_bracket bracket;
      request_done();
    }
    count_expired();
    drop_answered(r);
    return;
  }
  doing_.store(r->type->record, std::memory_order_relaxed);
  const type_record* record = r->type->record;
  auto failed = guard([&] { type.run(*this, server(), r); });
  doing_.store(nullptr, std::memory_order_relaxed);
  if (failed) {
    step_.reset();
    if (being_ended()) return keep_for_end(r);
    std::string text = record ? std::string(record->name) : std::string();
    return crash(std::move(*failed), r, std::move(text));
  }
  apply(r);
}

// The handler of a request has returned: the request is answered, deferred, or failed because its `from` is gone.
void server_core::settle(request_envelope* r) {
  if (std::exchange(answered_, false)) return;  // and gone
  runtime_bracket bracket;
  request_done();
  // Without a `from` nobody else looks at the flags.
  std::uint8_t flags = r->from_flags.load(std::memory_order_relaxed);
  if (flags & request_envelope::taken)
    flags = r->from_flags.fetch_and(static_cast<std::uint8_t>(~request_envelope::in_handler));
  if (r->progress.load() != request_state::pending || r == last_) return drop_answered(r);
  if ((flags & request_envelope::dropped) || !(flags & request_envelope::taken))
    return fail_request(
        r, exit_reason(exit_reason::kind::no_reply,
                       "the server dropped its `from` unanswered; call from.reply(value) or keep it until you do"));
  rare& m = more();
  if (m.outstanding.size() >= m.prune_at) prune_outstanding();
  m.outstanding.push_back(r);
}

// Answered requests stay listed until there are twice as many as were pending at the last look.
void server_core::prune_outstanding() {
  auto& all = rare_->outstanding;
  auto answered = [](request_envelope* r) {
    if (r->progress.load() == request_state::pending) return false;
    drop_answered(r);
    return true;
  };
  all.erase(std::remove_if(all.begin(), all.end(), answered), all.end());
  rare_->prune_at = std::max<std::size_t>(16, all.size() * 2);
}

void server_core::apply(request_envelope* r) {
  if (!step_ && (!rare_ || rare_->hibernate_after == infinity)) {  // nothing but the reply, the usual case
    if (r) settle(r);
    return;
  }
  step_result step;
  if (step_) step = std::move(*std::exchange(step_, nullptr));
  if (step.action == step_result::what::stop) {
    // The request being handled keeps waiting for its reply, which leaves when terminate has run.
    return stop(std::move(step.reason), true, {}, false, r);
  }
  if (r) settle(r);
  if (step.has_timeout && step.timeout.count() < 0)
    return crash(exit_reason(exit_reason::kind::bad_argument, "a handler returned a timeout of " +
                                                                  integer_text(step.timeout.count()) +
                                                                  " ns; give 0 or more, or otp::infinity"),
                 nullptr, {});
  if (step.continuation) continuation_ = std::exchange(step.continuation, nullptr);
  if (step.has_timeout && step.timeout != infinity)
    set_idle_timeout(step.timeout, std::exchange(step.timeout_message, nullptr));
  if (step.hibernate) release_unused();
  if (rare_ && rare_->hibernate_after != infinity) {
    if (rare_->hibernate_timer) cancel_timer(rare_->hibernate_timer);
    rare_->hibernate_timer = send_after(rare_->hibernate_after, self(), hibernate_due{++rare_->hibernate_number});
  }
}

void server_core::set_idle_timeout(duration after, envelope* text) {
  rare& m = more();
  cancel_idle_timeout();
  m.idle_number = ++m.idle_last;
  m.idle_message = text;
  m.idle_timer = send_after(after, self(), idle_expired{m.idle_number});
}

void server_core::cancel_idle_timeout() {
  if (!rare_ || rare_->idle_number == 0) return;
  cancel_timer(rare_->idle_timer);
  rare_->idle_number = 0;
  if (rare_->idle_message) destroy(std::exchange(rare_->idle_message, nullptr));
}

// ---- the end -----------------------------------------------------------------------------------------------------

void server_core::crash(exit_reason why, request_envelope* r, std::string message) {
  stop(std::move(why), true, std::move(message), true, r);
}

// terminate, report, and the process ends with the reason. What the caller of `r` gets is decided last.
void server_core::stop(exit_reason why, bool may_report, std::string message, bool exception, request_envelope* r) {
  if (type_.terminate && server()) {
    if (auto failed = guard([&] { type_.terminate(server(), why); })) {
      if (being_ended()) {
        if (r) keep_for_end(r);
        return;
      }
      // As in OTP the reason becomes terminate's, if it left by an exit of its own; an error there keeps the first
      // reason.
      report({.what = "terminate_failed",
              .severity = severity::error,
              .process = self(),
              .name = describe(self()),
              .reason = *failed,
              .fields = {{"original_reason", why.to_string()}}});
      if (failed->what() != exit_reason::kind::error) why = std::move(*failed);
    }
  }
  if (may_report && !why.is_expected()) report_end(why, std::move(message), exception, r);
  {
    runtime_bracket bracket;
    request_done();
    send_last_answer();
  }
  if (r) keep_for_end(r);
  end_with(std::move(why));
}

// The request being handled when the server ends: it fails with the reason that the process ends with.
void server_core::keep_for_end(request_envelope* r) {
  if (std::exchange(answered_, false)) return;
  runtime_bracket bracket;
  request_done();
  r->from_flags.fetch_and(static_cast<std::uint8_t>(~request_envelope::in_handler));
  if (r->progress.load() == request_state::pending)
    last_ = r;
  else
    drop_answered(r);
}

// The reply of a handler that also stopped the server. Inside a bracket, or while the process is kept out.
void server_core::send_last_answer() noexcept {
  if (!std::exchange(last_is_answered_, false)) return;
  finish_reply(std::exchange(last_, nullptr));
}

server_status server_core::status() {
  server_status s;
  s.pid = self();
  s.parent = parent_;
  s.type = std::string(type_.name);
  s.name = rare_ && !rare_->name.empty() ? rare_->name.to_string() : self().to_string();
  s.suspended = rare_ && rare_->suspended;
  s.state = std::string(type_.name) + "{}";
  return s;
}

void server_core::report_end(const exit_reason& why, std::string message, bool, request_envelope* r) {
  server_status s = status();
  s.reason = why;
  s.message = std::move(message);
  // A hook of the user's that fails must not hide the report.
  if (void* object = server()) {
    if (type_.state)
      if (guard([&] { s.state = type_.state(object); })) s.state = "to_string() failed";
    if (type_.format_status) {
      server_status before = s;
      if (guard([&] { type_.format_status(object, s); })) {
        s = std::move(before);
        s.state = "format_status() failed";
      }
    }
  }
  std::string client;
  if (r)
    client = r->caller ? (is_alive(r->caller) ? describe(r->caller) : r->caller.to_string() + " (dead)") : "outside";
  auto label = otp::label(self());
  report({.what = "server_terminated",
          .severity = severity::error,
          .process = self(),
          .name = s.name,
          .reason = s.reason,
          .fields = {{"type", std::string(type_.name)},
                     {"label", label.value_or("")},
                     {"last_message", s.message},
                     {"state", s.state},
                     {"client", client}}});
  report({.what = "crash",
          .severity = severity::error,
          .process = self(),
          .name = describe(self()),
          .reason = s.reason,
          .fields = {{"type", std::string(type_.name)}, {"label", label.value_or("")}}});
}

void server_core::fail_outstanding(const exit_reason& why) noexcept {
  if (request_envelope* r = std::exchange(last_, nullptr)) fail_request(r, why);
  if (!rare_) return;
  for (request_envelope* r : rare_->outstanding) fail_request(r, why);
  rare_->outstanding.clear();
  for (envelope*& e : rare_->held)
    if (e->type->kind == signal::request) {
      fail_request(static_cast<request_envelope*>(e), why);
      e = make_envelope(0);  // a stand-in, freed with the others
    }
}

void server_core::ended(const exit_reason& why) noexcept {
  runtime_bracket bracket;
  if (rare_) rare_->name.release();
  send_last_answer();
  fail_outstanding(why);
}

void server_core::given_up(const exit_reason& why) noexcept {
  if (rare_) rare_->name.release();
  send_last_answer();
  if (ticket_) ticket_->failed(why);
  fail_outstanding(why);
}

// ---- system requests ---------------------------------------------------------------------------------------------

void server_core::run_system(request_envelope* e) {
  auto* r = static_cast<system_request*>(e);
  switch (r->op) {
    case system_op::suspend: more().suspended = true; break;
    case system_op::resume:
      if (rare_) rare_->suspended = false;
      break;
    case system_op::get_status: {
      server_status s = status();
      if (void* object = server()) {
        if (type_.state)
          if (guard([&] { s.state = type_.state(object); })) s.state = "to_string() failed";
        if (type_.format_status) {
          server_status before = s;
          if (guard([&] { type_.format_status(object, s); })) {
            s = std::move(before);
            s.state = "format_status() failed";
          }
        }
      }
      write_reply(r, std::move(s));
      return;
    }
  }
  write_reply(r, server_status{});
}

void server_core::loop() {
  if (!parent_) parent_ = otp::parent();
  for (;;) {
    if (has_work())
      work();
    else
      receive(next_envelope(infinity));
    if (auto why = asked_to_end()) {
      ended(*why);
      throw exited(std::move(*why));
    }
  }
}

// ---- starting and stopping ---------------------------------------------------------------------------------------

std::optional<exit_reason> check_name(const start_options& options) {
  if (options.name.empty()) return std::nullopt;
  if (auto holder = options.name.whereis()) return exit_reason::of_pid(exit_reason::kind::already_started, *holder);
  return std::nullopt;
}

void check_entering(const start_options& options) {
  if (!started_by_proc_lib()) throw exited(exit_reason("process was not started by proc_lib"));
  if (!options.name.empty() && options.name.whereis() != self())
    throw exited(exit_reason("process is not registered as " + options.name.to_string()));
}

void stop_process(pid who, std::string text, exit_reason why, duration timeout) {
  auto failed = [&](exit_reason cause) { throw exited(call_failure(std::move(cause), "stop", text, {}, timeout)); };
  require_valid_timeout(timeout);
  if (!who) failed(reason::noproc);
  if (who == self()) failed(reason::calling_self);
  ref watch = monitor(who);
  auto* e = new stop_envelope(why);
  if (!deliver_envelope(who, e)) destroy(e);
  std::optional<exit_reason> end;
  receive(when([&](const down& d) { return d.reference == watch; }, [&](const down& d) { end = d.reason; }),
          after(timeout, [] {}));
  if (!end) {
    demonitor(watch, {.flush = true});
    failed(reason::timeout);
  } else if (*end != why) {
    failed(std::move(*end));
  }
}

}  // namespace otp::detail

namespace otp {

void gen_server::stop(pid who, exit_reason why, duration timeout) {
  detail::stop_process(who, who.to_string(), std::move(why), timeout);
}

namespace sys {

namespace {

server_status ask(pid server, detail::system_op op, const char* what, duration timeout) {
  auto failed = [&](exit_reason cause) {
    return exited(detail::call_failure(std::move(cause), what, server.to_string(), "system", timeout));
  };
  detail::require_valid_timeout(timeout);
  detail::request_holder<detail::system_request> holder(new detail::system_request(op));
  if (auto why = detail::call_and_wait(server, holder.r, timeout)) throw failed(std::move(*why));
  return std::move(*holder.r->reply.value);
}

}  // namespace

server_status get_status(pid server, duration timeout) {
  return ask(server, detail::system_op::get_status, "sys.get_status", timeout);
}
void suspend(pid server, duration timeout) { ask(server, detail::system_op::suspend, "sys.suspend", timeout); }
void resume(pid server, duration timeout) { ask(server, detail::system_op::resume, "sys.resume", timeout); }

}  // namespace sys

}  // namespace otp
