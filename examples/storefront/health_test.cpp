#include "health.hpp"

#include "test_shop.hpp"

namespace storefront {
namespace {

using namespace std::chrono_literals;

struct health_test : test_shop {
  // The shop with a monitor of one check, which does `look`.
  void with_monitor(const std::function<std::string()>& look, const std::function<void()>& body) {
    std::vector<otp::child_spec> more;
    more.push_back(otp::child<health>(std::vector<health_check>{{"always", [] { return std::string("fine"); }},
                                                                {"probe", look}}));
    with_shop(body, std::move(more));
  }
  static health_report show() { return otp::call(health::name, health::show{}); }
};

TEST_F(health_test, is_what_the_last_round_found) {
  bool broken = false;
  auto look = [&]() -> std::string { return broken ? throw std::runtime_error("smoke") : "cold"; };
  with_monitor(look, [&] {
    EXPECT_TRUE(show().good());
    EXPECT_EQ(show().checks[1].detail, "cold");
    broken = true;
    otp::testing::advance(2100ms);
    EXPECT_FALSE(show().good());
    EXPECT_TRUE(show().checks[0].good);
    EXPECT_EQ(show().checks[1].detail, "smoke");
    broken = false;
    otp::testing::advance(2100ms);
    EXPECT_TRUE(show().good());
  });
}

TEST_F(health_test, a_check_that_does_not_answer_costs_three_seconds_and_no_more) {
  auto look = []() -> std::string {
    otp::sleep(1h);
    return "";
  };
  with_monitor(look, [&] {
    otp::instant begin = otp::now();
    auto report = show();  // waits for the first round
    EXPECT_LE(otp::now() - begin, 3s);
    EXPECT_TRUE(report.checks[0].good);
    EXPECT_EQ(report.checks[1].detail, "no answer within 3 s");
    EXPECT_TRUE(otp::task_supervisor::children(background).empty());
  });
}

TEST_F(health_test, whoever_of_the_round_is_killed_there_is_another) {
  int looks = 0;
  auto look = [&]() -> std::string {
    ++looks;
    otp::sleep(500ms);
    return "slow";
  };
  with_monitor(look, [&] {
    for (int i = 0; i < 5; ++i) {
      for (otp::pid task : otp::task_supervisor::children(background)) otp::exit(task, otp::reason::kill);
      otp::testing::advance(100ms);
    }
    kill("background");
    EXPECT_TRUE(show().good());
    EXPECT_GE(looks, 2);
    kill("health");
    otp::testing::advance(1s);
    EXPECT_TRUE(show().good());
  });
}

TEST_F(health_test, the_database_is_looked_at_by_asking_it) {
  listen_socket socket("127.0.0.1", 0);
  with_shop([&] {
    auto good = [&] {
      auto report = run_checks(the_checks(file, socket));
      return std::pair(report.checks[0].good, report.checks[1].good);
    };
    EXPECT_EQ(good(), std::pair(true, true));
    std::filesystem::rename(file, file + ".away");
    for (const char* name : {"db_reader_1", "db_reader_2"}) kill(name);
    EXPECT_EQ(good(), std::pair(false, false));
    std::filesystem::rename(file + ".away", file);
    otp::testing::advance(1s);
    EXPECT_EQ(good(), std::pair(true, true));
  });
}

TEST_F(health_test, a_listener_that_is_not_there_is_seen) {
  listen_socket socket("127.0.0.1", 0);
  with_shop([&] {
    EXPECT_EQ(run_checks(the_checks(file, socket)).checks[2].detail, "nobody accepts connections");
    otp::register_name("listener", otp::self());
    EXPECT_EQ(run_checks(the_checks(file, socket)).checks[2].detail, "0 of at most 1024 connections wait");
  });
}

}  // namespace
}  // namespace storefront
