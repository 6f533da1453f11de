// E: timers.
#include "faults/support.hpp"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <limits>
#include <map>
#include <memory>

using namespace faults;
using otp::pid;

namespace {

struct tick {
  int number = 0;
};

int arrived_within(otp::duration time) {
  int n = 0;
  auto end = otp::now() + time;
  for (bool more = true; more;)
    otp::receive([&](const tick&) { ++n; },
                 otp::after(std::max<otp::duration>(end - otp::now(), 0s), [&] { more = false; }));
  return n;
}

// The wall clock of this program, moved by a test; every other clock is the machine's.
std::atomic<long> wall_clock_moved_by{0};

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  int result = static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) time->tv_sec += wall_clock_moved_by.load();
  return result;
}

// covers: E08
TEST(a_timer, of_zero_fires_at_once_a_negative_one_is_refused_and_a_far_one_never_fires_early) {
  for_seeds(10, [] {
    auto start = otp::now();
    otp::send_after(0s, otp::self(), tick{1});
    otp::receive([&](const tick& t) { EXPECT_EQ(t.number, 1); });
    EXPECT_EQ(otp::now(), start);
    otp::send_at(otp::instant(otp::duration(-5)), otp::self(), tick{2});  // long ago
    otp::receive([&](const tick& t) { EXPECT_EQ(t.number, 2); });
    EXPECT_EQ(otp::now(), start);

    auto refuses = [](auto&& call) {
      try {
        call();
        ADD_FAILURE();
      } catch (const otp::bad_argument& e) {
        EXPECT_NE(std::string(e.what()).find("-1 ns"), std::string::npos) << e.what();
      }
    };
    auto timers = otp::counters().timers;
    refuses([] { otp::send_after(-1ns, otp::self(), tick{}); });
    refuses([] { otp::send_after(-1ns, "name", tick{}); });
    refuses([] { otp::start_timer(-1ns, otp::self(), 1); });
    refuses([] { otp::send_interval(-1ns, otp::self(), tick{}); });
    refuses([] { otp::exit_after(-1ns, otp::self(), "x"); });
    refuses([] { otp::kill_after(-1ns, otp::self()); });
    refuses([] { otp::apply_after(-1ns, [] {}); });
    refuses([] { otp::sleep(-1ns); });
    refuses([] { otp::receive([](const tick&) {}, otp::after(-1ns, [] {})); });
    EXPECT_THROW(otp::send_interval(0ns, otp::self(), tick{}), otp::bad_argument);
    EXPECT_THROW(otp::apply_interval(0ns, [] {}), otp::bad_argument);
    EXPECT_EQ(otp::counters().timers, timers);

    std::vector<otp::ref> far;
    constexpr otp::duration last(std::numeric_limits<otp::duration::rep>::max());
    for (otp::duration d : {last, last - 1ns, last / 2, otp::duration(std::chrono::hours(24 * 365 * 200)),
                            otp::duration(std::int64_t{1} << 31), otp::duration((std::int64_t{1} << 32) + 1)})
      far.push_back(otp::send_after(d, otp::self(), tick{3}));
    far.push_back(otp::send_at(otp::instant(last), otp::self(), tick{3}));
    EXPECT_EQ(arrived_within(2s), 0);
    EXPECT_EQ(arrived_within(3s), 2) << "2^31 and 2^32 + 1 ns";
    EXPECT_EQ(arrived_within(std::chrono::hours(24 * 365 * 100)), 0);
    for (otp::ref t : far) otp::cancel_timer(t);
    EXPECT_EQ(otp::counters().timers, timers);
  });
}

// covers: E09
TEST(a_cancel_that_races_with_the_expiry, tells_the_truth) {
  program p;
  p.run([] {
    int cancelled = 0;
    int fired = 0;
    pid main = otp::self();
    // Another process cancels: it may run on another worker than the one whose wheel fires.
    for (int i = 0; i < load(200'000, 20'000, 3'000); ++i) {
      bool by_other = i % 2;
      otp::ref t = otp::send_after(std::chrono::nanoseconds(i % 50'000), main, tick{i});
      bool was_pending = false;
      if (by_other) {
        otp::spawn([t, main] { otp::send(main, otp::cancel_timer(t).has_value()); });
        was_pending = otp::receive([](bool b) { return b; });
      } else {
        if (i % 3 == 0) otp::yield();
        was_pending = otp::cancel_timer(t).has_value();
      }
      if (was_pending) {
        ++cancelled;
      } else {
        ++fired;
        otp::receive([&](const tick& m) { ASSERT_EQ(m.number, i); },
                     otp::after(30s, [] { ADD_FAILURE() << "it fired, but its message never came"; }));
      }
      otp::receive([&](const tick& m) { ADD_FAILURE() << m.number << " came although it was cancelled, or twice"; },
                   otp::after(0s, [] {}));
      if (::testing::Test::HasFailure()) break;
    }
    // What was cancelled does not come later either.
    otp::receive([&](const tick& m) { ADD_FAILURE() << m.number; }, otp::after(100ms, [] {}));
    EXPECT_GT(cancelled, 0);
    EXPECT_GT(fired, 0);
    EXPECT_EQ(otp::counters().timers, 0U);
  });
}

// covers: E10
TEST(a_million_timers_half_of_them_cancelled, fire_the_other_half_never_early_and_are_freed) {
  constexpr int count = load(1'000'000, 300'000, 100'000);
  for_seeds(1, [] {
    struct timed {
      otp::instant due;
      int number;
    };
    std::vector<otp::ref> all;
    all.reserve(count);
    std::size_t heap_before = heap_bytes();
    for (int i = 0; i < count; ++i) {
      otp::duration after((i * 7919LL % 100'003) * 100'000 + i % 977);  // up to ten seconds, in no order
      all.push_back(otp::send_after(after, otp::self(), timed{otp::now() + after, i}));
    }
    EXPECT_EQ(otp::counters().timers, static_cast<std::uint64_t>(count));
    std::size_t heap_full = heap_bytes();
    for (int i = 0; i < count; i += 2) ASSERT_TRUE(otp::cancel_timer(all[static_cast<std::size_t>(i)]));
    long fired = 0;
    otp::instant last{};
    for (int i = 1; i < count; i += 2)
      otp::receive([&](const timed& t) {
        ++fired;
        ASSERT_EQ(t.number % 2, 1);
        ASSERT_GE(otp::now(), t.due) << "early";
        ASSERT_GE(t.due, last) << "out of order";
        last = t.due;
      });
    EXPECT_EQ(fired, count / 2);
    otp::receive([](const timed&) { ADD_FAILURE() << "one too many"; }, otp::after(20s, [] {}));
    EXPECT_EQ(otp::counters().timers, 0U);
    // A place keeps its number, so that no reference ever means another timer, and this process the room of its table.
    if (!asan) {
      EXPECT_LT(heap_bytes() - heap_before, (heap_full - heap_before) / 2);
    }
  });
}

// covers: E11
TEST(the_timers_of_a_process, vanish_when_it_ends) {
  for_seeds(20, [] {
    auto held = std::make_shared<int>(1);
    struct holds {
      std::shared_ptr<int> what;
    };
    auto [p, m] = otp::spawn_monitor([&] {
      for (int i = 0; i < 100; ++i) otp::send_after(1h, otp::self(), holds{held});
      otp::send_interval(1s, otp::self(), holds{held});
      otp::start_timer(1h, otp::self(), 5);
      otp::exit_after(1h, otp::self(), "late");
      otp::kill_after(1h, otp::self());
      otp::sleep(500ms);
    });
    // And those that somebody else aims at it.
    std::vector<otp::ref> mine;
    for (int i = 0; i < 50; ++i) mine.push_back(otp::send_after(1h, p, holds{held}));
    otp::testing::advance(100ms);
    EXPECT_EQ(otp::counters().timers, 154U);
    EXPECT_EQ(held.use_count(), 1 + 101 + 50);
    EXPECT_EQ(reason_of(m), otp::reason::normal);
    EXPECT_EQ(otp::counters().timers, 0U);
    EXPECT_EQ(held.use_count(), 1);
    for (otp::ref t : mine) {
      EXPECT_FALSE(otp::read_timer(t));
      EXPECT_FALSE(otp::cancel_timer(t));
    }
    // Set for a dead process: gone at once.
    otp::send_after(1h, p, holds{held});
    EXPECT_EQ(held.use_count(), 1);
    EXPECT_EQ(otp::counters().timers, 0U);
  });
}

// covers: E12
TEST(the_wall_clock, may_jump_an_hour_without_a_timer_noticing) {
  program p;
  p.run([] {
    for (long jump : {3600L, -3600L, 0L}) {
      timespec before{};
      ::clock_gettime(CLOCK_REALTIME, &before);
      auto start = otp::now();
      otp::send_after(200ms, otp::self(), tick{1});
      otp::ref far = otp::send_after(30min, otp::self(), tick{2});
      otp::spawn_link([] { otp::sleep(100ms); });
      long was = wall_clock_moved_by.exchange(jump);
      timespec after{};
      ::clock_gettime(CLOCK_REALTIME, &after);
      EXPECT_NEAR(static_cast<double>(after.tv_sec - before.tv_sec), static_cast<double>(jump - was), 5.0);
      otp::receive([](const tick& t) { EXPECT_EQ(t.number, 1) << "the far one fired"; },
                   otp::after(20s, [] { ADD_FAILURE() << "the near one did not"; }));
      EXPECT_GE(otp::now() - start, 200ms);
      EXPECT_LT(otp::now() - start, 20s);
      otp::receive([](const tick&) { ADD_FAILURE(); }, otp::after(50ms, [] {}));  // timeouts of receive as well
      EXPECT_LT(otp::now() - start, 30s);
      auto left = otp::cancel_timer(far);
      ASSERT_TRUE(left);
      EXPECT_GT(*left, 28min);
      EXPECT_LE(*left, 30min);
    }
  });
}

// covers: E13
TEST(an_interval_timer_whose_receiver_is_busy, sends_one_message_a_period_and_one_for_a_stall) {
  // The timer is on time, its receiver is not: one message a period waits for it, none beyond.
  for_seeds(10, [] {
    otp::ref t = otp::send_interval(1s, otp::self(), tick{});
    otp::sleep(10s + 500ms);
    EXPECT_EQ(otp::info(otp::self())->message_queue_len, 10U);
    for (int i = 0; i < 10; ++i) otp::receive([](const tick&) {});
    auto start = otp::now();
    for (int i = 0; i < 5; ++i) {
      otp::receive([](const tick&) {});
      EXPECT_EQ(otp::now() - start, 500ms + i * 1s) << "the rhythm is kept";
    }
    otp::cancel_timer(t);
    EXPECT_EQ(arrived_within(10s), 0);
  });
  // The timer itself is late, because nothing ran for ten periods: they become one message.
  otp::runtime_options o;
  o.workers = 1;
  program p(o);
  p.run([] {
    auto start = otp::now();
    constexpr auto period = 20ms;
    otp::ref t = otp::send_interval(period, otp::self(), tick{});
    // Longer than the watchdog lets one worker hold the timers: a spare keeps the rhythm then, and nothing is late.
    while (otp::now() - start < 10 * period) {
    }
    int early = 0;
    for (bool more = true; more;) otp::receive([&](const tick&) { ++early; }, otp::after(0s, [&] { more = false; }));
    EXPECT_LE(early, 10);
    otp::receive([](const tick&) {});
    auto since = otp::now() - start;
    long periods = since / period;
    EXPECT_LE(early + 1, periods) << "a burst beyond one message a period";
    otp::cancel_timer(t);
  });
}
