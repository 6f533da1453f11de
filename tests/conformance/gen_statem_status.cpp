// State machines: what status queries and reports show of them.
#include "conformance/gen_statem_support.hpp"

namespace {

using namespace conformance;

// covers: SM-144 SM-145
TEST(gen_statem_status, shows_state_and_data_also_while_suspended_when_no_event_is_handled) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({.name = "shown"}, log).value();
    otp::cast(m, typename M::act{[](M& data) -> typename M::move {
                data.number = 7;
                return otp::go(M::at_blue(3));
              }});
    auto looks = [](const otp::server_status& s, bool suspended) {
      EXPECT_EQ(s.state, "blue3");
      EXPECT_EQ(s.data, "number 7");
      EXPECT_EQ(s.suspended, suspended);
      EXPECT_EQ(s.name, "\"shown\"");
    };
    looks(otp::sys::get_status(m), false);
    looks(otp::sys::get_status(otp::whereis(otp::name<M>("shown")).value()), false);
    otp::sys::suspend(m);
    looks(otp::sys::get_status(m), true);
    otp::cast(m, typename M::note{"later"});
    auto id = otp::send_request(m, typename M::want{"wait"});
    EXPECT_FALSE(otp::wait_response(id, 10s));
    EXPECT_EQ(log.take(), strings{});
    otp::sys::resume(m);
    EXPECT_EQ(otp::wait_response(id)->value(), "wait");
    EXPECT_EQ(log.take(), (strings{"cast later in blue3", "call wait in blue3"}));
  });
}
// covers: SM-145
TEST(gen_statem_status, a_timer_that_expires_while_it_is_suspended_is_handled_afterwards) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    otp::cast(m, typename M::act{
                     [](M&) -> typename M::move { return otp::stay().state_timeout(1s, typename M::note{"timer"}); }});
    otp::sys::suspend(m);
    otp::sleep(5s);
    EXPECT_EQ(log.take(), strings{});
    otp::sys::resume(m);
    otp::testing::settle();
    EXPECT_EQ(log.take(), strings{"state_timeout timer in red"});
    // The parent's end and a stop come through.
    otp::sys::suspend(m);
    gen_statem::stop(m);
    EXPECT_FALSE(otp::is_alive(m));
  });
}

// covers: SM-150
TEST(gen_statem_status, shows_timers_postponed_and_queued_events) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    auto m = gen_statem::start<M>({}, log).value();
    otp::server_status s = otp::sys::get_status(m);
    EXPECT_EQ(s.timers, strings{});
    EXPECT_EQ(s.postponed, strings{});
    EXPECT_EQ(s.queue, strings{});
    EXPECT_EQ(s.log, strings{});
    otp::cast(m, typename M::act{[](M& data) -> typename M::move {
                data.postponing = {"red"};
                return otp::stay().state_timeout(1h, note{"s"}).timeout("n", 1h, note{"t"});
              }});
    otp::cast(m, note{"1"});
    auto id = otp::send_request(m, typename M::want{"2"});
    otp::cast(m, typename M::act{[](M&) -> typename M::move { return otp::stay().event_timeout(1h, note{"e"}); }});
    s = otp::sys::get_status(m);
    EXPECT_EQ(s.postponed, (strings{"cast 1", "call 2"}));
    EXPECT_EQ(s.timers, (strings{"state_timeout s", "{timeout, \"n\"} t", "event_timeout e"}));
    // While an event waits behind another that is handled.
    otp::cast(m, typename M::act{[](M& data) -> typename M::move {
                data.postponing = {};
                data.reactions["look"] = [](M&) -> typename M::move { throw std::runtime_error("looked"); };
                return otp::stay().next_event(note{"look"}).next_event(note{"behind"});
              }});
    EXPECT_EQ(end_of(m), otp::reason::error("std::runtime_error", "looked"));
  });
}
// covers: SM-150
// no meaning: SM-026 (docs/decisions/0002-rows-without-meaning.md)
// no meaning: SM-027 (docs/decisions/0002-rows-without-meaning.md)
// no meaning: SM-148 (docs/decisions/0002-rows-without-meaning.md)
// no meaning: SM-149 (docs/decisions/0002-rows-without-meaning.md)
TEST(gen_statem_status, says_how_the_states_are_and_whether_there_are_enter_calls) {
  struct entered {
    struct only {};
    using states = otp::states<only>;
    using events = otp::events<>;
    void enter(only&) {}
  };
  for_seeds(3, [] {
    EXPECT_EQ(otp::sys::get_status(gen_statem::start<by_type>().value()).callback_mode, "state_functions");
    EXPECT_EQ(otp::sys::get_status(gen_statem::start<by_value>().value()).callback_mode, "handle_event_function");
    EXPECT_EQ(otp::sys::get_status(gen_statem::start<entered>().value()).callback_mode, "state_functions, state_enter");
  });
}

/// Says itself how it looks.
struct disguised {
  struct plain {
    std::string to_string() const { return "plain"; }
  };
  using states = otp::states<plain>;
  struct bang {};
  struct later {
    std::string to_string() const { return "secret later"; }
  };
  using events = otp::events<bang, later>;
  otp::step<void> on(plain&, bang) { return otp::stop("banged"); }
  otp::step<void> on(plain&, const later&) { return otp::stay().postpone().timeout("t", 1h, later{}); }
  void format_status(otp::server_status& s) {
    if (fails) throw std::runtime_error("no");
    s.state = "<state>";
    s.data = "<data>";
    for (auto* lines : {&s.postponed, &s.timers, &s.queue, &s.log})
      for (auto& line : *lines) line = "<line>";
    if (s.reason == "banged") s.reason = "<reason>";
  }
  std::string to_string() const { return "secret"; }
  bool fails = false;
};
// covers: SM-151
TEST(gen_statem_status, a_formatter_has_the_say_in_status_and_in_the_failure_report) {
  for_seeds_with_journal(5, [](event_log& events) {
    auto m = gen_statem::start_monitor<disguised>().value();
    otp::cast(m.server, disguised::later{});
    otp::server_status s = otp::sys::get_status(m.server);
    EXPECT_EQ(s.state, "<state>");
    EXPECT_EQ(s.data, "<data>");
    EXPECT_EQ(s.postponed, strings{"<line>"});
    EXPECT_EQ(s.timers, strings{"<line>"});
    otp::cast(m.server, disguised::bang{});
    EXPECT_EQ(reason_of(m.monitor), "banged");
    otp::event e = events.one("server_terminated");
    EXPECT_EQ(e.reason, "<reason>");
    EXPECT_EQ(e.field("state"), "<state>");
    EXPECT_EQ(e.field("data"), "<data>");
    EXPECT_EQ(e.field("postponed"), "<line>");
    EXPECT_EQ(e.field("timers"), "<line>");
    // One that fails hides nothing.
    auto broken = gen_statem::start<disguised>({}, disguised{true}).value();
    EXPECT_EQ(otp::sys::get_status(broken).data, "secret");
  });
}

// covers: SM-152
TEST(gen_statem_status, the_failure_report_says_all_that_is_known) {
  for_seeds_with_journal(5, [](event_log& events) {
    auto m = gen_statem::start_monitor<by_type>({.name = "reported", .spawn = {.label = "labelled"}}).value();
    otp::register_name("the client", otp::self());
    otp::cast(m.server, by_type::act{[](by_type& data) -> by_type::move {
                data.postponing = {"green"};
                data.number = 5;
                return otp::go(green{}).timeout("t", 1h, by_type::note{"timer"});
              }});
    otp::cast(m.server, by_type::note{"postponed"});
    otp::cast(m.server, by_type::act{[](by_type&) -> by_type::move {
                return otp::stay()
                    .next_event(by_type::act{[](by_type&) -> by_type::move {
                      return otp::stay().next_event(
                          by_type::act{[](by_type&) -> by_type::move { throw std::runtime_error("broken"); }});
                    }})
                    .next_event(by_type::want{"queued"});
              }});
    reason_of(m.monitor);
    otp::event e = events.one("server_terminated");
    EXPECT_EQ(e.process, m.server.pid());
    EXPECT_EQ(e.name, "\"reported\"");
    EXPECT_EQ(e.reason, otp::reason::error("std::runtime_error", "broken"));
    EXPECT_EQ(e.field("type"), otp::detail::type_name<by_type>);
    EXPECT_EQ(e.field("label"), "labelled");
    EXPECT_EQ(e.field("last_message").find("internal "), 0U);
    EXPECT_EQ(e.field("state"), "green");
    EXPECT_EQ(e.field("data"), "number 5");
    EXPECT_EQ(e.field("callback_mode"), "state_functions");
    EXPECT_EQ(e.field("queue"), "internal queued");
    EXPECT_EQ(e.field("postponed"), "cast postponed");
    EXPECT_EQ(e.field("timers"), "{timeout, \"t\"} timer");
    EXPECT_EQ(e.field("client"), "");
    EXPECT_EQ(events.one("crash").reason, e.reason);
    // The client that waits, also for a call that was postponed before.
    m = gen_statem::start_monitor<by_type>().value();
    auto failed = otp::try_call(m.server, by_type::ask{[](by_type&) -> by_type::answer { otp::exit("no"); }});
    EXPECT_EQ(failed.error().cause(), "no");
    EXPECT_NE(events.of("server_terminated")[1].field("client").find("the client"), std::string_view::npos);
    m = gen_statem::start_monitor<by_type>().value();
    auto id = otp::send_request(m.server, by_type::ask{[](by_type& data) -> by_type::answer {
                                  if (++data.number < 2) return otp::go(green{}).postpone();
                                  otp::exit("second time");
                                }});
    EXPECT_EQ(otp::wait_response(id)->error().cause(), "second time");
    EXPECT_NE(events.of("server_terminated")[2].field("client").find("the client"), std::string_view::npos);
  });
}

// covers: SM-153
TEST(gen_statem_status, the_report_is_written_within_limits) {
  for_seeds_with_journal(3, [](event_log& events) {
    struct machine {
      struct only {
        std::string to_string() const { return "{1, {2, {3, {4}}}}\nnext line " + std::string(5000, 'x'); }
      };
      using states = otp::states<only>;
      struct bang {};
      using events = otp::events<bang>;
      void on(only&, bang) { throw std::runtime_error("first line\nsecond line"); }
    };
    auto m = gen_statem::start_monitor<machine>({.spawn = {.label = "the machine"}}).value();
    otp::cast(m.server, machine::bang{});
    reason_of(m.monitor);
    otp::event e = events.one("server_terminated");
    std::string line = e.to_string();
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_GT(line.size(), 5000U);
    EXPECT_NE(line.find("the machine"), std::string::npos);
    EXPECT_NE(line.find("{1, {2, {3"), std::string::npos);
    EXPECT_NE(e.to_string({.single_line = false}).find('\n'), std::string::npos);
    EXPECT_EQ(e.to_string({.depth = 2}).find("{3"), std::string::npos);
    EXPECT_LE(e.to_string({.chars = 300}).size(), 300U);
  });
}

// covers: SM-123
TEST(gen_statem_status, a_message_that_no_state_knows_is_reported_and_dropped) {
  for_seeds_with_journal(5, [](event_log& events) {
    auto m = gen_statem::start<by_type>().value();
    otp::send(m.pid(), 42);
    EXPECT_EQ(otp::call(m, by_type::want{"alive"}), "alive");
    otp::event e = events.one("unhandled_message");
    EXPECT_EQ(e.field("message"), "42");
    EXPECT_NE(e.field("advice").find("list int in `events`"), std::string_view::npos);
  });
}

}  // namespace
