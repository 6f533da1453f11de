#include "catalogue.hpp"

namespace storefront {

namespace {
product product_of(const sqlite::rows& row) {
  return {.id = row.integer(0), .name = row.text(1), .price_cents = row.integer(2), .stock = row.integer(3)};
}
}  // namespace

std::vector<product> all_products(sqlite::database& db) {
  std::vector<product> all;
  for (auto rows = db.query("SELECT id, name, price_cents, stock FROM products ORDER BY id"); rows.next();)
    all.push_back(product_of(rows));
  return all;
}

std::optional<product> find_product(sqlite::database& db, std::int64_t id) {
  auto rows = db.query("SELECT id, name, price_cents, stock FROM products WHERE id = ?1", id);
  if (!rows.next()) return std::nullopt;
  return product_of(rows);
}

}  // namespace storefront
