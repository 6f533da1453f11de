// Applications: loading, starting, stopping, and what follows from an end.
//
// The processes of a runtime's applications, made when the first one with code is started:
//
//   otp.applications          a supervisor without parent: the runtime stops it like any root
//     otp.running_applications   a supervisor; its children are in start order, so they stop in reverse
//       <application>              a supervisor for one, the group leader of all that belongs to it
//         keeper                      runs the callbacks; the last to end: stop() and what follows from the end
//         top                         what start() returned; its end ends the supervisor
//         preparer                    the first to end: asks the keeper for prep_stop()
//     shutdown                   the first to end: calls what set_shutdown() gave
#include "system/application_table.hpp"

#include <otp/detail/root_process.hpp>
#include <otp/event.hpp>
#include <otp/gen_server.hpp>
#include <otp/receive.hpp>

#include <algorithm>

namespace otp {

namespace detail {

application_table& application_table::here() {
  static const char key = 0;
  return static_cast<application_table&>(
      keep_with_runtime(&key, []() -> std::unique_ptr<kept> { return std::make_unique<application_table>(); }));
}

application_entry* application_table::find(std::string_view name) {
  auto at = entries.find(name);
  return at == entries.end() ? nullptr : &at->second;
}

namespace {

using state = application_state;

constexpr std::string_view root_name = "otp.applications";
constexpr std::string_view running_name = "otp.running_applications";

/// How a start ended, for those who wait for it. Nothing: its starter was killed.
struct start_decided {
  ref to;
  std::optional<result<void>> outcome;
};

exit_reason failed_callback(exit_reason why, std::string_view callback, const application_definition& d,
                            std::string_view arguments) {
  std::string call = std::string(d.module) + "::" + std::string(callback) + "(" + std::string(arguments) + ")";
  return exit_reason::of_call(
      std::move(why),
      {.function = std::string(callback), .server = d.spec.name, .request = std::move(call), .timeout = duration(-1)});
}
exit_reason failed_start(exit_reason why, const application_definition& d) {
  return failed_callback(std::move(why), "start", d, "normal, " + d.spec.argument.to_string());
}

/// Runs a callback. What it throws, also by exit(normal), is a bad_return.
template <class F>
std::optional<exit_reason> thrown_by(F&& callback) {
  auto why = guard(std::forward<F>(callback));
  if (why && being_ended()) return why;
  if (why) return exit_reason(bad_return{std::move(*why)});
  return std::nullopt;
}

void report_application(const char* what, severity how, const std::string& name, exit_reason why,
                        std::vector<std::pair<std::string_view, std::string>> more) {
  more.insert(more.begin(), {"application", name});
  report({.what = what, .severity = how, .process = self(), .name = name, .reason = std::move(why), .fields = more});
}

const char* text_of(restart_type type) {
  return type == permanent ? "permanent" : type == transient ? "transient" : "temporary";
}

// ---- the whole system goes down ----------------------------------------------------------------------------------

/// From a process that has no parent: whoever finds out is a part of what is to be stopped.
void bring_down(exit_reason why) try {
  application_table& table = application_table::here();
  {
    ordering_lock lock(table.lock);
    if (std::exchange(table.going_down, true)) return;
    table.down_because = std::move(why);
  }
  auto stop_all = [] {
    if (whereis(root_name)) {
      try {
        supervisor::stop(root_name, reason::shutdown);
      } catch (const exited&) {
        // It was being stopped already.
      }
    }
    application_table& all = application_table::here();
    {
      ordering_lock lock(all.lock);
      all.going_down = false;
    }
    ask_for_shutdown();
  };
  spawn_root(unique_function(stop_all), type_name<decltype(stop_all)>);
} catch (const exited&) {
  // The runtime has begun to stop.
}

/// Ends before any application does, and says so.
struct shutdown_hook {
  shutdown_hook() { trap_exit(true); }
  void terminate(const exit_reason& why) {
    application_table& table = application_table::here();
    void (*first)(const exit_reason&) = nullptr;
    exit_reason because = why;
    {
      ordering_lock lock(table.lock);
      first = table.shutdown.first;
      if (table.going_down) because = table.down_because;
    }
    if (first) first(because);
  }
};

// ---- one application ---------------------------------------------------------------------------------------------

struct preparer {
  struct prepare {
    using reply = void;
  };
  explicit preparer(pid to) : keeper(to) { trap_exit(true); }
  void terminate(const exit_reason&);
  pid keeper;
};

struct keeper {
  struct watch {
    using reply = void;
    pid top;
  };
  struct phase {
    using reply = result<void>;
    std::string name;
    term argument;
  };
  struct changed {
    env_changes changes;
  };

  keeper(std::shared_ptr<application_module> m, application_definition d, pid leader)
      : module(std::move(m)), definition(std::move(d)), master(leader) {
    trap_exit(true);
  }
  void handle_call(const watch& w) { top = monitor(w.top); }
  void handle_info(const down& d) {
    if (d.reference == top) ended_with = d.reason;
  }
  result<void> handle_call(const phase& p) {
    result<void> done;
    if (auto why = thrown_by([&] { done = module->start_phase(p.name, start_type::normal, p.argument); }))
      done = std::unexpected(std::move(*why));
    failed = !done;
    return done;
  }
  void handle_call(preparer::prepare) { prepare(); }
  void prepare() {
    if (std::exchange(prepared, true)) return;
    if (auto why = guard([&] { module->prep_stop(); }))
      if (!being_ended())
        report_application("application_callback_failed", severity::error, definition.spec.name, std::move(*why),
                           {{"callback", "prep_stop"}});
  }
  void handle_cast(const changed& c) {
    if (auto why = guard([&] { module->config_change(c.changes); }))
      if (!being_ended())
        report_application("application_callback_failed", severity::error, definition.spec.name, std::move(*why),
                           {{"callback", "config_change"}});
  }
  void terminate(const exit_reason&);
  void kill_the_rest() const;

  std::shared_ptr<application_module> module;
  application_definition definition;
  pid master;
  ref top;
  std::optional<exit_reason> ended_with;
  bool prepared = false;
  bool failed = false;  // a phase: what did not start is not stopped
};

void preparer::terminate(const exit_reason&) {
  static_cast<void>(try_call(server<detail::keeper>(keeper), prepare{}, infinity));
}

// The top process has ended, and all that its supervisor stopped before us.
void keeper::terminate(const exit_reason&) {
  if (!top) return;  // it never ran: whoever started it tells why
  if (!ended_with)
    receive(when([this](const down& d) { return d.reference == top; }, [this](down& d) { ended_with = d.reason; }));
  if (!failed) {
    prepare();  // the top process may have ended before there was a preparer
    if (being_ended()) return;
    static_cast<void>(guard([this] { module->stop(); }));
    if (being_ended()) return;
  }
  kill_the_rest();
  application_table& table = application_table::here();
  restart_type type = temporary;
  bool asked = false;
  {
    ordering_lock lock(table.lock);
    application_entry* e = table.find(definition.spec.name);
    if (!e || e->master != master) return;
    type = e->type;
    asked = e->asked_to_stop || table.going_down || stop_deadline() != INT64_MAX;
    e->exited = !asked;
    e->has_ended();
  }
  report_application("application_exited", asked || ended_with->is_expected() ? severity::info : severity::error,
                     definition.spec.name, *ended_with, {{"type", text_of(type)}, {"asked", asked ? "yes" : "no"}});
  if (asked || (type != permanent && (type != transient || ended_with->is_normal()))) return;
  bring_down(*ended_with);
}

// Those that belong to it by their group leader, wherever in the tree they are.
void keeper::kill_the_rest() const {
  if (stop_deadline() != INT64_MAX) return;  // everything ends
  for (bool again = true; std::exchange(again, false);) {
    std::vector<ref> watched;
    for (pid p : processes()) {
      if (p == self() || p == master) continue;
      auto about = info(p);
      if (!about || about->group_leader != master) continue;
      watched.push_back(monitor(p));
      exit(p, reason::kill);
    }
    for (ref w : watched)
      receive(when([w](const down& d) { return d.reference == w; }, [&](const down&) { again = true; }));
  }
}

// ---- starting ----------------------------------------------------------------------------------------------------

/// The supervisor of all that run; made by whoever is first.
result<pid> running_applications() {
  if (auto there = whereis(running_name)) return *there;
  ref answer = alias(alias_mode::reply);
  struct made {
    ref to;
    std::optional<exit_reason> failure;
  };
  // By a process of its own, so that it is nobody's child.
  auto start_root = [answer] {
    auto started =
        supervisor::start_link({.strategy = one_for_one,
                                .children = {child_supervisor("running", {.strategy = one_for_one, .max_restarts = 0},
                                                              start_options{.name = running_name}),
                                             child<shutdown_hook>().id("shutdown").shutdown(infinity)}},
                               {.name = root_name});
    std::optional<exit_reason> failure;
    if (started)
      unlink(*started);
    else if (started.error() != reason::already_started)
      failure = started.error();
    else
      static_cast<void>(supervisor::count_children(root_name));  // answered when it has started its children
    send(answer, made{answer, failure});
  };
  spawn_root(unique_function(start_root), type_name<decltype(start_root)>);
  auto failure = receive(when([&](const made& m) { return m.to == answer; }, [](made& m) { return m.failure; }));
  if (failure) return std::unexpected(std::move(*failure));
  if (auto there = whereis(running_name)) return *there;
  return std::unexpected(exit_reason(reason::noproc));
}

/// A start that is going on: however it ends, those who wait for it hear of it.
class start_attempt {
 public:
  start_attempt(std::string name, std::uint64_t number) : name_(std::move(name)), number_(number) {}
  ~start_attempt() {
    if (decided_) return;
    try {
      if (master_) exit(master_, reason::kill);
      decide(state::loaded, std::nullopt);
    } catch (...) {
      // The starter is being ended and has no memory left.
    }
  }
  start_attempt(const start_attempt&) = delete;
  start_attempt& operator=(const start_attempt&) = delete;

  std::uint64_t number() const noexcept { return number_; }
  void set_master(pid master, restart_type type) {
    master_ = master;
    application_table& table = application_table::here();
    ordering_lock lock(table.lock);
    if (application_entry* e = mine(table)) {
      e->master = master;
      e->type = type;
    }
  }
  void runs(pid keeper, pid top, restart_type type) { decide(state::running, result<void>(), keeper, top, type); }
  void failed(const exit_reason& why) { decide(state::loaded, result<void>(std::unexpected(why))); }

 private:
  // Another start of it may have begun, after this one's top process had ended.
  application_entry* mine(application_table& table) const {
    application_entry* e = table.find(name_);
    return e && e->attempt == number_ ? e : nullptr;
  }
  void decide(state to, std::optional<result<void>> outcome, pid keeper = {}, pid top = {},
              restart_type type = temporary) {
    std::vector<ref> waiting;
    application_table& table = application_table::here();
    {
      ordering_lock lock(table.lock);
      if (application_entry* e = mine(table)) {
        waiting.swap(e->waiting);
        if (to == state::loaded) e->exited = false;
        if (e->state == state::starting && to == state::running) {
          e->state = to;
          e->keeper = keeper;
          e->top = top;
          e->type = type;
          e->order = ++table.starts;
        } else if (e->state == state::starting) {
          e->has_ended();
        }
      }
    }
    decided_ = true;
    for (ref who : waiting) send(who, start_decided{who, outcome});
  }

  std::string name_;
  std::uint64_t number_;
  pid master_;
  bool decided_ = false;
};

/// The answer to whoever wants to start one.
struct permission {
  application_definition definition{};
  std::uint64_t attempt = 0;  // it may be started
  exit_reason refused{};
  bool runs = false;             // refused, because it runs
  std::optional<ref> decided{};  // another start of it is going on: there will be a note
  pid ending{};                  // it is being stopped: there will be an end
};

/// Whether it may be started now; then it is `starting`.
permission ask_to_start(std::string_view name) {
  application_table& table = application_table::here();
  const pid leader = group_leader();
  permission answer;
  ordering_lock lock(table.lock);
  application_entry* e = table.find(name);
  if (!e) {
    answer.refused = no_such_application{std::string(name)};
    return answer;
  }
  auto started = [&](const std::string& other) {
    application_entry* o = table.find(other);
    return o && (o->state == state::running || o->exited);
  };
  e->note_lost_end();
  const bool own = e->master && e->master == leader;  // to wait for itself would be for ever
  if (e->state == state::running || (e->state == state::starting && own)) {
    answer.refused = exit_reason(exit_reason::kind::already_started, std::string(name));
    answer.runs = true;
    return answer;
  }
  if (table.going_down || (e->state == state::stopping && own)) {
    answer.refused = exit_reason(exit_reason::kind::stopping,
                                 table.going_down ? "the system is being stopped" : "the application is being stopped");
    return answer;
  }
  if (e->state == state::starting) {
    answer.decided = alias(alias_mode::reply);
    e->waiting.push_back(*answer.decided);
    return answer;
  }
  if (e->state == state::stopping) {
    answer.ending = e->master;
    return answer;
  }
  const application_spec& spec = e->definition.spec;
  for (const std::string& needed : spec.applications)
    if (!started(needed)) {
      answer.refused = not_started{needed};
      return answer;
    }
  for (const std::string& needed : spec.optional_applications)
    if (table.find(needed) && !started(needed)) {
      answer.refused = not_started{needed};
      return answer;
    }
  e->state = state::starting;
  e->exited = false;
  answer.attempt = e->attempt = ++table.attempts;
  answer.definition = e->definition;
  return answer;
}

shutdown_time time_to_stop() {
  application_table& table = application_table::here();
  ordering_lock lock(table.lock);
  return table.shutdown.timeout;
}

result<void> run_phases(pid keeper_pid, const application_definition& d) {
  for (auto& [phase, argument] : d.spec.start_phases) {
    auto done = otp::call(server<keeper>(keeper_pid), keeper::phase{phase, argument}, infinity);
    if (!done)
      return std::unexpected(failed_callback(std::move(done.error()), "start_phase", d,
                                             quoted(phase) + ", normal, " + argument.to_string()));
  }
  return {};
}

result<void> start_processes(start_attempt& attempt, const application_definition& d, restart_type type) {
  auto all = running_applications();
  if (!all) return std::unexpected(std::move(all.error()));
  child_spec spec;
  // An id of its own: one that has ended by itself may still be there.
  spec.id(d.spec.name, attempt.number()).restart(temporary).type(child_type::supervisor).shutdown(time_to_stop());
  spec.start([] {
    return supervisor::start_link(
        {.strategy = one_for_one, .max_restarts = 0, .auto_shutdown = auto_shutdown::any_significant});
  });
  auto started = supervisor::start_child(*all, std::move(spec));
  if (!started) return std::unexpected(std::move(started.error()));
  const pid master = started->process;
  attempt.set_master(master, type);
  set_group_leader(master, master);

  auto undo = [&](exit_reason why) -> result<void> {
    {
      application_table& table = application_table::here();
      ordering_lock lock(table.lock);
      if (application_entry* e = table.find(d.spec.name); e && e->master == master) e->asked_to_stop = true;
    }
    try {
      supervisor::stop(master, reason::shutdown);
    } catch (const exited&) {
      // It has ended by itself.
    }
    return std::unexpected(std::move(why));
  };
  std::shared_ptr<application_module> module;
  if (auto why = guard([&] { module = d.make(); }); why && !being_ended())
    return undo(failed_start(exit_reason(bad_return{std::move(*why)}), d));
  auto kept = supervisor::start_child(
      master,
      child_function("keeper", [module, d, master] { return gen_server::start_link<keeper>({}, module, d, master); })
          .restart(temporary)
          .shutdown(infinity));
  if (!kept) return undo(std::move(kept.error()));
  auto top = supervisor::start_child(
      master, child_function("top",
                             [module, argument = d.spec.argument]() -> result<child_started> {
                               result<child_started> made = std::unexpected(exit_reason());
                               if (auto why = thrown_by([&] { made = module->start(start_type::normal, argument); }))
                                 return std::unexpected(std::move(*why));
                               if (!made && made.error() == no_process_returned())
                                 return std::unexpected(exit_reason(bad_return{made.error()}));
                               if (made) link(made->process);  // it may have been spawned without
                               return made;
                             })
                  .restart(temporary)
                  .type(child_type::supervisor)
                  .significant());
  if (!top || !top->process) return undo(failed_start(top ? exit_reason(reason::ignore) : std::move(top.error()), d));
  otp::call(server<keeper>(kept->process), keeper::watch{top->process}, infinity);
  if (auto done = run_phases(kept->process, d); !done) return undo(std::move(done.error()));
  if (d.prepares_stop) {
    auto prepares = supervisor::start_child(
        master, child_function("preparer", [k = kept->process] { return gen_server::start_link<preparer>({}, k); })
                    .restart(temporary)
                    .shutdown(infinity));
    if (!prepares && prepares.error() != reason::stopping) return undo(std::move(prepares.error()));
  }
  attempt.runs(kept->process, top->process, type);
  return {};
}

/// A permanent application that does not start ends the system as one that ends does.
void start_has_failed(const std::string& name, restart_type type, const exit_reason& why) {
  auto* thrown = why.cause().get_if<bad_return>();
  if (type == temporary || (type == transient && thrown && thrown->why.is_normal())) return;
  if (stop_deadline() != INT64_MAX) return;
  {
    application_table& table = application_table::here();
    ordering_lock lock(table.lock);
    if (table.going_down) return;
  }
  report_application("application_exited", severity::error, name, why, {{"type", text_of(type)}, {"asked", "no"}});
  bring_down(start_failed{name, why});
}

struct start_verdict {
  result<void> done;
  bool ran = false;   // before
  bool mine = false;  // started by this call
};

start_verdict start_application(std::string_view name, restart_type type) {
  if (static_cast<unsigned>(type) > static_cast<unsigned>(temporary))
    throw bad_argument("application start: unknown restart type " + unsigned_text(static_cast<unsigned>(type)) +
                       "; give permanent, transient or temporary");
  require_caller("application::start");
  for (;;) {
    permission may = ask_to_start(name);
    if (may.decided) {
      ref note = *may.decided;
      auto outcome = receive(when([note](const start_decided& d) { return d.to == note; },
                                  [](start_decided& d) { return std::move(d.outcome); }));
      if (outcome) return {.done = std::move(*outcome)};
      continue;
    }
    if (may.ending) {
      wait_for_end(name, may.ending);
      continue;
    }
    if (!may.attempt) return {.done = std::unexpected(std::move(may.refused)), .ran = may.runs};
    start_attempt attempt{std::string(name), may.attempt};
    if (!may.definition.make) {
      attempt.runs({}, {}, type);
      return {.done = {}, .mine = true};
    }
    result<void> done;
    try {
      done = start_processes(attempt, may.definition, type);
    } catch (const exited& e) {
      done = std::unexpected(e.reason());  // a supervisor of ours has ended meanwhile
    }
    if (!done) {
      attempt.failed(done.error());
      start_has_failed(may.definition.spec.name, type, done.error());
    }
    const bool good = done.has_value();
    return {.done = std::move(done), .mine = good};
  }
}

void collect_needed(const application_table& table, const std::string& name, std::vector<std::string>& order,
                    std::vector<std::string>& path) {
  if (std::find(order.begin(), order.end(), name) != order.end()) return;
  if (std::find(path.begin(), path.end(), name) != path.end()) {
    std::string cycle;
    for (auto& p : path) cycle += p + " needs ";
    throw bad_argument("ensure_all_started: " + cycle + name + "; applications cannot need each other in a circle");
  }
  path.push_back(name);
  if (auto at = table.entries.find(name); at != table.entries.end()) {
    if (at->second.state == state::running) {  // whatever became of what it needs
      path.pop_back();
      return;
    }
    const application_spec& spec = at->second.definition.spec;
    for (auto& needed : spec.applications) collect_needed(table, needed, order, path);
    for (auto& needed : spec.optional_applications)
      if (table.entries.contains(needed)) collect_needed(table, needed, order, path);
  }
  path.pop_back();
  order.push_back(name);
}

result<std::vector<std::string>> ensure_all(const std::vector<std::string>& names, restart_type type) {
  std::vector<std::string> order;
  {
    application_table& table = application_table::here();
    std::vector<std::string> path;
    ordering_lock lock(table.lock);
    for (auto& name : names) collect_needed(table, name, order, path);
  }
  std::vector<std::string> started;
  for (const std::string& next : order) {
    start_verdict outcome = start_application(next, type);
    if (outcome.mine) {
      started.push_back(next);
    } else if (!outcome.done && !outcome.ran) {
      for (auto last = started.rbegin(); last != started.rend(); ++last) static_cast<void>(application::stop(*last));
      return std::unexpected(exit_reason(start_failed{next, std::move(outcome.done.error())}));
    }
  }
  return started;
}

}  // namespace

void application_entry::has_ended() {
  state = application_state::loaded;
  asked_to_stop = false;
  master = keeper = top = pid();
}

void application_entry::note_lost_end() {
  if (state != application_state::running || !master || is_alive(master)) return;
  exited = true;
  has_ended();
}

void wait_for_end(std::string_view name, pid master) {
  ref end = monitor(master);
  receive(when([end](const down& d) { return d.reference == end; }, [](const down&) {}));
  note_end(name, master);
}

void note_end(std::string_view name, pid master) {
  application_table& table = application_table::here();
  ordering_lock lock(table.lock);
  application_entry* e = table.find(name);
  if (e && e->master == master && e->state == application_state::stopping) e->has_ended();
}

void tell_config_change(pid keeper_pid, env_changes changes) {
  cast(server<keeper>(keeper_pid), keeper::changed{std::move(changes)});
}

}  // namespace detail

using namespace detail;

std::string already_loaded::to_string() const { return "{already_loaded, " + quoted(application) + "}"; }
std::string not_loaded::to_string() const { return "{not_loaded, " + quoted(application) + "}"; }
std::string not_started::to_string() const { return "{not_started, " + quoted(application) + "}"; }
std::string no_such_application::to_string() const {
  return "{no_such_application, " + quoted(application) + "}: load it first, with otp::application::load<Module>()";
}
std::string bad_return::to_string() const { return "{bad_return, {EXIT, " + why.to_string() + "}}"; }
std::string start_failed::to_string() const { return "{" + quoted(application) + ", " + why.to_string() + "}"; }

result<void> application::start(std::string_view name, restart_type type) { return start_application(name, type).done; }

result<void> application::ensure_started(std::string_view name, restart_type type) {
  start_verdict outcome = start_application(name, type);
  if (outcome.ran) return {};
  return std::move(outcome.done);
}

result<std::vector<std::string>> application::ensure_all_started(std::string_view name, restart_type type) {
  return ensure_all({std::string(name)}, type);
}
result<std::vector<std::string>> application::ensure_all_started(const std::vector<std::string>& names,
                                                                 restart_type type) {
  return ensure_all(names, type);
}
result<std::vector<std::string>> application::ensure_all_started(std::initializer_list<std::string_view> names,
                                                                 restart_type type) {
  return ensure_all(std::vector<std::string>(names.begin(), names.end()), type);
}

result<void> application::stop(std::string_view name) {
  require_caller("application::stop");
  application_table& table = application_table::here();
  const pid leader = group_leader();
  for (;;) {
    pid master, ending;
    {
      ordering_lock lock(table.lock);
      application_entry* e = table.find(name);
      if (e) e->note_lost_end();
      if (e && e->state == application_state::stopping && e->master != leader) {
        ending = e->master;
      } else if (e && e->state == application_state::loaded && std::exchange(e->exited, false)) {
        return {};
      } else if (!e || e->state != application_state::running) {
        return std::unexpected(exit_reason(not_started{std::string(name)}));
      } else if (!e->master) {
        e->state = application_state::loaded;
        return {};
      } else {
        e->state = application_state::stopping;
        e->asked_to_stop = true;
        master = e->master;
      }
    }
    if (ending) {
      wait_for_end(name, ending);
      continue;
    }
    try {
      supervisor::stop(master, reason::shutdown);
    } catch (const exited&) {
      // It had ended by itself.
    }
    note_end(name, master);  // its keeper has done it, unless it was killed
    return {};
  }
}

void application::set_shutdown(system_shutdown how) {
  if (how.timeout.count() < 0)
    throw bad_argument("set_shutdown: the timeout is " + integer_text(how.timeout.count()) +
                       " ns; give 0, a positive duration or otp::infinity");
  application_table& table = application_table::here();
  ordering_lock lock(table.lock);
  table.shutdown = how;
}

std::optional<std::string> application::get_application(otp::pid process) {
  auto about = info(process);
  if (!about || !about->group_leader) return std::nullopt;
  application_table& table = application_table::here();
  ordering_lock lock(table.lock);
  for (auto& [name, e] : table.entries)
    if (e.master && e.master == about->group_leader) return name;
  return std::nullopt;
}

result<pid> application::top_process(std::string_view name) {
  application_table& table = application_table::here();
  ordering_lock lock(table.lock);
  application_entry* e = table.find(name);
  if (e && e->state == application_state::stopping) return std::unexpected(exit_reason(reason::stopping));
  if (!e || e->state != application_state::running || !e->top)
    return std::unexpected(exit_reason(not_started{std::string(name)}));
  return e->top;
}

}  // namespace otp
