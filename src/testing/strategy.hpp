// How an explored run takes its decisions. Whatever the strategy, a decision is a number counted from the default, so
// that a run is its seed and the decisions that were not 0.
//
// Shape   the engine asks the chooser once per decision; a searcher makes the chooser of each run from what the runs
//         before it were like.
// Source  random walk; PCT: Burckhardt et al. 2010; bounded preemptions: Musuvathi and Qadeer 2007.
#pragma once
#include <otp/testing.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace otp::testing {

/// splitmix64
class random_numbers {
 public:
  explicit random_numbers(std::uint64_t seed) noexcept : state_(seed) {}
  std::uint64_t next() noexcept {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  std::uint32_t below(std::uint64_t n) noexcept { return static_cast<std::uint32_t>(next() % n); }

 private:
  std::uint64_t state_;
};

struct decision {
  std::uint32_t taken;
  std::uint32_t among;
};
/// The decisions that were not 0, by their place in the run.
using schedule = std::map<std::uint64_t, std::uint32_t>;

std::string to_text(const schedule&);
/// Throws bad_argument.
schedule schedule_from(std::string_view text);

/// Who may make the next step: a process, a signal on its way, or the timers.
struct candidate {
  std::uint64_t actor;
  /// Of a signal: only its receiver can notice when it arrives. Of a process: its step does not look into the mailboxes
  /// of others.
  bool private_step;
  std::uint32_t place;  // of the process, or of the receiver
  enum class what : std::uint8_t { process, signal, timer } kind;
};
/// Whether their order makes no difference to anybody, now and as long as neither of them has been made.
bool independent(const candidate&, const candidate&) noexcept;

class chooser {
 public:
  virtual ~chooser() = default;
  /// Which of these makes the next step; at least two. The first is the default. `goes_on`: it made the last one.
  virtual std::uint32_t next_actor(const std::vector<candidate>& actors, bool goes_on) = 0;
  /// Whether a fault happens here.
  virtual bool fault() = 0;
  /// Any other choice, such as the victim of a fault.
  virtual std::uint32_t any_of(std::uint32_t among) = 0;
};

/// Repeats a schedule, and goes on by default where it says nothing.
std::unique_ptr<chooser> make_replay(schedule);

class searcher {
 public:
  searcher(strategy how, std::uint64_t seed);
  /// The chooser of run `number`, which lives until the next begin().
  chooser& begin(std::uint64_t number);
  /// What the run was like. False: every schedule within the bounds has been run.
  bool end(const std::vector<decision>& taken);
  std::uint64_t seed_of(std::uint64_t number) const noexcept;
  /// The strategy of the present run.
  const std::string& name() const noexcept { return name_; }

 private:
  strategy how_;
  std::uint64_t seed_;
  std::uint64_t length_ = 50;  // decisions of a run, as the last one was
  std::unique_ptr<chooser> now_;
  std::vector<decision> trail_;  // exhaustive, every_fault: the decisions to repeat; `among` is cut by the bound
  unsigned order_ = 0;           // every_fault: 0 is the plain one
  std::string name_;
};

/// Reads "random", "pct:3", "bounded:2", "exhaustive:2", "every_fault:5", "portfolio". Throws bad_argument.
strategy strategy_from(std::string_view text);
std::string to_text(const strategy&);

}  // namespace otp::testing
