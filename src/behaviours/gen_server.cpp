// The life of a server: init, messages one at a time, what their results ask for, terminate, reports.
#include <otp/gen_server.hpp>
#include <otp/receive.hpp>
#include <otp/sys.hpp>

#include "base/planted.hpp"
#include "behaviours/server_parts.hpp"
#include "behaviours/system_request.hpp"
#include "process/runtime_core.hpp"

#include <fmt/format.h>

namespace otp::detail {

namespace {

// A result that is thrown counts as returned, as in OTP: it may come from deep down. Here those that any handler may
// return; one of its own type is caught where it is known, by thrown_or_returned().
[[gnu::always_inline]] inline void call_handler(turn& t, runner run, void* server, envelope* e) {
  try {
    run(t, server, e);
  } catch (stop_step& thrown) {
    t.step.emplace(std::move(thrown.step));
  } catch (noreply_step& thrown) {
    t.step.emplace(std::move(thrown.step));
  } catch (thrown_result&) {
    t.step.emplace(stop(misfit_thrown("bad_return_value", "the handler", "otp::call_result<Reply>")).step);
  }
}

}  // namespace

std::string_view name_of(const envelope_type& type) {
  return type.record ? type.record->name : std::string_view("response");
}

void drop_quietly(envelope* e) noexcept {
  if (!e) return;
  try {
    destroy(e);
  } catch (...) {
  }
}

std::string text_of_payload(const envelope_type& type, const envelope& e) try {
  std::string text(name_of(type));
  if (!type.record) return text;
  if (guard([&] { text = type.record->text(type.payload(&e)); }))
    text = std::string(name_of(type)) + " (its to_string failed)";
  return text;
} catch (const std::bad_alloc&) {
  return {};
}

void step_result::drop(envelope* e) noexcept { drop_quietly(e); }

server_core::server_core(const server_type& type, const start_options& options, start_ticket* ticket)
    : type_(type), ticket_(ticket) {
  if (!options.name.empty() || options.hibernate_after != infinity || !options.debug.empty()) {
    auto made = std::make_unique<rare>();
    made->name = options.name;
    made->hibernate_after = options.hibernate_after;
    made->debug_options = options.debug;
    rare_ = made.release();
  }
  if (ticket_) ticket_->add_reference();  // last: nothing throws any more
}

server_core::~server_core() {
  if (ticket_) ticket_->drop();  // it was never started
  drop_quietly(continuation_);
  delete rare_;
}

server_core::rare& server_core::more() {
  if (!rare_) {
    auto made = std::make_unique<rare>();
    made->self = self();
    runtime_bracket bracket;
    rare_ = made.release();
  }
  return *rare_;
}

std::string_view server_core::doing() const noexcept {
  const type_record* what = doing_.load(std::memory_order_relaxed);  // static data
  return what ? what->name : std::string_view();
}

// ---- init --------------------------------------------------------------------------------------------------------

bool server_core::start() {
  note_runtime();
  if (spawned_with_link()) parent_ = otp::parent();
  // The starter hears `answer` when the process is gone.
  auto refuse = [&](exit_reason answer, exit_reason end) {
    {
      runtime_bracket bracket;
      if (ticket_) ticket_->failed_at_end(std::move(answer));
    }
    end_with(std::move(end));
    return true;
  };
  if (rare_) {
    rare_->self = self();
    result<void> claimed;
    auto failed = guard([&] { claimed = rare_->name.claim(self()); });
    if (being_ended()) return true;
    if (failed || !claimed) {
      {
        runtime_bracket bracket;
        rare_->name = server_name();  // somebody else's
      }
      if (!failed) return refuse(std::move(claimed.error()), reason::normal);
      report_crash(*failed, "the registration of its name");
      return refuse(*failed, *failed);
    }
    start_debugging();
    if (being_ended()) return true;
  }
  init_step done;
  auto failed = guard([&] { done = init(); });
  if (failed) {
    if (being_ended()) return true;  // the fatal signal decides
    report_crash(*failed, "init");
    return refuse(*failed, *failed);
  }
  switch (done.outcome) {
    case init_step::what::ok: break;
    case init_step::what::ignore: return refuse(reason::ignore, reason::normal);
    case init_step::what::error: return refuse(std::move(done.step.reason), reason::normal);
    case init_step::what::stop:
      report_crash(done.step.reason, "init");
      return refuse(done.step.reason, done.step.reason);
  }
  if (start_ticket* ticket = ticket_) {
    {
      runtime_bracket bracket;
      ticket_ = nullptr;
    }
    ticket->succeeded(self());
    ticket->drop();
  }
  begin(std::move(done));
  return true;
}

void server_core::begin(init_step&& done) {
  turn t;
  t.step.emplace(std::move(done.step));
  apply(t, "init");
}

void server_core::start_debugging() {
  if (rare_->debug_options.empty()) return;
  auto debug = std::make_unique<debugging>();
  for (const debug_option& option : rare_->debug_options)
    if (!debug->option(option)) report_bad_debug_option(option);
  rare_->debug_options = {};
  if (debug->on()) rare_->debug = std::move(debug);
}

// ---- what sys is told --------------------------------------------------------------------------------------------

bool server_core::is_debugged() const noexcept { return rare_->debug != nullptr; }

void server_core::tell(sys::debug_facts&& facts) {
  std::string name = rare_->name.empty() ? self().to_string() : rare_->name.to_string();
  facts.name = name;
  rare_->debug->tell(facts);
}

void server_core::tell_in(const envelope_type& type, const envelope& e) {
  const bool call = type.kind == signal::request;
  if (call) static_cast<request_envelope&>(const_cast<envelope&>(e)).traced = true;
  tell({.what = sys::debug_kind::in,
        .sort = call                                              ? "call"
                : type.kind == signal::cast                       ? "cast"
                : &type == &value_envelope<otp::timeout>::type_of ? "timeout"
                                                                  : "info",
        .message = type.record,
        .payload = type.payload(&e),
        .other = call ? static_cast<const request_envelope&>(e).caller : pid()});
}

std::string server_core::state_text() const {
  void* object = const_cast<server_core*>(this)->server();
  return type_.state && object ? type_.state(object) : std::string(type_.name) + "{}";
}

void server_core::tell_state(sys::debug_kind what) {
  tell({.what = what, .subject = this, .state = [](const void* self) {
          return static_cast<const server_core*>(self)->state_text();
        }});
}

// Its reply is made; the state behind it is there, but for a machine's, which moves after it.
void server_core::replying(const request_envelope& r) noexcept {
  if (!rare_ || !is_debugged()) return;
  auto& type = static_cast<const server_envelope_type&>(*r.type);
  sys::debug_facts facts{.what = sys::debug_kind::out,
                         .message = type.reply,
                         .payload = type.reply ? type.reply_value(&r) : nullptr,
                         .other = r.caller};
  if (!is_machine()) {
    facts.subject = this;
    facts.state = [](const void* self) { return static_cast<const server_core*>(self)->state_text(); };
  }
  guard([&] { tell(std::move(facts)); });
}

// ---- messages ----------------------------------------------------------------------------------------------------

void server_core::work() {
  envelope* e = std::exchange(continuation_, nullptr);
  if (rare_ && is_debugged()) [[unlikely]] {
    tell({.what = sys::debug_kind::in, .sort = "continue", .message = e->type->record, .payload = e->type->payload(e)});
    if (being_ended()) return drop_quietly(e);
  }
  for (std::size_t i = 0; i < type_.continue_count; ++i)
    if (type_.continues[i].type == e->type) return run(type_.continues[i].run, e);
  std::string name(name_of(*e->type));
  std::string text = text_of_payload(*e->type, *e);
  if (discard(e, "handle_continue"))
    stop({.why = reason::error("undefined_function", std::string(type_.name) + " has no handle_continue for " + name +
                                                         "; if it has several, list them in `using continues`"),
          .message = std::move(text)});
}

void server_core::receive(envelope* e) {
  const signal kind = e->type->kind;
  if (kind == signal::request && !rare_) [[likely]]  // the shortest way to the handler, as for casts in dispatch()
    return run_request(static_cast<request_envelope*>(e));
  if (kind == signal::cast) [[likely]]
    return dispatch(e);
  switch (kind) {
    case signal::system: return run_system(static_cast<request_envelope*>(e));
    case signal::stop: {
      exit_reason why = std::move(static_cast<stop_envelope*>(e)->why);
      destroy(e);
      return stop({.why = std::move(why)});
    }
    default: return dispatch(e);
  }
}

// What was accepted is counted once: as handled, unhandled or expired. Responses were never counted as accepted.
void server_core::dispatch(envelope* e) {
  if (rare_ && own_timer(e)) return;
  if (e->type->kind == signal::request) return run_request(static_cast<request_envelope*>(e));
  if (e->type->kind == signal::reply && late_response(e)) [[unlikely]]
    return;
  if (rare_) {
    cancel_idle_timeout();
    if (is_debugged()) [[unlikely]] {
      tell_in(*e->type, *e);
      if (being_ended()) return drop_quietly(e);
    }
  }
  hibernating_ = false;
  if (e->type->kind != signal::cast) return run_info(e);
  auto& type = static_cast<const server_envelope_type&>(*e->type);
  if (type.server != &type_) return unhandled(e, "sent to a server of another type");
  count_on(*scheduler::current(), counter::handled);
  run(type.run, e);
}

// A response that nobody waits for any more.
bool server_core::late_response(envelope* e) noexcept {
  auto* r = static_cast<request_envelope*>(e);
  if (!r->let_go && r->references.load(std::memory_order_acquire) != 1) return false;
  if (holds_reply(*r)) count_late_reply(*r);
  drop_answered(r);
  return true;
}

// What the server's own timers send.
bool server_core::own_timer(envelope* e) {
  if (e->type == &idle_expired) {
    bool counts = number_of_own_timer(*e) == rare_->idle_number;
    destroy(e);
    if (!counts) {
      count_handled();
      return true;
    }
    hibernating_ = false;
    rare_->idle_number = 0;
    envelope* due = std::exchange(rare_->idle_message, nullptr);
    if (!due) due = make_envelope(otp::timeout{});
    if (is_debugged()) tell_in(*due->type, *due);
    if (being_ended())
      drop_quietly(due);
    else
      run_info(due);
    return true;
  }
  if (e->type == &hibernate_due) {
    bool counts = number_of_own_timer(*e) == rare_->hibernate_number;
    destroy(e);
    count_handled();
    if (counts) fall_asleep();
    return true;
  }
  return false;
}

// Runs one handler for a message that is not a request.
void server_core::run(runner r, envelope* e) {
  const envelope_type& type = *e->type;
  bool taken = r == type_.any_info && type_.any_info_owns;
  turn t;
  process& p = *current_process();
  doing_.store(type.record, std::memory_order_relaxed);
  bool handled = false;
  auto failed = guard_callback(p, [&] {
    call_handler(t, r, server(), e);
    handled = true;
    if (!taken && !t.stops()) destroy(std::exchange(e, nullptr));
  });
  doing_.store(nullptr, std::memory_order_relaxed);
  if (failed || t.stops()) [[unlikely]]
    return end_run(t, type, taken ? nullptr : e, handled, std::move(failed));
  if ((t.step || rare_) && !p.dying) [[unlikely]] {
    if (rare_ && is_debugged()) tell_state(sys::debug_kind::noreply);
    if (!p.dying) apply(t, {});
  }
}

// The handler stops the server or has failed. `left` is the message, unless it is gone.
void server_core::end_run(turn& t, const envelope_type& type, envelope* left, bool handled,
                          std::optional<exit_reason> failed) {
  if (failed) t.step.reset();
  std::string text(name_of(type));
  if (handled && failed) {
    text += " (its destructor failed)";
  } else if (left) {
    if (!being_ended()) text = text_of_payload(type, *left);
    if (auto broken = guard([&] { destroy(left); }); broken && !failed) {
      failed = std::move(broken);
      text = std::string(name_of(type)) + " (its destructor failed)";
    }
  }
  if (being_ended()) return;
  if (failed) return stop({.why = std::move(*failed), .message = std::move(text)});
  apply(t, std::move(text));
}

bool server_core::is_parent_exit(const envelope& e) const noexcept {
  return e.type == &value_envelope<exit_signal>::type_of &&
         ordered_by_parent(static_cast<const value_envelope<exit_signal>&>(e).value, parent_);
}

void server_core::run_info(envelope* e) {
  std::size_t at = 0;
  while (at < type_.info_count && type_.infos[at].type != e->type) ++at;
  runner r = at < type_.info_count ? type_.infos[at].run : type_.any_info;
  bool parent_exit = is_parent_exit(*e);
  if (!parent_exit && !r) return unhandled(e, "no handler");
  if (e->type->kind != signal::reply) count_handled();
  if (!parent_exit) return run(r, e);
  exit_reason why = static_cast<value_envelope<exit_signal>*>(e)->value.reason;
  std::string text = text_of_payload(*e->type, *e);
  destroy(e);
  stop({.why = std::move(why), .message = std::move(text)});
}

std::string server_core::advice(const envelope_type& type) {
  switch (type.kind) {
    case signal::cast: return "the sender's name or reference is of another type than the server that runs there";
    case signal::reply: return "check responses in  void handle_info(const otp::message&)  or wait for them";
    default: return "add  void handle_info(" + std::string(name_of(type)) + ")  and list the type in `messages`";
  }
}

void server_core::unhandled(envelope* e, const char* what) {
  if (e->type->kind != signal::reply) count_unhandled();
  std::string text = text_of_payload(*e->type, *e);
  try {
    report({.what = "unhandled_message",
            .severity = severity::warning,
            .process = self(),
            .name = describe(self()),
            .fields = {{"server", std::string(type_.name)},
                       {"message", std::move(text)},
                       {"why", what},
                       {"advice", advice(*e->type)}}});
  } catch (const std::bad_alloc&) {
    // The report is given up; the message is counted.
  }
  if (!discard(e, "unhandled")) return;
  turn t;
  apply(t, {});
}

// Destroys a message; false if that ended the server.
bool server_core::discard(envelope* e, const char* what) {
  auto broken = guard([&] { destroy(e); });
  if (being_ended()) return false;
  if (!broken) return true;
  stop({.why = std::move(*broken), .message = std::string(what) + ": the destructor of a message failed"});
  return false;
}

// ---- requests ----------------------------------------------------------------------------------------------------

void server_core::run_request(request_envelope* r) {
  auto& type = static_cast<const server_envelope_type&>(*r->type);  // the envelope's changes when it is answered
  if (type.server != &type_) [[unlikely]]
    return refuse_request(r, *type.server);
  process& p = *current_process();
  if (!take_request(*r)) [[unlikely]]
    return skip_expired(r);
  // What no handler sees, as the requests above, is as if it had never been sent; with this one a message has come.
  if (rare_) {
    cancel_idle_timeout();
    if (is_debugged()) [[unlikely]] {
      tell_in(type, *r);
      if (being_ended()) return leave(r);
    }
  }
  hibernating_ = false;
  r->begun.store(true, std::memory_order_relaxed);  // read by its caller, who has seen the edge of what we call
  turn t(r);
  doing_.store(type.record, std::memory_order_relaxed);
  auto failed = guard_callback(p, [&] { call_handler(t, type.run, server(), r); });
  doing_.store(nullptr, std::memory_order_relaxed);
  if (failed || t.step || t.request || rare_) [[unlikely]]
    end_request(t, type, r, std::move(failed));
}

// The handler has not simply answered.
void server_core::end_request(turn& t, const envelope_type& type, request_envelope* r,
                              std::optional<exit_reason> failed) {
  if (failed) t.step.reset();
  std::string text;
  if (!being_ended() && (failed || t.stops()))
    text = t.request ? text_of_payload(type, *r) : std::string(name_of(type));
  if (being_ended()) {
    if (t.request) leave(t.request);
    return;
  }
  if (failed) return stop({.why = std::move(*failed), .request = t.request, .message = std::move(text)});
  if (t.request && rare_ && is_debugged() && !t.stops()) {
    tell_state(sys::debug_kind::noreply);
    if (being_ended()) return leave(t.request);
  }
  apply(t, std::move(text));
}

// The caller's name or reference is of another type.
void server_core::refuse_request(request_envelope* r, const server_type& wanted) {
  count_unhandled();
  exit_reason why(exit_reason::kind::bad_server_type, "the caller takes it for a " + std::string(wanted.name) +
                                                          ", but a " + std::string(type_.name) + " runs there");
  drop_request(r, &why);
}

void server_core::skip_expired(request_envelope* r) noexcept {
  count_expired();
  request_state expected = request_state::pending;
  r->progress.compare_exchange_strong(expected, request_state::abandoned);  // skipped, not lost
  drop_request(r, nullptr);
}

// A request that no handler gets.
void server_core::drop_request(request_envelope* r, const exit_reason* why) noexcept {
  {
    runtime_bracket bracket;
    request_done();
    if (why) r = try_fail(r, *why);
  }
  if (r) drop_answered(r);
}

// The handler of a request has returned without an answer: the request was answered otherwise, is deferred, or fails
// because its `from` is gone.
void server_core::settle(request_envelope* r) {
  request_envelope* left = nullptr;  // rule 3: at most three, linked by next_outstanding
  {
    runtime_bracket bracket;
    request_done();
    // Without a `from` nobody else looks at the flags.
    std::uint8_t flags = r->from_flags.load(std::memory_order_relaxed);
    if (flags & request_envelope::taken)
      flags = r->from_flags.fetch_and(static_cast<std::uint8_t>(~request_envelope::in_handler));
    request_state now = r->progress.load();
    if (now == request_state::pending && ((flags & request_envelope::dropped) || !(flags & request_envelope::taken))) {
      left = try_fail(r, unanswered());
      if (left) left->next_outstanding = nullptr;
    } else if (now == request_state::pending || now == request_state::writing) {
      list(r, left);
    } else {
      left = r;
      left->next_outstanding = nullptr;
    }
  }
  while (left) drop_answered(std::exchange(left, left->next_outstanding));
}

// Adds to the ring of the outstanding. Two others are looked at each time, so that those that were answered leave it
// sooner or later and it is never longer than about twice what is pending. Inside a bracket.
void server_core::list(request_envelope* r, request_envelope*& left) noexcept {
  if (outstanding_) {
    r->next_outstanding = outstanding_->next_outstanding;
    outstanding_->next_outstanding = r;
  } else {
    r->next_outstanding = r;
  }
  outstanding_ = r;
  for (int looked = 0; looked < 2; ++looked) {
    request_envelope* first = outstanding_->next_outstanding;
    if (first == outstanding_ || first == r) return;
    request_state now = first->progress.load();
    if (now == request_state::pending || now == request_state::writing) {
      outstanding_ = first;
    } else {
      outstanding_->next_outstanding = first->next_outstanding;
      first->next_outstanding = left;
      left = first;
    }
  }
}

// The request being handled when the server ends: it fails with the reason that the process ends with.
void server_core::leave(request_envelope* r) noexcept {
  request_envelope* left = nullptr;
  {
    runtime_bracket bracket;
    request_done();
    list(r, left);
  }
  while (left) drop_answered(std::exchange(left, left->next_outstanding));
}

// ---- what a handler asks for -------------------------------------------------------------------------------------

void server_core::apply(turn& t, std::string text) {
  if (!t.step && (!rare_ || rare_->hibernate_after == infinity)) {  // nothing but the reply, the usual case
    if (t.request) settle(t.request);
    return;
  }
  if (t.stops())
    return stop(
        {.why = std::move(t.step->reason), .request = t.request, .answered = t.answered, .message = std::move(text)});
  if (t.request) settle(t.request);
  if (t.step) {
    step_result& step = *t.step;
    continuation_ = std::exchange(step.continuation, nullptr);
    if (step.timeout == step_result::idle::at) {
      duration since = otp::now().time_since_epoch();
      step.time = step.time > since ? step.time - since : duration::zero();
    }
    if (step.timeout != step_result::idle::none && step.time != infinity) set_idle_timeout(step);
    if (step.hibernate && !continuation_) fall_asleep();
  }
  if (rare_ && rare_->hibernate_after != infinity) restart_hibernate_timer();
}

void server_core::fall_asleep() {
  hibernating_ = true;
  release_unused();
}

void server_core::restart_hibernate_timer() {
  if (rare_->hibernate_timer) cancel_timer(rare_->hibernate_timer);
  rare_->hibernate_timer = start_own_timer(hibernate_due, after_now(rare_->hibernate_after), ++rare_->hibernate_number);
}

void server_core::set_idle_timeout(step_result& step) {
  rare& m = more();
  cancel_idle_timeout();
  m.idle_message = std::exchange(step.timeout_message, nullptr);
  m.idle_time = step.timeout == step_result::idle::at ? infinity : step.time;
  m.idle_number = ++m.idle_last;
  m.idle_timer = start_own_timer(idle_expired, after_now(step.time), m.idle_number);
}

// While the server is suspended. One with a deadline keeps it.
void server_core::pause_idle_timeout() {
  rare& m = *rare_;
  if (m.idle_number == 0 || m.idle_time == infinity) return;
  cancel_timer(m.idle_timer);
  m.idle_number = ++m.idle_last;  // what it has sent already is an old one's
}

// A system request is a message like any other: what counts from the last one begins anew.
void server_core::restart_idle_times() {
  if (!rare_) return;
  rare& m = *rare_;
  if (m.idle_number != 0 && m.idle_time != infinity) {
    pause_idle_timeout();
    m.idle_timer = start_own_timer(idle_expired, after_now(m.idle_time), m.idle_number);
  }
  if (m.hibernate_after != infinity && !hibernating_) restart_hibernate_timer();
}

void server_core::cancel_idle_timeout() {
  if (!rare_ || rare_->idle_number == 0) return;
  cancel_timer(rare_->idle_timer);
  rare_->idle_number = 0;
  drop_quietly(std::exchange(rare_->idle_message, nullptr));
}

// ---- the end -----------------------------------------------------------------------------------------------------

// terminate, report, and the process ends with the reason. What the caller of the request gets is decided last.
void server_core::stop(ending end) {
  if (rare_ && is_debugged()) {
    tell({.what = sys::debug_kind::terminate,
          .subject = this,
          .state = [](const void* self) { return static_cast<const server_core*>(self)->state_text(); },
          .reason = &end.why});
    if (being_ended()) {
      if (end.request) leave(end.request);
      return;
    }
  }
  if (type_.terminate && server()) {
    if (auto failed = guard([&] { type_.terminate(server(), end.why); })) {
      if (being_ended()) {
        if (end.request) leave(end.request);
        return;
      }
      // An exit of its own replaces the reason, as in OTP; what an exception destroyed must not hide why it came to it.
      report({.what = "terminate_failed",
              .severity = severity::error,
              .process = self(),
              .name = describe(self()),
              .reason = *failed,
              .fields = {{"type", std::string(type_.name)}, {"original_reason", end.why.to_string()}}});
      if (failed->what() != exit_reason::kind::error) end.why = std::move(*failed);
    }
  }
  if (!end.why.is_expected()) report_end(end.why, end);
  if (end.request && end.answered) replying(*end.request);
  request_envelope* left = nullptr;
  {
    runtime_bracket bracket;
    request_done();
    if (end.request && end.answered) {
      left = try_finish(end.request);
      if (left) left->next_outstanding = nullptr;
    } else if (end.request && !end.listed) {
      list(end.request, left);
    }
  }
  if (end.request && end.listed) drop_answered(end.request);  // it fails with the outstanding
  while (left) drop_answered(std::exchange(left, left->next_outstanding));
  end_with(std::move(end.why));
}

// Fails what is outstanding; the requests that somebody has answered meanwhile are returned, to be dropped. Inside a
// bracket, or of a process that is kept out of the runtime.
request_envelope* server_core::fail_outstanding(const exit_reason& why) noexcept {
  request_envelope* left = nullptr;
  auto keep = [&](request_envelope* r) {
    if (!r) return;
    r->next_outstanding = left;
    left = r;
  };
  if (request_envelope* last = std::exchange(outstanding_, nullptr)) {
    request_envelope* r = std::exchange(last->next_outstanding, nullptr);
    while (r) {
      request_envelope* next = r->next_outstanding;
      keep(try_fail(r, why));
      r = next;
    }
  }
  return left;
}

void server_core::ended(const exit_reason& why) noexcept {
  if (rare_) rare_->name.release(rare_->self);
  request_envelope* left = nullptr;
  {
    runtime_bracket bracket;
    left = fail_outstanding(why);
  }
  while (left) drop_answered(std::exchange(left, left->next_outstanding));
}

// What is left over by fail_outstanding stays: its destructors would run in somebody else's process.
void server_core::given_up(const exit_reason& why) noexcept {
  if (rare_) rare_->name.release(rare_->self);
  if (ticket_) ticket_->failed(why);
  fail_outstanding(why);
}

// ---- reports -----------------------------------------------------------------------------------------------------

void server_core::report_crash(const exit_reason& why, const char* in) {
  if (why.is_expected() || !event_wanted("crash")) return;
  event e = crash_event(why);
  e.fields.emplace_back("in", in);
  report(std::move(e));
}

server_status server_core::status() {
  server_status s;
  s.pid = self();
  s.parent = parent_;
  s.type = std::string(type_.name);
  s.name = rare_ && !rare_->name.empty() ? rare_->name.to_string() : self().to_string();
  s.suspended = rare_ && rare_->suspended;
  s.hibernating = hibernating_;
  s.state = std::string(type_.name) + "{}";
  if (rare_ && is_debugged()) s.log = rare_->debug->log();
  add_status(s);
  return s;
}

// Lets the server say how it looks. A hook of the user's that fails must hide nothing else.
void server_core::show(server_status& s) {
  void* object = server();
  if (!object) return;
  if (type_.state && guard([&] { s.state = type_.state(object); })) s.state = "to_string() failed";
  if (!type_.format_status) return;
  server_status before = s;
  if (guard([&] { type_.format_status(object, s); })) {
    s = std::move(before);
    s.state = "format_status() failed";
  }
}

static std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? "" : "; ") + line;
  return text;
}

void server_core::report_end(const exit_reason& why, const ending& end) {
  server_status s = status();
  s.reason = why;
  s.message = end.message;
  show(s);
  std::string client;
  if (const request_envelope* r = end.request)
    client = !r->caller            ? "outside of the runtime"
             : is_alive(r->caller) ? describe(r->caller)
                                   : r->caller.to_string() + " (dead)";
  std::string log = joined(s.log);
  std::string backtrace;
  if (auto* frames = why.backtrace())
    for (void* frame : *frames) backtrace += fmt::format("{}{}", backtrace.empty() ? "" : " ", frame);
  std::string label = otp::label(self()).value_or("");
  event told{.what = "server_terminated",
             .severity = severity::error,
             .process = self(),
             .name = s.name,
             .reason = s.reason,
             .fields = {{"type", s.type},
                        {"label", label},
                        {"last_message", s.message},
                        {"state", s.state},
                        {"client", client},
                        {"log", log},
                        {"backtrace", backtrace}}};
  if (!s.callback_mode.empty()) {
    for (auto& [field, text] :
         {std::pair("data", s.data), std::pair("callback_mode", s.callback_mode), std::pair("queue", joined(s.queue)),
          std::pair("postponed", joined(s.postponed)), std::pair("timers", joined(s.timers))})
      told.fields.emplace_back(field, text);
  }
  report(std::move(told));
  if (event_wanted("crash")) report(crash_event(s.reason));
}

// ---- system requests ---------------------------------------------------------------------------------------------

struct server_core::subject final : system_subject {
  explicit subject(server_core& c) : core(c) {}
  server_status status() override {
    server_status s = core.status();
    core.show(s);
    return s;
  }
  std::string state() override {
    server_status s = core.status();
    core.show(s);
    return s.data.empty() ? s.state : "{" + s.state + ", " + s.data + "}";
  }
  const server_type* type() const override { return &core.type_; }
  void* object() override { return core.server(); }
  std::unique_ptr<debugging>& debug() override { return core.rare_ ? core.rare_->debug : fresh; }
  server_core& core;
  std::unique_ptr<debugging> fresh;  // of a server that has nothing else that is rare
};

void server_core::run_system(request_envelope* e) {
  system_order order;
  bool was_suspended = rare_ && rare_->suspended;
  subject me(*this);
  // Before the answer: who has it may count on what it says.
  auto* r = static_cast<system_request*>(e);
  if (r->op == system_op::suspend) more().suspended = true;
  if (r->op == system_op::resume || r->op == system_op::terminate) more().suspended = false;
  const bool goes_on = answer_system(me, r, order);
  if (me.fresh) more().debug = std::move(me.fresh);
  if (!goes_on) return;
  if (order.next == system_order::what::terminate) return stop({.why = std::move(order.why)});
  if (order.next == system_order::what::suspend && !was_suspended) {
    pause_idle_timeout();
    stay_suspended();
  }
  if (!rare_ || rare_->suspended || being_ended()) return;
  restart_idle_times();
}

// Everything but system requests, and what ends the server, stays in the mailbox.
void server_core::stay_suspended() {
  while (rare_->suspended) {
    envelope* e = next_envelope(
        [](const void* core, const envelope& arrived) {
          return arrived.type->kind == signal::system || arrived.type->kind == signal::stop ||
                 static_cast<const server_core*>(core)->is_parent_exit(arrived);
        },
        this);
    if (e->type->kind == signal::system) {
      run_system(static_cast<request_envelope*>(e));
    } else {
      rare_->suspended = false;
      return e->type->kind == signal::stop ? receive(e) : run_info(e);
    }
    if (being_ended()) return;
  }
  if (hibernating_) release_unused();
}

// ---- entering the loop -------------------------------------------------------------------------------------------

void server_core::loop() {
  note_runtime();
  if (!parent_) parent_ = otp::parent();
  struct entered {
    explicit entered(server_core* core) { entered_loop(core); }
    ~entered() { entered_loop(nullptr); }
  };
  exit_reason why;
  {
    entered scope(this);
    auto failed = guard([&] {
      if (rare_) {
        rare_->self = self();
        start_debugging();
      }
      begin(init());
      for (;;) {
        if (being_ended()) return;
        if (auto asked = asked_to_end()) {
          why = std::move(*asked);
          return;
        }
        if (has_work())
          work();
        else
          receive(next_envelope(infinity));
      }
    });
    if (failed) why = std::move(*failed);
    if (being_ended()) why = fate_of_caller();
    ended(why);
  }
  if (being_ended()) go_on_unwinding();
  throw exited(std::move(why));
}

// ---- starting and stopping ---------------------------------------------------------------------------------------

exit_reason misfit_thrown(const char* kind, std::string_view where, std::string_view result) {
  return reason::error(kind, fmt::format("{} threw a result that is not of the type that it returns; "
                                         "return it, or throw {}(...), if that is what it returns",
                                         where, result));
}

void require_valid_idle_timeout(duration idle) {
  if (idle.count() < 0)
    throw bad_argument("timeout_after: the time is " + integer_text(idle.count()) +
                       " ns; give 0, a positive duration or otp::infinity");
}

void check_options(const start_options& options) {
  if (options.spawn.monitor)
    throw bad_argument("start: spawn_options::monitor belongs to start_monitor, which returns the reference");
}

std::optional<exit_reason> check_name(const start_options& options) {
  if (options.name.empty()) return std::nullopt;
  options.name.require_valid();
  if (auto holder = options.name.whereis()) return exit_reason::of_pid(exit_reason::kind::already_started, *holder);
  return std::nullopt;
}

void check_entering(const start_options& options) {
  if (!started_by_proc_lib()) throw exited(exit_reason("process was not started by proc_lib"));
  if (options.name.empty()) return;
  options.name.require_valid();
  if (options.name.whereis() != self())
    throw exited(exit_reason("process is not registered as " + options.name.to_string()));
}

void stop_process(pid who, std::string text, exit_reason why, duration timeout) {
  auto failed = [&](exit_reason cause) {
    throw exited(call_failure(std::move(cause), "stop", text, why.to_string(), timeout));
  };
  require_caller("stop");
  require_valid_timeout(timeout);
  if (!who) failed(reason::noproc);
  if (who == self()) failed(reason::calling_self);
  ref watch = monitor(who);
  std::optional<exit_reason> end;
  try {
    auto* e = new stop_envelope(why);
    if (!deliver_envelope(who, e)) {
      destroy(e);
      demonitor(watch, {.flush = true});
      failed(reason::noproc);
    }
    if (planted(bug::stop_before_the_end)) {
      demonitor(watch, {.flush = true});
      return;
    }
    otp::receive(when([&](const down& d) { return d.reference == watch; }, [&](const down& d) { end = d.reason; }),
                 after(timeout, [] {}));
  } catch (const std::bad_alloc&) {
    demonitor(watch, {.flush = true});
    throw;
  }
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

}  // namespace otp
