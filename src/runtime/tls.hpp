// The only file of the library with thread-local variables.
//
// Compilers and libc keep the address of a thread-local variable in registers as if a function could never wake up
// on another thread. Our suspended stacks do not move, so no such address of ours goes stale; these accessors are
// the second net. They are never inlined, and the address goes through an asm statement: a compiler that looks
// inside the function (clang's constant propagation, link-time optimisation) finds nothing that it could carry
// over.
//
// They are also safe in a signal handler: the variables live in the static TLS block, nothing is allocated on first
// use.
#pragma once

namespace otp::detail {

/// The worker that the calling OS thread is; null on every other thread.
[[gnu::noinline]] void* current_worker_raw() noexcept;
[[gnu::noinline]] void set_current_worker_raw(void* worker) noexcept;

/// The thread_signal_stack of the calling OS thread, or null.
[[gnu::noinline]] void* current_signal_stack_raw() noexcept;
[[gnu::noinline]] void set_current_signal_stack_raw(void* signal_stack) noexcept;

}  // namespace otp::detail
