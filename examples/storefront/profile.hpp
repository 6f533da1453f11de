// What there is about a customer, gathered from several places at the same time. A part that fails, or is late, costs the
// page that part and nothing else.
#pragma once
#include <otp/duration.hpp>

#include <optional>
#include <vector>

#include "cart.hpp"
#include "ledger.hpp"
#include "orders.hpp"

namespace storefront {

/// A part that could not be had is empty.
struct profile {
  std::optional<std::vector<order>> orders;
  std::optional<std::vector<payment_record>> payments;
  std::optional<cart_view> cart;
};

/// Returns when all parts are there, or have failed, or the time is over.
profile gather_profile(const std::string& user, otp::duration within);

}  // namespace storefront
