// An application: a named part of a program with a tree of its own, things it needs first, and settings.
//
// Shape   a struct describes itself and starts its top process:
//
//           static application_spec application()                 its name, what it needs, the defaults of its settings
//           start_result start(start_type, const term& argument)  or start(const term&), or start(); returns a process
//           result<void> start_phase(std::string_view, start_type, const term&)
//           void prep_stop()      before its top process is stopped
//           void stop()           after that
//           void config_change(const env_changes&)
//           using included_applications = otp::application_list<...>;
//
//         Only the first is needed. One object of the struct lives as long as the application runs: it is its state.
//         start() runs in a supervisor made for the application, which is linked to what it returns; the other
//         callbacks run in a process beside its top process. After a phase that failed, prep_stop() and stop() are not
//         called. All that start() spawns belongs to the application. Loading makes it known, starting needs what it
//         lists to run already; ensure_all_started() starts that too.
// Units   a stop has no limit of its own but the runtime's stop budget, or set_shutdown().
// Errors  functions return the reason: already_loaded, not_loaded, not_started, no_such_application, already_started,
//         running, {cause, call} where cause is what start() returned, or bad_return for what it threw.
//         bad_argument for a spec or a setting that cannot be used says what to write.
// Source  Erlang's application, Elixir's Application. Differs: docs/decisions/0009-applications.md.
#pragma once
#include <otp/child_spec.hpp>
#include <otp/supervisor.hpp>

#include <limits>

namespace otp {

/// How an application is started. Others come with several nodes.
enum class start_type : std::uint8_t { normal };

/// One setting, with any type of value.
using env_entry = std::pair<std::string, term>;

struct application_spec {
  std::string name{};  ///< a letter, then letters, digits and _
  std::string description{};
  std::string version{};
  std::vector<std::string> applications{};           ///< run before it is started
  std::vector<std::string> optional_applications{};  ///< the same, if they are loaded
  std::vector<env_entry> start_phases{};             ///< name and argument, in order
  term argument{};                                   ///< for start()
  std::vector<env_entry> env{};                      ///< its settings and their defaults
};

/// What a change of the configuration did to the settings of an application.
struct env_changes {
  std::vector<env_entry> changed;
  std::vector<env_entry> added;
  std::vector<std::string> removed;
  bool empty() const noexcept { return changed.empty() && added.empty() && removed.empty(); }
};

struct application_info {
  std::string name;
  std::string description;
  std::string version;
};

// Reasons.
struct already_loaded {
  std::string application;
  std::string to_string() const;
  friend bool operator==(const already_loaded&, const already_loaded&) = default;
};
struct not_loaded {
  std::string application;
  std::string to_string() const;
  friend bool operator==(const not_loaded&, const not_loaded&) = default;
};
/// It, or what it needs, does not run.
struct not_started {
  std::string application;
  std::string to_string() const;
  friend bool operator==(const not_started&, const not_started&) = default;
};
/// Nothing of that name was loaded: load<T>() or start<T>() does it.
struct no_such_application {
  std::string application;
  std::string to_string() const;
  friend bool operator==(const no_such_application&, const no_such_application&) = default;
};
/// A callback left by an exception, or returned no process.
struct bad_return {
  exit_reason why;
  std::string to_string() const;
  friend bool operator==(const bad_return&, const bad_return&) = default;
};
/// Which of several did not start.
struct start_failed {
  std::string application;
  exit_reason why;
  std::string to_string() const;
  friend bool operator==(const start_failed&, const start_failed&) = default;
};

/// Applications that are loaded with another one and not started.
template <class... Modules>
struct application_list {};

// What the compiler names in its first error when a struct is no application.
template <class Module>
struct missing_application;  // add  static otp::application_spec application()

namespace detail {

/// A setting that was asked for as another type than it has.
[[noreturn]] void wrong_setting(std::string_view application, std::string_view key, const term& value,
                                std::string_view wanted);

class application_module {
 public:
  virtual ~application_module() = default;
  virtual result<child_started> start(start_type type, const term& argument) = 0;
  virtual result<void> start_phase(std::string_view phase, start_type type, const term& argument) = 0;
  virtual void prep_stop() = 0;
  virtual void stop() = 0;
  virtual void config_change(const env_changes& changes) = 0;
};

struct application_definition {
  application_spec spec{};
  std::string_view module{};
  std::unique_ptr<application_module> (*make)() = nullptr;  // null: nothing runs
  bool phases = false;
  bool prepares_stop = false;
  std::vector<application_definition> included{};
};

template <class T>
constexpr auto judge_application() {
  if constexpr (!requires {
                  { T::application() } -> std::convertible_to<application_spec>;
                })
    return std::type_identity<missing_application<T>>();
  else
    return std::type_identity<fine>();
}
template <class T>
concept describes_application = std::is_same_v<decltype(judge_application<T>()), std::type_identity<fine>>;

template <class T>
concept starts_with_type = requires(T& m, start_type t, const term& a) { m.start(t, a); };
template <class T>
concept starts_with_argument = requires(T& m, const term& a) { m.start(a); };
template <class T>
concept starts_plain = requires(T& m) { m.start(); };
template <class T>
concept starts_something = starts_with_type<T> || starts_with_argument<T> || starts_plain<T>;
template <class T>
concept has_phases = requires(T& m, start_type t, const term& a) {
  { m.start_phase(std::string_view(), t, a) } -> std::convertible_to<result<void>>;
};
template <class T>
concept has_prep_stop = requires(T& m) { m.prep_stop(); };

template <class T>
class typed_application final : public application_module {
 public:
  result<child_started> start(start_type type, const term& argument) override {
    if constexpr (starts_with_type<T>)
      return made(object_.start(type, argument));
    else if constexpr (starts_with_argument<T>)
      return made(object_.start(argument));
    else
      return made(object_.start());
  }
  result<void> start_phase(std::string_view phase, start_type type, const term& argument) override {
    if constexpr (has_phases<T>) return object_.start_phase(phase, type, argument);
    return {};
  }
  // One that fails leaves the state as it was, where that can be had.
  void prep_stop() override {
    if constexpr (has_prep_stop<T> && std::is_copy_constructible_v<T> && std::is_move_assignable_v<T>) {
      T copy(object_);
      copy.prep_stop();
      object_ = std::move(copy);
    } else if constexpr (has_prep_stop<T>) {
      object_.prep_stop();
    }
  }
  void stop() override {
    if constexpr (requires { object_.stop(); }) object_.stop();
  }
  void config_change(const env_changes& changes) override {
    if constexpr (requires { object_.config_change(changes); }) object_.config_change(changes);
  }

 private:
  template <class R>
  static result<child_started> made(R&& r) {
    static_assert(start_result<std::decay_t<R>>, "start returns a pid, a server, child_started, or a result of one");
    return start_result_of<std::decay_t<R>>::make(std::decay_t<R>(std::forward<R>(r)));
  }
  T object_;
};

template <class T>
application_definition define_application();
template <class... Modules>
std::vector<application_definition> define_all(application_list<Modules...>) {
  return {define_application<Modules>()...};
}
template <class T>
application_definition define_application() {
  application_definition d{.spec = T::application(), .module = type_name<T>};
  if constexpr (starts_something<T>)
    d.make = []() -> std::unique_ptr<application_module> { return std::make_unique<typed_application<T>>(); };
  d.phases = has_phases<T>;
  d.prepares_stop = has_prep_stop<T>;
  if constexpr (requires { typename T::included_applications; })
    d.included = define_all(typename T::included_applications());
  return d;
}

result<void> load_application(application_definition definition);
std::optional<term> env_value(std::string_view application, std::string_view key);
/// Why there is no such setting: not_loaded, or not_found with the settings that there are.
exit_reason no_setting(std::string_view application, std::string_view key);

// From text, as files and environment variables have it. False: it is none.
bool setting_from(std::string_view text, bool& value) noexcept;
bool setting_from(std::string_view text, std::int64_t& value) noexcept;
bool setting_from(std::string_view text, std::uint64_t& value) noexcept;
bool setting_from(std::string_view text, double& value) noexcept;
bool setting_from(std::string_view text, duration& value) noexcept;  // "250ms", "5s", "2min", "1h", "infinity"
/// The length in a term of any usual unit.
std::optional<duration> duration_in(const term& value) noexcept;
/// The number in a term of any integer type.
std::optional<std::int64_t> integer_in(const term& value) noexcept;

template <class T>
constexpr bool is_duration = false;
template <class Rep, class Period>
constexpr bool is_duration<std::chrono::duration<Rep, Period>> = true;

template <class T>
constexpr std::string_view setting_words() {
  if constexpr (std::is_same_v<T, bool>)
    return "true or false";
  else if constexpr (std::is_integral_v<T>)
    return std::is_signed_v<T> ? "a whole number that fits" : "a whole number from 0 on that fits";
  else if constexpr (std::is_floating_point_v<T>)
    return "a number";
  else if constexpr (is_duration<T>)
    return "a time such as 250ms, 5s, 2min, 1h or infinity";
  else if constexpr (std::is_same_v<T, std::string>)
    return "text";
  else
    return type_name<T>;
}
template <class T>
std::optional<T> setting_as(const term& value) {
  if (const T* same = value.get_if<T>()) return *same;
  const std::string* text = value.get_if<std::string>();
  if constexpr (std::is_same_v<T, bool>) {
    bool b = false;
    if (text && setting_from(*text, b)) return b;
  } else if constexpr (std::is_integral_v<T>) {
    if (auto n = integer_in(value)) {
      if constexpr (std::is_signed_v<T>) {
        if (*n >= std::numeric_limits<T>::min() && *n <= std::numeric_limits<T>::max()) return static_cast<T>(*n);
      } else {
        if (*n >= 0 && static_cast<std::uint64_t>(*n) <= std::numeric_limits<T>::max()) return static_cast<T>(*n);
      }
      return std::nullopt;
    }
    if constexpr (std::is_signed_v<T>) {
      std::int64_t n = 0;
      if (text && setting_from(*text, n) && n >= std::numeric_limits<T>::min() && n <= std::numeric_limits<T>::max())
        return static_cast<T>(n);
    } else {
      std::uint64_t n = 0;
      if (text && setting_from(*text, n) && n <= std::numeric_limits<T>::max()) return static_cast<T>(n);
    }
  } else if constexpr (std::is_floating_point_v<T>) {
    double d = 0;
    if (const double* same = value.get_if<double>()) return static_cast<T>(*same);
    if (auto n = integer_in(value)) return static_cast<T>(*n);
    if (text && setting_from(*text, d)) return static_cast<T>(d);
  } else if constexpr (is_duration<T>) {
    duration d{};
    if (auto same = duration_in(value)) return std::chrono::duration_cast<T>(*same);
    if (text && setting_from(*text, d)) return std::chrono::duration_cast<T>(d);
  }
  return std::nullopt;
}
/// Durations of any unit are kept as one type.
template <class T>
term setting_term(T&& value) {
  if constexpr (is_duration<std::decay_t<T>>)
    return term(duration(value));
  else
    return term(std::forward<T>(value));
}

}  // namespace detail

/// What happens when the whole system stops.
struct system_shutdown {
  duration timeout = infinity;                      ///< an application that takes longer to stop is killed
  void (*first)(const exit_reason& why) = nullptr;  ///< called before any application is stopped
};

struct application {
  // ---- loading ---------------------------------------------------------------------------------------------------

  /// Makes it known, with its settings, and those that it includes. Starts nothing. Errors: already_loaded.
  /// bad_argument lists every fault of the spec.
  template <class Module>
    requires detail::describes_application<Module>
  static result<void> load() {
    return detail::load_application(detail::define_application<Module>());
  }
  template <class Module>
    requires(!detail::describes_application<Module>)
  static missing_application<Module> load();
  /// One without code: its settings, and what it stands for.
  static result<void> load(application_spec spec);
  /// Forgets it and its settings, and those that it includes unless they run. Errors: not_loaded, running.
  static result<void> unload(std::string_view name);
  static std::optional<application_spec> spec(std::string_view name);
  /// One part of the spec: "name", "description", "vsn", "applications", "optional_applications",
  /// "included_applications", "env", "mod", "start_phases". None for an unknown application; bad_argument for another
  /// key.
  static std::optional<term> get_key(std::string_view name, std::string_view key);
  static std::vector<application_info> loaded_applications();
  /// Those that run, the last started first.
  static std::vector<application_info> started_applications();

  // ---- starting --------------------------------------------------------------------------------------------------

  /// Starts it and returns when start() and its phases have. `permanent`: its end, or a start() that fails, ends the
  /// program; `transient`: unless the reason is `normal`; `temporary`: it is only reported. Waits for a stop of it, and
  /// for another start of it, whose result it returns; but a process of the application itself is answered `stopping`
  /// or `already_started` at once.
  static result<void> start(std::string_view name, restart_type type = temporary);
  /// Loads it before, if needed.
  template <class Module>
    requires detail::describes_application<Module>
  static result<void> start(restart_type type = temporary) {
    if (auto loaded = ensure_loaded<Module>(); !loaded) return loaded;
    return start(std::string_view(Module::application().name), type);
  }
  template <class Module>
    requires(!detail::describes_application<Module>)
  static missing_application<Module> start(restart_type = temporary);
  /// Also good if it runs already.
  static result<void> ensure_started(std::string_view name, restart_type type = temporary);
  /// It and all that it needs, what is needed first; one that runs is left alone. Returns what this call has started,
  /// in order; if one fails, those are stopped again and the error is start_failed.
  static result<std::vector<std::string>> ensure_all_started(std::string_view name, restart_type type = temporary);
  static result<std::vector<std::string>> ensure_all_started(const std::vector<std::string>& names,
                                                             restart_type type = temporary);
  static result<std::vector<std::string>> ensure_all_started(std::initializer_list<std::string_view> names,
                                                             restart_type type = temporary);

  // ---- stopping --------------------------------------------------------------------------------------------------

  /// Stops it, not what it needs or what needs it; it stays loaded. Good, once, if it has ended by itself: until then
  /// what needs it can still be started. Waits for another stop of it. Errors: not_started.
  static result<void> stop(std::string_view name);
  /// Of applications that are started from now on.
  static void set_shutdown(system_shutdown how);

  // ---- looking ---------------------------------------------------------------------------------------------------

  /// The application that a process belongs to: whoever was spawned by its top process, or by one of those.
  static std::optional<std::string> get_application(otp::pid process = self());
  /// Its top process. Asks nobody. Errors: not_started, stopping.
  static result<otp::pid> top_process(std::string_view name);

  // ---- settings --------------------------------------------------------------------------------------------------

  /// A setting; none if there is no such application or setting. bad_argument if it is no `T`: text from a file or a
  /// variable is read as numbers, bools and durations.
  template <class T>
  static std::optional<T> get_env(std::string_view name, std::string_view key) {
    auto value = detail::env_value(name, key);
    if (!value) return std::nullopt;
    if (auto typed = detail::setting_as<T>(*value)) return typed;
    detail::wrong_setting(name, key, *value, detail::setting_words<T>());
  }
  template <class T>
  static T get_env(std::string_view name, std::string_view key, std::type_identity_t<T> otherwise) {
    auto value = get_env<T>(name, key);
    return value ? std::move(*value) : std::move(otherwise);
  }
  /// Errors: not_loaded, not_found; the latter names the settings that there are.
  template <class T>
  static result<T> fetch_env(std::string_view name, std::string_view key) {
    auto value = get_env<T>(name, key);
    if (!value) return std::unexpected(detail::no_setting(name, key));
    return std::move(*value);
  }
  /// The same, thrown as bad_argument.
  template <class T>
  static T require_env(std::string_view name, std::string_view key) {
    auto value = fetch_env<T>(name, key);
    if (!value) throw bad_argument(value.error().to_string());
    return std::move(*value);
  }
  static std::vector<env_entry> get_all_env(std::string_view name);
  /// Takes effect at once, for all processes; also before the application is loaded.
  template <class T>
  static void put_env(std::string_view name, std::string_view key, T&& value) {
    put_setting(name, key, detail::setting_term(std::forward<T>(value)));
  }
  static void put_all_env(std::string_view name, const std::vector<env_entry>& values);
  static void delete_env(std::string_view name, std::string_view key);

  /// Reads settings from a file, which then go before the defaults of the specs, also of applications that are loaded
  /// later. Lines `[application]`, then `key = value`; `#` begins a comment, quotes keep blanks. A fault names file and
  /// line, and changes nothing. Running applications whose settings change get one config_change() each.
  static result<void> load_config(const std::string& path);
  /// The same from text.
  static result<void> load_config_text(std::string_view text, std::string_view origin);
  /// Takes each setting of a loaded application from the environment variable APPLICATION_KEY, if there is one; if it
  /// runs, what changed is told it as by load_config().
  static result<void> load_config_from_variables(std::string_view name);

 private:
  template <class Module>
  static result<void> ensure_loaded() {
    if (spec(Module::application().name)) return {};
    return load<Module>();
  }
  static void put_setting(std::string_view name, std::string_view key, term value);
};

}  // namespace otp
