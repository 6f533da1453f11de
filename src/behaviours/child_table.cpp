#include "behaviours/child_table.hpp"

namespace otp::detail {

child_table::~child_table() {
  while (first_) delete std::exchange(first_, first_->next);
}

child_record& child_table::append(child_spec spec, extra_arguments extra) {
  auto c = std::make_unique<child_record>();
  c->spec = std::move(spec);
  c->extra = std::move(extra);
  c->order = ++orders_;
  if (by_id_) {
    if (child_record** chain = ids_.find(c->spec.id().hash())) {
      c->same_hash = *chain;
      *chain = c.get();
    } else {
      ids_.insert(c->spec.id().hash(), c.get());
    }
  }
  c->previous = last_;
  (last_ ? last_->next : first_) = c.get();
  last_ = c.get();
  ++size_;
  return *c.release();
}

void child_table::remove(child_record& c) noexcept {
  forget_process(c);
  if (by_id_) {
    std::uint64_t hash = c.spec.id().hash();
    child_record** at = ids_.find(hash);
    while (*at != &c) at = &(*at)->same_hash;
    *at = c.same_hash;
    if (child_record** chain = ids_.find(hash); !*chain) ids_.erase(hash);
  }
  (c.previous ? c.previous->next : first_) = c.next;
  (c.next ? c.next->previous : last_) = c.previous;
  --size_;
  delete &c;
}

child_record* child_table::find(const child_id& id) const noexcept {
  child_record* const* chain = ids_.find(id.hash());
  child_record* c = chain ? *chain : nullptr;
  while (c && !(c->spec.id() == id)) c = c->same_hash;
  return c;
}

child_record* child_table::find(pid process) const noexcept {
  child_record* const* found = processes_.find(process.value());
  return found ? *found : nullptr;
}

void child_table::set_process(child_record& c, pid process) {
  forget_process(c);
  c.process = process;
  if (process) {
    // A start function that returns the process of another child: the index keeps the one that came first.
    if (!processes_.find(process.value())) processes_.insert(process.value(), &c);
  }
}

void child_table::forget_process(child_record& c) noexcept {
  pid before = std::exchange(c.process, pid());
  if (!before) return;
  if (child_record** entry = processes_.find(before.value()); entry && *entry == &c) processes_.erase(before.value());
}

}  // namespace otp::detail
