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

// Joins two heaps: the later root becomes a child of the earlier. The `next` and `link` of the one returned are the
// caller's to set.
timer_node* meld(timer_node* a, timer_node* b) noexcept {
  if (before(*b, *a)) std::swap(a, b);
  b->push_to(a->child);
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
  node.unlink();
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

}  // namespace otp::detail
