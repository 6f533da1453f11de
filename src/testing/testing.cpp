#include <otp/testing.hpp>

#include "process/runtime_core.hpp"

#include <cstdlib>
#include <exception>

namespace otp::testing {

using namespace otp::detail;

namespace {

struct session {
  runtime_core* core;
  pid body;
  std::uint64_t seed;
  static session* current;  // one seeded run a thread at a time; seeded runs do not nest
};
session* session::current = nullptr;

session& here(const char* what) {
  if (!session::current || runtime_core::current() != session::current->core)
    throw bad_argument(std::string(what) + ": call it from a process inside otp::testing::run");
  return *session::current;
}

std::string waiting_processes(runtime_core& core) {
  std::string text;
  for (std::uint32_t i = 1; i <= core.table.end(); ++i) {
    process* p = core.table.at(i);
    if (!p || p->in.closed()) continue;
    text += "\n  " + core.describe(p->self());
    if (!p->waiting)
      text += " has no message to handle";
    else if (p->waiting->reply)
      text += " waits for a reply from " +
              core.describe(core.table.at(static_cast<std::uint32_t>(p->edge.load() & 0xffffff))->self());
    else
      text += " waits for a message";
    if (auto n = p->queued.load()) text += " (" + unsigned_text(n) + " others in its mailbox)";
  }
  return text;
}

void pass_time(duration length) {
  session& s = here("advance");
  process& p = *current_process();
  wait_state w;
  w.token = &w;
  struct wake_up {
    runtime_core* core;
    pid who;
    const void* token;
  } argument{s.core, p.self(), &w};
  s.core->sched.advance_seeded(
      length.count(),
      [](void* a) {
        auto& [core, who, token] = *static_cast<wake_up*>(a);
        send_wake(*core, who, token);
      },
      &argument);
  wait(p, w);
}

}  // namespace

void run(const std::function<void()>& body) { run({}, body); }

void run(const options& how, const std::function<void()>& body) {
  std::uint64_t seed = how.seed;
  if (const char* given = std::getenv("OTP_SEED")) seed = std::strtoull(given, nullptr, 0);
  if (session::current) throw bad_argument("testing::run: a seeded run is going on already; runs do not nest");
  if (runtime_core::current()) throw bad_argument("testing::run: this thread is a worker; call it from outside");
  runtime_core core(how.runtime, true, seed);
  core.running.store(true);
  session s{&core, {}, seed};
  session::current = &s;
  struct end_session {
    ~end_session() { session::current = nullptr; }
  } guard;
  std::exception_ptr error;
  s.body = spawn_body(core, nullptr, make_function_body(unique_function([&] {
                        try {
                          body();
                        } catch (const unwind&) {
                          throw;
                        } catch (const hibernation&) {
                          throw;
                        } catch (...) {
                          error = std::current_exception();
                        }
                      })),
                      {})
               .pid;
  auto body_over = [](void* a) { return !static_cast<session*>(a)->core->table.find(static_cast<session*>(a)->body); };
  std::string waiting;
  if (!core.sched.run_seeded(body_over, &s)) waiting = waiting_processes(core);
  // What is left is stopped as at the end of a program: asked from the roots, then killed.
  auto everything_over = [](void* a) {
    return static_cast<session*>(a)->core->table.live() == static_cast<session*>(a)->core->counters().abandoned;
  };
  core.stopping.store(true);
  nanos budget = core.options.stop_budget.count();
  core.stop_deadline.store(core.sched.now() + budget);
  for (exit_reason why : {exit_reason(reason::shutdown), exit_reason(reason::kill)}) {
    for (std::uint32_t i = 1; i <= core.table.end(); ++i) {
      process* p = core.table.at(i);
      if (!p || p->in.closed()) continue;
      process* parent = core.table.find(pid(p->parent));
      bool root = !parent || parent->in.closed();
      if (!root && why != reason::kill) continue;
      pid who = p->self();
      send_exit(core, {}, who, why);
      if (why == reason::kill) start_kill_budget(core, who);
    }
    core.sched.run_seeded(everything_over, &s);
    if (everything_over(&s)) break;
  }
  core.running.store(false);
  if (error) std::rethrow_exception(error);
  if (!waiting.empty())
    throw stuck("nothing can happen any more, and these wait (seed " + unsigned_text(seed) + "):" + waiting);
}

void advance(duration length) {
  if (length.count() < 0) throw bad_argument("advance: time does not go backwards; give 0 or more");
  pass_time(length);
}
void settle() { pass_time(duration::zero()); }
std::uint64_t seed() { return here("seed").seed; }

}  // namespace otp::testing
