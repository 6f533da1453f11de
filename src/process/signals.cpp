// Signals: how they reach a process, what each does there, and what a process sends when it ends.
//
// Everything that one process tells another passes through the receiver's inbox in the order it was sent: messages,
// exits, links, monitors, downs, wake-ups. Delivery to a closed inbox fails at once, so the sender knows that the
// receiver is dead and acts as OTP asks: a message is dropped, a link or monitor answers `noproc`.
#include "base/planted.hpp"
#include "process/control.hpp"
#include "process/request_core.hpp"
#include "process/runtime_core.hpp"
#include "process/timer_table.hpp"
#include "process/watchers.hpp"

#include <otp/detail/collect.hpp>

#include <cassert>

namespace otp::detail {

// ---- sending -----------------------------------------------------------------------------------------------------

namespace {

void decide_fate(process& p, exit_reason why, bool killed) noexcept;

// What goes to the queue as it is. The order of `signal` makes it one comparison.
inline bool is_message(const envelope& e) noexcept { return e.type->kind <= signal::cast; }

// Messages and nothing else: they go to the end of the queue as they are.
inline void accept_messages(process& p, envelope* first, envelope* last, std::uint32_t count) noexcept {
  (p.last ? p.last->next : p.first) = first;
  if (!p.last) p.oldest_at = first->sent_at;
  p.last = last;
  p.queued.store(p.queued.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);  // statistics
  p.messages_in.store(p.messages_in.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
}

// Whether one of these, which have just been accepted, is what the process waits for.
[[gnu::always_inline]] inline void ask_waiting(process& p, envelope* first) noexcept {
  wait_state* w = p.waiting;
  if (!w || !w->wants) return;
  try {
    for (envelope* e = first; e && !w->satisfied; e = e->next) w->satisfied = w->wants(*w, *e);
  } catch (...) {
    decide_fate(p, current_reason(), true);
  }
}

// `w` is the worker that runs here, if it is one of this runtime.
inline bool push_to(runtime_core& core, worker* w, process& p, pid to, envelope* e) noexcept {
  e->to = to.value();
  e->sent_at = w ? w->cached_ms : milliseconds(core.sched.coarse_now());
  sent(e);
  if (core.explorer) [[unlikely]]
    return core.explorer->post(p, to, e);
  switch (p.in.push(e)) {
    case push_result::closed: return false;
    case push_result::wake: core.sched.make_ready(p, w); break;
    case push_result::queued: break;
  }
  return true;
}

// Whether it will run where its waker does: only then is it worth to touch more of it than its inbox.
inline bool runs_here(const worker& w, const process& p) noexcept {
  std::uint32_t home = p.home.load(std::memory_order_relaxed);
  return home == 0 || home == w.number + 1;
}

enum class handed : std::uint8_t { no, queued, woken };

// A message of a user's, to a process that sleeps and has no limits: straight into its queue. `woken`: the caller has
// its ready right.
inline handed hand_message(runtime_core& core, worker& w, process& p, pid to, envelope* e) noexcept {
  if (core.sched.seeded() || !is_message(*e) || !p.in.asleep() || !runs_here(w, p) || !p.in.try_wake())
    return handed::no;
  {
    hand_section section(p);
    if (section.entered() && p.self() == to && !p.dying &&
        p.queued.load(std::memory_order_relaxed) < core.options.mailbox_alarm) [[likely]] {
      e->to = to.value();
      e->sent_at = w.cached_ms;
      e->next = nullptr;
      accept_messages(p, e, e, 1);
      ask_waiting(p, e);
      return handed::woken;
    }
  }
  bool taken = push_to(core, &w, p, to, e);  // it is awake: queued, or closed meanwhile
  core.sched.make_ready(p, &w);
  return taken ? handed::queued : handed::no;
}

inline worker* worker_of(runtime_core& core) noexcept {
  worker* w = scheduler::current();
  return w && &w->owner == &core.sched ? w : nullptr;
}

}  // namespace

bool hold_room(process& p, std::size_t bytes) noexcept {
  mailbox_account* a = p.account.used();
  if (!a) return false;
  a->bytes.fetch_add(bytes);
  a->count.fetch_add(1);
  return true;
}

void give_back_room(runtime_core& core, process& place, std::size_t bytes) noexcept {
  mailbox_account& a = *place.account.kept();
  a.bytes.fetch_sub(bytes);
  a.count.fetch_sub(1);
  if (a.policy.load() != overflow::block) return;
  std::vector<pid> waiting;
  {
    std::lock_guard lock(a.lock);
    waiting.swap(a.waiting);
  }
  for (pid who : waiting) send_wake(core, who, &a);
}

// ---- signals that are handed over --------------------------------------------------------------------------------
//
// What a process is told by another one on its worker need not go through its inbox, if it sleeps there or has just
// been handed over to: then nothing lies in its inbox, and who tells it has its owner's rights (process.hpp, rule 6)
// and acts on the signal itself. Only for signals whose handling runs no code of the user's.

namespace {

enum class rights : std::uint8_t { none, woken, handed };

inline rights take_rights(runtime_core& core, const worker& w, process& p) noexcept {
  if (core.sched.seeded()) return rights::none;
  if (w.handed == &p) return p.in.has_mail() ? rights::none : rights::handed;
  return p.in.asleep() && runs_here(w, p) && p.in.try_wake() ? rights::woken : rights::none;
}

// One with a stack here can run nowhere else, so it may run next although the step in progress has not ended.
inline void give_rights(runtime_core& core, worker& w, process& p, rights held) noexcept {
  if (held == rights::woken && !(p.stk && core.sched.hand_over(p, w))) core.sched.make_ready(p, &w);
}

// Runs `act`, which says whether it has done its part, on the process with this pid, with its owner's rights. `after`
// gives them back.
template <class Act, class After>
bool with_rights(runtime_core& core, worker& w, pid whom, Act&& act, After&& after) noexcept {
  process* p = core.table.find(whom);
  if (!p) return false;
  const rights held = take_rights(core, w, *p);
  if (held == rights::none) return false;
  bool done = false;
  {
    hand_section section(*p);
    if (section.entered() && p->self() == whom &&
        p->queued.load(std::memory_order_relaxed) < core.options.mailbox_alarm) [[likely]]
      done = act(*p);
  }
  after(*p, held, done);
  return done;
}

template <class Act>
bool with_rights(runtime_core& core, worker& w, pid whom, Act&& act) noexcept {
  return with_rights(core, w, whom, std::forward<Act>(act),
                     [&](process& p, rights held, bool) { give_rights(core, w, p, held); });
}

// As push_to() and then take_in() would.
void accept_handed(runtime_core& core, const worker& w, process& p, envelope* e) noexcept;

bool hand_down(runtime_core& core, worker& w, pid watcher, down_envelope* e) noexcept {
  return with_rights(core, w, watcher, [&](process& p) {
    monitor_record* record = p.extra ? p.extra->monitors.find(e->value.reference.number()) : nullptr;
    if (!record || !record->monitoring) return false;
    if (record->alias == alias_mode::explicit_unalias)
      record->monitoring = false;
    else
      p.extra->monitors.erase(e->value.reference.number());
    e->type = &down_envelope::type_of;
    count_on(w, counter::sent);
    count_on(w, counter::accepted);
    accept_handed(core, w, p, e);
    return true;
  });
}

// For a signal that gives the process nothing to do: when it is done, what slept goes on sleeping.
template <class Act>
bool note(runtime_core& core, worker& w, pid whom, Act&& act) noexcept {
  return with_rights(core, w, whom, std::forward<Act>(act), [&](process& p, rights held, bool done) {
    if (held == rights::woken && !(done && p.in.try_sleep())) core.sched.make_ready(p, &w);
  });
}

// A linked process has ended normally: to one that does not trap exits it means only that the link is gone.
bool hand_normal_exit(runtime_core& core, worker& w, pid peer, pid from) noexcept {
  return note(core, w, peer, [&](process& p) {
    if (p.trap_exit.load(std::memory_order_relaxed)) return false;
    if (p.link0 == from.value())
      p.link0 = 0;
    else if (p.extra)
      p.extra->links.erase(from.value());
    return true;
  });
}

}  // namespace

bool send_monitor(runtime_core& core, pid target, down_envelope* e) noexcept {
  worker* w = worker_of(core);
  if (w && note(core, *w, target, [&](process& p) {
        if (p.dying) return false;
        try {
          add_watcher(p, e);
        } catch (const std::bad_alloc&) {
          return false;  // it will crash for it when it finds the signal
        }
        return true;
      }))
    return true;
  return deliver(core, target, e);
}

envelope* send_demonitor(runtime_core& core, pid target, ref monitor) {
  worker* w = worker_of(core);
  envelope* kept = nullptr;
  if (w && note(core, *w, target, [&](process& p) {
        kept = take_watcher(p, monitor);
        return kept != nullptr;
      }))
    return kept;
  auto* off = new control_envelope(&demonitor_type, monitor.owner(), monitor.number());
  if (!deliver(core, target, off)) destroy(off);
  return nullptr;
}

bool hand_result(worker& w, pid owner, envelope* e) noexcept {
  runtime_core& core = core_of(w);
  auto& type = static_cast<const result_envelope_type&>(*e->type);
  return with_rights(core, w, owner, [&](process& p) {
    monitor_record* record = p.extra ? p.extra->monitors.find(type.reference(*e).number()) : nullptr;
    if (!record || record->alias == alias_mode::none) return false;
    e->type = type.arrived;
    accept_handed(core, w, p, e);
    return true;
  });
}

bool deliver(runtime_core& core, pid to, envelope* e) noexcept {
  process* p = core.table.find(to);
  if (planted(bug::bound_drops_exits) && p && e->type->kind == signal::exit)
    if (mailbox_account* a = p->account.used(); a && a->messages_max != 0 && a->count >= a->messages_max) {
      destroy(e);
      return true;
    }
  return p && push_to(core, worker_of(core), *p, to, e);
}

namespace {

enum class room : std::uint8_t { granted, full, over_memory };

// Takes room in the account, or says which limit is in the way.
room take_room(mailbox_account& a, envelope& e) noexcept {
  std::size_t bytes = e.bytes;
  std::size_t messages_max = a.messages_max.load();
  std::size_t bytes_max = a.bytes_max.load();
  std::size_t memory_max = a.memory_max.load();
  std::size_t count = a.count.fetch_add(1) + 1;
  std::size_t total = a.bytes.fetch_add(bytes) + bytes;
  room answer = memory_max && total + a.used.load() > memory_max                             ? room::over_memory
                : (messages_max && count > messages_max) || (bytes_max && total > bytes_max) ? room::full
                                                                                             : room::granted;
  if (answer == room::granted) {
    e.accounted = 1;
  } else {
    a.bytes.fetch_sub(bytes);
    a.count.fetch_sub(1);
  }
  return answer;
}

// Gives back what an envelope took of the account of the place it was sent to.
void give_room(runtime_core& core, process& place, envelope& e) noexcept {
  if (!e.accounted) return;
  e.accounted = 0;
  give_back_room(core, place, e.bytes);
}

exit_reason over_limit(const mailbox_account& a, room why, std::size_t more) noexcept {
  try {
    auto number = [](std::size_t n) { return unsigned_text(n); };
    std::string use = number(a.count.load()) + " messages with " + number(a.bytes.load() + more) + " bytes";
    if (why == room::over_memory)
      return {exit_reason::kind::memory_limit,
              "the memory limit of " + number(a.memory_max.load()) + " bytes was exceeded: " + use +
                  " in the mailbox, " + number(a.used.load()) + " bytes of its own; raise spawn_options::memory_limit"};
    std::string limit;
    if (std::size_t max = a.messages_max.load()) limit = number(max) + " messages";
    if (std::size_t max = a.bytes_max.load()) limit += (limit.empty() ? "" : " or ") + number(max) + " bytes";
    return {exit_reason::kind::memory_limit, "the mailbox limit of " + limit + " was reached: " + use +
                                                 "; raise spawn_options::mailbox or choose another overflow policy"};
  } catch (...) {
    return exit_reason(exit_reason::kind::memory_limit);  // no memory for the text
  }
}

send_status full(runtime_core& core, pid to, mailbox_account& a, room why, envelope* e) {
  core.count(counter::refused);
  overflow policy = why == room::over_memory ? overflow::kill : a.policy.load();
  std::size_t bytes = e->bytes;
  destroy(e);
  if (policy == overflow::drop) return send_status::sent;
  if (policy != overflow::kill) return send_status::refused;
  if (!a.overflowed.exchange(true)) {
    auto* fatal = make_exit(fatal_type, pid(), over_limit(a, why, bytes));
    if (!deliver(core, to, fatal)) destroy(fatal);
  }
  return send_status::no_process;
}

// Waits until the account may have room again.
void wait_for_room(process& sender, process& receiver, mailbox_account& a, const envelope& e) {
  {
    std::lock_guard lock(a.lock);
    a.waiting.push_back(sender.self());
  }
  // Room that was given before we were on the list.
  auto fits = [&](std::atomic<std::size_t>& max, std::size_t wanted) { return max == 0 || wanted <= max; };
  if (fits(a.messages_max, a.count.load() + 1) && fits(a.bytes_max, a.bytes.load() + e.bytes)) return;
  if (receiver.in.closed()) return;
  wait_state w;
  w.token = &a;
  wait(sender, w);
}

}  // namespace

namespace {

void point_of_send(worker& w, envelope* e) {
  try {
    at_point(w, "send");
  } catch (...) {
    destroy(e);
    throw;
  }
}

// To a process with limits or none at all, from an abandoned or watched one, or from outside.
[[gnu::cold]] send_status send_with_care(runtime_core& core, worker* w, pid to, envelope* e) {
  process* sender = w ? static_cast<process*>(w->running) : nullptr;
  if (sender && sender->attention.load(std::memory_order_relaxed) == attention::fence) {
    core.count(counter::fenced);
    destroy(e);
    return send_status::no_process;
  }
  if (sender && core.watched) point_of_send(*w, e);
  core.count(counter::sent);
  for (;;) {
    process* p = core.table.find(to);
    mailbox_account* a = p ? p->account.used() : nullptr;
    if (a) {
      room why = take_room(*a, *e);
      if (why == room::full && a->policy.load() == overflow::block && sender && to != sender->self() &&
          !(a->bytes_max != 0 && e->bytes > a->bytes_max)) {  // what never fits is not waited for
        try {
          wait_for_room(*sender, *p, *a, *e);
        } catch (...) {
          core.count(counter::refused);
          destroy(e);
          throw;
        }
        continue;
      }
      if (why != room::granted) return full(core, to, *a, why, e);
    }
    if (p && push_to(core, w, *p, to, e)) {
      core.count(counter::accepted);
      return send_status::sent;
    }
    if (a) give_room(core, *p, *e);
    core.count(counter::dead);
    destroy(e);
    return send_status::no_process;
  }
}

// `w` is the worker that runs here, if it is one of this runtime. `call`: the sender is about to wait for the answer.
template <bool call>
[[gnu::always_inline]] inline send_status send_to_process(runtime_core& core, worker* w, pid to, envelope* e) {
  process* p = core.table.at(to.index());
  if (p) p->about_to_push();
  if (!w || !p || p->id.load(std::memory_order_acquire) != to.value() || p->account.is_used() || core.watched ||
      (w->running && static_cast<process*>(w->running)->attention.load(std::memory_order_relaxed) == attention::fence))
      [[unlikely]]
    return send_with_care(core, w, to, e);
  count_on(*w, counter::sent);
  handed how = hand_message(core, *w, *p, to, e);
  if (how == handed::woken && !(call && core.sched.hand_over(*p, *w))) core.sched.make_ready(*p, w);
  if (how != handed::no || push_to(core, w, *p, to, e)) [[likely]] {
    count_on(*w, counter::accepted);
    return send_status::sent;
  }
  count_on(*w, counter::dead);
  destroy(e);
  return send_status::no_process;
}

}  // namespace

send_status send_user(runtime_core& core, pid to, envelope* e) {
  return send_to_process<false>(core, worker_of(core), to, e);
}

send_status send_call(worker& on, pid to, envelope* e) { return send_to_process<true>(core_of(on), &on, to, e); }

bool hand_reply(runtime_core& core, worker& w, process& c, request_envelope& r) noexcept {
  if (w.deferred == &c) [[likely]] {
    if (c.in.has_mail()) return false;  // the reply overtakes nothing
    w.deferred = nullptr;
  } else if (core.sched.seeded() || c.home.load(std::memory_order_relaxed) != w.number + 1 || !c.in.try_wake()) {
    return false;
  }
  bool found = false;
  {
    hand_section section(c);
    found = section.entered() && c.self() == r.caller && c.waiting && c.waiting->reply == &r && !c.waiting->satisfied;
    if (found) [[likely]] {
      c.edge.store(0, std::memory_order_release);  // it waits for this request, so nobody else changes its edge
      c.waiting->satisfied = true;
      c.waiting->found = &r;
    }
  }
  if (!found || !core.sched.hand_over(c, w)) core.sched.make_ready(c, &w);
  return found;
}

send_status send_envelope(pid to, envelope* e) {
  worker* w = scheduler::current();
  if (!w) [[unlikely]] {
    destroy(e);
    refuse_outside("send");
  }
  return send_to_process<false>(core_of(*w), w, to, e);
}

send_status send_envelope(ref alias, envelope* e) {
  runtime_core* core = runtime_core::current();
  if (!core) {
    destroy(e);
    require_runtime("send");
  }
  envelope* through = nullptr;
  try {
    through = new alias_envelope(alias.number(), e);
  } catch (...) {
    destroy(e);
    throw;
  }
  return send_user(*core, alias.owner(), through);
}

void send_exit(runtime_core& core, pid from, pid to, const exit_reason& why) noexcept {
  auto* e = make_exit(exit_type, from, why);
  if (!deliver(core, to, e)) destroy(e);
}

void send_wake(runtime_core& core, pid to, const void* token) noexcept {
  worker* w = worker_of(core);
  if (w && with_rights(core, *w, to, [&](process& p) {
        if (p.waiting && token && p.waiting->token == token) p.waiting->satisfied = true;
        return true;
      }))
    return;
  auto* e = new control_envelope(&wake_type, pid(), reinterpret_cast<std::uintptr_t>(token));
  if (!deliver(core, to, e)) destroy(e);
}

// ---- the receiver's queue ----------------------------------------------------------------------------------------

void append(process& p, envelope* e) noexcept {
  e->next = nullptr;
  if (p.last)
    p.last->next = e;
  else {
    p.first = e;
    p.oldest_at = e->sent_at;
  }
  p.last = e;
  p.queued.store(p.queued.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);  // a statistic
}

void unlink_from_queue(runtime_core& core, process& p, envelope* before, envelope* e) noexcept {
  (before ? before->next : p.first) = e->next;
  if (p.last == e) p.last = before;
  if (p.scanned == e) p.scanned = before;
  if (e->noted) forget_note(p, *e);
  if (e->next && e->next->noted) move_note(p, *e->next, before);
  e->next = nullptr;
  if (p.first) p.oldest_at = p.first->sent_at;
  p.queued.store(p.queued.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  give_room(core, p, *e);
  if (p.alarmed.load(std::memory_order_relaxed) &&
      p.queued.load(std::memory_order_relaxed) < core.options.mailbox_alarm / 2)
    p.alarmed.store(false, std::memory_order_relaxed);
}

// ---- what each signal does ---------------------------------------------------------------------------------------

namespace {

void decide_fate(process& p, exit_reason why, bool killed) noexcept {
  if (p.over) return;  // it is ending by its own decision
  if (p.dying) {
    // The first fatal signal decides the reason; a later kill still ends the patience with the process.
    p.killed = p.killed || killed;
    return;
  }
  p.dying = true;
  p.killed = killed;
  p.fate = std::move(why);
}

void accept_message(runtime_core& core, process& p, envelope* e) {
  append(p, e);
  p.messages_in.store(p.messages_in.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (p.waiting && p.waiting->wants && !p.waiting->satisfied && p.waiting->wants(*p.waiting, *e))
    p.waiting->satisfied = true;
  if (p.queued.load(std::memory_order_relaxed) > core.options.mailbox_alarm &&
      !p.alarmed.load(std::memory_order_relaxed))
    p.alarmed.store(true, std::memory_order_relaxed);  // told by intake()
}

void accept_handed(runtime_core& core, const worker& w, process& p, envelope* e) noexcept {
  e->to = p.id.load(std::memory_order_relaxed);
  e->sent_at = w.cached_ms;
  try {
    accept_message(core, p, e);
  } catch (...) {
    decide_fate(p, current_reason(), true);
  }
}

// A signal that becomes a message counts as one from here on, so that what was sent, accepted and handled stays equal.
void accept_signal(runtime_core& core, process& p, envelope* e) {
  core.count(counter::sent);
  core.count(counter::accepted);
  accept_message(core, p, e);
}

// The listener is user code: it runs while the tables are whole, and outside of the section that intake() is called in.
void tell_alarm(runtime_core& core, process& p) {
  phase before = p.phase.exchange(phase::in_user);
  core.emit([&]() -> event {
    return {.what = "mailbox_alarm",
            .severity = severity::warning,
            .process = p.self(),
            .name = core.describe(p.self()),
            .fields = {{"messages", unsigned_text(p.queued.load(std::memory_order_relaxed))},
                       {"setting", "mailbox_alarm"}}};
  });
  if (before == phase::in_runtime) runtime_section::enter(p);
}

// A supervisor is asked to end while it waits for a child's start.
void note_end_asked(process& p, bool by_exit) noexcept {
  start_watch* watch = watch_of(p);
  if (!watch) return;
  watch->by_exit = watch->by_exit || by_exit;
  if (std::exchange(watch->asked, true)) return;
  watch->asked_to_end();
}

void handle_exit(runtime_core& core, process& p, exit_envelope* e) {
  pid from = e->value.from;
  exit_reason& why = e->value.reason;
  bool by_link = e->type == &link_exit_type;
  bool forced = e->type == &fatal_type;
  if (by_link) {
    if (p.link0 == from.value())
      p.link0 = 0;
    else {
      link_record* record = p.extra ? p.extra->links.find(from.value()) : nullptr;
      bool active = record && record->unlinking == 0;
      if (record) p.extra->links.erase(from.value());
      if (!active) return destroy(e);
    }
  } else if (why == reason::kill) {
    decide_fate(p, reason::killed, true);
    return destroy(e);
  }
  if (planted(bug::kill_travels) && by_link && why == reason::killed) forced = true;
  if (p.trap_exit.load(std::memory_order_relaxed) && !forced) {
    e->type = &exit_envelope::type_of;
    // As ordered_by_parent(), for whoever takes the signals in.
    if (start_watch* watch = watch_of(p); watch && (from ? from == watch->parent : core.stop_deadline.load() != never))
      note_end_asked(p, true);
    return accept_signal(core, p, e);
  }
  bool own_normal = !by_link && from == p.self();
  if (!why.is_normal() || own_normal || forced || planted(bug::normal_kills)) decide_fate(p, std::move(why), forced);
  destroy(e);
}

// The late: what is sent to a process after the signal that ends it, finds nobody (`noproc`), also while that process
// is unwinding. It is answered when it is over and its name is free, as all others are.

void handle_link(process& p, control_envelope* e) {
  std::uint64_t peer = e->from.value();
  destroy(e);
  if (p.link0 == peer) return;
  if (p.extra)
    if (p.extra->links.find(peer)) return;  // linked already; or I unlinked after the peer linked, and my unlink wins
  if (p.link0 == 0 && !p.dying)
    p.link0 = peer;
  else
    p.more().links.insert(peer, {.late = p.dying});
}

void handle_unlink(runtime_core& core, process& p, control_envelope* e) noexcept {
  pid peer = e->from;
  std::uint64_t id = e->number;
  if (p.link0 == peer.value())
    p.link0 = 0;
  else if (p.extra)
    if (link_record* record = p.extra->links.find(peer.value()); record && record->unlinking == 0)
      p.extra->links.erase(peer.value());
  e->type = &unlink_ack_type;
  e->from = p.self();
  e->number = id;
  if (!deliver(core, peer, e)) destroy(e);
}

void handle_unlink_ack(process& p, control_envelope* e) noexcept {
  if (p.extra)
    if (link_record* record = p.extra->links.find(e->from.value()); record && record->unlinking == e->number)
      p.extra->links.erase(e->from.value());
  destroy(e);
}

void handle_monitor(runtime_core& core, process& p, down_envelope* e) {
  if (p.dying) e->value.reason = reason::noproc;  // end_process() leaves it
  try {
    add_watcher(p, e);
  } catch (const std::bad_alloc&) {
    // The process crashes for it in intake(); the watcher hears of it now.
    e->type = &down_type;
    e->value.reason = current_reason();
    if (!deliver(core, e->value.reference.owner(), e)) destroy(e);
    throw;
  }
}

void handle_demonitor(process& p, control_envelope* e) noexcept {
  if (envelope* kept = take_watcher(p, ref(e->from, e->number))) destroy(kept);
  destroy(e);
}

void handle_down(runtime_core& core, process& p, down_envelope* e) {
  monitor_record* record = p.extra ? p.extra->monitors.find(e->value.reference.number()) : nullptr;
  if (!record || !record->monitoring) return destroy(e);
  if (record->alias == alias_mode::explicit_unalias)
    record->monitoring = false;
  else if (!planted(bug::down_twice))
    p.extra->monitors.erase(e->value.reference.number());
  e->type = &down_envelope::type_of;
  accept_signal(core, p, e);
}

void handle_alias(runtime_core& core, process& p, alias_envelope* e) {
  monitor_record* record = p.extra ? p.extra->monitors.find(e->number) : nullptr;
  if (!record || record->alias == alias_mode::none) {
    core.count(counter::dropped);
    give_room(core, p, *e);
    return destroy(e);
  }
  if (record->alias == alias_mode::reply) {
    if (record->monitoring) {
      auto* off = new control_envelope(&demonitor_type, p.self(), e->number);
      if (!deliver(core, record->target, off)) destroy(off);
    }
    p.extra->monitors.erase(e->number);
  }
  envelope* inner = std::exchange(e->inner, nullptr);
  inner->sent_at = e->sent_at;
  inner->to = e->to;
  inner->accounted = e->accounted;
  destroy(e);
  accept_message(core, p, inner);
}

// A reply goes to the call that waits for it; one that nobody waits for any more goes nowhere; one of an asynchronous
// request is kept like a message.
void handle_reply(runtime_core& core, process& p, request_envelope* r) {
  if (r->asynchronous) {
    if (r->let_go || r->references.load() == 1) {
      if (holds_reply(*r)) core.count(counter::late_replies);
      return destroy(r);
    }
    return accept_message(core, p, r);
  }
  if (p.waiting && p.waiting->reply == r && !p.waiting->satisfied) {
    p.waiting->satisfied = true;
    p.waiting->found = r;
    return;
  }
  if (holds_reply(*r)) core.count(counter::late_replies);
  destroy(r);
}

// A task's result reaches its owner only while the monitor of the task is there, whose reference is its address.
void handle_result(runtime_core& core, process& p, envelope* e) {
  auto& type = static_cast<const result_envelope_type&>(*e->type);
  if (!type.arrived) return handle_forget(core, p, e);
  monitor_record* record = p.extra ? p.extra->monitors.find(type.reference(*e).number()) : nullptr;
  if (!record || record->alias == alias_mode::none) {
    core.count(counter::dropped);
    return destroy(e);
  }
  e->type = type.arrived;
  accept_message(core, p, e);
}

void handle_wake(process& p, control_envelope* e) noexcept {
  const void* token = reinterpret_cast<const void*>(static_cast<std::uintptr_t>(e->number));
  if (p.waiting && token && p.waiting->token == token) p.waiting->satisfied = true;
  destroy(e);
}

}  // namespace

// An envelope that cannot be handled because its receiver is dead: acts as the sender would on a failed delivery.
void refuse(runtime_core& core, process& place, pid dead, envelope* e) noexcept {
  give_room(core, place, *e);
  switch (e->type->kind) {
    case signal::message:
    case signal::alias:
    case signal::result:
    case signal::cast: core.count(counter::dropped); break;
    case signal::reply:
      if (holds_reply(*static_cast<request_envelope*>(e))) core.count(counter::late_replies);
      break;
    case signal::request: core.count(counter::dropped); [[fallthrough]];
    case signal::system: return end_calls_to(core, e, reason::noproc);
    case signal::link: {
      if (planted(bug::link_to_dying_lost)) break;
      pid peer = static_cast<control_envelope*>(e)->from;
      auto* answer = make_exit(link_exit_type, dead, reason::noproc);
      if (!deliver(core, peer, answer)) destroy(answer);
      break;
    }
    case signal::unlink: {
      auto* c = static_cast<control_envelope*>(e);
      pid peer = c->from;
      c->type = &unlink_ack_type;
      c->from = dead;
      if (deliver(core, peer, c)) return;
      break;
    }
    case signal::monitor: {
      auto* d = static_cast<down_envelope*>(e);
      if (planted(bug::silent_dead)) break;
      if (planted(bug::down_twice)) {
        auto* another = new down_envelope(d->value);
        another->type = &down_type;
        another->value.reason = reason::noproc;
        if (!deliver(core, d->value.reference.owner(), another)) destroy(another);
      }
      d->type = &down_type;
      d->value.reason = reason::noproc;
      if (deliver(core, d->value.reference.owner(), d)) return;
      break;
    }
    default: break;
  }
  try {
    destroy(e);
  } catch (...) {
    // A message whose destructor throws has no process left to blame.
  }
}

namespace {

void take_in(runtime_core& core, process& p, envelope* e) {
  switch (e->type->kind) {
    case signal::alias: return handle_alias(core, p, static_cast<alias_envelope*>(e));
    case signal::reply: return handle_reply(core, p, static_cast<request_envelope*>(e));
    case signal::stop: note_end_asked(p, false); return accept_message(core, p, e);
    case signal::request:
    case signal::system: static_cast<request_envelope*>(e)->late = p.dying; [[fallthrough]];
    case signal::message:
    case signal::cast: return accept_message(core, p, e);
    case signal::exit: return handle_exit(core, p, static_cast<exit_envelope*>(e));
    case signal::link: return handle_link(p, static_cast<control_envelope*>(e));
    case signal::unlink: return handle_unlink(core, p, static_cast<control_envelope*>(e));
    case signal::unlink_ack: return handle_unlink_ack(p, static_cast<control_envelope*>(e));
    case signal::monitor: return handle_monitor(core, p, static_cast<down_envelope*>(e));
    case signal::demonitor: return handle_demonitor(p, static_cast<control_envelope*>(e));
    case signal::down: return handle_down(core, p, static_cast<down_envelope*>(e));
    case signal::timer_gone: {
      auto* c = static_cast<control_envelope*>(e);
      std::uint64_t number = c->number;
      bool set = c->type == &timer_set_type;
      destroy(c);
      if (set)
        p.more().timers.insert(number, 0);
      else if (p.extra)
        p.extra->timers.erase(number);
      return;
    }
    case signal::wake: return handle_wake(p, static_cast<control_envelope*>(e));
    case signal::result: return handle_result(core, p, e);
  }
}

}  // namespace

namespace {

// One by one, in the order of their arrival.
void take_in_each(runtime_core& core, process& p, envelope* e) {
  if (planted(bug::exit_overtakes)) {
    envelope* exits = nullptr;
    envelope* others = nullptr;
    envelope **last_exit = &exits, **last_other = &others;
    for (; e; e = e->next) {
      envelope**& last = e->type->kind == signal::exit ? last_exit : last_other;
      *last = e;
      last = &e->next;
    }
    *last_other = nullptr;
    *last_exit = others;
    e = exits;
  }
  while (e) {
    envelope* next = e->next;
    if (e->to != p.id.load(std::memory_order_relaxed)) [[unlikely]] {
      refuse(core, p, pid(e->to), e);
    } else {
      try {
        take_in(core, p, e);
      } catch (...) {
        // Its tables cannot grow, or the destructor of a message that it dropped threw: the process crashes.
        decide_fate(p, current_reason(), true);
      }
    }
    e = next;
  }
}

}  // namespace

namespace {
// isolation.hpp, rules 3 and 7.
[[maybe_unused]] void come_behind(const runtime_core& core, envelope& e) noexcept {
  received(&e);
  pid gone = e.type->kind == signal::exit   ? static_cast<exit_envelope&>(e).value.from
             : e.type->kind == signal::down ? static_cast<down_envelope&>(e).value.process
                                            : pid();
  if (gone) received(core.table.at(gone.index()));
}
}  // namespace

void take_in_all(runtime_core& core, process& p) {
  const std::uint64_t me = p.id.load(std::memory_order_relaxed);
  envelope* newest = nullptr;
  std::uint32_t count = 0;
  bool plain = !p.dying;
  envelope* first = p.in.take_all([&](envelope& e) {
    if (!newest) newest = &e;
    plain = plain && is_message(e) && e.to == me;
    ++count;
  });
  if (core.explorer) [[unlikely]]
    core.explorer->taking(p, first);
  if (!first) return;
  if constexpr (with_isolation)
    for (envelope* e = first; e; e = e->next) come_behind(core, *e);
  if (plain) [[likely]] {
    accept_messages(p, first, newest, count);
    ask_waiting(p, first);
    if (p.queued.load(std::memory_order_relaxed) <= core.options.mailbox_alarm ||
        p.alarmed.exchange(true, std::memory_order_relaxed)) [[likely]]
      return;
    return tell_alarm(core, p);
  }
  const bool alarm_before = p.alarmed.load(std::memory_order_relaxed);
  take_in_each(core, p, first);
  if (!alarm_before && p.alarmed.load(std::memory_order_relaxed)) [[unlikely]]
    tell_alarm(core, p);
}

// ---- the end of a process ----------------------------------------------------------------------------------------

namespace {

// Nobody will handle what is in the queue, but a condition of the process still looks through it: the envelopes stay
// where they are, requests included, whose callers find out by their timeouts.
void leave_in_queue(runtime_core& core, const process& p) noexcept {
  for (const envelope* e = p.first; e; e = e->next)
    if (e->type->kind == signal::message || e->type->kind == signal::cast || e->type->kind == signal::request)
      core.count(counter::dropped);
}

}  // namespace

void end_process(runtime_core& core, process& p, const exit_reason& why, bool keep) {
  pid me = p.self();
  p.exiting = true;
  envelope* left = p.in.close();
  bool looked_at = keep && p.scanning;
  if (looked_at) leave_in_queue(core, p);
  envelope* mine = looked_at ? nullptr : std::exchange(p.first, nullptr);
  p.last = nullptr;
  p.scanned = nullptr;
  p.queued.store(0, std::memory_order_relaxed);
  // Control signals first: an unlink or demonitor that arrived before the end still counts, a link or monitor is late.
  envelope* rest = nullptr;
  envelope** tail = &rest;
  while (left) {
    envelope* next = left->next;
    signal kind = left->type->kind;
    if (left->to == me.value() && kind == signal::unlink)
      handle_unlink(core, p, static_cast<control_envelope*>(left));
    else if (left->to == me.value() && kind == signal::demonitor)
      handle_demonitor(p, static_cast<control_envelope*>(left));
    else {
      left->next = nullptr;
      *tail = left;
      tail = &left->next;
    }
    left = next;
  }
  release_name(core, p);
  if (p.extra) {
    if (wait_timer* t = std::exchange(p.extra->waits, nullptr)) release_wait_timer(core, t);
    if (!planted(bug::timer_outlives))
      for (auto& [number, unused] : p.extra->timers) core.timers->target_ended(number);
  }
  // Requests and messages that nobody will handle any more.
  auto drop = [&](envelope* e, bool all_late) {
    while (e) {
      envelope* next = e->next;
      if (e->type->kind == signal::request || e->type->kind == signal::system) {
        give_room(core, p, *e);
        if (e->type->kind == signal::request) core.count(counter::dropped);
        const bool late = all_late || static_cast<request_envelope*>(e)->late;
        end_calls_to(core, e, late ? exit_reason(reason::noproc) : why);
      } else if (e->type->kind == signal::stop) {
        destroy(e);
      } else {
        refuse(core, p, pid(e->to), e);
      }
      e = next;
    }
  };
  drop(mine, false);
  drop(rest, p.dying);
  // Who hears of the end finds no trace of this process: first its own monitors go, then links and watchers are told.
  if (p.extra)
    for (auto& [number, record] : p.extra->monitors)
      if (record.monitoring && record.target) {
        auto* e = new control_envelope(&demonitor_type, me, number);
        if (!deliver(core, record.target, e)) destroy(e);
      }
  // The worker whose step ends with this process.
  worker* w = worker_of(core);
  if (w && w->running != &p) w = nullptr;
  const bool normal = why.is_normal();
  auto tell_link = [&](std::uint64_t peer, bool late) {
    if (w && normal && !late && hand_normal_exit(core, *w, pid(peer), me)) return;
    auto* e = make_exit(link_exit_type, me, late ? exit_reason(reason::noproc) : why);
    if (!deliver(core, pid(peer), e)) destroy(e);
  };
  if (p.link0) tell_link(std::exchange(p.link0, 0), false);
  if (p.extra)
    for (auto& [peer, record] : p.extra->links)
      if (record.unlinking == 0) tell_link(peer, record.late);
  release_watchers(p, [&](down_envelope* e) {
    const pid watcher = e->value.reference.owner();
    e->type = &down_type;
    if (e->value.reason != reason::noproc) e->value.reason = why;
    if (w && hand_down(core, *w, watcher, e)) return;
    if (!deliver(core, watcher, e)) destroy(e);
  });
  if (!p.extra) return;
  if (!keep) return free_extra(std::exchange(p.extra, nullptr));
  p.extra->links.reset();
  p.extra->monitors.reset();
  p.extra->results.reset();
}

void keep_within_memory(runtime_core& core, process& p) {
  mailbox_account* a = p.account.used();
  if (!a || a->memory_max == 0 || a->bytes + a->used <= a->memory_max || a->overflowed.exchange(true)) return;
  auto* fatal = make_exit(fatal_type, pid(), over_limit(*a, room::over_memory, 0));
  if (!deliver(core, p.self(), fatal)) destroy(fatal);
}

void free_kept(process& p) noexcept {
  for (envelope* e = std::exchange(p.first, nullptr); e;) {
    envelope* next = e->next;
    try {
      destroy(e);
    } catch (...) {
      // A message whose destructor throws has no process left to blame.
    }
    e = next;
  }
  if (p.extra) free_extra(std::exchange(p.extra, nullptr));
}

}  // namespace otp::detail
