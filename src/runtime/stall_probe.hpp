// Where a worker is right now: asked by a signal, answered from its own stack.
#pragma once
#include "runtime/scheduler.hpp"

#include <string>

namespace otp::detail {

struct stall_trace {
  std::array<void*, 32> frames{};
  std::size_t count = 0;
  /// "function+0x12 < caller+0x34 ..." as far as the dynamic symbol table tells.
  std::string text() const;
};

/// Interrupts the worker's thread with SIGURG and waits up to 50 ms for its answer. Empty if exceptions are in flight
/// there, since an unwinder must not be walked from inside.
stall_trace probe_worker(worker& w);

}  // namespace otp::detail
