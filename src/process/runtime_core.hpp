// One runtime: its scheduler, processes, names, timers, counters, and how it starts and stops.
//
// Rules
// 1. Counters are per worker (`worker_local`), written by their worker only and summed on demand; foreign threads
//    use `outside`, whose counters are written with fetch_add.
// 2. The name table has one lock. Under it: names_, and the `named` flag of every process.
// 3. No lock of this file is held while user code runs, or while another one of them is taken.
#pragma once
#include "process/envelope_pool.hpp"
#include "process/process.hpp"
#include "process/process_table.hpp"
#include "runtime/crash.hpp"
#include "runtime/fork_guard.hpp"

#include <otp/runtime.hpp>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

namespace otp::detail {

enum class counter : std::uint8_t {
  spawned,
  exited,
  abandoned,
  sent,
  accepted,
  handled,
  dead,
  refused,
  dropped,
  expired,
  late_replies,
  unhandled,
  fenced,
  reports_lost,
  count_
};

struct counter_block {
  std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(counter::count_)> values{};
};

struct worker_local {
  explicit worker_local(envelope_depot& depot) : envelopes(&depot) {}
  counter_block counters;
  process_table::cache free_places;
  envelope_pool envelopes;
  std::uint64_t next_reference = 0;
  std::uint64_t references_end = 0;
  process_extra* spare_extras = nullptr;  // emptied, with the memory of their tables
  unsigned spare_extra_count = 0;
  void* snapshots = nullptr;  // what this worker remembers of agents' snapshots: behaviours/agent.cpp
};

/// Gives the memory of a worker's spare process_extra back.
void free_spare_extras(worker_local&) noexcept;

class blocking_pool;
class timer_table;

/// What another library keeps in a runtime, such as the I/O context of otp::asio. Made when first asked for, destroyed
/// when the workers have stopped and while everything that a process may have left behind (stacks, places) still
/// exists.
struct runtime_service {
  explicit runtime_service(const void* k) noexcept : key(k) {}
  virtual ~runtime_service() = default;
  runtime_service(const runtime_service&) = delete;
  runtime_service& operator=(const runtime_service&) = delete;

  const void* const key;            // whose it is: the address of something that its library alone has
  runtime_service* next = nullptr;  // written before it is published
};

/// Who decides about every step of a seeded run: see src/testing/engine.hpp. Null in runtimes that nobody explores.
struct explorer : director {
  /// A process is about to do what others may notice. May suspend it; a "callback" may crash, an "end" may not.
  virtual void point(process&, const char* what) = 0;
  /// Delivers later. False: the receiver is dead.
  virtual bool post(process& place, pid to, envelope*) noexcept = 0;
  /// A process takes in what has arrived, linked by `next`.
  virtual void taking(process&, envelope* arrived) noexcept = 0;
  virtual void spawned(process&) noexcept = 0;
  virtual void ended(pid who, const exit_reason& why) noexcept = 0;
  virtual void reported(const event&) noexcept = 0;
  /// Whether a fault happens at this place of the program.
  virtual bool fault_here(std::string_view name) = 0;
};

struct name_entry {
  pid holder;
};

struct runtime_core {
  explicit runtime_core(const runtime_options& options, bool seeded = false, std::uint64_t seed = 0);
  ~runtime_core();
  void free_locals() noexcept;

  void start();
  stop_report stop(duration budget);
  stop_report stop_from_outside(duration budget);
  void stop_from_inside(duration budget);
  /// Throws bad_argument in a forked child of the program that made this runtime: `what` was called there.
  void require_own_program(const char* what) const;

  runtime_options options;
  bool watched = false;                       // every operation is a moment to look at: at_point()
  otp::detail::explorer* explorer = nullptr;  // set before anything runs
  runtime* face = nullptr;
  envelope_depot depot;
  scheduler sched;
  process_table table;
  std::unique_ptr<timer_table> timers;
  std::unique_ptr<blocking_pool> blocking;

  // Names: rule 2.
  struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const noexcept { return std::hash<std::string_view>{}(s); }
  };
  mutable std::mutex names_lock;
  std::unordered_map<std::string, pid, text_hash, std::equal_to<>> names;
  std::unordered_map<std::uint64_t, std::string> names_of;
  std::atomic<std::uint64_t> names_given_up{0};  // written under names_lock, behind the change

  std::atomic<std::uint64_t> next_reference{1};  // of the next block of them that a worker takes
  std::atomic<bool> running{false};
  std::atomic<bool> stopping{false};
  std::atomic<unsigned> spawning{0};        // who is creating a process without a parent: see spawn_body
  std::atomic<nanos> stop_deadline{never};  // set by stop(): what every wait of a supervisor ends at
  std::mutex stop_lock;                     // one stop at a time
  bool stuck = false;                       // some thread did not come back: this object is never destroyed
  std::mutex stopper_lock;
  std::thread stopper;  // carries out a stop that a process asked for; guarded by stopper_lock
  const std::uint32_t generation = fork_generation();

  // Ends of processes, for those who wait outside.
  std::mutex ends_lock;
  std::condition_variable ends;

  // wait_for_shutdown
  std::atomic<bool> shutdown_requested{false};
  spin_lock shutdown_lock;
  std::vector<pid> shutdown_waiters;  // guarded by shutdown_lock

  counter_block outside;
  std::mutex visit_lock;                 // one visitor at a time: process.hpp, rule 4
  std::atomic<std::size_t> given_up{0};  // abandoned processes: their places are never free again
  std::mutex abandoned_lock;
  std::vector<stop_report::left> abandoned;  // guarded by abandoned_lock

  // Accounts of bounded mailboxes: one a place that ever had a limited tenant, freed with the runtime.
  spin_lock accounts_lock;
  std::vector<std::unique_ptr<mailbox_account>> accounts;  // guarded by accounts_lock

  // Ends that somebody outside waits for: rule 3.
  // A process that ends looks at these two only: a bit per (index mod 64) of an awaited one, and who waits for all.
  std::atomic<std::uint64_t> awaited_bits{0};  // written under ends_lock
  std::atomic<unsigned> waiting_for_all{0};
  std::map<std::uint64_t, exit_reason> awaited_ends;  // guarded by ends_lock

  // Where the last exception of a process was thrown, while it is on its way: throw_site.cpp.
  std::mutex throw_sites_lock;
  std::unordered_map<std::uint64_t, std::vector<void*>> throw_sites;  // by pid; guarded by throw_sites_lock

  // Services: read by anyone; the list only grows until the runtime ends.
  std::atomic<runtime_service*> services{nullptr};
  std::mutex services_lock;  // makers
  /// The service of this key, made by `make` if there is none yet.
  runtime_service& service(const void* key, const std::function<std::unique_ptr<runtime_service>(runtime_core&)>& make);

  std::atomic<void*> telemetry{nullptr};  // the table of handlers, once somebody has attached one: telemetry.cpp

  // Events: see event.cpp
  struct event_state;
  std::unique_ptr<event_state> events;

  void count(counter which, std::uint64_t by = 1) noexcept;
  runtime_counters counters() const;
  std::uint64_t new_reference() noexcept;
  void emit(event e) noexcept;
  /// The same; without memory to make the event it is given up.
  template <class Make>
    requires std::invocable<Make&>
  void emit(Make make) noexcept {
    try {
      emit(make());
    } catch (...) {
    }
  }
  void forget_listener() noexcept;
  /// Whether an event of this kind would reach the listener now; if not, it is counted as left out.
  bool wants_event(std::string_view what);
  mailbox_account& open_account(process& place, const spawn_options& wanted);
  void close_account(mailbox_account&) noexcept;
  void process_ended(pid who, const exit_reason& why) noexcept;
  bool nobody_left() const noexcept;

  std::optional<pid> whereis(std::string_view name) const;
  std::vector<std::string> names_held() const;  // sorted
  std::string name_of(const process& p) const;
  std::string describe(pid p) const;  // pid, name and type, for reports
  void request_shutdown();

  static runtime_core* current() noexcept;
};

inline runtime_core& core_of(const worker& w) noexcept { return *static_cast<runtime_core*>(w.owner.owner()); }
inline runtime_core* runtime_core::current() noexcept {
  worker* w = scheduler::current();
  return w ? &core_of(*w) : nullptr;
}
/// The process that runs on this thread, or null.
inline process* current_process() noexcept {
  worker* w = scheduler::current();
  return w ? static_cast<process*>(w->running) : nullptr;
}

/// Throws bad_argument: `what` was called from where it cannot be.
[[noreturn]] void refuse_outside(const char* what);
/// An operation begins in a watched runtime. An overflow is contained here, where it leaves no lock of ours behind; an
/// explorer may let others go first.
void at_point(worker&, const char* what);
/// The worker that the caller runs on; throws bad_argument naming `what` when there is none.
inline worker& require_worker(const char* what) {
  worker* w = scheduler::current();
  if (!w) [[unlikely]]
    refuse_outside(what);
  if (core_of(*w).explorer) [[unlikely]]
    at_point(*w, what);
  return *w;
}
/// The runtime of the caller; throws as above.
inline runtime_core& require_runtime(const char* what) { return core_of(require_worker(what)); }

/// Who runs here: looked up once a call, since every look at the thread is a call of its own.
struct running_process {
  worker& on;
  runtime_core& core;
  process& self;
};
inline running_process require_running(const char* what) {
  worker* w = scheduler::current();
  if (!w || !w->running) [[unlikely]]
    refuse_outside(what);
  auto& p = static_cast<process&>(*w->running);
  check_abandoned(p);
  if (core_of(*w).watched) [[unlikely]]
    at_point(*w, what);
  return {*w, core_of(*w), p};
}
inline process& require_process(const char* what) { return require_running(what).self; }

inline void count_on(worker& w, counter which, std::uint64_t by = 1) noexcept {
  auto& value = static_cast<worker_local*>(w.local)->counters.values[static_cast<std::size_t>(which)];
  value.store(value.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);  // one writer
}
inline void runtime_core::count(counter which, std::uint64_t by) noexcept {
  worker* w = scheduler::current();
  if (w && &w->owner == &sched) [[likely]]
    count_on(*w, which, by);
  else
    outside.values[static_cast<std::size_t>(which)].fetch_add(by, std::memory_order_relaxed);
}

// ---- spawn.cpp ---------------------------------------------------------------------------------------------------
/// Starts a process around `body`. `parent` may be null (from outside). `waited_for`: the parent waits for it next, and
/// then calls scheduler::take_back_handed().
spawned spawn_body(runtime_core&, process* parent, std::unique_ptr<process_body>, const spawn_options&,
                   bool waited_for = false);
std::unique_ptr<process_body> make_function_body(unique_function,
                                                 const std::string_view& type = type_name<unique_function>,
                                                 process_kind kind = process_kind::function);
void step(runnable&, worker&);
/// Whether step() would only resume its stack. For who has its ready right.
inline bool goes_on(const runnable& r) noexcept {
  auto& p = static_cast<const process&>(r);
  return p.attention.load(std::memory_order_acquire) == attention::none && !p.in.has_mail() && !p.dying &&
         (!p.waiting || p.waiting->satisfied);
}
/// Suspends the process, which wait_state `p.waiting` describes; comes back when step() found a reason.
[[gnu::always_inline]] inline void suspend(worker& here, process& p, bool defer) {
  here.owner.suspend(p, here, defer, [](const runnable& r) { return goes_on(r); });
}
void settle(runnable&, worker&) noexcept;

// ---- signals.cpp -------------------------------------------------------------------------------------------------
/// Puts an envelope into an inbox and wakes the owner. False: the process is dead and the envelope is still the
/// caller's.
bool deliver(runtime_core&, pid to, envelope*) noexcept;
/// Takes everything out of the inbox and acts on the control signals. Inside a runtime_section.
void take_in_all(runtime_core&, process&);
inline void intake(runtime_core& core, process& p) {
  if (p.in.has_mail()) take_in_all(core, p);
}
/// Acts on an envelope that was sent to `dead`, whose place this is or was, as its sender would have.
void refuse(runtime_core&, process& place, pid dead, envelope*) noexcept;
/// What remains of a process: closes the inbox, frees names, tells links and monitors. With `keep`, for an abandoned
/// one whose code may still look at them, its dictionary and the messages that it scans stay until the runtime ends.
void end_process(runtime_core&, process&, const exit_reason& why, bool keep = false);
/// Frees what was kept; no code of the process runs any more.
void free_kept(process&) noexcept;
/// Declares a process dead that does not come back (kill budget, swallowed kills, overflow). Any thread.
/// False if it cannot be done now, because the process runs a user's destructor inside the runtime.
bool abandon(runtime_core&, pid who, exit_reason why, std::string_view cause, nanos patience);
/// From the process itself, which then never returns to the runtime.
[[noreturn]] void abandon_self(process&, exit_reason why, std::string_view cause, bool retire_stack);
/// Ends the caller if it holds more than its memory limit.
void keep_within_memory(runtime_core&, process&);
void send_exit(runtime_core&, pid from, pid to, const exit_reason& why) noexcept;
void start_kill_budget(runtime_core&, pid victim) noexcept;
/// Tells a process that somebody watches it: `e` is the down message that it will send. False: it is dead, and `e` is
/// still the caller's.
bool send_monitor(runtime_core&, pid target, value_envelope<down>* e) noexcept;
/// What the caller destroys when it is out of its section, if there is something.
[[nodiscard]] envelope* send_demonitor(runtime_core&, pid target, ref monitor);
void send_wake(runtime_core&, pid to, const void* token) noexcept;
/// Gives the result of a task to its owner, which waits on this worker. False: it has to travel through the inbox.
bool hand_result(worker& here, pid owner, envelope* result) noexcept;
void append(process&, envelope*) noexcept;
void handle_forget(runtime_core& core, process& p, envelope* e);  // collect.cpp
/// One that is noted leaves the queue, or gets another one before it: collect.cpp.
void forget_note(process& p, envelope& e) noexcept;
void move_note(process& p, const envelope& e, envelope* before) noexcept;
void unlink_from_queue(runtime_core&, process&, envelope* before, envelope* e) noexcept;
inline envelope* take_first(runtime_core& core, process& p) noexcept {
  envelope* e = p.first;
  if (!e) return nullptr;
  if (e->accounted || e->noted || p.scanned == e || p.alarmed.load(std::memory_order_relaxed)) [[unlikely]] {
    unlink_from_queue(core, p, nullptr, e);
    return e;
  }
  p.first = e->next;
  if (p.first)
    p.oldest_at = p.first->sent_at;
  else
    p.last = nullptr;
  e->next = nullptr;
  p.queued.store(p.queued.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);  // a statistic
  return e;
}
send_status send_user(runtime_core& core, pid to, envelope* e);
/// The same for a request whose caller waits for the answer next, and then calls scheduler::take_back_handed().
send_status send_call(worker& on, pid to, envelope* e);
/// Gives a caller that waits on this worker its reply. False: it has to travel through the inbox.
bool hand_reply(runtime_core& core, worker& here, process& caller, request_envelope& r) noexcept;
void end_calls_to(runtime_core&, envelope* request, const exit_reason& why) noexcept;

// ---- program.cpp -------------------------------------------------------------------------------------------------
/// Of isolation builds: otp::run goes this way, to the seeded engine.
extern int (*run_in_place)(unique_function& body, const runtime_options&);

// ---- wait.cpp ----------------------------------------------------------------------------------------------------
/// Suspends the caller until `w` is satisfied or its deadline passes. Throws the process's fate, if it has one.
void wait(process&, wait_state& w);
/// As wait, but a fate is not thrown: for waits that must end before the stack may go.
void wait_uninterrupted(process&, wait_state& w);
/// As wait, but a fate ends it (false) and is not thrown: for waits that have something to cancel first.
[[nodiscard]] bool wait_or_fate(process&, wait_state& w);
/// Makes sure that the next suspension has a stack to switch to; throws exited(system_limit) if there is none.
void prepare_to_suspend(runtime_core&);
/// When a wait ends by itself: at its deadline, or when a supervisor gives up the start that it waits in.
inline nanos wait_deadline(const process& p, const wait_state& w) noexcept {
  start_watch* watch = watch_of(p);
  return watch && w.interruptible ? std::min<nanos>(w.deadline, watch->deadline) : w.deadline;
}
/// Whether that moment has come; notes which of the two it was.
bool deadline_passed(process&, wait_state&, nanos now) noexcept;
/// Throws the process's fate unless it is unwinding already.
void meet_fate(process&);
inline void check_fate(process& p) {
  if (p.dying || watch_of(p)) [[unlikely]]
    meet_fate(p);
}
/// The private type that unwinds a process which was sent a fatal exit signal.
struct unwind {};

/// What hibernate(f) unwinds the stack with.
struct hibernation {
  unique_function resume;
};

/// True in a terminate handler for an exception that this library throws into user code by itself.
bool in_flight_is_ours() noexcept;

/// As exit_reason::of_current_exception(); without memory for the details it is a plain system_limit.
exit_reason current_reason() noexcept;
/// Nobody throws it; a catch clause for it notes where other exceptions were thrown, if the runtime records that.
struct throw_site_probe {
  virtual void never_defined();
};
/// The frames of the exception that the caller has just caught; empty unless they are recorded.
std::vector<void*> take_throw_site() noexcept;

/// Runs user code: what it threw is the reason, `unwind` the process's fate. Empty: it returned.
template <class F>
std::optional<exit_reason> guarded(process& p, F&& code) {
  bool unwound = false;
  std::optional<exit_reason> reason;
  try {
    code();
  } catch (const unwind&) {
    unwound = true;
  } catch (const throw_site_probe&) {
    // Never: see throw_site.cpp.
  } catch (...) {
    reason = current_reason();
  }
  if (unwound) reason = p.fate;
  return reason;
}

// ---- names.cpp ---------------------------------------------------------------------------------------------------
result<void> try_register(runtime_core&, std::string_view name, pid who);
void release_name(runtime_core&, process&) noexcept;
bool valid_name(std::string_view name) noexcept;

// ---- visit.cpp: looking into another process -----------------------------------------------------------------------
enum class visited : std::uint8_t { yes, dead, busy };
/// Runs `look(process&)` while the process cannot change its tables. Busy: it did not leave the runtime in time, which
/// means that it runs a user's destructor there.
visited visit_within(runtime_core&, nanos patience, pid who, void (*look)(process&, void*), void* argument,
                     bool fence = false);
/// The same without a limit. False if it is dead.
bool visit(runtime_core&, pid who, void (*look)(process&, void*), void* argument, bool fence = false);
/// What info() says of it; none also if it is busy for that long.
std::optional<process_info> look_at(runtime_core&, pid who, nanos patience = never);

// ---- crash_event.cpp ---------------------------------------------------------------------------------------------
/// The crash report of the process that runs here and ends with `why`.
event crash_event(runtime_core&, process&, const exit_reason& why);
/// It ends by an exception that is no exit.
bool is_error(const exit_reason& why) noexcept;

}  // namespace otp::detail
