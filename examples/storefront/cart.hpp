// A shopping cart: one server a user, started when it is first asked for, gone when nobody has asked for a while.
//
// Shape   found by the user's name in a registry, started under a dynamic supervisor. What is in it is kept nowhere else:
//         a cart that dies is empty when it comes back, under another number. Never half full: that is what an order, which
//         is in the database, is for.
// Errors  a full cart refuses and stays as it is.
#pragma once
#include <otp/otp.hpp>
#include <otp/registry.hpp>

#include <cstdint>
#include <expected>
#include <map>
#include <string>

namespace storefront {

// [cart]
inline constexpr otp::unique_registry<std::string> carts{"carts"};

struct cart_view {
  std::string cart;                            ///< which one this is: its process
  std::map<std::int64_t, std::int64_t> lines;  ///< product and quantity
};

struct cart {
  struct full {};
  struct put { using reply = std::expected<cart_view, full>; std::int64_t product = 0, quantity = 0; };
  struct show { using reply = cart_view; };
  struct empty { using reply = cart_view; };

  static otp::result<otp::server<cart>> start_link(std::string user);
  static otp::init_result<cart> init();

  otp::call_result<put::reply> handle_call(const put& wanted);
  otp::call_result<cart_view> handle_call(const show&) { return answer(); }
  otp::call_result<cart_view> handle_call(const empty&) {
    lines.clear();
    return answer();
  }
  otp::handler_result handle_info(otp::timeout) { return otp::stop(otp::reason::normal); }

  std::map<std::int64_t, std::int64_t> lines;

 private:
  static otp::duration idle();
  otp::call_result<cart_view> answer() const;
};
// [/cart]

/// The registry, and the supervisor of all carts, which is of no use without it.
otp::child_spec child_carts(int max_restarts);

/// Asks the cart of a user. Errors: there is none to be had now.
otp::result<cart_view> show_cart_of(const std::string& user);
otp::result<cart_view> empty_cart_of(const std::string& user);
otp::result<cart::put::reply> put_into_cart_of(const std::string& user, cart::put what);

}  // namespace storefront
