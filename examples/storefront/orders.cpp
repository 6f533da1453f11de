#include "orders.hpp"

#include "catalogue.hpp"

#include <sys/random.h>

#include <array>
#include <system_error>

namespace storefront {

namespace {

order order_of(const sqlite::rows& row) {
  return {.id = row.integer(0),
          .user = row.text(1),
          .product = row.integer(2),
          .quantity = row.integer(3),
          .total_cents = row.integer(4),
          .placed_at = row.text(5)};
}

std::optional<order> order_under_key(sqlite::database& db, const order_request& wanted) {
  auto rows = db.query(
      "SELECT id, user, product, quantity, total_cents, placed_at FROM orders WHERE user = ?1 AND idempotency_key = ?2",
      wanted.user, wanted.key);
  if (!rows.next()) return std::nullopt;
  return order_of(rows);
}

}  // namespace

// [place_order]
std::expected<placed_order, refusal> place_order(sqlite::database& db, const order_request& wanted) {
  sqlite::transaction all_or_nothing(db);

  if (auto before = order_under_key(db, wanted)) {
    if (before->product != wanted.product || before->quantity != wanted.quantity)
      return std::unexpected(refusal::key_reused);
    return placed_order{.order = *before, .replayed = true};
  }
  if (db.execute("UPDATE products SET stock = stock - ?2 WHERE id = ?1 AND stock >= ?2", wanted.product,
                 wanted.quantity) == 0)
    return std::unexpected(find_product(db, wanted.product) ? refusal::out_of_stock : refusal::unknown_product);

  db.execute(
      "INSERT INTO orders (user, idempotency_key, product, quantity, total_cents) "
      "SELECT ?1, ?2, id, ?4, price_cents * ?4 FROM products WHERE id = ?3",
      wanted.user, wanted.key, wanted.product, wanted.quantity);
  auto placed = find_order(db, db.last_id(), wanted.user);

  all_or_nothing.commit();  // only from here on may anybody be told
  return placed_order{.order = placed.value()};
}
// [/place_order]

std::optional<order> find_order(sqlite::database& db, std::int64_t id, const std::string& user) {
  auto rows = db.query(
      "SELECT id, user, product, quantity, total_cents, placed_at FROM orders WHERE id = ?1 AND user = ?2", id, user);
  if (!rows.next()) return std::nullopt;
  return order_of(rows);
}

std::vector<order> orders_of(sqlite::database& db, const std::string& user, std::int64_t limit) {
  std::vector<order> all;
  for (auto rows = db.query("SELECT id, user, product, quantity, total_cents, placed_at FROM orders WHERE user = ?1 "
                            "ORDER BY id DESC LIMIT ?2",
                            user, limit);
       rows.next();)
    all.push_back(order_of(rows));
  return all;
}

std::string fresh_key() {
  std::array<unsigned char, 16> bytes;
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw std::system_error(errno, std::generic_category(), "getrandom");
  std::string text = "auto-";
  for (unsigned char byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

}  // namespace storefront
