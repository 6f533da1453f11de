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

using parsed = std::expected<decltype(routed::action), response>;

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
std::optional<std::int64_t> number_of(const json& value, std::int64_t max) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(max)) return std::nullopt;
  auto number = value.get<std::int64_t>();
  return number >= 1 ? std::optional(number) : std::nullopt;
}

parsed parse_order(const request& asked, std::int64_t) {
  if (asked.idempotency_key && !is_word(*asked.idempotency_key, 128))
    return refuse(400, "bad_idempotency_key", "Idempotency-Key: 1 to 128 of the characters A-Z a-z 0-9 _ . : @ -");
  auto body = object_of(asked, {"product", "quantity"});
  if (!body) return std::unexpected(std::move(body.error()));
  auto product = number_of((*body)["product"], INT64_MAX);
  if (!product) return refuse(422, "invalid", "'product' has to be the number of a product");
  auto quantity = number_of((*body)["quantity"], quantity_max);
  if (!quantity) return refuse(422, "invalid", "'quantity' has to be a number from 1 to 1000");
  return submit_order{*product, *quantity, asked.idempotency_key ? *asked.idempotency_key : fresh_key()};
}

parsed parse_kill(const request& asked, std::int64_t) {
  auto body = object_of(asked, {"what"});
  if (!body) return std::unexpected(std::move(body.error()));
  if (!(*body)["what"].is_string()) return refuse(422, "invalid", "'what' has to be a text");
  return kill_something{(*body)["what"].get<std::string>()};
}

// [endpoints]
struct endpoint {
  std::string_view method;
  std::string_view path;  // {id} stands for a number
  parsed (*parse)(const request& asked, std::int64_t id);
  bool limited = false;
};

constexpr endpoint endpoints[] = {
    {"GET", "/health", [](const request&, std::int64_t) -> parsed { return show_health{}; }},
    {"GET", "/status", [](const request&, std::int64_t) -> parsed { return show_status{}; }},
    {"GET", "/products", [](const request&, std::int64_t) -> parsed { return list_products{}; }, true},
    {"GET", "/products/{id}", [](const request&, std::int64_t id) -> parsed { return show_product{id}; }, true},
    {"POST", "/orders", parse_order, true},
    {"GET", "/orders/{id}", [](const request&, std::int64_t id) -> parsed { return show_order{id}; }, true},
    {"POST", "/chaos/kill", parse_kill},  // only with --chaos, so it stands last
};
// [/endpoints]

std::optional<std::int64_t> id_of(std::string_view text) {
  std::int64_t id = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id < 1 || text[0] == '0') return std::nullopt;
  return id;
}

// Whether the path is the endpoint's; then the {id} in it, or 0.
std::optional<std::int64_t> match(std::string_view pattern, std::string_view path) {
  std::size_t fixed = pattern.find('{');
  if (fixed == std::string_view::npos) return pattern == path ? std::optional<std::int64_t>(0) : std::nullopt;
  if (!path.starts_with(pattern.substr(0, fixed))) return std::nullopt;
  return id_of(path.substr(fixed));
}

}  // namespace

std::expected<routed, response> route(const request& asked, bool chaos) {
  std::string_view path = std::string_view(asked.target).substr(0, asked.target.find('?'));
  std::string_view method = asked.method == "HEAD" ? "GET" : std::string_view(asked.method);  // answered without body
  std::string allowed;
  for (const endpoint& e : std::span(endpoints).first(std::size(endpoints) - (chaos ? 0 : 1))) {
    auto id = match(e.path, path);
    if (!id) continue;
    if (e.method != method) {
      allowed = e.method == "GET" ? "GET, HEAD" : e.method;
      continue;
    }
    if (asked.user && !is_word(*asked.user, 64))
      return refuse(400, "bad_user", "X-User: 1 to 64 of the characters A-Z a-z 0-9 _ . : @ -");
    auto action = e.parse(asked, *id);
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
