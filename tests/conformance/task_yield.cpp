// Tasks: yield, yield_many, ignore, shutdown, and handles that are dropped.
#include "conformance/task_support.hpp"

using namespace conformance;

namespace {

/// Waits until the process has ended, and its owner has what it sent.
void let_end(otp::pid task) {
  static_cast<void>(end_of(task));
  otp::testing::settle();
}
otp::task<int> ending(otp::exit_reason why) {
  return otp::async([why] {
    otp::exit(why);
    return 0;
  });
}
/// A task that takes no notice of `shutdown`.
otp::task<int> stubborn_task() {
  return otp::async([] {
    otp::trap_exit(true);
    for (;;) otp::receive([](const go&) {});
    return 1;
  });
}
bool unwatched(otp::pid task) {
  auto mine = otp::info(otp::self()).value();
  return std::count(mine.links.begin(), mine.links.end(), task) == 0 &&
         std::count(mine.monitors.begin(), mine.monitors.end(), task) == 0;
}

}  // namespace

// covers: TASK-036 TASK-037
TEST(task_yield, it_gives_the_result_the_reason_or_nothing_and_can_be_asked_again) {
  for_seeds(20, [] {
    otp::trap_exit(true);
    auto t = on_go(1);
    otp::instant start = otp::now();
    EXPECT_FALSE(otp::yield(t));
    EXPECT_EQ(otp::now() - start, 5s);
    EXPECT_FALSE(otp::yield(t, 0s));
    EXPECT_FALSE(otp::yield(t, 10ms));
    otp::send(t.pid(), go{});
    EXPECT_EQ(otp::yield(t, otp::infinity)->value(), 1);
    auto awaited = on_go(2);
    EXPECT_FALSE(otp::yield(awaited, 0s));
    otp::send(awaited.pid(), go{});
    EXPECT_EQ(otp::await(awaited), 2);
    auto stopped = on_go(3);
    EXPECT_FALSE(otp::yield(stopped, 0s));
    EXPECT_FALSE(otp::shutdown(stopped));
    auto well = ending(normal);
    EXPECT_EQ(otp::yield(well, otp::infinity)->error(), normal);
    auto badly = ending("own");
    EXPECT_EQ(otp::yield(badly, otp::infinity)->error(), "own");
    EXPECT_NE(refusal_of([&] { return otp::yield(badly); }).find("already"), std::string::npos);
    while (waiting<otp::exit_signal>()) {
    }
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: TASK-038
TEST(task_yield, with_result_and_down_it_gives_the_result_and_takes_both) {
  for_seeds(20, [] {
    auto t = otp::async([] { return 4; });
    let_end(t.pid());
    EXPECT_EQ(otp::info(otp::self())->message_queue_len, 2U);
    EXPECT_EQ(otp::yield(t, 0s)->value(), 4);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: TASK-039 TASK-049 TASK-061
TEST(task_yield, a_lost_connection_exits_the_caller) {
  seeded([] {
    std::string lost = "{nodedown, \"" + otp::this_node() + "\"}";
    auto cut = [](otp::task<int>& t) {
      otp::send(otp::self(), otp::down{t.reference(), t.pid(), {}, otp::reason::noconnection, {}});
    };
    auto y = on_go(1);
    cut(y);
    auto why = exit_of([&] { return otp::yield(y); });
    EXPECT_EQ(why->cause().to_string(), lost);
    EXPECT_EQ(why->call()->function, "yield");
    auto i = on_go(1);
    cut(i);
    why = exit_of([&] { return otp::ignore(i); });
    EXPECT_EQ(why->cause().to_string(), lost);
    EXPECT_EQ(why->call()->function, "ignore");
    for (otp::shutdown_time how : {otp::shutdown_time(1s), otp::shutdown_time(otp::brutal_kill)}) {
      auto s = on_go(1);
      cut(s);
      why = exit_of([&] { return otp::shutdown(s, how); });
      EXPECT_EQ(why->cause().to_string(), lost);
      EXPECT_EQ(why->call()->function, "shutdown");
    }
  });
}

// covers: TASK-040 TASK-041
TEST(task_yield, yield_many_tells_of_each_in_order_and_leaves_the_late_ones_alone) {
  for_seeds(20, [] {
    otp::trap_exit(true);
    std::vector<otp::task<int>> all;
    all.push_back(otp::async([] { return 1; }));
    all.push_back(on_go(2));
    all.push_back(ending(normal));
    all.push_back(otp::async([] {
      otp::sleep(1s);
      return 4;
    }));
    all.push_back(ending("own"));
    otp::instant start = otp::now();
    auto answers = otp::yield_many(all, {.timeout = 2s});
    EXPECT_EQ(otp::now() - start, 2s);
    ASSERT_EQ(answers.size(), 5U);
    EXPECT_EQ(answers[0]->value(), 1);
    EXPECT_FALSE(answers[1]);
    EXPECT_EQ(answers[2]->error(), normal);
    EXPECT_EQ(answers[3]->value(), 4);
    EXPECT_EQ(answers[4]->error(), "own");
    EXPECT_TRUE(otp::is_alive(all[1].pid()));
    otp::send(all[1].pid(), go{});
    EXPECT_EQ(otp::await(all[1]), 2);
    // Together, with types of their own.
    auto text = otp::async([] { return std::string("t"); });
    auto late = on_go(1.5);
    auto [a, b] = otp::yield_many(1s, text, late);
    EXPECT_EQ(a->value(), "t");
    EXPECT_FALSE(b);
    std::vector<otp::task<int>> two;
    two.push_back(on_go(1));
    start = otp::now();
    EXPECT_FALSE(otp::yield_many(two)[0]);
    EXPECT_EQ(otp::now() - start, 5s);
    otp::send(two[0].pid(), go{});
    EXPECT_EQ(otp::yield_many(two, {.timeout = otp::infinity})[0]->value(), 1);
  });
}

// covers: TASK-042
TEST(task_yield, late_tasks_can_be_killed_or_ignored) {
  for_seeds(10, [] {
    for (auto how : {otp::late_tasks::kill_task, otp::late_tasks::ignore}) {
      std::vector<otp::task<int>> all;
      all.push_back(otp::async([] { return 1; }));
      all.push_back(stubborn_task());
      auto answers = otp::yield_many(all, {.timeout = 100ms, .on_timeout = how});
      EXPECT_EQ(answers[0]->value(), 1);
      EXPECT_FALSE(answers[1]);
      otp::testing::settle();
      EXPECT_EQ(otp::is_alive(all[1].pid()), how == otp::late_tasks::ignore);
      EXPECT_TRUE(unwatched(all[1].pid()));
      EXPECT_TRUE(mailbox_empty());
      EXPECT_FALSE(all[1]);
    }
    std::vector<otp::task<int>> none;
    EXPECT_NE(refusal_of([&] {
                return otp::yield_many(none, {.on_timeout = static_cast<otp::late_tasks>(9)});
              }).find("on_timeout"),
              std::string::npos);
    EXPECT_NE(refusal_of([&] { return otp::yield_many(none, {.timeout = -1s}); }).find("timeout"), std::string::npos);
    EXPECT_NE(refusal_of([&] { return otp::yield_many(none, {.limit = 0}); }).find("limit"), std::string::npos);
  });
}

// covers: TASK-044
TEST(task_yield, a_limit_makes_yield_many_return_when_so_many_are_decided) {
  for_seeds(20, [] {
    otp::trap_exit(true);
    for (std::size_t size : {4U, 30U}) {
      std::vector<otp::task<int>> all;
      for (std::size_t i = 0; i + 2 < size; ++i) all.push_back(on_go(1));
      all.push_back(otp::async([] {
        otp::sleep(1s);
        return 2;
      }));
      all.push_back(ending("own"));
      otp::instant start = otp::now();
      auto answers = otp::yield_many(all, {.timeout = otp::infinity, .limit = 2});
      EXPECT_EQ(otp::now() - start, 1s);
      EXPECT_EQ(std::count_if(answers.begin(), answers.end(), [](auto& a) { return a.has_value(); }), 2);
      EXPECT_EQ(answers[size - 2]->value(), 2);
      EXPECT_EQ(answers[size - 1]->error(), "own");
      start = otp::now();
      all.erase(all.end() - 2, all.end());
      otp::send(all[0].pid(), go{});
      otp::testing::settle();
      EXPECT_EQ(otp::yield_many(all, {.timeout = otp::infinity, .limit = 1})[0]->value(), 1);
      EXPECT_EQ(otp::now(), start);
      for (std::size_t i = 1; i < all.size(); ++i) static_cast<void>(otp::shutdown(all[i], otp::brutal_kill));
    }
  });
}

// bug: with a limit, what was to happen when the time is over happened when the limit was reached
// covers: TASK-042 TASK-044
TEST(task_yield, at_the_limit_nothing_happens_to_the_others) {
  for_seeds(10, [] {
    for (auto how : {otp::late_tasks::kill_task, otp::late_tasks::ignore}) {
      auto after = [](otp::duration time) {
        return otp::async([time] {
          otp::sleep(time);
          return 1;
        });
      };
      std::vector<otp::task<int>> all;
      for (otp::duration time : {1s, 2s, 30s}) all.push_back(after(time));
      otp::instant start = otp::now();
      auto answers = otp::yield_many(all, {.timeout = 10s, .on_timeout = how, .limit = 1});
      EXPECT_EQ(otp::now() - start, 1s);
      EXPECT_EQ(answers[0]->value(), 1);
      EXPECT_FALSE(answers[1] || answers[2]);
      EXPECT_TRUE(all[1] && all[2]);
      EXPECT_TRUE(otp::is_alive(all[1].pid()) && otp::is_alive(all[2].pid()));
      // With types of their own. Here the time is over first.
      auto [a, b] = otp::yield_many({.timeout = 10s, .on_timeout = how, .limit = 2}, all[1], all[2]);
      EXPECT_EQ(otp::now() - start, 11s);
      EXPECT_EQ(a->value(), 1);
      EXPECT_FALSE(b);
      EXPECT_FALSE(all[2]);
      EXPECT_EQ(otp::is_alive(all[2].pid()), how == otp::late_tasks::ignore);
    }
  });
}

// bug: more were told than the limit, if more were ready
// covers: TASK-044
TEST(task_yield, of_those_that_are_ready_no_more_are_told_than_the_limit) {
  for_seeds(10, [] {
    auto told = [](auto& answers) {
      return std::count_if(answers.begin(), answers.end(), [](auto& a) { return a.has_value(); });
    };
    for (int size : {3, 20}) {
      std::vector<otp::task<int>> all;
      for (int i = 0; i < size; ++i)
        all.push_back(otp::async([=] {
          otp::sleep((size - i) * 1s);
          return i;
        }));
      otp::sleep(1min);
      // The first to end are the last of the list.
      auto answers = otp::yield_many(all, {.timeout = 0s, .on_timeout = otp::late_tasks::kill_task, .limit = 2});
      EXPECT_EQ(told(answers), 2);
      EXPECT_EQ(answers[static_cast<std::size_t>(size) - 1]->value(), size - 1);
      EXPECT_EQ(answers[static_cast<std::size_t>(size) - 2]->value(), size - 2);
      EXPECT_EQ(otp::info(otp::self())->message_queue_len, 2 * static_cast<std::size_t>(size - 2));
      all.resize(static_cast<std::size_t>(size) - 2);
      EXPECT_EQ(otp::yield_many(all, {.limit = SIZE_MAX}).front()->value(), 0);
      EXPECT_TRUE(mailbox_empty());
    }
    std::vector<otp::task<int>> there;
    for (int i = 0; i < 3; ++i) there.push_back(otp::completed(i));
    there.push_back(on_go(3));
    auto answers = otp::yield_many(there, {.on_timeout = otp::late_tasks::kill_task, .limit = 2});
    EXPECT_EQ(told(answers), 2);
    EXPECT_TRUE(answers[0] && answers[1]);
    EXPECT_TRUE(there[2] && there[3]);
    EXPECT_EQ(otp::await(there[2]), 2);
    EXPECT_FALSE(otp::shutdown(there[3]));
  });
}

// covers: TASK-047
TEST(task_ignore, it_unlinks_and_stops_watching_and_tells_what_has_come) {
  for_seeds(20, [] {
    otp::trap_exit(true);
    auto late = on_go(1);
    EXPECT_FALSE(otp::ignore(late));
    EXPECT_TRUE(unwatched(late.pid()));
    EXPECT_FALSE(otp::ignore(late));
    otp::send(late.pid(), go{});
    auto fails_late = otp::async([] {
      wait_for_go();
      otp::exit("late");
    });
    EXPECT_FALSE(otp::ignore(fails_late));
    otp::send(fails_late.pid(), go{});
    otp::testing::settle();
    EXPECT_TRUE(mailbox_empty());  // neither result nor exit
    auto on_time = otp::async([] { return 2; });
    otp::testing::settle();
    EXPECT_EQ(otp::ignore(on_time)->value(), 2);
    auto failed = ending("own");
    otp::testing::settle();
    EXPECT_EQ(otp::ignore(failed)->error(), "own");
    while (waiting<otp::exit_signal>()) {
    }
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: TASK-050 TASK-051 TASK-059
TEST(task_shutdown, it_asks_waits_and_kills) {
  for_seeds(20, [] {
    journal log;
    auto t = otp::async([log] {
      otp::trap_exit(true);
      auto s = next<otp::exit_signal>();
      log.add(s.reason.to_string());
      otp::sleep(1s);  // it has something to finish
      otp::exit(s.reason);
    });
    otp::testing::settle();
    otp::instant start = otp::now();
    EXPECT_FALSE(otp::shutdown(t));
    EXPECT_EQ(otp::now() - start, 1s);
    EXPECT_EQ(log.take(), strings{"shutdown"});
    EXPECT_TRUE(unwatched(t.pid()));
    auto plain = on_go(1);
    EXPECT_FALSE(otp::shutdown(plain));
    auto stubborn = stubborn_task();
    otp::testing::settle();
    start = otp::now();
    EXPECT_EQ(otp::shutdown(stubborn)->error(), killed);
    EXPECT_EQ(otp::now() - start, 5s);
    EXPECT_FALSE(otp::is_alive(stubborn.pid()));
    auto other = stubborn_task();
    otp::testing::settle();
    start = otp::now();
    EXPECT_EQ(otp::shutdown(other, 20ms)->error(), killed);
    EXPECT_EQ(otp::now() - start, 20ms);
    // It had been asked to by somebody else.
    otp::trap_exit(true);
    auto ended = on_go(1);
    otp::exit(ended.pid(), shutdown);
    otp::testing::settle();
    EXPECT_FALSE(otp::shutdown(ended));
    EXPECT_EQ(next<otp::exit_signal>().from, ended.pid());
    EXPECT_TRUE(mailbox_empty());
    auto wrong = otp::completed(1);
    auto running = on_go(1);
    EXPECT_NE(refusal_of([&] { return otp::shutdown(running, -1s); }).find("timeout"), std::string::npos);
  });
}

// bug: a polite shutdown that had to kill told nothing, as if the task had ended when it was asked to
// covers: TASK-050 TASK-053
TEST(task_shutdown, one_that_had_to_be_killed_is_told_from_one_that_ended_as_asked) {
  for_seeds(20, [] {
    auto stubborn = otp::async([] {
      otp::trap_exit(true);
      otp::sleep(1h);
      return 1;
    });
    otp::testing::settle();
    EXPECT_EQ(otp::shutdown(stubborn, 1s)->error(), killed);
    auto willing = otp::async([] {
      otp::trap_exit(true);
      otp::exit(next<otp::exit_signal>().reason);
    });
    otp::testing::settle();
    EXPECT_FALSE(otp::shutdown(willing, 1s));
    EXPECT_FALSE(otp::shutdown(on_go(1), 1s));
    EXPECT_TRUE(mailbox_empty());
    EXPECT_EQ(otp::process_count(), 1U);
  });
}

// covers: TASK-051 TASK-053 TASK-054
TEST(task_shutdown, an_end_that_it_did_not_cause_is_told) {
  for_seeds(20, [] {
    otp::trap_exit(true);
    auto told = [](otp::exit_reason why, otp::shutdown_time how) {
      auto t = ending(why);
      otp::testing::settle();
      return otp::shutdown(t, how);
    };
    EXPECT_EQ(told("own", 5s)->error(), "own");
    EXPECT_EQ(told(normal, 5s)->error(), normal);
    EXPECT_FALSE(told(shutdown, 5s));
    EXPECT_EQ(told(shutdown("x"), 5s)->error(), shutdown("x"));
    auto killed_before = on_go(1);
    otp::exit(killed_before.pid(), otp::reason::kill);
    otp::testing::settle();
    EXPECT_EQ(otp::shutdown(killed_before)->error(), killed);
    auto killed_meanwhile = stubborn_task();
    otp::testing::settle();
    otp::kill_after(1s, killed_meanwhile.pid());
    EXPECT_EQ(otp::shutdown(killed_meanwhile)->error(), killed);
    // A result that has come counts more than the end.
    auto done = otp::async([] { return 3; });
    otp::testing::settle();
    EXPECT_EQ(otp::shutdown(done)->value(), 3);
    while (waiting<otp::exit_signal>()) {
    }
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: TASK-056 TASK-057
TEST(task_shutdown, brutal_kill_kills_at_once) {
  for_seeds(20, [] {
    auto stubborn = stubborn_task();
    otp::testing::settle();
    otp::instant start = otp::now();
    EXPECT_FALSE(otp::shutdown(stubborn, otp::brutal_kill));
    EXPECT_EQ(otp::now(), start);
    EXPECT_FALSE(otp::is_alive(stubborn.pid()));
    otp::trap_exit(true);
    auto told = [](otp::exit_reason why) {
      auto t = ending(why);
      otp::testing::settle();
      return otp::shutdown(t, otp::brutal_kill);
    };
    EXPECT_EQ(told(shutdown)->error(), shutdown);
    EXPECT_EQ(told(normal)->error(), normal);
    EXPECT_EQ(told("own")->error(), "own");
    auto killed_before = on_go(1);
    otp::exit(killed_before.pid(), otp::reason::kill);
    otp::testing::settle();
    EXPECT_FALSE(otp::shutdown(killed_before, otp::brutal_kill));
    auto done = otp::async([] { return 3; });
    otp::testing::settle();
    EXPECT_EQ(otp::shutdown(done, otp::brutal_kill)->value(), 3);
    while (waiting<otp::exit_signal>()) {
    }
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: TASK-058
TEST(task_shutdown, one_whose_result_was_taken_is_no_process_any_more) {
  everywhere(10, [] {
    auto t = otp::async([] { return 1; });
    EXPECT_EQ(otp::await(t), 1);
    static_cast<void>(end_of(t.pid()));
    EXPECT_EQ(otp::shutdown(t)->error(), noproc);
    EXPECT_EQ(otp::shutdown(t, otp::brutal_kill)->error(), noproc);
    // One that was only given up can still be stopped.
    auto late = on_go(1);
    EXPECT_TRUE(exit_of([&] { return otp::await(late, 0s); }));
    EXPECT_FALSE(otp::shutdown(late));
    EXPECT_FALSE(otp::is_alive(late.pid()));
    EXPECT_TRUE(mailbox_empty());
  });
}

// bug: a completed task whose value was taken was called a process that is gone, but it never had one
// covers: TASK-008
TEST(task_shutdown, of_a_completed_task_there_is_its_value_or_nothing) {
  seeded([] {
    auto awaited = otp::completed(1);
    EXPECT_EQ(otp::await(awaited), 1);
    EXPECT_FALSE(otp::shutdown(awaited));
    EXPECT_FALSE(otp::ignore(awaited));
    auto twice = otp::completed(2);
    EXPECT_EQ(otp::shutdown(twice)->value(), 2);
    EXPECT_FALSE(otp::shutdown(twice, otp::brutal_kill));
    EXPECT_EQ(otp::shutdown(otp::completed(3))->value(), 3);
  });
}

// covers: TASK-050
TEST(task_shutdown, yield_or_shutdown_gives_one_answer) {
  for_seeds(10, [] {
    otp::trap_exit(true);
    auto quick = otp::async([] { return 1; });
    EXPECT_EQ(otp::yield_or_shutdown(quick, 1s).value(), 1);
    auto slow = stubborn_task();
    EXPECT_EQ(otp::yield_or_shutdown(slow, 1s).error(), killed);
    EXPECT_FALSE(otp::is_alive(slow.pid()));
    EXPECT_EQ(otp::yield_or_shutdown(on_go(1), 1s).error(), otp::reason::timeout);
    EXPECT_EQ(otp::yield_or_shutdown(otp::async([] { return 1; }), 1s).value(), 1);
    auto failed = ending("own");
    EXPECT_EQ(otp::yield_or_shutdown(failed, 1s).error(), "own");
  });
}

// docs/decisions/0008-tasks.md
TEST(task_dropped, a_dropped_handle_neither_stops_nor_unlinks_and_drops_the_result) {
  for_seeds(20, [] {
    otp::pid task;
    {
      auto t = on_go(1);
      task = t.pid();
    }
    EXPECT_TRUE(otp::is_alive(task));
    auto mine = otp::info(otp::self()).value();
    EXPECT_EQ(std::count(mine.links.begin(), mine.links.end(), task), 1);
    EXPECT_TRUE(mine.monitors.empty());
    otp::send(task, go{});
    otp::testing::settle();
    EXPECT_TRUE(mailbox_empty());
    // One that has come already goes with the handle.
    {
      auto t = otp::async([] { return 1; });
      otp::testing::settle();
      EXPECT_EQ(otp::info(otp::self())->message_queue_len, 2U);
    }
    EXPECT_TRUE(mailbox_empty());
    auto reused = on_go(1);
    otp::pid first = reused.pid();
    reused = on_go(2);
    otp::send(first, go{});
    otp::send(reused.pid(), go{});
    otp::testing::settle();
    EXPECT_EQ(otp::await(reused), 2);
    EXPECT_TRUE(mailbox_empty());
  });
}

TEST(task_dropped, a_handle_can_be_dropped_by_another_process) {
  everywhere(20, [] {
    auto t = on_go(std::string("nobody wants it"));
    auto done = otp::async([] { return 1; });
    static_cast<void>(end_of(done.pid()));
    otp::pid task = t.pid();
    auto other = otp::async([t = std::move(t), d = std::move(done)] {});
    otp::await(other);
    otp::ref r = otp::monitor(task);
    otp::send(task, go{});
    EXPECT_EQ(reason_of(r), normal);
    EXPECT_TRUE(mailbox_empty());
  });
}
