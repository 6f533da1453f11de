// F3: a storm of restarts. Every child of a flat supervisor is killed at once, and every one is back, exactly once, in
// its place.
#include <otp/child_spec.hpp>
#include <otp/runtime.hpp>
#include <otp/supervisor.hpp>

#include "figure.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>

namespace {

using namespace stress;

// Counts how often each place was started; the supervisor runs the function, the child is a server.
struct cell {
  explicit cell(std::atomic<int>* starts) { starts->fetch_add(1); }
};

struct measured {
  double start_ms = 0;
  double storm_ms = 0;
  double stop_ms = 0;
};

void storm(int children, double goal_ms) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  measured m;
  std::vector<std::atomic<int>> starts(static_cast<std::size_t>(children));
  quiet listener;
  otp::runtime rt({.listener = &listener});
  rt.start();
  auto why = rt.run([&] {
    otp::supervisor_spec spec{.strategy = otp::one_for_one, .max_restarts = 2 * children, .max_seconds = 60s};
    for (int i = 0; i < children; ++i)
      spec.children.push_back(otp::child<cell>(&starts[static_cast<std::size_t>(i)]).id("cell", i));
    auto begin = std::chrono::steady_clock::now();
    auto sup = otp::supervisor::start_link(std::move(spec)).value();
    m.start_ms = milliseconds_since(begin);
    auto before = otp::supervisor::which_children(sup);
    ASSERT_EQ(before.size(), static_cast<std::size_t>(children));
    dice d(static_cast<std::uint64_t>(children));
    std::vector<std::size_t> order(before.size());
    std::iota(order.begin(), order.end(), 0U);
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[d.below(i)]);
    begin = std::chrono::steady_clock::now();
    for (std::size_t i : order) otp::exit(before[i].process, otp::reason::kill);
    auto all_back = [&] {
      for (auto& s : starts)
        if (s.load() < 2) return false;
      return true;
    };
    while (!all_back()) otp::sleep(1ms);
    // The last one counts when the supervisor has it on its list.
    auto after = otp::supervisor::which_children(sup);
    m.storm_ms = milliseconds_since(begin);
    ASSERT_EQ(after.size(), before.size());
    for (std::size_t i = 0; i < after.size(); ++i) {
      ASSERT_EQ(after[i].id, before[i].id);
      ASSERT_NE(after[i].process, before[i].process);
      ASSERT_TRUE(otp::is_alive(after[i].process));
    }
    for (auto& s : starts) ASSERT_EQ(s.load(), 2);
    EXPECT_EQ(otp::process_count(), static_cast<std::size_t>(children) + 2);
    begin = std::chrono::steady_clock::now();
    otp::supervisor::stop(sup);
    m.stop_ms = milliseconds_since(begin);
    while (otp::process_count() > 1) otp::sleep(1ms);  // the last one may be counted a moment longer
  });
  EXPECT_EQ(why, otp::reason::normal) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
  figure("F3",
         text("%s children killed at once, each back once, <= %.0f ms",
              number(static_cast<std::uint64_t>(children)).c_str(), goal_ms),
         text("%.0f ms (started in %.0f ms, stopped in %.0f ms)", m.storm_ms, m.start_ms, m.stop_ms),
         m.storm_ms <= goal_ms);
}

// covers: F3
TEST(supervisor_storm, ten_thousand_children_killed_at_once_are_all_back_exactly_once) {
  storm(size(10'000, 10'000, 2'000), 100);
}

// covers: F3 D09
TEST(supervisor_storm, a_hundred_thousand_children_killed_at_once_are_all_back_exactly_once) {
  storm(size(100'000, 100'000, 20'000), 2'000);
}

}  // namespace
