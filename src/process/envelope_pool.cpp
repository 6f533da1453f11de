#include "process/envelope_pool.hpp"

#include "process/runtime_core.hpp"

#include <new>

namespace otp::detail {

bool envelope_pool::give(void* memory, std::size_t size_class) noexcept {
  if (kept_ + size_class * step > kept_max) return false;
  free_[size_class] = ::new (memory) block{free_[size_class]};
  kept_ += size_class * step;
  return true;
}

void envelope_pool::trim() noexcept {
  for (std::size_t c = 0; c < free_.size(); ++c)
    while (void* memory = take(c)) ::operator delete(memory);
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

void free_envelope_memory(void* memory, std::size_t size) noexcept {
  if (envelope_pool* pool = pool_of(size))
    if (pool->give(memory, envelope_pool::class_of(size))) return;
  ::operator delete(memory);
}

}  // namespace otp::detail
