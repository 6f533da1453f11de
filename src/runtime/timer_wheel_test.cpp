#include "runtime/timer_wheel.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace otp::detail {
namespace {

constexpr nanos tick = nanos{1} << 20;
constexpr nanos second = 1'000'000'000;
constexpr nanos year = 365 * (86'400 * second);

// Starts of time a wheel may meet: a fresh simulation, long uptimes, slot borders of every level, the end of time, a
// negative clock.
std::vector<nanos> starts() {
  std::vector<nanos> all{0,         1,     tick - 1, tick,     3 * year + 12'345, 200 * year, never - year,
                         never - 1, never, -1,       -5 * year};
  for (int bits = 26; bits < 63; bits += 6) {
    all.push_back((nanos{1} << bits) - 1);
    all.push_back(nanos{1} << bits);
  }
  return all;
}

nanos plus(nanos a, nanos b) { return b > 0 && a > never - b ? never : a + b; }

/// The seed of the random tests; OTP_SEED chooses another one.
std::uint64_t base_seed() {
  const char* given = std::getenv("OTP_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'240'229;
}

// The wheel beside the simplest thing that is right: a multimap keeps equal keys in the order of insertion,
// which is the order in which timers of one deadline have to fire.
class timer_model {
 public:
  timer_model(std::uint64_t seed, int scale_bits, nanos start, std::size_t nodes)
      : random_(seed), scale_bits_(scale_bits), now_(start), wheel_(start), nodes_(nodes), places_(nodes) {}

  void run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFatalFailure(); ++i) {
      const auto dice = below(100);
      if (dice < 45) {
        arm();
      } else if (dice < 70) {
        disarm();
      } else {
        advance();
        fire_what_is_due(below(4) == 0 ? 1 + below(3) : nodes_.size());
      }
      check();
    }
    now_ = never;
    fire_what_is_due(nodes_.size());
    EXPECT_EQ(wheel_.size(), 0U);
    EXPECT_EQ(wheel_.next_expiry(), never);
    EXPECT_GT(fired_, 0);
    EXPECT_GT(disarmed_, 0);
  }

 private:
  using timers = std::multimap<nanos, std::size_t>;

  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

  // A span whose length in bits is even over the scale: as many nanoseconds as years.
  nanos span() {
    const auto bits = below(static_cast<std::uint64_t>(scale_bits_) + 1);
    return static_cast<nanos>(random_() & ((std::uint64_t{1} << bits) - 1));
  }

  nanos some_deadline() {
    switch (below(10)) {
      case 0: return armed_.empty() ? now_ : some_armed()->first;   // equal to another
      case 1: return now_ - std::min(span(), now_ < 0 ? 0 : now_);  // past, or right now
      case 2: {                                                     // on and beside a slot border
        const nanos border = plus(now_, span()) >> 20 << 20;
        return plus(border, static_cast<nanos>(below(3)) - 1);
      }
      case 3: return below(20) == 0 ? never : plus(now_, span());
      default: return plus(now_, span());
    }
  }

  timers::iterator some_armed() {
    auto it = armed_.lower_bound(plus(now_, span()));
    return it == armed_.end() ? armed_.begin() : it;
  }

  void arm() {
    const std::size_t i = below(nodes_.size());
    if (nodes_[i].armed()) return;
    const nanos deadline = some_deadline();
    wheel_.arm(nodes_[i], deadline);
    places_[i] = armed_.emplace(deadline, i);
  }

  void disarm() {
    const std::size_t i = below(nodes_.size());
    const bool was_armed = nodes_[i].armed();
    ASSERT_EQ(wheel_.disarm(nodes_[i]), was_armed);
    ASSERT_FALSE(nodes_[i].armed());
    if (!was_armed) return;
    armed_.erase(places_[i]);
    ++disarmed_;
  }

  void advance() {
    switch (below(6)) {
      case 0: now_ = std::max(now_, wheel_.next_expiry() == never ? now_ : wheel_.next_expiry()); break;
      case 1:
        if (!armed_.empty() && armed_.begin()->first != never) now_ = std::max(now_, armed_.begin()->first);
        break;
      case 2:
        if (!armed_.empty() && armed_.begin()->first != never) now_ = std::max(now_, armed_.begin()->first - 1);
        break;
      default: {
        // Short of the end of time, so that no scale is over after a few steps.
        const nanos to = plus(now_, span() >> below(12));
        if (to < never - (never >> 3)) now_ = to;
      }
    }
  }

  void fire_what_is_due(std::size_t limit) {
    for (; limit > 0; --limit) {
      timer_node* node = wheel_.expire(now_);
      if (armed_.empty() || armed_.begin()->first > now_) {
        ASSERT_EQ(node, nullptr) << "early: " << node->deadline << " at " << now_;
        if (now_ != never) {
          ASSERT_GT(wheel_.next_expiry(), now_) << "a sleeper would spin";
        }
        return;
      }
      ASSERT_NE(node, nullptr) << "late: " << armed_.begin()->first << " at " << now_;
      ASSERT_EQ(node, &nodes_[armed_.begin()->second]) << "out of order";
      ASSERT_EQ(node->deadline, armed_.begin()->first);
      ASSERT_FALSE(node->armed());
      armed_.erase(armed_.begin());
      ++fired_;
    }
  }

  void check() {
    ASSERT_EQ(wheel_.size(), armed_.size());
    if (armed_.empty()) {
      ASSERT_EQ(wheel_.next_expiry(), never);
    } else {
      ASSERT_LE(wheel_.next_expiry(), armed_.begin()->first) << "a sleeper would be late";
    }
  }

  std::mt19937_64 random_;
  int scale_bits_;
  nanos now_;
  timer_wheel wheel_;
  std::deque<timer_node> nodes_;
  std::vector<timers::iterator> places_;
  timers armed_;
  int fired_ = 0;
  int disarmed_ = 0;
};

class timer_wheel_scales : public ::testing::TestWithParam<int> {};

TEST_P(timer_wheel_scales, agrees_with_a_multimap_whatever_is_armed_disarmed_and_fired) {
  const std::uint64_t seed = base_seed();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::uint64_t round = 0;
  for (const nanos start : {nanos{0}, nanos{1'234'567}, 3 * year, nanos{-1'000'000}}) {
    for (const std::size_t nodes : {3U, 40U, 1000U}) {
      SCOPED_TRACE(::testing::Message() << "OTP_SEED=" << seed << " start " << start << " nodes " << nodes);
      timer_model(seed + round++, GetParam(), start, nodes).run(10'000);
      if (HasFatalFailure()) return;
    }
  }
}

// In bits of nanoseconds: within one tick (all in the heap), around a tick, and up to 146 years.
INSTANTIATE_TEST_SUITE_P(from_nanoseconds_to_years, timer_wheel_scales,
                         ::testing::Values(1, 8, 19, 21, 24, 27, 33, 39, 45, 51, 57, 62));

TEST(timer_wheel, is_empty_at_first_and_has_nothing_to_wait_for) {
  timer_wheel wheel;
  EXPECT_EQ(wheel.size(), 0U);
  EXPECT_EQ(wheel.next_expiry(), never);
  EXPECT_EQ(wheel.expire(5 * second), nullptr);
  EXPECT_EQ(wheel.expire(never), nullptr);
}

TEST(timer_wheel, fires_at_its_nanosecond_and_not_one_before) {
  for (const nanos start : starts()) {
    for (int bits = 0; bits < 63; ++bits) {
      for (const nanos off : {-1, 0, 1}) {
        const nanos deadline = plus(start, (nanos{1} << bits) + off);
        SCOPED_TRACE(::testing::Message() << "start " << start << " deadline " << deadline);
        timer_wheel wheel(start);
        timer_node node;
        wheel.arm(node, deadline);
        EXPECT_EQ(wheel.next_expiry(), deadline);
        if (deadline > start) {
          EXPECT_EQ(wheel.expire(start), nullptr);
          EXPECT_EQ(wheel.expire(deadline - 1), nullptr);
        }
        EXPECT_EQ(wheel.next_expiry(), deadline);
        EXPECT_EQ(wheel.expire(deadline), &node);
        EXPECT_EQ(node.deadline, deadline);
        EXPECT_EQ(wheel.expire(deadline), nullptr);
        EXPECT_EQ(wheel.size(), 0U);
      }
    }
  }
}

TEST(timer_wheel, a_past_deadline_is_due_at_once) {
  for (const nanos start : starts()) {
    for (const nanos deadline : {start, start > 0 ? start - 1 : start, nanos{0}, nanos{-1}, INT64_MIN}) {
      if (deadline > start) continue;
      SCOPED_TRACE(::testing::Message() << "start " << start << " deadline " << deadline);
      timer_wheel wheel(start);
      timer_node node;
      wheel.arm(node, deadline);
      EXPECT_LE(wheel.next_expiry(), start);
      EXPECT_EQ(wheel.expire(start), &node);
    }
  }
}

TEST(timer_wheel, the_last_instant_is_far_and_is_reached) {
  timer_wheel wheel(7 * second);
  timer_node last;
  timer_node last_but_one;
  timer_node soon;
  wheel.arm(last, never);
  wheel.arm(last_but_one, never - 1);
  wheel.arm(soon, 8 * second);
  EXPECT_EQ(wheel.expire(8 * second), &soon);
  EXPECT_EQ(wheel.expire(100 * year), nullptr);
  EXPECT_EQ(wheel.expire(never - 2), nullptr);
  EXPECT_EQ(wheel.next_expiry(), never - 1);
  EXPECT_EQ(wheel.expire(never - 1), &last_but_one);
  EXPECT_EQ(wheel.expire(never - 1), nullptr);
  EXPECT_EQ(wheel.size(), 1U);
  EXPECT_EQ(wheel.expire(never), &last);
  EXPECT_EQ(wheel.expire(never), nullptr);
}

TEST(timer_wheel, equal_deadlines_fire_in_the_order_of_arming) {
  for (const nanos distance : {nanos{0}, nanos{10}, tick, 100 * tick, 3600 * second, 10 * year}) {
    SCOPED_TRACE(distance);
    timer_wheel wheel(second);
    std::deque<timer_node> nodes(500);
    // Out of the order of their addresses, and every third one twice: the second arming is what counts.
    std::vector<timer_node*> order;
    std::vector<timer_node*> again;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      timer_node* node = &nodes[i * 7 % nodes.size()];
      wheel.arm(*node, second + distance);
      (i % 3 == 0 ? again : order).push_back(node);
    }
    for (timer_node* node : again) {
      ASSERT_TRUE(wheel.disarm(*node));
      wheel.arm(*node, second + distance);
      order.push_back(node);
    }
    for (timer_node* node : order) ASSERT_EQ(wheel.expire(second + distance), node);
    EXPECT_EQ(wheel.expire(never), nullptr);
  }
}

TEST(timer_wheel, disarm_says_whether_the_timer_was_armed) {
  timer_wheel wheel;
  timer_node node;
  EXPECT_FALSE(wheel.disarm(node)) << "never armed";
  for (const nanos deadline : {nanos{5}, 10 * second}) {
    wheel.arm(node, deadline);
    EXPECT_TRUE(wheel.disarm(node));
    EXPECT_FALSE(wheel.disarm(node)) << "disarmed before";
    EXPECT_EQ(wheel.expire(deadline), nullptr) << "disarmed, so it does not fire";
    wheel.arm(node, deadline);
    EXPECT_EQ(wheel.expire(deadline), &node);
    EXPECT_FALSE(wheel.disarm(node)) << "fired";
  }
}

TEST(timer_wheel, a_timer_that_is_due_but_not_taken_can_still_be_disarmed) {
  constexpr std::size_t count = 64;
  // Victims at every position of the heap, first as it was filled, then after an expiry has shaped it into a tree.
  for (const bool shaped : {false, true}) {
    for (std::size_t victim = 1; victim < count; ++victim) {
      SCOPED_TRACE(victim);
      timer_wheel wheel;
      std::deque<timer_node> nodes(count);
      for (std::size_t i = 0; i < count; ++i)
        wheel.arm(nodes[i * 37 % count], second + static_cast<nanos>(i * 37 % count));
      std::size_t next = 0;
      if (shaped) {
        ASSERT_EQ(wheel.expire(2 * second), &nodes[next++]);
      } else {
        ASSERT_EQ(wheel.expire(second - 1), nullptr);
        ASSERT_EQ(wheel.next_expiry(), second);
      }
      ASSERT_TRUE(wheel.disarm(nodes[victim]));
      for (; next < count; ++next) {
        if (next == victim) continue;
        ASSERT_EQ(wheel.expire(2 * second), &nodes[next]);
      }
      ASSERT_EQ(wheel.expire(2 * second), nullptr);
      ASSERT_EQ(wheel.size(), 0U);
    }
  }
}

TEST(timer_wheel, what_an_expire_loop_arms_takes_its_place_in_the_order) {
  timer_wheel wheel;
  timer_node first, second_one, last, inserted, equal, later, recurring;
  wheel.arm(first, 100);
  wheel.arm(second_one, 50 * tick);
  wheel.arm(last, 90 * tick);
  std::vector<timer_node*> fired;
  const nanos now = 100 * tick;
  while (timer_node* node = wheel.expire(now)) {
    fired.push_back(node);
    if (node == &first) {
      wheel.arm(inserted, 49 * tick);  // before one that is due already
      wheel.arm(equal, 50 * tick);     // behind it, though armed while both are due
      wheel.arm(later, now + 1);       // not in this loop
    }
    if (node == &inserted) wheel.arm(recurring, 3);  // before everything else by now
    if (node == &recurring && fired.size() < 6) wheel.arm(recurring, 3);
  }
  EXPECT_EQ(fired, (std::vector<timer_node*>{&first, &inserted, &recurring, &recurring, &recurring, &recurring,
                                             &second_one, &equal, &last}));
  EXPECT_EQ(wheel.expire(now + 1), &later);
}

TEST(timer_wheel, an_expire_loop_may_disarm_what_is_due) {
  timer_wheel wheel;
  std::deque<timer_node> nodes(1000);
  for (std::size_t i = 0; i < nodes.size(); ++i) wheel.arm(nodes[i], static_cast<nanos>(i) * (tick / 100));
  std::size_t fired = 0;
  while (timer_node* node = wheel.expire(1000 * tick)) {
    ASSERT_EQ(node, &nodes[2 * fired]);
    ++fired;
    ASSERT_TRUE(wheel.disarm(*(node == &nodes.back() ? node : &nodes[2 * fired - 1])));
  }
  EXPECT_EQ(fired, 500U);
}

TEST(timer_wheel, time_that_goes_backwards_stands_still) {
  timer_wheel wheel(10 * second);
  timer_node a, b;
  wheel.arm(a, 10 * second + 5);
  EXPECT_EQ(wheel.expire(9 * second), nullptr);
  EXPECT_EQ(wheel.expire(-1), nullptr);
  EXPECT_EQ(wheel.expire(11 * second), &a);
  wheel.arm(b, 11 * second);
  EXPECT_EQ(wheel.expire(0), &b) << "it was 11 s before, so it is now";
}

// A wheel that walked its empty slots would take some 6 * 10^12 steps for each of these jumps.
TEST(timer_wheel, a_jump_over_centuries_costs_nothing) {
  timer_node soon, far, farther;
  for (int i = 0; i < 10'000; ++i) {
    timer_wheel wheel(i);
    EXPECT_EQ(wheel.expire(100 * year), nullptr);
    wheel.arm(soon, 100 * year + 3);
    wheel.arm(farther, 290 * year);
    wheel.arm(far, 280 * year);
    ASSERT_EQ(wheel.expire(285 * year), &soon);
    ASSERT_EQ(wheel.expire(285 * year), &far);
    ASSERT_EQ(wheel.expire(285 * year), nullptr);
    ASSERT_EQ(wheel.expire(never), &farther);
  }
}

TEST(timer_wheel, of_a_million_timers_half_disarmed_the_other_half_fires_in_order) {
  constexpr std::size_t count = 1'000'000;
  const std::uint64_t seed = base_seed();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  const auto nodes = std::make_unique<timer_node[]>(count);
  timer_wheel wheel(3 * year);
  for (std::size_t i = 0; i < count; ++i)
    wheel.arm(nodes[i], 3 * year + static_cast<nanos>(random() % (600 * std::uint64_t{second})));
  ASSERT_EQ(wheel.size(), count);
  for (std::size_t i = 0; i < count; i += 2) ASSERT_TRUE(wheel.disarm(nodes[i]));
  ASSERT_EQ(wheel.size(), count / 2);
  std::size_t fired = 0;
  std::size_t odd = 0;
  nanos last = 0;
  for (nanos now = 3 * year; fired < count / 2; now += second / 10) {
    ASSERT_LE(now, 3 * year + 601 * second);
    while (timer_node* node = wheel.expire(now)) {
      ASSERT_LE(node->deadline, now) << "early";
      ASSERT_GT(node->deadline, now - second / 10) << "late";
      ASSERT_GE(node->deadline, last) << "out of order";
      last = node->deadline;
      ++fired;
      odd += static_cast<std::size_t>(node - nodes.get()) % 2;
    }
  }
  EXPECT_EQ(odd, count / 2) << "only timers that were not disarmed";
  EXPECT_EQ(wheel.size(), 0U);
  EXPECT_EQ(wheel.next_expiry(), never);
}

// The loop of a worker: sleep until next_expiry(), fire what is due. In virtual time the sleep is an assignment.
struct sleeper {
  nanos now;
  int wakes = 0;
  int idle_wakes = 0;

  void run(timer_wheel& wheel, std::vector<timer_node*>& fired) {
    while (wheel.size() > 0) {
      const nanos until = wheel.next_expiry();
      ASSERT_GT(until, now) << "it would spin";
      now = until;
      ++wakes;
      const std::size_t before = fired.size();
      while (timer_node* node = wheel.expire(now)) {
        ASSERT_EQ(node->deadline, now) << "virtual time is exact";
        fired.push_back(node);
      }
      if (fired.size() == before) ++idle_wakes;
    }
  }
};

TEST(timer_wheel, a_sleeper_wakes_once_for_each_deadline) {
  const std::uint64_t seed = base_seed();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  for (const int bits : {4, 16, 22, 30, 40, 50, 61}) {
    SCOPED_TRACE(::testing::Message() << "OTP_SEED=" << seed << " bits " << bits);
    timer_wheel wheel(77);
    std::deque<timer_node> nodes(2000);
    std::multimap<nanos, timer_node*> expected;
    for (timer_node& node : nodes) {
      const nanos deadline = 78 + static_cast<nanos>(random() & ((std::uint64_t{1} << bits) - 1));
      wheel.arm(node, deadline);
      expected.emplace(deadline, &node);
    }
    std::vector<timer_node*> order;
    int deadlines = 0;
    for (auto it = expected.begin(); it != expected.end(); it = expected.upper_bound(it->first)) ++deadlines;
    for (const auto& [deadline, node] : expected) order.push_back(node);

    std::vector<timer_node*> fired;
    sleeper loop{.now = 77};
    loop.run(wheel, fired);
    EXPECT_EQ(fired, order);
    EXPECT_EQ(loop.wakes, deadlines);
    EXPECT_EQ(loop.idle_wakes, 0);
  }
}

TEST(timer_wheel, a_disarmed_timer_costs_a_sleeper_at_most_one_idle_wake) {
  const std::uint64_t seed = base_seed();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  for (const int bits : {16, 22, 30, 40, 50, 61}) {
    SCOPED_TRACE(::testing::Message() << "OTP_SEED=" << seed << " bits " << bits);
    timer_wheel wheel;
    std::deque<timer_node> nodes(2000);
    for (timer_node& node : nodes) wheel.arm(node, 1 + static_cast<nanos>(random() & ((std::uint64_t{1} << bits) - 1)));
    int disarmed = 0;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      if (i % 4 != 0 && wheel.disarm(nodes[i])) ++disarmed;
    }
    std::vector<timer_node*> fired;
    sleeper loop{.now = 0};
    loop.run(wheel, fired);
    EXPECT_EQ(fired.size(), 500U);
    EXPECT_LE(loop.idle_wakes, disarmed);
  }
}

// A service's usual life: every call arms a timeout of 5 s, the answer disarms it, some 1 ms later. The wheel must not
// keep anything of it: no armed timer, no wake beyond the few that a disarmed earliest leaves behind.
TEST(timer_wheel, timeouts_that_never_happen_do_not_wake_a_sleeper) {
  timer_wheel wheel;
  timer_node timeout;
  nanos now = 0;
  int due_wakes = 0;
  for (int i = 0; i < 100'000; ++i) {
    wheel.arm(timeout, now + 5 * second);
    now += second / 1000;
    if (wheel.next_expiry() <= now) {
      ++due_wakes;
      ASSERT_EQ(wheel.expire(now), nullptr);
    }
    ASSERT_TRUE(wheel.disarm(timeout));
  }
  EXPECT_EQ(due_wakes, 0);
  EXPECT_EQ(wheel.next_expiry(), never);
}

TEST(timer_wheel, moving_time_from_slot_to_slot_keeps_far_timers_in_order) {
  // Armed at different times, so that timers of neighbouring deadlines lie on different levels.
  timer_wheel wheel;
  std::deque<timer_node> nodes;
  constexpr nanos goal = 5000 * tick;
  nanos now = 0;
  for (int i = 0; i < 5000; ++i) {
    wheel.arm(nodes.emplace_back(), goal + (i * 7919) % 5000);
    ASSERT_EQ(wheel.expire(now), nullptr);
    now += tick - 1;
  }
  nanos expected = goal;
  while (timer_node* node = wheel.expire(goal + 5000)) ASSERT_EQ(node->deadline, expected++);
  EXPECT_EQ(expected, goal + 5000);
}

}  // namespace
}  // namespace otp::detail
