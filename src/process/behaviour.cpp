// What behaviours are built on: see otp/detail/behaviour.hpp.
#include <otp/detail/behaviour.hpp>
#include <otp/receive.hpp>

#include "process/request_core.hpp"
#include "process/runtime_core.hpp"

namespace otp::detail {

spawned spawn_body(std::unique_ptr<process_body> body, const spawn_options& options) {
  runtime_core& core = require_runtime("start");
  process* parent = current_process();
  if (parent) check_abandoned(*parent);
  return spawn_body(core, parent, std::move(body), options);
}

process_body* body_of_caller() noexcept {
  process* p = current_process();
  return p ? p->body : nullptr;
}

void end_with(exit_reason why) {
  process& p = require_process("end_with");
  runtime_section section(p);
  if (p.dying || p.over) return;
  p.over = true;
  p.fate = std::move(why);
}

bool being_ended() noexcept {
  process* p = current_process();
  return p && p->dying;
}

std::optional<exit_reason> guard_call(void (*call)(void*), void* argument, const char* what) {
  worker& w = *scheduler::current();
  auto& p = static_cast<process&>(*w.running);
  check_abandoned(p);
  return guarded(p, [&] {
    if (core_of(w).watched) [[unlikely]]
      at_point(w, what);
    call(argument);
  });
}

void request_done() noexcept {
  if (process* p = current_process()) p->handling = nullptr;
}

void handle_request(request_envelope* r) noexcept {
  process* p = current_process();
  if (!p) return;
  runtime_section section(*p);
  p->handling = r;
}

bool take_request(const request_envelope& r) noexcept {
  worker& w = *scheduler::current();
  // The worker's clock may be behind, which errs towards running the request.
  bool expired = !r.run_expired &&
                 (r.progress.load(std::memory_order_relaxed) == request_state::abandoned || r.deadline <= w.cached_now);
  if (!expired) count_on(w, counter::handled);
  return !expired;
}

std::optional<exit_reason> asked_to_end() {
  process& p = require_process("loop");
  if (!p.over) return std::nullopt;
  runtime_section section(p);
  p.over = false;
  p.reported = true;
  return std::exchange(p.fate, exit_reason());
}

void release_unused() {
  process& p = require_process("hibernate");
  runtime_section section(p);
  process_extra* extra = p.extra;
  if (!extra) return;
  if (extra->links.empty()) extra->links.clear();
  if (extra->monitors.empty()) extra->monitors.clear();
  if (extra->monitored_by.empty()) extra->monitored_by.clear();
  if (extra->timers.empty()) extra->timers.clear();
}

namespace {
void count_here(counter which) noexcept {
  if (runtime_core* core = runtime_core::current()) core->count(which);
}
}  // namespace

void count_expired() noexcept { count_here(counter::expired); }
void count_handled() noexcept { count_here(counter::handled); }
void count_unhandled() noexcept { count_here(counter::unhandled); }
void count_dropped() noexcept { count_here(counter::dropped); }

runtime_bracket::runtime_bracket() : process_(current_process()) {
  if (process_) runtime_section::enter(*static_cast<process*>(process_));
}
runtime_bracket::~runtime_bracket() {
  if (process_) static_cast<process*>(process_)->phase.store(phase::in_user, std::memory_order_release);
}

exit_reason fate_of_caller() { return require_process("loop").fate; }

void go_on_unwinding() { check_fate(require_process("loop")); }

envelope* next_envelope(duration timeout) {
  process& p = require_process("receive");
  runtime_core& core = *runtime_core::current();
  check_fate(p);
  nanos start = core.sched.now();
  nanos deadline = timeout == infinity || timeout.count() > never - start ? never : start + timeout.count();
  for (bool last = false;;) {
    {
      runtime_section section(p);
      intake(core, p);
      if (envelope* e = take_first(core, p)) {
        if (e->type->kind == signal::request) p.handling = static_cast<request_envelope*>(e);
        return e;
      }
    }
    if (last) return nullptr;
    wait_state w;
    w.deadline = deadline;
    w.wants = [](wait_state&, envelope&) { return true; };
    wait(p, w);
    last = w.timed_out;
  }
}

envelope* next_envelope(bool (*wanted)(const void*, const envelope&), const void* argument) {
  auto [on, core, p] = require_running("receive");
  check_fate(p);
  struct wanted_wait : wait_state {
    bool (*wanted)(const void*, const envelope&);
    const void* argument;
  };
  for (;;) {
    {
      runtime_section section(p);
      intake(core, p);
      envelope* before = nullptr;
      for (envelope* e = p.first; e; before = e, e = e->next) {
        if (!wanted(argument, *e)) continue;
        unlink_from_queue(core, p, before, e);
        if (e->type->kind == signal::request) p.handling = static_cast<request_envelope*>(e);
        return e;
      }
    }
    wanted_wait w;
    w.wanted = wanted;
    w.argument = argument;
    w.wants = [](wait_state& self, envelope& e) {
      auto& mine = static_cast<wanted_wait&>(self);
      return mine.wanted(mine.argument, e);
    };
    wait(p, w);
  }
}

bool deliver_envelope(pid to, envelope* e) { return deliver(require_runtime("send"), to, e); }

std::string describe(pid who) {
  runtime_core* core = runtime_core::current();
  return core ? core->describe(who) : who.to_string();
}

bool spawned_with_link() noexcept {
  process* p = current_process();
  return p && p->linked_at_spawn;
}

bool linked_with(pid who) noexcept {
  process* p = current_process();
  if (!p) return false;
  runtime_section section(*p);
  if (p->link0 == who.value()) return true;
  const link_record* record = p->extra ? p->extra->links.find(who.value()) : nullptr;
  return record && record->unlinking == 0;
}

bool abandon_process(pid who, std::string_view cause) {
  constexpr nanos patience = 20'000'000;
  return abandon(require_runtime("abandon"), who, reason::killed, cause, patience);
}

bool ordered_by_parent(const exit_signal& signal, pid parent) noexcept {
  return signal.from ? signal.from == parent : stop_deadline() != never;
}

std::int64_t stop_deadline() noexcept {
  runtime_core* core = runtime_core::current();
  return core ? core->stop_deadline.load() : never;
}

unsigned worker_count() noexcept {
  runtime_core* core = runtime_core::current();
  return core ? core->sched.workers() : 1;
}

std::uint64_t names_given_up(runtime_core& core) noexcept {
  return core.names_given_up.load(std::memory_order_acquire);  // from the ends of names, in names.cpp
}

bool event_wanted(std::string_view what) {
  runtime_core* core = runtime_core::current();
  return core && core->wants_event(what);
}

std::optional<exit_reason> guard_start(start_watch& watch, void (*call)(void*), void* argument) {
  process& p = require_process("start");
  start_watch* outer = nullptr;
  {
    runtime_section section(p);
    outer = std::exchange(p.more().watch, &watch);
  }
  auto failed = guarded(p, [&] { call(argument); });
  runtime_section section(p);
  p.extra->watch = outer;
  if (!p.dying) p.thrown = 0;
  return failed;
}

// ---- synchronous start -------------------------------------------------------------------------------------------

start_ticket* start_ticket::make() {
  auto* t = new start_ticket;
  t->starter_ = self();
  t->core_ = runtime_core::current();
  if (runtime_core::current()) t->number_ = runtime_core::current()->new_reference();
  return t;
}

void start_ticket::drop() noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void start_ticket::decide(start_outcome&& outcome) noexcept {
  if (claim_.exchange(1) != 0) return;
  outcome_ = std::move(outcome);
  sent(this);
  decided_.store(true, std::memory_order_release);
  if (core_) send_wake(*static_cast<runtime_core*>(core_), starter_, token());
}

void start_ticket::succeeded(pid process, term value) noexcept {
  decide({.process = process, .failure = {}, .value = std::move(value)});
}

void start_ticket::failed(const exit_reason& why) noexcept {
  decide({.process = {}, .failure = answer_ ? std::move(*answer_) : why, .value = {}});
}

bool start_ticket::wait(duration timeout) {
  process& p = require_process("start");
  runtime_core& core = *runtime_core::current();
  nanos start = timeout == infinity ? 0 : core.sched.now();
  wait_state w;
  w.token = token();
  w.deadline = timeout == infinity || timeout.count() > never - start ? never : start + timeout.count();
  while (!decided()) {
    w.satisfied = false;
    detail::wait(p, w);
    if (w.timed_out) break;
  }
  if (!decided()) return false;
  received(this);
  return true;
}

// Waits for the down message of a monitor of one's own.
static void wait_for_down(ref watch) {
  const pattern down_of{&value_envelope<down>::type_of,
                        [](const void* wanted, const envelope& e) {
                          return static_cast<const value_envelope<down>&>(e).value.reference ==
                                 *static_cast<const ref*>(wanted);
                        },
                        &watch};
  std::size_t which = 0;
  destroy(receive_envelope(&down_of, 1, infinity, which));
}

// Takes the exit message of a process out of the mailbox, if it is there.
static void flush_exit(pid from) {
  const pattern exit_of{&value_envelope<exit_signal>::type_of,
                        [](const void* wanted, const envelope& e) {
                          return static_cast<const value_envelope<exit_signal>&>(e).value.from ==
                                 *static_cast<const pid*>(wanted);
                        },
                        &from};
  std::size_t which = 0;
  if (envelope* e = receive_envelope(&exit_of, 1, duration::zero(), which)) destroy(e);
}

// Tells a supervisor's watch whom its start function waits for.
static void note_starting(pid who) noexcept {
  process& p = *current_process();
  runtime_section section(p);
  start_watch* watch = watch_of(p);
  if (!watch) return;
  watch->starting = who;
  if (who && watch->asked) watch->asked_to_end();
}

result<started> start_body(std::unique_ptr<process_body> body, start_ticket* ticket, const spawn_options& options,
                           duration timeout) {
  struct holder {
    start_ticket* t;
    ~holder() { t->drop(); }
  } mine{ticket};
  if (timeout.count() < 0)
    throw bad_argument("start: the timeout is " + integer_text(timeout.count()) +
                       " ns; give 0, a positive duration or otp::infinity");
  auto [on, core, self] = require_running("start");  // somebody has to wait for it
  struct handed_guard {
    worker& on;
    ~handed_guard() {
      if (on.handed) [[unlikely]]
        on.owner.take_back_handed(on);
    }
  } guard{on};
  spawned made = spawn_body(core, &self, std::move(body), options, true);
  note_starting(made.pid);
  bool decided = false;
  try {
    decided = ticket->wait(timeout);
  } catch (const std::bad_alloc&) {
    // It cannot be waited for: nobody shall be left whom nobody knows.
    note_starting({});
    if (options.link) {
      unlink(made.pid);
      flush_exit(made.pid);
    }
    if (made.monitor) demonitor(made.monitor, {.flush = true});
    exit(made.pid, reason::kill);
    throw;
  }
  if (!decided) {
    // Too late: the process is killed, and the starter is not hurt by it, not even if it ended by itself meanwhile.
    if (options.link) {
      unlink(made.pid);
      flush_exit(made.pid);
    }
    ref watch = made.monitor ? made.monitor : monitor(made.pid);
    exit(made.pid, reason::kill);
    wait_for_down(watch);
    note_starting({});
    return std::unexpected(exit_reason(reason::timeout));
  }
  note_starting({});
  const start_outcome& outcome = ticket->outcome();
  if (outcome.failure) {
    if (made.monitor) demonitor(made.monitor, {.flush = true});
    return std::unexpected(*outcome.failure);
  }
  return started{.process = made.pid, .monitor = made.monitor, .value = outcome.value};
}

}  // namespace otp::detail

namespace otp::detail {

result<void> claim_local_name(std::string_view name, pid process) {
  return try_register(require_runtime("register_name"), name, process);
}

bool valid_local_name(std::string_view name) noexcept { return valid_name(name); }

bool is_there(runtime_core& core, pid who) noexcept {
  process* p = core.table.find(who);
  return p && !p->in.closed();
}

runtime_core& this_runtime(const char* what) { return require_runtime(what); }

static kept& keep(runtime_core& core, const void* key,
                  const std::function<std::unique_ptr<kept>(runtime_core&)>& make) {
  struct holder final : runtime_service {
    holder(const void* k, std::unique_ptr<kept> o) : runtime_service(k), object(std::move(o)) {}
    std::unique_ptr<kept> object;
  };
  auto& service = core.service(key, [&](runtime_core& in) -> std::unique_ptr<runtime_service> {
    return std::make_unique<holder>(key, make(in));
  });
  return *static_cast<holder&>(service).object;
}

kept& keep_with_runtime(runtime_core& core, const void* key, std::unique_ptr<kept> (*make)(runtime_core&)) {
  return keep(core, key, make);
}

kept& keep_with_runtime(const void* key, std::unique_ptr<kept> (*make)()) {
  return keep(require_runtime("keep"), key, [make](runtime_core&) { return make(); });
}

}  // namespace otp::detail
