// What behaviours are built on: a process that is driven message by message, and its synchronous start.
//
// Shape   a body is owned by its process and called by the worker that runs it, one call at a time, on whatever stack
//         the worker has at hand; any call may wait. Nothing here is for users of gen_server and its kin.
// Source  Erlang's proc_lib.
#pragma once
#include <otp/detail/request.hpp>
#include <otp/event.hpp>
#include <otp/process.hpp>

#include <memory>

namespace otp::detail {

/// Tells the starter how a start ended. Shared by starter and process.
class start_ticket;

/// What a process is to who judges it from outside: otp::doctor.
enum class process_kind : std::uint8_t {
  function,
  root,  ///< somebody outside waits for its end, or it is the library's own
  server,
  supervisor,
  task,
};

class process_body {
 public:
  virtual ~process_body() = default;
  /// The first act. True: go on and take messages; false: done, the process ends with `normal`.
  virtual bool start() = 0;
  /// One message, request, stop or system signal, owned by the callee. Only for bodies whose start() returned true.
  virtual void receive(envelope* e) { destroy(e); }
  /// Whether work() wants to run before the next message.
  virtual bool has_work() const noexcept { return false; }
  virtual void work() {}
  /// The process ends with `why`; the body is destroyed next.
  virtual void ended(const exit_reason& why) noexcept { static_cast<void>(why); }
  /// The process was abandoned: its code may still run. Called by another thread while the process is kept out of the
  /// runtime; must leave alone what that code uses.
  virtual void given_up(const exit_reason& why) noexcept { static_cast<void>(why); }
  /// Told when the process is gone, names and all. Ownership passes to the caller.
  virtual start_ticket* release_ticket() noexcept { return nullptr; }
  /// Its name in reports; the view itself must live as long as the program.
  virtual const std::string_view& type() const noexcept = 0;
  /// Read by other threads, as the next.
  virtual process_kind kind() const noexcept { return process_kind::function; }
  /// Whether its messages have shown nothing but a value that is stored and given back.
  virtual bool only_stores() const noexcept { return false; }
  /// What it was started with, for reports.
  virtual std::string initial_call() const { return std::string(type()); }
  /// The reply of a request that is `traced` is made and leaves next.
  virtual void replying(const request_envelope& r) noexcept { static_cast<void>(r); }
  /// What it is doing, for reports: the handler's message type. Read by other threads: static text only.
  virtual std::string_view doing() const noexcept { return {}; }
  /// What it is about, for the report of an abandonment; called as given_up() is.
  virtual std::string busy_with() const { return {}; }
  /// Whether it reports its own crash, so that nobody else does.
  virtual bool reports_itself() const noexcept { return false; }
  /// Whether proc_lib started it: every abnormal end of its own is a crash then, and not errors only.
  virtual bool of_proc_lib() const noexcept { return true; }
  /// It is spawned with this monitor; before it takes its first step.
  virtual void watched(ref monitor) noexcept { static_cast<void>(monitor); }
  /// On whose behalf it runs: see otp::callers().
  virtual std::shared_ptr<const std::vector<pid>> callers() const { return nullptr; }
};

spawned spawn_body(std::unique_ptr<process_body> body, const spawn_options& options);
/// Of the calling process; null outside of one.
process_body* body_of_caller() noexcept;

/// In a body: the process ends with `why` when this call of the body returns.
void end_with(exit_reason why);
/// In a body, after user code threw: the process was sent a fatal signal and must not run more of the user's code.
bool being_ended() noexcept;
/// The reason that end_with was given in this call, if it was; the process goes on. For loops of one's own.
std::optional<exit_reason> asked_to_end();
/// What the fatal signal that is ending the process has decided.
exit_reason fate_of_caller();
/// Throws the fate of the process, after its unwinding was stopped by guard().
void go_on_unwinding();
/// Gives back what the process does not need while it is idle.
void release_unused();
bool started_by_proc_lib() noexcept;
/// Makes an abandonment of the caller, started by proc_lib, known to the body that its function has become.
void entered_loop(process_body* inner) noexcept;
result<void> claim_local_name(std::string_view name, pid process);
bool valid_local_name(std::string_view name) noexcept;
/// Whether a process has not ended yet. Cheap: one that is about to be killed is still there.
bool is_there(runtime_core& core, pid process) noexcept;
/// An object that lives as long as the caller's runtime; one per key, made when first asked for.
struct kept {
  virtual ~kept() = default;
};
kept& keep_with_runtime(const void* key, std::unique_ptr<kept> (*make)());
kept& keep_with_runtime(runtime_core& core, const void* key, std::unique_ptr<kept> (*make)(runtime_core&));
/// The runtime of the caller; throws bad_argument naming `what` outside of one.
runtime_core& this_runtime(const char* what);
/// A server starts in the caller's runtime: replies that come late, from anywhere, are counted there.
void note_runtime();
/// Runs user code: what it threw is the reason, a fatal signal's reason the process's fate. Empty: it returned.
/// `what` is what the seeded engine knows this moment by.
std::optional<exit_reason> guard_call(void (*call)(void*), void* argument, const char* what);
template <class F>
std::optional<exit_reason> guard(F&& code, const char* what = "guard") {
  struct thunk {
    F& f;
    static void call(void* self) { static_cast<thunk*>(self)->f(); }
  } t{code};
  return guard_call(&thunk::call, &t, what);
}

/// The request being handled is not handled any more: an abandonment need not fail it. Inside a bracket.
void request_done() noexcept;
/// Sends the reply of the request being handled; consumes a reference.
void finish_handled(request_envelope* r, bool begun) noexcept;
/// A request, or a system request, is being handled: an abandonment fails it.
void handle_request(request_envelope* r) noexcept;
/// A request is about to be handled, and is counted. False: its caller has given up.
bool take_request(const request_envelope& r) noexcept;
void count_expired() noexcept;
void count_handled() noexcept;
void count_unhandled() noexcept;
void count_dropped() noexcept;
/// Brackets what an abandonment must not interrupt: see process.hpp.
class runtime_bracket {
 public:
  runtime_bracket();
  ~runtime_bracket();
  runtime_bracket(const runtime_bracket&) = delete;
  runtime_bracket& operator=(const runtime_bracket&) = delete;

 private:
  void* process_;
};

/// The next envelope of any kind, waiting for it at most until `timeout`; null at the timeout. For loops of one's own.
envelope* next_envelope(duration timeout);
/// Waits for the first that `wanted` says yes to; the others stay in order. `wanted` runs inside the runtime.
envelope* next_envelope(bool (*wanted)(const void* argument, const envelope&), const void* argument);
/// Sends an envelope of any kind; false if nobody is there, and it is still the caller's.
bool deliver_envelope(pid to, envelope* e);
/// Who is really called `name` in text: the name, or the pid.
std::string describe(pid process);
/// The process that the caller was linked to when it was spawned, if it was.
bool spawned_with_link() noexcept;
/// Whether an exit signal of that process will reach the caller: the link is there and has not broken.
bool linked_with(pid process) noexcept;
struct process_facts {
  process_kind kind{};
  bool exiting = false;
  bool only_stores = false;
  pid parent{};
  duration age{};
  std::string_view type{};   // static text
  std::vector<pid> links{};  // of a supervisor only the one to its parent
};
/// What otp::doctor looks at: cheaper than info(). None if it is dead.
std::optional<process_facts> facts_of(pid process);
/// Declares a process dead that does not react to its kill; `cause` goes to the report of the runtime's stop. False: it
/// cannot be done now, because the process runs a destructor inside the runtime.
bool abandon_process(pid process, std::string_view cause);
/// Whether an exit signal is its parent's order to end. The runtime that stops is everybody's parent; its signals come
/// from no process, as do those of timers and of threads outside, which are nobody's orders.
bool ordered_by_parent(const exit_signal& signal, pid parent) noexcept;
/// While the runtime is being stopped, the moment at which its budget ends; otherwise INT64_MAX. Nanoseconds of the
/// runtime's clock.
std::int64_t stop_deadline() noexcept;
unsigned worker_count() noexcept;
/// How often a local name was given up: as long as it stays, who was found under a name is still there under it.
std::uint64_t names_given_up(runtime_core& core) noexcept;
/// False if the limit on events of this kind is reached: it is counted as left out, and need not be built.
bool event_wanted(std::string_view what);
/// The crash report of the caller, which ends with `why`: proc_lib's, with what OTP tells of it.
event crash_event(const exit_reason& why);

// ---- starting a child on the supervisor's stack ------------------------------------------------------------------

/// Watches for the moment when a supervisor that waits for a child's start is itself asked to end: by an exit signal of
/// its parent, or by a stop signal. It sets a deadline then; past it every wait of the start function
/// is left by an exception of a private type. Lives on the supervisor's stack.
struct start_watch {
  virtual ~start_watch() = default;
  /// Called when it is asked, and again if a process is started after that; while the process takes in its signals, so
  /// it must neither wait nor throw. Sets `deadline`.
  virtual void asked_to_end() noexcept = 0;

  otp::pid parent{};
  otp::pid starting{};  // who is being started, from the spawn until the start has its outcome
  bool asked = false;
  bool by_exit = false;   // by an exit signal
  bool given_up = false;  // the deadline has passed
  std::int64_t deadline = INT64_MAX;
};
/// As guard, with a watch.
std::optional<exit_reason> guard_start(start_watch& watch, void (*call)(void*), void* argument);

// ---- synchronous start -------------------------------------------------------------------------------------------

struct start_outcome {
  pid process;
  std::optional<exit_reason> failure;
  term value;
};

class start_ticket {
 public:
  static start_ticket* make();
  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop() noexcept;
  /// The first of these decides. Called by the process, or when it is gone.
  void succeeded(pid process, term value = {}) noexcept;
  void failed(const exit_reason& why) noexcept;
  /// What failed() shall say once the process is gone, instead of its exit reason.
  void failed_at_end(exit_reason answer) noexcept { answer_ = std::move(answer); }
  /// Waits in the starter; false at the timeout.
  bool wait(duration timeout);
  const start_outcome& outcome() const noexcept { return outcome_; }
  bool decided() const noexcept { return decided_.load(std::memory_order_acquire); }

 private:
  void decide(start_outcome&& outcome) noexcept;
  /// Of the wake-up. Not the address: the next ticket may have the same, and a late wake-up is not meant for it.
  const void* token() const noexcept { return reinterpret_cast<const void*>(number_); }
  std::atomic<int> references_{1};
  std::atomic<int> claim_{0};
  std::atomic<bool> decided_{false};  // `outcome_` may be read
  start_outcome outcome_;
  std::optional<exit_reason> answer_;  // the process's, until it is gone
  pid starter_;
  void* core_ = nullptr;
  std::uintptr_t number_ = 0;
};

/// The starter's reference of a ticket, until it is handed on.
struct ticket_holder {
  start_ticket* ticket;
  explicit ticket_holder(start_ticket* t) noexcept : ticket(t) {}
  ~ticket_holder() {
    if (ticket) ticket->drop();
  }
  start_ticket* release() noexcept { return std::exchange(ticket, nullptr); }
};

/// What became of a start.
struct started {
  pid process;
  ref monitor;
  term value;
};
/// Starts a body that was given `ticket` and waits for its outcome, as proc_lib does: at the timeout the process is
/// killed, and a failed start returns when the process is gone.
result<started> start_body(std::unique_ptr<process_body> body, start_ticket* ticket, const spawn_options& options,
                           duration timeout);

}  // namespace otp::detail
