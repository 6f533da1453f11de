// From a request to what it asks for, or to the answer that says why not. Pure: it knows no server and no database.
#pragma once
#include "http.hpp"

#include <cstdint>
#include <expected>
#include <variant>

namespace storefront {

// What can be asked for.
struct show_health {};
struct show_status {};
struct list_products {};
struct show_product { std::int64_t id = 0; };
struct submit_order { std::int64_t product = 0, quantity = 0; std::string key; };
struct show_order { std::int64_t id = 0; };
struct kill_something { std::string what; };

struct routed {
  std::variant<show_health, show_status, list_products, show_product, submit_order, show_order, kill_something> action;
  std::string user = "anonymous";
  bool limited = false;  ///< the rate limiter has a say
};

/// `chaos`: whether POST /chaos/kill exists.
std::expected<routed, response> route(const request& asked, bool chaos);

}  // namespace storefront
