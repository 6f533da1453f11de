// Significant children: whose end ends the supervisor.
#include "conformance/supervisor_support.hpp"

using namespace conformance;

namespace {

// A supervisor with two significant children (s1, s2), one that is not (n), and one that stays (z).
struct under_test {
  journal log;
  otp::pid sup;
  under_test(otp::auto_shutdown mode, otp::restart_type significant, otp::restart_type other = otp::permanent) {
    sup = otp::supervisor::start_link(
              {.strategy = otp::one_for_one,
               .max_restarts = 10,
               .auto_shutdown = mode,
               .children = {unit_spec(log, "a"), unit_spec(log, "s1").restart(significant).significant(),
                            unit_spec(log, "n").restart(other), unit_spec(log, "s2").restart(significant).significant(),
                            unit_spec(log, "z")}})
              .value();
    log.take();
  }
  void end(const char* id, otp::exit_reason why) const {
    if (why == killed)
      otp::exit(process_of(sup, id), otp::reason::kill);
    else
      finish(process_of(sup, id), std::move(why));
    otp::testing::settle();
  }
  bool alive() const { return otp::is_alive(sup); }
};

std::vector<otp::exit_reason> expected_ends() { return {normal, shutdown, shutdown("x")}; }
template <class Spec>
concept has_auto_shutdown = requires(Spec s) { s.auto_shutdown; };

std::vector<otp::exit_reason> failures() { return {"crash", killed}; }

}  // namespace

// covers: SUP-095
TEST(supervisor_significant, without_automatic_shutdown_there_are_no_significant_children_and_permanent_ones_never) {
  supervised(5, [] {
    journal log;
    auto refused = [&](otp::auto_shutdown mode, otp::restart_type restart) {
      auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one,
                                              .auto_shutdown = mode,
                                              .children = {unit_spec(log, "s").restart(restart).significant()}});
      bool no = !sup;
      if (no) {
        EXPECT_EQ(sup.error(), otp::reason::bad_argument);
        EXPECT_NE(sup.error().text().find("significant"), std::string::npos);
      }
      auto running = otp::supervisor::start_link({.strategy = otp::one_for_one, .auto_shutdown = mode}).value();
      auto added = otp::supervisor::start_child(running, unit_spec(log, "s").restart(restart).significant());
      EXPECT_EQ(!added, no);
      return no;
    };
    EXPECT_TRUE(refused(otp::auto_shutdown::never, otp::transient));
    EXPECT_TRUE(refused(otp::auto_shutdown::never, otp::temporary));
    for (auto mode : {otp::auto_shutdown::never, otp::any_significant, otp::all_significant})
      EXPECT_TRUE(refused(mode, otp::permanent));
    for (auto mode : {otp::any_significant, otp::all_significant})
      for (auto restart : {otp::transient, otp::temporary}) EXPECT_FALSE(refused(mode, restart));
  });
}

// covers: SUP-096 SUP-097
TEST(supervisor_significant, any_significant_the_end_of_a_temporary_one_by_any_reason_stops_the_others_in_reverse) {
  supervised(10, [] {
    auto all = expected_ends();
    for (auto& why : failures()) all.push_back(why);
    for (const otp::exit_reason& why : all) {
      under_test t(otp::any_significant, otp::temporary);
      t.end("s1", why);
      EXPECT_EQ(exit_from(t.sup), shutdown) << why.to_string();
      auto lines = t.log.take();
      if (why != killed) {
        ASSERT_FALSE(lines.empty());
        EXPECT_EQ(lines.front(), "-s1 " + why.to_string());
        lines.erase(lines.begin());
      }
      EXPECT_EQ(lines, (strings{"-z shutdown", "-s2 shutdown", "-n shutdown", "-a shutdown"}));
    }
  });
}

// covers: SUP-096 SUP-098
TEST(supervisor_significant, any_significant_a_transient_one_triggers_by_an_expected_end_only) {
  supervised(10, [] {
    for (const otp::exit_reason& why : expected_ends()) {
      under_test t(otp::any_significant, otp::transient);
      t.end("s2", why);
      EXPECT_EQ(exit_from(t.sup), shutdown) << why.to_string();
    }
    for (const otp::exit_reason& why : failures()) {
      under_test t(otp::any_significant, otp::transient);
      otp::pid before = process_of(t.sup, "s2");
      t.end("s2", why);
      ASSERT_TRUE(t.alive()) << why.to_string();
      EXPECT_NE(process_of(t.sup, "s2"), before);
      EXPECT_EQ(state_of(t.sup, "s2"), otp::child_state::running);
    }
  });
}

// covers: SUP-099
TEST(supervisor_significant, all_significant_the_last_one_triggers) {
  supervised(10, [] {
    for (otp::restart_type restart : {otp::transient, otp::temporary}) {
      under_test t(otp::all_significant, restart);
      t.end("s1", normal);
      ASSERT_TRUE(t.alive());
      if (restart == otp::transient) {
        t.end("s2", "crash");  // is restarted
        ASSERT_TRUE(t.alive());
      }
      t.end("s2", shutdown);
      EXPECT_EQ(exit_from(t.sup), shutdown);
    }
    // One that is started again counts again.
    under_test t(otp::all_significant, otp::transient);
    t.end("s1", normal);
    ASSERT_TRUE(otp::supervisor::restart_child(t.sup, "s1"));
    t.end("s2", normal);
    ASSERT_TRUE(t.alive());
    t.end("s1", normal);
    EXPECT_EQ(exit_from(t.sup), shutdown);
  });
}

// covers: SUP-096 SUP-099
TEST(supervisor_significant, one_that_somebody_terminates_does_not_trigger) {
  supervised(10, [] {
    for (auto mode : {otp::any_significant, otp::all_significant})
      for (auto restart : {otp::transient, otp::temporary}) {
        under_test t(mode, restart);
        ASSERT_TRUE(otp::supervisor::terminate_child(t.sup, "s1"));
        ASSERT_TRUE(otp::supervisor::terminate_child(t.sup, "s2"));
        otp::testing::advance(1s);
        EXPECT_TRUE(t.alive());
        EXPECT_EQ(otp::supervisor::count_children(t.sup).active, 3U);
      }
  });
}

// covers: SUP-099
TEST(supervisor_significant, one_that_is_being_restarted_is_not_gone) {
  supervised(10, [] {
    bool fails = false;
    journal log;
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one,
                                            .max_restarts = 1'000'000'000,
                                            .auto_shutdown = otp::all_significant,
                                            .children = {unit_spec(log, "s1").restart(otp::transient).significant(),
                                                         otp::child_function("s2",
                                                                             [&]() -> otp::result<otp::pid> {
                                                                               if (fails)
                                                                                 return std::unexpected(
                                                                                     otp::exit_reason("no"));
                                                                               return otp::spawn_link([] { rest(); });
                                                                             })
                                                             .restart(otp::transient)
                                                             .significant()}})
                   .value();
    otp::pid s1 = process_of(sup, "s1");
    fails = true;
    otp::exit(process_of(sup, "s2"), otp::reason::kill);
    while (state_of(sup, "s2") != otp::child_state::restarting) {
    }
    finish(s1, normal);
    while (state_of(sup, "s1") != otp::child_state::undefined) {
    }
    ASSERT_TRUE(otp::is_alive(sup));
    fails = false;
    while (state_of(sup, "s2") != otp::child_state::running) {
    }
    ASSERT_TRUE(otp::supervisor::terminate_child(sup, "s2"));
    EXPECT_TRUE(otp::is_alive(sup));
  });
}

// covers: SUP-100
TEST(supervisor_significant, the_others_never_trigger) {
  supervised(10, [] {
    for (auto mode : {otp::any_significant, otp::all_significant})
      for (auto restart : {otp::transient, otp::temporary})
        for (const otp::exit_reason& why :
             {otp::exit_reason(), otp::exit_reason(shutdown), otp::exit_reason("crash")}) {
          under_test t(mode, otp::transient, restart);
          t.end("n", why);
          EXPECT_TRUE(t.alive());
        }
    // Nor do they where there are no significant ones at all.
    journal log;
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one,
                                            .auto_shutdown = otp::all_significant,
                                            .children = {unit_spec(log, "n").restart(otp::temporary)}})
                   .value();
    finish(process_of(sup, "n"), normal);
    otp::testing::settle();
    EXPECT_TRUE(otp::is_alive(sup));
  });
}

// covers: SUP-104
TEST(supervisor_significant, simple_one_for_one_and_automatic_shutdown_do_not_go_together) {
  supervised(5, [] {
    for (auto mode : {otp::any_significant, otp::all_significant}) {
      auto sup = otp::supervisor::start_link({.strategy = otp::simple_one_for_one,
                                              .auto_shutdown = mode,
                                              .children = {otp::child_template<unit>(journal(), std::string("t"))}});
      ASSERT_FALSE(sup);
      EXPECT_NE(sup.error().text().find("auto_shutdown"), std::string::npos);
    }
  });
  // Dynamic and partition supervisors have no place to write it.
  static_assert(has_auto_shutdown<otp::supervisor_spec>);
  static_assert(!has_auto_shutdown<otp::dynamic_supervisor_spec>);
  static_assert(!has_auto_shutdown<otp::partition_supervisor_spec>);
}

// no meaning: SUP-105 (docs/decisions/0002-rows-without-meaning.md)
