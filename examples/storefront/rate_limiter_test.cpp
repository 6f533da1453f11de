#include "rate_limiter.hpp"

#include <gtest/gtest.h>
#include <otp/testing.hpp>

namespace storefront {
namespace {

using verdict = rate_limiter::verdict;

int allowed_of(int requests, const char* user) {
  int allowed = 0;
  for (int i = 0; i < requests; ++i) allowed += rate_limiter::check_rate(user) == verdict::allowed;
  return allowed;
}

TEST(rate_limiter, refuses_the_101st_request_and_allows_ten_more_a_second) {
  otp::testing::run([] {
    rate_limiter::start_link().value();
    EXPECT_EQ(allowed_of(150, "ada"), 100);
    otp::testing::advance(1s);
    EXPECT_EQ(allowed_of(150, "ada"), 10);
    otp::testing::advance(60s);
    EXPECT_EQ(allowed_of(150, "ada"), 100);
  });
}

TEST(rate_limiter, one_greedy_user_costs_the_others_nothing) {
  otp::testing::run([] {
    rate_limiter::start_link().value();
    EXPECT_EQ(allowed_of(150, "greedy"), 100);
    EXPECT_EQ(allowed_of(100, "ada"), 100);
  });
}

TEST(rate_limiter, forgets_users_whose_bucket_is_full_again) {
  otp::testing::run([] {
    auto limiter = rate_limiter::start_link().value();
    for (int i = 0; i < 1000; ++i) rate_limiter::check_rate("user" + std::to_string(i));
    EXPECT_EQ(otp::sys::get_status(limiter).state, "1000 users below a full bucket");
    otp::testing::advance(1s);
    EXPECT_EQ(otp::sys::get_status(limiter).state, "0 users below a full bucket");
  });
}

TEST(rate_limiter, that_is_away_limits_nobody) {
  otp::testing::run([] { EXPECT_EQ(rate_limiter::check_rate("ada"), verdict::allowed); });
}

}  // namespace
}  // namespace storefront
