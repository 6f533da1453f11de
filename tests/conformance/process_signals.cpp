// The truth table of received exit signals, cell by cell, under many orders.
#include "conformance/support.hpp"

#include <thread>

using namespace conformance;

namespace {

// A process that does not trap, and one that does and hands on what it gets; both sit in a receive.
struct target {
  explicit target(bool traps) : pid(traps ? trapper() : sleeper()), monitor(otp::monitor(pid)) {
    // Trapping is on from the first step on, whether or not it has run: no need to wait for it.
  }
  otp::pid pid;
  otp::ref monitor;
};

// Neither dead nor about to die of what was sent to it.
void expect_alive(otp::pid process) {
  EXPECT_TRUE(otp::is_alive(process));
  EXPECT_NE(otp::info(process)->status, otp::process_status::exiting);
}

}  // namespace

// covers: PROC-043
TEST(process_signals, normal_to_another_that_does_not_trap_is_ignored) {
  everywhere(20, [] {
    target t(false);
    for (int i = 0; i < 3; ++i) otp::exit(t.pid, normal);
    expect_alive(t.pid);
    EXPECT_EQ(otp::info(t.pid)->message_queue_len, 0u) << "nor is it a message";
    otp::exit(t.pid, "the end");
    EXPECT_EQ(reason_of(t.monitor), otp::exit_reason("the end"));
    // Nor one that is linked with the sender.
    otp::pid linked = otp::spawn_link([] { rest(); });
    otp::exit(linked, normal);
    expect_alive(linked);
    otp::unlink(linked);
  });
}

// covers: PROC-044 PROC-047 PROC-060
TEST(process_signals, a_trapping_process_gets_every_explicit_reason_but_kill_as_a_message) {
  everywhere(10, [] {
    target t(true);
    std::vector<otp::exit_reason> reasons = abnormal_reasons();
    reasons.insert(reasons.begin(), normal);
    for (const otp::exit_reason& why : reasons) {
      otp::exit(t.pid, why);
      auto got = next<trapped>();
      EXPECT_EQ(got.by, t.pid);
      EXPECT_EQ(got.signal.from, otp::self()) << "named is who sent it";
      EXPECT_EQ(got.signal.reason, why) << why.to_string();
    }
    expect_alive(t.pid);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-045
TEST(process_signals, kill_ends_every_target_with_killed) {
  everywhere(20, [] {
    for (bool traps : {false, true}) {
      target t(traps);
      otp::exit(t.pid, otp::reason::kill);
      EXPECT_EQ(reason_of(t.monitor), killed);
      EXPECT_TRUE(mailbox_empty()) << "without a word about it";
      // Behind other signals, and many times.
      target again(traps);
      otp::exit(again.pid, normal);
      if (traps) next<trapped>();
      for (int i = 0; i < 3; ++i) otp::exit(again.pid, otp::reason::kill);
      EXPECT_EQ(reason_of(again.monitor), killed);
    }
    // `killed` itself is a reason like any other.
    target t(true);
    otp::exit(t.pid, killed);
    EXPECT_EQ(next<trapped>().signal.reason, killed);
    // One that is computing ends at its next wait.
    auto busy = otp::spawn_monitor([] {
      otp::trap_exit(true);
      for (;;) otp::yield();
    });
    otp::exit(busy.pid, otp::reason::kill);
    EXPECT_EQ(reason_of(busy.monitor), killed);
  });
}

// covers: PROC-046
TEST(process_signals, any_other_reason_ends_one_that_does_not_trap_with_exactly_that_reason) {
  everywhere(10, [] {
    for (const otp::exit_reason& why : abnormal_reasons()) {
      target t(false);
      otp::exit(t.pid, why);
      EXPECT_EQ(reason_of(t.monitor), why) << why.to_string();
    }
    // Of several the first decides.
    target t(false);
    otp::exit(t.pid, "first");
    otp::exit(t.pid, "second");
    otp::exit(t.pid, otp::reason::kill);
    EXPECT_EQ(reason_of(t.monitor), otp::exit_reason("first"));
  });
}

// covers: PROC-047
TEST(process_signals, trapping_counts_from_when_it_was_set_to_when_it_was_unset) {
  everywhere(20, [] {
    auto [t, m] = otp::spawn_monitor([to = otp::self()] {
      EXPECT_FALSE(otp::trap_exit(true));
      otp::send(to, 1);
      EXPECT_EQ(next<otp::exit_signal>().reason, otp::exit_reason("trapped"));
      EXPECT_TRUE(otp::trap_exit(false));
      otp::send(to, 2);
      rest();
    });
    EXPECT_EQ(next<int>(), 1);
    otp::exit(t, "trapped");
    EXPECT_EQ(next<int>(), 2);
    otp::exit(t, "not trapped");
    EXPECT_EQ(reason_of(m), otp::exit_reason("not trapped"));
  });
}

// covers: PROC-048
TEST(process_signals, normal_to_oneself_ends_a_process_that_does_not_trap) {
  everywhere(10, [] {
    auto made = otp::spawn_monitor([to = otp::self()] {
      otp::exit(otp::self(), normal);
      otp::send(to, 1);
    });
    EXPECT_EQ(reason_of(made.monitor), normal);
    EXPECT_TRUE(mailbox_empty()) << "nothing after it runs";
    // From another process it would have been ignored, also if that one pretends.
    target t(false);
    otp::exit(t.pid, normal);
    expect_alive(t.pid);
    // To oneself while trapping it is a message.
    otp::trap_exit(true);
    otp::exit(otp::self(), normal);
    auto got = waiting<otp::exit_signal>();
    ASSERT_TRUE(got);
    EXPECT_EQ(got->from, otp::self());
    EXPECT_EQ(got->reason, normal);
  });
}

// covers: PROC-049
TEST(process_signals, another_reason_to_oneself_ends_it_and_cannot_be_caught_around_the_call) {
  everywhere(10, [] {
    for (const otp::exit_reason& why : abnormal_reasons()) {
      auto made = otp::spawn_monitor([why, to = otp::self()] {
        try {
          otp::exit(otp::self(), why);
        } catch (const std::exception&) {
          otp::send(to, 1);
        }
        otp::send(to, 2);
      });
      EXPECT_EQ(reason_of(made.monitor), why);
      EXPECT_TRUE(mailbox_empty());
      // Who catches everything and returns, or throws something else, still ends with that reason.
      auto stubborn = otp::spawn_monitor([why] {
        try {
          otp::exit(otp::self(), why);
        } catch (...) {
        }
      });
      EXPECT_EQ(reason_of(stubborn.monitor), why);
      auto other = otp::spawn_monitor([why] {
        try {
          otp::exit(otp::self(), why);
        } catch (...) {
          throw std::runtime_error("another");
        }
      });
      EXPECT_EQ(reason_of(other.monitor), why);
    }
    // While trapping it is a message, in the mailbox when the call returns.
    otp::trap_exit(true);
    for (const otp::exit_reason& why : abnormal_reasons()) {
      otp::exit(otp::self(), why);
      EXPECT_EQ(waiting<otp::exit_signal>()->reason, why);
    }
  });
}

// covers: PROC-051
TEST(process_signals, kill_to_oneself_ends_with_killed_also_when_trapping) {
  everywhere(10, [] {
    for (bool traps : {false, true}) {
      auto made = otp::spawn({.monitor = true, .trap_exit = traps}, [to = otp::self()] {
        otp::exit(otp::self(), otp::reason::kill);
        otp::send(to, 1);
      });
      EXPECT_EQ(reason_of(made.monitor), killed);
      EXPECT_TRUE(mailbox_empty());
    }
  });
}

// covers: PROC-052
TEST(process_signals, the_normal_end_of_a_linked_process_leaves_one_that_does_not_trap_alone) {
  everywhere(20, [] {
    auto made = otp::spawn_monitor([to = otp::self()] {
      otp::pid by_return = otp::spawn_link([] {});
      otp::pid by_exit = otp::spawn_link([] { otp::exit(normal); });
      end_of(by_return);
      end_of(by_exit);
      otp::send(to, otp::info(otp::self())->links);
      rest();
    });
    EXPECT_TRUE(next<std::vector<otp::pid>>().empty()) << "and the links are gone";
    expect_alive(made.pid);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-053 PROC-055 PROC-060
TEST(process_signals, the_end_of_a_linked_process_is_a_message_for_one_that_traps) {
  everywhere(10, [] {
    otp::trap_exit(true);
    std::vector<otp::exit_reason> reasons = abnormal_reasons();
    reasons.insert(reasons.begin(), normal);
    reasons.push_back(otp::reason::kill);  // its own exit with `kill` is not a kill
    for (const otp::exit_reason& why : reasons) {
      otp::pid peer = otp::spawn_link([why] { otp::exit(why); });
      auto got = next<otp::exit_signal>();
      EXPECT_EQ(got.from, peer);
      EXPECT_EQ(got.reason, why) << why.to_string();
    }
    otp::pid crashed = otp::spawn_link([] { throw std::runtime_error("crash"); });
    auto got = next<otp::exit_signal>();
    EXPECT_EQ(got.from, crashed);
    EXPECT_EQ(got.reason.text(), "crash");
    // Killed by somebody else: named is the peer that ended, not who killed it.
    otp::pid victim = otp::spawn_link([] { rest(); });
    otp::spawn([victim] { otp::exit(victim, otp::reason::kill); });
    got = next<otp::exit_signal>();
    EXPECT_EQ(got.from, victim);
    EXPECT_EQ(got.reason, killed);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-054
TEST(process_signals, an_abnormal_end_goes_along_a_chain_of_links) {
  everywhere(5, [] {
    // Each process starts the next one, linked with it; the last says that the chain is complete.
    struct chain {
      static void grow(int left, otp::pid owner) {
        if (left > 0)
          otp::spawn_link([left, owner] { grow(left - 1, owner); });
        else
          otp::send(owner, otp::self());
        rest();
      }
    };
    for (int length : {1, 2, 3, 9, 10, 50}) {
      std::vector<otp::exit_reason> reasons = abnormal_reasons();
      reasons.push_back(otp::reason::kill);
      for (const otp::exit_reason& why : reasons) {
        otp::pid me = otp::self();
        auto head = otp::spawn_monitor([=] { chain::grow(length, me); });
        otp::pid last = next<otp::pid>();
        otp::ref of_last = otp::monitor(last);
        bool from_head = length % 2 == 0;
        otp::exit(from_head ? head.pid : last, why);
        otp::exit_reason expected = why == otp::reason::kill ? otp::exit_reason(killed) : why;
        EXPECT_EQ(reason_of(head.monitor), expected);
        EXPECT_EQ(reason_of(of_last), expected);
      }
    }
  });
}

// covers: PROC-054
TEST(process_signals, a_ring_and_a_star_of_links_end_together_and_each_process_once) {
  everywhere(5, [] {
    auto before = otp::counters();
    std::vector<otp::pid> all;
    std::vector<otp::ref> watched;
    constexpr int n = 40;
    for (int i = 0; i < n; ++i)
      all.push_back(otp::spawn([to = otp::self()] {
        for (int links = 0; links < 3; ++links) {
          otp::link(next<otp::pid>());
          otp::send(to, 1);
        }
        rest();
      }));
    for (otp::pid p : all) watched.push_back(otp::monitor(p));
    for (std::size_t i = 0; i < n; ++i) {
      otp::send(all[i], all[(i + 1) % n]);
      otp::send(all[i], all[(i + 7) % n]);
      otp::send(all[i], all[0]);  // linking to oneself does nothing, to the same one twice neither
    }
    for (int i = 0; i < 3 * n; ++i) next<int>();
    otp::exit(all[13], "all of you");
    for (otp::ref r : watched) EXPECT_EQ(reason_of(r), otp::exit_reason("all of you"));
    EXPECT_TRUE(mailbox_empty());
    EXPECT_EQ(otp::counters().exited - before.exited, static_cast<std::uint64_t>(n));
  });
}

// covers: PROC-058
TEST(process_signals, an_exit_signal_needs_no_link_and_a_dead_target_is_no_error) {
  everywhere(10, [] {
    target t(false);
    EXPECT_TRUE(otp::info(t.pid)->links.empty());
    otp::exit(t.pid, "unlinked");
    EXPECT_EQ(reason_of(t.monitor), otp::exit_reason("unlinked"));
    std::vector<otp::exit_reason> reasons = abnormal_reasons();
    reasons.push_back(normal);
    reasons.push_back(otp::reason::kill);
    for (const otp::exit_reason& why : reasons) EXPECT_NO_THROW(otp::exit(t.pid, why));
    EXPECT_THROW(otp::exit(otp::pid(), "nobody"), otp::bad_argument);
    EXPECT_THROW(otp::exit(otp::pid(), normal), otp::bad_argument);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-043 PROC-045 PROC-046 PROC-060
TEST(process_signals, a_signal_from_a_thread_outside_follows_the_same_table) {
  recorder quiet;
  time_is_virtual = false;
  otp::runtime rt({.workers = 2, .listener = &quiet});
  rt.start();
  otp::pid plain = rt.spawn([] { rest(); });
  rt.exit(plain, normal);
  std::atomic<bool> trapped_by_nobody{false};
  otp::pid traps = rt.spawn(
      [&] {
        auto got = next<otp::exit_signal>();
        trapped_by_nobody = !got.from && got.reason == otp::exit_reason("asked");
        rest();
      },
      {.trap_exit = true});
  rt.exit(traps, "asked");
  EXPECT_EQ(rt.run([&] {
    EXPECT_TRUE(otp::is_alive(plain));
    otp::ref of_plain = otp::monitor(plain);
    otp::ref of_traps = otp::monitor(traps);
    otp::exit(plain, "end");
    EXPECT_EQ(reason_of(of_plain), otp::exit_reason("end"));
    while (!trapped_by_nobody) otp::yield();
    otp::exit(traps, otp::reason::kill);
    EXPECT_EQ(reason_of(of_traps), killed);
  }),
            normal);
  EXPECT_TRUE(trapped_by_nobody);
  EXPECT_THROW(rt.exit(otp::pid(), "x"), otp::bad_argument);
}
