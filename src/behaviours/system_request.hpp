// What sys asks of a server's loop.
#pragma once
#include <otp/call.hpp>

namespace otp::detail {

enum class system_op : std::uint8_t { suspend, resume, get_status };

struct system_request final : reply_envelope<server_status> {
  explicit system_request(system_op what);
  system_op op;
};

/// What stop() sends: behind everything sent before, the server ends with `why`.
struct stop_envelope final : envelope {
  explicit stop_envelope(exit_reason r);
  exit_reason why;
};

}  // namespace otp::detail
