#include "process/process_table.hpp"

#include <sys/mman.h>

#include <new>

namespace otp::detail {

namespace {
constexpr std::size_t cache_low = 64;  // places kept back so that a place is not reused at once
constexpr std::size_t cache_high = 192;
}  // namespace

process_table::process_table(std::size_t limit, std::uint64_t first_generation)
    : limit_(limit), first_generation_(first_generation), chunk_count_((limit + chunk_size - 1) / chunk_size + 2) {
  chunks_ = std::make_unique<std::atomic<char*>[]>(chunk_count_);
}

process_table::~process_table() {
  for (std::size_t i = 0; i < chunk_count_; ++i)
    if (char* c = chunks_[i].load(std::memory_order_relaxed)) munmap(c, chunk_size * block_size);
}

std::uint32_t process_table::index_of(const process& p) const noexcept {
  return pid(p.id.load(std::memory_order_relaxed)).index();
}

process* process_table::allocate(cache* local) {
  if (live_.fetch_add(1, std::memory_order_relaxed) >= limit_) {
    live_.fetch_sub(1, std::memory_order_relaxed);
    return nullptr;
  }
  std::uint32_t index = 0;
  bool reused = false;
  if (local && local->free.size() > cache_low) {
    index = local->free.front();
    local->free.pop_front();
    reused = true;
  } else {
    std::lock_guard lock(lock_);
    std::uint32_t top = top_.load(std::memory_order_relaxed);
    bool room = top + 1 < (1U << 24) && top / chunk_size + 1 < chunk_count_;
    if (free_.size() > 1024 || (!free_.empty() && !room)) {
      index = free_.front();
      free_.pop_front();
      reused = true;
    } else if (!room && local && !local->free.empty()) {
      index = local->free.front();
      local->free.pop_front();
      reused = true;
    } else if (!room) {
      live_.fetch_sub(1, std::memory_order_relaxed);
      return nullptr;
    } else {
      index = top + 1;  // place 0 is nobody's, so that no pid is 0
      std::atomic<char*>& memory_of = chunks_[index / chunk_size];
      if (!memory_of.load(std::memory_order_relaxed)) {
        void* memory = mmap(nullptr, chunk_size * block_size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
          live_.fetch_sub(1, std::memory_order_relaxed);
          throw std::bad_alloc();
        }
        memory_of.store(static_cast<char*>(memory), std::memory_order_release);
      }
      // Made before it can be found: who walks the table up to end() looks at every block of it.
      new (memory_of.load(std::memory_order_relaxed) + (index % chunk_size) * block_size) process;
      top_.store(index, std::memory_order_release);
    }
  }
  char* where = chunks_[index / chunk_size].load(std::memory_order_relaxed) + (index % chunk_size) * block_size;
  std::uint64_t generation = first_generation_;
  if (reused) {
    // The last tenant left its generation, marked as gone, in `id`.
    generation = (std::launder(reinterpret_cast<process*>(where))->id.load(std::memory_order_relaxed) >> 24) + 1;
  }
  generation &= (std::uint64_t{1} << 40) - 1;
  if (generation == 0) generation = 1;
  auto* p = std::launder(reinterpret_cast<process*>(where));
  p->id.store(generation << 24 | index, std::memory_order_release);
  return p;
}

void process_table::release(process& p, cache* local) noexcept {
  std::uint32_t index = index_of(p);
  // Index 0 in `id` marks a place without a tenant; the generation stays for the next one.
  p.id.store(p.id.load(std::memory_order_relaxed) & ~std::uint64_t{0xffffff}, std::memory_order_release);
  live_.fetch_sub(1, std::memory_order_relaxed);
  try {
    if (local) {
      local->free.push_back(index);
      if (local->free.size() > cache_high) {
        std::lock_guard lock(lock_);
        while (local->free.size() > cache_low + 64) {
          free_.push_back(local->free.front());
          local->free.pop_front();
        }
      }
      return;
    }
    std::lock_guard lock(lock_);
    free_.push_back(index);
  } catch (const std::bad_alloc&) {
    // The place is lost until the runtime ends; nothing else is.
  }
}

void process_table::give_back(cache& local) noexcept {
  std::lock_guard lock(lock_);
  try {
    for (std::uint32_t index : local.free) free_.push_back(index);
  } catch (const std::bad_alloc&) {
    // as in release()
  }
  local.free.clear();
}

}  // namespace otp::detail
