// Where a worker sleeps when there is nothing to do: one thread parks, anybody unparks it, and no unpark is ever lost.
//
// Shape   unpark() leaves a token; park() waits for the token and takes it. Two unparks before a park leave one token.
//         Everything before an unpark() is visible after the park() that takes its token.
// Units   nanoseconds of the monotonic clock. A parked thread uses no processor time; unpark() enters the kernel only
//         if the thread is parked.
//
// Rules
//  1. state_ is the only field: nothing, a token, or "the thread is parked". The owner moves it from nothing to parked
//     and from anything to nothing; the others only ever put a token there. Both do it by exchange, so that no token
//     overwrites unseen what an earlier one published: the owner's exchange reads the last, and synchronises with all.
//  2. The kernel compares state_ with "parked" before it puts the thread to sleep, in one step as seen from futex_wake.
//     A token that comes before that step keeps the thread awake; one that comes after it finds "parked", and wakes.
//  3. Waking up means nothing (signals, a wake meant for an earlier park): only the token or the deadline ends a park.
//  4. A worker may sleep elsewhere, in a poller: it says so in a flag, then asks try_take() once more, and sleeps there
//     if there was no token. Who unparks looks at the flag after unpark(). Either the worker's exchange comes second
//     and takes the token, or the waker's does and sees the flag, because both are acquire and release.
//  5. The waker may touch the futex after the owner has gone on. A parker that is destroyed meanwhile costs the kernel
//     a look at an address, and whoever lives there a wake-up for nothing (rule 3).
#pragma once
#include <atomic>
#include <cstdint>

#include "runtime/sync.hpp"

namespace otp::detail {

/// The orders of the parker. Everything not named here is relaxed: it decides who waits, and hands nothing over.
struct parker_orders {
  static constexpr auto unpark = std::memory_order::acq_rel;  // what the caller did before, to `park`; rule 4, from it
  static constexpr auto park = std::memory_order::acq_rel;    // from `unpark`; and the flag of rule 4, to it
};

template <class Sync = std_sync, class Orders = parker_orders>
class parker {
 public:
  parker() = default;
  parker(const parker&) = delete;
  parker& operator=(const parker&) = delete;

  /// Waits for the token and takes it. Owner only.
  void park() noexcept { static_cast<void>(park_until(Sync::no_deadline)); }

  /// Waits for the token no longer than this. False: the time has passed and there was no token. Owner only.
  [[nodiscard]] bool park_for(std::int64_t length) noexcept {
    const std::int64_t now = Sync::now();
    return park_until(length < Sync::no_deadline - now ? now + length : Sync::no_deadline);
  }

  /// Waits for the token until this instant. False: it has passed and there was no token. Owner only.
  [[nodiscard]] bool park_until(std::int64_t deadline) noexcept {
    std::uint32_t expected = nothing;
    if (state_.compare_exchange_strong(expected, parked, std::memory_order::relaxed, std::memory_order::relaxed)) {
      while (state_.load(std::memory_order::relaxed) == parked && Sync::futex_wait(state_, parked, deadline)) {
      }
    }
    return state_.exchange(nothing, Orders::park) == token;
  }

  /// Takes the token if it is there, without waiting. Owner only.
  [[nodiscard]] bool try_take() noexcept { return state_.exchange(nothing, Orders::park) == token; }

  /// Leaves the token, and wakes the owner if it is parked. Any thread.
  void unpark() noexcept {
    if (state_.exchange(token, Orders::unpark) == parked) Sync::futex_wake(state_);
  }

 private:
  static constexpr std::uint32_t nothing = 0;
  static constexpr std::uint32_t token = 1;
  static constexpr std::uint32_t parked = 2;

  typename Sync::template atomic<std::uint32_t> state_{nothing};
};

}  // namespace otp::detail
