// The control block of a process, and what belongs to it.
//
// Rules
// 1. A block lives in the process table and is never unmapped while its runtime exists: whoever holds a stale pid may
//    still read `id` and push to `in`. `in` is closed (zero) whenever the block has no tenant.
// 2. Every envelope carries the pid it was sent to. A sender may be slow and the place change its tenant between the
//    look at `id` and the push: the new tenant finds somebody else's envelope and treats it as sent to a dead process.
// 3. "The owner" is the worker that runs the process or its intake. Fields without a comment are the owner's. The
//    owner touches the tables (links, monitors, names ...) only inside a runtime_section.
// 4. Another thread may look into the tables or take them over (info, abandonment) after it has set `attention` and
//    waited for `phase` to leave `in_runtime`: see runtime_section. Only one such visitor at a time (visit_lock).
// 5. Going idle: the owner writes `home` and `stk`, then `in.try_sleep()`; the sender that wakes it reads them after.
// 6. Who wakes a process holds its rights as the owner until it schedules it; so does the worker on which a process is
//    handed over to or deferred (scheduler.hpp, rules 5 and 6), until that one runs. A sender on the worker where the
//    process will run uses them to put its message or reply into the queue itself, or to act on a signal there
//    (hand_section), which spares both the way through the inbox. Nothing is overtaken: one that slept has taken
//    everything in, and of one that was handed over to or deferred the inbox must be empty.
#pragma once
#include "base/flat_table.hpp"
#include "runtime/inbox.hpp"
#include "runtime/membarrier.hpp"
#include "runtime/scheduler.hpp"

#include <otp/detail/behaviour.hpp>

#include <memory>

namespace otp::detail {

struct process;
struct runtime_core;

enum class phase : std::uint8_t {
  idle,        // nobody runs it: asleep, or queued
  in_runtime,  // its tables may be changing
  in_user,     // user code runs
  waiting,     // its stack is suspended
};

enum class attention : std::uint8_t {
  none,
  hold,   // a visitor reads the tables: spin at the next runtime_section
  fence,  // abandoned: never enter the runtime again
};

/// What a suspended stack waits for. Lives on that stack.
struct wait_state {
  bool (*wants)(wait_state&, envelope&) = nullptr;  // asked once per arriving message or reply; null: none
  const void* token = nullptr;                      // satisfied by a wake signal with this token
  const envelope* reply = nullptr;                  // satisfied by this request coming back
  envelope* found = nullptr;                        // that request, once it has; owned by the waiter
  nanos deadline = never;
  bool fresh = false;  // the deadline lies ahead for certain
  bool satisfied = false;
  bool timed_out = false;
  bool interruptible = true;  // false while the stack is unwinding: a fate is not thrown twice
};

/// The reusable timer of a process's waits: stays armed when a wait ends early, and is looked at when it fires.
struct wait_timer : timer {
  std::atomic<int> references{1};  // the process, and the wheel while armed
  pid owner;
  runtime_core* core = nullptr;
};

/// The limits of a process, for those who send to it. Belongs to a place in the process table, for all its tenants: a
/// sender that is late finds the account of the present one, takes room and gives it back. So what goes in comes out,
/// and the counts are never set.
struct mailbox_account {
  // Written by spawn; a late sender may read them meanwhile.
  std::atomic<std::size_t> messages_max{0};
  std::atomic<std::size_t> bytes_max{0};
  std::atomic<std::size_t> memory_max{0};
  std::atomic<overflow> policy{overflow::reject};
  std::atomic<std::size_t> used{0};   // what the process says that it holds itself
  std::atomic<std::size_t> count{0};  // accepted and not yet taken by the owner
  std::atomic<std::size_t> bytes{0};
  std::atomic<bool> overflowed{false};
  spin_lock lock;
  std::vector<pid> waiting;  // senders blocked for room; guarded by lock
};

/// Which account a place has: none, one that its tenant uses, or one from an earlier tenant, which the next one with
/// limits will use. One word: a pointer, and whether the tenant uses it. Written by the owner and by spawn.
class account_slot {
 public:
  /// The tenant's limits; null: unbounded.
  mailbox_account* used() const noexcept {
    const std::uintptr_t word = word_.load(std::memory_order_acquire);
    return word & in_use ? at(word - in_use) : nullptr;
  }
  bool is_used() const noexcept { return word_.load(std::memory_order_acquire) & in_use; }
  mailbox_account* kept() const noexcept { return at(word_.load(std::memory_order_acquire) & ~in_use); }
  void use(mailbox_account& a) noexcept {
    word_.store(reinterpret_cast<std::uintptr_t>(&a) | in_use, std::memory_order_release);
  }
  void keep(mailbox_account& a) noexcept {
    word_.store(reinterpret_cast<std::uintptr_t>(&a), std::memory_order_release);
  }

 private:
  static constexpr std::uintptr_t in_use = 1;
  static mailbox_account* at(std::uintptr_t word) noexcept { return reinterpret_cast<mailbox_account*>(word); }
  std::atomic<std::uintptr_t> word_{0};
};

struct link_record {
  std::uint64_t unlinking = 0;  // id of an unlink that is not acknowledged yet; 0: active
  bool late = false;            // made after the signal that ends the process: told noproc
};

struct monitor_record {
  pid target;
  alias_mode alias = alias_mode::none;
  bool monitoring = true;  // false: only its alias is left
};

/// Where in the queue results and ends of tasks are that were passed over, by the number of the task's monitor:
/// collect.cpp.
struct result_notes {
  struct place {
    envelope* message;
    envelope* before;  // means nothing while `message` is the first
  };
  flat_table<std::uint64_t, place> results;
  flat_table<std::uint64_t, place> ends;
};

/// What most processes do not have: made when first needed.
struct process_extra {
  flat_table<std::uint64_t, link_record> links;        // by pid
  flat_table<std::uint64_t, monitor_record> monitors;  // mine, by reference number
  flat_table<std::pair<std::uint64_t, std::uint64_t>, envelope*>
      monitored_by;  // by others than watcher0: {watcher, number} -> its down message, owned
  flat_table<std::uint64_t, std::uint8_t> timers;  // aimed at me, by number
  std::uint64_t last_timer = 0;                    // of those that I set, the one that expires last
  nanos last_timer_at = -1;                        // when
  unsigned timers_on = 0;                          // the worker whose wheel they are in
  std::unique_ptr<result_notes> results;
  std::vector<std::pair<term, term>> dictionary;
  std::string label;
  wait_timer* waits = nullptr;
  start_watch* watch = nullptr;  // of a supervisor that waits for a child's start; on its stack
  pid group_leader;
  std::size_t own_stack_size = 0;       // of a process with `own_stack`
  process_extra* next_spare = nullptr;  // of the worker that keeps it
};
/// From the worker's spare ones, or new; and back.
process_extra* make_extra();
void free_extra(process_extra*) noexcept;
struct extra_deleter {
  void operator()(process_extra* extra) const noexcept { free_extra(extra); }
};
using owned_extra = std::unique_ptr<process_extra, extra_deleter>;

struct process : runnable {
  // Senders; this is the first cache line of a block, and what the owner writes for every message is on others.
  inbox<envelope> in;                // rule 1; rule 5
  std::atomic<std::uint64_t> id{0};  // of the tenant; changes when it dies
  account_slot account;
  // Who calls whom, for deadlock detection: see request.cpp.
  std::atomic<std::uint64_t> edge{0};  // callee's index in the low 24 bits, my call number above; 0: none

  // The owner and its visitors (rule 4).
  std::atomic<otp::detail::phase> phase{phase::idle};
  std::atomic<otp::detail::attention> attention{attention::none};
  std::atomic<bool> trap_exit{false};  // written by the owner
  std::atomic<bool> named{false};      // written under the name table's lock
  bool started = false;
  bool own_stack = false;
  bool exiting = false;              // end_process has begun
  bool over = false;                 // the body asked to end, `fate` is the reason
  bool dying = false;                // `fate` is decided
  bool killed = false;               // by a kill, not by another exit signal
  std::uint8_t thrown = 0;           // how often the fate was thrown at a wait
  std::atomic<bool> alarmed{false};  // the mailbox alarm was reported
  bool linked_at_spawn = false;
  bool reported = false;                          // its crash was told already
  bool scanning = false;                          // receive: conditions look through the queue, outside of a section
  std::uint32_t born = 0;                         // age_clock() at the spawn
  std::atomic<std::uint32_t> running_samples{0};  // looks of the watchdog, 10 ms apart, that found it running
  std::atomic<const std::string_view*> type_name{nullptr};  // of the body, for reports by others

  envelope* first = nullptr;  // taken from the inbox, not yet handled, in order of arrival
  envelope* last = nullptr;
  std::atomic<std::uint32_t> queued{0};  // how many; read by anyone
  std::uint32_t oldest_at = 0;
  process_body* body = nullptr;
  wait_state* waiting = nullptr;
  request_envelope* handling = nullptr;  // the request that the body has, until request_done()
  process_extra* extra = nullptr;
  std::uint64_t parent = 0;
  exit_reason fate;              // valid if dying
  std::uint64_t link0 = 0;       // the first link, kept here: most processes have one
  envelope* watcher0 = nullptr;  // the same of who monitors it: watchers.hpp
  envelope* scanned = nullptr;   // up to here nothing matches `scanned_for`: receive; or is noted: collect.cpp
  const void* scanned_for = nullptr;

  // Counters; written by the owner, read by anyone.
  std::atomic<std::uint32_t> messages_in{0};
  std::atomic<std::uint32_t> reductions{0};

  std::atomic<nanos> edge_deadline{never};  // of `edge`
  std::uint64_t calls = 0;

  /// Who is about to push wants the line of the inbox for itself, and not twice.
  void about_to_push() const noexcept {
#if defined(__x86_64__)
    asm volatile("prefetchw %0" : : "m"(in));
#endif
  }
  otp::pid self() const noexcept { return otp::pid(id.load(std::memory_order_relaxed)); }
  process_extra& more() {
    if (!extra) extra = make_extra();
    return *extra;
  }
};

/// The clock of the ages of processes: it goes round in 18 years.
constexpr int age_clock_shift = 27;  // a tick is 0.13 s
constexpr std::uint32_t age_clock(nanos t) noexcept { return static_cast<std::uint32_t>(t >> age_clock_shift); }

/// The watch of a supervisor that waits for a child's start; null otherwise.
inline start_watch* watch_of(const process& p) noexcept { return p.extra ? p.extra->watch : nullptr; }

/// An abandoned process tried to enter the runtime: its stack is left for good.
[[noreturn]] void park_abandoned(process&);
inline void check_abandoned(process& p) {
  if (p.attention.load(std::memory_order_relaxed) == attention::fence) [[unlikely]]
    park_abandoned(p);
}

/// Brackets every change of a process's tables by its owner. The hot side of the barrier: two plain stores and a load.
class runtime_section {
 public:
  explicit runtime_section(process& p, otp::detail::phase back = phase::in_user) : process_(p), back_(back) {
    enter(p);
  }
  ~runtime_section() { process_.phase.store(back_, std::memory_order_release); }
  runtime_section(const runtime_section&) = delete;
  runtime_section& operator=(const runtime_section&) = delete;
  /// What the process does after this section.
  void leave_as(otp::detail::phase p) noexcept { back_ = p; }

  static void enter(process& p) {
    for (;;) {
      p.phase.store(phase::in_runtime, std::memory_order_relaxed);
      light_barrier();
      otp::detail::attention a = p.attention.load(std::memory_order_acquire);
      if (a == attention::none) [[likely]]
        return;
      p.phase.store(phase::in_user, std::memory_order_release);
      if (a == attention::fence) park_abandoned(p);
    }
  }

 private:
  process& process_;
  otp::detail::phase back_;
};

/// The same for who has woken the process and not scheduled it yet: rule 6. It does not wait for a visitor.
class hand_section {
 public:
  explicit hand_section(process& p) noexcept : process_(p), before_(p.phase.load(std::memory_order_relaxed)) {
    p.phase.store(phase::in_runtime, std::memory_order_relaxed);
    light_barrier();
    entered_ = p.attention.load(std::memory_order_acquire) == attention::none;
  }
  ~hand_section() { process_.phase.store(before_, std::memory_order_release); }
  hand_section(const hand_section&) = delete;
  hand_section& operator=(const hand_section&) = delete;
  /// False: a visitor is there; touch nothing.
  bool entered() const noexcept { return entered_; }

 private:
  process& process_;
  otp::detail::phase before_;
  bool entered_;
};

}  // namespace otp::detail
