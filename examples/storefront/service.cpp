#include "service.hpp"

#include <nlohmann/json.hpp>

#include "chaos.hpp"
#include "counters.hpp"
#include "db_pool.hpp"
#include "rate_limiter.hpp"
#include "router.hpp"
#include "status.hpp"

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

namespace {

response json_response(int status, const json& body) { return {.status = status, .body = body.dump()}; }

response try_later(int status, std::string_view code, std::string_view message) {
  response answer = error_response(status, code, message);
  answer.headers.emplace_back("Retry-After", "1");
  return answer;
}
response database_unavailable() {
  return try_later(503, "unavailable", "the database does not answer; the same request may be sent again");
}

response act(const show_health&, const std::string&) {
  auto alive = db_pool::read(db_connection::ping{});
  return alive ? json_response(200, {{"status", "ok"}}) : database_unavailable();
}

response act(const show_status&, const std::string&) {
  auto text = status::show();
  return text ? response{.status = 200, .body = *text} : try_later(503, "unavailable", "the status is not available");
}

response act(const list_products&, const std::string&) {
  auto products = db_pool::read(db_connection::read_products{});
  return products ? json_response(200, {{"products", *products}}) : database_unavailable();
}

response act(const show_product& asked, const std::string&) {
  auto found = db_pool::read(db_connection::read_product{asked.id});
  if (!found) return database_unavailable();
  return *found ? json_response(200, **found) : error_response(404, "not_found", "there is no such product");
}

// [submit_order]
response act(const submit_order& asked, const std::string& user) {
  auto outcome = db_pool::write({.order = {user, asked.key, asked.product, asked.quantity}});
  if (!outcome) return database_unavailable();
  if (!*outcome) switch (outcome->error()) {
      case refusal::unknown_product: return error_response(422, "unknown_product", "there is no such product");
      case refusal::out_of_stock: return error_response(409, "out_of_stock", "there is not enough of it left");
      case refusal::key_reused:
        return error_response(422, "key_reused", "this Idempotency-Key belongs to another order");
    }
  const placed_order& placed = **outcome;
  ++(placed.replayed ? counters.replays : counters.orders);
  response answer = json_response(201, placed.order);
  answer.headers.emplace_back("Location", "/orders/" + std::to_string(placed.order.id));
  if (placed.replayed) answer.headers.emplace_back("Idempotent-Replayed", "true");
  return answer;
}
// [/submit_order]

response act(const show_order& asked, const std::string& user) {
  auto found = db_pool::read(db_connection::read_order{asked.id, user});
  if (!found) return database_unavailable();
  return *found ? json_response(200, **found) : error_response(404, "not_found", "you have no such order");
}

response act(const kill_something& asked, const std::string&) {
  auto victim = chaos_kill(asked.what);
  if (!victim) return error_response(404, "not_found", "nothing of this kind runs now");
  return json_response(202, {{"killed", victim->to_string()}, {"what", asked.what}});
}

}  // namespace

// [answer]
response answer(const request& asked, const settings& how) {
  auto found = route(asked, how.chaos);
  if (!found) return found.error();
  if (found->limited && rate_limiter::check_rate(found->user) == rate_limiter::verdict::rate_limited)
    return try_later(429, "rate_limited", "100 requests at once and 10 a second are enough");
  return std::visit([&](const auto& action) { return act(action, found->user); }, found->action);
}
// [/answer]

response too_many_connections() { return try_later(503, "overloaded", "there are too many connections"); }

}  // namespace storefront
