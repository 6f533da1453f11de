// One execution context: a stack, where it stopped, and the exception state it had there.
//
// Rules
// 1. A context that has been entered runs on one OS thread until it ends: whoever switches to it does so on the
//    thread that it was first entered on. A context that was made but never entered may be handed to another
//    thread.
// 2. All fields belong to the thread that runs or resumes the context. There are no atomics here: handing a context
//    over is ordered by whatever hands it over.
// 3. A switch carries everything that the C++ ABI keeps per thread but means per stack: callee-saved registers, the
//    floating point control words (not the sticky flags of <cfenv>), and the exception globals {caught, uncaught}.
//    Between two contexts the globals are always zero: who leaves puts its own aside, who arrives takes its own
//    back. Where they are zero anyway (nearly always) this costs two compares. A context library that did the same
//    underneath would find zeros and change nothing.
// 4. switch_context() reads no thread-local variable, so there is no address that a compiler could carry over a
//    switch. The address of the exception globals is asked for once per OS thread, by adopt_thread(), and every
//    switch hands it to the context that it enters, through memory: the code behind the jump reads what its resumer
//    wrote, never what a register held. It would be right even if a context moved to another thread.
//
// Source  x86-64 has its own jump: Boost's, except that the floating point control words are loaded only where they
//         differ, and the sticky flags beside them are left alone. Loading costs as much as all the rest, and ten
//         times that whenever a flag differs. Like Boost's it ends in an indirect jump and not in `ret`, which the
//         processor would predict from the calls of the stack that was left; between stacks that are left at the same
//         place it ends in `ret`. Other CPUs, and OTP_BOOST_CONTEXT, use Boost.Context's fcontext.
#pragma once
#include <cstddef>

// The sanitizer that this file is compiled with: three facts that every compiler spells in its own way.
#if defined(__SANITIZE_ADDRESS__)
#define OTP_DETAIL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OTP_DETAIL_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define OTP_DETAIL_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define OTP_DETAIL_TSAN 1
#endif
#endif
#ifndef OTP_DETAIL_ASAN
#define OTP_DETAIL_ASAN 0
#endif
#ifndef OTP_DETAIL_TSAN
#define OTP_DETAIL_TSAN 0
#endif

// Own assembly, or Boost's.
#if defined(__x86_64__) && !defined(__ILP32__) && !defined(OTP_BOOST_CONTEXT)
#define OTP_DETAIL_OWN_JUMP 1
#else
#define OTP_DETAIL_OWN_JUMP 0
#endif

namespace otp::detail {

inline constexpr bool with_address_sanitizer = OTP_DETAIL_ASAN != 0;
#ifdef OTP_ISOLATION
inline constexpr bool with_thread_sanitizer = true;  // of the callers: isolation.hpp
#else
inline constexpr bool with_thread_sanitizer = OTP_DETAIL_TSAN != 0;
#endif

/// What a context starts with. Never returns: leaves by switch_context_final().
using context_entry = void (*)(void* arg);

/// The head of `__cxa_eh_globals` as the Itanium C++ ABI fixes it.
struct exception_globals {
  void* caught = nullptr;  // stack of the exceptions inside whose `catch` we are
  unsigned uncaught = 0;   // thrown and not caught yet
#if defined(__arm__)
  void* propagating = nullptr;
#endif
};

struct context {
  void* sp = nullptr;                    // where it stopped; null: not made yet, or ended
  exception_globals* globals = nullptr;  // of the OS thread it runs on; written by whoever switches to it
  exception_globals aside;               // its exception state while it is suspended
  context_entry entry = nullptr;
  void* arg = nullptr;
#if !OTP_DETAIL_OWN_JUMP
  unsigned long float_control = 0;  // what it starts with
#endif
#if OTP_DETAIL_ASAN
  void* fake_stack = nullptr;  // ASan's second stack for locals whose address is taken
  const void* low = nullptr;
  std::size_t size = 0;
  context* came_from = nullptr;
#endif
#if OTP_DETAIL_TSAN
  void* fiber = nullptr;
  bool own_fiber = false;  // false: the OS thread's, not ours to destroy
#endif

  context() = default;
  context(const context&) = delete;
  context& operator=(const context&) = delete;

  /// True when it can be switched to: made or suspended. (Says nothing about a context that runs right now.)
  bool ready() const noexcept { return sp != nullptr; }
};

/// Prepares `c` to start with entry(arg) on [stack_low, stack_low + size). Whatever ran there before is dropped.
void make_context(context& c, void* stack_low, std::size_t size, context_entry entry, void* arg);

/// Makes `c` stand for the calling OS thread on its own stack, so that it can be switched from and back to.
void adopt_thread(context& c);

/// Frees what the sanitizers hold for a context that ended, or that is dropped while suspended: its destructors do
/// not run. Not for the running one. May be called on any thread.
void destroy_context(context& c) noexcept;

/// Leaves `from`, which will never run again, for `to`. Exceptions that `from` has in flight are forgotten, and
/// their memory is lost. Also the way out of a landing stack: `from` is then the context that died, not the one of
/// the landing stack.
[[noreturn]] void switch_context_final(context& from, context& to) noexcept;

/// Whether the stack of the running context is being unwound: std::uncaught_exceptions() without the search for the
/// thread.
inline bool unwinding(const context& running) noexcept { return running.globals->uncaught != 0; }

/// True while an exception is being thrown or unwinds on the calling thread. Safe in a signal handler.
bool exceptions_in_flight() noexcept;

#if OTP_DETAIL_OWN_JUMP && !OTP_DETAIL_ASAN && !OTP_DETAIL_TSAN

extern "C" void otp_context_jump(void** save_sp, void* load_sp) noexcept;
extern "C" void otp_context_jump_alike(void** save_sp, void* load_sp) noexcept;
void put_aside(context& from, exception_globals& globals) noexcept;
void take_back(context& from) noexcept;

/// Suspends `from`, which runs, and goes on with `to`. Returns when somebody switches to `from`. Inline, so that
/// returning from it is not one more `ret` that the processor mispredicts. `alike`: `to` probably called from the same
/// place as the caller; it costs time to be wrong, and nothing else.
template <bool alike = false>
[[gnu::always_inline]] inline void switch_context(context& from, context& to) noexcept {
  exception_globals* globals = from.globals;
  if (globals->caught != nullptr || globals->uncaught != 0) [[unlikely]]
    put_aside(from, *globals);
  to.globals = globals;
  if constexpr (alike)
    otp_context_jump_alike(&from.sp, to.sp);
  else
    otp_context_jump(&from.sp, to.sp);
  if (from.aside.caught != nullptr || from.aside.uncaught != 0) [[unlikely]]
    take_back(from);
}

#else

/// Suspends `from`, which runs, and goes on with `to`. Returns when somebody switches to `from`.
void switch_instrumented(context& from, context& to) noexcept;
template <bool alike = false>
inline void switch_context(context& from, context& to) noexcept {
  switch_instrumented(from, to);
}

#endif

}  // namespace otp::detail
