// A process whose children are processes: it starts them in order, restarts those that fail, and stops them in reverse
// order when it ends.
//
// Shape   a supervisor_spec says which children and by what strategy; start_link starts the supervisor and all of them
//         before it returns. Or a module: a struct with `static supervisor_spec init(args...)` (or supervisor_init,
//         which can also say otp::ignore()), started by start_link<Module>(options, args...).
//         Children are added, stopped and looked at by requests to the supervisor; it serves one thing at a time.
// Units   max_restarts restarts within max_seconds are tolerated, one that is exactly max_seconds old still counts.
//         Requests wait without limit.
// Errors  start_link: bad_argument that lists every fault of the spec, before anything starts; already_started;
//         {shutdown, failed_to_start_child}; ignore. Requests return reasons (already_present, not_found, running ...)
//         and exit the caller as otp::call does if the supervisor is not there.
// Source  supervisor and Elixir's Supervisor. Differs: when the whole runtime stops, its budget overrides a child's
//         `infinity` (docs/decisions/0005-supervisors.md).
#pragma once
#include <otp/child_spec.hpp>

namespace otp {

enum class strategy : std::uint8_t {
  one_for_one,         ///< only the child that ended is restarted
  rest_for_one,        ///< and those that were started after it
  one_for_all,         ///< and all others
  simple_one_for_one,  ///< one template; children are added with arguments of their own, see start_child
};
using enum strategy;

/// Whether the end of significant children ends the supervisor, with `shutdown`.
enum class auto_shutdown : std::uint8_t { never, any_significant, all_significant };
inline constexpr auto_shutdown any_significant = auto_shutdown::any_significant;
inline constexpr auto_shutdown all_significant = auto_shutdown::all_significant;

struct supervisor_spec {
  std::optional<otp::strategy> strategy{};  ///< has to be given
  int max_restarts = 3;
  duration max_seconds = std::chrono::seconds(5);
  otp::auto_shutdown auto_shutdown = otp::auto_shutdown::never;
  std::vector<child_spec> children{};
};

/// The flags of the low-level form, with OTP's defaults.
struct supervisor_flags {
  otp::strategy strategy = one_for_one;
  int intensity = 1;
  duration period = std::chrono::seconds(5);
  otp::auto_shutdown auto_shutdown = otp::auto_shutdown::never;
};

/// What the init of a supervisor module may return besides a supervisor_spec: flags and children, or otp::ignore().
class supervisor_init {
 public:
  supervisor_init(supervisor_spec spec) : spec_(std::move(spec)) {}
  supervisor_init(supervisor_flags flags, std::vector<child_spec> children)
      : spec_{flags.strategy, flags.intensity, flags.period, flags.auto_shutdown, std::move(children)} {}
  supervisor_init(detail::init_refusal refusal) : refusal_(std::move(refusal)) {}

  supervisor_spec& spec() noexcept { return spec_; }
  const std::optional<detail::init_refusal>& refusal() const noexcept { return refusal_; }

 private:
  supervisor_spec spec_;
  std::optional<detail::init_refusal> refusal_;
};

/// Why a supervisor did not start, as the value of {shutdown, value}.
struct failed_to_start_child {
  child_id id;
  exit_reason reason;
  std::string to_string() const;
  friend bool operator==(const failed_to_start_child&, const failed_to_start_child&) = default;
};

enum class child_state : std::uint8_t {
  running,
  undefined,   ///< no process: it was stopped, ended, or declined to start
  restarting,  ///< its last restart failed and is tried again
};

struct child_info {
  child_id id;       ///< undefined for the children of dynamic supervisors
  otp::pid process;  ///< none unless it is running
  child_state state;
  child_type type;
  std::vector<std::string> modules;
};

struct child_counts {
  std::size_t specs = 0;
  std::size_t active = 0;  ///< children whose process is alive
  std::size_t supervisors = 0;
  std::size_t workers = 0;
  std::uint64_t refused = 0;  ///< children that a dynamic supervisor refused with max_children
};

/// Whom a request is for: a pid, a server reference, a name of any kind.
class supervisor_ref {
 public:
  supervisor_ref(otp::pid process) : pid_(process) {}
  template <class Server>
  supervisor_ref(server<Server> process) : pid_(process.pid()) {}
  template <class Name>
    requires(std::is_constructible_v<server_name, Name> && !detail::process_like<Name>)
  supervisor_ref(Name&& name) : name_(std::forward<Name>(name)) {}

  std::optional<otp::pid> find() const;
  std::string to_string() const;

 private:
  otp::pid pid_;
  server_name name_;
};

namespace detail {

/// What a supervisor is to do, whatever its kind: the result of its init.
struct supervisor_plan {
  enum class kind : std::uint8_t { ordinary, dynamic, partition } what = kind::ordinary;
  otp::strategy strategy = one_for_one;
  bool strategy_missing = false;
  otp::auto_shutdown auto_shutdown = otp::auto_shutdown::never;
  int max_restarts = 3;
  duration max_seconds = std::chrono::seconds(5);
  std::int64_t max_children = INT64_MAX;
  extra_arguments extra;
  std::vector<child_spec> children;
  std::optional<init_refusal> refusal;

  /// bad_argument with every fault, or nothing.
  std::optional<exit_reason> check() const;
};

supervisor_plan plan_of(supervisor_init init);
template <class R>
  requires std::is_same_v<R, supervisor_spec> || std::is_same_v<R, supervisor_init>
struct supervisor_init_result<R> {
  static constexpr bool is = true;
  static supervisor_plan plan(R init) { return plan_of(supervisor_init(std::move(init))); }
};

/// Makes the plan, in the new process.
struct plan_maker {
  virtual ~plan_maker() = default;
  virtual supervisor_plan make() = 0;
};
template <class Module, class... Args>
struct module_plan_maker final : plan_maker {
  template <class... Given>
  explicit module_plan_maker(Given&&... given) : arguments(std::forward<Given>(given)...) {}
  supervisor_plan make() override {
    return std::apply(
        [](Args&... args) {
          using init = std::decay_t<decltype(Module::init(std::move(args)...))>;
          return supervisor_init_result<init>::plan(Module::init(std::move(args)...));
        },
        arguments);
  }
  std::tuple<Args...> arguments;
};

template <std::size_t N>
struct static_text {
  char text[N]{};
};
/// "supervisor:" and the module's name: the type of the process.
template <class Module>
inline constexpr auto module_type_text = [] {
  constexpr std::string_view before = "supervisor:";
  constexpr std::string_view name = type_name<Module>;
  static_text<before.size() + name.size()> t;
  std::size_t at = 0;
  for (char c : before) t.text[at++] = c;
  for (char c : name) t.text[at++] = c;
  return t;
}();
template <class Module>
inline constexpr std::string_view module_type{module_type_text<Module>.text, sizeof(module_type_text<Module>.text)};

/// `type` is the process's type, of static life; `module` the callback module.
result<pid> start_supervisor(std::unique_ptr<plan_maker> maker, const std::string_view& type, std::string_view module,
                             start_options options);
result<pid> start_supervisor(supervisor_plan plan, const std::string_view& type, start_options options);

template <class Module, class... Args>
result<server<Module>> start_supervisor_module(start_options options, Args&&... args) {
  auto made =
      start_supervisor(std::make_unique<module_plan_maker<Module, std::decay_t<Args>...>>(std::forward<Args>(args)...),
                       module_type<Module>, type_name<Module>, std::move(options));
  if (!made) return std::unexpected(std::move(made.error()));
  return server<Module>(*made);
}

// Requests to any kind of supervisor; `function` names the public one in the reason of a failed call.
std::vector<child_info> which_children(const supervisor_ref& who);
child_counts count_children(const supervisor_ref& who);
result<child_started> start_child(const supervisor_ref& who, child_spec spec);
result<void> terminate_child(const supervisor_ref& who, const child_id& id);
void stop_supervisor(const supervisor_ref& who, exit_reason why, duration timeout);
std::string callback_module(const supervisor_ref& who);

}  // namespace detail

struct supervisor {
  /// Starts a supervisor and its children, linked to the caller.
  [[nodiscard]] static result<server<supervisor>> start_link(supervisor_spec spec, start_options options = {});
  /// Starts the supervisor that Module::init(args...) describes. Its init runs in the new process.
  template <class Module, class... Args>
    requires detail::supervisor_module<Module, std::decay_t<Args>...>
  [[nodiscard]] static result<server<Module>> start_link(start_options options = {}, Args&&... args) {
    return detail::start_supervisor_module<Module>(std::move(options), std::forward<Args>(args)...);
  }
  /// bad_argument that lists every fault of the spec; starts nothing.
  static result<void> check(const supervisor_spec& spec);

  /// Adds a child behind all others and starts it. A child that declines to start is kept, with no process.
  /// Errors: already_started with the process, already_present, bad_argument, stopping, or why the start failed.
  static result<child_started> start_child(const supervisor_ref& who, child_spec spec) {
    return detail::start_child(who, std::move(spec));
  }
  /// simple_one_for_one: starts a child of the template with these arguments after the template's own.
  static result<child_started> start_child(const supervisor_ref& who, extra_arguments extra);
  /// Stops a child, which is then not restarted; its spec stays, unless it is temporary.
  /// simple_one_for_one takes a pid. Errors: not_found, simple_one_for_one.
  static result<void> terminate_child(const supervisor_ref& who, const child_id& id) {
    return detail::terminate_child(who, id);
  }
  /// Starts a child that has no process. Errors: running, restarting, not_found, or why the start failed.
  static result<child_started> restart_child(const supervisor_ref& who, const child_id& id);
  /// Forgets a child that has no process. Errors: running, restarting, not_found.
  static result<void> delete_child(const supervisor_ref& who, const child_id& id);

  /// The newest child comes first.
  static std::vector<child_info> which_children(const supervisor_ref& who) { return detail::which_children(who); }
  static child_counts count_children(const supervisor_ref& who) { return detail::count_children(who); }
  /// One child, by id (by pid for simple_one_for_one). Errors: not_found.
  static result<child_info> get_child(const supervisor_ref& who, const child_id& id);
  /// Its spec with all defaults filled in. Errors: not_found.
  static result<child_spec> get_childspec(const supervisor_ref& who, const child_id& id);
  /// The name of the module whose init described the supervisor; "supervisor" if there was none.
  static std::string callback_module(const supervisor_ref& who) { return detail::callback_module(who); }

  /// Stops the children with `shutdown`, ends the supervisor with `why`, and returns when it is gone.
  static void stop(const supervisor_ref& who, exit_reason why = {}, duration timeout = infinity) {
    detail::stop_supervisor(who, std::move(why), timeout);
  }
};

/// Judges specs as a supervisor would, without starting anything; significant children only if a mode is given.
result<void> check_childspecs(const std::vector<child_spec>& specs, std::optional<auto_shutdown> mode = {});

/// The spec of a child that is itself a supervisor.
child_spec child_supervisor(child_id id, supervisor_spec spec, start_options options = {});

}  // namespace otp
