// The ready processes of one worker, oldest first: a bounded ring with one owner and any number of thieves.
//
// Shape   the owner pushes at the tail and pops at the head; a thief takes about half, from the head too, into its own
//         ring. The queue holds pointers, it owns nothing.
// Units   `Capacity` items, a power of two.
// Errors  push() says false when the ring is full; the caller has another place for the overflow.
//
// Rules
//  1. tail_ is written by the owner alone. head_ only grows, always by compare-exchange: by the owner for one item, by
//     a thief for a whole batch. Who moves head_ from h to h + k owns the items h .. h + k - 1; nobody else does.
//  2. A slot is written by the owner alone (a thief writes the slots of its *own* ring). Slot h may be written again
//     only for item h + Capacity, and the owner does so only after it has seen head_ above h (order `reuse`, partner
//     `taken`). So whoever read slots and then moves head_ from the value it had read before, has read the right items:
//     no thief reads a later item and still succeeds, since that slot was overwritten only after another moved head_.
//  3. Slots are atomics because a thief that loses the race may read one while the owner overwrites it. What it read is
//     dropped.
//  4. Indices are 64 bits and never wrap in practice: a thief that sleeps for a year in the middle of a theft still
//     fails. A thief may see an old tail_ with a new head_, so their difference is read as signed.
//  5. Nobody waits for anybody. A failed exchange means that another thread took something. A thief needs nothing from
//     the owner, so the queue of a worker stuck in user code can be emptied by the others.
#pragma once
#include <array>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>

#include "runtime/sync.hpp"

namespace otp::detail {

/// The orders of the run queue, each with its partner. Everything not named here is relaxed: it reads the caller's own
/// writes, or a value that the compare-exchange on head_ checks again.
struct run_queue_orders {
  static constexpr auto publish = std::memory_order::release;       // owner's tail_: slot and item, to `look`
  static constexpr auto publish_loot = std::memory_order::release;  // thief's tail_: the same, for what it stole
  static constexpr auto look = std::memory_order::acquire;   // thief reads tail_, from `publish` and `publish_loot`
  static constexpr auto taken = std::memory_order::release;  // thief moves head_: has read the slots, to `reuse`
  static constexpr auto reuse = std::memory_order::acquire;  // owner reads head_ before it writes a slot, from `taken`
};

template <class T, class Sync = std_sync, std::size_t Capacity = 256, class Orders = run_queue_orders>
class run_queue {
  static_assert(Capacity >= 2 && (Capacity & (Capacity - 1)) == 0, "the capacity of a run queue is a power of two");

 public:
  run_queue() : run_queue(0) {}

  /// Starts counting at `first`: lets a test see the end of the numbers.
  explicit run_queue(std::uint64_t first) : head_(first), tail_(first) {}

  run_queue(const run_queue&) = delete;
  run_queue& operator=(const run_queue&) = delete;

  /// Appends an item; false if there is no room. Owner only.
  [[nodiscard]] bool push(T* item) noexcept {
    const std::uint64_t tail = tail_.load(std::memory_order::relaxed);
    if (room(tail) == 0) return false;
    slot(tail).store(item, std::memory_order::relaxed);
    tail_.store(tail + 1, Orders::publish);
    return true;
  }

  /// The oldest item, or null. Owner only.
  [[nodiscard]] T* pop() noexcept {
    const std::uint64_t tail = tail_.load(std::memory_order::relaxed);
    std::uint64_t head = head_.load(std::memory_order::relaxed);
    while (head != tail) {
      T* const item = slot(head).load(std::memory_order::relaxed);
      if (head_.compare_exchange_weak(head, head + 1, std::memory_order::relaxed, std::memory_order::relaxed))
        return item;
    }
    return nullptr;
  }

  /// Takes the older half (of one item: that one), leaves it in `into` and returns the oldest of it to run at once;
  /// null if there is nothing. Any thread, for the owner of `into`.
  [[nodiscard]] T* steal(run_queue& into) noexcept {
    assert(this != &into && "a worker pops its own queue");
    const std::uint64_t loot_tail = into.tail_.load(std::memory_order::relaxed);
    const std::uint64_t room = into.room(loot_tail);
    std::uint64_t head = head_.load(std::memory_order::relaxed);
    for (;;) {
      const auto ready = static_cast<std::int64_t>(tail_.load(Orders::look) - head);
      if (ready <= 0) return nullptr;
      // More than there is room for can only be a head_ that has moved on since; the exchange will tell.
      std::uint64_t batch = (static_cast<std::uint64_t>(ready) + 1) / 2;
      if (batch > room + 1) batch = room + 1;

      T* const first = slot(head).load(std::memory_order::relaxed);
      for (std::uint64_t i = 1; i < batch; ++i) {
        into.slot(loot_tail + i - 1).store(slot(head + i).load(std::memory_order::relaxed), std::memory_order::relaxed);
      }
      if (head_.compare_exchange_weak(head, head + batch, Orders::taken, std::memory_order::relaxed)) {
        if (batch > 1) into.tail_.store(loot_tail + batch - 1, Orders::publish_loot);
        return first;
      }
    }
  }

  /// How many items there are, or were a moment ago. Exact for the owner while nobody steals.
  [[nodiscard]] std::size_t size() const noexcept {
    const std::uint64_t head = head_.load(std::memory_order::relaxed);
    const auto ready = static_cast<std::int64_t>(tail_.load(std::memory_order::relaxed) - head);
    if (ready <= 0) return 0;
    return static_cast<std::uint64_t>(ready) < Capacity ? static_cast<std::size_t>(ready) : Capacity;
  }

  [[nodiscard]] bool empty() const noexcept { return size() == 0; }

  static constexpr std::size_t capacity() noexcept { return Capacity; }

 private:
  template <class U>
  using atomic = typename Sync::template atomic<U>;

  std::uint64_t room(std::uint64_t tail) const noexcept { return Capacity - (tail - head_.load(Orders::reuse)); }
  atomic<T*>& slot(std::uint64_t index) noexcept { return slots_[index & (Capacity - 1)]; }

  // Thieves write head_, the owner writes tail_: apart, so that an owner who only pushes keeps its line.
  alignas(Sync::apart) atomic<std::uint64_t> head_;
  alignas(Sync::apart) atomic<std::uint64_t> tail_;
  alignas(Sync::apart) std::array<atomic<T*>, Capacity> slots_{};
};

}  // namespace otp::detail
