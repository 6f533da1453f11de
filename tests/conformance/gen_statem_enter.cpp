// State machines: enter calls, and hibernation.
#include "conformance/gen_statem_support.hpp"

namespace {

using namespace conformance;

/// Notes its enter calls, and does in them what it is told.
template <class Machine, class... States>
struct entering : scripted<Machine, States...> {
  using scripted<Machine, States...>::scripted;
  otp::step<void> entered(const std::string& state, const otp::state_view& previous) {
    this->log.add("enter " + state + " from " + previous.to_string());
    if (auto found = on_enter.find(state); found != on_enter.end()) return found->second(static_cast<Machine&>(*this));
    return otp::stay();
  }
  std::map<std::string, std::function<otp::step<void>(Machine&)>> on_enter;
};
struct enters_types : entering<enters_types, red, green, blue> {
  using states = otp::states<red, green, blue>;
  using entering::entering;
  static auto at_red() { return red{}; }
  static auto at_green() { return green{}; }
  static auto at_blue(int shade) { return blue{shade}; }
  template <class State>
  otp::step<void> enter(State& s, const otp::state_view& previous) {
    return entered(s.to_string(), previous);
  }
  template <class State>
  move on(State&, const act& a) {
    return a.run(*this);
  }
  template <class State>
  answer on(State&, const ask& a) {
    return a.run(*this);
  }
  template <class State>
  void on(State&, const keep& k, otp::from<std::string> f) {
    kept(k, std::move(f));
  }
  template <class State>
  move on(State& s, const note& n, const otp::event_type& type) {
    return noted(s.to_string(), n, type);
  }
  template <class State>
  answer on(State& s, const want& w, const otp::event_type& type) {
    return wanted(s.to_string(), w, type);
  }
};
struct enters_values : entering<enters_values, colour> {
  using state = colour;
  using entering::entering;
  static auto at_red() { return colour{"red"}; }
  static auto at_green() { return colour{"green"}; }
  static auto at_blue(int shade) { return colour{"blue", shade}; }
  otp::step<void> enter(const colour& s, const otp::state_view& previous) { return entered(s.to_string(), previous); }
  move handle_event(const colour&, const act& a) { return a.run(*this); }
  answer handle_event(const colour&, const ask& a) { return a.run(*this); }
  void handle_event(const colour&, const keep& k, otp::from<std::string> f) { kept(k, std::move(f)); }
  move handle_event(const colour& s, const note& n, const otp::event_type& type) {
    return noted(s.to_string(), n, type);
  }
  answer handle_event(const colour& s, const want& w, const otp::event_type& type) {
    return wanted(s.to_string(), w, type);
  }
};
template <class F>
void with_enter_calls(unsigned seeds, F body) {
  for_seeds(seeds, [&] { body(std::type_identity<enters_types>(), journal()); });
  for_seeds(seeds, [&] { body(std::type_identity<enters_values>(), journal()); });
}
template <class M>
void tell(otp::server<M> m, std::function<typename M::move(M&)> what) {
  otp::cast(m, typename M::act{std::move(what)});
  otp::testing::settle();
}
/// Goes to red, and on entering green does this.
template <class M>
void goes_green(otp::server<M> m, std::function<otp::step<void>(M&)> what) {
  tell<M>(m, [what](M& data) -> typename M::move {
    data.on_enter["green"] = what;
    return otp::go(M::at_green());
  });
}

// covers: SM-093
TEST(gen_statem_enter, the_first_enter_call_comes_after_init_and_before_any_event) {
  with_enter_calls(20, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    otp::cast(m, typename M::note{"x"});
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"enter red from red", "cast x in red"}));
  });
}

// covers: SM-094 SM-047
TEST(gen_statem_enter, every_change_makes_one_before_any_event_and_behind_the_replies) {
  with_enter_calls(10, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using move = typename M::move;
    auto m = gen_statem::start<M>({}, log).value();
    tell<M>(m, [](M& data) -> move {
      data.postponing = {"red"};
      return otp::stay();
    });
    otp::cast(m, note{"postponed"});
    tell<M>(m, [](M&) -> move { return otp::go(M::at_blue(1)).next_event(note{"inserted"}); });
    EXPECT_EQ(log.take(), (strings{"enter red from red", "postponed postponed", "enter blue1 from red",
                                   "internal inserted in blue1", "cast postponed in blue1"}));
    tell<M>(m, [](M&) -> move { return otp::go(M::at_blue(2)); });
    tell<M>(m, [](M&) -> move { return otp::go(M::at_blue(2)); });
    tell<M>(m, [](M&) -> move { return otp::stay(); });
    EXPECT_EQ(log.take(), strings{"enter blue2 from blue1"});
    // The reply leaves before the enter call: while that waits for its caller, the caller has it.
    tell<M>(m, [](M& data) -> move {
      data.on_enter["green"] = [](M& in) -> otp::step<void> {
        otp::sleep(1s);
        in.log.add("entered");
        return otp::stay();
      };
      return otp::stay();
    });
    EXPECT_EQ(
        otp::call(m, typename M::ask{[](M&) -> typename M::answer { return otp::go(M::at_green()).reply("at once"); }}),
        "at once");
    EXPECT_EQ(log.take(), strings{"enter green from blue2"});
    otp::sleep(2s);
    EXPECT_EQ(log.take(), strings{"entered"});
  });
}

// covers: SM-093 SM-035
TEST(gen_statem_enter, repeat_state_makes_the_enter_call_again) {
  with_enter_calls(5, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    tell<M>(m, [](M&) -> typename M::move { return otp::go(M::at_green()); });
    log.take();
    tell<M>(m, [](M&) -> typename M::move { return otp::repeat_state(); });
    EXPECT_EQ(log.take(), strings{"enter green from green"});
  });
}

// covers: SM-095
TEST(gen_statem_enter, without_enter_there_are_none) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    EXPECT_EQ(otp::sys::get_status(m).callback_mode.find("state_enter"), std::string::npos);
    otp::cast(m, typename M::act{[](M&) -> typename M::move { return otp::go(M::at_green()); }});
    otp::cast(m, typename M::act{[](M&) -> typename M::move { return otp::repeat_state(); }});
    otp::testing::settle();
    EXPECT_EQ(log.take(), strings{});
  });
}

// covers: SM-096
TEST(gen_statem_enter, an_enter_call_may_change_data_set_timers_reply_keep_repeat_and_stop) {
  with_enter_calls(5, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using move = typename M::move;
    auto m = gen_statem::start_monitor<M>({}, log).value();
    auto back = [&] { tell<M>(m.server, [](M&) -> move { return otp::go(M::at_red()); }); };
    auto id = otp::send_request(m.server, typename M::keep{"1"});
    goes_green<M>(m.server, [](M& data) -> otp::step<void> {
      ++data.number;
      return otp::stay().reply(data.waiting_for("1"), "entered").state_timeout(3s, note{"lasted"});
    });
    EXPECT_EQ(otp::wait_response(id)->value(), "entered");
    log.take();
    otp::sleep(4s);
    EXPECT_EQ(log.take(), strings{"state_timeout lasted in green"});
    // Its timers come after those of the transition, and are the new state's.
    back();
    log.take();
    tell<M>(m.server, [](M& data) -> move {
      data.on_enter["green"] = [](M&) -> otp::step<void> { return otp::stay().state_timeout(3s, note{"lasted"}); };
      return otp::go(M::at_green()).state_timeout(1s, note{"of the event"});
    });
    otp::sleep(5s);
    EXPECT_EQ(log.take(), (strings{"enter green from red", "state_timeout lasted in green"}));
    // Repeated until it has enough.
    back();
    log.take();
    goes_green<M>(m.server, [](M& data) -> otp::step<void> {
      if (++data.number < 4) return otp::repeat_state();
      return otp::stay();
    });
    EXPECT_EQ(log.take(), (strings{"enter green from red", "enter green from red", "enter green from red"}));
    // A stop: the event's caller gets the reason.
    back();
    tell<M>(m.server, [](M& data) -> move {
      data.on_enter["green"] = [](M&) -> otp::step<void> { return otp::stop("no entry"); };
      return otp::stay();
    });
    auto moved =
        otp::try_call(m.server, typename M::ask{[](M&) -> typename M::answer { return otp::go(M::at_green()); }});
    EXPECT_EQ(moved.error().cause(), "no entry");
    EXPECT_EQ(reason_of(m.monitor), "no entry");
  });
}
// covers: SM-096
TEST(gen_statem_enter, an_enter_call_that_throws_ends_the_machine_also_the_first) {
  with_enter_calls(5, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start_monitor<M>({}, log).value();
    goes_green<M>(m.server, [](M&) -> otp::step<void> { throw std::runtime_error("broken"); });
    EXPECT_EQ(reason_of(m.monitor), otp::reason::error("std::runtime_error", "broken"));
  });
  struct machine {
    struct only {};
    using states = otp::states<only>;
    using events = otp::events<>;
    void enter(only&) { throw std::runtime_error("at once"); }
  };
  for_seeds(5, [] {
    auto m = gen_statem::start_monitor<machine>().value();
    EXPECT_EQ(reason_of(m.monitor), otp::reason::error("std::runtime_error", "at once"));
  });
}

// covers: SM-097
TEST(gen_statem_enter, an_enter_call_may_go_to_its_own_state_only) {
  struct machine {
    using state = std::string;
    struct to {
      std::string where;
      std::string enter_to;
    };
    using events = otp::events<to>;
    otp::step<void, state> handle_event(const state&, const to& t) {
      enter_to = t.enter_to;
      return otp::go(t.where);
    }
    otp::step<void, state> enter(const state& s) {
      if (enter_to.empty()) return otp::go(s);
      return otp::go(enter_to);
    }
    std::string enter_to;
  };
  for_seeds(5, [] {
    auto m = gen_statem::start_monitor<machine>().value();
    otp::cast(m.server, machine::to{"a", ""});
    otp::cast(m.server, machine::to{"b", "b"});
    EXPECT_EQ(state_of(m.server), "\"b\"");
    otp::cast(m.server, machine::to{"c", "d"});
    otp::exit_reason why = reason_of(m.monitor);
    EXPECT_EQ(why.error_type(), "bad_state_enter_return_from_state_function");
    EXPECT_NE(why.text().find("\"d\""), std::string_view::npos);
  });
}

// covers: SM-098
TEST(gen_statem_enter, an_enter_call_cannot_postpone_or_insert_events) {
  with_enter_calls(5, []<class M>(std::type_identity<M>, const journal& log) {
    auto ended_by = [&](std::function<otp::step<void>(M&)> what) {
      auto m = gen_statem::start_monitor<M>({}, log).value();
      goes_green<M>(m.server, std::move(what));
      return std::string(reason_of(m.monitor).error_type());
    };
    EXPECT_EQ(ended_by([](M&) -> otp::step<void> { return otp::stay().postpone(); }),
              "bad_state_enter_action_from_state_function");
    EXPECT_EQ(ended_by([](M&) -> otp::step<void> { return otp::stay().next_event(typename M::note{"x"}); }),
              "bad_state_enter_action_from_state_function");
    EXPECT_EQ(ended_by([](M&) -> otp::step<void> { return otp::stay().state_timeout(-1s, typename M::note{"x"}); }),
              "bad_action_from_state_function");
  });
}

// covers: SM-043 SM-096
TEST(gen_statem_enter, an_enter_call_may_take_back_what_the_event_asked_for) {
  with_enter_calls(5, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using move = typename M::move;
    auto m = gen_statem::start<M>({}, log).value();
    auto go_green_by = [&](std::function<otp::step<void>(M&)> enter, std::function<move(M&)> how) {
      tell<M>(m, [=](M& data) -> move {
        data.on_enter["green"] = enter;
        data.reactions["go"] = how;
        return otp::go(M::at_red());
      });
      log.take();
      otp::cast(m, note{"go"});
      otp::testing::settle();
    };
    auto postpones = [](M&) -> move { return otp::go(M::at_green()).postpone(); };
    // Left alone, the event comes again in the new state: it goes there once more, and is kept.
    go_green_by([](M&) -> otp::step<void> { return otp::stay(); }, postpones);
    EXPECT_EQ(log.take(), (strings{"cast go in red", "enter green from red", "cast go in green"}));
    EXPECT_EQ(otp::sys::get_status(m).postponed.size(), 1U);
    tell<M>(m, [](M& data) -> move {
      data.reactions.clear();
      return otp::go(M::at_blue(1));
    });
    go_green_by([](M&) -> otp::step<void> { return otp::stay().postpone(false); }, postpones);
    EXPECT_EQ(log.take(), (strings{"cast go in red", "enter green from red"}));
    EXPECT_EQ(otp::sys::get_status(m).postponed.size(), 0U);
    // Nor does it hibernate.
    auto hibernates = [](M&) -> move { return otp::go(M::at_green()).hibernate(); };
    go_green_by([](M&) -> otp::step<void> { return otp::stay(); }, hibernates);
    EXPECT_TRUE(otp::sys::get_status(m).hibernating);
    go_green_by([](M&) -> otp::step<void> { return otp::stay().hibernate(false); }, hibernates);
    EXPECT_FALSE(otp::sys::get_status(m).hibernating);
    // A timer: its own action on it is the last.
    log.take();
    go_green_by([](M&) -> otp::step<void> { return otp::stay().update_timeout("n", note{"at once"}); },
                [](M&) -> move { return otp::go(M::at_green()).timeout("n", 5s, note{"later"}); });
    EXPECT_EQ(log.take(), (strings{"cast go in red", "enter green from red", "{timeout, \"n\"} at once in green"}));
    otp::sleep(6s);
    EXPECT_EQ(log.take(), strings{});
  });
}
// A call that is answered and postponed has its reply, and its event goes when the postponement does.
// covers: SM-055
TEST(gen_statem_enter, a_call_whose_postponement_is_taken_back_is_answered_or_fails) {
  with_enter_calls(5, []<class M>(std::type_identity<M>, const journal& log) {
    using answer = typename M::answer;
    auto m = gen_statem::start<M>({}, log).value();
    tell<M>(m, [](M& data) -> typename M::move {
      data.on_enter["green"] = [](M&) -> otp::step<void> { return otp::stay().postpone(false); };
      return otp::stay();
    });
    EXPECT_EQ(
        otp::call(m, typename M::ask{[](M&) -> answer { return otp::go(M::at_green()).postpone().reply("answered"); }}),
        "answered");
    tell<M>(m, [](M&) -> typename M::move { return otp::go(M::at_red()); });
    auto failed = otp::try_call(m, typename M::ask{[](M&) -> answer { return otp::go(M::at_green()).postpone(); }});
    EXPECT_EQ(failed.error().cause(), otp::reason::no_reply);
    EXPECT_EQ(otp::sys::get_status(m).postponed.size(), 0U);
  });
}

// ---- hibernation -------------------------------------------------------------------------------------------------

// covers: SM-101
TEST(gen_statem_hibernate, a_machine_that_hibernates_handles_the_next_event_and_timer) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    auto m = gen_statem::start<M>({}, log).value();
    otp::cast(m, typename M::act{[](M&) -> typename M::move {
                return otp::go(M::at_green()).hibernate().state_timeout(5s, note{"timer"});
              }});
    EXPECT_TRUE(otp::sys::get_status(m).hibernating);
    otp::sleep(6s);
    EXPECT_FALSE(otp::sys::get_status(m).hibernating);
    EXPECT_EQ(otp::call(m, typename M::want{"call"}), "call");
    EXPECT_EQ(log.take(), (strings{"state_timeout timer in green", "call call in green"}));
    // By itself, when it was idle for long enough.
    auto lazy = gen_statem::start<M>({.hibernate_after = 2s}, log).value();
    EXPECT_FALSE(otp::sys::get_status(lazy).hibernating);
    otp::sleep(3s);
    EXPECT_TRUE(otp::sys::get_status(lazy).hibernating);
    otp::cast(lazy, note{"cast"});
    otp::testing::settle();
    EXPECT_FALSE(otp::sys::get_status(lazy).hibernating);
    otp::sleep(3s);
    EXPECT_TRUE(otp::sys::get_status(lazy).hibernating);
    EXPECT_EQ(log.take(), strings{"cast cast in red"});
  });
}

// covers: SM-102
TEST(gen_statem_hibernate, it_does_not_delay_events_that_wait) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    auto m = gen_statem::start<M>({}, log).value();
    otp::sys::suspend(m);
    otp::cast(m, typename M::act{[](M&) -> typename M::move {
                return otp::stay().hibernate().next_event(note{"inserted"}).timeout(1, 0s, note{"zero"});
              }});
    otp::cast(m, note{"waiting"});
    otp::instant before = otp::now();
    otp::sys::resume(m);
    EXPECT_EQ(otp::call(m, typename M::want{"call"}), "call");
    EXPECT_EQ(otp::now(), before);
    EXPECT_EQ(log.take(), (strings{"internal inserted in red", "{timeout, 1} zero in red", "cast waiting in red",
                                   "call call in red"}));
  });
}

// covers: SM-103
TEST(gen_statem_hibernate, suspended_and_resumed_it_stays_idle_and_answers) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    otp::cast(m, typename M::act{[](M&) -> typename M::move { return otp::stay().hibernate(); }});
    otp::sys::suspend(m);
    EXPECT_TRUE(otp::sys::get_status(m).suspended);
    otp::sys::resume(m);
    EXPECT_TRUE(otp::sys::get_status(m).hibernating);
    EXPECT_EQ(otp::call(m, typename M::want{"awake"}), "awake");
  });
}

}  // namespace
