// Servers: several at once, finding them, and becoming one.
#include "conformance/gen_server_support.hpp"

namespace {

using namespace conformance;
namespace gen_server = otp::gen_server;

using note = collector::note;
using strings = std::vector<std::string>;

constexpr otp::name<collector> shared_name{"gen_server_many"};

struct echo {
  struct ask {
    using reply = int;
    int what;
  };
  struct never {
    using reply = int;
  };
  int handle_call(const ask& a) {
    if (a.what < 0) otp::exit("negative");
    return a.what;
  }
  void handle_call(never, otp::from<int> f) { kept.push_back(std::move(f)); }
  std::vector<otp::from<int>> kept;
};
constexpr otp::name<echo> echo_name{"gen_server_many_echo"};

// covers: GS-108 GS-109
TEST(gen_server_many, multi_call_asks_the_nodes_and_lists_those_that_gave_nothing) {
  for_seeds(10, [] {
    strings here{otp::this_node()};
    auto e = gen_server::start<echo>({.name = echo_name}).value();
    auto all = otp::multi_call(echo_name, echo::ask{4});
    ASSERT_EQ(all.replies.size(), 1U);
    EXPECT_EQ(all.replies[0], std::make_pair(otp::this_node(), 4));
    EXPECT_TRUE(all.bad_nodes.empty());
    // Nodes that are not there; each is listed once, and asked once.
    auto some = otp::multi_call({"far@away", otp::this_node(), "far@away", otp::this_node(), "x@y"}, echo_name,
                                echo::ask{5}, 1s);
    ASSERT_EQ(some.replies.size(), 1U);
    EXPECT_EQ(some.replies[0].second, 5);
    EXPECT_EQ(some.bad_nodes, (strings{"far@away", "x@y"}));
    // No such name, no answer in time, an end instead of an answer: listed, not raised.
    EXPECT_EQ(otp::multi_call(otp::name<echo>("nobody"), echo::ask{1}).bad_nodes, here);
    EXPECT_EQ(time_of([&] { EXPECT_EQ(otp::multi_call(echo_name, echo::never{}, 2s).bad_nodes, here); }), 2s);
    EXPECT_EQ(otp::multi_call(echo_name, echo::ask{-1}).bad_nodes, here);
    EXPECT_FALSE(otp::is_alive(e));
    EXPECT_THROW(otp::multi_call(echo_name, echo::ask{1}, -1s), otp::bad_argument);
    EXPECT_TRUE(mailbox_empty());
    EXPECT_TRUE(otp::info(otp::self()).value().monitors.empty());
  });
}
/// Calls the name it has.
struct narcissus {
  struct look {
    using reply = strings;
  };
  struct ask {
    using reply = int;
  };
  strings handle_call(look) { return otp::multi_call(otp::name<narcissus>("narcissus"), ask{}).bad_nodes; }
  int handle_call(ask) { return 1; }
};
// covers: GS-108
TEST(gen_server_many, a_multi_call_to_oneself_is_a_failure_too) {
  for_seeds(5, [] {
    auto n = gen_server::start<narcissus>({.name = "narcissus"}).value();
    EXPECT_EQ(otp::call(n, narcissus::look{}), strings{otp::this_node()});
  });
}

// covers: GS-111
TEST(gen_server_many, abcast_returns_at_once_and_ignores_what_is_not_there) {
  for_seeds(10, [] {
    auto c = gen_server::start<collector>({.name = shared_name}).value();
    otp::sys::suspend(c);
    EXPECT_EQ(time_of([] {
                otp::abcast(shared_name, note{"1"});
                otp::abcast({"far@away", otp::this_node(), otp::this_node()}, shared_name, note{"2"});
                otp::abcast({"far@away"}, shared_name, note{"3"});
                otp::abcast(otp::name<collector>("nobody"), note{"4"});
              }),
              0s);
    otp::sys::resume(c);
    EXPECT_EQ(otp::call(c, collector::get{}), (strings{"cast 1", "cast 2"}));
  });
}

// covers: GS-112
TEST(gen_server_many, whereis_resolves_every_kind_of_address) {
  everywhere(10, [] {
    auto registry = std::make_shared<test_registry>();
    auto local = gen_server::start<collector>({.name = shared_name}).value();
    auto global = gen_server::start<collector>({.name = otp::global("w")}).value();
    auto via = gen_server::start<collector>({.name = otp::via(registry, "w")}).value();
    EXPECT_EQ(otp::whereis(local), local.pid());
    EXPECT_EQ(otp::whereis(shared_name), local.pid());
    EXPECT_EQ(otp::whereis("gen_server_many"), local.pid());
    EXPECT_EQ(otp::whereis(otp::global<collector>("w")), global.pid());
    EXPECT_EQ(otp::whereis(otp::via<collector>(registry, "w")), via.pid());
    EXPECT_EQ(otp::whereis(otp::server<collector>()), std::nullopt);
    EXPECT_EQ(otp::whereis(otp::name<collector>("nobody")), std::nullopt);
    EXPECT_EQ(otp::whereis(otp::global<collector>("nobody")), std::nullopt);
    EXPECT_EQ(otp::whereis(otp::via<collector>(registry, "nobody")), std::nullopt);
    for (auto s : {local, global, via}) gen_server::stop(s);
    EXPECT_EQ(otp::whereis(local), local.pid());  // an identity is itself, dead or alive
    EXPECT_EQ(otp::whereis(shared_name), std::nullopt);
    EXPECT_EQ(otp::whereis(otp::global<collector>("w")), std::nullopt);
    EXPECT_EQ(otp::whereis(otp::via<collector>(registry, "w")), std::nullopt);
  });
}
// covers: GS-112
TEST(gen_server_many, a_global_name_goes_to_the_next_when_its_holder_dies_and_stays_there) {
  everywhere(50, [] {
    for (int i = 0; i < 20; ++i) {
      auto first = gen_server::start<collector>({.name = otp::global("heir")}).value();
      otp::exit(first, otp::reason::kill);
      // As soon as it can be had, a second one takes it; the end of the first must not take it away again.
      for (;;) {
        auto second = gen_server::start<collector>({.name = otp::global("heir")});
        if (!second) {
          EXPECT_EQ(second.error().process(), first.pid());
          otp::yield();
          continue;
        }
        end_of(first);
        EXPECT_EQ(otp::whereis(otp::global<collector>("heir")), second->pid());
        gen_server::stop(*second);
        break;
      }
    }
  });
}

// ---- becoming a server -------------------------------------------------------------------------------------------

/// Started by proc_lib, it becomes a collector of the name given, with something in it already.
otp::result<otp::detail::started> start_special(otp::start_options options, bool trap = false,
                                                otp::proc_lib::options how = {}) {
  return otp::proc_lib::start_link(
      [options, trap] {
        otp::trap_exit(trap);
        if (options.name.empty() || options.name.claim(otp::self())) otp::proc_lib::init_ack();
        collector state;
        state.seen.push_back("before");
        gen_server::enter_loop(std::move(state), options);
      },
      how);
}

// covers: GS-113
TEST(gen_server_many, a_process_started_synchronously_can_become_a_server) {
  everywhere(20, [] {
    auto registry = std::make_shared<test_registry>();
    for (otp::server_name name :
         {otp::server_name(), otp::server_name("special"), otp::server_name(otp::global("special")),
          otp::server_name(otp::via(registry, "special"))}) {
      otp::server<collector> s(start_special({.name = name}).value().process);
      otp::cast(s, note{"1"});
      otp::send(s.pid(), note{"2"});
      EXPECT_EQ(otp::call(s, collector::get{}), (strings{"before", "cast 1", "info 2"}));
      if (!name.empty()) {
        EXPECT_EQ(name.whereis(), s.pid());
      }
      EXPECT_EQ(otp::sys::get_status(s).name, name.empty() ? s.to_string() : name.to_string());
      otp::sys::suspend(s);
      otp::cast(s, note{"3"});
      otp::sys::resume(s);
      EXPECT_EQ(otp::call(s, collector::get{}).size(), 4U);
      gen_server::stop(s);
      EXPECT_FALSE(otp::is_alive(s));
      EXPECT_EQ(name.whereis(), std::nullopt);
    }
  });
}
// covers: GS-113
TEST(gen_server_many, a_server_by_entering_hibernates_fails_and_is_killed_like_any_other) {
  for_seeds_with_journal(10, [](event_log& events) {
    otp::trap_exit(true);
    otp::server<collector> s(start_special({.hibernate_after = 1s}).value().process);
    otp::sleep(2s);
    EXPECT_TRUE(otp::sys::get_status(s).hibernating);
    // A crash in a handler.
    struct entered {
      struct crash {
        using reply = int;
      };
      struct wait {
        using reply = int;
      };
      int handle_call(crash) { throw std::runtime_error("crashed"); }
      void handle_call(wait, otp::from<int> f) { kept.push_back(std::move(f)); }
      void terminate(const otp::exit_reason& why) { otp::send(owner, why); }
      otp::pid owner;
      std::vector<otp::from<int>> kept;
    };
    auto become = [] {
      return otp::server<entered>(otp::proc_lib::start([owner = otp::self()] {
                                    otp::proc_lib::init_ack();
                                    gen_server::enter_loop(entered{owner, {}});
                                  })
                                      .value()
                                      .process);
    };
    auto e = become();
    auto deferred = otp::send_request(e, entered::wait{});
    otp::exit_reason crashed = otp::reason::error("std::runtime_error", "crashed");
    EXPECT_EQ(cause_that([&] { otp::call(e, entered::crash{}); }), crashed);
    EXPECT_EQ(otp::wait_response(deferred).value().error().cause(), crashed);
    EXPECT_EQ(next<otp::exit_reason>(), crashed);
    EXPECT_EQ(end_of(e), noproc);
    EXPECT_EQ(events.about(e), (strings{"server_terminated", "crash"}));
    // A kill: no terminate, and whoever waits hears of it.
    e = become();
    deferred = otp::send_request(e, entered::wait{});
    EXPECT_FALSE(otp::wait_response(deferred, 1s));
    otp::exit(e, otp::reason::kill);
    EXPECT_EQ(otp::wait_response(deferred).value().error().cause(), killed);
    EXPECT_TRUE(events.about(e).empty());
    EXPECT_TRUE(mailbox_empty());
  });
}

// It could not ask for what init can.
// covers: GS-113
TEST(gen_server_many, a_server_by_entering_may_begin_with_a_continue_a_timeout_or_hibernation) {
  for_seeds(10, [] {
    auto enter = [](auto first) {
      return otp::server<collector>(otp::proc_lib::start([first] {
                                      otp::proc_lib::init_ack();
                                      gen_server::enter_loop(collector{}, {}, first());
                                    })
                                        .value()
                                        .process);
    };
    auto goes_on = enter([] { return otp::noreply().then_continue(note{"begin"}); });
    EXPECT_EQ(otp::call(goes_on, collector::get{}), strings{"continue begin"});
    auto idle = enter([] { return otp::noreply().timeout_after(1s); });
    auto asleep = enter([] { return otp::noreply().hibernate(); });
    EXPECT_TRUE(otp::sys::get_status(asleep).hibernating);
    otp::sleep(2s);
    EXPECT_EQ(otp::call(idle, collector::get{}), strings{"timeout"});
    EXPECT_EQ(otp::call(asleep, collector::get{}), strings{});
    auto stops = otp::monitor(enter([] { return otp::stop("at once"); }));
    otp::exit_reason why = reason_of(stops);
    EXPECT_TRUE(why == otp::exit_reason("at once") || why == noproc) << why.to_string();
  });
}

// covers: GS-114
TEST(gen_server_many, entering_without_proc_lib_or_under_a_name_of_somebody_else_exits) {
  for_seeds(10, [] {
    otp::spawned plain = otp::spawn_monitor([] { gen_server::enter_loop(collector{}); });
    EXPECT_NE(reason_of(plain.monitor).to_string().find("not started by proc_lib"), std::string::npos);
    otp::trap_exit(true);
    auto registry = std::make_shared<test_registry>();
    for (otp::server_name name : {otp::server_name("not mine"), otp::server_name(otp::global("not mine")),
                                  otp::server_name(otp::via(registry, "not mine"))}) {
      for (bool held : {false, true}) {
        std::optional<otp::server<collector>> holder;
        if (held) holder = gen_server::start<collector>({.name = name}).value();
        auto made = otp::proc_lib::start_monitor([name] {
          otp::proc_lib::init_ack();
          gen_server::enter_loop(collector{}, {.name = name});
        });
        otp::exit_reason why = reason_of(made.value().monitor);
        EXPECT_NE(why.to_string().find("not registered"), std::string::npos) << why.to_string();
        EXPECT_EQ(name.whereis(), held ? std::optional(holder->pid()) : std::nullopt);
        if (held) gen_server::stop(*holder);
      }
    }
  });
}

// Parents are known by their identity here; the rule is that their exits are recognised, whatever they are called.
// covers: GS-115
TEST(gen_server_many, the_exit_of_a_parent_that_has_a_name_ends_a_server_by_entering) {
  for_seeds(20, [] {
    for (otp::server_name parent_name : {otp::server_name("the parent"), otp::server_name(otp::global("the parent"))}) {
      struct told_end {
        otp::pid server;
      };
      otp::pid parent = otp::spawn([parent_name, owner = otp::self()] {
        EXPECT_TRUE(parent_name.claim(otp::self()));
        otp::send(owner, told_end{start_special({}, true).value().process});
        otp::receive([](const std::string& why) { otp::exit(why); });
      });
      otp::pid server = next<told_end>().server;
      otp::ref watch = otp::monitor(server);
      otp::server<collector> s(server);
      // A stranger's exit is a message.
      otp::exit(server, "from a stranger");
      EXPECT_EQ(otp::call(s, collector::get{}), (strings{"before", "exit \"from a stranger\""}));
      otp::send(parent, std::string("parent gone"));
      EXPECT_EQ(reason_of(watch), otp::exit_reason("parent gone"));
    }
  });
}

}  // namespace
