#include "testing/engine.hpp"

#include "process/control.hpp"

#include <algorithm>
#include <exception>

namespace otp::testing {

using namespace otp::detail;

namespace {

constexpr std::uint64_t winding_steps = 100'000;
constexpr unsigned patience = 100;  // steps that one may make by default while others could
constexpr std::uint64_t timer_actor = 1;

std::uint64_t actor_of(const process& p) noexcept { return std::uint64_t{p.self().index()} << 32; }
std::uint64_t key_of(std::uint32_t from, std::uint32_t to) noexcept { return std::uint64_t{from} << 32 | to; }

}  // namespace

engine::engine(runtime_core& core, chooser& choose, std::uint64_t max_steps, std::vector<std::string>* trace)
    : core_(core), choose_(choose), max_steps_(max_steps), trace_(trace) {
  core.explorer = this;
  core.watched = true;
  core.sched.direct(this);
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
  max_steps_ = steps_ + winding_steps;
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
  if (++steps_ <= max_steps_) return true;
  if (winding_up_)
    hopeless_ = true;
  else
    fail("livelock", "the run has taken " + std::to_string(max_steps_) +
                         " steps and is not over; raise max_steps if it is on its way");
  return false;
}

// What is possible, the last actor first.
void engine::collect(process* running) {
  options_.clear();
  if (running) options_.push_back({option::what::run, actor_of(*running), 0});
  for (std::size_t i = 0; i < ready_.size(); ++i) options_.push_back({option::what::run, actor_of(*ready_[i]), i});
  for (std::size_t i = 0; i < channels_.size(); ++i) options_.push_back({option::what::arrive, channels_[i].key, i});
  if (core_.sched.timer_due()) options_.push_back({option::what::fire, timer_actor, 0});
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
  for (std::size_t i = 0; i < options_.size(); ++i) actors_.push_back(options_[(first + i) % options_.size()].actor);
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
        if (!core_.sched.pass_time(core_.sched.next_timer())) return nullptr;
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
        process* p = ready_[now->at];
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

void engine::ready(runnable& r) noexcept { ready_.push_back(static_cast<process*>(&r)); }

void engine::point(process& p, const char* what) {
  if (p.phase.load(std::memory_order_relaxed) != phase::in_user) return;
  if (winding_up_) {
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
    std::uint64_t text = 0;
    for (const char* c = what; *c; ++c) text = text * 31 + static_cast<unsigned char>(*c);
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
  ready_.push_back(&p);  // behind all others: the places that were collected stay true
  core_.sched.preempt(p);
  p.phase.store(phase::in_user, std::memory_order_release);
  check_abandoned(p);
}

// ---- signals -----------------------------------------------------------------------------------------------------

std::uint32_t engine::source_of(const envelope& e) const noexcept {
  worker* w = scheduler::current();
  process* running = w ? static_cast<process*>(w->running) : nullptr;
  std::uint32_t sender = running ? running->self().index() : 0;
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
  auto open = channel_at_.find(key);
  if (open == channel_at_.end() && (from == 0 || from == to.index() || winding_up_)) {
    push(place, e);
    return true;
  }
  e->next = nullptr;
  if (open == channel_at_.end()) {
    channel_at_.emplace(key, channels_.size());
    channels_.push_back({key, e, e});
  } else {
    channel& c = channels_[open->second];
    c.last->next = e;
    c.last = e;
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
  if (process* there = core_.table.find(to))
    push(*there, e);
  else
    refuse(core_, *core_.table.at(to.index()), to, e);
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

void engine::taking(process&, envelope*) noexcept {}
void engine::spawned(process& p) noexcept { note(actor_of(p), 3); }
void engine::ended(pid who, const exit_reason& why) noexcept {
  note(std::uint64_t{who.index()} << 32, 4);
  if (trace_) tell("      " + who.to_string() + " has ended: " + why.to_string());
}
void engine::reported(const event&) noexcept {}

}  // namespace otp::testing
