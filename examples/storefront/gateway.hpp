// Who moves the money of payments. This shop practises: its gateway moves none, and declines by the card's name.
#pragma once
#include <cstdint>
#include <string>

namespace storefront {

/// Asking again for the same payment is asking once, as with any real gateway: a process may die between asking and
/// writing down. Functions may wait; only the payment that asks waits with them.
class payment_gateway {
 public:
  virtual ~payment_gateway() = default;
  /// The bank's reference; empty if it declines.
  virtual std::string authorize(std::int64_t payment, const std::string& card, std::int64_t cents) = 0;
  virtual bool capture(const std::string& reference) = 0;
  virtual bool refund(const std::string& reference, std::int64_t cents) = 0;
};

/// Declines the card "tok_declined", and cannot capture or refund what "tok_broken" has paid.
class practice_gateway final : public payment_gateway {
 public:
  std::string authorize(std::int64_t payment, const std::string& card, std::int64_t) override {
    if (card == "tok_declined") return "";
    return (card == "tok_broken" ? "broken-" : "auth-") + std::to_string(payment);
  }
  bool capture(const std::string& reference) override { return !reference.starts_with("broken-"); }
  bool refund(const std::string& reference, std::int64_t) override { return !reference.starts_with("broken-"); }
};

}  // namespace storefront
