// The runtime: workers, processes and clocks as one object, and `otp::run`, the front door.
//
// Shape   run() starts a runtime, runs a function as its first process, and stops everything in order when that
//         function returns or a SIGTERM or SIGINT arrives. A program may also own `runtime` objects, several at once.
// Units   sizes in bytes, times as otp::duration. stop() has one budget for the whole tree.
// Errors  bad_argument for nonsense options; start() throws std::system_error if threads cannot be had.
#pragma once
#include <otp/event.hpp>
#include <otp/process.hpp>

#include <memory>

namespace otp {

struct runtime_options {
  unsigned workers = 0;                              ///< OS threads that run processes; 0: one per usable CPU
  std::size_t max_processes = std::size_t{1} << 20;  ///< at most 2^24
  std::size_t stack_size = 0;                        ///< of waiting processes; 0: 64 KiB (256 KiB under ASan)
  bool guard_by_mprotect = false;                    ///< do not use MADV_GUARD_INSTALL even where the kernel has it
  unsigned blocking_threads = 64;                    ///< most threads for otp::blocking
  duration handler_limit = std::chrono::milliseconds(500);  ///< a handler that runs longer is reported
  duration kill_budget = std::chrono::seconds(1);   ///< a killed process that has not unwound by then is abandoned
  duration stop_budget = std::chrono::seconds(30);  ///< for stop() and the destructor
  std::size_t mailbox_alarm = 100'000;              ///< a longer mailbox is reported once until it shrinks
  unsigned events_per_second = 100;                 ///< of one kind to the listener
  bool contain_stack_overflow = false;              ///< a stack overflow ends the process instead of the program
  bool contain_terminate = false;                   ///< a std::terminate in a process ends the process
  bool record_backtraces = false;                   ///< keep the throw site of exceptions that end a process
  bool handle_signals = true;                       ///< run(): SIGTERM and SIGINT stop in order, SIGPIPE does nothing
  event_listener* listener = nullptr;               ///< null: one line per event to stderr
};

struct runtime_counters {
  std::uint64_t spawned = 0;
  std::uint64_t exited = 0;
  std::uint64_t abandoned = 0;
  std::uint64_t sent = 0;          ///< messages and requests that somebody tried to send; DOWN and EXIT as they arrive
  std::uint64_t accepted = 0;      ///< put into a mailbox
  std::uint64_t handled = 0;       ///< given to a handler or a receive
  std::uint64_t dead = 0;          ///< sent to a process that was gone
  std::uint64_t refused = 0;       ///< mailbox full
  std::uint64_t dropped = 0;       ///< in the mailbox of a process that ended, or through an inactive alias
  std::uint64_t expired = 0;       ///< requests skipped because their caller had given up
  std::uint64_t late_replies = 0;  ///< replies that nobody waited for any more
  std::uint64_t unhandled = 0;     ///< messages that a server had no handler for
  std::uint64_t fenced = 0;        ///< sends and replies of abandoned processes, dropped
  std::uint64_t reports_lost = 0;  ///< events that could not be written to stderr: closed, full, or nobody reads
  std::uint64_t steals = 0;
  std::uint64_t parks = 0;
  std::uint64_t stacks_live = 0;
  std::uint64_t stacks_idle = 0;
  std::uint64_t timers = 0;     ///< armed
  std::uint64_t processes = 0;  ///< alive
};

/// What stop() could not end.
struct stop_report {
  struct left {
    otp::pid pid;
    std::string name;
    std::string why;
  };
  std::vector<left> abandoned;
  bool clean() const noexcept { return abandoned.empty(); }
};

namespace detail {
struct runtime_core;
template <class Address, class Request>
struct outside_call;  // whether the calls below fit their server; call.hpp knows
template <class Address, class Message>
struct outside_cast;
int run_program(unique_function body, const std::string_view& type, const runtime_options& options);
}  // namespace detail

class runtime {
 public:
  explicit runtime(runtime_options options = {});
  ~runtime();
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;

  void start();
  /// Ends every process within the budget: `shutdown` to those without a live parent, then kill, then abandonment.
  /// From a process of this runtime it only asks: the stop begins when that process's handler is done.
  stop_report stop();
  stop_report stop(duration budget);
  bool started() const noexcept;

  /// From any thread: starts a process without parent.
  template <class F>
  otp::pid spawn(F&& body, const spawn_options& options = {}) {
    return spawn_from_outside(detail::checked(std::forward<F>(body)), detail::type_name<std::decay_t<F>>, options);
  }
  /// From any thread that is not a worker: runs `body` as a process and waits for its end; returns its exit reason.
  template <class F>
  exit_reason run(F&& body) {
    return run_to_end(detail::checked(std::forward<F>(body)), detail::type_name<std::decay_t<F>>);
  }
  /// From any thread.
  template <detail::storable T>
  send_status send(otp::pid to, T&& value) {
    return send_from_outside(to, detail::make_envelope(std::forward<T>(value)));
  }
  template <detail::storable T>
  send_status send(std::string_view name, T&& value) {
    auto holder = whereis(name);
    if (!holder) throw bad_argument("send: nobody is registered as " + detail::quoted(name));
    return send(*holder, std::forward<T>(value));
  }
  template <class T>
    requires(!detail::storable<T>)
  detail::storing_problem<T> send(otp::pid, T&&);
  template <class T>
    requires(!detail::storable<T>)
  detail::storing_problem<T> send(std::string_view, T&&);
  /// From any thread that is not another runtime's worker: as otp::call, otp::try_call and otp::cast, with names
  /// looked up in this runtime. Defined in otp/call.hpp.
  template <class Address, class Request>
    requires detail::outside_call<Address, Request>::fits
  typename detail::outside_call<Address, Request>::reply call(const Address& to, Request&& request,
                                                              duration timeout = call_timeout);
  template <class Address, class Request>
    requires detail::outside_call<Address, Request>::fits
  result<typename detail::outside_call<Address, Request>::reply> try_call(const Address& to, Request&& request,
                                                                          duration timeout = call_timeout);
  template <class Address, class Message>
    requires detail::outside_cast<Address, Message>::fits
  void cast(const Address& to, Message&& message);
  template <class Address, class Request>
    requires(!detail::outside_call<Address, Request>::fits)
  typename detail::outside_call<Address, Request>::problem call(const Address&, Request&&, duration = call_timeout);
  template <class Address, class Request>
    requires(!detail::outside_call<Address, Request>::fits)
  typename detail::outside_call<Address, Request>::problem try_call(const Address&, Request&&, duration = call_timeout);
  template <class Address, class Message>
    requires(!detail::outside_cast<Address, Message>::fits)
  typename detail::outside_cast<Address, Message>::problem cast(const Address&, Message&&);
  void exit(otp::pid process, exit_reason why);
  std::optional<otp::pid> whereis(std::string_view name) const;
  runtime_counters counters() const;
  std::vector<otp::pid> processes() const;
  /// Makes wait_for_shutdown() return, as SIGTERM does under run().
  void request_shutdown();

  /// The runtime that the caller runs in; null on foreign threads.
  static runtime* current() noexcept;
  detail::runtime_core& core() noexcept { return *core_; }

 private:
  friend int detail::run_program(detail::unique_function, const std::string_view&, const runtime_options&);
  otp::pid spawn_from_outside(detail::unique_function body, const std::string_view& type, const spawn_options& options);
  exit_reason run_to_end(detail::unique_function body, const std::string_view& type);
  send_status send_from_outside(otp::pid to, detail::envelope* e);
  std::unique_ptr<detail::runtime_core> core_;
};

/// Runs a program: `body` is the first process. Returns an exit code: 0 if it ended normally or by a requested shutdown
/// and everything stopped in time, 1 otherwise. A second SIGTERM or SIGINT ends the program at once.
template <class F>
int run(F&& body, runtime_options options = {}) {
  return detail::run_program(detail::checked(std::forward<F>(body)), detail::type_name<std::decay_t<F>>, options);
}

/// Waits, in a process, until the program is asked to stop.
void wait_for_shutdown();

/// The counters of the caller's runtime.
runtime_counters counters();

}  // namespace otp
