// Tasks: how they start, who they are, and what they send.
#include "conformance/task_support.hpp"

#include <otp/supervisor.hpp>

using namespace conformance;

namespace {

int twice(int n) { return 2 * n; }
std::string joined(const std::string& a, std::string b) { return a + b; }

struct failing {
  std::unique_ptr<int> owned;  // cannot be copied
  int operator()() const { return *owned; }
};

}  // namespace

// covers: TASK-001
TEST(task_start, async_starts_a_linked_and_watched_process_and_knows_who_is_who) {
  everywhere(20, [] {
    auto t = on_go(5);
    EXPECT_TRUE(t);
    EXPECT_EQ(t.owner(), otp::self());
    EXPECT_EQ(t.reference().owner(), otp::self());
    EXPECT_NE(t.pid(), otp::self());
    EXPECT_FALSE(t.function().empty());
    auto mine = otp::info(otp::self()).value();
    EXPECT_EQ(std::count(mine.links.begin(), mine.links.end(), t.pid()), 1);
    EXPECT_EQ(std::count(mine.monitors.begin(), mine.monitors.end(), t.pid()), 1);
    auto its = otp::info(t.pid()).value();
    EXPECT_EQ(std::count(its.monitored_by.begin(), its.monitored_by.end(), otp::self()), 1);
    EXPECT_EQ(std::count(its.links.begin(), its.links.end(), otp::self()), 1);
    otp::send(t.pid(), go{});
    EXPECT_EQ(otp::await(t), 5);
    EXPECT_FALSE(t);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: TASK-002 TASK-011
TEST(task_start, a_function_object_or_a_function_with_arguments) {
  everywhere(5, [] {
    auto object = otp::async([] { return 1; });
    auto pointer = otp::async(twice, 21);
    auto named = otp::async<twice>(21);
    auto two = otp::async<joined>(std::string("a"), "b");
    EXPECT_TRUE(named.function().ends_with("::twice/1")) << named.function();
    EXPECT_NE(two.function().find("joined/2"), std::string_view::npos) << two.function();
    EXPECT_NE(object.function().find("lambda"), std::string_view::npos) << object.function();
    EXPECT_EQ(otp::await_many(otp::infinity, object, pointer, named, two),
              (std::tuple<int, int, int, std::string>(1, 42, 42, "ab")));
    // What is asked about the process tells the user's function as well.
    auto waiting = otp::async<wait_for_go>();
    EXPECT_EQ(otp::info(waiting.pid())->type, waiting.function());
    EXPECT_NE(waiting.function().find("wait_for_go/0"), std::string_view::npos) << waiting.function();
    otp::pid loose = otp::task<>::start([] { wait_for_go(); });
    EXPECT_EQ(otp::info(loose)->type.find("otp::"), std::string::npos) << otp::info(loose)->type;
    otp::send(loose, go{});
    otp::send(waiting.pid(), go{});
    otp::await(waiting);
  });
}

// covers: TASK-003
TEST(task_start, the_owner_gets_the_result_and_then_a_down_with_reason_normal) {
  everywhere(20, [] {
    auto t = otp::async([] { return std::string("done"); });
    otp::ref of = t.reference();
    bool first = true;
    for (int i = 0; i < 2; ++i)
      otp::receive(
          [&](otp::task_result<std::string>& r) {
            EXPECT_TRUE(first);
            first = false;
            EXPECT_EQ(r.reference, of);
            EXPECT_EQ(r.value, "done");
          },
          [&](const otp::down& d) {
            EXPECT_FALSE(first);
            EXPECT_EQ(d.reference, of);
            EXPECT_EQ(d.reason, normal);
          });
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: TASK-003
TEST(task_start, a_server_handles_results_as_messages) {
  struct collector {
    struct sum {
      using reply = std::pair<int, int>;
    };
    using messages = otp::messages<otp::task_result<int>>;
    collector() {
      for (int i = 1; i <= 3; ++i) tasks.push_back(otp::async(twice, i));
    }
    void handle_info(const otp::task_result<int>& r) { total += r.value; }
    void handle_info(const otp::down& d) { ends += d.reason.is_normal(); }
    std::pair<int, int> handle_call(sum) { return {total, ends}; }
    std::vector<otp::task<int>> tasks;
    int total = 0, ends = 0;
  };
  for_seeds(10, [] {
    auto server = otp::gen_server::start_link<collector>().value();
    otp::testing::settle();
    EXPECT_EQ(otp::call(server, typename collector::sum{}), std::pair(12, 3));
  });
}

// covers: TASK-004
TEST(task_start, start_runs_an_unlinked_process_that_answers_nobody) {
  everywhere(10, [] {
    otp::pid me = otp::self();
    otp::pid p = otp::task<>::start([me] {
      wait_for_go();
      otp::send(me, 7);
      return 8;
    });
    EXPECT_TRUE(otp::info(p)->links.empty());
    EXPECT_TRUE(otp::info(p)->monitored_by.empty());
    otp::ref r = otp::monitor(p);
    otp::send(p, go{});
    EXPECT_EQ(next<int>(), 7);
    EXPECT_EQ(reason_of(r), normal);
    EXPECT_TRUE(mailbox_empty());
    // Its failure is nobody's.
    EXPECT_EQ(end_of(otp::task<>::start([](int code) { otp::exit(code); }, 3)), 3);
  });
}

// covers: TASK-005
TEST(task_start, start_link_links_it_to_the_caller) {
  everywhere(10, [] {
    otp::trap_exit(true);
    otp::pid p = otp::task<>::start_link([] {
      wait_for_go();
      otp::exit("gone");
    });
    EXPECT_EQ(otp::info(p)->links, std::vector{otp::self()});
    EXPECT_TRUE(otp::info(p)->monitored_by.empty());
    otp::send(p, go{});
    auto signal = next<otp::exit_signal>();
    EXPECT_EQ(signal.from, p);
    EXPECT_EQ(signal.reason, "gone");
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: TASK-006 TASK-007
TEST(task_start, a_task_can_be_a_child_and_is_temporary_unless_told) {
  for_seeds(10, [] {
    otp::trap_exit(true);
    journal log;
    auto work = [log](const char* name) {
      return [log, name] {
        log.add(name);
        wait_for_go();
        otp::exit("failed");
      };
    };
    otp::child_spec plain = otp::child_task(work("plain"));
    EXPECT_EQ(plain.restart(), otp::temporary);
    EXPECT_EQ(plain.type(), otp::child_type::worker);
    EXPECT_EQ(plain.shutdown(), otp::shutdown_time(5s));
    EXPECT_EQ(otp::child<otp::task<>>(work("same")).id(), plain.id());
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one,
                    .children = {plain, otp::child_task(work("kept")).id("kept").restart(otp::permanent).shutdown(1s),
                                 otp::child_task([log] {
                                   log.add("own start");
                                   otp::sleep(1h);
                                 }).id("third")}})
                   .value();
    // It did not wait for any of the functions.
    auto children = otp::supervisor::which_children(sup);
    ASSERT_EQ(children.size(), 3U);
    otp::testing::settle();
    auto began = log.take();
    std::sort(began.begin(), began.end());
    EXPECT_EQ(began, (strings{"kept", "own start", "plain"}));
    for (auto& child : children) otp::send(child.process, go{});
    otp::testing::settle();
    EXPECT_EQ(log.take(), strings{"kept"});  // again
    EXPECT_EQ(otp::supervisor::which_children(sup).size(), 2U);
    otp::child_spec other = otp::child_task(work("x")).start([] { return otp::task<>::start_link([] {}); });
    EXPECT_TRUE(other.has_start());
  });
}

// covers: TASK-008
TEST(task_start, completed_has_a_result_and_no_process) {
  everywhere(3, [] {
    auto t = otp::completed(std::string("here"));
    EXPECT_FALSE(t.pid());
    EXPECT_TRUE(t);
    EXPECT_EQ(otp::await(t, 0s), "here");
    EXPECT_NE(refusal_of([&] { return otp::await(t); }).find("already"), std::string::npos);
    auto y = otp::completed(2);
    EXPECT_EQ(otp::yield(y, 0s)->value(), 2);
    auto i = otp::completed(3);
    EXPECT_EQ(otp::ignore(i)->value(), 3);
    EXPECT_FALSE(otp::ignore(i));
    auto s = otp::completed(4);
    EXPECT_EQ(otp::shutdown(s)->value(), 4);
    EXPECT_FALSE(otp::shutdown(s));
    auto k = otp::completed(5);
    EXPECT_EQ(otp::shutdown(k, otp::brutal_kill)->value(), 5);
    auto owned = otp::completed(std::make_unique<int>(6));
    EXPECT_EQ(*otp::await(owned), 6);
    auto a = otp::completed(1);
    auto b = otp::async(twice, 1);
    EXPECT_EQ(otp::await_many(otp::infinity, a, b), std::tuple(1, 2));
  });
}

// covers: TASK-009 TASK-010
TEST(task_start, a_task_knows_its_callers_and_its_ancestors) {
  everywhere(10, [] {
    EXPECT_TRUE(otp::callers().empty());
    otp::pid me = otp::self();
    auto outer = otp::async([me] {
      EXPECT_EQ(otp::callers(), std::vector{me});
      EXPECT_EQ(otp::ancestors().front(), me);
      otp::pid self = otp::self();
      auto inner = otp::async([me, self] {
        EXPECT_EQ(otp::callers(), (std::vector{self, me}));
        EXPECT_EQ(otp::ancestors()[0], self);
        EXPECT_EQ(otp::ancestors()[1], me);
      });
      otp::await(inner);
      return self;
    });
    EXPECT_EQ(otp::await(outer), outer.pid());
    otp::task<>::start_link([me] {
      EXPECT_EQ(otp::callers(), std::vector{me});
      otp::send(me, go{});
    });
    wait_for_go();
    // A process that is no task has none of its own.
    otp::spawn_link([me] {
      EXPECT_TRUE(otp::callers().empty());
      EXPECT_EQ(otp::ancestors().front(), me);
      otp::send(me, go{});
    });
    wait_for_go();
  });
}

// covers: TASK-012
TEST(task_start, what_the_function_throws_or_exits_with_is_the_reason) {
  everywhere(5, [] {
    otp::trap_exit(true);
    auto reason_from = [](auto function) {
      auto t = otp::async(std::move(function));
      auto end = otp::yield(t, otp::infinity);
      return end && !*end ? end->error() : otp::exit_reason("it did not end");
    };
    auto thrown = reason_from([]() -> int { throw std::logic_error("wrong turn"); });
    EXPECT_EQ(thrown, otp::reason::error("std::logic_error", "wrong turn"));
    EXPECT_EQ(reason_from([]() -> int { throw 42; }).error_type(), "int");
    EXPECT_EQ(reason_from([] { otp::exit("own"); }), "own");
    EXPECT_EQ(reason_from([] { otp::exit(normal); }), normal);
  });
  // With the place of the throw, where the runtime records it.
  otp::runtime_options recording;
  recording.record_backtraces = true;
  seeded(
      [] {
        otp::trap_exit(true);
        auto t = otp::async([]() -> int { throw std::logic_error("wrong turn"); });
        auto end = otp::yield(t, otp::infinity);
        ASSERT_TRUE(end && !*end);
        ASSERT_NE(end->error().backtrace(), nullptr);
        EXPECT_FALSE(end->error().backtrace()->empty());
      },
      1, recording);
}

// no meaning: TASK-018 (docs/decisions/0002-rows-without-meaning.md)
TEST(task_start, an_empty_function_is_refused_and_starts_nothing) {
  seeded([] {
    std::size_t before = otp::process_count();
    EXPECT_NE(refusal_of([] { return otp::async(std::function<int()>()); }).find("empty"), std::string::npos);
    EXPECT_NE(refusal_of([] { return otp::async(static_cast<int (*)()>(nullptr)); }).find("empty"), std::string::npos);
    EXPECT_NE(refusal_of([] { return otp::task<>::start(std::function<void()>()); }).find("empty"), std::string::npos);
    EXPECT_NE(refusal_of([] { return otp::child_task(std::function<void()>()); }).find("empty"), std::string::npos);
    EXPECT_EQ(otp::process_count(), before);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: TASK-001 TASK-019
TEST(task_start, results_and_functions_that_only_move) {
  everywhere(10, [] {
    auto t = otp::async([p = std::make_unique<int>(3)]() mutable { return std::move(p); });
    EXPECT_EQ(*otp::await(t), 3);
    auto given = otp::async([](std::unique_ptr<int> p) { return *p; }, std::make_unique<int>(4));
    EXPECT_EQ(otp::await(given), 4);
    auto nothing = otp::async([] {});
    EXPECT_EQ(otp::await(nothing), std::monostate());
    EXPECT_EQ(otp::await(otp::async(twice, 4)), 8);
    // A child that cannot be copied is run from one object.
    otp::trap_exit(true);
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one,
                    .children = {otp::child_task(failing{std::make_unique<int>(1)}).restart(otp::transient)}})
                   .value();
    otp::supervisor::stop(sup);
  });
}

// covers: TASK-003
TEST(task_start, what_the_function_holds_is_gone_before_its_result_is_there) {
  everywhere(20, [] {
    auto shared = std::make_shared<int>(1);
    auto t = otp::async([shared] { return *shared; });
    EXPECT_EQ(otp::await(t), 1);
    EXPECT_EQ(shared.use_count(), 1);
  });
}

// covers: TASK-103 TASK-104
TEST(task_start, an_abnormal_end_is_reported_with_all_that_is_known) {
  event_log events;
  otp::runtime_options options;
  options.listener = &events;
  seeded(
      [&] {
        otp::trap_exit(true);
        auto t = otp::async(
            [](int a, const std::string& b) -> int {
              otp::set_label("shaky");
              throw std::runtime_error(b + std::to_string(a));
            },
            7, std::string("seven"));
        otp::pid task = t.pid();
        static_cast<void>(otp::yield(t, otp::infinity));
        otp::event e = events.one("task_terminated");
        EXPECT_EQ(e.process, task);
        EXPECT_EQ(e.severity, otp::severity::error);
        EXPECT_EQ(e.reason, otp::reason::error("std::runtime_error", "seven7"));
        EXPECT_NE(e.field("started_from").find(otp::self().to_string()), std::string_view::npos);
        EXPECT_EQ(e.field("function"), t.function());
        EXPECT_EQ(e.field("args"), "7, \"seven\"");
        EXPECT_EQ(e.field("label"), "shaky");
        EXPECT_EQ(e.field("callers"), otp::self().to_string());
        EXPECT_EQ(events.count("crash"), 0U);
        events.clear();
        for (otp::exit_reason quiet : {otp::exit_reason(normal), otp::exit_reason(shutdown), shutdown("for today")}) {
          auto q = otp::async([quiet] { otp::exit(quiet); });
          EXPECT_EQ(otp::yield(q, otp::infinity)->error(), quiet);
        }
        // An exit signal is not the task's own failure.
        auto killed_one = on_go(1);
        otp::exit(killed_one.pid(), otp::reason::kill);
        EXPECT_EQ(otp::yield(killed_one, otp::infinity)->error(), killed);
        EXPECT_TRUE(events.all().empty());
      },
      1, options);
}
