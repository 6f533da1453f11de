// What can be asked about a process, also about one that is busy and never receives.
//
// A visitor reads the tables of the process and the signals that have reached its inbox but were not taken in yet, and
// answers as if they had been. So who sent a process a signal and asks about it afterwards sees what the signal does,
// as in OTP, and the process is not disturbed.
#include "process/control.hpp"
#include "process/request_core.hpp"
#include "process/runtime_core.hpp"
#include "process/watchers.hpp"

#include <algorithm>

namespace otp {

using namespace detail;

namespace {

constexpr std::size_t messages_shown = 1000;

/// Links, monitors and mailbox of a process as they are once it has taken in what has arrived.
class view {
 public:
  view(const process& p, process_info* out) : p_(p), out_(out), trap_(p.trap_exit.load()), exiting_(p.dying) {
    if (p.link0) links_.push_back(p.link0);
    if (const process_extra* extra = p.extra) {
      for (auto& [peer, record] : extra->links) (record.unlinking == 0 ? links_ : unlinking_).push_back(peer);
      for (auto& [number, record] : extra->monitors)
        if (record.monitoring) monitors_.emplace_back(number, record.target);
    }
    each_watcher(p, [&](const down_envelope& e) { watchers_.push_back(key_of(e.value.reference)); });
    for (const envelope* e = p.first; e; e = e->next) add_message(e->type, e);
    std::vector<const envelope*> arrived;
    for (const envelope* e = p.in.newest(); e; e = e->next) arrived.push_back(e);
    for (auto e = arrived.rbegin(); e != arrived.rend(); ++e)
      if ((*e)->to == p.self().value()) take_in(**e);
  }

  bool exiting() const noexcept { return exiting_; }
  std::size_t length() const noexcept { return length_; }
  void tell(process_info& a) const {
    for (std::uint64_t peer : links_) a.links.push_back(pid(peer));
    for (auto& [number, target] : monitors_) a.monitors.push_back(target);
    for (auto& [watcher, number] : watchers_) a.monitored_by.push_back(pid(watcher));
  }

 private:
  void add_message(const envelope_type* type, const envelope* e) {
    if (type->kind == signal::cast && !type->record) return;  // its own timer's
    ++length_;
    if (out_ && out_->messages.size() < messages_shown && type->record)
      out_->messages.push_back(type->record->text(type->payload(e)));
  }

  void take_in(const envelope& e) {
    switch (e.type->kind) {
      case signal::alias: {
        auto& through = static_cast<const alias_envelope&>(e);
        const monitor_record* record = p_.extra ? p_.extra->monitors.find(through.number) : nullptr;
        bool used = std::find(used_.begin(), used_.end(), through.number) != used_.end();
        if (!record || record->alias == alias_mode::none || used) return;
        if (record->alias == alias_mode::reply) used_.push_back(through.number);
        return add_message(through.inner->type, through.inner);
      }
      case signal::exit: {
        auto& exit = static_cast<const exit_envelope&>(e);
        bool kill = false;
        if (e.type == &link_exit_type) {
          if (!remove(links_, exit.value.from.value())) return;
        } else {
          kill = exit.value.reason == reason::kill;
        }
        if (e.type == &fatal_type || kill || (!trap_ && !exit.value.reason.is_normal())) {
          exiting_ = true;
        } else if (trap_) {
          add_message(&exit_envelope::type_of, &e);
        }
        return;
      }
      case signal::down: {
        std::uint64_t number = static_cast<const down_envelope&>(e).value.reference.number();
        auto active = std::find_if(monitors_.begin(), monitors_.end(), [&](auto& m) { return m.first == number; });
        if (active == monitors_.end()) return;
        monitors_.erase(active);
        return add_message(&down_envelope::type_of, &e);
      }
      case signal::link: {
        std::uint64_t peer = static_cast<const control_envelope&>(e).from.value();
        if (std::find(links_.begin(), links_.end(), peer) == links_.end() &&
            std::find(unlinking_.begin(), unlinking_.end(), peer) == unlinking_.end())
          links_.push_back(peer);
        return;
      }
      case signal::unlink: remove(links_, static_cast<const control_envelope&>(e).from.value()); return;
      case signal::unlink_ack: remove(unlinking_, static_cast<const control_envelope&>(e).from.value()); return;
      case signal::monitor: {
        ref r = static_cast<const down_envelope&>(e).value.reference;
        watchers_.emplace_back(r.owner().value(), r.number());
        return;
      }
      case signal::demonitor: {
        auto& c = static_cast<const control_envelope&>(e);
        remove(watchers_, std::pair(c.from.value(), c.number));
        return;
      }
      case signal::timer_gone:
      case signal::wake: return;
      case signal::reply: {
        auto& r = static_cast<const request_envelope&>(e);
        if (r.asynchronous && !r.let_go) ++length_;
        return;
      }
      default: return add_message(e.type, &e);
    }
  }

  template <class T>
  static bool remove(std::vector<T>& from, const T& what) {
    auto it = std::find(from.begin(), from.end(), what);
    if (it == from.end()) return false;
    from.erase(it);
    return true;
  }

  const process& p_;
  process_info* out_;
  bool trap_;
  bool exiting_;
  std::size_t length_ = 0;
  std::vector<std::uint64_t> links_;
  std::vector<std::uint64_t> unlinking_;
  std::vector<std::uint64_t> used_;  // reply aliases that an arrived message used up
  std::vector<std::pair<std::uint64_t, pid>> monitors_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> watchers_;
};

// Whether a fatal exit signal is under way to it that its own state will not turn into a message.
bool ends_soon(const process& p) { return view(p, nullptr).exiting(); }

duration age_of(runtime_core& core, const process& p) {
  const std::uint32_t ticks = age_clock(core.sched.coarse_now()) - p.born;
  return duration(static_cast<nanos>(ticks) << age_clock_shift);
}

struct question {
  runtime_core& core;
  bool own;
  process_info answer;
};

// One that waits for the answer of who runs on its worker now has not gone to sleep yet: scheduler.hpp, rule 6.
bool waits(const process& p) noexcept {
  return p.in.asleep() || (p.phase.load() == phase::waiting && p.edge.load() != 0 && !p.in.newest());
}

void fill_in(process& p, void* argument) {
  auto& [core, own, a] = *static_cast<question*>(argument);
  view seen(p, &a);
  seen.tell(a);
  a.pid = p.self();
  if (const std::string_view* type = p.type_name.load()) a.type = *type;
  if (p.body) a.initial_call = p.body->initial_call();
  a.status = seen.exiting()                     ? process_status::exiting
             : own                              ? process_status::running
             : waits(p)                         ? process_status::waiting
             : p.phase.load() == phase::in_user ? process_status::running
                                                : process_status::runnable;
  a.parent = pid(p.parent);
  a.trap_exit = p.trap_exit.load();
  a.priority = static_cast<priority>(p.priority.load());
  a.message_queue_len = seen.length();
  if (mailbox_account* account = p.account.used()) {
    a.message_queue_bytes = account->bytes.load();
    a.memory_used = account->used.load();
  }
  if (p.first) a.oldest_message_age = std::chrono::milliseconds(milliseconds(core.sched.coarse_now()) - p.oldest_at);
  a.messages_in = p.messages_in.load();
  a.reductions = p.reductions.load();
  a.age = age_of(core, p);
  a.time_running = std::chrono::milliseconds(10) * p.running_samples.load();
  a.stack_size = p.own_stack ? p.extra->own_stack_size : p.home.load() ? core.sched.stacks().stack_size() : 0;
  if (!p.extra) return;
  a.label = p.extra->label;
  a.group_leader = p.extra->group_leader;
  a.dictionary = p.extra->dictionary;
}

std::vector<pid> all_processes(const runtime_core& core) {
  std::vector<pid> all;
  for (std::uint32_t i = 1; i <= core.table.end(); ++i)
    if (process* p = core.table.at(i)) {
      pid who(p->id.load());
      if (who.index() == i && !p->in.closed()) all.push_back(who);
    }
  return all;
}

}  // namespace

bool is_alive(pid who) noexcept {
  runtime_core* core = runtime_core::current();
  process* p = core ? core->table.find(who) : nullptr;
  if (!p || p->in.closed()) return false;
  if (p == current_process()) return !p->dying;
  bool alive = true;
  try {
    bool there =
        visit(*core, who, [](process& seen, void* out) { *static_cast<bool*>(out) = !ends_soon(seen); }, &alive);
    return there && alive;
  } catch (const std::bad_alloc&) {
    return true;  // no memory to look at what is under way to it; it has not begun to end
  }
}

std::optional<std::string> label(pid who) {
  std::string text;
  bool there = visit(
      require_runtime("label"), who,
      [](process& p, void* out) {
        if (p.extra) *static_cast<std::string*>(out) = p.extra->label;
      },
      &text);
  if (!there || text.empty()) return std::nullopt;
  return text;
}

namespace detail {

std::optional<process_info> look_at(runtime_core& core, pid who, nanos patience) {
  process* me = current_process();
  bool own = me && me->self() == who;
  if (own) {
    runtime_section section(*me);
    intake(core, *me);
  }
  question q{core, own, {}};
  if (patience == never ? !visit(core, who, fill_in, &q)
                        : visit_within(core, patience, who, fill_in, &q) != visited::yes)
    return std::nullopt;
  {
    std::lock_guard lock(core.names_lock);
    if (auto named = core.names_of.find(who.value()); named != core.names_of.end()) q.answer.name = named->second;
  }
  return std::move(q.answer);
}

}  // namespace detail

std::optional<process_info> info(pid who) { return look_at(require_runtime("info"), who); }

std::optional<detail::process_facts> detail::facts_of(pid who) {
  runtime_core& core = require_runtime("facts");
  struct look {
    runtime_core& core;
    process_facts facts;
  } l{core, {}};
  auto fill = [](process& p, void* argument) {
    auto& [in, f] = *static_cast<look*>(argument);
    f.parent = pid(p.parent);
    f.age = age_of(in, p);
    f.exiting = p.dying || p.exiting;
    if (p.body) {
      f.kind = p.body->kind();
      f.only_stores = p.body->only_stores();
      f.type = p.body->type();
    }
    if (f.kind == process_kind::supervisor) {
      // Its children would be many.
      bool above = p.link0 == p.parent;
      if (!above && p.extra)
        if (const link_record* link = p.extra->links.find(p.parent)) above = link->unlinking == 0;
      if (above) f.links.push_back(f.parent);
      return;
    }
    if (p.link0) f.links.push_back(pid(p.link0));
    if (p.extra)
      for (auto& [peer, record] : p.extra->links)
        if (record.unlinking == 0) f.links.push_back(pid(peer));
  };
  if (!visit(core, who, fill, &l)) return std::nullopt;
  return std::move(l.facts);
}

std::vector<pid> processes() { return all_processes(require_runtime("processes")); }
std::size_t process_count() { return require_runtime("process_count").counters().processes; }
std::vector<pid> runtime::processes() const {
  core_->require_own_program("runtime.processes");
  return all_processes(*core_);
}

}  // namespace otp
