// What a thread uses of the processors: whether it computes or waits in the kernel.
#pragma once
#include <time.h>

#include <cstdint>

namespace otp::detail {

/// What one thread, the one that made it, uses of the processors. Any thread may look, one at a time, while that lives.
class processor_meter {
 public:
  processor_meter() noexcept;
  /// Nanoseconds.
  std::int64_t used_since_last_look() noexcept;

 private:
  clockid_t clock_;
  bool known_;
  std::int64_t used_ = 0;
};

}  // namespace otp::detail
