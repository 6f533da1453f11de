#include "testing/strategy.hpp"

#include <otp/process.hpp>

#include <algorithm>
#include <charconv>

namespace otp::testing {

namespace {

class random_walk final : public chooser {
 public:
  random_walk(std::uint64_t seed, std::uint64_t length) : random_(seed), length_(length) {}
  std::uint32_t next_actor(const std::vector<candidate>& actors, bool) override { return random_.below(actors.size()); }
  bool fault() override { return random_.below(length_) == 0; }
  std::uint32_t any_of(std::uint32_t among) override { return random_.below(among); }

 private:
  random_numbers random_;
  std::uint64_t length_;
};

// Every actor has a random priority and the highest goes on; at depth - 1 random places the one that goes on falls
// below all others.
class by_priority final : public chooser {
 public:
  by_priority(std::uint64_t seed, unsigned depth, std::uint64_t length) : random_(seed), length_(length) {
    for (unsigned i = 1; i < depth; ++i) changes_.push_back(random_.below(length));
  }
  std::uint32_t next_actor(const std::vector<candidate>& actors, bool goes_on) override {
    bool change = std::find(changes_.begin(), changes_.end(), at_++) != changes_.end();
    if (goes_on && (change || ++in_a_row_ > patience)) {
      priorities_[actors.front().actor] = lowest_--;
      in_a_row_ = 0;
    }
    std::uint32_t best = 0;
    std::uint64_t highest = 0;
    for (std::uint32_t i = 0; i < actors.size(); ++i) {
      auto [known, fresh] = priorities_.try_emplace(actors[i].actor, 0);
      if (fresh) known->second = ordinary + random_.next() % ordinary;
      if (known->second > highest) {
        highest = known->second;
        best = i;
      }
    }
    if (best != 0) in_a_row_ = 0;
    return best;
  }
  bool fault() override { return random_.below(length_) == 0; }
  std::uint32_t any_of(std::uint32_t among) override { return random_.below(among); }

 private:
  static constexpr std::uint64_t ordinary = std::uint64_t{1} << 32;
  static constexpr unsigned patience = 200;  // one that polls would keep the others from what it waits for
  random_numbers random_;
  std::uint64_t length_;
  std::uint64_t at_ = 0;
  std::uint64_t lowest_ = ordinary - 1;
  unsigned in_a_row_ = 0;
  std::vector<std::uint64_t> changes_;
  std::unordered_map<std::uint64_t, std::uint64_t> priorities_;
};

// Whoever runs goes on, except at a few random places; who follows one that cannot go on is drawn.
class few_preemptions final : public chooser {
 public:
  few_preemptions(std::uint64_t seed, unsigned preemptions, std::uint64_t length) : random_(seed), length_(length) {
    for (unsigned i = 0; i < preemptions; ++i) places_.push_back(random_.below(length));
  }
  std::uint32_t next_actor(const std::vector<candidate>& actors, bool goes_on) override {
    bool here = std::find(places_.begin(), places_.end(), at_++) != places_.end();
    if (!goes_on) return random_.below(actors.size());
    return here ? 1 + random_.below(actors.size() - 1) : 0;
  }
  bool fault() override { return random_.below(length_) == 0; }
  std::uint32_t any_of(std::uint32_t among) override { return random_.below(among); }

 private:
  random_numbers random_;
  std::uint64_t length_;
  std::uint64_t at_ = 0;
  std::vector<std::uint64_t> places_;
};

// Depth first: repeats the trail, then takes the default and writes down what else there was.
//
// Without a bound it leaves out orders that differ from one that was run only in steps that nobody can tell apart
// (sleep sets): when all that may follow a step has been run, the step sleeps in what is run instead of it, until
// something is done that its order with matters. With a bound on preemptions that would be wrong: the order that is
// left out may be the one that keeps within the bound.
class depth_first final : public chooser {
 public:
  depth_first(std::vector<decision>& trail, unsigned preemptions)
      : trail_(trail), left_(preemptions), bounded_(preemptions != strategy::unbounded) {}
  std::uint32_t next_actor(const std::vector<candidate>& actors, bool goes_on) override {
    if (bounded_) {
      std::uint32_t taken = next(goes_on && left_ == 0 ? 1 : static_cast<std::uint32_t>(actors.size()));
      if (goes_on && taken != 0) --left_;
      return std::min(taken, static_cast<std::uint32_t>(actors.size()) - 1);
    }
    awake_.clear();
    for (std::uint32_t i = 0; i < actors.size(); ++i)
      if (!asleep(actors[i])) awake_.push_back(i);
    if (awake_.empty()) {  // whatever follows has been run: to its end without another look
      redundant_ = true;
      sleeping_.clear();
    }
    if (redundant_) return 0;
    std::uint32_t taken =
        std::min(next(static_cast<std::uint32_t>(awake_.size())), static_cast<std::uint32_t>(awake_.size()) - 1);
    for (std::uint32_t i = 0; i < taken; ++i) sleeping_.push_back(actors[awake_[i]]);
    const candidate& now = actors[awake_[taken]];
    std::erase_if(sleeping_, [&](const candidate& c) { return !independent(c, now); });
    return awake_[taken];
  }
  bool fault() override {
    bool yes = next(2) != 0;
    if (yes) sleeping_.clear();
    return yes;
  }
  std::uint32_t any_of(std::uint32_t among) override { return std::min(next(among), among - 1); }

 private:
  bool asleep(const candidate& c) const {
    return std::any_of(sleeping_.begin(), sleeping_.end(), [&](const candidate& s) { return s.actor == c.actor; });
  }
  std::uint32_t next(std::uint32_t among) {
    if (redundant_) return 0;
    if (at_ == trail_.size()) trail_.push_back({0, among});
    return trail_[at_++].taken;
  }
  std::vector<decision>& trail_;
  unsigned left_;
  bool bounded_;
  bool redundant_ = false;
  std::vector<candidate> sleeping_;
  std::vector<std::uint32_t> awake_;
  std::size_t at_ = 0;
};

// One order, the plain one or a random one, and depth first through what goes wrong in it.
class fault_by_fault final : public chooser {
 public:
  fault_by_fault(std::vector<decision>& trail, std::uint64_t seed, unsigned order)
      : trail_(trail), random_(seed + order), plain_(order == 0) {}
  std::uint32_t next_actor(const std::vector<candidate>& actors, bool) override {
    return plain_ ? 0 : random_.below(actors.size());
  }
  bool fault() override { return next(2) != 0; }
  std::uint32_t any_of(std::uint32_t among) override { return std::min(next(among), among - 1); }

 private:
  std::uint32_t next(std::uint32_t among) {
    if (at_ == trail_.size()) trail_.push_back({0, among});
    return trail_[at_++].taken;
  }
  std::vector<decision>& trail_;
  random_numbers random_;
  bool plain_;
  std::size_t at_ = 0;
};

class replay final : public chooser {
 public:
  explicit replay(schedule s) : schedule_(std::move(s)) {}
  std::uint32_t next_actor(const std::vector<candidate>& actors, bool) override {
    return next(static_cast<std::uint32_t>(actors.size()));
  }
  bool fault() override { return next(2) != 0; }
  std::uint32_t any_of(std::uint32_t among) override { return next(among); }

 private:
  std::uint32_t next(std::uint32_t among) {
    auto found = schedule_.find(at_++);
    return found == schedule_.end() ? 0 : found->second % among;
  }
  schedule schedule_;
  std::uint64_t at_ = 0;
};

std::uint64_t number_in(std::string_view text, std::string_view what) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw bad_argument(std::string(what) + ": '" + std::string(text) + "' is not a number");
  return value;
}

}  // namespace

bool independent(const candidate& a, const candidate& b) noexcept {
  using what = candidate::what;
  if (!a.private_step || !b.private_step || a.kind == what::timer || b.kind == what::timer) return false;
  if (a.kind == what::process && b.kind == what::process) return false;
  return a.place != b.place;  // a signal, and what neither reads nor fills the mailbox that it comes to
}

std::unique_ptr<chooser> make_replay(schedule s) { return std::make_unique<replay>(std::move(s)); }

std::string to_text(const schedule& s) {
  std::string text;
  for (auto& [at, taken] : s) text += (text.empty() ? "" : ",") + std::to_string(at) + "." + std::to_string(taken);
  return text;
}

schedule schedule_from(std::string_view text) {
  schedule s;
  while (!text.empty()) {
    std::string_view one = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), one.size() + 1));
    std::size_t dot = one.find('.');
    if (dot == std::string_view::npos) throw bad_argument("schedule: '" + std::string(one) + "' is not place.choice");
    s[number_in(one.substr(0, dot), "schedule")] =
        static_cast<std::uint32_t>(number_in(one.substr(dot + 1), "schedule"));
  }
  return s;
}

strategy strategy_from(std::string_view text) {
  std::string_view name = text.substr(0, text.find(':'));
  bool has_number = name.size() < text.size();
  auto number = [&](unsigned otherwise) {
    return has_number ? static_cast<unsigned>(number_in(text.substr(name.size() + 1), "strategy")) : otherwise;
  };
  if (name == "random") return strategies::random();
  if (name == "pct") return strategies::pct(number(3));
  if (name == "bounded") return strategies::bounded(number(2));
  if (name == "exhaustive") return has_number ? strategies::exhaustive(number(0)) : strategies::exhaustive();
  if (name == "every_fault") return strategies::every_fault(number(0));
  if (name == "portfolio") return strategies::portfolio();
  throw bad_argument(
      "strategy: there is no '" + std::string(text) +
      "'; give random, pct:3, bounded:2, exhaustive, exhaustive:2, every_fault, every_fault:5 or portfolio");
}

std::string to_text(const strategy& s) {
  switch (s.what) {
    case strategy::kind::random: return "random";
    case strategy::kind::pct: return "pct:" + std::to_string(s.number);
    case strategy::kind::bounded: return "bounded:" + std::to_string(s.number);
    case strategy::kind::exhaustive:
      return s.number == strategy::unbounded ? "exhaustive" : "exhaustive:" + std::to_string(s.number);
    case strategy::kind::every_fault: return "every_fault:" + std::to_string(s.number);
    case strategy::kind::portfolio: return "portfolio";
  }
  return "unknown";
}

// ---- searching ---------------------------------------------------------------------------------------------------

searcher::searcher(strategy how, std::uint64_t seed) : how_(how), seed_(seed) {
  if (how.what == strategy::kind::pct && how.number == 0)
    throw bad_argument("strategy: pct needs a depth of 1 or more");
}

std::uint64_t searcher::seed_of(std::uint64_t number) const noexcept {
  // What repeats the decisions of the run before has to meet the same random numbers of the program.
  bool by_trail = how_.what == strategy::kind::exhaustive || how_.what == strategy::kind::every_fault;
  return number == 0 || by_trail ? seed_ : random_numbers(seed_ + number).next();
}

chooser& searcher::begin(std::uint64_t number) {
  strategy now = how_;
  if (how_.what == strategy::kind::portfolio) {
    // Of ten runs five, three and two; the first run is a plain one.
    static constexpr int order[] = {2, 0, 1, 0, 1, 0, 2, 0, 1, 0};
    int turn = order[number % 10];
    now = turn == 0   ? strategies::random()
          : turn == 1 ? strategies::pct(2 + static_cast<unsigned>(number / 10 % 3))
                      : strategies::bounded(number == 0 ? 0 : 1 + static_cast<unsigned>(number / 10 % 3));
  }
  name_ = to_text(now);
  // Other numbers than those that the program draws in this run.
  std::uint64_t seed = ~seed_of(number);
  switch (now.what) {
    case strategy::kind::pct: now_ = std::make_unique<by_priority>(seed, now.number, length_); break;
    case strategy::kind::bounded: now_ = std::make_unique<few_preemptions>(seed, now.number, length_); break;
    case strategy::kind::exhaustive: now_ = std::make_unique<depth_first>(trail_, now.number); break;
    case strategy::kind::every_fault: now_ = std::make_unique<fault_by_fault>(trail_, seed, order_); break;
    default: now_ = std::make_unique<random_walk>(seed, length_); break;
  }
  return *now_;
}

bool searcher::end(const std::vector<decision>& taken) {
  length_ = std::max<std::uint64_t>(10, taken.size());
  bool faults = how_.what == strategy::kind::every_fault;
  if (how_.what != strategy::kind::exhaustive && !faults) return true;
  while (!trail_.empty() && trail_.back().taken + 1 >= trail_.back().among) trail_.pop_back();
  if (trail_.empty()) return faults && ++order_ <= how_.number;
  ++trail_.back().taken;
  return true;
}

}  // namespace otp::testing
