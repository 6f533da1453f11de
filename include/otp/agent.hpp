// An agent: a process that owns one value and runs the functions that others send it.
//
// Shape   callers --function--> one process holding a `State`; served one at a time, in order. Functions are moved to
//         the agent: they may outlive a caller who gives up waiting. An agent is a gen_server of type
//         otp::agent<State>, so names, casts, stop, sys and supervisors take it as any. snapshot() reads a published,
//         immutable copy of the state instead, without the agent.
// Units   waits are otp::duration; the default is otp::call_timeout (5 s).
// Errors  starting returns the reason: already_started, timeout, or what `init` threw. A call to a dead or late agent
//         exits the caller, as otp::call does. A function that throws ends the agent with that reason, and its caller
//         exits with it.
// Source  Elixir's Agent. Differs: a function may change the state in place, and one that only reads gets it const;
//         snapshots; otp::mfa(f, args...) for the forms with module, function and arguments.
#pragma once
#include <otp/child_spec.hpp>
#include <otp/detail/snapshot.hpp>
#include <otp/mfa.hpp>

namespace otp {

template <class State>
class agent;

// What the compiler names in its first error when a function does not fit the agent it is sent to.
template <class Address>
struct not_an_agent;  // functions go to an otp::server<otp::agent<State>>, or a name of one
template <class State, class F>
struct not_a_reader;  // get takes Result(const State&): a function that only reads, and returns a value
template <class State, class F>
struct not_a_change;  // update and cast take void(State&), which changes the state, or State(const State&), a new one
template <class State, class F>
struct not_a_reader_and_change;  // get_and_update takes Result(State&), which changes the state, or
                                 // std::pair<Result, State>(const State&)
template <class State, class F>
struct updates_nothing;  // the function of get_and_update gets the state as const, or a copy of it, and returns no
                         // std::pair<Result, State>: take State& and change it, return the pair, or use get
template <class State>
struct snapshot_needs_copy;  // a snapshot is a copy of the state: give `State` a copy constructor
template <class State>
struct not_an_agent_state;  // an agent's state is a movable value: no reference, pointer or array
template <class State, class Init>
struct not_an_init;  // an agent starts from a function without arguments that returns its State

namespace detail {

template <class State>
concept agent_state = std::is_object_v<State> && std::movable<State> && !std::is_pointer_v<State>;

template <class F, class State>
concept agent_init = std::invocable<F&> && std::convertible_to<std::invoke_result_t<F&>, State>;

// `F` is kept by value and called as an lvalue, in the agent.
template <class F, class State>
concept agent_reader = std::invocable<F&, const State&>;

template <class F, class State>
concept changes_in_place = std::invocable<F&, State&> && std::is_void_v<std::invoke_result_t<F&, State&>>;
template <class F, class State>
concept makes_state = std::invocable<F&, State&> && !std::is_void_v<std::invoke_result_t<F&, State&>> &&
                      std::convertible_to<std::invoke_result_t<F&, State&>, State>;
template <class F, class State>
concept agent_change = changes_in_place<F, State> || makes_state<F, State>;

template <class R, class State>
inline constexpr bool is_reply_and_state = false;
template <class R, class S, class State>
inline constexpr bool is_reply_and_state<std::pair<R, S>, State> = std::is_convertible_v<S, State>;
/// {Reply, NewState}, from a function that cannot change the state that it is given.
template <class F, class State>
constexpr bool returns_both() {
  if constexpr (is_reply_and_state<std::decay_t<std::invoke_result_t<F&, State&>>, State>)
    return std::invocable<F&, const State&>;
  else
    return false;
}
/// The parameter of a function that has one and is no template.
template <class F>
struct only_parameter {
  using type = void;
};
template <class R, class A>
struct only_parameter<R (*)(A)> {
  using type = A;
};
template <class R, class A>
struct only_parameter<R (*)(A) noexcept> : only_parameter<R (*)(A)> {};
template <class R, class C>
struct only_parameter<R (C::*)() const> {
  using type = const C&;
};
template <class R, class C, class A>
struct only_parameter<R (C::*)(A)> : only_parameter<R (*)(A)> {};
template <class R, class C, class A>
struct only_parameter<R (C::*)(A) const> : only_parameter<R (*)(A)> {};
template <class R, class C, class A>
struct only_parameter<R (C::*)(A) noexcept> : only_parameter<R (*)(A)> {};
template <class R, class C, class A>
struct only_parameter<R (C::*)(A) const noexcept> : only_parameter<R (*)(A)> {};
template <class F>
  requires requires { &F::operator(); }
struct only_parameter<F> : only_parameter<decltype(&F::operator())> {};
/// It cannot change the state that it is given; one that calls itself with `auto&` could.
template <class F, class State>
constexpr bool gets_const_or_copy() {
  using parameter = typename only_parameter<F>::type;
  return std::is_same_v<parameter, const State&> || std::is_same_v<parameter, State>;
}

template <class F, class State>
concept agent_reader_and_change = std::invocable<F&, State&> && !std::is_void_v<std::invoke_result_t<F&, State&>> &&
                                  (returns_both<F, State>() || !gets_const_or_copy<F, State>());
template <class F, class State>
constexpr auto judge_get_and_update() {
  if constexpr (std::invocable<F&, State&>)
    if constexpr (!std::is_void_v<std::invoke_result_t<F&, State&>>)
      return std::type_identity<updates_nothing<State, F>>();
    else
      return std::type_identity<not_a_reader_and_change<State, F>>();
  else
    return std::type_identity<not_a_reader_and_change<State, F>>();
}

template <class F, class State>
constexpr auto get_and_update_reply() {
  using returned = std::decay_t<std::invoke_result_t<F&, State&>>;
  if constexpr (returns_both<F, State>())
    return std::type_identity<typename returned::first_type>();
  else
    return std::type_identity<returned>();
}

template <class State, class F>
void change(State& state, F& function) {
  if constexpr (changes_in_place<F, State>)
    invoke_with(function, state);
  else
    state = invoke_with(function, state);
}

// The requests: a function each, and the type of its answer.
template <class State, class F>
struct agent_get {
  using reply = std::decay_t<std::invoke_result_t<F&, const State&>>;
  F function;
};
template <class State, class F>
struct agent_update {
  using reply = void;
  F function;
};
template <class State, class F>
struct agent_get_and_update {
  using reply = typename decltype(get_and_update_reply<F, State>())::type;
  F function;
};
/// From now on changes are published.
struct agent_publish {
  using reply = void;
};

/// An agent is what a store for a value should be.
template <class State>
inline constexpr bool watched_for_values<agent<State>> = false;

template <class Server>
struct agent_state_of {};
template <class State>
struct agent_state_of<agent<State>> {
  using type = State;
};
template <class Address>
concept agent_address = server_address<Address> && requires { typename agent_state_of<server_at<Address>>::type; };
template <class Address>
using state_at = typename agent_state_of<server_at<Address>>::type;

}  // namespace detail

/// The server of an agent. Used as `otp::name<otp::agent<settings>>`, and to start one.
template <class State>
class agent {
 public:
  /// Starts an agent linked to the caller; returns when `init()` has, in the new process, with its value as state.
  template <class Init>
    requires detail::agent_state<State> && detail::agent_init<std::decay_t<Init>, State>
  [[nodiscard]] static result<server<agent>> start_link(Init&& init, start_options options = {}) {
    return gen_server::start_link<agent>(named_after<Init>(std::move(options)), std::forward<Init>(init));
  }
  /// The same without a link.
  template <class Init>
    requires detail::agent_state<State> && detail::agent_init<std::decay_t<Init>, State>
  [[nodiscard]] static result<server<agent>> start(Init&& init, start_options options = {}) {
    return gen_server::start<agent>(named_after<Init>(std::move(options)), std::forward<Init>(init));
  }
  template <class Init>
    requires(!(detail::agent_state<State> && detail::agent_init<std::decay_t<Init>, State>))
  static std::conditional_t<detail::agent_state<State>, not_an_init<State, std::decay_t<Init>>,
                            not_an_agent_state<State>>
  start_link(Init&&, start_options = {});
  template <class Init>
    requires(!(detail::agent_state<State> && detail::agent_init<std::decay_t<Init>, State>))
  static std::conditional_t<detail::agent_state<State>, not_an_init<State, std::decay_t<Init>>,
                            not_an_agent_state<State>>
  start(Init&&, start_options = {});
  /// Ends an agent, behind everything sent before; returns when it is gone and its name is free.
  template <detail::server_address Address>
  static void stop(const Address& who, exit_reason why = {}, duration timeout = infinity) {
    gen_server::stop(who, std::move(why), timeout);
  }

  // What the agent does, in its process.
  template <detail::agent_init<State> Init>
  explicit agent(Init init) : state_(init()) {}
  agent(const agent&) = delete;
  agent& operator=(const agent&) = delete;

  template <class F>
  typename detail::agent_get<State, F>::reply handle_call(detail::agent_get<State, F>&& asked) {
    return detail::invoke_with(asked.function, std::as_const(state_));
  }
  template <class F>
  void handle_call(detail::agent_update<State, F>&& asked) {
    detail::change(state_, asked.function);
    publish();
  }
  template <class F>
  typename detail::agent_get_and_update<State, F>::reply handle_call(detail::agent_get_and_update<State, F>&& asked) {
    if constexpr (detail::returns_both<F, State>()) {
      auto both = detail::invoke_with(asked.function, std::as_const(state_));
      state_ = static_cast<State>(std::move(both.second));
      publish();
      return std::move(both.first);
    } else {
      typename detail::agent_get_and_update<State, F>::reply answer = detail::invoke_with(asked.function, state_);
      publish();
      return answer;
    }
  }
  void handle_call(detail::agent_publish) {
    if constexpr (std::copy_constructible<State>)
      publisher_.publish(&detail::record_of<State>, std::make_shared<const State>(state_));
  }
  template <detail::agent_change<State> F>
  void handle_cast(F&& function) {
    detail::change(state_, function);
    publish();
  }
  std::string to_string() const { return detail::text_of(state_); }

 private:
  friend struct detail::inspected<agent>;
  /// Reports show what the agent was made by.
  template <class Init>
  static start_options named_after(start_options options) {
    if (options.spawn.label.empty()) options.spawn.label = detail::type_name<std::decay_t<Init>>;
    return options;
  }
  void publish() {
    if constexpr (std::copy_constructible<State>)
      if (publisher_.wanted()) publisher_.publish(&detail::record_of<State>, std::make_shared<const State>(state_));
  }
  State state_;
  detail::snapshot_publisher publisher_;
};

namespace detail {
template <class State>
struct inspected<agent<State>> {
  using state = State;
  static state& of(void* object) { return static_cast<agent<State>*>(object)->state_; }
  static void replaced(void* object) { static_cast<agent<State>*>(object)->publish(); }
};
}  // namespace detail

/// The spec of an agent as a child, under a name. Its id is the type of agent, as every child's; see child_spec::id.
template <class State, class Init>
  requires detail::agent_init<std::decay_t<Init>, State>
child_spec child_agent(const name<agent<State>>& called, Init&& init) {
  return child<agent<State>>(std::forward<Init>(init), start_options{.name = called});
}
template <class State, class Init>
  requires(!detail::agent_init<std::decay_t<Init>, State>)
not_an_init<State, std::decay_t<Init>> child_agent(const name<agent<State>>&, Init&&);

// ---- reading and changing ----------------------------------------------------------------------------------------

/// Runs `read(state)` in the agent and moves its answer back to the caller.
template <detail::agent_address Address, class F>
  requires detail::agent_reader<std::decay_t<F>, detail::state_at<Address>>
auto get(const Address& who, F&& read, duration timeout = call_timeout) {
  return call(who, detail::agent_get<detail::state_at<Address>, std::decay_t<F>>{std::forward<F>(read)}, timeout);
}
/// Runs `change(state)` in the agent, or makes what it returns the state; returns when the new state is in place.
template <detail::agent_address Address, class F>
  requires detail::agent_change<std::decay_t<F>, detail::state_at<Address>>
void update(const Address& who, F&& change, duration timeout = call_timeout) {
  call(who, detail::agent_update<detail::state_at<Address>, std::decay_t<F>>{std::forward<F>(change)}, timeout);
}
/// Both in one step: runs `change(state)` in the agent and moves what it returns back. A function of the const state
/// returns the answer and the new state, as a pair; what is convertible to the state will do.
template <detail::agent_address Address, class F>
  requires detail::agent_reader_and_change<std::decay_t<F>, detail::state_at<Address>>
auto get_and_update(const Address& who, F&& change, duration timeout = call_timeout) {
  return call(who, detail::agent_get_and_update<detail::state_at<Address>, std::decay_t<F>>{std::forward<F>(change)},
              timeout);
}
// otp::cast(who, change) does the same as update without waiting, and never fails.

template <detail::agent_address Address, class F>
  requires(!detail::agent_reader<std::decay_t<F>, detail::state_at<Address>>)
not_a_reader<detail::state_at<Address>, std::decay_t<F>> get(const Address&, F&&, duration = call_timeout);
template <detail::agent_address Address, class F>
  requires(!detail::agent_change<std::decay_t<F>, detail::state_at<Address>>)
not_a_change<detail::state_at<Address>, std::decay_t<F>> update(const Address&, F&&, duration = call_timeout);
template <detail::agent_address Address, class F>
  requires(!detail::agent_reader_and_change<std::decay_t<F>, detail::state_at<Address>>)
typename decltype(detail::judge_get_and_update<std::decay_t<F>, detail::state_at<Address>>())::type get_and_update(
    const Address&, F&&, duration = call_timeout);
template <class Address, class F>
  requires(!detail::agent_address<Address>)
not_an_agent<Address> get(const Address&, F&&, duration = call_timeout);
template <class Address, class F>
  requires(!detail::agent_address<Address>)
not_an_agent<Address> update(const Address&, F&&, duration = call_timeout);
template <class Address, class F>
  requires(!detail::agent_address<Address>)
not_an_agent<Address> get_and_update(const Address&, F&&, duration = call_timeout);

/// A state that an agent had: shared by all who read it, changed by nobody, there as long as somebody holds it. Used
/// like a std::shared_ptr<const State>, and becomes one where that is wanted. May be kept, sent and dropped anywhere;
/// costs less where it is dropped by who took it, since each worker counts its own readers.
template <class State>
class state_snapshot {
 public:
  state_snapshot() = default;
  explicit state_snapshot(detail::snapshot_holder held) noexcept : held_(std::move(held)) {}

  const State* get() const noexcept { return static_cast<const State*>(held_.value()); }
  const State& operator*() const noexcept { return *get(); }
  const State* operator->() const noexcept { return get(); }
  explicit operator bool() const noexcept { return get() != nullptr; }
  operator std::shared_ptr<const State>() const {  // NOLINT(google-explicit-constructor): it is one
    return {std::make_shared<state_snapshot>(*this), get()};
  }

 private:
  detail::snapshot_holder held_;
};

namespace detail {
template <class Address>
state_snapshot<state_at<Address>> ask_for_snapshot(const Address& who, const snapshot_source& source,
                                                   duration timeout) {
  using state = state_at<Address>;
  snapshot_holder held;
  // Once published it stays so, unless the agent has been replaced by another meanwhile, which has to be asked again.
  for (;;) {
    const auto outcome = read_snapshot(source, &record_of<state>, held);
    if (outcome == snapshot_outcome::found) return state_snapshot<state>(std::move(held));
    if (outcome != snapshot_outcome::unpublished) {
      exit_reason cause(outcome == snapshot_outcome::nobody ? exit_reason::kind::noproc
                                                            : exit_reason::kind::bad_server_type);
      throw exited(
          call_failure(std::move(cause), "snapshot", address_of<Address>::text(who), type_name<state>, timeout));
    }
    call(who, agent_publish{}, timeout);
  }
}
}  // namespace detail

/// The state as it was after some change, at least the last one that the caller has waited for: an immutable copy that
/// readers share. The first call asks the agent; from then on the agent copies its state after every change, and
/// reading neither asks nor waits for it. Errors: as get().
template <detail::agent_address Address>
  requires std::copy_constructible<detail::state_at<Address>>
state_snapshot<detail::state_at<Address>> snapshot(const Address& who, duration timeout = call_timeout) {
  using state = detail::state_at<Address>;
  detail::snapshot_source source{};
  if constexpr (std::is_same_v<Address, name<agent<state>>>)
    source.name = who.text();
  else
    source.process = detail::address_of<Address>::find(who).value_or(pid());
  if (const auto* known = detail::recall_snapshot(source.name, source.process, &detail::record_of<state>)) [[likely]]
    return state_snapshot<state>(detail::snapshot_holder(known));
  return detail::ask_for_snapshot(who, source, timeout);
}
template <detail::agent_address Address>
  requires(!std::copy_constructible<detail::state_at<Address>>)
snapshot_needs_copy<detail::state_at<Address>> snapshot(const Address&, duration = call_timeout);
template <class Address>
  requires(!detail::agent_address<Address>)
not_an_agent<Address> snapshot(const Address&, duration = call_timeout);

}  // namespace otp
