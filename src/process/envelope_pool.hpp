// The memory of envelopes: what a worker keeps of those that its processes have read, for the ones they send next, and
// what workers leave to each other, where one sends what another reads.
//
// Shape   envelope_memory <- envelope_pool (of the worker) <- envelope_depot (of the runtime) <- operator new
//
// Rules
// 1. A pool belongs to one worker; nobody else touches it. A block that was taken here may be given back elsewhere.
// 2. Every block was made by the global operator new, with the size of its class, and may go back there at any time.
// 3. A pool that is full gives a chain of blocks to the depot, and one that is empty takes a chain from there: a lock
//    once for chain_length messages.
// 4. Under the sanitizers nothing is kept: they are to see every use of an envelope that is gone.
#pragma once
#include "runtime/scheduler.hpp"

#include <array>
#include <atomic>
#include <cstddef>

namespace otp::detail {

struct envelope_block {
  envelope_block* next;
  envelope_block* next_chain;  // of the first of a chain in the depot
};

/// Chains of `chain_length` blocks that some worker had too many of.
class envelope_depot {
 public:
  static constexpr std::size_t chain_length = 64;
  static constexpr std::size_t kept_max = std::size_t{4} << 20U;  // bytes

  envelope_depot() = default;
  ~envelope_depot() { trim(); }
  envelope_depot(const envelope_depot&) = delete;
  envelope_depot& operator=(const envelope_depot&) = delete;

  /// False: it is full, and the chain is still the caller's.
  bool give(envelope_block* chain, std::size_t size_class) noexcept;
  /// A chain of this class, or null.
  envelope_block* take(std::size_t size_class) noexcept;
  /// Gives everything back.
  void trim() noexcept;

 private:
  static constexpr std::size_t classes = 9;
  spin_lock lock_;
  std::array<std::atomic<envelope_block*>, classes> chains_{};  // written under the lock; read by anyone for null
  std::size_t kept_ = 0;                                        // guarded by lock_
};

class envelope_pool {
 public:
  static constexpr std::size_t step = 32;
  static constexpr std::size_t largest = 256;
  static constexpr std::size_t kept_max = std::size_t{1} << 20U;  // bytes

  explicit envelope_pool(envelope_depot* depot = nullptr) noexcept : depot_(depot) {}
  ~envelope_pool() { trim(); }
  envelope_pool(const envelope_pool&) = delete;
  envelope_pool& operator=(const envelope_pool&) = delete;

  /// A block of this class, or null.
  void* take(std::size_t size_class) noexcept {
    envelope_block* first = free_[size_class];
    if (!first) [[unlikely]] {
      if (!refill(size_class)) return nullptr;
      first = free_[size_class];
    }
    free_[size_class] = first->next;
    __builtin_prefetch(first->next);  // the next one taken reads it
    kept_ -= size_class * step;
    return first;
  }
  /// False: it is full.
  bool give(void* memory, std::size_t size_class) noexcept {
    if (kept_ + size_class * step > kept_max && !make_room(size_class)) [[unlikely]]
      return false;
    free_[size_class] = ::new (memory) envelope_block{free_[size_class], nullptr};
    kept_ += size_class * step;
    return true;
  }
  /// Gives everything back.
  void trim() noexcept;

  static constexpr std::size_t class_of(std::size_t size) noexcept { return (size + step - 1) / step; }

 private:
  bool refill(std::size_t size_class) noexcept;
  bool make_room(std::size_t size_class) noexcept;

  std::array<envelope_block*, largest / step + 1> free_{};
  std::size_t kept_ = 0;
  envelope_depot* depot_;
};

}  // namespace otp::detail
