// What supervisors report, and what does not need a report.
#include "conformance/supervisor_support.hpp"

using namespace conformance;

namespace {

std::string ids(const std::vector<otp::event>& events) {
  std::string all;
  for (auto& e : events) all += std::string(e.field("id")) + " ";
  return all;
}

}  // namespace

// covers: SUP-106
TEST(supervisor_reports, progress_tells_of_children_that_the_supervisor_started_by_itself) {
  supervised_logged(10, [](event_log& events) {
    journal log;
    auto sup =
        otp::supervisor::start_link(
            {.strategy = otp::one_for_one, .children = {unit_spec(log, "a"), unit_spec(log, "b")}}, {.name = "s"})
            .value();
    EXPECT_EQ(ids(events.of("progress")), "\"a\" \"b\" ");
    EXPECT_EQ(events.of("progress")[0].field("supervisor"), "s");
    EXPECT_EQ(events.of("progress")[0].field("child"), process_of(sup, "a").to_string());
    events.clear();
    otp::pid b = process_of(sup, "b");
    finish(b, "crash");
    new_process(sup, "b", b);
    EXPECT_EQ(ids(events.of("progress")), "\"b\" ");
    events.clear();
    // Who asks for a start knows of it.
    ASSERT_TRUE(otp::supervisor::start_child(sup, unit_spec(log, "c")));
    ASSERT_TRUE(otp::supervisor::terminate_child(sup, "c"));
    ASSERT_TRUE(otp::supervisor::restart_child(sup, "c"));
    EXPECT_EQ(events.count("progress"), 0U);
  });
}

// covers: SUP-107
TEST(supervisor_reports, child_terminated_tells_of_every_end_of_a_permanent_child_and_of_failures_of_others) {
  supervised_logged(5, [](event_log& events) {
    for (auto restart : {otp::permanent, otp::transient, otp::temporary})
      for (const otp::exit_reason& why :
           {otp::exit_reason(), otp::exit_reason(shutdown), shutdown("x"), otp::exit_reason("crash")}) {
        journal log;
        auto sup = otp::supervisor::start_link(
                       {.strategy = otp::one_for_one, .children = {unit_spec(log, "c").restart(restart)}})
                       .value();
        events.clear();
        finish(process_of(sup, "c"), why);
        otp::testing::settle();
        bool told = restart == otp::permanent || why == otp::exit_reason("crash");
        auto seen = events.of("child_terminated");
        ASSERT_EQ(seen.size(), told ? 1U : 0U) << why.to_string();
        if (told) {
          EXPECT_EQ(seen[0].reason, why);
          EXPECT_EQ(seen[0].field("id"), "\"c\"");
        }
        otp::supervisor::stop(sup);
      }
  });
}

// covers: SUP-108
TEST(supervisor_reports, start_error_tells_of_every_start_that_fails) {
  supervised_logged(10, [](event_log& events) {
    auto fails = [] { return otp::result<otp::pid>(std::unexpected(otp::exit_reason("no room"))); };
    auto sup = otp::supervisor::start_link(
        {.strategy = otp::one_for_one, .children = {otp::child_function("first", fails)}}, {.name = "s"});
    ASSERT_FALSE(sup);
    auto seen = events.of("start_error");
    ASSERT_EQ(seen.size(), 1U);
    EXPECT_EQ(seen[0].reason, otp::exit_reason("no room"));
    EXPECT_EQ(seen[0].field("id"), "\"first\"");
    EXPECT_EQ(seen[0].field("child"), "undefined");

    events.clear();
    int starts = 0;
    auto running = otp::supervisor::start_link(
                       {.strategy = otp::one_for_one,
                        .max_restarts = 3,
                        .children = {otp::child_function("c",
                                                         [&]() -> otp::result<otp::pid> {
                                                           if (++starts > 1)
                                                             return std::unexpected(otp::exit_reason("again"));
                                                           return otp::spawn_link([] { rest(); });
                                                         })}})
                       .value();
    otp::exit(process_of(running, "c"), otp::reason::kill);
    EXPECT_EQ(exit_from(running), shutdown);
    EXPECT_EQ(events.count("start_error"), 3U);  // each of the restarts that were tolerated
    ASSERT_EQ(events.count("shutdown"), 1U);     // and that there were too many
    EXPECT_EQ(events.of("shutdown")[0].reason, otp::exit_reason("reached_max_restart_intensity"));
  });
}

// covers: SUP-110
TEST(supervisor_reports, shutdown_error_tells_of_a_child_that_did_not_end_as_it_was_asked) {
  supervised_logged(5, [](event_log& events) {
    // Ends with a reason of its own when it is asked to end.
    struct own_way {
      explicit own_way(otp::exit_reason r) : reason(std::move(r)) { otp::trap_exit(true); }
      void terminate(const otp::exit_reason&) {
        if (reason != shutdown) otp::exit(reason);
      }
      otp::exit_reason reason;
    };
    auto reported = [&](otp::child_spec spec) {
      auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {spec.id("c")}}).value();
      events.clear();
      EXPECT_TRUE(otp::supervisor::terminate_child(sup, "c"));
      auto seen = events.of("shutdown_error");
      otp::supervisor::stop(sup);
      EXPECT_EQ(events.count("shutdown_error"), seen.size());  // the same when the supervisor ends, see below
      return seen.empty() ? otp::exit_reason("nothing") : seen[0].reason;
    };
    otp::exit_reason nothing("nothing");
    for (auto restart : {otp::permanent, otp::transient, otp::temporary}) {
      auto way = [&](otp::exit_reason r) { return otp::child<own_way>(std::move(r)).restart(restart); };
      bool permanent = restart == otp::permanent;
      EXPECT_EQ(reported(way(shutdown)), nothing);
      // A permanent child that ends normally, or by a shutdown of its own making, does not fit either.
      EXPECT_EQ(reported(way(normal)), permanent ? otp::exit_reason(normal) : nothing);
      EXPECT_EQ(reported(way(shutdown("mine"))), permanent ? shutdown("mine") : nothing);
      EXPECT_EQ(reported(way("broken")), otp::exit_reason("broken"));
      EXPECT_EQ(reported(otp::child<stubborn>(journal()).restart(restart).shutdown(1s)), killed);
      EXPECT_EQ(reported(way(shutdown).shutdown(otp::brutal_kill)), nothing);  // asked for
    }
  });
}

// Ends that nobody had asked for in that way went unreported.
// covers: SUP-110
TEST(supervisor_reports, shutdown_error_tells_of_a_death_that_went_unnoticed_and_of_one_before_the_kill) {
  supervised_logged(5, [](event_log& events) {
    auto loose = otp::child_function("loose", [] { return otp::spawn([] { rest(); }); });
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {loose}}).value();
    otp::exit(process_of(sup, "loose"), otp::reason::kill);
    otp::testing::settle();
    events.clear();
    EXPECT_TRUE(otp::supervisor::terminate_child(sup, "loose"));
    EXPECT_EQ(events.one("shutdown_error").reason, noproc);
    EXPECT_EQ(events.one("shutdown_error").field("id"), "\"loose\"");
    // Of two in a group one ends by itself while the other one is being stopped: its own kill finds it gone.
    for (auto restart : {otp::permanent, otp::transient}) {
      journal log;
      struct slow {
        slow() { otp::trap_exit(true); }
        void terminate(const otp::exit_reason&) { otp::sleep(1s); }
      };
      auto group = otp::supervisor::start_link(
                       {.strategy = otp::one_for_one,
                        .children = {unit_spec(log, "killed").restart(restart).shutdown(otp::brutal_kill),
                                     otp::child<slow>().id("slow")}})
                       .value();
      otp::pid gone = process_of(group, "killed");
      events.clear();
      otp::spawn([gone] {
        otp::sleep(500ms);
        finish(gone, shutdown);
      });
      otp::supervisor::stop(group);
      EXPECT_EQ(log.take(), (strings{"+killed", "-killed shutdown"}));
      EXPECT_EQ(events.count("shutdown_error"), restart == otp::permanent ? 1U : 0U);
    }
  });
}

// covers: SUP-112
TEST(supervisor_reports, a_report_names_supervisor_context_reason_and_child) {
  supervised_logged(5, [](event_log& events) {
    journal log;
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one,
                                            .auto_shutdown = otp::any_significant,
                                            .children = {unit_spec(log, "c")
                                                             .id("db", 3)
                                                             .restart(otp::transient)
                                                             .significant()
                                                             .shutdown(otp::brutal_kill)
                                                             .type(otp::child_type::supervisor)}},
                                           {.name = "reporting"})
                   .value();
    otp::pid child = process_of(sup, otp::child_id("db", 3));
    finish(child, "crash");
    otp::testing::settle();
    auto seen = events.of("child_terminated");
    ASSERT_EQ(seen.size(), 1U);
    const otp::event& e = seen[0];
    EXPECT_EQ(e.severity, otp::severity::error);
    EXPECT_EQ(e.process, sup.pid());
    EXPECT_EQ(e.name, "reporting");
    EXPECT_EQ(e.reason, otp::exit_reason("crash"));
    EXPECT_EQ(e.field("supervisor"), "reporting");
    EXPECT_EQ(e.field("context"), "child_terminated");
    EXPECT_EQ(e.field("reason"), "\"crash\"");
    EXPECT_EQ(e.field("child"), child.to_string());
    EXPECT_EQ(e.field("id"), "{\"db\", 3}");
    EXPECT_EQ(e.field("start"), "conformance::unit::start_link/2");
    EXPECT_EQ(e.field("restart"), "transient");
    EXPECT_EQ(e.field("significant"), "true");
    EXPECT_EQ(e.field("shutdown"), "brutal_kill");
    EXPECT_EQ(e.field("type"), "supervisor");
    // One without a name is called by its process.
    auto anonymous =
        otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {unit_spec(log, "x")}}).value();
    finish(process_of(anonymous, "x"), "crash");
    otp::testing::settle();
    EXPECT_EQ(std::string(events.of("child_terminated").back().field("supervisor")).find(anonymous.to_string()), 0U);
  });
}

// covers: SUP-112 SUP-124
TEST(supervisor_reports, of_many_dynamic_children_the_number_is_told) {
  supervised_logged(5, [](event_log& events) {
    struct odd {
      explicit odd(std::string w) : why(std::move(w)) { otp::trap_exit(true); }
      void terminate(const otp::exit_reason&) { otp::exit(why); }
      std::string why;
    };
    auto sup = otp::dynamic_supervisor::start_link({}, {.name = "many"}).value();
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(otp::dynamic_supervisor::start_child(sup, otp::child<odd>("one way")));
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(otp::dynamic_supervisor::start_child(sup, otp::child<odd>("another")));
    for (int i = 0; i < 9; ++i)
      ASSERT_TRUE(otp::dynamic_supervisor::start_child(sup, otp::child<unit>(journal(), std::string("good"))));
    events.clear();
    otp::dynamic_supervisor::stop(sup);
    auto seen = events.of("shutdown_error");
    ASSERT_EQ(seen.size(), 2U);
    for (auto& e : seen) {
      EXPECT_EQ(e.field("supervisor"), "many");
      EXPECT_EQ(e.field("context"), "shutdown_error");
      EXPECT_EQ(e.field("children"), e.reason == otp::exit_reason("one way") ? "5" : "3");
      EXPECT_EQ(e.field("restart"), "permanent");
    }
  });
}

// covers: SUP-113
TEST(supervisor_reports, a_report_can_be_written_on_one_line_or_several_and_within_limits_of_depth_and_size) {
  otp::event e;
  e.what = "child_terminated";
  e.severity = otp::severity::error;
  e.name = "s";
  e.process = otp::pid(42);
  e.reason = "a \"reason\"";
  e.fields = {{"id", "{1, {2, {3, [4]}}, (5)}"}, {"text", "two\nlines {not nested}"}, {"empty", ""}};
  std::string line = e.to_string();
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_NE(line.find("child_terminated"), std::string::npos);
  EXPECT_NE(line.find("{1, {2, {3, [4]}}, (5)}"), std::string::npos);
  EXPECT_EQ(e.to_string({.single_line = true}), line);

  std::string several = e.to_string({.single_line = false});
  EXPECT_EQ(std::count(several.begin(), several.end(), '\n'),
            3);  // reason and two fields; line breaks of users stay escaped
  EXPECT_NE(several.find("\n    id: "), std::string::npos);

  EXPECT_NE(e.to_string({.depth = 1}).find("id: {1, ..., ...}"), std::string::npos) << e.to_string({.depth = 1});
  EXPECT_NE(e.to_string({.depth = 2}).find("id: {1, {2, ...}, (5)}"), std::string::npos);
  EXPECT_NE(e.to_string({.depth = 9}).find("{1, {2, {3, [4]}}, (5)}"), std::string::npos);

  for (std::size_t most : {1U, 2U, 3U, 10U, 40U, 70U}) {
    std::string cut = e.to_string({.chars = most});
    EXPECT_EQ(cut.size(), most);
    if (most > 3) {
      EXPECT_EQ(cut.substr(most - 3), "...");
      EXPECT_EQ(cut.substr(0, most - 3), line.substr(0, most - 3));
    }
  }
  EXPECT_EQ(e.to_string({.chars = line.size()}), line);
  // Characters are not cut in half.
  e.fields = {{"text", "ääääääää"}};
  for (std::size_t most = 20; most < e.to_string().size(); ++most) {
    std::string cut = e.to_string({.chars = most});
    EXPECT_LE(cut.size(), most);
    std::string body = cut.substr(0, cut.size() - 3);
    EXPECT_EQ(e.to_string().substr(0, body.size()), body);
    EXPECT_NE(static_cast<unsigned char>(body.back()) & 0xc0, 0xc0) << "half a character";
  }
}
