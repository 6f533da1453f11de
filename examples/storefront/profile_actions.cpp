#include <nlohmann/json.hpp>

#include "actions.hpp"
#include "config.hpp"
#include "json.hpp"
#include "profile.hpp"

namespace storefront {

using nlohmann::json;

response act(const show_profile& asked, const customer& by) {
  if (asked.user != by.name) return error_response(404, "not_found", "you have no such profile");
  profile found;
  try {
    found = gather_profile(by.name, std::chrono::milliseconds(config_now()->profile_part_ms));
  } catch (const otp::exited&) {
    // The supervisor of the tasks is just being restarted: nothing can be had, and that is said as of any part.
  }
  json body{{"user", by.name}}, missing = json::array();
  auto put = [&](const char* name, const auto& part) {
    if (!part) missing.push_back(name);
    body[name] = part ? json(*part) : json();
  };
  put("orders", found.orders);
  put("payments", found.payments);
  put("cart", found.cart);
  body["missing"] = std::move(missing);
  return json_response(200, body);
}

}  // namespace storefront
