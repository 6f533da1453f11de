// simple_one_for_one: one template, many children, each with arguments of its own.
#include "conformance/supervisor_support.hpp"

using namespace conformance;

namespace {

// Started with what the template gives (log, prefix) and what start_child adds (number, suffix).
struct cell {
  cell(journal to, std::string prefix, int number, std::string suffix)
      : log(std::move(to)), name(prefix + std::to_string(number) + suffix) {
    log.add("+" + name);
  }
  journal log;
  std::string name;
};

otp::child_spec cells(const journal& log) {
  return otp::child_template<cell, int, std::string>(log, std::string("cell ")).id("cell");
}
auto start(otp::child_spec spec, int max_restarts = 3) {
  return otp::supervisor::start_link(
             {.strategy = otp::simple_one_for_one, .max_restarts = max_restarts, .children = {std::move(spec)}})
      .value();
}

// A start function whose outcome the test decides.
struct decided {
  struct say {
    std::string how = "start";
    int starts = 0;
  };
  static otp::result<otp::child_started> start_link(std::shared_ptr<say> s, int number) {
    ++s->starts;
    if (s->how == "ignore") return std::unexpected(otp::exit_reason(otp::reason::ignore));
    if (s->how == "error") return std::unexpected(otp::exit_reason("no room"));
    return otp::child_started{otp::spawn({.link = true, .label = std::to_string(number)}, [] { rest(); }).pid, number};
  }
};

}  // namespace

// covers: SUP-117
TEST(supervisor_simple, it_takes_one_template_starts_nothing_and_appends_the_arguments_of_each_child) {
  supervised(10, [] {
    journal log;
    for (std::size_t n : {0U, 2U}) {
      auto bad = otp::supervisor::start_link(
          {.strategy = otp::simple_one_for_one,
           .children = n == 0 ? std::vector<otp::child_spec>() : std::vector{cells(log), cells(log).id("second")}});
      ASSERT_FALSE(bad);
      EXPECT_NE(bad.error().text().find("exactly one"), std::string::npos);
    }
    auto sup = start(cells(log));
    EXPECT_EQ(log.take(), strings{});
    EXPECT_TRUE(otp::supervisor::which_children(sup).empty());
    ASSERT_TRUE(otp::supervisor::start_child(sup, otp::extra(1, "a")));
    ASSERT_TRUE(otp::supervisor::start_child(sup, otp::extra(2, std::string("b"))));
    EXPECT_EQ(log.take(), (strings{"+cell 1a", "+cell 2b"}));
    // Other arguments than the template takes are refused, and said.
    for (auto& wrong : {otp::extra(), otp::extra(1), otp::extra("a", 1), otp::extra(1, "a", 2)}) {
      auto refused = otp::supervisor::start_child(sup, wrong);
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error(), otp::reason::bad_argument);
      EXPECT_NE(refused.error().text().find("cell"), std::string::npos);
    }
    // So is a spec, and extra arguments elsewhere.
    EXPECT_EQ(otp::supervisor::start_child(sup, cells(log)).error(), otp::reason::bad_argument);
    auto ordinary = otp::supervisor::start_link({.strategy = otp::one_for_one}).value();
    EXPECT_EQ(otp::supervisor::start_child(ordinary, otp::extra(1, "a")).error(), otp::reason::bad_argument);
    EXPECT_EQ(otp::supervisor::count_children(sup).active, 2U);
    // A template may add nothing.
    auto plain = start(otp::child<unit>(log, std::string("u")));
    ASSERT_TRUE(otp::supervisor::start_child(plain, otp::extra()));
    EXPECT_EQ(log.take(), strings{"+u"});
  });
}

// covers: SUP-118 SUP-086 SUP-088
TEST(supervisor_simple, children_have_no_id_and_are_addressed_by_process) {
  supervised(10, [] {
    journal log;
    auto sup = start(cells(log));
    otp::pid a = otp::supervisor::start_child(sup, otp::extra(1, "a")).value().process;
    otp::pid b = otp::supervisor::start_child(sup, otp::extra(2, "b")).value().process;
    auto children = otp::supervisor::which_children(sup);
    ASSERT_EQ(children.size(), 2U);
    for (auto& child : children) {
      EXPECT_TRUE(child.id.empty());
      EXPECT_EQ(child.state, otp::child_state::running);
      EXPECT_EQ(child.type, otp::child_type::worker);
      EXPECT_EQ(child.modules.size(), 1U);
    }
    auto n = otp::supervisor::count_children(sup);
    EXPECT_EQ(n.specs, 1U);
    EXPECT_EQ(n.active, 2U);
    EXPECT_EQ(n.workers, 2U);
    EXPECT_EQ(n.supervisors, 0U);
    EXPECT_EQ(otp::supervisor::terminate_child(sup, "cell").error(), otp::reason::simple_one_for_one);
    EXPECT_EQ(otp::supervisor::restart_child(sup, "cell").error(), otp::reason::simple_one_for_one);
    EXPECT_EQ(otp::supervisor::restart_child(sup, a).error(), otp::reason::simple_one_for_one);
    EXPECT_EQ(otp::supervisor::delete_child(sup, "cell").error(), otp::reason::simple_one_for_one);
    EXPECT_EQ(otp::supervisor::get_child(sup, a).value().process, a);
    EXPECT_EQ(otp::supervisor::get_child(sup, "cell").error(), otp::reason::not_found);
    EXPECT_EQ(otp::supervisor::get_childspec(sup, b).value().shutdown(), otp::shutdown_time(5s));
    EXPECT_EQ(otp::supervisor::get_childspec(sup, otp::self()).error(), otp::reason::not_found);
    EXPECT_TRUE(otp::supervisor::terminate_child(sup, a));
    EXPECT_FALSE(otp::is_alive(a));
    EXPECT_EQ(otp::supervisor::which_children(sup).size(), 1U);
  });
}

// covers: SUP-119
TEST(supervisor_simple, terminating_a_dead_child_is_fine_and_a_process_that_is_no_child_is_not_found) {
  supervised(10, [] {
    journal log;
    auto sup = start(cells(log).restart(otp::temporary));
    otp::pid child = otp::supervisor::start_child(sup, otp::extra(1, "a")).value().process;
    EXPECT_TRUE(otp::supervisor::terminate_child(sup, child));
    EXPECT_TRUE(otp::supervisor::terminate_child(sup, child));
    otp::pid stranger = otp::spawn([] { rest(); });
    EXPECT_EQ(otp::supervisor::terminate_child(sup, stranger).error(), otp::reason::not_found);
    EXPECT_TRUE(otp::is_alive(stranger));
  });
}

// covers: SUP-120
TEST(supervisor_simple, a_child_that_declines_is_not_added_and_not_kept) {
  supervised(10, [] {
    for (auto restart : {otp::permanent, otp::transient, otp::temporary}) {
      auto say = std::make_shared<decided::say>();
      auto sup = start(otp::child_template<decided, int>(say).restart(restart));
      say->how = "ignore";
      auto added = otp::supervisor::start_child(sup, otp::extra(1));
      ASSERT_TRUE(added);
      EXPECT_EQ(added->process, otp::pid());
      EXPECT_TRUE(otp::supervisor::which_children(sup).empty());
      if (restart == otp::temporary) continue;
      say->how = "start";
      otp::pid child = otp::supervisor::start_child(sup, otp::extra(1)).value().process;
      say->how = "ignore";
      otp::exit(child, otp::reason::kill);
      otp::testing::settle();
      EXPECT_TRUE(otp::is_alive(sup));
      EXPECT_TRUE(otp::supervisor::which_children(sup).empty());
    }
  });
}

// covers: SUP-121
TEST(supervisor_simple, a_start_that_fails_is_answered_and_adds_nothing) {
  supervised(10, [] {
    auto say = std::make_shared<decided::say>();
    auto sup = start(otp::child_template<decided, int>(say));
    say->how = "error";
    auto failed = otp::supervisor::start_child(sup, otp::extra(1));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error(), otp::exit_reason("no room"));
    EXPECT_TRUE(otp::supervisor::which_children(sup).empty());
  });
}

// covers: SUP-122
TEST(supervisor_simple, a_restarted_child_gets_the_arguments_of_its_first_start) {
  supervised(20, [] {
    journal log;
    auto sup = start(cells(log));
    std::vector<otp::pid> children;
    for (int i = 0; i < 3; ++i)
      children.push_back(otp::supervisor::start_child(sup, otp::extra(i, "x")).value().process);
    log.take();
    otp::exit(children[1], otp::reason::kill);
    otp::testing::settle();
    EXPECT_EQ(log.take(), strings{"+cell 1x"});
    EXPECT_EQ(otp::supervisor::count_children(sup).active, 3U);
    EXPECT_TRUE(otp::is_alive(children[0]) && otp::is_alive(children[2]));

    auto say = std::make_shared<decided::say>();
    auto with_info = start(otp::child_template<decided, int>(say));
    auto first = otp::supervisor::start_child(with_info, otp::extra(17)).value();
    EXPECT_EQ(first.info, otp::term(17));
    otp::exit(first.process, otp::reason::kill);
    otp::testing::settle();
    auto again = otp::supervisor::which_children(with_info);
    ASSERT_EQ(again.size(), 1U);
    EXPECT_EQ(otp::label(again[0].process), "17");
  });
}

// covers: SUP-028 SUP-029 SUP-031
TEST(supervisor_simple, children_that_are_not_restarted_are_forgotten) {
  supervised(10, [] {
    for (auto restart : {otp::transient, otp::temporary}) {
      journal log;
      auto sup = start(otp::child_template<unit, std::string>(log).restart(restart));
      otp::pid child = otp::supervisor::start_child(sup, otp::extra("u")).value().process;
      finish(child, restart == otp::transient ? otp::exit_reason(normal) : otp::exit_reason("crash"));
      otp::testing::settle();
      EXPECT_TRUE(otp::supervisor::which_children(sup).empty());
    }
  });
}

// covers: SUP-048
TEST(supervisor_simple, too_many_restarts_end_it_and_all_its_children) {
  supervised(10, [] {
    journal log;
    auto sup = start(cells(log), 2);
    std::vector<otp::pid> children;
    for (int i = 0; i < 5; ++i)
      children.push_back(otp::supervisor::start_child(sup, otp::extra(i, "x")).value().process);
    for (int i = 0; i < 3; ++i) otp::exit(children[static_cast<std::size_t>(i)], otp::reason::kill);
    EXPECT_EQ(exit_from(sup), shutdown);
    EXPECT_EQ(otp::process_count(), 1U);
  });
}

// covers: SUP-124
TEST(supervisor_simple, when_it_stops_all_children_are_asked_at_once_and_odd_ends_are_reported_together) {
  supervised_logged(10, [](event_log& events) {
    struct slow {
      slow(otp::duration needs, otp::exit_reason r) : time(needs), why(std::move(r)) { otp::trap_exit(true); }
      void terminate(const otp::exit_reason&) {
        otp::sleep(time);
        if (why != shutdown) otp::exit(why);
      }
      otp::duration time;
      otp::exit_reason why;
    };
    auto sup = start(otp::child_template<slow, otp::duration, otp::exit_reason>().restart(otp::temporary));
    auto add = [&](otp::duration time, otp::exit_reason why) {
      ASSERT_TRUE(otp::supervisor::start_child(sup, otp::extra(time, std::move(why))));
    };
    for (int i = 0; i < 4; ++i) add(3s, shutdown);
    for (int i = 0; i < 4; ++i) add(2s, normal);
    for (int i = 0; i < 3; ++i) add(1s, otp::exit_reason("odd"));
    for (int i = 0; i < 2; ++i) add(1h, shutdown);
    events.clear();
    auto begin = otp::now();
    otp::supervisor::stop(sup);
    EXPECT_EQ(otp::now() - begin, 5s);  // together, and those that need too long are killed
    auto seen = events.of("shutdown_error");
    ASSERT_EQ(seen.size(), 2U);
    for (auto& e : seen) EXPECT_EQ(e.field("children"), e.reason == killed ? "2" : "3") << e.to_string();
    EXPECT_EQ(otp::process_count(), 1U);
  });
}

// covers: SUP-125 SUP-118
TEST(supervisor_simple, children_in_a_restart_loop_count_but_not_as_active) {
  supervised(10, [] {
    auto say = std::make_shared<decided::say>();
    auto sup = start(otp::child_template<decided, int>(say).type(otp::child_type::supervisor), 1'000'000'000);
    otp::pid a = otp::supervisor::start_child(sup, otp::extra(1)).value().process;
    static_cast<void>(otp::supervisor::start_child(sup, otp::extra(2)).value());
    say->how = "error";
    otp::exit(a, otp::reason::kill);
    while (otp::supervisor::count_children(sup).active != 1) {
    }
    auto n = otp::supervisor::count_children(sup);
    EXPECT_EQ(n.specs, 1U);
    EXPECT_EQ(n.supervisors, 2U);
    EXPECT_EQ(n.workers, 0U);
    int restarting = 0;
    for (auto& child : otp::supervisor::which_children(sup)) restarting += child.state == otp::child_state::restarting;
    EXPECT_EQ(restarting, 1);
    EXPECT_EQ(otp::supervisor::restart_child(sup, a).error(), otp::reason::simple_one_for_one);
    // It can be taken out of its loop by the process that it was.
    EXPECT_TRUE(otp::supervisor::terminate_child(sup, a));
    int starts = say->starts;
    otp::testing::settle();
    EXPECT_EQ(say->starts, starts);
    EXPECT_EQ(otp::supervisor::which_children(sup).size(), 1U);
  });
}

// covers: SUP-093
TEST(supervisor_simple, the_arguments_of_temporary_children_are_not_kept) {
  supervised(5, [] {
    struct holder {
      explicit holder(const std::shared_ptr<int>&) {}
    };
    auto argument = std::make_shared<int>(1);
    for (auto restart : {otp::temporary, otp::permanent}) {
      auto sup = start(otp::child_template<holder, std::shared_ptr<int>>().restart(restart));
      ASSERT_TRUE(otp::supervisor::start_child(sup, otp::extra(argument)));
      otp::testing::settle();
      EXPECT_EQ(argument.use_count(), restart == otp::temporary ? 1 : 2);
    }
  });
}

// no meaning: SUP-114 SUP-115 SUP-116 (docs/decisions/0002-rows-without-meaning.md)
