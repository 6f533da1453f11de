// sys: state and status, suspending, ending, and plain processes that answer.
#include "conformance/gen_server_support.hpp"

#include <otp/sys.hpp>

namespace {

using namespace conformance;
namespace gen_server = otp::gen_server;
namespace sys = otp::sys;

/// A copyable server with one number.
struct counter {
  struct add {
    using reply = int;
    int by;
    std::string to_string() const { return "add " + std::to_string(by); }
  };
  struct slow {
    otp::duration time;
  };
  struct crash {};
  using messages = otp::messages<add>;
  int handle_call(const add& a) { return value += a.by; }
  void handle_cast(const add& a) { value += a.by; }
  void handle_cast(slow s) { otp::sleep(s.time); }
  void handle_cast(crash) { throw std::runtime_error("crash"); }
  void handle_info(const add& a) { value += a.by; }
  void terminate(const otp::exit_reason& why) { ends.add("terminate " + why.to_string()); }
  std::string to_string() const { return "counter at " + std::to_string(value); }
  int value = 0;
  tests::journal ends{};
};
inline constexpr otp::name<counter> named{"the counter"};

/// A state that cannot be copied, and one that cannot be shown.
struct owner {
  struct touch {};
  void handle_cast(touch) { ++*number; }
  std::string to_string() const { throw std::runtime_error("unspeakable"); }
  std::unique_ptr<int> number = std::make_unique<int>(5);
};

struct tree {
  static otp::supervisor_spec init(int, int) { return {.strategy = otp::one_for_one}; }
};
struct pool {
  static otp::dynamic_supervisor_spec init() { return {}; }
};

// covers: SYS-001
TEST(sys_state, the_state_of_a_server_by_reference_name_or_pid_running_or_suspended) {
  everywhere(5, [] {
    auto c = gen_server::start_link<counter>({.name = named}).value();
    otp::call(c, counter::add{3});
    for (int round = 0; round < 2; ++round) {
      // [state]
      EXPECT_EQ(sys::get_state(c).value, 3) << "a copy";
      EXPECT_EQ(sys::get_state(named).value, 3);
      EXPECT_EQ(sys::get_state(c, [](const counter& s) { return s.value * 2; }), 6) << "what a function reads";
      EXPECT_EQ(sys::get_state(named, &counter::value), 3);
      EXPECT_EQ(sys::get_state(c.pid()), "counter at 3") << "as text, where no type is known";
      EXPECT_EQ(sys::get_state("the counter"), "counter at 3");
      // [/state]
      if (round == 0) sys::suspend(c);
    }
    auto o = gen_server::start_link<owner>().value();
    EXPECT_EQ(sys::get_state(o, [](const owner& s) { return *s.number; }), 5) << "what cannot be copied can be read";
    EXPECT_EQ(sys::get_state(o.pid()), "to_string() failed");
    auto a = otp::agent<std::vector<int>>::start_link([] { return std::vector{1, 2}; }).value();
    EXPECT_EQ(sys::get_state(a), (std::vector{1, 2})) << "of an agent what it holds";
    otp::supervisor_spec none{.strategy = otp::one_for_one};
    auto s = otp::supervisor::start_link(none).value();
    EXPECT_NE(sys::get_state(s).find("children: 0"), std::string::npos);
    auto t = otp::task_supervisor::start_link().value();
    EXPECT_NE(sys::get_state(t).find("children: 0"), std::string::npos);
  });
}

// A typed address of a supervisor's module or of a registry asked for a state of that type, which nobody has.
// covers: SYS-001
TEST(sys_state, of_a_supervisor_or_registry_there_is_the_text_whatever_it_is_addressed_by) {
  static constexpr otp::unique_registry<std::string> registry{"the registry"};
  everywhere(3, [] {
    otp::supervisor_spec none{.strategy = otp::one_for_one};
    auto same = [](const auto& typed, otp::pid process) {
      std::string text = sys::get_state(typed);
      EXPECT_EQ(text, sys::get_state(process));
      EXPECT_EQ(sys::get_state(otp::supervisor_ref(typed)), text);
    };
    auto m = otp::supervisor::start_link<tree>({}, 1, 2).value();
    static_assert(std::is_same_v<decltype(m), otp::server<tree>>);
    same(m, m.pid());
    auto p = otp::dynamic_supervisor::start_link<pool>().value();
    same(p, p.pid());
    auto r = otp::registry::start_link(registry).value();
    same(r, r.pid());
    auto n = otp::supervisor::start_link(none, {.name = "by name"}).value();
    otp::server_name name("by name");
    EXPECT_EQ(sys::get_state(name), sys::get_state(n.pid()));
    sys::suspend(otp::supervisor_ref("by name"));
    EXPECT_TRUE(sys::get_status(name).suspended);
    sys::resume(name);
    EXPECT_EQ(cause_that([] { sys::get_state(otp::server_name()); }), noproc);
    EXPECT_EQ(cause_that([] { sys::get_state(otp::supervisor_ref("nobody")); }), noproc);
  });
}

// covers: SYS-002
TEST(sys_state, a_function_replaces_the_state_and_the_new_one_is_returned_also_while_suspended) {
  everywhere(5, [] {
    auto c = gen_server::start_link<counter>({.name = named}).value();
    // [replace]
    EXPECT_EQ(sys::replace_state(c, [](counter& s) { s.value = 10; }).value, 10) << "in place";
    // [/replace]
    EXPECT_EQ(sys::replace_state(named,
                                 [](const counter& s) {
                                   counter next = s;
                                   next.value += 5;
                                   return next;
                                 })
                  .value,
              15)
        << "by a new one";
    sys::suspend(c);
    EXPECT_EQ(sys::replace_state(c, [](counter& s) { s.value = 1; }).value, 1);
    sys::resume(c);
    EXPECT_EQ(otp::call(c, counter::add{1}), 2);
    // What fails leaves everything as it was, and is told to who asked.
    otp::exit_reason why = reason_that([&] {
      sys::replace_state(c, [](counter& s) {
        s.value = 99;
        throw std::runtime_error("no");
      });
    });
    EXPECT_EQ(why.cause().error_type(), "callback_failed");
    EXPECT_NE(why.cause().to_string().find("no"), std::string::npos);
    EXPECT_EQ(otp::call(c, counter::add{0}), 2);
    auto o = gen_server::start_link<owner>().value();
    static_assert(std::is_void_v<decltype(sys::replace_state(o, [](const owner&) { return owner(); }))>);
    sys::replace_state(o, [](const owner&) { return owner{std::make_unique<int>(8)}; });
    EXPECT_EQ(sys::get_state(o, [](const owner& s) { return *s.number; }), 8);
    auto a = otp::agent<int>::start_link([] { return 1; }).value();
    EXPECT_EQ(*otp::snapshot(a), 1);
    EXPECT_EQ(sys::replace_state(a, [](int n) { return n + 1; }), 2);
    EXPECT_EQ(*otp::snapshot(a), 2) << "what is published follows";
  });
}

// covers: SYS-004
TEST(sys_state, the_status_says_who_it_is_and_how_it_is_doing) {
  everywhere(3, [] {
    struct keeps {
      explicit keeps(int) { otp::put("colour", "blue"); }
      std::string to_string() const { return "the state"; }
    };
    auto s = gen_server::start_link<keeps>({.name = "keeper", .debug = {"log=5"}}, 1).value();
    otp::server_status now = sys::get_status("keeper");
    EXPECT_EQ(now.pid, s.pid());
    EXPECT_EQ(now.name, "\"keeper\"");
    EXPECT_EQ(now.type, otp::detail::type_name<keeps>);
    EXPECT_EQ(now.parent, otp::self());
    EXPECT_FALSE(now.suspended);
    EXPECT_EQ(now.state, "the state");
    EXPECT_EQ(now.debug, tests::strings{"log=5"});
    ASSERT_EQ(now.dictionary.size(), 1U);
    EXPECT_EQ(now.dictionary[0], (std::pair<std::string, std::string>("\"colour\"", "\"blue\"")));
    sys::suspend(s);
    EXPECT_TRUE(sys::get_status(s).suspended);
  });
}

// covers: SYS-005
TEST(sys_state, a_plain_process_answers_through_a_special_process) {
  struct tally {
    int pings = 0;
    std::string to_string() const { return std::to_string(pings) + " pings"; }
  };
  struct ping {
    otp::pid from;
  };
  struct pong {
    int number;
  };
  struct boom {};
  everywhere(10, [] {
    otp::pid p = otp::spawn_link([] {
      // [special]
      tally state;
      sys::special_process me(state, {"statistics"});
      for (;;)
        me.receive(
            [&](const ping& m) {
              me.in(m, m.from);
              pong answer{++state.pings};
              me.out(answer, m.from);
              otp::send(m.from, answer);
            },
            [](boom) { throw std::runtime_error("boom"); });
      // [/special]
    });
    otp::server<tally> typed(p);
    otp::send(p, ping{otp::self()});
    EXPECT_EQ(next<pong>().number, 1);
    EXPECT_EQ(sys::get_state(typed).pings, 1);
    EXPECT_EQ(sys::get_state(p), "1 pings");
    EXPECT_EQ(sys::replace_state(typed, [](tally& t) { t.pings = 10; }).pings, 10);
    auto counted = sys::get_statistics(p);
    ASSERT_TRUE(counted);
    EXPECT_EQ(counted->messages_in, 1U);
    EXPECT_EQ(counted->messages_out, 1U);
    sys::suspend(p);
    otp::send(p, ping{otp::self()});
    EXPECT_TRUE(sys::get_status(p).suspended);
    EXPECT_EQ(sys::get_state(typed).pings, 10) << "it takes no message";
    sys::resume(p);
    EXPECT_EQ(next<pong>().number, 11);
    // What fails is told to who asked, and does no harm.
    otp::exit_reason why =
        reason_that([&] { sys::replace_state(typed, [](const tally&) -> tally { throw std::runtime_error("no"); }); });
    EXPECT_EQ(why.cause().error_type(), "callback_failed");
    EXPECT_EQ(cause_that([&] { sys::get_state(otp::server<counter>(p)); }).what(),
              otp::exit_reason::kind::bad_server_type);
    EXPECT_EQ(sys::get_state(typed).pings, 11);
    otp::unlink(p);
    otp::ref gone = otp::monitor(p);
    sys::terminate(p, "enough");
    EXPECT_EQ(reason_of(gone), "enough");
  });
}

TEST(sys_state, a_special_process_keeps_the_time_of_its_receive_whatever_sys_asks) {
  seeded([] {
    otp::pid owner = otp::self();
    otp::pid p = otp::spawn_link([owner] {
      int state = 0;
      struct box {
        int n;
      } held{state};
      sys::special_process me(held);
      otp::instant before = otp::now();
      me.receive([](const std::string&) {}, otp::after(10s, [] {}));
      otp::send(owner, otp::duration(otp::now() - before));
      me.receive([](const std::string&) {});
    });
    for (int i = 0; i < 5; ++i) {
      otp::sleep(1s);
      sys::get_status(p);
    }
    EXPECT_EQ(next<otp::duration>(), 10s);
    gen_server::stop(p);
    EXPECT_FALSE(otp::is_alive(p));
  });
}

// covers: SYS-006
TEST(sys_state, system_requests_fail_as_calls_do) {
  seeded([] {
    otp::pid dead = otp::spawn([] {});
    end_of(dead);
    EXPECT_EQ(cause_that([&] { sys::get_status(dead); }), noproc);
    EXPECT_EQ(cause_that([&] { sys::get_state("nobody"); }), noproc);
    EXPECT_EQ(cause_that([&] { sys::get_state(otp::name<counter>("nobody")); }), noproc);
    auto c = gen_server::start<counter>().value();
    otp::cast(c, counter::slow{1h});
    otp::duration waited = time_of([&] {
      otp::exit_reason why = reason_that([&] { sys::get_status(c); });
      EXPECT_EQ(why.cause(), otp::reason::timeout);
      ASSERT_TRUE(why.call());
      EXPECT_EQ(why.call()->function, "sys.get_status");
      EXPECT_EQ(why.call()->server, c.to_string());
      EXPECT_EQ(why.call()->timeout, 5s);
    });
    EXPECT_EQ(waited, 5s) << "unless told otherwise";
    EXPECT_EQ(time_of([&] { cause_that([&] { sys::suspend(c, 100ms); }); }), 100ms);
    auto d = gen_server::start<counter>().value();
    otp::cast(d, counter::crash{});
    EXPECT_EQ(cause_that([&] { sys::get_state(d); }), otp::reason::error("std::runtime_error", "crash"));
    EXPECT_EQ(cause_that([] { sys::get_status(otp::self()); }), otp::reason::calling_self);
  });
}

// covers: SYS-007
TEST(sys_state, a_process_that_serves_no_system_requests_lets_them_time_out) {
  seeded([] {
    otp::pid hangs = sleeper();
    EXPECT_EQ(time_of([&] { EXPECT_EQ(cause_that([&] { sys::get_status(hangs, 2s); }), otp::reason::timeout); }), 2s);
    auto t = otp::async([] { otp::sleep(10s); });
    EXPECT_EQ(cause_that([&] { sys::suspend(t.pid(), 1s); }), otp::reason::timeout) << "a task is none either";
    otp::await(t, otp::infinity);
    otp::exit(hangs, otp::reason::kill);
  });
}

// covers: SYS-008
TEST(sys_state, system_requests_come_in_the_order_of_the_mailbox) {
  everywhere(20, [] {
    auto c = gen_server::start_link<counter>().value();
    for (int i = 1; i <= 50; ++i) {
      otp::cast(c, counter::add{1});
      EXPECT_EQ(sys::get_state(c, &counter::value), i);
    }
  });
}

// What is unknown does not compile; what is left is a request that this kind of process cannot do.
// no meaning: SYS-009 (docs/decisions/0002-rows-without-meaning.md)
TEST(sys_state, a_request_that_the_process_cannot_do_is_answered_with_an_error_and_has_no_effect) {
  everywhere(5, [] {
    auto c = gen_server::start_link<counter>().value();
    otp::call(c, counter::add{7});
    otp::server<owner> mistaken(c.pid());
    for (int way = 0; way < 2; ++way) {
      otp::exit_reason why = cause_that([&] {
        if (way == 0)
          sys::get_state(mistaken, [](const owner&) { return 1; });
        else
          sys::replace_state(mistaken, [](const owner&) { return owner(); });
      });
      EXPECT_EQ(why.what(), otp::exit_reason::kind::bad_server_type);
      EXPECT_NE(why.to_string().find("counter"), std::string::npos) << why.to_string();
    }
    otp::supervisor_spec none{.strategy = otp::one_for_one};
    auto s = otp::supervisor::start_link(none).value();
    EXPECT_EQ(cause_that([&] { sys::get_state(otp::server<counter>(s.pid())); }).what(),
              otp::exit_reason::kind::bad_server_type);
    EXPECT_EQ(otp::call(c, counter::add{0}), 7);
  });
}

// ---- suspend and resume ------------------------------------------------------------------------------------------

// covers: SYS-010
TEST(sys_suspend, what_comes_meanwhile_stays_in_the_mailbox_and_is_handled_in_order_after_resume) {
  everywhere(20, [] {
    auto s = gen_server::start_link<collector>().value();
    sys::suspend(s);
    otp::cast(s, collector::note{"1"});
    otp::send(s.pid(), collector::note{"2"});
    auto asked = otp::send_request(s, collector::get{});
    otp::cast(s, collector::note{"3"});
    EXPECT_EQ(sys::get_state(s, &collector::seen), tests::strings{});
    EXPECT_EQ(otp::info(s)->message_queue_len, 4U);
    sys::resume(s);
    EXPECT_EQ(otp::wait_response(asked).value().value(), (tests::strings{"cast 1", "info 2"}));
    EXPECT_EQ(otp::call(s, collector::get{}), (tests::strings{"cast 1", "info 2", "cast 3"}));
  });
}

// covers: SYS-011
TEST(sys_suspend, twice_is_no_error_and_one_resume_undoes_any_number) {
  everywhere(10, [] {
    auto c = gen_server::start_link<counter>().value();
    sys::resume(c);
    for (int i = 0; i < 3; ++i) sys::suspend(c);
    EXPECT_TRUE(sys::get_status(c).suspended);
    sys::resume(c);
    EXPECT_EQ(otp::call(c, counter::add{1}), 1);
    sys::resume(c);
    EXPECT_EQ(otp::call(c, counter::add{1}), 2);
  });
}

// covers: SYS-014
TEST(sys_suspend, a_hibernating_server_stays_in_hibernation) {
  struct sleepy {
    struct go {
      using reply = void;
    };
    otp::call_result<void> handle_call(go) { return otp::reply().hibernate(); }
  };
  everywhere(5, [] {
    auto s = gen_server::start_link<sleepy>().value();
    otp::call(s, sleepy::go{});
    EXPECT_TRUE(sys::get_status(s).hibernating);
    sys::suspend(s);
    EXPECT_TRUE(sys::get_status(s).hibernating);
    EXPECT_TRUE(sys::get_status(s).suspended);
    sys::resume(s);
    EXPECT_TRUE(sys::get_status(s).hibernating);
    EXPECT_FALSE(sys::get_status(s).suspended);
  });
}

// Compiled code does not change under a running server, suspended or not.
// no meaning: SYS-015 (docs/decisions/0002-rows-without-meaning.md)

// A server that suspends, is asked, resumes and is stopped in every order ends, and every call gets an answer.
TEST(sys_suspend, explored) {
  otp::testing::explore({.seeds = 300}, [] {
    auto c = gen_server::start<counter>().value();
    otp::pid a = otp::spawn_link([c] {
      sys::suspend(c);
      sys::get_status(c);
      sys::resume(c);
    });
    auto b = otp::spawn({.monitor = true}, [c] { otp::call(c, counter::add{1}); });
    otp::testing::require(reason_of(b.monitor).is_normal(), "the call is answered");
    end_of(a);
    otp::testing::require(sys::get_state(c, &counter::value) == 1, "once");
    gen_server::stop(c);
  });
}

// ---- the end -----------------------------------------------------------------------------------------------------

// covers: SYS-016
TEST(sys_terminate, is_acknowledged_first_and_then_the_server_ends_by_way_of_terminate) {
  everywhere(10, [] {
    for (bool suspended : {false, true}) {
      tests::journal happened;
      auto c = gen_server::start<counter>({}, 0, happened).value();
      otp::ref gone = otp::monitor(c);
      if (suspended) sys::suspend(c);
      sys::terminate(c, shutdown("for today"));
      EXPECT_EQ(reason_of(gone), shutdown("for today"));
      EXPECT_EQ(happened.take(), tests::strings{"terminate " + otp::exit_reason(shutdown("for today")).to_string()});
    }
    otp::supervisor_spec none{.strategy = otp::one_for_one};
    auto s = otp::supervisor::start_link(none).value();
    otp::unlink(s);
    otp::ref gone = otp::monitor(s);
    sys::terminate(s, shutdown);
    EXPECT_EQ(reason_of(gone), shutdown);
  });
}

// covers: SYS-017
TEST(sys_terminate, stop_waits_for_the_end_and_succeeds_if_the_reason_is_the_one_asked_for) {
  everywhere(10, [] {
    for (otp::exit_reason why : {otp::exit_reason(), otp::exit_reason(shutdown), otp::exit_reason("odd")}) {
      auto c = gen_server::start<counter>({.name = named}).value();
      gen_server::stop(named, why);
      EXPECT_FALSE(otp::whereis("the counter"));
      EXPECT_FALSE(otp::is_alive(c));
    }
    struct stubborn {
      void terminate(const otp::exit_reason&) { otp::exit("my own"); }
    };
    auto s = gen_server::start<stubborn>().value();
    EXPECT_EQ(cause_that([&] { gen_server::stop(s); }), "my own");
    otp::pid plain = otp::spawn([] {
      int n = 0;
      struct box {
        int& n;
      } held{n};
      sys::special_process me(held);
      me.receive([](const std::string&) {});
    });
    gen_server::stop(plain, "asked");  // of a special process too
    EXPECT_FALSE(otp::is_alive(plain));
  });
}

// covers: SYS-019
TEST(sys_terminate, stop_exits_with_noproc_or_timeout_which_covers_request_and_end_together) {
  struct slow_end {
    void terminate(const otp::exit_reason&) { otp::sleep(3s); }
    void handle_cast(otp::duration d) { otp::sleep(d); }
  };
  seeded([] {
    EXPECT_EQ(cause_that([] { gen_server::stop(otp::name<counter>("nobody")); }), noproc);
    otp::pid dead = otp::spawn([] {});
    end_of(dead);
    EXPECT_EQ(cause_that([&] { gen_server::stop(dead); }), noproc);
    auto s = gen_server::start<slow_end>().value();
    otp::cast(s, otp::duration(2s));
    EXPECT_EQ(time_of([&] { EXPECT_EQ(cause_that([&] { gen_server::stop(s, normal, 4s); }), otp::reason::timeout); }),
              4s)
        << "two seconds until it looks, and two of the three that it needs to end";
    EXPECT_EQ(end_of(s), normal);
  });
}

}  // namespace
