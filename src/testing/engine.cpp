#include "testing/engine.hpp"

#include "base/isolation.hpp"
#include "process/control.hpp"

#include <algorithm>
#include <exception>

namespace otp::testing {

using namespace otp::detail;

namespace {

constexpr std::uint64_t winding_steps = 100'000;
constexpr unsigned patience = 100;  // steps that one may make by default while others could
constexpr std::uint64_t timer_actor = 1;
constexpr std::size_t in_progress = ~std::size_t{0};  // the place of an option that is not in ready_

std::uint64_t actor_of(const process& p) noexcept { return std::uint64_t{p.self().index()} << 32; }
std::uint64_t key_of(std::uint32_t from, std::uint32_t to) noexcept { return std::uint64_t{from} << 32 | to; }

}  // namespace

engine::engine(runtime_core& core, chooser& choose, const explore_options& how, std::vector<std::string>* trace)
    : core_(core), choose_(choose), max_steps_(how.max_steps), trace_(trace), checks_(how.checks) {
  core.explorer = this;
  core.watched = true;
  core.sched.direct(this);
  for (const fault& f : how.faults) inject(f);
}

engine::~engine() {
  core_.explorer = nullptr;
  core_.sched.direct(nullptr);
}

void engine::fail(std::string kind, std::string text) {
  if (failed() || winding_up_) return;
  failed_kind_ = std::move(kind);
  failed_text_ = std::move(text);
}

void engine::wind_up() noexcept {
  winding_up_ = true;
  clock_stopped_ = false;
  plan_.clear();
  invariants_.clear();
  allocations_ = 0;
  max_steps_ = steps_ + winding_steps;
}

void engine::stop_clock() noexcept {
  // What is held up arrives now: at rest nothing is under way.
  for (channel& c : channels_) c.held_until = 0;
  for (waiting& w : ready_) w.held_until = 0;
  plan_.clear();
  clock_stopped_ = true;
}

void engine::tell(const std::string& line) {
  if (trace_ && !winding_up_) trace_->push_back(line);
}

void engine::note(std::uint64_t actor, std::uint64_t what) noexcept {
  hash_ = random_numbers(hash_ ^ actor ^ what << 1).next();
}

// ---- steps -------------------------------------------------------------------------------------------------------

// False: the run is over.
bool engine::another_step() {
  if (!invariants_.empty() && !quiet_) {
    quiet_ = true;
    const unwatched look;
    for (auto& [name, holds] : invariants_)
      if (!holds()) fail("always", "it does not always hold: " + name);
    quiet_ = false;
    if (failed()) return false;
  }
  if (!plan_.empty()) faults_now();
  if (++steps_ <= max_steps_) return true;
  if (winding_up_)
    hopeless_ = true;
  else
    fail("livelock", "the run has taken " + std::to_string(max_steps_) +
                         " steps and is not over; raise max_steps if it is on its way");
  return false;
}

// What is possible, the last actor first.
void engine::collect(process* runner) {
  options_.clear();
  if (runner) options_.push_back({option::what::run, actor_of(*runner), in_progress});
  const nanos now = core_.sched.now();
  for (std::size_t i = 0; i < ready_.size(); ++i)
    if (ready_[i].held_until <= now) options_.push_back({option::what::run, actor_of(*ready_[i].who), i});
  for (std::size_t i = 0; i < channels_.size(); ++i)
    if (channels_[i].held_until <= now) options_.push_back({option::what::arrive, channels_[i].key, i});
  if (core_.sched.timer_due()) options_.push_back({option::what::fire, timer_actor, 0});
}

namespace {
// What may see or change more than a process's own state and the channels that it sends to.
bool looks_at_others(const char* about_to) {
  static constexpr std::string_view such[] = {"is_alive", "info", "processes", "process_count", "counters"};
  return about_to && std::find(std::begin(such), std::end(such), about_to) != std::end(such);
}
}  // namespace

candidate engine::candidate_of(const option& o) const {
  switch (o.kind) {
    case option::what::run: {
      bool runs = o.at == in_progress;
      const char* about_to = runs ? running_to_ : ready_[o.at].about_to;
      return {o.actor, plan_.empty() && !looks_at_others(about_to), static_cast<std::uint32_t>(o.actor >> 32),
              candidate::what::process};
    }
    case option::what::arrive:
      return {o.actor, plan_.empty() && deliverable(o.at), static_cast<std::uint32_t>(o.actor),
              candidate::what::signal};
    case option::what::fire: break;
  }
  return {o.actor, false, 0, candidate::what::timer};
}

std::size_t engine::pick() {
  if (options_.size() == 1 || winding_up_) return 0;
  auto last = std::find_if(options_.begin(), options_.end(), [&](const option& o) { return o.actor == last_; });
  bool goes_on = last != options_.end();
  std::size_t first = goes_on ? static_cast<std::size_t>(last - options_.begin()) : 0;
  // One that never waits must not keep the others out for ever where nobody decides otherwise.
  if (!goes_on) in_a_row_ = 0;
  if (goes_on && ++in_a_row_ > patience) {
    in_a_row_ = 0;
    goes_on = false;
    first = (first + 1) % options_.size();
  }
  actors_.clear();
  for (std::size_t i = 0; i < options_.size(); ++i)
    actors_.push_back(candidate_of(options_[(first + i) % options_.size()]));
  std::uint32_t choice = choose_.next_actor(actors_, goes_on);
  if (choice != 0) in_a_row_ = 0;
  taken_.push_back({choice, static_cast<std::uint32_t>(options_.size())});
  return (first + choice) % options_.size();
}

runnable* engine::next() {
  for (;;) {
    if (core_.sched.seeded_done() || (failed() && !winding_up_)) return nullptr;
    while (winding_up_ && !channels_.empty()) arrive(0);
    std::optional<option> now = std::exchange(chosen_, std::nullopt);
    if (!now) {
      collect(nullptr);
      if (options_.empty()) {
        if (clock_stopped_) return nullptr;
        nanos before = core_.sched.now();
        if (!core_.sched.pass_time(std::min(core_.sched.next_timer(), next_held()))) return nullptr;
        if (core_.sched.now() != before && trace_)
          tell("      time is now " + integer_text(core_.sched.now() / 1'000'000) + " ms");
        continue;
      }
      now = options_[pick()];
    }
    if (!another_step()) return nullptr;
    last_ = now->actor;
    note(now->actor, static_cast<std::uint64_t>(now->kind));
    switch (now->kind) {
      case option::what::run: {
        process* p = ready_[now->at].who;
        ready_.erase(ready_.begin() + static_cast<std::ptrdiff_t>(now->at));
        return p;
      }
      case option::what::arrive: arrive(now->at); break;
      case option::what::fire:
        tell("      a timer fires");
        core_.sched.fire_one_timer();
        break;
    }
  }
}

void engine::ready(runnable& r) noexcept {
  auto& p = static_cast<process&>(r);
  nanos until = 0;
  for (const fault& f : plan_)
    if (f.what == fault::kind::slow && is_meant(f, p)) until = core_.sched.now() + f.length.count();
  ready_.push_back({&p, until, nullptr});
}

nanos engine::next_held() const noexcept {
  nanos first = never;
  for (const waiting& w : ready_) first = std::min(first, w.held_until);
  for (const channel& c : channels_) first = std::min(first, c.held_until);
  return first;
}

namespace {
// Nobody else can notice it.
bool is_private(std::string_view what) { return what == "guard" || what == "keep" || what == "loop"; }
constexpr std::string_view its_end = "end";  // nothing may be thrown there
}  // namespace

void engine::point(process& p, const char* what) {
  if (p.phase.load(std::memory_order_relaxed) != phase::in_user || quiet_ || is_private(what)) return;
  if (winding_up_) {
    if (what == its_end) return;
    // It may be in a loop that never waits: its end has to meet it here.
    {
      runtime_section section(p);
      intake(core_, p);
    }
    another_step();
    if (p.dying && std::uncaught_exceptions() == 0 && steps_ + winding_steps > max_steps_ + 10 * patience)
      throw unwind{};
    return;
  }
  if (failed()) {
    // The run is over; this one stays where it is until everything is wound up.
    try {
      core_.sched.prepare_to_suspend();
    } catch (const std::exception&) {
      return;
    }
  } else {
    if (trace_) tell("  " + core_.describe(p.self()) + ": " + what);
    if (!plan_.empty() && std::string_view(what) == "callback")
      for (fault& f : plan_)
        if (f.what == fault::kind::crash && is_meant(f, p) && happens(f)) {
          tell("  " + core_.describe(p.self()) + ": crashes, as planned");
          throw std::runtime_error("a planned crash");
        }
    std::uint64_t text = 0;
    for (const char* c = what; *c; ++c) text = text * 31 + static_cast<unsigned char>(*c);
    running_to_ = what;
    for (;;) {
      if (!another_step()) break;
      note(actor_of(p), text);
      last_ = actor_of(p);
      collect(&p);
      if (options_.size() == 1) return;
      option chosen = options_[pick()];
      if (chosen.actor == actor_of(p)) return;
      if (chosen.kind == option::what::arrive && deliverable(chosen.at)) {
        last_ = chosen.actor;
        note(chosen.actor, static_cast<std::uint64_t>(chosen.kind));
        arrive(chosen.at);
        // Who made the last step is this process again.
        continue;
      }
      chosen_ = chosen;
      break;
    }
    try {
      core_.sched.prepare_to_suspend();
    } catch (const std::exception&) {
      chosen_.reset();  // no stack to be had: it goes on
      return;
    }
  }
  p.home.store(scheduler::current()->number + 1, std::memory_order_relaxed);
  p.phase.store(phase::waiting, std::memory_order_release);
  ready_.push_back({&p, 0, what});  // behind all others: the places that were collected stay true
  core_.sched.preempt(p);
  p.phase.store(phase::in_user, std::memory_order_release);
  check_abandoned(p);
}

// ---- signals -----------------------------------------------------------------------------------------------------

std::uint32_t engine::source_of(const envelope& e) const noexcept {
  worker* w = scheduler::current();
  process* running = w ? static_cast<process*>(w->running) : nullptr;
  std::uint32_t sender = running && !quiet_ ? running->self().index() : 0;
  switch (e.type->kind) {
    case signal::exit: {
      pid from = static_cast<const exit_envelope&>(e).value.from;
      return from ? from.index() : sender;
    }
    case signal::down: {
      pid from = static_cast<const down_envelope&>(e).value.process;
      return from ? from.index() : sender;
    }
    case signal::timer_gone: return 0;
    default: return sender;
  }
}

void engine::push(process& place, envelope* e) noexcept {
  pid to(e->to);
  switch (place.in.push(e)) {
    case push_result::closed: refuse(core_, place, to, e); break;
    case push_result::wake: core_.sched.make_ready(place); break;
    case push_result::queued: break;
  }
}

bool engine::post(process& place, pid to, envelope* e) noexcept {
  if (place.in.closed()) return false;
  std::uint32_t from = source_of(*e);
  std::uint64_t key = key_of(from, to.index());
  // One of its address may have gone unseen, with a process that ended before it looked.
  if (e->type->kind == signal::request) replies_under_way_.erase(e);
  if (e->type->kind == signal::reply && checks_.replies && ++replies_under_way_[e] > 1)
    fail("reply", "a request of " + core_.describe(to) + " was answered twice");
  auto open = channel_at_.find(key);
  if (open == channel_at_.end() && (from == 0 || from == to.index() || winding_up_)) {
    sent_.erase(e);
    push(place, e);
    return true;
  }
  sent_[e] = {key, ++posted_};
  nanos held = 0;
  for (fault& f : plan_)
    if (f.what == fault::kind::delay && f.times > 0 && happens(f)) {
      held = core_.sched.now() + f.length.count() / 4 * (1 + decide(4));
      tell("      " + describe(*e) + " for " + core_.describe(to) + " is held up");
    }
  e->next = nullptr;
  if (open == channel_at_.end()) {
    channel_at_.emplace(key, channels_.size());
    channels_.push_back({key, e, e, held});
  } else {
    channel& c = channels_[open->second];
    c.last->next = e;
    c.last = e;
    c.held_until = std::max(c.held_until, held);
  }
  return true;
}

// Whether its arrival runs none of the user's code.
bool engine::deliverable(std::size_t at) const {
  process* there = core_.table.find(pid(channels_[at].first->to));
  return there && !there->in.closed();
}

void engine::arrive(std::size_t at) {
  channel& c = channels_[at];
  envelope* e = c.first;
  c.first = e->next;
  if (!c.first) {
    channel_at_.erase(c.key);
    channels_.erase(channels_.begin() + static_cast<std::ptrdiff_t>(at));
    for (std::size_t i = at; i < channels_.size(); ++i) channel_at_[channels_[i].key] = i;
  }
  pid to(e->to);
  if (trace_) tell("      " + describe(*e) + " arrives at " + core_.describe(to));
  process& place = *core_.table.at(to.index());  // it had a tenant when this was sent, and a place is never unmapped
  if (core_.table.find(to) && !place.in.closed()) return push(place, e);
  sent_.erase(e);
  replies_under_way_.erase(e);
  refuse(core_, place, to, e);
}

std::string engine::describe(const envelope& e) const {
  auto named = [&](const char* kind) {
    return std::string(kind) + (e.type->record ? " " + std::string(e.type->record->name) : std::string());
  };
  switch (e.type->kind) {
    case signal::alias: return "message through an alias";
    case signal::message: return named("message");
    case signal::request: return named("request");
    case signal::cast: return named("cast");
    case signal::reply: return "the reply to " + core_.describe(static_cast<const request_envelope&>(e).caller);
    case signal::exit: {
      auto& x = static_cast<const exit_envelope&>(e).value;
      return "exit signal of " + core_.describe(x.from) + " (" + x.reason.to_string() + ")";
    }
    case signal::down: {
      auto& d = static_cast<const down_envelope&>(e).value;
      return "down of " + core_.describe(d.process) + " (" + d.reason.to_string() + ")";
    }
    case signal::link: return "link of " + core_.describe(static_cast<const control_envelope&>(e).from);
    case signal::unlink: return "unlink of " + core_.describe(static_cast<const control_envelope&>(e).from);
    case signal::unlink_ack: return "acknowledged unlink";
    case signal::monitor: return "monitor";
    case signal::demonitor: return "demonitor of " + core_.describe(static_cast<const control_envelope&>(e).from);
    case signal::timer_gone: return "news of a timer";
    case signal::wake: return "wake-up";
    case signal::stop: return "stop";
    case signal::system: return "system request";
    case signal::result: return named("result");
  }
  return "signal";
}

// ---- faults ------------------------------------------------------------------------------------------------------

std::uint32_t engine::decide(std::uint32_t among) {
  if (among <= 1) return 0;
  std::uint32_t choice = choose_.any_of(among);
  taken_.push_back({choice, among});
  return choice;
}

bool engine::decide_fault() {
  bool yes = choose_.fault();
  taken_.push_back({yes, 2});
  return yes;
}

void engine::inject(fault what) {
  if (what.what == fault::kind::allocation)
    allocations_ = what.number != 0 ? what.number : 1 + decide(256);
  else
    plan_.push_back(std::move(what));
}

// A fault that has come to its place: the n-th one, or one that is drawn.
bool engine::happens(fault& f) {
  if (f.times == 0) return false;
  if (f.number != 0 ? --f.number != 0 : !decide_fault()) return false;
  --f.times;
  return true;
}

bool engine::is_meant(const fault& f, const process& p) const {
  if (f.process) return f.process == p.self();
  if (f.target.empty()) return p.self() != body_;
  if (const std::string_view* type = p.type_name.load(); type && *type == f.target) return true;
  std::lock_guard lock(core_.names_lock);
  auto held = core_.names.find(f.target);
  return held != core_.names.end() && held->second == p.self();
}

void engine::kill(pid victim) {
  tell("      " + core_.describe(victim) + " is killed, as planned");
  quiet_ = true;  // by nobody: it arrives at once
  send_exit(core_, {}, victim, reason::kill);
  quiet_ = false;
  start_kill_budget(core_, victim);
}

void engine::faults_now() {
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    fault& f = plan_[i];
    if (f.times == 0 || quiet_) continue;
    switch (f.what) {
      case fault::kind::kill: {
        auto victim = f.process ? std::optional(f.process) : core_.whereis(f.target);
        process* there = victim ? core_.table.find(*victim) : nullptr;
        if (there && !there->in.closed() && happens(f)) kill(*victim);
        break;
      }
      case fault::kind::kill_any: {
        std::vector<pid> victims;
        for (std::uint32_t at = 1; at <= core_.table.end(); ++at) {
          process* p = core_.table.at(at);
          if (p && !p->in.closed() && p->self() != body_) victims.push_back(p->self());
        }
        if (!victims.empty() && happens(f)) kill(victims[decide(static_cast<std::uint32_t>(victims.size()))]);
        break;
      }
      case fault::kind::pause:
        if (happens(f)) {
          core_.sched.set_clock(core_.sched.now() + f.length.count());
          tell("      nobody runs for " + integer_text(f.length.count() / 1'000'000) + " ms");
        }
        break;
      default: break;
    }
  }
}

bool engine::fault_here(std::string_view name) {
  if (quiet_ || winding_up_) return false;
  for (fault& f : plan_)
    if (f.what == fault::kind::point && (f.target.empty() || f.target == name) && happens(f)) {
      tell("      fault point " + std::string(name));
      return true;
    }
  return false;
}

bool engine::allocation_fails() noexcept { return allocations_ != 0 && --allocations_ == 0; }

}  // namespace otp::testing
