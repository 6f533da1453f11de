// What explore() looks at by itself, while a run goes on, at rest, and at the end.
#include "behaviours/supervisor_core.hpp"
#include "process/control.hpp"
#include "process/timer_table.hpp"
#include "process/watchers.hpp"
#include "testing/engine.hpp"

#include <algorithm>

namespace otp::testing {

using namespace otp::detail;

namespace {

const supervisor_core* supervisor_in(const process& p) { return dynamic_cast<const supervisor_core*>(p.body); }

const link_record* link_to(const process& p, pid other, const link_record& active) {
  if (p.link0 == other.value()) return &active;
  return p.extra ? p.extra->links.find(other.value()) : nullptr;
}

}  // namespace

// ---- while it goes on --------------------------------------------------------------------------------------------

void engine::spawned(process& p) noexcept {
  note(std::uint64_t{p.self().index()} << 32, 3);
  if (p.body && supervisor_in(p)) supervisors_.insert(p.self().value());
}

void engine::ended(pid who, const exit_reason& why) noexcept {
  note(std::uint64_t{who.index()} << 32, 4);
  if (trace_) tell("      " + who.to_string() + " has ended: " + why.to_string());
}

void engine::taking(process& p, envelope* arrived) noexcept {
  for (envelope* e = arrived; e; e = e->next) {
    if (e->type->kind == signal::reply) replies_under_way_.erase(e);
    auto sent = sent_.find(e);
    if (sent == sent_.end()) continue;
    auto [between, number] = sent->second;
    sent_.erase(sent);
    std::uint64_t& last = last_taken_[between];
    if (number < last && checks_.order)
      fail("order", describe(*e) + " overtook another signal of its sender to " + core_.describe(p.self()));
    last = number;
  }
}

// A supervisor as its reports tell: how often it restarts is counted once more, the plain way.
void engine::reported(const event& e) noexcept {
  if (!checks_.intensity || winding_up_) return;
  bool ended = e.what == report_context::child_terminated;
  bool started = e.what == report_context::progress;
  bool gave_up = e.what == report_context::gave_up;
  if (!ended && !started && !gave_up && e.what != report_context::start_error) return;
  process* p = current_process();
  const supervisor_core* sup = p && p->body ? supervisor_in(*p) : nullptr;
  if (!sup) return;
  note(std::uint64_t{p->self().index()} << 32, e.what.size());
  restarts& mine = restarts_[p->self().value()];
  const nanos now = core_.sched.now();
  if (!ended && !started && !gave_up) mine.unclear = true;  // each attempt after a failed start counts too
  if (mine.unclear) return;
  if (ended) {
    if (e.field("restart") != "temporary") mine.ends.push_back(now);
    return;
  }
  if (mine.ends.empty()) return;
  const supervisor_plan& plan = sup->plan();
  auto lately = std::count_if(mine.ends.begin(), mine.ends.end(),
                              [&](nanos at) { return mine.ends.back() - at <= plan.max_seconds.count(); });
  if (started && lately > plan.max_restarts)
    fail("intensity", core_.describe(p->self()) + " has restarted " + integer_text(lately) + " times within its " +
                          integer_text(plan.max_seconds.count() / 1'000'000) + " ms; it may " +
                          integer_text(plan.max_restarts) + " times");
  if (gave_up && lately <= plan.max_restarts)
    fail("intensity", core_.describe(p->self()) + " gave up after " + integer_text(lately) + " restarts within its " +
                          integer_text(plan.max_seconds.count() / 1'000'000) + " ms; it may restart " +
                          integer_text(plan.max_restarts) + " times");
}

// ---- at rest -----------------------------------------------------------------------------------------------------

void engine::check_at_rest() {
  const link_record active;
  for (std::uint32_t i = 1; i <= core_.table.end() && !failed(); ++i) {
    process* p = core_.table.at(i);
    if (!p || p->in.closed()) continue;
    const pid me = p->self();
    if (checks_.calls && p->waiting && p->waiting->reply && p->waiting->deadline == never &&
        core_.sched.next_timer() == never)
      fail("waits for ever", core_.describe(me) + " waits for a reply that will not come, without a limit");
    // One that has something left to do may be on its way out.
    bool at_work = p->first || (p->waiting && p->waiting->deadline != never);
    if (pid parent(p->parent); checks_.orphans && !at_work && p->linked_at_spawn && !is_there(core_, parent) &&
                               supervisors_.contains(p->parent))
      fail("orphan", core_.describe(me) + " lives, and its supervisor " + parent.to_string() + " is gone");
    if (!checks_.links) continue;
    auto check_link = [&](pid other, bool unlinking) {
      process* there = core_.table.find(other);
      if (!there || there->in.closed()) {
        fail("leaked link", core_.describe(me) + " is linked to " + other.to_string() + ", which is gone");
        return;
      }
      const link_record* back = link_to(*there, me, active);
      if (unlinking)
        fail("leaked link",
             core_.describe(me) + " waits for ever for the acknowledgement of its unlink by " + core_.describe(other));
      else if (!back || back->unlinking != 0)
        fail("leaked link", core_.describe(me) + " is linked to " + core_.describe(other) + ", which knows of no link");
    };
    if (p->link0) check_link(pid(p->link0), false);
    each_watcher(*p, [&](const down_envelope& e) {
      const pid watcher = e.value.reference.owner();
      if (!is_there(core_, watcher))
        fail("leaked monitor", core_.describe(me) + " is monitored by " + watcher.to_string() + ", which is gone");
    });
    if (!p->extra) continue;
    for (auto& [other, record] : p->extra->links) check_link(pid(other), record.unlinking != 0);
    for (auto& [number, record] : p->extra->monitors) {
      if (!record.monitoring || !record.target || record.target == me) continue;
      process* there = core_.table.find(record.target);
      bool known = there && !there->in.closed() && is_watched(*there, ref(me, number));
      if (!known)
        fail("leaked monitor", core_.describe(me) + " monitors " + core_.describe(record.target) +
                                   (there ? ", which knows of no monitor" : ", which is gone, and was not told"));
    }
  }
  if (checks_.timers && !failed())
    if (pid dead = core_.timers->dead_target())
      fail("leaked timer", "a timer is set for " + dead.to_string() + ", which is gone");
  if (checks_.names)
    for (const std::string& name : core_.names_held())
      if (!core_.whereis(name)) fail("leaked name", "the name " + quoted(name) + " is held by a process that is gone");
}

// ---- at the end --------------------------------------------------------------------------------------------------

void engine::check_at_end() {
  runtime_counters c = core_.counters();
  if (c.abandoned != 0) return;  // its stack, state and messages are kept on purpose
  if (checks_.names && !core_.names_held().empty())
    fail("leaked name", "the name " + quoted(core_.names_held().front()) + " is still held when all have ended");
  if (std::size_t out = c.stacks_live - core_.sched.shard(0).pool.idle(); checks_.stacks && out != 0)
    fail("leaked stack", unsigned_text(out) + " stacks have not come back");
  auto said = [&] {
    return ": sent " + unsigned_text(c.sent) + ", accepted " + unsigned_text(c.accepted) + ", handled " +
           unsigned_text(c.handled) + ", unhandled " + unsigned_text(c.unhandled) + ", dropped " +
           unsigned_text(c.dropped) + ", expired " + unsigned_text(c.expired) + ", to the dead " +
           unsigned_text(c.dead) + ", refused " + unsigned_text(c.refused);
  };
  if (checks_.conservation && c.sent != c.accepted + c.dead + c.refused)
    fail("conservation", "messages were lost or doubled on their way" + said());
  if (checks_.conservation && c.accepted != c.handled + c.unhandled + c.dropped + c.expired)
    fail("conservation", "messages were lost or doubled in mailboxes" + said());
}

}  // namespace otp::testing
