// The rules of otp::doctor, on facts that are collected process by process. Between two of them the world goes on: what
// is gone by the time it is looked at is left out, and so is what cannot be judged without it.
#include <otp/detail/behaviour.hpp>
#include <otp/doctor.hpp>

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

namespace otp::doctor {

namespace {

using detail::process_facts;
using detail::process_kind;

std::string_view advice_for(rule what) noexcept {
  switch (what) {
    case rule::unsupervised_process:
      return "when it fails nobody starts it again: make it a child of a supervisor, or link it to a process that is "
             "one";
    case rule::long_task:
      return "a task is for work that ends: work that goes on is a gen_server under a supervisor; work that hangs "
             "needs a "
             "time limit";
    case rule::value_server:
      return "it only stores a value and gives it back: an agent (otp::agent) says that with less, and otp::snapshot "
             "reads "
             "it without asking it";
  }
  return {};
}

class examination {
 public:
  examination() {
    constexpr std::size_t in_one_go = 256;
    std::size_t seen = 0;
    for (pid who : processes()) {
      if (++seen % in_one_go == 0) yield();
      if (auto facts = detail::facts_of(who); facts && !facts->exiting) all_.emplace(who.value(), std::move(*facts));
    }
  }

  std::vector<finding> findings(const options& how) {
    std::vector<finding> found;
    auto add = [&](rule what, std::uint64_t who, const process_facts& facts) {
      found.push_back({.what = what,
                       .process = pid(who),
                       .name = {},
                       .type = std::string(facts.type),
                       .age = facts.age,
                       .advice = std::string(advice_for(what))});
    };
    for (auto& [who, facts] : all_) {
      const bool old = facts.age >= how.older_than;
      if (facts.kind == process_kind::task) {
        if (old) add(rule::long_task, who, facts);
      } else if (old && facts.kind != process_kind::root && !supervised(who)) {
        add(rule::unsupervised_process, who, facts);
      }
      if (facts.only_stores) add(rule::value_server, who, facts);
    }
    std::sort(found.begin(), found.end(), [](const finding& a, const finding& b) {
      return a.what != b.what ? a.what < b.what : a.process.value() < b.process.value();
    });
    if (!found.empty()) add_names(found);
    return found;
  }

 private:
  static void add_names(std::vector<finding>& found) {
    std::unordered_map<std::uint64_t, std::string> names;
    for (std::string& name : registered())
      if (auto holder = whereis(name)) names.emplace(holder->value(), std::move(name));
    for (finding& f : found)
      if (auto named = names.find(f.process.value()); named != names.end()) f.name = named->second;
  }

  const process_facts* find(pid who) const {
    auto at = all_.find(who.value());
    return at == all_.end() ? nullptr : &at->second;
  }

  // Up the line of those who started each other and are linked, until a supervisor is linked to one of them.
  bool supervised(std::uint64_t who) {
    std::vector<std::uint64_t> line;
    bool good = false;
    for (pid at(who); !good;) {
      const process_facts* facts = find(at);
      if (!facts) break;
      if (auto known = verdicts_.find(at.value()); known != verdicts_.end()) {
        good = known->second;
        break;
      }
      line.push_back(at.value());
      const bool lives_with_parent = linked(*facts, facts->parent);
      const process_facts* parent = lives_with_parent ? find(facts->parent) : nullptr;
      good = lives_with_parent && !parent;  // it has just ended, and the link will tell
      // The top of a tree is started by the first process, or stands alone.
      if (facts->kind == process_kind::supervisor && (!parent || parent->kind == process_kind::root)) good = true;
      for (pid peer : facts->links) good = good || is_supervisor_of(peer, at);
      if (!parent || parent->kind == process_kind::root) break;
      at = facts->parent;
    }
    for (std::uint64_t each : line) verdicts_[each] = good;
    return good;
  }

  static bool linked(const process_facts& facts, pid with) {
    return with && std::find(facts.links.begin(), facts.links.end(), with) != facts.links.end();
  }
  // Not one that it has started itself.
  bool is_supervisor_of(pid peer, pid process) const {
    const process_facts* facts = find(peer);
    return facts && facts->kind == process_kind::supervisor && facts->parent != process;
  }

  std::unordered_map<std::uint64_t, process_facts> all_;
  std::unordered_map<std::uint64_t, bool> verdicts_;
};

}  // namespace

std::string_view to_string(rule what) noexcept {
  switch (what) {
    case rule::unsupervised_process: return "unsupervised_process";
    case rule::long_task: return "long_task";
    case rule::value_server: return "value_server";
  }
  return "?";
}

std::string finding::to_string() const {
  const std::string named = name.empty() ? std::string() : " " + name;
  const auto seconds = std::chrono::floor<std::chrono::seconds>(age).count();
  return fmt::format("{}: {}{} ({}, {} s old): {}", doctor::to_string(what), process.to_string(), named, type, seconds,
                     advice);
}

std::vector<finding> examine(options how) {
  if (how.older_than.count() < 0)
    throw bad_argument(
        fmt::format("doctor: older_than is {} ns; give 0 or a positive duration", how.older_than.count()));
  if (!self()) throw bad_argument("doctor: called outside of a process; call it from one, or through runtime.run");
  return examination().findings(how);
}

std::string to_string(const std::vector<finding>& all) {
  if (all.empty()) return "nothing found\n";
  std::string text;
  for (const finding& each : all) text += each.to_string() + "\n";
  return text;
}

}  // namespace otp::doctor
