#include "configuration.hpp"

#include <nlohmann/json.hpp>

#include <set>
#include <span>

namespace storefront {

using nlohmann::json;

namespace {

// [keys]
struct known_key {
  const char* name;
  std::int64_t configuration::*value;
  std::int64_t min, max;
};

constexpr known_key known_keys[] = {
    {"payment_cents_max", &configuration::payment_cents_max, 1, 100'000'000},
    {"payment_hold_seconds", &configuration::payment_hold_seconds, 1, 30 * 86400},
    {"cart_idle_seconds", &configuration::cart_idle_seconds, 1, 86400},
    {"cart_lines_max", &configuration::cart_lines_max, 1, 1000},
    {"news_backlog_max", &configuration::news_backlog_max, 1, 100'000},
    {"news_patience_seconds", &configuration::news_patience_seconds, 1, 600},
    {"health_interval_ms", &configuration::health_interval_ms, 100, 60'000},
    {"profile_part_ms", &configuration::profile_part_ms, 10, 4'000},
    {"jobs_at_once", &configuration::jobs_at_once, 1, 64},
};
// [/keys]

std::string shown(const json& value) {
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

std::string accepted(const known_key& key) {
  return "a whole number from " + std::to_string(key.min) + " to " + std::to_string(key.max);
}

std::string all_names() {
  std::string all;
  for (const known_key& key : known_keys) all += (all.empty() ? "" : ", ") + std::string(key.name);
  return all;
}

const known_key* find_key(std::string_view name) {
  for (const known_key& key : known_keys)
    if (key.name == name) return &key;
  return nullptr;
}

bool within(const known_key& key, const json& value) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(key.max)) return false;
  auto number = value.get<std::int64_t>();
  return number >= key.min && number <= key.max;
}

}  // namespace

std::expected<configuration, std::vector<bad_key>> configuration_from(std::string_view text) {
  std::set<std::string> names, twice;
  auto note = [&](int depth, json::parse_event_t event, const json& parsed) {
    // What is deeper is dropped while it is read: a value that is wrong is shown, which takes a stack as deep as it is.
    if (depth > 2 && (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start)) return false;
    if (depth == 1 && event == json::parse_event_t::key && !names.insert(parsed.get<std::string>()).second)
      twice.insert(parsed.get<std::string>());
    return true;
  };
  json object = json::parse(text, note, false);
  if (!object.is_object())
    return std::unexpected(std::vector<bad_key>{{"", object.is_discarded() ? "no JSON" : shown(object),
                                                 R"(a JSON object such as {"cart_idle_seconds": 900})"}});
  configuration result;
  std::vector<bad_key> wrong;
  for (auto& [name, value] : object.items()) {
    const known_key* key = find_key(name);
    if (!key)
      wrong.push_back({name.substr(0, 60), shown(value), "no such key; there are: " + all_names()});
    else if (!within(*key, value))
      wrong.push_back({name, shown(value), accepted(*key)});
    else
      result.*key->value = value.get<std::int64_t>();
  }
  for (const std::string& name : twice) wrong.push_back({name.substr(0, 60), "there twice", "each key once"});
  if (!wrong.empty()) return std::unexpected(std::move(wrong));
  return result;
}

std::string to_text(const configuration& c) {
  json object = json::object();
  for (const known_key& key : known_keys) object[key.name] = c.*key.value;
  return object.dump(2);
}

std::string to_text(const std::vector<bad_key>& wrong) {
  std::string text;
  for (const bad_key& w : wrong)
    text += (text.empty() ? "" : "; ") + (w.key.empty() ? "it" : "'" + w.key + "'") + " is " + w.given +
            ", accepted is " + w.accepted;
  return text;
}

}  // namespace storefront
