// The explorer: decides about every step of a seeded run.
//
// Rules
// 1. A step is: a process goes on, a signal arrives, a timer fires. Who can make the next one is collected, the last
//    actor first, and the chooser picks. What has one possibility only is no decision.
// 2. A running process comes here at each operation (point). If another is chosen it is suspended there, and its turn
//    comes when it is chosen again. Nothing of user code runs on the loop.
// 3. Signals wait in channels, one a pair of sender and receiver, and arrive in the order of their channel. What a
//    process sends to itself, timers, and what comes from outside arrives at once: nobody could tell the difference.
//    A signal about a process (EXIT, DOWN) is in the channel of that process, whoever sends it.
// 4. Nothing here depends on an address, a clock or the order of a hash table.
#pragma once
#include "process/runtime_core.hpp"
#include "testing/strategy.hpp"

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace otp::testing {

class engine final : public detail::explorer {
 public:
  /// `trace`: one line a step, or null.
  engine(detail::runtime_core& core, chooser& choose, const explore_options& how, std::vector<std::string>* trace);
  ~engine() override;
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  void ready(detail::runnable& r) noexcept override;
  detail::runnable* next() override;
  void point(detail::process& p, const char* what) override;
  bool post(detail::process& place, pid to, detail::envelope* e) noexcept override;
  void taking(detail::process& p, detail::envelope* arrived) noexcept override;
  void spawned(detail::process& p) noexcept override;
  void ended(pid who, const exit_reason& why) noexcept override;
  void reported(const event& e) noexcept override;
  bool fault_here(std::string_view name) override;

  /// The process that is never a victim.
  void spare(pid body) noexcept { body_ = body; }
  void inject(fault what);
  void stop_faults() noexcept { plan_.clear(); }
  bool allocation_fails() noexcept;
  void always(std::string name, std::function<bool()> holds) {
    invariants_.emplace_back(std::move(name), std::move(holds));
  }
  void forget_invariants() noexcept { invariants_.clear(); }
  /// Looks at everything when nothing can run, and when everything is over: checks.cpp.
  void check_at_rest();
  void check_at_end();

  /// Ends the run: the first failure counts.
  void fail(std::string kind, std::string text);
  bool failed() const noexcept { return !failed_kind_.empty(); }
  const std::string& failed_kind() const noexcept { return failed_kind_; }
  const std::string& failed_text() const noexcept { return failed_text_; }
  /// From now on nothing happens later than now: next() ends when nothing is possible.
  void stop_clock() noexcept;
  void start_clock() noexcept { clock_stopped_ = false; }
  /// From now on in one order, without decisions, everything at once: the run is over and is being cleaned up.
  void wind_up() noexcept;
  /// Winding up took too long.
  bool hopeless() const noexcept { return hopeless_; }

  const std::vector<decision>& taken() const noexcept { return taken_; }
  std::uint64_t steps() const noexcept { return steps_; }
  std::uint64_t hash() const noexcept { return hash_; }
  bool nothing_under_way() const noexcept { return channels_.empty(); }

 private:
  struct channel {
    std::uint64_t key;
    detail::envelope* first;
    detail::envelope* last;
    detail::nanos held_until;
  };
  struct waiting {
    detail::process* who;
    detail::nanos held_until;
    const char* about_to;  // the operation that it was suspended before; null: it waited, or is new
  };
  struct restarts {  // of a supervisor, as its reports say
    std::vector<detail::nanos> ends;
    bool unclear = false;
  };
  struct option {
    enum class what : std::uint8_t { run, arrive, fire } kind;
    std::uint64_t actor;
    std::size_t at;  // in ready_ or channels_
  };

  void collect(detail::process* runner);
  std::size_t pick();
  candidate candidate_of(const option& o) const;
  bool another_step();
  bool decide_fault();
  std::uint32_t decide(std::uint32_t among);
  void faults_now();
  bool happens(fault& f);
  void kill(pid victim);
  bool is_meant(const fault& f, const detail::process& p) const;
  detail::nanos next_held() const noexcept;
  void arrive(std::size_t at);
  bool deliverable(std::size_t at) const;
  void push(detail::process& place, detail::envelope* e) noexcept;
  void note(std::uint64_t actor, std::uint64_t what) noexcept;
  std::uint32_t source_of(const detail::envelope& e) const noexcept;
  void tell(const std::string& line);
  std::string describe(const detail::envelope& e) const;

  detail::runtime_core& core_;
  chooser& choose_;
  std::uint64_t max_steps_;
  std::vector<std::string>* trace_;

  checks checks_;
  pid body_;
  std::vector<fault> plan_;
  std::uint64_t allocations_ = 0;  // until the one that fails; 0: none does
  std::vector<std::pair<std::string, std::function<bool()>>> invariants_;
  bool quiet_ = false;  // user code of a check runs

  // Of checks.
  std::unordered_set<std::uint64_t> supervisors_;  // that were ever started; never walked
  std::unordered_map<const detail::envelope*, std::pair<std::uint64_t, std::uint64_t>> sent_;  // channel and number
  std::unordered_map<std::uint64_t, std::uint64_t> last_taken_;                                // by channel
  std::unordered_map<const detail::envelope*, std::uint64_t> replies_under_way_;
  std::unordered_map<std::uint64_t, restarts> restarts_;
  std::uint64_t posted_ = 0;

  std::vector<waiting> ready_;
  std::vector<channel> channels_;
  std::unordered_map<std::uint64_t, std::size_t> channel_at_;  // by key; never walked
  std::vector<option> options_;
  std::vector<candidate> actors_;
  std::optional<option> chosen_;      // by a process that stepped back for it
  const char* running_to_ = nullptr;  // what the running process is about to do
  std::uint64_t last_ = 0;            // actor of the last step
  unsigned in_a_row_ = 0;
  std::vector<decision> taken_;
  std::uint64_t steps_ = 0;
  std::uint64_t hash_ = 0;
  bool clock_stopped_ = false;
  bool winding_up_ = false;
  bool hopeless_ = false;
  std::string failed_kind_;
  std::string failed_text_;
};

}  // namespace otp::testing
