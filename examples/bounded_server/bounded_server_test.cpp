#include "bounded_server.hpp"

#include <gtest/gtest.h>
#include <otp/testing.hpp>

namespace {

using namespace std::chrono_literals;

TEST(bounded_server, slows_its_senders_down_and_loses_nothing) {
  for (unsigned seed = 1; seed <= 10; ++seed)
    otp::testing::run({.seed = seed}, [] {
      otp::pid server = averages::start_link().value().pid();
      otp::instant start = otp::now();
      auto one = otp::async(run_sensor, 1, 500);
      auto two = otp::async(run_sensor, 2, 500);
      for (int i = 0; i < 50; ++i) {
        otp::sleep(1ms);
        EXPECT_LE(otp::info(server)->message_queue_len, 100U);
      }
      otp::await_many(otp::infinity, one, two);
      EXPECT_EQ(otp::call(averages::name, averages::average{1}), 249.5);
      EXPECT_EQ(otp::call(averages::name, averages::average{2}), 249.5);
      EXPECT_EQ(otp::call(averages::name, averages::average{3}), std::nullopt);
      EXPECT_GE(otp::now() - start, 100ms);  // a thousand readings of 100 us each
    });
}

TEST(bounded_server, refuses_whom_it_has_no_room_for_at_once) {
  otp::testing::run([] {
    desk::start_link().value();
    std::vector<otp::task<bool>> visitors;
    for (int i = 0; i < 50; ++i) visitors.push_back(otp::async([=] { return desk::serve(i).has_value(); }));
    int served = 0;
    for (auto& visitor : visitors) served += otp::await(visitor);
    EXPECT_GE(served, 10);
    EXPECT_LE(served, 11);  // ten that wait, and the one being served
    EXPECT_TRUE(desk::serve(50).has_value());  // there is room again
  });
}

TEST(bounded_server, a_desk_that_does_not_exist_is_no_busy_desk) {
  otp::testing::run([] { EXPECT_THROW(static_cast<void>(desk::serve(1)), otp::exited); });
}

}  // namespace
