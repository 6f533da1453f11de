// The isolation checker: what ThreadSanitizer is told in a build with OTP_ISOLATION. Elsewhere nothing of this is
// there.
//
// Shape   each process is a thread to ThreadSanitizer (a "fiber" of its), although all of them run on one. What one
//         does happens before what another does where a signal or a spawn leads from one to the other, and nowhere
//         else. So memory that two of them touch without a message between them is a data race, in every order of
//         things.
//
// Rules
// 1. The library itself is not instrumented: it is a shared object without -fsanitize=thread, and its calls of libc,
//    locks included, are left out (isolation_options.cpp). What its callers inline from its headers is instrumented
//    like their own code.
// 2. A process's fiber is current from begin_step() to end_step(); the scheduler's loop is the fiber of the OS thread.
//    Only the seeded engine switches: one thread, so that no report is about the scheduler.
// 3. A signal: sent() by who makes it, at the latest when it is pushed, received() by who takes it in. The loop never
//    sends: what fires a timer would otherwise carry along everything that has happened before.
// 4. The loop comes behind every step (loop_sync), since what a run leaves behind is freed and looked at from there. A
//    process comes behind its spawner, by the creation of its fiber.
// 5. Memory of a stack that is used again is new: fresh(). Pools of other memory are off.
// 6. Registries, application environments and snapshots hold values of users that everybody may read: what was put in
//    happens before what is taken out (ordering_lock). A name alone orders nothing: whereis() is no message.
// 7. News of an end comes behind all that the process did, also where somebody else tells it (`noproc`).
#pragma once
#include <cstddef>
#include <mutex>
#include <utility>

namespace otp::detail {

#ifdef OTP_ISOLATION

}  // namespace otp::detail

extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void __tsan_java_alloc(unsigned long address, unsigned long size);
void __tsan_java_free(unsigned long address, unsigned long size);
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}

namespace otp::detail {

inline constexpr bool with_isolation = true;

/// The fiber of a process.
class isolated {
 public:
  void begin() {
    end();
    fiber_ = __tsan_create_fiber(0);
  }
  /// While it is current it cannot go yet: whoever switches away takes it.
  void* take() noexcept { return std::exchange(fiber_, nullptr); }
  void end() noexcept {
    if (void* old = take()) __tsan_destroy_fiber(old);
  }
  void* fiber() const noexcept { return fiber_; }

 private:
  void* fiber_ = nullptr;
};

/// Where the processes of a worker run, and what it runs between them.
class isolation_loop {
 public:
  static inline bool inside_any = false;  // a process runs: on the one thread that there is
  void enter(const isolated& process) noexcept {
    if (inside_ || !process.fiber()) return;  // a step that resumes its process has begun already
    loop_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(process.fiber(), no_sync);
    inside_ = inside_any = true;
  }
  void leave() noexcept {
    if (!inside_) return;
    inside_ = inside_any = false;
    __tsan_release(&loop_);
    __tsan_switch_to_fiber(loop_, no_sync);
    __tsan_acquire(&loop_);
    if (void* over = std::exchange(over_, nullptr)) __tsan_destroy_fiber(over);
  }
  /// The running process is over.
  void over(isolated& process) noexcept {
    if (inside_)
      over_ = process.take();
    else
      process.end();
  }

 private:
  static constexpr unsigned no_sync = 1;
  void* loop_ = nullptr;
  void* over_ = nullptr;
  bool inside_ = false;
};

/// By a process; on the loop it does nothing.
inline void sent(void* e) noexcept {
  if (isolation_loop::inside_any) __tsan_release(e);
}
inline void received(void* e) noexcept { __tsan_acquire(e); }
inline void fresh(void* low, const void* high) noexcept {
  constexpr unsigned long grain = 8;
  const auto from = (reinterpret_cast<unsigned long>(low) + grain - 1) & ~(grain - 1);
  const auto to = reinterpret_cast<unsigned long>(high) & ~(grain - 1);
  if (from >= to) return;
  // Freed, made and freed again: nothing is left of what was known, nor a heap block where there is none.
  __tsan_java_free(from, to - from);
  __tsan_java_alloc(from, to - from);
  __tsan_java_free(from, to - from);
}

/// Code of a test that may look at everything.
struct unwatched {
  unwatched() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~unwatched() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
  unwatched(const unwatched&) = delete;
  unwatched& operator=(const unwatched&) = delete;
};

#else

inline constexpr bool with_isolation = false;

struct isolated {
  void begin() noexcept {}
  void end() noexcept {}
};
struct isolation_loop {
  void enter(const isolated&) noexcept {}
  void leave() noexcept {}
  void over(isolated&) noexcept {}
};
inline void sent(void*) noexcept {}
inline void received(void*) noexcept {}
inline void fresh(void*, const void*) noexcept {}
struct unwatched {
  unwatched() noexcept {}
};

#endif

/// The lock of something that everybody may read.
template <class Mutex>
class ordering_lock {
 public:
  explicit ordering_lock(Mutex& m) : lock_(m), place_(&m) { received(place_); }
  ~ordering_lock() { sent(place_); }
  ordering_lock(const ordering_lock&) = delete;
  ordering_lock& operator=(const ordering_lock&) = delete;

 private:
  std::lock_guard<Mutex> lock_;
  Mutex* place_;
};

}  // namespace otp::detail
