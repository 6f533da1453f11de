// A child of fork() has one thread and a copy of everything else: workers, watchdog and whoever held a lock are gone.
// So a runtime belongs to the program that made it, and the child learns that clearly instead of waiting for ever.
//
// Shape   the child's thread forgets that it was a worker; objects of the parent compare the generation they were made
//         in with the present one. A runtime that the child makes for itself works.
#pragma once
#include <atomic>
#include <cstdint>

namespace otp::detail {

extern constinit std::atomic<std::uint32_t> forks_since_start;  // written in the child, where no other thread is

/// Counts the forks on the way to this program since the first call of register_fork_guard().
inline std::uint32_t fork_generation() noexcept { return forks_since_start.load(std::memory_order_relaxed); }

/// Idempotent; before the first worker runs.
void register_fork_guard();

}  // namespace otp::detail
