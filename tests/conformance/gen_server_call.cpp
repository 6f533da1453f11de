// Servers: calls, seen from the caller.
#include "conformance/gen_server_support.hpp"

#include <gmock/gmock.h>

#include <string>
#include <thread>

namespace {

using namespace conformance;
namespace gen_server = otp::gen_server;

/// Answers in several ways.
struct desk {
  struct add {
    using reply = int;
    int by;
  };
  struct slow {
    using reply = int;
    otp::duration length;
  };
  struct silent {
    using reply = int;
  };
  struct answer_kept {
    int with;
  };
  struct count_runs {
    using reply = int;
  };
  struct die {
    using reply = int;
    otp::exit_reason why;
  };
  struct answer_and_die {
    using reply = int;
  };
  struct call_yourself {
    using reply = std::vector<otp::exit_reason>;
    std::vector<otp::server_name> names;
  };

  explicit desk(otp::server_name own = {}) : name(std::move(own)) {}
  int handle_call(const add& a) { return sum += a.by; }
  int handle_call(const slow& s) {
    ++runs;
    otp::sleep(s.length);
    return 1;
  }
  otp::call_result<int> handle_call(silent, otp::from<int> f) {
    kept.push_back(std::move(f));
    return otp::noreply();
  }
  void handle_cast(const answer_kept& a) {
    for (auto& f : kept) f.reply(a.with);
    kept.clear();
  }
  int handle_call(count_runs) { return runs; }
  int handle_call(const die& d) { otp::exit(d.why); }
  otp::call_result<int> handle_call(answer_and_die) { return otp::stop("done").reply(5); }
  std::vector<otp::exit_reason> handle_call(call_yourself);

  otp::server_name name;
  int sum = 0;
  int runs = 0;
  std::vector<otp::from<int>> kept;
};

constexpr otp::name<desk> local_desk{"gen_server_call"};
const auto global_desk = [] { return otp::global<desk>("gen_server_call"); };
const auto the_registry = std::make_shared<test_registry>();
const auto via_desk = [] { return otp::via<desk>(the_registry, "gen_server_call"); };

std::vector<otp::exit_reason> desk::handle_call(call_yourself) {
  std::vector<otp::exit_reason> causes;
  causes.push_back(otp::try_call(otp::self(this), add{1}).error());
  causes.push_back(otp::try_call(local_desk, add{1}).error());
  causes.push_back(otp::try_call(global_desk(), add{1}).error());
  causes.push_back(otp::try_call(via_desk(), add{1}).error());
  return causes;
}

// covers: GS-025
TEST(gen_server_call, sends_the_request_and_returns_the_reply) {
  everywhere(20, [] {
    auto d = gen_server::start<desk>().value();
    EXPECT_EQ(otp::call(d, desk::add{2}), 2);
    EXPECT_EQ(otp::call(d, desk::add{3}), 5);
    EXPECT_EQ(otp::try_call(d, desk::add{4}), 9);
  });
  for_seeds(20, [] {
    auto d = gen_server::start<desk>().value();
    EXPECT_EQ(time_of([&] { otp::call(d, desk::slow{2s}); }), 2s);  // it waits as long as it takes
  });
}

// covers: GS-026
TEST(gen_server_call, waits_five_seconds_unless_told_otherwise) {
  for_seeds(20, [] {
    auto d = gen_server::start<desk>().value();
    EXPECT_EQ(time_of([&] { EXPECT_EQ(cause_that([&] { otp::call(d, desk::silent{}); }), otp::reason::timeout); }), 5s);
    EXPECT_EQ(time_of([&] { EXPECT_EQ(otp::call(d, desk::slow{4999ms}), 1); }), 4999ms);
    EXPECT_EQ(time_of([&] { EXPECT_EQ(otp::call(d, desk::slow{1h}, otp::infinity), 1); }), 1h);
    EXPECT_EQ(time_of([&] { EXPECT_EQ(cause_that([&] { otp::call(d, desk::silent{}, 0s); }), otp::reason::timeout); }),
              0s);
  });
}
// covers: GS-026
TEST(gen_server_call, a_negative_timeout_is_a_bad_argument_and_nothing_is_sent) {
  everywhere(5, [] {
    auto d = gen_server::start<desk>().value();
    EXPECT_THROW(otp::call(d, desk::add{1}, -1ns), otp::bad_argument);
    EXPECT_THROW(static_cast<void>(otp::try_call(d, desk::add{1}, -5s)), otp::bad_argument);
    EXPECT_EQ(otp::call(d, desk::add{0}), 0);
  });
}

// covers: GS-027
TEST(gen_server_call, a_timeout_exits_the_caller_and_the_server_goes_on) {
  for_seeds(20, [] {
    auto d = gen_server::start<desk>().value();
    try {
      otp::call(d, desk::slow{10s}, 1s);
      ADD_FAILURE();
    } catch (const otp::exited& e) {  // it may be caught
      EXPECT_EQ(e.reason().cause(), otp::reason::timeout);
    }
    EXPECT_EQ(otp::call(d, desk::count_runs{}, 1min), 1);  // it has run to its end
    otp::pid caller = otp::spawn([d] { otp::call(d, desk::silent{}, 1s); });
    EXPECT_EQ(end_of(caller).cause(), otp::reason::timeout);
    EXPECT_EQ(otp::call(d, desk::add{1}), 1);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: GS-030
TEST(gen_server_call, nobody_there_is_noproc) {
  everywhere(20, [] {
    auto d = gen_server::start<desk>().value();
    gen_server::stop(d);
    EXPECT_EQ(cause_that([&] { otp::call(d, desk::add{1}); }), noproc);
    EXPECT_EQ(cause_that([&] { otp::call(otp::name<desk>("nobody"), desk::add{1}); }), noproc);
    EXPECT_EQ(cause_that([&] { otp::call(otp::global<desk>("nobody"), desk::add{1}); }), noproc);
    EXPECT_EQ(cause_that([&] { otp::call(otp::via<desk>(the_registry, "nobody"), desk::add{1}); }), noproc);
    EXPECT_EQ(otp::try_call(d, desk::add{1}).error().cause(), noproc);
  });
}
// covers: GS-031
TEST(gen_server_call, the_absent_name_is_noproc) {
  everywhere(5, [] {
    EXPECT_EQ(cause_that([&] { otp::call(otp::server<desk>(), desk::add{1}); }), noproc);
    EXPECT_EQ(cause_that([&] { otp::call(otp::name<desk>(), desk::add{1}); }), noproc);
    EXPECT_EQ(cause_that([&] { otp::call(otp::name<desk>("none"), desk::add{1}); }), noproc);
  });
}

// covers: GS-032
TEST(gen_server_call, oneself_is_calling_self_by_every_name) {
  everywhere(10, [] {
    for (otp::server_name name :
         {otp::server_name(local_desk), otp::server_name(global_desk()), otp::server_name(via_desk())}) {
      auto d = gen_server::start<desk>({.name = name}).value();
      auto causes = otp::call(d, desk::call_yourself{});
      EXPECT_EQ(causes[0].cause(), calling_self);
      int by_name = 0;
      for (std::size_t i = 1; i < causes.size(); ++i) {
        by_name += causes[i].cause() == calling_self;
        EXPECT_TRUE(causes[i].cause() == calling_self || causes[i].cause() == noproc);
      }
      EXPECT_EQ(by_name, 1);  // of the three, the one it has
      EXPECT_EQ(otp::call(d, desk::add{1}), 1);
      gen_server::stop(d);
    }
    EXPECT_EQ(cause_that([] { otp::call(otp::server<desk>(otp::self()), desk::add{1}); }), calling_self);
  });
}

// There are no other nodes to be called by name yet; a node that is not there is listed as bad by multi_call, which
// gen_server_many.cpp tests.
// no meaning: GS-033 (docs/decisions/0002-rows-without-meaning.md)

// covers: GS-034
TEST(gen_server_call, the_reason_holds_the_cause_and_the_call) {
  for_seeds(5, [] {
    otp::exit_reason why = reason_that([] { otp::call(otp::name<desk>("nobody"), desk::add{1}, 250ms); });
    EXPECT_EQ(why.what(), otp::exit_reason::kind::call_failed);
    EXPECT_EQ(why.cause(), noproc);
    ASSERT_NE(why.call(), nullptr);
    EXPECT_EQ(why.call()->function, "call");
    EXPECT_EQ(why.call()->server, "\"nobody\"");
    EXPECT_EQ(why.call()->request, otp::detail::type_name<desk::add>);
    EXPECT_EQ(why.call()->timeout, 250ms);

    auto d = gen_server::start<desk>().value();
    why = reason_that([&] { otp::call(d, desk::die{.why = "because"}); });
    EXPECT_EQ(why.cause(), otp::exit_reason("because"));
    EXPECT_EQ(why.call()->server, d.to_string());
    why = reason_that([&] { otp::call(otp::global<desk>("g"), desk::add{1}); });
    EXPECT_EQ(why.call()->server, "{global, \"g\"}");
    why = reason_that([&] { otp::call(otp::via<desk>(the_registry, 5), desk::add{1}); });
    EXPECT_EQ(why.call()->server, "{via, test_registry, 5}");
  });
}

// covers: GS-036
TEST(gen_server_call, a_reply_sent_before_the_end_arrives) {
  everywhere(50, [] {
    for (int i = 0; i < 20; ++i) {
      auto d = gen_server::start_monitor<desk>().value();
      EXPECT_EQ(otp::call(d.server, desk::answer_and_die{}), 5);
      EXPECT_EQ(reason_of(d.monitor), otp::exit_reason("done"));
    }
  });
}

// covers: GS-037
TEST(gen_server_call, leaves_neither_message_nor_monitor_behind) {
  for_seeds(5, [] {
    auto d = gen_server::start<desk>().value();
    otp::server<desk> dead = gen_server::start<desk>().value();
    gen_server::stop(dead);
    for (int i = 0; i < 300; ++i) {
      otp::call(d, desk::add{1});
      EXPECT_FALSE(otp::try_call(d, desk::silent{}, 1ms));
      EXPECT_FALSE(otp::try_call(dead, desk::add{1}));
      auto dying = gen_server::start<desk>().value();
      EXPECT_FALSE(otp::try_call(dying, desk::die{.why = "x"}));
    }
    otp::cast(d, desk::answer_kept{3});  // 300 replies that nobody waits for
    EXPECT_EQ(otp::call(d, desk::add{0}), 300);
    auto mine = otp::info(otp::self()).value();
    EXPECT_EQ(mine.message_queue_len, 0U);
    EXPECT_EQ(mine.messages.size(), 0U);
    EXPECT_EQ(mine.monitors.size(), 0U);
    EXPECT_EQ(otp::counters().late_replies, 300U);
    EXPECT_EQ(otp::counters().timers, 0U);
  });
}

// covers: GS-038
TEST(gen_server_call, who_is_no_server_does_not_answer) {
  for_seeds(10, [] {
    otp::server<desk> not_one(sleeper());
    EXPECT_EQ(time_of([&] { EXPECT_EQ(otp::try_call(not_one, desk::add{1}).error().cause(), otp::reason::timeout); }),
              5s);
    EXPECT_TRUE(otp::is_alive(not_one));
    // And when it ends, that is the answer.
    otp::exit_after(1s, not_one, "over");
    EXPECT_EQ(
        time_of([&] { EXPECT_EQ(otp::try_call(not_one, desk::add{1}).error().cause(), otp::exit_reason("over")); }),
        1s);
  });
}

struct answered {
  int asked;
  int got;
};
/// Keeps all requests and answers them in an order of its own.
struct shuffler {
  struct square {
    using reply = int;
    int of;
  };
  struct answer_all {
    bool backwards;
  };
  void handle_call(const square& s, otp::from<int> f) { kept.emplace_back(s.of, std::move(f)); }
  void handle_cast(answer_all a) {
    if (a.backwards) std::reverse(kept.begin(), kept.end());
    for (auto& [n, f] : kept) f.reply(n * n);
    kept.clear();
  }
  std::vector<std::pair<int, otp::from<int>>> kept;
};

// covers: GS-039
TEST(gen_server_call, each_of_many_callers_gets_its_own_reply) {
  everywhere(30, [] {
    for (bool backwards : {false, true}) {
      auto s = gen_server::start<shuffler>().value();
      constexpr int callers = 50;
      for (int i = 0; i < callers; ++i)
        otp::spawn(
            [s, i, to = otp::self()] { otp::send(to, answered{i, otp::call(s, shuffler::square{i}, otp::infinity)}); });
      // Whatever has arrived is answered, until all have.
      std::vector<bool> seen(callers);
      for (int n = 0; n < callers;) {
        otp::cast(s, shuffler::answer_all{backwards});
        otp::receive(
            [&](const answered& a) {
              EXPECT_EQ(a.got, a.asked * a.asked);
              EXPECT_FALSE(seen[static_cast<std::size_t>(a.asked)]);
              seen[static_cast<std::size_t>(a.asked)] = true;
              ++n;
            },
            otp::after(1ms, [] {}));
      }
      gen_server::stop(s);
    }
  });
}

// covers: GS-041
TEST(gen_server_call, one_that_races_with_the_end_gets_the_reason_or_noproc) {
  auto body = [] {
    for (int i = 0; i < 40; ++i) {
      auto d = gen_server::start<desk>().value();
      otp::spawn([d, i] {
        for (int n = 0; n < i % 7; ++n) otp::yield();
        otp::exit(d, "boom");
      });
      for (;;) {
        auto r = otp::try_call(d, desk::add{1}, otp::infinity);
        if (r) continue;
        EXPECT_TRUE(r.error().cause() == otp::exit_reason("boom") || r.error().cause() == noproc)
            << r.error().to_string();
        break;
      }
    }
    EXPECT_TRUE(mailbox_empty());
  };
  everywhere(20, body);
}

// Only a process can wait for a reply; others are told what to do instead.
TEST(gen_server_call, a_thread_that_is_no_process_is_refused_and_told_the_way) {
  otp::runtime rt({.workers = 2});
  rt.start();
  otp::server<desk> d;
  EXPECT_EQ(rt.run([&] { d = gen_server::start<desk>().value(); }), normal);
  auto told = [](auto&& use) -> std::string {
    try {
      use();
    } catch (const otp::bad_argument& e) {
      return e.what();
    }
    return "not refused";
  };
  auto refuses_all = [&](const char* advice) {
    EXPECT_THAT(told([&] { otp::call(d, desk::add{1}); }), testing::HasSubstr(advice));
    EXPECT_THAT(told([&] { static_cast<void>(otp::try_call(d, desk::add{1})); }), testing::HasSubstr(advice));
    EXPECT_THAT(told([&] { otp::send_request(d, desk::add{1}); }), testing::HasSubstr(advice));
    EXPECT_THAT(told([&] { otp::call(local_desk, desk::add{1}); }), testing::HasSubstr(advice));
    EXPECT_THAT(told([&] { static_cast<void>(gen_server::start<desk>()); }), testing::HasSubstr(advice));
    EXPECT_THAT(told([&] { gen_server::stop(d); }), testing::HasSubstr(advice));
  };
  refuses_all("runtime.call");
  EXPECT_EQ(rt.run([&] { otp::blocking([&] { refuses_all("process"); }); }), normal);
  EXPECT_EQ(rt.call(d, desk::add{0}), 0);  // nothing has reached it
  EXPECT_TRUE(rt.stop().clean());
}

// covers: GS-025 GS-027 GS-030 GS-041
TEST(gen_server_call, a_foreign_thread_calls_through_the_runtime) {
  event_log events;
  otp::runtime rt({.workers = 2, .listener = &events});
  rt.start();
  otp::server<desk> d;
  auto registry = std::make_shared<test_registry>();
  EXPECT_EQ(rt.run([&] {
    d = gen_server::start<desk>({.name = local_desk}).value();
    EXPECT_TRUE(gen_server::start<desk>({.name = global_desk()}));
    EXPECT_TRUE(gen_server::start<desk>({.name = otp::via(registry, "k")}));
  }),
            normal);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) rt.call(local_desk, desk::add{1});
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(rt.call(d, desk::add{0}), 2000);
  EXPECT_EQ(rt.call(global_desk(), desk::add{3}), 3);
  EXPECT_EQ(rt.call(otp::via<desk>(registry, "k"), desk::add{4}), 4);
  EXPECT_EQ(rt.try_call(otp::name<desk>("nobody"), desk::add{1}).error().cause(), noproc);
  EXPECT_EQ(rt.try_call(d, desk::silent{}, 1ms).error().cause(), otp::reason::timeout);
  EXPECT_EQ(rt.try_call(d, desk::silent{}, 0ms).error().cause(), otp::reason::timeout);
  EXPECT_THROW(rt.call(d, desk::add{1}, -1ms), otp::bad_argument);
  EXPECT_EQ(cause_that([&] { rt.call(d, desk::die{.why = "so"}); }), otp::exit_reason("so"));
  otp::exit_reason after = cause_that([&] { rt.call(d, desk::add{1}); });  // it may still be on its way out
  EXPECT_TRUE(after == noproc || after == otp::exit_reason("so")) << after.to_string();
  rt.cast(global_desk(), desk::answer_kept{1});
  rt.cast(otp::name<desk>("nobody"), desk::answer_kept{1});
  EXPECT_EQ(rt.call(global_desk(), desk::add{0}), 3);
  EXPECT_TRUE(rt.stop().clean());
  EXPECT_EQ(rt.try_call(global_desk(), desk::add{0}).error().cause(), noproc);
}
// A request that its server skipped at once was taken for one that the mailbox had dropped.
// covers: GS-026
TEST(gen_server_call, with_no_time_at_all_is_a_timeout_on_threads_too) {
  EXPECT_EQ(threaded([] {
              auto d = gen_server::start<desk>().value();
              for (int i = 0; i < 2000; ++i)
                EXPECT_EQ(otp::try_call(d, desk::silent{}, 0s).error().cause(), otp::reason::timeout);
            }),
            normal);
}

// covers: GS-025
TEST(gen_server_call, a_worker_of_one_runtime_may_not_be_blocked_by_a_call_into_another) {
  otp::runtime other({.workers = 1});
  other.start();
  otp::server<desk> d;
  EXPECT_EQ(other.run([&] { d = gen_server::start<desk>().value(); }), normal);
  EXPECT_EQ(threaded([&] {
              EXPECT_THROW(other.call(d, desk::add{1}), otp::bad_argument);
              EXPECT_EQ(otp::blocking([&] { return other.call(d, desk::add{1}); }), 1);
            }),
            normal);
  // Its own processes just call.
  EXPECT_EQ(other.run([&] { EXPECT_EQ(other.call(d, desk::add{1}), 2); }), normal);
  EXPECT_TRUE(other.stop().clean());
}

// covers: GS-026
TEST(gen_server_call, from_nowhere_says_where_calls_can_come_from) {
  try {
    otp::call(local_desk, desk::add{1});
    ADD_FAILURE();
  } catch (const otp::bad_argument& e) {
    EXPECT_NE(std::string_view(e.what()).find("runtime.call"), std::string_view::npos) << e.what();
  }
  EXPECT_THROW(otp::call(otp::server<desk>(otp::pid(12345)), desk::add{1}), otp::bad_argument);
  EXPECT_THROW(otp::send_request(otp::server<desk>(otp::pid(12345)), desk::add{1}), otp::bad_argument);
}

}  // namespace
