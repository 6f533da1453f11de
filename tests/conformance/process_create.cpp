// Creating processes: spawn, its options, and what a new process starts with.
#include "conformance/support.hpp"

#include <functional>
#include <set>

using namespace conformance;

// covers: PROC-001
TEST(process_create, spawn_returns_before_the_child_has_to_run) {
  bool child_first = false;
  bool parent_first = false;
  for_seeds(20, [&] {
    auto started = std::make_shared<bool>(false);
    auto child = otp::spawn([started, parent = otp::self()] {
      *started = true;
      otp::send(parent, otp::self());
    });
    EXPECT_TRUE(child);
    EXPECT_NE(child, otp::self());
    EXPECT_FALSE(*started) << "the parent goes on at once";
    otp::yield();
    (*started ? child_first : parent_first) = true;
    EXPECT_EQ(next<otp::pid>(), child) << "the child knows itself by the identity that spawn returned";
  });
  EXPECT_TRUE(child_first && parent_first) << "after that either may be first";
}

// covers: PROC-001
TEST(process_create, parent_and_child_run_at_the_same_time) {
  EXPECT_EQ(threaded([] {
              std::atomic<int> meeting{0};
              auto [child, m] = otp::spawn_monitor([&] {
                ++meeting;
                while (meeting.load() != 2) std::this_thread::yield();
              });
              ++meeting;  // neither waits in the runtime: each needs a worker of its own
              while (meeting.load() != 2) std::this_thread::yield();
              EXPECT_EQ(reason_of(m), normal);
            }),
            normal);
}

// covers: PROC-002
TEST(process_create, a_process_whose_function_returns_ends_with_normal_whatever_it_returned) {
  everywhere(5, [] {
    auto ends = [](auto body) { return reason_of(otp::spawn_monitor(std::move(body)).monitor); };
    EXPECT_EQ(ends([] {}), normal);
    EXPECT_EQ(ends([] { return 42; }), normal);
    EXPECT_EQ(ends([] { return std::string("shutdown"); }), normal);
    EXPECT_EQ(ends([] { return otp::exit_reason(otp::reason::kill); }), normal);
    EXPECT_EQ(ends([] { return otp::result<int>(std::unexpect, otp::reason::timeout); }), normal);
    EXPECT_EQ(ends([] { return std::make_unique<int>(1); }), normal);
    EXPECT_EQ(ends([] {
                otp::yield();  // also one that has waited
                return false;
              }),
              normal);
    EXPECT_EQ(ends(std::function<int()>([] { return 1; })), normal);
  });
}

// covers: PROC-003
TEST(process_create, a_link_made_by_spawn_never_misses_the_real_reason) {
  auto body = [] {
    otp::trap_exit(true);
    for (int i = 0; i < 2000; ++i) {
      otp::pid child;
      switch (i % 4) {
        case 0: child = otp::spawn_link([i] { otp::exit(i); }); break;
        case 1: child = otp::spawn_link([] {}); break;
        case 2: child = otp::spawn_link([i] { throw std::runtime_error(std::to_string(i)); }); break;
        case 3: child = otp::spawn({.link = true, .monitor = true}, [] { otp::exit(noproc); }).pid; break;
      }
      if (i % 7 == 0) otp::yield();
      otp::exit_signal got = next<otp::exit_signal>();
      ASSERT_EQ(got.from, child);
      switch (i % 4) {
        case 0: ASSERT_EQ(got.reason, otp::exit_reason(i)); break;
        case 1: ASSERT_EQ(got.reason, normal); break;
        case 2: ASSERT_EQ(got.reason.text(), std::to_string(i)); break;
        case 3: ASSERT_EQ(got.reason, noproc); break;
      }
    }
    EXPECT_TRUE(otp::info(otp::self())->links.empty());
  };
  seeded(body);
  EXPECT_EQ(threaded(body), normal);
}

// covers: PROC-003
TEST(process_create, a_link_made_by_spawn_ends_a_parent_that_does_not_trap) {
  everywhere(20, [] {
    auto parent = otp::spawn_monitor([] {
      otp::spawn_link([] { otp::exit("instantly"); });
      rest();
    });
    EXPECT_EQ(reason_of(parent.monitor), otp::exit_reason("instantly"));
    // And the other way: a child started by somebody who ends at once.
    auto last_words = otp::spawn_monitor([owner = otp::self()] {
      otp::pid child = otp::spawn_link([] { rest(); });
      otp::send(owner, child);
      otp::exit("parent gone");
    });
    EXPECT_EQ(reason_of(last_words.monitor), otp::exit_reason("parent gone"));
    otp::exit_reason of_child = end_of(next<otp::pid>());
    EXPECT_TRUE(of_child == otp::exit_reason("parent gone") || of_child == noproc) << of_child.to_string();
  });
}

// covers: PROC-005
TEST(process_create, link_and_monitor_in_one_spawn_give_pid_and_reference) {
  everywhere(10, [] {
    otp::trap_exit(true);
    auto [child, m] = otp::spawn({.link = true, .monitor = true}, [] { otp::exit("both"); });
    ASSERT_TRUE(child);
    ASSERT_TRUE(m);
    EXPECT_EQ(m.owner(), otp::self());
    otp::down d = next<otp::down>();
    EXPECT_EQ(d.reference, m);
    EXPECT_EQ(d.process, child);
    EXPECT_EQ(d.reason, otp::exit_reason("both"));
    otp::exit_signal s = next<otp::exit_signal>();
    EXPECT_EQ(s.from, child);
    EXPECT_EQ(s.reason, otp::exit_reason("both"));
    EXPECT_TRUE(mailbox_empty()) << "one of each";

    auto only_link = otp::spawn({.link = true}, [] {});
    EXPECT_FALSE(only_link.monitor) << "no reference that was not asked for";
    EXPECT_EQ(next<otp::exit_signal>().from, only_link.pid);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-006
TEST(process_create, a_malformed_option_is_an_error_and_creates_no_process) {
  seeded([] {
    auto body = [] {};
    const std::vector<otp::spawn_options> wrong = {
        {.priority = static_cast<otp::priority>(17)},
        {.stack_size = 1},
        {.stack_size = std::size_t{1} << 40},
        {.mailbox = {.max_messages = 1, .policy = static_cast<otp::overflow>(9)}},
        {.monitor = true, .monitoring = {.alias = static_cast<otp::alias_mode>(42)}},
        {.link = true, .monitor = true, .priority = static_cast<otp::priority>(4)},
    };
    for (const otp::spawn_options& options : wrong) {
      auto before = otp::counters();
      EXPECT_THROW(otp::spawn(options, body), otp::bad_argument);
      EXPECT_EQ(otp::counters().spawned, before.spawned);
      EXPECT_EQ(otp::counters().processes, before.processes);
      EXPECT_TRUE(otp::info(otp::self())->links.empty());
      EXPECT_TRUE(otp::info(otp::self())->monitors.empty());
    }
  });
}

// covers: PROC-006
TEST(process_create, only_a_process_can_ask_for_a_link_or_a_monitor) {
  otp::runtime rt({.workers = 2});
  rt.start();
  EXPECT_THROW(rt.spawn([] {}, {.link = true}), otp::bad_argument);
  EXPECT_THROW(rt.spawn([] {}, {.monitor = true}), otp::bad_argument);
  EXPECT_EQ(rt.counters().spawned, 0u);
  EXPECT_THROW(otp::spawn([] {}), otp::bad_argument) << "and a thread of no runtime cannot spawn at all";
}

// covers: PROC-007
TEST(process_create, a_monitor_made_by_spawn_takes_the_options_of_any_monitor) {
  everywhere(10, [] {
    // A tag of its own.
    auto tagged = otp::spawn({.monitor = true, .monitoring = {.tag = "worker gone"}}, [] { otp::exit(1); });
    otp::down d = next<otp::down>();
    EXPECT_EQ(d.reference, tagged.monitor);
    EXPECT_EQ(d.tag, otp::term("worker gone"));
    EXPECT_EQ(d.reason, otp::exit_reason(1));

    // The reference as an alias: until the first message through it, and then the monitor is gone too.
    auto worker = [] { otp::receive([](otp::ref& to) { otp::send(to, 1), otp::send(to, 2); }); };
    auto reply = otp::spawn({.monitor = true, .monitoring = {.alias = otp::alias_mode::reply}}, worker);
    otp::send(reply.pid, reply.monitor);
    EXPECT_EQ(next<int>(), 1);
    end_of(reply.pid);
    EXPECT_TRUE(mailbox_empty()) << "neither the second message nor a down";

    // Until the monitor fires.
    auto once = otp::spawn({.monitor = true, .monitoring = {.alias = otp::alias_mode::demonitor}}, worker);
    otp::send(once.pid, once.monitor);
    EXPECT_EQ(next<int>(), 1);
    EXPECT_EQ(next<int>(), 2);
    EXPECT_EQ(reason_of(once.monitor), normal);
    otp::send(once.monitor, 3);
    EXPECT_TRUE(mailbox_empty());

    // Until it is shut off.
    auto lasting = otp::spawn({.monitor = true, .monitoring = {.alias = otp::alias_mode::explicit_unalias}}, [] {});
    EXPECT_EQ(reason_of(lasting.monitor), normal);
    otp::send(lasting.monitor, 4);
    EXPECT_EQ(next<int>(), 4);
    EXPECT_TRUE(otp::unalias(lasting.monitor));
  });
}

// covers: PROC-008
TEST(process_create, a_new_process_takes_nothing_over_from_its_parent) {
  everywhere(5, [] {
    otp::trap_exit(true);
    otp::set_priority(otp::priority::high);
    otp::register_name("parent", otp::self());
    otp::put("key", 1);
    otp::set_label("the parent");
    otp::pid other = sleeper();
    otp::link(other);
    auto look = [owner = otp::self()] {
      otp::send(owner, *otp::info(otp::self()));
      rest();
    };
    auto check = [&](std::vector<otp::pid> links) {
      auto fresh = next<otp::process_info>();
      EXPECT_FALSE(fresh.trap_exit);
      EXPECT_EQ(fresh.priority, otp::priority::normal);
      EXPECT_EQ(fresh.links, links);
      EXPECT_TRUE(fresh.monitors.empty());
      EXPECT_TRUE(fresh.name.empty());
      EXPECT_TRUE(fresh.label.empty());
      EXPECT_TRUE(fresh.dictionary.empty());
      EXPECT_EQ(fresh.message_queue_len, 0u);
    };
    otp::spawn(look);
    check({});
    otp::spawn_link(look);
    check({otp::self()});
    otp::spawn_monitor(look);
    check({});
    // What is asked for is there from the first step on.
    otp::spawn({.priority = otp::priority::low, .trap_exit = true, .label = "mine"},
               [owner = otp::self()] { otp::send(owner, *otp::info(otp::self())); });
    auto asked = next<otp::process_info>();
    EXPECT_TRUE(asked.trap_exit);
    EXPECT_EQ(asked.priority, otp::priority::low);
    EXPECT_EQ(asked.label, "mine");
    otp::unregister_name("parent");
  });
}

// covers: PROC-009
TEST(process_create, a_new_process_has_the_group_leader_of_the_one_that_spawned_it) {
  everywhere(5, [] {
    auto leader_of_child = [] {
      otp::pid child = otp::spawn([owner = otp::self()] { otp::send(owner, otp::group_leader()); });
      static_cast<void>(child);
      return next<otp::pid>();
    };
    EXPECT_EQ(leader_of_child(), otp::group_leader());
    otp::pid leader = sleeper();
    otp::set_group_leader(leader, otp::self());
    EXPECT_EQ(otp::group_leader(), leader);
    EXPECT_EQ(leader_of_child(), leader);
    // A grandchild too; and a later change of the parent's leader does not reach the child.
    otp::spawn([owner = otp::self()] {
      otp::spawn([owner] {
        otp::send(owner, otp::group_leader());
        otp::receive([](int) {});
        otp::send(owner, otp::group_leader());
      });
      rest();
    });
    EXPECT_EQ(next<otp::pid>(), leader);
  });
}

// covers: PROC-010
TEST(process_create, a_pid_is_not_given_out_again) {
  auto body = [] {
    std::set<otp::pid> all;
    otp::pid first = otp::spawn([] {});
    all.insert(first);
    end_of(first);
    // More processes than there are places in the table, alive in turns of 50.
    for (int turn = 0; turn < 400; ++turn) {
      std::vector<otp::ref> these;
      for (int i = 0; i < 50; ++i) {
        auto made = otp::spawn_monitor([] {});
        ASSERT_TRUE(all.insert(made.pid).second) << made.pid.to_string() << " came twice";
        these.push_back(made.monitor);
      }
      for (otp::ref r : these) ASSERT_EQ(reason_of(r), normal);
      ASSERT_FALSE(otp::is_alive(first));
    }
    EXPECT_EQ(end_of(first), noproc);
  };
  seeded(body, 1, {.max_processes = 100});
  EXPECT_EQ(threaded(body, {.workers = 3, .max_processes = 2000}), normal);
}

// covers: PROC-011
TEST(process_create, a_process_knows_who_spawned_it) {
  everywhere(5, [] {
    EXPECT_FALSE(otp::parent()) << "nobody spawned the first one";
    EXPECT_FALSE(otp::info(otp::self())->parent);
    otp::pid me = otp::self();
    otp::pid child = otp::spawn([me] {
      otp::send(me, otp::parent());
      otp::pid grandchild = otp::spawn([me] {
        otp::send(me, otp::parent());
        rest();
      });
      otp::send(me, std::pair(otp::self(), grandchild));
      otp::receive([](int) {});
    });
    EXPECT_EQ(next<otp::pid>(), me);
    EXPECT_EQ(next<otp::pid>(), child);
    otp::pid grandchild = next<std::pair<otp::pid, otp::pid>>().second;
    EXPECT_EQ(otp::info(child)->parent, me);
    EXPECT_EQ(otp::info(grandchild)->parent, child);
    otp::send(child, 1);
    end_of(child);
    EXPECT_EQ(otp::info(grandchild)->parent, child) << "also when the parent is gone";
  });
}
