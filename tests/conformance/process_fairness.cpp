// Where handlers compute for long: timers and other processes get their turn between two messages, not behind a batch.
// One worker, on which everything takes turns, so that the number of messages handled meanwhile is what counts. A batch
// is short of what the watchdog would bring another thread for.
#include "conformance/support.hpp"

#include <otp/gen_server.hpp>

#include <atomic>

using namespace conformance;

namespace {

struct tick {};

/// Real time, also where that of the run is another one.
void compute_for(std::chrono::nanoseconds length) {
  const auto end = std::chrono::steady_clock::now() + length;
  while (std::chrono::steady_clock::now() < end) {
  }
}

struct busy {
  struct work {
    std::chrono::nanoseconds length;
  };
  explicit busy(std::atomic<int>& count) : handled(count) {}
  void handle_cast(const work& w) {
    compute_for(w.length);
    ++handled;
  }
  std::atomic<int>& handled;
};

constexpr otp::runtime_options one_worker{.workers = 1};
constexpr int batch = 64;  // messages that a process handles before it gives its worker back

}  // namespace

// covers: B12
TEST(process_fairness, a_timer_waits_for_no_more_than_one_batch_of_long_handlers) {
  EXPECT_EQ(threaded(
                [] {
                  std::atomic<int> handled{0};
                  auto server = otp::gen_server::start_link<busy>({}, std::ref(handled)).value();
                  for (int i = 0; i < 10 * batch; ++i) otp::cast(server, busy::work{100us});
                  otp::send_after(1ms, otp::self(), tick());
                  next<tick>();
                  EXPECT_LE(handled, batch + 2);
                  otp::exit(server, killed);
                },
                one_worker),
            normal);
}

// covers: B12
TEST(process_fairness, where_handlers_take_long_a_process_gets_its_turn_after_each_message) {
  EXPECT_EQ(threaded(
                [] {
                  std::atomic<int> handled{0};
                  auto server = otp::gen_server::start_link<busy>({}, std::ref(handled)).value();
                  for (int i = 0; i < 40 * batch; ++i) otp::cast(server, busy::work{100us});
                  while (handled < 4 * batch) otp::yield();  // it is known by then
                  for (int i = 0; i < 100; ++i) {
                    const int before = handled;
                    otp::yield();
                    EXPECT_LE(handled, before + 2);
                    otp::send_after(1ms, otp::self(), tick());
                    next<tick>();
                    EXPECT_LE(handled, before + 14) << "a timer of 1 ms, while each message takes a tenth of that";
                  }
                  otp::exit(server, killed);
                },
                one_worker),
            normal);
}

// covers: B12
TEST(process_fairness, a_receive_loop_with_long_turns_gives_way_after_each) {
  EXPECT_EQ(threaded(
                [] {
                  std::atomic<int> received{0};
                  otp::pid other = otp::spawn_link([&received] {
                    for (;;)
                      otp::receive([&](const busy::work& w) {
                        compute_for(w.length);
                        ++received;
                      });
                  });
                  for (int i = 0; i < 40 * batch; ++i) otp::send(other, busy::work{100us});
                  while (received < 4 * batch) otp::yield();
                  for (int i = 0; i < 100; ++i) {
                    const int before = received;
                    otp::yield();
                    EXPECT_LE(received, before + 2);
                  }
                  otp::exit(other, killed);
                },
                one_worker),
            normal);
}

// More busy servers than the worker's own queue has room for: what waits with a stack is not behind all of them.
// covers: B12
TEST(process_fairness, a_process_that_waits_gets_its_turn_among_many_busy_servers) {
  EXPECT_EQ(threaded(
                [] {
                  constexpr int servers = 600;
                  constexpr int messages = 5;
                  std::atomic<int> handled{0};
                  std::vector<otp::server<busy>> all;
                  for (int i = 0; i < servers; ++i)
                    all.push_back(otp::gen_server::start_link<busy>({}, std::ref(handled)).value());
                  int turns = 0;
                  for (int round = 1; round <= 2; ++round) {  // in the second it is known that their handlers take long
                    for (auto& server : all)
                      for (int i = 0; i < messages; ++i) otp::cast(server, busy::work{50us});
                    for (turns = 0; handled < round * servers * messages; ++turns) otp::yield();
                  }
                  EXPECT_GT(turns, servers * messages / 8) << "a turn for every few messages";
                  for (auto& server : all) otp::exit(server, killed);
                },
                one_worker),
            normal);
}
