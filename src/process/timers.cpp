#include "base/planted.hpp"
#include "process/control.hpp"
#include "process/timer_table.hpp"

#include <cassert>

namespace otp::detail {

namespace {

// A timer's number: generation, place in its shard, shard. The top bit sets it apart from monitors and aliases.
constexpr unsigned shard_bits = 6;
constexpr unsigned place_bits = 24;
constexpr std::uint64_t timer_mark = std::uint64_t{1} << 63;

constexpr std::uint32_t place_of(std::uint64_t number) {
  return static_cast<std::uint32_t>(number >> shard_bits & ((1U << place_bits) - 1));
}

}  // namespace

timer_table::timer_table(runtime_core& core) : core_(core), shards_(core.sched.shard_count()) {
  assert(shards_.size() <= std::size_t{1} << shard_bits);
}

timer_table::~timer_table() {
  for (shard& s : shards_)
    for (auto& [e, number] : s.places)
      if (e && e->now != state::free) {
        core_.sched.disarm(*e);
        if (e->request.payload) destroy(e->request.payload);
      }
}

unsigned timer_table::shard_of(std::uint64_t number) noexcept {
  return static_cast<unsigned>(number & ((1U << shard_bits) - 1));
}

// Whether it may be a number of ours at all.
bool timer_table::known(std::uint64_t number) const noexcept {
  return (number & timer_mark) && shard_of(number) < shards_.size();
}

std::size_t timer_table::size() const noexcept {
  std::size_t all = 0;
  for (const shard& s : shards_) all += s.in_use.load(std::memory_order_relaxed);
  return all;
}

// Under the lock.
inline timer_table::entry* timer_table::find(shard& s, std::uint64_t number) noexcept {
  const std::uint32_t at = place_of(number);
  if (at >= s.places.size()) return nullptr;
  place& there = s.places[at];
  entry* e = there.held.get();
  return there.number == number && e && e->now != state::free ? e : nullptr;
}

bool timer_table::is_pending(std::uint64_t number) noexcept {
  if (number == 0) return false;
  std::lock_guard lock(lock_of(number));
  return find(shards_[shard_of(number)], number) != nullptr;
}

pid timer_table::dead_target() noexcept {
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    std::lock_guard lock(core_.sched.shard(static_cast<unsigned>(i)).timers_lock);
    for (auto& [e, number] : shards_[i].places)
      if (e && e->now == state::armed && e->request.to) {
        process* there = core_.table.find(e->request.to);
        if (!there || there->in.closed()) return e->request.to;
      }
  }
  return {};
}

// The wheel for a timer that `me` sets. As long as one of its timers may be pending, the next ones go to the same
// wheel, wherever the process runs by now: so they come in the order of their expiry. In a section of `me`.
inline unsigned timer_table::wheel_of(process& me, const worker& here) {
  process_extra& extra = me.more();
  if (extra.timers_on == here.number) return here.number;
  // The worker's clock may be behind: then they stay where they are a little longer.
  if (extra.last_timer_at >= here.cached_now || is_pending(extra.last_timer)) return extra.timers_on;
  extra.last_timer = 0;
  extra.last_timer_at = -1;
  return extra.timers_on = here.number;
}

inline void timer_table::note_expiry(process& me, std::uint64_t number, const timer_request& request) {
  nanos when = request.every.count() > 0 ? never : request.when.time_since_epoch().count();
  process_extra& extra = *me.extra;
  if (extra.last_timer != 0 && extra.last_timer_at > when) return;
  extra.last_timer = number;
  extra.last_timer_at = when;
}

// Under the lock. What the request owns has been taken out. `e` may be gone afterwards.
inline void timer_table::free_entry(shard& s, entry& e) noexcept {
  const std::uint32_t at = place_of(e.number);
  place& there = s.places[at];
  e.now = state::free;
  there.number = e.number = (e.number + (std::uint64_t{1} << (shard_bits + place_bits))) | timer_mark;
  if (s.unused.size() >= entries_kept) [[unlikely]]
    there.held.reset();
  s.unused.push_back(at);  // never allocates: capacity for every place
  s.in_use.store(s.in_use.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

// Under the lock: one place more, unused.
void timer_table::add_place(shard& s, unsigned number_of_shard) {
  if (s.places.size() >= (1U << place_bits))
    throw exited(exit_reason(exit_reason::kind::system_limit, "too many timers are armed"));
  auto fresh = std::make_unique<entry>();
  s.places.emplace_back();
  try {
    s.unused.reserve(s.places.capacity());
  } catch (...) {
    s.places.pop_back();
    throw;
  }
  s.places.back().number = timer_mark | std::uint64_t{1} << (shard_bits + place_bits) |
                           (s.places.size() - 1) << shard_bits | number_of_shard;
  s.places.back().held = std::move(fresh);
  s.unused.push_back(static_cast<std::uint32_t>(s.places.size() - 1));
}

// Under the lock. An entry that nobody else knows: free, and not among the unused.
inline timer_table::entry& timer_table::reserve(shard& s, unsigned number_of_shard) {
  if (s.unused.empty()) [[unlikely]]
    add_place(s, number_of_shard);
  place& at = s.places[s.unused.back()];
  if (!at.held) [[unlikely]]
    at.held = std::make_unique<entry>();
  s.unused.pop_back();
  entry& e = *at.held;
  e.table = this;
  e.fire = fired;
  e.number = at.number;
  return e;
}

// Under the lock.
inline void timer_table::start(shard& s, entry& e, timer_request& request, worker& on) noexcept {
  e.request = std::move(request);
  request.payload = nullptr;
  e.now = state::armed;
  s.in_use.store(s.in_use.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  core_.sched.arm_locked(e, e.request.when.time_since_epoch().count(), on);
}

ref timer_table::arm(worker& here, timer_request&& request) {
  auto* me = static_cast<process*>(here.running);
  struct payload_guard {
    timer_request& r;
    ~payload_guard() {
      if (r.payload) destroy(std::exchange(r.payload, nullptr));
    }
  } guard{request};
  if (request.payload) sent(request.payload);
  if (!me || request.to != me->self() || request.wrap) return arm_for_others(here, me, request);
  // The usual case: a process tells itself. Nothing of it can arrive before it looks at its inbox again.
  const nanos when = request.when.time_since_epoch().count();
  std::uint64_t number = 0;
  runtime_section section(*me);
  const unsigned where = wheel_of(*me, here);
  worker& on = core_.sched.shard(where);
  shard& s = shards_[where];
  {
    std::lock_guard lock(on.timers_lock);
    entry& e = reserve(s, where);
    number = e.number;
    note_expiry(*me, number, request);
    start(s, e, request, on);
  }
  if (&on != &here) core_.sched.announce_deadline(when, on);
  try {
    me->extra->timers.insert(number, 0);
  } catch (...) {
    target_ended(number);
    throw;
  }
  return ref(me->self(), number);
}

// Its number is known before it starts: its message carries it, or its target has to hear of it first.
ref timer_table::arm_for_others(const worker& here, process* me, timer_request& request) {
  unsigned where = here.number;
  if (me) {
    runtime_section section(*me);
    where = wheel_of(*me, here);
  }
  worker& on = core_.sched.shard(where);
  shard& s = shards_[where];
  std::unique_lock lock(on.timers_lock);
  entry& e = reserve(s, where);
  lock.unlock();
  const std::uint64_t number = e.number;
  const ref reference(me ? me->self() : pid(), number);
  const pid target = request.to;
  const bool to_self = me && target == me->self();
  const nanos when = request.when.time_since_epoch().count();
  try {
    if (request.wrap) request.payload = make_envelope(timer_expired{reference, std::move(request.more->wrapped)});
    if (request.payload) sent(request.payload);
    if (me) {
      runtime_section section(*me);
      note_expiry(*me, number, request);
      if (to_self) me->extra->timers.insert(number, 0);
    }
    // The target hears of the timer before it can fire, and of its end behind that.
    if (!to_self && target) {
      auto* tell = new control_envelope(&timer_set_type, reference.owner(), number);
      if (!deliver(core_, target, tell)) destroy(tell);
    }
  } catch (...) {
    lock.lock();
    s.unused.push_back(place_of(number));
    throw;
  }
  lock.lock();
  start(s, e, request, on);
  lock.unlock();
  core_.sched.announce_deadline(when, on);
  // One that ends closes its inbox and then takes its timers out: it found this one, or is seen to be closed here.
  if (target && !to_self) {
    process* there = core_.table.find(target);
    if (!there || there->in.closed()) target_ended(number);
  }
  return reference;
}

// Takes a pending timer out; nothing if it is not pending.
inline std::optional<timer_table::taken> timer_table::take_out(std::uint64_t number, bool wait) noexcept {
  if (!known(number)) return std::nullopt;
  shard& s = shards_[shard_of(number)];
  worker& on = core_.sched.shard(shard_of(number));
  taken was;
  envelope* payload = nullptr;
  std::unique_ptr<timer_details> more;
  bool busy = false;
  {
    std::lock_guard lock(on.timers_lock);
    entry* e = find(s, number);
    if (!e || (e->now != state::armed && !(e->now == state::firing && e->request.every.count() > 0)))
      return std::nullopt;
    was = {e->request.when.time_since_epoch().count(), e->request.to};
    if (planted(bug::cancel_lies) && was.deadline <= core_.sched.now()) return was;
    if (e->now == state::armed && scheduler::disarm_locked(*e, on)) [[likely]] {
      payload = std::exchange(e->request.payload, nullptr);
      more = std::move(e->request.more);
      free_entry(s, *e);
    } else {
      busy = e->now == state::firing;
      e->now = state::cancelled;  // the expiry has begun and will find this
    }
  }
  // An interval timer that sends its message at this moment: it shall have arrived before the canceller goes on.
  for (bool over = !busy || !wait; !over;) {
    scheduler::give_way();
    std::lock_guard lock(on.timers_lock);
    over = s.places[place_of(number)].number != number;
  }
  try {
    if (payload) destroy(payload);
  } catch (...) {
    // A message whose destructor throws: the timer is gone all the same.
  }
  return was;
}

std::optional<duration> timer_table::cancel(worker& here, ref timer) {
  if (!timer) throw bad_argument("cancel_timer: this is not a reference; give what send_after or start_timer returned");
  const auto was = take_out(timer.number(), true);
  if (!was) return std::nullopt;
  auto* me = static_cast<process*>(here.running);
  if (me && was->target == me->self()) {
    runtime_section section(*me);
    if (me->extra) me->extra->timers.erase(timer.number());
  } else if (was->target) {
    auto* tell = new control_envelope(&timer_gone_type, pid(), timer.number());
    if (!deliver(core_, was->target, tell)) destroy(tell);
  }
  return duration(std::max<nanos>(0, was->deadline - core_.sched.now(here)));
}

void timer_table::target_ended(std::uint64_t number) noexcept {
  take_out(number, false);  // whatever it sends finds nobody
}

std::optional<duration> timer_table::read(worker& here, ref timer) {
  if (!timer) throw bad_argument("read_timer: this is not a reference; give what send_after or start_timer returned");
  if (!known(timer.number())) return std::nullopt;
  nanos deadline = 0;
  {
    std::lock_guard lock(lock_of(timer.number()));
    entry* e = find(shards_[shard_of(timer.number())], timer.number());
    if (!e || e->now == state::cancelled || (e->now == state::firing && e->request.every.count() == 0))
      return std::nullopt;
    deadline = e->request.when.time_since_epoch().count();
  }
  return duration(std::max<nanos>(0, deadline - core_.sched.now(here)));
}

void timer_table::fired(timer& t) noexcept {
  auto& e = static_cast<entry&>(t);
  e.table->expire(e);
}

void timer_table::expire(entry& e) noexcept {
  worker& on = core_.sched.shard(shard_of(e.number));
  bool repeats = false;
  bool fires = false;
  {
    std::lock_guard lock(on.timers_lock);
    fires = e.now == state::armed;
    if (fires) e.now = state::firing;
    repeats = e.request.every.count() > 0;
  }
  bool go_on = false;
  if (fires) {  // a cancel may change the state now, but does not touch the request
    envelope* message = nullptr;
    bool ready = true;
    if (!repeats) {
      message = std::exchange(e.request.payload, nullptr);
    } else if (e.request.payload) {
      try {
        message = e.request.copy(*e.request.payload);
      } catch (...) {
        ready = false;  // a copy that throws ends the timer, and is told below
        core_.emit([&]() -> event {
          return {.what = "timer_copy_failed",
                  .severity = severity::error,
                  .process = e.request.to,
                  .name = core_.describe(e.request.to),
                  .reason = exit_reason::of_current_exception()};
        });
      }
    }
    go_on = ready && act(e, message) && repeats && !core_.stopping.load();
  }
  envelope* payload = nullptr;
  std::unique_ptr<timer_details> more;
  {
    std::unique_lock lock(on.timers_lock);
    if (go_on && e.now == state::firing) {
      // The rhythm is kept; periods that passed while nobody looked become one message.
      nanos period = e.request.every.count();
      nanos when = e.request.when.time_since_epoch().count() + period;
      if (nanos now = core_.sched.now(); when <= now)
        when += (now - when) / period * period + (when == now ? 0 : period);
      e.request.when = instant(duration(when));
      e.now = state::armed;
      core_.sched.arm_locked(e, when, on);
      lock.unlock();
      core_.sched.announce_deadline(when, on);
      return;
    }
    payload = std::exchange(e.request.payload, nullptr);
    more = std::move(e.request.more);
    free_entry(shards_[on.number], e);
  }
  try {
    if (payload) destroy(payload);
  } catch (...) {
    // as in take_out
  }
}

bool timer_table::act(entry& e, envelope* message) noexcept {
  timer_request& r = e.request;
  try {
    pid to = r.to;
    if (!to && r.action != timer_request::what::apply) {
      auto held = core_.whereis(r.details().name);
      if (held) to = *held;
    }
    if (r.to && r.every.count() == 0) {
      // The target forgets the timer when its message arrives; the number travels ahead of it.
      auto* gone = new control_envelope(&timer_gone_type, pid(), e.number);
      if (!deliver(core_, r.to, gone)) destroy(gone);
    }
    switch (r.action) {
      case timer_request::what::send: {
        if (to) return send_user(core_, to, std::exchange(message, nullptr)) != send_status::no_process;
        core_.count(counter::sent);  // to a name that nobody has now
        core_.count(counter::dead);
        destroy(std::exchange(message, nullptr));
        return false;
      }
      case timer_request::what::exit:
        if (!to) return false;
        send_exit(core_, pid(), to, r.more->reason);
        if (r.more->reason == reason::kill) start_kill_budget(core_, to);
        return true;
      case timer_request::what::apply: {
        auto* function = &r.more->function;
        if (r.every.count() > 0) {
          spawn_body(core_, nullptr, make_function_body(unique_function([shared = r.more->shared] { (*shared)(); })),
                     {});
        } else {
          spawn_body(core_, nullptr, make_function_body(std::move(*function)), {});
        }
        return true;
      }
    }
  } catch (...) {
    core_.emit([&]() -> event {
      return {.what = "timer_failed",
              .severity = severity::error,
              .process = r.to,
              .name = core_.describe(r.to),
              .reason = exit_reason::of_current_exception()};
    });
  }
  return false;
}

instant after_now(duration delay) {
  if (delay.count() < 0)
    throw bad_argument("timer: the time is " + integer_text(delay.count()) + " ns; give 0 or more");
  worker& here = require_worker("timer");
  const nanos now = here.owner.now(here);
  return instant(duration(delay.count() > never - now ? never : now + delay.count()));
}

ref arm_timer(timer_request&& request) {
  try {
    if (request.payload == nullptr && request.action == timer_request::what::send && !request.wrap)
      throw bad_argument("timer: there is no message");
    if (request.every.count() < 0 ||
        ((request.copy || (request.more && request.more->shared)) && request.every.count() == 0))
      throw bad_argument("timer: the period must be longer than 0");
    if (!request.to && (!request.more || request.more->name.empty()) && request.action != timer_request::what::apply)
      throw bad_argument("timer: this is not a process or a name");
    worker& here = require_worker("timer");
    if (here.running) check_abandoned(static_cast<process&>(*here.running));
    return core_of(here).timers->arm(here, std::move(request));
  } catch (...) {
    if (request.payload) destroy(std::exchange(request.payload, nullptr));
    throw;
  }
}

}  // namespace otp::detail

namespace otp {

using namespace detail;

namespace {

ref start(instant when, pid to, std::string_view name, term payload) {
  timer_request r;
  r.when = when;
  r.to = to;
  r.details().name = name;
  r.wrap = true;
  r.details().wrapped = std::move(payload);
  return arm_timer(std::move(r));
}

ref exit_later(duration delay, pid to, std::string_view name, exit_reason why) {
  timer_request r;
  r.action = timer_request::what::exit;
  r.when = after_now(delay);
  r.to = to;
  r.details().name = name;
  r.details().reason = std::move(why);
  return arm_timer(std::move(r));
}

}  // namespace

ref start_timer(duration delay, pid to, term payload) { return start(after_now(delay), to, {}, std::move(payload)); }
ref start_timer(duration delay, std::string_view name, term payload) {
  return start(after_now(delay), {}, name, std::move(payload));
}
ref start_timer_at(instant when, pid to, term payload) { return start(when, to, {}, std::move(payload)); }
ref start_timer_at(instant when, std::string_view name, term payload) {
  return start(when, {}, name, std::move(payload));
}
ref exit_after(duration delay, pid process, exit_reason why) { return exit_later(delay, process, {}, std::move(why)); }
ref exit_after(duration delay, std::string_view name, exit_reason why) {
  return exit_later(delay, {}, name, std::move(why));
}
ref kill_after(duration delay, pid process) { return exit_later(delay, process, {}, reason::kill); }
ref kill_after(duration delay, std::string_view name) { return exit_later(delay, {}, name, reason::kill); }

namespace detail {
ref apply_once(duration delay, unique_function function) {
  if (!function) throw bad_argument("apply_after: the function object is empty; give one that can be called");
  timer_request r;
  r.action = timer_request::what::apply;
  r.when = after_now(delay);
  r.details().function = std::move(function);
  return arm_timer(std::move(r));
}

ref apply_every(duration period, unique_function function) {
  if (!function) throw bad_argument("apply_interval: the function object is empty; give one that can be called");
  timer_request r;
  r.action = timer_request::what::apply;
  r.when = after_now(period);
  r.every = period;
  r.details().shared = std::make_shared<unique_function>(std::move(function));
  return arm_timer(std::move(r));
}
}  // namespace detail

std::optional<duration> cancel_timer(ref timer) {
  worker& here = require_worker("cancel_timer");
  return core_of(here).timers->cancel(here, timer);
}
std::optional<duration> read_timer(ref timer) {
  worker& here = require_worker("read_timer");
  return core_of(here).timers->read(here, timer);
}

void cancel_timer_async(ref timer, bool info) {
  const running_process here = require_running("cancel_timer_async");
  auto left = here.core.timers->cancel(here.on, timer);
  if (info) send(here.self.self(), timer_cancelled{timer, left});
}

}  // namespace otp
