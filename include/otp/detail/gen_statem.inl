// The templates behind gen_statem: they find the handler of an event in a state, judge the graph, and make the runners
// that the untyped machine calls.
#pragma once

namespace otp {

// What the compiler names in its first error when a struct is no machine, or its graph has a fault.
template <class Machine>
struct wrong_events;  // using events = otp::events<...>;  lists what the machine can be told
template <class Machine>
struct wrong_states;  // using states = otp::states<...>;  lists them, each once; or  using state = ...;  for values
template <class Machine, class State>
struct wrong_state;  // a state is a value that can be moved
template <class Machine, class State>
struct state_needs_equality;  // `using state`: its == says what a change is; without one the machine never changes
                              // state
template <class Machine, class State>
struct initial_is_no_state;  // using initial = otp::states<...>;  lists some of `states`
template <class Machine, class State>
struct initial_state_needs_init;  // `State` has no default value: add  static otp::init_result<Machine> init(...)
template <class Machine, class Event>
struct event_nobody_takes;  // no state has a public  on(State&, const Event&):  add one, or take it off `events`
template <class Machine, class State>
struct unreachable_state;  // no handler lists `State` among its targets: add a way there, or list it in `initial`
template <class Machine, class State>
struct target_is_no_state;  // a handler lists a target that is not one of `states`
template <class Machine, class State, class Event, class Result>
struct wrong_handler_result;  // a handler returns step<Reply, Targets...>, the reply, or nothing
template <class Machine, class State, class Result>
struct wrong_enter_result;  // enter returns nothing or step<void>: it cannot go elsewhere
template <class Machine>
struct wrong_enter;  // enter is public and takes a State& of one of `states`, and perhaps a const state_view&; for
                     // states that are values, a const state&
template <class State, class Machine>
struct not_an_initial_state {};  // start_in: list it in  using initial = otp::states<...>;
template <class Machine>
struct states_known_at_run_time;  // a machine of handle_event has no graph in its types

namespace detail {

// ---- what a machine says about itself ----------------------------------------------------------------------------

template <class Machine>
concept has_states = requires { typename Machine::states; };
template <class Machine>
concept run_time_states = !has_states<Machine> && requires { typename Machine::state; };

template <class Machine>
struct states_of {
  using type = void;
};
template <has_states Machine>
struct states_of<Machine> {
  using type = typename Machine::states;
};
template <run_time_states Machine>
struct states_of<Machine> {
  using type = states<typename Machine::state>;
};
template <class Machine>
using states_t = typename states_of<Machine>::type;
template <class Machine>
using events_t = typename Machine::events;

template <class List>
constexpr bool is_state_list = false;
template <class First, class... Rest>
constexpr bool is_state_list<states<First, Rest...>> = true;
template <class List>
struct first_state;
template <class First, class... Rest>
struct first_state<states<First, Rest...>> {
  using type = First;
};
template <class Machine>
struct initial_of {
  using type = states<typename first_state<states_t<Machine>>::type>;
};
template <class Machine>
  requires requires { typename Machine::initial; }
struct initial_of<Machine> {
  using type = typename Machine::initial;
};
template <class Machine>
using initial_t = typename initial_of<Machine>::type;

template <class List>
struct list_size;
template <template <class...> class List, class... Ts>
struct list_size<List<Ts...>> {
  static constexpr std::size_t value = sizeof...(Ts);
};
template <class T, class List>
constexpr bool in_list = false;
template <class T, template <class...> class List, class... Ts>
constexpr bool in_list<T, List<Ts...>> = (std::is_same_v<T, Ts> || ...);
template <class T, class... Ts>
constexpr bool appears_once = (std::size_t{std::is_same_v<T, Ts>} + ...) == 1;
template <class List>
constexpr bool distinct = false;
template <class... Ts>
constexpr bool distinct<states<Ts...>> = (appears_once<Ts, Ts...> && ...);
template <class T, class List>
struct place_in;
template <class T, template <class...> class List, class... Ts>
struct place_in<T, List<Ts...>> {
  static constexpr std::size_t find() {
    std::size_t at = 0, found = sizeof...(Ts);
    ((std::is_same_v<T, Ts> ? void(found = at++) : void(++at)), ...);
    return found;
  }
  static constexpr std::size_t value = find();
};

// ---- handlers ----------------------------------------------------------------------------------------------------

struct by_on {
  template <class Machine, class State, class... Given>
  static decltype(auto) call(Machine& m, State& s, Given&&... given)
    requires requires { m.on(s, std::forward<Given>(given)...); }
  {
    return m.on(s, std::forward<Given>(given)...);
  }
};
struct by_handle_event {  // only a transition changes a state
  template <class Machine, class State, class... Given>
  static decltype(auto) call(Machine& m, const State& s, Given&&... given)
    requires requires { m.handle_event(s, std::forward<Given>(given)...); }
  {
    return m.handle_event(s, std::forward<Given>(given)...);
  }
};
struct by_otherwise {
  template <class Machine, class State, class... Given>
  static decltype(auto) call(Machine& m, const State& s, Given&&... given)
    requires requires { m.otherwise(s, std::forward<Given>(given)...); }
  {
    return m.otherwise(s, std::forward<Given>(given)...);
  }
};
struct by_enter {
  template <class Machine, class State, class... Given>
  static decltype(auto) call(Machine& m, State& s, Given&&... given)
    requires requires { m.enter(s, std::forward<Given>(given)...); }
  {
    return m.enter(s, std::forward<Given>(given)...);
  }
};
struct by_terminate {
  template <class Machine, class State, class... Given>
  static decltype(auto) call(Machine& m, State& s, Given&&... given)
    requires requires { m.terminate(s, std::forward<Given>(given)...); }
  {
    return m.terminate(s, std::forward<Given>(given)...);
  }
};
template <class By, class Machine, class State, class... Given>
concept handles = requires { By::call(std::declval<Machine&>(), std::declval<State&>(), std::declval<Given>()...); };

struct handler_shape {
  enum class what : std::uint8_t { none, plain, type, from, from_type } form;
  bool moves;  // it takes the event over
};
template <class By, class Machine, class State, class Event, class Given>
constexpr handler_shape::what form_taking() {
  using from_t = from<typename reply_of<Event>::type>;
  if constexpr (handles<By, Machine, State, Given>)
    return handler_shape::what::plain;
  else if constexpr (handles<By, Machine, State, Given, const event_type&>)
    return handler_shape::what::type;
  else if constexpr (!reply_of<Event>::named)
    return handler_shape::what::none;
  else if constexpr (handles<By, Machine, State, Given, from_t>)
    return handler_shape::what::from;
  else if constexpr (handles<By, Machine, State, Given, from_t, const event_type&>)
    return handler_shape::what::from_type;
  else
    return handler_shape::what::none;
}
template <class By, class Machine, class State, class Event>
constexpr handler_shape shape_of() {
  constexpr auto looks = form_taking<By, Machine, State, Event, const Event&>();
  if constexpr (looks != handler_shape::what::none)
    return {looks, false};
  else
    return {form_taking<By, Machine, State, Event, Event&&>(), true};
}

template <class By, class Machine, class State, class Event>
struct handler {
  static constexpr handler_shape shape = shape_of<By, Machine, State, Event>();
  static constexpr bool exists = shape.form != handler_shape::what::none;
  static constexpr bool is_fallback = std::is_same_v<By, by_otherwise>;
  using given = std::conditional_t<shape.moves, Event&&, const Event&>;

  template <class MakeFrom>
  static decltype(auto) run(Machine& m, State& s, Event& e, MakeFrom&& make_from, const event_type& type) {
    if constexpr (shape.form == handler_shape::what::plain)
      return By::call(m, s, static_cast<given>(e));
    else if constexpr (shape.form == handler_shape::what::type)
      return By::call(m, s, static_cast<given>(e), type);
    else if constexpr (shape.form == handler_shape::what::from)
      return By::call(m, s, static_cast<given>(e), make_from());
    else
      return By::call(m, s, static_cast<given>(e), make_from(), type);
  }
};
template <class Handler, class Machine, class State, class Event>
constexpr auto find_result() {
  using maker = from<typename reply_of<Event>::type> (*)();
  if constexpr (!Handler::exists)
    return std::type_identity<void>();
  else
    return std::type_identity<std::remove_cvref_t<decltype(Handler::run(
        std::declval<Machine&>(), std::declval<State&>(), std::declval<Event&>(), std::declval<maker>(),
        std::declval<const event_type&>()))>>();
}

template <class Machine>
using own_handler = std::conditional_t<run_time_states<Machine>, by_handle_event, by_on>;
/// The handler of an event in a state: its own, or `otherwise`.
template <class Machine, class State, class Event>
using handler_in = std::conditional_t<handler<own_handler<Machine>, Machine, State, Event>::exists,
                                      handler<own_handler<Machine>, Machine, State, Event>,
                                      handler<by_otherwise, Machine, State, Event>>;

template <class Machine, class Event, class List>
constexpr bool taken_by_any = false;
template <class Machine, class Event, class... States>
constexpr bool taken_by_any<Machine, Event, states<States...>> =
    (handler<own_handler<Machine>, Machine, States, Event>::exists || ...);
template <class Machine, class State, class Event>
using handler_result_t =
    typename decltype(find_result<handler_in<Machine, State, Event>, Machine, State, Event>())::type;
/// Some state has a handler of its own for it.
template <class Machine, class Event>
concept state_takes = taken_by_any<Machine, Event, states_t<Machine>>;

template <class Machine, class Event, class List>
constexpr bool caught_by_any = false;
template <class Machine, class Event, class... States>
constexpr bool caught_by_any<Machine, Event, states<States...>> =
    (handler<by_otherwise, Machine, States, Event>::exists || ...);
struct event_of_nobody {};
/// What needs no listing reaches it: some state takes it, or `otherwise` does. An `otherwise` that takes events of any
/// type does not mean every message.
template <class Machine, class Event>
concept takes_unlisted =
    state_takes<Machine, Event> ||
    (caught_by_any<Machine, Event, states_t<Machine>> &&
     (!std::is_same_v<Event, message> || !caught_by_any<Machine, event_of_nobody, states_t<Machine>>));

template <class T>
constexpr bool is_step = false;
template <class Reply, class... Targets>
constexpr bool is_step<step<Reply, Targets...>> = true;
template <class Result>
struct targets_of {
  using type = states<>;
};
template <class Reply, class... Targets>
struct targets_of<step<Reply, Targets...>> {
  using type = states<Targets...>;
};

template <class State>
concept compared_state = requires(const State& a, const State& b) {
  { a == b } -> std::convertible_to<bool>;
};

// ---- the graph ---------------------------------------------------------------------------------------------------

template <class Machine, class... Targets>
constexpr auto judge_targets(states<Targets...>) {
  return first_problem(std::conditional_t<in_list<Targets, states_t<Machine>>, std::type_identity<fine>,
                                          std::type_identity<target_is_no_state<Machine, Targets>>>()...,
                       std::type_identity<fine>());
}
template <class Machine, class State, class Event, class Handler>
constexpr auto judge_result() {
  using result = handler_result_t<Machine, State, Event>;
  using wrong = std::type_identity<wrong_handler_result<Machine, State, Event, result>>;
  using reply = typename reply_of<Event>::type;
  if constexpr (!Handler::exists || std::is_void_v<result>) {
    return std::type_identity<fine>();
  } else if constexpr (is_step<result>) {
    if constexpr (!std::is_void_v<typename result::reply_type> && !std::is_same_v<typename result::reply_type, reply>)
      return wrong();
    else
      return judge_targets<Machine>(typename result::targets());
  } else if constexpr (says_more<result>) {
    return wrong();
  } else if constexpr (!reply_of<Event>::named) {
    if constexpr (Handler::is_fallback)
      return std::type_identity<fine>();
    else
      return wrong();
  } else if constexpr (std::is_convertible_v<result, reply_value<reply>>) {
    return std::type_identity<fine>();
  } else {
    return wrong();
  }
}
template <class Machine, class Event, class... States>
constexpr auto judge_handlers(states<States...>) {
  return first_problem(judge_result<Machine, States, Event, handler_in<Machine, States, Event>>()...,
                       std::type_identity<fine>());
}
template <class Machine, class Event>
constexpr auto judge_event() {
  using stored = std::decay_t<Event>;
  if constexpr (std::is_reference_v<typename reply_of<stored>::type>)
    return std::type_identity<reply_is_reference<Event>>();
  else if constexpr (!std::is_move_constructible_v<stored>)
    return std::type_identity<not_movable<Event>>();
  else if constexpr (!state_takes<Machine, Event>)
    return std::type_identity<event_nobody_takes<Machine, Event>>();
  else
    return judge_handlers<Machine, Event>(states_t<Machine>());
}
template <class Machine, class Event>
constexpr auto judge_unlisted() {
  if constexpr (takes_unlisted<Machine, Event>)
    return judge_handlers<Machine, Event>(states_t<Machine>());
  else
    return std::type_identity<fine>();
}
template <class Machine, class... Events>
constexpr auto judge_events(events<Events...>) {
  return first_problem(judge_event<Machine, Events>()..., judge_unlisted<Machine, down>(),
                       judge_unlisted<Machine, exit_signal>(), judge_unlisted<Machine, timer_expired>(),
                       judge_unlisted<Machine, timer_cancelled>(), judge_unlisted<Machine, duration>(),
                       judge_unlisted<Machine, message>());
}

/// What the runtime sends, and a timeout's own time: need no listing.
using standard_events = events<down, exit_signal, timer_expired, timer_cancelled, duration>;

/// Whether some handler of `State`, for any event, leads to each state.
template <class Machine, class... States>
struct graph_rows {
  static constexpr std::size_t size = sizeof...(States);
  using row = std::array<bool, size>;
  template <class State, class Event>
  static constexpr void add(row& to) {
    add_targets(to, typename targets_of<handler_result_t<Machine, State, Event>>::type());
  }
  template <class... Targets>
  static constexpr void add_targets(row& to, states<Targets...>) {
    ((to[place_in<Targets, states<States...>>::value] = true), ...);
  }
  template <class State, class... Events>
  static constexpr row row_of(events<Events...>) {
    row to{};
    (add<State, Events>(to), ...);
    add<State, down>(to);
    add<State, exit_signal>(to);
    add<State, timer_expired>(to);
    add<State, timer_cancelled>(to);
    add<State, duration>(to);
    add<State, message>(to);
    return to;
  }
  static constexpr row reachable() {
    const std::array<row, size> rows{row_of<States>(events_t<Machine>())...};
    row found{in_list<States, initial_t<Machine>>...};
    for (bool more = true; more;) {
      more = false;
      for (std::size_t from = 0; from < size; ++from)
        for (std::size_t to = 0; found[from] && to < size; ++to)
          if (rows[from][to] && !found[to]) found[to] = more = true;
    }
    return found;
  }
};
template <class Machine, class... States>
constexpr auto judge_reach(states<States...>) {
  constexpr auto found = graph_rows<Machine, States...>::reachable();
  return first_problem(std::conditional_t<found[place_in<States, states<States...>>::value], std::type_identity<fine>,
                                          std::type_identity<unreachable_state<Machine, States>>>()...,
                       std::type_identity<fine>());
}

template <class Machine, class State>
constexpr bool enters = handles<by_enter, Machine, State, const state_view&> || handles<by_enter, Machine, State>;
template <class Machine, class State>
using entered_t = std::conditional_t<run_time_states<Machine>, const State, State>;
template <class Machine, class State>
constexpr auto find_enter_result() {
  using s = entered_t<Machine, State>;
  if constexpr (handles<by_enter, Machine, s, const state_view&>)
    return std::type_identity<decltype(by_enter::call(std::declval<Machine&>(), std::declval<s&>(),
                                                      std::declval<const state_view&>()))>();
  else if constexpr (handles<by_enter, Machine, s>)
    return std::type_identity<decltype(by_enter::call(std::declval<Machine&>(), std::declval<s&>()))>();
  else
    return std::type_identity<void>();
}
template <class Machine, class State>
using enter_result_t = typename decltype(find_enter_result<Machine, State>())::type;
template <class Machine, class State>
constexpr auto judge_enter() {
  using result = enter_result_t<Machine, State>;
  if constexpr (std::is_void_v<result> || std::is_same_v<result, step<void>> ||
                std::is_same_v<result, step<void, State>>)
    return std::type_identity<fine>();
  else
    return std::type_identity<wrong_enter_result<Machine, State, result>>();
}
template <class Machine, class State>
constexpr auto judge_state() {
  if constexpr (!std::is_object_v<State> || !std::is_move_constructible_v<State> || std::is_const_v<State>)
    return std::type_identity<wrong_state<Machine, State>>();
  else if constexpr (run_time_states<Machine> && !compared_state<State>)
    return std::type_identity<state_needs_equality<Machine, State>>();
  else
    return judge_enter<Machine, State>();
}
template <class Machine, class... States>
constexpr auto judge_states(states<States...>) {
  return first_problem(judge_state<Machine, States>()..., std::type_identity<fine>());
}
template <class Machine, class... Initial>
constexpr auto judge_initial(states<Initial...>) {
  return first_problem(std::conditional_t<in_list<Initial, states_t<Machine>>, std::type_identity<fine>,
                                          std::type_identity<initial_is_no_state<Machine, Initial>>>()...,
                       std::type_identity<fine>());
}

template <class Machine, class... States>
constexpr bool any_terminate(states<States...>) {
  return (handles<by_terminate, Machine, States, const exit_reason&> || ...);
}
template <class Machine>
concept terminates_by_state = any_terminate<Machine>(states_t<Machine>());
template <class Machine, class... States>
constexpr bool any_enter(states<States...>) {
  return (enters<Machine, entered_t<Machine, States>> || ...);
}
struct other_enter {
  int enter;
};
template <class Machine>
constexpr bool names_enter() {
  if constexpr (std::is_final_v<Machine>)
    return requires { &Machine::enter; };
  else
    return !requires { &both<Machine, other_enter>::enter; };
}

template <class Machine>
constexpr auto judge_rest() {
  if constexpr (!is_state_list<initial_t<Machine>>)
    return std::type_identity<initial_is_no_state<Machine, initial_t<Machine>>>();
  else if constexpr (!has_terminate<Machine> && !terminates_by_state<Machine> && names_terminate<Machine>())
    return std::type_identity<wrong_terminate<Machine>>();
  else if constexpr (!any_enter<Machine>(states_t<Machine>()) && names_enter<Machine>())
    return std::type_identity<wrong_enter<Machine>>();
  else if constexpr (!has_format_status<Machine> && names_format_status<Machine>())
    return std::type_identity<wrong_format_status<Machine>>();
  else
    return first_problem(judge_initial<Machine>(initial_t<Machine>()), judge_states<Machine>(states_t<Machine>()),
                         judge_events<Machine>(events_t<Machine>()));
}
template <class Machine>
constexpr auto judge_machine() {
  if constexpr (!std::is_class_v<Machine>) {
    return std::type_identity<not_a_struct<Machine>>();
  } else if constexpr (!state_machine<Machine>) {
    return std::type_identity<wrong_events<Machine>>();
  } else if constexpr (!is_state_list<states_t<Machine>>) {
    return std::type_identity<wrong_states<Machine>>();
  } else if constexpr (!distinct<states_t<Machine>>) {
    return std::type_identity<wrong_states<Machine>>();
  } else {
    using rest = decltype(judge_rest<Machine>());
    if constexpr (!std::is_same_v<rest, std::type_identity<fine>>)
      return rest();
    else
      return judge_reach<Machine>(states_t<Machine>());
  }
}
template <class Machine>
using machine_problem = typename decltype(judge_machine<Machine>())::type;
/// A struct whose handlers fit what it says about itself, and whose graph has no faults.
template <class Machine>
concept well_formed_machine = std::is_same_v<machine_problem<Machine>, fine>;

template <class Machine, class... Args>
constexpr auto judge_machine_init() {
  using first = typename first_state<initial_t<Machine>>::type;
  if constexpr (has_static_init<Machine, Args...>) {
    using result = decltype(Machine::init(std::declval<Args>()...));
    if constexpr (std::is_convertible_v<result, init_result<Machine>>)
      return std::type_identity<fine>();
    else
      return std::type_identity<wrong_init_result<Machine, result>>();
  } else if constexpr (!made_from<Machine, Args...> || names_static_init<Machine>) {
    return std::type_identity<missing_init<Machine, Args...>>();
  } else if constexpr (!std::is_default_constructible_v<first>) {
    return std::type_identity<initial_state_needs_init<Machine, first>>();
  } else {
    return std::type_identity<fine>();
  }
}
template <class Machine, class... Given>
constexpr auto judge_machine_start() {
  using machine = std::type_identity<machine_problem<Machine>>;
  if constexpr (!std::is_same_v<machine, std::type_identity<fine>>)
    return machine();
  else
    return first_problem(judge_storing<std::decay_t<Given>, Given>()...,
                         judge_machine_init<Machine, std::decay_t<Given>...>());
}
template <class Machine, class... Given>
using machine_start_problem = typename decltype(judge_machine_start<Machine, Given...>())::type;
template <class Machine, class... Given>
concept machine_started_with = std::is_same_v<machine_start_problem<Machine, Given...>, fine>;

// ---- calls, casts and sends: what call.hpp asks about machines -----------------------------------------------------

template <class Machine, class Event>
constexpr auto judge_machine_call() {
  if constexpr (!in_list<Event, events_t<Machine>>)
    return std::type_identity<unknown_event<Machine, Event>>();
  else if constexpr (!reply_of<Event>::named)
    return std::type_identity<missing_reply<Event>>();
  else if constexpr (std::is_reference_v<typename reply_of<Event>::type>)
    return std::type_identity<reply_is_reference<Event>>();
  else if constexpr (!std::is_move_constructible_v<reply_value<typename reply_of<Event>::type>>)
    return std::type_identity<not_movable<typename reply_of<Event>::type>>();
  else
    return std::type_identity<fine>();
}
template <class Machine, class Event>
constexpr auto judge_machine_cast() {
  if constexpr (!in_list<Event, events_t<Machine>>)
    return std::type_identity<unknown_event<Machine, Event>>();
  else if constexpr (reply_of<Event>::named)
    return std::type_identity<event_wants_a_call<Machine, Event>>();
  else
    return std::type_identity<fine>();
}
template <class Machine, class Event>
constexpr auto judge_machine_send() {
  if constexpr (in_list<Event, standard_events> || takes_unlisted<Machine, message>)
    return std::type_identity<fine>();
  else
    return judge_machine_cast<Machine, Event>();
}

// ---- the object --------------------------------------------------------------------------------------------------

template <class List>
struct state_variant;
template <class... States>
struct state_variant<states<States...>> {
  using type = std::variant<States...>;
};

}  // namespace detail

/// A machine's struct and its state, as sys::get_state and replace_state see them.
template <class Machine>
struct machine_state {
  Machine data;
  typename detail::state_variant<detail::states_t<Machine>>::type state;  ///< a std::variant of the states
};

namespace detail {

/// What a machine's process owns: the user's struct and the state.
template <class Machine>
struct machine_box : machine_state<Machine> {
  using variant = typename state_variant<states_t<Machine>>::type;

  template <class... Args>
  explicit machine_box(variant&& start, Args&&... args)
      : machine_state<Machine>{make(std::forward<Args>(args)...), std::move(start)} {}

  template <class... Args>
  static Machine make(Args&&... args) {
    if constexpr (std::is_constructible_v<Machine, Args...>)
      return Machine(std::forward<Args>(args)...);
    else
      return Machine{std::forward<Args>(args)...};
  }
  static state_view look(const variant& v) {
    if (v.valueless_by_exception()) return {};
    return std::visit([]<class State>(const State& s) { return state_view(&s, &record_of<State>); }, v);
  }

  std::optional<variant> previous;  // while an enter call runs
  std::unique_ptr<step_extras> first;
};

template <state_machine Machine>
struct inspected<Machine> {
  using state = machine_state<Machine>;
  static state& of(void* object) { return *static_cast<machine_box<Machine>*>(object); }
  static void replaced(void*) {}
};

/// Who waits for the reply to an event, if anybody does.
template <class Machine, class Event>
struct event_caller {
  call_envelope<Machine, Event>* call = nullptr;
  inserted_call<Event>* inserted = nullptr;
  using reply = typename reply_of<Event>::type;

  from<reply> make_from() const {
    if (call) {
      clear_edge(*call);  // the caller waits for whoever holds the `from`, not for this handler
      return from<reply>(call);
    }
    if (inserted) return inserted->lend();
    return {};
  }
  template <class Value>
  void answer(machine_turn& t, Value&& value) const {
    if (call) {
      if (t.request && t.asked.extras && t.asked.extras->postpone) {
        call->references.fetch_add(1, std::memory_order_relaxed);  // the event outlives its answer
        t.kept = true;
      }
      t.template answer<true>(call, std::forward<Value>(value));
    } else if (inserted) {
      from<reply> to = inserted->lend();
      if constexpr (std::is_void_v<reply>)
        to.reply();
      else
        to.reply(std::forward<Value>(value));
    }
  }
};
template <class Machine, class Event>
  requires(!reply_of<Event>::named)
struct event_caller<Machine, Event> {
  from<void> make_from() const { return {}; }
  template <class Value>
  void answer(machine_turn&, Value&&) const {}
};

exit_reason no_such_handler(std::string_view machine, std::string_view handler, std::string_view state,
                            std::string_view event);

template <class Machine, class State>
void move_to(machine_box<Machine>& box, State&& to, machine_turn& t) {
  using state = std::decay_t<State>;
  if (state* now = std::get_if<state>(&box.state)) {
    if constexpr (compared_state<state>)
      t.changed = !(*now == to);
    else
      t.changed = false;
  } else {
    t.changed = true;
  }
  if constexpr (any_enter<Machine>(states_t<Machine>()))
    if (t.changed) box.previous.emplace(std::move(box.state));
  box.state.template emplace<state>(std::forward<State>(to));
}

/// What a handler returns, or throws instead, as in OTP: it may come from deep down.
template <class Step, class Handler>
Step step_of(Handler& handler) {
  try {
    return handler();
  } catch (Step& thrown) {
    return std::move(thrown);
  } catch (any_transition& thrown) {
    return Step(thrown);
  } catch (stop_reply_step<reply_value<typename Step::reply_type>>& thrown) {
    return std::move(thrown);
  }
}

// What a step asks for is done as far as only templates can: the reply, the new state. That is the new one even if one
// of the actions is refused: it is the one to terminate in.
template <class Machine, class Caller, class Reply, class... Targets>
void apply_step(machine_turn& t, machine_box<Machine>& box, const Caller& caller, step<Reply, Targets...>&& given) {
  t.asked = std::move(given.asked);
  const bool moves = t.asked.action == machine_step::what::next;
  struct own_reply {
    machine_turn& turn;
    const Caller& who;
    step<Reply, Targets...>& from_step;
    static void send(void* self) {
      auto& own = *static_cast<own_reply*>(self);
      if (own.from_step.value) own.who.answer(own.turn, std::move(*own.from_step.value));
    }
  } own{t, caller, given};
  if (t.asked.extras)
    t.machine.begin_actions(t, &own_reply::send, &own);
  else
    own_reply::send(&own);
  if constexpr (sizeof...(Targets) > 0) {
    if (!moves) return;
    std::visit(
        [&]<class State>(State& to) {
          if constexpr (!std::is_same_v<State, std::monostate>) move_to<Machine>(box, std::move(to), t);
        },
        given.target);
  }
}

template <class Machine, std::size_t At, class Event, class Caller>
void run_in_state(machine_turn& t, machine_box<Machine>& box, Event& event, const Caller& caller) {
  auto& state = *std::get_if<At>(&box.state);
  using state_t = std::remove_reference_t<decltype(state)>;
  using found = handler_in<Machine, state_t, Event>;
  if constexpr (!found::exists) {
    t.asked.action = machine_step::what::stop;
    t.asked.reason = no_such_handler(type_name<Machine>, run_time_states<Machine> ? "handle_event" : "on",
                                     type_name<state_t>, type_name<Event>);
  } else {
    t.moved = found::shape.moves;
    auto run = [&]() -> decltype(auto) {
      return found::run(box.data, state, event, [&] { return caller.make_from(); }, t.event);
    };
    using result = handler_result_t<Machine, state_t, Event>;
    if constexpr (std::is_void_v<result>) {
      run();
    } else if constexpr (is_step<result>) {
      apply_step<Machine>(t, box, caller, step_of<result>(run));
    } else if constexpr (reply_of<Event>::named) {
      caller.answer(t, run());
    } else {
      static_cast<void>(run());
    }
  }
}

template <class Machine, class Event, class Caller>
void run_event(turn& t, void* server, Event& event, const Caller& caller) {
  auto& box = *static_cast<machine_box<Machine>*>(server);
  auto& mine = static_cast<machine_turn&>(t);
  [&]<std::size_t... At>(std::index_sequence<At...>) {
    static_cast<void>(
        ((box.state.index() == At && (run_in_state<Machine, At>(mine, box, event, caller), true)) || ...));
  }(std::make_index_sequence<list_size<states_t<Machine>>::value>());
}

template <class Machine, class Event>
void run_machine_call(turn& t, void* server, envelope* e) {
  auto* r = static_cast<call_envelope<Machine, Event>*>(e);
  run_event<Machine>(t, server, r->request, event_caller<Machine, Event>{.call = r});
}
template <class Machine, class Event>
void run_machine_cast(turn& t, void* server, envelope* e) {
  auto* typed = static_cast<cast_envelope<Machine, Event, &run_cast<Machine, Event>>*>(e);
  run_event<Machine>(t, server, typed->value, event_caller<Machine, Event>{});
}
template <class Machine, class Event>
void run_machine_event(turn& t, void* server, envelope* e) {
  auto* typed = static_cast<value_envelope<Event>*>(e);
  run_event<Machine>(t, server, typed->value, event_caller<Machine, Event>{});
}
template <class Machine, class Event>
void run_inserted_call(turn& t, void* server, envelope* e) {
  auto* typed = static_cast<inserted_call<Event>*>(e);
  run_event<Machine>(t, server, typed->value, event_caller<Machine, Event>{.inserted = typed});
}
template <class Machine>
void run_machine_message(turn& t, void* server, envelope* e) {
  // Lent, unless the handler takes it over; it may leave another in its place.
  struct lent {
    lent(machine_turn& turn, envelope* l) : whose(turn), first(l), value(l) {}
    ~lent() noexcept(false) {
      if (value.envelope() == first)
        value.release();
      else
        whose.gone = true;
    }
    machine_turn& whose;
    envelope* first;
    message value;
  } m(static_cast<machine_turn&>(t), e);
  run_event<Machine>(t, server, m.value, event_caller<Machine, message>{});
}

template <class Machine, class State>
void run_enter_of(machine_turn& t, machine_box<Machine>& box, State& own, const state_view& previous) {
  using state = entered_t<Machine, State>;
  state& s = own;
  using result = enter_result_t<Machine, State>;
  auto run = [&]() -> result {
    if constexpr (handles<by_enter, Machine, state, const state_view&>)
      return by_enter::call(box.data, s, previous);
    else if constexpr (handles<by_enter, Machine, state>)
      return by_enter::call(box.data, s);
  };
  if constexpr (std::is_void_v<result>) {
    run();
  } else {
    result given = step_of<result>(run);
    t.asked = std::move(given.asked);
    if (t.asked.extras) t.machine.begin_actions(t, nullptr, nullptr);
    if (t.asked.action != machine_step::what::next) return;
    if constexpr (std::is_same_v<result, step<void, State>>) {
      State& to = *std::get_if<State>(&given.target);
      t.asked.action = machine_step::what::keep;
      if constexpr (compared_state<State>) {
        if (!(own == to)) return enter_went_elsewhere(t, text_of(to));
      }
      box.state.template emplace<State>(std::move(to));
    }
  }
}
template <class Machine>
void run_machine_enter(machine_turn& t, void* machine, bool again) {
  auto& box = *static_cast<machine_box<Machine>*>(machine);
  state_view previous = machine_box<Machine>::look(again || !box.previous ? box.state : *box.previous);
  std::visit([&]<class State>(State& s) { run_enter_of<Machine, State>(t, box, s, previous); }, box.state);
}

// ---- the type record ---------------------------------------------------------------------------------------------

template <class Machine, class List>
struct event_table;
template <class Machine, class... Events>
struct event_table<Machine, events<Events...>> {
  template <class Event>
  static constexpr bool standard = takes_unlisted<Machine, Event> && !(std::is_same_v<Event, Events> || ...);
  static constexpr std::size_t count = sizeof...(Events) + (reply_of<Events>::named + ... + 0) + standard<down> +
                                       standard<exit_signal> + standard<timer_expired> + standard<timer_cancelled> +
                                       standard<duration>;
  struct table {
    info_entry entries[count + 1];
  };
  static constexpr table make() {
    table t{};
    std::size_t at = 0;
    auto add = [&]<class Event>(std::type_identity<Event>) {
      t.entries[at++] = {&value_envelope<Event>::type_of, &run_machine_event<Machine, Event>};
      if constexpr (reply_of<Event>::named)
        t.entries[at++] = {&inserted_call<Event>::type_of, &run_inserted_call<Machine, Event>};
    };
    (add(std::type_identity<Events>{}), ...);
    auto add_standard = [&]<class Event>(std::type_identity<Event> which) {
      if constexpr (standard<Event>) add(which);
    };
    add_standard(std::type_identity<down>{});
    add_standard(std::type_identity<exit_signal>{});
    add_standard(std::type_identity<timer_expired>{});
    add_standard(std::type_identity<timer_cancelled>{});
    add_standard(std::type_identity<duration>{});
    return t;
  }
  static constexpr table value = make();
};

template <class Machine>
void terminate_machine(void* machine, const exit_reason& why) {
  auto& box = *static_cast<machine_box<Machine>*>(machine);
  bool by_state = false;
  if constexpr (terminates_by_state<Machine>) {
    if (!box.state.valueless_by_exception()) {
      std::visit(
          [&]<class State>(State& s) {
            if constexpr (handles<by_terminate, Machine, State, const exit_reason&>) {
              by_state = true;
              by_terminate::call(box.data, s, why);
            }
          },
          box.state);
    }
  }
  if constexpr (has_terminate<Machine>) {
    if (!by_state) box.data.terminate(why);
  }
}

template <class Machine>
inline const machine_type machine_type_record{
    server_type{
        .name = type_name<Machine>,
        .infos = event_table<Machine, events_t<Machine>>::value.entries,
        .info_count = event_table<Machine, events_t<Machine>>::count,
        .continues = nullptr,
        .continue_count = 0,
        .any_info = []() -> runner {
          if constexpr (takes_unlisted<Machine, message>)
            return &run_machine_message<Machine>;
          else
            return nullptr;
        }(),
        .terminate = []() -> void (*)(void*, const exit_reason&) {
          if constexpr (has_terminate<Machine> || terminates_by_state<Machine>)
            return &terminate_machine<Machine>;
          else
            return nullptr;
        }(),
        .state =
            [](const void* m) {
              return machine_box<Machine>::look(static_cast<const machine_box<Machine>*>(m)->state).to_string();
            },
        .format_status = []() -> void (*)(void*, server_status&) {
          if constexpr (has_format_status<Machine>)
            return [](void* m, server_status& status) {
              static_cast<machine_box<Machine>*>(m)->data.format_status(status);
            };
          else
            return nullptr;
        }(),
    },
    []() -> void (*)(machine_turn&, void*, bool) {
      if constexpr (any_enter<Machine>(states_t<Machine>()))
        return &run_machine_enter<Machine>;
      else
        return nullptr;
    }(),
    [](void* m) { static_cast<machine_box<Machine>*>(m)->previous.reset(); },
    [](const void* m) { return machine_box<Machine>::look(static_cast<const machine_box<Machine>*>(m)->state); },
    [](const void* m) { return text_of(static_cast<const machine_box<Machine>*>(m)->data); },
    [](void* m) { return std::move(static_cast<machine_box<Machine>*>(m)->first); },
    run_time_states<Machine>,
};

// ---- starting ----------------------------------------------------------------------------------------------------

template <state_machine Machine>
struct server_traits<Machine> {
  using core = machine_core;
  using object = machine_box<Machine>;
  static const machine_type& type() noexcept { return machine_type_record<Machine>; }
  template <class... Args>
  static void make(void* where, Args&&... args) {
    using first = typename first_state<initial_t<Machine>>::type;
    ::new (where) object(typename object::variant(std::in_place_type<first>), std::forward<Args>(args)...);
  }
};

/// Makes the machine that a static init has described.
template <class Machine>
struct machine_maker {
  virtual ~machine_maker() = default;
  virtual void make(void* where) = 0;
};
template <class Machine, class State, class... Args>
struct typed_machine_maker final : machine_maker<Machine> {
  explicit typed_machine_maker(start_step<State, Args...>&& s) : start(std::move(s)) {}
  void make(void* where) override {
    using box = machine_box<Machine>;
    std::apply(
        [&](Args&... args) {
          auto* made = ::new (where)
              box(typename box::variant(std::in_place_type<State>, std::move(start.state)), std::move(args)...);
          made->first = std::move(start.step.extras);
        },
        start.arguments);
  }
  start_step<State, Args...> start;
};

template <class Machine, class... Args>
result<server<Machine>> start_machine(start_options options, bool link, Args&&... args) {
  check_options(options);
  options.spawn.link = link;
  auto done = start_server<Machine>(options, std::forward<Args>(args)...);
  if (!done) return std::unexpected(std::move(done.error()));
  return server<Machine>(done->process);
}

/// Around data and state that exist already, for enter_loop.
template <class Machine>
class entered_machine final : public machine_core {
 public:
  template <class State>
  entered_machine(Machine&& data, start_step<State>&& first, const start_options& options)
      : machine_core(machine_type_record<Machine>, options, nullptr),
        box_(typename machine_box<Machine>::variant(std::in_place_type<State>, std::move(first.state)),
             std::move(data)) {
    box_.first = std::move(first.step.extras);
  }

 private:
  init_step init() override { return {}; }
  void* server() noexcept override { return &box_; }
  machine_box<Machine> box_;
};

template <class Machine, class State>
[[noreturn]] void enter_machine_loop(Machine data, start_step<State> first, start_options options) {
  check_entering(options);
  entered_machine<Machine> body(std::move(data), std::move(first), options);
  body.loop();
}

// ---- diagrams ----------------------------------------------------------------------------------------------------

template <class Machine>
constexpr auto judge_graph() {
  using machine = std::type_identity<machine_problem<Machine>>;
  if constexpr (!std::is_same_v<machine, std::type_identity<fine>>)
    return machine();
  else if constexpr (run_time_states<Machine>)
    return std::type_identity<states_known_at_run_time<Machine>>();
  else
    return std::type_identity<fine>();
}
template <class Machine>
using graph_problem = typename decltype(judge_graph<Machine>())::type;
template <class Machine>
concept has_graph = std::is_same_v<graph_problem<Machine>, fine>;

std::string current_state_type(std::optional<pid> machine, duration timeout);

template <class Machine, class... States>
struct diagram_maker {
  std::vector<diagram_state> all_states;
  std::vector<diagram_edge> edges;
  template <class State, class Event, class... Targets>
  void add_targets(states<Targets...>) {
    using list = states<States...>;
    (edges.push_back({place_in<State, list>::value, place_in<Targets, list>::value, type_name<Event>}), ...);
  }
  template <class State, class... Events>
  void add_state(events<Events...>) {
    all_states.push_back({type_name<State>, in_list<State, initial_t<Machine>>});
    (add_event<State, Events>(), ...);
    add_event<State, down>();
    add_event<State, exit_signal>();
    add_event<State, timer_expired>();
    add_event<State, timer_cancelled>();
    add_event<State, duration>();
    add_event<State, message>();
  }
  template <class State, class Event>
  void add_event() {
    add_targets<State, Event>(typename targets_of<handler_result_t<Machine, State, Event>>::type());
  }
};
template <class Machine, class... States>
std::string draw_machine(states<States...>, std::string_view current) {
  diagram_maker<Machine, States...> made;
  (made.template add_state<States>(events_t<Machine>()), ...);
  return draw_diagram(type_name<Machine>, made.all_states, made.edges, current);
}
template <class Machine>
std::string diagram_of(std::string_view current) {
  return draw_machine<Machine>(states_t<Machine>(), current);
}

}  // namespace detail

/// What a machine's static init returns: start_in(state, args...), or why there is no machine.
template <detail::state_machine Machine>
class init_result<Machine> {
  template <class State>
  static constexpr bool initial = detail::in_list<State, detail::initial_t<Machine>>;

 public:
  template <class State, class... Args>
    requires(initial<State> && detail::made_from<Machine, Args...>)
  init_result(detail::start_step<State, Args...> start)
      : maker_(new detail::typed_machine_maker<Machine, State, Args...>(std::move(start))) {}
  template <class State, class... Args>
    requires(!initial<State>)
  init_result(const detail::start_step<State, Args...>&, not_an_initial_state<State, Machine> = {}) = delete;
  init_result(detail::init_refusal no) {
    init_.outcome = no.outcome;
    init_.step.reason = std::move(no.reason);
  }
  init_result(detail::stop_step s) {
    init_.outcome = detail::init_step::what::stop;
    init_.step.reason = std::move(s.step.reason);
  }
  detail::init_step take(void* where) {
    if (maker_) maker_->make(where);
    return std::move(init_);
  }

 private:
  std::unique_ptr<detail::machine_maker<Machine>> maker_;
  detail::init_step init_;
};

}  // namespace otp
