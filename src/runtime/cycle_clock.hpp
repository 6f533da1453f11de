// A worker's exact clock at half the price: it counts the processor's cycles from the last reading of CLOCK_MONOTONIC.
//
// Shape   the worker reads the monotonic clock every few steps anyway, and tells it by set(); at() counts on from there.
// Units   nanoseconds of CLOCK_MONOTONIC; cycles of the processor's counter.
// Errors  none: where it cannot be trusted at() says `unknown`, and the caller reads the clock itself.
//
// Rules
//  1. Of one worker; nobody else touches it.
//  2. A reading is counted on from for `reach` at the most. So whatever the counter or the clock does (a machine that
//     was suspended or moved, a clock that is slewed by 500 ppm), an error lasts a millisecond, and is half a
//     microsecond if the counter runs evenly.
//  3. A reading counts only if it took less than `longest_reading`: the thread was not stopped in the middle of it.
//     It is taken to be from the beginning of that time, which puts the clock ahead by some 20 ns, never behind: what
//     is armed by it comes late by so much.
//  4. The rate is measured between two readings, the first time after `first_base`, then over twice that time, and so
//     on: it is off by less than 10 ppm, and soon by less than 1. A reading that is not where it was expected begins
//     anew.
//  5. It never goes back.
#pragma once
#include "runtime/timer_wheel.hpp"

#include <cstdint>

namespace otp::detail {

class cycle_clock {
 public:
  static constexpr nanos unknown = -1;
  static constexpr nanos reach = 1'000'000;
  static constexpr nanos first_base = 20'000'000;
  static constexpr std::uint64_t longest_reading = 1'000;  // cycles

  /// Whether this machine's counter may be used at all: it is even, the same on every CPU, and the kernel itself keeps
  /// time by it. `root` stands before /sys, for tests.
  static bool usable(const char* root = "") noexcept;
  static std::uint64_t count() noexcept {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
  }

  /// The clock said `now`, read between these two counts.
  void set(std::uint64_t before, nanos now, std::uint64_t after) noexcept;

  /// What it says at this count.
  [[nodiscard]] nanos at(std::uint64_t cycles) noexcept {
    const std::uint64_t since = cycles - set_at_;
    if (since >= reach_cycles_) [[unlikely]]
      return unknown;
    return latest(set_to_ + static_cast<nanos>(since * rate_ >> rate_bits));
  }

  /// This reading of the clock, or what was said before if that is later (rule 5).
  [[nodiscard]] nanos latest(nanos now) noexcept { return last_ = now > last_ ? now : last_; }

 private:
  static constexpr int rate_bits = 32;  // nanoseconds a cycle, times 2^32: below 2^34, and a million cycles fit beside it

  void measure(std::uint64_t at, nanos now) noexcept;
  void begin(std::uint64_t at, nanos now) noexcept;

  std::uint64_t reach_cycles_ = 0;  // 0: not to be trusted
  std::uint64_t set_at_ = 0;
  nanos set_to_ = 0;
  nanos last_ = 0;
  std::uint64_t rate_ = 0;
  // What the rate is measured from, and how long it takes until it is measured again.
  std::uint64_t base_at_ = 0;
  nanos base_ = unknown;
  nanos next_measure_ = 0;
};

}  // namespace otp::detail
