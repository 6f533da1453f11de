#include "payment.hpp"

#include <nlohmann/json.hpp>

#include "config.hpp"
#include "counters.hpp"
#include "db_pool.hpp"
#include "news.hpp"

namespace storefront {

otp::result<otp::server<payment>> payment::start_link(std::int64_t id, std::shared_ptr<payment_gateway> bank) {
  return otp::gen_statem::start_link<payment>({.name = otp::via(payments, id)}, id, std::move(bank));
}

// [load]
otp::step<void, payment::pending, payment::authorized, payment::captured, payment::refunded> payment::on(loading&,
                                                                                                         const load&) {
  auto found = db_pool::read([id = id](sqlite::database& db) { return find_payment(db, id); });
  if (!found) return otp::stay().state_timeout(200ms, load{});
  record = found->value();  // it is started for payments that there are
  ++counters.payments_read;
  if (record.steps.empty()) return otp::go(pending{});
  const payment_step& last = record.steps.back();
  switch (last.event) {
    case payment_event::authorize: return otp::go(authorized{last.reference, last.age_seconds});
    case payment_event::capture: return otp::go(captured{last.reference});
    default: return otp::go(refunded{});
  }
}
// [/load]

const payment_step* payment::step_under(const std::string& key) const {
  for (const payment_step& step : record.steps)
    if (step.key == key) return &step;
  return nullptr;
}

payment_view payment::view(const char* state) const {
  payment_view shown{.id = id, .cents = record.cents, .state = state};
  for (const payment_step& step : record.steps)
    if (step.event == payment_event::refund || step.event == payment_event::expire) shown.refunded_cents += step.cents;
  return shown;
}

bool payment::write(payment_step step) {
  auto number = static_cast<std::int64_t>(record.steps.size()) + 1;
  auto written =
      db_pool::write([id = id, number, step](sqlite::database& db) { return write_step(db, id, number, step); });
  if (!written || !*written) return false;
  record.steps.push_back(std::move(step));
  ++counters.payment_steps;
  return true;
}

// [take]
template <class Target>
otp::step<payment::outcome, Target, payment::loading> payment::take(payment_step step, Target target) {
  // Whether it was written is not known: the ledger is.
  if (!write(std::move(step))) return otp::go(loading{}).reply(std::unexpected(refusal::unavailable));
  return otp::go(std::move(target)).reply(outcome(view(Target::word)));
}

otp::step<payment::outcome, payment::authorized, payment::loading> payment::on(pending&, const authorize& event) {
  std::string reference = gateway->authorize(id, event.card, record.cents);
  if (reference.empty()) return otp::stay().reply(std::unexpected(refusal::declined));
  return take({payment_event::authorize, event.key, record.cents, reference}, authorized{reference});
}
// [/take]

otp::step<void> payment::enter(authorized& state) {
  otp::duration hold = std::chrono::seconds(config_now()->payment_hold_seconds - state.age_seconds);
  return otp::stay().state_timeout(std::max<otp::duration>(hold, 0s), expire{});
}

otp::step<payment::outcome, payment::captured, payment::loading> payment::on(authorized& state, const capture& event) {
  if (step_under(event.key)) return otp::stay().reply(std::unexpected(refusal::key_reused));
  if (!gateway->capture(state.reference)) return otp::stay().reply(std::unexpected(refusal::gateway_failed));
  return take({payment_event::capture, event.key, record.cents, state.reference}, captured{state.reference});
}

otp::step<payment::outcome, payment::refunded, payment::loading> payment::on(authorized& state, const refund& event) {
  return give_back(state.reference, event);
}
otp::step<payment::outcome, payment::refunded, payment::loading> payment::on(captured& state, const refund& event) {
  return give_back(state.reference, event);
}

otp::step<payment::outcome, payment::refunded, payment::loading> payment::give_back(const std::string& reference,
                                                                                    const refund& event) {
  if (step_under(event.key)) return otp::stay().reply(std::unexpected(refusal::key_reused));
  if (event.cents <= 0 || event.cents > record.cents)
    return otp::stay().reply(std::unexpected(refusal::invalid_amount));
  if (!gateway->refund(reference, event.cents)) return otp::stay().reply(std::unexpected(refusal::gateway_failed));
  return take({payment_event::refund, event.key, event.cents, reference}, refunded{});
}

otp::step<void, payment::refunded, payment::loading> payment::on(authorized& state, const expire&) {
  if (!gateway->refund(state.reference, record.cents)) return otp::stay().state_timeout(1min, expire{});
  // No customer's key has brackets.
  if (!write({payment_event::expire, "(expired)", record.cents, state.reference}))
    return otp::go(loading{});
  publish("payments", {{"payment", id}, {"state", refunded::word}});
  return otp::go(refunded{});
}

}  // namespace storefront
