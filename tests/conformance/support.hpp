// What the conformance tests share: the two engines, short forms for waiting in a process, and a quiet listener.
#pragma once
#include "common.hpp"

#include <otp/receive.hpp>
#include <otp/testing.hpp>
#include <otp/timer.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace conformance {

using namespace std::chrono_literals;
using otp::reason::killed;
using otp::reason::noproc;
using otp::reason::normal;
using otp::reason::shutdown;

/// Keeps the events instead of printing them: many tests let processes crash.
class recorder final : public otp::event_listener {
 public:
  void on_event(const otp::event& e) override {
    std::lock_guard lock(lock_);
    seen_.emplace_back(e.what);
  }
  std::size_t count(std::string_view what) const {
    std::lock_guard lock(lock_);
    return static_cast<std::size_t>(std::count(seen_.begin(), seen_.end(), what));
  }

 private:
  mutable std::mutex lock_;
  std::vector<std::string> seen_;
};

inline bool time_is_virtual = false;  // in the run that goes on; tests run one after the other

/// Runs the body once, in the order of one seed and with virtual time.
template <class F>
void seeded(F&& body, std::uint64_t seed = 1, otp::runtime_options options = {}) {
  recorder quiet;
  if (!options.listener) options.listener = &quiet;
  time_is_virtual = true;
  otp::testing::run({.seed = seed, .runtime = options}, body);
}

/// Runs the body under the seeds 1 to n: n orders of everything that may happen in more than one.
template <class F>
void for_seeds(unsigned n, F&& body) {
  for (unsigned seed = 1; seed <= n; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    seeded(body, seed);
    if (::testing::Test::HasFailure()) return;  // one failing order is enough to read
  }
}

/// Runs the body as a process on OS threads in real time; returns its exit reason.
template <class F>
otp::exit_reason threaded(F&& body, otp::runtime_options options = {.workers = 3}) {
  recorder quiet;
  if (!options.listener) options.listener = &quiet;
  time_is_virtual = false;
  otp::runtime rt(options);
  rt.start();
  otp::exit_reason why = rt.run(std::forward<F>(body));
  EXPECT_TRUE(rt.stop().clean());
  return why;
}

/// The same body on both engines. On threads it must not depend on the time that passes.
template <class F>
void everywhere(unsigned seeds, F body) {
  for_seeds(seeds, body);
  SCOPED_TRACE("on threads");
  EXPECT_EQ(threaded(body), normal);
}

// ---- in a process ------------------------------------------------------------------------------------------------

/// How long a test waits for what has to come: only a failing one gets there. With virtual time for ever, since a run
/// in which nothing can happen any more fails by itself.
inline otp::duration patience() { return time_is_virtual ? otp::infinity : otp::duration(60s); }

/// The next message of a type; others stay.
template <class T>
T next() {
  return otp::receive([](T& m) { return std::move(m); }, otp::after(patience(), []() -> T {
                        throw std::runtime_error("no message of the type that this test waits for");
                      }));
}
/// Takes the next message if it is in the mailbox by now.
template <class T>
std::optional<T> waiting() {
  return otp::receive([](T& m) { return std::optional<T>(std::move(m)); },
                      otp::after(0s, [] { return std::optional<T>(); }));
}
/// No message of any type is in the mailbox.
inline bool mailbox_empty() {
  auto mine = otp::info(otp::self());
  return mine && mine->message_queue_len == 0;
}
/// Waits for the end of a process: its reason, `noproc` if it had ended before.
inline otp::exit_reason end_of(otp::pid process) {
  otp::ref r = otp::monitor(process);
  return otp::receive(
      otp::when([&](const otp::down& d) { return d.reference == r; }, [](otp::down& d) { return d.reason; }),
      otp::after(patience(), []() -> otp::exit_reason { throw std::runtime_error("it does not end"); }));
}
/// The reason in the `down` of one monitor.
inline otp::exit_reason reason_of(otp::ref monitor) {
  return otp::receive(
      otp::when([&](const otp::down& d) { return d.reference == monitor; }, [](otp::down& d) { return d.reason; }),
      otp::after(patience(), []() -> otp::exit_reason { throw std::runtime_error("no down came"); }));
}

/// Waits for ever.
[[noreturn]] inline void rest() {
  for (;;) otp::receive(otp::when([](const std::monostate&) { return false; }, [](const std::monostate&) {}));
}
inline otp::pid sleeper() {
  return otp::spawn([] { rest(); });
}

/// A process that traps exits and hands its EXIT messages to whoever made it, as {its own pid, message}.
struct trapped {
  otp::pid by;
  otp::exit_signal signal;
};
inline otp::pid trapper() {
  return otp::spawn({.trap_exit = true},
                    [owner = otp::self()] {
                      for (;;)
                        otp::receive([&](otp::exit_signal& s) {
                          if (!s.from) otp::exit(s.reason);  // the runtime stops
                          otp::send(owner, trapped{otp::self(), std::move(s)});
                        });
                    })
      .pid;
}

/// A user's reason without ==: it equals only its own copies.
struct opaque {
  int number;
};

/// One of every kind of reason that an exit signal may carry, but `normal` and `kill`.
inline std::vector<otp::exit_reason> abnormal_reasons() {
  return {shutdown,
          killed,
          noproc,
          otp::reason::timeout,
          shutdown("for today"),
          "a text",
          42,
          std::vector<int>{1, 2, 3},
          opaque{7},
          otp::reason::error("std::logic_error", "that went wrong")};
}

}  // namespace conformance
