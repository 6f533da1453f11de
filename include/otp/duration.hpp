// Lengths of time and points in it, as every part of the library takes them.
//
// Units   nanoseconds in a 64-bit count; `infinity` is the largest and never passes.
#pragma once
#include <chrono>
#include <cstdint>

namespace otp {

using duration = std::chrono::nanoseconds;

/// The runtime's monotonic clock. Under the seeded engine it is virtual; it never goes backwards.
struct monotonic_clock {
  using rep = std::chrono::nanoseconds::rep;
  using period = std::chrono::nanoseconds::period;
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<monotonic_clock, duration>;
  static constexpr bool is_steady = true;
  /// The time of the runtime that the caller runs in; outside of one, of the machine.
  static time_point now() noexcept;
};

using instant = monotonic_clock::time_point;

/// Waits for ever, where a timeout is asked for.
inline constexpr duration infinity = duration::max();

/// How long `otp::call` waits unless told otherwise, as in OTP.
inline constexpr duration call_timeout = std::chrono::seconds(5);

/// Shorthand for `monotonic_clock::now()`.
inline instant now() noexcept { return monotonic_clock::now(); }

}  // namespace otp
