// What a supervisor sends to itself.
#pragma once
#include <cstdint>

namespace otp::detail {

/// Time to look at the children that are being stopped.
struct supervisor_tick {};
/// Another attempt at the restart of a child: a message of its own, so that others get their turn in between.
struct supervisor_retry {
  std::uint64_t order;
};

}  // namespace otp::detail
