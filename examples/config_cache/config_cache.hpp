// The settings of a program, read by everybody and changed now and then.
#pragma once
#include <otp/otp.hpp>
#include <cstdlib>
#include <string>

// [config_cache]
struct settings {
  std::string api_key;
  otp::duration timeout = std::chrono::seconds(5);
  int retry_attempts = 3;
};

namespace config_cache {
inline settings load_config() {
  const char* key = std::getenv("API_KEY");
  return {.api_key = key ? key : ""};
}

inline constexpr otp::name<otp::agent<settings>> name{"config_cache"};
inline auto child() { return otp::child_agent(name, load_config); }

template <class T>
T get(T settings::* which) { return otp::get(name, which); }
inline auto get_all() { return otp::snapshot(name); }  // shared, immutable, without asking the agent
template <class T>
void put(T settings::* which, std::type_identity_t<T> value) {
  otp::update(name, [=](settings& s) { s.*which = value; });
}
inline void reload() {
  otp::update(name, [fresh = load_config()](settings& s) { s = fresh; });  // the caller loads: nobody waits for it
}
}  // namespace config_cache
// [/config_cache]
