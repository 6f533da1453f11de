// What the C++ programs share that are not part of the Google Benchmark one: the clock, the warm-up, the RESULT line.
//
// Shape   `<program> [--quick | --tiny]`, one work a program; a line `RESULT <row> <value> <unit>` for each row of it.
//         --tiny only shows that the program works: once, at the smallest size.
// Units   times are nanoseconds of the steady clock.
// Errors  a wrong argument ends the program with a text and exit code 2; a failed check with `fail`, exit code 1.
//
// C++17: the programs for CAF 0.17 are compiled as what its headers were written for.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace bench {

struct options {
  bool quick = false;
  bool tiny = false;

  /// A size or a count that depends on how much time there is.
  template <class T>
  T pick(T full_size, T quick_size, T tiny_size) const {
    return tiny ? tiny_size : quick ? quick_size : full_size;
  }
};

inline options parse(int argc, char** argv) {
  options parsed;
  for (int i = 1; i < argc; ++i) {
    const bool tiny = std::strcmp(argv[i], "--tiny") == 0;
    if (!tiny && std::strcmp(argv[i], "--quick") != 0) {
      std::fprintf(stderr, "%s: unknown argument '%s'; there are --quick and --tiny\n", argv[0], argv[i]);
      std::exit(2);
    }
    (tiny ? parsed.tiny : parsed.quick) = true;
  }
  return parsed;
}

/// Ends the program: what it measured was not the work it claims.
[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "wrong result: %s\n", what);
  std::exit(1);
}

inline void check(bool holds, const char* what) {
  if (!holds) fail(what);
}

inline std::int64_t now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
}

template <class Work>
std::int64_t timed(Work&& work) {
  const std::int64_t start = now();
  work();
  return now() - start;
}

inline void result(const char* row, double value, const char* unit) {
  std::printf("RESULT %s %.1f %s\n", row, value, unit);
  std::fflush(stdout);
}

/// Measures `body(rounds)`, which does `rounds * size` operations and returns the nanoseconds they took.
/// The first, growing calls are the warm-up; the first call that is long enough is the measurement.
template <class Body>
void per_operation(const char* row, options how, std::int64_t size, Body&& body) {
  const std::int64_t target = how.pick<std::int64_t>(1'000'000'000, 300'000'000, 1);
  std::int64_t rounds = 1;
  for (;;) {
    const std::int64_t elapsed = body(rounds);
    if (elapsed >= target) return result(row, double(elapsed) / double(rounds) / double(size), "ns");
    const double wanted = double(rounds) * 1.4 * double(target) / double(std::max<std::int64_t>(1, elapsed));
    rounds = std::max(rounds + 1, std::int64_t(std::min(wanted, double(rounds) * 10)));
  }
}

/// The middle one of what `work` returns, called so many times after the warm-ups.
template <class Work>
double median_of(int times, int warm_ups, Work&& work) {
  for (int i = 0; i < warm_ups; ++i) work();
  std::vector<double> samples;
  for (int i = 0; i < times; ++i) samples.push_back(work());
  std::sort(samples.begin(), samples.end());
  return samples[samples.size() / 2];
}

/// The processor time that all threads of this program have had.
inline std::int64_t processor_nanoseconds() {
  std::int64_t total = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream times(thread.path() / "schedstat");
    std::int64_t nanoseconds = 0;
    check(bool(times >> nanoseconds), "no schedstat of a thread in /proc/self/task");
    total += nanoseconds;
  }
  return total;
}

/// The memory of this program that is in RAM (VmRSS).
inline std::int64_t resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmRSS:", 0) == 0) return std::strtoll(line.c_str() + 6, nullptr, 10) * 1024;
  fail("no VmRSS in /proc/self/status");
}

}  // namespace bench
