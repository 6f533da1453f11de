// What can be changed while the shop runs: some numbers, written as a JSON object. Pure: see config.hpp for who has them.
#pragma once
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace storefront {

struct configuration {
  std::int64_t payment_cents_max = 1'000'000;
  std::int64_t payment_hold_seconds = 7 * 86400;  ///< an authorization that is not captured by then is given back
  std::int64_t cart_idle_seconds = 900;
  std::int64_t cart_lines_max = 100;
  std::int64_t news_backlog_max = 256;      ///< items that wait for one subscriber; one that is further behind is dropped
  std::int64_t news_patience_seconds = 10;  ///< for one item to be taken
  std::int64_t health_interval_ms = 2000;
  std::int64_t profile_part_ms = 500;
  std::int64_t jobs_at_once = 4;
  friend bool operator==(const configuration&, const configuration&) = default;
};

/// One thing that is wrong with a configuration: what was given, and what is accepted.
struct bad_key {
  std::string key;  ///< empty: the whole
  std::string given;
  std::string accepted;
};

/// A key that is not named has its default. Errors: all that is wrong.
std::expected<configuration, std::vector<bad_key>> configuration_from(std::string_view text);

/// Every key and its value.
std::string to_text(const configuration& c);
std::string to_text(const std::vector<bad_key>& wrong);

}  // namespace storefront
