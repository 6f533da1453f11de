// Timers that come back, end processes or run functions: what Erlang's timer module does.
#include "conformance/support.hpp"

#include <functional>
#include <tuple>

using namespace conformance;

namespace {
struct tick {};
}  // namespace

// covers: PROC-126
TEST(process_timer_service, an_interval_timer_sends_every_period_first_after_one_until_cancelled) {
  for_seeds(10, [] {
    auto start = otp::now();
    otp::ref t = otp::send_interval(10ms, otp::self(), std::string("again"));
    for (int i = 1; i <= 20; ++i) {
      EXPECT_EQ(next<std::string>(), "again");
      EXPECT_EQ(otp::now() - start, i * 10ms);
    }
    otp::sleep(4ms);
    EXPECT_EQ(otp::read_timer(t), 6ms);
    EXPECT_EQ(otp::cancel_timer(t), 6ms);
    EXPECT_FALSE(otp::cancel_timer(t));
    otp::testing::advance(1h);
    EXPECT_TRUE(mailbox_empty());
    EXPECT_EQ(otp::counters().timers, 0u);
  });
}

// covers: PROC-126
TEST(process_timer_service, a_busy_target_misses_no_period) {
  for_seeds(5, [] {
    otp::ref t = otp::send_interval(10ms, otp::self(), tick());
    otp::sleep(105ms);
    EXPECT_EQ(otp::info(otp::self())->message_queue_len, 10u) << "one a period, whether or not it is read";
    otp::cancel_timer(t);
  });
}

// covers: PROC-126
TEST(process_timer_service, on_threads_nothing_arrives_after_cancel_has_returned) {
  // Bug: a message under way at the moment of the cancel arrived later.
  EXPECT_EQ(threaded([] {
              for (int i = 0; i < 300; ++i) {
                otp::ref t = otp::send_interval(20us, otp::self(), i);
                for (int seen = 0; seen < i % 4; ++seen) next<int>();
                otp::cancel_timer(t);
                while (waiting<int>()) {
                }
                for (int turn = 0; turn < 5; ++turn) otp::yield();
                ASSERT_FALSE(waiting<int>());
              }
              EXPECT_EQ(otp::counters().timers, 0u);
            }),
            normal);
}

// covers: PROC-128
TEST(process_timer_service, an_interval_timer_stops_when_its_target_ends) {
  for_seeds(10, [] {
    auto payload = std::make_shared<int>(1);
    auto target = otp::spawn_monitor([] {
      for (int i = 0; i < 3; ++i) next<std::shared_ptr<int>>();
    });
    otp::ref t = otp::send_interval(5ms, target.pid, payload);
    auto start = otp::now();
    EXPECT_EQ(reason_of(target.monitor), normal);
    EXPECT_EQ(otp::now() - start, 15ms);
    EXPECT_EQ(otp::counters().timers, 0u);
    EXPECT_EQ(payload.use_count(), 1);
    EXPECT_FALSE(otp::read_timer(t));
    EXPECT_FALSE(otp::cancel_timer(t));
    auto before = otp::counters();
    otp::testing::advance(1s);
    EXPECT_EQ(otp::counters().dead, before.dead) << "nothing is sent to the dead";
    // Killed, or dead when the timer is set: the same.
    otp::pid other = sleeper();
    otp::send_interval(5ms, other, tick());
    otp::exit(other, otp::reason::kill);
    end_of(other);
    EXPECT_EQ(otp::counters().timers, 0u);
    otp::send_interval(5ms, other, tick());
    EXPECT_EQ(otp::counters().timers, 0u);
  });
}

// covers: PROC-129
TEST(process_timer_service, cancelling_can_be_repeated_and_never_hits_another_timer) {
  for_seeds(5, [] {
    std::vector<otp::ref> all;
    for (int i = 0; i < 10; ++i) {
      all.push_back(otp::send_after(10ms, otp::self(), i));
      all.push_back(otp::send_interval(10ms, otp::self(), 100 + i));
    }
    auto sorted = all;
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(std::unique(sorted.begin(), sorted.end()), sorted.end()) << "references are unique";
    for (std::size_t i = 0; i < all.size(); i += 2) {
      if (i == 4) continue;
      EXPECT_TRUE(otp::cancel_timer(all[i]));
    }
    for (std::size_t i = 1; i < all.size(); i += 2)
      if (i != 9) {
        EXPECT_TRUE(otp::cancel_timer(all[i]));
      }
    for (int repeat = 0; repeat < 3; ++repeat)
      for (std::size_t i = 0; i < all.size(); ++i)
        if (i != 4 && i != 9) {
          EXPECT_FALSE(otp::cancel_timer(all[i]));
        }
    otp::testing::advance(35ms);
    std::vector<int> seen;
    while (auto i = waiting<int>()) seen.push_back(*i);
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, (std::vector<int>{2, 104, 104, 104}));
    EXPECT_TRUE(otp::cancel_timer(all[9]));
    EXPECT_FALSE(otp::cancel_timer(all[4])) << "expired";
    EXPECT_THROW(otp::cancel_timer(otp::ref()), otp::bad_argument);
  });
}

// covers: PROC-130
TEST(process_timer_service, exit_after_sends_a_reason_to_a_process_or_a_name) {
  for_seeds(10, [] {
    for (const otp::exit_reason& why : abnormal_reasons()) {
      auto start = otp::now();
      otp::pid target = sleeper();
      otp::ref m = otp::monitor(target);
      otp::exit_after(20ms, target, why);
      EXPECT_EQ(reason_of(m), why);
      EXPECT_EQ(otp::now() - start, 20ms);
    }
    otp::pid named = sleeper();
    otp::ref m = otp::monitor(named);
    otp::exit_after(20ms, "named", "by name");
    otp::register_name("named", named);
    EXPECT_EQ(reason_of(m), otp::exit_reason("by name"));
    // A signal like any other: trapped, ignored or cancelled.
    otp::trap_exit(true);
    otp::exit_after(1ms, otp::self(), normal);
    otp::exit_after(2ms, otp::self(), "trapped");
    auto got = next<otp::exit_signal>();
    EXPECT_EQ(got.reason, normal);
    EXPECT_FALSE(got.from) << "no process sent it";
    EXPECT_EQ(next<otp::exit_signal>().reason, otp::exit_reason("trapped"));
    otp::pid plain = sleeper();
    otp::exit_after(1ms, plain, normal);
    EXPECT_TRUE(otp::cancel_timer(otp::exit_after(2ms, plain, "never")));
    otp::exit_after(3ms, "nobody has this name", "x");
    otp::testing::advance(1s);
    EXPECT_TRUE(otp::is_alive(plain));
    EXPECT_EQ(otp::counters().timers, 0u);
    // To oneself.
    auto own = otp::spawn_monitor([] {
      otp::exit_after(5ms, otp::self(), "own timer");
      rest();
    });
    EXPECT_EQ(reason_of(own.monitor), otp::exit_reason("own timer"));
  });
}

// covers: PROC-130
TEST(process_timer_service, kill_after_ends_with_killed) {
  for_seeds(10, [] {
    for (bool traps : {false, true}) {
      auto start = otp::now();
      otp::pid target = traps ? trapper() : sleeper();
      otp::ref m = otp::monitor(target);
      otp::kill_after(20ms, target);
      EXPECT_EQ(reason_of(m), killed);
      EXPECT_EQ(otp::now() - start, 20ms);
      EXPECT_TRUE(mailbox_empty());
    }
    otp::pid named = trapper();
    otp::register_name("named", named);
    otp::ref m = otp::monitor(named);
    otp::kill_after(1ms, "named");
    EXPECT_EQ(reason_of(m), killed);
    auto own = otp::spawn_monitor([] {
      otp::trap_exit(true);
      otp::kill_after(5ms, otp::self());
      rest();
    });
    EXPECT_EQ(reason_of(own.monitor), killed);
  });
}

// covers: PROC-130
TEST(process_timer_service, apply_after_runs_a_function_once_in_a_process_of_its_own) {
  for_seeds(10, [] {
    auto start = otp::now();
    auto ran = [to = otp::self()] { otp::send(to, std::tuple(otp::self(), otp::parent(), otp::now())); };
    using told = std::tuple<otp::pid, otp::pid, otp::instant>;
    otp::apply_after(20ms, ran);
    auto [who, parent, when] = next<told>();
    EXPECT_NE(who, otp::self());
    EXPECT_FALSE(parent);
    EXPECT_EQ(when - start, 20ms);
    EXPECT_TRUE(otp::cancel_timer(otp::apply_after(20ms, ran)));
    otp::apply_after(1ms, [] { throw std::runtime_error("its own affair"); });
    otp::testing::advance(1s);
    EXPECT_TRUE(mailbox_empty());
    EXPECT_THROW(otp::apply_after(1ms, std::function<void()>()), otp::bad_argument);
    EXPECT_THROW(otp::apply_interval(1ms, std::function<void()>()), otp::bad_argument);
  });
}

// covers: PROC-130
TEST(process_timer_service, apply_interval_runs_a_function_every_period_each_time_in_a_fresh_process) {
  for_seeds(10, [] {
    auto start = otp::now();
    otp::ref t = otp::apply_interval(10ms, [to = otp::self()] {
      otp::send(to, std::pair(otp::self(), otp::now()));
      otp::sleep(25ms);  // a run that takes longer does not hold up the next
    });
    std::vector<otp::pid> runners;
    for (int i = 1; i <= 10; ++i) {
      auto [who, when] = next<std::pair<otp::pid, otp::instant>>();
      EXPECT_EQ(when - start, i * 10ms);
      EXPECT_EQ(std::count(runners.begin(), runners.end(), who), 0);
      runners.push_back(who);
    }
    EXPECT_TRUE(otp::cancel_timer(t));
    otp::testing::advance(1s);
    EXPECT_TRUE(mailbox_empty());
    EXPECT_EQ(otp::counters().timers, 0u);
    // One that crashes does not stop the timer.
    t = otp::apply_interval(1ms, [to = otp::self()] {
      otp::send(to, 1);
      throw std::runtime_error("every time");
    });
    for (int i = 0; i < 5; ++i) next<int>();
    otp::cancel_timer(t);
  });
}
