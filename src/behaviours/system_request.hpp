// What sys asks of a server's loop.
#pragma once
#include <otp/call.hpp>

namespace otp::detail {

enum class system_op : std::uint8_t { suspend, resume, get_status };

struct system_request final : reply_envelope<server_status> {
  explicit system_request(system_op what);
  system_op op;
};

}  // namespace otp::detail
