// Supervised tasks.
#include "conformance/task_support.hpp"

#include <otp/async_stream.hpp>

using namespace conformance;

namespace {

constexpr otp::name<otp::task_supervisor> background{"background"};

otp::server<otp::task_supervisor> start(otp::task_supervisor_spec spec = {}) {
  return otp::task_supervisor::start_link(spec).value();
}
template <class T>
auto nolink_on_go(otp::server<otp::task_supervisor> sup, T value, otp::task_options how = {}) {
  return otp::async_nolink(sup, how, [value] {
    wait_for_go();
    return value;
  });
}
int plus(int a, int b) { return a + b; }
bool linked(otp::pid a, otp::pid b) {
  auto mine = otp::info(a).value();
  return std::count(mine.links.begin(), mine.links.end(), b) == 1;
}

}  // namespace

// covers: TASK-084
TEST(task_supervisor, it_can_be_supervised_and_named) {
  for_seeds(10, [] {
    otp::trap_exit(true);
    EXPECT_EQ(otp::child_task_supervisor(background).id(), otp::child_id("background"));
    EXPECT_EQ(otp::child_task_supervisor().id(), otp::child_id("otp::task_supervisor"));
    auto top =
        otp::supervisor::start_link({.strategy = otp::one_for_one,
                                     .children = {otp::child_task_supervisor(background),
                                                  otp::child_task_supervisor({.name = otp::global("everywhere")}),
                                                  otp::child_task_supervisor()}})
            .value();
    EXPECT_EQ(otp::supervisor::count_children(top).supervisors, 3U);
    EXPECT_EQ(otp::await(otp::async(background, [] { return 1; })), 1);
    EXPECT_EQ(otp::await(otp::async_nolink(otp::global<otp::task_supervisor>("everywhere"), [] { return 2; })), 2);
    EXPECT_EQ(otp::task_supervisor::start_link({}, {.name = background}).error(), otp::reason::already_started);
    otp::supervisor::stop(top);
    auto why = exit_of([] { return otp::async_nolink(background, [] { return 1; }); });
    EXPECT_EQ(why->cause(), noproc);
    // bug: the failed call was told to be a request to a supervisor, and not what the caller had called
    EXPECT_EQ(why->call()->function, "async_nolink");
    why = exit_of([] { return otp::async<plus>(background, 1, 2); });
    EXPECT_EQ(why->cause(), noproc);
    EXPECT_NE(why->to_string().find("async(\"background\", "), std::string::npos) << why->to_string();
    EXPECT_NE(why->to_string().find("plus/2"), std::string::npos) << why->to_string();
    why = exit_of([] { return otp::task_supervisor::start_child<plus>(background, 1, 2); });
    EXPECT_EQ(why->cause(), noproc);
    EXPECT_EQ(why->call()->function, "start_child");
    EXPECT_NE(why->to_string().find("plus/2"), std::string::npos) << why->to_string();
  });
}

// covers: TASK-085 TASK-002
TEST(task_supervisor, async_starts_a_child_that_is_linked_to_the_caller_too) {
  everywhere(20, [] {
    auto sup = start();
    auto t = otp::async(
        sup,
        [](int n) {
          wait_for_go();
          return n + 1;
        },
        4);
    EXPECT_TRUE(linked(otp::self(), t.pid()));
    EXPECT_TRUE(linked(sup, t.pid()));
    EXPECT_EQ(otp::task_supervisor::children(sup), std::vector{t.pid()});
    EXPECT_EQ(otp::info(t.pid())->type, t.function());
    otp::send(t.pid(), go{});
    EXPECT_EQ(otp::await(t, otp::infinity), 5);
    auto moves = otp::async(sup, [p = std::make_unique<int>(3)]() mutable { return std::move(p); });
    EXPECT_EQ(*otp::await(moves, otp::infinity), 3);
    EXPECT_EQ(ends_with([sup] {
                auto failing = otp::async(sup, [] { otp::exit("broken"); });
                otp::sleep(otp::infinity);
              }),
              "broken");
    // The other way round.
    otp::pid me = otp::self();
    otp::pid owner = otp::spawn([sup, me] {
      auto mine = otp::async(sup, [] { wait_for_go(); });
      otp::send(me, mine.pid());
      otp::sleep(otp::infinity);
    });
    otp::ref r = otp::monitor(next<otp::pid>());
    otp::exit(owner, "gone");
    EXPECT_EQ(reason_of(r), "gone");
    EXPECT_TRUE(otp::is_alive(sup));
  });
}

// covers: TASK-086 TASK-101
TEST(task_supervisor, async_nolink_does_not_hurt_the_caller) {
  everywhere(20, [] {
    auto sup = start();
    auto t = nolink_on_go(sup, 5);
    EXPECT_FALSE(linked(otp::self(), t.pid()));
    EXPECT_TRUE(linked(sup, t.pid()));
    otp::send(t.pid(), go{});
    EXPECT_EQ(otp::await(t, otp::infinity), 5);
    auto failing = otp::async_nolink(sup, [] { otp::exit("broken"); });
    EXPECT_EQ(otp::yield(failing, otp::infinity)->error(), "broken");
    auto raising = otp::async_nolink(sup, []() -> int { throw std::runtime_error("raised"); });
    static_cast<void>(end_of(raising.pid()));
    EXPECT_EQ(otp::shutdown(raising)->error(), otp::reason::error("std::runtime_error", "raised"));
    auto told = otp::async_nolink(sup, [] { otp::exit("told"); });
    EXPECT_EQ(reason_of(told.reference()), "told");
    auto awaited = otp::async_nolink(sup, [] { otp::exit("awaited"); });
    EXPECT_EQ(exit_of([&] { return otp::await(awaited, otp::infinity); })->cause(), "awaited");
    // Its caller may end before it.
    otp::pid me = otp::self();
    otp::spawn([sup, me] {
      auto mine = otp::async_nolink(sup, [me] {
        wait_for_go();
        otp::send(me, go{});
      });
      otp::send(me, mine.pid());
      otp::exit("gone");
    });
    otp::send(next<otp::pid>(), go{});
    wait_for_go();
  });
}

// covers: TASK-088 TASK-089
TEST(task_supervisor, it_lists_counts_and_ends_its_tasks) {
  for_seeds(20, [] {
    auto sup = start();
    EXPECT_TRUE(otp::task_supervisor::children(sup).empty());
    auto a = nolink_on_go(sup, 1);
    auto b = nolink_on_go(sup, 2);
    EXPECT_EQ(otp::task_supervisor::children(sup), (std::vector{b.pid(), a.pid()}));
    auto counts = otp::task_supervisor::count_children(sup);
    EXPECT_EQ(counts.active, 2U);
    EXPECT_EQ(counts.specs, 2U);
    EXPECT_EQ(counts.workers, 2U);
    EXPECT_EQ(counts.supervisors, 0U);
    otp::send(a.pid(), go{});
    EXPECT_EQ(otp::await(a), 1);
    otp::testing::settle();
    EXPECT_EQ(otp::task_supervisor::children(sup), std::vector{b.pid()});
    EXPECT_TRUE(otp::task_supervisor::terminate_child(sup, b.pid()).has_value());
    EXPECT_EQ(otp::yield(b, 0s)->error(), shutdown);
    EXPECT_EQ(otp::task_supervisor::terminate_child(sup, b.pid()).error(), otp::reason::not_found);
    EXPECT_EQ(otp::task_supervisor::terminate_child(sup, otp::self()).error(), otp::reason::not_found);
    EXPECT_TRUE(otp::task_supervisor::children(sup).empty());
  });
}

// covers: TASK-090
TEST(task_supervisor, at_its_limit_async_exits_the_caller_and_start_child_says_so) {
  everywhere(10, [] {
    auto sup = start({.max_children = 1});
    auto one = nolink_on_go(sup, 1);
    auto full = [&](auto function) {
      auto why = exit_of(function);
      ASSERT_TRUE(why);
      EXPECT_EQ(why->cause(), otp::reason::max_children);
      EXPECT_NE(why->call()->server.find(sup.to_string()), std::string::npos);
    };
    full([&] { return otp::async(sup, [] { return 1; }); });
    full([&] { return otp::async_nolink(sup, [] { return 1; }); });
    EXPECT_EQ(otp::task_supervisor::start_child(sup, [] {}).error(), otp::reason::max_children);
    otp::send(one.pid(), go{});
    otp::await(one);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: TASK-092 TASK-009 TASK-010 TASK-011
TEST(task_supervisor, start_child_starts_one_that_answers_nobody) {
  everywhere(10, [] {
    auto sup = start();
    otp::pid me = otp::self();
    auto body = [me, sup = sup.pid()] {
      EXPECT_EQ(otp::callers(), std::vector{me});
      EXPECT_EQ(otp::ancestors().front(), sup);
      otp::send(me, 1);
      wait_for_go();
      otp::exit("gone");
    };
    otp::pid child = otp::task_supervisor::start_child(sup, body).value();
    EXPECT_EQ(next<int>(), 1);
    EXPECT_FALSE(linked(me, child));
    EXPECT_TRUE(linked(sup, child));
    EXPECT_EQ(otp::info(child)->type, otp::detail::type_name<decltype(body)>);
    otp::ref r = otp::monitor(child);
    otp::send(child, go{});
    EXPECT_EQ(reason_of(r), "gone");
    // An awaited one as well.
    auto t = otp::async_nolink(sup, [me, sup = sup.pid()] {
      EXPECT_EQ(otp::callers(), std::vector{me});
      EXPECT_EQ(otp::ancestors().front(), sup);
      auto inner = otp::async([self = otp::self(), me] { return otp::callers() == std::vector{self, me}; });
      return otp::await(inner, otp::infinity);
    });
    EXPECT_TRUE(otp::await(t, otp::infinity));
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: TASK-093 TASK-094
TEST(task_supervisor, start_child_restarts_as_it_was_told_with_the_same_function) {
  for_seeds(10, [] {
    auto runs = [](otp::restart_type restart, bool well) {
      auto sup = start({.max_restarts = 100});
      journal log;
      auto body = [log, well, n = 0]() mutable {
        log.add("run " + std::to_string(++n));  // what it changes is its own copy
        wait_for_go();
        if (!well) otp::exit("badly");
      };
      otp::pid first = otp::task_supervisor::start_child(sup, body, {.restart = restart}).value();
      otp::testing::settle();
      otp::send(first, go{});
      otp::testing::settle();
      return log.take();
    };
    strings once{"run 1"}, again{"run 1", "run 1"};
    EXPECT_EQ(runs(otp::temporary, true), once);
    EXPECT_EQ(runs(otp::temporary, false), once);
    EXPECT_EQ(runs(otp::transient, true), once);
    EXPECT_EQ(runs(otp::transient, false), again);
    EXPECT_EQ(runs(otp::permanent, true), again);
    EXPECT_EQ(runs(otp::permanent, false), again);
    EXPECT_EQ(otp::task_child_options().restart, otp::temporary);
  });
}

// covers: TASK-094
TEST(task_supervisor, start_child_takes_arguments_and_gives_them_to_each_run) {
  for_seeds(10, [] {
    journal log;
    auto sup = start({.max_restarts = 100});
    auto body = [](journal to, std::string text) {
      to.add(text);
      text += " and more";  // its own copy
      wait_for_go();
      otp::exit("badly");
    };
    otp::task_supervisor::start_child(sup, body, log, "plain").value();
    otp::testing::settle();
    EXPECT_EQ(log.take(), strings{"plain"});
    otp::pid first =
        otp::task_supervisor::start_child(sup, {.restart = otp::transient}, body, log, std::string("again")).value();
    otp::testing::settle();
    otp::send(first, go{});
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"again", "again"}));
    // A function that cannot be copied is shared.
    otp::task_supervisor::start_child(
        sup, [owned = std::make_unique<int>(4)](const journal& to, int n) { to.add(std::to_string(*owned + n)); }, log,
        3)
        .value();
    otp::task_supervisor::start_child<plus>(sup, 1, 2).value();
    otp::testing::settle();
    EXPECT_EQ(log.take(), strings{"7"});
  });
}

// covers: TASK-095
TEST(task_supervisor, awaited_tasks_are_never_restarted) {
  for_seeds(10, [] {
    auto sup = start();
    journal log;
    for (int i = 0; i < 10; ++i) {
      auto t = otp::async_nolink(sup, [log] {
        log.add("run");
        otp::exit("badly");
      });
      EXPECT_EQ(otp::yield(t, otp::infinity)->error(), "badly");
    }
    otp::testing::settle();
    EXPECT_EQ(log.take().size(), 10U);
    EXPECT_TRUE(otp::is_alive(sup));
    EXPECT_TRUE(otp::task_supervisor::children(sup).empty());
  });
}

// covers: TASK-096 TASK-097 TASK-099
TEST(task_supervisor, when_it_stops_its_tasks_have_their_time) {
  for_seeds(20, [] {
    otp::trap_exit(true);
    EXPECT_EQ(otp::task_options().shutdown, otp::shutdown_time(5s));
    EXPECT_EQ(otp::task_child_options().shutdown, otp::shutdown_time(5s));
    EXPECT_EQ(otp::stream_options().shutdown, otp::shutdown_time(5s));
    auto sup = start();
    auto stays = [] {
      otp::trap_exit(true);
      otp::sleep(otp::infinity);
    };
    auto polite = nolink_on_go(sup, 1);
    auto long_one = otp::async_nolink(sup, stays);
    auto short_one = otp::async_nolink(sup, {.shutdown = 100ms}, stays);
    auto brutal = nolink_on_go(sup, 1, {.shutdown = otp::brutal_kill});
    otp::ref child =
        otp::monitor(otp::task_supervisor::start_child(sup, stays, {.shutdown = otp::brutal_kill}).value());
    otp::testing::settle();
    otp::instant start = otp::now();
    otp::exit(sup.pid(), shutdown);
    EXPECT_EQ(otp::yield(polite, otp::infinity)->error(), shutdown);
    EXPECT_EQ(otp::yield(brutal, otp::infinity)->error(), killed);
    EXPECT_EQ(reason_of(child), killed);
    EXPECT_EQ(otp::now(), start);
    EXPECT_EQ(otp::yield(short_one, otp::infinity)->error(), killed);
    EXPECT_EQ(otp::now() - start, 100ms);
    EXPECT_EQ(otp::yield(long_one, otp::infinity)->error(), killed);
    EXPECT_EQ(otp::now() - start, 5s);
  });
}

// A task whose owner is killed before it could send it its function must not wait for ever.
TEST(task_supervisor, an_owner_that_is_killed_while_it_starts_a_task_leaves_none) {
  for_seeds(200, [] {
    auto sup = start();
    otp::pid owner = otp::spawn([sup] {
      auto t = otp::async_nolink(sup, [] { return 1; });
      otp::sleep(otp::infinity);
    });
    for (unsigned i = 0; i < otp::testing::seed() % 7; ++i) otp::yield();
    otp::exit(owner, otp::reason::kill);
    otp::testing::settle();
    EXPECT_TRUE(otp::task_supervisor::children(sup).empty());
  });
}

// A message that reaches the process before its function does is the function's.
TEST(task_supervisor, messages_before_the_function_stay_for_it) {
  for_seeds(10, [] {
    auto sup = start();
    otp::spawn_link([sup] {
      for (;;) {
        for (otp::pid child : otp::task_supervisor::children(sup)) {
          otp::send(child, 7);
          otp::exit(normal);
        }
        otp::yield();
      }
    });
    auto t = otp::async_nolink(sup, [] { return next<int>(); });
    EXPECT_EQ(otp::await(t, otp::infinity), 7);
  });
}
