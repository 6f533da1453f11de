#include "runtime/processor_meter.hpp"

#include <pthread.h>

namespace otp::detail {

processor_meter::processor_meter() noexcept : known_(::pthread_getcpuclockid(::pthread_self(), &clock_) == 0) {}

std::int64_t processor_meter::used_since_last_look() noexcept {
  timespec t;
  if (!known_ || ::clock_gettime(clock_, &t) != 0) return 0;
  const std::int64_t before = used_;
  used_ = t.tv_sec * std::int64_t{1'000'000'000} + t.tv_nsec;
  return used_ - before;
}

}  // namespace otp::detail
