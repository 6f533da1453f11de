// Servers: starting them, what init may say, and what the starter learns.
#include "conformance/gen_server_support.hpp"

namespace {

using namespace conformance;
namespace gen_server = otp::gen_server;

struct born {
  otp::pid self;
  otp::pid parent;
};

/// Says who it is from its init, which may take its time.
struct announcer {
  struct who {
    using reply = otp::pid;
  };
  explicit announcer(otp::pid to, otp::duration length = 0s) {
    otp::send(to, born{otp::self(), otp::parent()});
    otp::sleep(length);
  }
  otp::pid handle_call(who) { return otp::self(); }
};

// covers: GS-001
TEST(gen_server_start, runs_init_in_the_new_process_and_waits_for_it) {
  for_seeds(20, [] {
    otp::server<announcer> made;
    otp::duration took = time_of([&] { made = gen_server::start<announcer>({}, otp::self(), 1s).value(); });
    EXPECT_EQ(took, 1s);
    EXPECT_EQ(next<born>().self, made.pid());
    EXPECT_NE(made.pid(), otp::self());
    EXPECT_EQ(otp::call(made, announcer::who{}), made.pid());
  });
  EXPECT_EQ(threaded([] {
              auto made = gen_server::start<announcer>({}, otp::self()).value();
              EXPECT_EQ(waiting<born>().value().self, made.pid());  // init is over, so it has said so
            }),
            normal);
}

// covers: GS-002
TEST(gen_server_start, links_and_makes_a_parent_only_if_asked) {
  everywhere(20, [] {
    otp::trap_exit(true);
    auto linked = gen_server::start_link<collector>({.spawn = {.trap_exit = true}}).value();
    auto plain = gen_server::start<collector>({.spawn = {.trap_exit = true}}).value();
    auto links = otp::info(otp::self()).value().links;
    EXPECT_EQ(std::count(links.begin(), links.end(), linked.pid()), 1);
    EXPECT_EQ(std::count(links.begin(), links.end(), plain.pid()), 0);
    // An exit signal of the parent's ends a trapping server, one of somebody else is a message.
    otp::exit(plain, "hello");
    EXPECT_EQ(otp::call(plain, collector::get{}), std::vector<std::string>{"exit \"hello\""});
    otp::exit(linked, "bye");
    otp::exit_signal e = next<otp::exit_signal>();
    EXPECT_EQ(e.from, linked.pid());
    EXPECT_EQ(e.reason, otp::exit_reason("bye"));
    EXPECT_TRUE(otp::is_alive(plain));
  });
}

// covers: GS-003
TEST(gen_server_start, returns_the_monitor_with_the_server_and_leaves_none_behind_on_failure) {
  everywhere(20, [] {
    auto made = gen_server::start_monitor<collector>().value();
    EXPECT_EQ(otp::call(made.server, collector::get{}).size(), 0U);
    EXPECT_EQ(otp::info(otp::self()).value().links.size(), 0U);
    otp::exit(made.server, otp::reason::kill);
    otp::down d = next<otp::down>();
    EXPECT_EQ(d.reference, made.monitor);
    EXPECT_EQ(d.reason, killed);

    EXPECT_EQ(gen_server::start_monitor<told>({}, told::what::stop).error(), otp::exit_reason("no room"));
    EXPECT_EQ(gen_server::start_monitor<told>({}, told::what::ignore).error(), otp::reason::ignore);
    EXPECT_EQ(gen_server::start_monitor<told>({}, told::what::raise).error(),
              otp::reason::error("std::runtime_error", "broken"));
    auto holder = gen_server::start<collector>({.name = "held"}).value();
    EXPECT_EQ(gen_server::start_monitor<collector>({.name = "held"}).error(), otp::reason::already_started);
    gen_server::stop(holder);
    EXPECT_TRUE(mailbox_empty());
    EXPECT_TRUE(otp::info(otp::self()).value().monitors.empty());
  });
}
// covers: GS-003
TEST(gen_server_start, leaves_no_down_message_when_a_monitored_start_is_too_late) {
  for_seeds(20, [] {
    EXPECT_EQ(gen_server::start_monitor<announcer>({.timeout = 10ms}, otp::self(), 1s).error(), otp::reason::timeout);
    next<born>();
    otp::sleep(2s);
    EXPECT_TRUE(mailbox_empty());
  });
}

/// Starts with more than a state.
struct richer {
  enum class with { nothing, timeout, message, hibernate, work };
  static otp::init_result<richer> init(with w) {
    switch (w) {
      case with::timeout: return otp::ok().timeout_after(1s);
      case with::message: return otp::ok().timeout_after(1s, collector::note{"late"});
      case with::hibernate: return otp::ok().hibernate();
      case with::work: return otp::ok().then_continue(collector::note{"begin"});
      default: return otp::ok();
    }
  }
  using messages = otp::messages<collector::note>;
  std::vector<std::string> handle_call(collector::get) { return seen; }
  void handle_info(otp::timeout) { seen.push_back("timeout"); }
  void handle_info(const collector::note& n) { seen.push_back("info " + n.text); }
  void handle_continue(const collector::note& n) { seen.push_back("continue " + n.text); }
  std::vector<std::string> seen;
};

// covers: GS-004
TEST(gen_server_start, takes_a_timeout_hibernation_or_a_continue_from_init) {
  for_seeds(20, [] {
    using with = richer::with;
    using strings = std::vector<std::string>;
    auto seen_by = [](with w) {
      auto made = gen_server::start<richer>({}, w).value();
      bool hibernates = otp::sys::get_status(made).hibernating;
      EXPECT_EQ(hibernates, w == with::hibernate);
      otp::sleep(2s);
      return otp::call(made, collector::get{});
    };
    EXPECT_EQ(seen_by(with::nothing), strings{});
    EXPECT_EQ(seen_by(with::timeout), strings{"timeout"});
    EXPECT_EQ(seen_by(with::message), strings{"info late"});
    EXPECT_EQ(seen_by(with::hibernate), strings{});
    EXPECT_EQ(seen_by(with::work), strings{"continue begin"});
  });
}

// covers: GS-005
TEST(gen_server_start, ignore_is_no_error_and_hurts_nobody) {
  everywhere(20, [] {
    int before = told::terminations;
    EXPECT_EQ(gen_server::start_link<told>({}, told::what::ignore).error(), otp::reason::ignore);
    EXPECT_EQ(gen_server::start<told>({}, told::what::ignore).error(), otp::reason::ignore);
    otp::trap_exit(true);
    EXPECT_EQ(gen_server::start_link<told>({}, told::what::ignore).error(), otp::reason::ignore);
    EXPECT_EQ(next<otp::exit_signal>().reason, normal);  // how it ended
    EXPECT_EQ(told::terminations, before);
  });
}

// covers: GS-006 GS-007
TEST(gen_server_start, stop_in_init_is_the_start_error_and_how_the_server_ends) {
  everywhere(20, [] {
    int before = told::terminations;
    EXPECT_EQ(gen_server::start<told>({}, told::what::stop).error(), otp::exit_reason("no room"));
    // A starter that does not trap ends with it.
    otp::pid starter = otp::spawn([] {
      auto made = gen_server::start_link<told>({}, told::what::stop);
      otp::sleep(otp::infinity);
    });
    EXPECT_EQ(end_of(starter), otp::exit_reason("no room"));
    // One that does gets the error, and the exit message is there when it does.
    otp::trap_exit(true);
    EXPECT_EQ(gen_server::start_link<told>({}, told::what::stop).error(), otp::exit_reason("no room"));
    EXPECT_EQ(waiting<otp::exit_signal>().value().reason, otp::exit_reason("no room"));
    EXPECT_TRUE(mailbox_empty());
    EXPECT_EQ(told::terminations, before);
  });
}
// covers: GS-006
TEST(gen_server_start, stop_normal_in_init_is_an_error_too) {
  everywhere(10, [] { EXPECT_EQ(gen_server::start_link<told>({}, told::what::stop_normal).error(), normal); });
}

// covers: GS-008
TEST(gen_server_start, an_init_error_is_returned_while_the_server_ends_normally) {
  for_seeds_with_journal(20, [](event_log& events) {
    EXPECT_EQ(gen_server::start_link<told>({}, told::what::error).error(), otp::exit_reason("not today"));
    otp::trap_exit(true);
    EXPECT_EQ(gen_server::start_link<told>({}, told::what::error).error(), otp::exit_reason("not today"));
    EXPECT_EQ(next<otp::exit_signal>().reason, normal);
    EXPECT_EQ(events.count("crash"), 0U);
  });
}

// What init may return is fixed by its type; tests/compile_fail/gen_server_start.cpp shows the refusal.
// no meaning: GS-009 (docs/decisions/0002-rows-without-meaning.md)

// covers: GS-010
TEST(gen_server_start, what_init_raises_or_exits_with_is_the_start_error) {
  everywhere(20, [] {
    EXPECT_EQ(gen_server::start<told>({}, told::what::raise).error(),
              otp::reason::error("std::runtime_error", "broken"));
    EXPECT_EQ(gen_server::start<told>({}, told::what::exit).error(), otp::exit_reason("gone"));
    otp::trap_exit(true);
    EXPECT_EQ(gen_server::start_link<told>({}, told::what::raise).error(),
              otp::reason::error("std::runtime_error", "broken"));
    EXPECT_EQ(next<otp::exit_signal>().reason, otp::reason::error("std::runtime_error", "broken"));
  });
}

/// Has only a constructor.
struct constructed {
  explicit constructed(told::what w) {
    if (w == told::what::throw_ignore) throw otp::ignore();
    if (w == told::what::throw_stop) throw otp::stop("thrown");
    if (w == told::what::throw_error) throw otp::init_error("thrown error");
    if (w == told::what::throw_int) throw 42;
  }
};

// covers: GS-011
TEST(gen_server_start, a_result_of_init_may_be_thrown) {
  everywhere(20, [] {
    auto check = [](auto start) {
      EXPECT_EQ(start(told::what::throw_ignore).error(), otp::reason::ignore);
      EXPECT_EQ(start(told::what::throw_stop).error(), otp::exit_reason("thrown"));
      EXPECT_EQ(start(told::what::throw_error).error(), otp::exit_reason("thrown error"));
      EXPECT_EQ(start(told::what::throw_int).error(), otp::reason::error("int", "42"));  // no result: an error
    };
    check([](told::what w) { return gen_server::start<told>({}, w); });
    check([](told::what w) { return gen_server::start<constructed>({}, w); });
    otp::trap_exit(true);
    EXPECT_EQ(gen_server::start_link<constructed>({}, told::what::throw_error).error(),
              otp::exit_reason("thrown error"));
    EXPECT_EQ(next<otp::exit_signal>().reason, normal);
  });
}

// covers: GS-015
TEST(gen_server_start, an_init_that_is_too_slow_is_killed_and_its_starter_unhurt) {
  for_seeds(20, [] {
    for (bool traps : {false, true}) {
      otp::trap_exit(traps);
      auto late = gen_server::start_link<announcer>({.name = "slow", .timeout = 10ms}, otp::self(), 1s);
      EXPECT_EQ(late.error(), otp::reason::timeout);
      otp::pid victim = next<born>().self;
      EXPECT_FALSE(otp::is_alive(victim));
      EXPECT_EQ(otp::whereis("slow"), std::nullopt);
      otp::sleep(2s);
      EXPECT_TRUE(mailbox_empty());
    }
    // In time is in time.
    EXPECT_TRUE(gen_server::start<announcer>({.timeout = 1s}, otp::self(), 999ms));
  });
}
// The end of the child by itself races with the starter's timeout.
// covers: GS-015
TEST(gen_server_start, leaves_no_exit_message_behind_even_if_the_child_ends_at_the_timeout) {
  EXPECT_EQ(threaded([] {
              struct short_lived {
                short_lived() {
                  otp::sleep(2ms);
                  otp::exit("by itself");
                }
              };
              otp::trap_exit(true);
              for (int i = 0; i < 60; ++i) {
                auto made = gen_server::start_link<short_lived>({.timeout = std::chrono::microseconds(200) * (i % 30)});
                bool late = made.error() == otp::reason::timeout;
                EXPECT_TRUE(late || made.error() == otp::exit_reason("by itself"));
                EXPECT_EQ(waiting<otp::exit_signal>().has_value(), !late);
              }
              EXPECT_TRUE(mailbox_empty());
            }),
            normal);
}
// covers: GS-015
TEST(gen_server_start, a_negative_start_timeout_is_a_bad_argument_and_starts_nothing) {
  for_seeds(5, [] {
    auto before = otp::process_count();
    EXPECT_THROW(static_cast<void>(gen_server::start<collector>({.timeout = -1ns})), otp::bad_argument);
    EXPECT_EQ(otp::process_count(), before);
  });
}

/// Waits in its init until it is told to go on.
struct held_up {
  struct go {};
  struct get {
    using reply = std::vector<int>;
  };
  explicit held_up(otp::pid owner) {
    otp::send(owner, otp::self());
    otp::receive([](go) {});
  }
  void handle_cast(int n) { seen.push_back(n); }
  void handle_info(int n) { seen.push_back(n); }
  using messages = otp::messages<int>;
  std::vector<int> handle_call(get) { return seen; }
  std::vector<int> seen;
};

// covers: GS-019
TEST(gen_server_start, messages_that_arrive_during_init_are_handled_after_it_in_order) {
  everywhere(20, [] {
    otp::pid owner = otp::self();
    otp::spawn([owner] {
      auto made = gen_server::start<held_up>({}, owner).value();
      otp::send(owner, std::make_pair(made.pid(), otp::call(made, held_up::get{})));
    });
    otp::server<held_up> early(next<otp::pid>());
    std::vector<int> all;
    for (int i = 0; i < 100; ++i) {
      if (i % 2 == 0)
        otp::cast(early, i);
      else
        otp::send(early.pid(), i);
      all.push_back(i);
    }
    otp::send(early.pid(), held_up::go{});
    EXPECT_EQ((next<std::pair<otp::pid, std::vector<int>>>().second), all);
  });
}

// covers: GS-021
TEST(gen_server_start, passes_spawn_options_on) {
  everywhere(5, [] {
    auto made = gen_server::start<collector>({.spawn = {.priority = otp::priority::low,
                                                        .stack_size = 128 * 1024,
                                                        .trap_exit = true,
                                                        .label = "the low one"}})
                    .value();
    auto info = otp::info(made).value();
    EXPECT_EQ(info.priority, otp::priority::low);
    EXPECT_TRUE(info.trap_exit);
    EXPECT_EQ(info.label, "the low one");
    EXPECT_EQ(otp::call(made, collector::get{}).size(), 0U);
  });
}
// covers: GS-003 GS-021
TEST(gen_server_start, a_monitor_among_the_spawn_options_is_a_bad_argument) {
  for_seeds(5, [] {
    auto before = otp::process_count();
    EXPECT_THROW(static_cast<void>(gen_server::start<collector>({.spawn = {.monitor = true}})), otp::bad_argument);
    EXPECT_THROW(static_cast<void>(gen_server::start_link<collector>({.spawn = {.monitor = true}})), otp::bad_argument);
    EXPECT_EQ(otp::process_count(), before);
  });
}

// covers: GS-022
TEST(gen_server_start, takes_debug_options_and_reports_wrong_ones) {
  for_seeds_with_journal(10, [](event_log& events) {
    auto made = gen_server::start<collector>({.debug = {"log", "trace", "statistics", "nonsense"}}).value();
    EXPECT_EQ(otp::call(made, collector::get{}).size(), 0U);
    otp::event e = events.one("bad_debug_option");
    EXPECT_EQ(e.process, made.pid());
    EXPECT_EQ(e.field("option"), "nonsense");
  });
}

/// Fails in the step after its init.
struct doomed {
  struct fail {};
  static otp::init_result<doomed> init() { return otp::ok().then_continue(fail{}); }
  void handle_continue(fail) { throw std::runtime_error("too late"); }
};

// covers: GS-023
TEST(gen_server_start, a_crash_in_the_continue_of_init_comes_after_the_start_succeeded) {
  everywhere(20, [] {
    auto made = gen_server::start_monitor<doomed>();
    ASSERT_TRUE(made);
    EXPECT_EQ(reason_of(made->monitor), otp::reason::error("std::runtime_error", "too late"));
  });
}

/// A server that is a child.
struct employee {
  explicit employee(std::string n) : name(std::move(n)) {}
  static auto start_link(std::string name) { return gen_server::start_link<employee>({}, std::move(name)); }
  struct who {
    using reply = std::string;
  };
  std::string handle_call(who) { return name; }
  std::string name;
};
struct temp_worker : employee {
  using employee::employee;
  static otp::child_spec child_spec(std::string name) {
    return otp::default_child<temp_worker>(std::move(name))
        .id("temp")
        .restart(otp::temporary)
        .shutdown(otp::brutal_kill)
        .start([] { return gen_server::start_link<temp_worker>({}, "another"); });
  }
};

// covers: GS-024
TEST(gen_server_start, a_server_type_gives_a_default_child_spec_that_can_be_overridden) {
  for_seeds(10, [] {
    otp::child_spec plain = otp::child<employee>("ann");
    EXPECT_EQ(plain.id(), otp::child_id(std::string(otp::detail::type_name<employee>)));
    EXPECT_EQ(plain.restart(), otp::permanent);
    EXPECT_EQ(plain.shutdown(), otp::shutdown_time(5s));
    EXPECT_EQ(plain.type(), otp::child_type::worker);
    otp::child_spec own = otp::child<temp_worker>("bob");
    EXPECT_EQ(own.id(), otp::child_id("temp"));
    EXPECT_EQ(own.restart(), otp::temporary);
    EXPECT_TRUE(own.shutdown().is_brutal_kill());
    auto tree = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {plain, own}}).value();
    std::vector<std::string> names;
    for (auto& c : otp::supervisor::which_children(tree)) {
      if (c.id == otp::child_id("temp"))
        names.push_back(otp::call(otp::server<temp_worker>(c.process), employee::who{}));
      else
        names.push_back(otp::call(otp::server<employee>(c.process), employee::who{}));
    }
    std::sort(names.begin(), names.end());
    EXPECT_EQ(names, (std::vector<std::string>{"ann", "another"}));
  });
}

}  // namespace
