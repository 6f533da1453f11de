// Giving a process up that does not come back: kill budget over, kill swallowed, stack lost.
//
// An abandoned process is declared dead to everyone: its inbox is closed, its name is free, links and monitors are
// told. What it holds is kept, since its code may still run: stack, body, queued envelopes. It is fenced: at its next
// entry into the runtime its stack is left for good.
#include "process/request_core.hpp"
#include "process/runtime_core.hpp"

namespace otp::detail {

namespace {

// Owned by the wheel: nobody cancels it, a victim that is dead by then makes it void.
struct kill_timer : timer {
  pid victim;
  runtime_core* core = nullptr;
};

void kill_budget_over(timer& t) noexcept {
  auto& mine = static_cast<kill_timer&>(t);
  runtime_core& core = *mine.core;
  constexpr nanos patience = 5'000'000;
  // One that nobody runs and that has no stack only waits for its turn, and ends in it: the machine is late, not the
  // process. To abandon it would keep for good what it holds.
  bool idle = false;
  auto look = [](process& p, void* out) { *static_cast<bool*>(out) = p.phase.load() == phase::idle; };
  if (!core.stopping.load() && visit_within(core, patience, mine.victim, look, &idle, false) == visited::yes && idle) {
    core.sched.arm(mine, core.sched.now() + core.options.kill_budget.count() + patience);
    return;
  }
  if (!abandon(core, mine.victim, reason::killed, "it did not end within kill_budget after it was killed", patience) &&
      !core.stopping.load())
    core.sched.arm(mine, core.sched.now() + 20 * patience);  // and again, until it can be done
  else
    delete &mine;
}

struct takeover {
  runtime_core& core;
  exit_reason why;
  std::string name;
  std::string doing;
  std::string busy_with{};
};

void declare_dead(process& p, void* argument) {
  auto& t = *static_cast<takeover*>(argument);
  pid me = p.self();
  try {
    t.name = t.core.describe(me);
    if (p.body) {
      t.doing = std::string(p.body->doing());
      t.busy_with = p.body->busy_with();
    }
  } catch (const std::bad_alloc&) {
    // The report says less.
  }
  if (p.body) p.body->given_up(t.why);
  if (request_envelope* r = std::exchange(p.handling, nullptr)) {
    r->references.fetch_add(1);  // the handler may still look at the request: it keeps its reference
    fail_request(r, t.why);
  }
  end_process(t.core, p, t.why, true);
  // The place stays taken for ever: code of the old tenant may still run and believe it is there.
  p.id.store(p.id.load(std::memory_order_relaxed) & ~std::uint64_t{0xffffff}, std::memory_order_release);
  t.core.count(counter::abandoned);
  t.core.given_up.fetch_add(1);
  t.core.process_ended(me, t.why);
}

void note(runtime_core& core, pid who, const takeover& t, std::string_view why) noexcept try {
  std::string cause(why);
  if (!t.busy_with.empty()) cause += "; it was " + t.busy_with;
  {
    std::lock_guard lock(core.abandoned_lock);
    core.abandoned.push_back({who, t.name, cause});
  }
  core.emit([&]() -> event {
    return {.what = "abandoned",
            .severity = severity::error,
            .process = who,
            .name = t.name,
            .reason = t.why,
            .fields = {{"cause", cause}, {"doing", t.doing}}};
  });
} catch (const std::bad_alloc&) {
  // The process is dead all the same; only the report of it is lost.
}

}  // namespace

void start_kill_budget(runtime_core& core, pid victim) noexcept {
  try {
    auto* t = new kill_timer;
    t->fire = kill_budget_over;
    t->victim = victim;
    t->core = &core;
    core.sched.arm(*t, core.sched.now() + core.options.kill_budget.count());
  } catch (const std::bad_alloc&) {
    // Without the timer the victim is not abandoned in time; the kill itself is on its way.
  }
}

visited visit_within(runtime_core& core, nanos patience, pid who, void (*look)(process&, void*), void* argument,
                     bool fence) {
  process* p = core.table.find(who);
  if (!p) return visited::dead;
  if (p == current_process() && !fence) {
    look(*p, argument);
    return visited::yes;
  }
  std::lock_guard lock(core.visit_lock);
  struct held {
    process& host;
    attention after;
    ~held() { host.attention.store(after, std::memory_order_release); }  // also when `look` throws
  };
  // What was there comes back: who looks at a process that was given up meanwhile leaves its fence where it is.
  held visitor{*p, p->attention.exchange(attention::hold)};
  heavy_barrier();  // the cold side of runtime_section's light_barrier
  nanos deadline = never;
  for (unsigned looks = 0; p->phase.load(std::memory_order_acquire) == phase::in_runtime; ++looks) {
    if (looks == 100 && patience != never) deadline = scheduler::machine_now() + patience;
    if (looks > 100 && scheduler::machine_now() >= deadline) return visited::busy;
    scheduler::give_way();
  }
  bool there = p->id.load(std::memory_order_acquire) == who.value() && !p->exiting;
  if (there) {
    if (fence) visitor.after = attention::fence;
    look(*p, argument);
  }
  return there ? visited::yes : visited::dead;
}

bool visit(runtime_core& core, pid who, void (*look)(process&, void*), void* argument, bool fence) {
  return visit_within(core, never, who, look, argument, fence) == visited::yes;
}

bool abandon(runtime_core& core, pid who, exit_reason why, std::string_view cause, nanos patience) {
  takeover t{core, std::move(why), {}, {}};
  visited done = visit_within(core, patience, who, declare_dead, &t, true);
  if (done == visited::yes) note(core, who, t, cause);
  return done != visited::busy;
}

void abandon_self(process& p, exit_reason why, std::string_view cause, bool retire_stack) {
  runtime_core& core = *runtime_core::current();
  pid me = p.self();
  takeover t{core, std::move(why), {}, {}};
  runtime_section::enter(p);
  declare_dead(p, &t);
  p.attention.store(attention::fence);
  p.phase.store(phase::in_user, std::memory_order_release);
  note(core, me, t, cause);
  // This frame is never left: what it owns is freed by hand.
  t.why = exit_reason();
  t.name = std::string();
  t.doing = std::string();
  t.busy_with = std::string();
  core.sched.abandon_stack(retire_stack ? scheduler::dead_stack::retire : scheduler::dead_stack::keep);
}

void park_abandoned(process& p) {
  runtime_core& core = *runtime_core::current();
  core.count(counter::fenced);
  static_cast<void>(p);
  core.sched.abandon_stack(scheduler::dead_stack::keep);
}

}  // namespace otp::detail
