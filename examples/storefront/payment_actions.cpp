#include <nlohmann/json.hpp>

#include "actions.hpp"
#include "config.hpp"
#include "db_pool.hpp"
#include "json.hpp"
#include "news.hpp"
#include "payment_desk.hpp"

namespace storefront {

namespace {

// The owner's payment, or the answer that says why not. The machine is only asked for payments that there are.
std::optional<response> not_theirs(std::int64_t id, const customer& by) {
  auto found = db_pool::read([id](sqlite::database& db) { return find_payment(db, id); });
  if (!found) return database_unavailable();
  if (!*found || (*found)->user != by.name) return error_response(404, "not_found", "you have no such payment");
  return std::nullopt;
}

response payment_unavailable() {
  return try_later(503, "unavailable", "the payment cannot be had now; the same request may be sent again");
}

// [refused]
response refused(payment::refusal why) {
  switch (why) {
    case payment::refusal::declined: return error_response(402, "declined", "the bank declines this card");
    case payment::refusal::gateway_failed: return try_later(503, "gateway_failed", "the bank does not do it now");
    case payment::refusal::invalid_amount:
      return error_response(422, "invalid_amount", "'cents' has to be from 1 to the amount of the payment");
    case payment::refusal::invalid_event:
      return error_response(409, "invalid_event", "the payment is in another state; GET it to see which");
    case payment::refusal::terminal_state:
      return error_response(409, "terminal_state", "the payment is refunded; nothing can be done with it any more");
    case payment::refusal::key_reused:
      return error_response(422, "key_reused", "this Idempotency-Key belongs to another step of the payment");
    case payment::refusal::unavailable: break;
  }
  return payment_unavailable();
}
// [/refused]

template <class Event>
response step(std::int64_t id, const customer& by, const Event& event) {
  if (auto no = not_theirs(id, by)) return *no;
  auto outcome = ask_payment(id, by.how.gateway, event);
  if (!outcome) return payment_unavailable();
  if (!*outcome) return refused(outcome->error());
  // Also of a replayed one: whoever asked first may have died before it told.
  publish("payments", {{"payment", id}, {"state", (*outcome)->state}});
  response answer = json_response(200, **outcome);
  if ((*outcome)->replayed) answer.headers.emplace_back("Idempotent-Replayed", "true");
  return answer;
}

response diagram(std::string text) { return {.status = 200, .body = std::move(text), .type = "text/plain; charset=utf-8"}; }

}  // namespace

response act(const open_payment& asked, const customer& by) {
  if (std::int64_t max = config_now()->payment_cents_max; asked.cents > max)
    return error_response(422, "invalid_amount", "'cents' has to be from 1 to " + std::to_string(max));
  auto opened = db_pool::write(
      [=, user = by.name](sqlite::database& db) { return open_payment_row(db, user, asked.key, asked.cents); });
  if (!opened) return database_unavailable();
  if (opened->cents != asked.cents)
    return error_response(422, "key_reused", "this Idempotency-Key belongs to another payment");
  response answer = json_response(201, payment_view{.id = opened->id, .cents = opened->cents, .state = "pending"});
  answer.headers.emplace_back("Location", "/payments/" + std::to_string(opened->id));
  if (opened->replayed) answer.headers.emplace_back("Idempotent-Replayed", "true");
  return answer;
}

response act(const authorize_payment& asked, const customer& by) {
  return step(asked.id, by, payment::authorize{asked.key, asked.card});
}
response act(const capture_payment& asked, const customer& by) { return step(asked.id, by, payment::capture{asked.key}); }
response act(const refund_payment& asked, const customer& by) {
  return step(asked.id, by, payment::refund{asked.key, asked.cents});
}

response act(const show_payment& asked, const customer& by) {
  if (auto no = not_theirs(asked.id, by)) return *no;
  auto shown = ask_payment(asked.id, by.how.gateway, payment::show{});
  return shown ? json_response(200, *shown) : payment_unavailable();
}

// [diagram]
response act(const show_payment_diagram& asked, const customer& by) {
  if (asked.id == 0) return diagram(otp::diagram<payment>());
  if (auto no = not_theirs(asked.id, by)) return *no;
  // The machine may have to be started first; then its own diagram, with its state marked.
  if (!ask_payment(asked.id, by.how.gateway, payment::show{})) return payment_unavailable();
  try {
    return diagram(otp::diagram(otp::via<payment>(payments, asked.id), 2s));
  } catch (const otp::exited&) {
    return payment_unavailable();
  }
}
// [/diagram]

}  // namespace storefront
