// Waiting: how a process keeps its stack until something it waits for has come, and how its fate meets it there.
#include "process/wait.hpp"

#include "process/request_core.hpp"

#include <otp/receive.hpp>

#include <exception>

namespace otp::detail {

namespace {

constexpr std::uint8_t patience = 3;  // how often a fate may be swallowed before the process is abandoned

void drop_wait_reference(wait_timer* t) noexcept {
  if (t->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete t;
}

// The reference goes first: whoever is woken by this, on another thread already, must see that the timer is armed no
// more, or it would wait for one that has fired.
void wait_timer_fired(timer& t) noexcept {
  auto& mine = static_cast<wait_timer&>(t);
  runtime_core& core = *mine.core;
  pid owner = mine.owner;
  drop_wait_reference(&mine);
  send_wake(core, owner, nullptr);
}

}  // namespace

void set_wait_timer(runtime_core& core, process& p, nanos deadline) {
  process_extra& extra = p.more();
  if (wait_timer* t = extra.waits) {
    if (t->references.load(std::memory_order_acquire) > 1) {
      if (t->deadline <= deadline) return;
      if (core.sched.disarm(*t)) {
        core.sched.arm(*t, deadline);
        return;
      }
    }
    extra.waits = nullptr;
    drop_wait_reference(t);
  }
  auto* t = new wait_timer;
  t->fire = wait_timer_fired;
  t->owner = p.self();
  t->core = &core;
  extra.waits = t;
  t->references.store(2);
  core.sched.arm(*t, deadline);
}

void release_wait_timer(runtime_core& core, wait_timer* t) noexcept {
  if (t->references.load(std::memory_order_acquire) > 1 && core.sched.disarm(*t)) drop_wait_reference(t);
  drop_wait_reference(t);
}

void prepare_to_suspend(runtime_core& core) {
  try {
    core.sched.prepare_to_suspend();
  } catch (const std::exception& e) {
    throw exited(exit_reason(exit_reason::kind::system_limit, e.what()));
  }
}

void rearm_wait_timer(runtime_core& core, process& p) { arm_wait_timer(core, p, wait_deadline(p, *p.waiting)); }

bool deadline_passed(process& p, wait_state& w, nanos now) noexcept {
  if (w.deadline <= now) return w.timed_out = true;
  start_watch* watch = watch_of(p);
  if (!watch || !w.interruptible || watch->deadline > now) return false;
  return watch->given_up = true;
}

// The start that it waits in was given up: its waits are refused like those of a dying process.
bool start_given_up(const process& p) noexcept {
  start_watch* watch = watch_of(p);
  return watch && watch->given_up;
}

void meet_fate(process& p) {
  if (!p.dying && !start_given_up(p)) return;
  // A process that is being unwound already may wait in its destructors: its fate is thrown once at a time.
  if (std::uncaught_exceptions() != 0) return;
  if (p.thrown++ >= patience)
    abandon_self(p, p.dying ? p.fate : reason::killed, "it swallowed its exit signal three times", false);
  throw unwind{};
}

void wait(process& p, wait_state& w) {
  worker& here = *scheduler::current();
  w.interruptible = !unwinding(here.current->ctx);
  wait_inline(here, p, w);
}

void wait_uninterrupted(process& p, wait_state& w) {
  w.interruptible = false;
  wait_inline(*scheduler::current(), p, w);
}

bool wait_or_fate(process& p, wait_state& w) {
  worker& here = *scheduler::current();
  w.interruptible = !unwinding(here.current->ctx);
  wait_inline(here, p, w, fate::ends_the_wait);
  return w.satisfied || w.timed_out;
}

// Gives way to others and goes on when its turn comes again.
static void take_turns(process& p) {
  wait_state w;
  w.satisfied = true;  // nothing to wait for: going through the queue is what yields
  p.waiting = &w;
  p.home.store(scheduler::current()->number + 1, std::memory_order_relaxed);
  p.phase.store(phase::waiting, std::memory_order_release);
  runtime_core& core = *runtime_core::current();
  core.sched.make_ready_last(p);
  core.sched.suspend(p);
  p.phase.store(phase::in_user, std::memory_order_release);
  p.waiting = nullptr;
}

namespace {

struct receive_wait : wait_state {
  const pattern* patterns = nullptr;
  std::size_t count = 0;

  bool of_type(std::size_t i, const envelope& e) const {
    if (patterns[i].type) [[likely]]
      return patterns[i].type == e.type;
    return e.type->kind == signal::message || e.type->kind == signal::reply;  // any message: responses are some too
  }
  std::size_t match(const envelope& e) const {
    for (std::size_t i = 0; i < count; ++i)
      if (of_type(i, e) && (!patterns[i].guard || patterns[i].guard(patterns[i].handler, e))) return i;
    return count;
  }
  // Asked wherever a message is taken in: a condition is asked by its own process, which is woken for it.
  static bool wanted(wait_state& self, envelope& e) {
    auto& mine = static_cast<receive_wait&>(self);
    for (std::size_t i = 0; i < mine.count; ++i)
      if (mine.of_type(i, e)) return true;
    return false;
  }
};

// The first match from the last place that was looked at; `before` is the envelope in front of it or, without a match,
// the last one.
inline envelope* scan(process& p, const receive_wait& m, std::size_t& which, envelope*& before) {
  envelope* e = before ? before->next : p.first;
  for (; e; before = e, e = e->next) {
    which = m.match(*e);
    if (which < m.count) break;
  }
  return e;
}

inline void take_from_queue(runtime_core& core, process& p, envelope* before, envelope* e) noexcept {
  if (before)
    unlink_from_queue(core, p, before, e);
  else
    static_cast<void>(take_first(core, p));
}

// Conditions are user code: they run outside of the section, where only this process changes its queue, and who gives
// the process up meanwhile leaves the queue as it is.
class scanning_section {
 public:
  explicit scanning_section(process& p) : process_(p) { set(true); }
  ~scanning_section() { set(false); }
  scanning_section(const scanning_section&) = delete;
  scanning_section& operator=(const scanning_section&) = delete;

 private:
  void set(bool on) {
    runtime_section section(process_);
    process_.scanning = on;
  }
  process& process_;
};

}  // namespace

namespace {

[[noreturn, gnu::cold]] void refuse_receive_timeout(duration timeout) {
  throw bad_argument("receive: the timeout is " + integer_text(timeout.count()) +
                     " ns; give otp::after 0, a positive duration or otp::infinity");
}

// A loop that always finds a message would never let anybody else run.
[[gnu::cold]] void let_others_run(runtime_core& core, process& p) {
  try {
    core.sched.prepare_to_suspend();
  } catch (const std::exception&) {
    return;  // no stack to be had: others wait a little longer
  }
  take_turns(p);
  check_fate(p);
}

}  // namespace

namespace {

inline envelope* taken(worker& on, process& p, envelope* found) noexcept {
  if (found->type->kind <= signal::cast)
    count_on(on, counter::handled);  // responses and orders were not accepted as messages
  p.reductions.store(p.reductions.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return found;
}

// Every kind of receive: with a timeout, with conditions, in a start that may be given up, in a destructor of a process
// that has a fate, and where a stack for the loop has to be found first.
envelope* receive_with_care(running_process here, receive_wait& w, const void* scan_id, duration timeout,
                            bool conditions, std::size_t& which) {
  auto& [on, core, p] = here;
  nanos start = timeout == infinity ? 0 : core.sched.now(on);
  nanos deadline = timeout == infinity || timeout.count() > never - start ? never : start + timeout.count();
  for (;;) {
    envelope* found = nullptr;
    envelope* before = nullptr;
    {
      runtime_section section(p);
      intake(core, p);
      if (p.scanned_for == scan_id) before = p.scanned;
      if (!conditions && (!p.dying || !w.interruptible)) {
        found = scan(p, w, which, before);
        if (found) take_from_queue(core, p, before, found);
      }
      p.scanned_for = scan_id;
      p.scanned = before;
    }
    if (w.interruptible) check_fate(p);
    if (conditions) {
      {
        scanning_section scanning(p);
        found = scan(p, w, which, before);
      }
      runtime_section section(p);
      p.scanned_for = scan_id;
      p.scanned = before;
      if (found) take_from_queue(core, p, before, found);
    }
    if (found) return taken(on, p, found);
    if (deadline != never && (timeout.count() == 0 || deadline <= core.sched.now())) {
      check_fate(p);
      return nullptr;
    }
    static_cast<wait_state&>(w) = wait_state();
    w.deadline = deadline;
    w.wants = receive_wait::wanted;
    w.interruptible = !unwinding(on.current->ctx);
    wait_inline(on, p, w);
    if (w.timed_out) {
      // A message may have arrived together with the timeout: look once more, without waiting.
      timeout = duration::zero();
    }
  }
}

}  // namespace

envelope* receive_envelope(const pattern* patterns, std::size_t count, duration timeout, std::size_t& which) {
  const running_process here = require_running("receive");
  auto& [on, core, p] = here;
  if (timeout.count() < 0) [[unlikely]]
    refuse_receive_timeout(timeout);
  check_fate(p);
  if (!scheduler::may_go_on(on)) [[unlikely]]
    let_others_run(core, p);

  receive_wait w;
  w.patterns = patterns;
  w.count = count;
  w.wants = receive_wait::wanted;
  w.interruptible = !unwinding(on.current->ctx);
  bool conditions = false;
  for (std::size_t i = 0; i < count; ++i) conditions = conditions || patterns[i].guard;
  // What was passed over once need not be looked at again: by this call, and for a single type without a condition by
  // every later one. The address of the type is the same for every turn of a loop around a receive; that of a local
  // variable means nothing to the next call.
  const bool plain = count == 1 && !conditions && patterns[0].type;
  const void* scan_id = plain ? static_cast<const void*>(patterns[0].type) : &w;
  if (!plain) p.scanned_for = nullptr;
  if (conditions || timeout != infinity) return receive_with_care(here, w, scan_id, timeout, conditions, which);
  // The usual receive waits for ever, for a type: one look and one sleep in one section.
  for (;;) {
    envelope* found = nullptr;
    bool asleep = false;
    {
      runtime_section section(p);
      intake(core, p);
      if (!p.dying || !w.interruptible) [[likely]] {
        envelope* before = p.scanned_for == scan_id ? p.scanned : nullptr;
        found = scan(p, w, which, before);
        if (found) take_from_queue(core, p, before, found);
        p.scanned_for = scan_id;
        p.scanned = before;
      }
      if (!found && !p.dying && !watch_of(p) && !scheduler::needs_stack(on)) [[likely]] {
        p.waiting = &w;
        w.satisfied = false;
        p.home.store(on.number + 1, std::memory_order_relaxed);  // published by try_sleep
        asleep = p.in.try_sleep();
        if (asleep) [[likely]]
          section.leave_as(phase::waiting);
        else
          p.waiting = nullptr;
      }
    }
    if (found) return taken(on, p, found);
    if (asleep) [[likely]] {
      suspend(on, p, false);
      p.phase.store(phase::in_user, std::memory_order_release);
      p.waiting = nullptr;
      if (w.interruptible) [[likely]]
        check_fate(p);
    } else if (p.dying && w.interruptible) {
      check_fate(p);  // whatever else has come
    } else if (p.in.has_mail()) {
      if (!scheduler::may_go_on(on)) [[unlikely]]
        let_others_run(core, p);
    } else {
      return receive_with_care(here, w, scan_id, timeout, conditions, which);
    }
  }
}

}  // namespace otp::detail

namespace otp {

using namespace detail;

void sleep(duration length) {
  auto [on, core, p] = require_running("sleep");
  if (length.count() < 0)
    throw bad_argument("sleep: the length is " + integer_text(length.count()) + " ns; give 0 or more");
  check_fate(p);
  if (length.count() == 0) return;
  nanos start = core.sched.now(on);
  wait_state w;
  w.deadline = length == infinity || length.count() > never - start ? never : start + length.count();
  wait(p, w);
}

void yield() {
  process& p = require_process("yield");
  runtime_core& core = *runtime_core::current();
  check_fate(p);
  prepare_to_suspend(core);
  take_turns(p);
  check_fate(p);
}

void hibernate() {
  process& p = require_process("hibernate");
  runtime_core& core = *runtime_core::current();
  check_fate(p);
  {
    runtime_section section(p);
    intake(core, p);
    if (p.extra && p.extra->links.empty() && p.extra->monitors.empty() && p.extra->monitored_by.empty()) {
      p.extra->links.clear();
      p.extra->monitors.clear();
      p.extra->monitored_by.clear();
    }
    if (p.extra && p.extra->results && p.extra->results->results.empty() && p.extra->results->ends.empty())
      p.extra->results.reset();
    if (p.first) return;
  }
  wait_state w;
  w.wants = [](wait_state&, envelope&) { return true; };
  wait(p, w);
}

}  // namespace otp
