// The front door: the runtime object, run(), signals, and the order of a stop.
#include <otp/runtime.hpp>

#include "process/blocking_pool.hpp"
#include "process/control.hpp"
#include "process/runtime_core.hpp"

#include <algorithm>
#include <thread>

namespace otp::detail {

namespace {

// Waits until nobody is left, or until the deadline. The last one to end notifies.
bool wait_for_all(runtime_core& core, nanos deadline) {
  core.waiting_for_all.fetch_add(1);
  std::unique_lock lock(core.ends_lock);
  bool in_time = true;
  while (!core.nobody_left()) {
    nanos now = core.sched.now();
    if (now >= deadline) {
      in_time = false;
      break;
    }
    // An end between the look and the wait is noticed at the next interval at the latest.
    nanos nap = std::min<nanos>(deadline - now, 10'000'000);
    core.ends.wait_for(lock, std::chrono::nanoseconds(nap));
  }
  lock.unlock();
  core.waiting_for_all.fetch_sub(1);
  return in_time;
}

std::vector<pid> living(const runtime_core& core) {
  std::vector<pid> all;
  for (std::uint32_t i = 1; i <= core.table.end(); ++i)
    if (process* p = core.table.at(i)) {
      pid who(p->id.load());
      if (who.index() == i && !p->in.closed()) all.push_back(who);
    }
  return all;
}

bool has_living_parent(runtime_core& core, pid who) {
  struct answer {
    std::uint64_t parent = 0;
  } a;
  visit(core, who, [](process& p, void* out) { static_cast<answer*>(out)->parent = p.parent; }, &a);
  process* parent = core.table.find(pid(a.parent));
  return parent && !parent->in.closed();
}

}  // namespace

stop_report runtime_core::stop(duration budget) {
  require_own_program("runtime.stop");
  if (budget.count() < 0)
    throw bad_argument("runtime.stop: the budget is " + integer_text(budget.count()) + " ns; give 0 or more");
  if (runtime_core::current() != this) return stop_from_outside(budget);
  stop_from_inside(budget);
  return {};
}

// A worker cannot wait for its own end: a thread does, while the process that asked goes on to the end of its handler.
void runtime_core::stop_from_inside(duration budget) {
  std::lock_guard lock(stopper_lock);
  if (!stopper.joinable()) stopper = std::thread([this, budget] { stop_from_outside(budget); });
}

stop_report runtime_core::stop_from_outside(duration budget) {
  std::lock_guard one_at_a_time(stop_lock);
  if (!running.load()) {
    std::lock_guard lock(abandoned_lock);
    return {abandoned};
  }
  nanos start = sched.now();
  nanos deadline = budget.count() > never - start ? never : start + budget.count();
  stop_deadline.store(deadline);
  stopping.store(true);
  while (spawning.load() != 0) scheduler::give_way();
  request_shutdown();
  // First the roots, in order: what they started stops with them. A part of the budget is kept for those who do not
  // listen.
  nanos reserve = std::min<nanos>(budget.count() / 4, 2 * options.kill_budget.count());
  nanos polite = deadline == never ? never : deadline - reserve;
  for (;;) {
    for (pid who : living(*this))
      if (!has_living_parent(*this, who)) send_exit(*this, pid(), who, reason::shutdown);
    nanos round = std::min<nanos>(polite, sched.now() + 100'000'000);
    if (wait_for_all(*this, round) || sched.now() >= polite) break;
  }
  if (!nobody_left()) {
    for (pid who : living(*this)) {
      emit([&]() -> event {
        return {.what = "killed_at_stop",
                .severity = severity::warning,
                .process = who,
                .name = describe(who),
                .fields = {{"why", "it did not stop within the budget"}}};
      });
      send_exit(*this, pid(), who, reason::kill);
    }
    nanos last =
        std::max(sched.now() + std::min<nanos>(reserve, options.kill_budget.count()), deadline == never ? 0 : deadline);
    wait_for_all(*this, std::min(last, sched.now() + options.kill_budget.count()));
    constexpr nanos patience = 20'000'000;
    for (pid who : living(*this)) {
      constexpr std::string_view cause = "it did not end within the budget of stop()";
      if (abandon(*this, who, reason::killed, cause, patience)) continue;
      std::lock_guard lock(abandoned_lock);
      abandoned.push_back({who, describe(who), std::string(cause) + ": it runs a destructor"});
    }
  }
  // Threads come back at once unless somebody who was given up, now or long ago, still runs on one.
  nanos grace = deadline == never ? 30'000'000'000 : std::max<nanos>(1'000'000'000, deadline - sched.now());
  // Counted before anybody hears of the end; the list may be a moment behind.
  if (given_up.load() != 0) grace = std::min<nanos>(grace, 200'000'000);
  bool pool_ended = blocking->stop(grace);
  bool workers_ended = sched.stop(grace);
  stuck = !pool_ended || !workers_ended;
  if (stuck) forget_listener();  // it may be gone when that thread comes back
  running.store(false);
  std::lock_guard lock(abandoned_lock);
  return {abandoned};
}

void runtime_core::request_shutdown() {
  std::vector<pid> waiters;
  {
    std::lock_guard lock(shutdown_lock);
    shutdown_requested.store(true);
    waiters.swap(shutdown_waiters);
  }
  for (pid who : waiters) send_wake(*this, who, &shutdown_requested);
}

}  // namespace otp::detail

namespace otp {

using namespace detail;

runtime::runtime(runtime_options options) : core_(std::make_unique<runtime_core>(options)) { core_->face = this; }

runtime::~runtime() {
  bool ours = core_->generation == fork_generation();
  if (ours && core_->running.load()) core_->stop(core_->options.stop_budget);
  // A thread that did not come back may do so later; in a forked child there is nobody who could end the threads.
  if (core_->stuck || !ours) static_cast<void>(core_.release());
}

void runtime::start() { core_->start(); }
stop_report runtime::stop() { return core_->stop(core_->options.stop_budget); }
stop_report runtime::stop(duration budget) { return core_->stop(budget); }
bool runtime::started() const noexcept { return core_->running.load() && core_->generation == fork_generation(); }

runtime* runtime::current() noexcept {
  runtime_core* core = runtime_core::current();
  return core ? core->face : nullptr;
}

namespace {

void require_started(runtime_core& core, const char* what) {
  core.require_own_program(what);
  if (!core.running.load() && !core.sched.seeded())
    throw bad_argument(std::string(what) + ": this runtime does not run; call start() first" +
                       (core.stopping.load() ? ", and nothing after stop()" : ""));
}

}  // namespace

pid runtime::spawn_from_outside(unique_function body, const std::string_view& type, const spawn_options& options) {
  require_started(*core_, "runtime.spawn");
  if (!body) throw bad_argument("spawn: the function object is empty; give one that can be called");
  process* parent = runtime_core::current() == core_.get() ? current_process() : nullptr;
  return spawn_body(*core_, parent, make_function_body(std::move(body), type), options).pid;
}

exit_reason runtime::run_to_end(unique_function body, const std::string_view& type) {
  require_started(*core_, "runtime.run");
  if (runtime_core::current())
    throw bad_argument("runtime.run: this thread is a worker; use otp::spawn_monitor and receive its `down` instead");
  if (!body) throw bad_argument("runtime.run: the function object is empty; give one that can be called");
  std::unique_lock lock(core_->ends_lock);
  auto mark = [&] {
    std::uint64_t bits = 0;
    for (auto& [awaited, unused] : core_->awaited_ends) bits |= std::uint64_t{1} << (pid(awaited).index() & 63);
    core_->awaited_bits.store(bits);
  };
  // Until its pid is known, every process that ends has to look under the lock, which is ours.
  core_->awaited_bits.store(~std::uint64_t{0});
  pid who;
  try {
    who = spawn_body(*core_, nullptr, make_function_body(std::move(body), type, process_kind::root), {}).pid;
    core_->awaited_ends.emplace(who.value(), exit_reason(exit_reason::kind::ignore));
  } catch (...) {
    mark();
    throw;
  }
  mark();
  auto& mine = core_->awaited_ends.at(who.value());
  core_->ends.wait(lock, [&] { return mine.what() != exit_reason::kind::ignore; });
  exit_reason why = mine;
  core_->awaited_ends.erase(who.value());
  mark();
  return why;
}

send_status runtime::send_from_outside(pid to, envelope* e) {
  try {
    require_started(*core_, "runtime.send");
  } catch (...) {
    destroy(e);
    throw;
  }
  return send_user(*core_, to, e);
}

void runtime::exit(pid who, exit_reason why) {
  require_started(*core_, "runtime.exit");
  if (!who) throw bad_argument("exit: this is not a process; give a pid");
  bool kill = why == reason::kill;
  send_exit(*core_, pid(), who, why);
  if (kill && core_->table.find(who)) start_kill_budget(*core_, who);
}

std::optional<pid> runtime::whereis(std::string_view name) const {
  core_->require_own_program("runtime.whereis");
  return core_->whereis(name);
}
runtime_counters runtime::counters() const {
  core_->require_own_program("runtime.counters");
  return core_->counters();
}
void runtime::request_shutdown() {
  core_->require_own_program("runtime.request_shutdown");
  core_->request_shutdown();
}

runtime_counters counters() { return require_runtime("counters").counters(); }

void wait_for_shutdown() {
  process& p = require_process("wait_for_shutdown");
  runtime_core& core = *runtime_core::current();
  check_fate(p);
  while (!core.shutdown_requested.load()) {
    {
      std::lock_guard lock(core.shutdown_lock);
      if (core.shutdown_requested.load()) return;
      core.shutdown_waiters.push_back(p.self());
    }
    wait_state w;
    w.token = &core.shutdown_requested;
    wait(p, w);
  }
}

instant monotonic_clock::now() noexcept {
  runtime_core* core = runtime_core::current();
  return instant(duration(core ? core->sched.now() : scheduler::machine_now()));
}

}  // namespace otp
