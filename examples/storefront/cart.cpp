#include "cart.hpp"

#include "config.hpp"
#include "on_demand.hpp"

namespace storefront {

namespace {
constexpr const char* supervisor = "cart_sup";
constexpr std::int64_t carts_max = 100'000;  // one more is refused, until some have gone

template <class Request>
otp::result<typename Request::reply> ask(const std::string& user, const Request& request) {
  auto spec = [&] { return otp::child<cart>(user).restart(otp::temporary); };
  return ask_on_demand<cart>(carts, user, supervisor, spec, request);
}
}  // namespace

otp::duration cart::idle() { return std::chrono::seconds(config_now()->cart_idle_seconds); }

otp::result<otp::server<cart>> cart::start_link(std::string user) {
  return otp::gen_server::start_link<cart>({.name = otp::via(carts, std::move(user))});
}

otp::init_result<cart> cart::init() { return otp::ok().timeout_after(idle()); }

otp::call_result<cart_view> cart::answer() const {
  return otp::reply(cart_view{otp::self().to_string(), lines}).timeout_after(idle());
}

otp::call_result<cart::put::reply> cart::handle_call(const put& wanted) {
  using reply = put::reply;
  if (wanted.quantity == 0)
    lines.erase(wanted.product);
  else if (lines.contains(wanted.product) || std::ssize(lines) < config_now()->cart_lines_max)
    lines[wanted.product] = wanted.quantity;
  else
    return otp::reply(reply(std::unexpected(full{}))).timeout_after(idle());
  return otp::reply(reply(cart_view{otp::self().to_string(), lines})).timeout_after(idle());
}

// [carts]
otp::child_spec child_carts(int max_restarts) {
  return otp::child_supervisor(
      "carts", {.strategy = otp::rest_for_one,
                .max_restarts = max_restarts,
                .children = {otp::child_registry(carts), otp::child_dynamic_supervisor({.name = supervisor}, {.max_children = carts_max})}});
}
// [/carts]

otp::result<cart_view> show_cart_of(const std::string& user) { return ask(user, cart::show{}); }
otp::result<cart_view> empty_cart_of(const std::string& user) { return ask(user, cart::empty{}); }
otp::result<cart::put::reply> put_into_cart_of(const std::string& user, cart::put what) { return ask(user, what); }

}  // namespace storefront
