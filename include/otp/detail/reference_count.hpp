// How something with several owners learns that the last one has gone.
#pragma once
#include <atomic>
#include <cstdint>

#ifdef OTP_ISOLATION
extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace otp::detail {

/// Gives one reference up. True: it was the last one, and what the other owners did with it has happened before.
inline bool drop_reference(std::atomic<std::uint32_t>& count) noexcept {
#ifdef OTP_ISOLATION
  __tsan_release(&count);  // the library, which drops references too, is not instrumented
#endif
  if (count.fetch_sub(1, std::memory_order_acq_rel) != 1) return false;
#ifdef OTP_ISOLATION
  __tsan_acquire(&count);
#endif
  return true;
}

}  // namespace otp::detail
