#include "process/envelope_pool.hpp"

#include "process/runtime_core.hpp"

#include <new>
#include <utility>

namespace otp::detail {

// ---- what workers leave to each other ----------------------------------------------------------------------------

namespace {
constexpr std::size_t bytes_of_chain(std::size_t size_class) {
  return envelope_depot::chain_length * size_class * envelope_pool::step;
}
}  // namespace

bool envelope_depot::give(envelope_block* chain, std::size_t size_class) noexcept {
  std::lock_guard lock(lock_);
  if (kept_ + bytes_of_chain(size_class) > kept_max) return false;
  chain->next_chain = chains_[size_class].load(std::memory_order_relaxed);
  chains_[size_class].store(chain, std::memory_order_relaxed);
  kept_ += bytes_of_chain(size_class);
  return true;
}

envelope_block* envelope_depot::take(std::size_t size_class) noexcept {
  if (!chains_[size_class].load(std::memory_order_relaxed)) return nullptr;  // looked at again under the lock
  std::lock_guard lock(lock_);
  envelope_block* chain = chains_[size_class].load(std::memory_order_relaxed);
  if (!chain) return nullptr;
  chains_[size_class].store(chain->next_chain, std::memory_order_relaxed);
  kept_ -= bytes_of_chain(size_class);
  return chain;
}

void envelope_depot::trim() noexcept {
  for (std::size_t c = 1; c < classes; ++c)
    while (envelope_block* chain = take(c))
      while (chain) ::operator delete(std::exchange(chain, chain->next));
}

// ---- what a worker keeps -----------------------------------------------------------------------------------------

bool envelope_pool::refill(std::size_t size_class) noexcept {
  envelope_block* chain = depot_ ? depot_->take(size_class) : nullptr;
  if (!chain) return false;
  free_[size_class] = chain;
  kept_ += bytes_of_chain(size_class);
  return true;
}

// Those that were given back last go: they are still in the cache, here and where they will be used.
bool envelope_pool::make_room(std::size_t size_class) noexcept {
  if (!depot_) return false;
  envelope_block* first = free_[size_class];
  envelope_block* last = first;
  for (std::size_t i = 1; last && i < envelope_depot::chain_length; ++i) last = last->next;
  if (!last) return false;
  envelope_block* rest = std::exchange(last->next, nullptr);
  if (!depot_->give(first, size_class)) {
    last->next = rest;
    return false;
  }
  free_[size_class] = rest;
  kept_ -= bytes_of_chain(size_class);
  return true;
}

void envelope_pool::trim() noexcept {
  for (std::size_t c = 1; c < free_.size(); ++c)
    while (free_[c]) {
      kept_ -= c * step;
      ::operator delete(std::exchange(free_[c], free_[c]->next));
    }
}

namespace {

constexpr bool pooled = !with_address_sanitizer && !with_thread_sanitizer;

envelope_pool* pool_of(std::size_t size) noexcept {
  if (!pooled || size > envelope_pool::largest) return nullptr;
  worker* w = scheduler::current();
  return w && w->local ? &static_cast<worker_local*>(w->local)->envelopes : nullptr;
}

// Blocks of a class are all of one size, whether a pool was at hand or not.
std::size_t block_size(std::size_t size) noexcept {
  return size > envelope_pool::largest ? size : envelope_pool::class_of(size) * envelope_pool::step;
}

}  // namespace

void* envelope_memory(std::size_t size) {
  if (envelope_pool* pool = pool_of(size))
    if (void* memory = pool->take(envelope_pool::class_of(size))) return memory;
  return ::operator new(block_size(size));
}

void* envelope_memory_or_null(std::size_t size) noexcept {
  if (envelope_pool* pool = pool_of(size))
    if (void* memory = pool->take(envelope_pool::class_of(size))) return memory;
  return ::operator new(block_size(size), std::nothrow);
}

void free_envelope_memory(void* memory, std::size_t size) noexcept {
  if (envelope_pool* pool = pool_of(size))
    if (pool->give(memory, envelope_pool::class_of(size))) return;
  ::operator delete(memory);
}

}  // namespace otp::detail
