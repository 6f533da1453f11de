#include "runtime/timer_wheel.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

namespace otp::detail {

namespace {

bool before(const timer_node& a, const timer_node& b) noexcept {
  return a.deadline != b.deadline ? a.deadline < b.deadline : a.sequence < b.sequence;
}

// Takes a node out of the slot or the sibling list it is in; `link` makes the first of a list no special case.
void unlink(timer_node& node) noexcept {
  *node.link = node.next;
  if (node.next != nullptr) node.next->link = node.link;
}

void push_front(timer_node*& head, timer_node& node) noexcept {
  node.next = head;
  node.link = &head;
  if (head != nullptr) head->link = &node.next;
  head = &node;
}

// Joins two heaps: the later root becomes a child of the earlier. The `next` and `link` of the one returned are the
// caller's to set.
timer_node* meld(timer_node* a, timer_node* b) noexcept {
  if (before(*b, *a)) std::swap(a, b);
  push_front(a->child, *b);
  return a;
}

// Joins a list of sibling heaps, in pairs from the front and then all from the back: the amortized bound of a
// pairing heap rests on that order. A loop, because the list may be a million long.
timer_node* meld_siblings(timer_node* list) noexcept {
  timer_node* pairs = nullptr;
  while (list != nullptr) {
    timer_node* joined = list;
    timer_node* other = list->next;
    if (other != nullptr) {
      list = other->next;
      joined = meld(joined, other);
    } else {
      list = nullptr;
    }
    joined->next = pairs;
    pairs = joined;
  }
  if (pairs == nullptr) return nullptr;
  timer_node* root = pairs;
  for (pairs = pairs->next; pairs != nullptr;) {
    timer_node* rest = pairs->next;
    root = meld(root, pairs);
    pairs = rest;
  }
  return root;
}

}  // namespace

// A negative start gets the cursor of 0: the heap is exact at any instant, the slots begin where time is positive.
timer_wheel::timer_wheel(nanos now) noexcept : now_(now), cursor_(std::max<nanos>(tick_of(now), 0)) {}

void timer_wheel::arm(timer_node& node, nanos deadline) noexcept {
  assert(!node.armed() && "a timer is armed once: disarm it before arming it again");
  node.deadline = deadline;
  node.sequence = ++sequence_;
  ++size_;
  place(node);
}

bool timer_wheel::disarm(timer_node& node) noexcept {
  switch (node.where) {
    case timer_node::place::idle: return false;
    case timer_node::place::slot:
      unlink(node);
      if (slots_[node.slot].first == nullptr) leave_slot(node.slot);
      break;
    case timer_node::place::due: leave_due(node); break;
  }
  node.where = timer_node::place::idle;
  --size_;
  return true;
}

timer_node* timer_wheel::expire(nanos now) noexcept {
  now_ = std::max(now_, now);
  if (root_ == nullptr && !advance(tick_of(now_))) return nullptr;
  timer_node* node = root_;
  if (node->deadline > now_) return nullptr;
  leave_due(*node);
  node->where = timer_node::place::idle;
  --size_;
  return node;
}

nanos timer_wheel::next_expiry() const noexcept {
  if (root_ != nullptr) return root_->deadline;
  if (levels_ == 0) return never;
  const auto level = static_cast<unsigned>(std::countr_zero(levels_));
  return slots_[(level << slot_bits) | first_slot(level)].earliest;
}

// Puts a node where its deadline belongs, seen from the cursor.
void timer_wheel::place(timer_node& node) noexcept {
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
  push_front(head.first, node);
  node.slot = static_cast<std::uint16_t>(index);
  node.where = timer_node::place::slot;
}

void timer_wheel::push_due(timer_node& node) noexcept {
  node.child = nullptr;
  node.where = timer_node::place::due;
  join_due(&node);
}

void timer_wheel::join_due(timer_node* heap) noexcept {
  root_ = root_ == nullptr ? heap : meld(root_, heap);
  root_->next = nullptr;
  root_->link = &root_;
}

// Takes a node, the root or another, out of the due heap; its children come back as one heap.
void timer_wheel::leave_due(timer_node& node) noexcept {
  unlink(node);
  if (timer_node* orphans = meld_siblings(node.child); orphans != nullptr) join_due(orphans);
}

// With an empty heap: moves the cursor towards `tick`, one occupied slot at a time, until the heap has something. False
// if the cursor arrived and nothing is due. One slot at a time keeps the heap small after a long sleep.
bool timer_wheel::advance(nanos tick) noexcept {
  while (levels_ != 0) {
    const auto level = static_cast<unsigned>(std::countr_zero(levels_));
    const unsigned slot = first_slot(level);
    const unsigned shift = level * slot_bits;
    const nanos start = (((cursor_ >> shift) & ~nanos{slot_mask}) | nanos{slot}) << shift;
    if (start > tick) break;  // no slot begins in (cursor_, tick], so every timer keeps its level there
    deal_out(level, slot, tick);
    if (root_ != nullptr) return true;
  }
  cursor_ = std::max(cursor_, tick);
  return false;
}

// Empties the earliest slot. The cursor goes as far into it as no timer is passed, which spares a lone timer the levels
// between.
void timer_wheel::deal_out(unsigned level, unsigned slot, nanos tick) noexcept {
  const unsigned index = (level << slot_bits) | slot;
  timer_node* node = std::exchange(slots_[index].first, nullptr);
  leave_slot(index);
  cursor_ = std::min(tick_of(slots_[index].earliest), tick);
  while (node != nullptr) {
    timer_node* next = node->next;
    place(*node);
    node = next;
  }
}

unsigned timer_wheel::first_slot(unsigned level) const noexcept {
  return static_cast<unsigned>(std::countr_zero(occupied_[level]));
}

// Clears the marks of a slot that has become empty.
void timer_wheel::leave_slot(unsigned index) noexcept {
  const unsigned level = index >> slot_bits;
  occupied_[level] &= ~(std::uint64_t{1} << (index & slot_mask));
  if (occupied_[level] == 0) levels_ &= ~(1U << level);
}

}  // namespace otp::detail
