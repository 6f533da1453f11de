// What the fault tests share: programs in real and in virtual time that must leave nothing behind, a listener that
// keeps what was reported, and children for faults that end a program.
#pragma once
#include "common.hpp"
#include "runtime/context.hpp"

#include <otp/process.hpp>
#include <otp/receive.hpp>
#include <otp/runtime.hpp>
#include <otp/testing.hpp>
#include <otp/timer.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace faults {

using namespace std::chrono_literals;
using tests::event_log;
using tests::journal;
using tests::strings;

inline constexpr bool asan = otp::detail::with_address_sanitizer;
inline constexpr bool tsan = otp::detail::with_thread_sanitizer;
#if defined(__OPTIMIZE__)
inline constexpr bool optimised = true;
#else
inline constexpr bool optimised = false;
#endif

/// The size of a load: as the row says where code is optimised, smaller in a debug build and under a sanitizer.
constexpr int load(int full, int debug, int sanitised) { return asan || tsan ? sanitised : optimised ? full : debug; }

/// Looks until it is so; false after the deadline. For threads that are not processes.
bool eventually(const std::function<bool()>& so, std::chrono::seconds deadline = 60s);
/// The same in a process: it waits with otp::sleep in between.
bool eventually_here(const std::function<bool()>& so, std::chrono::seconds deadline = 60s);

/// Spins, without giving the worker up, until another worker (or a spare one) has taken the process that sets it. So
/// the caller's stack does not wait behind that process.
void spin_until(const std::atomic<bool>& taken);

// ---- what a program holds ----------------------------------------------------------------------------------------

std::size_t open_descriptors();
std::size_t threads();
std::size_t resident_bytes();
/// Bytes that the program has allocated and not freed.
std::size_t heap_bytes();
/// How often the threads of this program gave the processor up by themselves.
std::size_t voluntary_switches();

/// Rule R4: what is there now must be there again at the end. Taken while no runtime runs.
class baseline {
 public:
  baseline();
  ~baseline();  ///< complains about descriptors and threads that were left
  baseline(const baseline&) = delete;
  baseline& operator=(const baseline&) = delete;

 private:
  std::size_t descriptors_ = 0;
  std::size_t threads_ = 0;
};

/// The counters of a runtime as they were, and the check that they are again: processes, timers, names, stacks.
class at_rest {
 public:
  explicit at_rest(otp::runtime& rt);
  void check() const;

 private:
  otp::runtime& rt_;
  otp::runtime_counters before_;
};

// ---- programs ----------------------------------------------------------------------------------------------------

/// A runtime with real time that is checked at the end: nobody left, no timer, every message counted (R2), a clean
/// stop, threads and descriptors back (R4).
class program {
 public:
  explicit program(otp::runtime_options options = {});
  ~program();
  /// Runs `body` as a process and expects it to end `normal`.
  void run(const std::function<void()>& body);
  otp::runtime& rt() { return *rt_; }
  event_log& events() { return events_; }
  /// For tests that leave something behind on purpose.
  otp::stop_report stop(otp::duration budget = 30s);

 private:
  baseline before_;
  event_log events_;
  std::optional<otp::runtime> rt_;
  bool stopped_ = false;
};

/// Runs `body` in real time and checks as `program` does.
void in_real_time(const std::function<void()>& body, otp::runtime_options options = {});

/// Runs `body` in virtual time under some seeds, each a different order of events.
void for_seeds(int count, const std::function<void()>& body, otp::runtime_options options = {});

/// Waits for the `down` of a monitor.
otp::exit_reason reason_of(otp::ref monitor);
/// Starts a process and waits for its end.
template <class F>
otp::exit_reason end_of(F&& body, otp::spawn_options options = {}) {
  options.monitor = true;
  return reason_of(otp::spawn(options, std::forward<F>(body)).monitor);
}

// ---- children ----------------------------------------------------------------------------------------------------

struct child_result {
  int status = -1;  // of waitpid; -1: it had to be killed at the deadline
  std::string errors;
  bool exited(int code) const;
  bool signalled(int signal) const;
};

/// Runs `body` in a child of this program and returns how that ended and what it wrote to stderr. The child exits with
/// what `body` returns; under ASan with 99 if it left memory behind.
child_result in_child(const std::function<int()>& body, std::chrono::seconds deadline = 120s);

}  // namespace faults
