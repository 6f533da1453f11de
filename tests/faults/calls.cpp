// B13-B17: calls that go wrong.
#include "faults/support.hpp"

#include <otp/gen_server.hpp>
#include <otp/sys.hpp>

#include <memory>
#include <stdexcept>
#include <thread>

using namespace faults;
using otp::exit_reason;
namespace reason = otp::reason;
namespace gen_server = otp::gen_server;

namespace {

/// Answers, keeps, calls on, and ends as it is asked.
struct node {
  using address = otp::server<node>;
  struct ask {
    using reply = int;
    int value;
  };
  struct keep {
    using reply = int;
  };
  struct answer_kept {
    int value;
    int times = 1;
  };
  struct slow {
    using reply = int;
    otp::duration length;
  };
  struct die {
    using reply = int;
    exit_reason why;
  };
  struct call_on {  // calls along a path, in the handler
    using reply = otp::result<int>;
    std::vector<address> path;
    otp::duration timeout = otp::call_timeout;
  };

  int handle_call(const ask& a) { return a.value; }
  void handle_call(keep, otp::from<int> f) { kept.push_back(std::move(f)); }
  void handle_cast(answer_kept a) {
    for (auto& f : kept)
      for (int i = 0; i < a.times; ++i) f.reply(a.value);
    kept.clear();
  }
  int handle_call(const slow& s) {
    otp::sleep(s.length);
    return 1;
  }
  int handle_call(const die& d) { otp::exit(d.why); }
  otp::result<int> handle_call(const call_on& c) { return go_on(c.path, c.timeout); }

  static otp::result<int> go_on(std::vector<address> path, otp::duration timeout) {
    if (path.empty()) return 0;
    address next = path.front();
    path.erase(path.begin());
    auto answer = otp::try_call(next, call_on{std::move(path), timeout}, timeout);
    if (!answer) return std::unexpected(answer.error());
    if (!*answer) return std::unexpected(answer->error());
    return **answer + 1;
  }

  std::vector<otp::from<int>> kept;
};
node::address start() { return gen_server::start<node>().value(); }

template <class F>
otp::duration time_of(F&& code) {
  otp::instant before = otp::now();
  code();
  return otp::now() - before;
}

// ---- B13 ---------------------------------------------------------------------------------------------------------

// covers: B13
TEST(a_call_to_oneself, fails_at_once) {
  for_seeds(20, [] {
    auto a = start();
    EXPECT_EQ(time_of([&] {
                auto outer = otp::call(a, node::call_on{{a}, otp::infinity}, otp::infinity);
                EXPECT_EQ(outer.error().cause(), reason::calling_self);
                EXPECT_EQ(otp::try_call(node::address(otp::self()), node::ask{1}, otp::infinity).error().cause(),
                          reason::calling_self);
              }),
              0s);
    EXPECT_EQ(otp::call(a, node::ask{2}), 2);
  });
}

// ---- B14, B15 ----------------------------------------------------------------------------------------------------

// covers: B14
TEST(a_late_reply, is_seen_by_nobody_and_counted) {
  for_seeds(20, [] {
    auto a = start();
    EXPECT_EQ(otp::try_call(a, node::slow{5s}, 1s).error().cause(), reason::timeout);
    EXPECT_EQ(otp::try_call(a, node::ask{7}, 10s), 7);  // not 1: the late one is not taken for it
    EXPECT_EQ(otp::counters().late_replies, 1U);
    EXPECT_EQ(otp::info(otp::self()).value().message_queue_len, 0U);
  });
}
// covers: B14
TEST(a_late_reply, that_races_with_the_timeout_is_taken_or_dropped_but_never_kept) {
  program p({.workers = 3});
  p.run([] {
    auto a = start();
    int replies = 0, timeouts = 0;
    for (int i = 0; i < load(3000, 600, 300); ++i) {
      auto r = otp::try_call(a, node::slow{std::chrono::microseconds(4000 + i % 40)}, 1us * (i % 60));
      if (r)
        ++replies;
      else if (r.error().cause() == reason::timeout)
        ++timeouts;
      else
        ADD_FAILURE() << r.error().to_string();
    }
    EXPECT_EQ(replies + timeouts, load(3000, 600, 300));
    EXPECT_EQ(otp::call(a, node::ask{9}), 9);
    EXPECT_EQ(otp::info(otp::self()).value().message_queue_len, 0U);
  });
}

// covers: B15
TEST(a_second_reply, is_dropped_and_counted) {
  for_seeds(20, [] {
    auto a = start();
    auto first = otp::send_request(a, node::keep{});
    otp::cast(a, node::answer_kept{1, 3});
    EXPECT_EQ(otp::wait_response(first).value(), 1);
    EXPECT_EQ(otp::counters().late_replies, 2U);
    // To callers that are gone: one has given up, one is dead.
    EXPECT_FALSE(otp::try_call(a, node::keep{}, 1ms));
    otp::pid dead = otp::spawn([a] { otp::call(a, node::keep{}, otp::infinity); });
    otp::testing::settle();
    otp::ref watch = otp::monitor(dead);
    otp::exit(dead, reason::kill);
    EXPECT_EQ(reason_of(watch), reason::killed);
    otp::cast(a, node::answer_kept{2});
    EXPECT_EQ(otp::call(a, node::ask{3}), 3);
    EXPECT_EQ(otp::counters().late_replies, 4U);
    EXPECT_EQ(otp::info(otp::self()).value().message_queue_len, 0U);
  });
}

// ---- B16 ---------------------------------------------------------------------------------------------------------

// covers: B16
TEST(a_callee_that_dies, fails_its_callers_at_once_with_its_reason) {
  for_seeds(50, [] {
    struct outcome {
      int which;
      exit_reason why;
    };
    // One call is being handled, one was deferred, one waits in the mailbox.
    auto calls = [](node::address a) {
      for (int which = 0; which < 3; ++which) {
        otp::spawn([a, which, to = otp::self()] {
          auto why = which == 0   ? otp::try_call(a, node::keep{}, otp::infinity).error()
                     : which == 1 ? otp::try_call(a, node::slow{1h}, otp::infinity).error()
                                  : otp::try_call(a, node::ask{1}, otp::infinity).error();
          otp::send(to, outcome{which, why.cause()});
        });
        otp::testing::settle();
      }
    };
    for (exit_reason how : {exit_reason(reason::kill), exit_reason("storm")}) {
      auto a = start();
      calls(a);
      EXPECT_EQ(time_of([&] {
                  otp::exit(a, how);
                  for (int n = 0; n < 3; ++n)
                    otp::receive([&](const outcome& o) {
                      EXPECT_EQ(o.why, how == reason::kill ? exit_reason(reason::killed) : how) << o.which;
                    });
                }),
                0s);
    }
    auto a = start();
    auto kept = otp::send_request(a, node::keep{});
    EXPECT_EQ(otp::try_call(a, node::die{"own"}).error().cause(), exit_reason("own"));
    EXPECT_EQ(otp::wait_response(kept).value().error().cause(), exit_reason("own"));
  });
}

// A process that is no server fails the calls in its mailbox when it ends.
// covers: B16
TEST(a_callee_that_dies, fails_its_callers_also_if_it_never_was_a_server) {
  for_seeds(10, [] {
    otp::pid plain = otp::spawn([] {
      otp::sleep(1s);
      otp::exit("done");
    });
    EXPECT_EQ(time_of([&] {
                EXPECT_EQ(otp::try_call(node::address(plain), node::ask{1}, otp::infinity).error().cause(),
                          exit_reason("done"));
              }),
              1s);
  });
}

/// Its handler never comes back and cannot be interrupted.
struct stuck_server {
  struct ask {
    using reply = int;
  };
  struct defer {
    using reply = int;
  };
  struct stop {
    using reply = int;
  };
  static void get_stuck() {
    entered = true;
    while (!let_go) std::this_thread::yield();
    ++left;
  }
  int handle_call(ask) {
    get_stuck();
    return 1;
  }
  void handle_call(defer, otp::from<int> f) { kept.push_back(std::move(f)); }
  otp::call_result<int> handle_call(stop) { return otp::stop("stopping").reply(5); }
  void handle_cast(int) { get_stuck(); }
  void terminate(const exit_reason&) { get_stuck(); }
  std::vector<otp::from<int>> kept;
  static inline std::atomic<bool> entered{false};
  static inline std::atomic<bool> let_go{false};
  static inline std::atomic<int> left{0};

  static void expect_entered() {
    EXPECT_TRUE(eventually([] { return entered.load(); }));
  }
  /// Its code runs on and must do no harm. The next test begins when it has seen that it may.
  static void release() {
    int before = left;
    let_go = true;
    EXPECT_TRUE(eventually([&] { return left > before; }));
    entered = let_go = false;
  }
};

// Runs `ask` against a server that is then killed while it is stuck, and expects the reason.
template <class F>
void expect_killed(F ask) {
  program p({.workers = 2, .kill_budget = 50ms});
  otp::server<stuck_server> s;
  p.run([&] { s = gen_server::start<stuck_server>().value(); });
  std::thread caller([&] { EXPECT_EQ(ask(p.rt(), s).cause(), reason::killed); });
  stuck_server::expect_entered();
  p.rt().exit(s, reason::kill);
  caller.join();
  auto left = p.stop();
  EXPECT_EQ(left.abandoned.size(), 1U);
  stuck_server::release();
}

// covers: B16
TEST(a_callee_that_is_abandoned, fails_the_call_that_it_handles) {
  expect_killed([](otp::runtime& rt, otp::server<stuck_server> s) {
    return rt.try_call(s, stuck_server::ask{}, otp::infinity).error();
  });
}
// covers: B16
TEST(a_callee_that_is_abandoned, fails_the_calls_that_it_deferred_and_that_wait) {
  expect_killed([](otp::runtime& rt, otp::server<stuck_server> s) {
    exit_reason deferred, queued;
    std::thread first([&] { deferred = rt.try_call(s, stuck_server::defer{}, otp::infinity).error(); });
    // Behind the deferred one, whoever asks: the handler of 1 is entered by the cast below.
    EXPECT_TRUE(eventually([&] { return rt.counters().handled >= 1; }));
    rt.cast(s, 1);
    std::thread second([&] { queued = rt.try_call(s, stuck_server::ask{}, otp::infinity).error(); });
    first.join();
    second.join();
    EXPECT_TRUE(queued.cause() == reason::killed || queued.cause() == reason::noproc);
    return deferred;
  });
}
// covers: B16
TEST(a_callee_that_is_abandoned, in_terminate_fails_the_call_whose_reply_it_had_made) {
  expect_killed([](otp::runtime& rt, otp::server<stuck_server> s) {
    return rt.try_call(s, stuck_server::stop{}, otp::infinity).error();
  });
}

/// A reply that can be stuck, or throw, when it is made.
struct heavy {
  heavy(int w) : what(w) {
    if (what == 1) stuck_server::get_stuck();
    if (what == 2) throw std::runtime_error("no such reply");
  }
  int what;
};
struct heavy_server {
  struct ask {
    using reply = heavy;
    int what;
  };
  int handle_call(const ask& a) { return a.what; }
  void handle_cast(int n) {
    for (auto& f : kept) {
      try {
        f.reply(n);
      } catch (const std::runtime_error&) {
        f.reply(3);  // nothing was sent: it can answer otherwise
      }
    }
    kept.clear();
  }
  struct later {
    using reply = heavy;
  };
  void handle_call(later, otp::from<heavy> f) { kept.push_back(std::move(f)); }
  std::vector<otp::from<heavy>> kept;
};

// A reply that was never finished kept its caller waiting for ever.
// covers: B16
TEST(a_callee_that_is_abandoned, while_it_makes_the_reply_fails_the_call) {
  program p({.workers = 2, .kill_budget = 50ms});
  otp::server<heavy_server> s;
  p.run([&] { s = gen_server::start<heavy_server>().value(); });
  std::thread caller(
      [&] { EXPECT_EQ(p.rt().try_call(s, heavy_server::ask{1}, otp::infinity).error().cause(), reason::killed); });
  stuck_server::expect_entered();
  p.rt().exit(s, reason::kill);
  caller.join();
  EXPECT_EQ(p.stop().abandoned.size(), 1U);
  stuck_server::release();
}
// covers: B16 B05
TEST(a_reply_whose_making_throws, ends_the_server_with_that_and_sends_nothing) {
  for_seeds(20, [] {
    auto s = gen_server::start_monitor<heavy_server>().value();
    EXPECT_EQ(otp::call(s.server, heavy_server::ask{0}).what, 0);
    exit_reason why = reason::error("std::runtime_error", "no such reply");
    EXPECT_EQ(otp::try_call(s.server, heavy_server::ask{2}).error().cause(), why);
    EXPECT_EQ(reason_of(s.monitor), why);
    auto t = gen_server::start<heavy_server>().value();
    auto id = otp::send_request(t, heavy_server::later{});
    otp::cast(t, 2);
    EXPECT_EQ(otp::wait_response(id).value()->what, 3);
  });
}

// ---- B17 ---------------------------------------------------------------------------------------------------------

// covers: B17
TEST(a_timeout, may_be_anything_but_negative) {
  for_seeds(10, [] {
    auto a = start();
    auto waits = [&](otp::duration timeout) {
      return time_of([&] { EXPECT_EQ(otp::try_call(a, node::keep{}, timeout).error().cause(), reason::timeout); });
    };
    EXPECT_EQ(waits(0ns), 0ns);
    EXPECT_EQ(waits(1ns), 1ns);
    EXPECT_EQ(waits(1ms), 1ms);
    EXPECT_EQ(waits(otp::duration(std::int64_t{1} << 31)), otp::duration(std::int64_t{1} << 31));
    EXPECT_EQ(waits(std::chrono::hours(24 * 365 * 50)), std::chrono::hours(24 * 365 * 50));
    // Far ones do not fire early, nor do they overflow: the answer is what ends the wait.
    for (otp::duration far : {otp::duration(INT64_MAX - 1), otp::duration(INT64_MAX / 2), otp::infinity}) {
      EXPECT_EQ(time_of([&] { EXPECT_EQ(otp::call(a, node::slow{24h}, far), 1); }), 24h);
      auto id = otp::send_request(a, node::slow{24h});
      EXPECT_EQ(time_of([&] { EXPECT_EQ(otp::wait_response(id, far).value(), 1); }), 24h);
      otp::exit_after(24h, a, "end");
      EXPECT_EQ(time_of([&] { EXPECT_EQ(otp::try_call(a, node::keep{}, far).error().cause(), exit_reason("end")); }),
                24h);
      a = gen_server::start<node>({.timeout = far}).value();
      gen_server::stop(a, reason::normal, far);
      a = start();
    }
    for (otp::duration negative : {-1ns, otp::duration(-1s), otp::duration(INT64_MIN)}) {
      EXPECT_THROW(static_cast<void>(otp::try_call(a, node::ask{1}, negative)), otp::bad_argument);
      EXPECT_THROW(gen_server::stop(a, reason::normal, negative), otp::bad_argument);
      EXPECT_THROW(static_cast<void>(gen_server::start<node>({.timeout = negative})), otp::bad_argument);
      EXPECT_THROW(otp::sys::suspend(a, negative), otp::bad_argument);
      auto id = otp::send_request(a, node::ask{1});
      EXPECT_THROW(otp::wait_response(id, negative), otp::bad_argument);
    }
    EXPECT_EQ(otp::call(a, node::ask{5}), 5);
  });
}

}  // namespace
