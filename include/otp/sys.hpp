// Looking at a running server, holding it, and following what it does: for operators, between two messages of its own.
//
// Shape   a request to the server's own loop, in the order of its mailbox, served also while it is suspended: by every
//         gen_server, gen_statem, supervisor, agent and registry, and by plain processes that receive through a
//         special_process. Functions and hooks are moved to the server and run there. A typed address gives the state
//         itself; a pid, a plain name, and whatever names a supervisor or registry give it as text.
// Units   waits are otp::duration; the default is otp::call_timeout (5 s). A log keeps 10 events unless told otherwise.
// Errors  as call(): exits the caller with {cause, call}. The cause is timeout for a process that serves no such
//         requests, bad_server_type for one of another type than said, callback_failed if code of the server's failed.
// Source  Erlang's sys. Differs: the state and messages that hooks see are typed; a hook keeps its own state in itself.
#pragma once
#include <otp/detail/supervisor_kinds.hpp>
#include <otp/gen_server.hpp>
#include <otp/mfa.hpp>
#include <otp/receive.hpp>

namespace otp {

class supervisor_ref;

// What the compiler names in its first error when a function does not fit the state that it is for.
template <class State, class F>
struct not_a_state_reader;  // get_state takes Result(const State&): it reads, and returns a value
template <class State, class F>
struct not_a_state_change;  // replace_state takes State(const State&), or void(State&) which changes a copy
template <class State>
struct state_needs_copy;  // get_state copies the state: make it copyable, or give get_state a function that reads
template <class State>
struct state_needs_assignment;  // replace_state assigns the state: give it a move assignment
template <class Server>
struct has_no_state_of_its_own;  // of a supervisor or registry there is text only: get_state(who)
template <class F>
struct not_a_debug_hook;  // a hook is bool(const sys::debug_event&), true to go on, or returns nothing; one that is
                          // given at the start can be copied

namespace sys {

/// Whom a request is for: a pid, a name of any kind, a typed or a supervisor's reference.
class target {
 public:
  target(otp::pid process);
  target(std::string_view local_name);
  target(const char* local_name) : target(std::string_view(local_name)) {}
  target(const std::string& local_name) : target(std::string_view(local_name)) {}
  template <otp::detail::server_address Address>
  target(const Address& who)
      : process_(otp::detail::address_of<Address>::find(who).value_or(otp::pid())),
        text_(otp::detail::address_of<Address>::text(who)) {}
  template <std::same_as<server_name> Name>
  target(const Name& name) : process_(name.whereis().value_or(otp::pid())), text_(name.to_string()) {}
  template <std::same_as<supervisor_ref> Reference>
  target(const Reference& who) : process_(who.find().value_or(otp::pid())), text_(who.to_string()) {}

  otp::pid process() const noexcept { return process_; }
  const std::string& to_string() const noexcept { return text_; }

 private:
  otp::pid process_;
  std::string text_;
};

// ---- state -------------------------------------------------------------------------------------------------------

/// Who it is, what it runs, whether it is suspended, what is switched on, and its state as it shows it.
server_status get_status(const target& who, duration timeout = call_timeout);
/// The state as text: the server's to_string(), or its type.
std::string get_state(const target& who, duration timeout = call_timeout);

}  // namespace sys

namespace detail {

/// What sys reads and replaces of a server: the struct itself; of an agent its state, of a machine state and data.
template <class Server>
struct inspected {
  using state = Server;
  static state& of(void* object) { return *static_cast<state*>(object); }
  static void replaced(void*) {}
};
template <class Server>
using inspected_state = typename inspected<Server>::state;

/// Supervisors and registries have no state of a user's: get_state gives text.
template <class Server>
inline constexpr bool has_own_state = !is_supervisor<Server>;
template <class Address>
concept inspectable =
    server_address<Address> && std::is_class_v<server_at<Address>> && has_own_state<server_at<Address>>;
template <class Address>
concept supervisor_address = server_address<Address> && is_supervisor<server_at<Address>>;

template <class F, class State>
concept state_reader = std::invocable<F&, const State&> && !std::is_void_v<std::invoke_result_t<F&, const State&>>;
template <class F, class State>
concept state_changer =
    std::invocable<F&, State&> && std::is_void_v<std::invoke_result_t<F&, State&>> && std::copy_constructible<State>;
template <class F, class State>
concept state_maker =
    std::invocable<F&, const State&> && std::convertible_to<std::invoke_result_t<F&, const State&>, State>;
template <class F, class State>
concept state_change = state_changer<F, State> || state_maker<F, State>;

/// What is to be done with a state, in the server. Kept by the request and by whoever asks.
struct system_visitor {
  explicit system_visitor(const server_type& t) : wanted(t) {}
  virtual ~system_visitor() = default;
  virtual void visit(void* object) = 0;
  const server_type& wanted;
};
/// Sends it there and waits until it has been, or exits the caller.
void visit_state(const sys::target& who, const char* function, std::shared_ptr<system_visitor> visitor,
                 duration timeout);

template <class Server, class F>
struct state_reading final : system_visitor {
  using result = std::decay_t<std::invoke_result_t<F&, const inspected_state<Server>&>>;
  template <class G>
  explicit state_reading(G&& f) : system_visitor(server_type_of<Server>()), read(std::forward<G>(f)) {}
  void visit(void* object) override { answer.emplace(invoke_with(read, std::as_const(inspected<Server>::of(object)))); }
  F read;
  std::optional<result> answer;
};
/// What replace_state returns: the new state, where it can be copied.
template <class State>
using replaced_state = std::conditional_t<std::copy_constructible<State>, State, void>;
template <class Server, class F>
struct state_replacing final : system_visitor {
  using state = inspected_state<Server>;
  template <class G>
  explicit state_replacing(G&& f) : system_visitor(server_type_of<Server>()), change(std::forward<G>(f)) {}
  void visit(void* object) override {
    state& now = inspected<Server>::of(object);
    if constexpr (state_changer<F, state>) {
      state next(now);
      invoke_with(change, next);
      put(object, std::move(next));
    } else {
      put(object, invoke_with(change, std::as_const(now)));
    }
  }
  // Nothing has changed before everything that may fail is done, but for the assignment itself.
  void put(void* object, state&& next) {
    if constexpr (std::copy_constructible<state>) answer.emplace(next);
    inspected<Server>::of(object) = std::move(next);
    inspected<Server>::replaced(object);
  }
  F change;
  std::optional<reply_value<replaced_state<state>>> answer;
};

}  // namespace detail

namespace sys {

/// What `read(state)` returns, run in the server.
template <otp::detail::inspectable Address, class F>
  requires otp::detail::state_reader<std::decay_t<F>, otp::detail::inspected_state<otp::detail::server_at<Address>>>
auto get_state(const Address& who, F&& read, duration timeout = call_timeout) {
  auto reading = std::make_shared<otp::detail::state_reading<otp::detail::server_at<Address>, std::decay_t<F>>>(
      std::forward<F>(read));
  otp::detail::visit_state(who, "sys.get_state", reading, timeout);
  return std::move(*reading->answer);
}
/// A copy of the state.
template <otp::detail::inspectable Address>
  requires std::copy_constructible<otp::detail::inspected_state<otp::detail::server_at<Address>>>
auto get_state(const Address& who, duration timeout = call_timeout) {
  return get_state(
      who, [](const otp::detail::inspected_state<otp::detail::server_at<Address>>& state) { return state; }, timeout);
}
template <otp::detail::inspectable Address>
  requires(!std::copy_constructible<otp::detail::inspected_state<otp::detail::server_at<Address>>>)
state_needs_copy<otp::detail::inspected_state<otp::detail::server_at<Address>>> get_state(const Address&,
                                                                                          duration = call_timeout);
template <otp::detail::inspectable Address, class F>
  requires(!std::convertible_to<F, duration> &&
           !otp::detail::state_reader<std::decay_t<F>, otp::detail::inspected_state<otp::detail::server_at<Address>>>)
not_a_state_reader<otp::detail::inspected_state<otp::detail::server_at<Address>>, std::decay_t<F>> get_state(
    const Address&, F&&, duration = call_timeout);
template <otp::detail::supervisor_address Address, class F>
  requires(!std::convertible_to<F, duration>)
has_no_state_of_its_own<otp::detail::server_at<Address>> get_state(const Address&, F&&, duration = call_timeout);

/// Makes `change(state)` the state, in the server, and returns it (nothing, where it cannot be copied). What the
/// function throws leaves the state as it was, and arrives here as `callback_failed`.
template <otp::detail::inspectable Address, class F>
  requires otp::detail::state_change<std::decay_t<F>, otp::detail::inspected_state<otp::detail::server_at<Address>>> &&
           std::is_move_assignable_v<otp::detail::inspected_state<otp::detail::server_at<Address>>>
auto replace_state(const Address& who, F&& change, duration timeout = call_timeout)
    -> otp::detail::replaced_state<otp::detail::inspected_state<otp::detail::server_at<Address>>> {
  auto replacing = std::make_shared<otp::detail::state_replacing<otp::detail::server_at<Address>, std::decay_t<F>>>(
      std::forward<F>(change));
  otp::detail::visit_state(who, "sys.replace_state", replacing, timeout);
  if constexpr (std::copy_constructible<otp::detail::inspected_state<otp::detail::server_at<Address>>>)
    return std::move(*replacing->answer);
}
template <otp::detail::inspectable Address, class F>
  requires(!otp::detail::state_change<std::decay_t<F>, otp::detail::inspected_state<otp::detail::server_at<Address>>>)
not_a_state_change<otp::detail::inspected_state<otp::detail::server_at<Address>>, std::decay_t<F>> replace_state(
    const Address&, F&&, duration = call_timeout);
template <otp::detail::inspectable Address, class F>
  requires(otp::detail::state_change<std::decay_t<F>, otp::detail::inspected_state<otp::detail::server_at<Address>>> &&
           !std::is_move_assignable_v<otp::detail::inspected_state<otp::detail::server_at<Address>>>)
state_needs_assignment<otp::detail::inspected_state<otp::detail::server_at<Address>>> replace_state(
    const Address&, F&&, duration = call_timeout);
template <otp::detail::supervisor_address Address, class F>
has_no_state_of_its_own<otp::detail::server_at<Address>> replace_state(const Address&, F&&, duration = call_timeout);

// ---- holding and ending ------------------------------------------------------------------------------------------

/// Until resume() the server handles no requests, casts or messages; stop() and sys requests still work.
void suspend(const target& who, duration timeout = call_timeout);
/// One of these undoes any number of suspends.
void resume(const target& who, duration timeout = call_timeout);
/// Returns when the server has taken the order; then it ends with `why`, by way of its terminate.
void terminate(const target& who, exit_reason why = {}, duration timeout = call_timeout);

// ---- what a server does ------------------------------------------------------------------------------------------

enum class debug_kind : std::uint8_t {
  in,         ///< a message or event, before its handler runs; of a call, `other` is who waits
  out,        ///< a reply of the handler's to `other`
  noreply,    ///< the handler is done and has not replied
  consume,    ///< of a machine: the event is done, and this is the state now
  postpone,   ///< of a machine: the event is kept for later
  insert,     ///< of a machine: the event comes next
  terminate,  ///< it ends
};

/// What a debug_event is made of.
struct debug_facts {
  debug_kind what = debug_kind::in;
  std::string_view name{};
  std::string_view sort{};
  const otp::detail::type_record* message = nullptr;
  const void* payload = nullptr;
  otp::pid other{};
  const void* subject = nullptr;  // whoever knows the state
  std::string (*state)(const void* subject) = nullptr;
  const exit_reason* reason = nullptr;  // terminate
};

/// One thing that a server did, as a hook sees it. Valid during the call of the hook.
class debug_event {
 public:
  debug_kind what() const noexcept { return seen_.what; }
  /// The message, reply or event.
  template <class T>
  const T* message_if() const noexcept {
    return seen_.message == &otp::detail::record_of<T> ? static_cast<const T*>(seen_.payload) : nullptr;
  }
  std::string message() const;
  /// "call", "cast", "info", "continue"; of a machine the event's type.
  std::string_view sort() const noexcept { return seen_.sort; }
  otp::pid other() const noexcept { return seen_.other; }
  /// The state behind it, as text; empty for `in`, `postpone` and `insert`.
  std::string state() const;
  std::string_view name() const noexcept { return seen_.name; }
  /// The line that tracing prints.
  std::string to_string() const;

  explicit debug_event(const debug_facts& s) noexcept : seen_(s) {}

 private:
  const debug_facts& seen_;
};

}  // namespace sys

namespace detail {

struct debug_hook {
  virtual ~debug_hook() = default;
  virtual bool see(const sys::debug_event& e) = 0;  // false: it has seen enough
};
template <class F>
concept hook_function = std::invocable<F&, const sys::debug_event&> &&
                        (std::is_void_v<std::invoke_result_t<F&, const sys::debug_event&>> ||
                         std::convertible_to<std::invoke_result_t<F&, const sys::debug_event&>, bool>);
template <class F>
struct typed_debug_hook final : debug_hook {
  template <class G>
  explicit typed_debug_hook(G&& f) : function(std::forward<G>(f)) {}
  bool see(const sys::debug_event& e) override {
    if constexpr (std::is_void_v<std::invoke_result_t<F&, const sys::debug_event&>>) {
      function(e);
      return true;
    } else {
      return function(e);
    }
  }
  F function;
};
/// A hook for every process that starts with it.
struct hook_maker {
  virtual ~hook_maker() = default;
  virtual std::unique_ptr<debug_hook> make() const = 0;
};
template <class F>
struct typed_hook_maker final : hook_maker {
  template <class G>
  explicit typed_hook_maker(G&& f) : function(std::forward<G>(f)) {}
  std::unique_ptr<debug_hook> make() const override { return std::make_unique<typed_debug_hook<F>>(function); }
  F function;
};
bool install_hook(const sys::target& who, std::string id, std::unique_ptr<debug_hook> hook, duration timeout);
void trace_into(const sys::target& who, std::unique_ptr<debug_hook> hook, duration timeout);
[[noreturn]] void refuse_log_size(const std::string& given);

}  // namespace detail

namespace sys {

/// Every message in, reply out and change of state as a line on stderr, until switched off.
void trace(const target& who, bool on, duration timeout = call_timeout);
/// The same lines to `sink(std::string_view)`, which runs in the server.
template <class F>
  requires std::invocable<std::decay_t<F>&, std::string_view>
void trace(const target& who, F&& sink, duration timeout = call_timeout) {
  auto into = [sink = std::decay_t<F>(std::forward<F>(sink))](const debug_event& e) mutable { sink(e.to_string()); };
  otp::detail::trace_into(who, std::make_unique<otp::detail::typed_debug_hook<decltype(into)>>(std::move(into)),
                          timeout);
}
/// The same lines to a new file; the error is `open_file`. The file of before is closed in any case.
result<void> log_to_file(const target& who, std::string path, duration timeout = call_timeout);
void close_log_file(const target& who, duration timeout = call_timeout);

/// Keeps the latest events of the server, to be read by get_log() and shown by its report when it fails. While it is
/// on, its size stays.
void log(const target& who, bool on, duration timeout = call_timeout);
/// The same with a size of its own, from 1 to a million.
void log(const target& who, std::size_t events, duration timeout = call_timeout);
inline void log(const target& who, int events, duration timeout = call_timeout) {
  if (events < 0) otp::detail::refuse_log_size(otp::detail::integer_text(events));
  log(who, static_cast<std::size_t>(events), timeout);
}
/// Oldest first; none if it is off.
std::vector<std::string> get_log(const target& who, duration timeout = call_timeout);

struct server_statistics {
  instant started;  ///< when they were switched on
  instant now;
  std::uint64_t messages_in = 0;
  std::uint64_t messages_out = 0;  ///< replies
  std::uint64_t reductions = 0;    ///< handlers run
};
void statistics(const target& who, bool on, duration timeout = call_timeout);
/// None if they are off.
std::optional<server_statistics> get_statistics(const target& who, duration timeout = call_timeout);

/// Calls `hook(event)` in the server for everything it does, until the hook returns false, fails, or is removed. Its
/// own state is what it holds. False if one of this id is there already, which then stays.
template <class F>
  requires otp::detail::hook_function<std::decay_t<F>>
bool install(const target& who, std::string id, F&& hook, duration timeout = call_timeout) {
  return otp::detail::install_hook(
      who, std::move(id), std::make_unique<otp::detail::typed_debug_hook<std::decay_t<F>>>(std::forward<F>(hook)),
      timeout);
}
template <class F>
  requires(!otp::detail::hook_function<std::decay_t<F>>)
not_a_debug_hook<std::decay_t<F>> install(const target&, std::string, F&&, duration = call_timeout);
/// The same from the start, for start_options::debug: `{.debug = {sys::install(id, hook)}}`. The hook is copied.
template <class F>
  requires otp::detail::hook_function<std::decay_t<F>> && std::copy_constructible<std::decay_t<F>>
debug_option install(std::string id, F&& hook) {
  return {std::move(id), std::make_shared<const otp::detail::typed_hook_maker<std::decay_t<F>>>(std::forward<F>(hook))};
}
template <class F>
  requires(!(otp::detail::hook_function<std::decay_t<F>> && std::copy_constructible<std::decay_t<F>>))
not_a_debug_hook<std::decay_t<F>> install(std::string, F&&);
/// False if there is none of this id.
bool remove(const target& who, std::string id, duration timeout = call_timeout);
/// Switches off and removes all of the above.
void no_debug(const target& who, duration timeout = call_timeout);

}  // namespace sys

// ---- plain processes ---------------------------------------------------------------------------------------------

namespace detail {

/// The untyped half of special_process.
class special_core {
 public:
  special_core(const server_type& type, void* state, std::string (*text)(const void*), std::vector<debug_option> debug);
  ~special_core();
  special_core(const special_core&) = delete;
  special_core& operator=(const special_core&) = delete;
  /// As receive_envelope(), and serves what sys asks meanwhile.
  envelope* receive(const pattern* patterns, std::size_t count, duration timeout, std::size_t& which);
  void tell(sys::debug_facts&& seen);

 private:
  struct part;
  std::unique_ptr<part> part_;
};

}  // namespace detail

namespace sys {

/// For a process that is no server and shall be one to sys: it receives through this object, which serves the requests
/// of sys between its messages. One that was told to end leaves receive() by otp::exited, so destructors run.
///
///     sys::special_process me(state);
///     for (;;) me.receive([&](ping p) { ... });
template <class State>
class special_process {
 public:
  /// `state` is what get_state() and replace_state() of an otp::server<State> work on. `debug` as in start_options.
  explicit special_process(State& state, std::vector<debug_option> debug = {})
      : core_(
            otp::detail::server_type_of<State>(), &state,
            [](const void* s) { return otp::detail::text_of(*static_cast<const State*>(s)); }, std::move(debug)) {}

  /// As otp::receive. While the process is suspended it takes no message, and time passes.
  template <class... Handlers>
    requires(sizeof...(Handlers) > 0)
  auto receive(Handlers&&... handlers) {
    return otp::detail::receive_by(
        [this](const otp::detail::pattern* patterns, std::size_t count, duration timeout, std::size_t& which) {
          return core_.receive(patterns, count, timeout, which);
        },
        handlers...);
  }
  /// Tells whoever debugs this process that a message came, or that it sent one.
  template <class Message>
  void in(const Message& message, otp::pid from = {}) {
    core_.tell(
        {.what = debug_kind::in, .message = &otp::detail::record_of<Message>, .payload = &message, .other = from});
  }
  template <class Message>
  void out(const Message& message, otp::pid to) {
    core_.tell(
        {.what = debug_kind::out, .message = &otp::detail::record_of<Message>, .payload = &message, .other = to});
  }

 private:
  otp::detail::special_core core_;
};

}  // namespace sys

}  // namespace otp
