// What the shop sells: reads from the table `products`. Every function blocks.
#pragma once
#include "sqlite.hpp"

#include <optional>
#include <vector>

namespace storefront {

struct product {
  std::int64_t id = 0;
  std::string name;
  std::int64_t price_cents = 0;
  std::int64_t stock = 0;
  friend bool operator==(const product&, const product&) = default;
};

std::vector<product> all_products(sqlite::database& db);
std::optional<product> find_product(sqlite::database& db, std::int64_t id);

}  // namespace storefront
