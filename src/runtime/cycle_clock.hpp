// A worker's exact clock at half the price: it counts the processor's cycles from the last reading of CLOCK_MONOTONIC.
//
// Shape   the worker reads the monotonic clock every few steps anyway, and tells it by set(); at() counts on from that.
// Units   nanoseconds of CLOCK_MONOTONIC; cycles of the processor's counter.
// Errors  none: where it cannot be trusted at() says `unknown`, and the caller reads the clock itself.
//
// Rules
//  1. Of one worker; nobody else touches it.
//  2. A reading is counted on from for `reach` at the most. So whatever the counter or the clock does (a machine that
//     was suspended or moved), an error lasts so long.
//  3. It is not behind the clock: a reading is taken to be from the beginning of the time that it took, which is below
//     `longest_reading` or it does not count, and the rate is taken too high by as much as a clock may be slewed. It is
//     ahead by less than 200 ns. So what is armed by it comes later by that, and never early.
//  4. The rate is measured between two readings, at first over `first_base`, and believed when a second time says the
//     same; then over twice that time, and so on. A reading that is not where it was expected begins anew.
//  5. It never goes back.
#pragma once
#include "runtime/timer_wheel.hpp"

#include <cstdint>

namespace otp::detail {

class cycle_clock {
 public:
  static constexpr nanos unknown = -1;
  static constexpr nanos reach = 100'000;
  static constexpr nanos first_base = 20'000'000;
  static constexpr std::uint64_t longest_reading = 400;  // cycles

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
  // Nanoseconds a cycle, times 2^32. A product stays below reach * 2^32, and that below 2^49.
  static constexpr int rate_bits = 32;

  void begin(std::uint64_t at, nanos now) noexcept;
  void learn(std::uint64_t at, nanos now) noexcept;
  void believe(double rate) noexcept;
  [[nodiscard]] bool expected(std::uint64_t at, nanos now) const noexcept;

  std::uint64_t reach_cycles_ = 0;  // 0: it is not trusted
  std::uint64_t set_at_ = 0;
  nanos set_to_ = 0;
  nanos last_ = 0;
  std::uint64_t rate_ = 0;  // rule 3
  // What the rate is measured from, what it was measured to be, and when it will be measured again.
  std::uint64_t base_at_ = 0;
  nanos base_ = unknown;
  double measured_ = 0;
  nanos next_measure_ = 0;
};

}  // namespace otp::detail
