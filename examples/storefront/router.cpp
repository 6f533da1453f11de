#include "router.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <span>

#include "orders.hpp"

namespace storefront {

using nlohmann::json;

response error_response(int status, std::string_view code, std::string_view message) {
  json body{{"error", {{"code", code}, {"message", message}}}};
  return {status, body.dump(-1, ' ', false, json::error_handler_t::replace)};
}

namespace {

constexpr std::int64_t quantity_max = 1000;
constexpr std::int64_t cents_max = 100'000'000;

using parsed = std::expected<decltype(routed::action), response>;

// What stands in the variable part of a path.
struct place {
  std::int64_t id = 0;     // {id}
  std::string word{};  // {word}
};

// An answer leaves a parse function as its error.
std::unexpected<response> refuse(int status, std::string_view code, std::string_view message) {
  return std::unexpected(error_response(status, code, message));
}

bool is_word(std::string_view text, std::size_t length_max) {
  return !text.empty() && text.size() <= length_max && std::ranges::all_of(text, [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == ':' || c == '@' || c == '-';
  });
}

bool is_json(const std::optional<std::string>& content_type) {
  if (!content_type) return false;
  std::string type = content_type->substr(0, content_type->find_first_of("; \t"));
  std::ranges::transform(type, type.begin(), [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
  return type == "application/json";
}

// The body as a JSON object with these members and no others.
std::expected<json, response> object_of(const request& asked, std::initializer_list<std::string_view> members) {
  if (!is_json(asked.content_type))
    return refuse(415, "unsupported_media_type", "the body has to be JSON: send Content-Type: application/json");
  json body = json::parse(asked.body, nullptr, false);
  if (body.is_discarded()) return refuse(400, "bad_json", "the body is not JSON");
  if (!body.is_object()) return refuse(422, "invalid", "the body has to be a JSON object");
  for (std::string_view member : members)
    if (!body.contains(member)) return refuse(422, "invalid", "the member '" + std::string(member) + "' is missing");
  if (body.size() != members.size()) return refuse(422, "invalid", "the body has members that mean nothing here");
  return body;
}

// A whole number within limits; also not 1.0, not "1", not 2^64.
std::optional<std::int64_t> number_of(const json& value, std::int64_t max, std::int64_t min = 1) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(max)) return std::nullopt;
  auto number = value.get<std::int64_t>();
  return number >= min ? std::optional(number) : std::nullopt;
}

std::expected<std::string, response> key_of(const request& asked) {
  if (!asked.idempotency_key) return fresh_key();
  if (is_word(*asked.idempotency_key, 128)) return *asked.idempotency_key;
  return refuse(400, "bad_idempotency_key", "Idempotency-Key: 1 to 128 of the characters A-Z a-z 0-9 _ . : @ -");
}

parsed parse_order(const request& asked, const place&) {
  auto key = key_of(asked);
  if (!key) return std::unexpected(std::move(key.error()));
  auto body = object_of(asked, {"product", "quantity"});
  if (!body) return std::unexpected(std::move(body.error()));
  auto product = number_of((*body)["product"], INT64_MAX);
  if (!product) return refuse(422, "invalid", "'product' has to be the number of a product");
  auto quantity = number_of((*body)["quantity"], quantity_max);
  if (!quantity) return refuse(422, "invalid", "'quantity' has to be a number from 1 to 1000");
  return submit_order{*product, *quantity, std::move(*key)};
}

parsed parse_put_in_cart(const request& asked, const place& at) {
  auto body = object_of(asked, {"quantity"});
  if (!body) return std::unexpected(std::move(body.error()));
  auto quantity = number_of((*body)["quantity"], quantity_max, 0);
  if (!quantity) return refuse(422, "invalid", "'quantity' has to be a number from 0, which takes it out, to 1000");
  return put_in_cart{at.id, *quantity};
}

// An amount that cannot be one is refused here; whether it fits the payment is the payment's to say.
std::expected<std::int64_t, response> cents_of(const json& value) {
  auto cents = number_of(value, cents_max);
  if (!cents) return refuse(422, "invalid_amount", "'cents' has to be a whole number from 1 to 100000000");
  return *cents;
}

parsed parse_open_payment(const request& asked, const place&) {
  auto key = key_of(asked);
  if (!key) return std::unexpected(std::move(key.error()));
  auto body = object_of(asked, {"cents"});
  if (!body) return std::unexpected(std::move(body.error()));
  auto cents = cents_of((*body)["cents"]);
  if (!cents) return std::unexpected(std::move(cents.error()));
  return open_payment{*cents, std::move(*key)};
}

parsed parse_authorize(const request& asked, const place& at) {
  auto key = key_of(asked);
  if (!key) return std::unexpected(std::move(key.error()));
  auto body = object_of(asked, {"card"});
  if (!body) return std::unexpected(std::move(body.error()));
  const json& card = (*body)["card"];
  if (!card.is_string() || !is_word(card.get_ref<const std::string&>(), 64))
    return refuse(422, "invalid", "'card' has to be the token of a card: 1 to 64 of A-Z a-z 0-9 _ . : @ -");
  return authorize_payment{at.id, std::move(*key), card.get<std::string>()};
}

parsed parse_capture(const request& asked, const place& at) {
  auto key = key_of(asked);
  if (!key) return std::unexpected(std::move(key.error()));
  if (!asked.body.empty()) return refuse(422, "invalid", "a capture takes the whole amount; send no body");
  return capture_payment{at.id, std::move(*key)};
}

parsed parse_refund(const request& asked, const place& at) {
  auto key = key_of(asked);
  if (!key) return std::unexpected(std::move(key.error()));
  auto body = object_of(asked, {"cents"});
  if (!body) return std::unexpected(std::move(body.error()));
  auto cents = cents_of((*body)["cents"]);
  if (!cents) return std::unexpected(std::move(cents.error()));
  return refund_payment{at.id, std::move(*key), *cents};
}

parsed parse_queue_report(const request& asked, const place&) {
  auto key = key_of(asked);
  if (!key) return std::unexpected(std::move(key.error()));
  if (!asked.body.empty()) return refuse(422, "invalid", "a report is about everything; send no body");
  return queue_report{std::move(*key)};
}

parsed parse_kill(const request& asked, const place&) {
  auto body = object_of(asked, {"what"});
  if (!body) return std::unexpected(std::move(body.error()));
  if (!(*body)["what"].is_string()) return refuse(422, "invalid", "'what' has to be a text");
  return kill_something{(*body)["what"].get<std::string>()};
}

// [endpoints]
struct endpoint {
  std::string_view method;
  std::string_view path;  // {id} stands for a number
  parsed (*parse)(const request& asked, const place& at);
  bool limited = false;
};

template <class Action>
parsed plain(const request&, const place&) {
  return Action{};
}
template <class Action>
parsed with_id(const request&, const place& at) {
  return Action{at.id};
}

constexpr endpoint endpoints[] = {
    {"GET", "/health", plain<show_health>},
    {"GET", "/status", plain<show_status>},
    {"GET", "/doctor", plain<show_doctor>},
    {"GET", "/config", plain<show_config>},
    {"PUT", "/config", [](const request& asked, const place&) -> parsed { return change_config{asked.body}; }},
    {"GET", "/products", plain<list_products>, true},
    {"GET", "/products/{id}", with_id<show_product>, true},
    {"POST", "/orders", parse_order, true},
    {"GET", "/orders/{id}", with_id<show_order>, true},
    {"GET", "/cart", plain<show_cart>, true},
    {"PUT", "/cart/{id}", parse_put_in_cart, true},
    {"DELETE", "/cart", plain<empty_cart>, true},
    {"POST", "/payments", parse_open_payment, true},
    {"GET", "/payments/diagram", plain<show_payment_diagram>},
    {"GET", "/payments/{id}", with_id<show_payment>, true},
    {"GET", "/payments/{id}/diagram", with_id<show_payment_diagram>, true},
    {"POST", "/payments/{id}/authorize", parse_authorize, true},
    {"POST", "/payments/{id}/capture", parse_capture, true},
    {"POST", "/payments/{id}/refund", parse_refund, true},
    {"POST", "/jobs/report", parse_queue_report, true},
    {"GET", "/jobs/{id}", with_id<show_job>, true},
    {"GET", "/profile/{word}", [](const request&, const place& at) -> parsed { return show_profile{at.word}; }, true},
    {"GET", "/news/{word}", [](const request&, const place& at) -> parsed { return follow_news{at.word}; }, true},
    {"POST", "/chaos/kill", parse_kill},  // only with --chaos, so it stands last
};
// [/endpoints]

std::optional<std::int64_t> id_of(std::string_view text) {
  std::int64_t id = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id < 1 || text[0] == '0') return std::nullopt;
  return id;
}

// Whether the path is the endpoint's; then what stands for its {id} or {word}.
std::optional<place> match(std::string_view pattern, std::string_view path) {
  std::size_t open = pattern.find('{');
  if (open == std::string_view::npos) return pattern == path ? std::optional(place{}) : std::nullopt;
  std::string_view before = pattern.substr(0, open), after = pattern.substr(pattern.find('}') + 1);
  if (!path.starts_with(before)) return std::nullopt;
  path.remove_prefix(before.size());
  if (!path.ends_with(after)) return std::nullopt;
  path.remove_suffix(after.size());
  if (pattern.substr(open).starts_with("{word}"))
    return is_word(path, 64) ? std::optional(place{.word = std::string(path)}) : std::nullopt;
  auto id = id_of(path);
  return id ? std::optional(place{.id = *id}) : std::nullopt;
}

}  // namespace

std::expected<routed, response> route(const request& asked, bool chaos) {
  std::string_view path = std::string_view(asked.target).substr(0, asked.target.find('?'));
  std::string_view method = asked.method == "HEAD" ? "GET" : std::string_view(asked.method);  // answered without body
  std::string allowed;
  for (const endpoint& e : std::span(endpoints).first(std::size(endpoints) - (chaos ? 0 : 1))) {
    auto at = match(e.path, path);
    if (!at) continue;
    if (e.method != method) {
      allowed += allowed.empty() ? "" : ", ";
      allowed += e.method == "GET" ? "GET, HEAD" : e.method;
      continue;
    }
    if (asked.user && !is_word(*asked.user, 64))
      return refuse(400, "bad_user", "X-User: 1 to 64 of the characters A-Z a-z 0-9 _ . : @ -");
    auto action = e.parse(asked, *at);
    if (!action) return std::unexpected(std::move(action.error()));
    routed result{.action = std::move(*action), .limited = e.limited};
    if (asked.user) result.user = *asked.user;
    return result;
  }
  if (allowed.empty()) return refuse(404, "not_found", "there is nothing here; try /products");
  response wrong_method = error_response(405, "method_not_allowed", "this takes " + allowed);
  wrong_method.headers.emplace_back("Allow", allowed);
  return std::unexpected(std::move(wrong_method));
}

}  // namespace storefront
