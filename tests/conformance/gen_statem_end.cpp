// State machines: how they stop, and what runs then.
#include "conformance/gen_statem_support.hpp"

namespace {

using namespace conformance;

/// Notes its end.
struct ending {
  struct open {
    std::string to_string() const { return "open"; }
  };
  struct shut {
    std::string to_string() const { return "shut"; }
  };
  using states = otp::states<open, shut>;
  struct act {
    std::function<otp::step<void, open, shut>(ending&)> run;
  };
  struct ask {
    using reply = int;
  };
  using events = otp::events<act, ask>;
  explicit ending(journal j, std::function<void()> in_terminate = {})
      : log(std::move(j)), at_the_end(std::move(in_terminate)) {}
  template <class State>
  otp::step<void, open, shut> on(State&, const act& a) {
    return a.run(*this);
  }
  template <class State>
  int on(State&, ask) {
    return ++asked;
  }
  template <class State>
  void on(State&, const otp::exit_signal& e, const otp::event_type& type) {
    log.add(type.to_string() + " exit " + e.reason.to_string());
  }
  template <class State>
  void terminate(const State& s, const otp::exit_reason& why) {
    log.add(s.to_string() + " " + std::to_string(asked) + " " + why.to_string());
    if (at_the_end) at_the_end();
  }
  journal log;
  std::function<void()> at_the_end;
  int asked = 0;
};

// covers: SM-108 SM-109
TEST(gen_statem_end, stop_returns_when_it_is_gone_for_any_reason_and_within_its_time) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal&) {
    for (const otp::exit_reason& why :
         {otp::exit_reason(normal), otp::exit_reason(shutdown), otp::exit_reason("odd")}) {
      auto m = gen_statem::start_monitor<M>().value();
      gen_statem::stop(m.server, why);
      EXPECT_FALSE(otp::is_alive(m.server));
      EXPECT_EQ(reason_of(m.monitor), why);
    }
  });
  for_seeds(10, [] {
    auto m = gen_statem::start<ending>({}, journal(), [] { otp::sleep(10s); }).value();
    EXPECT_EQ(cause_that([&] { gen_statem::stop(m, "slow", 1s); }), otp::reason::timeout);
    EXPECT_TRUE(otp::is_alive(m));
    otp::sleep(10s);
    EXPECT_FALSE(otp::is_alive(m));
    // What was sent before is handled before.
    journal log;
    m = gen_statem::start<ending>({}, log).value();
    auto id = otp::send_request(m, ending::ask{});
    gen_statem::stop(m);
    EXPECT_EQ(otp::wait_response(id)->value(), 1);
    EXPECT_EQ(log.take(), strings{"open 1 normal"});
  });
}

// covers: SM-110 SM-131
TEST(gen_statem_end, a_time_limit_that_cannot_be_is_refused_in_the_caller) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal&) {
    auto m = gen_statem::start<M>().value();
    EXPECT_THROW(gen_statem::stop(m, normal, -1s), otp::bad_argument);
    EXPECT_THROW(otp::call(m, typename M::want{"x"}, -1ns), otp::bad_argument);
    EXPECT_THROW(static_cast<void>(otp::try_call(m, typename M::want{"x"}, -5s)), otp::bad_argument);
    EXPECT_EQ(otp::call(m, typename M::want{"alive"}), "alive");
  });
}

// covers: SM-111 SM-133
TEST(gen_statem_end, a_machine_that_is_not_there_is_noproc_for_every_kind_of_name) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal&) {
    auto registry = std::make_shared<test_registry>();
    auto check = [](auto address) {
      EXPECT_EQ(cause_that([&] { gen_statem::stop(address); }), noproc);
      EXPECT_EQ(cause_that([&] { otp::call(address, typename M::want{"x"}); }), noproc);
      EXPECT_EQ(otp::try_call(address, typename M::want{"x"}).error().cause(), noproc);
    };
    auto dead = gen_statem::start<M>().value();
    gen_statem::stop(dead);
    check(dead);
    check(otp::server<M>());
    check(otp::name<M>("nobody"));
    check(otp::global<M>("nobody"));
    check(otp::via<M>(registry, "nobody"));
  });
}

// covers: SM-113 SM-116
TEST(gen_statem_end, what_terminate_does_wrong) {
  for_seeds_with_journal(10, [](event_log& events) {
    // An exit of its own is the machine's end, as OTP has it; an exception does not hide why it came to terminate.
    auto m = gen_statem::start_monitor<ending>({}, journal(), [] { otp::exit("terminate failed"); }).value();
    EXPECT_EQ(cause_that([&] { gen_statem::stop(m.server, "asked"); }), "terminate failed");
    EXPECT_EQ(reason_of(m.monitor), "terminate failed");
    m = gen_statem::start_monitor<ending>({}, journal(), [] { throw std::runtime_error("broken"); }).value();
    gen_statem::stop(m.server, "asked");
    EXPECT_EQ(reason_of(m.monitor), "asked");
    EXPECT_EQ(events.count("terminate_failed"), 2U);
  });
}

// covers: SM-114
TEST(gen_statem_end, terminate_is_optional) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal&) {
    auto m = gen_statem::start_monitor<M>().value();
    otp::cast(m.server, typename M::act{[](M&) -> typename M::move { return otp::stop("asked"); }});
    EXPECT_EQ(reason_of(m.monitor), "asked");
    m = gen_statem::start_monitor<M>().value();
    otp::cast(m.server, typename M::act{[](M&) -> typename M::move { return otp::stop(normal); }});
    EXPECT_EQ(reason_of(m.monitor), normal);
  });
}

// covers: SM-115 SM-117
TEST(gen_statem_end, terminate_runs_for_stops_failures_bad_actions_and_the_parents_exit) {
  everywhere(10, [] {
    otp::trap_exit(true);
    journal log;
    auto fresh = [&] {
      auto m = gen_statem::start_link<ending>({.spawn = {.trap_exit = true}}, log).value();
      otp::call(m, ending::ask{});
      return m;
    };
    auto end_by = [&](std::function<otp::step<void, ending::open, ending::shut>(ending&)> how) {
      auto m = fresh();
      otp::cast(m, ending::act{std::move(how)});
      EXPECT_EQ(next<otp::exit_signal>().from, m.pid());
      return log.take();
    };
    using step = otp::step<void, ending::open, ending::shut>;
    EXPECT_EQ(end_by([](ending&) -> step { return otp::stop("stopped"); }), strings{"open 1 \"stopped\""});
    EXPECT_EQ(end_by([](ending&) -> step { throw std::runtime_error("x"); }),
              strings{"open 1 {error, std::runtime_error: \"x\"}"});
    EXPECT_EQ(end_by([](ending&) -> step { otp::exit("exited"); }), strings{"open 1 \"exited\""});
    // In the state that a transition with a bad action goes to.
    strings bad = end_by([](ending&) -> step { return otp::go(ending::shut{}).next_event(4.5); });
    ASSERT_EQ(bad.size(), 1U);
    EXPECT_NE(bad[0].find("bad_action_from_state_function"), std::string::npos);
    auto m = fresh();
    otp::exit(m, "parent wants it");
    EXPECT_EQ(next<otp::exit_signal>().reason, "parent wants it");
    EXPECT_EQ(log.take(), strings{"open 1 \"parent wants it\""});
  });
}

// covers: SM-118
TEST(gen_statem_end, an_exit_of_another_process_is_an_event_if_exits_are_trapped) {
  for_seeds(10, [] {
    journal log;
    auto m = gen_statem::start<ending>({.spawn = {.trap_exit = true}}, log).value();
    otp::cast(m, ending::act{[](ending&) -> otp::step<void, ending::open, ending::shut> {
                otp::spawn_link([] { otp::exit("child"); });
                return otp::stay();
              }});
    otp::testing::settle();
    otp::exit(m, "stranger");
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"info exit \"child\"", "info exit \"stranger\""}));
    EXPECT_EQ(otp::call(m, ending::ask{}), 1);
  });
}

// covers: SM-119
TEST(gen_statem_end, untrapped_an_abnormal_exit_ends_it_without_terminate) {
  for_seeds(10, [] {
    journal log;
    auto m = gen_statem::start_monitor<ending>({}, log).value();
    otp::cast(m.server, ending::act{[](ending&) -> otp::step<void, ending::open, ending::shut> {
                otp::spawn_link([] { otp::exit("child"); });
                return otp::stay();
              }});
    EXPECT_EQ(reason_of(m.monitor), "child");
    // Killed while a handler, an enter call or a postponed call waits.
    auto id = otp::send_request(gen_statem::start<ending>({}, log).value(), ending::ask{});
    EXPECT_EQ(otp::wait_response(id)->value(), 1);
    m = gen_statem::start_monitor<ending>({}, log).value();
    otp::cast(m.server, ending::act{[](ending&) -> otp::step<void, ending::open, ending::shut> {
                otp::sleep(1h);
                return otp::stay();
              }});
    otp::testing::settle();
    otp::exit(m.server, otp::reason::kill);
    EXPECT_EQ(reason_of(m.monitor), killed);
    EXPECT_EQ(log.take(), strings{});
  });
}
// covers: SM-119 SM-055
TEST(gen_statem_end, a_kill_fails_calls_that_are_handled_or_postponed) {
  everywhere(10, [] {
    auto m = gen_statem::start<by_type>().value();
    otp::cast(m, by_type::act{[](by_type& data) -> by_type::move {
                data.postponing = {"red"};
                return otp::stay();
              }});
    auto postponed = otp::send_request(m, by_type::want{"x"});
    auto handled = otp::send_request(m, by_type::ask{[owner = otp::self()](by_type&) -> by_type::answer {
                                       otp::send(owner, 1);
                                       rest();
                                     }});
    auto queued = otp::send_request(m, by_type::want{"y"});
    next<int>();
    otp::exit(m, otp::reason::kill);
    for (auto* id : {&postponed, &handled, &queued}) {
      otp::exit_reason why = otp::wait_response(*id)->error().cause();
      EXPECT_TRUE(why == killed || why == noproc) << why.to_string();
    }
  });
}

// covers: SM-121 SM-122
TEST(gen_statem_end, an_expected_end_is_not_reported_and_any_other_is) {
  for_seeds_with_journal(10, [](event_log& events) {
    otp::trap_exit(true);
    for (const otp::exit_reason& why :
         {otp::exit_reason(normal), otp::exit_reason(shutdown), shutdown("for today"), otp::exit_reason("odd")}) {
      auto m = gen_statem::start_link<by_type>().value();
      otp::cast(m, by_type::act{[why](by_type&) -> by_type::move { return otp::stop(why); }});
      EXPECT_EQ(next<otp::exit_signal>().reason, why);
      EXPECT_EQ(events.about(m), why.is_expected() ? strings{} : (strings{"server_terminated", "crash"}));
    }
  });
}

}  // namespace
