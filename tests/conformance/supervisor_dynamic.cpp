// The dynamic supervisor.
#include "conformance/supervisor_support.hpp"

using namespace conformance;

namespace {

auto start(otp::dynamic_supervisor_spec spec = {}) {
  return otp::dynamic_supervisor::start_link(std::move(spec)).value();
}
otp::pid add(otp::pid sup, otp::child_spec spec) {
  return otp::dynamic_supervisor::start_child(sup, std::move(spec)).value().process;
}

// A start function that does what the test says.
struct told {
  std::string how = "start";
  int starts = 0;
};
otp::child_spec told_child(const std::shared_ptr<told>& say) {
  return otp::child_function("told", [say]() -> otp::result<otp::child_started> {
    ++say->starts;
    if (say->how == "ignore") return std::unexpected(otp::exit_reason(otp::reason::ignore));
    if (say->how == "error") return std::unexpected(otp::exit_reason("no room"));
    if (say->how == "nothing") return otp::child_started{};
    if (say->how == "exit") otp::exit("left");
    if (say->how == "throw") throw std::runtime_error("raised");
    if (say->how == "throw a number") throw 42;
    return otp::child_started{otp::spawn_link([] { rest(); }), say->how == "info" ? otp::term("info") : otp::term()};
  });
}

struct module_of_it {
  static otp::dynamic_supervisor_spec init(int restarts) { return {.max_restarts = restarts, .max_children = 2}; }
};
struct declining {
  static otp::dynamic_supervisor_init init() { return otp::ignore(); }
};

}  // namespace

// covers: SUP-126
TEST(supervisor_dynamic, it_starts_empty_and_takes_full_specs_whose_ids_do_not_matter) {
  supervised(10, [] {
    journal log;
    auto sup = start();
    EXPECT_TRUE(otp::dynamic_supervisor::which_children(sup).empty());
    otp::pid a = add(sup, unit_spec(log, "same"));
    otp::pid b = add(sup, unit_spec(log, "same"));
    EXPECT_NE(a, b);
    add(sup, otp::child_spec().start([] { return otp::spawn_link([] { rest(); }); }));  // not even one
    EXPECT_EQ(otp::dynamic_supervisor::count_children(sup).specs, 3U);
    for (auto& child : otp::dynamic_supervisor::which_children(sup)) EXPECT_TRUE(child.id.empty());
    // It can be a child itself.
    auto above = otp::supervisor::start_link(
                     {.strategy = otp::one_for_one, .children = {otp::child_dynamic_supervisor({.name = "below"})}})
                     .value();
    add(otp::whereis("below").value(), unit_spec(log, "x"));
    EXPECT_EQ(otp::supervisor::count_children(above).supervisors, 1U);
  });
}

// covers: SUP-127 D08
TEST(supervisor_dynamic, every_bad_value_is_refused_at_the_start) {
  supervised(5, [] {
    auto refused = [](otp::dynamic_supervisor_spec spec, std::initializer_list<const char*> parts) {
      auto sup = otp::dynamic_supervisor::start_link(std::move(spec));
      ASSERT_FALSE(sup);
      EXPECT_EQ(sup.error(), otp::reason::bad_argument);
      for (const char* part : parts)
        EXPECT_NE(sup.error().text().find(part), std::string::npos) << sup.error().to_string();
    };
    for (auto strategy : {otp::rest_for_one, otp::one_for_all, otp::simple_one_for_one})
      refused({.strategy = strategy}, {"strategy", "one_for_one"});
    refused({.max_restarts = -1}, {"max_restarts is -1"});
    refused({.max_seconds = 0s}, {"max_seconds is 0"});
    refused({.max_children = -1}, {"max_children is -1"});
    refused({.max_restarts = -3, .max_seconds = -1s, .max_children = -7},
            {"max_restarts is -3", "max_seconds is -1000000000", "max_children is -7"});
    EXPECT_EQ(otp::process_count(), 1U);
  });
}

// covers: SUP-128
TEST(supervisor_dynamic, it_tolerates_three_restarts_in_five_seconds_and_any_number_of_children) {
  supervised(5, [] {
    otp::dynamic_supervisor_spec spec;
    EXPECT_EQ(spec.max_restarts, 3);
    EXPECT_EQ(spec.max_seconds, 5s);
    EXPECT_EQ(spec.max_children, otp::unlimited);
    EXPECT_TRUE(spec.extra.empty());
    auto sup = start();
    otp::pid child = add(sup, otp::child<unit>(journal(), std::string("u")));
    for (int i = 0; i < 3; ++i) {
      otp::exit(child, otp::reason::kill);
      otp::testing::settle();
      ASSERT_TRUE(otp::is_alive(sup));
      child = otp::dynamic_supervisor::which_children(sup)[0].process;
    }
    otp::exit(child, otp::reason::kill);
    EXPECT_EQ(exit_from(sup), shutdown);
  });
}

// covers: SUP-127
TEST(supervisor_dynamic, extra_arguments_come_before_those_of_every_template) {
  supervised(5, [] {
    struct cell {
      cell(journal log, int context, std::string own) { log.add(std::to_string(context) + own); }
    };
    journal log;
    auto sup = start({.extra = otp::extra(log, 7)});
    add(sup, otp::child_template<cell, journal, int>(std::string("a")));
    add(sup, otp::child_template<cell, journal, int>(std::string("b")));
    EXPECT_EQ(log.take(), (strings{"7a", "7b"}));
    auto wrong = otp::dynamic_supervisor::start_child(sup, otp::child_template<cell, journal, int, std::string>());
    EXPECT_EQ(wrong.error(), otp::reason::bad_argument);
    EXPECT_EQ(otp::dynamic_supervisor::start_child(sup, otp::child<cell>(log, 1, std::string("c"))).error(),
              otp::reason::bad_argument);
  });
}

// covers: SUP-129
TEST(supervisor_dynamic, its_id_as_a_child_is_its_name) {
  supervised(5, [] {
    EXPECT_EQ(otp::child_dynamic_supervisor({.name = "one"}).id(), otp::child_id("one"));
    EXPECT_EQ(otp::child_dynamic_supervisor({.name = otp::global(17)}).id(), otp::child_id(17));
    EXPECT_EQ(otp::child_dynamic_supervisor({.name = otp::via(nullptr, otp::term("key"))}).id(), otp::child_id("key"));
    auto several = otp::supervisor::start_link(
        {.strategy = otp::one_for_one,
         .children = {otp::child_dynamic_supervisor({.name = "one"}), otp::child_dynamic_supervisor({.name = "two"}),
                      otp::child_dynamic_supervisor({.name = otp::global(17)}), otp::child_dynamic_supervisor()}});
    ASSERT_TRUE(several);
    EXPECT_EQ(otp::supervisor::count_children(*several).active, 4U);
    EXPECT_EQ(process_of(*several, "two"), otp::whereis("two"));
    auto clash = otp::supervisor::check(
        {.strategy = otp::one_for_one, .children = {otp::child_dynamic_supervisor(), otp::child_dynamic_supervisor()}});
    ASSERT_FALSE(clash);
    EXPECT_NE(clash.error().text().find("duplicate_child_name"), std::string::npos);
  });
}

// covers: SUP-130
TEST(supervisor_dynamic, it_is_known_as_a_supervisor_of_its_module) {
  supervised(5, [] {
    auto sup = otp::dynamic_supervisor::start_link<module_of_it>({.name = "registered"}, 1).value();
    auto info = otp::info(otp::whereis("registered").value()).value();
    EXPECT_EQ(info.pid, sup.pid());
    EXPECT_EQ(info.type.find("supervisor:"), 0U);
    EXPECT_NE(info.type.find("module_of_it"), std::string::npos);
    EXPECT_NE(otp::dynamic_supervisor::callback_module(sup).find("module_of_it"), std::string::npos);
    EXPECT_NE(otp::sys::get_status(sup).type.find("module_of_it"), std::string::npos);
    EXPECT_TRUE(info.trap_exit);
    // What its init says holds.
    add(sup, otp::child<unit>(journal(), std::string("a")));
    add(sup, otp::child<unit>(journal(), std::string("b")));
    EXPECT_EQ(otp::dynamic_supervisor::start_child(sup, otp::child<unit>(journal(), std::string("c"))).error(),
              otp::reason::max_children);
  });
}

// covers: SUP-132 SUP-091
TEST(supervisor_dynamic, bad_specs_and_significant_children_are_refused) {
  supervised(5, [] {
    auto sup = start();
    auto refused = [&](otp::child_spec spec, const char* part) {
      auto made = otp::dynamic_supervisor::start_child(sup, std::move(spec));
      ASSERT_FALSE(made);
      EXPECT_EQ(made.error(), otp::reason::bad_argument);
      EXPECT_NE(made.error().text().find(part), std::string::npos) << made.error().to_string();
    };
    auto good = [] { return otp::child<unit>(journal(), std::string("u")); };
    refused(good().restart(otp::transient).significant(), "significant");
    refused(otp::child_spec().id("x"), "start is missing");
    refused(good().shutdown(-1s), "shutdown");
    EXPECT_TRUE(otp::dynamic_supervisor::which_children(sup).empty());
  });
}

// covers: SUP-134 SUP-135
TEST(supervisor_dynamic, start_child_answers_with_process_and_information_or_that_it_declined_or_why_not) {
  supervised(5, [] {
    auto say = std::make_shared<told>();
    auto sup = start();
    auto one = [&](const char* how) {
      say->how = how;
      return otp::dynamic_supervisor::start_child(sup, told_child(say));
    };
    EXPECT_TRUE(one("start").value().info.empty());
    EXPECT_EQ(one("info").value().info, otp::term("info"));
    EXPECT_EQ(otp::dynamic_supervisor::count_children(sup).active, 2U);
    EXPECT_EQ(one("ignore").error(), otp::reason::ignore);
    EXPECT_EQ(one("error").error(), otp::exit_reason("no room"));
    EXPECT_EQ(one("exit").error(), otp::exit_reason("left"));
    EXPECT_EQ(one("throw").error(), otp::reason::error("std::runtime_error", "raised"));
    EXPECT_EQ(one("throw a number").error(), otp::reason::error("int", "42"));
    EXPECT_EQ(one("nothing").error(), otp::reason::bad_argument);
    EXPECT_EQ(otp::dynamic_supervisor::count_children(sup).specs, 2U);
  });
}

// covers: SUP-136 D13
TEST(supervisor_dynamic, beyond_max_children_a_child_is_refused_and_counted) {
  supervised(5, [] {
    auto say = std::make_shared<told>();
    auto sup = start({.max_restarts = 1'000'000'000, .max_children = 2});
    otp::pid a = add(sup, told_child(say));
    add(sup, told_child(say));
    for (int i = 0; i < 3; ++i) {
      auto third = otp::dynamic_supervisor::start_child(sup, told_child(say));
      ASSERT_FALSE(third);
      EXPECT_EQ(third.error(), otp::reason::max_children);
      EXPECT_NE(third.error().text().find("2 children"), std::string::npos);
    }
    EXPECT_EQ(otp::dynamic_supervisor::count_children(sup).refused, 3U);
    EXPECT_EQ(say->starts, 2);
    // One that is being restarted keeps its place; one that is gone leaves it.
    say->how = "error";
    otp::exit(a, otp::reason::kill);
    while (otp::dynamic_supervisor::count_children(sup).active != 1) {
    }
    EXPECT_EQ(otp::dynamic_supervisor::start_child(sup, told_child(say)).error(), otp::reason::max_children);
    ASSERT_TRUE(otp::dynamic_supervisor::terminate_child(sup, a));
    say->how = "start";
    EXPECT_TRUE(otp::dynamic_supervisor::start_child(sup, told_child(say)));
    EXPECT_EQ(otp::dynamic_supervisor::start_child(start({.max_children = 0}), told_child(say)).error(),
              otp::reason::max_children);
  });
}

// covers: SUP-138
TEST(supervisor_dynamic, terminate_child_takes_the_process_of_a_child) {
  supervised(5, [] {
    journal log;
    auto sup = start();
    otp::pid a = add(sup, unit_spec(log, "a"));
    otp::pid b = add(sup, otp::child<stubborn>(log).shutdown(2s));
    otp::pid c = add(sup, otp::child<stubborn>(log).shutdown(otp::brutal_kill));
    log.take();
    EXPECT_TRUE(otp::dynamic_supervisor::terminate_child(sup, a));
    EXPECT_EQ(log.take(), strings{"-a shutdown"});
    auto begin = otp::now();
    EXPECT_TRUE(otp::dynamic_supervisor::terminate_child(sup, b));
    EXPECT_EQ(otp::now() - begin, 2s);
    begin = otp::now();
    EXPECT_TRUE(otp::dynamic_supervisor::terminate_child(sup, c));
    EXPECT_EQ(otp::now(), begin);
    EXPECT_EQ(log.take(), strings{"asked"});
    EXPECT_EQ(otp::dynamic_supervisor::terminate_child(sup, a).error(), otp::reason::not_found);
    EXPECT_EQ(otp::dynamic_supervisor::terminate_child(sup, otp::self()).error(), otp::reason::not_found);
    EXPECT_THROW(static_cast<void>(otp::dynamic_supervisor::terminate_child(sup, otp::pid())), otp::bad_argument);
    EXPECT_TRUE(otp::dynamic_supervisor::which_children(sup).empty());
  });
}

// Its time began anew when the supervisor was told to end meanwhile.
// covers: SUP-059 SUP-138
TEST(supervisor_dynamic, a_child_that_is_being_terminated_has_its_shutdown_time_once) {
  supervised(20, [] {
    journal log;
    auto sup = start();
    otp::pid slow = add(sup, otp::child<stubborn>(log).shutdown(5s));
    otp::pid other = add(sup, otp::child<stubborn>(log).shutdown(1s));
    auto begin = otp::now();
    otp::pid asker = otp::spawn([&] {
      EXPECT_TRUE(otp::dynamic_supervisor::terminate_child(sup, slow));
      EXPECT_EQ(otp::now() - begin, 5s);
    });
    otp::ref asker_end = otp::monitor(asker);
    otp::ref slow_end = otp::monitor(slow);
    otp::ref other_end = otp::monitor(other);
    otp::testing::advance(3s);
    otp::exit(sup, shutdown);  // we are its parent
    EXPECT_EQ(reason_of(other_end), killed);
    EXPECT_EQ(otp::now() - begin, 4s);
    EXPECT_EQ(reason_of(slow_end), killed);
    EXPECT_EQ(otp::now() - begin, 5s);
    EXPECT_EQ(exit_from(sup), shutdown);
    EXPECT_EQ(reason_of(asker_end), normal);
  });
}

// covers: SUP-139 SUP-141 SUP-142
TEST(supervisor_dynamic, a_restart_that_fails_is_tried_again_until_the_child_is_terminated_by_its_last_process) {
  supervised(20, [] {
    auto say = std::make_shared<told>();
    auto sup = start({.max_restarts = 1'000'000'000});
    otp::pid child = add(sup, told_child(say).type(otp::child_type::supervisor));
    for (const char* how : {"error", "nothing", "throw", "exit"}) {
      say->how = how;
      otp::exit(child, otp::reason::kill);
      otp::child_info info;
      do info = otp::dynamic_supervisor::which_children(sup).at(0);
      while (info.state != otp::child_state::restarting);
      EXPECT_EQ(info.process, otp::pid());
      EXPECT_TRUE(info.id.empty());
      EXPECT_EQ(info.type, otp::child_type::supervisor);
      auto n = otp::dynamic_supervisor::count_children(sup);
      EXPECT_EQ(n.specs, 1U);
      EXPECT_EQ(n.supervisors, 1U);
      EXPECT_EQ(n.active, 0U);
      say->how = "start";
      do info = otp::dynamic_supervisor::which_children(sup).at(0);
      while (info.state == otp::child_state::restarting);
      EXPECT_NE(info.process, child);
      child = info.process;
    }
    say->how = "error";
    otp::exit(child, otp::reason::kill);
    while (otp::dynamic_supervisor::count_children(sup).active != 0) {
    }
    EXPECT_TRUE(otp::dynamic_supervisor::terminate_child(sup, child));
    EXPECT_TRUE(otp::dynamic_supervisor::which_children(sup).empty());
    int starts = say->starts;
    otp::testing::settle();
    EXPECT_EQ(say->starts, starts);
  });
}

// covers: SUP-140
TEST(supervisor_dynamic, restart_types_are_as_ever_and_what_is_not_restarted_is_forgotten) {
  supervised(5, [] {
    for (auto restart : {otp::permanent, otp::transient, otp::temporary})
      for (const otp::exit_reason& why : {otp::exit_reason(), otp::exit_reason(shutdown), shutdown("x"),
                                          otp::exit_reason("crash"), otp::exit_reason(killed)}) {
        auto sup = start();
        otp::pid child = add(sup, otp::child<unit>(journal(), std::string("u")).restart(restart));
        if (why == killed)
          otp::exit(child, otp::reason::kill);
        else
          finish(child, why);
        otp::testing::settle();
        bool back = restart == otp::permanent || (restart == otp::transient && !why.is_expected());
        auto children = otp::dynamic_supervisor::which_children(sup);
        ASSERT_EQ(children.size(), back ? 1U : 0U) << why.to_string();
        if (back) {
          EXPECT_NE(children[0].process, child);
        }
        otp::dynamic_supervisor::stop(sup);
        static_cast<void>(exit_from(sup));
      }
  });
}

// covers: SUP-141
TEST(supervisor_dynamic, at_a_restart_information_is_ignored_and_a_child_that_declines_is_forgotten) {
  supervised(10, [] {
    auto say = std::make_shared<told>();
    auto sup = start();
    otp::pid child = add(sup, told_child(say));
    say->how = "info";
    otp::exit(child, otp::reason::kill);
    otp::testing::settle();
    auto children = otp::dynamic_supervisor::which_children(sup);
    ASSERT_EQ(children.size(), 1U);
    EXPECT_NE(children[0].process, child);
    say->how = "ignore";
    otp::exit(children[0].process, otp::reason::kill);
    otp::testing::settle();
    EXPECT_TRUE(otp::dynamic_supervisor::which_children(sup).empty());
    EXPECT_TRUE(otp::is_alive(sup));
  });
}

// covers: SUP-144
TEST(supervisor_dynamic, children_end_with_the_reason_that_they_give_to_the_stop) {
  supervised(10, [] {
    struct polite {
      explicit polite(otp::exit_reason r) : why(std::move(r)) { otp::trap_exit(true); }
      void terminate(const otp::exit_reason&) { otp::exit(why); }
      otp::exit_reason why;
    };
    struct expectation {
      otp::child_spec spec;
      otp::exit_reason end;
    };
    auto make = [](otp::exit_reason why) { return otp::child<polite>(std::move(why)); };
    std::vector<expectation> all{
        {make(normal), normal},
        {make(shutdown("bye")), shutdown("bye")},
        {make("odd").shutdown(otp::infinity).restart(otp::temporary), "odd"},
        {make("odd").shutdown(2s), "odd"},
        {make(normal).shutdown(otp::infinity), normal},
        {make(normal).shutdown(otp::brutal_kill), killed},
        {otp::child<stubborn>(journal()).shutdown(1s), killed},
    };
    auto sup = start();
    std::vector<otp::ref> ends;
    for (auto& e : all) ends.push_back(otp::monitor(add(sup, e.spec)));
    otp::dynamic_supervisor::stop(sup);
    for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(reason_of(ends[i]), all[i].end) << i;
  });
}

// covers: SUP-146
TEST(supervisor_dynamic, too_many_restarts_end_it_after_its_other_children) {
  supervised(10, [] {
    journal log;
    auto say = std::make_shared<told>();
    auto sup = start({.max_restarts = 2});
    add(sup, unit_spec(log, "a"));
    otp::pid child = add(sup, told_child(say));
    add(sup, unit_spec(log, "b"));
    log.take();
    say->how = "error";  // also by attempts that fail
    otp::exit(child, otp::reason::kill);
    EXPECT_EQ(exit_from(sup), shutdown);
    EXPECT_EQ(say->starts, 3);
    auto ends = log.take();
    std::sort(ends.begin(), ends.end());
    EXPECT_EQ(ends, (strings{"-a shutdown", "-b shutdown"}));
    EXPECT_EQ(otp::process_count(), 1U);
  });
}

// covers: SUP-147
TEST(supervisor_dynamic, unexpected_messages_are_reported_and_casts_are_ignored) {
  supervised_logged(10, [](event_log& events) {
    auto sup = start();
    otp::send(sup.pid(), 42);
    finish(sup.pid(), "crash");  // a cast for another kind of server
    otp::testing::settle();
    EXPECT_TRUE(otp::is_alive(sup));
    ASSERT_EQ(events.count("unhandled_message"), 1U);
    EXPECT_EQ(events.of("unhandled_message")[0].field("message"), "42");
    EXPECT_EQ(otp::dynamic_supervisor::count_children(sup).specs, 0U);
    // A call for another kind of server fails, and hurts nobody.
    auto failed = otp::try_call(otp::server<unit>(sup.pid()), unit::name_of{});
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().cause(), otp::reason::bad_server_type);
    EXPECT_TRUE(otp::is_alive(sup));
  });
}

// no meaning: SUP-148 (docs/decisions/0002-rows-without-meaning.md)

// covers: SUP-149
TEST(supervisor_dynamic, init_may_decline) {
  supervised(5, [] {
    auto sup = otp::dynamic_supervisor::start_link<declining>({.name = "declining"});
    ASSERT_FALSE(sup);
    EXPECT_EQ(sup.error(), otp::reason::ignore);
    EXPECT_EQ(next<otp::exit_signal>().reason, normal);
    EXPECT_FALSE(otp::whereis("declining"));
  });
}

// covers: SUP-128 SUP-136
TEST(supervisor_dynamic, many_children_come_and_go_on_threads) {
  EXPECT_EQ(threaded([] {
              otp::trap_exit(true);
              auto sup = start({.max_restarts = 1'000'000});
              std::vector<otp::pid> adders;
              for (int i = 0; i < 4; ++i)
                adders.push_back(otp::spawn([sup] {
                  for (int n = 0; n < 200; ++n) {
                    otp::pid child = add(sup, otp::child<unit>(journal(), std::string("u")));
                    if (n % 2 == 0) {
                      EXPECT_TRUE(otp::dynamic_supervisor::terminate_child(sup, child));
                    }
                    if (n % 4 == 1) otp::exit(child, otp::reason::kill);
                  }
                }));
              for (otp::pid a : adders) static_cast<void>(end_of(a));
              // What was killed is on its way back: wait until it is.
              while (otp::dynamic_supervisor::count_children(sup).active != 400) otp::sleep(1ms);
              EXPECT_EQ(otp::dynamic_supervisor::count_children(sup).specs, 400U);
              otp::dynamic_supervisor::stop(sup);
              EXPECT_TRUE(nobody_else_left());
            }),
            normal);
}
