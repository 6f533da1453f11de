// What the rate limit of events remembers.
#pragma once
#include "process/runtime_core.hpp"

namespace otp::detail {

struct runtime_core::event_state {
  struct kind {
    nanos window_start = INT64_MIN / 2;
    unsigned shown = 0;
    std::uint64_t left_out = 0;
  };
  std::mutex lock;
  std::map<std::string, kind> kinds;  // guarded by lock
  bool removed = false;               // guarded by lock
};

/// The text without what is nested deeper than `depth` (0: no limit) in {}, [] and ().
std::string to_depth(std::string_view text, std::size_t depth);
/// A line to standard error, without waiting. False: (part of) it is lost.
bool write_line_to_stderr(std::string_view text);

}  // namespace otp::detail
