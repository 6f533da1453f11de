// Chance for stress tests: one seed for the whole run, printed, and taken from OTP_SEED if it is set. The seed decides
// what each thread does, not when the machine lets it.
#pragma once
#include <time.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace stress {

inline std::uint64_t seed() {
  static const std::uint64_t chosen = [] {
    std::uint64_t value = 0;
    if (const char* given = std::getenv("OTP_SEED")) {
      value = std::strtoull(given, nullptr, 0);
    } else {
      timespec now{};
      clock_gettime(CLOCK_REALTIME, &now);
      value = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
    }
    std::printf("OTP_SEED=%llu\n", static_cast<unsigned long long>(value));
    std::fflush(stdout);
    return value;
  }();
  return chosen;
}

/// The numbers of one thread: its own sequence for each seed and number.
class dice {
 public:
  explicit dice(std::uint64_t number) : state_(seed() + number * 0x9e3779b97f4a7c15ULL) { roll(); }

  std::uint64_t roll() {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t mixed = (state_ ^ (state_ >> 32)) * 0xd6e8feb86659fd93ULL;
    mixed = (mixed ^ (mixed >> 32)) * 0xd6e8feb86659fd93ULL;
    return mixed ^ (mixed >> 32);
  }
  std::uint64_t below(std::uint64_t limit) { return roll() % limit; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

}  // namespace stress
