// What customers bought: one transaction an order. Every function that takes a database blocks.
//
// Shape   an order is placed under a key of the customer's choice. Placing it again under the same key changes nothing
//         and returns what the first time did, so that a customer who got no answer simply asks again: that is what
//         makes "exactly once" possible although connections, processes and programs die.
#pragma once
#include "sqlite.hpp"

#include <expected>
#include <optional>
#include <vector>

namespace storefront {

struct order_request {
  std::string user;
  std::string key;  ///< of idempotency; unique for the user
  std::int64_t product = 0;
  std::int64_t quantity = 0;
};

struct order {
  std::int64_t id = 0;
  std::string user;
  std::int64_t product = 0;
  std::int64_t quantity = 0;
  std::int64_t total_cents = 0;
  std::string placed_at;  ///< UTC, ISO 8601
  friend bool operator==(const order&, const order&) = default;
};

enum class refusal {
  unknown_product,
  out_of_stock,
  key_reused,  ///< the key belongs to an order for something else
};

struct placed_order {
  storefront::order order;
  bool replayed = false;  ///< it had been placed before
};

/// Returns when the order is on the disk, with the stock taken; a refused one changes nothing.
std::expected<placed_order, refusal> place_order(sqlite::database& db, const order_request& wanted);

/// An order is shown to the user who placed it.
std::optional<order> find_order(sqlite::database& db, std::int64_t id, const std::string& user);

/// The newest first.
std::vector<order> orders_of(sqlite::database& db, const std::string& user, std::int64_t limit);

/// A key for a customer who gave none: 128 random bits.
std::string fresh_key();

}  // namespace storefront
