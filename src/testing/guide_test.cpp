// The examples of docs/testing.md.
#include <otp/otp.hpp>
#include <otp/testing.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>

namespace {

using namespace std::chrono_literals;

// [session]
struct session {
  struct touch {
    using reply = bool;
  };
  struct expired {};
  using messages = otp::messages<expired>;

  static auto start_link() { return otp::gen_server::start_link<session>({.name = "session"}); }
  bool handle_call(touch) {
    if (timer) otp::cancel_timer(timer);
    timer = otp::send_after(30min, otp::self(), expired{});
    return true;
  }
  otp::handler_result handle_info(expired) { return otp::stop(otp::reason::normal); }

  otp::ref timer;
};
// [/session]

// [virtual_time]
TEST(session, ends_half_an_hour_after_the_last_touch) {
  otp::testing::run([] {
    session::start_link().value();
    otp::call(otp::name<session>{"session"}, session::touch{});
    otp::testing::advance(29min);
    otp::call(otp::name<session>{"session"}, session::touch{});
    otp::testing::advance(29min);
    EXPECT_TRUE(otp::whereis("session"));
    otp::testing::advance(1min);
    EXPECT_FALSE(otp::whereis("session"));
  });
}
// [/virtual_time]

// [account]
struct account {
  struct balance {
    using reply = int;
  };
  struct set {
    using reply = bool;
    int to;
  };
  struct withdraw {
    using reply = bool;
    int amount;
  };
  static constexpr otp::name<account> name{"account"};
  static auto start_link() { return otp::gen_server::start_link<account>({.name = name}); }
  int handle_call(balance) { return money; }
  bool handle_call(set s) {
    money = s.to;
    return true;
  }
  bool handle_call(withdraw w) {
    if (w.amount > money) return false;
    money -= w.amount;
    return true;
  }
  int money = 100;
};
// [/account]

// [race]
void two_withdraw() {
  account::start_link().value();
  otp::pid me = otp::self();
  for (int i = 0; i < 2; ++i)
    otp::spawn_link([me] {
      int money = otp::call(account::name, account::balance{});
      otp::call(account::name, account::set{money - 10});  // somebody else may have set it meanwhile
      otp::send(me, true);
    });
  for (int i = 0; i < 2; ++i) otp::receive([](bool) {});
  otp::testing::require(otp::call(account::name, account::balance{}) == 80, "both withdrawals count");
}
// [/race]

TEST(account, a_race_is_found) {
  bool found = false;
  // [explore]
  try {
    otp::testing::explore({.seeds = 1000}, two_withdraw);
  } catch (const otp::testing::failure& wrong) {
    found = true;
    EXPECT_EQ(wrong.kind(), "failed");
    EXPECT_NE(std::string(wrong.what()).find("both withdrawals count"), std::string::npos);
    EXPECT_FALSE(wrong.schedule().empty());  // for OTP_SCHEDULE
  }
  // [/explore]
  EXPECT_TRUE(found);
}

// [exhaustive]
TEST(account, every_order_of_two_withdrawals_is_right) {
  auto all = otp::testing::explore({.seeds = 200'000, .strategy = otp::testing::strategies::exhaustive(1)}, [] {
    account::start_link().value();
    otp::pid me = otp::self();
    otp::spawn_link([me] { otp::send(me, otp::call(account::name, account::withdraw{60})); });
    bool mine = otp::call(account::name, account::withdraw{60});
    bool theirs = otp::receive([](bool b) { return b; });
    otp::testing::require(mine != theirs, "there is enough for one of them");
  });
  EXPECT_TRUE(all.complete);
}
// [/exhaustive]

// [faults]
TEST(account, is_back_after_any_kill) {
  namespace faults = otp::testing::faults;
  otp::testing::explore({.seeds = 200, .faults = {faults::kill("account", 2), faults::delay(2s)}}, [] {
    auto tree = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child<account>()}});
    if (!tree) return;  // killed while it started: its starter is told, and nothing is left behind
    static_cast<void>(otp::try_call(account::name, account::withdraw{10}));
    otp::testing::eventually(10s, "the account answers",
                             [] { return otp::try_call(account::name, account::balance{}).has_value(); });
  });
}
// [/faults]

// [always]
TEST(account, is_never_overdrawn) {
  otp::testing::explore({.seeds = 200}, [] {
    int paid_out = 0;
    otp::testing::always("no more than there was", [&] { return paid_out <= 100; });
    account::start_link().value();
    otp::pid me = otp::self();
    for (int i = 0; i < 3; ++i)
      otp::spawn_link([&paid_out, me] {
        if (otp::call(account::name, account::withdraw{40})) paid_out += 40;
        otp::send(me, true);
      });
    for (int i = 0; i < 3; ++i) otp::receive([](bool) {});
  });
}
// [/always]

// [every_fault]
TEST(account, is_back_whenever_it_was_killed) {
  namespace faults = otp::testing::faults;
  auto all = otp::testing::explore(
      {.seeds = 100'000, .strategy = otp::testing::strategies::every_fault(2), .faults = {faults::kill("account")}},
      [] {
        auto tree = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child<account>()}});
        if (!tree) return;
        static_cast<void>(otp::try_call(account::name, account::withdraw{10}));
        otp::testing::eventually(10s, "the account answers",
                                 [] { return otp::try_call(account::name, account::balance{}).has_value(); });
      });
  EXPECT_TRUE(all.complete);  // there is no other moment
}
// [/every_fault]

// [fault_point]
struct journal {
  bool write(const std::string& line) {
    if (otp::fault_point("journal.full")) return false;
    lines += line + "\n";
    return true;
  }
  std::string lines;
};

TEST(journal, says_when_it_is_full) {
  bool seen_full = false;
  otp::testing::explore({.seeds = 50, .faults = {otp::testing::faults::at_point("journal.full")}}, [&] {
    journal j;
    if (!j.write("hello")) seen_full = true;
    otp::testing::require(j.lines.empty() || j.lines == "hello\n", "whole lines only");
  });
  EXPECT_TRUE(seen_full);
}
// [/fault_point]

}  // namespace
