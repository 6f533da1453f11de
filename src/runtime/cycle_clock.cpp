#include "runtime/cycle_clock.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <fstream>
#include <string>

namespace otp::detail {

bool cycle_clock::usable(const char* root) noexcept {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned invariant = 1U << 8;
  if (!__get_cpuid(0x80000007, &a, &b, &c, &d) || !(d & invariant)) return false;
  try {
    std::ifstream source(std::string(root) + "/sys/devices/system/clocksource/clocksource0/current_clocksource");
    std::string name;
    return source >> name && name == "tsc";
  } catch (...) {
    return false;
  }
#else
  static_cast<void>(root);
  return false;
#endif
}

void cycle_clock::begin(std::uint64_t at, nanos now) noexcept {
  reach_cycles_ = 0;
  base_at_ = at;
  base_ = now;
  next_measure_ = now + first_base;
}

void cycle_clock::measure(std::uint64_t at, nanos now) noexcept {
  const double rate = double(now - base_) / double(at - base_at_);
  rate_ = static_cast<std::uint64_t>(rate * double(std::uint64_t{1} << rate_bits));
  reach_cycles_ = rate_ ? static_cast<std::uint64_t>(double(reach) / rate) : 0;
  next_measure_ = now + (now - base_);
}

void cycle_clock::set(std::uint64_t before, nanos now, std::uint64_t after) noexcept {
  if (after - before >= longest_reading) return;  // also where the counter went back
  constexpr double always_off = 1'000;      // nanoseconds
  constexpr double most_off = 0.001;        // of the time that has passed: the clock may be slewed
  const bool first = base_ == unknown || before <= base_at_ || now < base_;
  bool expected = !first;
  if (reach_cycles_ != 0 && !first) {
    const double counted = double(before - set_at_) * double(rate_) / double(std::uint64_t{1} << rate_bits);
    const double passed = double(now - set_to_);
    const double off = counted > passed ? counted - passed : passed - counted;
    expected = off <= always_off + passed * most_off;
  }
  if (!expected)
    begin(before, now);
  else if (now >= next_measure_)
    measure(before, now);
  set_at_ = before;
  set_to_ = now;
}

}  // namespace otp::detail
