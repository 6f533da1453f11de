#include "runtime/tls.hpp"

namespace otp::detail {
namespace {

struct thread_slots {
  void* worker = nullptr;
  void* signal_stack = nullptr;
};

// initial-exec: in a shared object too the variable has its place in every thread from the start, so that reading
// it in a signal handler never allocates.
[[gnu::tls_model("initial-exec")]] constinit thread_local thread_slots slots;

[[gnu::always_inline]] inline thread_slots& here() noexcept {
  thread_slots* address = &slots;
  asm volatile("" : "+r"(address) : : "memory");
  return *address;
}

}  // namespace

void* current_worker_raw() noexcept { return here().worker; }
void set_current_worker_raw(void* worker) noexcept { here().worker = worker; }
void* current_signal_stack_raw() noexcept { return here().signal_stack; }
void set_current_signal_stack_raw(void* signal_stack) noexcept { here().signal_stack = signal_stack; }

}  // namespace otp::detail
