// All payments: where their machines stand in the tree, and how they are asked.
#pragma once
#include "on_demand.hpp"
#include "payment.hpp"

namespace storefront {

/// Wakes the machines of authorizations that nobody captured in time, also of those from before the last start; they give
/// them back themselves.
struct payment_clerk {
  struct look {};
  using messages = otp::messages<look>;

  static constexpr otp::name<payment_clerk> name{"payment_clerk"};
  static auto start_link(std::shared_ptr<payment_gateway> bank) {
    return otp::gen_server::start_link<payment_clerk>({.name = name}, std::move(bank));
  }
  explicit payment_clerk(std::shared_ptr<payment_gateway> bank);
  void handle_info(look);

  std::shared_ptr<payment_gateway> gateway;
};

/// The registry, the supervisor of all machines, which is of no use without it, and the clerk.
otp::child_spec child_payments(std::shared_ptr<payment_gateway> bank, int max_restarts);

/// Asks the machine of a payment that there is. Errors: it cannot be had now.
template <class Event>
otp::result<typename Event::reply> ask_payment(std::int64_t id, const std::shared_ptr<payment_gateway>& bank,
                                               const Event& event) {
  auto spec = [&] { return otp::child<payment>(id, bank).restart(otp::temporary); };
  return ask_on_demand<payment>(payments, id, "payment_sup", spec, event);
}

}  // namespace storefront
