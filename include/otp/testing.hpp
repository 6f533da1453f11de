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
  enum class kind : std::uint8_t { random, pct, bounded, exhaustive, every_fault, portfolio };
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
/// Every order, or every order with so many preemptions, one after the other. For small bodies. Without a bound, orders
/// that differ only in what nobody can tell apart are run once.
constexpr strategy exhaustive(unsigned preemptions = strategy::unbounded) {
  return {strategy::kind::exhaustive, preemptions};
}
/// Each fault of the plan at each place where it may happen, one run after the other: in the plain order, in which who
/// runs goes on until it waits, and in so many random ones.
constexpr strategy every_fault(unsigned random_orders = 0) { return {strategy::kind::every_fault, random_orders}; }
/// Of ten runs five random, three pct and two bounded: no one of them finds everything.
constexpr strategy portfolio() { return {strategy::kind::portfolio, 0}; }
}  // namespace strategies

// ---- faults ------------------------------------------------------------------------------------------------------

/// Something bad that may happen in a run. When it does is a decision of the strategy, so a failure says when it did.
struct fault {
  enum class kind : std::uint8_t { kill, kill_any, crash, point, delay, slow, allocation, pause };
  kind what;
  std::string target{};  ///< a name, or for crash and slow also a type; empty: any
  otp::pid process{};
  unsigned times = 1;   ///< at most so often
  unsigned number = 0;  ///< of the callback or allocation; 0: any
  duration length{};
};

namespace faults {
/// Kills whoever has this name.
inline fault kill(std::string name, unsigned times = 1) {
  return {.what = fault::kind::kill, .target = std::move(name), .times = times};
}
inline fault kill(otp::pid process) { return {.what = fault::kind::kill, .process = process}; }
/// Kills any process but the body.
inline fault kill_any(unsigned times = 1) { return {.what = fault::kind::kill_any, .times = times}; }
/// A handler of a server, found by name or type, throws before it does anything: its n-th one, or any.
inline fault crash(std::string who, unsigned callback = 0, unsigned times = 1) {
  return {.what = fault::kind::crash, .target = std::move(who), .times = times, .number = callback};
}
/// otp::fault_point(name) says yes.
inline fault at_point(std::string name, unsigned times = 1) {
  return {.what = fault::kind::point, .target = std::move(name), .times = times};
}
/// Holds up a signal, and those behind it from the same process to the same one, for at most this long.
inline fault delay(duration at_most, unsigned times = 1) {
  return {.what = fault::kind::delay, .times = times, .length = at_most};
}
/// Who has this name or type takes this long before each of its turns.
inline fault slow(std::string who, duration each) {
  return {.what = fault::kind::slow, .target = std::move(who), .times = 0, .length = each};
}
/// allocation_fails() says yes once: for the n-th allocation from here on, or for one of the next 256.
inline fault fail_allocation(unsigned number = 0) { return {.what = fault::kind::allocation, .number = number}; }
/// The clock steps: so much time passes although somebody could run, as on a machine that is busy with other things.
inline fault pause(duration length, unsigned times = 1) {
  return {.what = fault::kind::pause, .times = times, .length = length};
}
}  // namespace faults

/// In a run of explore(): this may happen from now on.
void inject(fault what);
/// In a run of explore(): nothing bad happens any more.
void stop_faults();
/// For a test program's own operator new: whether this allocation shall fail. False outside of a run of explore().
bool allocation_fails() noexcept;

// ---- what has to hold --------------------------------------------------------------------------------------------

/// In a run of explore(): `holds` is asked after every step until the body is over. It may read what belongs to the
/// test, and must not use processes.
void always(std::string name, std::function<bool()> holds);
/// In the body: no more faults from here on, and within so much time `holds` has to be true once.
void eventually(duration within, std::string_view name, const std::function<bool()>& holds);

/// What explore() looks at by itself. At rest: when the body is over and nothing can run without time passing. At the
/// end: when everything was stopped.
struct checks {
  bool calls = true;         ///< at rest: nobody waits without a limit for the reply of one that will not answer
  bool orphans = true;       ///< at rest: no child outlives its supervisor
  bool links = true;         ///< at rest: links and monitors are known to both sides, and none leads to the dead
  bool timers = true;        ///< at rest: no timer is set for the dead
  bool names = true;         ///< at rest and at the end: no name is held by the dead
  bool stacks = true;        ///< at the end: all stacks have come back
  bool order = true;         ///< signals from one process to another arrive as they were sent
  bool conservation = true;  ///< at the end: what was sent was handled, dropped or refused, once
  bool replies = true;       ///< a request is answered once
  bool intensity = true;     ///< supervisors restart as often as they may, and no oftener
};

struct explore_options {
  std::uint64_t seeds = 10'000;  ///< most runs
  std::uint64_t seed = 1;        ///< of the first run; the others follow from it
  testing::strategy strategy{};
  std::string replay{};              ///< only this run: what a failure has printed for OTP_SCHEDULE
  std::uint64_t max_steps = 20'000;  ///< a run that takes more goes round in circles
  bool shrink = true;                ///< look for a shorter schedule that fails alike
  std::vector<fault> faults{};
  testing::checks checks{};
  runtime_options runtime{};
  /// Asked after each run whether it failed in a way that only the test framework knows.
  std::function<bool()> failed{};
};

/// What explore() has seen.
struct explored {
  std::uint64_t runs = 0;
  std::uint64_t steps = 0;
  std::uint64_t hash = 0;  ///< of all steps of all runs: equal seeds give equal hashes, on every machine
  bool complete = false;   ///< exhaustive, every_fault: there is no other run
};

/// A run went wrong.
class failure : public std::exception {
 public:
  failure(std::string kind, std::string text, std::uint64_t run, std::string schedule)
      : kind_(std::move(kind)), text_(std::move(text)), run_(run), schedule_(std::move(schedule)) {}
  /// All there is to say: what failed, how to repeat it, and what happened.
  const char* what() const noexcept override { return text_.c_str(); }
  /// What failed, in short: "failed" (by fail() or require()), "exception", "waits for ever", "livelock", "always",
  /// "not deterministic", or the check: "orphan", "leaked link", "leaked timer", "order" ...
  const std::string& kind() const noexcept { return kind_; }
  std::uint64_t run() const noexcept { return run_; }  ///< it failed in this one, counted from 1
  /// The value for OTP_SCHEDULE, or explore_options::replay.
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
