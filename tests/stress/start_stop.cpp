// F15: a runtime that is started and stopped over and over, with a program inside each time: no thread, descriptor or
// byte is left. And a stop of a hundred thousand processes, which takes no time to speak of.
#include <otp/blocking.hpp>
#include <otp/gen_server.hpp>
#include <otp/receive.hpp>
#include <otp/supervisor.hpp>

#include "faults/support.hpp"
#include "figure.hpp"

#include <gtest/gtest.h>

#include <atomic>

namespace {

using namespace stress;

struct tick {};
struct desk {
  using messages = otp::messages<tick>;
  struct ask {
    using reply = int;
    int number;
  };
  struct crash {};
  int handle_call(const ask& a) { return a.number + 1; }
  void handle_cast(const crash&) { throw std::runtime_error("crash"); }
  void handle_info(const tick&) {}
};

// A small program: a tree, calls, crashes, timers that have not fired, processes that wait; not all of it has ended
// when the runtime stops.
void program(dice d) {
  otp::trap_exit(true);
  otp::supervisor_spec spec{.strategy = otp::one_for_all, .max_restarts = 100};
  for (int i = 0; i < 10; ++i)
    spec.children.push_back(otp::child_function(
        otp::child_id(i), [i] { return otp::gen_server::start_link<desk>({.name = "desk " + std::to_string(i)}); }));
  auto sup = otp::supervisor::start_link(std::move(spec)).value();
  for (int i = 0; i < 20; ++i) {
    otp::pid who = otp::whereis("desk " + std::to_string(d.below(10))).value_or(otp::pid());
    if (!who) continue;
    otp::server<desk> one(who);
    otp::send_after(std::chrono::seconds(1 + d.below(100)), who, tick{});
    otp::send_interval(1ms, who, tick{});
    if (auto answer = otp::try_call(one, desk::ask{i})) {
      EXPECT_EQ(*answer, i + 1);
    }
    if (d.one_in(8)) otp::cast(one, desk::crash{});
  }
  for (int i = 0; i < 20; ++i) {
    otp::pid p = otp::spawn([] { otp::receive([](const tick&) {}); });
    otp::monitor(p);
    if (d.one_in(2)) otp::exit(p, otp::reason::kill);
  }
  EXPECT_EQ(otp::blocking([] { return 7; }), 7);
  otp::sleep(otp::duration(d.below(500'000)));
  if (d.one_in(2)) otp::supervisor::stop(sup);
}

// covers: F15
TEST(start_stop, over_and_over_leaves_nothing) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  const auto cycles = size<int>(1'000, 100, 20);
  const int warm_up = 5;
  quiet listener;
  faults::baseline threads_and_descriptors;
  std::size_t bytes = 0;
  std::uint64_t unclean = 0;
  auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < cycles + warm_up; ++i) {
    if (i == warm_up) bytes = faults::heap_bytes();
    dice d(static_cast<std::uint64_t>(i));
    otp::runtime rt({.workers = 1 + static_cast<unsigned>(d.below(4)), .listener = &listener});
    rt.start();
    auto why = rt.run([&] { program(d); });
    EXPECT_EQ(why, otp::reason::normal) << why.to_string();
    if (d.one_in(2)) unclean += rt.stop().clean() ? 0 : 1;  // or the destructor does it
  }
  double took = seconds_since(begin);
  EXPECT_EQ(unclean, 0U);
  auto grown = static_cast<double>(faults::heap_bytes()) - static_cast<double>(bytes);
  // LeakSanitizer tells of each byte; here an allocator may have kept a little more.
  EXPECT_LE(grown, 64 * 1024);
  const std::size_t own = tsan ? 2 : 1;  // ThreadSanitizer has a thread of its own
  EXPECT_TRUE(faults::eventually([&] { return faults::threads() <= own; }));
  figure("F15", text("%d starts and stops: 0 bytes leaked, 0 threads and descriptors left", cycles),
         text("heap grew %.0f bytes, %zu thread, %zu descriptors, %.1f s", grown, faults::threads(),
              faults::open_descriptors(), took));
}

// covers: F15
TEST(start_stop, of_a_hundred_thousand_processes) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  const auto crowd = size<std::uint64_t>(100'000, 100'000, 5'000);
  quiet listener;
  otp::runtime rt({.listener = &listener});
  rt.start();
  auto why = rt.run([&] {
    std::atomic<std::uint64_t> waiting{0};
    // Half of them idle servers, half of them wait on a stack.
    for (std::uint64_t i = 0; i < crowd / 2; ++i) {
      otp::gen_server::start<desk>({}).value();
      otp::spawn([&] {
        ++waiting;
        otp::receive([](const tick&) {});
      });
    }
    while (waiting < crowd / 2) otp::sleep(1ms);
    EXPECT_EQ(otp::process_count(), crowd + 1);
  });
  EXPECT_EQ(why, otp::reason::normal) << why.to_string();
  auto begin = std::chrono::steady_clock::now();
  bool clean = rt.stop().clean();
  double took = milliseconds_since(begin);
  EXPECT_TRUE(clean);
  auto c = rt.counters();
  EXPECT_EQ(c.processes, 0U);
  EXPECT_EQ(c.spawned, c.exited);
  figure("F15", text("stop of %s processes <= 1000 ms", number(crowd).c_str()),
         text("%.0f ms, %s left", took, number(c.processes).c_str()), took <= 1000);
}

}  // namespace
