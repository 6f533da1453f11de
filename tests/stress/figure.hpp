// What the stress programs share: how much they do, what they measure with, and the line that each figure of
// docs/reliability.md prints.
//
// Units   a program does less in `./test stress` than in `./test stress --full` (OTP_STRESS=full), and least under a
//         sanitizer, where only what is right or wrong counts.
#pragma once
#include <otp/event.hpp>

#include "dice.hpp"
#include "figure_line.hpp"
#include "runtime/context.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace stress {

using namespace std::chrono_literals;

inline constexpr bool asan = otp::detail::with_address_sanitizer;
inline constexpr bool tsan = otp::detail::with_thread_sanitizer;
inline constexpr bool sanitised = asan || tsan;

inline bool full() {
  const char* given = std::getenv("OTP_STRESS");
  return given && std::string_view(given) == "full";
}

/// How much of something: at the stated size, in the short run, under a sanitizer.
template <class T>
T size(T stated, T quick, T least) {
  return sanitised ? least : full() ? stated : quick;
}

/// Hears everything, keeps nothing.
struct quiet final : otp::event_listener {
  void on_event(const otp::event&) override {}
};

inline double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}
inline double seconds_since(std::chrono::steady_clock::time_point start) { return milliseconds_since(start) / 1e3; }

/// Keeps the thread busy, not only its process.
inline void spin_for(std::chrono::nanoseconds length) {
  auto end = std::chrono::steady_clock::now() + length;
  while (std::chrono::steady_clock::now() < end) {
  }
}

/// Every value of a measurement, of one thread at a time; asked when it is complete.
class samples {
 public:
  void add(double value) {
    values_.push_back(value);
    sorted_ = false;
  }
  void add(const samples& more) {
    values_.insert(values_.end(), more.values_.begin(), more.values_.end());
    sorted_ = false;
  }
  std::size_t count() const { return values_.size(); }
  /// The value that `part` of all are not above: 0.5 the median, 1 the largest. 0 if there are none.
  double at(double part) {
    if (values_.empty()) return 0;
    if (!std::exchange(sorted_, true)) std::sort(values_.begin(), values_.end());
    auto place = static_cast<std::size_t>(part * static_cast<double>(values_.size()));
    return values_[std::min(place, values_.size() - 1)];
  }
  double max() { return at(1); }

 private:
  std::vector<double> values_;
  bool sorted_ = false;
};

[[gnu::format(printf, 1, 2)]] inline std::string text(const char* format, ...) {
  char line[512];
  va_list values;
  va_start(values, format);
  std::vsnprintf(line, sizeof line, format, values);
  va_end(values);
  return line;
}

/// 12345678 as 12,345,678.
inline std::string number(std::uint64_t n) {
  std::string digits = std::to_string(n);
  for (auto at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

/// The line of a figure, with the seed and how busy the machine was (waiting threads on so many processors). What is
/// wrong has failed the test by now, and the figure is violated; a time that misses its goal only says so, since it
/// depends on who else computes. Under a sanitizer times are not judged.
inline void figure(const char* id, const std::string& goal, const std::string& reached, bool in_time = true) {
  double load = 0;
  ::getloadavg(&load, 1);
  const char* verdict = testing::Test::HasFailure() ? "VIOLATED" : sanitised ? "counted" : in_time ? "met" : "missed";
  tests::write_figure(id, verdict, goal,
                      reached + text("; OTP_SEED=%llu, load %.1f on %u", static_cast<unsigned long long>(seed()), load,
                                     std::thread::hardware_concurrency()));
}

}  // namespace stress
