// How many workers this program should have: what the kernel lets it use, not what the machine has.
#pragma once
#include <pthread.h>

#include <cstdint>
#include <string>

namespace otp::detail {

/// The CPUs of the affinity mask, or fewer if the control group has a smaller quota: half a core is one worker. At
/// least 1. `root` stands before /proc and /sys, for tests.
unsigned usable_cpus(const std::string& root = {});

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
