// How many requests a user may make: a bucket of 100 tokens each, refilled with 10 a second.
//
// Source  the token bucket of the OTP guide. Differs: a bucket that is full again is forgotten, so that the table holds
//         the users of the last seconds and not everybody who ever came.
#pragma once
#include <otp/otp.hpp>

#include <algorithm>
#include <string>
#include <unordered_map>

namespace storefront {
using namespace std::chrono_literals;

// [rate_limiter]
struct rate_limiter {
  enum class verdict { allowed, rate_limited };
  struct check { using reply = verdict; std::string user; };
  struct refill {};

  using messages = otp::messages<refill>;

  static constexpr otp::name<rate_limiter> name{"rate_limiter"};

  static auto start_link() { return otp::gen_server::start_link<rate_limiter>({.name = name}); }

  // A limiter that is just being restarted limits nobody: it protects the shop, the shop does not depend on it.
  static verdict check_rate(std::string user) {
    return otp::try_call(name, check{std::move(user)}, 1s).value_or(verdict::allowed);
  }

  rate_limiter() { otp::send_interval(1s, otp::self(this), refill{}); }

  verdict handle_call(const check& request) {
    int& tokens = buckets.try_emplace(request.user, bucket_size).first->second;
    if (tokens == 0) return verdict::rate_limited;
    --tokens;
    return verdict::allowed;
  }
  void handle_info(refill) {
    for (auto& [user, tokens] : buckets) tokens = std::min(tokens + refill_rate, bucket_size);
    std::erase_if(buckets, [](const auto& bucket) { return bucket.second == bucket_size; });
  }
  std::string to_string() const { return std::to_string(buckets.size()) + " users below a full bucket"; }

  static constexpr int refill_rate = 10, bucket_size = 100;
  std::unordered_map<std::string, int> buckets;
};
// [/rate_limiter]

}  // namespace storefront
