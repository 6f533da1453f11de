#include <nlohmann/json.hpp>

#include "actions.hpp"
#include "config.hpp"

namespace storefront {

using nlohmann::json;

response act(const show_config&, const customer&) { return {.status = 200, .body = to_text(*config_now())}; }

response act(const change_config& asked, const customer& by) {
  auto changed = change_config_to(by.how.config, asked.body);
  if (changed) return {.status = 200, .body = to_text(*changed)};
  const config_refusal& why = changed.error();
  if (why.wrong.empty()) return try_later(503, "unwritable", why.unwritable + "; the configuration stays as it was");
  json keys = json::array();
  for (const bad_key& w : why.wrong) keys.push_back({{"key", w.key}, {"given", w.given}, {"accepted", w.accepted}});
  json error{{"code", "bad_config"},
             {"message", to_text(why.wrong) + "; the configuration stays as it was"},
             {"keys", std::move(keys)}};
  return json_response(422, {{"error", std::move(error)}});
}

}  // namespace storefront
