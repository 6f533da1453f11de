// What happens when a stack overflows, a pointer is wild, or the C++ runtime calls std::terminate while a process
// runs: a diagnosis that names the process, and then the end of the program with a core of the true context. By
// policy an overflow or a terminate ends only its process.
//
// Shape   SIGSEGV, SIGBUS -> on the thread's signal stack: is it the guard of the running stack? -> report, then
//         the handler that was there before, or the default action. Contained: the signal returns into a landing
//         stack, which leaves the dead one. std::terminate -> report, then abort; contained: the handler itself
//         leaves the dead stack.
//
// Rules
// 1. Hooks are called on the faulting thread, in a signal handler, with the faulting code stopped at any
//    instruction. They take no lock, allocate nothing, and read only what the thread itself wrote.
//    contain_terminate and abandon_* run as ordinary code.
// 2. An overflow is contained only where the fault lies in user code. In libc, the loader, the unwinder or the C++
//    library it would leave a lock held or a list half linked; our own runtime cannot be told apart by address, so
//    contain_overflow() says false while the thread is inside it, and an entry of the runtime that takes a lock
//    calls require_stack_room() first. Locks that the process itself held stay held, and
//    its destructors do not run.
// 3. Never under AddressSanitizer: SIGSEGV is its own.
// 4. The handlers stay for the whole program; what was there before is called for everything that is not ours.
//    Without install_crash_handlers() in force they only pass on.
//
// Source  Containment is outside the C++ standard. It is off unless a policy asks for it.
#pragma once
#include "runtime/stack.hpp"

#include <csignal>
#include <cstddef>

namespace otp::detail {

/// What the rooms above tell the handlers (rule 1). Any may be null.
struct crash_hooks {
  /// The stack that runs on the calling thread; null on a thread's own.
  stack* (*running_stack)() noexcept = nullptr;
  /// Writes who runs there, "process <0.12.3> (rate_limiter) in handle_call(check), stack_size 65536", and returns
  /// its length.
  std::size_t (*describe)(char* text, std::size_t size) noexcept = nullptr;
  bool (*contain_overflow)() noexcept = nullptr;
  bool (*contain_terminate)() noexcept = nullptr;
  /// Ends the process and leaves the dead stack for good; never return. The first runs on a small landing stack.
  void (*abandon_overflow)() = nullptr;
  void (*abandon_terminate)() = nullptr;
};

/// Installs the handlers, or counts one more user of them. The hooks of the first one hold until the last one is
/// gone.
void install_crash_handlers(const crash_hooks& hooks);
void uninstall_crash_handlers() noexcept;

/// The signal stack and the landing stack of a worker thread. Made and destroyed on that thread.
class thread_signal_stack {
 public:
  thread_signal_stack();
  ~thread_signal_stack();
  thread_signal_stack(const thread_signal_stack&) = delete;
  thread_signal_stack& operator=(const thread_signal_stack&) = delete;

  char* landing_top() const noexcept { return base_ + bytes_; }
  /// The thread's own stack, for walking its frames.
  bool thread_stack_contains(const void* address) const noexcept {
    return address >= thread_low_ && address < thread_top_;
  }
  const char* thread_top() const noexcept { return thread_top_; }

 private:
  char* base_ = nullptr;
  std::size_t bytes_ = 0;
  const char* thread_low_ = nullptr;
  const char* thread_top_ = nullptr;
  stack_t before_{};
  void* outer_ = nullptr;  // the one of an enclosing scope
};

/// What the runtime may need of a stack between taking a lock and giving it back.
inline constexpr std::size_t runtime_stack_room = (with_address_sanitizer || with_thread_sanitizer ? 32 : 8) * 1024;

/// Runs into the guard of `s`, which is the running stack, right here.
[[noreturn]] void overflow_now(const stack& s) noexcept;

/// Lets an overflow that is about to happen happen where nothing is held.
[[gnu::always_inline]] inline void require_stack_room(const stack& s) noexcept {
  const char* here = nullptr;
#if defined(__x86_64__)
  asm volatile("mov %%rsp, %0" : "=r"(here) : : "memory");
#elif defined(__aarch64__)
  asm volatile("mov %0, sp" : "=r"(here) : : "memory");
#else
  here = static_cast<const char*>(__builtin_frame_address(0));
#endif
  if (here < s.low + runtime_stack_room && here >= s.low) [[unlikely]]
    overflow_now(s);
}

/// The return addresses of the calling thread, innermost first: of the caller, or of the code that a signal
/// interrupted if its `ucontext` is given. Follows frame pointers inside the running stack, so code without them is
/// skipped or ends the walk; it never faults, never locks, and needs install_crash_handlers() or a
/// thread_signal_stack to know the stack.
std::size_t capture_backtrace(void** frames, std::size_t size, const void* ucontext = nullptr) noexcept;

}  // namespace otp::detail
