// When a child is restarted, with whom, and how often that is tolerated.
#include "conformance/supervisor_support.hpp"

using namespace conformance;

namespace {

struct way_to_end {
  otp::exit_reason why;
  bool expected;
};
std::vector<way_to_end> ways() {
  return {{normal, true}, {shutdown, true}, {shutdown("for today"), true}, {"crash", false}, {killed, false}};
}

// A child "c" of one restart type ends in one way; returns whether it is back, and checks its place in any case.
enum class afterwards { restarted, kept, deleted };
afterwards end_one(otp::restart_type restart, const otp::exit_reason& why) {
  journal log;
  auto sup = otp::supervisor::start_link(
                 {.strategy = otp::one_for_one,
                  .children = {unit_spec(log, "a"), unit_spec(log, "c").restart(restart), unit_spec(log, "z")}})
                 .value();
  otp::pid before = process_of(sup, "c");
  if (why == killed)
    otp::exit(before, otp::reason::kill);
  else
    finish(before, why);
  otp::testing::settle();
  auto child = otp::supervisor::get_child(sup, "c");
  afterwards then = !child                                      ? afterwards::deleted
                    : child->state == otp::child_state::running ? afterwards::restarted
                                                                : afterwards::kept;
  if (then == afterwards::restarted) {
    EXPECT_NE(child->process, before);
  }
  if (then != afterwards::deleted) {
    EXPECT_EQ(ids_of(sup), (strings{"\"z\"", "\"c\"", "\"a\""}));
  }
  otp::supervisor::stop(sup);
  static_cast<void>(exit_from(sup));
  return then;
}

}  // namespace

// covers: SUP-028 SUP-032 SUP-033 D17
TEST(supervisor_restart, a_permanent_child_is_restarted_after_any_end) {
  supervised(5, [] {
    for (auto& way : ways()) EXPECT_EQ(end_one(otp::permanent, way.why), afterwards::restarted) << way.why.to_string();
  });
}

// covers: SUP-029 SUP-030 SUP-033 D17
TEST(supervisor_restart, a_transient_child_is_restarted_after_a_failure_only_and_keeps_its_spec) {
  supervised(5, [] {
    for (auto& way : ways())
      EXPECT_EQ(end_one(otp::transient, way.why), way.expected ? afterwards::kept : afterwards::restarted)
          << way.why.to_string();
  });
}

// covers: SUP-031
TEST(supervisor_restart, a_temporary_child_is_never_restarted_and_its_spec_goes) {
  supervised(5, [] {
    for (auto& way : ways()) EXPECT_EQ(end_one(otp::temporary, way.why), afterwards::deleted) << way.why.to_string();
  });
}

namespace {

// Four children under a strategy; `failing` crashes. What the journal says after it.
strings crash_in_group(otp::strategy strategy, const std::string& failing) {
  journal log;
  auto sup = otp::supervisor::start_link(
                 {.strategy = strategy,
                  .children = {unit_spec(log, "a"), unit_spec(log, "b"), unit_spec(log, "c"), unit_spec(log, "d")}})
                 .value();
  log.take();
  std::vector<otp::pid> before;
  for (const char* id : {"a", "b", "c", "d"}) before.push_back(process_of(sup, id));
  finish(process_of(sup, failing), "crash");
  otp::testing::settle();
  auto lines = log.take();
  std::size_t i = 0;
  for (const char* id : {"a", "b", "c", "d"}) {
    bool restarted = std::find(lines.begin(), lines.end(), std::string("+") + id) != lines.end();
    EXPECT_EQ(process_of(sup, id) != before[i++], restarted) << id;
  }
  EXPECT_EQ(ids_of(sup), (strings{"\"d\"", "\"c\"", "\"b\"", "\"a\""}));
  otp::supervisor::stop(sup);
  static_cast<void>(exit_from(sup));
  return lines;
}

}  // namespace

// covers: SUP-036
TEST(supervisor_restart, one_for_one_restarts_the_failed_child_only) {
  supervised(20, [] { EXPECT_EQ(crash_in_group(otp::one_for_one, "b"), (strings{"-b \"crash\"", "+b"})); });
}

// covers: SUP-037
TEST(supervisor_restart, rest_for_one_stops_those_after_it_in_reverse_and_starts_from_it_on) {
  supervised(20, [] {
    EXPECT_EQ(crash_in_group(otp::rest_for_one, "b"),
              (strings{"-b \"crash\"", "-d shutdown", "-c shutdown", "+b", "+c", "+d"}));
    EXPECT_EQ(crash_in_group(otp::rest_for_one, "d"), (strings{"-d \"crash\"", "+d"}));
    EXPECT_EQ(crash_in_group(otp::rest_for_one, "a"),
              (strings{"-a \"crash\"", "-d shutdown", "-c shutdown", "-b shutdown", "+a", "+b", "+c", "+d"}));
  });
}

// covers: SUP-038
TEST(supervisor_restart, one_for_all_stops_all_others_in_reverse_and_starts_all_in_order) {
  supervised(20, [] {
    EXPECT_EQ(crash_in_group(otp::one_for_all, "b"),
              (strings{"-b \"crash\"", "-d shutdown", "-c shutdown", "-a shutdown", "+a", "+b", "+c", "+d"}));
  });
}

// covers: SUP-037 SUP-038
TEST(supervisor_restart, a_group_restart_forgets_temporary_children_and_starts_those_that_had_ended) {
  supervised(20, [] {
    journal log;
    auto sup =
        otp::supervisor::start_link({.strategy = otp::one_for_all,
                                     .children = {unit_spec(log, "a"), unit_spec(log, "t").restart(otp::temporary),
                                                  unit_spec(log, "x").restart(otp::transient), unit_spec(log, "d")}})
            .value();
    finish(process_of(sup, "x"), normal);
    otp::testing::settle();
    EXPECT_EQ(state_of(sup, "x"), otp::child_state::undefined);
    log.take();
    finish(process_of(sup, "d"), "crash");
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"-d \"crash\"", "-t shutdown", "-a shutdown", "+a", "+x", "+d"}));
    EXPECT_EQ(ids_of(sup), (strings{"\"d\"", "\"x\"", "\"a\""}));
  });
}

// covers: SUP-039
TEST(supervisor_restart, siblings_are_stopped_by_their_own_shutdown_setting) {
  supervised_logged(20, [](event_log& events) {
    journal log;
    journal slow;
    auto sup =
        otp::supervisor::start_link(
            {.strategy = otp::one_for_all,
             .children = {otp::child<stubborn>(slow).id("2 s").shutdown(2s),
                          otp::child<stubborn>(slow).id("at once").shutdown(otp::brutal_kill), unit_spec(log, "c")}})
            .value();
    otp::pid c = process_of(sup, "c");
    auto begin = otp::now();
    finish(c, "crash");
    new_process(sup, "c", c);
    EXPECT_EQ(otp::now() - begin, 2s);
    EXPECT_EQ(slow.take(), strings{"asked"});  // the one that is killed at once is not asked
    EXPECT_EQ(log.take(), (strings{"+c", "-c \"crash\"", "+c"}));
    ASSERT_EQ(events.count("shutdown_error"), 1U);
    EXPECT_EQ(events.of("shutdown_error")[0].field("id"), "\"2 s\"");
  });
}

// covers: D05
TEST(supervisor_restart, siblings_that_crash_during_a_group_restart_do_not_disturb_it) {
  for (otp::strategy strategy : {otp::one_for_all, otp::rest_for_one})
    supervised(100, [strategy] {
      journal log;
      auto sup = otp::supervisor::start_link(
                     {.strategy = strategy,
                      .max_restarts = 100,
                      .children = {unit_spec(log, "a"), unit_spec(log, "b"), unit_spec(log, "c"), unit_spec(log, "d")}})
                     .value();
      strings all{"a", "b", "c", "d"};
      for (int round = 0; round < 3; ++round) {
        // They all go at once, in whatever order the seed makes of it.
        for (auto& id : all) otp::exit(process_of(sup, id), otp::reason::kill);
        otp::testing::settle();
        auto children = otp::supervisor::which_children(sup);
        ASSERT_EQ(children.size(), 4U);
        for (std::size_t i = 0; i < 4; ++i) {
          EXPECT_EQ(children[i].id, otp::child_id(all[3 - i]));
          EXPECT_TRUE(otp::is_alive(children[i].process));
        }
        // Every restart starts the failed child and those that go with it once each, in order, up to the last.
        std::string starts;
        for (auto& line : log.take())
          if (line[0] == '+') starts += line[1];
        ASSERT_FALSE(starts.empty());
        EXPECT_EQ(starts.back(), 'd');
        if (strategy == otp::one_for_all) {
          EXPECT_EQ(starts.front(), 'a');
        }
        for (std::size_t i = 0; i + 1 < starts.size(); ++i) {
          bool new_restart = starts[i] == 'd' && (strategy != otp::one_for_all || starts[i + 1] == 'a');
          EXPECT_TRUE(new_restart || starts[i + 1] == starts[i] + 1) << starts;
        }
      }
      EXPECT_EQ(otp::process_count(), 6U);
    });
}

// covers: D05
TEST(supervisor_restart, a_sibling_that_crashes_while_the_group_is_being_started_causes_one_restart_more) {
  supervised(50, [] {
    journal log;
    static otp::pid a;
    struct killer {  // kills its elder sibling while it is being started itself, once
      explicit killer(journal log) {
        log.add("+b");
        if (a) otp::exit(std::exchange(a, otp::pid()), otp::reason::kill);
        otp::sleep(1s);
      }
    };
    a = {};
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_all,
                    .children = {unit_spec(log, "a"), otp::child<killer>(log).id("b"), unit_spec(log, "c")}})
                   .value();
    log.take();
    otp::pid c = process_of(sup, "c");
    finish(c, "crash");
    for (int i = 0; i < 10 && !a; ++i) {
      // As soon as the second start of `a` is under way, it is the one to be killed.
      otp::testing::advance(100ms);
      if (auto lines = log.take(); std::find(lines.begin(), lines.end(), "+a") != lines.end()) break;
    }
    otp::testing::advance(10s);
    EXPECT_EQ(ids_of(sup), (strings{"\"c\"", "\"b\"", "\"a\""}));
    EXPECT_EQ(otp::supervisor::count_children(sup).active, 3U);
  });
}

namespace {
struct inner_tree {
  static otp::supervisor_spec init(journal log) {
    return {.strategy = otp::one_for_one, .max_restarts = 0, .children = {unit_spec(log, "x"), unit_spec(log, "y")}};
  }
};
}  // namespace

// covers: SUP-045 SUP-046
TEST(supervisor_restart, an_inner_supervisor_that_gives_up_is_a_child_that_ended_with_shutdown) {
  supervised(20, [] {
    journal log;
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one,
                    .children = {otp::child<inner_tree>(log).id("permanent"),
                                 otp::child<inner_tree>(journal()).id("transient").restart(otp::transient)}})
                   .value();
    otp::pid inner = process_of(sup, "permanent");
    ASSERT_TRUE(otp::supervisor::start_child(inner, unit_spec(log, "added")));
    log.take();
    finish(process_of(inner, "x"), "crash");
    otp::pid again = new_process(sup, "permanent", inner);
    EXPECT_EQ(log.take(), (strings{"-x \"crash\"", "-added shutdown", "-y shutdown", "+x", "+y"}));
    EXPECT_EQ(ids_of(again), (strings{"\"y\"", "\"x\""}));  // what was added is not there

    otp::pid other = process_of(sup, "transient");
    otp::ref gone = otp::monitor(other);
    finish(process_of(other, "x"), "crash");
    EXPECT_EQ(reason_of(gone), shutdown);
    otp::testing::settle();
    EXPECT_EQ(state_of(sup, "transient"), otp::child_state::undefined);
  });
}

// covers: SUP-047 SUP-048 SUP-049 D02
TEST(supervisor_restart, as_many_restarts_as_told_are_tolerated_and_the_next_ends_it) {
  for (int tolerated : {0, 1, 3})
    supervised(10, [tolerated] {
      journal log;
      auto sup =
          otp::supervisor::start_link({.strategy = otp::one_for_one,
                                       .max_restarts = tolerated,
                                       .max_seconds = 5s,
                                       .children = {unit_spec(log, "a"), unit_spec(log, "b"), unit_spec(log, "c")}},
                                      {.name = "tolerant"})
              .value();
      for (int i = 0; i < tolerated; ++i) {
        otp::pid b = process_of(sup, "b");
        finish(b, "crash");
        new_process(sup, "b", b);
        otp::testing::advance(1s);
      }
      log.take();
      finish(process_of(sup, "b"), "crash");
      EXPECT_EQ(exit_from(sup), shutdown);
      EXPECT_EQ(log.take(), (strings{"-b \"crash\"", "-c shutdown", "-a shutdown"}));
      EXPECT_FALSE(otp::whereis("tolerant"));
      EXPECT_EQ(otp::process_count(), 1U);
    });
}

namespace {
// Crashes one child again and again, every `apart`. Whether the supervisor is there after so many.
bool survives(int crashes, otp::duration apart, int tolerated, otp::duration period) {
  journal log;
  auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one,
                                          .max_restarts = tolerated,
                                          .max_seconds = period,
                                          .children = {unit_spec(log, "c")}})
                 .value();
  for (int i = 0; i < crashes; ++i) {
    finish(process_of(sup, "c"), "crash");
    otp::testing::settle();
    if (!otp::is_alive(sup)) return false;
    otp::testing::advance(apart);
  }
  otp::supervisor::stop(sup);
  return true;
}
}  // namespace

// covers: SUP-050 D03
TEST(supervisor_restart, restarts_further_apart_than_the_period_are_tolerated_for_ever) {
  supervised(5, [] {
    EXPECT_TRUE(survives(50, 5s + 1ns, 1, 5s));
    EXPECT_TRUE(survives(50, 2500ms + 1ns, 2, 5s));
    EXPECT_TRUE(survives(500, 1s, 10, 5s));
    // One that is exactly a period old still counts.
    EXPECT_FALSE(survives(2, 5s, 1, 5s));
    EXPECT_FALSE(survives(3, 2500ms, 2, 5s));
    EXPECT_FALSE(survives(2, 5s - 1ns, 1, 5s));
    // After a pause the count begins anew.
    EXPECT_TRUE(survives(3, 1s, 3, 5s));
  });
}

// covers: SUP-047 SUP-050
TEST(supervisor_restart, bursts_and_pauses_are_counted_exactly) {
  supervised(3, [] {
    journal log;
    auto sup =
        otp::supervisor::start_link(
            {.strategy = otp::one_for_one, .max_restarts = 4, .max_seconds = 10s, .children = {unit_spec(log, "c")}})
            .value();
    auto crash = [&] {
      finish(process_of(sup, "c"), "crash");
      otp::testing::settle();
      return otp::is_alive(sup);
    };
    // 0 s: two; 6 s: two; 10 s + 1 ns: the first two are forgotten, so two more; then one more is one too many.
    EXPECT_TRUE(crash());
    EXPECT_TRUE(crash());
    otp::testing::advance(6s);
    EXPECT_TRUE(crash());
    EXPECT_TRUE(crash());
    otp::testing::advance(4s + 1ns);
    EXPECT_TRUE(crash());
    EXPECT_TRUE(crash());
    EXPECT_FALSE(crash());
    EXPECT_EQ(exit_from(sup), shutdown);
  });
}

// covers: SUP-054
TEST(supervisor_restart, a_group_restart_counts_once) {
  supervised(20, [] {
    for (otp::strategy strategy : {otp::one_for_all, otp::rest_for_one}) {
      journal log;
      auto sup =
          otp::supervisor::start_link({.strategy = strategy,
                                       .max_restarts = 1,
                                       .children = {unit_spec(log, "a"), unit_spec(log, "b"), unit_spec(log, "c")}})
              .value();
      finish(process_of(sup, "a"), "crash");
      otp::testing::settle();
      ASSERT_TRUE(otp::is_alive(sup));
      EXPECT_EQ(otp::supervisor::count_children(sup).active, 3U);
      finish(process_of(sup, "a"), "crash");
      EXPECT_EQ(exit_from(sup), shutdown);
    }
  });
}

namespace {

// A child whose starts go by a script: + starts, - fails, i declines; at the end of the script the last goes on.
struct script {
  std::shared_ptr<std::string> steps;
  std::shared_ptr<std::size_t> at = std::make_shared<std::size_t>(0);
  otp::result<otp::pid> operator()() const {
    char step = (*steps)[std::min((*at)++, steps->size() - 1)];
    if (step == '-') return std::unexpected(otp::exit_reason("not now"));
    if (step == 'i') return std::unexpected(otp::exit_reason(otp::reason::ignore));
    return otp::spawn_link([] { rest(); });
  }
};
script scripted(std::string steps) { return {std::make_shared<std::string>(std::move(steps))}; }

}  // namespace

// covers: SUP-047 SUP-078 SUP-080
TEST(supervisor_restart, a_restart_that_fails_is_tried_again_as_a_message_of_its_own_and_counts) {
  supervised(30, [] {
    auto start = scripted("+---+");
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one, .max_restarts = 4, .children = {otp::child_function("c", start)}})
                   .value();
    otp::exit(process_of(sup, "c"), otp::reason::kill);
    otp::testing::settle();
    EXPECT_EQ(*start.at, 5U);
    EXPECT_EQ(state_of(sup, "c"), otp::child_state::running);
    // Four restarts were counted: the next one ends the supervisor.
    otp::exit(process_of(sup, "c"), otp::reason::kill);
    EXPECT_EQ(exit_from(sup), shutdown);
  });
}

// covers: SUP-072 SUP-078 SUP-080 SUP-085 SUP-076
TEST(supervisor_restart, between_attempts_the_supervisor_serves_requests) {
  supervised(30, [] {
    auto start = scripted("+-");
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one,
                                            .max_restarts = 1'000'000'000,
                                            .children = {otp::child_function("c", start)}})
                   .value();
    otp::exit(process_of(sup, "c"), otp::reason::kill);
    while (state_of(sup, "c") != otp::child_state::restarting) {
    }
    EXPECT_EQ(process_of(sup, "c"), otp::pid());
    EXPECT_EQ(otp::supervisor::restart_child(sup, "c").error(), otp::reason::restarting);
    EXPECT_EQ(otp::supervisor::delete_child(sup, "c").error(), otp::reason::restarting);
    // It was answered already_started, with a process that is dead.
    EXPECT_EQ(otp::supervisor::start_child(sup, otp::child_function("c", start)).error(), otp::reason::already_present);
    EXPECT_EQ(otp::supervisor::count_children(sup).active, 0U);
    EXPECT_EQ(otp::supervisor::count_children(sup).specs, 1U);
    EXPECT_TRUE(otp::supervisor::terminate_child(sup, "c"));
    EXPECT_EQ(state_of(sup, "c"), otp::child_state::undefined);
    auto tries = *start.at;
    otp::testing::settle();
    EXPECT_EQ(*start.at, tries);  // it is over
    EXPECT_TRUE(otp::supervisor::delete_child(sup, "c"));
  });
}

// covers: SUP-037 SUP-038
TEST(supervisor_restart, a_group_restart_in_which_a_start_fails_is_tried_again_from_there) {
  supervised(30, [] {
    journal log;
    auto start = scripted("+-+");
    auto spec = [&] {
      return std::vector<otp::child_spec>{unit_spec(log, "a"), unit_spec(log, "b"), otp::child_function("s", start),
                                          unit_spec(log, "d")};
    };
    auto sup = otp::supervisor::start_link({.strategy = otp::rest_for_one, .children = spec()}).value();
    log.take();
    finish(process_of(sup, "b"), "crash");
    otp::testing::settle();
    // b is back; s failed, so from s on it is tried once more.
    EXPECT_EQ(log.take(), (strings{"-b \"crash\"", "-d shutdown", "+b", "+d"}));
    EXPECT_EQ(otp::supervisor::count_children(sup).active, 4U);

    *start.at = 0;
    auto all = otp::supervisor::start_link({.strategy = otp::one_for_all, .children = spec()}).value();
    log.take();
    finish(process_of(all, "b"), "crash");
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"-b \"crash\"", "-d shutdown", "-a shutdown", "+a", "+b", "-b shutdown",
                                   "-a shutdown", "+a", "+b", "+d"}));
    EXPECT_EQ(otp::supervisor::count_children(all).active, 4U);
  });
}

// covers: SUP-008 D04
TEST(supervisor_restart, a_child_that_declines_at_its_restart_keeps_its_place_and_is_not_tried_again) {
  supervised(20, [] {
    auto start = scripted("+i+");
    auto sup =
        otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child_function("c", start)}})
            .value();
    otp::exit(process_of(sup, "c"), otp::reason::kill);
    otp::testing::settle();
    EXPECT_EQ(*start.at, 2U);
    EXPECT_EQ(state_of(sup, "c"), otp::child_state::undefined);
    EXPECT_TRUE(otp::supervisor::restart_child(sup, "c"));
    EXPECT_EQ(state_of(sup, "c"), otp::child_state::running);
  });
}
