// Exploring: run after run, and for one that fails, what is worth knowing about it.
#include <otp/testing.hpp>

#include "runtime/crash.hpp"
#include "testing/session.hpp"

#include <cstdio>
#include <cstdlib>
#include <memory>

namespace otp::testing {

using namespace otp::detail;

namespace {

constexpr std::uint64_t recheck_every = 1000;  // runs, one of which is repeated to see whether it is the same again
constexpr unsigned shrink_runs = 2000;
constexpr std::uint64_t shrink_steps = 3'000'000;
constexpr std::size_t trace_lines = 200;

/// What became of one run.
struct outcome {
  std::string kind;  // empty: nothing is wrong
  std::string text;
  std::vector<decision> taken;
  std::uint64_t steps = 0;
  std::uint64_t hash = 0;
};

class silence final : public event_listener {
 public:
  void on_event(const event&) override {}
};

std::string text_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception that is not a std::exception";
  }
}

outcome run_once(const explore_options& how, const std::function<void()>& body, std::uint64_t seed, chooser& choose,
                 std::vector<std::string>* trace = nullptr) {
  runtime_options with = how.runtime;
  silence quiet;
  if (!with.listener) with.listener = &quiet;  // a failing run is told with its trace
  with.events_per_second = ~0U;                // the checks read them
  auto core = std::make_unique<runtime_core>(with, true, seed);
  auto explorer = std::make_unique<engine>(*core, choose, how, trace);
  session s;
  s.core = core.get();
  s.engine = explorer.get();
  s.seed = seed;
  s.play(body);
  outcome result;
  if (explorer->failed()) {
    result.kind = explorer->failed_kind();
    result.text = explorer->failed_text();
  } else if (s.error) {
    result.kind = "exception";
    result.text = "the body threw: " + text_of(s.error);
  } else if (!s.waiting.empty()) {
    result.kind = "waits for ever";
    result.text = "nothing can happen any more, and these wait:" + s.waiting;
  } else if (how.failed && how.failed()) {
    result.kind = "failed";
    result.text = "the test says that it failed";
  }
  result.taken = explorer->taken();
  result.steps = explorer->steps();
  result.hash = explorer->hash();
  if (explorer->hopeless()) {
    // Its stacks cannot be unwound: they are left where they are.
    static_cast<void>(explorer.release());
    static_cast<void>(core.release());
  }
  return result;
}

schedule schedule_of(const std::vector<decision>& taken) {
  schedule s;
  for (std::size_t i = 0; i < taken.size(); ++i)
    if (taken[i].taken != 0) s.emplace(i, taken[i].taken);
  return s;
}

// Takes decisions away, many at a time and then fewer, as long as the run fails alike.
schedule shrink(const explore_options& how, const std::function<void()>& body, std::uint64_t seed,
                const std::string& kind, schedule now) {
  unsigned runs = 0;
  std::uint64_t steps = 0;
  auto fails = [&](const schedule& s, schedule& as_run) {
    ++runs;
    auto again = make_replay(s);
    outcome o = run_once(how, body, seed, *again);
    steps += o.steps;
    if (o.kind != kind) return false;
    as_run = schedule_of(o.taken);
    return true;
  };
  auto in_time = [&] { return runs < shrink_runs && steps < shrink_steps; };
  for (std::size_t piece = now.size(); piece >= 1 && in_time();) {
    bool any = false;
    for (std::size_t from = 0; from < now.size() && in_time();) {
      schedule without;
      std::size_t i = 0;
      for (auto& [at, taken] : now) {
        if (i < from || i >= from + piece) without.emplace(at, taken);
        ++i;
      }
      schedule as_run;
      if (fails(without, as_run) && as_run.size() < now.size()) {
        now = std::move(as_run);
        any = true;
      } else {
        from += piece;
      }
    }
    if (!any || piece > now.size()) piece = piece == 1 ? (any ? 1 : 0) : (std::min(piece, now.size()) + 1) / 2;
    if (now.empty()) break;
  }
  return now;
}

[[noreturn]] void report(const explore_options& how, const std::function<void()>& body, std::uint64_t seed,
                         std::uint64_t run, const std::string& strategy, outcome found) {
  schedule whole = schedule_of(found.taken);
  schedule small = how.shrink ? shrink(how, body, seed, found.kind, whole) : whole;
  std::vector<std::string> trace;
  auto again = make_replay(small);
  outcome last = run_once(how, body, seed, *again, &trace);
  bool exact = last.kind == found.kind;
  std::string replay = unsigned_text(seed) + "/" + to_text(exact ? small : whole);
  std::string text = (exact ? last : found).text;
  text += "\n  run " + unsigned_text(run) + " (" + strategy + ", seed " + unsigned_text(seed) + "), " +
          unsigned_text(found.steps) + " steps; " + unsigned_text(whole.size()) + " decisions shrunk to " +
          unsigned_text(small.size());
  if (!exact) text += "; NOT REPEATED: the body depends on something besides its seed";
  text += "\n  repeat it with  OTP_SCHEDULE=" + replay;
  text += "\n  what happened:";
  std::size_t from = trace.size() > trace_lines ? trace.size() - trace_lines : 0;
  if (from != 0) text += "\n    (" + unsigned_text(from) + " lines before)";
  for (std::size_t i = from; i < trace.size(); ++i) text += "\n    " + trace[i];
  throw failure(found.kind, std::move(text), run, std::move(replay));
}

// Where two runs that should be one part.
std::string first_difference(const std::vector<std::string>& one, const std::vector<std::string>& other) {
  std::size_t at = 0;
  while (at < one.size() && at < other.size() && one[at] == other[at]) ++at;
  if (at == one.size() && at == other.size()) return "\n  and what can be told of them is the same";
  auto line = [at](const std::vector<std::string>& lines) { return at < lines.size() ? lines[at] : "(nothing)"; };
  std::string text = "\n  they part in line " + unsigned_text(at + 1) + " of what happened:";
  for (std::size_t before = at < 5 ? 0 : at - 5; before < at; ++before) text += "\n    " + one[before];
  return text + "\n    first:   " + line(one) + "\n    repeated:" + line(other);
}

[[noreturn]] void not_the_same(const explore_options& how, const std::function<void()>& body, std::uint64_t seed,
                               std::uint64_t number, searcher& search, const outcome& first, const outcome& second) {
  schedule taken = schedule_of(first.taken);
  std::vector<std::string> one;
  std::vector<std::string> other;
  run_once(how, body, seed, search.begin(number), &one);
  auto again = make_replay(taken);
  run_once(how, body, seed, *again, &other);
  throw failure("not deterministic",
                "run " + unsigned_text(number + 1) + " was different when it was repeated (" +
                    unsigned_text(first.steps) + " steps, then " + unsigned_text(second.steps) +
                    "): the body depends on something besides its seed: a clock, a thread, an address, or what an "
                    "earlier run has left behind" +
                    first_difference(one, other),
                number + 1, unsigned_text(seed) + "/" + to_text(taken));
}

engine& exploring(const char* what) {
  session& s = this_session(what);
  if (!s.engine) throw bad_argument(std::string(what) + ": only explore() does this, run() does not");
  return *s.engine;
}

}  // namespace

explored explore(const std::function<void()>& body) { return explore({}, body); }

explored explore(const explore_options& given, const std::function<void()>& body) {
  explore_options how = given;
  if (const char* only = std::getenv("OTP_SCHEDULE"); only && *only) how.replay = only;
  if (!how.replay.empty()) {
    std::string_view text = how.replay;
    std::size_t slash = text.find('/');
    if (slash == std::string_view::npos)
      throw bad_argument("explore: " + how.replay + " is no schedule; give OTP_SCHEDULE what a failure has printed");
    std::uint64_t seed = std::strtoull(how.replay.c_str(), nullptr, 0);
    schedule s = schedule_from(text.substr(slash + 1));
    auto choose = make_replay(s);
    outcome o = run_once(how, body, seed, *choose);
    if (!o.kind.empty()) report(how, body, seed, 1, "replay", std::move(o));
    return {.runs = 1, .steps = o.steps, .hash = o.hash};
  }
  how.seed = number_from_environment("OTP_SEED", how.seed);
  how.seeds = number_from_environment("OTP_RUNS", how.seeds);
  if (const char* s = std::getenv("OTP_STRATEGY"); s && *s) how.strategy = strategy_from(s);
  const thread_signal_stack signals;  // for all runs: finding out about the thread takes longer than a small run
  searcher search(how.strategy, how.seed);
  explored all;
  for (std::uint64_t i = 0; i < how.seeds; ++i) {
    std::uint64_t seed = search.seed_of(i);
    outcome o = run_once(how, body, seed, search.begin(i));
    ++all.runs;
    all.steps += o.steps;
    all.hash = random_numbers(all.hash ^ o.hash).next();
    if (!o.kind.empty()) report(how, body, seed, i + 1, search.name(), std::move(o));
    if (i % recheck_every == 0) {
      auto again = make_replay(schedule_of(o.taken));
      outcome same = run_once(how, body, seed, *again);
      if (same.hash != o.hash) not_the_same(how, body, seed, i, search, o, same);
    }
    if (!search.end(o.taken)) {
      all.complete = true;
      break;
    }
  }
  return all;
}

void inject(fault what) { exploring("inject").inject(std::move(what)); }
void stop_faults() { exploring("stop_faults").stop_faults(); }
bool allocation_fails() noexcept {
  return session::current && session::current->engine && runtime_core::current() == session::current->core &&
         session::current->engine->allocation_fails();
}

void always(std::string name, std::function<bool()> holds) {
  exploring("always").always(std::move(name), std::move(holds));
}

void eventually(duration within, std::string_view name, const std::function<bool()>& holds) {
  constexpr int looks = 64;
  if (session& s = this_session("eventually"); s.engine) s.engine->stop_faults();
  for (int i = 0;; ++i) {
    settle();
    if (holds()) return;
    if (i == looks) break;
    advance(within / looks);
  }
  fail("it did not come true in time: " + std::string(name));
}

void fail(std::string text) {
  session& s = this_session("fail");
  if (!s.engine) {
    if (!s.error) s.error = std::make_exception_ptr(std::runtime_error(text));
    throw std::runtime_error(text);
  }
  s.engine->fail("failed", std::move(text));
  for (;;) {  // the run is over; this process ends when it is wound up
    wait_state w;
    wait(*current_process(), w);
  }
}

void require(bool holds, std::string_view text) {
  if (!holds) fail(std::string(text));
}

}  // namespace otp::testing
