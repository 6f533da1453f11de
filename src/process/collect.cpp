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

constexpr std::size_t few = 8;   // so many are found faster without a table
constexpr int few_in_front = 4;  // so many are looked at each time

// ---- where they are ----------------------------------------------------------------------------------------------

// The queue is a chain, and who awaits many tasks one by one would walk past what has come for the others each time.
// So what a walk passes over is noted, with the one before it, and the next walk begins behind that; whoever takes
// something out of the queue keeps the notes true (unlink_from_queue, take_first).

flat_table<std::uint64_t, result_notes::place>& notes_of(result_notes& all, const envelope& e) noexcept {
  return e.type == &down_envelope::type_of ? all.ends : all.results;
}

struct found {
  envelope* message = nullptr;
  envelope* before = nullptr;
};

// A task's result, of the type `result`, or its end.
class sought {
 public:
  sought(std::uint64_t number, const result_envelope_type* result, bool end) noexcept
      : number_(number), result_(result), end_(end) {}

  found look_for(process& p) const noexcept {
    if (const result_notes* notes = p.extra ? p.extra->results.get() : nullptr)
      if (const auto* at = (end_ ? notes->ends : notes->results).find(number_); at && is_it(*at->message))
        return {at->message, at->message == p.first ? nullptr : at->before};
    envelope* before = nullptr;
    envelope* e = p.first;
    for (int i = 0; e && i < few_in_front; before = e, e = e->next, ++i)
      if (is_it(*e)) return {e, before};
    if (e && p.scanned_for == key() && p.scanned) {
      before = p.scanned;
      e = before->next;
    }
    for (; e && !is_it(*e); before = e, e = e->next)
      if (!note(p, *e, before)) return walk_without_notes(p, before);
    p.scanned_for = key();
    p.scanned = before;
    return {e, before};
  }

  bool is_it(const envelope& e) const noexcept {
    return of_type(e) && (e.type == &down_envelope::type_of) == end_ && number_of(e) == number_;
  }

 private:
  // What process::scanned_for says where everything up to `scanned` is noted that this looks for.
  const void* key() const noexcept {
    static constexpr char ends_only = 0;
    return result_ ? static_cast<const void*>(result_) : &ends_only;
  }
  bool of_type(const envelope& e) const noexcept {
    return e.type == &down_envelope::type_of || (result_ && e.type == result_->arrived);
  }
  std::uint64_t number_of(const envelope& e) const noexcept {
    return e.type == &down_envelope::type_of ? static_cast<const down_envelope&>(e).value.reference.number()
                                             : result_->reference(e).number();
  }
  // False: there is no memory for it, or a message of the same number was sent by hand, and one note is not enough.
  bool note(process& p, envelope& e, envelope* before) const noexcept try {
    if (e.noted || !of_type(e)) return true;
    auto& kept = p.more().results;
    if (!kept) kept = std::make_unique<result_notes>();
    auto& notes = notes_of(*kept, e);
    const std::uint64_t number = number_of(e);
    if (notes.find(number)) return false;
    notes.insert(number, {&e, before});
    e.to = number;
    e.noted = 1;
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
  found walk_without_notes(process& p, envelope* before) const noexcept {
    p.scanned_for = nullptr;
    envelope* e = before ? before->next : p.first;
    while (e && !is_it(*e)) before = std::exchange(e, e->next);
    return {e, before};
  }

  std::uint64_t number_;
  const result_envelope_type* result_;
  bool end_;
};

// A monitor whose end has not come.
bool monitored(const process& p, std::uint64_t number) noexcept {
  const monitor_record* record = p.extra ? p.extra->monitors.find(number) : nullptr;
  return record && record->monitoring;
}

// ---- what is waited for ------------------------------------------------------------------------------------------

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
    if (count_ == 1) return take_the_one(core, p);
    envelope* before = nullptr;
    for (envelope *e = p.first, *next = nullptr; e; e = next) {
      next = e->next;
      awaited* a = owner_of(*e);
      if (!a || (!a->decided() && decided_ == limit_)) {
        before = e;
        continue;
      }
      take(core, p, {e, before}, *a);
      // Nothing more can come for it: the end comes behind the result.
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
  void take(runtime_core& core, process& p, found its, awaited& a) noexcept {
    unlink_from_queue(core, p, its.before, its.message);
    core.count(counter::handled);
    decided_ += !a.decided();
    (its.message->type == &down_envelope::type_of ? a.end : a.value) = its.message;
    a.place = ++taken_;
  }
  void take_the_one(runtime_core& core, process& p) noexcept {
    awaited& a = *all_;
    const sought result(a.number, a.result, false);
    const sought end(a.number, a.result, true);
    envelope* before = nullptr;
    envelope* e = p.first;
    for (int i = 0; e && i < few_in_front; ++i) {  // mostly there is nothing else
      envelope* const next = e->next;
      if ((!a.value && result.is_it(*e)) || end.is_it(*e)) {
        take(core, p, {e, before}, a);
        if (a.end) return;  // it comes behind the result
      } else {
        before = e;
      }
      e = next;
    }
    if (!e) return;
    if (a.result && !a.value)
      if (found its = result.look_for(p); its.message) take(core, p, its, a);
    if (!a.value || !monitored(p, a.number))
      if (found its = end.look_for(p); its.message) take(core, p, its, a);
  }

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

void forget_note(process& p, envelope& e) noexcept {
  notes_of(*p.extra->results, e).erase(e.to);
  e.noted = 0;
}
void move_note(process& p, const envelope& e, envelope* before) noexcept {
  notes_of(*p.extra->results, e).find(e.to)->before = before;
}

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
  explicit forget_envelope(std::uint64_t n, const result_envelope_type* r, bool end) noexcept;
  std::uint64_t number;
  const result_envelope_type* result;
  bool end_only;
};

constinit const result_envelope_type forget_type{
    {signal::result, nullptr, [](envelope* e) { delete static_cast<forget_envelope*>(e); },
     [](const envelope*) -> const void* { return nullptr; }},
    nullptr,
    nullptr};

forget_envelope::forget_envelope(std::uint64_t n, const result_envelope_type* r, bool end) noexcept
    : envelope(&forget_type), number(n), result(r), end_only(end) {}

// Takes the monitor away, and returns what of it was in the mailbox. In a runtime_section.
envelope* take_out(runtime_core& core, process& p, std::uint64_t number, const result_envelope_type* result,
                   bool end_only) {
  monitor_record* record = p.extra ? p.extra->monitors.find(number) : nullptr;
  const bool active = record && record->monitoring;
  if (active) {
    auto* off = new control_envelope(&demonitor_type, p.self(), number);
    if (!deliver(core, record->target, off)) destroy(off);
  }
  if (record) p.extra->monitors.erase(number);
  envelope* taken = nullptr;
  for (bool end : {false, true}) {
    if (end ? active : end_only) continue;
    found its = sought(number, result, end).look_for(p);
    if (!its.message) continue;
    unlink_from_queue(core, p, its.before, its.message);
    core.count(counter::dropped);
    its.message->next = taken;
    taken = its.message;
  }
  return taken;
}

}  // namespace

void forget(ref watch, const result_envelope_type& result, bool end_only) noexcept try {
  process* p = current_process();
  if (!p || !watch) return;
  runtime_core& core = *runtime_core::current();
  if (watch.owner() != p->self()) {
    auto* e = new forget_envelope(watch.number(), &result, end_only);
    if (!deliver(core, watch.owner(), e)) destroy(e);
    return;
  }
  envelope* taken = nullptr;
  {
    runtime_section section(*p);
    intake(core, *p);
    taken = take_out(core, *p, watch.number(), &result, end_only);
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
  envelope* taken = take_out(core, p, f->number, f->result, f->end_only);
  destroy(f);
  while (envelope* t = taken) {
    taken = t->next;
    destroy(t);
  }
}

}  // namespace otp::detail
