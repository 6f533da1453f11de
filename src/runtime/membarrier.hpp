// A fence that one side pays for: the rare side calls heavy_barrier(), the hot side only keeps the compiler in order.
//
// Rule    hot side:  store A; light_barrier(); load B.    rare side:  store B; heavy_barrier(); load A.
//         One of the two sees the other's store. Where the kernel has no membarrier(2), the hot side pays too.
#pragma once
#include <atomic>

namespace otp::detail {

/// Registers the program; called once before either side is used. Idempotent.
void register_membarrier() noexcept;
void heavy_barrier() noexcept;
extern bool membarrier_works;  // written by register_membarrier() only, before any worker runs

inline void light_barrier() noexcept {
  if (membarrier_works)
    std::atomic_signal_fence(std::memory_order_seq_cst);
  else
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

/// A full barrier, which costs nothing where an atomic exchange of the same thread has just been one.
inline void barrier_after_exchange() noexcept {
#if defined(__x86_64__)
  std::atomic_signal_fence(std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

}  // namespace otp::detail
