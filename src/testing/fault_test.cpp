// Faults that are planned, what has to hold in spite of them, and what explore() looks at by itself.
#include <otp/otp.hpp>
#include <otp/testing.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace {

using namespace std::chrono_literals;
using otp::testing::explore;
using otp::testing::explore_options;
using otp::testing::failure;
using otp::testing::require;
namespace faults = otp::testing::faults;
namespace strategies = otp::testing::strategies;

struct done {};
struct number {
  int value;
};

std::optional<failure> found(const explore_options& how, const std::function<void()>& body) {
  try {
    explore(how, body);
  } catch (const failure& f) {
    return f;
  }
  return std::nullopt;
}

struct counter {
  struct next {
    using reply = int;
  };
  static constexpr otp::name<counter> name{"counter"};
  static auto start_link() { return otp::gen_server::start_link<counter>({.name = name}); }
  int value = 0;
  int handle_call(next) { return ++value; }
};

otp::server<otp::supervisor> start_tree(int max_restarts = 3) {
  return otp::supervisor::start_link(
             {.strategy = otp::one_for_one, .max_restarts = max_restarts, .children = {otp::child<counter>()}})
      .value();
}

bool answers() { return otp::try_call(counter::name, counter::next{}).has_value(); }

TEST(faults, a_tree_heals_whoever_is_killed) {
  bool killed_one = false;
  explore({.seeds = 300, .faults = {faults::kill("counter", 2)}}, [&] {
    start_tree();
    for (int i = 0; i < 3; ++i) killed_one = !answers() || killed_one;
    otp::testing::eventually(1s, "the counter answers", answers);
  });
  EXPECT_TRUE(killed_one);
}

TEST(faults, kill_any_reaches_the_supervisor_too) {
  std::set<std::string> victims;
  explore({.seeds = 200}, [&] {
    otp::trap_exit(true);
    auto tree = start_tree();
    otp::ref of_tree = otp::monitor(otp::pid(tree));
    otp::ref of_child = otp::monitor(*otp::whereis("counter"));
    otp::testing::inject(faults::kill_any());
    otp::receive(
        [&](const otp::down& d) {
          if (d.reason == otp::reason::killed) victims.insert(d.reference == of_tree ? "tree" : "child");
          require(d.reference == of_tree || d.reference == of_child, "one of the two");
        },
        otp::after(10s, [] {}));
  });
  EXPECT_EQ(victims, (std::set<std::string>{"child", "tree"}));
}

TEST(faults, a_handler_crashes_the_third_time) {
  explore({.seeds = 50, .faults = {faults::crash("counter", 3)}}, [] {
    start_tree();
    require(answers() && answers() && !answers(), "the third call fails");
    otp::testing::eventually(1s, "the counter answers", answers);
  });
}

TEST(faults, every_fault_is_tried_at_every_place) {
  std::map<int, int> failed_at;  // 0: nowhere
  auto body = [&] {
    int at = 0;
    for (int i = 1; i <= 5; ++i)
      if (otp::fault_point("here")) at = i;
    ++failed_at[at];
  };
  auto all =
      explore({.seeds = 100, .strategy = strategies::every_fault(1), .faults = {faults::at_point("here")}}, body);
  EXPECT_TRUE(all.complete);
  EXPECT_EQ(failed_at,
            (std::map<int, int>{
                {0, 3}, {1, 2}, {2, 2}, {3, 2}, {4, 2}, {5, 2}}));  // in two orders; the first run is done twice
}

// What the program draws was drawn anew in each run, so that the decisions repeated from the last one met another
// program.
TEST(explore, one_run_after_the_other_draws_the_same_numbers_where_decisions_are_repeated) {
  std::set<std::uint64_t> seeds;
  explore({.seeds = 50, .strategy = strategies::exhaustive(1)}, [&] {
    otp::pid me = otp::self();
    for (int i = 0; i < 2; ++i) otp::spawn([me] { otp::send(me, done{}); });
    for (int i = 0; i < 2; ++i) otp::receive([](done) {});
    seeds.insert(otp::testing::seed());
  });
  EXPECT_EQ(seeds.size(), 1U);
}

TEST(faults, a_point_in_the_program_is_tried_both_ways) {
  std::set<bool> seen;
  explore({.seeds = 100, .faults = {faults::at_point("disk full")}},
          [&] { seen.insert(otp::fault_point("disk full")); });
  EXPECT_EQ(seen, (std::set<bool>{false, true}));
  otp::testing::run([] { EXPECT_FALSE(otp::fault_point("disk full")); });
  EXPECT_FALSE(otp::fault_point("disk full"));
}

TEST(faults, a_delayed_signal_keeps_its_place) {
  otp::duration longest{};
  explore({.seeds = 200, .faults = {faults::delay(1s, 2)}}, [&] {
    otp::pid me = otp::self();
    otp::instant start = otp::now();
    otp::spawn([me] {
      for (int i = 0; i < 4; ++i) otp::send(me, number{i});
    });
    for (int i = 0; i < 4; ++i) otp::receive([&](const number& n) { require(n.value == i, "in order"); });
    longest = std::max(longest, otp::duration(otp::now() - start));
  });
  EXPECT_GE(longest, 250ms);
  EXPECT_LE(longest, 2s);
}

TEST(faults, a_slow_consumer_takes_its_time) {
  explore({.seeds = 50, .faults = {faults::slow("counter", 2s)}}, [] {
    start_tree();
    require(!otp::try_call(counter::name, counter::next{}, 1s), "too slow for this");
    require(otp::try_call(counter::name, counter::next{}, 10s).has_value(), "but it answers");
  });
}

TEST(faults, a_busy_machine_lets_a_timeout_win) {
  std::set<bool> answered;
  explore({.seeds = 200, .faults = {faults::pause(6s)}}, [&] {
    start_tree();
    answered.insert(answers());
  });
  EXPECT_EQ(answered, (std::set<bool>{false, true}));
}

TEST(faults, the_nth_allocation_of_a_program_s_own_operator_new) {
  explore({.seeds = 3, .faults = {faults::fail_allocation(4)}}, [] {
    for (int i = 1; i <= 6; ++i) require(otp::testing::allocation_fails() == (i == 4), "the fourth");
  });
  EXPECT_FALSE(otp::testing::allocation_fails());
}

TEST(faults, what_must_always_hold_is_asked_after_every_step) {
  int stock = 0;
  auto wrong = found({.seeds = 300}, [&] {
    stock = 1;
    otp::testing::always("nothing is sold twice", [&] { return stock >= 0; });
    otp::pid me = otp::self();
    for (int i = 0; i < 2; ++i)
      otp::spawn([&, me] {
        if (stock > 0) {
          otp::yield();
          --stock;
        }
        otp::send(me, done{});
      });
    for (int i = 0; i < 2; ++i) otp::receive([](done) {});
  });
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->kind(), "always");
}

TEST(faults, what_does_not_come_true_in_time_is_a_failure) {
  auto wrong = found({.seeds = 1}, [] { otp::testing::eventually(1min, "the impossible", [] { return false; }); });
  ASSERT_TRUE(wrong);
  EXPECT_NE(std::string(wrong->what()).find("the impossible"), std::string::npos);
}

// ---- checks --------------------------------------------------------------------------------------------------------

TEST(checks, a_call_without_a_limit_that_nobody_will_answer) {
  struct silent {
    struct ask {
      using reply = int;
    };
    std::vector<otp::from<int>> callers;
    void handle_call(ask, otp::from<int> caller) { callers.push_back(std::move(caller)); }
  };
  auto wrong = found({.seeds = 3}, [] {
    auto server = otp::gen_server::start_link<silent>().value();
    otp::spawn([server] { otp::call(server, silent::ask{}, otp::infinity); });
    otp::testing::settle();
  });
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->kind(), "waits for ever");
}

TEST(checks, a_supervisor_that_restarts_within_its_limits_is_fine_and_so_is_one_that_gives_up) {
  explore({.seeds = 200, .faults = {faults::kill("counter", 3)}}, [] {
    otp::trap_exit(true);
    start_tree(1);
    otp::sleep(2s);
    otp::sleep(6s);
  });
}

}  // namespace
