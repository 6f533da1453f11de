// Processes: starting and ending them, messages between them, links, monitors, aliases, names, and what can be asked.
//
// Shape   a process is an object in the runtime, not a thread. Functions that say "the caller" work on the process that
//         calls them. A message moves from sender to receiver; messages and signals of one sender to one receiver
//         keep their order.
// Units   times are otp::duration; sizes are bytes.
// Errors  misuse throws otp::bad_argument; a full process table throws otp::exited with `system_limit`.
//         Sending to a dead process is no error: the message is dropped and counted.
// Source  Erlang's process BIFs (erlang:spawn/1, link/1, monitor/2 ...). Differs: a kill unwinds the target's stack
//         (docs/decisions/0003-kill-unwinds.md); a mailbox may be bounded.
#pragma once
#include <otp/detail/unique_function.hpp>
#include <otp/message.hpp>

#include <cstddef>
#include <optional>
#include <vector>

namespace otp {

// ---- starting ----------------------------------------------------------------------------------------------------

enum class priority : std::uint8_t { low, normal, high, max };

/// What happens to a user's message when the mailbox is full. Control signals are never refused.
enum class overflow : std::uint8_t {
  reject,  ///< the sender is told: send() returns `refused`, call() fails
  drop,    ///< dropped and counted; the sender is not told
  block,   ///< the sending process waits for room (a foreign thread is told `refused`)
  kill,    ///< the receiver ends with `memory_limit`
};

struct mailbox_limits {
  std::size_t max_messages = 0;  ///< 0: no limit
  std::size_t max_bytes = 0;     ///< 0: no limit
  overflow policy = overflow::reject;
};

/// How long an alias made together with a monitor lives.
enum class alias_mode : std::uint8_t {
  none,
  explicit_unalias,  ///< until unalias()
  demonitor,         ///< until the monitor is removed or fires
  reply,             ///< as `demonitor`, and at the first message received through it
};

struct monitor_options {
  alias_mode alias = alias_mode::none;
  term tag{};  ///< replaces DOWN as the message's tag
};

struct spawn_options {
  bool link = false;
  bool monitor = false;
  monitor_options monitoring{};
  otp::priority priority = otp::priority::normal;
  std::size_t stack_size = 0;  ///< bytes; 0: the runtime's default. Otherwise the process has a stack of its own
  mailbox_limits mailbox{};
  std::size_t memory_limit = 0;  ///< bytes, 0: none. See set_memory_used()
  bool trap_exit = false;
  std::string label{};
};

/// A new process and, if asked for, the reference of its monitor.
struct spawned {
  otp::pid pid;
  ref monitor;
};

namespace detail {
spawned spawn_function(unique_function body, const std::string_view& type, const spawn_options& options);

template <class F>
unique_function checked(F&& body) {
  // What a lambda converts to is never empty; asking it would be a warning.
  if constexpr (requires { static_cast<bool>(body); } &&
                (std::is_pointer_v<std::remove_cvref_t<F>> || !std::is_convertible_v<F, void (*)()>))
    if (!static_cast<bool>(body)) return unique_function();
  return unique_function(std::forward<F>(body));
}
}  // namespace detail

/// Starts a process that runs `body()` and ends with `normal` when it returns. The new process may run at once.
template <class F>
  requires std::invocable<std::decay_t<F>&>
pid spawn(F&& body) {
  return detail::spawn_function(detail::checked(std::forward<F>(body)), detail::type_name<std::decay_t<F>>, {}).pid;
}
/// As spawn(body); link and monitor are set up in the same step.
template <class F>
  requires std::invocable<std::decay_t<F>&>
spawned spawn(const spawn_options& options, F&& body) {
  return detail::spawn_function(detail::checked(std::forward<F>(body)), detail::type_name<std::decay_t<F>>, options);
}
template <class F>
  requires std::invocable<std::decay_t<F>&>
pid spawn_link(F&& body) {
  return spawn({.link = true}, std::forward<F>(body)).pid;
}
template <class F>
  requires std::invocable<std::decay_t<F>&>
spawned spawn_monitor(F&& body) {
  return spawn({.monitor = true}, std::forward<F>(body));
}

// ---- who ---------------------------------------------------------------------------------------------------------

/// The calling process; none outside of processes.
pid self() noexcept;
/// The calling process, as the server that it runs: `otp::self(this)` inside a server.
template <class Server>
server<Server> self(const Server*) noexcept {
  return server<Server>(self());
}
/// The process that spawned the caller; none for the first one.
pid parent() noexcept;
/// False from the moment the process begins to end, and once an exit signal that will end it has reached it.
bool is_alive(pid process) noexcept;

// ---- sending -----------------------------------------------------------------------------------------------------

enum class send_status : std::uint8_t {
  sent,
  no_process,  ///< the receiver is gone: dropped and counted
  refused,     ///< the receiver's mailbox is full and its policy is `reject`
};

namespace detail {
send_status send_envelope(pid to, envelope* message) noexcept(false);
send_status send_envelope(ref alias, envelope* message);
pid pid_of_name(std::string_view name);  ///< throws bad_argument if nobody has it
}  // namespace detail

/// Sends a value. It is moved in; the receiver owns it. Never waits, unless the receiver's policy is `block`.
template <detail::storable T>
send_status send(pid to, T&& value) {
  return detail::send_envelope(to, detail::make_envelope(std::forward<T>(value)));
}
inline send_status send(pid to, message&& value) { return detail::send_envelope(to, value.release()); }
/// Sends through an alias: dropped unless it is active.
template <detail::storable T>
send_status send(ref alias, T&& value) {
  return detail::send_envelope(alias, detail::make_envelope(std::forward<T>(value)));
}
/// Sends to a registered name. Errors: bad_argument if nobody is registered under it.
template <detail::storable T>
send_status send(std::string_view name, T&& value) {
  pid holder = detail::pid_of_name(name);  // before there is a message that would be lost
  return detail::send_envelope(holder, detail::make_envelope(std::forward<T>(value)));
}

// What cannot be sent: the type of these says why, and stands in the compiler's first error at the caller's line.
template <class T>
  requires(!detail::storable<T>)
detail::storing_problem<T> send(pid, T&&);
template <class T>
  requires(!detail::storable<T>)
detail::storing_problem<T> send(ref, T&&);
template <class T>
  requires(!detail::storable<T>)
detail::storing_problem<T> send(std::string_view, T&&);

// ---- ending ------------------------------------------------------------------------------------------------------

/// Ends the caller with `why`, by throwing otp::exited; may be caught like any exception.
[[noreturn]] void exit(exit_reason why);
/// Sends an exit signal to a process, or to the caller itself. OTP's rules decide what it does: see
/// docs/guide/processes.md.
void exit(pid process, exit_reason why);

// ---- links and monitors ------------------------------------------------------------------------------------------

/// Links the caller with a process: when one ends, the other gets an exit signal. Linking twice makes one link.
void link(pid process);
/// After it returns, no exit signal of this link arrives any more.
void unlink(pid process);

/// Watches a process: one `down` message when it ends, at once with `noproc` if it has.
ref monitor(pid process, monitor_options options = {});
ref monitor(std::string_view name, monitor_options options = {});

struct demonitor_options {
  bool flush = false;  ///< also removes a `down` that has arrived
  bool info = false;   ///< return whether the monitor was still there
};
/// Removes a monitor of the caller's: no `down` of it arrives any more. Returns true, or with `info` whether it was
/// active.
bool demonitor(ref monitor, demonitor_options options = {});

/// An address for replies that can be shut off: while active, what is sent to it arrives like any message.
ref alias(alias_mode mode = alias_mode::explicit_unalias);
/// Shuts an alias of the caller's off; false if it was not an active one.
bool unalias(ref alias);

// ---- names -------------------------------------------------------------------------------------------------------

/// Registers a process under a name of 1 to 255 bytes, any but NUL. Errors: bad_argument if the name is taken or
/// reserved ("undefined", "none"), or the process has a name or is dead; the text names the holder.
void register_name(std::string_view name, pid process);
void unregister_name(std::string_view name);  ///< Errors: bad_argument if nobody has it.
std::optional<pid> whereis(std::string_view name);
std::vector<std::string> registered();

// ---- flags, dictionary, information ------------------------------------------------------------------------------

/// Whether exit signals become messages; returns the previous setting.
bool trap_exit(bool on);
otp::priority set_priority(otp::priority value);

/// The caller's own key/value store.
term put(term key, term value);  ///< returns the previous value or an empty term
term get(const term& key);       ///< empty if there is none
term erase(const term& key);
std::vector<term> get_keys();
std::vector<term> get_keys(const term& value);

pid group_leader();
void set_group_leader(pid leader, pid of);

/// Says how many bytes the caller's own data takes now. Together with the bytes in its mailbox they count against
/// spawn_options::memory_limit: a process that exceeds it ends with `memory_limit`, whether it traps exits or not. What
/// a message takes is its type's size, the characters of a text, and what its `message_bytes()` says. Allocations are
/// not watched: memory has no owner in C++.
void set_memory_used(std::size_t bytes);

void set_label(std::string label);
std::optional<std::string> label(pid process);

enum class process_status : std::uint8_t { runnable, running, waiting, exiting };

struct process_info {
  otp::pid pid;
  std::string name;  ///< empty if it has none
  std::string label;
  std::string type;          ///< of the server or function that it runs
  std::string initial_call;  ///< of a server its init, of a supervisor `supervisor:` and its module, else the type
  process_status status{};
  otp::pid parent;
  otp::pid group_leader;
  bool trap_exit = false;
  otp::priority priority{};
  std::size_t message_queue_len = 0;
  std::size_t message_queue_bytes = 0;  ///< only counted for a process with limits
  std::size_t memory_used = 0;          ///< what set_memory_used() said; for a process with limits
  duration oldest_message_age{};        ///< of the first message not yet handled
  std::uint64_t messages_in = 0;
  std::uint64_t reductions = 0;  ///< messages handled and continues run
  duration age{};                ///< since it was spawned, to 0.2 s
  duration time_running{};       ///< sampled with the workers' clock
  std::size_t stack_size = 0;    ///< of the stack it keeps; 0 while it has none
  std::vector<otp::pid> links;
  std::vector<otp::pid> monitors;  ///< whom it watches
  std::vector<otp::pid> monitored_by;
  std::vector<std::string> messages;  ///< the first 1000 as text, in order of arrival
  std::vector<std::pair<term, term>> dictionary;
};

/// Asks about a live process, also one that is busy; it is not disturbed. None if it is dead. The answer takes in what
/// was sent to the process before.
std::optional<process_info> info(pid process);
/// All live processes of the caller's runtime.
std::vector<pid> processes();
std::size_t process_count();

// ---- waiting -----------------------------------------------------------------------------------------------------

/// Waits; messages stay where they are.
void sleep(duration length);
/// Lets others run.
void yield();
/// Gives back what the caller does not need while it waits for its next message, then waits until there is one.
void hibernate();

namespace detail {
[[noreturn]] void hibernate_into(unique_function resume);
}
/// Drops the caller's whole stack: destructors run, nothing of it is kept while the process waits. As soon as a message
/// is in its mailbox, at once if one is, the process goes on with `resume()` and ends when that returns. The message
/// stays in the mailbox. Travels up the stack as an exception of a private type: `catch (...)` has to throw it on.
/// For processes that run a function; a server hibernates by what its handler returns.
template <class F>
  requires std::invocable<std::decay_t<F>&>
[[noreturn]] void hibernate(F&& resume) {
  detail::hibernate_into(detail::checked(std::forward<F>(resume)));
}

}  // namespace otp
