#include "process/runtime_core.hpp"

#include "process/blocking_pool.hpp"
#include "process/control.hpp"
#include "process/event_state.hpp"
#include "process/timer_table.hpp"
#include "runtime/crash.hpp"
#include "runtime/stall_probe.hpp"
#include "runtime/tls.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace otp::detail {

namespace {

// OTP_WORKERS in the environment is stronger than the program: for operators, and for tests with one worker.
unsigned wanted_workers(unsigned from_options) {
  constexpr unsigned most = 32;
  if (from_options > most)
    throw bad_argument("runtime: workers is " + unsigned_text(from_options) + "; give 0 (one per CPU) to 32");
  const char* text = std::getenv("OTP_WORKERS");
  if (!text || !*text) return from_options;
  char* end = nullptr;
  errno = 0;
  unsigned long value = std::strtoul(text, &end, 10);
  if (*end != 0 || errno != 0 || *text == '-' || value > most)
    throw bad_argument("runtime: the environment says OTP_WORKERS=" + quoted(text) +
                       "; give 0 (one per CPU) to 32, or leave it unset");
  return static_cast<unsigned>(value);
}

scheduler::options scheduler_options(const runtime_options& o, bool seeded, std::uint64_t seed) {
  if (o.max_processes == 0 || o.max_processes > (1U << 24) - 2)
    throw bad_argument("runtime: max_processes is " + unsigned_text(o.max_processes) + "; give 1 to 16777214");
  if (o.stack_size != 0 && (o.stack_size < 16 * 1024 || o.stack_size > (std::size_t{1} << 30)))
    throw bad_argument("runtime: stack_size is " + unsigned_text(o.stack_size) + " bytes; give 0 or 16 KiB to 1 GiB");
  if (o.kill_budget.count() <= 0 || o.stop_budget.count() <= 0 || o.handler_limit.count() <= 0)
    throw bad_argument("runtime: kill_budget, stop_budget and handler_limit must be longer than 0");
  scheduler::options s;
  s.workers = seeded ? 1 : wanted_workers(o.workers);
  s.stall_limit = o.handler_limit.count();
  if (o.stack_size) s.stacks.size = o.stack_size;
  s.stacks.force_mprotect = o.guard_by_mprotect;
  s.seeded = seeded;
  s.seed = seed;
  return s;
}

// ---- hooks of the scheduler --------------------------------------------------------------------------------------

struct worker_state : worker_local {
  using worker_local::worker_local;
  std::unique_ptr<thread_signal_stack> signals;
};

void worker_started(worker& w) {
  if (w.owner.seeded() && current_signal_stack_raw()) return;  // of the thread that explores, for all its runs
  auto* local = static_cast<worker_state*>(w.local);
  local->signals = std::make_unique<thread_signal_stack>();
}

void worker_ended(worker& w) {
  auto* local = static_cast<worker_state*>(w.local);
  local->signals.reset();
  core_of(w).table.give_back(local->free_places);
}

void trim(worker& w) {
  auto& local = *static_cast<worker_local*>(w.local);
  local.envelopes.trim();
  free_spare_extras(local);
  core_of(w).depot.trim();
}

void stalled(scheduler& s, const stall& what) try {
  auto& core = *static_cast<runtime_core*>(s.owner());
  stall_trace trace = probe_worker(s.shard(what.worker));
  auto* p = static_cast<process*>(what.running);
  pid who = p ? p->self() : pid();
  std::string doing;
  if (p)
    visit_within(
        core, 1'000'000, who,
        [](process& seen, void* out) {
          if (seen.body) *static_cast<std::string*>(out) = std::string(seen.body->doing());
        },
        &doing);
  // Whoever waits on a stack of this worker has to wait until it comes back.
  std::string waiting;
  std::size_t count = 0;
  for (std::uint32_t i = 1; i <= core.table.end() && count < 1000; ++i) {
    process* other = core.table.at(i);
    if (!other || other == p || other->home.load() != what.worker + 1 || other->in.closed()) continue;
    if (++count <= 10) waiting += (waiting.empty() ? "" : ", ") + other->self().to_string();
  }
  if (count > 10) waiting += " and " + unsigned_text(count - 10) + " more";
  core.emit([&]() -> event {
    return {.what = "stalled",
            .severity = severity::warning,
            .process = who,
            .name = core.describe(who),
            .fields = {{"for_ms", integer_text(what.since / 1'000'000)},
                       {"handling", doing},
                       {"worker", unsigned_text(what.worker)},
                       {"waiting_behind_it", waiting},
                       {"backtrace", trace.text()},
                       {"advice", "use otp::blocking for calls that block; setting: handler_limit"}}};
  });
} catch (const std::bad_alloc&) {
  // No memory to say so; the next stall may find some.
}

void guards_notice(scheduler& s, const char* text) {
  static_cast<runtime_core*>(s.owner())->emit(
      {.what = "stack_guards",
       .severity = severity::warning,
       .fields = {{"why", text}, {"setting", "guard_by_mprotect, vm.max_map_count"}}});
}

// One look at every worker is one sample of who runs.
void sample(scheduler& s) {
  for (unsigned i = 0; i < s.shard_count(); ++i) {
    worker& w = s.shard(i);
    if (w.beat.load(std::memory_order_relaxed) & 1)
      if (auto* p = static_cast<process*>(w.observed.load(std::memory_order_acquire)))
        p->running_samples.fetch_add(1, std::memory_order_relaxed);
  }
  s.set_threads_apart(static_cast<runtime_core*>(s.owner())->blocking->computing());
}

scheduler::hooks scheduler_hooks() {
  scheduler::hooks h;
  h.step = step;
  h.goes_on = goes_on;
  h.settle = settle;
  h.stalled = stalled;
  h.notice = guards_notice;
  h.worker_started = worker_started;
  h.trim = trim;
  h.worker_ended = worker_ended;
  h.tick = sample;
  return h;
}

// ---- hooks of the crash handlers ---------------------------------------------------------------------------------

stack* running_stack() noexcept {
  worker* w = scheduler::current();
  return w ? w->current : nullptr;
}

// In a signal handler: reads only what this thread wrote, formats by hand.
std::size_t describe_running(char* text, std::size_t size) noexcept {
  process* p = current_process();
  std::size_t n = 0;
  auto put = [&](std::string_view s) {
    for (char c : s)
      if (n + 1 < size) text[n++] = c;
  };
  auto number = [&](std::uint64_t v) {
    char digits[20];
    std::size_t d = 0;
    do digits[d++] = static_cast<char>('0' + v % 10);
    while ((v /= 10) != 0);
    while (d > 0) put(std::string_view(&digits[--d], 1));
  };
  if (!p) {
    put("the scheduler, outside of any process");
    return n;
  }
  pid who = p->self();
  put("process <0.");
  number(who.index());
  put(".");
  number(who.generation());
  put(">");
  // Its name, unless somebody changes names at this moment: nobody may be waited for here.
  runtime_core& core = *runtime_core::current();
  if (p->named.load() && core.names_lock.try_lock()) {
    if (auto named = core.names_of.find(who.value()); named != core.names_of.end()) {
      put(" \"");
      put(named->second);
      put("\"");
    }
    core.names_lock.unlock();
  }
  if (p->body) {
    put(" (");
    put(p->body->type());
    put(")");
    if (auto doing = p->body->doing(); !doing.empty()) {
      put(" handling ");
      put(doing);
    }
  }
  stack* s = running_stack();
  put(", stack_size ");
  number(s ? s->size : 0);
  return n;
}

bool contain_overflow() noexcept {
  process* p = current_process();
  worker* w = scheduler::current();
  return p && w && core_of(*w).options.contain_stack_overflow && p->phase.load() == phase::in_user;
}

void abandon_overflow() {
  process& p = *current_process();
  stack* s = running_stack();
  abandon_self(p,
               exit_reason(exit_reason::kind::stack_overflow,
                           "the stack of " + unsigned_text(s ? s->size : 0) +
                               " bytes overflowed; raise spawn_options::stack_size or runtime_options::stack_size"),
               "its stack overflowed", true);
}

// A kill or a failing call that meets `noexcept` or an unwinding is ours to answer for; anything else is by option.
bool contain_terminate() noexcept {
  process* p = current_process();
  worker* w = scheduler::current();
  if (!p || !w || p->phase.load() != phase::in_user) return false;
  if (core_of(*w).options.contain_terminate || p->dying) return true;
  return in_flight_is_ours();
}

void abandon_terminate() {
  process& p = *current_process();
  exit_reason why = p.dying ? p.fate : exit_reason(reason::error("std::terminate", "std::terminate was called"));
  if (!p.dying && std::current_exception()) why = exit_reason::of_current_exception();
  abandon_self(p, std::move(why), "std::terminate: an exception met `noexcept` or an unwinding", false);
}

crash_hooks hooks_for_crashes() {
  crash_hooks h;
  h.running_stack = running_stack;
  h.describe = describe_running;
  h.contain_overflow = contain_overflow;
  h.contain_terminate = contain_terminate;
  h.abandon_overflow = abandon_overflow;
  h.abandon_terminate = abandon_terminate;
  return h;
}

std::uint64_t next_generation() {
  static std::atomic<std::uint64_t> runtimes{0};
  return ((runtimes.fetch_add(1) & 63) << 34) + 1;  // a pid of another runtime of this program is never alive here
}

}  // namespace

exit_reason current_reason() noexcept {
  std::vector<void*> frames = take_throw_site();
  try {
    exit_reason why = exit_reason::of_current_exception();
    if (why.what() != exit_reason::kind::error || frames.empty()) return why;
    return exit_reason::of_error(why.error_type(), std::string(why.text()), std::move(frames));
  } catch (...) {
    return exit_reason(exit_reason::kind::system_limit);
  }
}

bool in_flight_is_ours() noexcept {
  try {
    if (!std::current_exception()) return false;
    throw;
  } catch (const unwind&) {
    return true;
  } catch (const exited& e) {
    return e.reason().call() != nullptr;
  } catch (...) {
    return false;
  }
}

runtime_core::runtime_core(const runtime_options& o, bool seeded, std::uint64_t seed)
    : options(o),
      sched(scheduler_options(o, seeded, seed), scheduler_hooks(), this),
      table(o.max_processes, seeded ? 1 : next_generation()),
      events(std::make_unique<event_state>()) {
  watched = options.contain_stack_overflow;
  register_fork_guard();
  register_membarrier();
  fill_signal_reserve();
  timers = std::make_unique<timer_table>(*this);
  blocking = std::make_unique<blocking_pool>(*this, std::max(1U, o.blocking_threads));
  try {
    for (unsigned i = 0; i < sched.shard_count(); ++i) sched.shard(i).local = new worker_state(depot);
    install_crash_handlers(hooks_for_crashes());
  } catch (...) {
    free_locals();
    throw;
  }
}

void runtime_core::free_locals() noexcept {
  for (unsigned i = 0; i < sched.shard_count(); ++i) {
    auto* local = static_cast<worker_state*>(std::exchange(sched.shard(i).local, nullptr));
    if (local) free_spare_extras(*local);
    delete local;
  }
}

runtime_core::~runtime_core() {
  if (stopper.joinable()) stopper.join();
  blocking->stop(never);
  sched.stop(never);
  while (runtime_service* newest = services.load()) {
    services.store(newest->next);
    delete newest;
  }
  timers.reset();
  sched.drop_timers();
  for (std::uint32_t i = 1; i <= table.end(); ++i)
    if (process* p = table.at(i); p && p->attention.load() == attention::fence) free_kept(*p);
  free_locals();
  uninstall_crash_handlers();
}

void runtime_core::require_own_program(const char* what) const {
  if (generation != fork_generation())
    throw bad_argument(std::string(what) +
                       ": this is a forked child, and the runtime's threads stayed in the parent; call exec or _exit, "
                       "or start a runtime of the child's own");
}

void runtime_core::start() {
  require_own_program("runtime.start");
  if (stopping.load()) throw bad_argument("runtime.start: this runtime was stopped; make another one");
  if (running.exchange(true)) return;
  try {
    sched.start();
  } catch (...) {
    stopping.store(true);
    running.store(false);
    throw;
  }
}

runtime_service& runtime_core::service(const void* key,
                                       const std::function<std::unique_ptr<runtime_service>(runtime_core&)>& make) {
  auto find = [&]() -> runtime_service* {
    runtime_service* s = services.load(std::memory_order_acquire);  // from the store below
    while (s && s->key != key) s = s->next;
    return s;
  };
  if (runtime_service* found = find()) return *found;
  std::lock_guard lock(services_lock);
  if (runtime_service* found = find()) return *found;
  runtime_service* made = make(*this).release();
  made->next = services.load();
  services.store(made, std::memory_order_release);
  return *made;
}

// ---- counters ----------------------------------------------------------------------------------------------------

runtime_counters runtime_core::counters() const {
  auto& self = const_cast<runtime_core&>(*this);
  auto sum = [&](counter which) {
    std::uint64_t total = outside.values[static_cast<std::size_t>(which)].load(std::memory_order_relaxed);
    for (unsigned i = 0; i < self.sched.shard_count(); ++i)
      total += static_cast<worker_local*>(self.sched.shard(i).local)
                   ->counters.values[static_cast<std::size_t>(which)]
                   .load(std::memory_order_relaxed);
    return total;
  };
  runtime_counters c;
  c.spawned = sum(counter::spawned);
  c.exited = sum(counter::exited);
  c.abandoned = sum(counter::abandoned);
  c.sent = sum(counter::sent);
  c.accepted = sum(counter::accepted);
  c.handled = sum(counter::handled);
  c.dead = sum(counter::dead);
  c.refused = sum(counter::refused);
  c.dropped = sum(counter::dropped);
  c.expired = sum(counter::expired);
  c.late_replies = sum(counter::late_replies);
  c.unhandled = sum(counter::unhandled);
  c.fenced = sum(counter::fenced);
  c.reports_lost = sum(counter::reports_lost);
  c.steals = sched.steals();
  c.parks = sched.parks();
  auto stacks = self.sched.stacks().count();
  c.stacks_live = stacks.live;
  c.stacks_idle = stacks.idle;
  c.timers = timers->size();
  std::size_t live = table.live();
  c.processes = live > c.abandoned ? live - c.abandoned : 0;  // two looks, not one
  return c;
}

std::uint64_t runtime_core::new_reference() noexcept {
  constexpr std::uint64_t block = 256;
  worker* w = scheduler::current();
  if (!w || &w->owner != &sched) return next_reference.fetch_add(1, std::memory_order_relaxed);
  auto& mine = *static_cast<worker_local*>(w->local);
  if (mine.next_reference == mine.references_end) {
    mine.next_reference = next_reference.fetch_add(block, std::memory_order_relaxed);
    mine.references_end = mine.next_reference + block;
  }
  return mine.next_reference++;
}

// ---- bounded mailboxes -------------------------------------------------------------------------------------------

mailbox_account& runtime_core::open_account(process& place, const spawn_options& wanted) {
  if (!place.account.kept()) {
    auto fresh = std::make_unique<mailbox_account>();
    std::lock_guard lock(accounts_lock);
    accounts.push_back(std::move(fresh));
    place.account.keep(*accounts.back());
  }
  mailbox_account& a = *place.account.kept();
  a.messages_max.store(wanted.mailbox.max_messages);
  a.bytes_max.store(wanted.mailbox.max_bytes);
  a.memory_max.store(wanted.memory_limit);
  a.policy.store(wanted.mailbox.policy);
  a.used.store(0);
  a.overflowed.store(false);
  return a;
}

void runtime_core::close_account(mailbox_account& a) noexcept {
  std::vector<pid> waiting;
  {
    std::lock_guard lock(a.lock);
    waiting.swap(a.waiting);
  }
  for (pid who : waiting) send_wake(*this, who, &a);  // they find nobody there
}

// ---- who is who --------------------------------------------------------------------------------------------------

void refuse_outside(const char* what) {
  if (!runtime_core::current() && fork_generation() != 0)
    throw bad_argument(std::string(what) +
                       ": this is a forked child, whose runtime stayed in the parent; call exec or _exit");
  if (!runtime_core::current())
    throw bad_argument(std::string(what) +
                       ": this thread belongs to no runtime; call it from a process (otp::run, otp::spawn), or use the "
                       "runtime object: runtime.send, runtime.call, runtime.spawn");
  throw bad_argument(std::string(what) +
                     ": only a process can do this; call it from a function given to otp::run or otp::spawn");
}

void at_point(worker& w, const char* what) {
  runtime_core& core = core_of(w);
  if (core.options.contain_stack_overflow) require_stack_room(*w.current);
  if (core.explorer && w.running) core.explorer->point(static_cast<process&>(*w.running), what);
}

std::string runtime_core::describe(pid who) const {
  if (!who) return "<none>";
  std::string text = who.to_string();
  {
    std::lock_guard lock(names_lock);
    if (auto named = names_of.find(who.value()); named != names_of.end()) text += " " + quoted(named->second);
  }
  if (process* p = table.find(who)) {
    if (const std::string_view* type = p->type_name.load(std::memory_order_acquire))
      text += " (" + std::string(*type) + ")";
  }
  return text;
}

bool runtime_core::nobody_left() const noexcept { return table.live() <= given_up.load(); }

void runtime_core::process_ended(pid who, const exit_reason& why) noexcept {
  if (explorer) [[unlikely]]
    explorer->ended(who, why);
  bool tell = waiting_for_all.load() && nobody_left();
  if (!tell && !(awaited_bits.load() & std::uint64_t{1} << (who.index() & 63))) return;
  std::lock_guard lock(ends_lock);
  if (auto it = awaited_ends.find(who.value()); it != awaited_ends.end()) {
    it->second = why;
    tell = true;
  }
  if (tell) ends.notify_all();  // one in 64 only looks as if it were awaited, and a wake-up costs more than its life
}

}  // namespace otp::detail
