// Servers: terminate, exit signals, and stopping them.
#include "conformance/gen_server_support.hpp"

namespace {

using namespace conformance;
namespace gen_server = otp::gen_server;

struct terminated {
  otp::pid who;
  otp::exit_reason why;
};

/// Says when terminate runs, and ends in every way.
struct mortal {
  enum class how { nothing, stop, raise, exit, bad_timeout };
  struct end {
    how way;
    otp::exit_reason why{};
  };
  struct ask {
    using reply = int;
    how way;
    otp::exit_reason why{};
  };
  struct seen {
    using reply = std::vector<std::string>;
  };
  struct busy {
    otp::duration length;
  };
  using messages = otp::messages<end>;
  using continues = otp::messages<end>;

  explicit mortal(otp::pid o) : owner(o) {}
  otp::handler_result carry_out(const end& e) {
    switch (e.way) {
      case how::nothing: break;
      case how::stop: return otp::stop(e.why);
      case how::raise: throw std::runtime_error("raised");
      case how::exit: otp::exit(e.why);
      case how::bad_timeout: return otp::noreply().timeout_after(-1s);
    }
    return otp::noreply();
  }
  otp::call_result<int> handle_call(const ask& a, otp::from<int>) {
    if (a.way == how::stop) return otp::stop(a.why);
    carry_out({a.way, a.why});
    return otp::reply(1);
  }
  std::vector<std::string> handle_call(seen) { return log; }
  otp::handler_result handle_cast(const end& e) {
    log.push_back("cast");
    if (e.way == how::nothing) return otp::noreply();
    return carry_out(e);
  }
  void handle_cast(busy b) { otp::sleep(b.length); }
  otp::handler_result handle_info(const end& e) { return carry_out(e); }
  otp::handler_result handle_continue(const end& e) { return carry_out(e); }
  void handle_info(const otp::exit_signal& e) { log.push_back("exit " + e.reason.to_string()); }
  void terminate(const otp::exit_reason& why) { otp::send(owner, terminated{otp::self(), why}); }

  otp::pid owner;
  std::vector<std::string> log;
};
using how = mortal::how;

/// Has no terminate.
struct plain {
  struct ask {
    using reply = int;
  };
  int handle_call(ask) { return 1; }
};

otp::exit_reason raised() { return otp::reason::error("std::runtime_error", "raised"); }

// covers: GS-078 GS-081
TEST(gen_server_end, terminate_runs_when_a_callback_stops_raises_exits_or_returns_nonsense) {
  everywhere(20, [] {
    struct variant {
      how way;
      otp::exit_reason given, expected;
    };
    for (const variant& v :
         {variant{how::stop, "bye", "bye"}, variant{how::stop, normal, normal}, variant{how::raise, {}, raised()},
          variant{how::exit, "out", "out"}, variant{how::exit, shutdown("x"), shutdown("x")}}) {
      for (int by = 0; by < 3; ++by) {
        auto m = gen_server::start_monitor<mortal>({}, otp::self()).value();
        if (by == 0) {
          EXPECT_EQ(cause_that([&] { otp::call(m.server, mortal::ask{v.way, v.given}); }), v.expected);
        }
        if (by == 1) otp::cast(m.server, mortal::end{v.way, v.given});
        if (by == 2) otp::send(m.server.pid(), mortal::end{v.way, v.given});
        EXPECT_EQ(next<terminated>().why, v.expected);
        EXPECT_EQ(reason_of(m.monitor), v.expected);
      }
    }
    auto m = gen_server::start_monitor<mortal>({}, otp::self()).value();
    otp::cast(m.server, mortal::end{how::bad_timeout});
    EXPECT_EQ(next<terminated>().why.error_type(), "otp::bad_argument");
    EXPECT_EQ(reason_of(m.monitor).error_type(), "otp::bad_argument");
    EXPECT_TRUE(mailbox_empty());
  });
}
// covers: GS-078 GS-090
TEST(gen_server_end, terminate_runs_when_the_server_is_asked_to_stop) {
  everywhere(20, [] {
    auto m = gen_server::start<mortal>({}, otp::self()).value();
    gen_server::stop(m, "enough");
    EXPECT_EQ(waiting<terminated>().value().why, otp::exit_reason("enough"));
  });
}
// covers: GS-078 GS-085
TEST(gen_server_end, a_trapping_server_terminates_with_its_parent) {
  everywhere(20, [] {
    otp::exit_reason reasons[] = {normal, shutdown, "broken", raised()};
    for (const otp::exit_reason& why : reasons) {
      // The parent ends.
      otp::pid parent = otp::spawn([why, owner = otp::self()] {
        auto m = gen_server::start_link<mortal>({.spawn = {.trap_exit = true}}, owner).value();
        otp::send(owner, m.pid());
        otp::receive([](const mortal::end&) {});
        otp::exit(why);
      });
      otp::pid server = next<otp::pid>();
      otp::ref watch = otp::monitor(server);
      otp::send(parent, mortal::end{how::nothing});
      EXPECT_EQ(next<terminated>().why, why);
      EXPECT_EQ(reason_of(watch), why);
      // The parent sends an exit signal, `normal` included.
      otp::trap_exit(true);
      auto m = gen_server::start_link<mortal>({.spawn = {.trap_exit = true}}, otp::self()).value();
      watch = otp::monitor(m);
      otp::exit(m, why);
      EXPECT_EQ(next<terminated>().why, why);
      EXPECT_EQ(reason_of(watch), why);
      EXPECT_EQ(next<otp::exit_signal>().reason, why);
    }
  });
}

// covers: GS-079
TEST(gen_server_end, terminate_does_not_run_after_a_failed_init_a_kill_or_an_untrapped_exit) {
  everywhere(20, [] {
    auto killed_one = gen_server::start_monitor<mortal>({}, otp::self()).value();
    otp::exit(killed_one.server, otp::reason::kill);
    EXPECT_EQ(reason_of(killed_one.monitor), killed);
    auto trapping = gen_server::start_monitor<mortal>({.spawn = {.trap_exit = true}}, otp::self()).value();
    otp::exit(trapping.server, otp::reason::kill);
    EXPECT_EQ(reason_of(trapping.monitor), killed);
    auto hit = gen_server::start_monitor<mortal>({}, otp::self()).value();
    otp::exit(hit.server, "hit");
    EXPECT_EQ(reason_of(hit.monitor), otp::exit_reason("hit"));
    // Also while a handler waits.
    auto busy = gen_server::start_monitor<mortal>({}, otp::self()).value();
    otp::cast(busy.server, mortal::busy{1h});
    otp::sleep(1ms);
    otp::exit(busy.server, "hit");
    EXPECT_EQ(reason_of(busy.monitor), otp::exit_reason("hit"));
    int before = told::terminations;
    for (auto w : {told::what::stop, told::what::ignore, told::what::error, told::what::raise, told::what::exit})
      EXPECT_FALSE(gen_server::start<told>({}, w));
    EXPECT_EQ(told::terminations, before);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: GS-083
TEST(gen_server_end, a_server_that_does_not_trap_survives_a_normal_parent_and_dies_with_another) {
  everywhere(20, [] {
    auto child_of = [](otp::exit_reason why) {
      otp::spawn([why, owner = otp::self()] {
        auto m = gen_server::start_link<mortal>({}, owner).value();
        otp::send(owner, m.pid());
        otp::receive([](const mortal::end&) {});
        otp::exit(why);
      });
      return next<otp::pid>();
    };
    otp::server<mortal> survivor(child_of(normal));
    otp::pid parent = otp::info(survivor).value().parent;
    otp::send(parent, mortal::end{how::nothing});
    end_of(parent);
    EXPECT_EQ(otp::call(survivor, mortal::ask{how::nothing}), 1);
    otp::pid victim = child_of("storm");
    otp::ref watch = otp::monitor(victim);
    otp::send(otp::info(victim).value().parent, mortal::end{how::nothing});
    EXPECT_EQ(reason_of(watch), otp::exit_reason("storm"));
    EXPECT_TRUE(mailbox_empty());  // no terminate
  });
}

// covers: GS-084
TEST(gen_server_end, exits_of_others_than_the_parent_are_messages_to_a_trapping_server) {
  for_seeds(20, [] {
    auto m = gen_server::start_link<mortal>({.spawn = {.trap_exit = true}}, otp::self()).value();
    for (const otp::exit_reason& why : {otp::exit_reason(normal), otp::exit_reason(shutdown), otp::exit_reason("x")}) {
      otp::pid other = otp::spawn([m, why] {
        otp::link(m);
        otp::exit(why);
      });
      end_of(other);
      otp::spawn([m, why] { otp::exit(m, why); });
    }
    otp::testing::settle();
    auto seen = otp::call(m, mortal::seen{});
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, (std::vector<std::string>{"exit \"x\"", "exit \"x\"", "exit normal", "exit normal", "exit shutdown",
                                              "exit shutdown"}));
    EXPECT_TRUE(otp::is_alive(m));
  });
}

// The exit signal of a timer, or of a thread outside, was taken for the parent's order to end.
// covers: GS-084
TEST(gen_server_end, an_exit_signal_of_no_process_is_a_message_to_a_trapping_server) {
  using strings = std::vector<std::string>;
  for_seeds(20, [] {
    for (bool linked : {false, true}) {
      otp::start_options options{.spawn = {.trap_exit = true}};
      auto m = linked ? gen_server::start_link<mortal>(options, otp::self()).value()
                      : gen_server::start<mortal>(options, otp::self()).value();
      otp::exit_after(1s, m, shutdown);
      otp::exit_after(2s, m, normal);
      otp::sleep(3s);
      EXPECT_EQ(otp::call(m, mortal::seen{}), (strings{"exit shutdown", "exit normal"}));
      // It does not end one that is suspended either.
      otp::sys::suspend(m);
      otp::exit_after(1s, m, "timer");
      otp::sleep(2s);
      otp::sys::resume(m);
      EXPECT_EQ(otp::call(m, mortal::seen{}).back(), "exit \"timer\"");
      gen_server::stop(m);
      EXPECT_EQ(next<terminated>().why, normal);
    }
  });
  recorder quiet;
  otp::runtime rt({.workers = 2, .listener = &quiet});
  rt.start();
  otp::server<mortal> m;
  EXPECT_EQ(rt.run([&] { m = gen_server::start<mortal>({.spawn = {.trap_exit = true}}, otp::pid()).value(); }), normal);
  rt.exit(m, "a thread");
  EXPECT_EQ(rt.call(m, mortal::seen{}), strings{"exit \"a thread\""});
  EXPECT_TRUE(rt.stop().clean());
}

// covers: GS-088
TEST(gen_server_end, terminate_may_be_missing_or_return_anything) {
  struct chatty {
    int terminate(const otp::exit_reason&) { return 42; }
  };
  everywhere(10, [] {
    auto p = gen_server::start<plain>().value();
    gen_server::stop(p);
    auto q = gen_server::start_monitor<plain>().value();
    gen_server::stop(q.server, "why not");
    EXPECT_EQ(reason_of(q.monitor), otp::exit_reason("why not"));
    auto c = gen_server::start<chatty>().value();
    gen_server::stop(c);
  });
}

// ---- stop --------------------------------------------------------------------------------------------------------

// covers: GS-090 GS-091
TEST(gen_server_end, stop_returns_when_the_server_is_gone_whatever_it_is_called) {
  everywhere(10, [] {
    auto registry = std::make_shared<test_registry>();
    otp::name<mortal> local("gen_server_end");
    auto global = otp::global<mortal>("gen_server_end");
    auto via = otp::via<mortal>(registry, "gen_server_end");
    otp::exit_reason reasons[] = {normal, shutdown, shutdown(3), "other", noproc, otp::reason::timeout, raised()};
    for (bool traps : {false, true})
      for (const otp::exit_reason& why : reasons) {
        auto gone = [&](otp::pid p) {
          EXPECT_FALSE(otp::is_alive(p));
          EXPECT_EQ(waiting<terminated>().value().why, why);
        };
        otp::start_options options{.spawn = {.trap_exit = traps}};
        auto m = gen_server::start<mortal>(options, otp::self()).value();
        gen_server::stop(m, why);
        gone(m);
        m = gen_server::start<mortal>(options, otp::self()).value();
        gen_server::stop(m.pid(), why);
        gone(m);
        options.name = local;
        m = gen_server::start<mortal>(options, otp::self()).value();
        gen_server::stop(local, why);
        gone(m);
        EXPECT_EQ(otp::whereis(local), std::nullopt);
        options.name = global;
        m = gen_server::start<mortal>(options, otp::self()).value();
        gen_server::stop(global, why);
        gone(m);
        options.name = via;
        m = gen_server::start<mortal>(options, otp::self()).value();
        gen_server::stop(via, why, 1min);
        gone(m);
      }
    auto m = gen_server::start<mortal>({}, otp::self()).value();
    gen_server::stop(m);
    EXPECT_EQ(waiting<terminated>().value().why, normal);
    EXPECT_TRUE(mailbox_empty());
    EXPECT_TRUE(otp::info(otp::self()).value().monitors.empty());
  });
}

/// Ends in another way than asked.
struct stubborn {
  enum class way { exit, raise };
  explicit stubborn(way w) : how_(w) {}
  void terminate(const otp::exit_reason&) {
    if (how_ == way::exit) otp::exit("my own");
    throw std::runtime_error("raised");
  }
  way how_;
};

// covers: GS-092
TEST(gen_server_end, stop_exits_the_caller_if_the_server_ends_with_another_reason) {
  everywhere(10, [] {
    auto s = gen_server::start_monitor<stubborn>({}, stubborn::way::exit).value();
    otp::exit_reason why = reason_that([&] { gen_server::stop(s.server); });
    EXPECT_EQ(why.cause(), otp::exit_reason("my own"));
    EXPECT_EQ(why.call()->function, "stop");
    EXPECT_EQ(why.to_string(), "{\"my own\", stop(" + s.server.to_string() + ", normal, infinity)}");
    EXPECT_EQ(reason_of(s.monitor), otp::exit_reason("my own"));
    // A process that is killed while it is being stopped.
    auto m = gen_server::start<mortal>({}, otp::self()).value();
    otp::sys::suspend(m);
    otp::spawn([m] { otp::exit(m, otp::reason::kill); });
    auto stop = [&] { gen_server::stop(m); };
    try {
      stop();
      EXPECT_EQ(next<terminated>().why, normal);
    } catch (const otp::exited& e) {
      EXPECT_TRUE(e.reason().cause() == killed || e.reason().cause() == noproc);
    }
  });
}

// covers: GS-093
TEST(gen_server_end, stopping_nobody_is_noproc_and_oneself_calling_self) {
  everywhere(10, [] {
    auto m = gen_server::start<mortal>({}, otp::self()).value();
    gen_server::stop(m);
    EXPECT_EQ(cause_that([&] { gen_server::stop(m); }), noproc);
    EXPECT_EQ(cause_that([&] { gen_server::stop(m, noproc); }), noproc);  // not the reason that was asked for
    EXPECT_EQ(cause_that([&] { gen_server::stop(otp::name<mortal>("nobody")); }), noproc);
    EXPECT_EQ(cause_that([&] { gen_server::stop(otp::global<mortal>("nobody")); }), noproc);
    EXPECT_EQ(cause_that([&] { gen_server::stop(otp::server<mortal>()); }), noproc);
    EXPECT_EQ(cause_that([&] { gen_server::stop(otp::self()); }), calling_self);
    struct suicidal {
      struct go {
        using reply = otp::exit_reason;
      };
      otp::exit_reason handle_call(go) {
        return cause_that([&] { gen_server::stop(otp::self(this)); });
      }
    };
    auto s = gen_server::start<suicidal>().value();
    EXPECT_EQ(otp::call(s, suicidal::go{}), calling_self);
    EXPECT_TRUE(otp::info(otp::self()).value().monitors.empty());
  });
}

// covers: GS-095
TEST(gen_server_end, an_invalid_stop_timeout_leaves_the_server_running) {
  everywhere(5, [] {
    auto p = gen_server::start<plain>().value();
    EXPECT_THROW(gen_server::stop(p, normal, -1ns), otp::bad_argument);
    EXPECT_EQ(otp::call(p, plain::ask{}), 1);
  });
}
// covers: GS-090 GS-095
TEST(gen_server_end, a_stop_that_takes_too_long_is_a_timeout_and_still_happens) {
  for_seeds(10, [] {
    auto m = gen_server::start_monitor<mortal>({}, otp::self()).value();
    otp::cast(m.server, mortal::busy{10s});
    EXPECT_EQ(
        time_of([&] { EXPECT_EQ(cause_that([&] { gen_server::stop(m.server, normal, 2s); }), otp::reason::timeout); }),
        2s);
    EXPECT_TRUE(otp::is_alive(m.server));
    EXPECT_EQ(reason_of(m.monitor), normal);
    EXPECT_EQ(next<terminated>().why, normal);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: GS-096
TEST(gen_server_end, a_stop_waits_its_turn) {
  for_seeds(20, [] {
    auto c = gen_server::start<mortal>({}, otp::self()).value();
    otp::cast(c, mortal::busy{1s});
    std::vector<otp::request_id<int>> asked;
    for (int i = 0; i < 10; ++i) asked.push_back(otp::send_request(c, mortal::ask{how::nothing}));
    EXPECT_EQ(time_of([&] { gen_server::stop(c); }), 1s);
    for (auto& id : asked) EXPECT_EQ(otp::wait_response(id, 0s).value(), 1);
    EXPECT_TRUE(next<terminated>().why.is_normal());
  });
}

// covers: GS-097
TEST(gen_server_end, a_suspended_server_can_be_stopped) {
  everywhere(20, [] {
    auto m = gen_server::start<mortal>({}, otp::self()).value();
    otp::sys::suspend(m);
    auto waiting_one = otp::send_request(m, mortal::ask{how::nothing});
    gen_server::stop(m, "held and stopped");
    EXPECT_EQ(waiting<terminated>().value().why, otp::exit_reason("held and stopped"));
    // What waited in its mailbox fails with its reason.
    EXPECT_EQ(otp::wait_response(waiting_one).value().error().cause(), otp::exit_reason("held and stopped"));
    // And its parent can end it.
    otp::trap_exit(true);
    auto n = gen_server::start_link<mortal>({.spawn = {.trap_exit = true}}, otp::self()).value();
    otp::sys::suspend(n);
    otp::exit(n, shutdown);
    EXPECT_EQ(next<terminated>().why, shutdown);
    EXPECT_EQ(next<otp::exit_signal>().reason, shutdown);
  });
}

// A suspended server leaves its messages in the mailbox, where a bound counts them.
// covers: GS-097
TEST(gen_server_end, the_mailbox_of_a_suspended_server_keeps_its_bound) {
  for_seeds(5, [] {
    auto c = gen_server::start<collector>({.spawn = {.mailbox = {.max_messages = 3}}}).value();
    otp::sys::suspend(c);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(otp::send(c.pid(), collector::note{"x"}), otp::send_status::sent);
    EXPECT_EQ(otp::send(c.pid(), collector::note{"x"}), otp::send_status::refused);
    EXPECT_EQ(otp::try_call(c, collector::get{}).error().cause(), otp::reason::system_limit);
    EXPECT_EQ(otp::info(c).value().message_queue_len, 3U);
    otp::sys::resume(c);
    otp::testing::settle();
    EXPECT_EQ(otp::call(c, collector::get{}).size(), 3U);
  });
}

}  // namespace
