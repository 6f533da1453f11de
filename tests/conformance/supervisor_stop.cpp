// Stopping: children one after the other, each by its own setting, and what does not stop a supervisor.
#include "conformance/supervisor_support.hpp"

#include <otp/blocking.hpp>

using namespace conformance;

namespace {

// Takes some time to end when it is asked.
struct slow_to_end {
  slow_to_end(journal to, std::string called, otp::duration needs)
      : log(std::move(to)), name(std::move(called)), time(needs) {
    otp::trap_exit(true);
  }
  void terminate(const otp::exit_reason&) {
    log.add("asked " + name);
    otp::sleep(time);
    log.add("ended " + name);
  }
  journal log;
  std::string name;
  otp::duration time;
};

otp::child_spec slow(const journal& log, const std::string& name, otp::duration time) {
  return otp::child<slow_to_end>(log, name, time).id(name);
}

}  // namespace

// covers: SUP-058
TEST(supervisor_stop, children_are_stopped_one_at_a_time_in_reverse_start_order) {
  supervised(30, [] {
    for (int way = 0; way < 3; ++way) {
      journal log;
      otp::pid sup;
      otp::pid owner = otp::spawn([&, tell = otp::self()] {
        otp::supervisor_spec spec{.strategy = otp::one_for_one, .children = {slow(log, "a", 1s), slow(log, "b", 2s)}};
        sup = otp::supervisor::start_link(spec).value();
        otp::supervisor::start_child(sup, slow(log, "c", 1s)).value();
        otp::send(tell, 1);
        rest();
      });
      next<int>();
      otp::ref gone = otp::monitor(sup);
      auto begin = otp::now();
      switch (way) {
        case 0: otp::exit(owner, "crash"); break;                    // its parent ends
        case 1: otp::supervisor::stop(sup); break;                   // it is stopped
        case 2: otp::exit(process_of(sup, "a"), otp::reason::kill);  // it gives up: see below
      }
      if (way == 2) {
        for (int i = 0; i < 3; ++i) {
          otp::testing::settle();
          otp::exit(process_of(sup, "a"), otp::reason::kill);
        }
        EXPECT_EQ(reason_of(gone), shutdown);
        EXPECT_EQ(log.take(), (strings{"asked c", "ended c", "asked b", "ended b"}));
        EXPECT_EQ(otp::now() - begin, 3s);
        continue;
      }
      EXPECT_EQ(reason_of(gone), way == 0 ? otp::exit_reason("crash") : otp::exit_reason());
      EXPECT_EQ(log.take(), (strings{"asked c", "ended c", "asked b", "ended b", "asked a", "ended a"}));
      EXPECT_EQ(otp::now() - begin, 4s);
    }
  });
}

// covers: SUP-059 D06
TEST(supervisor_stop, a_child_that_does_not_end_in_its_time_is_killed) {
  supervised(20, [] {
    journal log;
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one,
                    .children = {otp::child<stubborn>(log).id("s").shutdown(1500ms), slow(log, "in time", 1s)}})
                   .value();
    otp::pid child = process_of(sup, "s");
    auto watch = otp::monitor(child);
    auto begin = otp::now();
    EXPECT_TRUE(otp::supervisor::terminate_child(sup, "s"));
    EXPECT_EQ(otp::now() - begin, 1500ms);
    EXPECT_EQ(reason_of(watch), killed);
    EXPECT_EQ(log.take(), strings{"asked"});
    begin = otp::now();
    EXPECT_TRUE(otp::supervisor::terminate_child(sup, "in time"));
    EXPECT_EQ(otp::now() - begin, 1s);
    EXPECT_EQ(log.take(), (strings{"asked in time", "ended in time"}));
  });
}

// covers: SUP-059 SUP-019
TEST(supervisor_stop, a_shutdown_time_of_zero_kills_without_waiting_but_after_asking) {
  supervised(20, [] {
    journal log;
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one, .children = {otp::child<stubborn>(log).id("s").shutdown(0s)}})
                   .value();
    auto watch = otp::monitor(process_of(sup, "s"));
    auto begin = otp::now();
    EXPECT_TRUE(otp::supervisor::terminate_child(sup, "s"));
    EXPECT_EQ(otp::now(), begin);
    EXPECT_EQ(reason_of(watch), killed);
  });
}

// covers: SUP-060 D06
TEST(supervisor_stop, with_infinity_the_child_has_all_the_time_it_needs) {
  supervised(10, [] {
    journal log;
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one, .children = {slow(log, "a", 24h * 365).shutdown(otp::infinity)}})
                   .value();
    auto begin = otp::now();
    otp::supervisor::stop(sup);
    EXPECT_EQ(otp::now() - begin, 24h * 365);
    EXPECT_EQ(log.take(), (strings{"asked a", "ended a"}));
  });
}

// covers: SUP-061 D06
TEST(supervisor_stop, brutal_kill_does_not_ask) {
  supervised(20, [] {
    journal log;
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one, .children = {slow(log, "a", 1s).shutdown(otp::brutal_kill)}})
                   .value();
    auto watch = otp::monitor(process_of(sup, "a"));
    auto begin = otp::now();
    EXPECT_TRUE(otp::supervisor::terminate_child(sup, "a"));
    EXPECT_EQ(otp::now(), begin);
    EXPECT_EQ(reason_of(watch), killed);
    EXPECT_EQ(log.take(), strings{});
  });
}

// covers: SUP-059
TEST(supervisor_stop, a_child_that_has_unlinked_itself_is_stopped_all_the_same) {
  supervised(20, [] {
    auto sup =
        otp::supervisor::start_link({.strategy = otp::one_for_one,
                                     .children = {otp::child_function("loose",
                                                                      [] {
                                                                        return otp::spawn_link([parent = otp::self()] {
                                                                          otp::unlink(parent);
                                                                          rest();
                                                                        });
                                                                      })}})
            .value();
    otp::testing::settle();
    otp::pid child = process_of(sup, "loose");
    auto begin = otp::now();
    otp::supervisor::stop(sup);
    EXPECT_EQ(otp::now(), begin);
    EXPECT_FALSE(otp::is_alive(child));
  });
}

// covers: SUP-066
TEST(supervisor_stop, exit_signals_of_others_do_not_stop_it_but_a_kill_does) {
  supervised(30, [] {
    journal log;
    otp::pid sup;
    // The test is not its parent.
    otp::pid parent = otp::spawn([&, tell = otp::self()] {
      sup = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {unit_spec(log, "a")}}).value();
      otp::send(tell, 1);
      rest();
    });
    next<int>();
    for (const otp::exit_reason& why : abnormal_reasons()) otp::exit(sup, why);
    otp::exit(sup, normal);
    otp::testing::settle();
    EXPECT_TRUE(otp::is_alive(sup));
    EXPECT_EQ(otp::supervisor::count_children(sup).active, 1U);
    EXPECT_EQ(log.take(), strings{"+a"});
    otp::ref child = otp::monitor(process_of(sup, "a"));
    otp::ref above = otp::monitor(parent);
    otp::exit(sup, otp::reason::kill);
    EXPECT_EQ(reason_of(child), killed);
    EXPECT_EQ(reason_of(above), killed);
  });
}

// The exit signal of a timer, or of a thread outside, was taken for the parent's order to end.
// covers: SUP-066
TEST(supervisor_stop, an_exit_signal_of_no_process_does_not_stop_it) {
  supervised(20, [] {
    journal log;
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {unit_spec(log, "a")}}).value();
    for (const otp::exit_reason& why : {otp::exit_reason(shutdown), otp::exit_reason(normal), otp::exit_reason("odd")})
      otp::exit_after(1s, sup, why);
    otp::sleep(2s);
    EXPECT_EQ(otp::supervisor::count_children(sup).active, 1U);
    // Nor the start of a child that is under way.
    struct slow {
      slow() { otp::sleep(10s); }
    };
    otp::exit_after(1s, sup, shutdown);
    EXPECT_TRUE(otp::supervisor::start_child(sup, otp::child<slow>()));
    EXPECT_EQ(log.take(), strings{"+a"});
    otp::exit(sup, shutdown);  // its parent does
    EXPECT_EQ(exit_from(sup), shutdown);
    EXPECT_EQ(log.take(), strings{"-a shutdown"});
  });
  recorder quiet;
  otp::runtime rt({.workers = 2, .listener = &quiet});
  rt.start();
  journal log;
  EXPECT_EQ(rt.run([&] {
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {unit_spec(log, "a")}}).value();
    otp::blocking([&] { rt.exit(sup, shutdown); });
    EXPECT_EQ(otp::supervisor::count_children(sup).active, 1U);
  }),
            normal);
  EXPECT_TRUE(rt.stop().clean());
}

// covers: SUP-068
TEST(supervisor_stop, stop_ends_the_children_with_shutdown_and_the_supervisor_with_the_given_reason) {
  supervised(20, [] {
    for (const otp::exit_reason& why : {otp::exit_reason(), otp::exit_reason(shutdown), otp::exit_reason("because")}) {
      journal log;
      auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {unit_spec(log, "a")}},
                                             {.name = "stopped"})
                     .value();
      otp::supervisor::stop("stopped", why);
      EXPECT_EQ(exit_from(sup), why);
      EXPECT_EQ(log.take(), (strings{"+a", "-a shutdown"}));
      EXPECT_FALSE(otp::whereis("stopped"));
    }
  });
}

// covers: SUP-069
TEST(supervisor_stop, the_end_of_a_linked_process_that_is_no_child_is_ignored) {
  supervised(20, [] {
    journal log;
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {unit_spec(log, "a")}}).value();
    for (const otp::exit_reason& why : {otp::exit_reason(), otp::exit_reason(shutdown), otp::exit_reason("crash")}) {
      otp::pid stranger = otp::spawn([sup, why] {
        otp::link(sup);
        otp::exit(why);
      });
      static_cast<void>(end_of(stranger));
    }
    otp::testing::settle();
    EXPECT_TRUE(otp::is_alive(sup));
    EXPECT_EQ(log.take(), strings{"+a"});
    EXPECT_EQ(otp::info(sup)->links.size(), 2U);
  });
}

// covers: SUP-070
TEST(supervisor_stop, an_unexpected_message_is_reported_and_ignored) {
  supervised_logged(20, [](event_log& events) {
    journal log;
    auto sup =
        otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {unit_spec(log, "a")}}, {.name = "s"})
            .value();
    otp::send(sup.pid(), std::string("hello"));
    otp::testing::settle();
    EXPECT_EQ(otp::supervisor::count_children(sup).active, 1U);
    auto seen = events.of("unhandled_message");
    ASSERT_EQ(seen.size(), 1U);
    EXPECT_EQ(seen[0].process, sup.pid());
    EXPECT_EQ(seen[0].field("message"), "\"hello\"");
    EXPECT_EQ(otp::counters().unhandled, 1U);
  });
}

// covers: SUP-010 SUP-058
TEST(supervisor_stop, a_start_that_fails_stops_the_others_by_their_own_settings) {
  supervised(20, [] {
    journal log;
    auto begin = otp::now();
    auto sup =
        otp::supervisor::start_link({.strategy = otp::one_for_one,
                                     .children = {slow(log, "a", 3s), otp::child<stubborn>(log).id("b").shutdown(2s),
                                                  otp::child_function("bad", []() -> otp::pid { otp::exit("no"); })}});
    ASSERT_FALSE(sup);
    EXPECT_EQ(otp::now() - begin, 5s);
    EXPECT_EQ(log.take(), (strings{"asked", "asked a", "ended a"}));
    EXPECT_EQ(otp::process_count(), 1U);
  });
}

TEST(supervisor_stop, requests_that_come_while_a_child_is_being_stopped_wait_in_order) {
  supervised(50, [] {
    journal log;
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one, .children = {slow(log, "slow", 2s), unit_spec(log, "a")}})
                   .value();
    otp::pid a = process_of(sup, "a");
    log.take();
    otp::spawn([&] {
      EXPECT_TRUE(otp::supervisor::terminate_child(sup, "slow"));
      log.add("terminated");
    });
    otp::testing::settle();
    for (int i = 0; i < 3; ++i) {
      otp::spawn(
          [&, i] { EXPECT_TRUE(otp::supervisor::start_child(sup, unit_spec(log, "new " + std::to_string(i)))); });
      otp::testing::settle();
    }
    // A child that fails meanwhile is restarted in its turn; looking at the supervisor works all the time.
    finish(a, "crash");
    otp::testing::settle();
    EXPECT_EQ(otp::sys::get_status(sup).state,
              "supervisor{strategy: one_for_one, children: 2, doing: stopping a child}");
    otp::testing::advance(10s);
    EXPECT_EQ(ids_of(sup).size(), 5U);
    auto lines = log.take();
    EXPECT_LT(std::find(lines.begin(), lines.end(), "ended slow"), std::find(lines.begin(), lines.end(), "+new 0"));
    EXPECT_LT(std::find(lines.begin(), lines.end(), "+new 0"), std::find(lines.begin(), lines.end(), "+new 1"));
    EXPECT_LT(std::find(lines.begin(), lines.end(), "+new 1"), std::find(lines.begin(), lines.end(), "+new 2"));
    EXPECT_LT(std::find(lines.begin(), lines.end(), "+new 2"), std::find(lines.begin(), lines.end(), "+a"));
  });
}

TEST(supervisor_stop, a_suspended_supervisor_keeps_everything_for_later_and_can_be_stopped) {
  supervised(20, [] {
    journal log;
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {unit_spec(log, "a")}}).value();
    otp::pid a = process_of(sup, "a");
    otp::sys::suspend(sup);
    finish(a, "crash");
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"+a", "-a \"crash\""}));
    otp::sys::resume(sup);
    EXPECT_NE(new_process(sup, "a", a), a);
    otp::sys::suspend(sup);
    otp::supervisor::stop(sup);
    EXPECT_EQ(log.take(), (strings{"+a", "-a shutdown"}));
  });
}

// A stop was kept behind what a suspended supervisor keeps, so it came only after somebody had resumed it.
TEST(supervisor_stop, a_suspended_supervisor_that_keeps_requests_can_be_stopped) {
  supervised(20, [] {
    journal log;
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {unit_spec(log, "a")}}).value();
    otp::sys::suspend(sup);
    otp::pid asks = otp::spawn([sup] { otp::supervisor::which_children(sup); });
    otp::ref asked = otp::monitor(asks);
    otp::pid adds = otp::spawn([&] {
      auto added = otp::supervisor::start_child(sup, unit_spec(log, "b"));
      ASSERT_FALSE(added);
      EXPECT_EQ(added.error(), otp::reason::stopping);
    });
    otp::ref added = otp::monitor(adds);
    otp::testing::settle();
    otp::supervisor::stop(sup);
    EXPECT_EQ(log.take(), (strings{"+a", "-a shutdown"}));
    EXPECT_EQ(reason_of(asked).cause(), normal);
    EXPECT_EQ(reason_of(added), normal);
  });
}

// A child that called otp::exit on its supervisor was taken for one that had ended: it got a twin and was forgotten.
TEST(supervisor_stop, an_exit_signal_that_a_living_child_sends_is_not_its_end) {
  struct rebel {
    struct strike {
      otp::exit_reason why;
    };
    explicit rebel(journal to) : log(std::move(to)) { otp::trap_exit(true); }
    void handle_cast(const strike& s) { otp::exit(otp::parent(), s.why); }
    void terminate(const otp::exit_reason& why) {
      log.add("-rebel " + why.to_string());
      otp::exit(otp::parent(), "a last blow");
      otp::sleep(1s);
      log.add("gone");
    }
    journal log;
  };
  supervised(30, [] {
    for (auto strategy : {otp::one_for_one, otp::one_for_all}) {
      journal log;
      auto sup = otp::supervisor::start_link(
                     {.strategy = strategy,
                      .children = {unit_spec(log, "a"), otp::child<rebel>(log).id("rebel"), unit_spec(log, "b")}})
                     .value();
      otp::pid child = process_of(sup, "rebel");
      for (const otp::exit_reason& why : {otp::exit_reason("strike"), otp::exit_reason(shutdown)})
        otp::cast(otp::server<rebel>(child), rebel::strike{why});
      otp::testing::settle();
      EXPECT_EQ(process_of(sup, "rebel"), child);
      EXPECT_EQ(log.take(), (strings{"+a", "+b"}));
      // Not while it is kept for later either.
      otp::sys::suspend(sup);
      otp::cast(otp::server<rebel>(child), rebel::strike{"strike"});
      otp::testing::settle();
      otp::pid stopper = otp::spawn([sup] { otp::supervisor::stop(sup); });
      EXPECT_EQ(end_of(stopper), normal);
      EXPECT_EQ(exit_from(sup), normal);
      EXPECT_EQ(log.take(), (strings{"-b shutdown", "-rebel shutdown", "gone", "-a shutdown"}));
      EXPECT_EQ(otp::process_count(), 1U);
    }
  });
}
