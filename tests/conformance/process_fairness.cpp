// Where handlers compute for long: timers and other processes get their turn between two messages, not behind a batch.
// One worker, on which everything takes turns, so that the number of messages handled meanwhile is what counts. A batch
// is short of what the watchdog would bring another thread for.
#include "conformance/support.hpp"

#include <otp/gen_server.hpp>

#include <atomic>

using namespace conformance;

namespace {

struct tick {};

void compute_for(std::chrono::nanoseconds length) {
  const auto end = std::chrono::steady_clock::now() + length;
  while (std::chrono::steady_clock::now() < end) {
  }
}

struct work {
  std::chrono::nanoseconds length;
};

struct busy {
  explicit busy(std::atomic<int>& count) : handled(count) {}
  void handle_cast(const work& w) {
    compute_for(w.length);
    ++handled;
  }
  std::atomic<int>& handled;
};

constexpr int batch = 64;  // messages that a process handles before it gives its worker back

/// Runs the body with a count of what was handled.
void on_one_worker(void (*body)(std::atomic<int>& handled)) {
  EXPECT_EQ(threaded(
                [body] {
                  std::atomic<int> handled{0};
                  body(handled);
                },
                {.workers = 1}),
            normal);
}

/// Once it is known that the messages take long, no turn of this process is behind more than two of them.
void expect_turns_between(const std::atomic<int>& handled) {
  while (handled < 4 * batch) otp::yield();
  for (int i = 0; i < 100; ++i) {
    const int before = handled;
    otp::yield();
    EXPECT_LE(handled, before + 2);
  }
}

}  // namespace

TEST(process_fairness, a_timer_waits_for_no_more_than_one_batch_of_long_handlers) {
  on_one_worker([](std::atomic<int>& handled) {
    auto server = otp::gen_server::start_link<busy>({}, std::ref(handled)).value();
    for (int i = 0; i < 10 * batch; ++i) otp::cast(server, work{100us});
    otp::send_after(1ms, otp::self(), tick());
    next<tick>();
    EXPECT_LE(handled, batch + 2);
    otp::exit(server, killed);
  });
}

TEST(process_fairness, where_handlers_take_long_timers_and_others_get_their_turn_after_each_message) {
  on_one_worker([](std::atomic<int>& handled) {
    auto server = otp::gen_server::start_link<busy>({}, std::ref(handled)).value();
    for (int i = 0; i < 40 * batch; ++i) otp::cast(server, work{100us});
    expect_turns_between(handled);
    for (int i = 0; i < 100; ++i) {
      const int before = handled;
      otp::send_after(1ms, otp::self(), tick());
      next<tick>();
      EXPECT_LE(handled, before + 14) << "a timer of 1 ms, while each message takes a tenth of that";
    }
    otp::exit(server, killed);
  });
}

TEST(process_fairness, a_receive_loop_with_long_turns_gives_way_after_each) {
  on_one_worker([](std::atomic<int>& handled) {
    otp::pid other = otp::spawn_link([&handled] {
      for (;;)
        otp::receive([&](const work& w) {
          compute_for(w.length);
          ++handled;
        });
    });
    for (int i = 0; i < 40 * batch; ++i) otp::send(other, work{100us});
    expect_turns_between(handled);
    otp::exit(other, killed);
  });
}

// More busy servers than the worker's own queue has room for: what waits with a stack is not behind all of them.
TEST(process_fairness, a_process_that_waits_gets_its_turn_among_many_busy_servers) {
  on_one_worker([](std::atomic<int>& handled) {
    constexpr int servers = 600;
    constexpr int messages = 5;
    std::vector<otp::server<busy>> all;
    for (int i = 0; i < servers; ++i) all.push_back(otp::gen_server::start_link<busy>({}, std::ref(handled)).value());
    int turns = 0;
    for (int round = 1; round <= 2; ++round) {  // in the second it is known that their handlers take long
      for (auto& server : all)
        for (int i = 0; i < messages; ++i) otp::cast(server, work{50us});
      for (turns = 0; handled < round * servers * messages; ++turns) otp::yield();
    }
    EXPECT_GT(turns, servers * messages / 8) << "a turn for every few messages";
    for (auto& server : all) otp::exit(server, killed);
  });
}
