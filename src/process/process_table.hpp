// Where control blocks live: a place per process, found by the index in its pid.
//
// Rules
// 1. Chunks are mapped once, zeroed, and stay until the runtime ends (process.hpp, rule 1).
// 2. A free place is in exactly one of: a worker's cache (that worker's), the shared queue (lock). Places are reused
//    first in, first out, and the generation goes up with every tenant: 40 bits times a queue of places.
#pragma once
#include "process/process.hpp"

#include <deque>
#include <memory>

namespace otp::detail {

class process_table {
 public:
  process_table(std::size_t limit, std::uint64_t first_generation);
  ~process_table();
  process_table(const process_table&) = delete;
  process_table& operator=(const process_table&) = delete;

  struct cache {
    std::deque<std::uint32_t> free;
  };

  /// A place with a fresh pid in `id` and the inbox still closed; null at the limit.
  process* allocate(cache* local);
  /// The tenant is gone: `id` is cleared, the place may be taken again.
  void release(process&, cache* local) noexcept;
  void give_back(cache& local) noexcept;

  /// The block of a live process, or null. The tenant may die at any moment after.
  process* find(pid) const noexcept;
  process* at(std::uint32_t index) const noexcept;
  std::uint32_t index_of(const process&) const noexcept;
  std::size_t live() const noexcept { return live_.load(std::memory_order_relaxed); }
  std::size_t limit() const noexcept { return limit_; }
  std::uint32_t end() const noexcept { return top_.load(std::memory_order_acquire); }

 private:
  static constexpr std::size_t chunk_size = 1024;
  static constexpr std::size_t block_size = (sizeof(process) + 31) / 32 * 32;

  std::size_t limit_;
  std::uint64_t first_generation_;
  std::atomic<std::size_t> live_{0};
  std::atomic<std::uint32_t> top_{0};             // places ever handed out; grows under lock_
  std::unique_ptr<std::atomic<char*>[]> chunks_;  // each written once, under lock_
  std::size_t chunk_count_;
  std::mutex lock_;
  std::deque<std::uint32_t> free_;  // guarded by lock_
};

inline process* process_table::at(std::uint32_t index) const noexcept {
  if (index / chunk_size >= chunk_count_) return nullptr;
  char* c = chunks_[index / chunk_size].load(std::memory_order_acquire);  // pairs with the store in allocate()
  return c ? std::launder(reinterpret_cast<process*>(c + (index % chunk_size) * block_size)) : nullptr;
}

inline process* process_table::find(pid p) const noexcept {
  if (!p) return nullptr;
  process* b = at(p.index());
  return b && b->id.load(std::memory_order_acquire) == p.value() ? b : nullptr;
}

}  // namespace otp::detail
