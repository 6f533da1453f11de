#include <nlohmann/json.hpp>

#include "actions.hpp"
#include "cart.hpp"
#include "catalogue.hpp"
#include "db_pool.hpp"
#include "json.hpp"

namespace storefront {

namespace {
response shown(const otp::result<cart_view>& cart) {
  return cart ? json_response(200, *cart) : try_later(503, "unavailable", "your cart cannot be had now");
}
}  // namespace

response act(const show_cart&, const customer& by) { return shown(show_cart_of(by.name)); }
response act(const empty_cart&, const customer& by) { return shown(empty_cart_of(by.name)); }

response act(const put_in_cart& asked, const customer& by) {
  auto product = db_pool::read([id = asked.product](sqlite::database& db) { return find_product(db, id); });
  if (!product) return database_unavailable();
  if (!*product) return error_response(404, "not_found", "there is no such product");
  auto cart = put_into_cart_of(by.name, {asked.product, asked.quantity});
  if (!cart) return shown(std::unexpected(cart.error()));
  if (!*cart) return error_response(409, "cart_full", "the cart has no room for another product; take one out first");
  return json_response(200, **cart);
}

}  // namespace storefront
