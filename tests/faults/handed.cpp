// What is handed over between processes of one worker: requests, replies, downs, normal exits, results, starts. Only
// the threads engine does it, so all of this runs in real time; with one worker everything that can be is handed over,
// with three it mixes with what travels through inboxes.
#include "faults/support.hpp"

#include <otp/agent.hpp>
#include <otp/gen_server.hpp>
#include <otp/task.hpp>

#include <string>
#include <utility>
#include <vector>

using namespace faults;
using otp::exit_reason;
namespace reason = otp::reason;
namespace gen_server = otp::gen_server;

namespace {

struct note {
  int n;
};

struct peer {
  using address = otp::server<peer>;
  struct tell_first {  // a message, then the reply
    using reply = int;
    otp::pid to;
    int n;
  };
  struct signal_first {  // an exit signal, then the reply
    using reply = int;
    otp::pid to;
  };
  struct keep {
    using reply = int;
  };
  struct keep_for_a_moment {
    using reply = int;
  };
  struct let_go {};
  struct forget {};
  struct wait_first {
    using reply = int;
  };
  struct look_at {
    using reply = otp::process_status;
    otp::pid whom;
  };
  struct ask_next {
    using reply = int;
    std::vector<address> path;
  };
  struct die {
    using reply = int;
  };
  struct answer_and_stop {
    using reply = int;
  };

  int handle_call(const tell_first& t) {
    otp::send(t.to, note{t.n});
    return t.n;
  }
  int handle_call(const signal_first& s) {
    otp::exit(s.to, "a signal");
    return 1;
  }
  void handle_call(keep, otp::from<int> f) { kept = std::move(f); }
  void handle_call(keep_for_a_moment, otp::from<int> f) {
    kept = std::move(f);
    otp::spawn([me = address(otp::self())] { otp::cast(me, let_go{}); });
  }
  void handle_cast(let_go) { kept.reply(2); }
  void handle_cast(forget) { kept = {}; }
  int handle_call(wait_first) {
    otp::sleep(100us);
    return 3;
  }
  otp::process_status handle_call(const look_at& l) { return otp::info(l.whom).value().status; }
  int handle_call(ask_next a) {
    if (a.path.empty()) return 0;
    address next = a.path.back();
    a.path.pop_back();
    return otp::call(next, std::move(a)) + 1;
  }
  int handle_call(die) { otp::exit("died"); }
  otp::call_result<int> handle_call(answer_and_stop) { return otp::stop(reason::normal).reply(4); }

  otp::from<int> kept;
};

peer::address start() { return gen_server::start<peer>().value(); }

void with_workers(const std::function<void()>& body) {
  for (unsigned workers : {1U, 3U}) in_real_time(body, {.workers = workers});
}

constexpr int rounds = load(3000, 400, 150);

}  // namespace

TEST(a_reply_that_is_handed_over, overtakes_no_message_of_its_server) {
  with_workers([] {
    auto server = start();
    for (int n = 0; n < rounds; ++n) {
      EXPECT_EQ(otp::call(server, peer::tell_first{otp::self(), n}), n);
      EXPECT_EQ(otp::info(otp::self()).value().message_queue_len, 1U);
      otp::receive([&](note m) { EXPECT_EQ(m.n, n); });
    }
    gen_server::stop(server);
  });
}

TEST(a_reply_that_is_handed_over, overtakes_no_exit_signal_of_its_server) {
  with_workers([] {
    otp::trap_exit(true);
    auto server = start();
    for (int n = 0; n < rounds; ++n) {
      EXPECT_EQ(otp::call(server, peer::signal_first{otp::self()}), 1);
      EXPECT_EQ(otp::info(otp::self()).value().message_queue_len, 1U);
      otp::receive([&](const otp::exit_signal& e) { EXPECT_EQ(e.reason, exit_reason("a signal")); });
    }
    gen_server::stop(server);
  });
}

TEST(a_caller_whose_server_runs_next, is_answered_late_or_times_out_or_is_killed_as_any) {
  with_workers([] {
    auto server = start();
    for (int n = 0; n < rounds / 10; ++n) {
      EXPECT_EQ(otp::call(server, peer::keep_for_a_moment{}), 2);
      EXPECT_EQ(otp::call(server, peer::wait_first{}), 3);
      EXPECT_EQ(otp::try_call(server, peer::keep{}, 200us).error().cause(), reason::timeout);
      auto [caller, watch] = otp::spawn_monitor([server] { otp::call(server, peer::keep{}, otp::infinity); });
      EXPECT_TRUE(eventually_here([&] { return otp::info(caller).value().status == otp::process_status::waiting; }));
      otp::exit(caller, reason::kill);
      EXPECT_EQ(reason_of(watch), reason::killed);
      otp::cast(server, peer::forget{});
    }
    gen_server::stop(server);
  });
}

TEST(a_caller_whose_server_runs_next, waits_in_the_eyes_of_its_server) {
  with_workers([] {
    auto server = start();
    for (int n = 0; n < rounds; ++n)
      EXPECT_EQ(otp::call(server, peer::look_at{otp::self()}), otp::process_status::waiting);
    gen_server::stop(server);
  });
}

TEST(a_caller_whose_server_runs_next, may_have_a_server_that_calls_on) {
  with_workers([] {
    std::vector<peer::address> path;
    for (int i = 0; i < 6; ++i) path.push_back(start());
    auto first = start();
    for (int n = 0; n < rounds / 10; ++n) EXPECT_EQ(otp::call(first, peer::ask_next{path}), 6);
    for (auto& server : path) gen_server::stop(server);
    gen_server::stop(first);
  });
}

TEST(a_caller_whose_server_runs_next, hears_of_its_end) {
  with_workers([] {
    for (int n = 0; n < rounds / 10; ++n) {
      EXPECT_EQ(otp::try_call(start(), peer::die{}).error().cause(), exit_reason("died"));
      auto server = start();
      otp::ref watch = otp::monitor(server.pid());
      EXPECT_EQ(otp::call(server, peer::answer_and_stop{}), 4);
      EXPECT_EQ(reason_of(watch), reason::normal);
    }
  });
}

// The exit signal of the link travels before the down message of the monitor, handed over or not.
TEST(the_end_of_a_process, tells_who_waits_in_order_and_once) {
  with_workers([] {
    for (bool trapping : {false, true}) {
      otp::trap_exit(trapping);
      for (int n = 0; n < rounds; ++n) {
        otp::spawn_options how;
        how.link = how.monitor = true;
        auto [child, watch] = otp::spawn(how, [] {});
        bool exit_came = false;
        bool over = false;
        while (!over)
          otp::receive(
              [&](const otp::exit_signal& e) {
                EXPECT_EQ(e.from, child);
                EXPECT_FALSE(std::exchange(exit_came, true));
              },
              [&](const otp::down& d) {
                EXPECT_EQ(d.reference, watch);
                EXPECT_EQ(d.reason, reason::normal);
                over = true;
              });
        EXPECT_EQ(exit_came, trapping);
        EXPECT_EQ(otp::info(otp::self()).value().message_queue_len, 0U);
        EXPECT_TRUE(otp::info(otp::self()).value().links.empty());
      }
    }
  });
}

TEST(the_result_of_a_task, is_handed_over_with_its_end) {
  with_workers([] {
    for (int n = 0; n < rounds; ++n) {
      EXPECT_EQ(otp::await(otp::async([n] { return n; })), n);
      EXPECT_EQ(otp::await(otp::async([n] {
                  otp::yield();
                  return n;
                })),
                n);
      EXPECT_EQ(otp::info(otp::self()).value().message_queue_len, 0U);
      EXPECT_TRUE(otp::info(otp::self()).value().links.empty());
    }
  });
}

// A start within a start: each starter waits, and runs on when its child has begun.
TEST(a_start_that_is_handed_over, may_be_nested_and_may_fail) {
  struct nested {
    explicit nested(int deep) {
      if (deep > 0) below = gen_server::start_link<nested>({}, deep - 1).value().pid();
      if (deep == 0) otp::yield();
    }
    otp::pid below;
  };
  struct broken {
    broken() { throw 1; }
  };
  with_workers([] {
    for (int n = 0; n < rounds / 10; ++n) {
      auto top = gen_server::start<nested>({}, 4).value();
      EXPECT_FALSE(gen_server::start<broken>());
      otp::ref watch = otp::monitor(top.pid());
      otp::exit(top.pid(), reason::shutdown);
      EXPECT_EQ(reason_of(watch), reason::shutdown);
    }
  });
}

// Readers on all workers while agents come, change and go under one name: what they hold is whole, and is freed.
TEST(snapshots, are_whole_while_their_agent_is_replaced) {
  using twins = std::pair<std::vector<int>, std::vector<int>>;
  static constexpr otp::name<otp::agent<twins>> shared{"twins"};
  in_real_time(
      [] {
        struct done {};
        std::vector<otp::pid> readers;
        for (int r = 0; r < 6; ++r)
          readers.push_back(otp::spawn([owner = otp::self()] {
            for (;;) {
              for (int i = 0; i < 20; ++i) try {
                  auto now = otp::snapshot(shared);
                  if (now->first != now->second) otp::exit("torn");
                } catch (const otp::exited& e) {
                  if (e.reason() == exit_reason("torn")) throw;  // otherwise it is between two agents
                }
              if (otp::receive([](done) { return true; }, otp::after(otp::duration::zero(), [] { return false; })))
                break;
              otp::yield();
            }
            otp::send(owner, done{});
          }));
        for (int n = 0; n < load(400, 100, 40); ++n) {
          auto agent = otp::agent<twins>::start([n] { return twins({n}, {n}); }, {.name = shared}).value();
          for (int i = 0; i < 5; ++i)
            otp::update(agent, [](twins& t) {
              t.first.push_back(1);
              t.second.push_back(1);
            });
          gen_server::stop(agent);
        }
        for (otp::pid reader : readers) otp::send(reader, done{});
        for (std::size_t r = 0; r < readers.size(); ++r) otp::receive([](done) {});
      },
      {.workers = 3});
}
