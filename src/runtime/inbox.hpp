// The inbox of a process: many senders, one owner, and one word that is queue head and scheduling state at once.
//
// Shape   senders --push--> a chain of nodes, newest first --take_all--> the owner, oldest first.
//         A node belongs to its sender until push() took it, then to the inbox, then to whoever took it out. No memory
//         is allocated or freed here, and the chain is only ever taken whole, so a node may be reused at once (no ABA).
//         "Owner" is not a thread: it is whoever is running the process at the moment, and the word decides who may.
// Errors  a closed inbox refuses: push() says so, and the node is still the caller's (only its `next` may be written).
//
// Rules
//  1. word_ is the only shared field; every transition is one atomic operation on it, so two of them never overlap:
//
//       closed   --open_awake, open_asleep-->  awake, asleep   nobody knows the inbox yet, or everybody was refused
//       awake    --try_sleep, by the owner-->  asleep
//       asleep   --try_wake, by anyone-->      awake           whoever did it must schedule the owner
//       asleep   --push-->                     a chain         whoever did it must schedule the owner
//       awake    --push-->                     a chain
//       a chain  --push-->                     a longer chain
//       a chain  --take_all, by the owner-->   awake
//       any      --close, by anyone-->         closed
//
//  2. "asleep" is left by exactly one thread, and the owner enters it again only after it was scheduled. Hence one
//     waker per sleep, and one owner at a time. A chain means: the owner runs, or somebody is about to schedule it.
//  3. A node's `next` is written by its pusher before the push and by nobody until the owner has taken it.
//  4. Senders are ordered by the order of their pushes on the word; the owner sees that order, so messages of one
//     sender never overtake each other.
//  5. Somebody who has something for the owner that is not in the inbox (a flag) stores it first, then calls
//     try_wake(). The owner looks for it after try_sleep() has succeeded, and calls try_wake() itself when it finds
//     something. The store and the look must be seq_cst, as the word's accesses in try_sleep() and in a missed
//     try_wake() are: of two such pairs at least one sees the other's.
//  6. Zeroed memory is a closed inbox.
#pragma once
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>

#include "runtime/sync.hpp"

namespace otp::detail {

enum class push_result : std::uint8_t {
  queued,  // the owner is running or already about to
  wake,    // the owner was asleep: the caller must schedule it
  closed   // refused: the node is still the caller's
};

/// The orders of the inbox, each with its partner. tests/model weakens them one by one and shows what breaks.
/// Everything not named here is relaxed: it reads a value that a compare-exchange checks again, and follows no pointer.
struct inbox_orders {
  static constexpr auto push = std::memory_order::release;         // the node's contents, to `take` and `close`
  static constexpr auto push_wake = std::memory_order::acq_rel;    // as `push`; and from `sleep` and `open`
  static constexpr auto take = std::memory_order::acquire;         // from `push`
  static constexpr auto sleep = std::memory_order::seq_cst;        // the owner's state, to `push_wake`, `wake`; rule 5
  static constexpr auto wake = std::memory_order::seq_cst;         // from `sleep`, `open`; may not be below the next
  static constexpr auto wake_missed = std::memory_order::seq_cst;  // rule 5, with `sleep`
  static constexpr auto close = std::memory_order::acq_rel;        // from `push`; what the closer wrote, to `refused`
  static constexpr auto refused = std::memory_order::acquire;      // from `close`
  static constexpr auto open = std::memory_order::release;         // the owner's first state, to `push_wake`, `wake`
};

/// `Node` has a field `next` that can hold a Node*, and is aligned to 16 bytes.
template <class Node, class Sync = std_sync, class Orders = inbox_orders>
class inbox {
 public:
  inbox() = default;
  inbox(const inbox&) = delete;
  inbox& operator=(const inbox&) = delete;

  /// Hands the node over, unless the inbox is closed.
  [[nodiscard]] push_result push(Node* node) noexcept {
    word seen = word_.load(std::memory_order::relaxed);
    for (;;) {
      if (seen == closed_word) {
        static_cast<void>(word_.load(Orders::refused));
        return push_result::closed;
      }
      node->next = has_chain(seen) ? head_of(seen) : nullptr;
      const word chain = chain_of(node, count_of(seen));
      if (seen == asleep_word) {
        if (word_.compare_exchange_weak(seen, chain, Orders::push_wake, std::memory_order::relaxed))
          return push_result::wake;
      } else {
        if (word_.compare_exchange_weak(seen, chain, Orders::push, std::memory_order::relaxed))
          return push_result::queued;
      }
    }
  }

  /// Whether take_all() would find something. Owner only.
  [[nodiscard]] bool has_mail() const noexcept { return has_chain(word_.load(std::memory_order::relaxed)); }

  /// Everything that has arrived, oldest first, linked by `next`; null if nothing has. `look` sees each node on the
  /// way, the newest first. Owner only.
  template <class Look>
  [[nodiscard]] Node* take_all(Look&& look) noexcept {
    word seen = word_.load(std::memory_order::relaxed);
    while (has_chain(seen)) {  // not an exchange: it could open an inbox that was closed a moment ago
      if (word_.compare_exchange_weak(seen, awake_word, Orders::take, std::memory_order::relaxed))
        return oldest_first(seen, look);
    }
    return nullptr;
  }
  [[nodiscard]] Node* take_all() noexcept { return take_all(look_at_none); }

  /// Lets the owner rest: true if nothing had arrived, and from here on the next push wakes. False if something arrived
  /// or the inbox was closed. Owner only.
  [[nodiscard]] bool try_sleep() noexcept {
    word expected = awake_word;
    return word_.compare_exchange_strong(expected, asleep_word, Orders::sleep, std::memory_order::relaxed);
  }

  /// Wakes the owner without a message. True: it slept, and the caller must schedule it. Any thread.
  [[nodiscard]] bool try_wake() noexcept {
    word expected = asleep_word;
    return word_.compare_exchange_strong(expected, awake_word, Orders::wake, Orders::wake_missed);
  }

  /// Refuses every push from now on. What had arrived and was not taken is the caller's, oldest first. Any thread; a
  /// second close gets nothing. A sleeping owner is not woken.
  [[nodiscard]] Node* close() noexcept {
    const word seen = word_.exchange(closed_word, Orders::close);
    return has_chain(seen) ? oldest_first(seen, look_at_none) : nullptr;
  }

  /// Opens a closed inbox whose owner is running or about to be scheduled by the caller.
  void open_awake() noexcept { word_.store(awake_word, Orders::open); }

  /// Opens a closed inbox whose owner rests until the first push.
  void open_asleep() noexcept { word_.store(asleep_word, Orders::open); }

  /// Whether a push would be refused. True only after a close: the caller then sees what the closer wrote.
  [[nodiscard]] bool closed() const noexcept { return word_.load(Orders::refused) == closed_word; }

  /// The newest of the nodes that wait to be taken, linked by `next` down to the oldest; null if there is none. For
  /// those who keep the owner from taking meanwhile: the nodes are only read.
  [[nodiscard]] const Node* newest() const noexcept {
    const word seen = word_.load(Orders::take);
    return has_chain(seen) ? head_of(seen) : nullptr;
  }

  /// Whether the owner rests: nothing has arrived that it has not taken.
  [[nodiscard]] bool asleep() const noexcept { return word_.load(Orders::wake) == asleep_word; }

  /// How many nodes wait to be taken; stops counting at count_max.
  [[nodiscard]] std::size_t count() const noexcept {
    return static_cast<std::size_t>(count_of(word_.load(std::memory_order::relaxed)));
  }

 private:
  using word = std::uint64_t;

  // Three values without a count are states; everything else is a chain: its newest node's address without the four
  // zero bits in the low part, and how long it is in the high part. A chain counts at least one node, so it is above
  // all three.
  static constexpr word closed_word = 0;  // rule 6
  static constexpr word awake_word = 1;
  static constexpr word asleep_word = 2;

#if defined(__aarch64__)
  static constexpr int address_bits = 48;
#else
  static constexpr int address_bits = 47;
#endif
  static constexpr int free_bits = 4;
  static constexpr int head_bits = address_bits - free_bits;
  static constexpr word head_mask = (word{1} << head_bits) - 1;
  static_assert(sizeof(void*) == sizeof(word));

 public:
  static constexpr std::size_t count_max = (word{1} << (64 - head_bits)) - 1;

 private:
  static constexpr bool has_chain(word value) noexcept { return value > asleep_word; }
  static constexpr word count_of(word value) noexcept { return value >> head_bits; }
  static Node* head_of(word value) noexcept { return reinterpret_cast<Node*>((value & head_mask) << free_bits); }

  static word chain_of(Node* node, word before) noexcept {
    static_assert(alignof(Node) >= (std::size_t{1} << free_bits), "an inbox node must be alignas(16)");
    const auto address = reinterpret_cast<std::uintptr_t>(node);
    assert(address >> address_bits == 0 && "an inbox node must lie in the lower half of the address space");
    return ((before == count_max ? before : before + 1) << head_bits) | (address >> free_bits);
  }

  static constexpr auto look_at_none = [](Node&) {};

  template <class Look>
  static Node* oldest_first(word chain, Look&& look) noexcept {
    Node* reversed = nullptr;
    for (Node* node = head_of(chain); node != nullptr;) {
      look(*node);
      Node* const older = node->next;
      node->next = reversed;
      reversed = node;
      node = older;
    }
    return reversed;
  }

  typename Sync::template atomic<word> word_{closed_word};
};

}  // namespace otp::detail
