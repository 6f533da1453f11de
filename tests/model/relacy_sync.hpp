// Puts the model checker Relacy under the lock-free pieces of src/runtime, and runs a model with its order mutants.
//
// Shape   a model is an rl::test_suite whose threads use inbox<node, model::sync, orders> and the like, where `orders`
//         has the production orders as variables. check() runs it in every interleaving (or within a bound), then at
//         random. mutant() weakens one of the variables, runs the models again, and wants one of them to fail; misuse()
//         does so for a broken rule. Include this file first: Relacy redefines words that standard headers need.
// Source  What Relacy (0.0+git20191025) sees, and what we add:
//         - Loads may return old values (exhaustive search: the last two; at random: three), never future ones. An
//           order that only keeps a load above a later store shows only as the data race it would permit, so the models
//           put plain data (model::var) on both sides of it.
//         - Its failed compare-exchange always reads the newest value. Our strong one may fail on an older one, as the
//           language allows. The weak one sits in a loop that would come back.
//         - Its seq_cst fences synchronise, which is more than the language promises. So the models pass no plain data
//           across fences alone.
//         - Its futex synchronises, which Linux does not promise. The path where the token comes first does without.
#pragma once
#undef _FORTIFY_SOURCE  // its longjmp check takes Relacy's fibers for a smashed stack
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <source_location>
#include <utility>

#include "figure_line.hpp"
#include "runtime/idle_set.hpp"
#include "runtime/inbox.hpp"
#include "runtime/parker.hpp"
#include "runtime/run_queue.hpp"
#include "runtime/sync.hpp"

#include <relacy/relacy.hpp>

#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef assert
#undef errno
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst

namespace model {

using where = std::source_location;

inline rl::debug_info info(const where& at) { return {at.function_name(), at.file_name(), at.line()}; }

inline rl::memory_order order(std::memory_order wanted) {
  switch (wanted) {
    case std::memory_order::relaxed: return rl::mo_relaxed;
    case std::memory_order::consume: return rl::mo_consume;
    case std::memory_order::acquire: return rl::mo_acquire;
    case std::memory_order::release: return rl::mo_release;
    case std::memory_order::acq_rel: return rl::mo_acq_rel;
    case std::memory_order::seq_cst: return rl::mo_seq_cst;
  }
  return rl::mo_seq_cst;
}

/// An atomic as std::atomic spells it; the place of each access is reported in a failing history.
template <class T>
class atomic {
 public:
  atomic() : value_(T()) {}
  explicit atomic(T value) : value_(value) {}

  T load(std::memory_order o, where at = where::current()) const { return value_.load(order(o), info(at)); }
  void store(T value, std::memory_order o, where at = where::current()) { value_.store(value, order(o), info(at)); }
  T exchange(T value, std::memory_order o, where at = where::current()) {
    return value_.exchange(value, order(o), info(at));
  }
  T fetch_or(T value, std::memory_order o, where at = where::current()) {
    return value_.fetch_or(value, order(o), info(at));
  }
  T fetch_and(T value, std::memory_order o, where at = where::current()) {
    return value_.fetch_and(value, order(o), info(at));
  }
  T fetch_add(T value, std::memory_order o, where at = where::current()) {
    return value_.fetch_add(value, order(o), info(at));
  }

  // Failing for nothing doubles the interleavings and teaches nothing new, since a loop comes back: at random only.
  bool compare_exchange_weak(T& expected, T value, std::memory_order success, std::memory_order failure,
                             where at = where::current()) {
    if (rl::ctx().is_random_sched())
      return value_.compare_exchange_weak(expected, value, order(success), info(at), order(failure), info(at));
    return value_.compare_exchange_strong(expected, value, order(success), info(at), order(failure), info(at));
  }

  // One step: a failure may come from an old value, a success only from the newest.
  bool compare_exchange_strong(T& expected, T value, std::memory_order success, std::memory_order failure,
                               where at = where::current()) {
    rl::context& context = rl::ctx();
    context.sched();
    const rl::preemption_disabler one_step(context);
    T seen = value_.load(rl::mo_relaxed, info(at));
    if (seen != expected) seen = value_.load(order(failure), info(at));
    if (seen == expected) {
      T newest = expected;
      if (value_.compare_exchange_strong(newest, value, order(success), info(at), rl::mo_relaxed, info(at)))
        return true;
      seen = value_.load(order(failure), info(at));
    }
    expected = seen;
    return false;
  }

  // The kernel looks at the value and puts the thread to sleep in one step, and always at the newest value.
  bool wait(T expected, bool timed, where at) {
    rl::context& context = rl::ctx();
    context.sched();
    T newest;
    {
      const rl::preemption_disabler one_step(context);
      newest = value_.fetch_add(0, rl::mo_relaxed, info(at));
    }
    if (newest != expected) return true;
    return value_.wait(context, timed, context.is_random_sched(), info(at)) != rl::unpark_reason_timeout;
  }

  void wake(where at) {
    rl::context& context = rl::ctx();
    context.sched();
    value_.wake(context, 1, info(at));
  }

 private:
  rl::atomic<T> value_;
};

/// Plain data: the checker reports two accesses that nothing orders.
template <class T>
class var {
 public:
  var() : value_(T()) {}
  explicit var(T value) : value_(value) {}
  var(const var&) = delete;
  var& operator=(const var&) = delete;

  operator T() const { return get(); }
  T get(where at = where::current()) const { return value_(info(at)).load(); }
  void set(T value, where at = where::current()) { value_(info(at)).store(value); }
  var& operator=(T value) {
    set(value);
    return *this;
  }

 private:
  rl::var<T> value_;
};

/// The model's counterpart of otp::detail::std_sync.
struct sync {
  template <class T>
  using atomic = model::atomic<T>;

  static constexpr std::size_t apart = 16;  // what malloc gives: Relacy allocates the model itself
  static constexpr std::int64_t no_deadline = otp::detail::std_sync::no_deadline;

  static void fence(std::memory_order o) {
    if (o != std::memory_order::relaxed) rl::atomic_thread_fence(order(o), RL_INFO);
  }

  /// Time does not move; a wait with a deadline may end by it at any moment.
  static std::int64_t now() { return 0; }

  static bool futex_wait(atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline,
                         where at = where::current()) {
    return word.wait(expected, deadline != no_deadline, at);
  }
  static void futex_wake(atomic<std::uint32_t>& word, where at = where::current()) { word.wake(at); }
};

// ---- running -----------------------------------------------------------------------------------------------------

struct outcome {
  bool passed;
  rl::iteration_t executions;
  rl::string history;  // of the execution that failed
};

template <class Suite, class Scheduler>
outcome run(rl::test_params& params) {
  rl::ostringstream text;  // Relacy's own streams: it takes over operator new while it runs
  rl::ostringstream state;
  params.output_stream = &text;
  params.progress_stream = &text;
  if (rl::run_test<Suite, Scheduler>(params, state, false) == rl::test_result_success) {
    return {true, params.stop_iteration, {}};
  }
  const rl::iteration_t failed = params.stop_iteration;
  params.initial_state = state.str();
  params.collect_history = true;
  text.str({});
  rl::ostringstream ignored;
  rl::run_test<Suite, Scheduler>(params, ignored, true);  // the same execution again, written down
  return {false, failed, text.str()};
}

template <class Suite>
outcome run_at_random(rl::iteration_t executions) {
  rl::test_params params;
  params.search_type = rl::sched_random;
  params.iteration_count = executions;
  return run<Suite, rl::random_scheduler<Suite::params::thread_count>>(params);
}

/// Every interleaving with at most so many preemptions. Blocking and ending do not count.
template <class Suite>
outcome run_within(unsigned switches) {
  rl::test_params params;
  params.search_type = rl::sched_bound;
  params.context_bound = switches;
  return run<Suite, rl::context_bound_scheduler<Suite::params::thread_count>>(params);
}

/// How to search a model: everything, or all with at most `switches` preemptions; and then `random` executions more.
struct effort {
  static constexpr unsigned all = ~0U;
  unsigned switches = all;
  rl::iteration_t random = 100'000;
};

/// Counts what a model program has found; `status()` is what main returns.
class report {
 public:
  explicit report(const char* piece) : piece_(piece) {}

  /// The production orders must pass.
  template <class Suite>
  void check(const char* name, effort e = {}) {
    const auto begin = std::chrono::steady_clock::now();
    const outcome all = run_within<Suite>(e.switches);
    const outcome some = all.passed ? run_at_random<Suite>(e.random) : all;
    const bool passed = all.passed && some.passed;
    std::printf("%-44s %s: %llu executions%s, %llu at random, %.1f s\n", name, passed ? "holds" : "FAILS",
                static_cast<unsigned long long>(all.executions),
                e.switches == effort::all ? " (all)" : " (within the bound)",
                static_cast<unsigned long long>(some.executions),
                std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    if (!passed) std::printf("%s\n", some.history.c_str());
    std::fflush(stdout);
    failed_ = failed_ || !passed;
    ++models_;
  }

  /// One order weakened, run through the models until one of them fails.
  template <class... Suites>
  void mutant(const char* name, std::memory_order& field, std::memory_order weaker, effort e = {}) {
    const std::memory_order right = std::exchange(field, weaker);
    const bool found = (caught<Suites>(e) || ...);
    field = right;
    ++mutants_;
    caught_ += found ? 1 : 0;
    std::printf("  mutant %-12s is %-12s %s\n", name, rl::format(order(weaker)), found ? "caught" : "SURVIVES");
    std::fflush(stdout);
  }

  /// A rule broken on purpose by who uses the piece: the model must notice, or it would not notice the mutants either.
  template <class Suite>
  void misuse(const char* name, bool& rule, effort e = {}) {
    const bool right = std::exchange(rule, !rule);
    const bool found = caught<Suite>(e);
    rule = right;
    std::printf("  misuse: %-45s %s\n", name, found ? "caught" : "NOT NOTICED");
    failed_ = failed_ || !found;
  }

  /// 0 if every check held and every mutant was caught.
  int status() const {
    const bool good = !failed_ && caught_ == mutants_;
    tests::write_figure("F8", good ? "met" : "VIOLATED",
                        std::string(piece_) + ": 0 violations, >= 90 % of the order mutants caught",
                        std::to_string(models_) + (failed_ ? " models, not all of which hold, " : " models hold, ") +
                            std::to_string(caught_) + " of " + std::to_string(mutants_) + " mutants caught");
    return good ? 0 : 1;
  }

 private:
  // Random first: it sees values that are older than the last but one, and bugs are found early or not at all.
  template <class Suite>
  static bool caught(effort e) {
    return !run_at_random<Suite>(e.random).passed || !run_within<Suite>(e.switches).passed;
  }

  const char* piece_;
  unsigned models_ = 0;
  unsigned mutants_ = 0;
  unsigned caught_ = 0;
  bool failed_ = false;
};

}  // namespace model
