// How a worker with nothing to run waits for the outside world. Implemented by otp::asio; the seeded engine has none.
#pragma once
#include "runtime/timer_wheel.hpp"

namespace otp::detail {

class poller {
 public:
  virtual ~poller() = default;
  /// Runs completions that are ready; with none, waits for one until `deadline` (0: does not wait) or wake().
  /// Called by one worker at a time.
  virtual void poll(nanos deadline) = 0;
  /// Ends a poll() that waits, now or next time. Any thread.
  virtual void wake() noexcept = 0;
};

}  // namespace otp::detail
