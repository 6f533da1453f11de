// The public face of processes: what the caller asks of itself and of others.
#include <otp/fault_point.hpp>
#include <otp/process.hpp>

#include "base/planted.hpp"
#include "process/control.hpp"
#include "process/request_core.hpp"
#include "process/runtime_core.hpp"

namespace otp {

using namespace detail;

std::string down::to_string() const {
  std::string object = name.empty() ? process.to_string() : detail::quoted(name);
  return "{" + (tag.empty() ? std::string("DOWN") : tag.to_string()) + ", " + reference.to_string() + ", process, " +
         object + ", " + reason.to_string() + "}";
}
std::string exit_signal::to_string() const { return "{EXIT, " + from.to_string() + ", " + reason.to_string() + "}"; }
std::string timer_expired::to_string() const {
  return "{timeout, " + timer.to_string() + ", " + payload.to_string() + "}";
}
std::string timer_cancelled::to_string() const {
  return "{cancel_timer, " + timer.to_string() + ", " +
         (remaining ? integer_text(remaining->count()) + " ns" : std::string("false")) + "}";
}

pid self() noexcept {
  process* p = current_process();
  return p ? p->self() : pid();
}

pid parent() noexcept {
  process* p = current_process();
  return p ? pid(p->parent) : pid();
}

bool fault_point(std::string_view name) {
  runtime_core* core = runtime_core::current();
  return core && core->explorer && core->explorer->fault_here(name);
}

// ---- ending ------------------------------------------------------------------------------------------------------

void exit(exit_reason why) { throw exited(std::move(why)); }

void exit(pid who, exit_reason why) {
  runtime_core& core = require_runtime("exit");
  if (!who) throw bad_argument("exit: this is not a process; give a pid");
  process* me = current_process();
  if (me) check_abandoned(*me);
  bool kill = why == reason::kill;
  send_exit(core, me ? me->self() : pid(), who, why);
  if (me && who == me->self()) {
    runtime_section section(*me);
    intake(core, *me);
  } else if (kill && core.table.find(who)) {
    start_kill_budget(core, who);
  }
  if (me && who == me->self()) check_fate(*me);
}

// ---- links and monitors ------------------------------------------------------------------------------------------

void link(pid other) {
  process& p = require_process("link");
  runtime_core& core = *runtime_core::current();
  if (!other) throw bad_argument("link: this is not a process; give a pid");
  if (other == p.self()) return;
  auto* e = new control_envelope(&link_type, p.self(), 0);
  bool dead = false;
  {
    runtime_section section(p);
    link_record* record = nullptr;
    try {
      intake(core, p);
      if (p.link0 == other.value()) {
        destroy(e);
        return;
      }
      record = p.extra ? p.extra->links.find(other.value()) : nullptr;
      if (record && record->unlinking == 0) {
        destroy(e);
        return;
      }
      if (record)
        record->unlinking = 0;
      else if (p.link0 == 0)
        p.link0 = other.value();
      else
        p.more().links.insert(other.value(), {});
    } catch (...) {
      destroy(e);
      throw;
    }
    dead = !deliver(core, other, e);
    if (dead) {
      destroy(e);
      if (p.link0 == other.value())
        p.link0 = 0;
      else
        p.extra->links.erase(other.value());
    }
  }
  if (!dead) return;
  // As if the peer had answered: an exit signal from it, with `noproc`.
  auto* answer = make_exit(exit_type, other, reason::noproc);
  if (!deliver(core, p.self(), answer)) destroy(answer);
  {
    runtime_section section(p);
    intake(core, p);
  }
  check_fate(p);
}

void unlink(pid other) {
  process& p = require_process("unlink");
  runtime_core& core = *runtime_core::current();
  if (!other) throw bad_argument("unlink: this is not a process; give a pid");
  if (other == p.self()) return;
  auto* e = new control_envelope(&unlink_type, p.self(), core.new_reference());
  runtime_section section(p);
  // What has arrived from the peer came before the unlink; an exit of it that is still to come is ignored from now on.
  try {
    intake(core, p);
    bool linked = p.link0 == other.value();
    link_record* record = p.extra ? p.extra->links.find(other.value()) : nullptr;
    if (!linked && (!record || record->unlinking != 0)) {
      destroy(e);
      return;
    }
    if (linked) {
      p.more().links.insert(other.value(), {.unlinking = e->number});
      p.link0 = 0;
    } else {
      record->unlinking = e->number;
    }
  } catch (...) {
    destroy(e);
    throw;
  }
  bool dead = !deliver(core, other, e);
  if (dead) destroy(e);
  if (dead || planted(bug::unlink_not_acknowledged)) p.extra->links.erase(other.value());
}

namespace {

ref monitor_target(pid target, std::string name, monitor_options options) {
  process& p = require_process("monitor");
  runtime_core& core = *runtime_core::current();
  if (static_cast<unsigned>(options.alias) > static_cast<unsigned>(alias_mode::reply))
    throw bad_argument("monitor: unknown alias mode; give none, explicit_unalias, demonitor or reply");
  ref r(p.self(), core.new_reference());
  if (target == p.self()) return r;  // watching oneself never fires, and the reference is no alias
  auto* e = new down_envelope(
      down{.reference = r, .process = target, .name = std::move(name), .reason = {}, .tag = std::move(options.tag)});
  e->type = &monitor_type;
  runtime_section section(p);
  try {
    p.more().monitors.insert(r.number(), {.target = target, .alias = options.alias});
  } catch (...) {
    destroy(e);
    throw;
  }
  if (!target || !send_monitor(core, target, e)) {
    e->type = &down_type;
    e->value.reason = reason::noproc;
    if (planted(bug::silent_dead) || !deliver(core, p.self(), e)) destroy(e);
  }
  return r;
}

}  // namespace

ref monitor(pid target, monitor_options options) {
  if (!target) throw bad_argument("monitor: this is not a process; give a pid or a name");
  return monitor_target(target, {}, std::move(options));
}

ref monitor(std::string_view name, monitor_options options) {
  if (!valid_name(name)) throw bad_argument("monitor: " + quoted(name) + " cannot be a name");
  auto target = require_runtime("monitor").whereis(name);
  return monitor_target(target.value_or(pid()), std::string(name), std::move(options));
}

bool demonitor(ref m, demonitor_options options) {
  process& p = require_process("demonitor");
  runtime_core& core = *runtime_core::current();
  if (!m) throw bad_argument("demonitor: this is not a reference; give what monitor() returned");
  if (m.owner() != p.self()) return !options.info;  // somebody else's: nothing happens to it
  envelope* unused = nullptr;
  bool active = false;
  {
    runtime_section section(p);
    intake(core, p);
    monitor_record* record = p.extra ? p.extra->monitors.find(m.number()) : nullptr;
    active = record && record->monitoring;
    if (active) {
      unused = send_demonitor(core, record->target, m);
      if (record->alias == alias_mode::explicit_unalias)
        record->monitoring = false;
      else
        p.extra->monitors.erase(m.number());
    }
    if (options.flush && !planted(bug::demonitor_keeps_down)) {
      envelope* before = nullptr;
      for (envelope* e = p.first; e; before = e, e = e->next) {
        if (e->type != &down_envelope::type_of || static_cast<down_envelope*>(e)->value.reference != m) continue;
        unlink_from_queue(core, p, before, e);
        core.count(counter::dropped);
        destroy(e);
        break;
      }
    }
  }
  if (unused) destroy(unused);
  return options.info ? active : true;
}

ref alias(alias_mode mode) {
  process& p = require_process("alias");
  runtime_core& core = *runtime_core::current();
  if (mode != alias_mode::explicit_unalias && mode != alias_mode::reply)
    throw bad_argument("alias: give explicit_unalias or reply; the other modes belong to a monitor");
  ref r(p.self(), core.new_reference());
  runtime_section section(p);
  p.more().monitors.insert(r.number(), {.target = {}, .alias = mode, .monitoring = false});
  return r;
}

bool unalias(ref a) {
  process& p = require_process("unalias");
  runtime_core& core = *runtime_core::current();
  if (!a || a.owner() != p.self()) return false;
  runtime_section section(p);
  intake(core, p);  // what was sent through it before this call stays
  monitor_record* record = p.extra ? p.extra->monitors.find(a.number()) : nullptr;
  if (!record || record->alias == alias_mode::none) return false;
  if (record->monitoring)
    record->alias = alias_mode::none;
  else
    p.extra->monitors.erase(a.number());
  return true;
}

// ---- flags and dictionary ----------------------------------------------------------------------------------------

bool trap_exit(bool on) {
  process& p = require_process("trap_exit");
  runtime_core& core = *runtime_core::current();
  {
    // What arrived before the change is judged by the old setting.
    runtime_section section(p);
    intake(core, p);
  }
  return p.trap_exit.exchange(on);
}

priority set_priority(otp::priority value) {
  process& p = require_process("set_priority");
  if (static_cast<unsigned>(value) > static_cast<unsigned>(priority::max))
    throw bad_argument("set_priority: unknown priority; give low, normal, high or max");
  return static_cast<priority>(p.priority.exchange(static_cast<priority_class>(value)));
}

term put(term key, term value) {
  process& p = require_process("put");
  runtime_section section(p);
  auto& dictionary = p.more().dictionary;
  for (auto& [k, v] : dictionary)
    if (k == key) return std::exchange(v, std::move(value));
  dictionary.emplace_back(std::move(key), std::move(value));
  return {};
}

term get(const term& key) {
  process& p = require_process("get");
  runtime_section section(p);  // a visitor may give the process its tables
  if (p.extra)
    for (auto& [k, v] : p.extra->dictionary)
      if (k == key) return v;
  return {};
}

term erase(const term& key) {
  process& p = require_process("erase");
  runtime_section section(p);
  if (!p.extra) return {};
  auto& dictionary = p.extra->dictionary;
  for (auto it = dictionary.begin(); it != dictionary.end(); ++it)
    if (it->first == key) {
      term old = std::move(it->second);
      dictionary.erase(it);
      return old;
    }
  return {};
}

std::vector<term> get_keys() {
  process& p = require_process("get_keys");
  runtime_section section(p);
  std::vector<term> keys;
  if (p.extra)
    for (auto& [k, v] : p.extra->dictionary) keys.push_back(k);
  return keys;
}

std::vector<term> get_keys(const term& value) {
  process& p = require_process("get_keys");
  runtime_section section(p);
  std::vector<term> keys;
  if (p.extra)
    for (auto& [k, v] : p.extra->dictionary)
      if (v == value) keys.push_back(k);
  return keys;
}

pid group_leader() {
  process& p = require_process("group_leader");
  runtime_section section(p);
  return p.extra && p.extra->group_leader ? p.extra->group_leader : pid();
}

void set_group_leader(pid leader, pid of) {
  runtime_core& core = require_runtime("set_group_leader");
  if (!leader) throw bad_argument("set_group_leader: the leader is not a process; give a pid");
  // Written by a visitor: the process reads it in its own time, like everything about itself.
  bool there = visit(core, of, [](process& p, void* l) { p.more().group_leader = *static_cast<pid*>(l); }, &leader);
  if (!there) throw bad_argument("set_group_leader: process " + of.to_string() + " is not alive");
}

void set_memory_used(std::size_t bytes) {
  process& p = require_process("set_memory_used");
  if (mailbox_account* a = p.account.used()) a->used.store(bytes);
  keep_within_memory(*runtime_core::current(), p);
  {
    runtime_section section(p);
    intake(*runtime_core::current(), p);
  }
  check_fate(p);
}

void set_label(std::string text) {
  process& p = require_process("set_label");
  runtime_section section(p);
  p.more().label = std::move(text);
}

}  // namespace otp
