// Timers that send a message: when it comes, reading, cancelling, targets and what is left of them.
#include "conformance/support.hpp"

#include <otp/gen_server.hpp>

#include <map>
#include <set>

using namespace conformance;

namespace {
struct no_copy {
  explicit no_copy(int n) : number(std::make_unique<int>(n)) {}
  std::unique_ptr<int> number;
};
constexpr otp::duration two_to(int exponent) { return std::chrono::milliseconds(std::int64_t{1} << exponent); }
}  // namespace

// covers: PROC-109
TEST(process_timers, send_after_delivers_the_message_unchanged_and_not_early) {
  for_seeds(5, [] {
    for (otp::duration delay : std::initializer_list<otp::duration>{0ns, 1ns, 1us, 999999ns, 1ms, 250ms, 1s, 1h}) {
      auto start = otp::now();
      EXPECT_TRUE(otp::send_after(delay, otp::self(), std::string("on time")));
      EXPECT_EQ(next<std::string>(), "on time");
      EXPECT_EQ(otp::now() - start, delay) << "virtual time is exact";
    }
    // To another process, and by name.
    otp::pid other = otp::spawn([to = otp::self()] {
      for (;;) otp::receive([&](int i) { otp::send(to, std::pair(i, otp::now())); });
    });
    otp::register_name("other", other);
    auto start = otp::now();
    otp::send_after(5ms, other, 1);
    otp::send_after(7ms, "other", 2);
    EXPECT_EQ((next<std::pair<int, otp::instant>>()), std::pair(1, start + 5ms));
    EXPECT_EQ((next<std::pair<int, otp::instant>>()), std::pair(2, start + 7ms));
    // Once only.
    otp::testing::advance(1h);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-109
TEST(process_timers, on_threads_a_timer_is_not_early_either) {
  EXPECT_EQ(threaded([] {
              for (auto delay : {0ms, 1ms, 3ms, 8ms}) {
                auto start = std::chrono::steady_clock::now();
                otp::send_after(delay, otp::self(), 1);
                next<int>();
                EXPECT_GE(std::chrono::steady_clock::now() - start, delay);
              }
            }),
            normal);
}

// covers: PROC-110
TEST(process_timers, start_timer_delivers_its_reference_with_the_payload) {
  for_seeds(5, [] {
    auto start = otp::now();
    otp::register_name("me", otp::self());
    otp::ref a = otp::start_timer(20ms, otp::self(), "payload");
    otp::ref b = otp::start_timer(10ms, "me", 42);
    EXPECT_NE(a, b);
    auto first = next<otp::timer_expired>();
    EXPECT_EQ(otp::now() - start, 10ms);
    EXPECT_EQ(first.timer, b);
    EXPECT_EQ(first.payload, otp::term(42));
    auto second = next<otp::timer_expired>();
    EXPECT_EQ(otp::now() - start, 20ms);
    EXPECT_EQ(second.timer, a);
    EXPECT_EQ(second.payload, otp::term("payload"));
    EXPECT_EQ(second.to_string(), "{timeout, " + a.to_string() + ", \"payload\"}");
    // Cancelled it says nothing.
    EXPECT_TRUE(otp::cancel_timer(otp::start_timer(1s, otp::self(), 1)));
    otp::testing::advance(2s);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-111
TEST(process_timers, reading_gives_what_remains_while_the_timer_is_pending) {
  for_seeds(3, [] {
    otp::ref t = otp::send_after(100ms, otp::self(), 1);
    EXPECT_EQ(otp::read_timer(t), 100ms);
    otp::sleep(30ms);
    EXPECT_EQ(otp::read_timer(t), 70ms);
    // By another process too.
    otp::spawn([t, to = otp::self()] { otp::send(to, otp::read_timer(t)); });
    EXPECT_EQ(next<std::optional<otp::duration>>(), 70ms);
    otp::sleep(69999999ns);
    EXPECT_EQ(otp::read_timer(t), 1ns);
    otp::sleep(1ns);
    EXPECT_FALSE(otp::read_timer(t)) << "expired";
    EXPECT_EQ(next<int>(), 1);
    EXPECT_FALSE(otp::read_timer(t));
    t = otp::start_timer(1s, otp::self(), 1);
    EXPECT_EQ(otp::read_timer(t), 1s);
    otp::cancel_timer(t);
    EXPECT_FALSE(otp::read_timer(t)) << "cancelled";
    EXPECT_FALSE(otp::read_timer(otp::ref(otp::self(), 77))) << "never was";
    EXPECT_FALSE(otp::read_timer(otp::ref(otp::self(), ~std::uint64_t{0}))) << "never was";
    EXPECT_FALSE(otp::read_timer(otp::monitor(sleeper()))) << "a monitor's";
    EXPECT_FALSE(otp::read_timer(otp::alias())) << "an alias";
  });
}

// covers: PROC-112
TEST(process_timers, cancelling_gives_what_remained_and_the_message_never_comes) {
  for_seeds(10, [] {
    otp::ref t = otp::send_after(100ms, otp::self(), 1);
    otp::sleep(40ms);
    EXPECT_EQ(otp::cancel_timer(t), 60ms);
    EXPECT_FALSE(otp::cancel_timer(t)) << "again";
    t = otp::send_after(0ms, otp::self(), 2);
    EXPECT_EQ(otp::cancel_timer(t), 0ms) << "pending until others have run";
    t = otp::send_after(10ms, otp::self(), 3);
    otp::spawn([t, to = otp::self()] { otp::send(to, otp::cancel_timer(t)); });
    EXPECT_EQ(next<std::optional<otp::duration>>(), 10ms) << "by another process";
    t = otp::start_timer(10ms, otp::self(), 4);
    EXPECT_EQ(otp::cancel_timer(t), 10ms);
    otp::testing::advance(1h);
    EXPECT_TRUE(mailbox_empty());
    t = otp::send_after(5ms, otp::self(), 5);
    EXPECT_EQ(next<int>(), 5);
    EXPECT_FALSE(otp::cancel_timer(t)) << "expired";
    EXPECT_FALSE(otp::cancel_timer(otp::ref(otp::self(), 99))) << "never was";
    EXPECT_FALSE(otp::cancel_timer(otp::monitor(sleeper())));
    // An old reference never hits the timer that took its place.
    for (int i = 0; i < 100; ++i) {
      otp::ref fresh = otp::send_after(1s, otp::self(), i);
      EXPECT_FALSE(otp::cancel_timer(t));
      EXPECT_EQ(otp::cancel_timer(fresh), 1s);
      t = fresh;
    }
  });
}

// covers: PROC-111 PROC-112
TEST(process_timers, on_threads_never_more_remains_than_the_time_it_was_set_to) {
  EXPECT_EQ(
      threaded([] {
        for (int i = 0; i < 50; ++i)
          for (otp::duration set : {otp::duration(10ms), otp::duration(1s), otp::duration(2s), otp::duration(24h)}) {
            otp::ref t = otp::send_after(set, otp::self(), i);
            auto read = otp::read_timer(t), left = otp::cancel_timer(t);
            ASSERT_TRUE(read && left);
            EXPECT_LE(*read, set);
            EXPECT_LE(*left, set);
            EXPECT_GT(*left, set - 10s);
          }
      }),
      normal);
}

// covers: PROC-112
TEST(process_timers, a_cancel_that_races_with_the_expiry_says_what_happened) {
  EXPECT_EQ(threaded([] {
              int fired = 0;
              for (int i = 0; i < 2000; ++i) {
                otp::ref t = otp::send_after(std::chrono::microseconds(i % 50), otp::self(), i);
                if (i % 2) otp::yield();
                auto left = otp::cancel_timer(t);
                if (left) {
                  ASSERT_LE(*left, 50us);
                  ASSERT_FALSE(waiting<int>()) << "cancelled, and it came all the same";
                } else {
                  ASSERT_EQ(next<int>(), i) << "expired: it comes, once";
                  ++fired;
                }
              }
              EXPECT_TRUE(mailbox_empty());
              EXPECT_EQ(otp::counters().timers, 0u);
              static_cast<void>(fired);
            }),
            normal);
}

// covers: PROC-113
TEST(process_timers, what_is_no_reference_is_an_error) {
  seeded([] {
    EXPECT_THROW(otp::read_timer(otp::ref()), otp::bad_argument);
    EXPECT_THROW(otp::cancel_timer(otp::ref()), otp::bad_argument);
    EXPECT_THROW(otp::cancel_timer_async(otp::ref()), otp::bad_argument);
    EXPECT_THROW(otp::cancel_timer_async(otp::ref(), false), otp::bad_argument);
  });
}

// covers: PROC-114
TEST(process_timers, negative_times_are_errors_and_far_ones_work) {
  seeded([] {
    otp::register_name("me", otp::self());
    for (otp::duration wrong : std::initializer_list<otp::duration>{-1ns, -1ms, otp::duration::min()}) {
      EXPECT_THROW(otp::send_after(wrong, otp::self(), 1), otp::bad_argument);
      EXPECT_THROW(otp::send_after(wrong, "me", 1), otp::bad_argument);
      EXPECT_THROW(otp::start_timer(wrong, otp::self(), 1), otp::bad_argument);
      EXPECT_THROW(otp::send_interval(wrong, otp::self(), 1), otp::bad_argument);
      EXPECT_THROW(otp::exit_after(wrong, otp::self(), "x"), otp::bad_argument);
      EXPECT_THROW(otp::kill_after(wrong, otp::self()), otp::bad_argument);
      EXPECT_THROW(otp::apply_after(wrong, [] {}), otp::bad_argument);
      EXPECT_THROW(otp::apply_interval(wrong, [] {}), otp::bad_argument);
    }
    EXPECT_THROW(otp::send_interval(0ms, otp::self(), 1), otp::bad_argument) << "a period has a length";
    EXPECT_THROW(otp::apply_interval(0ms, [] {}), otp::bad_argument);
    EXPECT_THROW(otp::send_after(1ms, otp::pid(), 1), otp::bad_argument);
    EXPECT_THROW(otp::send_after(1ms, "", 1), otp::bad_argument);
    EXPECT_THROW(otp::start_timer(1ms, otp::pid(), 1), otp::bad_argument);
    EXPECT_THROW(otp::exit_after(1ms, otp::pid(), "x"), otp::bad_argument);
    EXPECT_EQ(otp::counters().timers, 0u) << "nothing was armed";

    // 2^31 and 2^33 ms, and the longest there is: 2^63 ns is what `infinity` is, and never passes.
    for (otp::duration far : {two_to(31), two_to(33), otp::duration(otp::infinity - 1s), otp::infinity}) {
      otp::ref t = otp::send_after(far, otp::self(), 1);
      EXPECT_LE(*otp::read_timer(t), far);
      EXPECT_GE(*otp::read_timer(t), far - otp::now().time_since_epoch());
      otp::testing::advance(1h);
      EXPECT_TRUE(otp::read_timer(t));
      auto left = otp::cancel_timer(t);
      ASSERT_TRUE(left);
      EXPECT_LE(*left, far - 1h);
      EXPECT_TRUE(mailbox_empty());
    }
    otp::ref t = otp::send_after(two_to(33), otp::self(), 33);
    auto start = otp::now();
    EXPECT_EQ(otp::read_timer(t), two_to(33));
    EXPECT_EQ(otp::receive([](int i) { return i; }), 33);
    EXPECT_EQ(otp::now() - start, two_to(33));
  });
}

// covers: PROC-115
TEST(process_timers, a_timer_of_0_is_asynchronous) {
  seeded([] {
    auto start = otp::now();
    otp::send_after(0ms, otp::self(), std::string("timer"));
    EXPECT_TRUE(mailbox_empty()) << "not yet";
    otp::send(otp::self(), std::string("message"));
    EXPECT_EQ(next<std::string>(), "message") << "sent later, and received first";
    EXPECT_EQ(next<std::string>(), "timer");
    EXPECT_EQ(otp::now(), start);
  });
  EXPECT_EQ(threaded([] {
              otp::send_after(0ms, otp::self(), 1);
              EXPECT_EQ(next<int>(), 1);
            }),
            normal);
}

// covers: PROC-116
TEST(process_timers, timers_of_one_process_for_one_target_come_in_the_order_of_their_expiry) {
  for_seeds(10, [] {
    std::vector<int> delays;
    for (int i = 0; i < 300; ++i) delays.push_back((i * 7919) % 1000 + 1);
    otp::pid target = otp::spawn([to = otp::self()] {
      for (;;) otp::receive([&](int i) { otp::send(to, i); });
    });
    for (int d : delays) otp::send_after(d * 1us, target, d);
    std::vector<int> seen;
    for (std::size_t i = 0; i < delays.size(); ++i) seen.push_back(next<int>());
    std::sort(delays.begin(), delays.end());
    EXPECT_EQ(seen, delays);
  });
  EXPECT_EQ(threaded([] {
              for (int round = 0; round < 20;) {
                otp::instant base = otp::now() + 1ms;
                for (int i : {9, 3, 7, 1, 5, 8, 2, 6, 4}) otp::send_at(base + i * 100us, otp::self(), i);
                // Where the machine took longer than that to set them, some were due before others were there.
                bool in_time = otp::now() < base;
                std::vector<int> seen;
                for (int i = 1; i <= 9; ++i) seen.push_back(next<int>());
                if (!in_time) continue;
                ASSERT_EQ(seen, (std::vector{1, 2, 3, 4, 5, 6, 7, 8, 9}));
                ++round;
              }
            }),
            normal);
}

// A clock that is read from the system's last tick, as is good enough for a timeout, put it behind what was set later.
// covers: PROC-116
TEST(process_timers, on_threads_a_long_one_comes_in_its_order_among_short_and_absolute_ones) {
  EXPECT_EQ(threaded([] {
              for (int round = 0; round < 3;) {
                otp::instant begin = otp::now();
                otp::send_after(1000ms, otp::self(), 1);
                otp::instant first = otp::now();
                otp::send_at(begin + 1000ms + 300us, otp::self(), 2);
                otp::send_after(1000ms - (otp::now() - begin) + 600us, otp::self(), 3);
                bool in_time = first - begin < 200us && otp::now() - begin < 500ms;
                std::vector<int> seen{next<int>(), next<int>(), next<int>()};
                if (!in_time) continue;
                EXPECT_EQ(seen, (std::vector{1, 2, 3}));
                ++round;
              }
            }),
            normal);
}

namespace {
// A server has no thread of its own: from one message to the next it may be on another worker.
struct arms_timers {
  struct arm {
    otp::instant when;
    otp::pid target;
    int number;
  };
  void handle_cast(const arm& a) {
    otp::send_at(a.when, a.target, std::pair(otp::self(), a.number));
    // Work, so that other workers come and take the next server.
    for (int i = 0; i < 200; ++i) asm volatile("");
  }
};
}  // namespace

// covers: PROC-116
TEST(process_timers, the_order_holds_for_a_process_that_moves_between_workers) {
  EXPECT_EQ(threaded(
                [] {
                  constexpr std::size_t servers = 8;
                  constexpr int timers = 400;
                  std::vector<otp::server<arms_timers>> all;
                  for (std::size_t i = 0; i < servers; ++i)
                    all.push_back(otp::gen_server::start<arms_timers>().value());
                  auto start = otp::now() + 1ms;
                  otp::pid me = otp::self();
                  // Two drivers, so that the messages come from two workers.
                  for (std::size_t half = 0; half < 2; ++half)
                    otp::spawn([=] {
                      for (int n = 0; n < timers; ++n) {
                        for (std::size_t i = half; i < servers; i += 2)
                          otp::cast(all[i], arms_timers::arm{start + n * 10us, me, n});
                        if (n % 4 == 0) otp::yield();
                      }
                    });
                  std::map<otp::pid, int> last;
                  for (std::size_t i = 0; i < servers * timers; ++i) {
                    auto [who, n] = next<std::pair<otp::pid, int>>();
                    // Timers that were due when they were set have no order among those that were not.
                    ASSERT_GE(n, last[who]);
                    last[who] = n;
                  }
                },
                {.workers = 4}),
            normal);
}

// covers: PROC-116
TEST(process_timers, timers_of_equal_expiry_all_come) {
  for_seeds(10, [] {
    std::set<int> left;
    for (int i = 0; i < 50; ++i) {
      otp::send_after(3ms, otp::self(), i);
      left.insert(i);
    }
    while (!left.empty()) EXPECT_EQ(left.erase(next<int>()), 1u);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-117
TEST(process_timers, expiry_can_be_an_absolute_time_and_one_that_has_passed_is_now) {
  for_seeds(3, [] {
    otp::register_name("me", otp::self());
    otp::sleep(1h);
    auto start = otp::now();
    otp::ref t = otp::send_at(start + 10ms, otp::self(), 1);
    EXPECT_EQ(otp::read_timer(t), 10ms);
    otp::send_at(start + 20ms, "me", 2);
    otp::ref wrapped = otp::start_timer_at(start + 30ms, otp::self(), 3);
    EXPECT_EQ(next<int>(), 1);
    EXPECT_EQ(otp::now(), start + 10ms);
    EXPECT_EQ(next<int>(), 2);
    EXPECT_EQ(otp::now(), start + 20ms);
    EXPECT_EQ(next<otp::timer_expired>().timer, wrapped);
    EXPECT_EQ(otp::now(), start + 30ms);
    start = otp::now();
    for (otp::instant past : {start, start - 1ns, start - 1h, otp::instant(), otp::instant(-5s), otp::instant::min()}) {
      otp::send_at(past, otp::self(), 4);
      EXPECT_TRUE(mailbox_empty()) << "at once is still asynchronous";
      EXPECT_EQ(next<int>(), 4);
      otp::start_timer_at(past, "me", 5);
      EXPECT_EQ(next<otp::timer_expired>().payload, otp::term(5));
      EXPECT_EQ(otp::now(), start);
    }
  });
}

// covers: PROC-118
TEST(process_timers, a_named_target_is_looked_up_when_the_timer_expires) {
  for_seeds(10, [] {
    // Registered after the timer was set.
    otp::send_after(10ms, "later", 1);
    otp::sleep(5ms);
    otp::register_name("later", otp::self());
    EXPECT_EQ(next<int>(), 1);
    // Given to another meanwhile.
    auto other = otp::spawn_monitor([to = otp::self()] { otp::send(to, std::to_string(next<int>())); });
    otp::send_after(10ms, "later", 2);
    otp::unregister_name("later");
    otp::register_name("later", other.pid);
    EXPECT_EQ(next<std::string>(), "2");
    reason_of(other.monitor);
    // Nobody has it at expiry: dropped, silently.
    auto payload = std::make_shared<int>(3);
    otp::send_after(10ms, "later", payload);
    otp::start_timer(10ms, "later", payload);
    otp::testing::advance(20ms);
    EXPECT_EQ(payload.use_count(), 1);
    EXPECT_EQ(otp::counters().timers, 0u);
    otp::register_name("later", otp::self());
    otp::testing::advance(1s);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-121
TEST(process_timers, an_asynchronous_cancel_tells_its_result_in_a_message_or_not_at_all) {
  for_seeds(5, [] {
    otp::ref t = otp::send_after(100ms, otp::self(), 1);
    otp::sleep(40ms);
    otp::cancel_timer_async(t);
    auto told = next<otp::timer_cancelled>();
    EXPECT_EQ(told.timer, t);
    EXPECT_EQ(told.remaining, 60ms);
    otp::cancel_timer_async(t);
    told = next<otp::timer_cancelled>();
    EXPECT_EQ(told.timer, t);
    EXPECT_FALSE(told.remaining) << "it was cancelled before";
    otp::ref never(otp::self(), 4711);
    otp::cancel_timer_async(never);
    EXPECT_EQ(next<otp::timer_cancelled>().timer, never);

    otp::ref silent = otp::send_after(100ms, otp::self(), 2);
    otp::cancel_timer_async(silent, false);
    otp::cancel_timer_async(silent, false);
    EXPECT_FALSE(otp::read_timer(silent));
    otp::testing::advance(1h);
    EXPECT_TRUE(mailbox_empty());

    otp::ref fired = otp::send_after(1ms, otp::self(), 3);
    EXPECT_EQ(next<int>(), 3);
    otp::cancel_timer_async(fired);
    EXPECT_FALSE(next<otp::timer_cancelled>().remaining);
    // The result goes to who cancels, not to the target.
    otp::ref mine = otp::send_after(1h, otp::self(), 4);
    auto other = otp::spawn_monitor([mine, to = otp::self()] {
      otp::cancel_timer_async(mine);
      otp::send(to, *next<otp::timer_cancelled>().remaining);
    });
    EXPECT_EQ(next<otp::duration>(), 1h);
    reason_of(other.monitor);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-123
TEST(process_timers, very_many_that_expire_at_one_instant_all_fire_then) {
  seeded([] {
    constexpr int n = 5000;
    auto when = otp::now() + 50ms;
    std::vector<otp::pid> targets;
    for (int i = 0; i < 10; ++i)
      targets.push_back(otp::spawn([to = otp::self()] {
        for (;;) otp::receive([&](int) { otp::send(to, otp::now()); });
      }));
    for (int i = 0; i < n; ++i) otp::send_at(when, targets[static_cast<std::size_t>(i % 10)], i);
    for (int i = 0; i < n; ++i) ASSERT_EQ(next<otp::instant>(), when);
    EXPECT_EQ(otp::counters().timers, 0u);
  });
  EXPECT_EQ(threaded([] {
              constexpr int n = 2000;
              auto when = otp::now() + 20ms;
              for (int i = 0; i < n; ++i) otp::send_at(when, otp::self(), i);
              for (int i = 0; i < n; ++i) next<int>();
              EXPECT_LT(otp::now() - when, 10s) << "promptly; the bound is for a machine that is busy otherwise";
            }),
            normal);
}

// covers: PROC-124
TEST(process_timers, a_timer_leaves_nothing_when_it_fires_is_cancelled_or_its_target_ends) {
  for_seeds(5, [] {
    auto payload = std::make_shared<int>(1);
    auto armed = [] { return otp::counters().timers; };
    otp::pid target = sleeper();
    for (int i = 0; i < 100; ++i) {
      otp::send_after(1ms, otp::self(), payload);
      otp::cancel_timer(otp::send_after(1h, target, payload));
      otp::start_timer(1h, target, payload);
      otp::send_interval(1h, target, payload);
      otp::exit_after(1h, target, payload);
    }
    EXPECT_EQ(armed(), 400u);
    otp::testing::advance(2ms);
    EXPECT_EQ(armed(), 300u);
    for (int i = 0; i < 100; ++i) next<std::shared_ptr<int>>();
    otp::exit(target, otp::reason::kill);
    end_of(target);
    EXPECT_EQ(armed(), 0u) << "their target is gone";
    EXPECT_EQ(payload.use_count(), 1);
    // For a process that is dead already nothing is kept.
    otp::ref t = otp::send_after(1h, target, payload);
    EXPECT_FALSE(otp::read_timer(t));
    EXPECT_EQ(armed(), 0u);
    EXPECT_EQ(payload.use_count(), 1);
    // The end of who set a timer for another does not touch it.
    auto setter = otp::spawn_monitor([to = otp::self()] { otp::send_after(5ms, to, 1); });
    reason_of(setter.monitor);
    EXPECT_EQ(armed(), 1u);
    EXPECT_EQ(next<int>(), 1);
    EXPECT_EQ(armed(), 0u);
  });
}

// covers: PROC-124
TEST(process_timers, at_the_end_of_the_runtime_no_payload_is_left) {
  auto payload = std::make_shared<int>(1);
  seeded([&] {
    otp::send_after(1h, otp::self(), payload);
    otp::send_interval(1h, otp::self(), payload);
    otp::send_after(1h, "nobody", payload);
    otp::start_timer(1h, "nobody", payload);
    otp::apply_after(1h, [payload] {});
    otp::apply_interval(1h, [payload] {});
  });
  EXPECT_EQ(payload.use_count(), 1);
}

// covers: PROC-125
TEST(process_timers, payloads_of_any_kind_and_size_arrive_intact) {
  for_seeds(2, [] {
    std::string large(16 << 20, 'y');
    otp::send_after(1ms, otp::self(), large);
    EXPECT_EQ(next<std::string>(), large);
    otp::send_after(1ms, otp::self(), no_copy(5));
    EXPECT_EQ(*next<no_copy>().number, 5);
    otp::send_after(1ms, otp::self(), otp::self());
    EXPECT_EQ(next<otp::pid>(), otp::self());
    std::vector<std::vector<std::string>> deep(100, std::vector<std::string>(100, "x"));
    otp::send_after(1ms, otp::self(), deep);
    EXPECT_EQ(next<std::vector<std::vector<std::string>>>(), deep);
    otp::send_after(1ms, otp::self(), otp::exit_signal{otp::self(), "not a signal"});
    EXPECT_EQ(next<otp::exit_signal>().reason, otp::exit_reason("not a signal")) << "a value like any other";
    otp::ref t = otp::start_timer(1ms, otp::self(), deep);
    auto expired = next<otp::timer_expired>();
    EXPECT_EQ(expired.timer, t);
    EXPECT_EQ(expired.payload, otp::term(deep));
  });
}
