// Which workers are parked, and the protocol by which no work waits while a worker sleeps.
//
// Shape   a worker with nothing to do               whoever has made work
//           announce(me)                              publishes it (a run queue, an inbox, a timer)
//           looks at every source of work once        w = claim_any(), or claim(w) if only that worker may run it
//           parks if there was none                   unparks w if there was one
//           claimed = !retract(me)
//           takes one thing to run; rule 5
// Units   at most 64 workers, numbered from 0.
//
// Rules
//  1. Bit w of idle_ is set by worker w alone (announce). It is cleared by w (retract) or by one claimer; whoever
//     clears it knows, since it was one atomic operation. Who claims w must unpark w, and nobody else has to.
//  2. No lost wake-up. Two fences, one between announce and the look at the sources, one between publishing and the
//     look at idle_; fences are totally ordered. If the publisher's is first, the worker's look finds the work. If the
//     worker's is first, the publisher's look finds the bit, unless somebody has claimed it since; then the worker is
//     being woken, will announce again before it parks again, and the argument starts anew with that announcement.
//  3. So the look comes after *each* announce and takes in every source, and the sources are read with plain atomic
//     loads after it (any order will do). A worker that was woken by mistake, or by a timer, loses nothing.
//  4. retract() false means that a claimer has unparked this worker or is about to. If it has not parked, the token
//     stays and makes a later park() return at once, for nothing: cheaper than waiting for it here, and harmless by
//     rule 3.
//  5. No work waits behind a running process while a worker sleeps. One claim pays for one thing published, but the
//     claimed worker may have been on its way to another. So a worker that was claimed looks, before it runs what it
//     found, whether there is more, and if so claims and unparks the next worker. It does the same when it has stolen
//     more than the one thing it runs: it has published that (between the theft and its arrival in the thief's queue,
//     nobody could see it). retract() synchronises with the claim, so the claimed worker sees what the claim was for. A
//     scheduler that leaves these wake-ups out loses time, not work: what waits is found when a process yields.
#pragma once
#include <atomic>
#include <bit>
#include <cassert>
#include <cstdint>

#include "runtime/sync.hpp"

namespace otp::detail {

/// The orders of the idle set. Everything not named here is relaxed: rule 1 needs no more than that it is atomic, and
/// rule 2 has its fences.
struct idle_set_orders {
  static constexpr auto announced = std::memory_order::seq_cst;  // fence after announce, with `published`
  static constexpr auto published = std::memory_order::seq_cst;  // fence before a look at idle_, with `announced`
  static constexpr auto retracted = std::memory_order::acquire;  // from `published` of whoever claimed us: rule 5
};

template <class Sync = std_sync, class Orders = idle_set_orders>
class idle_set {
 public:
  static constexpr unsigned workers_max = 64;

  idle_set() = default;
  idle_set(const idle_set&) = delete;
  idle_set& operator=(const idle_set&) = delete;

  /// Says that this worker is about to park. Look for work once more after it. That worker only.
  void announce(unsigned worker) noexcept {
    idle_.fetch_or(bit(worker), std::memory_order::relaxed);
    Sync::fence(Orders::announced);
  }

  /// Takes it back; false if somebody has claimed this worker meanwhile. That worker only.
  [[nodiscard]] bool retract(unsigned worker) noexcept {
    if ((idle_.load(Orders::retracted) & bit(worker)) == 0) return false;  // only we could set it again
    return (idle_.fetch_and(~bit(worker), Orders::retracted) & bit(worker)) != 0;
  }

  /// An idle worker, which is the caller's to unpark, or -1 if none is idle. Call it after publishing the work.
  [[nodiscard]] int claim_any() noexcept {
    Sync::fence(Orders::published);
    std::uint64_t idle = idle_.load(std::memory_order::relaxed);
    while (idle != 0) {
      const auto worker = static_cast<unsigned>(std::countr_zero(idle));
      if (take(worker)) return static_cast<int>(worker);
      idle &= ~bit(worker);  // it has been claimed, or is awake and will look again (rule 2)
    }
    return -1;
  }

  /// True if this worker was idle; it is then the caller's to unpark. Call it after publishing the work.
  [[nodiscard]] bool claim(unsigned worker) noexcept {
    Sync::fence(Orders::published);
    return (idle_.load(std::memory_order::relaxed) & bit(worker)) != 0 && take(worker);
  }

  /// Whether a worker is idle. Asked after publishing, false means that nobody has to be woken.
  [[nodiscard]] bool any() const noexcept {
    Sync::fence(Orders::published);
    return idle_.load(std::memory_order::relaxed) != 0;
  }

  /// Whether this worker was idle a moment ago. A hint: it orders nothing.
  [[nodiscard]] bool contains(unsigned worker) const noexcept {
    return (idle_.load(std::memory_order::relaxed) & bit(worker)) != 0;
  }

 private:
  static constexpr std::uint64_t bit(unsigned worker) noexcept {
    assert(worker < workers_max && "an idle set has 64 workers");
    return std::uint64_t{1} << worker;
  }

  bool take(unsigned worker) noexcept {
    return (idle_.fetch_and(~bit(worker), std::memory_order::relaxed) & bit(worker)) != 0;
  }

  // Every publisher reads it: nothing that is written more often may share its line.
  alignas(Sync::apart) typename Sync::template atomic<std::uint64_t> idle_{0};
};

}  // namespace otp::detail
