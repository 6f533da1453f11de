// Monitors: one-way, independent of each other, and gone without a trace when removed.
#include "conformance/support.hpp"

#include <atomic>

using namespace conformance;

namespace {

otp::process_info about(otp::pid p) {
  auto known = otp::info(p);
  if (!known) throw std::runtime_error("the process is gone");
  return *known;
}

// A process that has ended, and is known to have.
otp::pid dead_process() {
  auto [dead, m] = otp::spawn_monitor([] { otp::exit("before"); });
  reason_of(m);
  return dead;
}

void end(otp::pid p, otp::exit_reason why = "told to") { otp::exit(p, std::move(why)); }

}  // namespace

// covers: PROC-069
TEST(process_monitors, a_monitor_gives_one_down_with_reference_object_and_reason) {
  everywhere(10, [] {
    std::vector<otp::exit_reason> reasons = abnormal_reasons();
    reasons.push_back(normal);
    std::vector<otp::ref> all;
    for (const otp::exit_reason& why : reasons) {
      otp::pid target = otp::spawn([why] { next<int>(), otp::exit(why); });
      otp::ref m = otp::monitor(target);
      EXPECT_TRUE(m);
      EXPECT_EQ(std::count(all.begin(), all.end(), m), 0) << "references are unique";
      all.push_back(m);
      otp::send(target, 1);
      otp::down d = next<otp::down>();
      EXPECT_EQ(d.reference, m);
      EXPECT_EQ(d.process, target);
      EXPECT_TRUE(d.name.empty());
      EXPECT_EQ(d.reason, why) << why.to_string();
      EXPECT_TRUE(d.tag.empty());
      EXPECT_EQ(d.to_string(),
                "{DOWN, " + m.to_string() + ", process, " + target.to_string() + ", " + why.to_string() + "}");
      EXPECT_TRUE(mailbox_empty());
    }
    // By name the name is the monitored object; who holds it is told too.
    otp::pid named = sleeper();
    otp::register_name("watched", named);
    otp::ref m = otp::monitor("watched");
    end(named, "bye");
    otp::down d = next<otp::down>();
    EXPECT_EQ(d.reference, m);
    EXPECT_EQ(d.name, "watched");
    EXPECT_EQ(d.process, named);
    EXPECT_EQ(d.reason, otp::exit_reason("bye"));
  });
}

// covers: PROC-069
TEST(process_monitors, a_monitor_by_name_stays_with_the_process_that_had_the_name) {
  everywhere(10, [] {
    otp::pid first = sleeper();
    otp::pid second = sleeper();
    otp::register_name("name", first);
    otp::ref m = otp::monitor("name");
    otp::unregister_name("name");
    otp::register_name("name", second);
    end(second);
    end_of(second);
    EXPECT_TRUE(mailbox_empty());
    end(first, "first");
    EXPECT_EQ(reason_of(m), otp::exit_reason("first"));
  });
}

// covers: PROC-070
TEST(process_monitors, monitors_are_one_way) {
  everywhere(10, [] {
    otp::pid target = sleeper();
    // The watcher's end does nothing to the target, whatever its reason.
    for (const otp::exit_reason& why : abnormal_reasons()) {
      auto watcher = otp::spawn_monitor([target, why] {
        otp::monitor(target);
        otp::exit(why);
      });
      EXPECT_EQ(reason_of(watcher.monitor), why);
    }
    auto killed_watcher = otp::spawn_monitor([target] {
      otp::monitor(target);
      rest();
    });
    end(killed_watcher.pid, otp::reason::kill);
    EXPECT_EQ(reason_of(killed_watcher.monitor), killed);
    EXPECT_TRUE(otp::is_alive(target));
    EXPECT_EQ(about(target).message_queue_len, 0u);
    EXPECT_TRUE(about(target).monitored_by.empty());
    // The target's end is only a message, also for a watcher that does not trap.
    auto watcher = otp::spawn_monitor([target, to = otp::self()] {
      otp::monitor(target);
      otp::send(to, true);
      otp::send(to, next<otp::down>().reason);
      rest();
    });
    next<bool>();
    end(target, otp::reason::kill);
    EXPECT_EQ(next<otp::exit_reason>(), killed);
    EXPECT_TRUE(otp::is_alive(watcher.pid));
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-071
TEST(process_monitors, every_monitor_call_makes_one_of_its_own) {
  everywhere(10, [] {
    for (std::size_t n : {2, 5, 40}) {
      otp::pid target = sleeper();
      std::vector<otp::ref> refs;
      for (std::size_t i = 0; i < n; ++i) refs.push_back(otp::monitor(target));
      EXPECT_EQ(about(otp::self()).monitors.size(), n);
      EXPECT_EQ(about(target).monitored_by, std::vector<otp::pid>(n, otp::self()));
      // Removing one leaves the others.
      otp::demonitor(refs[n / 2]);
      end(target, "all");
      std::vector<otp::ref> fired;
      for (std::size_t i = 0; i + 1 < n; ++i) {
        otp::down d = next<otp::down>();
        EXPECT_EQ(d.reason, otp::exit_reason("all"));
        fired.push_back(d.reference);
      }
      EXPECT_TRUE(mailbox_empty());
      refs.erase(refs.begin() + static_cast<std::ptrdiff_t>(n / 2));
      std::sort(refs.begin(), refs.end());
      std::sort(fired.begin(), fired.end());
      EXPECT_EQ(fired, refs) << "each once";
    }
  });
}

// covers: PROC-072
TEST(process_monitors, monitoring_a_dead_process_gives_noproc_at_once) {
  everywhere(10, [] {
    otp::pid dead = dead_process();
    for (int i = 0; i < 3; ++i) {
      otp::ref m = otp::monitor(dead);
      auto d = waiting<otp::down>();
      ASSERT_TRUE(d);
      EXPECT_EQ(d->reference, m);
      EXPECT_EQ(d->process, dead);
      EXPECT_EQ(d->reason, noproc);
    }
    EXPECT_TRUE(mailbox_empty());
    EXPECT_TRUE(about(otp::self()).monitors.empty());
  });
}

// A process is over for all who come after the signal that ends it, however long its end takes: they heard the reason.
// covers: PROC-072 PROC-063
TEST(process_monitors, what_follows_the_signal_that_ends_a_process_finds_nobody) {
  everywhere(30, [] {
    otp::trap_exit(true);
    for (const otp::exit_reason& why : {otp::exit_reason("boom"), otp::exit_reason(otp::reason::kill)}) {
      const otp::exit_reason told = why == otp::reason::kill ? otp::exit_reason(killed) : why;
      otp::pid target = sleeper();
      otp::ref before = otp::monitor(target);
      otp::exit(target, why);
      otp::ref after = otp::monitor(target);
      otp::link(target);
      EXPECT_EQ(reason_of(before), told);
      EXPECT_EQ(reason_of(after), noproc);
      auto end = next<otp::exit_signal>();
      EXPECT_EQ(end.from, target);
      EXPECT_EQ(end.reason, noproc);
      target = sleeper();
      otp::exit(target, why);
      after = otp::monitor(target);
      otp::demonitor(after, {.flush = true});
      otp::link(target);
      otp::unlink(target);
      end_of(target);
      otp::receive([](const otp::exit_signal&) {}, otp::after(0s, [] {}));
    }
    EXPECT_TRUE(mailbox_empty());
  });
  // Its end takes an hour: the answer comes when it is over, and the name is free.
  for_seeds(10, [] {
    struct slow {
      ~slow() { otp::sleep(1h); }
    };
    otp::pid target = otp::spawn([] {
      otp::register_name("slow to end", otp::self());
      slow s;
      otp::sleep(otp::infinity);
    });
    otp::testing::settle();
    otp::exit(target, "boom");
    otp::testing::settle();
    otp::instant begin = otp::now();
    EXPECT_EQ(reason_of(otp::monitor(target)), noproc);
    EXPECT_GE(otp::now() - begin, 1h);
    EXPECT_FALSE(otp::whereis("slow to end"));
  });
}

// What nobody has to do anything for is noted by whoever tells it, where both run on one worker.
TEST(process_monitors, of_a_sleeping_process_are_noted_and_forgotten_and_it_sleeps_on) {
  auto body = [] {
    struct counted {
      std::shared_ptr<std::atomic<int>> living;
      explicit counted(std::shared_ptr<std::atomic<int>> all) : living(std::move(all)) { ++*living; }
      counted(const counted& other) : counted(other.living) {}
      ~counted() { --*living; }
      bool operator==(const counted& other) const { return living.get() == other.living.get(); }
    };
    otp::pid target = sleeper();
    for (int i = 0; i < 3; ++i) otp::yield();
    auto living = std::make_shared<std::atomic<int>>(0);
    for (int i = 0; i < 200; ++i) {
      otp::ref kept = otp::monitor(target);
      otp::ref tagged = otp::monitor(target, {.tag = counted(living)});
      EXPECT_TRUE(otp::demonitor(tagged, {.info = true}));
      EXPECT_FALSE(otp::demonitor(tagged, {.info = true}));
      EXPECT_TRUE(otp::demonitor(kept, {.info = true}));
    }
    EXPECT_EQ(about(target).monitored_by.size(), 0U);
    otp::ref last = otp::monitor(target);
    EXPECT_EQ(about(target).monitored_by.size(), 1U);
    end(target);
    EXPECT_EQ(reason_of(last), otp::exit_reason("told to"));
    EXPECT_EQ(*living, 0) << "the tag goes with its monitor";
    EXPECT_TRUE(mailbox_empty());
  };
  for_seeds(3, body);
  EXPECT_EQ(threaded(body, {.workers = 1}), normal);
  EXPECT_EQ(threaded(body), normal);
}

// Signals that need no work: their stream must not keep the process that gets them from giving its worker back.
TEST(process_monitors, a_flood_of_them_does_not_hold_a_worker) {
  struct poke {};
  std::atomic<bool> over{false};
  std::atomic<int> turns{0};
  auto body = [&] {
    otp::pid bystander = otp::spawn([&] {
      while (!over) {
        ++turns;
        otp::yield();
      }
    });
    otp::pid target = sleeper();
    otp::pid flood = otp::spawn([&, target] {
      while (!over) {
        for (int i = 0; i < 1'000; ++i) otp::demonitor(otp::monitor(target), {.flush = true});
        otp::yield();
      }
    });
    for (int before = turns; turns < before + 100;) otp::yield();
    over = true;
    end_of(flood);
    end_of(bystander);
    end(target);
  };
  EXPECT_EQ(threaded(body), normal);
}

// covers: PROC-072 PROC-069
TEST(process_monitors, a_monitor_that_races_with_the_end_gives_the_real_reason_or_noproc_once) {
  bool real = false;
  bool late = false;
  auto body = [&] {
    for (int i = 0; i < 100; ++i) {
      otp::pid target = otp::spawn([i] { otp::exit(i); });
      if (i % 3) otp::yield();
      otp::ref m = otp::monitor(target);
      otp::exit_reason why = reason_of(m);
      EXPECT_TRUE(why == noproc || why == otp::exit_reason(i)) << why.to_string();
      (why == noproc ? late : real) = true;
      EXPECT_TRUE(mailbox_empty());
    }
  };
  for_seeds(10, body);
  EXPECT_TRUE(real && late);
  EXPECT_EQ(threaded(body), normal);
}

// covers: PROC-073
TEST(process_monitors, monitoring_a_name_that_nobody_has_gives_noproc_at_once) {
  everywhere(5, [] {
    otp::ref m = otp::monitor("nobody");
    auto d = waiting<otp::down>();
    ASSERT_TRUE(d);
    EXPECT_EQ(d->reference, m);
    EXPECT_EQ(d->name, "nobody");
    EXPECT_FALSE(d->process);
    EXPECT_EQ(d->reason, noproc);
    // And one whose holder has gone.
    auto [holder, mh] = otp::spawn_monitor([] { otp::register_name("gone", otp::self()); });
    reason_of(mh);
    otp::monitor("gone");
    EXPECT_EQ(waiting<otp::down>()->reason, noproc);
    EXPECT_TRUE(mailbox_empty());
    EXPECT_TRUE(about(otp::self()).monitors.empty());
  });
}

// covers: PROC-076
TEST(process_monitors, monitoring_oneself_gives_a_reference_and_nothing_else) {
  everywhere(5, [] {
    otp::ref m = otp::monitor(otp::self());
    EXPECT_TRUE(m);
    EXPECT_NE(otp::monitor(otp::self()), m);
    EXPECT_TRUE(about(otp::self()).monitors.empty());
    EXPECT_TRUE(about(otp::self()).monitored_by.empty());
    EXPECT_TRUE(otp::demonitor(m));
    EXPECT_FALSE(otp::demonitor(m, {.info = true}));
    otp::register_name("myself", otp::self());
    EXPECT_TRUE(otp::monitor("myself"));
    EXPECT_TRUE(about(otp::self()).monitors.empty());
    otp::unregister_name("myself");
    EXPECT_TRUE(mailbox_empty());
    // Nothing comes at the end either: nobody is there to get it, and the counters know of none that was lost.
    auto before = otp::counters();
    auto made = otp::spawn_monitor([] { otp::monitor(otp::self()); });
    EXPECT_EQ(reason_of(made.monitor), normal);
    EXPECT_EQ(otp::counters().dead, before.dead);
    EXPECT_EQ(otp::counters().dropped, before.dropped);
  });
}

// covers: PROC-077
TEST(process_monitors, after_demonitor_no_down_comes) {
  everywhere(20, [] {
    otp::pid target = sleeper();
    otp::ref m = otp::monitor(target);
    EXPECT_TRUE(otp::demonitor(m));
    end(target);
    end_of(target);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-077 PROC-079
TEST(process_monitors, a_demonitor_with_flush_that_races_with_the_end_leaves_nothing) {
  auto body = [] {
    for (int i = 0; i < 200; ++i) {
      auto [target, m] = otp::spawn_monitor([i] {
        if (i % 2) otp::yield();
      });
      if (i % 3) otp::yield();
      if (i % 7 == 0) {
        // Without flush: the down is there now, or never comes.
        otp::demonitor(m);
        bool there = waiting<otp::down>().has_value();
        otp::ref again = otp::monitor(target);
        reason_of(again);
        EXPECT_FALSE(waiting<otp::down>()) << there;
      } else {
        otp::demonitor(m, {.flush = true});
        otp::ref again = otp::monitor(target);
        reason_of(again);
      }
      ASSERT_TRUE(mailbox_empty());
    }
    EXPECT_TRUE(about(otp::self()).monitors.empty());
  };
  for_seeds(20, body);
  EXPECT_EQ(threaded(body), normal);
}

// covers: PROC-079
TEST(process_monitors, flush_also_removes_a_down_that_has_arrived_and_only_that_one) {
  everywhere(10, [] {
    otp::pid target = sleeper();
    otp::ref a = otp::monitor(target);
    otp::ref b = otp::monitor(target);
    otp::ref c = otp::monitor(target);
    otp::send(otp::self(), 1);
    end(target);
    end_of(target);
    otp::send(otp::self(), 2);
    EXPECT_EQ(about(otp::self()).message_queue_len, 5u);
    EXPECT_TRUE(otp::demonitor(b, {.flush = true}));
    EXPECT_EQ(about(otp::self()).message_queue_len, 4u);
    EXPECT_TRUE(otp::demonitor(a)) << "without flush it stays";
    EXPECT_EQ(about(otp::self()).message_queue_len, 4u);
    EXPECT_FALSE(otp::demonitor(c, {.flush = true, .info = true})) << "it had fired";
    EXPECT_EQ(next<otp::down>().reference, a);
    EXPECT_EQ(next<int>(), 1);
    EXPECT_EQ(next<int>(), 2);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-081
TEST(process_monitors, demonitoring_what_is_not_active_succeeds_and_does_nothing) {
  everywhere(5, [] {
    otp::pid target = sleeper();
    otp::ref m = otp::monitor(target);
    EXPECT_TRUE(otp::demonitor(m, {.info = true})) << "it was active";
    EXPECT_TRUE(otp::demonitor(m));
    EXPECT_TRUE(otp::demonitor(m));
    EXPECT_FALSE(otp::demonitor(m, {.info = true}));
    EXPECT_TRUE(otp::demonitor(otp::ref(otp::self(), 987654321))) << "never used";
    otp::ref fired = otp::monitor(target);
    end(target);
    EXPECT_EQ(reason_of(fired), otp::exit_reason("told to"));
    EXPECT_TRUE(otp::demonitor(fired));
    EXPECT_TRUE(otp::demonitor(fired, {.flush = true}));
    EXPECT_FALSE(otp::demonitor(fired, {.flush = true, .info = true}));
    // A timer's reference is not a monitor's; the timer goes on.
    otp::ref timer = otp::send_after(1h, otp::self(), 1);
    EXPECT_FALSE(otp::demonitor(timer, {.info = true}));
    EXPECT_TRUE(otp::read_timer(timer));
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-082 PROC-084
TEST(process_monitors, no_reference_no_process_and_no_name_are_errors) {
  seeded([] {
    EXPECT_THROW(otp::demonitor(otp::ref()), otp::bad_argument);
    EXPECT_THROW(otp::demonitor(otp::ref(), {.flush = true, .info = true}), otp::bad_argument);
    EXPECT_THROW(otp::monitor(otp::pid()), otp::bad_argument);
    EXPECT_THROW(otp::monitor(""), otp::bad_argument);
    EXPECT_THROW(otp::monitor(std::string(256, 'x')), otp::bad_argument);
    EXPECT_THROW(otp::monitor("undefined"), otp::bad_argument);
    EXPECT_THROW(otp::monitor(otp::self(), {.alias = static_cast<otp::alias_mode>(9)}), otp::bad_argument);
    EXPECT_TRUE(about(otp::self()).monitors.empty());
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-083
TEST(process_monitors, a_reference_of_another_process_is_left_alone) {
  everywhere(10, [] {
    otp::pid target = sleeper();
    otp::ref mine = otp::monitor(target);
    auto other = otp::spawn_monitor([mine, to = otp::self()] {
      EXPECT_TRUE(otp::demonitor(mine));
      EXPECT_TRUE(otp::demonitor(mine, {.flush = true}));
      EXPECT_FALSE(otp::demonitor(mine, {.info = true}));
      otp::send(to, 1);
    });
    next<int>();
    reason_of(other.monitor);
    EXPECT_EQ(about(otp::self()).monitors, std::vector{target});
    end(target);
    EXPECT_EQ(reason_of(mine), otp::exit_reason("told to"));
  });
}

// covers: PROC-085
TEST(process_monitors, a_monitor_is_forgotten_at_both_ends_when_it_fires_is_removed_or_its_watcher_ends) {
  everywhere(10, [] {
    otp::pid me = otp::self();
    otp::pid target = sleeper();
    otp::ref m = otp::monitor(target);
    EXPECT_EQ(about(me).monitors, std::vector{target});
    EXPECT_EQ(about(target).monitored_by, std::vector{me});
    otp::demonitor(m);
    EXPECT_TRUE(about(me).monitors.empty());
    EXPECT_TRUE(about(target).monitored_by.empty());

    auto watcher = otp::spawn_monitor([target, me] {
      otp::monitor(target);
      otp::monitor(target);
      otp::send(me, 1);
      rest();
    });
    next<int>();
    EXPECT_EQ(about(target).monitored_by, std::vector(2, watcher.pid));
    EXPECT_EQ(about(watcher.pid).monitors, std::vector(2, target));
    end(watcher.pid, otp::reason::kill);
    EXPECT_EQ(reason_of(watcher.monitor), killed);
    EXPECT_TRUE(about(target).monitored_by.empty());

    m = otp::monitor(target);
    end(target);
    reason_of(m);
    EXPECT_TRUE(about(me).monitors.empty());
  });
}

// covers: PROC-085
TEST(process_monitors, many_watchers_come_and_go_and_nothing_is_left) {
  everywhere(3, [] {
    otp::pid target = sleeper();
    otp::ref mine = otp::monitor(target);
    std::vector<otp::ref> watchers;
    for (int i = 0; i < 200; ++i)
      watchers.push_back(otp::spawn_monitor([target, i] {
                           std::vector<otp::ref> made;
                           for (int n = 0; n < 20; ++n) made.push_back(otp::monitor(target));
                           for (int n = 0; n < 20; n += 1 + i % 3) otp::demonitor(made[static_cast<std::size_t>(n)]);
                           if (i % 4 == 0) throw i;
                         }).monitor);
    for (otp::ref w : watchers) reason_of(w);
    EXPECT_EQ(about(target).monitored_by, std::vector{otp::self()});
    end(target);
    EXPECT_EQ(reason_of(mine), otp::exit_reason("told to"));
    EXPECT_TRUE(about(otp::self()).monitors.empty());
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-086
TEST(process_monitors, a_tag_replaces_down_also_for_noproc) {
  struct job {
    int number;
    bool operator==(const job&) const = default;
  };
  everywhere(5, [] {
    otp::pid target = sleeper();
    otp::ref tagged = otp::monitor(target, {.tag = job{7}});
    otp::ref plain = otp::monitor(target);
    end(target);
    auto down_of = [](otp::ref m) {
      return otp::receive(
          otp::when([m](const otp::down& d) { return d.reference == m; }, [](otp::down d) { return d; }));
    };
    otp::down d = down_of(tagged);
    ASSERT_TRUE(d.tag.get_if<job>());
    EXPECT_EQ(d.tag.get_if<job>()->number, 7);
    EXPECT_EQ(d.reason, otp::exit_reason("told to"));
    EXPECT_TRUE(down_of(plain).tag.empty());
    // Dead, unknown, and by name.
    otp::monitor(target, {.tag = "dead"});
    EXPECT_EQ(waiting<otp::down>()->tag, otp::term("dead"));
    otp::monitor("nobody", {.tag = "unknown"});
    d = *waiting<otp::down>();
    EXPECT_EQ(d.tag, otp::term("unknown"));
    EXPECT_EQ(d.reason, noproc);
    EXPECT_NE(d.to_string().find("{\"unknown\", #ref"), std::string::npos) << d.to_string();
    // flush finds a tagged one too.
    otp::ref m = otp::monitor(target, {.tag = 1});
    otp::demonitor(m, {.flush = true});
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-088
TEST(process_monitors, demonitoring_an_alias_leaves_the_alias_working) {
  everywhere(5, [] {
    for (otp::alias_mode mode : {otp::alias_mode::explicit_unalias, otp::alias_mode::reply}) {
      otp::ref a = otp::alias(mode);
      EXPECT_TRUE(otp::demonitor(a));
      EXPECT_TRUE(otp::demonitor(a, {.flush = true}));
      EXPECT_FALSE(otp::demonitor(a, {.info = true}));
      otp::send(a, 1);
      EXPECT_EQ(waiting<int>(), 1);
    }
  });
}
