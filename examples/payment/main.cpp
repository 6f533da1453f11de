// Two payments: one captured and refunded, one that nobody captures.
#include "payment.hpp"

#include <cstdio>

using namespace std::chrono_literals;

namespace {

/// Declines the card "stolen", and says what it does.
struct test_gateway final : payment_gateway {
  std::string authorize(const std::string& card_token, std::int64_t cents) override {
    if (card_token == "stolen") return {};
    std::printf("gateway: hold %lld cents\n", static_cast<long long>(cents));
    return "auth-" + card_token;
  }
  bool capture(const std::string& auth_id) override {
    std::printf("gateway: take %s\n", auth_id.c_str());
    return true;
  }
  bool refund(const std::string& auth_id, std::int64_t cents) override {
    std::printf("gateway: give back %lld cents of %s\n", static_cast<long long>(cents), auth_id.c_str());
    return true;
  }
};

const char* text_of(const payment::result& r) {
  if (r) return "ok";
  switch (r.error()) {
    case payment::error::declined: return "declined";
    case payment::error::gateway_failed: return "gateway failed";
    case payment::error::invalid_amount: return "invalid amount";
    case payment::error::invalid_event: return "invalid event";
    case payment::error::terminal_state: return "terminal state";
  }
  return "?";
}

}  // namespace

int main() {
  return otp::run([] {
    auto gateway = std::make_shared<test_gateway>();
    // [use]
    auto order = otp::gen_statem::start_link<payment>({}, gateway, 1999).value();
    std::printf("%s\n", text_of(otp::call(order, payment::capture{})));            // not authorized yet
    std::printf("%s\n", text_of(otp::call(order, payment::authorize{"stolen"})));  // and pending still
    std::printf("%s\n", text_of(otp::call(order, payment::authorize{"visa"})));
    std::printf("%s\n", text_of(otp::call(order, payment::capture{})));
    std::printf("%s\n", text_of(otp::call(order, payment::refund{5000})));
    std::printf("%s\n", text_of(otp::call(order, payment::refund{1999})));
    std::printf("%s\n", text_of(otp::call(order, payment::refund{1999})));
    std::printf("%s", otp::diagram(order).c_str());
    // [/use]

    auto forgotten = otp::gen_statem::start_link<payment>({}, gateway, 500, 50ms).value();
    std::printf("%s\n", text_of(otp::call(forgotten, payment::authorize{"amex"})));
    otp::sleep(200ms);
    std::printf("%s\n", text_of(otp::call(forgotten, payment::capture{})));
  });
}
