// Results of tasks: how they are sent, waited for, and let go of.
#include <otp/detail/collect.hpp>
#include <otp/message.hpp>

#include "process/control.hpp"
#include "process/runtime_core.hpp"

namespace otp::detail {

void send_result(ref to, envelope* e) {
  auto [on, core, p] = require_running("send_result");
  count_on(on, counter::sent);
  if (hand_result(on, to.owner(), e) || deliver(core, to.owner(), e)) return count_on(on, counter::accepted);
  count_on(on, counter::dead);
  destroy(e);
}

void awaited::drop() noexcept {
  for (envelope* e : {std::exchange(value, nullptr), std::exchange(end, nullptr)}) {
    if (!e) continue;
    try {
      destroy(e);
    } catch (...) {
      // A result whose destructor throws was taken by nobody.
    }
  }
}

const exit_reason& awaited::why() const noexcept { return static_cast<down_envelope*>(end)->value.reason; }

namespace {

constexpr std::size_t few = 8;  // so many are found faster without a table

class collection {
 public:
  /// Takes what has come for at most `limit` of them, those that are first in the mailbox.
  collection(awaited* all, std::size_t count, std::size_t limit) : all_(all), count_(count), limit_(limit) {
    if (count <= few) return;
    for (std::size_t i = 0; i < count; ++i) places_.insert(all[i].number, i);
    // Tasks of one type are found by the number in their result, a mixture one by one.
    for (std::size_t i = 0; i < count; ++i) uniform_ = uniform_ && all[i].result == all[0].result;
  }

  /// Whose result or end this is, unless that one has it already.
  awaited* owner_of(const envelope& e) const noexcept {
    if (e.type == &down_envelope::type_of) {
      awaited* a = find(static_cast<const down_envelope&>(e).value.reference.number());
      return a && !a->end ? a : nullptr;
    }
    if (e.type->kind != signal::message) return nullptr;
    if (count_ > few && uniform_) {
      const result_envelope_type* type = all_[0].result;
      if (!type || e.type != type->arrived) return nullptr;
      awaited* a = find(type->reference(e).number());
      return a && !a->value ? a : nullptr;
    }
    for (awaited* a = all_; a != all_ + count_; ++a)
      if (a->result && e.type == a->result->arrived && a->result->reference(e).number() == a->number)
        return a->value ? nullptr : a;
    return nullptr;
  }

  void take_from(runtime_core& core, process& p) noexcept {
    envelope* before = nullptr;
    for (envelope *e = p.first, *next = nullptr; e; e = next) {
      next = e->next;
      awaited* a = owner_of(*e);
      if (!a || (!a->decided() && decided_ == limit_)) {
        before = e;
        continue;
      }
      unlink_from_queue(core, p, before, e);
      core.count(counter::handled);
      decided_ += !a->decided();
      (e->type == &down_envelope::type_of ? a->end : a->value) = e;
      a->place = ++taken_;
      // Nothing more can come for it; who awaits many tasks one by one must not walk past the others' each time.
      if (e->type == &down_envelope::type_of && ++ended_ == limit_) return;
    }
  }
  std::size_t decided() const noexcept { return decided_; }
  bool somebody_died() const noexcept {
    for (awaited* a = all_; a != all_ + count_; ++a)
      if (a->died()) return true;
    return false;
  }

 private:
  awaited* find(std::uint64_t number) const noexcept {
    if (count_ > few) {
      const std::size_t* at = places_.find(number);
      return at ? all_ + *at : nullptr;
    }
    for (awaited* a = all_; a != all_ + count_; ++a)
      if (a->number == number) return a;
    return nullptr;
  }

  awaited* all_;
  std::size_t count_;
  std::size_t limit_;
  flat_table<std::uint64_t, std::size_t> places_;
  std::size_t taken_ = 0;
  std::size_t decided_ = 0;
  std::size_t ended_ = 0;  // whose `down` was taken: it comes behind the result
  bool uniform_ = true;
};

// Counts what arrives, so that the process is woken once, when there is enough.
struct collect_wait : wait_state {
  const collection* in;
  std::size_t missing;
  bool until_end;

  static bool wanted(wait_state& self, envelope& e) {
    auto& mine = static_cast<collect_wait&>(self);
    awaited* a = mine.in->owner_of(e);
    if (!a || a->noticed || a->decided()) return false;
    a->noticed = true;
    if (mine.until_end && e.type == &down_envelope::type_of) return true;
    return --mine.missing == 0;
  }
};

}  // namespace

std::size_t collect(awaited* all, std::size_t count, std::size_t wanted, duration timeout, collect_until until) {
  auto [on, core, p] = require_running("await");
  check_fate(p);
  collection these(all, count, until == collect_until::exactly ? std::min(wanted, count) : count);
  const bool until_end = until == collect_until::enough_or_end;
  nanos deadline = -1;
  for (bool last = timeout.count() == 0;;) {
    {
      runtime_section section(p);
      intake(core, p);
      these.take_from(core, p);
    }
    std::size_t decided = these.decided();
    if (decided >= wanted || last || (until_end && these.somebody_died())) return decided;
    bool fresh = deadline < 0;
    if (fresh) {
      const nanos now = core.sched.timeout_begin(timeout.count(), on);
      deadline = timeout == infinity || timeout.count() > never - now ? never : now + timeout.count();
    }
    for (awaited* a = all; a != all + count; ++a) a->noticed = false;
    collect_wait w;
    w.in = &these;
    w.missing = wanted - decided;
    w.until_end = until_end;
    w.deadline = deadline;
    w.fresh = fresh && !core.sched.seeded();  // by the margin of the coarse clock
    w.wants = collect_wait::wanted;
    wait(p, w);
    last = w.timed_out;
  }
}

// ---- letting go --------------------------------------------------------------------------------------------------

namespace {

// Sent to the owner by another process that has its handle.
struct forget_envelope final : envelope {
  explicit forget_envelope(std::uint64_t n, const result_envelope_type* r) noexcept;
  std::uint64_t number;
  const result_envelope_type* result;
};

constinit const result_envelope_type forget_type{
    {signal::result, nullptr, [](envelope* e) { delete static_cast<forget_envelope*>(e); },
     [](const envelope*) -> const void* { return nullptr; }},
    nullptr,
    nullptr};

forget_envelope::forget_envelope(std::uint64_t n, const result_envelope_type* r) noexcept
    : envelope(&forget_type), number(n), result(r) {}

// Takes the monitor away, and returns what of it was in the mailbox. In a runtime_section.
envelope* take_out(runtime_core& core, process& p, std::uint64_t number, const result_envelope_type* result) {
  monitor_record* record = p.extra ? p.extra->monitors.find(number) : nullptr;
  const bool active = record && record->monitoring;
  if (active) {
    auto* off = new control_envelope(&demonitor_type, p.self(), number);
    if (!deliver(core, record->target, off)) destroy(off);
  }
  if (record) p.extra->monitors.erase(number);
  if (active && !result) return nullptr;
  envelope* taken = nullptr;
  envelope* before = nullptr;
  for (envelope *e = p.first, *next = nullptr; e; e = next) {
    next = e->next;
    bool mine = e->type == &down_envelope::type_of
                    ? static_cast<down_envelope*>(e)->value.reference.number() == number
                    : result && e->type == result->arrived && result->reference(*e).number() == number;
    if (!mine) {
      before = e;
      continue;
    }
    unlink_from_queue(core, p, before, e);
    core.count(counter::dropped);
    e->next = taken;
    taken = e;
  }
  return taken;
}

}  // namespace

void forget(ref watch, const result_envelope_type* result) noexcept try {
  process* p = current_process();
  if (!p || !watch) return;
  runtime_core& core = *runtime_core::current();
  if (watch.owner() != p->self()) {
    auto* e = new forget_envelope(watch.number(), result);
    if (!deliver(core, watch.owner(), e)) destroy(e);
    return;
  }
  envelope* taken = nullptr;
  {
    runtime_section section(*p);
    intake(core, *p);
    taken = take_out(core, *p, watch.number(), result);
  }
  while (envelope* e = taken) {
    taken = e->next;
    destroy(e);
  }
} catch (...) {
  // No memory, or a result whose destructor throws: what is left is a message that nobody looks for.
}

void handle_forget(runtime_core& core, process& p, envelope* e) {
  auto* f = static_cast<forget_envelope*>(e);
  envelope* taken = take_out(core, p, f->number, f->result);
  destroy(f);
  while (envelope* t = taken) {
    taken = t->next;
    destroy(t);
  }
}

}  // namespace otp::detail
