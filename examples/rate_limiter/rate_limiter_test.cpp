#include "rate_limiter.hpp"

#include <gtest/gtest.h>
#include <otp/testing.hpp>

namespace {

using namespace std::chrono_literals;
using verdict = rate_limiter::verdict;

int allowed(const std::string& user) {
  int count = 0;
  while (rate_limiter::check_rate(user) == verdict::allowed) ++count;
  return count;
}

// [test]
TEST(rate_limiter, refuses_the_101st_request_and_refills_ten_a_second) {
  otp::testing::run([] {  // one thread, seeded order, virtual clock: repeatable and instant
    rate_limiter::start_link().value();
    for (int i = 0; i < 100; ++i) EXPECT_EQ(rate_limiter::check_rate("ada"), verdict::allowed);
    EXPECT_EQ(rate_limiter::check_rate("ada"), verdict::rate_limited);
    otp::testing::advance(1s);
    EXPECT_EQ(allowed("ada"), 10);
  });
}
// [/test]

TEST(rate_limiter, a_bucket_is_never_more_than_full_and_belongs_to_one_user) {
  otp::testing::run([] {
    rate_limiter::start_link().value();
    EXPECT_EQ(allowed("ada"), 100);
    EXPECT_EQ(allowed("bob"), 100);
    otp::testing::advance(1h);
    EXPECT_EQ(allowed("ada"), 100);
  });
}

}  // namespace
