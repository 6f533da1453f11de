// A: processes that block or never end, and runtimes that start and stop.
#include "faults/support.hpp"

#include <otp/blocking.hpp>
#include <otp/gen_server.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <set>
#include <thread>

using namespace faults;
using otp::exit_reason;
using otp::pid;

namespace {

struct go {};
// A server keeps no stack while it waits, so any worker serves it; a suspended function would wait for its own worker.
struct ping {
  using reply = int;
  int number = 0;
};
struct echo {
  int handle_call(const ping& p) { return p.number; }
};

// A pipe to block on; the test lets go by writing.
struct gate {
  gate() { EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0); }
  ~gate() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  void wait() const {
    char c;
    while (::read(ends[0], &c, 1) != 1) {
    }
  }
  void open(int times = 1) const {
    for (int i = 0; i < times; ++i) EXPECT_EQ(::write(ends[1], "x", 1), 1);
  }
  int ends[2]{};
};

struct spin {};
struct spinner {
  explicit spinner(std::atomic<bool>* t, std::atomic<bool>* l) : taken(t), let_go(l) {}
  void handle_cast(const spin&) {
    *taken = true;
    while (!*let_go) {
    }
  }
  std::atomic<bool>* taken;
  std::atomic<bool>* let_go;
};

long long number(std::string_view text) { return std::atoll(std::string(text).c_str()); }

}  // namespace

// covers: A06
TEST(a_million_processes, leave_nothing_behind_and_no_pid_comes_twice) {
  constexpr int count = load(1'000'000, 1'000'000, 100'000);
  program p;
  std::vector<std::uint64_t> pids(count, 1);
  p.run([&] {
    std::size_t rss_early = 0;
    int at = 0;
    while (at < count) {
      // Waves, so that places come back in many orders and from both workers.
      int wave = std::min(1 + at % 97, count - at);
      std::vector<otp::ref> monitors;
      for (int i = 0; i < wave; ++i) {
        auto [who, m] = otp::spawn_monitor([] {});
        pids[static_cast<std::size_t>(at++)] = who.value();
        monitors.push_back(m);
      }
      for (otp::ref m : monitors) EXPECT_EQ(reason_of(m), otp::reason::normal);
      if (!rss_early && at > count / 10) rss_early = resident_bytes();
    }
    std::size_t rss_late = resident_bytes();
    EXPECT_LT(rss_late, rss_early + (std::size_t{asan ? 300 : tsan ? 64 : 8} << 20)) << "it grew from " << rss_early;
  });
  std::sort(pids.begin(), pids.end());
  EXPECT_EQ(std::adjacent_find(pids.begin(), pids.end()), pids.end()) << "a pid was used twice";
  ASSERT_TRUE(eventually([&] { return p.rt().counters().processes == 0; }));
  auto c = p.rt().counters();
  EXPECT_EQ(c.spawned, c.exited);
  EXPECT_EQ(c.timers, 0U);
  EXPECT_EQ(c.dead + c.refused + c.dropped, 0U);
}

// covers: A09
TEST(a_handler_that_never_returns, is_reported_with_all_that_is_known_and_others_are_served) {
  otp::runtime_options o;
  o.workers = 2;
  program p(o);
  std::atomic<bool> taken{false};
  std::atomic<bool> let_go{false};
  p.run([&] {
    auto server = otp::gen_server::start_link<spinner>({.name = "the spinner"}, &taken, &let_go).value();
    auto other = otp::gen_server::start_link<echo>().value();
    otp::cast(server, spin{});
    spin_until(taken);
    int served = 0;
    ASSERT_TRUE(eventually_here([&] {
      EXPECT_EQ(otp::call(other, ping{served}, 10s), served);
      ++served;
      return p.events().count("stalled") > 0;
    }));
    EXPECT_GT(served, 5);
    auto report = p.events().of("stalled")[0];
    EXPECT_EQ(report.process, server.pid());
    EXPECT_NE(report.name.find("the spinner"), std::string::npos) << report.name;
    EXPECT_NE(report.name.find("spinner)"), std::string::npos) << "the type: " << report.name;
    EXPECT_NE(report.field("handling").find("spin"), std::string_view::npos) << report.field("handling");
    EXPECT_GE(number(report.field("for_ms")), 500);
    EXPECT_LT(number(report.field("for_ms")), asan || tsan ? 5000 : 1000);
    EXPECT_NE(report.field("backtrace"), "");
    EXPECT_NE(report.field("advice").find("handler_limit"), std::string_view::npos);
    let_go = true;
    otp::gen_server::stop(server);
    otp::gen_server::stop(other);
  });
}

// covers: A10
TEST(a_handler_that_blocks, is_reported_unless_it_blocks_in_the_helper) {
  otp::runtime_options o;
  o.workers = 2;
  o.handler_limit = 100ms;
  gate pipe;  // closed after the last worker has read it
  program p(o);
  p.run([&] {
    auto other = otp::gen_server::start_link<echo>().value();
    // With the helper: nobody notices, for many times the limit.
    auto helped = otp::spawn_monitor([&] { otp::blocking([&] { pipe.wait(); }); });
    auto end = otp::now() + 10 * 100ms;
    otp::duration slowest{};
    while (otp::now() < end) {
      auto sent = otp::now();
      EXPECT_EQ(otp::call(other, ping{7}), 7);
      slowest = std::max(slowest, otp::now() - sent);
      otp::sleep(1ms);
    }
    EXPECT_EQ(p.events().count("stalled"), 0U);
    EXPECT_LT(slowest, 1s);
    pipe.open();
    EXPECT_EQ(reason_of(helped.monitor), otp::reason::normal);
    // Without it.
    std::atomic<bool> taken{false};
    auto blocked = otp::spawn_monitor([&] {
      taken = true;
      pipe.wait();
    });
    spin_until(taken);
    ASSERT_TRUE(eventually_here([&] { return p.events().count("stalled") > 0; }));
    EXPECT_EQ(p.events().of("stalled")[0].process, blocked.pid);
    EXPECT_EQ(otp::call(other, ping{8}), 8);
    pipe.open();
    EXPECT_EQ(reason_of(blocked.monitor), otp::reason::normal);
    otp::gen_server::stop(other);
  });
}

// covers: A11
TEST(as_many_blocked_handlers_as_workers, are_reported_and_a_spare_worker_runs_the_rest) {
  otp::runtime_options o;
  o.workers = 2;
  o.handler_limit = 100ms;
  gate pipe;  // closed after the last worker has read it
  program p(o);
  const int workers = std::getenv("OTP_WORKERS") ? std::atoi(std::getenv("OTP_WORKERS")) : 2;
  // Stacks that wait on the workers.
  std::vector<pid> sleepers;
  std::atomic<int> suspended{0};
  std::atomic<int> woken{0};
  for (int i = 0; i < 8; ++i)
    sleepers.push_back(p.rt().spawn([&] {
      ++suspended;
      otp::receive([&](const go&) { ++woken; });
    }));
  ASSERT_TRUE(eventually([&] { return suspended == 8; }));
  std::atomic<int> blocked{0};
  for (int i = 0; i < workers; ++i)
    p.rt().spawn([&] {
      ++blocked;
      pipe.wait();
    });
  ASSERT_TRUE(eventually([&] { return blocked == workers; }));
  // Timers armed by a process that only a spare can run, messages, spawns.
  auto why = p.rt().run([] {
    otp::send_after(20ms, otp::self(), go{});
    otp::receive([](const go&) {});
    otp::sleep(5ms);
    auto other = otp::gen_server::start_link<echo>().value();
    for (int i = 0; i < 100; ++i) EXPECT_EQ(otp::call(other, ping{i}), i);
    otp::gen_server::stop(other);
  });
  EXPECT_EQ(why, otp::reason::normal);
  for (pid s : sleepers) p.rt().send(s, go{});
  ASSERT_TRUE(eventually([&] {
    std::set<std::string> stalled;
    for (auto& e : p.events().of("stalled")) stalled.insert(std::string(e.field("worker")));
    return static_cast<int>(stalled.size()) >= workers;
  }));
  EXPECT_EQ(woken, 0) << "a suspended stack stays with its worker";
  std::string listed;
  for (auto& e : p.events().of("stalled")) listed += std::string(e.field("waiting_behind_it")) + " ";
  for (pid s : sleepers) EXPECT_NE(listed.find(s.to_string()), std::string::npos) << s.to_string() << " in " << listed;
  pipe.open(workers);
  EXPECT_TRUE(eventually([&] { return woken == 8 && p.rt().counters().processes == 0; }));
}

// covers: A17
TEST(stop_from_a_callback, is_accepted_and_the_callback_finishes) {
  {
    program p;
    std::atomic<bool> finished{false};
    std::atomic<int> unwound{0};
    for (int i = 0; i < 10; ++i)
      p.rt().spawn([&] {
        struct at_end {
          std::atomic<int>& n;
          ~at_end() { ++n; }
        } guard{unwound};
        otp::receive([](const go&) {});
      });
    p.rt().spawn([&] {
      otp::runtime::current()->stop();
      EXPECT_TRUE(otp::runtime::current()->stop().clean());  // again: accepted too
      finished = true;
    });
    EXPECT_TRUE(eventually([&] { return !p.rt().started(); }));
    EXPECT_TRUE(finished);
    EXPECT_EQ(unwound, 10);
  }
  // Under otp::run: the program ends.
  auto child = in_child([] {
    return otp::run([] {
      for (int i = 0; i < 10; ++i) otp::spawn([] { otp::sleep(otp::infinity); });
      otp::runtime::current()->stop();
      otp::sleep(otp::infinity);
    });
  });
  EXPECT_TRUE(child.exited(1) || child.exited(0)) << child.status << child.errors;
}

namespace {

struct question {
  using reply = int;
};
struct never_answers {
  otp::call_result<int> handle_call(const question&, otp::from<int> f) {
    kept.push_back(std::move(f));
    return otp::noreply();
  }
  std::vector<otp::from<int>> kept;
};

}  // namespace

// covers: A18
TEST(stop, unwinds_a_hundred_thousand_processes_that_wait_in_calls) {
  constexpr int count = load(100'000, 100'000, tsan ? 4'000 : 20'000);
  program p;
  std::atomic<int> destroyed{0};
  std::atomic<int> calling{0};
  otp::server<never_answers> server;
  p.run([&] { server = otp::gen_server::start<never_answers>().value(); });
  for (int i = 0; i < count; ++i)
    p.rt().spawn([&] {
      struct at_end {
        std::atomic<int>& n;
        ~at_end() { ++n; }
      } guard{destroyed};
      ++calling;
      otp::call(server, question{}, otp::infinity);
    });
  ASSERT_TRUE(eventually([&] { return calling == count; }, 300s));
  auto begin = std::chrono::steady_clock::now();
  otp::duration budget = 30s * (asan || tsan ? 4 : 1);
  auto report = p.stop(budget);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, budget + 1s);
  EXPECT_TRUE(report.clean()) << report.abandoned.size();
  EXPECT_EQ(destroyed, count);
  EXPECT_EQ(p.rt().counters().processes, 0U);
}

// covers: A18
TEST(stop, ends_in_time_and_lists_who_does_not_come_back) {
  // In a child: the thread that does not come back stays for ever.
  auto child = in_child([] {
    event_log events;
    otp::runtime_options o;
    o.workers = 2;
    o.listener = &events;
    o.kill_budget = 200ms;
    auto* rt = new otp::runtime(o);
    rt->start();
    std::atomic<bool> taken{false};
    static volatile bool never = false;  // a plain one that nobody sets would not be read at all
    pid stuck = rt->spawn(
        [&] {
          taken = true;
          while (!never) {
          }
        },
        {.label = "never ends"});
    EXPECT_TRUE(eventually([&] { return taken.load(); }));
    std::atomic<int> begun{0};
    std::atomic<int> unwound{0};
    pid stuck_in_pool = rt->spawn([&] {
      otp::blocking([&] {
        ++begun;
        while (!never) ::usleep(1000);
      });
    });
    for (int i = 0; i < 50; ++i)
      rt->spawn([&] {
        struct at_end {
          std::atomic<int>& n;
          ~at_end() { ++n; }
        } guard{unwound};
        ++begun;
        otp::sleep(otp::infinity);
      });
    EXPECT_TRUE(eventually([&] { return begun == 51; }));
    auto begin = std::chrono::steady_clock::now();
    auto report = rt->stop(2s);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
    std::string who;
    for (auto& left : report.abandoned) who += left.name + ": " + left.why + "\n";
    EXPECT_EQ(report.abandoned.size(), 2U) << who;
    for (auto& left : report.abandoned) {
      EXPECT_TRUE(left.pid == stuck || left.pid == stuck_in_pool);
      EXPECT_NE(left.name.find(left.pid.to_string()), std::string::npos) << left.name;
      EXPECT_NE(left.name.find("lambda"), std::string::npos) << "the callback: " << left.name;
      EXPECT_NE(left.why, "");
    }
    EXPECT_EQ(unwound, 50);
    EXPECT_EQ(events.count("abandoned"), 2U);
    delete rt;  // keeps what the lost threads may touch, so the leak checker is not asked
    _exit(::testing::Test::HasFailure() ? 1 : 0);
    return 1;
  });
  EXPECT_TRUE(child.exited(0)) << child.status << child.errors;
}

// covers: A19
TEST(a_runtime, starts_and_stops_a_thousand_times_in_one_program) {
  constexpr int rounds = load(1000, 1000, 100);
  baseline before;
  event_log events;
  std::size_t early = 0;
  for (int round = 0; round < rounds; ++round) {
    otp::runtime_options o;
    o.workers = 1 + static_cast<unsigned>(round) % 3;
    o.listener = &events;
    otp::runtime rt(o);
    rt.start();
    std::atomic<int> seen{0};
    for (int i = 0; i < 5; ++i)
      rt.spawn([&] {
        ++seen;
        otp::send_after(1h, otp::self(), go{});
        otp::receive([](const go&) {});
      });
    rt.spawn([] { otp::spawn_link([] { otp::sleep(1h); }); });
    if (round % 4 == 0) {
      EXPECT_EQ(rt.run([] { EXPECT_EQ(otp::blocking([] { return 7; }), 7); }), otp::reason::normal);
    }
    if (round % 2) {
      EXPECT_TRUE(eventually([&] { return seen == 5; }));
    }
    auto report = rt.stop();
    EXPECT_TRUE(report.clean());
    EXPECT_EQ(rt.counters().processes, 0U);
    EXPECT_EQ(rt.counters().timers, 0U);
    ASSERT_FALSE(::testing::Test::HasFailure()) << "round " << round;
    if (round == rounds / 10) early = resident_bytes();
  }
  EXPECT_LT(resident_bytes(), early + (std::size_t{asan || tsan ? 128 : 8} << 20)) << early;
}

// covers: A20
TEST(the_api_outside_of_processes, answers_or_says_what_to_do) {
  event_log events;
  auto all_refuse = [](const char* where) {
    SCOPED_TRACE(where);
    pid nobody(77);
    otp::ref no_ref(nobody, 5);
    EXPECT_FALSE(otp::self());
    EXPECT_FALSE(otp::parent());
    EXPECT_FALSE(otp::is_alive(nobody));
    EXPECT_EQ(otp::runtime::current(), nullptr);
    EXPECT_GT(otp::now().time_since_epoch().count(), 0);
    auto refuses = [](const char* what, auto&& call) {
      try {
        call();
        ADD_FAILURE() << what << " should have refused";
      } catch (const otp::bad_argument& e) {
        EXPECT_NE(std::string(e.what()).find("runtime"), std::string::npos) << e.what();
        EXPECT_NE(std::string(e.what()).find(what), std::string::npos) << e.what();
      }
    };
    refuses("spawn", [] { otp::spawn([] {}); });
    refuses("spawn", [] { otp::spawn_link([] {}); });
    refuses("spawn", [] { otp::spawn_monitor([] {}); });
    refuses("send", [&] { otp::send(nobody, 1); });
    refuses("send", [&] { otp::send(no_ref, 1); });
    refuses("send", [] { otp::send("a name", 1); });
    refuses("exit", [&] { otp::exit(nobody, otp::reason::kill); });
    refuses("link", [&] { otp::link(nobody); });
    refuses("unlink", [&] { otp::unlink(nobody); });
    refuses("monitor", [&] { otp::monitor(nobody); });
    refuses("monitor", [] { otp::monitor("a name"); });
    refuses("demonitor", [&] { otp::demonitor(no_ref); });
    refuses("alias", [] { otp::alias(); });
    refuses("unalias", [&] { otp::unalias(no_ref); });
    refuses("register_name", [&] { otp::register_name("a name", nobody); });
    refuses("unregister_name", [] { otp::unregister_name("a name"); });
    refuses("whereis", [] { otp::whereis("a name"); });
    refuses("registered", [] { otp::registered(); });
    refuses("trap_exit", [] { otp::trap_exit(true); });
    refuses("set_priority", [] { otp::set_priority(otp::priority::low); });
    refuses("put", [] { otp::put(1, 2); });
    refuses("get", [] { otp::get(1); });
    refuses("erase", [] { otp::erase(1); });
    refuses("get_keys", [] { otp::get_keys(); });
    refuses("group_leader", [] { otp::group_leader(); });
    refuses("set_group_leader", [&] { otp::set_group_leader(nobody, nobody); });
    refuses("set_label", [] { otp::set_label("x"); });
    refuses("set_memory_used", [] { otp::set_memory_used(1); });
    refuses("label", [&] { otp::label(nobody); });
    refuses("info", [&] { otp::info(nobody); });
    refuses("processes", [] { otp::processes(); });
    refuses("process_count", [] { otp::process_count(); });
    refuses("sleep", [] { otp::sleep(1ms); });
    refuses("yield", [] { otp::yield(); });
    refuses("hibernate", [] { otp::hibernate(); });
    refuses("receive", [] { otp::receive([](int) {}, otp::after(0s, [] {})); });
    refuses("blocking", [] { otp::blocking([] {}); });
    refuses("counters", [] { otp::counters(); });
    refuses("report", [] { otp::report({.what = "x"}); });
    refuses("wait_for_shutdown", [] { otp::wait_for_shutdown(); });
    refuses("timer", [&] { otp::send_after(1s, nobody, 1); });
    refuses("timer", [&] { otp::send_interval(1s, nobody, 1); });
    refuses("timer", [&] { otp::start_timer(1s, nobody, 1); });
    refuses("timer", [] { otp::apply_after(1s, [] {}); });
    refuses("timer", [&] { otp::kill_after(1s, nobody); });
    refuses("cancel_timer", [&] { otp::cancel_timer(no_ref); });
    refuses("cancel_timer_async", [&] { otp::cancel_timer_async(no_ref); });
    refuses("read_timer", [&] { otp::read_timer(no_ref); });
  };
  all_refuse("without a runtime");
  otp::runtime_options o;
  o.listener = &events;
  otp::runtime rt(o);
  auto object_refuses = [&](const char* advice) {
    auto refuses = [&](auto&& call) {
      try {
        call();
        ADD_FAILURE() << "should have refused";
      } catch (const otp::bad_argument& e) {
        EXPECT_NE(std::string(e.what()).find(advice), std::string::npos) << e.what();
      }
    };
    refuses([&] { rt.spawn([] {}); });
    refuses([&] { rt.run([] {}); });
    refuses([&] { rt.send(pid(77), 1); });
    refuses([&] { rt.exit(pid(77), otp::reason::kill); });
    EXPECT_THROW(rt.send("a name", 1), otp::bad_argument);
    EXPECT_FALSE(rt.whereis("a name"));
    EXPECT_EQ(rt.counters().spawned, rt.counters().exited);
    EXPECT_TRUE(rt.processes().empty());
    EXPECT_FALSE(rt.started());
    rt.request_shutdown();
    EXPECT_TRUE(rt.stop().clean());
  };
  object_refuses("start()");
  rt.start();
  rt.start();  // it runs: nothing to do
  all_refuse("beside a runtime");
  std::atomic<int> got{0};
  pid who = rt.spawn([&] { otp::receive([&](int n) { got = n; }); });
  EXPECT_EQ(rt.send(who, 5), otp::send_status::sent);
  EXPECT_TRUE(eventually([&] { return got == 5 && rt.counters().processes == 0; }));
  EXPECT_EQ(rt.send(who, 6), otp::send_status::no_process);
  EXPECT_EQ(rt.counters().dead, 1U);
  EXPECT_THROW(rt.exit(pid(), otp::reason::kill), otp::bad_argument);
  EXPECT_THROW(rt.stop(-1s), otp::bad_argument);
  EXPECT_TRUE(rt.stop().clean());
  object_refuses("stop()");
  EXPECT_THROW(rt.start(), otp::bad_argument);
  all_refuse("after a runtime");
}

// covers: A20
TEST(foreign_threads, may_use_a_runtime_while_it_stops) {
  for (int round = 0; round < load(50, 10, 5); ++round) {
    program p;
    std::atomic<bool> stopped{false};
    std::vector<std::thread> others;
    std::atomic<long> sent{0};
    for (int t = 0; t < 3; ++t)
      others.emplace_back([&] {
        pid last(1);
        while (!stopped) try {
            last = p.rt().spawn([] { otp::receive([](int) {}); });
            if (p.rt().send(last, 1) == otp::send_status::sent) ++sent;
            p.rt().exit(last, otp::reason::shutdown);
            p.rt().whereis("nobody");
          } catch (const otp::bad_argument&) {  // stopped
          } catch (const otp::exited& e) {
            EXPECT_EQ(e.reason(), otp::reason::stopping);
          }
      });
    EXPECT_TRUE(eventually([&] { return sent > 100; }));
    EXPECT_TRUE(p.stop().clean());
    stopped = true;
    for (auto& t : others) t.join();
    EXPECT_EQ(p.rt().counters().processes, 0U);
    ASSERT_FALSE(::testing::Test::HasFailure()) << "round " << round;
  }
}
