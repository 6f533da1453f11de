// One user asks until the bucket is empty; another one still has all of his.
#include "rate_limiter.hpp"
#include <cstdio>

const char* text_of(rate_limiter::verdict v) { return v == rate_limiter::verdict::allowed ? "allowed" : "rate limited"; }

int main() {
  return otp::run([] {
    otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child<rate_limiter>()}}).value();
    // [use]
    std::printf("user_123: %s\n", text_of(rate_limiter::check_rate("user_123")));
    while (rate_limiter::check_rate("user_123") == rate_limiter::verdict::allowed) continue;
    std::printf("user_123: %s\n", text_of(rate_limiter::check_rate("user_123")));
    std::printf("user_456: %s\n", text_of(rate_limiter::check_rate("user_456")));
    // [/use]
  });
}
