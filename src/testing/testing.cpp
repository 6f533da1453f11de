#include <otp/testing.hpp>

#include "process/runtime_core.hpp"
#include "testing/session.hpp"

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace otp::testing {

using namespace otp::detail;

session* session::current = nullptr;

session& this_session(const char* what) {
  if (!session::current || runtime_core::current() != session::current->core)
    throw bad_argument(std::string(what) + ": call it from a process inside otp::testing::run or explore");
  return *session::current;
}

std::uint64_t number_from_environment(const char* name, std::uint64_t otherwise) {
  const char* given = std::getenv(name);
  if (!given || !*given) return otherwise;
  char* end = nullptr;
  std::uint64_t value = std::strtoull(given, &end, 0);
  if (*end) throw bad_argument(std::string("testing: the environment says ") + name + "=" + given + "; give a number");
  return value;
}

namespace {

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

void pass_time(session& s, duration length) {
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

// What is left is stopped as at the end of a program: asked from the roots, then killed.
void stop_all(session& s, bool gently) {
  runtime_core& core = *s.core;
  auto everything_over = [](void* a) {
    auto& mine = *static_cast<session*>(a);
    return mine.core->table.live() == mine.core->counters().abandoned &&
           (!mine.engine || mine.engine->nothing_under_way());
  };
  core.stopping.store(true);
  core.stop_deadline.store(core.sched.now() + core.options.stop_budget.count());
  for (exit_reason why : {exit_reason(reason::shutdown), exit_reason(reason::kill)}) {
    if (!gently && why != reason::kill) continue;
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
    if (everything_over(&s) || (s.engine && s.engine->failed())) break;
  }
}

}  // namespace

void session::play(const std::function<void()>& what) {
  if (current) throw bad_argument("testing: a seeded run is going on already; runs do not nest");
  if (runtime_core::current()) throw bad_argument("testing: this thread is a worker; call it from outside");
  core->running.store(true);
  current = this;
  struct end_session {
    ~end_session() { current = nullptr; }
  } guard;
  auto first = [&] {
    struct end_of_body {
      testing::engine* e;
      ~end_of_body() {
        if (e) e->forget_invariants();  // they may read what belonged to the body
      }
    } end{engine};
    try {
      what();
    } catch (const unwind&) {
      throw;
    } catch (const hibernation&) {
      throw;
    } catch (...) {
      error = std::current_exception();
    }
  };
  auto function = make_function_body(unique_function(first), type_name<unique_function>, process_kind::root);
  body = spawn_body(*core, nullptr, std::move(function), {}).pid;
  if (engine) engine->spare(body);
  auto body_over = [](void* a) { return !static_cast<session*>(a)->core->table.find(static_cast<session*>(a)->body); };
  if (!core->sched.run_seeded(body_over, this) && !(engine && engine->failed())) waiting = waiting_processes(*core);
  if (engine && !engine->failed() && !error && waiting.empty()) {
    // What the body has set going runs to rest.
    engine->stop_clock();
    core->sched.run_seeded([](void*) { return false; }, this);
    engine->start_clock();
    if (!engine->failed()) engine->check_at_rest();
  }
  bool well = !engine || (!engine->failed() && !error && waiting.empty());
  if (well) stop_all(*this, true);
  if (well && engine && !engine->failed()) engine->check_at_end();
  if (engine && (!well || engine->failed())) {
    engine->wind_up();
    stop_all(*this, false);
  }
  core->running.store(false);
  core->sched.end_seeded();
}

void run(const std::function<void()>& body) { run({}, body); }

void run(const options& how, const std::function<void()>& body) {
  std::uint64_t seed = number_from_environment("OTP_SEED", how.seed);
  runtime_core core(how.runtime, true, seed);
  session s;
  s.core = &core;
  s.seed = seed;
  s.play(body);
  if (s.error) std::rethrow_exception(s.error);
  if (!s.waiting.empty())
    throw stuck("nothing can happen any more, and these wait (seed " + unsigned_text(seed) + "):" + s.waiting);
}

#ifdef OTP_ISOLATION
namespace {

// A program of an isolation build runs like a test, and otp::run tells whether it went well.
int run_whole_program(unique_function& body, const runtime_options& options) {
  try {
    run({.runtime = options}, [&] { body(); });
  } catch (const exited& e) {
    if (!e.reason().is_expected()) std::fprintf(stderr, "otp: the first process ended: %s\n", e.what());
    return e.reason().is_expected() ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "otp: the first process ended: %s\n", e.what());
    return 1;
  }
  return 0;
}

[[maybe_unused]] const bool in_place = (run_in_place = run_whole_program) != nullptr;

}  // namespace
#endif

void advance(duration length) {
  if (length.count() < 0) throw bad_argument("advance: time does not go backwards; give 0 or more");
  pass_time(this_session("advance"), length);
}
void settle() { pass_time(this_session("settle"), duration::zero()); }
void run_until_idle() { pass_time(this_session("run_until_idle"), infinity); }
std::uint64_t seed() { return this_session("seed").seed; }

}  // namespace otp::testing
