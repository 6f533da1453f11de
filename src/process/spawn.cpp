// A process from its first step to its last: starting it, running its messages in batches, and taking it apart.
//
// Rules
// 1. A stackless process runs on its worker's loop stack. If its code waits, the stack stays with it; when that code
//    returns here, the process is finished for this turn and the stack goes back (scheduler.hpp, rule 3).
// 2. Nothing is touched of a process after try_sleep() succeeded or make_ready_last() was called: another worker may
//    run it already. `phase` is set before.
// 3. User code is never called from inside a catch block.
#include "base/planted.hpp"
#include "process/control.hpp"
#include "process/request_core.hpp"
#include "process/runtime_core.hpp"
#include "process/timer_table.hpp"
#include "process/watchers.hpp"

#include <unistd.h>

namespace otp::detail {

namespace {

class function_body final : public process_body {
 public:
  function_body(unique_function f, const std::string_view& type, process_kind kind = process_kind::function)
      : function_(std::move(f)), type_(type), kind_(kind) {}
  static void* operator new(std::size_t size) { return envelope_memory(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { free_envelope_memory(memory, size); }
  bool start() override { return hibernates(); }
  // Between two functions it hibernates: any message is a reason to go on, and stays where it is.
  bool has_work() const noexcept override { return current_process()->first != nullptr; }
  void work() override {
    if (!hibernates()) end_with(reason::normal);
  }
  const std::string_view& type() const noexcept override { return type_; }
  process_kind kind() const noexcept override { return kind_; }
  bool of_proc_lib() const noexcept override { return false; }

 private:
  // Runs the function. True: it left for another one, which waits for a message.
  bool hibernates() {
    unique_function next;
    try {
      function_();
    } catch (hibernation& left_by) {
      next = std::move(left_by.resume);
    }
    if (!next) return false;
    function_ = std::move(next);  // what the one before held is destroyed with `next`
    return true;
  }

  unique_function function_;
  const std::string_view& type_;
  const process_kind kind_;
};

void check_options(const spawn_options& o) {
  constexpr std::size_t smallest = 16 * 1024;
  constexpr std::size_t largest = std::size_t{1} << 30;
  if (o.stack_size != 0 && (o.stack_size < smallest || o.stack_size > largest))
    throw bad_argument("spawn: stack_size is " + unsigned_text(o.stack_size) +
                       " bytes; give 0 for the runtime's default or a size from 16 KiB to 1 GiB");
  if (static_cast<unsigned>(o.priority) > static_cast<unsigned>(priority::max))
    throw bad_argument("spawn: unknown priority " + unsigned_text(static_cast<unsigned>(o.priority)) +
                       "; give low, normal, high or max");
  if (static_cast<unsigned>(o.mailbox.policy) > static_cast<unsigned>(overflow::kill))
    throw bad_argument("spawn: unknown mailbox policy; give reject, drop, block or kill");
  if (static_cast<unsigned>(o.monitoring.alias) > static_cast<unsigned>(alias_mode::reply))
    throw bad_argument("spawn: unknown alias mode; give none, explicit_unalias, demonitor or reply");
}

void own_stack_main(void* argument);

// User code forked and let the child go on to here. The processes live in the parent: two programs must not run them.
[[noreturn]] void leave_forked_child(const std::optional<exit_reason>& ended) {
  std::string text =
      "otp: fatal: a forked child returned to the runtime, whose threads stayed in the parent; after "
      "fork() call exec or _exit, or use posix_spawn";
  if (ended) text += " (it ended with " + ended->to_string() + ")";
  text += "\n";
  static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size()));
  ::_exit(70);  // EX_SOFTWARE
}

// Runs user code of the process on the current stack. Its reason, if it ended the process.
template <class F>
std::optional<exit_reason> user(process& p, F&& code) {
  p.phase.store(phase::in_user, std::memory_order_release);
  const std::uint32_t program = fork_generation();
  auto ended = guarded(p, std::forward<F>(code));
  if (program != fork_generation()) [[unlikely]]
    leave_forked_child(ended);
  return ended;
}

void report_crash(runtime_core& core, process& p, const exit_reason& why) {
  // Like proc_lib: what ended by its own doing and abnormally is reported; exit signals are not. Of a plain process
  // errors only are reported, and not what it exits with.
  if (p.dying || p.reported || why.is_expected()) return;
  if (p.body && !p.body->of_proc_lib() && !is_error(why)) return;
  try {
    if (core.explorer || core.wants_event("crash")) core.emit([&] { return crash_event(core, p, why); });
  } catch (const std::bad_alloc&) {
    // No memory for a report: the report is what is given up.
  }
}

// The process is over: its body goes, then it is taken out of the world. Runs on the stack it ended on.
void finish(runtime_core& core, process& p, exit_reason why, bool by_exception) {
  p.phase.store(phase::in_user, std::memory_order_release);
  if (core.explorer) [[unlikely]]
    core.explorer->point(p, "end");
  if (by_exception && p.body && !p.body->reports_itself()) report_crash(core, p, why);
  start_ticket* ticket = nullptr;
  if (process_body* body = p.body) {
    body->ended(why);
    ticket = body->release_ticket();
    {
      runtime_section section(p);  // who looks at the process from outside finds no body that is being destroyed
      p.body = nullptr;
    }
    if (auto failed = guarded(p, [&] { delete body; })) {
      if (!p.dying)
        core.emit([&]() -> event {
          return {.what = "destructor_failed",
                  .severity = severity::error,
                  .process = p.self(),
                  .name = core.describe(p.self()),
                  .reason = *failed};
        });
    }
  }
  pid me = p.self();
  if (planted(bug::name_after_down)) {
    release_watchers(p, [&](down_envelope* e) {
      const pid watcher = e->value.reference.owner();
      e->type = &down_type;
      e->value.reason = why;
      if (!deliver(core, watcher, e)) destroy(e);
    });
    at_point(*scheduler::current(), "end");
  }
  runtime_section::enter(p);
  sent(&p);
  end_process(core, p, why);
  // The place is nobody's from here on; everything is left as the next tenant expects to find it.
  mailbox_account* account = p.account.used();
  if (account) p.account.keep(*account);
  p.type_name.store(nullptr, std::memory_order_relaxed);
  p.parent = 0;
  p.fate = exit_reason();
  p.started = p.own_stack = p.exiting = p.over = p.dying = p.killed = p.linked_at_spawn = p.reported = false;
  p.handling = nullptr;
  p.thrown = 0;
  p.passed_over = 0;
  p.lengthy = false;
  p.trap_exit.store(false, std::memory_order_relaxed);
  p.alarmed.store(false, std::memory_order_relaxed);
  p.waiting = nullptr;
  p.stk = nullptr;
  p.scanned_for = nullptr;
  p.home.store(0, std::memory_order_relaxed);
  p.priority.store(priority_class::normal, std::memory_order_relaxed);
  p.messages_in.store(0, std::memory_order_relaxed);
  p.reductions.store(0, std::memory_order_relaxed);
  p.running_samples.store(0, std::memory_order_relaxed);
  p.edge.store(0, std::memory_order_relaxed);  // it calls nobody; a late look at it finds another number
  p.calls = 0;
  p.phase.store(phase::idle, std::memory_order_release);
  worker* w = scheduler::current();
  if (w) w->isolation.over(p.apart);
  core.table.release(p, w ? &static_cast<worker_local*>(w->local)->free_places : nullptr);
  if (account) core.close_account(*account);
  core.count(counter::exited);
  core.process_ended(me, why);
  if (ticket) {
    ticket->failed(why);  // unless the start had succeeded
    ticket->drop();
  }
}

// One turn of a stackless process, or of one on its own stack. True: it ended.
bool run_batch(runtime_core& core, process& p) {
  unsigned budget = core.sched.configuration().batch;
  if (!p.started) {
    p.started = true;
    runtime_section::enter(p);
    intake(core, p);  // a process that was killed before its first step never takes it
    if (!p.dying) {
      bool goes_on = false;
      auto ended = user(p, [&] { goes_on = p.body->start(); });
      if (!ended && !goes_on && !p.over) {
        runtime_section::enter(p);
        intake(core, p);  // a fatal signal that came before it returned counts
      }
      if (ended || p.over || !goes_on) {
        exit_reason why = p.dying || (p.over && !ended) ? p.fate : ended ? std::move(*ended) : exit_reason();
        finish(core, p, std::move(why), ended.has_value() && !p.dying);
        return true;
      }
    }
    --budget;
  }
  for (;;) {
    runtime_section::enter(p);
    intake(core, p);
    if (p.dying) {
      exit_reason fate = p.fate;
      finish(core, p, std::move(fate), false);
      return true;
    }
    bool work = p.body->has_work();
    if (!work && !p.first) {
      scheduler::time_step(*scheduler::current(), p);
      if (!p.own_stack) {
        p.stk = nullptr;
        p.home.store(0, std::memory_order_relaxed);
      }
      p.phase.store(p.own_stack ? phase::waiting : phase::idle, std::memory_order_release);
      if (p.in.try_sleep()) return false;
      if (budget == 0) {  // signals that come as fast as they are taken in: others get their turn too
        core.sched.make_ready_last(p);
        return false;
      }
      --budget;
      continue;
    }
    // A process that waited does not keep the loop: one message a turn, then the stack goes back.
    worker& here = *scheduler::current();
    bool gives_way = !p.own_stack && !scheduler::on_loop_stack(here);
    // Not before it has done anything: what the time went into may have been others.
    if (budget == 0 || (scheduler::has_had_its_time(here, p) && budget != core.sched.configuration().batch))
        [[unlikely]] {
      scheduler::batch_over(here, p);
      gives_way = true;
    }
    if (gives_way) {
      if (!p.own_stack) {
        p.stk = nullptr;
        p.home.store(0, std::memory_order_relaxed);
      }
      p.phase.store(p.own_stack ? phase::waiting : phase::idle, std::memory_order_release);
      core.sched.make_ready_last(p);
      return false;
    }
    --budget;
    envelope* e = work ? nullptr : take_first(core, p);
    if (e && e->type->kind == signal::request) p.handling = static_cast<request_envelope*>(e);
    p.reductions.store(p.reductions.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    auto ended = user(p, [&] {
      if (work)
        p.body->work();
      else
        p.body->receive(e);
    });
    if (ended || p.over) {
      exit_reason why = p.dying ? p.fate : ended ? std::move(*ended) : p.fate;
      finish(core, p, std::move(why), ended.has_value() && !p.dying);
      return true;
    }
  }
}

void own_stack_main(void* argument) {
  auto& p = *static_cast<process*>(argument);
  scheduler::entered_own_stack();
  for (;;) {
    runtime_core& core = *runtime_core::current();
    if (run_batch(core, p)) break;
    core.sched.suspend(p);
  }
  runtime_core::current()->sched.leave_own_stack();
}

}  // namespace

void step(runnable& r, worker& w) {
  auto& p = static_cast<process&>(r);
  runtime_core& core = core_of(w);
  if (p.attention.load(std::memory_order_acquire) == attention::fence) return;  // abandoned while it was queued
  if (p.own_stack && !p.stk) {
    try {
      core.sched.give_own_stack(p, p.extra->own_stack_size, own_stack_main, &p);
    } catch (const std::exception& e) {
      p.started = true;
      finish(core, p, exit_reason(exit_reason::kind::system_limit, e.what()), true);
      return;
    }
    core.sched.resume(p);
    return;
  }
  if (!p.stk) {
    run_batch(core, p);
    return;
  }
  // A suspended stack: is there a reason to go on with it?
  for (;;) {
    runtime_section::enter(p);
    intake(core, p);
    wait_state* waiting = p.waiting;
    bool go = !waiting || waiting->satisfied || (p.dying && waiting->interruptible);
    if (waiting && !go && wait_deadline(p, *waiting) != never) {
      go = deadline_passed(p, *waiting, core.sched.now());
      if (!go) rearm_wait_timer(core, p);
    }
    p.phase.store(phase::waiting, std::memory_order_release);
    if (go) break;
    if (p.in.try_sleep()) return;
    if (!scheduler::may_go_on(w)) return core.sched.make_ready_last(p);
  }
  core.sched.resume(p);
}

// What it waits for has not come in the step that it handed over to: scheduler.hpp, rule 6.
void settle(runnable& r, worker& w) noexcept {
  auto& p = static_cast<process&>(r);
  if (!p.in.try_sleep()) w.owner.make_ready(p, &w);
}

spawned spawn_body(runtime_core& core, process* parent, std::unique_ptr<process_body> body,
                   const spawn_options& options, bool waited_for) {
  check_options(options);
  if ((options.link || options.monitor) && !parent)
    throw bad_argument("spawn: only a process can link to a new one or monitor it; spawn it from a process");
  // A process without a living parent must not slip in behind the back of stop(): that one sets `stopping`, then waits
  // until nobody is in here; we do the reverse (seq_cst on both sides).
  struct from_outside {
    std::atomic<unsigned>* count = nullptr;
    ~from_outside() {
      if (count) count->fetch_sub(1);
    }
  } outside;
  if (!parent) {
    if (!core.stopping.load()) {  // those who come later do not keep stop() waiting
      core.spawning.fetch_add(1);
      outside.count = &core.spawning;
    }
    if (core.stopping.load())
      throw exited(
          exit_reason(exit_reason::kind::stopping, "the runtime is stopping; no process can be started from outside"));
  }
  worker* w = scheduler::current();
  bool inside = w && &w->owner == &core.sched;
  mailbox_account* account = nullptr;
  owned_extra extra;
  spawned made;
  process* p = nullptr;
  down_envelope* watch = nullptr;
  try {
    if (!options.label.empty()) {
      extra.reset(make_extra());
      extra->label = options.label;
    }
    if (options.stack_size != 0) {
      if (!extra) extra.reset(make_extra());
      extra->own_stack_size = options.stack_size;
    }
    if (options.monitor && parent) {
      made.monitor = ref(parent->self(), core.new_reference());
      body->watched(made.monitor);
      watch = new down_envelope(
          down{.reference = made.monitor, .process = {}, .name = {}, .reason = {}, .tag = options.monitoring.tag});
    }
    p = core.table.allocate(inside ? &static_cast<worker_local*>(w->local)->free_places : nullptr);
    if (!p)
      throw exited(exit_reason(exit_reason::kind::system_limit,
                               "the limit of " + unsigned_text(core.table.limit()) +
                                   " processes is reached; raise runtime_options::max_processes"));
    made.pid = p->self();
    if (options.mailbox.max_messages || options.mailbox.max_bytes || options.memory_limit)
      account = &core.open_account(*p, options);
    if (parent) {
      runtime_section section(*parent);
      if (parent->extra && parent->extra->group_leader) {
        if (!extra) extra.reset(make_extra());
        extra->group_leader = parent->extra->group_leader;
      }
      if (options.monitor)
        parent->more().monitors.insert(made.monitor.number(),
                                       {.target = made.pid, .alias = options.monitoring.alias, .monitoring = true});
      if (options.link) {
        if (parent->link0 == 0)
          parent->link0 = made.pid.value();
        else
          parent->more().links.insert(made.pid.value(), {});
      }
    }
  } catch (...) {
    if (p) {
      if (parent && parent->extra && options.monitor) parent->extra->monitors.erase(made.monitor.number());
      core.table.release(*p, nullptr);
    }
    delete watch;
    throw;
  }
  if (watch) {
    watch->value.process = made.pid;
    p->watcher0 = watch;
  }
  p->type_name.store(&body->type(), std::memory_order_release);
  p->body = body.release();
  p->extra = extra.release();
  if (account) p->account.use(*account);
  p->parent = parent ? parent->self().value() : 0;
  if (parent && options.link) {
    p->link0 = p->parent;
    p->linked_at_spawn = true;
  }
  p->trap_exit.store(options.trap_exit, std::memory_order_relaxed);
  p->priority.store(static_cast<priority_class>(options.priority), std::memory_order_relaxed);
  p->own_stack = options.stack_size != 0;
  p->born = age_clock(inside ? w->cached_now : core.sched.coarse_now());
  if (inside)
    count_on(*w, counter::spawned);
  else
    core.count(counter::spawned);
  if (core.explorer) [[unlikely]]
    core.explorer->spawned(*p);
  if (core.sched.seeded()) p->apart.begin();
  p->in.open_awake();
  if (!inside)
    core.sched.make_ready(*p, nullptr);
  else if (!waited_for || !core.sched.hand_over(*p, *w))
    core.sched.make_ready(*p, w);
  return made;
}

std::unique_ptr<process_body> make_function_body(unique_function f, const std::string_view& type, process_kind kind) {
  return std::make_unique<function_body>(std::move(f), type, kind);
}

void hibernate_into(unique_function resume) {
  process& p = require_process("hibernate");
  if (!resume) throw bad_argument("hibernate: the function object is empty; give one that can be called");
  if (!dynamic_cast<function_body*>(p.body))
    throw bad_argument(
        "hibernate: only a process that runs a function can leave it; a server's handler returns that "
        "it wants to hibernate");
  check_fate(p);
  throw hibernation{std::move(resume)};
}

spawned spawn_function(unique_function body, const std::string_view& type, const spawn_options& options) {
  if (!body) throw bad_argument("spawn: the function object is empty; give one that can be called");
  runtime_core& core = require_runtime("spawn");
  process* parent = current_process();
  if (parent) check_abandoned(*parent);
  return spawn_body(core, parent, std::make_unique<function_body>(std::move(body), type), options);
}

}  // namespace otp::detail
