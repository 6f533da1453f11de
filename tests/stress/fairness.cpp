// F11: nobody starves. Timers come in time while 64 processes compute and yield on two workers, and while one process
// holds its worker up, which is also reported soon.
#include <otp/gen_server.hpp>
#include <otp/receive.hpp>

#include "figure.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>

namespace {

using namespace stress;

constexpr auto period = 10ms;
constexpr int probes = 8;

double late_ms(otp::instant due) { return std::chrono::duration<double, std::milli>(otp::now() - due).count(); }

struct tick {};

/// Has a timer every period; what was due while it waited counts as well. No stack of its own.
struct probe {
  using messages = otp::messages<tick>;
  struct stop {
    using reply = samples;
  };
  explicit probe(otp::duration first) : due(otp::now() + first) { otp::send_at(due, otp::self(), tick{}); }
  void handle_info(const tick&) {
    late.add(late_ms(due));
    due += period;
    otp::send_at(due, otp::self(), tick{});
  }
  samples handle_call(const stop&) { return late; }
  otp::instant due;
  samples late;
};

/// The same as a process that sleeps.
samples sleep_and_look(const std::atomic<bool>& over, otp::duration first) {
  samples late;
  otp::instant due = otp::now() + first;
  while (!over) {
    if (auto wait = due - otp::now(); wait > 0ns) otp::sleep(wait);
    late.add(late_ms(due));
    due += period;
  }
  return late;
}

otp::duration some_first(dice& d) { return otp::duration(d.below(static_cast<std::uint64_t>(period / 1ns))); }

// covers: F11
TEST(fairness, of_timers_among_processes_that_compute_and_yield) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  constexpr int busy = 64;
  const auto length = size<std::chrono::seconds>(10s, 4s, 1s);
  samples of_servers, of_sleepers;
  std::atomic<std::uint64_t> turns{0};
  quiet listener;
  otp::runtime rt({.workers = 2, .listener = &listener});
  rt.start();
  auto why = rt.run([&] {
    std::atomic<bool> over{false};
    std::mutex lock;
    dice d(0);
    std::vector<otp::ref> ends;
    for (int i = 0; i < busy; ++i)
      ends.push_back(otp::spawn_monitor([&, chance = dice(static_cast<std::uint64_t>(i))]() mutable {
                       while (!over) {
                         spin_for(std::chrono::microseconds(20 + chance.below(30)));
                         ++turns;
                         otp::yield();
                       }
                     }).monitor);
    std::vector<otp::server<probe>> servers;
    for (int i = 0; i < probes; ++i) {
      servers.push_back(otp::gen_server::start<probe>({}, some_first(d)).value());
      ends.push_back(otp::spawn_monitor([&, first = some_first(d)] {
                       samples late = sleep_and_look(over, first);
                       std::lock_guard hold(lock);
                       of_sleepers.add(late);
                     }).monitor);
    }
    otp::sleep(length);
    for (auto& s : servers) of_servers.add(otp::call(s, probe::stop{}));
    over = true;
    for (otp::ref m : ends)
      otp::receive(otp::when([&](const otp::down& e) { return e.reference == m; },
                             [](const otp::down& e) { EXPECT_EQ(e.reason, otp::reason::normal); }));
  });
  EXPECT_EQ(why, otp::reason::normal) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
  samples all = of_servers;
  all.add(of_sleepers);
  figure("F11", "10 ms timers beside 64 yielding processes on 2 workers: late p99 <= 5 ms, max <= 10 ms",
         text("p50 %.2f ms, p99 %.2f ms, max %.2f ms, of %s; %s turns", all.at(0.5), all.at(0.99), all.max(),
              number(all.count()).c_str(), number(turns).c_str()),
         all.at(0.99) <= 5 && all.max() <= 10);
}

/// Writes down when it hears of a stall.
struct stall_listener final : otp::event_listener {
  void on_event(const otp::event& e) override {
    if (e.what == "stalled" && heard.load() == 0) heard = otp::now().time_since_epoch().count();
  }
  std::atomic<std::int64_t> heard{0};
};

// covers: F11
TEST(fairness, of_timers_beside_a_worker_that_is_stuck) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  const auto length = size<std::chrono::milliseconds>(5s, 2s, 2s);
  samples late;
  double reported_ms = 0;
  stall_listener listener;
  otp::runtime rt({.workers = 2, .listener = &listener});
  rt.start();
  auto why = rt.run([&] {
    dice d(0);
    std::vector<otp::server<probe>> servers;
    for (int i = 0; i < probes; ++i) servers.push_back(otp::gen_server::start<probe>({}, some_first(d)).value());
    std::atomic<std::int64_t> begun{0};
    otp::spawn_monitor([&] {
      begun = otp::now().time_since_epoch().count();
      spin_for(length);
      for (int i = 0; i < 300 && listener.heard == 0; ++i) spin_for(100ms);  // who watches may not get a processor
    });
    otp::receive([](const otp::down& e) { EXPECT_EQ(e.reason, otp::reason::normal); });
    for (auto& s : servers) late.add(otp::call(s, probe::stop{}));
    EXPECT_NE(listener.heard, 0) << "nobody reported it";
    reported_ms = static_cast<double>(listener.heard - begun) / 1e6;
  });
  EXPECT_EQ(why, otp::reason::normal) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
  figure("F11", "one worker stuck: timers of servers late p99 <= 20 ms, reported within 1000 ms",
         text("p50 %.2f ms, p99 %.2f ms, max %.2f ms, of %s; reported after %.0f ms", late.at(0.5), late.at(0.99),
              late.max(), number(late.count()).c_str(), reported_ms),
         late.at(0.99) <= 20 && reported_ms <= 1000);
}

}  // namespace
