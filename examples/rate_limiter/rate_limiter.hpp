// How many requests a user may make: a bucket of 100 tokens each, refilled with 10 a second.
#pragma once
#include <otp/otp.hpp>
#include <algorithm>
#include <string>
#include <unordered_map>

// [rate_limiter]
struct rate_limiter {
  enum class verdict { allowed, rate_limited };
  struct check { using reply = verdict; std::string user; };  // a request names its reply
  struct refill {};                                           // from the timer
  using messages = otp::messages<refill>;                     // what may arrive by plain pid

  static constexpr otp::name<rate_limiter> name{"rate_limiter"};
  static auto start_link() { return otp::gen_server::start_link<rate_limiter>({.name = name}); }
  static verdict check_rate(std::string user) { return otp::call(name, check{std::move(user)}); }

  // init: runs in the new process.
  rate_limiter() { otp::send_interval(std::chrono::seconds(1), otp::self(this), refill{}); }

  verdict handle_call(const check& request) {
    int& tokens = buckets.try_emplace(request.user, bucket_size).first->second;
    if (tokens == 0) return verdict::rate_limited;
    --tokens;
    return verdict::allowed;
  }
  void handle_info(refill) {
    for (auto& [user, tokens] : buckets) tokens = std::min(tokens + refill_rate, bucket_size);
  }

  static constexpr int refill_rate = 10, bucket_size = 100;
  std::unordered_map<std::string, int> buckets;
};
// [/rate_limiter]
