// B18, B19: calls in a circle, and replies by the wrong hands.
#include "faults/support.hpp"

#include <otp/gen_server.hpp>

#include <memory>
#include <thread>

using namespace faults;
using otp::exit_reason;
namespace reason = otp::reason;
namespace gen_server = otp::gen_server;

namespace {

/// Calls along a path inside its handler.
struct link_in_chain {
  using address = otp::server<link_in_chain>;
  using answer = otp::result<int>;
  struct step {
    otp::server<link_in_chain> to;
    otp::duration timeout = otp::call_timeout;
    otp::duration before{};  // waits before it calls
  };
  struct call_on {
    using reply = answer;
    std::vector<step> path;
  };
  struct ask {
    using reply = int;
  };
  struct request_on {  // asynchronous
    using reply = answer;
    step to;
  };
  struct hand_on {  // a third process answers
    using reply = answer;
    step to;
  };
  answer handle_call(const call_on& c) { return go_on(c.path); }
  int handle_call(ask) { return 1; }
  answer handle_call(const request_on& r) {
    auto id = otp::send_request(r.to.to, ask{});
    auto response = otp::wait_response(id, r.to.timeout);
    if (!response) return std::unexpected(exit_reason(reason::timeout));
    return *response;
  }
  void handle_call(const hand_on& h, otp::from<answer> f) {
    auto shared = std::make_shared<otp::from<answer>>(std::move(f));
    otp::spawn([shared] {
      otp::sleep(1s);
      shared->reply(42);
    });
    // And calls back whoever waits for that answer.
    calls.push_back(otp::try_call(h.to.to, ask{}, h.to.timeout));
  }
  struct how_was_it {
    using reply = answer;
  };
  answer handle_call(how_was_it) { return calls.at(0); }

  static answer go_on(std::vector<step> path) {
    if (path.empty()) return 0;
    step next = path.front();
    path.erase(path.begin());
    otp::sleep(next.before);
    auto response = otp::try_call(next.to, call_on{std::move(path)}, next.timeout);
    if (!response) return std::unexpected(response.error());
    return *response;
  }
  std::vector<answer> calls;
};
using chain = link_in_chain;
using address = chain::address;
address start(std::string_view name = {}) {
  return name.empty() ? gen_server::start<chain>().value() : gen_server::start<chain>({.name = name}).value();
}
template <class F>
otp::duration time_of(F&& code) {
  otp::instant before = otp::now();
  code();
  return otp::now() - before;
}

// covers: B18
TEST(a_cycle_of_calls, fails_at_once_where_it_closes_and_is_named) {
  for_seeds(20, [] {
    // Of two, of three, of ten.
    for (int size : {2, 3, 10}) {
      std::vector<address> servers;
      for (int i = 0; i < size; ++i) servers.push_back(start("number " + std::to_string(size * 100 + i)));
      std::vector<chain::step> path;
      for (int i = 1; i < size; ++i) path.push_back({servers[static_cast<std::size_t>(i)]});
      path.push_back({servers[0]});
      chain::answer got;
      EXPECT_EQ(time_of([&] { got = otp::call(servers[0], chain::call_on{path}); }), 0s);
      exit_reason why = got.error().cause();
      EXPECT_EQ(why, reason::deadlock);
      for (auto& s : servers) EXPECT_NE(why.text().find(s.to_string()), std::string_view::npos) << why.text();
      EXPECT_NE(why.text().find("number " + std::to_string(size * 100)), std::string_view::npos);
      // The one that closed it failed: the others are unharmed and answer.
      for (auto& s : servers) EXPECT_EQ(otp::call(s, chain::ask{}), 1);
    }
  });
}
// covers: B18
TEST(a_cycle_of_calls, with_no_timeout_at_all_is_found_too) {
  for_seeds(20, [] {
    auto a = start(), b = start();
    auto got = otp::call(a, chain::call_on{{{b, otp::infinity}, {a, otp::infinity}}}, otp::infinity);
    EXPECT_EQ(got.error().cause(), reason::deadlock);
    // Through a process that is no server.
    otp::spawn([a, to = otp::self()] {
      otp::send(to, otp::call(a, chain::call_on{{{address(otp::self()), otp::infinity}}}, otp::infinity));
    });
    otp::receive([](const chain::answer& r) { EXPECT_EQ(r.error().cause(), reason::deadlock); });
  });
}

// Equal default timeouts do not count as one of them giving up: the first would take all of its time.
// covers: B18
TEST(a_cycle_of_calls, counts_unless_somebody_gives_up_clearly_earlier) {
  for_seeds(20, [] {
    auto a = start(), b = start();
    using kind = exit_reason::kind;
    // b closes the cycle a little after a's call: a's timeout would come a little before b's.
    auto close_after = [&](otp::duration delay, otp::duration first, otp::duration second) {
      chain::answer got;
      otp::duration took =
          time_of([&] { got = otp::call(a, chain::call_on{{{b, first}, {a, second, delay}}}, otp::infinity); });
      return std::make_pair(got.error().cause().what(), took);
    };
    EXPECT_EQ(close_after(0s, 5s, 5s), std::make_pair(kind::deadlock, otp::duration(0s)));
    EXPECT_EQ(close_after(300ms, 5s, 5s), std::make_pair(kind::deadlock, otp::duration(300ms)));
    EXPECT_EQ(close_after(0s, 4800ms, 5s), std::make_pair(kind::deadlock, otp::duration(0s)));
    EXPECT_EQ(close_after(0s, 10s, 5s), std::make_pair(kind::deadlock, otp::duration(0s)));
    // More than a sixteenth of the new call's time: no deadlock; the one that gives up in time ends it.
    EXPECT_EQ(close_after(320ms, 5s, 5s), std::make_pair(kind::timeout, otp::duration(5s)));
    EXPECT_EQ(close_after(0s, 1s, 5s), std::make_pair(kind::timeout, otp::duration(1s)));
    EXPECT_EQ(close_after(0s, 1s, otp::infinity), std::make_pair(kind::timeout, otp::duration(1s)));
    otp::sleep(1min);
    EXPECT_EQ(otp::call(b, chain::ask{}), 1);
  });
}

// covers: B18
TEST(what_only_looks_like_a_cycle, is_none) {
  for_seeds(20, [] {
    auto a = start(), b = start();
    EXPECT_EQ(otp::call(a, chain::call_on{{{b}}}), 0);
    EXPECT_EQ(otp::call(a, chain::request_on{{b}}), 1);
    // A handler that took a `from` may be answered for by a third process.
    otp::spawn([b, to = otp::self()] {
      otp::send(to, otp::call(b, chain::hand_on{{address(otp::self()), 500ms}}, otp::infinity));
    });
    otp::receive([](const chain::answer& r) { EXPECT_EQ(r, 42); });
    EXPECT_EQ(otp::call(b, chain::how_was_it{}).error().cause(), reason::timeout);  // not deadlock
    // Asynchronous requests make no edge: the wait for one is the caller's own affair.
    otp::spawn([a, to = otp::self()] {
      auto r = otp::call(a, chain::request_on{{address(otp::self()), 1s}}, otp::infinity);
      otp::send(to, r);
    });
    otp::receive([](const chain::answer& r) { EXPECT_EQ(r.error(), reason::timeout); });
    // Two that call one another one after the other.
    EXPECT_EQ(otp::call(a, chain::call_on{{{b}}}), 0);
    EXPECT_EQ(otp::call(b, chain::call_on{{{a}}}), 0);
    // A long line that many wait in is no circle.
    std::vector<chain::step> line;
    for (int i = 0; i < 50; ++i) line.push_back({start()});
    EXPECT_EQ(otp::call(a, chain::call_on{line}), 0);
  });
}

// On threads: both close the circle at the same time. Exactly one of them fails, and the other gets its answer.
// covers: B18
TEST(a_cycle_of_calls, closed_by_two_at_once_fails_exactly_one) {
  program p({.workers = 3});
  p.run([] {
    struct outcome {
      chain::answer answer;
    };
    int deadlocks = 0;
    for (int round = 0; round < load(2000, 400, 200); ++round) {
      auto a = start(), b = start();
      for (auto [from, to] : {std::pair(a, b), std::pair(b, a)})
        otp::spawn([from, to, owner = otp::self()] {
          otp::send(owner, outcome{otp::call(from, chain::call_on{{{to, otp::infinity}}}, otp::infinity)});
        });
      int failed = 0;
      for (int n = 0; n < 2; ++n)
        otp::receive([&](const outcome& o) {
          if (o.answer) return;
          EXPECT_EQ(o.answer.error().cause(), reason::deadlock) << o.answer.error().to_string();
          ++failed;
        });
      EXPECT_LE(failed, 1);
      deadlocks += failed;
      gen_server::stop(a);
      gen_server::stop(b);
    }
    RecordProperty("deadlocks", deadlocks);
  });
}
// covers: B18
TEST(a_cycle_of_calls, closed_by_one_of_three_fails_exactly_that_one_under_every_order) {
  for_seeds(200, [] {
    struct outcome {
      chain::answer answer;
    };
    std::vector<address> s{start(), start(), start()};
    for (std::size_t i = 0; i < 3; ++i)
      otp::spawn([from = s[i], to = s[(i + 1) % 3], owner = otp::self()] {
        otp::send(owner, outcome{otp::call(from, chain::call_on{{{to, otp::infinity}}}, otp::infinity)});
      });
    int failed = 0;
    EXPECT_EQ(time_of([&] {
                for (int n = 0; n < 3; ++n)
                  otp::receive([&](const outcome& o) {
                    if (o.answer) return;
                    EXPECT_EQ(o.answer.error().cause(), reason::deadlock);
                    ++failed;
                  });
              }),
              0s);
    EXPECT_LE(failed, 1);
  });
}

// ---- B19 ---------------------------------------------------------------------------------------------------------

/// Gives its `from`s away.
struct giver {
  struct ask {
    using reply = int;
  };
  using shelf = std::vector<std::shared_ptr<otp::from<int>>>;
  explicit giver(shelf& s) : away(s) {}
  void handle_call(ask, otp::from<int> f) {
    away.push_back(std::make_shared<otp::from<int>>(std::move(f)));
    ++given;
  }
  shelf& away;
  static inline std::atomic<int> given{0};
};

// covers: B19
TEST(a_from_kept_beyond_its_server, answers_nobody_and_is_counted) {
  for_seeds(20, [] {
    giver::shelf away;
    auto g = gen_server::start<giver>({}, std::ref(away)).value();
    auto id = otp::send_request(g, giver::ask{});
    EXPECT_FALSE(otp::wait_response(id, 1s));
    gen_server::stop(g, "over");
    EXPECT_EQ(otp::wait_response(id).value().error().cause(), exit_reason("over"));
    away.at(0)->reply(1);
    away.at(0)->reply(2);
    EXPECT_EQ(otp::counters().late_replies, 2U);
    away.clear();
    EXPECT_EQ(otp::info(otp::self()).value().message_queue_len, 0U);
  });
}
// covers: B19
TEST(a_from_kept_beyond_its_server, may_outlive_even_the_runtime) {
  giver::shelf away;
  {
    program p({.workers = 2});
    p.run([&] {
      auto g = gen_server::start<giver>({}, std::ref(away)).value();
      auto id = otp::send_request(g, giver::ask{});
      EXPECT_FALSE(otp::wait_response(id, 1ms));
      while (away.empty()) otp::sleep(1ms);
    });
  }
  ASSERT_EQ(away.size(), 1U);
  away[0]->reply(1);
  away.clear();
}
// covers: B19
TEST(a_from_used_by_two_threads, answers_once) {
  program p({.workers = 2});
  giver::shelf away;
  otp::server<giver> g;
  p.run([&] { g = gen_server::start<giver>({}, std::ref(away)).value(); });
  const int rounds = load(2000, 500, 200);
  giver::given = 0;
  for (int i = 0; i < rounds; ++i) {
    std::thread answers([&] {
      while (giver::given != i + 1) std::this_thread::yield();
      std::shared_ptr<otp::from<int>> mine = away[static_cast<std::size_t>(i)], other = mine;
      std::thread second([other] { other->reply(2); });
      mine->reply(1);
      second.join();
    });
    int got = p.rt().call(g, giver::ask{}, otp::infinity);
    EXPECT_TRUE(got == 1 || got == 2);
    answers.join();
  }
  EXPECT_EQ(p.rt().counters().late_replies, static_cast<std::uint64_t>(rounds));
}
// covers: B19
TEST(a_from_dropped_by_another_process, fails_its_caller_at_once_whenever_that_happens) {
  program p({.workers = 3});
  p.run([] {
    struct thrower_away {
      struct ask {
        using reply = int;
      };
      void handle_call(ask, otp::from<int> f) {
        auto shared = std::make_shared<otp::from<int>>(std::move(f));
        otp::spawn([mine = std::move(shared)] {});  // dropped there, before or after this handler returns
      }
    };
    auto t = gen_server::start<thrower_away>().value();
    for (int i = 0; i < load(5000, 1000, 400); ++i)
      EXPECT_EQ(otp::try_call(t, thrower_away::ask{}, otp::infinity).error().cause(), reason::no_reply);
  });
}

}  // namespace
