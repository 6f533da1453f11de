// A: how a process ends, and what everybody else sees of it.
#include "faults/support.hpp"

#include <otp/blocking.hpp>
#include <otp/gen_server.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <stdexcept>

using namespace faults;
using otp::exit_reason;
using otp::pid;

namespace {

struct go {};
struct done {
  int number = 0;
};

// A process that links itself to `to`, monitors nothing, and runs `body` when told to.
template <class F>
pid linked_when_told(pid to, F body) {
  return otp::spawn([to, body] {
    otp::link(to);
    otp::send(to, done{});
    otp::receive([](const go&) {});
    body();
  });
}

struct not_copyable {
  not_copyable() = default;
  not_copyable(const not_copyable&) = delete;
  not_copyable(not_copyable&&) = default;
};

// Throws `thrown` in a process with three links and two monitors; returns the reason after everybody got one signal.
template <class F>
exit_reason reason_seen_by_all(F thrower) {
  otp::trap_exit(true);
  auto links_before = otp::process_count();
  std::vector<pid> peers;
  pid main = otp::self();
  pid victim = otp::spawn([thrower] {
    otp::receive([](const go&) {});
    thrower();
  });
  for (int i = 0; i < 2; ++i)
    peers.push_back(otp::spawn([main, victim, i] {
      otp::trap_exit(true);
      otp::link(victim);
      otp::send(main, done{i});
      otp::receive([&](const otp::exit_signal& e) {
        EXPECT_EQ(e.from, victim);
        otp::send(main, e.reason.to_string());
      });
      bool more = otp::receive([](const otp::exit_signal&) { return true; }, otp::after(1s, [] { return false; }));
      EXPECT_FALSE(more) << "a second EXIT of the same link";
      otp::send(main, done{10 + i});
    }));
  for (int i = 0; i < 2; ++i) otp::receive([](const done&) {});
  otp::link(victim);
  auto first = otp::monitor(victim);
  auto second = otp::monitor(victim);
  otp::send(victim, go{});
  exit_reason why = reason_of(first);
  EXPECT_EQ(reason_of(second), why);
  otp::receive(otp::when([&](const otp::exit_signal& e) { return e.from == victim; },
                         [&](const otp::exit_signal& e) { EXPECT_EQ(e.reason, why); }));
  for (int i = 0; i < 2; ++i) otp::receive([&](const std::string& text) { EXPECT_EQ(text, why.to_string()); });
  for (int i = 0; i < 2; ++i) otp::receive(otp::when([](const done& d) { return d.number >= 10; }, [](const done&) {}));
  otp::receive([](const otp::down&) { ADD_FAILURE() << "a third DOWN"; },
               [](const otp::exit_signal&) { ADD_FAILURE() << "a second EXIT"; }, otp::after(1s, [] {}));
  EXPECT_EQ(otp::process_count(), links_before);
  return why;
}

}  // namespace

// covers: A01
TEST(a_process_that_throws, ends_with_type_and_text_and_tells_each_link_and_monitor_once) {
  for_seeds(20, [] {
    exit_reason why = reason_seen_by_all([] { throw std::out_of_range("index 7 of 3"); });
    EXPECT_EQ(why.what(), exit_reason::kind::error);
    EXPECT_EQ(why.error_type(), "std::out_of_range");
    EXPECT_EQ(why.text(), "index 7 of 3");
    EXPECT_EQ(otp::process_count(), 1U);
  });
}

// covers: A01
TEST(a_process_that_throws, is_reported_once_and_the_node_runs_on) {
  program p;
  p.run([] {
    EXPECT_EQ(end_of([] { throw std::runtime_error("boom"); }).text(), "boom");
    EXPECT_EQ(end_of([] {}), otp::reason::normal);
  });
  auto crash = p.events().wait("crash");
  ASSERT_TRUE(crash);
  EXPECT_EQ(crash->reason.error_type(), "std::runtime_error");
  EXPECT_TRUE(crash->process);
  EXPECT_EQ(p.events().count("crash"), 1U);
}

// covers: A02
TEST(a_process_that_throws, names_the_type_of_whatever_it_threw) {
  for_seeds(5, [] {
    exit_reason number = reason_seen_by_all([] { throw 42; });
    EXPECT_EQ(number.error_type(), "int");
    EXPECT_EQ(number.text(), "42");
    exit_reason text = reason_seen_by_all([] { throw "plain text"; });
    EXPECT_EQ(text.error_type(), "char const*");
    EXPECT_EQ(text.text(), "plain text");
    exit_reason odd = reason_seen_by_all([] { throw not_copyable(); });
    EXPECT_NE(odd.error_type().find("not_copyable"), std::string_view::npos);
    EXPECT_EQ(odd.error_type().find("12not_copyable"), std::string_view::npos) << "not demangled";
    static const char* const nothing = nullptr;
    EXPECT_EQ(end_of([] { throw nothing; }).error_type(), "char const*");
  });
}

// covers: A03
TEST(a_process_that_throws, keeps_a_huge_or_broken_text_and_shows_it_cut_and_escaped) {
  program p;
  p.run([] {
    std::string huge(10'000'000, 'x');
    exit_reason why = end_of([&] { throw std::runtime_error(huge); });
    EXPECT_EQ(why.text().size(), huge.size());
    EXPECT_LT(why.to_string().size(), 400U);
    EXPECT_NE(why.to_string().find("10000000 bytes"), std::string::npos);

    std::string broken("a\0b\xff\xfe \xc3\x28\n\x1b[2J", 14);
    why = end_of([&] { throw broken; });  // std::string: its NUL survives, unlike in what()
    EXPECT_EQ(why.text(), broken);
    std::string shown = why.to_string();
    for (char c : shown) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << static_cast<int>(c);
    EXPECT_NE(shown.find("\\x00"), std::string::npos);
    EXPECT_NE(shown.find("\\xff"), std::string::npos);
  });
  ASSERT_TRUE(p.events().wait("crash"));
  for (auto& e : p.events().of("crash")) {
    std::string line = e.to_string();
    EXPECT_LT(line.size(), 2000U);
    for (char c : line) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << static_cast<int>(c);
  }
}

// covers: A04
TEST(the_process_limit, is_an_error_to_the_caller_and_an_exit_makes_room) {
  otp::runtime_options o;
  o.max_processes = 100;
  program p(o);
  p.run([] {
    std::vector<pid> all;
    auto fill = [&] {
      for (;;) try {
          all.push_back(otp::spawn([] { otp::receive([](const go&) {}); }));
        } catch (const otp::exited& e) {
          EXPECT_EQ(e.reason(), otp::reason::system_limit);
          EXPECT_NE(e.reason().text().find("100"), std::string_view::npos) << e.what();
          EXPECT_NE(e.reason().text().find("max_processes"), std::string_view::npos) << e.what();
          return;
        }
    };
    fill();
    EXPECT_EQ(all.size(), 99U);
    EXPECT_EQ(otp::process_count(), 100U);
    // Nothing of the refused one stays: not its link, not its monitor, not its function.
    auto held = std::make_shared<int>(1);
    for (int i = 0; i < 50; ++i)
      EXPECT_THROW(otp::spawn({.link = true, .monitor = true, .label = "x"}, [held] {}), otp::exited);
    EXPECT_EQ(held.use_count(), 1);
    auto me = otp::info(otp::self());
    EXPECT_TRUE(me->links.empty());
    EXPECT_TRUE(me->monitors.empty());
    // One exit is room for one, again and again, whichever worker it happens on.
    for (int round = 0; round < 300; ++round) {
      auto m = otp::monitor(all.back());
      otp::send(all.back(), go{});
      all.pop_back();
      reason_of(m);
      ASSERT_TRUE(eventually_here([] { return otp::process_count() == 99; }));
      fill();
      ASSERT_EQ(all.size(), 99U) << "round " << round;
    }
    for (pid q : all) otp::send(q, go{});
    EXPECT_TRUE(eventually_here([] { return otp::process_count() == 1; }));
  });
}

// covers: A05
TEST(spawn, refuses_an_empty_function) {
  for_seeds(1, [] {
    std::function<void()> nothing;
    auto before = otp::counters();
    EXPECT_THROW(otp::spawn(nothing), otp::bad_argument);
    EXPECT_THROW(otp::spawn({.link = true, .monitor = true}, std::function<void()>()), otp::bad_argument);
    EXPECT_THROW(otp::spawn_link(std::function<void()>()), otp::bad_argument);
    EXPECT_THROW(otp::spawn_monitor(std::function<void()>()), otp::bad_argument);
    EXPECT_THROW(otp::apply_after(1s, std::function<void()>()), otp::bad_argument);
    EXPECT_EQ(otp::counters().spawned, before.spawned);
    EXPECT_EQ(otp::process_count(), 1U);
  });
  otp::runtime rt;
  rt.start();
  EXPECT_THROW(rt.spawn(std::function<void()>()), otp::bad_argument);
  EXPECT_EQ(rt.counters().spawned, 0U);
}

// ---- A12: kill in every state ------------------------------------------------------------------------------------

namespace {

// Says when it is destroyed: what a process owned is released before anybody hears of its end.
struct owned {
  std::atomic<int>* alive;
  explicit owned(std::atomic<int>& count) : alive(&count) { ++*alive; }
  owned(owned&& other) noexcept : alive(std::exchange(other.alive, nullptr)) {}
  ~owned() {
    if (alive) --*alive;
  }
};

struct slow_question {
  using reply = int;
};
struct hold_on {};
struct silent_server {
  otp::call_result<int> handle_call(const slow_question&, otp::from<int> f) {
    kept.push_back(std::move(f));
    return otp::noreply();
  }
  std::vector<otp::from<int>> kept;
};
struct slow_to_start {
  explicit slow_to_start(std::atomic<int>* alive, pid tell) : thing(*alive) {
    otp::send(tell, otp::self());
    otp::sleep(otp::infinity);
  }
  owned thing;
};
struct slow_to_end {
  slow_to_end(std::atomic<int>* alive, pid tell) : thing(*alive), told(tell) {}
  void handle_cast(const hold_on&) { otp::exit("enough"); }
  void terminate(const exit_reason&) {
    otp::send(told, go{});
    otp::sleep(otp::infinity);
  }
  owned thing;
  pid told;
};

// Exactly one exit signal and one DOWN, with this reason.
void expect_one_end(pid victim, otp::ref m, const exit_reason& expected) {
  EXPECT_EQ(reason_of(m), expected);
  otp::receive(otp::when([&](const otp::exit_signal& e) { return e.from == victim; },
                         [&](const otp::exit_signal& e) { EXPECT_EQ(e.reason, expected); }));
  otp::receive([&](const otp::down& d) { ADD_FAILURE() << d.to_string(); },
               [&](const otp::exit_signal& e) { ADD_FAILURE() << e.to_string(); }, otp::after(10s, [] {}));
  EXPECT_FALSE(otp::is_alive(victim));
}

}  // namespace

// covers: A12
TEST(kill, ends_a_process_once_in_whatever_state_it_is) {
  for_seeds(30, [] {
    std::atomic<int> alive{0};
    otp::trap_exit(true);
    auto kill_twice = [](pid p) {
      otp::exit(p, otp::reason::kill);
      otp::exit(p, otp::reason::kill);
    };
    {  // queued: it never ran
      auto [p, m] = otp::spawn({.link = true, .monitor = true}, [thing = owned(alive)] { ADD_FAILURE(); });
      kill_twice(p);
      // Under some seeds it runs first; then it has ended by itself.
      exit_reason why = reason_of(m);
      EXPECT_EQ(why, otp::reason::killed);
      otp::receive([&](const otp::exit_signal& e) { EXPECT_EQ(e.reason, why); });
      EXPECT_EQ(alive, 0);
    }
    {  // in receive
      auto [p, m] = otp::spawn({.link = true, .monitor = true}, [&] {
        owned thing(alive);
        otp::receive([](const go&) {});
      });
      otp::testing::settle();
      EXPECT_EQ(alive, 1);
      kill_twice(p);
      expect_one_end(p, m, otp::reason::killed);
      EXPECT_EQ(alive, 0);
    }
    {  // running, until its next wait
      auto [p, m] = otp::spawn({.link = true, .monitor = true}, [&] {
        owned thing(alive);
        otp::exit(otp::self(), otp::reason::kill);  // arrives here while it runs
        ADD_FAILURE() << "it went on";
      });
      expect_one_end(p, m, otp::reason::killed);
      EXPECT_EQ(alive, 0);
    }
    {  // in a call
      auto server = otp::gen_server::start<silent_server>().value();
      auto [p, m] = otp::spawn({.link = true, .monitor = true}, [&] {
        owned thing(alive);
        otp::call(server, slow_question{}, otp::infinity);
      });
      otp::testing::settle();
      kill_twice(p);
      expect_one_end(p, m, otp::reason::killed);
      EXPECT_EQ(alive, 0);
      EXPECT_TRUE(otp::is_alive(server));
      otp::exit(server, otp::reason::kill);
    }
    {  // in init
      pid main = otp::self();
      pid starter = otp::spawn([&, main] {
        auto started = otp::gen_server::start<slow_to_start>({}, &alive, main);
        EXPECT_FALSE(started);
        if (!started) {
          EXPECT_EQ(started.error(), otp::reason::killed);
        }
        otp::send(main, done{1});
      });
      pid p = otp::receive([](pid child) { return child; });
      otp::link(p);
      auto m = otp::monitor(p);
      kill_twice(p);
      expect_one_end(p, m, otp::reason::killed);
      EXPECT_EQ(alive, 0);
      otp::receive([](const done&) {});
      static_cast<void>(starter);
    }
    {  // in terminate: it was ending by itself, and says why
      auto server = otp::gen_server::start_link<slow_to_end>({}, &alive, otp::self()).value();
      auto m = otp::monitor(server);
      otp::cast(server, hold_on{});
      otp::receive([](const go&) {});
      kill_twice(server);
      EXPECT_EQ(alive, 1);
      exit_reason why = reason_of(m);
      otp::receive([&](const otp::exit_signal& e) { EXPECT_EQ(e.reason, why); });
      EXPECT_TRUE(why == otp::reason::killed || why == exit_reason("enough")) << why.to_string();
      EXPECT_EQ(alive, 0);
    }
    {  // ended already
      auto [p, m] = otp::spawn({.link = true, .monitor = true}, [&] { otp::exit("own reason"); });
      otp::testing::settle();
      kill_twice(p);
      expect_one_end(p, m, exit_reason("own reason"));
    }
    EXPECT_TRUE(eventually_here([] { return otp::process_count() == 1; }));
  });
}

// covers: A12
TEST(kill, reaches_a_process_that_another_worker_runs) {
  program p;
  p.run([] {
    otp::trap_exit(true);
    for (int round = 0; round < load(2000, 300, 100); ++round) {
      std::atomic<int> alive{0};
      auto [victim, m] = otp::spawn({.link = true, .monitor = true}, [&] {
        owned thing(alive);
        for (;;) otp::yield();
      });
      if (round % 3 == 0) otp::yield();
      if (round % 3 == 1) otp::sleep(10us);
      otp::exit(victim, otp::reason::kill);
      EXPECT_EQ(reason_of(m), otp::reason::killed);
      EXPECT_EQ(alive, 0) << "its destructors run before anybody hears of its end";
      otp::receive([&](const otp::exit_signal& e) { EXPECT_EQ(e.from, victim); });
    }
    otp::receive([](const otp::exit_signal&) { ADD_FAILURE() << "more than one EXIT"; }, otp::after(0s, [] {}));
  });
}

// covers: A13
TEST(a_kill_that_is_swallowed, is_raised_at_every_wait_and_after_the_third_the_process_is_abandoned) {
  event_log events;
  otp::runtime_options o;
  o.listener = &events;
  for_seeds(
      10,
      [&] {
        events.clear();
        otp::trap_exit(true);
        int swallowed = 0;
        auto [p, m] = otp::spawn({.link = true, .monitor = true, .label = "stubborn"}, [&swallowed] {
          otp::register_name("stubborn", otp::self());
          for (;;) try {
              otp::sleep(otp::infinity);
            } catch (...) {
              ++swallowed;
            }
        });
        otp::testing::settle();
        auto started = otp::now();
        otp::exit(p, otp::reason::kill);
        EXPECT_EQ(reason_of(m), otp::reason::killed);
        otp::receive([&](const otp::exit_signal& e) { EXPECT_EQ(e.from, p); });
        EXPECT_EQ(swallowed, 3);
        EXPECT_EQ(otp::now(), started) << "it need not wait for kill_budget";
        EXPECT_FALSE(otp::whereis("stubborn"));
        EXPECT_FALSE(otp::is_alive(p));
        auto reports = events.of("abandoned");
        ASSERT_EQ(reports.size(), 1U);
        EXPECT_EQ(reports[0].process, p);
        EXPECT_NE(reports[0].name.find("stubborn"), std::string::npos) << reports[0].name;
        EXPECT_EQ(otp::counters().abandoned, 1U);
        EXPECT_EQ(otp::process_count(), 1U);
      },
      o);
}

// covers: A13
TEST(a_killed_process_that_does_not_end, is_abandoned_after_kill_budget_and_fenced) {
  otp::runtime_options o;
  o.workers = 2;
  o.kill_budget = 100ms;
  program p(o);
  std::atomic<bool> taken{false};
  std::atomic<bool> let_go{false};
  std::atomic<bool> went_on{false};
  p.run([&] {
    otp::trap_exit(true);
    pid main = otp::self();
    auto [victim, m] = otp::spawn({.link = true, .monitor = true}, [&, main] {
      taken = true;
      while (!let_go) {
      }
      otp::send(main, done{1});  // fenced: dropped
      went_on = true;
      otp::sleep(1s);  // parks for good
      ADD_FAILURE() << "an abandoned process went on";
    });
    spin_until(taken);
    otp::exit(victim, otp::reason::kill);
    EXPECT_EQ(reason_of(m), otp::reason::killed);
    otp::receive([&](const otp::exit_signal& e) { EXPECT_EQ(e.reason, otp::reason::killed); });
    auto before = otp::counters();
    let_go = true;
    ASSERT_TRUE(eventually_here([&] { return otp::counters().fenced >= before.fenced + 2; }));
    EXPECT_TRUE(went_on);
    otp::receive([](const done&) { ADD_FAILURE() << "a message of an abandoned process"; }, otp::after(0s, [] {}));
  });
  auto report = p.events().wait("abandoned");
  ASSERT_TRUE(report);
  EXPECT_EQ(report->reason, otp::reason::killed);
  auto left = p.stop();
  ASSERT_EQ(left.abandoned.size(), 1U);
  EXPECT_EQ(left.abandoned[0].pid, report->process);
}

// covers: A14
TEST(a_process_killed_with_a_lock, has_released_it_when_its_end_is_seen) {
  struct lock_of_a_library {
    std::atomic<bool> held{false};
    struct guard {
      explicit guard(lock_of_a_library& l) : lock(l) { EXPECT_FALSE(lock.held.exchange(true)); }
      ~guard() { lock.held = false; }
      lock_of_a_library& lock;
    };
  };
  auto body = [](int ways) {
    otp::trap_exit(true);
    auto server = otp::gen_server::start_link<silent_server>().value();
    for (int way = 0; way < ways; ++way) {
      lock_of_a_library lock;
      auto [p, m] = otp::spawn({.link = true, .monitor = true}, [&, way] {
        otp::register_name("holder", otp::self());
        lock_of_a_library::guard g(lock);
        switch (way) {
          case 0: otp::sleep(otp::infinity); break;
          case 1: otp::receive([](const go&) {}); break;
          case 2: otp::call(server, slow_question{}, otp::infinity); break;
          case 3:
            for (;;) otp::yield();
        }
      });
      ASSERT_TRUE(eventually_here([&] { return lock.held.load(); }));
      otp::exit(p, otp::reason::kill);
      otp::receive([&](const otp::down& d) {
        EXPECT_EQ(d.reference, m);
        EXPECT_FALSE(lock.held);
        EXPECT_FALSE(otp::whereis("holder"));
      });
      otp::receive([&](const otp::exit_signal& e) { EXPECT_EQ(e.from, p); });
    }
    otp::exit(server, otp::reason::kill);
    otp::receive([](const otp::exit_signal&) {});
  };
  for_seeds(10, [&] { body(3); });  // virtual time stands still while somebody can run
  in_real_time([&] { body(4); });
}

// ---- A15: who gets which exit signal -----------------------------------------------------------------------------

namespace {

enum class seen { nothing, message, ends };
struct cell {
  exit_reason sent;
  bool by_link;
  bool trapping;
  seen effect;
  exit_reason reason;  // in the message, or of the end
};

}  // namespace

// covers: A15
TEST(exit_signals, do_what_the_table_of_otp_says) {
  const exit_reason normal = otp::reason::normal;
  const exit_reason shutdown = otp::reason::shutdown;
  const exit_reason kill = otp::reason::kill;
  const exit_reason killed = otp::reason::killed;
  const exit_reason custom("custom");
  // kill as the reason of a link is an ordinary reason: the process that ended with it was not killed.
  const std::vector<cell> table = {
      {normal, true, false, seen::nothing, {}},       {normal, true, true, seen::message, normal},
      {normal, false, false, seen::nothing, {}},      {normal, false, true, seen::message, normal},
      {shutdown, true, false, seen::ends, shutdown},  {shutdown, true, true, seen::message, shutdown},
      {shutdown, false, false, seen::ends, shutdown}, {shutdown, false, true, seen::message, shutdown},
      {kill, true, false, seen::ends, kill},          {kill, true, true, seen::message, kill},
      {kill, false, false, seen::ends, killed},       {kill, false, true, seen::ends, killed},
      {custom, true, false, seen::ends, custom},      {custom, true, true, seen::message, custom},
      {custom, false, false, seen::ends, custom},     {custom, false, true, seen::message, custom},
  };
  for_seeds(20, [&] {
    for (const cell& c : table) {
      SCOPED_TRACE(c.sent.to_string() + (c.by_link ? ", link" : ", explicit") + (c.trapping ? ", trapping" : ""));
      pid main = otp::self();
      auto [target, m] = otp::spawn({.monitor = true, .trap_exit = c.trapping}, [&, main] {
        pid other = otp::spawn([&] {
          pid to = otp::receive([](pid p) { return p; });
          if (c.by_link) otp::exit(c.sent);
          otp::exit(to, c.sent);
        });
        if (c.by_link) otp::link(other);
        otp::send(other, otp::self());
        otp::receive(
            [&](const otp::exit_signal& e) {
              EXPECT_EQ(e.from, other);
              EXPECT_EQ(e.reason, c.reason);
              EXPECT_EQ(c.effect, seen::message);
              otp::send(main, done{1});
            },
            otp::after(10s, [&] {
              EXPECT_EQ(c.effect, seen::nothing);
              otp::send(main, done{0});
            }));
        otp::receive([](const otp::exit_signal& e) { ADD_FAILURE() << "again: " << e.to_string(); },
                     otp::after(10s, [] {}));
      });
      if (c.effect == seen::ends) {
        EXPECT_EQ(reason_of(m), c.reason);
      } else {
        otp::receive([&](const done& d) { EXPECT_EQ(d.number, c.effect == seen::message); });
        EXPECT_EQ(reason_of(m), otp::reason::normal);
      }
    }
  });
}

// covers: A16
TEST(exit_with_normal, ends_oneself_and_nobody_else) {
  for_seeds(20, [] {
    EXPECT_EQ(end_of([] {
                otp::exit(otp::self(), otp::reason::normal);
                ADD_FAILURE() << "it went on";
              }),
              otp::reason::normal);
    auto [p, m] = otp::spawn_monitor([] { otp::receive([](const go&) { otp::exit("told"); }); });
    for (int i = 0; i < 3; ++i) otp::exit(p, otp::reason::normal);
    otp::testing::advance(10s);
    EXPECT_TRUE(otp::is_alive(p));
    otp::send(p, go{});
    EXPECT_EQ(reason_of(m), exit_reason("told"));
  });
}
