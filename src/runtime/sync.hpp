// What the lock-free pieces of the scheduler stand on: atomics, the fence, the futex and its clock.
//
// Shape   inbox, run_queue, parker and idle_set are templates over a type like std_sync. The library uses std_sync;
//         tests/model puts a model checker in its place and runs the very same source in every interleaving.
// Units   nanoseconds of CLOCK_MONOTONIC.
// Source  FUTEX_WAIT_BITSET with an absolute deadline, so that an interrupted wait resumes without drifting.
#pragma once
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cassert>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <ctime>

namespace otp::detail {

struct std_sync {
  template <class T>
  using atomic = std::atomic<T>;

  /// What two threads write at the same time lies this many bytes apart.
  static constexpr std::size_t apart = 64;

  /// The deadline of a wait without one.
  static constexpr std::int64_t no_deadline = INT64_MAX;

  static void fence(std::memory_order order) noexcept { std::atomic_thread_fence(order); }

  static std::int64_t now() noexcept {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
  }

  /// Blocks while `word` is `expected`. False: the deadline has passed. True: look again; it may have been for nothing.
  static bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline) noexcept {
    static_assert(sizeof(word) == sizeof(std::uint32_t) && std::atomic<std::uint32_t>::is_always_lock_free);
    if (deadline < 0) deadline = 0;
    timespec until{};
    until.tv_sec = deadline / 1'000'000'000;
    until.tv_nsec = deadline % 1'000'000'000;
    const auto done = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, expected,
                              deadline == no_deadline ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY);
    if (done == 0) return true;
    assert(errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT);
    return errno != ETIMEDOUT;
  }

  /// Wakes one thread that waits on `word`, if there is one. The word may be gone already: the kernel only compares its
  /// address.
  static void futex_wake(std::atomic<std::uint32_t>& word) noexcept {
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
};

}  // namespace otp::detail
