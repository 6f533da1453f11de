// Workers, their queues, clocks and timers: what decides which process runs next, where, and when.
//
// Two engines stand behind one interface. The threads engine runs workers on OS threads in real time. The seeded
// engine runs one worker on the thread that called run_seeded(), picks among the ready in an order drawn from its
// seed, and moves a virtual clock only when nothing can run. Nothing outside this room reads a clock, a random device
// or a thread id.
//
// Rules
// 1. A `runnable` is *ready* from the moment somebody wins the right to wake it (its inbox tells who) until a worker
//    takes it. Exactly one maker per ready transition calls make_ready().
// 2. A runnable without a stack of its own may be taken by any worker. One with a suspended stack is pinned: `home`
//    names its worker, only that worker resumes it, and the stack never changes its OS thread.
// 3. A worker's loop runs on `worker::loop`, a pooled stack. When the code that the loop called suspends, that stack
//    belongs to the runnable, and the worker continues its loop on another. After every step the loop asks whether it
//    is still its worker's loop; if not, it gives its stack back and that ends there. Where the next step is only to go
//    on with another suspended stack, the one that suspends goes there directly, and the loop stays where it is: what
//    it called has returned when somebody next suspends to it, for whomever.
// 4. `worker` fields without a comment belong to the OS thread of the worker. Others name their guard.
// 5. One runnable may be handed over to (hand_over): it is ready, in no queue, and the worker's loop takes it first.
//    Who hands over ends its step next, or suspends; if it does neither, it takes it back.
// 6. One runnable may be deferred: it has suspended to wait for the answer of the one that it has handed over to, and
//    its inbox is still awake, so its worker has the rights of its owner. Whoever answers on this worker, within that
//    step, takes it from there (deferred = null) and makes it ready or hands over to it. At the end of the step, or
//    when that suspends, hooks::settle lets it sleep after all, or makes it ready if something has come meanwhile.
// 7. What a worker has ready without a stack may run anywhere, what has a stack only there. So while another worker
//    is on its way to take a share (left_until), the ones with stacks go first. One whose steps take long (lengthy) is
//    offered to another worker that has nothing to do even if it is the only one, and not handed over to while somebody
//    with a stack waits here: of short steps each costs less than a crossing. Steps are timed on workers where long
//    ones were seen (coarse), which also look at clock and timers at each.
// 8. Lost wake-ups: who publishes work (ring, remote list, injection, timer) then asks idle_set; who parks announces
//    itself in idle_set and then looks at all of them again. Both sides are seq_cst.
#pragma once
#include "base/isolation.hpp"
#include "runtime/context.hpp"
#include "runtime/cycle_clock.hpp"
#include "runtime/idle_set.hpp"
#include "runtime/parker.hpp"
#include "runtime/poller.hpp"
#include "runtime/run_queue.hpp"
#include "runtime/stack.hpp"
#include "runtime/sync.hpp"
#include "runtime/timer_wheel.hpp"
#include "runtime/tls.hpp"

#include <pthread.h>

#include <array>
#include <atomic>
#include <cassert>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace otp::detail {

class scheduler;
struct worker;

/// Called on a worker before a stack is suspended; null unless otp::held_locks is linked (src/debug).
extern constinit std::atomic<void (*)() noexcept> suspension_check;

enum class priority_class : std::uint8_t { low, normal, high, max };

/// What a worker runs. A process is one.
struct runnable {
  runnable* next = nullptr;            // link in a list of ready ones: of whoever holds the ready right
  stack* stk = nullptr;                // the stack kept while suspended, or its own; the running worker's
  std::atomic<std::uint32_t> home{0};  // worker number + 1 that a stack pins it to; written before the inbox sleeps
  std::atomic<priority_class> priority{priority_class::normal};
  std::uint8_t passed_over = 0;  // how often a low-priority one gave way; the running worker's
  bool lengthy = false;          // its last timed step took long; of who holds the ready right, or runs it
  [[no_unique_address]] isolated apart;
};

/// The short form of a time, for ages: wraps after 49 days.
constexpr std::uint32_t milliseconds(nanos t) noexcept { return static_cast<std::uint32_t>(t / 1'000'000); }

/// A timer that any room may embed. Armed in the wheel of one worker; fires on the thread that drives that wheel.
struct timer : timer_node {
  void (*fire)(timer&) noexcept = nullptr;
  std::atomic<std::uint32_t> shard{0};  // number of the worker whose wheel holds it; written under that wheel's lock
};

class spin_lock {
 public:
  void lock() noexcept {
    while (flag_.exchange(true, std::memory_order_acquire)) wait();
  }
  bool try_lock() noexcept { return !flag_.exchange(true, std::memory_order_acquire); }
  void unlock() noexcept { flag_.store(false, std::memory_order_release); }

  /// What a thread that spins does between two looks.
  static void pause() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

 private:
  void wait() noexcept;
  std::atomic<bool> flag_{false};
};

struct alignas(64) worker {
  worker(scheduler& owner, unsigned number);
  ~worker();
  void set_clock(nanos now) noexcept {
    cached_now = now;
    cached_ms = milliseconds(now);
  }

  scheduler& owner;
  const unsigned number;

  // What runs here.
  context thread_context;       // the OS thread's own stack
  stack* loop = nullptr;        // the stack that the scheduling loop is on
  stack* current = nullptr;     // the stack that runs now
  stack* retired = nullptr;     // left by the last switch, goes to the pool once off it
  stack* lost = nullptr;        // the same, but never to be used again
  stack* next_loop = nullptr;   // taken by prepare_to_suspend, so that suspend cannot fail
  runnable* running = nullptr;  // whom the step in progress is for
  stack_pool pool;
  nanos cached_now = 0;         // read at least once per `poll_interval` steps
  nanos left_until = 0;         // till then what has a stack goes first; rule 7
  nanos usual_wait = 0;         // how long it took lately until there was something to do again
  nanos slow_time = 0;          // of judged_time, in steps that took long
  nanos judged_time = 0;        // since coarse was judged last
  int read_at = 0;              // look_in when the clock was read
  unsigned stretches = 0;       // between readings
  bool coarse = false;          // its steps take long
  bool rested = true;           // since the last reading: that stretch says nothing about steps
  cycle_clock cycles;           // counts on from there; never set where it cannot be trusted
  std::uint32_t cached_ms = 0;  // the same, for the age of messages
  std::uint32_t ticks = 0;
  int look_in = 0;         // steps until clock, timers, poller and the queue for everybody are looked at
  unsigned allowance = 0;  // receives that the step in progress may still do before it yields
  bool leaving = false;    // the loop shall end
  [[no_unique_address]] isolation_loop isolation;

  // Ready here. The rings are thieves' too.
  run_queue<runnable, std_sync> ready;
  run_queue<runnable, std_sync, 64> urgent;
  runnable* handed = nullptr;  // runs next, before everything that is queued: the running step has handed over to it
  unsigned handed_in_row = 0;
  runnable* deferred = nullptr;  // rule 6
  runnable* pinned_first = nullptr;
  runnable* pinned_last = nullptr;
  std::uint32_t gave_away_at = 0;  // `ticks` when it last woke another worker for a suspended stack of that one
  alignas(64) std::atomic<runnable*> remote_pinned{nullptr};  // pushed by anyone, taken whole by the worker

  // Looked at by workers without work; seldom written.
  alignas(64) std::atomic<bool> spinning{false};  // has looked for something to do for a while, without a pause
  std::atomic<bool> offers{false};                // even the single one that is ready; rule 7

  // Timers: guarded by `timers_lock`, so that a spare can drive a stalled worker's.
  alignas(64) spin_lock timers_lock;
  std::atomic<bool> driven{false};  // somebody fires what is due
  timer_wheel wheel;
  std::atomic<nanos> next_timer{never};  // at most the earliest deadline in the wheel

  // Watched by the watchdog, any thread may read.
  alignas(64) std::atomic<std::uint64_t> beat{0};  // odd: inside a step
  std::atomic<runnable*> observed{nullptr};        // whom the step in progress is for
  std::atomic<bool> in_poller{false};
  std::atomic<bool> stalled{false};    // set by the watchdog, cleared by the worker's next beat
  std::atomic<pthread_t> os_thread{};  // for the watchdog's signal
  std::atomic<unsigned> trims{0};      // how often its stack pool shall be trimmed; set by the watchdog
  parker<std_sync> park;

  // Guarded by the scheduler's life_lock_.
  enum class life : std::uint8_t { none, starting, running, ended };
  life alive = life::none;
  std::exception_ptr failure;  // why it could not start
  std::thread thread;          // of start(), stop() and the watchdog

  // For the room above: counters per worker.
  void* local = nullptr;
  void* debug = nullptr;  // by malloc; of suspension_check
};

/// Who decides in the seeded engine what happens next, where somebody else than the scheduler shall: src/testing. All
/// of it on the one thread.
struct director {
  virtual ~director() = default;
  /// This one is ready from now on, until next() returns it.
  virtual void ready(runnable&) noexcept = 0;
  /// On the loop, between two steps: whom to run. Null: it is over.
  virtual runnable* next() = 0;
};

/// What a stalled worker looked like, for the report of the room above.
struct stall {
  unsigned worker = 0;
  runnable* running = nullptr;
  nanos since = 0;
  bool again = false;  // reported before, still stalled
};

class scheduler {
 public:
  struct options {
    unsigned workers = 0;  // 0: one per CPU that this program may use
    unsigned spares = 0;   // most compensating workers; 0: as many as workers, at least 4
    stack_source::options stacks{};
    nanos stall_limit = 500'000'000;  // a step longer than this is reported
    unsigned batch = 64;              // messages and continues that a process handles before it yields
    bool seeded = false;
    std::uint64_t seed = 0;
  };
  /// What the room above supplies.
  struct hooks {
    void (*step)(runnable&, worker&) = nullptr;              // runs one ready runnable; may suspend inside
    bool (*goes_on)(const runnable&) noexcept = nullptr;     // its step would do nothing but resume it
    void (*settle)(runnable&, worker&) noexcept = nullptr;   // rule 6
    void (*stalled)(scheduler&, const stall&) = nullptr;     // from the watchdog thread
    void (*notice)(scheduler&, const char* text) = nullptr;  // stacks without the guards they should have; any thread
    void (*worker_started)(worker&) = nullptr;
    void (*worker_ended)(worker&) = nullptr;
    void (*tick)(scheduler&) = nullptr;  // now and then, from the watchdog
    void (*trim)(worker&) = nullptr;     // on its worker: it has been quiet for a while, memory may go back
  };

  scheduler(options, hooks, void* owner);
  ~scheduler();
  scheduler(const scheduler&) = delete;
  scheduler& operator=(const scheduler&) = delete;

  /// Threads engine: starts the workers. Throws std::system_error or stack_exhausted, and none is left then.
  void start();
  /// Threads engine: ends the workers; whatever is still ready stays where it is. False: after `patience` some thread
  /// had not come back from the code that it runs. It is left to itself, and this object must never be destroyed.
  bool stop(nanos patience);

  /// Seeded engine: runs on the calling thread until `done` says so or nothing can ever happen again (false).
  bool run_seeded(bool (*done)(void*), void* argument);
  /// Seeded engine: from a process: lets time pass by `length`, everything due in it run to rest, then returns true
  /// when the loop should wake `who` by `wake`.
  void advance_seeded(nanos length, void (*wake)(void*), void* argument);
  /// Seeded engine: the calling thread, which run_seeded() made a worker, is none any more.
  void end_seeded();
  /// Seeded engine: `d` decides from now on, by means of these.
  void direct(director* d) noexcept { director_ = d; }
  bool seeded_done() const { return seeded_done_(seeded_argument_); }
  bool timer_due() const noexcept { return next_timer() <= virtual_now_; }
  nanos next_timer() const noexcept { return workers_[0]->next_timer.load(std::memory_order_relaxed); }
  void fire_one_timer();
  void set_clock(nanos now) noexcept { virtual_now_ = workers_[0]->cached_now = now; }
  /// Nothing happens before `next`, when nothing can run now: moves the clock there, or to the end of an advance.
  /// False: it never will.
  bool pass_time(nanos next);
  /// Leaves the stack of the running step, which goes on when it is its turn again.
  void preempt(runnable& who);

  bool seeded() const noexcept { return options_.seeded; }
  void* owner() const noexcept { return owner_; }
  const options& configuration() const noexcept { return options_; }

  /// Queues a runnable; the caller holds its ready right (rule 1). Any thread.
  void make_ready(runnable& r) noexcept {
    worker* w = current();
    make_ready(r, w && &w->owner == this ? w : nullptr);
  }
  /// The same; `here` is the worker that the caller runs on, null if it is none of this scheduler's.
  void make_ready(runnable&, worker* here) noexcept;
  /// Lets it run next, on this worker, before everything that is queued: the step in progress is about to end, or to
  /// wait for it. False: not now, so that others get their turn; the caller makes it ready then.
  bool hand_over(runnable&, worker& here) noexcept;
  /// Queues what was handed over after all: the step goes on.
  void take_back_handed(worker& here) noexcept;
  /// Queues it behind everything that is ready: for one that used up its batch.
  void make_ready_last(runnable&) noexcept;

  /// Makes sure that the next suspend() has a stack for the loop. Throws stack_exhausted.
  void prepare_to_suspend();
  /// Whether it would have to look for one.
  static bool needs_stack(const worker& here) noexcept { return here.current == here.loop && !here.next_loop; }
  /// Leaves the stack of the running step, which stays `who`'s (who.stk), and goes on with the loop. Returns when
  /// resume(who) is called, on the same thread.
  void suspend(runnable& who) { suspend(who, *current(), false, hooks_.goes_on); }
  /// `defer`: rule 6. `goes_on` is the hook, from who knows it inline.
  template <class GoesOn>
  void suspend(runnable& who, worker& here, bool defer, GoesOn&& goes_on);
  /// Called by a step: runs `who` on its suspended stack until it suspends again or its step ends.
  void resume(runnable& who);
  /// Counts one receive of the step in progress. False: it had its share, and should yield now.
  static bool may_go_on(worker& here) noexcept;
  /// Whether the step of `who`, in progress, should end although it has not used up its batch: where steps take long.
  static bool has_had_its_time(worker& here, const runnable& who) noexcept;
  /// That step ends with nothing left to do.
  static void time_step(worker& here, runnable& who) noexcept;
  /// That step ends with its batch used up: if this took long, the worker looks at clock and timers next.
  static void batch_over(worker& here, runnable& who) noexcept;
  /// True while the calling code runs on its worker's loop stack: a step that suspended meanwhile does not.
  static bool on_loop_stack(const worker&) noexcept;
  /// Starts a stack of its own for `who`, to be entered by the next resume().
  void give_own_stack(runnable& who, std::size_t size, context_entry entry, void* argument);
  /// The first act of code on an own stack.
  static void entered_own_stack();
  /// The last act of code on an own stack: never returns; the stack is given back.
  [[noreturn]] void leave_own_stack();
  enum class dead_stack : std::uint8_t { reuse, keep, retire };
  /// Leaves the running stack for good. If its code did not end (containment), it is kept or retired, not reused.
  [[noreturn]] void abandon_stack(dead_stack what);

  /// In the wheel of worker `on`, or of the calling one. Timers of one wheel fire in the order of their deadlines.
  void arm(timer&, nanos deadline, worker* on = nullptr);
  bool disarm(timer&) noexcept;  ///< true: it had not fired and will not
  /// The same for who holds `of.timers_lock` and keeps more under it.
  void arm_locked(timer&, nanos deadline, worker& of) noexcept;
  static bool disarm_locked(timer& t, worker& of) noexcept { return of.wheel.disarm(t); }
  /// After arm_locked, without the lock: a worker that sleeps learns of a deadline that is sooner than it knew.
  void announce_deadline(nanos deadline, worker& of) noexcept;
  /// Fires every timer that is still armed: for an owner that goes, whose timers find nobody any more.
  void drop_timers() noexcept;
  worker& shard(unsigned number) noexcept { return *workers_[number]; }
  unsigned shard_count() const noexcept { return static_cast<unsigned>(workers_.size()); }

  nanos now() noexcept;  ///< exact
  /// What a deadline counts from: the same, cheaper, by counting on from what this worker has read (cycle_clock.hpp).
  /// Whether the deadline has passed is judged by the clock itself.
  nanos now(worker& here) noexcept;
  nanos coarse_now() noexcept;  ///< some milliseconds behind, a few nanoseconds to read
  /// What a timeout counts from: the clock, or for one of a second or more the coarse clock and what it may be behind
  /// (10 ms: a tick, and more than a late one was seen to add), so that it comes some milliseconds late and not early.
  nanos timeout_begin(nanos timeout, worker& here) noexcept;
  /// System time in nanoseconds since 1970; virtual in the seeded engine.
  std::int64_t wall_now() noexcept;
  std::uint64_t random() noexcept;
  static nanos machine_now() noexcept;
  /// For the few places that spin for another thread's next instruction.
  static void give_way() noexcept;

  /// So many threads that are no workers compute: whoever spins does not want their cores.
  void set_threads_apart(unsigned n) noexcept { threads_apart_.store(n, std::memory_order_relaxed); }

  void attach(poller*) noexcept;
  poller* attached() const noexcept { return poller_.load(std::memory_order_acquire); }

  stack_source& stacks() noexcept { return stacks_; }
  unsigned workers() const noexcept { return worker_count_; }
  std::uint64_t steals() const noexcept { return steals_.load(std::memory_order_relaxed); }
  std::uint64_t parks() const noexcept { return parks_.load(std::memory_order_relaxed); }

  static worker* current() noexcept { return static_cast<worker*>(current_worker_raw()); }

 private:
  static void loop_entry(void* stack_pointer);
  void loop(stack* mine);
  void start_worker(worker&);
  void thread_main(worker&);
  void say(worker&, worker::life, std::exception_ptr = nullptr) noexcept;
  bool join_workers(nanos patience);
  runnable* take_handed(worker&);
  runnable* next_ready(worker&);
  template <class GoesOn>
  runnable* next_suspended(worker&, GoesOn& goes_on) noexcept;
  runnable* look(worker&);
  runnable* next_seeded(worker&);
  runnable* take_local(worker&);
  static runnable* take_pinned(worker&) noexcept;
  static void fetch_remote(worker&) noexcept;
  runnable* take_injected(worker&);
  runnable* steal(worker&);
  bool anything_for(worker&);
  bool anything_to_share() const;
  void refresh(worker&);
  nanos read_on(worker&) noexcept;
  bool run_timers(worker& driver, worker& of, nanos now);
  void make_ready_elsewhere(runnable&, worker* here) noexcept;
  void push_local(worker&, runnable&, bool goes_on = false) noexcept;
  void inject(runnable&) noexcept;
  void inject(runnable& first, runnable& last, std::size_t count) noexcept;
  void make_room(worker&) noexcept;
  bool wake_one() noexcept;
  void offer(worker&) noexcept;
  static void judge(worker&, nanos stretch, int steps) noexcept;
  void read_for_step(worker&) noexcept;
  [[gnu::cold]] static bool took_long(worker&) noexcept;
  static bool slow(nanos stretch, int steps) noexcept;
  void unpark(worker&) noexcept;
  bool spin(worker&, nanos now);
  bool spin_until(worker&, nanos now, nanos end);
  bool park(worker&);
  bool sleep(worker&);
  template <bool alike>
  void switch_to(worker&, stack* target);
  void renew_loop(worker&);
  static void begin_step(worker&, runnable&) noexcept;
  static void end_step(worker&) noexcept;
  void after_switch(worker&);
  void dispose(worker&);
  static void prefetch(const stack&) noexcept;
  void settle_deferred(worker& w) noexcept {
    if (w.deferred) [[unlikely]]
      hooks_.settle(*std::exchange(w.deferred, nullptr), w);
  }
  void watch();
  void compensate();
  void trim_stacks(std::size_t keep, unsigned pool_trims);
  bool pools_to_trim() const noexcept;
  static void on_notice(const char* text, void* self);
  bool is_spare(const worker& w) const noexcept { return w.number >= worker_count_; }
  bool others_wait() const noexcept;
  bool leaves_to_others(const worker&, const runnable&) const noexcept;
  bool has_a_core_to_spare() const noexcept;

  options options_;
  hooks hooks_;
  void* owner_;
  unsigned worker_count_ = 0;
  unsigned cpus_ = 1;
  bool spins_ = false;    // before it parks
  bool crowded_ = false;  // there are more workers than CPUs
  bool counts_ = false;   // the workers count cycles
  stack_source stacks_;
  std::atomic<unsigned> threads_apart_{0};
  std::vector<std::unique_ptr<worker>> workers_;  // workers, then spares; fixed once constructed
  idle_set<std_sync> idle_;
  std::atomic<unsigned> started_{0};  // workers[0, started) have threads; grows with spares
  std::atomic<bool> stopping_{false};
  std::mutex life_lock_;
  std::condition_variable life_changed_;
  bool left_behind_ = false;  // stop() gave up on a thread

  std::mutex injected_lock_;
  runnable* injected_first_ = nullptr;  // guarded by injected_lock_
  runnable* injected_last_ = nullptr;   // guarded by injected_lock_
  std::atomic<std::size_t> injected_{0};

  std::atomic<poller*> poller_{nullptr};
  std::atomic<bool> polling_{false};  // one worker at a time

  std::thread watchdog_;
  std::mutex watch_lock_;
  std::condition_variable watch_wake_;
  std::atomic<bool> watch_asleep_{false};
  std::atomic<unsigned> stalled_count_{0};

  std::atomic<std::uint64_t> steals_{0};
  std::atomic<std::uint64_t> parks_{0};
  std::atomic<std::uint64_t> random_state_{0};

  // Seeded engine; all of one thread.
  director* director_ = nullptr;
  std::vector<runnable*> seeded_ready_;
  nanos virtual_now_ = 0;
  nanos advance_target_ = -1;
  void (*advance_wake_)(void*) = nullptr;
  void* advance_argument_ = nullptr;
  bool (*seeded_done_)(void*) = nullptr;
  void* seeded_argument_ = nullptr;
  bool seeded_stuck_ = false;
  bool seeded_begun_ = false;
};

// ---- what every wait of a process goes through ---------------------------------------------------------------------
//
// Inline: after a switch the processor predicts each `ret` from the calls of the stack that was left, mostly wrong.

// Since the clock was read: where that was before other steps it ends a little early, which costs a turn of the loop.
inline bool scheduler::has_had_its_time(worker& w, const runnable& r) noexcept { return r.lengthy && took_long(w); }

// The clock was read right before it, or nothing is known.
inline void scheduler::time_step(worker& w, runnable& r) noexcept {
  if ((w.coarse || r.lengthy) && w.read_at == w.look_in && !w.rested) [[unlikely]]
    r.lengthy = took_long(w);
}

inline bool scheduler::may_go_on(worker& w) noexcept {
  if (w.allowance == 0 || has_had_its_time(w, *w.running)) [[unlikely]] {
    batch_over(w, *w.running);
    return false;
  }
  --w.allowance;
  return true;
}

inline void scheduler::arm_locked(timer& t, nanos deadline, worker& of) noexcept {
  t.shard.store(of.number, std::memory_order_relaxed);  // read again under the lock by disarm
  of.wheel.arm(t, deadline);
  if (deadline < of.next_timer.load(std::memory_order_relaxed)) of.next_timer.store(deadline);
}

inline nanos scheduler::now(worker& w) noexcept {
  const nanos counted = w.cycles.at(cycle_clock::count());
  return counted != cycle_clock::unknown ? counted : w.cycles.latest(read_on(w));
}

inline bool scheduler::on_loop_stack(const worker& w) noexcept { return w.current == w.loop; }

// What suspended there is on lines that nobody has touched since.
inline void scheduler::prefetch(const stack& s) noexcept {
  const char* top = static_cast<const char*>(s.ctx.sp);
  for (int line = 0; line < 8; ++line) __builtin_prefetch(top + std::ptrdiff_t{64} * line, 1);
}

inline void scheduler::make_ready(runnable& r, worker* w) noexcept {
  // `home` is ordered by the inbox's wake (acquire). Usually it is this worker, for a suspended stack.
  if (!w || r.home.load(std::memory_order_relaxed) != w->number + 1 || options_.seeded)
    return make_ready_elsewhere(r, w);
  if (r.stk) prefetch(*r.stk);
  r.next = nullptr;
  (w->pinned_last ? w->pinned_last->next : w->pinned_first) = &r;
  w->pinned_last = &r;
}

inline bool scheduler::hand_over(runnable& r, worker& w) noexcept {
  constexpr unsigned most_in_row = 16;
  if (w.handed || !w.running || w.handed_in_row >= most_in_row || w.look_in <= 0 || options_.seeded) return false;
  if (r.priority.load(std::memory_order_relaxed) == priority_class::low) return false;  // it gives way
  if (r.lengthy && leaves_to_others(w, r)) [[unlikely]]
    return false;
  w.handed = &r;
  return true;
}

inline void scheduler::begin_step(worker& w, runnable& r) noexcept {
  w.running = &r;
  w.observed.store(&r, std::memory_order_release);  // whoever looks from outside sees a constructed one
  w.beat.store(w.beat.load(std::memory_order_relaxed) | 1, std::memory_order_relaxed);
  w.allowance = w.owner.configuration().batch;
  if constexpr (with_isolation) {
    if (!r.stk && w.current) fresh(w.current->low, __builtin_frame_address(0));
    w.isolation.enter(r.apart);
  }
}

inline void scheduler::end_step(worker& w) noexcept {
  w.isolation.leave();
  w.running = nullptr;
  std::uint64_t beat = w.beat.load(std::memory_order_relaxed);
  if (beat & 1) w.beat.store(beat + 1, std::memory_order_relaxed);
}

inline void scheduler::after_switch(worker& w) {
  if (w.retired || w.lost) [[unlikely]]
    dispose(w);
}

template <bool alike>
[[gnu::always_inline]] inline void scheduler::switch_to(worker& w, stack* target) {
  stack* from = std::exchange(w.current, target);
  switch_context<alike>(from->ctx, target->ctx);
  after_switch(w);  // the same worker: a suspended stack resumes on the thread that suspended it
}

inline void scheduler::prepare_to_suspend() {
  worker& w = *current();
  if (needs_stack(w)) [[unlikely]]
    w.next_loop = w.pool.take();
}

inline runnable* scheduler::take_pinned(worker& w) noexcept {
  if (w.remote_pinned.load(std::memory_order_relaxed)) [[unlikely]]
    fetch_remote(w);
  runnable* r = w.pinned_first;
  if (!r) return nullptr;
  w.pinned_first = r->next;
  if (!w.pinned_first) w.pinned_last = nullptr;
  r->next = nullptr;
  return r;
}

// What suspends asks for another suspended stack that is next, to go on with it without the loop in between. Nothing
// else may be ready, and the loop's look at clock, timers and other queues must not be due. Begins its step. Runs on
// the stack of what suspends, so nothing of the room above runs here but a look.
template <class GoesOn>
inline runnable* scheduler::next_suspended(worker& w, GoesOn& goes_on) noexcept {
  if (options_.seeded || stopping_.load(std::memory_order_relaxed)) return nullptr;
  runnable* r = w.handed;
  if (r) {
    if (!r->stk) return nullptr;
    w.handed = nullptr;
    ++w.handed_in_row;
    --w.look_in;
  } else {
    if (w.look_in <= 1 || !w.ready.empty() || !w.urgent.empty()) return nullptr;
    r = take_pinned(w);
    if (!r) return nullptr;
    ++w.ticks;
    --w.look_in;
    w.handed_in_row = 0;
  }
  if (!r->stk || !goes_on(*r)) {
    w.handed = r;  // there is more to do: the loop takes it first
    return nullptr;
  }
  begin_step(w, *r);
  return r;
}

template <class GoesOn>
[[gnu::always_inline]] inline void scheduler::suspend(runnable& who, worker& w, bool defer, GoesOn&& goes_on) {
  if (auto* check = suspension_check.load(std::memory_order_relaxed)) [[unlikely]]
    check();  // set before main
  if (w.current == w.loop) renew_loop(w);
  who.stk = w.current;
  if (who.lengthy) [[unlikely]]
    time_step(w, who);
  end_step(w);
  settle_deferred(w);
  if (defer) w.deferred = &who;
  // Usually it is a server without a stack that was handed over to, for which the loop is needed.
  runnable* next = w.handed && !w.handed->stk ? nullptr : next_suspended(w, goes_on);
  if (next == &who) return;
  if (next)
    switch_to<true>(w, next->stk);
  else
    switch_to<false>(w, w.loop);
  assert(current() == &w && "a suspended stack resumes on its own thread");
}

inline void scheduler::resume(runnable& who) {
  worker& w = *current();
  begin_step(w, who);
  switch_to<false>(w, who.stk);
}

}  // namespace otp::detail
