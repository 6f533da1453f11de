#include "payment.hpp"

#include <gtest/gtest.h>
#include <otp/testing.hpp>

#include <vector>

namespace {

using namespace std::chrono_literals;
using error = payment::error;

/// Notes what it is asked for.
struct bank final : payment_gateway {
  std::string authorize(const std::string& card_token, std::int64_t) override {
    otp::sleep(1s);
    return works ? "auth-" + card_token : "";
  }
  bool capture(const std::string& auth_id) override {
    done.push_back("capture " + auth_id);
    return works;
  }
  bool refund(const std::string& auth_id, std::int64_t cents) override {
    done.push_back("refund " + std::to_string(cents) + " " + auth_id);
    return works;
  }
  bool works = true;
  std::vector<std::string> done;
};

TEST(payment, goes_from_authorization_to_capture_to_refund) {
  otp::testing::run([] {
    auto b = std::make_shared<bank>();
    auto p = otp::gen_statem::start_link<payment>({}, b, 100).value();
    EXPECT_TRUE(otp::call(p, payment::authorize{"x"}));
    EXPECT_TRUE(otp::call(p, payment::capture{}));
    EXPECT_TRUE(otp::call(p, payment::refund{40}));
    EXPECT_EQ(b->done, (std::vector<std::string>{"capture auth-x", "refund 40 auth-x"}));
  });
}

TEST(payment, what_comes_in_the_wrong_state_changes_nothing) {
  otp::testing::run([] {
    auto b = std::make_shared<bank>();
    auto p = otp::gen_statem::start_link<payment>({}, b, 100).value();
    EXPECT_EQ(otp::call(p, payment::capture{}).error(), error::invalid_event);
    EXPECT_EQ(otp::call(p, payment::refund{1}).error(), error::invalid_event);
    b->works = false;
    EXPECT_EQ(otp::call(p, payment::authorize{"x"}).error(), error::declined);
    b->works = true;
    EXPECT_TRUE(otp::call(p, payment::authorize{"x"}));
    EXPECT_EQ(otp::call(p, payment::authorize{"x"}).error(), error::invalid_event);
    for (std::int64_t wrong : {0LL, -1LL, 101LL, 1LL << 62})
      EXPECT_EQ(otp::call(p, payment::refund{wrong}).error(), error::invalid_amount);
    b->works = false;
    EXPECT_EQ(otp::call(p, payment::capture{}).error(), error::gateway_failed);
    EXPECT_EQ(otp::call(p, payment::refund{100}).error(), error::gateway_failed);
    b->works = true;
    EXPECT_TRUE(otp::call(p, payment::refund{100}));
    for (auto again : {otp::call(p, payment::capture{}), otp::call(p, payment::refund{1}),
                       otp::call(p, payment::authorize{"x"})})
      EXPECT_EQ(again.error(), error::terminal_state);
  });
}

TEST(payment, an_authorization_that_nobody_captures_is_given_back) {
  otp::testing::run([] {
    auto b = std::make_shared<bank>();
    auto p = otp::gen_statem::start_link<payment>({}, b, 100).value();
    EXPECT_TRUE(otp::call(p, payment::authorize{"x"}));
    otp::sleep(24h * 7 + 1s);
    EXPECT_EQ(b->done, std::vector<std::string>{"refund 100 auth-x"});
    EXPECT_EQ(otp::call(p, payment::capture{}).error(), error::terminal_state);
    // One that is captured is not.
    auto q = otp::gen_statem::start_link<payment>({}, b, 100).value();
    EXPECT_TRUE(otp::call(q, payment::authorize{"y"}));
    EXPECT_TRUE(otp::call(q, payment::capture{}));
    otp::sleep(24h * 8);
    EXPECT_EQ(b->done, (std::vector<std::string>{"refund 100 auth-x", "capture auth-y"}));
  });
}

}  // namespace
