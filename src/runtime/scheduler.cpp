#include "runtime/scheduler.hpp"

#include "runtime/cpus.hpp"
#include "runtime/tls.hpp"

#include <pthread.h>
#include <sys/random.h>
#include <time.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstdlib>
#include <new>
#include <utility>

namespace otp::detail {

namespace {

constexpr int poll_interval = 32;        // steps between two looks at the clock, timers and the poller
constexpr unsigned sample_interval = 8;  // stretches until one is a single step
constexpr int steps_timed = 3;           // a stretch of so few says how long a step takes
constexpr nanos slow_step = 10'000;      // and more
constexpr nanos judged_after = 200'000;  // of such stretches
constexpr int timer_burst = 256;         // timers fired before ready processes get a turn
constexpr nanos watch_interval = 10'000'000;
constexpr unsigned idle_ticks_before_sleep = 5;
constexpr nanos long_enough = 20'000;      // for a step that handles several messages, where such steps are the rule
constexpr nanos spin_time = 100'000;       // twice what waking a thread costs in a virtual machine
constexpr nanos longest_spin = 1'000'000;  // where waits were short lately
constexpr unsigned most_rounds_alone = 3;  // that one spins while nobody works
constexpr nanos poller_grace = 1'000'000;  // for whom a worker has woken to take the poller, before it does so itself
constexpr nanos trim_interval = 2'000'000'000;  // stacks not needed for so long give their memory back
constexpr std::size_t stacks_kept = 64;         // but for so many
constexpr unsigned slow_ticks = 2;  // a step that lasts this many looks of the watchdog gets its queue taken over

nanos read_clock(clockid_t clock) noexcept {
  timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

std::uint64_t mix(std::uint64_t z) noexcept {  // splitmix64's finalizer
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

}  // namespace

void spin_lock::wait() noexcept {
  for (int patience = 1000; flag_.load(std::memory_order_relaxed);)
    patience > 0 ? (--patience, pause()) : scheduler::give_way();  // who holds it may have lost its core
}

worker::worker(scheduler& s, unsigned n) : owner(s), number(n), pool(s.stacks()), wheel(s.now()) {}
worker::~worker() { std::free(debug); }

constinit std::atomic<void (*)() noexcept> suspension_check{nullptr};

scheduler::scheduler(options o, hooks h, void* owner)
    : options_(o), hooks_(h), owner_(owner), stacks_([&] {
        stack_source::options with_notice = o.stacks;
        with_notice.notice = on_notice;
        with_notice.notice_argument = this;
        return with_notice;
      }()) {
  if (options_.seeded) {
    worker_count_ = 1;
    options_.spares = 0;
    random_state_ = options_.seed;
    seeded_ready_.reserve(1024);
  } else {
    worker_count_ = options_.workers ? options_.workers : usable_cpus();
    worker_count_ = std::min(worker_count_, 32U);
    cpus_ = usable_cpus();
    spins_ = worker_count_ > 1 && cpus_ > 1;
    crowded_ = worker_count_ > cpus_;
    counts_ = cycle_clock::usable();
    if (options_.spares == 0) options_.spares = std::max(4U, worker_count_);
    options_.spares = std::min(options_.spares, 64U - worker_count_);
    std::uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed) seed = static_cast<std::uint64_t>(machine_now());
    random_state_ = seed;
  }
  for (unsigned i = 0; i < worker_count_ + options_.spares; ++i) workers_.push_back(std::make_unique<worker>(*this, i));
}

scheduler::~scheduler() {
  stop(never);
  assert(!left_behind_ && "a scheduler with a thread that did not come back is never destroyed");
}

void scheduler::on_notice(const char* text, void* self) {
  auto& s = *static_cast<scheduler*>(self);
  if (s.hooks_.notice) s.hooks_.notice(s, text);
}

// ---- clocks and chance -------------------------------------------------------------------------------------------

void scheduler::give_way() noexcept { sched_yield(); }
nanos scheduler::machine_now() noexcept { return read_clock(CLOCK_MONOTONIC); }
nanos scheduler::now() noexcept { return options_.seeded ? virtual_now_ : machine_now(); }

// CLOCK_MONOTONIC_COARSE is the time of the kernel's last tick: 4 ms behind with 250 ticks a second, and more where a
// tick is late (6.6 ms were seen on a virtual machine).
nanos scheduler::coarse_now() noexcept { return options_.seeded ? virtual_now_ : read_clock(CLOCK_MONOTONIC_COARSE); }

nanos scheduler::read_on(worker& w) noexcept {
  if (!counts_) return now();
  const std::uint64_t before = cycle_clock::count();
  const nanos read = machine_now();
  w.cycles.set(before, read, cycle_clock::count());
  return read;
}

nanos scheduler::timeout_begin(nanos timeout, worker& w) noexcept {
  constexpr nanos far_away = 1'000'000'000, most_behind = 10'000'000;
  return options_.seeded || timeout < far_away ? now(w) : coarse_now() + most_behind;
}

std::int64_t scheduler::wall_now() noexcept {
  constexpr std::int64_t start_of_2026 = 1'767'225'600'000'000'000;
  return options_.seeded ? start_of_2026 + virtual_now_ : read_clock(CLOCK_REALTIME);
}

std::uint64_t scheduler::random() noexcept {
  return mix(random_state_.fetch_add(0x9e3779b97f4a7c15ULL, std::memory_order_relaxed) + 0x9e3779b97f4a7c15ULL);
}

// ---- stacks ------------------------------------------------------------------------------------------------------

void scheduler::loop_entry(void* stack_pointer) {
  auto* mine = static_cast<stack*>(stack_pointer);
  worker& w = *current();
  w.owner.after_switch(w);
  w.owner.loop(mine);
}

void scheduler::dispose(worker& w) {
  if (stack* dead = std::exchange(w.retired, nullptr)) {
    destroy_context(dead->ctx);
    if (dead->size == stacks_.stack_size())
      w.pool.give(dead);
    else
      stacks_.give(dead);
  }
  if (stack* dead = std::exchange(w.lost, nullptr)) {
    destroy_context(dead->ctx);
    stacks_.retire(dead);
  }
}

// The loop leaves the running stack to whoever runs on it and goes on with a stack of its own.
void scheduler::renew_loop(worker& w) {
  prepare_to_suspend();
  stack* fresh = std::exchange(w.next_loop, nullptr);
  make_context(fresh->ctx, fresh->low, fresh->start_size(), loop_entry, fresh);
  w.loop = fresh;
}

void scheduler::give_own_stack(runnable& who, std::size_t size, context_entry entry, void* argument) {
  worker& w = *current();
  stack* own = stacks_.take(size);
  make_context(own->ctx, own->low, own->start_size(), entry, argument);
  fresh(own->low, own->top());
  who.stk = own;
  who.home.store(w.number + 1, std::memory_order_relaxed);  // published by the inbox when the process sleeps
}

void scheduler::entered_own_stack() {
  worker& w = *current();
  w.owner.after_switch(w);
}

void scheduler::leave_own_stack() { abandon_stack(dead_stack::reuse); }

void scheduler::abandon_stack(dead_stack what) {
  worker& w = *current();
  if (w.current == w.loop) renew_loop(w);
  end_step(w);
  settle_deferred(w);
  stack* from = std::exchange(w.current, w.loop);
  if (what == dead_stack::reuse) w.retired = from;
  if (what == dead_stack::retire) w.lost = from;
  switch_context_final(from->ctx, w.loop->ctx);
}

// ---- the loop ----------------------------------------------------------------------------------------------------

inline runnable* scheduler::take_handed(worker& w) {
  ++w.handed_in_row;
  --w.look_in;
  if (w.coarse) [[unlikely]]
    read_for_step(w);
  return std::exchange(w.handed, nullptr);
}

// Keeps nothing in locals across a step but `mine`: the step may suspend, and this frame may go on much later, when
// another stack has become the loop.
void scheduler::loop(stack* mine) {
  for (;;) {
    worker& w = *current();
    runnable* next = w.handed ? take_handed(w) : options_.seeded ? next_seeded(w) : next_ready(w);
    if (!next) break;
    if (next->stk && hooks_.goes_on(*next)) {
      resume(*next);  // comes back when somebody suspends to this loop, having ended its step
      continue;
    }
    begin_step(w, *next);
    hooks_.step(*next, w);
    worker& after = *current();
    end_step(after);
    settle_deferred(after);
    if (after.loop != mine) abandon_stack(dead_stack::reuse);
  }
  worker& w = *current();
  w.current = nullptr;
  w.retired = mine;
  w.loop = nullptr;
  if (stack* unused = std::exchange(w.next_loop, nullptr)) w.pool.give(unused);
  switch_context_final(mine->ctx, w.thread_context);
}

void scheduler::thread_main(worker& w) {
  set_current_worker_raw(&w);
  try {
    if (hooks_.worker_started) hooks_.worker_started(w);
  } catch (...) {
    set_current_worker_raw(nullptr);
    w.pool.give(std::exchange(w.loop, nullptr));
    w.current = nullptr;
    return say(w, worker::life::ended, std::current_exception());
  }
  adopt_thread(w.thread_context);
  w.os_thread.store(pthread_self());
  w.set_clock(read_on(w));
  make_context(w.loop->ctx, w.loop->low, w.loop->start_size(), loop_entry, w.loop);
  say(w, worker::life::running);
  switch_context(w.thread_context, w.loop->ctx);
  after_switch(w);
  if (hooks_.worker_ended) hooks_.worker_ended(w);
  w.os_thread.store(pthread_t{});
  destroy_context(w.thread_context);
  set_current_worker_raw(nullptr);
  say(w, worker::life::ended);  // the last access: stop() may go on
}

void scheduler::say(worker& w, worker::life what, std::exception_ptr failure) noexcept {
  std::lock_guard lock(life_lock_);
  w.alive = what;
  w.failure = std::move(failure);
  life_changed_.notify_all();
}

void scheduler::start_worker(worker& w) {
  w.loop = w.current = w.pool.take();  // its thread is not there yet: nobody else has the pool
  try {
    say(w, worker::life::starting);
    w.thread = std::thread([this, &w] { thread_main(w); });
  } catch (...) {
    say(w, worker::life::none);
    w.pool.give(std::exchange(w.loop, nullptr));
    w.current = nullptr;
    throw;
  }
}

void scheduler::start() {
  std::exception_ptr failure;
  try {
    for (unsigned i = 0; i < worker_count_; ++i) {
      start_worker(*workers_[i]);
      started_.store(i + 1);
    }
    std::unique_lock lock(life_lock_);
    for (unsigned i = 0; i < worker_count_; ++i) {
      worker& w = *workers_[i];
      life_changed_.wait(lock, [&] { return w.alive != worker::life::starting; });
      if (w.failure) failure = w.failure;
    }
    lock.unlock();
    if (!failure) watchdog_ = std::thread([this] { watch(); });
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) return;
  stop(never);
  std::rethrow_exception(failure);
}

bool scheduler::stop(nanos patience) {
  if (options_.seeded) return true;
  if (stopping_.exchange(true)) return !left_behind_;
  {
    std::lock_guard lock(watch_lock_);
    watch_asleep_.store(false);
    watch_wake_.notify_all();
  }
  if (watchdog_.joinable()) watchdog_.join();
  for (auto& w : workers_)
    if (w->thread.joinable()) unpark(*w);
  left_behind_ = !join_workers(patience);
  return !left_behind_;
}

bool scheduler::join_workers(nanos patience) {
  nanos start = machine_now();
  nanos deadline = patience > never - start ? never : start + patience;
  bool all = true;
  for (auto& w : workers_) {
    if (!w->thread.joinable()) continue;
    auto ended = [&] { return w->alive == worker::life::ended; };
    std::unique_lock lock(life_lock_);
    if (deadline == never)
      life_changed_.wait(lock, ended);
    else
      life_changed_.wait_for(lock, std::chrono::nanoseconds(std::max<nanos>(0, deadline - machine_now())), ended);
    bool over = ended();
    lock.unlock();
    if (over)
      w->thread.join();
    else
      w->thread.detach();
    all = all && over;
  }
  return all;
}

runnable* scheduler::next_ready(worker& w) {
  w.handed_in_row = 0;
  runnable* r = look(w);
  if (r || stopping_.load(std::memory_order_relaxed)) return r;
  bool claimed = false;
  while (!r && !stopping_.load(std::memory_order_relaxed)) {
    claimed = park(w) || claimed;
    w.rested = true;
    r = look(w);
  }
  // What it was woken for may not be what it found: rule 5 of idle_set.hpp.
  if (r && claimed && anything_to_share()) wake_one();
  return r;
}

// What is handed over to is timed as well.
void scheduler::read_for_step(worker& w) noexcept {
  const nanos before = w.cached_now;
  w.set_clock(read_on(w));
  judge(w, w.cached_now - before, w.read_at - w.look_in);
  w.read_at = w.look_in;
}

// The step in progress and those before it, since the clock was read.
bool scheduler::took_long(worker& w) noexcept { return w.owner.now(w) - w.cached_now > long_enough; }

// Whether so many steps took long, on average.
bool scheduler::slow(nanos stretch, int steps) noexcept { return stretch >= std::max(steps, 1) * slow_step; }

void scheduler::batch_over(worker& w, runnable& r) noexcept {
  const nanos stretch = w.owner.now(w) - w.cached_now;
  if (!w.rested) r.lengthy = stretch > long_enough && (r.lengthy || slow(stretch, w.read_at - w.look_in));
  if (stretch <= long_enough) return;
  w.read_at -= w.look_in;  // the steps since then stay as many
  w.look_in = 0;
}

// Every source of work, once.
runnable* scheduler::look(worker& w) {
  if (stopping_.load(std::memory_order_relaxed)) return nullptr;
  ++w.ticks;
  if (--w.look_in <= 0) {
    refresh(w);
    // Now and then a stretch is a single step, to see how long one takes.
    w.read_at = w.look_in = w.coarse || ++w.stretches % sample_interval == 0 ? 1 : poll_interval;
    // A coarse worker looks at each step: those in its own queues come first in three of four.
    if ((!w.coarse || w.ticks % 4 == 0) && (!is_spare(w) || stalled_count_.load(std::memory_order_relaxed)))
      if (runnable* r = take_injected(w)) return r;
  }
  if (runnable* r = take_local(w)) return r;
  refresh(w);
  if (runnable* r = take_local(w)) return r;
  if (!is_spare(w) || stalled_count_.load(std::memory_order_relaxed)) {
    if (runnable* r = take_injected(w)) return r;
    if (runnable* r = steal(w)) return r;
  }
  return nullptr;
}

// Puts what other workers made ready behind what is.
void scheduler::fetch_remote(worker& w) noexcept {
  runnable* newest = w.remote_pinned.exchange(nullptr, std::memory_order_acquire);  // pairs with make_ready's push
  runnable* oldest = nullptr;
  while (newest) {
    runnable* after = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = after;
  }
  if (!oldest) return;
  (w.pinned_last ? w.pinned_last->next : w.pinned_first) = oldest;
  while (oldest->next) oldest = oldest->next;
  w.pinned_last = oldest;
}

// Urgent ones first, but one turn in eight goes to the others; pinned and stackless ones alternate.
runnable* scheduler::take_local(worker& w) {
  bool others_first = w.ticks % 8 == 0;
  if (!others_first)
    if (runnable* r = w.urgent.pop()) return r;
  runnable* r = nullptr;
  if ((w.ticks & 1) || w.cached_now < w.left_until) {
    r = take_pinned(w);
    if (!r) r = w.ready.pop();
  } else {
    r = w.ready.pop();
    if (!r) r = take_pinned(w);
  }
  if (!r) return others_first ? w.urgent.pop() : nullptr;
  if (r->priority.load(std::memory_order_relaxed) == priority_class::low && r->passed_over < 8 && !r->stk) {
    if (runnable* better = w.ready.pop()) {
      ++r->passed_over;
      if (!w.ready.push(r)) inject(*r);
      return better;
    }
  }
  r->passed_over = 0;
  return r;
}

runnable* scheduler::take_injected(worker& w) {
  if (injected_.load() == 0) return nullptr;
  runnable* first = nullptr;
  {
    std::lock_guard lock(injected_lock_);
    if (!injected_first_) return nullptr;
    first = injected_first_;
    injected_first_ = first->next;
    if (!injected_first_) injected_last_ = nullptr;
    injected_.fetch_sub(1);
    // For a worker that has nothing else a share of the rest comes along, so that they are not fetched one lock at a
    // time.
    std::size_t share = w.ready.empty() ? injected_.load() / worker_count_ : 0;
    std::size_t taken = 0;
    for (; taken < std::min(share, w.ready.capacity() / 2) && injected_first_; ++taken) {
      runnable* more = injected_first_;
      runnable* after = more->next;  // before others may take it
      if (!w.ready.push(more)) break;
      injected_first_ = after;
      if (!injected_first_) injected_last_ = nullptr;
    }
    if (taken) injected_.fetch_sub(taken);
  }
  first->next = nullptr;
  return first;
}

runnable* scheduler::steal(worker& w) {
  unsigned n = started_.load(std::memory_order_acquire);
  for (unsigned i = 1; i < n; ++i) {
    worker& victim = *workers_[(w.number + i) % n];
    runnable* r = victim.urgent.steal(w.urgent);
    if (!r) r = victim.ready.steal(w.ready);
    if (!r) continue;
    steals_.fetch_add(1, std::memory_order_relaxed);       // a statistic
    if (w.ready.size() + w.urgent.size() > 0) wake_one();  // published only now: rule 5 of idle_set.hpp
    return r;
  }
  return nullptr;
}

// Whether the steps of a worker take long: whether a quarter of its time goes into steps of 10 us and more.
void scheduler::judge(worker& w, nanos stretch, int steps) noexcept {
  if (std::exchange(w.rested, false) || steps == 0) return;
  const bool slow_ones = slow(stretch, steps);
  if (!slow_ones && steps > steps_timed) return;  // one of them may have been
  if (slow_ones) w.slow_time += stretch;
  w.judged_time += stretch;
  if (w.judged_time < judged_after) return;
  w.coarse = 4 * w.slow_time >= w.judged_time;
  w.slow_time = w.judged_time = 0;
}

void scheduler::refresh(worker& w) {
  read_for_step(w);
  if (w.trims.load(std::memory_order_relaxed) != 0) [[unlikely]] {
    for (unsigned n = w.trims.exchange(0); n > 0; --n) w.pool.trim();
    if (hooks_.trim) hooks_.trim(w);
  }
  bool worked = run_timers(w, w, w.cached_now);
  if (stalled_count_.load(std::memory_order_relaxed)) {
    unsigned n = started_.load(std::memory_order_acquire);
    for (unsigned i = 0; i < n; ++i)
      if (workers_[i].get() != &w && workers_[i]->stalled.load(std::memory_order_relaxed))
        worked = run_timers(w, *workers_[i], w.cached_now) || worked;
  }
  if (poller* p = attached())
    if (!polling_.exchange(true)) {
      p->poll(0);
      polling_.store(false);
      worked = true;
    }
  if (worked) w.set_clock(read_on(w));  // that time was none of the next step's
}

bool scheduler::run_timers(worker&, worker& of, nanos now) {
  if (of.next_timer.load(std::memory_order_relaxed) > now) return false;
  // One driver at a time, so that what fires arrives in the order of the wheel also while others help out.
  if (of.driven.exchange(true, std::memory_order_acquire)) return false;
  for (int i = 0; i < timer_burst && of.next_timer.load(std::memory_order_relaxed) <= now; ++i) {
    timer* due = nullptr;
    {
      std::lock_guard lock(of.timers_lock);
      due = static_cast<timer*>(of.wheel.expire(now));
      of.next_timer.store(of.wheel.next_expiry(), std::memory_order_relaxed);  // written under the lock
    }
    if (!due) break;
    due->fire(*due);
  }
  of.driven.store(false, std::memory_order_release);
  return true;
}

bool scheduler::anything_for(worker& w) {
  if (stopping_.load() || w.pinned_first || w.remote_pinned.load() || w.ready.size() || w.urgent.size()) return true;
  if (is_spare(w) && !stalled_count_.load()) return false;
  return anything_to_share();
}

bool scheduler::anything_to_share() const {
  if (injected_.load()) return true;
  unsigned n = started_.load();
  for (unsigned i = 0; i < n; ++i)
    if (workers_[i]->ready.size() > 0 || workers_[i]->urgent.size() > 0) return true;
  return false;
}

// Waking a thread takes the kernel microseconds, and tens of them in a virtual machine. While another worker is awake
// (or on its way), the next message for a stack of this one is often a moment away: true if something came in that
// time, and up to 1 ms if its waits were no longer than that lately. One ready process of another worker is left to
// that one, as in push_local, unless its steps take long.
bool scheduler::spin(worker& w, nanos now) {
  if (!spins_ || is_spare(w)) return false;
  const bool soon = w.usual_wait < longest_spin && stalled_count_.load(std::memory_order_relaxed) == 0;
  const bool found =
      spin_until(w, now, now + (soon ? std::clamp(2 * w.usual_wait, spin_time, longest_spin) : spin_time));
  if (w.spinning.load(std::memory_order_relaxed)) w.spinning.store(false, std::memory_order_relaxed);
  return found;
}

// Beside the workers that are awake and the jobs of otp::blocking that compute.
bool scheduler::has_a_core_to_spare() const noexcept {
  unsigned busy = threads_apart_.load(std::memory_order_relaxed);
  for (unsigned i = 0; i < worker_count_; ++i) busy += idle_.contains(i) ? 0 : 1;
  return busy <= cpus_;
}

bool scheduler::spin_until(worker& w, nanos now, nanos end) {
  unsigned rounds_alone = 0;   // what one has pushed that spins now may be on its way
  nanos single_since = never;  // a single ready process has been there, with somebody who may be at a long step
  for (; now < end && now < w.next_timer.load(std::memory_order_relaxed); now = machine_now()) {
    if (attached() && !polling_.load(std::memory_order_relaxed)) return false;  // somebody has to wait for I/O
    if (threads_apart_.load(std::memory_order_relaxed) != 0 && !has_a_core_to_spare()) return false;
    // The other workers' lines are looked at now and then: each look costs them a miss.
    for (int i = 0; i < 64; ++i) {
      if (const runnable* r = w.remote_pinned.load(std::memory_order_relaxed)) {
        __builtin_prefetch(r, 1);  // on its way from the core that has just pushed to it
        return true;
      }
      if (injected_.load(std::memory_order_relaxed) || stopping_.load(std::memory_order_relaxed)) return true;
      spin_lock::pause();
    }
    bool all_asleep = true;
    bool nobody_works = true;
    bool single = false;
    for (unsigned i = 0; i < worker_count_; ++i) {
      if (i == w.number) continue;
      const worker& other = *workers_[i];
      const std::size_t waiting = other.ready.size() + other.urgent.size();
      if (waiting > 1 || (waiting == 1 && other.offers.load(std::memory_order_relaxed))) return true;
      single = single || waiting == 1;
      const bool asleep = idle_.contains(i);
      all_asleep = all_asleep && asleep;
      nobody_works = nobody_works && (asleep || other.spinning.load(std::memory_order_relaxed));
    }
    rounds_alone = nobody_works ? rounds_alone + 1 : 0;
    if (all_asleep || rounds_alone == most_rounds_alone) return false;
    if (!w.spinning.load(std::memory_order_relaxed)) w.spinning.store(true, std::memory_order_relaxed);
    single_since = single ? std::min(single_since, now) : never;
    if (now - single_since > spin_time) return true;
    if (crowded_) give_way();  // the core may be wanted by one that works
  }
  return false;
}

// Waits for something to do. True if somebody has claimed this worker meanwhile.
bool scheduler::park(worker& w) {
  const nanos begin = machine_now();
  const bool claimed = !spin(w, begin) && sleep(w);
  // A wait of ten times the longest that one spins for says no more than that.
  w.usual_wait += (std::min(machine_now() - begin, 10 * longest_spin) - w.usual_wait) / 4;
  return claimed;
}

bool scheduler::sleep(worker& w) {
  idle_.announce(w.number);
  nanos deadline = w.next_timer.load();
  if (stalled_count_.load()) {
    unsigned n = started_.load();
    for (unsigned i = 0; i < n; ++i)
      if (workers_[i]->stalled.load()) deadline = std::min(deadline, workers_[i]->next_timer.load());
  }
  if (anything_for(w) || deadline <= now()) return !idle_.retract(w.number);
  parks_.fetch_add(1, std::memory_order_relaxed);  // a statistic
  poller* p = attached();
  // The poller follows the work: what it completes for a stack of another worker wakes that one, and there it is served
  // without another switch of threads if that worker polls next.
  bool steps_back = p && w.ticks == w.gave_away_at + 1;
  if (steps_back) deadline = std::min(deadline, now() + poller_grace);
  if (p && !steps_back && !polling_.exchange(true)) {
    w.in_poller.store(true);
    if (!w.park.try_take()) p->poll(deadline);
    w.in_poller.store(false);
    static_cast<void>(w.park.try_take());
    polling_.store(false);
  } else {
    static_cast<void>(w.park.park_until(deadline));
  }
  const bool claimed = !idle_.retract(w.number);
  std::atomic_thread_fence(std::memory_order_seq_cst);  // with the one in watch(): it sees us awake, or we it asleep
  if (watch_asleep_.load()) {
    std::lock_guard lock(watch_lock_);
    watch_asleep_.store(false);
    watch_wake_.notify_all();
  }
  return claimed;
}

void scheduler::unpark(worker& w) noexcept {
  w.park.unpark();
  if (w.in_poller.load())
    if (poller* p = attached()) p->wake();
}

bool scheduler::wake_one() noexcept {
  if (!idle_.any()) return false;
  // Spares sleep on purpose while nobody is stalled; a real worker is claimed first.
  unsigned n = stalled_count_.load(std::memory_order_relaxed) ? started_.load() : worker_count_;
  for (unsigned i = 0; i < n; ++i)
    if (idle_.contains(i) && idle_.claim(i)) {
      unpark(*workers_[i]);
      return true;
    }
  return false;
}

bool scheduler::others_wait() const noexcept {
  for (unsigned i = 0; i < worker_count_; ++i)
    if (idle_.contains(i) || workers_[i]->spinning.load(std::memory_order_relaxed)) return true;
  return false;
}

// A lengthy one is not handed over to: rule 7.
bool scheduler::leaves_to_others(const worker& w, const runnable& r) const noexcept {
  return !r.stk && w.pinned_first && others_wait();
}

// Rule 7.
void scheduler::offer(worker& w) noexcept {
  if (wake_one() || others_wait()) w.left_until = w.owner.now(w) + spin_time;
}

void scheduler::attach(poller* p) noexcept {
  poller_.store(p, std::memory_order_release);
  for (unsigned i = 0; i < started_.load(); ++i) unpark(*workers_[i]);  // one of them takes to polling
}

// ---- making ready ------------------------------------------------------------------------------------------------

void scheduler::inject(runnable& r) noexcept {
  r.next = nullptr;
  inject(r, r, 1);
}

void scheduler::inject(runnable& first, runnable& last, std::size_t count) noexcept {
  std::lock_guard lock(injected_lock_);
  (injected_last_ ? injected_last_->next : injected_first_) = &first;
  injected_last_ = &last;
  injected_.fetch_add(count);
}

// A ring that is full gives its older half away, so that the next ones find room: a lock for many.
void scheduler::make_room(worker& w) noexcept {
  runnable* first = nullptr;
  runnable* last = nullptr;
  std::size_t count = 0;
  for (; count < w.ready.capacity() / 2; ++count) {
    runnable* r = w.ready.pop();
    if (!r) break;
    r->next = nullptr;
    (last ? last->next : first) = r;
    last = r;
  }
  if (first) inject(*first, *last, count);
}

void scheduler::push_local(worker& w, runnable& r, bool goes_on) noexcept {
  bool is_urgent = r.priority.load(std::memory_order_relaxed) >= priority_class::high;
  const bool offered = !goes_on && r.lengthy;
  if (w.offers.load(std::memory_order_relaxed) != offered) w.offers.store(offered, std::memory_order_relaxed);
  if (is_urgent ? !w.urgent.push(&r) : !w.ready.push(&r)) {
    if (!is_urgent) make_room(w);
    if (is_urgent || !w.ready.push(&r)) inject(r);
    wake_one();
    return;
  }
  // One waiting process is left to this worker, which is about to finish its step; the watchdog sees to it if not.
  if (offered || w.ready.size() + w.urgent.size() > 1) offer(w);
}

void scheduler::make_ready_elsewhere(runnable& r, worker* w) noexcept {
  if (options_.seeded) [[unlikely]] {
    director_ ? director_->ready(r) : seeded_ready_.push_back(&r);
    return;
  }
  std::uint32_t home = r.home.load(std::memory_order_relaxed);
  if (home == 0) {
    if (w) return push_local(*w, r);
    inject(r);
    wake_one();
    return;
  }
  worker& target = *workers_[home - 1];
  runnable* head = nullptr;  // most often it is: to look first would fetch the line of the other core twice
  do r.next = head;
  while (!target.remote_pinned.compare_exchange_weak(head, &r));
  if (idle_.claim(target.number)) {
    if (w) w->gave_away_at = w->ticks;
    unpark(target);
  }
}

void scheduler::take_back_handed(worker& w) noexcept {
  if (runnable* r = std::exchange(w.handed, nullptr)) make_ready(*r, &w);
}

void scheduler::make_ready_last(runnable& r) noexcept {
  worker* w = current();
  if (r.home.load(std::memory_order_relaxed) == 0 && !options_.seeded)
    push_local(*w, r, true);
  else
    make_ready(r, w);
}

// ---- timers ------------------------------------------------------------------------------------------------------

void scheduler::arm(timer& t, nanos deadline, worker* on) {
  worker* w = current();
  if (w && &w->owner != this) w = nullptr;
  worker& of = on ? *on : w ? *w : *workers_[0];
  {
    std::lock_guard lock(of.timers_lock);
    arm_locked(t, deadline, of);
  }
  announce_deadline(deadline, of);
}

void scheduler::announce_deadline(nanos deadline, worker& of) noexcept {
  if (&of == current() || options_.seeded) return;
  // Of several that are armed at once the soonest is announced by its own call.
  if (of.next_timer.load(std::memory_order_relaxed) == deadline && idle_.claim(of.number)) unpark(of);
}

bool scheduler::disarm(timer& t) noexcept {
  for (;;) {
    std::uint32_t number = t.shard.load(std::memory_order_relaxed);
    worker& of = *workers_[number];
    std::lock_guard lock(of.timers_lock);
    if (t.shard.load(std::memory_order_relaxed) != number) continue;
    return of.wheel.disarm(t);
  }
}

void scheduler::drop_timers() noexcept {
  for (auto& w : workers_)
    while (auto* due = static_cast<timer*>(w->wheel.expire(never))) due->fire(*due);
}

// ---- watchdog ----------------------------------------------------------------------------------------------------

void scheduler::watch() {
  struct seen {
    std::uint64_t beat = 0;
    unsigned ticks = 0;
    nanos since = 0;
    nanos reported = 0;
  };
  std::vector<seen> history(workers_.size());
  unsigned idle_ticks = 0;
  nanos trimmed_at = machine_now();
  std::size_t least_idle = 0;  // stacks that nobody needed since then
  bool trimmed_quiet = false;  // and nothing has happened since
  auto wake = [&] { return !watch_asleep_.load() || stopping_.load(); };
  std::unique_lock lock(watch_lock_);
  while (!stopping_.load()) {
    unsigned started = started_.load();
    unsigned busy = 0;
    unsigned stalled = 0;
    nanos time = machine_now();
    for (unsigned i = 0; i < started; ++i) {
      worker& w = *workers_[i];
      seen& s = history[i];
      std::uint64_t beat = w.beat.load(std::memory_order_relaxed);
      if ((beat & 1) == 0 || beat != s.beat) {
        if (beat & 1 || beat != s.beat) ++busy;
        s = {.beat = beat, .ticks = 0, .since = time, .reported = 0};
        w.stalled.store(false);
        continue;
      }
      ++busy;
      if (++s.ticks < slow_ticks) continue;
      w.stalled.store(true);
      ++stalled;
      bool due =
          s.reported == 0 ? time - s.since >= options_.stall_limit : time - s.reported >= 10 * options_.stall_limit;
      if (due && hooks_.stalled) {
        stall report{.worker = i, .running = w.observed.load(), .since = time - s.since, .again = s.reported != 0};
        s.reported = time;
        lock.unlock();
        hooks_.stalled(*this, report);
        lock.lock();
      }
    }
    stalled_count_.store(stalled);
    if (stalled) compensate();
    // Whoever polled last is at work for longer than a moment, and the others have parked without the poller.
    if (busy && attached() && !polling_.load()) wake_one();
    if (hooks_.tick) hooks_.tick(*this);
    if (busy) trimmed_quiet = false;
    std::size_t idle_stacks = stacks_.count().idle_dirty;
    least_idle = std::min(least_idle, idle_stacks);
    if (time - trimmed_at >= trim_interval) {
      // Used last first: what lies at the bottom was not needed all this time.
      lock.unlock();
      trim_stacks(std::max(stacks_kept, idle_stacks - least_idle), 1);
      lock.lock();
      trimmed_at = time;
      least_idle = stacks_.count().idle_dirty;
    }
    idle_ticks = busy ? 0 : idle_ticks + 1;
    if (idle_ticks < idle_ticks_before_sleep) {
      watch_wake_.wait_for(lock, std::chrono::nanoseconds(watch_interval), [&] { return stopping_.load(); });
      continue;
    }
    idle_ticks = 0;
    watch_asleep_.store(true);
    std::atomic_thread_fence(std::memory_order_seq_cst);  // with the one in sleep()
    bool all_parked = true;
    for (unsigned i = 0; i < started_.load(); ++i) all_parked = all_parked && idle_.contains(i);
    if (all_parked) {
      // A quiet time gives all but a few stacks back: first the workers', who sleep, then those that have arrived.
      if (trimmed_quiet)
        watch_wake_.wait(lock, wake);
      else if (!watch_wake_.wait_for(lock, std::chrono::nanoseconds(trim_interval), wake)) {
        watch_asleep_.store(false);
        trimmed_quiet = true;
        lock.unlock();
        trim_stacks(stacks_kept, 2);
        for (unsigned i = 0; i < started_.load(); ++i)
          if (idle_.claim(i)) unpark(*workers_[i]);
        timespec nap{0, 1'000'000};
        for (int i = 0; i < 1000 && !stopping_.load() && pools_to_trim(); ++i) nanosleep(&nap, nullptr);
        trim_stacks(stacks_kept, 0);
        lock.lock();
      }
    }
    watch_asleep_.store(false);
  }
}

// Twice over a pool is all of it: once notes what is there, again sends back what was not needed since.
void scheduler::trim_stacks(std::size_t keep, unsigned pool_trims) {
  if (pool_trims)
    for (unsigned i = 0; i < started_.load(); ++i) workers_[i]->trims.store(pool_trims, std::memory_order_relaxed);
  stacks_.trim(keep);
}

bool scheduler::pools_to_trim() const noexcept {
  for (unsigned i = 0; i < started_.load(); ++i)
    if (workers_[i]->trims.load(std::memory_order_relaxed) != 0 && (workers_[i]->beat.load() & 1) == 0) return true;
  return false;
}

// Somebody does not come back to its loop: an idle worker takes over its queue and timers; if there is none, a spare.
void scheduler::compensate() {
  for (unsigned i = 0; i < started_.load(); ++i)
    if (!workers_[i]->stalled.load() && idle_.claim(i)) return unpark(*workers_[i]);
  for (unsigned i = 0; i < started_.load(); ++i)
    if (is_spare(*workers_[i]) && !workers_[i]->stalled.load()) return;  // a spare is at work already
  if (started_.load() == workers_.size()) return;
  try {
    start_worker(*workers_[started_.load()]);
    started_.fetch_add(1);
  } catch (const std::exception&) {
    // No thread or no stack to be had now: tried again at the next look, as long as somebody is stalled.
  }
}

// ---- the seeded engine -------------------------------------------------------------------------------------------

bool scheduler::run_seeded(bool (*done)(void*), void* argument) {
  seeded_done_ = done;
  seeded_argument_ = argument;
  seeded_stuck_ = false;
  void* outer = current_worker_raw();
  worker& w = *workers_[0];
  set_current_worker_raw(&w);
  if (!std::exchange(seeded_begun_, true)) {
    adopt_thread(w.thread_context);
    if (hooks_.worker_started) hooks_.worker_started(w);
  }
  stack* first = w.pool.take();
  make_context(first->ctx, first->low, first->start_size(), loop_entry, first);
  w.loop = w.current = first;
  switch_context(w.thread_context, first->ctx);
  after_switch(w);
  set_current_worker_raw(outer);
  return !seeded_stuck_;
}

void scheduler::end_seeded() {
  if (!std::exchange(seeded_begun_, false)) return;
  worker& w = *workers_[0];
  if (hooks_.worker_ended) hooks_.worker_ended(w);
  destroy_context(w.thread_context);
}

void scheduler::advance_seeded(nanos length, void (*wake)(void*), void* argument) {
  advance_target_ = length > never - virtual_now_ ? never : virtual_now_ + length;
  advance_wake_ = wake;
  advance_argument_ = argument;
}

runnable* scheduler::next_seeded(worker& w) {
  if (director_) return director_->next();
  for (;;) {
    if (seeded_done()) return nullptr;
    run_timers(w, w, virtual_now_);
    w.set_clock(virtual_now_);
    if (!seeded_ready_.empty()) {
      std::size_t pick = random() % seeded_ready_.size();
      std::swap(seeded_ready_[pick], seeded_ready_.back());
      runnable* r = seeded_ready_.back();
      seeded_ready_.pop_back();
      return r;
    }
    if (!timer_due() && !pass_time(next_timer())) return nullptr;
  }
}

bool scheduler::pass_time(nanos next) {
  if (advance_target_ >= 0 && (next > advance_target_ || next == never)) {
    nanos target = std::exchange(advance_target_, -1);
    if (target != never) set_clock(target);  // without a limit, everything that was to happen has happened
    advance_wake_(advance_argument_);
    return true;
  }
  if (next == never) {
    seeded_stuck_ = true;
    return false;
  }
  set_clock(next);
  return true;
}

void scheduler::fire_one_timer() {
  worker& w = *workers_[0];
  timer* due = nullptr;
  {
    std::lock_guard lock(w.timers_lock);
    due = static_cast<timer*>(w.wheel.expire(virtual_now_));
    w.next_timer.store(w.wheel.next_expiry(), std::memory_order_relaxed);  // written under the lock
  }
  if (due) due->fire(*due);
}

void scheduler::preempt(runnable& who) {
  worker& w = *current();
  if (w.current == w.loop) renew_loop(w);
  who.stk = w.current;
  end_step(w);
  switch_to<false>(w, w.loop);
}

}  // namespace otp::detail
