// The seeded engine for tests: the whole library and a user's unchanged program on one thread, in an order drawn from a
// seed, with a clock that moves only when nothing can run.
//
// Shape   run() starts a fresh runtime on the calling thread, runs `body` as its first process, and returns when that
//         process has ended and everything it left behind was stopped. Timers, timeouts and sleeps cost no real time.
//         explore() does so many times, each time in another order: every send, receive, reply, monitor, link, name,
//         spawn, timer and exit is a moment at which another process may go on, and every signal arrives in a step of
//         its own. Signals of one process to one other keep their order; nothing else is promised, as in OTP.
// Errors  an exception of the body arrives at the caller of run(). If nothing can ever happen again while the body
//         still waits, run() throws `stuck`, naming the processes and what they wait for. explore() throws `failure`
//         for the first run that goes wrong, with the shortest schedule found that fails alike and what happened in it.
//         In the environment: OTP_SEED replaces the seed, OTP_RUNS the number of runs, OTP_STRATEGY the strategy, and
//         OTP_SCHEDULE, which a failure prints, repeats one run.
// Source  Concuerror, Coyote, Shuttle; PCT is Burckhardt et al. 2010.
#pragma once
#include <otp/runtime.hpp>

#include <cstdint>
#include <functional>
#include <string>

namespace otp::testing {

struct options {
  std::uint64_t seed = 1;
  runtime_options runtime{};
};

/// The body still waited when nothing could happen any more.
class stuck : public std::exception {
 public:
  explicit stuck(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

void run(const std::function<void()>& body);
void run(const options& how, const std::function<void()>& body);

/// In the body: lets this much time pass. Everything that becomes due in it runs to rest before it returns.
void advance(duration length);
/// In the body: lets everything that can run now run to rest, without time passing.
void settle();
/// In the body: lets time pass until nothing is going to happen any more. With an interval timer that is never.
void run_until_idle();
/// The seed of the present run.
std::uint64_t seed();

// ---- exploring ---------------------------------------------------------------------------------------------------

/// How the next step is chosen among those that are possible.
struct strategy {
  enum class kind : std::uint8_t { random, pct, bounded, exhaustive, portfolio };
  static constexpr unsigned unbounded = ~0U;
  kind what = kind::portfolio;
  unsigned number = 0;
};

namespace strategies {
/// Any possible step, with equal chance.
constexpr strategy random() { return {strategy::kind::random, 0}; }
/// Random priorities that change at depth - 1 places: finds what needs so many steps in one order, with a chance of at
/// least 1/(n k^(depth-1)) a run for n processes and k steps, and what needs somebody to be held up for long.
constexpr strategy pct(unsigned depth = 3) { return {strategy::kind::pct, depth}; }
/// Who runs goes on until it waits, except at so many random places.
constexpr strategy bounded(unsigned preemptions = 2) { return {strategy::kind::bounded, preemptions}; }
/// Every order, or every order with so many preemptions, one after the other. For small bodies.
constexpr strategy exhaustive(unsigned preemptions = strategy::unbounded) {
  return {strategy::kind::exhaustive, preemptions};
}
/// Of ten runs five random, three pct and two bounded: no one of them finds everything.
constexpr strategy portfolio() { return {strategy::kind::portfolio, 0}; }
}  // namespace strategies

struct explore_options {
  std::uint64_t seeds = 10'000;  ///< most runs
  std::uint64_t seed = 1;        ///< of the first run; the others follow from it
  testing::strategy strategy{};
  std::uint64_t max_steps = 20'000;  ///< a run that takes more goes round in circles
  runtime_options runtime{};
  /// Asked after each run whether it failed in a way that only the test framework knows.
  std::function<bool()> failed{};
};

/// What explore() has seen.
struct explored {
  std::uint64_t runs = 0;
  std::uint64_t steps = 0;
  std::uint64_t hash = 0;  ///< of all steps of all runs: equal seeds give equal hashes, on every machine
  bool complete = false;   ///< exhaustive: there is no other order
};

/// A run went wrong.
class failure : public std::exception {
 public:
  failure(std::string kind, std::string text, std::uint64_t run, std::string schedule)
      : kind_(std::move(kind)), text_(std::move(text)), run_(run), schedule_(std::move(schedule)) {}
  /// All there is to say: what failed, how to repeat it, and what happened.
  const char* what() const noexcept override { return text_.c_str(); }
  /// What failed, in short: "failed", "exception", "waits for ever", "livelock", "not deterministic" ...
  const std::string& kind() const noexcept { return kind_; }
  std::uint64_t run() const noexcept { return run_; }  ///< it failed in this one, counted from 1
  /// The value for OTP_SCHEDULE.
  const std::string& schedule() const noexcept { return schedule_; }

 private:
  std::string kind_;
  std::string text_;
  std::uint64_t run_;
  std::string schedule_;
};

/// Runs `body` in many orders. Throws failure for the first that goes wrong.
explored explore(const explore_options& how, const std::function<void()>& body);
explored explore(const std::function<void()>& body);

/// In a run: it has failed. May be called by any process; ends the run, does not return.
[[noreturn]] void fail(std::string text);
/// fail(), unless `holds`.
void require(bool holds, std::string_view text);

}  // namespace otp::testing
