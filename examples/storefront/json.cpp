#include "json.hpp"

#include <nlohmann/json.hpp>

#include "cart.hpp"
#include "catalogue.hpp"
#include "orders.hpp"
#include "payment.hpp"

namespace storefront {

using nlohmann::json;

void to_json(json& to, const product& p) {
  to = {{"id", p.id}, {"name", p.name}, {"price_cents", p.price_cents}, {"stock", p.stock}};
}
void to_json(json& to, const order& o) {
  to = {{"id", o.id},
        {"user", o.user},
        {"product", o.product},
        {"quantity", o.quantity},
        {"total_cents", o.total_cents},
        {"placed_at", o.placed_at}};
}
void to_json(json& to, const cart_view& c) {
  json lines = json::array();
  for (auto [product, quantity] : c.lines) lines.push_back({{"product", product}, {"quantity", quantity}});
  to = {{"cart", c.cart}, {"lines", std::move(lines)}};
}
void to_json(json& to, const payment_view& p) {
  to = {{"id", p.id}, {"cents", p.cents}, {"refunded_cents", p.refunded_cents}, {"state", p.state}};
}
void to_json(json& to, const payment_record& p) { to = {{"id", p.id}, {"cents", p.cents}}; }

}  // namespace storefront
