// Applications: specs, settings, and where settings come from.
#include "system/application_table.hpp"

#include <charconv>
#include <cstdio>
#include <cstdlib>

namespace otp {

namespace detail {

namespace {

bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_name(std::string_view name) noexcept {
  if (name.empty() || name.size() > 255 || !is_letter(name.front())) return false;
  for (char c : name)
    if (!is_letter(c) && !(c >= '0' && c <= '9') && c != '_') return false;
  return true;
}

void check_names(std::vector<std::string>& faults, const char* field, const std::vector<std::string>& names,
                 const std::string& self) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!is_name(names[i]))
      faults.push_back(std::string(field) + ": " + quoted(names[i]) +
                       " is no name of an application; it begins with a letter and has letters, digits and _");
    if (names[i] == self) faults.push_back(std::string(field) + ": the application names itself; leave it away");
    for (std::size_t j = 0; j < i; ++j)
      if (names[i] == names[j]) faults.push_back(std::string(field) + ": " + quoted(names[i]) + " stands there twice");
  }
}
void check_keys(std::vector<std::string>& faults, const char* field, const std::vector<env_entry>& entries) {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].first.empty()) faults.push_back(std::string(field) + ": a key is empty; give it a name");
    for (std::size_t j = 0; j < i; ++j)
      if (entries[i].first == entries[j].first)
        faults.push_back(std::string(field) + ": " + quoted(entries[i].first) + " stands there twice");
  }
}

void check(const application_definition& d) {
  const application_spec& spec = d.spec;
  std::vector<std::string> faults;
  if (!is_name(spec.name))
    faults.push_back("name: " + quoted(spec.name) +
                     " is no name of an application; begin with a letter, then letters, digits and _");
  check_names(faults, "applications", spec.applications, spec.name);
  check_names(faults, "optional_applications", spec.optional_applications, spec.name);
  for (auto& optional : spec.optional_applications)
    for (auto& needed : spec.applications)
      if (optional == needed)
        faults.push_back("optional_applications: " + quoted(optional) + " is in applications too; choose one");
  check_keys(faults, "env", spec.env);
  check_keys(faults, "start_phases", spec.start_phases);
  if (!spec.start_phases.empty() && !d.phases)
    faults.push_back(
        "start_phases: there is no callback for them; add  "
        "result<void> start_phase(std::string_view, start_type, const term&)");
  if (faults.empty()) return;
  std::string text = "application " + quoted(spec.name);
  for (auto& fault : faults) text += "\n  " + fault;
  throw bad_argument(text);
}

/// The settings of an application that was just loaded: what was set before goes before its defaults.
void apply_defaults(application_table& table, const application_spec& spec) {
  settings& now = table.env[spec.name];
  if (auto given = table.configured.find(spec.name); given != table.configured.end())
    for (auto& [key, value] : given->second) now.try_emplace(key, value);
  for (auto& [key, value] : spec.env) now.try_emplace(key, value);
}

void enter(application_table& table, application_definition&& d) {
  apply_defaults(table, d.spec);
  for (application_definition& other : d.included)
    if (!table.find(other.spec.name)) enter(table, application_definition(other));
  std::string name = d.spec.name;
  table.entries[name].definition = std::move(d);
}
/// Forgets it and what came with it. One that runs by itself stays.
void leave(application_table& table, const std::string& name) {
  auto at = table.entries.find(name);
  if (at == table.entries.end() || at->second.state != application_state::loaded) return;
  const std::vector<application_definition> included = std::move(at->second.definition.included);
  table.entries.erase(at);
  table.env.erase(name);
  for (auto& other : included) leave(table, other.spec.name);
}
void check_all(const application_definition& d) {
  check(d);
  for (auto& other : d.included) check_all(other);
}

std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view blank = " \t\r";
  auto first = text.find_first_not_of(blank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

/// "text", with \" and \\ in it, or what stands there up to a comment.
std::optional<std::string> value_of(std::string_view text) {
  if (text.empty() || text.front() != '"') {
    if (auto comment = text.find(" #"); comment != std::string_view::npos) text = trimmed(text.substr(0, comment));
    return std::string(text);
  }
  std::string value;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '"' || text[i + 1] == '\\')) {
      value += text[++i];
    } else if (text[i] == '"') {
      std::string_view rest = trimmed(text.substr(i + 1));
      if (!rest.empty() && rest.front() != '#') return std::nullopt;
      return value;
    } else {
      value += text[i];
    }
  }
  return std::nullopt;
}

using file_settings = std::map<std::string, settings, std::less<>>;

/// The settings in a file; a text that says what is wrong where.
std::expected<file_settings, std::string> parse(std::string_view text, std::string_view origin) {
  file_settings all;
  std::string section;
  std::size_t number = 0;
  auto fault = [&](std::string what) {
    return std::unexpected(std::string(origin) + ":" + unsigned_text(number) + ": " + std::move(what));
  };
  while (!text.empty()) {
    ++number;
    auto end = text.find('\n');
    std::string_view line = trimmed(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.empty() || line.front() == '#') continue;
    if (line.front() == '[') {
      auto close = line.find(']');
      std::string_view rest = close == std::string_view::npos ? line : trimmed(line.substr(close + 1));
      section = close == std::string_view::npos ? std::string() : std::string(trimmed(line.substr(1, close - 1)));
      if (!is_name(section) || !(rest.empty() || rest.front() == '#'))
        return fault(quoted(line) + " names no application; write [name], with letters, digits and _");
      continue;
    }
    auto equals = line.find('=');
    if (equals == std::string_view::npos) return fault(quoted(line) + " is no setting; write key = value");
    std::string key(trimmed(line.substr(0, equals)));
    if (key.empty() || key.find_first_of(" \t\"[]") != std::string::npos)
      return fault(quoted(key) + " is no key; write one word, then = and the value");
    if (section.empty()) return fault(quoted(key) + " belongs to no application; write [application] above it");
    auto value = value_of(trimmed(line.substr(equals + 1)));
    if (!value) return fault("the quotes around the value of " + quoted(key) + " are not closed, or text follows them");
    if (!all[section].try_emplace(key, std::move(*value)).second)
      return fault(quoted(key) + " of " + quoted(section) + " was set above already");
  }
  return all;
}

/// What an application has without what was put in at run time: its defaults, under what is configured.
std::optional<term> configured_value(application_table& table, const std::string& name, const std::string& key) {
  if (auto given = table.configured.find(name); given != table.configured.end())
    if (auto at = given->second.find(key); at != given->second.end()) return at->second;
  if (application_entry* e = table.find(name))
    for (auto& [k, value] : e->definition.spec.env)
      if (k == key) return value;
  return std::nullopt;
}

env_changes difference(const settings& before, const settings& after) {
  env_changes changes;
  for (auto& [key, value] : after) {
    auto old = before.find(key);
    if (old == before.end())
      changes.added.emplace_back(key, value);
    else if (!(old->second == value))
      changes.changed.emplace_back(key, value);
  }
  for (auto& [key, value] : before)
    if (!after.contains(key)) changes.removed.push_back(key);
  return changes;
}

using told_changes = std::vector<std::pair<pid, env_changes>>;

void note_changes(told_changes& told, const application_entry* e, const settings& before, const settings& after) {
  env_changes changes = difference(before, after);
  if (e && e->state == application_state::running && e->keeper && !changes.empty())
    told.emplace_back(e->keeper, std::move(changes));
}
void tell(told_changes told) {
  for (auto& [keeper, changes] : told) tell_config_change(keeper, std::move(changes));
}

/// Puts the new configuration in place of the last one of its kind and tells running applications what changed.
void configure(file_settings&& fresh) {
  application_table& table = application_table::here();
  told_changes told;
  {
    ordering_lock lock(table.lock);
    file_settings old = std::exchange(table.from_files, fresh);
    std::map<std::string, std::map<std::string, bool>> touched;
    for (auto* which : {&old, &fresh})
      for (auto& [name, values] : *which)
        for (auto& [key, value] : values) touched[name][key] = true;
    for (auto& [name, values] : old)
      for (auto& [key, value] : values) table.configured[name].erase(key);
    for (auto& [name, values] : fresh)
      for (auto& [key, value] : values) table.configured[name].insert_or_assign(key, value);
    for (auto& [name, keys] : touched) {
      settings& now = table.env[name];
      settings before = now;
      for (auto& [key, yes] : keys) {
        if (auto value = configured_value(table, name, key))
          now.insert_or_assign(key, std::move(*value));
        else
          now.erase(key);
      }
      note_changes(told, table.find(name), before, now);
    }
  }
  tell(std::move(told));
}

template <class T>
bool parsed(std::string_view text, T& value) noexcept {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

std::string variable_of(std::string_view application, std::string_view key) {
  std::string name = std::string(application) + "_" + std::string(key);
  for (char& c : name) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (!is_letter(c) && !(c >= '0' && c <= '9')) c = '_';
  }
  return name;
}

}  // namespace

result<void> load_application(application_definition definition) {
  check_all(definition);
  application_table& table = application_table::here();
  ordering_lock lock(table.lock);
  if (table.find(definition.spec.name)) return std::unexpected(exit_reason(already_loaded{definition.spec.name}));
  enter(table, std::move(definition));
  return {};
}

// ---- values ------------------------------------------------------------------------------------------------------

bool setting_from(std::string_view text, bool& value) noexcept {
  if (text != "true" && text != "false") return false;
  value = text == "true";
  return true;
}
bool setting_from(std::string_view text, std::int64_t& value) noexcept { return parsed(text, value); }
bool setting_from(std::string_view text, std::uint64_t& value) noexcept { return parsed(text, value); }
bool setting_from(std::string_view text, double& value) noexcept { return parsed(text, value); }
bool setting_from(std::string_view text, duration& value) noexcept {
  if (text == "infinity") {
    value = infinity;
    return true;
  }
  auto unit = text.find_first_not_of("0123456789");
  std::int64_t n = 0;
  if (unit == std::string_view::npos || unit == 0 || !parsed(text.substr(0, unit), n)) return false;
  static constexpr std::pair<std::string_view, std::int64_t> units[] = {{"ns", 1},
                                                                        {"us", 1'000},
                                                                        {"ms", 1'000'000},
                                                                        {"s", 1'000'000'000},
                                                                        {"min", 60'000'000'000},
                                                                        {"h", 3'600'000'000'000}};
  for (auto [name, nanoseconds] : units)
    if (trimmed(text.substr(unit)) == name)
      return !__builtin_mul_overflow(n, nanoseconds, &n) && (value = duration(n), true);
  return false;
}

std::optional<duration> duration_in(const term& value) noexcept {
  std::optional<duration> found;
  auto of = [&]<class T>(std::type_identity<T>) {
    if (const T* d = value.get_if<T>()) found = duration(*d);
    return found.has_value();
  };
  using namespace std::chrono;
  static_cast<void>(of(std::type_identity<duration>()) || of(std::type_identity<microseconds>()) ||
                    of(std::type_identity<milliseconds>()) || of(std::type_identity<seconds>()) ||
                    of(std::type_identity<minutes>()) || of(std::type_identity<hours>()));
  return found;
}

std::optional<std::int64_t> integer_in(const term& value) noexcept {
  auto of = [&]<class T>(std::type_identity<T>) -> std::optional<std::int64_t> {
    const T* n = value.get_if<T>();
    if (!n) return std::nullopt;
    if constexpr (!std::is_signed_v<T> && sizeof(T) == sizeof(std::int64_t))
      if (*n > static_cast<T>(INT64_MAX)) return std::nullopt;
    return static_cast<std::int64_t>(*n);
  };
  auto first = [&]<class... T>(std::type_identity<T>... types) {
    std::optional<std::int64_t> found;
    static_cast<void>(((found = of(types)) || ...));
    return found;
  };
  return first(std::type_identity<int>(), std::type_identity<long>(), std::type_identity<long long>(),
               std::type_identity<unsigned>(), std::type_identity<unsigned long>(),
               std::type_identity<unsigned long long>(), std::type_identity<short>(),
               std::type_identity<unsigned short>(), std::type_identity<signed char>(),
               std::type_identity<unsigned char>());
}

std::optional<term> env_value(std::string_view application, std::string_view key) {
  application_table& table = application_table::here();
  ordering_lock lock(table.lock);
  auto of = table.env.find(application);
  if (of == table.env.end()) return std::nullopt;
  auto at = of->second.find(key);
  if (at == of->second.end()) return std::nullopt;
  return at->second;
}

exit_reason no_setting(std::string_view application, std::string_view key) {
  application_table& table = application_table::here();
  ordering_lock lock(table.lock);
  auto of = table.env.find(application);
  if (!table.find(application) && of == table.env.end()) return not_loaded{std::string(application)};
  std::string known;
  if (of != table.env.end())
    for (auto& [k, value] : of->second) known += (known.empty() ? "" : ", ") + k;
  return {exit_reason::kind::not_found, "the application " + quoted(application) + " has no setting " + quoted(key) +
                                            "; it has " + (known.empty() ? "none" : known) +
                                            ". Put it into application_spec::env, a configuration file, or " +
                                            variable_of(application, key)};
}

void wrong_setting(std::string_view application, std::string_view key, const term& value, std::string_view wanted) {
  throw bad_argument("the setting " + quoted(key) + " of " + quoted(application) + " is " + value.to_string() + " (" +
                     std::string(value.type_name()) + "), but is asked for as " + std::string(wanted) +
                     "; correct it where it is set, or ask for another type");
}

}  // namespace detail

using namespace detail;

// ---- loading -----------------------------------------------------------------------------------------------------

result<void> application::load(application_spec spec) {
  application_definition d;
  d.spec = std::move(spec);
  return load_application(std::move(d));
}

result<void> application::unload(std::string_view name) {
  application_table& table = application_table::here();
  const pid leader = group_leader();
  for (;;) {
    pid ending;
    {
      ordering_lock lock(table.lock);
      application_entry* e = table.find(name);
      if (!e) return std::unexpected(exit_reason(not_loaded{std::string(name)}));
      e->note_lost_end();
      if (e->state == application_state::loaded) {
        leave(table, std::string(name));
        return {};
      }
      if (e->state != application_state::stopping || e->master == leader)
        return std::unexpected(exit_reason(exit_reason::kind::running, std::string(name)));
      ending = e->master;
    }
    wait_for_end(name, ending);
  }
}

std::optional<application_spec> application::spec(std::string_view name) {
  application_table& table = application_table::here();
  ordering_lock lock(table.lock);
  application_entry* e = table.find(name);
  if (!e) return std::nullopt;
  return e->definition.spec;
}

std::optional<term> application::get_key(std::string_view name, std::string_view key) {
  application_table& table = application_table::here();
  ordering_lock lock(table.lock);
  application_entry* e = table.find(name);
  const application_spec none;
  const application_spec& s = e ? e->definition.spec : none;
  term value;
  if (key == "name") {
    value = s.name;
  } else if (key == "description") {
    value = s.description;
  } else if (key == "vsn") {
    value = s.version;
  } else if (key == "applications") {
    value = s.applications;
  } else if (key == "optional_applications") {
    value = s.optional_applications;
  } else if (key == "included_applications") {
    std::vector<std::string> names;
    if (e)
      for (auto& other : e->definition.included) names.push_back(other.spec.name);
    value = std::move(names);
  } else if (key == "env") {
    value = s.env;
  } else if (key == "start_phases") {
    value = s.start_phases;
  } else if (key == "mod") {
    value = e ? std::string(e->definition.module) : std::string();
  } else {
    throw bad_argument("application::get_key: " + quoted(key) +
                       " is no key of a spec; give name, description, vsn, applications, optional_applications, "
                       "included_applications, env, mod or start_phases");
  }
  if (!e) return std::nullopt;
  return value;
}

std::vector<application_info> application::loaded_applications() {
  application_table& table = application_table::here();
  std::vector<application_info> all;
  ordering_lock lock(table.lock);
  all.reserve(table.entries.size());
  for (auto& [name, e] : table.entries) all.push_back({name, e.definition.spec.description, e.definition.spec.version});
  return all;
}

std::vector<application_info> application::started_applications() {
  application_table& table = application_table::here();
  std::map<std::uint64_t, application_info, std::greater<>> by_order;
  ordering_lock lock(table.lock);
  for (auto& [name, e] : table.entries)
    if (e.state == application_state::running)
      by_order[e.order] = {name, e.definition.spec.description, e.definition.spec.version};
  std::vector<application_info> all;
  all.reserve(by_order.size());
  for (auto& [order, info] : by_order) all.push_back(std::move(info));
  return all;
}

// ---- settings ----------------------------------------------------------------------------------------------------

std::vector<env_entry> application::get_all_env(std::string_view name) {
  application_table& table = application_table::here();
  ordering_lock lock(table.lock);
  auto of = table.env.find(name);
  if (of == table.env.end()) return {};
  return {of->second.begin(), of->second.end()};
}

void application::put_setting(std::string_view name, std::string_view key, term value) {
  put_all_env(name, {{std::string(key), std::move(value)}});
}

void application::put_all_env(std::string_view name, const std::vector<env_entry>& values) {
  if (!is_name(name))
    throw bad_argument("put_env: " + quoted(name) + " is no name of an application; give letters, digits and _");
  std::vector<std::string> faults;
  check_keys(faults, "put_env", values);
  if (!faults.empty()) throw bad_argument(faults.front());
  application_table& table = application_table::here();
  ordering_lock lock(table.lock);
  settings& of = table.env[std::string(name)];
  for (auto& [key, value] : values) of.insert_or_assign(key, value);
}

void application::delete_env(std::string_view name, std::string_view key) {
  application_table& table = application_table::here();
  ordering_lock lock(table.lock);
  auto of = table.env.find(name);
  if (of == table.env.end()) return;
  if (auto at = of->second.find(key); at != of->second.end()) of->second.erase(at);
}

result<void> application::load_config_text(std::string_view text, std::string_view origin) {
  auto all = parse(text, origin);
  if (!all) return std::unexpected(exit_reason(exit_reason::kind::bad_argument, std::move(all.error())));
  configure(std::move(*all));
  return {};
}

result<void> application::load_config(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (!file)
    return std::unexpected(exit_reason(exit_reason::kind::not_found, "the configuration file " + quoted(path) +
                                                                         " cannot be read; is it there, and "
                                                                         "may this program read it?"));
  std::string text;
  char buffer[4096];
  constexpr std::size_t most = std::size_t{16} << 20;
  for (std::size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, file)) > 0 && text.size() <= most;)
    text.append(buffer, n);
  const bool broken = std::ferror(file) != 0;
  std::fclose(file);
  if (broken || text.size() > most)
    return std::unexpected(exit_reason(exit_reason::kind::bad_argument,
                                       "the configuration file " + quoted(path) +
                                           (broken ? " cannot be read" : " has more than 16 MiB: that is none")));
  return load_config_text(text, path);
}

result<void> application::load_config_from_variables(std::string_view name) {
  application_table& table = application_table::here();
  told_changes told;
  {
    ordering_lock lock(table.lock);
    application_entry* e = table.find(name);
    if (!e) return std::unexpected(exit_reason(not_loaded{std::string(name)}));
    settings& of = table.env[std::string(name)];
    const settings before = of;
    for (auto& [key, value] : of)
      if (const char* text = std::getenv(variable_of(name, key).c_str())) {
        value = std::string(text);
        table.configured[std::string(name)].insert_or_assign(key, value);
      }
    note_changes(told, e, before, of);
  }
  tell(std::move(told));
  return {};
}

}  // namespace otp
