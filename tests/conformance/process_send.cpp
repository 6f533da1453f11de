// Sending: what a send promises, and the orders of messages and signals between two processes.
#include "conformance/support.hpp"

#include <thread>

using namespace conformance;

// covers: PROC-012
TEST(process_send, a_send_to_a_process_always_succeeds_also_when_it_has_ended) {
  everywhere(10, [] {
    otp::pid live = sleeper();
    EXPECT_EQ(otp::send(live, 1), otp::send_status::sent);
    auto [dead, m] = otp::spawn_monitor([] {});
    reason_of(m);
    auto before = otp::counters();
    EXPECT_NO_THROW(otp::send(dead, 1));
    EXPECT_NO_THROW(otp::send(dead, std::string("text")));
    EXPECT_NO_THROW(otp::send(dead, otp::message(std::vector<int>{1})));
    EXPECT_EQ(otp::send(dead, 2), otp::send_status::no_process);
    EXPECT_EQ(otp::send(otp::pid(), 2), otp::send_status::no_process) << "no process at all is like a dead one";
    EXPECT_EQ(otp::counters().dead - before.dead, 5u) << "each is counted";
    EXPECT_EQ(otp::counters().accepted, before.accepted);
  });
}

// covers: PROC-012
TEST(process_send, a_message_in_the_mailbox_of_a_process_that_ends_is_freed_and_counted) {
  auto payload = std::make_shared<int>(1);
  for_seeds(10, [&] {
    auto before = otp::counters();
    auto [target, m] = otp::spawn_monitor([] { otp::receive([](int) {}); });
    otp::send(target, payload);
    otp::send(target, payload);
    otp::send(target, 1);
    reason_of(m);
    EXPECT_EQ(payload.use_count(), 1);
    EXPECT_EQ(otp::counters().dropped - before.dropped, 2u);
    otp::send(target, payload);
    EXPECT_EQ(payload.use_count(), 1);
  });
}

// covers: PROC-013
TEST(process_send, a_name_that_nobody_has_is_an_error_in_the_sender) {
  seeded([] {
    EXPECT_THROW(otp::send("nobody", 1), otp::bad_argument);
    EXPECT_THROW(otp::send("", 1), otp::bad_argument);
    otp::register_name("somebody", otp::self());
    EXPECT_EQ(otp::send("somebody", 1), otp::send_status::sent);
    EXPECT_EQ(next<int>(), 1);
    otp::unregister_name("somebody");
    EXPECT_THROW(otp::send("somebody", 2), otp::bad_argument);
    // And a name whose holder has ended.
    auto [holder, m] = otp::spawn_monitor([] { otp::register_name("short-lived", otp::self()); });
    reason_of(m);
    EXPECT_THROW(otp::send("short-lived", 3), otp::bad_argument);
    // Uncaught it ends the sender, like any error.
    auto sender = otp::spawn_monitor([] { otp::send("nobody", 1); });
    EXPECT_EQ(reason_of(sender.monitor).error_type(), "otp::bad_argument");
  });
}

// covers: PROC-015
TEST(process_send, a_message_through_an_inactive_or_unknown_alias_is_dropped) {
  everywhere(10, [] {
    auto before = otp::counters();
    otp::ref off = otp::alias();
    EXPECT_TRUE(otp::unalias(off));
    EXPECT_NO_THROW(otp::send(off, 1));
    EXPECT_NO_THROW(otp::send(otp::ref(otp::self(), 123456789), 2)) << "never made";
    EXPECT_NO_THROW(otp::send(otp::ref(), 3)) << "no reference at all";
    EXPECT_NO_THROW(otp::send(otp::monitor(otp::self()), 4)) << "a monitor that is no alias";
    EXPECT_NO_THROW(otp::send(otp::send_after(1h, otp::self(), 0), 5)) << "a timer";
    // From another process.
    auto other = otp::spawn_monitor([off] { otp::send(off, std::string("late")); });
    EXPECT_EQ(reason_of(other.monitor), normal);
    EXPECT_TRUE(mailbox_empty());
    auto after = otp::counters();
    EXPECT_EQ((after.dropped - before.dropped) + (after.dead - before.dead), 6u);
  });
}

namespace {
struct numbered {
  int sender;
  int number;
};
}  // namespace

// covers: PROC-016
TEST(process_send, messages_of_one_sender_arrive_in_the_order_they_were_sent) {
  auto body = [] {
    constexpr int senders = 8;
    constexpr int count = 2000;
    for (int s = 0; s < senders; ++s)
      otp::spawn([s, to = otp::self()] {
        for (int i = 0; i < count; ++i) {
          otp::send(to, numbered{s, i});
          if (i % 97 == s) otp::yield();
        }
      });
    std::vector<int> last(senders, -1);
    for (int i = 0; i < senders * count; ++i) {
      auto [s, number] = next<numbered>();
      ASSERT_EQ(number, last[static_cast<std::size_t>(s)]++ + 1);
    }
    EXPECT_TRUE(mailbox_empty());
  };
  for_seeds(3, body);
  EXPECT_EQ(threaded(body), normal);
}

// covers: PROC-016
TEST(process_send, the_order_holds_across_pid_name_and_alias) {
  everywhere(20, [] {
    otp::register_name("receiver", otp::self());
    otp::ref by_alias = otp::alias();
    otp::spawn([by_alias, by_pid = otp::self()] {
      for (int i = 0; i < 300; i += 3) {
        otp::send(by_pid, i);
        otp::send("receiver", i + 1);
        otp::send(by_alias, i + 2);
      }
    });
    for (int i = 0; i < 300; ++i) ASSERT_EQ(next<int>(), i);
    otp::unregister_name("receiver");
  });
}

// covers: PROC-016
TEST(process_send, messages_and_exit_signals_of_one_sender_keep_their_order) {
  everywhere(20, [] {
    otp::trap_exit(true);
    otp::spawn([to = otp::self()] {
      otp::send(to, 1);
      otp::exit(to, "between");
      otp::send(to, 2);
    });
    std::vector<std::string> seen;
    for (int i = 0; i < 3; ++i)
      otp::receive([&](otp::message m) { seen.emplace_back(m.is<int>() ? std::to_string(m.take<int>()) : "exit"); });
    EXPECT_EQ(seen, (std::vector<std::string>{"1", "exit", "2"}));
  });
}

// covers: PROC-018
TEST(process_send, messages_of_different_senders_may_arrive_in_either_order) {
  bool first_first = false;
  bool second_first = false;
  for (unsigned seed = 1; seed <= 50; ++seed)
    seeded(
        [&] {
          otp::spawn([to = otp::self()] { otp::send(to, 1); });
          otp::spawn([to = otp::self()] { otp::send(to, 2); });
          int first = next<int>();
          int second = next<int>();
          EXPECT_EQ(first + second, 3);
          (first == 1 ? first_first : second_first) = true;
        },
        seed);
  EXPECT_TRUE(first_first && second_first) << "both orders are among the seeds";
}

// covers: PROC-019
TEST(process_send, what_a_process_sent_to_its_watcher_is_there_before_its_down) {
  everywhere(30, [] {
    for (int round = 0; round < 20; ++round) {
      auto [child, m] = otp::spawn_monitor([round, to = otp::self()] {
        for (int i = 0; i < round; ++i) otp::send(to, i);
        if (round % 3 == 1) otp::exit("done");
        if (round % 3 == 2) throw 1;
      });
      reason_of(m);
      for (int i = 0; i < round; ++i) ASSERT_EQ(waiting<int>(), i);
      ASSERT_TRUE(mailbox_empty());
    }
  });
}

// covers: PROC-019
TEST(process_send, a_killed_process_leaves_a_prefix_before_its_down) {
  EXPECT_EQ(threaded([] {
              for (int round = 0; round < 20; ++round) {
                auto [child, m] = otp::spawn_monitor([to = otp::self()] {
                  for (int i = 0; i < 100000; ++i) {
                    otp::send(to, i);
                    if (i % 10 == 0) otp::yield();
                  }
                });
                for (int i = 0; i < 100; ++i) ASSERT_EQ(next<int>(), i);
                otp::exit(child, otp::reason::kill);
                ASSERT_EQ(reason_of(m), killed);
                int i = 100;
                while (auto more = waiting<int>()) ASSERT_EQ(*more, i++);
                ASSERT_TRUE(mailbox_empty()) << "nothing comes after the down";
              }
            }),
            normal);
}

// covers: PROC-020
TEST(process_send, what_a_process_sent_to_a_linked_one_is_there_before_its_exit) {
  everywhere(30, [] {
    otp::trap_exit(true);
    for (int round = 0; round < 20; ++round) {
      otp::pid child = otp::spawn_link([round, to = otp::self()] {
        for (int i = 0; i < round; ++i) otp::send(to, i);
        if (round % 3 == 1) otp::exit(shutdown);
        if (round % 3 == 2) throw std::runtime_error("crash");
      });
      EXPECT_EQ(next<otp::exit_signal>().from, child);
      for (int i = 0; i < round; ++i) ASSERT_EQ(waiting<int>(), i);
      ASSERT_TRUE(mailbox_empty());
    }
  });
}

// covers: PROC-022
TEST(process_send, a_message_to_oneself_is_in_the_mailbox_when_the_send_returns) {
  everywhere(5, [] {
    otp::send(otp::self(), 1);
    EXPECT_EQ(otp::info(otp::self())->message_queue_len, 1u);
    otp::send(otp::self(), std::string("two"));
    EXPECT_EQ(otp::info(otp::self())->messages, (std::vector<std::string>{"1", "\"two\""}));
    EXPECT_EQ(waiting<std::string>(), "two");
    EXPECT_EQ(waiting<int>(), 1);
    otp::register_name("me", otp::self());
    otp::send("me", 3);
    EXPECT_EQ(waiting<int>(), 3);
    otp::ref a = otp::alias();
    otp::send(a, 4);
    EXPECT_EQ(waiting<int>(), 4);
    otp::unregister_name("me");
  });
}

// There are no unreachable nodes to send to without a connection before there is distribution.
// no meaning: PROC-023 (docs/decisions/0002-rows-without-meaning.md)
