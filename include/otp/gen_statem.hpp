// A state machine: a process whose reaction to an event depends on the state that it is in, with its graph in the
// types.
//
// Shape   `Machine` is any struct: its members are the data, its constructor is init and runs in the new process. A
//         state is a type and may carry values of its own. An event is a message; one with `using reply` is a call.
//         What happens are the struct's overloads, each taking the event by value or const reference:
//
//           using states = otp::states<pending, authorized>;       the first is the one to start in
//           using initial = otp::states<pending, authorized>;      or one of these: see start_in
//           using events = otp::events<authorize, capture>;        by call, cast, plain send, timer or transition
//           step<Reply, Targets...>  on(State&, const Event&)      and one of `from<Reply>`, `const event_type&`, both
//           void, or the reply       on(State&, const Event&)      stays
//           the same                 otherwise(const State&, const Event&)   what no `on` takes
//           step<void>, void         enter(State&), enter(State&, const state_view& previous)    the enter call
//           void                     terminate(const exit_reason&), terminate(State&, const exit_reason&)
//           std::string              to_string() const             how reports show the data; states have their own
//           void                     format_status(server_status&)
//
//         otp::down, exit_signal, timer_expired and timer_cancelled need no listing; `on(State&, const otp::message&)`
//         takes whatever else arrives. Where the states are values that are known at run time only (with an == that
//         says what a change is), it is
//
//           using state = std::string;
//           step<Reply, state>       handle_event(const state&, const Event&)       and enter(...), as above
//
//         otp::call, cast, send_request, names, supervisors and sys take machines as they take servers.
// Units   see start_options; timeouts are otp::duration from now, or an otp::instant.
// Errors  a move that a handler's type does not list, a state that cannot be reached, an event that no state takes do
//         not compile. An event without a handler in the current state ends the machine (function_clause), as does an
//         action that cannot be done (bad_action_from_state_function).
// Source  gen_statem. Differs: states and events are types, a handler's targets stand in its type.
#pragma once
#include <otp/detail/statem_core.hpp>
#include <otp/gen_server.hpp>

#include <array>

namespace otp {

/// The states of a machine, or some of them.
template <class... States>
struct states {};

// What the compiler names in its first error at a transition that does not fit.
template <class State, class... Targets>
struct target_not_listed {
};  // the handler returns step<Reply, Targets...>: add `State` to the targets, or go elsewhere
template <class Value, class Reply>
struct reply_does_not_fit {};  // the handler returns step<Reply, ...>: a `Value` cannot become its `Reply`
template <class Value>
struct replied_already;  // the caller of an event gets one reply: leave one of them out

namespace detail {

struct same_state {};
struct no_answer {};

template <class Reply>
struct typed_other_reply final : other_reply {
  explicit typed_other_reply(from<Reply>&& f) : to(std::move(f)) {}
  template <class Value>
  typed_other_reply(from<Reply>&& f, Value&& v) : to(std::move(f)), value(std::in_place, std::forward<Value>(v)) {}
  bool send() override {
    if (!to) return false;
    if constexpr (std::is_void_v<Reply>)
      to.reply();
    else
      to.reply(std::move(*value));
    return true;
  }
  from<Reply> to;
  std::optional<reply_value<Reply>> value;
};

/// A call that a transition inserts: the event, and who waits for its reply.
template <class Event>
struct inserted_call final : inserted_request {
  using reply = typename reply_of<Event>::type;
  template <class E>
  inserted_call(E&& e, from<reply>&& f) : inserted_request(&type_of), value(std::forward<E>(e)) {
    caller = f.release();
  }
  /// A second right to answer: what becomes of it decides, unless the event is postponed.
  from<reply> lend() {
    if (!caller) return {};
    lent = true;
    return from<reply>(static_cast<reply_envelope<reply>*>(caller));
  }
  static const envelope_type type_of;
  Event value;
};
template <class Event>
inline constexpr envelope_type inserted_call<Event>::type_of{
    signal::message, &record_of<Event>, [](envelope* e) { delete static_cast<inserted_call*>(e); },
    [](const envelope* e) -> const void* { return &static_cast<const inserted_call*>(e)->value; }};

struct any_transition;
/// The types of a transition and where it has what, for who catches one that was thrown.
struct transition_parts {
  const std::string_view* state;  // the type_name of the type: its address tells types apart
  const std::string_view* value;
  std::pair<void*, void*> (*find)(any_transition& t);
};
struct any_transition : thrown_result {
  machine_step step;
  const transition_parts* parts = nullptr;
};

/// What every transition can add. Actions are done from left to right; of several that set the same, the last counts.
/// Of several on one timer the others are as if they were not there: an update behind a start or a cancel changes the
/// timer that ran before, and comes at once if none did. Those of the enter call are behind those of the event.
template <class Self>
struct machine_options : any_transition {
  using otp_step = Self;

  /// Keeps the event for later: it is handled again when the state has changed, before whatever is queued by then.
  /// An enter call can take it back by postpone(false).
  Self&& postpone(bool yes = true) && {
    step.more().postpone = yes;
    return self();
  }
  /// Handles `event` next, before everything that waits; several in the order of the calls. It comes as `internal`.
  template <class Event>
  Self&& next_event(Event&& event) && {
    return insert(event_kind::internal, make_envelope(std::forward<Event>(event)));
  }
  /// It comes as what is said. A `call` needs its `from`: see below.
  template <class Event>
  Self&& next_event(Event&& event, event_type type) && {
    return insert(std::move(type), make_envelope(std::forward<Event>(event)));
  }
  /// It comes as a call of whoever waits for that reply.
  template <class Event>
  Self&& next_event(Event&& event, from<reply_t<Event>>&& caller) && {
    auto* call = new inserted_call<std::decay_t<Event>>(std::forward<Event>(event), std::move(caller));
    step.more().add(machine_action::what::insert, event_kind::call, call).has_from = call->caller;
    return self();
  }
  /// The event comes unless any other is handled within this time.
  template <class Event>
  Self&& event_timeout(duration time, Event&& event) && {
    return start(event_kind::event_timeout, time, false, make_envelope(std::forward<Event>(event)));
  }
  template <class Event>
  Self&& event_timeout(instant when, Event&& event) && {
    return start(event_kind::event_timeout, when.time_since_epoch(), true, make_envelope(std::forward<Event>(event)));
  }
  /// The time itself is the event: `on(State&, otp::duration)`.
  Self&& event_timeout(duration time) && { return start(event_kind::event_timeout, time, false, make_envelope(time)); }
  /// The event comes unless the state changes within this time. Set while it changes, the timer is the new state's.
  template <class Event>
  Self&& state_timeout(duration time, Event&& event) && {
    return start(event_kind::state_timeout, time, false, make_envelope(std::forward<Event>(event)));
  }
  template <class Event>
  Self&& state_timeout(instant when, Event&& event) && {
    return start(event_kind::state_timeout, when.time_since_epoch(), true, make_envelope(std::forward<Event>(event)));
  }
  /// A timer with a name, which neither events nor changes of the state touch. otp::infinity cancels.
  template <class Event>
  Self&& timeout(term name, duration time, Event&& event) && {
    return start({event_kind::timeout, std::move(name)}, time, false, make_envelope(std::forward<Event>(event)));
  }
  template <class Event>
  Self&& timeout(term name, instant when, Event&& event) && {
    return start({event_kind::timeout, std::move(name)}, when.time_since_epoch(), true,
                 make_envelope(std::forward<Event>(event)));
  }
  Self&& cancel_event_timeout() && { return act(machine_action::what::cancel, event_kind::event_timeout); }
  Self&& cancel_state_timeout() && { return act(machine_action::what::cancel, event_kind::state_timeout); }
  Self&& cancel_timeout(term name) && {
    return act(machine_action::what::cancel, {event_kind::timeout, std::move(name)});
  }
  /// Another event for a timer that runs; at once, if none does.
  template <class Event>
  Self&& update_event_timeout(Event&& event) && {
    return act(machine_action::what::update, event_kind::event_timeout, make_envelope(std::forward<Event>(event)));
  }
  template <class Event>
  Self&& update_state_timeout(Event&& event) && {
    return act(machine_action::what::update, event_kind::state_timeout, make_envelope(std::forward<Event>(event)));
  }
  template <class Event>
  Self&& update_timeout(term name, Event&& event) && {
    return act(machine_action::what::update, {event_kind::timeout, std::move(name)},
               make_envelope(std::forward<Event>(event)));
  }
  /// Gives back what the machine can do without until the next event. An enter call can take that back.
  Self&& hibernate(bool yes = true) && {
    step.more().hibernate = yes;
    return self();
  }

 protected:
  Self&& self() { return static_cast<Self&&>(*this); }
  Self&& insert(event_type type, envelope* event) { return act(machine_action::what::insert, std::move(type), event); }
  Self&& start(event_type type, duration time, bool absolute, envelope* event) {
    step.more().start(std::move(type), time, absolute, event);
    return self();
  }
  Self&& act(machine_action::what action, event_type type, envelope* event = nullptr) {
    step.more().add(action, std::move(type), event);
    return self();
  }
  void add_reply(std::unique_ptr<other_reply> other) {
    step.more().add(machine_action::what::reply, event_kind::call).other = std::move(other);
  }
};

}  // namespace detail

// ---- what handlers return ----------------------------------------------------------------------------------------

template <class State = detail::same_state, class Value = detail::no_answer>
struct transition;
namespace detail {
template <class State, class Value>
inline constexpr transition_parts parts_of{&type_name<State>, &type_name<Value>,
                                           [](any_transition& t) -> std::pair<void*, void*> {
                                             auto& self = static_cast<transition<State, Value>&>(t);
                                             return {&self.state, &self.value};
                                           }};
}  // namespace detail

/// Where a machine goes, and what it does besides. Made by go(), stay(), repeat_state(), stop_and_reply(). It counts as
/// well if a handler throws it; its reply is then of the type that the handler's step names, an int or a literal.
template <class State, class Value>
struct transition : detail::machine_options<transition<State, Value>> {
  static constexpr bool unanswered = std::is_same_v<Value, detail::no_answer>;
  State state;
  Value value;

  transition(detail::machine_step s, State&& to, Value&& v) : state(std::move(to)), value(std::move(v)) {
    this->step = std::move(s);
    this->parts = &detail::parts_of<State, Value>;
  }
  /// The reply to the caller of this event, once. `{}` is the reply type's default value.
  template <class V = std::monostate>
    requires unanswered
  transition<State, std::decay_t<V>> reply(V&& v) && {
    if (this->step.extras) {
      this->step.extras->orders_own_reply = true;
      this->step.extras->add(detail::machine_action::what::own_reply, event_kind::call);
    }
    return {std::move(this->step), std::move(state), std::decay_t<V>(std::forward<V>(v))};
  }
  transition<State, std::monostate> reply() &&
    requires unanswered
  {
    return std::move(*this).reply(std::monostate());
  }
  template <class V = std::monostate>
    requires(!unanswered)
  replied_already<Value> reply(V&& second) &&;
  replied_already<Value> reply() && requires(!unanswered);
  /// The reply to somebody else who waits.
  template <class Reply, class V>
  transition&& reply(from<Reply>&& to, V&& v) && {
    this->add_reply(std::make_unique<detail::typed_other_reply<Reply>>(std::move(to), std::forward<V>(v)));
    return std::move(*this);
  }
  template <std::same_as<void> Reply>  // deduced, so that reply({}) is not one
  transition&& reply(from<Reply>&& to) && {
    this->add_reply(std::make_unique<detail::typed_other_reply<void>>(std::move(to)));
    return std::move(*this);
  }
};

/// {next_state, State, Data}. It is a change if the type is another, or if a `==` of the same type says that the values
/// differ. A type without == is one state: from connected{1} to connected{2} is no change. What is compared is the
/// state as the handler leaves it: one that it has changed in place, and then goes to, is equal. Go to a changed copy.
template <class State>
transition<std::decay_t<State>> go(State&& to) {
  return {{.action = detail::machine_step::what::next}, std::decay_t<State>(std::forward<State>(to)), {}};
}
/// {keep_state, Data}
inline transition<> stay() { return {{}, {}, {}}; }
/// {repeat_state, Data}: as stay(), but the enter call is made again.
inline transition<> repeat_state() { return {{.action = detail::machine_step::what::repeat}, {}, {}}; }
/// {stop_and_reply, Reason, Replies}; otp::stop(reason) stops without replies, or with the one to the caller.
inline transition<> stop_and_reply(exit_reason why) {
  return {{.action = detail::machine_step::what::stop, .reason = std::move(why), .replies = true}, {}, {}};
}

/// What a handler returns: the reply's type, and the states that it may go to.
template <class Reply, class... Targets>
class step : public detail::thrown_result {
  template <class State>
  static constexpr bool listed = std::is_same_v<State, detail::same_state> || (std::is_same_v<State, Targets> || ...);
  template <class Value>
  static constexpr bool answers =
      std::is_same_v<Value, detail::no_answer> || std::is_convertible_v<Value, detail::reply_value<Reply>> ||
      (std::is_same_v<Value, std::monostate> && std::is_default_constructible_v<detail::reply_value<Reply>>);

 public:
  using otp_step = step;
  using reply_type = Reply;
  using targets = states<Targets...>;

  template <class State, class Value>
    requires(listed<State> && answers<Value>)
  step(transition<State, Value> t) : asked(std::move(t.step)) {
    if constexpr (!std::is_same_v<State, detail::same_state>) target.template emplace<State>(std::move(t.state));
    take(std::move(t.value));
  }
  step(detail::stop_step s) { stop(s.step); }
  template <class Value>
    requires(answers<Value>)
  step(detail::stop_reply_step<Value> s) {
    stop(s.step);
    take(std::move(s.value));
  }
  /// Of one that was thrown, whose types are known at run time only.
  explicit step(detail::any_transition& thrown) {
    const detail::transition_parts& parts = *thrown.parts;
    const auto [to, answer] = parts.find(thrown);
    using stored = detail::reply_value<Reply>;
    if ((parts.state == &detail::type_name<detail::same_state> || (take_target<Targets>(parts, to) || ...)) &&
        (parts.value == &detail::type_name<detail::no_answer> || take_value<stored>(parts, answer) ||
         take_value<std::monostate>(parts, answer) || take_value<int>(parts, answer) ||
         take_value<const char*>(parts, answer)))
      asked = std::move(thrown.step);
    else
      asked = {.action = detail::machine_step::what::stop,
               .reason = detail::misfit_transition(*parts.state, *parts.value, detail::type_name<step>)};
  }
  // Refused by name.
  template <class State, class Value>
    requires(!listed<State>)
  step(const transition<State, Value>&, target_not_listed<State, Targets...> = {}) = delete;
  template <class State, class Value>
    requires(listed<State> && !answers<Value>)
  step(const transition<State, Value>&, reply_does_not_fit<Value, Reply> = {}) = delete;

  // For the machine.
  detail::machine_step asked;
  std::variant<std::monostate, Targets...> target;
  std::optional<detail::reply_value<Reply>> value;

 private:
  template <class Value>
  void take(Value&& v) {
    if constexpr (std::is_convertible_v<Value, detail::reply_value<Reply>>)
      value.emplace(std::forward<Value>(v));
    else if constexpr (std::is_same_v<std::decay_t<Value>, std::monostate>)
      value.emplace();
  }
  template <class Target>
  bool take_target(const detail::transition_parts& parts, void* to) {
    if (parts.state != &detail::type_name<Target>) return false;
    target.template emplace<Target>(std::move(*static_cast<Target*>(to)));
    return true;
  }
  template <class Value>
  bool take_value(const detail::transition_parts& parts, void* answer) {
    if constexpr (answers<Value>) {
      if (parts.value != &detail::type_name<Value>) return false;
      take(std::move(*static_cast<Value*>(answer)));
      return true;
    }
    return false;
  }
  void stop(detail::step_result& s) {
    asked.action = detail::machine_step::what::stop;
    asked.reason = std::move(s.reason);
  }
};

// ---- init --------------------------------------------------------------------------------------------------------

namespace detail {
template <class State, class... Args>
struct start_step : machine_options<start_step<State, Args...>> {
  start_step(State&& s, std::tuple<Args...>&& a) : state(std::move(s)), arguments(std::move(a)) {}
  State state;
  std::tuple<Args...> arguments;
};
template <class Machine>
struct machine_maker;
}  // namespace detail

/// {ok, State, Data, Actions}, from a static init: the machine is constructed from these arguments, in that state.
template <class State, class... Args>
detail::start_step<std::decay_t<State>, std::decay_t<Args>...> start_in(State&& state, Args&&... args) {
  return {std::forward<State>(state), {std::forward<Args>(args)...}};
}

}  // namespace otp

#include <otp/detail/gen_statem.inl>

namespace otp {

namespace gen_statem {

/// Starts a machine, linked to the caller, and waits for its init. `args` go to its constructor or static init.
/// Errors: bad_argument for a name that cannot be one.
template <class Machine, class... Args>
  requires detail::machine_started_with<Machine, Args...>
[[nodiscard]] result<server<Machine>> start_link(start_options options = {}, Args&&... args) {
  return detail::start_machine<Machine>(std::move(options), true, std::forward<Args>(args)...);
}
/// The same without a link.
template <class Machine, class... Args>
  requires detail::machine_started_with<Machine, Args...>
[[nodiscard]] result<server<Machine>> start(start_options options = {}, Args&&... args) {
  return detail::start_machine<Machine>(std::move(options), false, std::forward<Args>(args)...);
}
/// The same with a monitor.
template <class Machine, class... Args>
  requires detail::machine_started_with<Machine, Args...>
[[nodiscard]] result<monitored_server<Machine>> start_monitor(start_options options = {}, Args&&... args) {
  detail::check_options(options);
  options.spawn.link = false;
  options.spawn.monitor = true;
  auto done = detail::start_server<Machine>(options, std::forward<Args>(args)...);
  if (!done) return std::unexpected(std::move(done.error()));
  return monitored_server<Machine>{server<Machine>(done->process), done->monitor};
}

// A struct that is no machine, whose graph has a fault, or that cannot be made from these arguments.
template <class Machine, class... Args>
  requires(!detail::machine_started_with<Machine, Args...>)
detail::machine_start_problem<Machine, Args...> start_link(start_options = {}, Args&&...);
template <class Machine, class... Args>
  requires(!detail::machine_started_with<Machine, Args...>)
detail::machine_start_problem<Machine, Args...> start(start_options = {}, Args&&...);
template <class Machine, class... Args>
  requires(!detail::machine_started_with<Machine, Args...>)
detail::machine_start_problem<Machine, Args...> start_monitor(start_options = {}, Args&&...);
template <class Machine, class First, class... Args>
  requires(!std::is_convertible_v<First, start_options>)
options_come_first<Machine, std::decay_t<First>> start_link(First&&, Args&&...);
template <class Machine, class First, class... Args>
  requires(!std::is_convertible_v<First, start_options>)
options_come_first<Machine, std::decay_t<First>> start(First&&, Args&&...);
template <class Machine, class First, class... Args>
  requires(!std::is_convertible_v<First, start_options>)
options_come_first<Machine, std::decay_t<First>> start_monitor(First&&, Args&&...);

using gen_server::stop;

/// Makes the calling process, started by proc_lib, the machine of this data, in the state and with the actions of
/// `start_in(state)`. Never returns. Errors: as gen_server::enter_loop.
template <class Machine, class State>
  requires detail::well_formed_machine<Machine>
[[noreturn]] void enter_loop(Machine data, detail::start_step<State> first, start_options options = {}) {
  detail::enter_machine_loop<Machine>(std::move(data), std::move(first), std::move(options));
}
template <class Machine, class State>
  requires(!detail::well_formed_machine<Machine>)
detail::machine_problem<Machine> enter_loop(const Machine&, detail::start_step<State>, start_options = {});

}  // namespace gen_statem

// ---- diagrams ----------------------------------------------------------------------------------------------------

/// The machine's graph as a Mermaid stateDiagram-v2: its states, where they lead, by which events. It is made of the
/// types, so it is what the program does.
template <class Machine>
  requires detail::has_graph<Machine>
std::string diagram() {
  return detail::diagram_of<Machine>({});
}
template <class Machine>
  requires(!detail::has_graph<Machine>)
detail::graph_problem<Machine> diagram();

/// The same of a machine that runs, with its current state marked. Errors: as call().
template <detail::server_address Address>
  requires detail::has_graph<detail::server_at<Address>>
std::string diagram(const Address& machine, duration timeout = call_timeout) {
  return detail::diagram_of<detail::server_at<Address>>(
      detail::current_state_type(detail::address_of<Address>::find(machine), timeout));
}

}  // namespace otp
