// The life of a state machine between init and terminate: events in their order, transitions, timers.
#include <otp/gen_statem.hpp>
#include <otp/sys.hpp>

#include "behaviours/server_parts.hpp"
#include "process/request_core.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace otp {

std::string event_type::to_string() const {
  switch (kind) {
    case event_kind::call: return "call";
    case event_kind::cast: return "cast";
    case event_kind::info: return "info";
    case event_kind::internal: return "internal";
    case event_kind::event_timeout: return "event_timeout";
    case event_kind::state_timeout: return "state_timeout";
    case event_kind::timeout: return "{timeout, " + name.to_string() + "}";
  }
  return "unknown";
}

namespace detail {

namespace {

exit_reason bad_action(const char* kind, std::string text) { return reason::error(kind, std::move(text)); }

// Runs a handler or an enter call. What is thrown counts as returned; here what needs no types: a stop, and what a
// handler throws that returns nothing, or a reply.
template <class F>
void run_callback(machine_turn& t, F run) {
  try {
    return run();
  } catch (stop_step& thrown) {
    t.asked = {.action = machine_step::what::stop, .reason = std::move(thrown.step.reason)};
    return;
  } catch (any_transition& thrown) {
    if (thrown.parts && *thrown.parts->state == type_name<same_state> && *thrown.parts->value == type_name<no_answer>) {
      t.asked = std::move(thrown.step);
    } else {
      std::string_view none = "none";
      t.asked = {.action = machine_step::what::stop,
                 .reason = misfit_transition(thrown.parts ? *thrown.parts->state : none,
                                             thrown.parts ? *thrown.parts->value : none, {})};
    }
  } catch (thrown_result&) {
    t.asked = {.action = machine_step::what::stop,
               .reason = misfit_thrown("bad_return_from_state_function", "the handler", "otp::step<...>")};
  }
  if (t.asked.extras) t.machine.begin_actions(t, nullptr, nullptr);
}

// A handler may have been given a `from` of an inserted call: whether it let go of that counts no more.
void take_back(inserted_request& i) noexcept {
  if (!std::exchange(i.lent, false)) return;
  constexpr unsigned flags = request_envelope::in_handler | request_envelope::dropped;
  i.caller->from_flags.fetch_and(static_cast<std::uint8_t>(~flags));
}

// It counts now: the `from` was answered, is kept somewhere, or its caller fails. If there was none, the end of the
// event is the end of the call.
void settle_inserted(inserted_request& i) noexcept {
  if (!i.lent) return;
  request_envelope* r = std::exchange(i.caller, nullptr);
  std::uint8_t flags = r->from_flags.fetch_and(static_cast<std::uint8_t>(~request_envelope::in_handler));
  if ((flags & request_envelope::dropped) && r->progress.load() == request_state::pending)
    fail_request(r, unanswered());
  else
    drop_answered(r);
}

// Of several actions on one timer only the last is done, as in OTP.
bool is_last_on_its_timer(const std::vector<machine_action>& actions, std::size_t at) {
  for (std::size_t later = at + 1; later < actions.size(); ++later)
    if (actions[later].action >= machine_action::what::start && actions[later].type == actions[at].type) return false;
  return true;
}

}  // namespace

machine_action::~machine_action() { drop_quietly(content); }

machine_action& step_extras::add(machine_action::what w, event_type type, envelope* content) {
  struct owned {
    envelope* e;
    ~owned() { drop_quietly(e); }
  } hold{content};  // until it has its place
  machine_action& added = actions.emplace_back(w, std::move(type));
  added.content = std::exchange(hold.e, nullptr);
  return added;
}

void step_extras::start(event_type type, duration time, bool absolute, envelope* content) {
  machine_action& added = add(machine_action::what::start, std::move(type), content);
  added.time = time;
  added.absolute = absolute;
}

/// An event: fresh on the stack of who handles it, or waiting in a list.
struct machine_core::pending_event {
  envelope* e;
  const envelope_type* sort;  // of the envelope: that of a request changes when it is answered
  runner run;
  event_type type;
  bool listed = false;    // a request that is among the outstanding too
  bool answered = false;  // a request that was answered and postponed
  bool roomed = false;    // it counts against the limits of the mailbox: postponed
  std::uint32_t bytes = 0;
  pending_event* next = nullptr;

  request_envelope* request() const noexcept {
    return sort->kind == signal::request ? static_cast<request_envelope*>(e) : nullptr;
  }
  /// A call that a transition inserted: whatever else is a call is a request.
  inserted_request* inserted() const noexcept {
    return e && type.kind == event_kind::call && sort->kind != signal::request ? static_cast<inserted_request*>(e)
                                                                               : nullptr;
  }
  void leave_room() noexcept {
    if (std::exchange(roomed, false)) give_back_room(*runtime_core::current(), *current_process(), bytes);
  }
};

struct machine_core::machine_timer {
  event_type type;
  envelope* content;
  std::uint64_t number;
  ref timer;  // none: it has no time left, and fires as soon as the queue is empty
};

void machine_core::event_list::push_back(pending_event* e) noexcept {
  e->next = nullptr;
  (last ? last->next : first) = e;
  last = e;
}
void machine_core::event_list::put_before(event_list& all) noexcept {
  if (!all.first) return;
  all.last->next = first;
  first = all.first;
  if (!last) last = all.last;
  all = {};
}
machine_core::pending_event* machine_core::event_list::pop() noexcept {
  pending_event* e = first;
  first = e->next;
  if (!first) last = nullptr;
  return e;
}

machine_core::machine_core(const machine_type& type, const start_options& options, start_ticket* ticket)
    : server_core(type, options, ticket) {}

machine_core::~machine_core() {
  for (event_list* list : {&queue_, &postponed_}) {
    while (list->first) {
      pending_event* e = list->pop();
      e->leave_room();
      if (request_envelope* r = e->request())
        drop_answered(r);
      else
        drop_quietly(e->e);
      delete e;
    }
  }
  for (machine_timer& t : timers_) drop_quietly(t.content);
  drop_quietly(last_);
}

// ---- what arrives ------------------------------------------------------------------------------------------------

void machine_core::receive(envelope* e) {
  if (take_timer(e) || (rare_ && own_timer(e))) return;  // casts by their kind, but not by their type
  switch (e->type->kind) {
    case signal::system:
    case signal::stop: return server_core::receive(e);
    case signal::request: {
      auto* r = static_cast<request_envelope*>(e);
      auto& type = static_cast<const server_envelope_type&>(*r->type);
      if (type.server != &type_) return refuse_request(r, *type.server);
      if (!take_request(*r)) return skip_expired(r);
      r->begun.store(true, std::memory_order_relaxed);
      return take(e, type.run, event_kind::call);
    }
    case signal::cast: {
      auto& type = static_cast<const server_envelope_type&>(*e->type);
      if (type.server != &type_) return unhandled(e, "sent to a server of another type");
      count_handled();
      return take(e, type.run, event_kind::cast);
    }
    case signal::reply:
      if (late_response(e)) return;
      break;
    default: break;
  }
  if (is_parent_exit(*e)) return run_info(e);
  runner r = runner_of(*e);
  if (!r) {
    cancel_timer_of(event_kind::event_timeout);
    return unhandled(e, "no handler");
  }
  if (e->type->kind != signal::reply) count_handled();
  take(e, r, event_kind::info);
}

runner machine_core::runner_of(const envelope& e) const noexcept {
  for (std::size_t i = 0; i < type_.info_count; ++i)
    if (type_.infos[i].type == e.type) return type_.infos[i].run;
  return type_.any_info;
}

std::string machine_core::advice(const envelope_type& type) {
  if (type.kind == signal::cast || type.kind == signal::reply) return server_core::advice(type);
  return "list " + std::string(name_of(type)) + " in `events`, or add  on(State&, const otp::message&)";
}

void machine_core::take(envelope* e, runner r, event_kind kind) {
  pending_event fresh{.e = e, .sort = e->type, .run = r, .type = kind, .bytes = e->bytes};
  handle(fresh);
}

// An event that was inserted or postponed, else a timer of no time.
void machine_core::work() {
  if (!queue_.first) {
    std::size_t at = 0;
    while (timers_[at].timer) ++at;
    return fire(at);
  }
  std::unique_ptr<pending_event> e(queue_.pop());
  e->leave_room();
  if (request_envelope* r = e->request(); r && !e->answered) {
    if (!r->run_expired && r->progress.load(std::memory_order_relaxed) == request_state::abandoned)
      return drop_answered(r);  // its caller has given up meanwhile
    handle_request(r);
  }
  handle(*e);
}

// ---- one event ---------------------------------------------------------------------------------------------------

void machine_core::handle(pending_event& e) {
  if (!timers_.empty()) cancel_timer_of(event_kind::event_timeout);
  hibernating_ = false;
  machine_turn t(*this, e.type, e.answered ? nullptr : e.request());
  if (rare_ && is_debugged()) [[unlikely]] {
    if (t.request) t.request->traced = true;
    tell_event(sys::debug_kind::in, e);
    if (being_ended()) return let_go(e, t);
  }
  doing_.store(e.sort->record, std::memory_order_relaxed);
  auto failed = guard_callback(*current_process(), [&] { run_callback(t, [&] { e.run(t, server(), e.e); }); });
  doing_.store(nullptr, std::memory_order_relaxed);
  if (t.gone) e.e = nullptr;
  if (being_ended()) return let_go(e, t);
  if (failed) return fail(&e, t, std::move(*failed));
  if (t.asked.action == machine_step::what::stop) return fail(&e, t, std::move(t.asked.reason));
  transition(e, t);
}

// `readable`: it is still there, and not with its caller again.
void machine_core::tell_event(sys::debug_kind what, const pending_event& e, bool readable) {
  std::string sort = e.type.to_string();
  sys::debug_facts facts{.what = what, .sort = sort, .message = e.sort->record};
  if (readable && e.e) facts.payload = e.sort->payload(e.e);
  if (what == sys::debug_kind::in && e.request()) facts.other = e.request()->caller;
  if (what == sys::debug_kind::consume) {
    facts.subject = this;
    facts.state = [](const void* self) { return static_cast<const machine_core*>(self)->state_text(); };
  }
  tell(std::move(facts));
}

void machine_core::transition(pending_event& e, machine_turn& t) {
  std::unique_ptr<step_extras> all = std::move(t.asked.extras);
  auto postponed = [&] { return all && all->postpone.value_or(false); };
  if (postponed() && t.moved)
    return fail(&e, t,
                bad_action("bad_action_from_state_function",
                           "postpone: the handler has taken the event over; let it take it by const reference"));
  if (machine().enter && (t.changed || t.asked.action == machine_step::what::repeat)) {
    if (!enter_state(&e, t, all, !t.changed)) return;
    machine().left(server());
  }
  if (rare_ && is_debugged()) [[unlikely]] {
    tell_event(postponed() ? sys::debug_kind::postpone : sys::debug_kind::consume, e,
               t.request || !e.request() || e.answered);
    if (being_ended()) return let_go(e, t);
  }
  if (postponed()) {
    if (auto failed = guard([&] { postpone(e, t); })) return fail(&e, t, std::move(*failed));
  } else if (!finish_event(e, t)) {
    return;
  }
  bool nothing = !all && !rare_ && !(t.changed && (postponed_.first || !timers_.empty()));
  if (nothing) [[likely]]
    return;
  if (auto failed = guard([&] { commit(t.changed, all.get()); })) fail(nullptr, t, std::move(*failed));
}

// The enter call, as often as it asks for that, each time from the same previous state. False: the machine has ended.
bool machine_core::enter_state(pending_event* e, machine_turn& outer, std::unique_ptr<step_extras>& all, bool again) {
  for (;;) {
    machine_turn t(*this, outer.event);
    t.entering = true;
    auto failed = guard([&] {
      run_callback(t, [&] { machine().enter(t, server(), again); });
      if (!t.asked.extras || t.asked.action == machine_step::what::stop) return;
      if (!all) {
        all = std::move(t.asked.extras);
        return;
      }
      for (machine_action& a : t.asked.extras->actions) all->actions.push_back(std::move(a));
      if (t.asked.extras->postpone) all->postpone = t.asked.extras->postpone;
      if (t.asked.extras->hibernate) all->hibernate = t.asked.extras->hibernate;
    });
    if (being_ended()) {
      if (e) let_go(*e, outer);
      return false;
    }
    if (!failed && t.asked.action == machine_step::what::stop) failed = std::move(t.asked.reason);
    if (failed) {
      fail(e, outer, std::move(*failed));
      return false;
    }
    if (t.asked.action != machine_step::what::repeat) return true;
  }
}

// What a transition sets in motion, when enter calls are done.
void machine_core::commit(bool changed, step_extras* all) {
  if (changed) {
    cancel_timer_of(event_kind::state_timeout);
    queue_.put_before(postponed_);
  }
  if (all) {
    event_list inserted;
    for (machine_action& a : all->actions) {
      if (a.action != machine_action::what::insert) continue;
      auto* e = new pending_event{
          .e = a.content, .sort = a.content->type, .run = runner_of(*a.content), .type = std::move(a.type)};
      a.content = nullptr;
      if (rare_ && is_debugged()) tell_event(sys::debug_kind::insert, *e);
      inserted.push_back(e);
    }
    queue_.put_before(inserted);
    for (std::size_t i = 0; i < all->actions.size(); ++i) {
      machine_action& a = all->actions[i];
      if (a.action < machine_action::what::start || !is_last_on_its_timer(all->actions, i)) continue;
      switch (a.action) {
        case machine_action::what::start: start_timer(a); break;
        case machine_action::what::cancel: cancel_timer_of(a.type); break;
        case machine_action::what::update:
          if (std::size_t at = find_timer(a.type); at != timers_.size()) {
            std::swap(timers_[at].content, a.content);
          } else {
            a.time = duration::zero();
            start_timer(a);
          }
          break;
        default: break;
      }
    }
    if (all->hibernate.value_or(false) && !has_work()) fall_asleep();
  }
  if (rare_ && rare_->hibernate_after != infinity) restart_hibernate_timer();
}

// The event has been handled and is not kept. False: that has ended the machine.
bool machine_core::finish_event(pending_event& e, machine_turn& t) {
  request_envelope* r = e.request();
  if (inserted_request* i = e.inserted()) settle_inserted(*i);
  if (!r) return !e.e || discard(std::exchange(e.e, nullptr), "event");
  if (!t.request) {
    if (e.answered || t.kept) drop_answered(r);
  } else if (e.listed) {
    settle_listed(r);
  } else {
    settle(r);
  }
  return true;
}

void machine_core::postpone(pending_event& e, machine_turn& t) {
  auto* later = new pending_event{
      .e = e.e, .sort = e.sort, .run = e.run, .type = e.type, .listed = e.listed, .answered = e.answered || t.kept};
  postponed_.push_back(later);
  later->bytes = e.bytes;
  later->roomed = hold_room(*current_process(), later->bytes);
  if (inserted_request* i = e.inserted()) take_back(*i);
  request_envelope* r = t.request;
  if (!r) return;
  request_envelope* left = nullptr;
  {
    runtime_bracket bracket;
    request_done();
    // A `from` that the handler let go of was not the answer.
    constexpr unsigned flags = request_envelope::in_handler | request_envelope::dropped | request_envelope::taken;
    r->from_flags.fetch_and(static_cast<std::uint8_t>(~flags));
    if (!e.listed) {
      r->references.fetch_add(1, std::memory_order_relaxed);  // rule 3
      later->listed = true;
      list(r, left);
    }
  }
  while (left) drop_answered(std::exchange(left, left->next_outstanding));
}

// As settle(), for a request that is among the outstanding: they keep it if it is not decided.
void machine_core::settle_listed(request_envelope* r) {
  request_envelope* left = r;
  {
    runtime_bracket bracket;
    request_done();
    std::uint8_t flags = r->from_flags.load(std::memory_order_relaxed);
    if (flags & request_envelope::taken)
      flags = r->from_flags.fetch_and(static_cast<std::uint8_t>(~request_envelope::in_handler));
    if (r->progress.load() == request_state::pending &&
        ((flags & request_envelope::dropped) || !(flags & request_envelope::taken)))
      left = try_fail(r, unanswered());
  }
  if (left) drop_answered(left);
}

// The machine ends with an inserted call. Its caller gets the reason, with those of the outstanding.
void machine_core::keep_to_the_end(pending_event& e) {
  take_back(*e.inserted());
  last_ = std::exchange(e.e, nullptr);
}

// The machine ends because of this event, or of none.
void machine_core::fail(pending_event* e, machine_turn& t, exit_reason why) {
  ending end{.why = std::move(why)};
  if (e) {
    request_envelope* r = e->request();
    bool readable = !r || t.request || e->answered || t.kept;
    end.message = (e->type.to_string() + " ") +
                  (readable && !t.moved ? text_of_payload(*e->sort, *e->e) : std::string(name_of(*e->sort)));
    if (r && t.request) {
      end.request = t.request;
      end.listed = e->listed;
    } else if (r) {
      if (e->answered || t.kept) drop_answered(r);
    } else if (e->inserted()) {
      keep_to_the_end(*e);
    } else if (e->e) {
      guard([&] { destroy(e->e); });
    }
    if (being_ended()) {
      if (end.request) let_go(*e, t);
      return;
    }
  }
  stop(std::move(end));
}

// A fatal signal ends the process while an event is handled.
void machine_core::let_go(pending_event& e, machine_turn& t) {
  request_envelope* r = e.request();
  if (e.inserted()) {
    keep_to_the_end(e);
  } else if (!r) {
    if (e.e) guard([&] { destroy(e.e); });
  } else if (!t.request || e.listed) {
    {
      runtime_bracket bracket;
      request_done();
    }
    if (t.request || e.answered || t.kept) drop_answered(r);
  } else {
    leave(r);
  }
}

// ---- actions -----------------------------------------------------------------------------------------------------

void machine_core::begin_actions(machine_turn& t, void (*own)(void*), void* argument) {
  step_extras& all = *t.asked.extras;
  bool stops = t.asked.action == machine_step::what::stop;
  auto bad = [&](const char* kind, std::string text) {
    t.asked.action = machine_step::what::stop;
    t.asked.reason = bad_action(kind, std::move(text));
  };
  const char* usual = stops ? "bad_reply_action_from_state_function" : "bad_action_from_state_function";
  if (own && !all.orders_own_reply) own(argument);
  if (t.entering && all.postpone.value_or(false))
    return bad("bad_state_enter_action_from_state_function", "postpone: there is no event in an enter call");
  for (machine_action& a : all.actions) {
    if (a.action == machine_action::what::own_reply) {
      if (own) own(argument);
      continue;
    }
    if (a.action == machine_action::what::reply) {
      if (!a.other->send()) return bad(usual, "reply: the `from` is empty; it was moved away or never given");
      continue;
    }
    std::string what = a.type.to_string();
    if (stops) return bad(usual, what + ": a machine that stops can only reply");
    if (a.action == machine_action::what::insert) {
      if (t.entering) return bad("bad_state_enter_action_from_state_function", "next_event: not from an enter call");
      what.insert(0, "next_event(" + std::string(name_of(*a.content->type)) + ", ").append(")");
      if (a.type.kind > event_kind::timeout) return bad(usual, what + ": there is no such kind of event");
      if (a.type.kind == event_kind::call && !a.has_from)
        return bad(usual, what + ": a call needs its `from`: next_event(request, std::move(from))");
    }
    if (a.action == machine_action::what::start) {
      what += " of " + integer_text(a.time.count()) + " ns";
      if (!a.absolute && a.time.count() < 0) return bad(usual, what + ": the time is negative");
    }
    if (a.content && !runner_of(*a.content))
      return bad(usual, what + ": " + std::string(name_of(*a.content->type)) + " is not among the events of " +
                            std::string(type_.name));
  }
}

exit_reason misfit_transition(std::string_view state, std::string_view value, std::string_view result) {
  std::string thrown = state == type_name<same_state> ? "stay() or the like" : fmt::format("go({})", state);
  if (value != type_name<no_answer>)
    thrown += fmt::format(", reply({})", value == type_name<std::monostate> ? "" : value);
  std::string advice = result.empty() ? "the handler returns no step; let it return otp::step<...>"
                                      : fmt::format("the handler returns {0}; return it, or throw {0}(...)", result);
  return reason::error("bad_return_from_state_function", fmt::format("thrown: {}; {}", thrown, advice));
}

void enter_went_elsewhere(machine_turn& t, const std::string& where) {
  t.asked.action = machine_step::what::stop;
  t.asked.reason = bad_action("bad_state_enter_return_from_state_function",
                              "go(" + where + "): an enter call cannot leave the state that is entered");
}

exit_reason no_such_handler(std::string_view machine, std::string_view handler, std::string_view state,
                            std::string_view event) {
  return reason::error("function_clause",
                       fmt::format("{} has no  {}({}&, const {}&); add it, or an `otherwise` that takes what is left",
                                   machine, handler, state, event));
}

// ---- timers ------------------------------------------------------------------------------------------------------

std::size_t machine_core::find_timer(const event_type& type) const noexcept {
  std::size_t at = 0;
  while (at < timers_.size() && !(timers_[at].type == type)) ++at;
  return at;
}

void machine_core::drop_timer(std::size_t at) {
  machine_timer gone = std::move(timers_[at]);
  timers_.erase(timers_.begin() + static_cast<std::ptrdiff_t>(at));
  if (gone.timer)
    cancel_timer(gone.timer);
  else
    --zero_timers_;
  drop_quietly(gone.content);
}

void machine_core::cancel_timer_of(const event_type& type) {
  if (std::size_t at = find_timer(type); at != timers_.size()) drop_timer(at);
}

void machine_core::start_timer(machine_action& a) {
  cancel_timer_of(a.type);
  if (a.time == infinity) return;
  bool now = !a.absolute && a.time.count() == 0;  // a point in time that has passed comes with the mailbox
  timers_.push_back({std::move(a.type), std::exchange(a.content, nullptr), ++timer_number_, {}});
  if (now) {
    ++zero_timers_;
    return;
  }
  ref& timer = timers_.back().timer;
  try {
    timer = start_own_timer(machine_timer_due, a.absolute ? instant(a.time) : after_now(a.time), timer_number_);
  } catch (...) {
    drop_quietly(timers_.back().content);
    timers_.pop_back();
    throw;
  }
}

bool machine_core::take_timer(envelope* e) {
  if (e->type != &machine_timer_due) return false;
  std::uint64_t number = number_of_own_timer(*e);
  destroy(e);
  count_handled();
  auto at = std::find_if(timers_.begin(), timers_.end(), [&](const machine_timer& t) { return t.number == number; });
  if (at != timers_.end()) fire(static_cast<std::size_t>(at - timers_.begin()));
  return true;
}

void machine_core::fire(std::size_t at) {
  machine_timer due = std::move(timers_[at]);
  timers_.erase(timers_.begin() + static_cast<std::ptrdiff_t>(at));
  if (!due.timer) --zero_timers_;
  pending_event e{
      .e = due.content, .sort = due.content->type, .run = runner_of(*due.content), .type = std::move(due.type)};
  handle(e);
}

// ---- init and status ---------------------------------------------------------------------------------------------

void machine_core::begin(init_step&&) {
  event_type none = event_kind::internal;
  machine_turn t(*this, none);
  t.asked.extras = machine().first(server());
  if (t.asked.extras) {
    t.asked.extras->postpone.reset();  // there is no event
    auto failed = guard([&] { begin_actions(t, nullptr, nullptr); });
    if (being_ended()) return;
    if (!failed && t.asked.action == machine_step::what::stop) failed = std::move(t.asked.reason);
    if (failed) return fail(nullptr, t, std::move(*failed));
  }
  std::unique_ptr<step_extras> all = std::move(t.asked.extras);
  if (machine().enter && !enter_state(nullptr, t, all, true)) return;
  if (auto failed = guard([&] { commit(false, all.get()); })) fail(nullptr, t, std::move(*failed));
}

void machine_core::add_status(server_status& s) {
  s.callback_mode = machine().run_time_states ? "handle_event_function" : "state_functions";
  if (machine().enter) s.callback_mode += ", state_enter";
  auto line = [](const event_type& type, const envelope_type& sort, const envelope& e) {
    return type.to_string() + " " + text_of_payload(sort, e);
  };
  for (auto [list, lines] : {std::pair(&queue_, &s.queue), std::pair(&postponed_, &s.postponed)})
    for (pending_event* e = list->first; e; e = e->next) lines->push_back(line(e->type, *e->sort, *e->e));
  for (machine_timer& t : timers_) s.timers.push_back(line(t.type, *t.content->type, *t.content));
  void* object = server();
  if (!object) return;
  s.state_type = std::string(machine().current(object).type_name());
  if (guard([&] { s.data = machine().data(object); })) s.data = "to_string() failed";
}

// ---- diagrams ----------------------------------------------------------------------------------------------------

std::string current_state_type(std::optional<pid> machine, duration timeout) {
  return sys::get_status(machine.value_or(pid()), timeout).state_type;
}

namespace {

// "captured" for "shop::payment::captured"; what stands in <> stays.
std::string_view last_part(std::string_view type) {
  int depth = 0;
  for (std::size_t i = type.size(); i > 1; --i) {
    if (type[i - 1] == '>' || type[i - 1] == ')' || type[i - 1] == '}') ++depth;
    if (type[i - 1] == '<' || type[i - 1] == '(' || type[i - 1] == '{') --depth;
    if (depth == 0 && type[i - 1] == ':' && type[i - 2] == ':') return type.substr(i);
  }
  return type;
}

bool is_word(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

// Mermaid reads some characters as its own.
std::string label(std::string_view text) {
  std::string all;
  for (char c : text) {
    switch (c) {
      case ':': all += "#58;"; break;
      case ';': all += "#59;"; break;
      case '#': all += "#35;"; break;
      case '"': all += "#quot;"; break;
      case '<': all += "#lt;"; break;
      case '>': all += "#gt;"; break;
      default: all += c;
    }
  }
  return all;
}

// Names that Mermaid takes for words of its own.
bool is_reserved(std::string_view id) {
  static constexpr std::string_view words[] = {"state",   "note", "end",  "class", "classDef", "direction",
                                               "default", "as",   "fork", "join",  "choice",   "style"};
  return std::find(std::begin(words), std::end(words), id) != std::end(words);
}

}  // namespace

std::string draw_diagram(std::string_view machine, const std::vector<diagram_state>& states,
                         const std::vector<diagram_edge>& edges, std::string_view current) {
  static_cast<void>(machine);
  std::vector<std::string> ids;
  std::string text = "stateDiagram-v2\n";
  for (std::size_t i = 0; i < states.size(); ++i) {
    std::string_view shown = last_part(states[i].type);
    auto same = [&](const diagram_state& s) { return last_part(s.type) == shown; };
    bool unique = std::count_if(states.begin(), states.end(), same) == 1;
    if (unique && is_word(shown) && !is_reserved(shown)) {
      ids.emplace_back(shown);
      continue;
    }
    ids.push_back("s" + std::to_string(i + 1));
    text += "    state \"" + label(unique ? shown : states[i].type) + "\" as " + ids.back() + "\n";
  }
  for (std::size_t i = 0; i < states.size(); ++i)
    if (states[i].initial) text += "    [*] --> " + ids[i] + "\n";
  for (std::size_t i = 0; i < states.size(); ++i) {
    bool leads_on = false;
    for (const diagram_edge& e : edges) {
      if (e.from != i) continue;
      leads_on = leads_on || e.to != i;
      text += "    " + ids[i] + " --> " + ids[e.to] + " : " + label(last_part(e.event)) + "\n";
    }
    if (!leads_on) text += "    " + ids[i] + " --> [*]\n";
  }
  for (std::size_t i = 0; i < states.size(); ++i)
    if (states[i].type == current) text += "    classDef current stroke-width:4px\n    class " + ids[i] + " current\n";
  return text;
}

}  // namespace detail
}  // namespace otp
