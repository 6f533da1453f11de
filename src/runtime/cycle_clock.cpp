#include "runtime/cycle_clock.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <cmath>
#include <fstream>
#include <string>

namespace otp::detail {

namespace {
constexpr double most_slew = 500e-6;  // by which a clock is made to go faster or slower
}

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
  measured_ = 0;
  base_at_ = at;
  base_ = now;
}

void cycle_clock::believe(double rate) noexcept {
  measured_ = rate;
  rate_ = static_cast<std::uint64_t>(rate * (1 + most_slew) * double(std::uint64_t{1} << rate_bits));
  reach_cycles_ = static_cast<std::uint64_t>(double(reach) / rate);
}

// Not trusted yet: two times that follow each other have to agree, neither of them long, since a machine may have been
// suspended in it.
void cycle_clock::learn(std::uint64_t at, nanos now) noexcept {
  const nanos passed = now - base_;
  if (passed < first_base) return;
  constexpr double slowest = 4;  // nanoseconds a cycle
  constexpr double alike = 100e-6;
  const double rate = double(passed) / double(at - base_at_);
  const bool usual = passed <= 5 * first_base && rate > 0 && rate < slowest;
  if (usual && std::abs(rate - measured_) <= alike * rate) {
    believe(rate);
    next_measure_ = now + passed;
  } else {
    begin(at, now);
    if (usual) measured_ = rate;
  }
}

bool cycle_clock::expected(std::uint64_t at, nanos now) const noexcept {
  constexpr double always_off = 1'000;  // nanoseconds
  const double counted = double(at - set_at_) * measured_;
  const double passed = double(now - set_to_);
  return std::abs(counted - passed) <= always_off + 2 * most_slew * passed;
}

void cycle_clock::set(std::uint64_t before, nanos now, std::uint64_t after) noexcept {
  if (after - before >= longest_reading) return;  // also where the counter went back
  if (base_ == unknown || before <= base_at_ || now < base_) {
    begin(before, now);
  } else if (reach_cycles_ == 0) {
    learn(before, now);
  } else if (!expected(before, now)) {
    begin(before, now);
  } else if (now >= next_measure_) {
    believe(double(now - base_) / double(before - base_at_));
    next_measure_ = now + (now - base_);
  }
  set_at_ = before;
  set_to_ = now;
}

}  // namespace otp::detail
