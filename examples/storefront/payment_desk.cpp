#include "payment_desk.hpp"

#include "config.hpp"
#include "db_pool.hpp"

namespace storefront {

namespace {
constexpr std::int64_t at_once = 100;  // the others, next time
constexpr std::int64_t machines_max = 100'000;
}

payment_clerk::payment_clerk(std::shared_ptr<payment_gateway> bank) : gateway(std::move(bank)) {
  otp::send_interval(10s, otp::self(this), look{});
}

void payment_clerk::handle_info(look) {
  std::int64_t hold = config_now()->payment_hold_seconds;
  auto late = db_pool::read([=](sqlite::database& db) { return overdue_payments(db, hold, at_once); });
  if (!late) return;
  for (std::int64_t id : *late) static_cast<void>(ask_payment(id, gateway, payment::show{}));
}

// [payments]
otp::child_spec child_payments(std::shared_ptr<payment_gateway> bank, int max_restarts) {
  return otp::child_supervisor("payments", {.strategy = otp::rest_for_one,
                                            .max_restarts = max_restarts,
                                            .children = {
                                                otp::child_registry(payments),
                                                otp::child_dynamic_supervisor({.name = "payment_sup"}, {.max_children = machines_max}),
                                                otp::child<payment_clerk>(std::move(bank)).id("payment_clerk"),
                                            }});
}
// [/payments]

}  // namespace storefront
