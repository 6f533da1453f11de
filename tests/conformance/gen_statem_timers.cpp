// State machines: the event timer, the state timer, and timers with names.
#include <otp/receive.hpp>

#include "conformance/gen_statem_support.hpp"

namespace {

using namespace conformance;

/// Runs the code in the machine as a cast.
template <class M>
void tell(otp::server<M> m, std::function<typename M::move(M&)> what) {
  otp::cast(m, typename M::act{std::move(what)});
  otp::testing::settle();
}

// covers: SM-065
TEST(gen_statem_timers, one_that_runs_is_replaced) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using move = typename M::move;
    auto m = gen_statem::start<M>({}, log).value();
    for (const char* text : {"1", "2"}) {
      tell<M>(m, [=](M&) -> move {
        return otp::stay().state_timeout(2s, note{text}).timeout("n", 3s, note{text}).event_timeout(4s, note{text});
      });
      otp::sleep(1s);
      EXPECT_EQ(otp::sys::get_status(m).timers.size(), 3U);
    }
    otp::sleep(5s);
    EXPECT_EQ(log.take(), (strings{"state_timeout 2 in red", "{timeout, \"n\"} 2 in red"}));
  });
}

// covers: SM-066 SM-067
TEST(gen_statem_timers, different_ones_run_side_by_side_and_bring_their_events) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    auto m = gen_statem::start<M>({}, log).value();
    tell<M>(m, [](M&) -> typename M::move {
      return otp::stay()
          .timeout("a", 5s, note{"a"})
          .timeout(17, 4s, note{"seventeen"})
          .timeout("b", 3s, note{"b"})
          .state_timeout(2s, note{"state"})
          .event_timeout(1s, note{"event"});
    });
    EXPECT_EQ(otp::sys::get_status(m).timers.size(), 5U);
    otp::sleep(10s);
    EXPECT_EQ(log.take(),
              (strings{"event_timeout event in red", "state_timeout state in red", "{timeout, \"b\"} b in red",
                       "{timeout, 17} seventeen in red", "{timeout, \"a\"} a in red"}));
    EXPECT_TRUE(otp::sys::get_status(m).timers.empty());
  });
}

// covers: SM-068
TEST(gen_statem_timers, any_event_cancels_the_event_timer) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using move = typename M::move;
    auto m = gen_statem::start<M>({}, log).value();
    auto arm = [&] { tell<M>(m, [](M&) -> move { return otp::stay().event_timeout(10s, note{"idle"}); }); };
    auto nothing_came = [&] {
      otp::sleep(20s);
      for (auto& line : log.take()) EXPECT_EQ(line.find("idle"), std::string::npos) << line;
    };
    // Nothing else: it fires.
    arm();
    otp::sleep(20s);
    EXPECT_EQ(log.take(), strings{"event_timeout idle in red"});
    // A cast, a call, a message, one that nobody handles, another timer.
    arm();
    otp::cast(m, note{"x"});
    nothing_came();
    arm();
    otp::call(m, typename M::want{"x"});
    nothing_came();
    arm();
    otp::send(m.pid(), note{"x"});
    nothing_came();
    arm();
    otp::send(m.pid(), 42);
    nothing_came();
    tell<M>(m, [](M&) -> move { return otp::stay().event_timeout(10s, note{"idle"}).state_timeout(1s, note{"s"}); });
    nothing_came();
    // One that is inserted, or that comes back.
    tell<M>(m, [](M&) -> move { return otp::stay().event_timeout(10s, note{"idle"}).next_event(note{"in"}); });
    nothing_came();
    tell<M>(m, [](M& data) -> move {
      data.postponing = {"red"};
      return otp::stay();
    });
    otp::cast(m, note{"p"});
    tell<M>(m, [](M&) -> move { return otp::go(M::at_green()).event_timeout(10s, note{"idle"}); });
    nothing_came();
    // One that is postponed.
    tell<M>(m, [](M& data) -> move {
      data.postponing = {"green"};
      return otp::stay().event_timeout(10s, note{"idle"});
    });
    otp::cast(m, note{"p"});
    nothing_came();
  });
}
// covers: SM-068
TEST(gen_statem_timers, what_no_handler_sees_does_not_cancel_the_event_timer) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    tell<M>(m, [](M&) -> typename M::move { return otp::stay().event_timeout(10s, typename M::note{"idle"}); });
    otp::sleep(5s);
    otp::sys::get_status(m);
    otp::sys::suspend(m);
    otp::sys::resume(m);
    otp::sleep(6s);
    EXPECT_EQ(log.take(), strings{"event_timeout idle in red"});
  });
}

// covers: SM-071 SM-072 SM-073
TEST(gen_statem_timers, the_state_timer_lasts_as_long_as_the_state) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using move = typename M::move;
    auto m = gen_statem::start<M>({}, log).value();
    tell<M>(m, [](M&) -> move { return otp::stay().state_timeout(10s, note{"1"}); });
    tell<M>(m, [](M&) -> move { return otp::go(M::at_green()); });
    otp::sleep(20s);
    EXPECT_EQ(log.take(), strings{});
    // Kept and repeated.
    tell<M>(m, [](M&) -> move { return otp::stay().state_timeout(10s, note{"2"}); });
    otp::sleep(4s);
    tell<M>(m, [](M&) -> move { return otp::stay(); });
    tell<M>(m, [](M&) -> move { return otp::repeat_state(); });
    tell<M>(m, [](M&) -> move { return otp::go(M::at_green()); });
    otp::cast(m, note{"x"});
    otp::sleep(7s);
    EXPECT_EQ(log.take(), (strings{"cast x in green", "state_timeout 2 in green"}));
    // Set by the transition that changes the state.
    tell<M>(m, [](M&) -> move { return otp::stay().state_timeout(3s, note{"old"}); });
    tell<M>(m, [](M&) -> move { return otp::go(M::at_blue(1)).state_timeout(5s, note{"new"}); });
    otp::sleep(10s);
    EXPECT_EQ(log.take(), strings{"state_timeout new in blue1"});
    // Another value of the same type is another state.
    tell<M>(m, [](M&) -> move { return otp::stay().state_timeout(3s, note{"old"}); });
    tell<M>(m, [](M&) -> move { return otp::go(M::at_blue(2)); });
    otp::sleep(10s);
    EXPECT_EQ(log.take(), strings{});
  });
}

// covers: SM-074
TEST(gen_statem_timers, a_timer_with_a_name_ends_only_by_firing_cancel_restart_or_the_end) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using move = typename M::move;
    auto m = gen_statem::start<M>({}, log).value();
    tell<M>(m, [](M&) -> move {
      return otp::stay().timeout("a", 10s, note{"a"}).timeout("b", 10s, note{"b"}).timeout("c", 10s, note{"c"});
    });
    otp::cast(m, note{"x"});
    tell<M>(m, [](M&) -> move { return otp::go(M::at_green()); });
    tell<M>(m, [](M&) -> move { return otp::stay().cancel_timeout("b").timeout("c", 20s, note{"c again"}); });
    otp::sleep(15s);
    EXPECT_EQ(log.take(), (strings{"cast x in red", "{timeout, \"a\"} a in green"}));
    otp::sleep(10s);
    EXPECT_EQ(log.take(), strings{"{timeout, \"c\"} c again in green"});
    tell<M>(m, [](M&) -> move { return otp::stay().timeout("d", 1s, note{"d"}); });
    gen_statem::stop(m);
    otp::sleep(10s);
    EXPECT_EQ(log.take(), strings{});
  });
}

// covers: SM-075
TEST(gen_statem_timers, an_event_timeout_of_a_bare_time_brings_that_time) {
  struct machine {
    struct only {};
    using states = otp::states<only>;
    struct start {};
    using events = otp::events<start>;
    explicit machine(journal j) : log(std::move(j)) {}
    otp::step<void> on(only&, const start&) { return otp::stay().event_timeout(3s); }
    void on(only&, const otp::duration& time, const otp::event_type& type) {
      log.add(type.to_string() + " " + std::to_string(time.count()));
    }
    journal log;
  };
  for_seeds(5, [] {
    journal log;
    auto m = gen_statem::start<machine>({}, log).value();
    otp::cast(m, machine::start{});
    otp::sleep(2s);
    EXPECT_EQ(log.take(), strings{});
    otp::sleep(2s);
    EXPECT_EQ(log.take(), strings{"event_timeout 3000000000"});
  });
}

// covers: SM-076 SM-077
TEST(gen_statem_timers, infinity_and_cancel_stop_a_timer_and_are_nothing_without_one) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using move = typename M::move;
    auto m = gen_statem::start<M>({}, log).value();
    auto stop_by = [&](std::function<move(M&)> how) {
      tell<M>(m, how);  // none runs
      tell<M>(m, [](M&) -> move {
        return otp::stay().state_timeout(1s, note{"s"}).timeout("n", 1s, note{"n"}).event_timeout(1s, note{"e"});
      });
      tell<M>(m, how);
      EXPECT_TRUE(otp::sys::get_status(m).timers.empty());
      otp::sleep(5s);
      EXPECT_EQ(log.take(), strings{});
    };
    stop_by([](M&) -> move {
      return otp::stay()
          .state_timeout(otp::infinity, note{"s"})
          .timeout("n", otp::infinity, note{"n"})
          .event_timeout(otp::infinity, note{"e"});
    });
    stop_by([](M&) -> move { return otp::stay().cancel_state_timeout().cancel_timeout("n").cancel_event_timeout(); });
    // In the same breath, and one of no time.
    tell<M>(m, [](M&) -> move {
      return otp::stay()
          .state_timeout(0s, note{"s"})
          .timeout("n", 1s, note{"n"})
          .event_timeout(0s, note{"e"})
          .cancel_state_timeout()
          .cancel_timeout("n")
          .cancel_event_timeout();
    });
    otp::sleep(5s);
    EXPECT_EQ(log.take(), strings{});
  });
}

// covers: SM-079
TEST(gen_statem_timers, an_update_changes_the_event_and_starts_at_once_what_does_not_run) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using move = typename M::move;
    auto m = gen_statem::start<M>({}, log).value();
    tell<M>(m, [](M&) -> move { return otp::stay().state_timeout(10s, note{"s"}).timeout("n", 12s, note{"n"}); });
    otp::sleep(5s);
    tell<M>(m, [](M&) -> move { return otp::stay().update_state_timeout(note{"s2"}).update_timeout("n", note{"n2"}); });
    EXPECT_EQ(log.take(), strings{});
    otp::sleep(6s);
    EXPECT_EQ(log.take(), strings{"state_timeout s2 in red"});
    otp::sleep(2s);
    EXPECT_EQ(log.take(), strings{"{timeout, \"n\"} n2 in red"});
    tell<M>(m, [](M&) -> move { return otp::stay().update_state_timeout(note{"now"}); });
    EXPECT_EQ(log.take(), strings{"state_timeout now in red"});
    tell<M>(m, [](M&) -> move { return otp::stay().update_timeout("x", note{"now"}); });
    EXPECT_EQ(log.take(), strings{"{timeout, \"x\"} now in red"});
    tell<M>(m, [](M&) -> move { return otp::stay().update_event_timeout(note{"now"}); });
    EXPECT_EQ(log.take(), strings{"event_timeout now in red"});
  });
}

// Of several actions on one timer all were done, one after the other; in OTP only the last counts at all.
// covers: SM-043 SM-065 SM-076 SM-077 SM-079
TEST(gen_statem_timers, of_several_actions_on_one_timer_only_the_last_is_done) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using move = typename M::move;
    auto m = gen_statem::start<M>({}, log).value();
    auto run_100 = [&] { tell<M>(m, [](M&) -> move { return otp::stay().timeout("n", 100ms, note{"a"}); }); };
    auto comes_at = [&](otp::duration when) {
      otp::sleep(when);
      otp::testing::settle();
      strings seen = log.take();
      otp::sleep(1s);
      EXPECT_EQ(log.take(), strings{});
      return seen;
    };
    const strings b{"{timeout, \"n\"} b in red"};
    // None ran before: an update comes at once.
    tell<M>(m, [](M&) -> move { return otp::stay().timeout("n", 100ms, note{"a"}).update_timeout("n", note{"b"}); });
    EXPECT_EQ(comes_at(0s), b);
    tell<M>(m, [](M&) -> move { return otp::stay().timeout("n", 0s, note{"a"}).update_timeout("n", note{"b"}); });
    EXPECT_EQ(comes_at(0s), b);
    tell<M>(m, [](M&) -> move { return otp::stay().update_timeout("n", note{"a"}).update_timeout("n", note{"b"}); });
    EXPECT_EQ(comes_at(0s), b);
    tell<M>(m, [](M&) -> move { return otp::stay().event_timeout(3s, note{"a"}).update_event_timeout(note{"b"}); });
    EXPECT_EQ(comes_at(0s), strings{"event_timeout b in red"});
    // One ran before: it changes that.
    run_100();
    tell<M>(m, [](M&) -> move { return otp::stay().cancel_timeout("n").update_timeout("n", note{"b"}); });
    EXPECT_EQ(comes_at(100ms), b);
    run_100();
    tell<M>(m, [](M&) -> move { return otp::stay().timeout("n", 200ms, note{"y"}).update_timeout("n", note{"b"}); });
    EXPECT_EQ(comes_at(100ms), b);
    run_100();
    tell<M>(m, [](M&) -> move {
      return otp::stay().timeout("n", otp::infinity, note{"y"}).update_timeout("n", note{"b"});
    });
    EXPECT_EQ(comes_at(100ms), b);
    run_100();
    tell<M>(m, [](M&) -> move { return otp::stay().update_timeout("n", note{"b"}).cancel_timeout("n"); });
    EXPECT_EQ(comes_at(100ms), strings{});
    // The place of the last one is what counts, too.
    tell<M>(m, [](M&) -> move {
      return otp::stay().timeout(1, 0s, note{"a"}).timeout(2, 0s, note{"b"}).update_timeout(1, note{"c"});
    });
    EXPECT_EQ(comes_at(0s), (strings{"{timeout, 2} b in red", "{timeout, 1} c in red"}));
    // A change of the state ends the state timer before that.
    tell<M>(m, [](M&) -> move { return otp::stay().state_timeout(100ms, note{"a"}); });
    tell<M>(m, [](M&) -> move {
      return otp::go(M::at_green()).state_timeout(200ms, note{"y"}).update_state_timeout(note{"b"});
    });
    EXPECT_EQ(comes_at(0s), strings{"state_timeout b in green"});
  });
}

// covers: SM-083
TEST(gen_statem_timers, a_timer_may_have_a_point_in_time) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using move = typename M::move;
    auto m = gen_statem::start<M>({}, log).value();
    otp::instant start = otp::now();
    tell<M>(m, [=](M&) -> move {
      return otp::stay()
          .state_timeout(start + 3s, note{"s"})
          .timeout("n", start + 2s, note{"n"})
          .event_timeout(start + 1s, note{"e"});
    });
    otp::sleep(1s);
    otp::testing::settle();
    EXPECT_EQ(log.take(), strings{"event_timeout e in red"});
    otp::sleep(1s);
    otp::testing::settle();
    EXPECT_EQ(log.take(), strings{"{timeout, \"n\"} n in red"});
    otp::sleep(1s);
    otp::testing::settle();
    EXPECT_EQ(log.take(), strings{"state_timeout s in red"});
    // One that has passed comes at once.
    tell<M>(m, [=](M&) -> move { return otp::stay().state_timeout(start - 5s, note{"past"}); });
    EXPECT_EQ(log.take(), strings{"state_timeout past in red"});
    tell<M>(m, [=](M&) -> move { return otp::stay().timeout("n", otp::instant(), note{"long past"}); });
    EXPECT_EQ(log.take(), strings{"{timeout, \"n\"} long past in red"});
  });
}

// A point in time that had passed was taken for no time at all: it came before events that wait.
// covers: SM-083 SM-084
TEST(gen_statem_timers, a_point_in_time_that_has_passed_is_not_a_timer_of_no_time) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using move = typename M::move;
    auto m = gen_statem::start<M>({}, log).value();
    otp::sys::suspend(m);
    otp::cast(m, typename M::act{[](M&) -> move {
                return otp::stay()
                    .timeout(1, otp::now() - 5s, note{"past"})
                    .event_timeout(otp::now() - 5s, note{"never"})
                    .timeout(2, 0s, note{"zero"});
              }});
    otp::cast(m, note{"waiting"});
    otp::sys::resume(m);
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"{timeout, 2} zero in red", "cast waiting in red", "{timeout, 1} past in red"}));
  });
}

// covers: SM-084 SM-086
TEST(gen_statem_timers, those_of_no_time_fire_in_order_behind_inserted_and_postponed_events_and_before_new_ones) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using move = typename M::move;
    auto m = gen_statem::start<M>({}, log).value();
    tell<M>(m, [](M& data) -> move {
      data.postponing = {"red"};
      return otp::stay();
    });
    otp::cast(m, note{"postponed"});
    otp::testing::settle();
    log.take();
    otp::sys::suspend(m);
    otp::cast(m, typename M::act{[](M&) -> move {
                return otp::go(M::at_green())
                    .timeout("b", 0s, note{"zero b"})
                    .state_timeout(0s, note{"zero state"})
                    .timeout("a", 0s, note{"zero a"})
                    .event_timeout(0s, note{"never"})
                    .next_event(note{"inserted"});
              }});
    otp::cast(m, note{"new"});
    otp::sys::resume(m);
    otp::testing::settle();
    EXPECT_EQ(log.take(),
              (strings{"internal inserted in green", "cast postponed in green", "{timeout, \"b\"} zero b in green",
                       "state_timeout zero state in green", "{timeout, \"a\"} zero a in green", "cast new in green"}));
    // With nothing else to handle the event timer is one of them.
    otp::sys::suspend(m);
    otp::cast(m, typename M::act{[](M&) -> move { return otp::stay().event_timeout(0s, note{"zero"}); }});
    otp::cast(m, note{"new"});
    otp::sys::resume(m);
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"event_timeout zero in green", "cast new in green"}));
  });
}
// covers: SM-084
TEST(gen_statem_timers, what_the_first_of_no_time_inserts_comes_before_the_second) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using move = typename M::move;
    auto m = gen_statem::start<M>({}, log).value();
    tell<M>(m, [](M& data) -> move {
      data.reactions["one"] = [](M&) -> move { return otp::stay().next_event(note{"inner"}); };
      return otp::stay().timeout(1, 0s, note{"one"}).timeout(2, 0s, note{"two"});
    });
    EXPECT_EQ(log.take(), (strings{"{timeout, 1} one in red", "internal inner in red", "{timeout, 2} two in red"}));
    // A change of the state cancels a state timer that has not fired yet, of no time too.
    tell<M>(m, [](M& data) -> move {
      data.reactions["one"] = [](M&) -> move { return otp::go(M::at_green()); };
      return otp::stay().timeout(1, 0s, note{"one"}).state_timeout(0s, note{"two"});
    });
    EXPECT_EQ(log.take(), strings{"{timeout, 1} one in red"});
  });
}

// covers: SM-088
TEST(gen_statem_timers, one_of_no_time_that_is_restarted_fires_once_after_the_new_time) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using move = typename M::move;
    auto m = gen_statem::start<M>({}, log).value();
    tell<M>(m, [](M& data) -> move {
      data.reactions["again"] = [](M&) -> move { return otp::stay().state_timeout(5s, note{"second"}); };
      return otp::stay().state_timeout(0s, note{"first"}).next_event(note{"again"});
    });
    EXPECT_EQ(log.take(), strings{"internal again in red"});
    otp::sleep(4s);
    EXPECT_EQ(log.take(), strings{});
    otp::sleep(2s);
    EXPECT_EQ(log.take(), strings{"state_timeout second in red"});
  });
}

// covers: SM-092 SM-125
TEST(gen_statem_timers, a_negative_time_or_an_unknown_event_ends_the_machine) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal&) {
    using note = typename M::note;
    using move = typename M::move;
    auto ended_by = [](std::function<move(M&)> what) {
      auto m = gen_statem::start_monitor<M>().value();
      otp::cast(m.server, typename M::act{std::move(what)});
      otp::exit_reason why = reason_of(m.monitor);
      EXPECT_EQ(why.error_type(), "bad_action_from_state_function");
      return std::string(why.text());
    };
    EXPECT_EQ(ended_by([](M&) -> move { return otp::stay().state_timeout(-1s, note{"x"}); }),
              "state_timeout of -1000000000 ns: the time is negative");
    EXPECT_EQ(ended_by([](M&) -> move { return otp::stay().timeout("n", -1ns, note{"x"}); }),
              "{timeout, \"n\"} of -1 ns: the time is negative");
    EXPECT_EQ(ended_by([](M&) -> move { return otp::stay().event_timeout(-5s, note{"x"}); }),
              "event_timeout of -5000000000 ns: the time is negative");
    EXPECT_NE(ended_by([](M&) -> move { return otp::stay().state_timeout(1s, 42); }).find("int"), std::string::npos);
    EXPECT_NE(ended_by([](M&) -> move { return otp::stay().event_timeout(1s); }).find("not among the events"),
              std::string::npos);
    EXPECT_NE(ended_by([](M&) -> move { return otp::stay().update_timeout("n", 4.5); }).find("double"),
              std::string::npos);
  });
}

// covers: SM-065 SM-071
TEST(gen_statem_timers, on_threads_a_timer_that_was_cancelled_too_late_is_none) {
  EXPECT_EQ(threaded([] {
              journal log;
              auto m = gen_statem::start<by_type>({}, log).value();
              for (int round = 0; round < 200; ++round) {
                otp::call(m, by_type::ask{[](by_type&) -> by_type::answer {
                            return otp::go(blue{1}).state_timeout(50us, by_type::note{"due"}).reply("ok");
                          }});
                otp::sleep(50us);
                otp::call(m, by_type::ask{[](by_type&) -> by_type::answer { return otp::go(red{}).reply("ok"); }});
              }
              for (auto& line : log.take()) EXPECT_EQ(line, "state_timeout due in blue1");
            }),
            normal);
}

namespace {
struct waits_inside {
  struct only {};
  struct see_anything {
    using reply = bool;
  };
  struct tick {};
  using states = otp::states<only>;
  using events = otp::events<see_anything, tick>;
  otp::step<bool> on(only&, see_anything) {
    bool seen = otp::receive([](const otp::message&) { return true; }, otp::after(1s, [] { return false; }));
    return otp::stay().reply(seen);
  }
  otp::step<void> on(only&, tick) { return otp::stay().timeout("late", 100ms, tick{}); }
};
}  // namespace

TEST(gen_statem_timers, its_own_timers_are_no_messages_that_a_handler_could_receive) {
  for_seeds(10, [] {
    auto m = gen_statem::start<waits_inside>().value();
    otp::cast(m, waits_inside::tick{});
    otp::pid asks = otp::spawn([m] { EXPECT_FALSE(otp::call(m, waits_inside::see_anything{})); });
    otp::sleep(500ms);
    EXPECT_EQ(otp::info(m.pid())->message_queue_len, 0U);
    end_of(asks);
  });
}

}  // namespace
