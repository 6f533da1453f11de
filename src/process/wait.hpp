// The wait itself, for the hottest places that wait: calls, receives and everything else. Only a receive that waits for
// ever without conditions has a shorter one of its own (wait.cpp).
//
// Inline, so that no `ret` stands between the switch of stacks and the code that goes on: the processor predicts each
// from the calls of the stack that was left, mostly wrong.
#pragma once
#include "process/runtime_core.hpp"

namespace otp::detail {

enum class fate : std::uint8_t { is_thrown, ends_the_wait };

/// Has the process woken at `deadline`, or some time before that, by its wait timer, which stays armed when a wait ends
/// early: the next one usually needs it no sooner. In a runtime_section.
void set_wait_timer(runtime_core&, process&, nanos deadline);
inline void arm_wait_timer(runtime_core& core, process& p, nanos deadline) {
  const wait_timer* t = p.extra ? p.extra->waits : nullptr;
  if (t && t->references.load(std::memory_order_acquire) > 1 && t->deadline <= deadline) [[likely]]
    return;
  set_wait_timer(core, p, deadline);
}
/// Whether the start that the process waits in was given up.
bool start_given_up(const process&) noexcept;

/// As wait(). `here` is the worker, the same after every suspension; `w.interruptible` is set by the caller.
[[gnu::always_inline]] inline void wait_inline(worker& here, process& p, wait_state& w, fate then = fate::is_thrown) {
  runtime_core& core = core_of(here);
  for (;;) {
    if (scheduler::needs_stack(here)) [[unlikely]]
      prepare_to_suspend(core);
    bool over = false;
    bool defer = false;
    {
      runtime_section section(p);
      p.waiting = &w;
      intake(core, p);
      over = w.satisfied || (p.dying && w.interruptible);
      if (nanos until = wait_deadline(p, w); !over && until != never) {
        // A deadline that was made just now has not passed; reading the clock costs more than the rest of this.
        over = !std::exchange(w.fresh, false) && deadline_passed(p, w, core.sched.now());
        if (!over) try {
            arm_wait_timer(core, p, until);
          } catch (...) {
            p.waiting = nullptr;  // no memory for the timer: `w` goes, and the next intake must not find it
            throw;
          }
      }
      if (!over) {
        p.home.store(here.number + 1, std::memory_order_relaxed);  // published by try_sleep
        section.leave_as(phase::waiting);
        defer = w.reply && here.handed;  // the one that is asked runs next
        if (!defer && !p.in.try_sleep()) {
          if (scheduler::may_go_on(here)) [[likely]] {
            section.leave_as(phase::in_user);
            continue;
          }
          core.sched.make_ready_last(p);  // signals that come as fast as they are taken in: others get their turn too
        }
      }
    }
    if (!over) {
      suspend(here, p, defer);
      p.phase.store(phase::in_user, std::memory_order_release);
    }
    p.waiting = nullptr;
    if (p.dying && !w.found && w.interruptible) [[unlikely]] {  // a reply that has come is handed over first
      if (then == fate::ends_the_wait) return;
      check_fate(p);
    }
    if (w.satisfied || w.timed_out) [[likely]]
      return;
    if (w.interruptible && start_given_up(p)) {
      if (then == fate::ends_the_wait) return;
      check_fate(p);
    }
  }
}

}  // namespace otp::detail
