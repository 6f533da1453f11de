// The tree as it is now, as JSON: who runs, under whom, how often restarted, with how many messages waiting.
//
// Shape   a server of its own, because it asks supervisors, and they answer when they have time: so nobody but this
//         process waits for them.
#pragma once
#include <otp/otp.hpp>

#include <optional>
#include <string>

namespace storefront {

struct status {
  struct show_tree { using reply = std::string; };

  static constexpr otp::name<status> name{"status"};
  static auto start_link() { return otp::gen_server::start_link<status>({.name = name}); }
  /// The JSON text; none if it cannot be had within 2 s.
  static std::optional<std::string> show();

  std::string handle_call(const show_tree&);
};

}  // namespace storefront
