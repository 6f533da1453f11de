// The only thread-local variables of the library.
//
// Compilers and libc keep the address of a thread-local variable in registers as if a function could never wake up
// on another thread. Our suspended stacks do not move, so no such address of ours goes stale; the asm statement that
// each access goes through is the second net: a compiler finds nothing there that it could carry over.
//
// They are also safe in a signal handler: the variables live in the static TLS block (initial-exec, in a shared object
// too), nothing is allocated on first use.
#pragma once

namespace otp::detail {

struct thread_slots {
  void* worker = nullptr;
  void* signal_stack = nullptr;
};
[[gnu::tls_model("initial-exec")]] extern constinit thread_local thread_slots the_thread_slots;

[[gnu::always_inline]] inline thread_slots& this_thread_slots() noexcept {
  thread_slots* address = &the_thread_slots;
  asm volatile("" : "+r"(address));
  return *address;
}

/// The worker that the calling OS thread is; null on every other thread.
inline void* current_worker_raw() noexcept { return this_thread_slots().worker; }
inline void set_current_worker_raw(void* worker) noexcept { this_thread_slots().worker = worker; }

/// The thread_signal_stack of the calling OS thread, or null.
inline void* current_signal_stack_raw() noexcept { return this_thread_slots().signal_stack; }
inline void set_current_signal_stack_raw(void* signal_stack) noexcept {
  this_thread_slots().signal_stack = signal_stack;
}

}  // namespace otp::detail
