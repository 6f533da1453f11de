// C: links, monitors, names.
#include "faults/support.hpp"

#include <otp/gen_server.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>

using namespace faults;
using otp::exit_reason;
using otp::pid;

namespace {

struct go {};
struct told {
  int number = 0;
};

// Takes every `down` and exit signal that arrives within a second, and says how many of each.
struct arrivals {
  int downs = 0;
  int exits = 0;
};
arrivals take_all() {
  arrivals a;
  for (bool more = true; more;)
    otp::receive([&](const otp::down&) { ++a.downs; }, [&](const otp::exit_signal&) { ++a.exits; },
                 otp::after(1s, [&] { more = false; }));
  return a;
}

pid ended() {
  auto [p, m] = otp::spawn_monitor([] {});
  reason_of(m);
  return p;
}

}  // namespace

// covers: C01
TEST(a_monitor_of_a_dead_process, fires_once_with_noproc) {
  for_seeds(20, [] {
    pid dead = ended();
    auto m = otp::monitor(dead);
    otp::receive([&](const otp::down& d) {
      EXPECT_EQ(d.reference, m);
      EXPECT_EQ(d.process, dead);
      EXPECT_EQ(d.reason, otp::reason::noproc);
    });
    EXPECT_EQ(take_all().downs, 0);
    // Dying this very moment: one DOWN, with its reason or noproc.
    pid dying = otp::spawn([] { otp::exit("gone"); });
    exit_reason why = reason_of(otp::monitor(dying));
    EXPECT_TRUE(why == otp::reason::noproc || why == exit_reason("gone"));
    EXPECT_EQ(take_all().downs, 0);
    EXPECT_TRUE(otp::info(otp::self())->monitors.empty());
  });
}

// covers: C02
TEST(three_monitors_of_one_process, are_three_and_one_flushed_leaves_no_trace) {
  for_seeds(50, [] {
    pid p = otp::spawn([] { otp::receive([](const go&) {}); });
    otp::ref m[3];
    for (auto& r : m) r = otp::monitor(p);
    otp::send(p, go{});
    if (otp::testing::seed() % 2) otp::testing::settle();  // its DOWN is there already
    EXPECT_TRUE(otp::demonitor(m[1], {.flush = true}));
    std::vector<otp::ref> seen;
    for (int i = 0; i < 2; ++i) otp::receive([&](const otp::down& d) { seen.push_back(d.reference); });
    std::sort(seen.begin(), seen.end());
    std::vector<otp::ref> expected{m[0], m[2]};
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(seen, expected);
    EXPECT_EQ(take_all().downs, 0);
    EXPECT_EQ(otp::info(otp::self())->message_queue_len, 0U);
  });
}

// covers: C03
TEST(linking_twice, is_one_link_and_linking_to_the_dead_is_noproc) {
  for_seeds(30, [] {
    otp::trap_exit(true);
    pid p = otp::spawn([] { otp::receive([](const go&) { otp::exit("bye"); }); });
    otp::link(p);
    otp::link(p);
    EXPECT_EQ(otp::info(otp::self())->links, std::vector{p});
    otp::send(p, go{});
    auto a = take_all();
    EXPECT_EQ(a.exits, 1);
    otp::link(p);  // dead, and I trap exits
    otp::receive([&](const otp::exit_signal& e) {
      EXPECT_EQ(e.from, p);
      EXPECT_EQ(e.reason, otp::reason::noproc);
    });
    EXPECT_EQ(take_all().exits, 0);
    EXPECT_TRUE(otp::info(otp::self())->links.empty());
    EXPECT_EQ(end_of([p] {
                otp::link(p);
                otp::sleep(1s);
                ADD_FAILURE() << "it went on";
              }),
              otp::reason::noproc);
  });
}

// covers: C04
TEST(after_unlink, no_exit_of_that_process_is_seen) {
  auto body = [] {
    otp::trap_exit(true);
    for (int round = 0; round < 20; ++round) {
      pid p = otp::spawn_link([round] {
        for (int i = 0; i < round % 5; ++i) otp::yield();
        otp::exit("bye");
      });
      for (int i = 0; i < round % 3; ++i) otp::yield();
      otp::unlink(p);
      // What arrived before the call stays; what comes after it is no exit of that link.
      int before = 0;
      otp::receive([&](const otp::exit_signal&) { ++before; }, otp::after(0s, [] {}));
      auto m = otp::monitor(p);
      reason_of(m);
      otp::receive([](const otp::exit_signal& e) { ADD_FAILURE() << e.to_string() << " after unlink"; },
                   otp::after(0s, [] {}));
      EXPECT_TRUE(otp::info(otp::self())->links.empty());
    }
  };
  for_seeds(50, body);
  in_real_time([&] {
    for (int i = 0; i < load(500, 50, 10); ++i) body();
  });
}

// covers: C05
TEST(a_hundred_thousand_monitors_of_one_process, each_fire_once_and_nobody_else_waits_for_them) {
  constexpr int watchers = 100;
  constexpr int each = load(1000, 1000, 100);
  program p;
  std::atomic<bool> over{false};
  std::atomic<long> longest_ns{0};
  p.run([&] {
    pid main = otp::self();
    pid victim = otp::spawn([] { otp::receive([](const go&) { otp::exit("all of you"); }); });
    for (int w = 0; w < watchers; ++w)
      otp::spawn_link([&, main, victim] {
        for (int i = 0; i < each; ++i) otp::monitor(victim);
        otp::send(main, told{0});
        int seen = 0;
        for (int i = 0; i < each; ++i)
          otp::receive([&](const otp::down& d) {
            EXPECT_EQ(d.reason, exit_reason("all of you"));
            ++seen;
          });
        otp::send(main, told{seen});
        otp::receive([](const otp::down&) { ADD_FAILURE() << "one more"; }, [](const go&) {});
      });
    for (int w = 0; w < watchers; ++w) otp::receive([](const told&) {});
    // Somebody who only wants a turn now and then: a server, which any worker serves.
    struct beat {};
    struct beater {
      explicit beater(std::atomic<bool>* o, std::atomic<long>* l) : over(o), longest(l) {}
      otp::handler_result handle_cast(const beat&) { return next(); }
      otp::handler_result handle_info(const beat&) {
        auto now = otp::now();
        *longest = std::max<long>(*longest, (now - due).count());
        if (*over) return otp::stop(otp::reason::normal);
        return next();
      }
      otp::handler_result next() {
        due = otp::now() + 1ms;
        otp::send_at(due, otp::self(), beat{});
        return otp::noreply();
      }
      using messages = otp::messages<beat>;
      std::atomic<bool>* over;
      std::atomic<long>* longest;
      otp::instant due{};
    };
    auto server = otp::gen_server::start_monitor<beater>({}, &over, &longest_ns).value();
    otp::cast(server.server, beat{});
    otp::sleep(20ms);
    otp::send(victim, go{});
    long total = 0;
    for (int w = 0; w < watchers; ++w) otp::receive([&](const told& t) { total += t.number; });
    EXPECT_EQ(total, long{watchers} * each);
    over = true;
    EXPECT_EQ(reason_of(server.monitor), otp::reason::normal);
    const auto me = otp::info(otp::self());
    for (pid q : me->links) otp::send(q, go{});
    EXPECT_TRUE(eventually_here([] { return otp::process_count() == 1; }));
  });
  // With one worker the beat waits for those who got a message; on a busy machine for other programs.
  if (!std::getenv("OTP_WORKERS")) {
    EXPECT_LT(longest_ns, (asan || tsan ? 1000 : 100) * 1'000'000L);
  }
}

// covers: C06
TEST(registering_a_taken_name, names_the_holder) {
  for_seeds(3, [] {
    pid holder = otp::spawn([] { otp::receive([](const go&) {}); });
    otp::register_name("taken", holder);
    try {
      otp::register_name("taken", otp::self());
      ADD_FAILURE();
    } catch (const otp::bad_argument& e) {
      std::string text = e.what();
      EXPECT_NE(text.find("\"taken\""), std::string::npos) << text;
      EXPECT_NE(text.find(holder.to_string()), std::string::npos) << text;
    }
    EXPECT_EQ(otp::whereis("taken"), holder);
    EXPECT_EQ(otp::registered(), std::vector<std::string>{"taken"});
    otp::send(holder, go{});
  });
}

// covers: C07
TEST(registering_a_dead_process_or_a_second_name, is_an_error) {
  for_seeds(3, [] {
    EXPECT_THROW(otp::register_name("ghost", ended()), otp::bad_argument);
    EXPECT_THROW(otp::register_name("nobody", pid()), otp::bad_argument);
    EXPECT_TRUE(otp::registered().empty());
    otp::register_name("first", otp::self());
    try {
      otp::register_name("second", otp::self());
      ADD_FAILURE();
    } catch (const otp::bad_argument& e) {
      EXPECT_NE(std::string(e.what()).find("\"first\""), std::string::npos) << e.what();
    }
    EXPECT_EQ(otp::registered(), std::vector<std::string>{"first"});
    EXPECT_FALSE(otp::whereis("second"));
    otp::unregister_name("first");
    otp::register_name("second", otp::self());
    EXPECT_EQ(otp::whereis("second"), otp::self());
  });
}

// covers: C08
TEST(odd_names, are_taken_or_refused_by_the_rule_and_always_shown_escaped) {
  event_log events;
  otp::runtime_options o;
  o.listener = &events;
  for_seeds(
      1,
      [&] {
        const std::string refused[] = {"",
                                       std::string(256, 'x'),
                                       std::string(300, 'x'),
                                       std::string("a\0b", 3),
                                       std::string("\0", 1),
                                       "undefined",
                                       "none"};
        for (auto& name : refused) {
          try {
            otp::register_name(name, otp::self());
            ADD_FAILURE() << name.size();
          } catch (const otp::bad_argument& e) {
            std::string text = e.what();
            EXPECT_LT(text.size(), 500U);
            EXPECT_NE(text.find("1 to 255 bytes"), std::string::npos) << text;
            for (char c : text) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << text;
          }
          EXPECT_FALSE(otp::whereis(name));
          EXPECT_THROW(otp::monitor(name), otp::bad_argument);
        }
        const std::string taken[] = {"line\nbreak",
                                     "\"quote\"",
                                     "<img src=x onerror=1>",
                                     "\xff\xfe broken \xc3\x28",
                                     "right-to-left \xe2\x80\xae mark",
                                     "\x1b[31mred",
                                     std::string(255, 'y'),
                                     " "};
        for (auto& name : taken) {
          events.clear();
          auto [p, m] = otp::spawn_monitor([&] {
            otp::register_name(name, otp::self());
            throw std::runtime_error("crash");
          });
          reason_of(m);
          ASSERT_EQ(events.count("crash"), 1U);
          std::string line = events.of("crash")[0].to_string();
          for (char c : line) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << line;
          EXPECT_FALSE(otp::whereis(name)) << "free again";
          otp::register_name(name, otp::self());
          EXPECT_EQ(otp::whereis(name), otp::self());
          EXPECT_EQ(otp::registered(), std::vector{name});
          otp::send(name, told{1});
          otp::receive([](const told&) {});
          otp::unregister_name(name);
          try {
            otp::send(name, told{1});
            ADD_FAILURE();
          } catch (const otp::bad_argument& e) {
            for (const char* c = e.what(); *c; ++c) EXPECT_TRUE(*c >= 0x20 && *c < 0x7f) << e.what();
          }
          static_cast<void>(p);
        }
      },
      o);
}

// covers: C09
TEST(a_name, is_free_before_the_end_of_its_process_is_seen) {
  auto body = [] {
    otp::trap_exit(true);
    auto [p, m] = otp::spawn({.link = true, .monitor = true}, [] {
      otp::register_name("short", otp::self());
      otp::receive([](const go&) {});
    });
    while (!otp::whereis("short")) otp::yield();
    otp::send(p, go{});
    // By the first of the two signals.
    otp::receive([](const otp::down&) { EXPECT_FALSE(otp::whereis("short")); },
                 [](const otp::exit_signal&) { EXPECT_FALSE(otp::whereis("short")); });
    otp::register_name("short", otp::self());
    otp::unregister_name("short");
    otp::receive([](const otp::down&) {}, [](const otp::exit_signal&) {});
    static_cast<void>(m);
  };
  for_seeds(50, body);
  in_real_time([&] {
    for (int i = 0; i < load(20'000, 2'000, 300); ++i) body();
  });
}

namespace {

struct question {
  using reply = int;
};
struct answering {
  int handle_call(const question&) { return 42; }
};

}  // namespace

// covers: C10
TEST(a_process_that_dies_between_lookup_and_call, is_noproc_with_the_name) {
  auto body = [] {
    const otp::name<answering> name{"answering"};
    auto server = otp::gen_server::start<answering>({.name = name.text()}).value();
    ASSERT_EQ(otp::call(name, question{}), 42);
    otp::exit(server, otp::reason::kill);
    auto started = otp::now();
    auto answer = otp::try_call(name, question{}, 10s);
    if (!answer) {
      exit_reason why = answer.error();
      EXPECT_TRUE(why.cause() == otp::reason::noproc || why.cause() == otp::reason::killed) << why.to_string();
      ASSERT_TRUE(why.call());
      EXPECT_NE(why.call()->server.find("answering"), std::string::npos) << why.to_string();
    }
    EXPECT_LT(otp::now() - started, 5s) << "no hang";
    reason_of(otp::monitor(server));
    // Gone for certain: by name and by the pid that was looked up.
    exit_reason by_name = otp::try_call(name, question{}).error();
    EXPECT_EQ(by_name.cause(), otp::reason::noproc);
    EXPECT_NE(by_name.to_string().find("answering"), std::string::npos) << by_name.to_string();
    EXPECT_EQ(otp::try_call(server, question{}).error().cause(), otp::reason::noproc);
    otp::ref m = otp::monitor(name.text());
    otp::receive([&](const otp::down& d) {
      EXPECT_EQ(d.reference, m);
      EXPECT_EQ(d.name, "answering");
      EXPECT_EQ(d.reason, otp::reason::noproc);
    });
  };
  for_seeds(30, body);
  in_real_time([&] {
    for (int i = 0; i < load(5000, 500, 50); ++i) body();
  });
}

// covers: C12
TEST(sixty_four_processes_that_register_one_name, are_one_winner) {
  auto body = [] {
    std::atomic<int> winners{0};
    std::atomic<int> losers{0};
    std::vector<otp::spawned> all;
    for (int i = 0; i < 64; ++i)
      all.push_back(otp::spawn_monitor([&] {
        otp::receive([](const go&) {});
        try {
          otp::register_name("the one", otp::self());
          ++winners;
          EXPECT_EQ(otp::whereis("the one"), otp::self());
        } catch (const otp::bad_argument&) {
          ++losers;
        }
        otp::receive([](const go&) {});
      }));
    for (auto& p : all) otp::send(p.pid, go{});
    ASSERT_TRUE(eventually_here([&] { return winners + losers == 64; }));
    EXPECT_EQ(winners, 1);
    EXPECT_TRUE(otp::whereis("the one"));
    for (auto& p : all) otp::send(p.pid, go{});
    for (auto& p : all) EXPECT_EQ(reason_of(p.monitor), otp::reason::normal);
    EXPECT_FALSE(otp::whereis("the one"));
  };
  for_seeds(10, body);
  in_real_time([&] {
    for (int i = 0; i < load(500, 50, 10); ++i) body();
  });
}
