// The explorer: what each strategy finds, that a failure can be repeated, and what is promised about order.
#include <otp/otp.hpp>
#include <otp/testing.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using otp::testing::explore;
using otp::testing::explore_options;
using otp::testing::failure;
namespace strategies = otp::testing::strategies;

struct number {
  int value;
};
struct done {};

/// The failure that exploring finds; none if all runs are well.
std::optional<failure> found(const explore_options& how, const std::function<void()>& body) {
  try {
    explore(how, body);
  } catch (const failure& f) {
    return f;
  }
  return std::nullopt;
}

/// Environment variables for the time of a test.
class environment {
 public:
  environment(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  ~environment() { unsetenv(name_); }
  environment(const environment&) = delete;
  environment& operator=(const environment&) = delete;

 private:
  const char* name_;
};

void wait_for(int processes) {
  for (int i = 0; i < processes; ++i) otp::receive([](done) {});
}

// Two who register a name if it is free, without thinking of each other.
void check_then_register() {
  otp::pid body = otp::self();
  for (int i = 0; i < 2; ++i)
    otp::spawn([body] {
      if (!otp::whereis("x")) {
        try {
          otp::register_name("x", otp::self());
        } catch (const otp::bad_argument&) {
          otp::testing::fail("the name was free a moment ago");
        }
      }
      otp::send(body, done{});
      otp::sleep(1s);
    });
  wait_for(2);
}

void register_and_look() {
  otp::pid body = otp::self();
  for (int i = 0; i < 2; ++i)
    otp::spawn([body] {
      try {
        otp::register_name("x", otp::self());
      } catch (const otp::bad_argument&) {
        // the other one was faster
      }
      otp::send(body, done{});
      otp::sleep(1s);
    });
  wait_for(2);
  otp::testing::require(otp::whereis("x").has_value(), "one of them has it");
}

TEST(explore, every_strategy_finds_a_race_of_two_steps) {
  for (auto how : {strategies::random(), strategies::pct(3), strategies::bounded(2), strategies::exhaustive(2),
                   strategies::portfolio()}) {
    auto wrong = found({.seeds = 1000, .strategy = how}, check_then_register);
    ASSERT_TRUE(wrong) << static_cast<int>(how.what);
    EXPECT_EQ(wrong->kind(), "failed");
    EXPECT_LE(wrong->run(), 800U);
  }
}

TEST(explore, what_is_right_stays_silent) {
  auto all = explore({.seeds = 500}, register_and_look);
  EXPECT_EQ(all.runs, 500U);
  EXPECT_GT(all.steps, all.runs * 5);
}

TEST(explore, the_exhaustive_strategy_ends_when_there_is_no_other_order) {
  auto body = [] {
    otp::pid me = otp::self();
    otp::spawn([me] { otp::send(me, done{}); });
    wait_for(1);
  };
  auto all = explore({.seeds = 100'000, .strategy = strategies::exhaustive()}, body);
  EXPECT_TRUE(all.complete);
  EXPECT_GT(all.runs, 1U);
  auto bounded = explore({.seeds = 100'000, .strategy = strategies::exhaustive(1)}, body);
  EXPECT_TRUE(bounded.complete);
  EXPECT_LT(bounded.runs, all.runs);
}

// bug: reading a published state was no moment at which others could go on, and who waited for one to change never
// ended
TEST(explore, reading_a_snapshot_lets_others_go_first) {
  using counter = otp::agent<int>;
  int seen = 0;
  auto all = explore({.seeds = 50}, [&] {
    auto made = counter::start_link([] { return 0; }).value();
    otp::snapshot(made);
    otp::spawn([made] {
      for (int i = 0; i < 3; ++i) otp::update(made, [](int& n) { ++n; });
    });
    for (int i = 0; i < 200; ++i)
      if (*otp::snapshot(made) == 3) {
        ++seen;
        break;
      }
    counter::stop(made);
  });
  EXPECT_EQ(all.runs, 50U);
  EXPECT_GT(seen, 10);  // not where this one always goes first
}

TEST(explore, exhaustive_sees_each_order_of_what_two_send) {
  std::set<std::string> orders;
  auto all = explore({.seeds = 200'000, .strategy = strategies::exhaustive(2)}, [&] {
    otp::pid me = otp::self();
    for (int who = 0; who < 2; ++who)
      otp::spawn([me, who] {
        otp::send(me, number{2 * who});
        otp::send(me, number{2 * who + 1});
      });
    std::string order;
    for (int i = 0; i < 4; ++i) otp::receive([&](const number& n) { order += std::to_string(n.value); });
    orders.insert(order);
  });
  EXPECT_TRUE(all.complete);
  // The order of each sender is kept: of 24 there are 6.
  EXPECT_EQ(orders, (std::set<std::string>{"0123", "0213", "0231", "2013", "2031", "2301"}));
}

// The unbounded strategy leaves out what differs in the order of steps that nobody can tell apart; the bounded one,
// with a bound that nothing reaches, leaves out nothing.
TEST(explore, what_the_exhaustive_strategy_leaves_out_is_nothing_new) {
  std::set<std::string> outcomes;
  std::string outcome;
  auto body = [&] {
    outcome.clear();
    otp::pid me = otp::self();
    otp::pid other = otp::spawn([me] { otp::send(me, number{1}); });
    otp::spawn([me] { otp::send(me, number{2}); });
    if (otp::is_alive(other)) outcome += "a";
    for (int i = 0; i < 2; ++i) otp::receive([&](const number& n) { outcome += std::to_string(n.value); });
    outcomes.insert(outcome);
  };
  auto few = explore({.seeds = 500'000, .strategy = strategies::exhaustive()}, body);
  auto by_few = std::exchange(outcomes, {});
  auto all = explore({.seeds = 500'000, .strategy = strategies::exhaustive(1000)}, body);
  EXPECT_TRUE(few.complete);
  EXPECT_TRUE(all.complete);
  EXPECT_EQ(by_few, outcomes);
  EXPECT_EQ(outcomes, (std::set<std::string>{"12", "21", "a12", "a21"}));
  EXPECT_LT(few.runs, all.runs);
}

// Between its last message and its end there was no step: whoever got the message always found the process gone.
TEST(explore, a_process_may_live_for_a_while_after_its_last_message) {
  std::set<bool> alive;
  explore({.seeds = 100'000, .strategy = strategies::exhaustive()}, [&] {
    otp::pid me = otp::self();
    otp::pid other = otp::spawn([me] { otp::send(me, done{}); });
    wait_for(1);
    alive.insert(otp::is_alive(other));
  });
  EXPECT_EQ(alive, (std::set<bool>{false, true}));
}

TEST(explore, signals_of_different_senders_have_no_order) {
  // First to the body, then to a second process, which tells the body: in OTP nothing says which comes first.
  std::set<int> first;
  explore({.seeds = 500}, [&] {
    otp::pid me = otp::self();
    otp::pid second = otp::spawn([me] { otp::receive([me](const number&) { otp::send(me, number{2}); }); });
    otp::spawn([me, second] {
      otp::send(me, number{1});
      otp::send(second, number{0});
    });
    otp::receive([&](const number& n) { first.insert(n.value); });
    otp::receive([](const number&) {});
  });
  EXPECT_EQ(first, (std::set<int>{1, 2}));
}

TEST(explore, a_monitor_never_overtakes_what_its_process_sent) {
  explore({.seeds = 400}, [] {
    otp::pid me = otp::self();
    otp::pid other = otp::spawn([me] {
      otp::send(me, number{1});
      otp::send(me, number{2});
    });
    otp::ref watch = otp::monitor(other);
    int seen = 0;
    bool over = false;
    while (!over)
      otp::receive([&](const number& n) { otp::testing::require(n.value == ++seen, "in order"); },
                   [&](const otp::down& d) {
                     otp::testing::require(d.reference == watch && seen == 2, "all messages came before");
                     over = true;
                   });
  });
}

// One signal that forty others overtake: a random walk hardly ever does that.
void overtaken() {
  otp::pid me = otp::self();
  otp::spawn([me] {
    for (int i = 0; i < 40; ++i) otp::send(me, number{0});
  });
  otp::spawn([me] { otp::send(me, number{1}); });
  for (int i = 0; i < 41; ++i)
    otp::receive([&](const number& n) { otp::testing::require(n.value == 0 || i < 40, "overtaken by all others"); });
}

TEST(explore, the_portfolio_finds_who_is_held_up_for_long) {
  auto wrong = found({.seeds = 200}, overtaken);
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->kind(), "failed");
}

// Five steps in one order, between two who are kept busy.
void deep() {
  int state = 0;
  otp::pid me = otp::self();
  for (int first = 0; first < 2; ++first)
    otp::spawn([&state, first, me] {
      for (int i = first; i < 5; i += 2) {
        for (int k = 0; k < 4; ++k) otp::yield();
        if (state == i) state = i + 1;
        otp::yield();
      }
      otp::testing::require(state < 5, "all five in order");
      otp::send(me, done{});
    });
  wait_for(2);
}

TEST(explore, the_portfolio_finds_five_steps_in_one_order) { EXPECT_TRUE(found({.seeds = 2000}, deep)); }

TEST(explore, a_failure_says_how_to_repeat_it_and_what_happened) {
  auto wrong = found({.seeds = 1000}, check_then_register);
  ASSERT_TRUE(wrong);
  std::string text = wrong->what();
  EXPECT_NE(text.find("the name was free a moment ago"), std::string::npos) << text;
  EXPECT_NE(text.find("OTP_SCHEDULE=" + wrong->schedule()), std::string::npos) << text;
  EXPECT_NE(text.find("register_name"), std::string::npos) << text;
  // Two processes in each other's way: no more than a few switches are left of the schedule.
  EXPECT_LE(std::count(wrong->schedule().begin(), wrong->schedule().end(), '.'), 3) << text;

  auto pinned = found({.replay = wrong->schedule()}, check_then_register);
  ASSERT_TRUE(pinned);
  EXPECT_EQ(pinned->kind(), wrong->kind());
  environment repeat("OTP_SCHEDULE", wrong->schedule());
  auto again = found({.seeds = 1000, .seed = 77}, check_then_register);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->run(), 1U);
  EXPECT_EQ(again->kind(), wrong->kind());
  EXPECT_EQ(again->schedule(), wrong->schedule());
}

TEST(explore, the_environment_is_stronger_than_the_options) {
  {
    environment runs("OTP_RUNS", "3");
    EXPECT_EQ(explore({.seeds = 50}, register_and_look).runs, 3U);
  }
  std::uint64_t other = explore({.seeds = 20, .seed = 42}, register_and_look).hash;
  EXPECT_NE(explore({.seeds = 20}, register_and_look).hash, other);
  {
    environment seed("OTP_SEED", "42");
    EXPECT_EQ(explore({.seeds = 20}, register_and_look).hash, other);
  }
  {
    environment strategy("OTP_STRATEGY", "exhaustive:0");
    EXPECT_TRUE(explore({.seeds = 1000}, register_and_look).complete);
  }
  environment wrong("OTP_STRATEGY", "luck");
  EXPECT_THROW(explore({.seeds = 1}, register_and_look), otp::bad_argument);
}

TEST(explore, equal_seeds_take_equal_steps) {
  auto once = explore({.seeds = 300}, register_and_look);
  auto again = explore({.seeds = 300}, register_and_look);
  EXPECT_EQ(once.hash, again.hash);
  EXPECT_EQ(once.steps, again.steps);
}

TEST(explore, a_body_that_depends_on_something_else_is_found_out) {
  int runs = 0;  // what an earlier run has left behind
  auto wrong = found({.seeds = 5}, [&] {
    if (++runs % 2 == 0) otp::spawn([] {});
  });
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->kind(), "not deterministic");
}

TEST(explore, who_waits_for_ever_is_named) {
  auto wrong = found({.seeds = 10}, [] {
    otp::register_name("patient", otp::self());
    otp::receive([](done) {});
  });
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->kind(), "waits for ever");
  EXPECT_NE(std::string(wrong->what()).find("\"patient\""), std::string::npos) << wrong->what();
}

TEST(explore, who_goes_round_in_circles_is_found) {
  auto wrong = found({.seeds = 2, .max_steps = 500}, [] {
    for (;;) otp::yield();
  });
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->kind(), "livelock");
}

TEST(explore, circles_without_a_wait_are_ended_too) {
  auto wrong = found({.seeds = 2, .max_steps = 500}, [] {
    otp::pid idle = otp::spawn([] { otp::sleep(1h); });
    for (;;) otp::send(idle, number{1});
  });
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->kind(), "livelock");
}

TEST(explore, an_exception_of_the_body_is_a_failure) {
  auto wrong = found({.seeds = 10}, [] { throw std::runtime_error("no more tea"); });
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->kind(), "exception");
  EXPECT_NE(std::string(wrong->what()).find("no more tea"), std::string::npos);
  EXPECT_EQ(wrong->run(), 1U);
}

TEST(explore, the_test_framework_is_asked_after_each_run) {
  int runs = 0;
  auto wrong = found({.seeds = 10, .failed = [&] { return runs >= 4; }}, [&] { ++runs; });
  ASSERT_TRUE(wrong);
  EXPECT_EQ(wrong->kind(), "failed");
}

// ---- servers and trees, unchanged, in any order --------------------------------------------------------------------

struct counter {
  struct next {
    using reply = int;
  };
  static constexpr otp::name<counter> name{"counter"};
  static auto start_link() { return otp::gen_server::start_link<counter>({.name = name}); }
  int value = 0;
  int handle_call(next) { return ++value; }
};

TEST(explore, calls_of_several_are_served_one_at_a_time) {
  explore({.seeds = 400}, [] {
    auto server = otp::gen_server::start_link<counter>().value();
    otp::pid me = otp::self();
    for (int i = 0; i < 3; ++i) otp::spawn_link([=] { otp::send(me, number{otp::call(server, counter::next{})}); });
    std::set<int> seen;
    for (int i = 0; i < 3; ++i) otp::receive([&](const number& n) { seen.insert(n.value); });
    otp::testing::require(seen == std::set<int>{1, 2, 3}, "each value once");
  });
}

TEST(explore, a_supervisor_restarts_who_is_killed_at_any_moment) {
  explore({.seeds = 300}, [] {
    auto tree =
        otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child<counter>()}}).value();
    otp::exit(*otp::whereis("counter"), otp::reason::kill);
    otp::testing::settle();
    otp::testing::require(otp::call(counter::name, counter::next{}) == 1, "a fresh one answers");
    otp::supervisor::stop(tree);
    otp::testing::require(!otp::whereis("counter"), "nobody is left");
  });
}

TEST(testing, run_until_idle_lets_all_timers_expire) {
  otp::testing::run([] {
    int fired = 0;
    for (int i = 1; i <= 3; ++i) otp::apply_after(i * 1h, [&] { ++fired; });
    otp::testing::run_until_idle();
    EXPECT_EQ(fired, 3);
  });
}

}  // namespace
