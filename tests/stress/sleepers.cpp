// Processes that only sleep, and others that hold their workers up for so long that spare ones drive their timers:
// every sleep ends, and none ends early.
//
// A wait timer that fired on one thread while its process went on to the next sleep on another was taken for armed, and
// the process slept for ever.
#include <otp/process.hpp>
#include <otp/receive.hpp>
#include <otp/runtime.hpp>

#include "dice.hpp"
#include "runtime/context.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

constexpr bool slow = otp::detail::with_address_sanitizer || otp::detail::with_thread_sanitizer;

struct quiet final : otp::event_listener {
  void on_event(const otp::event&) override {}
};

/// Holds its thread, not only its process.
void hold_up(std::chrono::milliseconds length) {
  auto end = std::chrono::steady_clock::now() + length;
  while (std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

TEST(stress_sleepers, every_sleep_ends_while_spare_workers_drive_the_timers_of_stalled_ones) {
  constexpr int sleepers = 64;
  constexpr int sleeps = slow ? 300 : 1'500;
  constexpr int stallers = 4;
  quiet listener;
  // More threads than processors: they are taken off them anywhere, also in the middle of a timer.
  otp::runtime rt({.workers = 8, .listener = &listener});
  rt.start();
  std::atomic<int> early{0};
  auto why = rt.run([&] {
    std::vector<otp::pid> stalls;
    for (int s = 0; s < stallers; ++s)
      stalls.push_back(otp::spawn([s] {
        stress::dice chance(static_cast<std::uint64_t>(s) + 1'000);
        for (;;) {
          hold_up(std::chrono::milliseconds(20 + chance.below(20)));
          otp::sleep(otp::duration(chance.below(1'000'000)));
        }
      }));
    std::vector<otp::ref> ends;
    for (int s = 0; s < sleepers; ++s)
      ends.push_back(otp::spawn({.monitor = true}, [&early, s] {
                       stress::dice chance(static_cast<std::uint64_t>(s));
                       for (int i = 0; i < sleeps; ++i) {
                         // Often the next one is longer: its timer is the last one's, if that is still armed.
                         auto length = otp::duration(chance.below(chance.one_in(2) ? 20'000 : 300'000));
                         otp::instant start = otp::now();
                         otp::sleep(length);
                         if (otp::now() - start < length) ++early;
                       }
                     }).monitor);
    for (otp::ref m : ends)
      otp::receive(otp::when([&](const otp::down& d) { return d.reference == m; },
                             [](const otp::down& d) { EXPECT_EQ(d.reason, otp::reason::normal); }),
                   otp::after(120s, [&] { ADD_FAILURE() << "a process sleeps for ever"; }));
    for (otp::pid s : stalls) otp::exit(s, otp::reason::kill);
  });
  EXPECT_TRUE(why.is_normal()) << why.to_string();
  EXPECT_EQ(early, 0);
  EXPECT_TRUE(rt.stop().clean());
}

}  // namespace
