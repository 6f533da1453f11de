// State machines: starting them, what init may say, names, and a process that becomes one.
#include "conformance/gen_statem_support.hpp"

namespace {

using namespace conformance;

struct born {
  otp::pid self;
};

/// A machine whose init does what it is told; it can be in two states from the start.
struct initial_told {
  struct fresh {};
  struct restored {
    int from = 0;
    std::string to_string() const { return "restored " + std::to_string(from); }
  };
  using states = otp::states<fresh, restored>;
  using initial = otp::states<fresh, restored>;
  struct get {
    using reply = int;
  };
  struct note {
    std::string text;
    std::string to_string() const { return text; }
  };
  using events = otp::events<get, note>;

  enum class what {
    fresh,
    restored,
    actions,
    ignore,
    stop,
    error,
    raise,
    exit,
    throw_ignore,
    throw_stop,
    throw_error,
    slow,
    bad_action
  };
  initial_told(journal j, int v) : log(std::move(j)), value(v) {}
  static otp::init_result<initial_told> init(journal j, what w, otp::pid to = {}) {
    if (to) otp::send(to, born{otp::self()});
    switch (w) {
      case what::fresh: break;
      case what::restored: return otp::start_in(restored{3}, j, 2);
      case what::actions:
        return otp::start_in(restored{4}, j, 2)
            .postpone()
            .next_event(note{"inserted"})
            .timeout("zero", 0s, note{"zero"})
            .state_timeout(1s, note{"state"})
            .hibernate();
      case what::ignore: return otp::ignore();
      case what::stop: return otp::stop("no room");
      case what::error: return otp::init_error("not today");
      case what::raise: throw std::runtime_error("broken");
      case what::exit: otp::exit("gone");
      case what::throw_ignore: throw otp::ignore();
      case what::throw_stop: throw otp::stop("thrown");
      case what::throw_error: throw otp::init_error("thrown error");
      case what::slow: otp::sleep(10s); break;
      case what::bad_action: return otp::start_in(fresh{}, j, 1).next_event(4.5);
    }
    return otp::start_in(fresh{}, j, 1);
  }
  template <class State>
  int on(State&, get) {
    return value;
  }
  template <class State>
  void on(State& s, const note& n, const otp::event_type& type) {
    log.add(type.to_string() + " " + n.text + " in " + otp::state_view(&s, &otp::detail::record_of<State>).to_string());
  }
  void terminate(const otp::exit_reason&) { log.add("terminate"); }
  journal log;
  int value;
};
using what = initial_told::what;

// covers: SM-001 SM-002
TEST(gen_statem_start, plain_or_with_a_link) {
  everywhere(10, [] {
    otp::trap_exit(true);
    auto plain = gen_statem::start<by_type>().value();
    auto linked = gen_statem::start_link<by_type>().value();
    auto links = otp::info(otp::self()).value().links;
    EXPECT_EQ(std::count(links.begin(), links.end(), plain.pid()), 0);
    EXPECT_EQ(std::count(links.begin(), links.end(), linked.pid()), 1);
    EXPECT_EQ(otp::call(plain, by_type::want{"x"}), "x");
    // The link works both ways.
    otp::cast(linked, by_type::act{[](by_type&) -> by_type::move { return otp::stop("odd"); }});
    otp::exit_signal e = next<otp::exit_signal>();
    EXPECT_EQ(e.from, linked.pid());
    EXPECT_EQ(e.reason, "odd");
    struct child {
      otp::pid process;
    };
    otp::pid parent = otp::spawn([owner = otp::self()] {
      otp::send(owner, child{gen_statem::start_link<by_type>().value().pid()});
      next<int>();
      otp::exit("parent ends");
    });
    otp::ref watch = otp::monitor(next<child>().process);
    otp::send(parent, 1);
    EXPECT_EQ(reason_of(watch), "parent ends");
    EXPECT_TRUE(otp::is_alive(plain));
    gen_statem::stop(plain);
  });
}
// covers: SM-003
TEST(gen_statem_start, with_a_monitor) {
  everywhere(10, [] {
    auto made = gen_statem::start_monitor<by_type>().value();
    EXPECT_TRUE(otp::info(otp::self()).value().links.empty());
    otp::exit(made.server, "gone");
    otp::down d = next<otp::down>();
    EXPECT_EQ(d.reference, made.monitor);
    EXPECT_EQ(d.reason, "gone");
    EXPECT_TRUE(mailbox_empty());
    for (auto w : {what::ignore, what::stop, what::raise})
      EXPECT_FALSE(gen_statem::start_monitor<initial_told>({}, journal(), w));
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: SM-004
TEST(gen_statem_start, init_runs_in_the_new_process_and_is_over_when_start_returns) {
  for_seeds(20, [] {
    otp::server<initial_told> m;
    EXPECT_EQ(time_of([&] { m = gen_statem::start<initial_told>({}, journal(), what::slow, otp::self()).value(); }),
              10s);
    EXPECT_EQ(next<born>().self, m.pid());
    EXPECT_NE(m.pid(), otp::self());
    EXPECT_EQ(otp::call(m, initial_told::get{}), 1);
    m = gen_statem::start<initial_told>({}, journal(), what::restored).value();
    EXPECT_EQ(state_of(m), "restored 3");
    EXPECT_EQ(otp::call(m, initial_told::get{}), 2);
  });
}

// covers: SM-005
TEST(gen_statem_start, an_init_that_takes_too_long_is_killed) {
  for_seeds(20, [] {
    otp::trap_exit(true);
    for (bool link : {false, true}) {
      otp::start_options options{.name = "slow", .timeout = 1s};
      auto made = link ? gen_statem::start_link<initial_told>(options, journal(), what::slow, otp::self())
                       : gen_statem::start<initial_told>(options, journal(), what::slow, otp::self());
      EXPECT_EQ(made.error(), otp::reason::timeout);
      EXPECT_FALSE(otp::is_alive(next<born>().self));
      EXPECT_FALSE(otp::whereis("slow"));
      EXPECT_TRUE(mailbox_empty());
    }
  });
}

struct refused {
  what how;
  otp::exit_reason answer;
  otp::exit_reason end;
};
// no meaning: SM-009 (docs/decisions/0002-rows-without-meaning.md)
// covers: SM-006 SM-007 SM-008 SM-010 SM-012
TEST(gen_statem_start, init_may_decline_or_fail_returned_or_thrown) {
  for_seeds(10, [] {
    otp::trap_exit(true);
    otp::exit_reason broken = otp::reason::error("std::runtime_error", "broken");
    for (const refused& r :
         {refused{what::ignore, otp::reason::ignore, normal}, refused{what::throw_ignore, otp::reason::ignore, normal},
          refused{what::stop, "no room", "no room"}, refused{what::throw_stop, "thrown", "thrown"},
          refused{what::error, "not today", normal}, refused{what::throw_error, "thrown error", normal},
          refused{what::raise, broken, broken}, refused{what::exit, "gone", "gone"}}) {
      journal log;
      EXPECT_EQ(gen_statem::start<initial_told>({.name = "it"}, log, r.how).error(), r.answer);
      EXPECT_FALSE(otp::whereis("it"));
      EXPECT_EQ(gen_statem::start_link<initial_told>({.name = "it"}, log, r.how, otp::self()).error(), r.answer);
      otp::pid gone = next<born>().self;
      otp::exit_signal e = next<otp::exit_signal>();
      EXPECT_EQ(e.from, gone);
      EXPECT_EQ(e.reason, r.end);
      EXPECT_EQ(log.take(), strings{});  // no terminate
    }
  });
}

// covers: SM-013 SM-014 SM-015
TEST(gen_statem_start, names_of_every_kind) {
  everywhere(10, [] {
    auto registry = std::make_shared<test_registry>();
    auto check = [](auto address, const otp::server_name& name) {
      for (int round = 0; round < 3; ++round) {
        auto m = gen_statem::start<by_type>({.name = name}).value();
        for (auto again :
             {gen_statem::start<by_type>({.name = name}), gen_statem::start_link<by_type>({.name = name})}) {
          EXPECT_EQ(again.error(), otp::reason::already_started);
          EXPECT_EQ(again.error().process(), m.pid());
        }
        EXPECT_EQ(gen_statem::start_monitor<by_type>({.name = name}).error(), otp::reason::already_started);
        EXPECT_TRUE(mailbox_empty());
        // By name and by reference alike.
        EXPECT_EQ(otp::whereis(address), m.pid());
        EXPECT_EQ(otp::call(address, by_type::want{"1"}), "1");
        EXPECT_EQ(otp::try_call(address, by_type::want{"2"}).value(), "2");
        otp::cast(address, by_type::note{"3"});
        otp::send(address, by_type::note{"4"});
        auto id = otp::send_request(address, by_type::want{"5"});
        EXPECT_EQ(otp::wait_response(id)->value(), "5");
        EXPECT_EQ(otp::call(m, by_type::want{"6"}), "6");
        EXPECT_NE(otp::diagram(address).find("class red current"), std::string::npos);
        gen_statem::stop(address);  // and its name is free
        EXPECT_FALSE(otp::whereis(address));
      }
    };
    check(otp::name<by_type>("a machine"), "a machine");
    check(otp::global<by_type>(17), otp::global(17));
    check(otp::via<by_type>(registry, "key"), otp::via(registry, "key"));
  });
}
// covers: SM-014
TEST(gen_statem_start, a_name_of_another_type_runs_no_wrong_code) {
  for_seeds(10, [] {
    auto m = gen_statem::start<by_type>({.name = "whose"}).value();
    auto other = otp::try_call(otp::name<by_value>("whose"), by_value::want{"x"});
    EXPECT_EQ(other.error().cause().what(), otp::exit_reason::kind::bad_server_type);
    otp::cast(otp::name<by_value>("whose"), by_value::note{"x"});
    otp::cast(otp::name<collector>("whose"), collector::note{"x"});
    EXPECT_EQ(otp::call(m, by_type::want{"alive"}), "alive");
    ASSERT_TRUE(otp::gen_server::start<collector>({.name = "server"}));
    EXPECT_EQ(otp::try_call(otp::name<by_type>("server"), by_type::want{"x"}).error().cause().what(),
              otp::exit_reason::kind::bad_server_type);
  });
}

// covers: SM-016 SM-017
TEST(gen_statem_start, actions_of_init_are_done_before_the_first_event) {
  for_seeds(20, [] {
    journal log;
    auto m = gen_statem::start<initial_told>({}, log, what::actions).value();
    otp::send(m, initial_told::note{"outside"});
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"internal inserted in restored 4", "{timeout, \"zero\"} zero in restored 4",
                                   "info outside in restored 4"}));
    EXPECT_TRUE(otp::sys::get_status(m).postponed.empty());
    otp::sleep(2s);
    EXPECT_EQ(log.take(), strings{"state_timeout state in restored 4"});
    // One that cannot be done ends the machine, as everywhere.
    auto bad = gen_statem::start_monitor<initial_told>({}, log, what::bad_action).value();
    EXPECT_EQ(reason_of(bad.monitor).error_type(), "bad_action_from_state_function");
  });
}

// ---- enter_loop --------------------------------------------------------------------------------------------------

// covers: SM-019 SM-021
TEST(gen_statem_start, a_process_can_become_a_machine) {
  everywhere(10, [] {
    otp::trap_exit(true);
    journal log;
    auto process =
        otp::proc_lib::start_link([log] {
          otp::proc_lib::init_ack();
          otp::trap_exit(true);
          gen_statem::enter_loop(initial_told(log, 9),
                                 otp::start_in(initial_told::restored{1}).next_event(initial_told::note{"inserted"}));
        }).value();
    otp::server<initial_told> m(process.process);
    EXPECT_EQ(otp::call(m, initial_told::get{}), 9);
    EXPECT_EQ(state_of(m), "restored 1");
    otp::send(m, initial_told::note{"outside"});
    EXPECT_EQ(otp::call(m, initial_told::get{}), 9);
    EXPECT_EQ(log.take(), (strings{"internal inserted in restored 1", "info outside in restored 1"}));
    // Who made it is its parent.
    otp::exit(m, shutdown);
    otp::exit_signal e = next<otp::exit_signal>();
    EXPECT_EQ(e.from, m.pid());
    EXPECT_EQ(e.reason, shutdown);
    EXPECT_EQ(log.take(), strings{"terminate"});
  });
}
// One whose first actions could not be done, or whose first enter call stopped it, waited for a message.
// covers: SM-019
TEST(gen_statem_start, a_process_that_becomes_a_machine_may_end_at_once) {
  struct refuses_entry {
    struct only {};
    using states = otp::states<only>;
    using events = otp::events<>;
    otp::step<void> enter(only&) { return otp::stop("no entry"); }
  };
  for_seeds(10, [] {
    auto bad =
        otp::proc_lib::start_monitor([] {
          otp::proc_lib::init_ack();
          gen_statem::enter_loop(initial_told(journal(), 9), otp::start_in(initial_told::fresh{}).next_event(4.5));
        }).value();
    EXPECT_EQ(reason_of(bad.monitor).error_type(), "bad_action_from_state_function");
    auto refused_one = otp::proc_lib::start_monitor([] {
                         otp::proc_lib::init_ack();
                         gen_statem::enter_loop(refuses_entry(), otp::start_in(refuses_entry::only{}));
                       }).value();
    EXPECT_EQ(reason_of(refused_one.monitor), "no entry");
  });
}
// covers: SM-020
TEST(gen_statem_start, one_with_a_name_must_hold_it) {
  for_seeds(10, [] {
    auto become = [](bool registers) {
      return otp::proc_lib::start_monitor([registers] {
               if (registers) otp::register_name("becoming", otp::self());
               otp::proc_lib::init_ack();
               gen_statem::enter_loop(initial_told(journal(), 9), otp::start_in(initial_told::fresh{}),
                                      {.name = "becoming"});
             })
          .value();
    };
    auto refused_end = [](const otp::detail::started& s) { return reason_of(s.monitor).to_string(); };
    EXPECT_NE(refused_end(become(false)).find("not registered"), std::string::npos);
    auto somebody = gen_statem::start<by_type>({.name = "becoming"}).value();
    EXPECT_NE(refused_end(become(false)).find("not registered"), std::string::npos);
    gen_statem::stop(somebody);
    otp::pid named = become(true).process;
    EXPECT_EQ(otp::call(otp::name<initial_told>("becoming"), initial_told::get{}), 9);
    gen_statem::stop(otp::server<initial_told>(named));
  });
}

// ---- under a supervisor ------------------------------------------------------------------------------------------

// covers: SM-022
TEST(gen_statem_start, its_child_specification) {
  otp::child_spec spec = otp::child<by_type>(journal());
  EXPECT_EQ(spec.id(), otp::child_id(std::string(otp::detail::type_name<by_type>)));
  EXPECT_EQ(spec.type(), otp::child_type::worker);
  EXPECT_EQ(spec.restart(), otp::permanent);
  spec.id("other").restart(otp::temporary).shutdown(1s);
  EXPECT_EQ(spec.id(), otp::child_id("other"));
  EXPECT_EQ(spec.restart(), otp::temporary);
  EXPECT_EQ(spec.shutdown(), otp::shutdown_time(1s));
  everywhere(10, [] {
    journal log;
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one,
                    .children = {otp::child<initial_told>(log, what::restored).id("m"), otp::child<by_type>(log)}})
                   .value();
    auto pid_of = [&](const otp::child_id& id) {
      for (auto& c : otp::supervisor::which_children(sup))
        if (c.id == id) return c.process;
      return otp::pid();
    };
    otp::pid first = pid_of("m");
    EXPECT_EQ(otp::call(otp::server<initial_told>(first), initial_told::get{}), 2);
    otp::ref gone = otp::monitor(first);
    otp::exit(first, otp::reason::kill);
    reason_of(gone);
    otp::pid second = pid_of("m");
    EXPECT_NE(first, second);
    EXPECT_EQ(state_of(second), "restored 3");
    otp::supervisor::stop(sup);
  });
}

}  // namespace
