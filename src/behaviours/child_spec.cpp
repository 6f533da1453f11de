// Child specifications: their texts, their ids, and what can be wrong with them.
#include <otp/supervisor.hpp>

#include "base/flat_table.hpp"
#include "behaviours/supervisor_report.hpp"

#include <fmt/format.h>

namespace otp {

namespace detail {

std::uint64_t text_hash(std::string_view text) noexcept {
  std::uint64_t h = 0xcbf29ce484222325ULL;  // FNV-1a
  for (char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash_key(h);
}

std::uint64_t number_hash(std::uint64_t number) noexcept { return hash_key(number + 1); }

namespace {

template <class... Types>
bool hash_number(const term& value, std::uint64_t& out) noexcept {
  auto one = [&]<class T>(std::type_identity<T>) {
    const T* held = value.get_if<T>();
    if (held) out = number_hash(static_cast<std::uint64_t>(*held));
    return held != nullptr;
  };
  return (one(std::type_identity<Types>{}) || ...);
}

}  // namespace

// Equal terms have equal hashes. Of a type that is not known here the values share one.
std::uint64_t term_hash(const term& value) noexcept {
  std::uint64_t h = 0;
  if (const auto* text = value.get_if<std::string>()) return text_hash(*text);
  if (hash_number<int, unsigned, long, unsigned long, long long, unsigned long long, short, unsigned short, signed char,
                  unsigned char, char, bool>(value, h))
    return h;
  if (const auto* process = value.get_if<pid>()) return number_hash(process->value());
  if (const auto* several = value.get_if<compound_id>()) {
    for (const term& part : several->parts) h = hash_key(h ^ term_hash(part));
    return h;
  }
  return text_hash(value.type_name());
}

std::string compound_id::to_string() const {
  std::string text = "{";
  for (const term& part : parts) text += (text.size() > 1 ? ", " : "") + part.to_string();
  return text + "}";
}

exit_reason no_process_returned() {
  return exit_reason(exit_reason::kind::bad_argument,
                     "the start function returned no process; return its pid, or the reason why there is none");
}

exit_reason wrong_extra(std::string_view starter, std::string_view given, std::string_view taken) {
  return exit_reason(exit_reason::kind::bad_argument,
                     fmt::format("{} was given the extra arguments {}; it takes {}. Declare them with "
                                 "otp::child_template<{}, types...>(...) and give exactly these",
                                 starter, given, taken, starter));
}

std::string starter_text(std::string_view module, std::size_t arguments) {
  return fmt::format("{}::start_link/{}", module, arguments);
}

std::string joined(const std::vector<std::string>& faults) {
  std::string text;
  for (const std::string& fault : faults) text += (text.empty() ? "" : "; ") + fault;
  return text;
}

std::string significance_fault(const std::string& place, bool dynamic) {
  return place + (dynamic ? ": significant is true; a dynamic supervisor has no significant children"
                          : ": significant is true, but auto_shutdown is never; write .auto_shutdown = "
                            "otp::any_significant or otp::all_significant, or leave .significant() out");
}

}  // namespace detail

std::string shutdown_time::to_string() const {
  if (kind_ == kind::brutal) return "brutal_kill";
  if (time_ == infinity) return "infinity";
  if (time_.count() % 1'000'000 == 0) return fmt::format("{} ms", time_.count() / 1'000'000);
  return fmt::format("{} ns", time_.count());
}

std::vector<std::string> child_spec::modules() const {
  if (const auto* given = modules_.get_if<std::vector<std::string>>()) return *given;
  if (module_.empty()) return {};
  return {std::string(module_)};
}

std::string child_spec::start_text() const {
  if (start_) return start_->to_string();
  return module_.empty() ? "undefined" : detail::starter_text(module_, 0) + " (arguments not kept)";
}

std::string child_spec::to_string() const {
  static constexpr const char* restarts[] = {"permanent", "transient", "temporary"};
  auto restart = static_cast<unsigned>(restart_);
  return fmt::format("child_spec{{id: {}, start: {}, restart: {}, shutdown: {}, type: {}, significant: {}}}",
                     id_.to_string(), start_text(), restart < 3 ? restarts[restart] : "unknown", shutdown().to_string(),
                     type_ == child_type::supervisor ? "supervisor" : "worker", significant_);
}

std::vector<std::string> child_spec::faults(bool needs_id, const std::string& place) const {
  std::vector<std::string> all;
  auto add = [&](std::string text) { all.push_back(place + ": " + std::move(text)); };
  if (needs_id && id_.empty()) add("id is missing; write .id(\"name\")");
  if (!start_)
    add("start is missing; make the spec with otp::child<T>(args...) or otp::child_function(id, f), f not empty");
  if (static_cast<unsigned>(restart_) > 2)
    add(fmt::format("restart is {}; write otp::permanent, otp::transient or otp::temporary",
                    static_cast<unsigned>(restart_)));
  if (static_cast<unsigned>(type_) > 1)
    add(fmt::format("type is {}; write otp::child_type::worker or otp::child_type::supervisor",
                    static_cast<unsigned>(type_)));
  if (shutdown_given_ && !shutdown_.is_brutal_kill() && shutdown_.time().count() < 0)
    add("shutdown is " + shutdown_.to_string() + "; write 0 or a positive time, otp::infinity or otp::brutal_kill");
  if (const auto* names = modules_.get_if<std::vector<std::string>>())
    for (const std::string& name : *names)
      if (name.empty()) add("modules has an empty name; give type names, or leave modules out");
  if (significant_ && restart_ == restart_type::permanent)
    add("significant is true and restart is permanent, but such a child never ends for good; write "
        ".restart(otp::transient) or .restart(otp::temporary)");
  return all;
}

namespace detail {

namespace {

// Which of the specs it is, for messages.
std::string place_of(const child_spec& spec, std::size_t at) {
  return spec.id().empty() ? fmt::format("children[{}]", at)
                           : fmt::format("children[{}] {}", at, spec.id().to_string());
}

// Faults of each, and ids that stand twice. `mode`: none if significance is not to be judged.
void judge_children(const std::vector<child_spec>& specs, std::optional<auto_shutdown> mode,
                    std::vector<std::string>& faults) {
  flat_table<std::uint64_t, std::size_t> first_of_hash;
  std::vector<std::size_t> same_hash(specs.size());  // the next one of equal hash; its own place: none
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const child_spec& spec = specs[i];
    std::string place = place_of(spec, i);
    for (std::string& fault : spec.faults(true, place)) faults.push_back(std::move(fault));
    if (spec.is_significant() && mode == auto_shutdown::never) faults.push_back(significance_fault(place, false));
    if (spec.id().empty()) continue;
    same_hash[i] = i;
    std::size_t* first = first_of_hash.find(spec.id().hash());
    if (!first) {
      first_of_hash.insert(spec.id().hash(), i);
      continue;
    }
    for (std::size_t other = *first;; other = same_hash[other]) {
      if (specs[other].id() == spec.id()) {
        faults.push_back(place + ": duplicate_child_name: " + fmt::format("children[{}]", other) +
                         " has the same id; give each its own, e.g. .id(\"name\", number)");
        break;
      }
      if (same_hash[other] == other) break;
    }
    same_hash[i] = *first;
    *first = i;
  }
}

}  // namespace

std::optional<exit_reason> supervisor_plan::check() const {
  std::vector<std::string> faults;
  if (strategy_missing)
    faults.emplace_back(
        "strategy is missing; write .strategy = otp::one_for_one, otp::rest_for_one, otp::one_for_all or "
        "otp::simple_one_for_one");
  else if (static_cast<unsigned>(strategy) > 3)
    faults.push_back(
        fmt::format("strategy is {}; write .strategy = otp::one_for_one, otp::rest_for_one, otp::one_for_all or "
                    "otp::simple_one_for_one",
                    static_cast<unsigned>(strategy)));
  if (what == kind::dynamic && strategy != otp::strategy::one_for_one)
    faults.push_back("strategy is " + to_string(strategy) +
                     "; a dynamic supervisor knows otp::one_for_one only, leave it out");
  if (max_restarts < 0)
    faults.push_back(
        fmt::format("max_restarts is {}; write 0 (the first failure ends the supervisor) or more", max_restarts));
  if (max_seconds.count() <= 0)
    faults.push_back(fmt::format("max_seconds is {} ns; write a time longer than 0, e.g. 5s", max_seconds.count()));
  if (static_cast<unsigned>(auto_shutdown) > 2)
    faults.push_back(
        fmt::format("auto_shutdown is {}; write otp::auto_shutdown::never, otp::any_significant or "
                    "otp::all_significant",
                    static_cast<unsigned>(auto_shutdown)));
  if (max_children < 0)
    faults.push_back(fmt::format("max_children is {}; write 0 or more, or otp::unlimited", max_children));
  bool simple = strategy == otp::strategy::simple_one_for_one;
  if (simple && auto_shutdown != otp::auto_shutdown::never)
    faults.emplace_back("auto_shutdown cannot be combined with simple_one_for_one; leave it out");
  if (simple && children.size() != 1)
    faults.push_back(fmt::format("children has {} specs; simple_one_for_one takes exactly one, the template of all",
                                 children.size()));
  judge_children(children, auto_shutdown, faults);
  if (faults.empty()) return std::nullopt;
  return exit_reason(exit_reason::kind::bad_argument, "supervisor_data: " + joined(faults));
}

std::string to_string(strategy s) {
  switch (s) {
    case strategy::one_for_one: return "one_for_one";
    case strategy::rest_for_one: return "rest_for_one";
    case strategy::one_for_all: return "one_for_all";
    case strategy::simple_one_for_one: return "simple_one_for_one";
  }
  return "unknown";
}

}  // namespace detail

result<void> check_childspecs(const std::vector<child_spec>& specs, std::optional<auto_shutdown> mode) {
  std::vector<std::string> faults;
  if (mode && static_cast<unsigned>(*mode) > 2)
    faults.push_back(
        fmt::format("auto_shutdown is {}; write otp::auto_shutdown::never, otp::any_significant or "
                    "otp::all_significant",
                    static_cast<unsigned>(*mode)));
  detail::judge_children(specs, mode, faults);
  if (faults.empty()) return {};
  return std::unexpected(exit_reason(exit_reason::kind::bad_argument, detail::joined(faults)));
}

}  // namespace otp
