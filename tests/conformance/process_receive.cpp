// Receiving: selective receive, its timeouts, and sleep.
#include "conformance/support.hpp"

using namespace conformance;

namespace {
std::vector<std::string> mailbox() { return otp::info(otp::self())->messages; }
}  // namespace

// covers: PROC-024
// A handler that is a constant, and one with a condition, were refused by the compiler.
TEST(process_receive, handlers_may_be_constants) {
  otp::testing::run([] {
    const auto number = [](int i) { return i; };
    const auto large = otp::when([](int i) { return i > 9; }, [](int i) { return -i; });
    otp::send(otp::self(), 3);
    otp::send(otp::self(), 12);
    EXPECT_EQ(otp::receive(large), -12);
    EXPECT_EQ(otp::receive(number), 3);
  });
}

TEST(process_receive, the_earliest_message_that_any_pattern_matches_is_taken_and_the_others_stay_in_order) {
  seeded([] {
    for (int i = 1; i <= 3; ++i) {
      otp::send(otp::self(), i);
      otp::send(otp::self(), std::to_string(i));
      otp::send(otp::self(), i + 0.5);
    }
    EXPECT_EQ(otp::receive([](double d) { return d; }), 1.5);
    // The order of the mailbox counts, not the order of the patterns.
    auto first = otp::receive([](double d) { return std::to_string(d); }, [](std::string s) { return s; });
    EXPECT_EQ(first, "1");
    EXPECT_EQ(mailbox(), (std::vector<std::string>{"1", "2", "\"2\"", "2.5", "3", "\"3\"", "3.5"}));
    int big = otp::receive(otp::when([](int i) { return i > 2; }, [](int i) { return i; }));
    EXPECT_EQ(big, 3);
    EXPECT_EQ(mailbox(), (std::vector<std::string>{"1", "2", "\"2\"", "2.5", "\"3\"", "3.5"}));
    EXPECT_EQ(otp::receive([](otp::message m) { return m.to_string(); }), "1") << "a pattern for anything";
    EXPECT_EQ(mailbox(), (std::vector<std::string>{"2", "\"2\"", "2.5", "\"3\"", "3.5"}));
  });
}

// covers: PROC-024
TEST(process_receive, what_was_passed_over_is_found_by_a_later_receive_of_any_kind) {
  // The mailbox remembers how far a receive of one type has looked; nothing may hide behind that.
  everywhere(20, [] {
    otp::pid me = otp::self();
    auto feeder = otp::spawn([me] {
      for (int i = 0; i < 200; ++i) {
        otp::send(me, i);
        otp::send(me, std::to_string(i));
        if (i % 10 == 0) otp::send(me, static_cast<double>(i));
        if (i % 3 == 0) otp::yield();
      }
    });
    static_cast<void>(feeder);
    int ints = 0;
    int texts = 0;
    for (int i = 0; i < 200; i += 10) {
      ASSERT_EQ(next<double>(), i);
      if (i % 20 == 0) {
        ASSERT_EQ(next<int>(), ints++);
      }
      if (i % 40 == 0) {
        ASSERT_EQ(next<std::string>(), std::to_string(texts++));
      }
      if (i == 100) {  // one out of the middle, behind what was passed over
        otp::receive(otp::when([](int n) { return n == 70; }, [](int) {}));
        otp::send(me, 1000);
      }
    }
    for (int i = texts; i < 200; ++i) ASSERT_EQ(next<std::string>(), std::to_string(i));
    for (int i = ints; i < 200; ++i) {
      if (i == 70) continue;
      ASSERT_EQ(otp::receive(otp::when([](int n) { return n != 1000; }, [](int n) { return n; })), i);
    }
    ASSERT_EQ(next<int>(), 1000);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-024
TEST(process_receive, a_condition_that_throws_throws_in_its_own_process_and_the_message_stays) {
  // Bug: the condition of a waiting receive ran where the message was taken in; its exception ended the program.
  everywhere(10, [] {
    auto [picky, m] = otp::spawn_monitor([to = otp::self()] {
      try {
        otp::receive(otp::when([](int i) -> bool { throw i; }, [](int) {}));
      } catch (int thrown) {
        otp::send(to, std::to_string(thrown));
      }
      otp::send(to, std::to_string(next<int>()));
    });
    otp::yield();
    otp::send(picky, 5);
    EXPECT_EQ(next<std::string>(), "5");
    EXPECT_EQ(next<std::string>(), "5") << "not taken by the receive that failed";
    EXPECT_EQ(reason_of(m), normal);
  });
}

// covers: PROC-025 PROC-027
TEST(process_receive, without_a_timeout_or_with_an_infinite_one_it_waits_until_a_match_arrives) {
  for_seeds(10, [] {
    for (bool infinite : {false, true}) {
      auto receiver = otp::spawn_monitor([infinite, to = otp::self()] {
        if (infinite)
          otp::receive([&](std::string s) { otp::send(to, s); },
                       otp::after(otp::infinity, [&] { otp::send(to, std::string("timeout")); }));
        else
          otp::receive([&](std::string s) { otp::send(to, s); });
      });
      otp::testing::advance(std::chrono::hours(24 * 365));
      EXPECT_TRUE(mailbox_empty());
      for (int i = 0; i < 5; ++i) otp::send(receiver.pid, i);  // none of them matches
      otp::testing::advance(std::chrono::hours(24));
      EXPECT_TRUE(mailbox_empty());
      EXPECT_EQ(otp::info(receiver.pid)->message_queue_len, 5u);
      EXPECT_EQ(otp::info(receiver.pid)->status, otp::process_status::waiting);
      otp::send(receiver.pid, "now");
      EXPECT_EQ(next<std::string>(), "now");
      EXPECT_EQ(reason_of(receiver.monitor), normal);
    }
  });
}

// Whether both have come at once or one by one.
TEST(process_receive, what_comes_behind_an_exit_signal_is_not_received) {
  using waiting = void (*)(int&);
  const waiting ways[] = {
      [](int& got) { otp::receive([&](int) { ++got; }); },
      [](int& got) { otp::receive([&](int) { ++got; }, otp::after(1h, [] {})); },
      [](int& got) { otp::receive(otp::when([](int i) { return i > 0; }, [&](int) { ++got; })); },
  };
  everywhere(30, [&] {
    for (waiting wait : ways) {
      int got = 0;
      otp::pid target = otp::spawn([&] {
        for (;;) wait(got);
      });
      otp::ref m = otp::monitor(target);
      otp::exit(target, "enough");
      for (int i = 1; i < 5; ++i) otp::send(target, i);
      EXPECT_EQ(reason_of(m), otp::exit_reason("enough"));
      EXPECT_EQ(got, 0);
    }
  });
}

// covers: PROC-026
TEST(process_receive, a_timeout_of_0_looks_through_the_whole_mailbox_once) {
  seeded([] {
    auto start = otp::now();
    auto look = [] {
      return otp::receive([](double d) { return std::to_string(d); },
                          otp::after(0s, [] { return std::string("none"); }));
    };
    EXPECT_EQ(look(), "none") << "an empty mailbox";
    for (int i = 0; i < 100; ++i) otp::send(otp::self(), i);
    EXPECT_EQ(look(), "none") << "nothing that matches";
    EXPECT_EQ(otp::info(otp::self())->message_queue_len, 100u) << "and all is still there";
    otp::send(otp::self(), 2.5);
    for (int i = 0; i < 100; ++i) otp::send(otp::self(), i);
    EXPECT_EQ(look(), std::to_string(2.5)) << "found in the middle";
    EXPECT_EQ(look(), "none");
    EXPECT_EQ(otp::now(), start) << "without waiting";
    // It does not wait for a sender that is about to run either.
    otp::spawn([to = otp::self()] { otp::send(to, 3.5); });
    EXPECT_EQ(look(), "none");
    otp::testing::settle();
    EXPECT_EQ(look(), std::to_string(3.5));
  });
}

// covers: PROC-026
TEST(process_receive, what_was_sent_before_is_seen_by_a_timeout_of_0) {
  EXPECT_EQ(threaded([] {
              for (int i = 0; i < 500; ++i) {
                auto [child, m] = otp::spawn_monitor([to = otp::self(), i] { otp::send(to, i); });
                reason_of(m);
                ASSERT_EQ(waiting<int>(), i);
              }
            }),
            normal);
}

// covers: PROC-027
TEST(process_receive, a_negative_timeout_is_an_error) {
  seeded([] {
    EXPECT_THROW(otp::receive([](int) {}, otp::after(-1ns, [] {})), otp::bad_argument);
    EXPECT_THROW(otp::receive([](int) {}, otp::after(-10s, [] {})), otp::bad_argument);
    EXPECT_THROW(otp::sleep(-1ms), otp::bad_argument);
  });
}

// covers: PROC-030
TEST(process_receive, a_timeout_fires_exactly_at_its_time_and_never_early) {
  for_seeds(5, [] {
    for (otp::duration timeout :
         std::initializer_list<otp::duration>{1ns, 999ns, 1us, 1ms, 1500us, 7ms, 10ms, 1s, 5min, 1000h}) {
      auto start = otp::now();
      bool timed_out = otp::receive([](int) { return false; }, otp::after(timeout, [] { return true; }));
      EXPECT_TRUE(timed_out);
      EXPECT_EQ(otp::now() - start, timeout);
    }
  });
}

// covers: PROC-030
TEST(process_receive, messages_that_do_not_match_do_not_change_the_timeout) {
  for_seeds(20, [] {
    otp::ref noise = otp::send_interval(1ms, otp::self(), 1);
    auto start = otp::now();
    bool timed_out = otp::receive([](std::string) { return false; }, otp::after(20ms, [] { return true; }));
    EXPECT_TRUE(timed_out);
    EXPECT_EQ(otp::now() - start, 20ms);
    // A longer timeout before a shorter one, and the other way round: each at its own time.
    for (otp::duration timeout : {30ms, 3ms, 12ms, 1ms, 40ms}) {
      start = otp::now();
      otp::receive([](std::string) {}, otp::after(timeout, [] {}));
      EXPECT_EQ(otp::now() - start, timeout);
    }
    otp::cancel_timer(noise);
    // One that ended early leaves nothing behind for the next.
    otp::send_after(2ms, otp::self(), std::string("early"));
    EXPECT_FALSE(otp::receive([](std::string) { return false; }, otp::after(10ms, [] { return true; })));
    start = otp::now();
    EXPECT_TRUE(otp::receive([](std::string) { return false; }, otp::after(50ms, [] { return true; })));
    EXPECT_EQ(otp::now() - start, 50ms);
  });
}

// covers: PROC-030
TEST(process_receive, on_threads_a_timeout_is_not_early_either) {
  EXPECT_EQ(threaded([] {
              for (int i = 0; i <= 10; ++i) {
                auto start = std::chrono::steady_clock::now();
                otp::receive([](std::string) {}, otp::after(i * 1ms, [] {}));
                EXPECT_GE(std::chrono::steady_clock::now() - start, i * 1ms);
              }
            }),
            normal);
}

// covers: PROC-031
TEST(process_receive, sleep_leaves_the_mailbox_alone_and_takes_any_length) {
  seeded([] {
    auto start = otp::now();
    otp::sleep(0ms);
    EXPECT_EQ(otp::now(), start);
    otp::send(otp::self(), 1);
    otp::send_after(1ms, otp::self(), std::string("meanwhile"));
    otp::sleep(10ms);
    EXPECT_EQ(otp::now() - start, 10ms);
    EXPECT_EQ(mailbox(), (std::vector<std::string>{"1", "\"meanwhile\""}));
    constexpr auto long_time = std::chrono::milliseconds((std::int64_t{1} << 32) + 1);
    start = otp::now();
    otp::sleep(long_time);
    EXPECT_EQ(otp::now() - start, long_time);
    // For ever: ended from outside only.
    auto [forever, m] = otp::spawn_monitor([] { otp::sleep(otp::infinity); });
    otp::sleep(long_time);
    EXPECT_TRUE(otp::is_alive(forever));
    otp::exit(forever, "enough");
    EXPECT_EQ(reason_of(m), otp::exit_reason("enough"));
    EXPECT_EQ(otp::info(otp::self())->message_queue_len, 2u);
  });
}
