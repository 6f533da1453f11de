// The timers of one worker: any number of deadlines, fired exactly, in order, and never early.
//
// Shape   the owner embeds a timer_node and arms it; the worker's loop asks expire() for what is due and sleeps until
//         next_expiry(). Nothing is copied and nothing is allocated: an armed node is a link in its wheel.
// Units   nanoseconds of a monotonic clock that the caller reads (or, in a simulation, invents).
// Errors  none: no operation allocates or throws. Arming an armed node is a bug of the caller's.
// Rules   1. Not thread-safe: one lock (the worker's) covers the wheel and every node armed in it.
//         2. An armed node keeps its address until expire() returns it or disarm() takes it back.
//         3. A wheel owns no node, so its end touches none; who wants them back first drains it with expire(never).
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>

namespace otp::detail {

/// Nanoseconds of a monotonic clock.
using nanos = std::int64_t;

/// The last instant. It may be armed like any other; next_expiry() also says it for "nothing armed".
inline constexpr nanos never = INT64_MAX;

/// What an owner embeds to have a timer. All fields are the wheel's; the owner may read `deadline`, also after expiry.
struct timer_node {
  enum class place : std::uint8_t { idle, slot, due };

  timer_node() = default;
  timer_node(const timer_node&) = delete;
  timer_node& operator=(const timer_node&) = delete;

  [[nodiscard]] bool armed() const noexcept { return where != place::idle; }

  /// Of the wheel: takes it out of the slot or the sibling list it is in; `link` makes the first of a list no special
  /// case.
  void unlink() noexcept {
    *link = next;
    if (next != nullptr) next->link = link;
  }
  void push_to(timer_node*& head) noexcept {
    next = head;
    link = &head;
    if (head != nullptr) head->link = &next;
    head = this;
  }

  nanos deadline = 0;
  std::uint64_t sequence = 0;   // order of arming: settles equal deadlines
  timer_node* next = nullptr;   // the next in the slot, or the next sibling in the due heap
  timer_node** link = nullptr;  // the pointer that points here: a slot's head, the heap's root, a `next` or a `child`
  timer_node* child = nullptr;  // first child in the due heap
  std::uint16_t slot = 0;       // level * slots per level + slot; only while `where` is slot
  place where = place::idle;
};
static_assert(sizeof(timer_node) <= 48);

// A wheel in front of a heap. A timer further away than the current tick (2^20 ns) waits in a slot, an unordered list:
// arming and disarming it are O(1). When time reaches its tick it moves to the due heap, which is small and orders by
// (deadline, sequence) to the nanosecond. Slots are 64 a level and 64 times as wide on each level; a slot that time
// reaches is dealt out to the levels below, all in one expire(): that call costs as much as the slot holds timers.
// Eight levels cover every instant there is.
class timer_wheel {
 public:
  explicit timer_wheel(nanos now = 0) noexcept;
  timer_wheel(const timer_wheel&) = delete;  // the heads are linked to from the nodes
  timer_wheel& operator=(const timer_wheel&) = delete;

  /// Arms an idle node. A deadline that has passed (negative ones too) is due at the next expire().
  void arm(timer_node& node, nanos deadline) noexcept;

  /// Takes the node back. True: it was armed and will not fire. False: it was idle, so it has fired or was never armed.
  /// O(1) in a slot, amortized O(log n) among the n timers of the current tick.
  bool disarm(timer_node& node) noexcept;

  /// The next node with `deadline <= now`, idle again and the caller's, or null. The order is (deadline, arming) over
  /// everything armed at that moment. A `now` before an earlier one counts as the earlier one. The caller bounds its
  /// batch: whoever arms a past deadline for each node that fires is never done.
  timer_node* expire(nanos now) noexcept;

  /// When to call expire() again: never later than the earliest deadline, and `never` if nothing is armed. It may be
  /// earlier, when the earliest timer was disarmed, but after expire(now) said null it is later than `now`, unless
  /// `now` is `never`.
  [[nodiscard]] nanos next_expiry() const noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  static constexpr int tick_bits = 20;  // a slot of level 0 is 2^20 ns, a little over a millisecond
  static constexpr int slot_bits = 6;   // 64 slots a level, so that a level's occupancy is one word
  static constexpr int level_count = 8;
  static constexpr unsigned slot_mask = (1U << slot_bits) - 1;
  static_assert(tick_bits + slot_bits * level_count >= 63, "the levels reach the last instant");

  struct slot_head {
    timer_node* first = nullptr;
    nanos earliest = never;  // at most the earliest deadline inside (disarming does not raise it); void when empty
  };

  static nanos tick_of(nanos instant) noexcept { return instant >> tick_bits; }

  void place(timer_node& node) noexcept;
  void push_due(timer_node& node) noexcept;
  void join_due(timer_node* heap) noexcept;
  void leave_due(timer_node& node) noexcept;
  bool advance(nanos tick) noexcept;
  void deal_out(unsigned level, unsigned slot, nanos tick) noexcept;
  [[nodiscard]] unsigned first_slot(unsigned level) const noexcept;
  void leave_slot(unsigned index) noexcept;

  // What holds between calls:
  //  - timers of a tick <= cursor_ are in the heap, later ones in slots: the heap's root is the earliest of all;
  //  - a timer's level is that of the highest slot number in which its tick differs from cursor_. So a level holds
  //    only slots after the cursor's own, nothing wraps around, and the first slot of the lowest occupied level is
  //    the earliest of all;
  //  - bit l of levels_: occupied_[l] is not 0; bit s of occupied_[l]: slot s of level l is not empty.
  nanos now_;                   // the latest instant expire() was told
  nanos cursor_;                // a tick, never negative, and otherwise never beyond now_
  timer_node* root_ = nullptr;  // the due heap, a pairing heap
  std::uint64_t sequence_ = 0;
  std::size_t size_ = 0;
  unsigned levels_ = 0;
  std::array<std::uint64_t, level_count> occupied_{};
  std::array<slot_head, std::size_t{level_count} << slot_bits> slots_{};
};

// ---- what every timer goes through: inline
// ---------------------------------------------------------------------------

inline void timer_wheel::arm(timer_node& node, nanos deadline) noexcept {
  assert(!node.armed() && "a timer is armed once: disarm it before arming it again");
  node.deadline = deadline;
  node.sequence = ++sequence_;
  ++size_;
  place(node);
}

inline bool timer_wheel::disarm(timer_node& node) noexcept {
  switch (node.where) {
    case timer_node::place::idle: return false;
    case timer_node::place::slot:
      node.unlink();
      if (slots_[node.slot].first == nullptr) leave_slot(node.slot);
      break;
    case timer_node::place::due: leave_due(node); break;
  }
  node.where = timer_node::place::idle;
  --size_;
  return true;
}

// Puts a node where its deadline belongs, seen from the cursor.
inline void timer_wheel::place(timer_node& node) noexcept {
  const nanos tick = tick_of(node.deadline);
  if (tick <= cursor_) {
    push_due(node);
    return;
  }
  const auto differing = static_cast<unsigned>(std::bit_width(static_cast<std::uint64_t>(tick ^ cursor_))) - 1;
  const unsigned level = differing / slot_bits;
  const unsigned slot = static_cast<unsigned>(tick >> (level * slot_bits)) & slot_mask;
  const unsigned index = (level << slot_bits) | slot;
  slot_head& head = slots_[index];
  if (head.first == nullptr) {
    head.earliest = node.deadline;
    occupied_[level] |= std::uint64_t{1} << slot;
    levels_ |= 1U << level;
  } else {
    head.earliest = std::min(head.earliest, node.deadline);
  }
  node.push_to(head.first);
  node.slot = static_cast<std::uint16_t>(index);
  node.where = timer_node::place::slot;
}

// Clears the marks of a slot that has become empty.
inline void timer_wheel::leave_slot(unsigned index) noexcept {
  const unsigned level = index >> slot_bits;
  occupied_[level] &= ~(std::uint64_t{1} << (index & slot_mask));
  if (occupied_[level] == 0) levels_ &= ~(1U << level);
}

}  // namespace otp::detail
