// From a request to what it asks for, or to the answer that says why not. Pure: it knows no server and no database.
#pragma once
#include "http.hpp"

#include <cstdint>
#include <expected>
#include <variant>

namespace storefront {

// What can be asked for. Where something is written, `key` is the customer's Idempotency-Key, or one made for the request.
struct show_health {};
struct show_status {};
struct list_products {};
struct show_product { std::int64_t id = 0; };
struct submit_order { std::int64_t product = 0, quantity = 0; std::string key; };
struct show_order { std::int64_t id = 0; };
struct show_cart {};
struct put_in_cart { std::int64_t product = 0, quantity = 0; };
struct empty_cart {};
struct show_config {};
struct change_config { std::string body; };  ///< empty: read the file again
struct open_payment { std::int64_t cents = 0; std::string key; };
struct show_payment { std::int64_t id = 0; };
struct authorize_payment { std::int64_t id = 0; std::string key, card; };
struct capture_payment { std::int64_t id = 0; std::string key; };
struct refund_payment { std::int64_t id = 0; std::string key; std::int64_t cents = 0; };
struct show_payment_diagram { std::int64_t id = 0; };  ///< 0: of none in particular
struct queue_report { std::string key; };
struct show_job { std::int64_t id = 0; };
struct show_profile { std::string user; };
struct follow_news { std::string topic; };  ///< by websocket
struct show_doctor {};
struct kill_something { std::string what; };

struct routed {
  std::variant<show_health, show_status, list_products, show_product, submit_order, show_order, show_cart, put_in_cart,
               empty_cart, open_payment, show_payment, authorize_payment, capture_payment, refund_payment,
               show_payment_diagram, queue_report, show_job, show_profile, follow_news, show_config, change_config,
               show_doctor, kill_something>
      action;
  std::string user = "anonymous";
  bool limited = false;  ///< the rate limiter has a say
};

/// `chaos`: whether POST /chaos/kill exists.
std::expected<routed, response> route(const request& asked, bool chaos);

}  // namespace storefront
