// What a supervisor needs to know of a child: who it is, how it is started, restarted and stopped.
//
// Shape   a child_spec is a value: copies share one immutable start function, which runs in the supervisor, as often as
//         the child has to be started. `otp::child<T>(args...)` makes one for T; its setters change what T did not say.
// Units   shutdown is a duration; the default is 5 s for workers, infinity for supervisors.
// Errors  a spec is judged when a supervisor is given it: every fault is listed with what to write instead.
//         `otp::child<T>` of a type that nothing can start does not compile.
// Source  supervisor's child specifications. Differs: the start function is a C++ function with its arguments inside.
#pragma once
#include <otp/detail/reference_count.hpp>
#include <otp/detail/supervisor_kinds.hpp>
#include <otp/gen_server.hpp>

#include <tuple>

namespace otp {

enum class restart_type : std::uint8_t {
  permanent,  ///< always restarted
  transient,  ///< restarted unless it ended with normal, shutdown or {shutdown, x}
  temporary,  ///< never restarted, and forgotten when it ends
};
using enum restart_type;

enum class child_type : std::uint8_t { worker, supervisor };

struct brutal_kill_t {};
/// The child is killed at once.
inline constexpr brutal_kill_t brutal_kill{};

/// How long a child may take to end after it was sent `shutdown`, until it is killed.
class shutdown_time {
 public:
  template <class Rep, class Period>
  constexpr shutdown_time(std::chrono::duration<Rep, Period> time)
      : time_(std::chrono::duration_cast<duration>(time)) {}
  constexpr shutdown_time(brutal_kill_t) : kind_(kind::brutal) {}

  static constexpr shutdown_time default_of(child_type type) {
    return type == child_type::supervisor ? shutdown_time(infinity) : shutdown_time(std::chrono::seconds(5));
  }
  constexpr bool is_brutal_kill() const { return kind_ == kind::brutal; }
  constexpr bool is_infinity() const { return kind_ == kind::time && time_ == infinity; }
  constexpr duration time() const { return time_; }  ///< 0 for brutal_kill
  std::string to_string() const;
  friend constexpr bool operator==(const shutdown_time&, const shutdown_time&) = default;

 private:
  enum class kind : std::uint8_t { time, brutal };
  duration time_{};
  kind kind_ = kind::time;
};

// ---- ids ---------------------------------------------------------------------------------------------------------

namespace detail {

std::uint64_t text_hash(std::string_view text) noexcept;
std::uint64_t number_hash(std::uint64_t number) noexcept;
std::uint64_t term_hash(const term& value) noexcept;

/// Several values as one id: ("db_connection", 3).
struct compound_id {
  std::vector<term> parts;
  std::string to_string() const;
  friend bool operator==(const compound_id&, const compound_id&) = default;
};

template <class T>
concept process_like = std::is_convertible_v<T, otp::pid>;

}  // namespace detail

/// What tells the children of a supervisor apart: any value, or several.
class child_id {
 public:
  child_id() = default;
  child_id(term value) : value_(std::move(value)), hash_(detail::term_hash(value_)) {}
  template <class T>
    requires(!std::is_same_v<std::remove_cvref_t<T>, child_id> && !std::is_same_v<std::remove_cvref_t<T>, term>)
  child_id(T&& value) : child_id(as_term(std::forward<T>(value))) {}
  template <class First, class Second, class... Rest>
  child_id(First&& first, Second&& second, Rest&&... rest)
      : child_id(term(detail::compound_id{{term(std::forward<First>(first)), term(std::forward<Second>(second)),
                                           term(std::forward<Rest>(rest))...}})) {}

  bool empty() const noexcept { return value_.empty(); }
  const term& value() const noexcept { return value_; }
  std::uint64_t hash() const noexcept { return hash_; }
  std::string to_string() const { return value_.empty() ? "undefined" : value_.to_string(); }
  friend bool operator==(const child_id& a, const child_id& b) noexcept {
    return a.hash_ == b.hash_ && a.value_ == b.value_;
  }

 private:
  template <class T>
  static term as_term(T&& value) {
    if constexpr (detail::process_like<T>)
      return term(otp::pid(value));
    else
      return term(std::forward<T>(value));
  }
  term value_;
  std::uint64_t hash_ = 0;
};

// ---- starting ----------------------------------------------------------------------------------------------------

/// What a start function gives: the new process, and what else it wants the asker to know.
struct child_started {
  otp::pid process{};
  term info{};
};

/// Arguments that come when the child is started: of a start_child call (simple_one_for_one), or of a dynamic
/// supervisor for all its children. Made by otp::extra.
class extra_arguments {
 public:
  extra_arguments() = default;
  explicit extra_arguments(term tuple) : tuple_(std::move(tuple)) {}
  bool empty() const noexcept { return tuple_.empty(); }
  const term& tuple() const noexcept { return tuple_; }

 private:
  term tuple_;
};
namespace detail {
/// Kept as one value; without a ==, which the single ones need not have.
template <class... Args>
struct arguments {
  std::tuple<Args...> values;
};
}  // namespace detail
template <class... Args>
extra_arguments extra(Args&&... args) {
  if constexpr (sizeof...(Args) == 0)
    return extra_arguments();
  else
    return extra_arguments(term(detail::arguments<detail::stored_term<Args>...>{{std::forward<Args>(args)...}}));
}

template <class T, class... Args>
struct missing_start_link;  // nothing starts a `T` from these arguments: add  static result<...> start_link(Args...),
                            // or make it a gen_server (a constructor or static init for them), or a supervisor module

namespace detail {

/// Which side extra arguments come on.
enum class extra_side : std::uint8_t { after, before };

/// An immutable start function, shared by copies of its child_spec.
struct child_starter {
  child_starter() = default;
  child_starter(const child_starter&) = delete;
  child_starter& operator=(const child_starter&) = delete;
  virtual ~child_starter() = default;
  virtual result<child_started> start(const extra_arguments& extra, extra_side side) const = 0;
  virtual std::string_view module() const noexcept = 0;
  virtual std::string to_string() const = 0;
  std::atomic<std::uint32_t> references{1};
};

class starter_pointer {
 public:
  starter_pointer() = default;
  explicit starter_pointer(child_starter* owned) noexcept : starter_(owned) {}
  starter_pointer(const starter_pointer& other) noexcept : starter_(other.starter_) {
    if (starter_) starter_->references.fetch_add(1, std::memory_order_relaxed);  // the copier already holds one
  }
  starter_pointer(starter_pointer&& other) noexcept : starter_(std::exchange(other.starter_, nullptr)) {}
  starter_pointer& operator=(starter_pointer other) noexcept {
    std::swap(starter_, other.starter_);
    return *this;
  }
  ~starter_pointer() {
    if (starter_ && detail::drop_reference(starter_->references)) delete starter_;
  }
  explicit operator bool() const noexcept { return starter_; }
  const child_starter* operator->() const noexcept { return starter_; }

 private:
  child_starter* starter_ = nullptr;
};

/// The failure of a start function that returned neither a process nor a reason.
exit_reason no_process_returned();
exit_reason wrong_extra(std::string_view starter, std::string_view given, std::string_view taken);

template <class R>
struct start_result_of {
  static constexpr bool good = false;
};
template <>
struct start_result_of<child_started> {
  static constexpr bool good = true;
  static result<child_started> make(child_started&& r) {
    if (!r.process) return std::unexpected(no_process_returned());
    return std::move(r);
  }
};
template <>
struct start_result_of<started> {
  static constexpr bool good = true;
  static result<child_started> make(started&& r) {
    return start_result_of<child_started>::make({r.process, std::move(r.value)});
  }
};
template <class R>
  requires process_like<R>
struct start_result_of<R> {
  static constexpr bool good = true;
  static result<child_started> make(R&& r) { return start_result_of<child_started>::make({otp::pid(r), {}}); }
};
template <>
struct start_result_of<spawned> {
  static constexpr bool good = true;
  static result<child_started> make(spawned&& r) { return start_result_of<child_started>::make({r.pid, {}}); }
};
template <>
struct start_result_of<void> {
  static constexpr bool good = true;
};
template <class T>
  requires start_result_of<T>::good
struct start_result_of<result<T>> {
  static constexpr bool good = true;
  static result<child_started> make(result<T>&& r) {
    if (!r) return std::unexpected(std::move(r.error()));
    if constexpr (std::is_void_v<T>)
      return std::unexpected(no_process_returned());
    else
      return start_result_of<T>::make(std::move(*r));
  }
};

/// What a start function may return: a pid, a server, child_started, or a result of one.
template <class R>
concept start_result = start_result_of<R>::good && !std::is_void_v<R>;

template <class T, class... Args>
concept has_start_link = requires(Args... args) {
  { T::start_link(std::move(args)...) } -> start_result;
};
/// Function objects and pointers that may hold nothing; a lambda never does.
template <class F>
concept can_be_empty = std::is_pointer_v<F> ||
                       (std::is_class_v<F> && std::is_constructible_v<bool, const F&> && !requires(const F& f) { +f; });
template <class Module, class... Args>
result<server<Module>> start_supervisor_module(start_options options, Args&&... args);  // supervisor.hpp
template <class Machine, class... Args>
result<server<Machine>> start_machine(start_options options, bool link, Args&&... args);  // gen_statem.hpp
template <class T, class... Args>
concept plain_server = std::is_constructible_v<T, Args...> || requires(Args... args) { T{std::move(args)...}; } ||
                       has_static_init<T, Args...>;
template <class T, class... Args>
concept startable = has_start_link<T, Args...> || supervisor_module<T, Args...> || plain_server<T, Args...>;

/// Starts a T, linked to the caller: by its start_link, or as the behaviour that it models.
template <class T, class... Args>
result<child_started> start_as(Args... args) {
  if constexpr (has_start_link<T, Args...>) {
    using returned = std::decay_t<decltype(T::start_link(std::move(args)...))>;
    return start_result_of<returned>::make(T::start_link(std::move(args)...));
  } else if constexpr (supervisor_module<T, Args...>) {
    auto made = start_supervisor_module<T>({}, std::move(args)...);
    if (!made) return std::unexpected(std::move(made.error()));
    return child_started{made->pid(), {}};
  } else if constexpr (state_machine<T>) {
    auto made = start_machine<T>({}, true, std::move(args)...);
    if (!made) return std::unexpected(std::move(made.error()));
    return child_started{made->pid(), {}};
  } else {
    auto made = gen_server::start_link<T>({}, std::move(args)...);
    if (!made) return std::unexpected(std::move(made.error()));
    return child_started{made->pid(), {}};
  }
}

/// Whether a supervisor is what start_as starts.
template <class T, class... Args>
constexpr bool starts_as_supervisor() {
  if constexpr (has_start_link<T, Args...>)
    return starts_supervisor<std::decay_t<decltype(T::start_link(std::declval<Args>()...))>>;
  else
    return supervisor_module<T, Args...>;
}

std::string starter_text(std::string_view module, std::size_t arguments);

template <class T, class... Args>
struct plain_starter final : child_starter {
  template <class... Given>
  explicit plain_starter(Given&&... given) : own(std::forward<Given>(given)...) {}
  result<child_started> start(const extra_arguments& extra, extra_side) const override {
    if (!extra.empty()) return std::unexpected(wrong_extra(type_name<T>, extra.tuple().type_name(), "no"));
    return std::apply([](const Args&... args) { return start_as<T, Args...>(Args(args)...); }, own);
  }
  std::string_view module() const noexcept override { return type_name<T>; }
  std::string to_string() const override { return starter_text(type_name<T>, sizeof...(Args)); }
  std::tuple<Args...> own;
};

template <class T, class Extra, class... Args>
struct template_starter;
template <class T, class... Extra, class... Args>
struct template_starter<T, std::tuple<Extra...>, Args...> final : child_starter {
  static constexpr bool after = startable<T, Args..., Extra...>;
  static constexpr bool before = startable<T, Extra..., Args...>;
  static constexpr bool supervises = (after && starts_as_supervisor<T, Args..., Extra...>()) ||
                                     (before && starts_as_supervisor<T, Extra..., Args...>());
  template <class... Given>
  explicit template_starter(Given&&... given) : own(std::forward<Given>(given)...) {}
  result<child_started> start(const extra_arguments& given, extra_side side) const override {
    const auto* typed = given.tuple().get_if<detail::arguments<Extra...>>();
    if ((!typed && sizeof...(Extra) > 0) || (sizeof...(Extra) == 0 && !given.empty()) ||
        (side == extra_side::after ? !after : !before))
      return std::unexpected(
          wrong_extra(type_name<T>, given.tuple().type_name(), type_name<detail::arguments<Extra...>>));
    return std::apply(
        [&](const Args&... args) -> result<child_started> {
          auto with = [&](const Extra&... more) -> result<child_started> {
            if constexpr (after)
              if (side == extra_side::after) return start_as<T, Args..., Extra...>(Args(args)..., Extra(more)...);
            if constexpr (before)
              if (side == extra_side::before) return start_as<T, Extra..., Args...>(Extra(more)..., Args(args)...);
            return std::unexpected(no_process_returned());
          };
          if constexpr (sizeof...(Extra) == 0)
            return with();
          else
            return std::apply(with, typed->values);
        },
        own);
  }
  std::string_view module() const noexcept override { return type_name<T>; }
  std::string to_string() const override { return starter_text(type_name<T>, sizeof...(Args) + sizeof...(Extra)); }
  std::tuple<Args...> own;
};

template <class F>
struct function_starter final : child_starter {
  template <class G>
  explicit function_starter(G&& f) : function(std::forward<G>(f)) {}
  result<child_started> start(const extra_arguments& extra, extra_side) const override {
    if (!extra.empty()) return std::unexpected(wrong_extra(type_name<F>, extra.tuple().type_name(), "no"));
    using returned = std::decay_t<std::invoke_result_t<const F&>>;
    return start_result_of<returned>::make(function());
  }
  std::string_view module() const noexcept override { return type_name<F>; }
  std::string to_string() const override { return starter_text(type_name<F>, 0); }
  F function;
};

}  // namespace detail

// ---- the specification -------------------------------------------------------------------------------------------

class child_spec {
 public:
  child_spec() = default;

  /// One value or several: `.id("db_connection", 3)`.
  template <class... Values>
    requires(sizeof...(Values) > 0)
  child_spec& id(Values&&... values) & {
    id_ = child_id(std::forward<Values>(values)...);
    return *this;
  }
  /// A function that starts the child, linked to its caller, and returns what detail::start_result accepts.
  template <class F>
    requires std::copy_constructible<std::decay_t<F>> &&
             detail::start_result<std::decay_t<std::invoke_result_t<const std::decay_t<F>&>>>
  child_spec& start(F&& function) & {
    if constexpr (detail::can_be_empty<std::remove_cvref_t<F>>) {
      if (!static_cast<bool>(function)) {
        set_starter({});
        return *this;
      }
    }
    set_starter(detail::starter_pointer(new detail::function_starter<std::decay_t<F>>(std::forward<F>(function))));
    return *this;
  }
  child_spec& restart(restart_type type) & {
    restart_ = type;
    return *this;
  }
  child_spec& shutdown(shutdown_time time) & {
    shutdown_ = time;
    shutdown_given_ = true;
    return *this;
  }
  child_spec& type(child_type type) & {
    type_ = type;
    return *this;
  }
  child_spec& modules(std::vector<std::string> names) & {
    modules_ = term(std::move(names));
    return *this;
  }
  /// Its end may end the supervisor: see auto_shutdown.
  child_spec& significant(bool yes = true) & {
    significant_ = yes;
    return *this;
  }
  template <class... Values>
    requires(sizeof...(Values) > 0)
  child_spec&& id(Values&&... values) && {
    return std::move(id(std::forward<Values>(values)...));
  }
  template <class F>
  child_spec&& start(F&& function) && {
    return std::move(start(std::forward<F>(function)));
  }
  child_spec&& restart(restart_type type) && { return std::move(restart(type)); }
  child_spec&& shutdown(shutdown_time time) && { return std::move(shutdown(time)); }
  child_spec&& type(child_type kind) && { return std::move(type(kind)); }
  child_spec&& modules(std::vector<std::string> names) && { return std::move(modules(std::move(names))); }
  child_spec&& significant(bool yes = true) && { return std::move(significant(yes)); }

  const child_id& id() const noexcept { return id_; }
  restart_type restart() const noexcept { return restart_; }
  shutdown_time shutdown() const noexcept { return shutdown_given_ ? shutdown_ : shutdown_time::default_of(type_); }
  child_type type() const noexcept { return type_; }
  bool is_significant() const noexcept { return significant_; }
  /// The start function's module unless others were given.
  std::vector<std::string> modules() const;
  /// False for a temporary child that has been started: its supervisor keeps no arguments.
  bool has_start() const noexcept { return static_cast<bool>(start_); }
  /// The start function as text: "db_connection::start_link/1".
  std::string start_text() const;
  std::string to_string() const;

  // For supervisors.
  const detail::starter_pointer& starter() const noexcept { return start_; }
  void set_starter(detail::starter_pointer starter) noexcept {
    start_ = std::move(starter);
    module_ = start_ ? start_->module() : std::string_view();
  }
  /// What is kept of a temporary child that runs.
  void drop_start() noexcept { start_ = {}; }
  /// Everything wrong with it, one sentence each; `place` says which one it is.
  std::vector<std::string> faults(bool needs_id, const std::string& place) const;

 private:
  child_id id_;
  detail::starter_pointer start_;
  std::string_view module_;  // of the start function: a type's name, of static life
  term modules_;
  shutdown_time shutdown_ = shutdown_time(std::chrono::seconds(5));
  restart_type restart_ = restart_type::permanent;
  child_type type_ = child_type::worker;
  bool significant_ = false;
  bool shutdown_given_ = false;
};

namespace detail {

template <class Arg>
constexpr auto judge_child_argument() {
  if constexpr (std::is_copy_constructible_v<Arg>)
    return std::type_identity<fine>();
  else
    return std::type_identity<not_copyable<Arg>>();
}
// Whether copies of these arguments start a `T`.
template <class T, class... Args>
constexpr auto judge_child() {
  if constexpr (!startable<T, Args...>)
    return std::type_identity<missing_start_link<T, Args...>>();
  else if constexpr (has_start_link<T, Args...> || supervisor_module<T, Args...> || state_machine<T>)
    return first_problem(judge_child_argument<Args>()..., std::type_identity<fine>());
  else
    return first_problem(judge_child_argument<Args>()..., std::type_identity<start_problem<T, Args...>>());
}
template <class T, class... Args>
using child_problem = typename decltype(judge_child<T, std::decay_t<Args>...>())::type;
template <class T, class... Args>
concept makes_child = std::is_same_v<child_problem<T, Args...>, fine>;
template <class T, class... Args>
concept has_child_spec = requires(Args&&... args) {
  { T::child_spec(std::forward<Args>(args)...) } -> std::same_as<otp::child_spec>;
};

}  // namespace detail

/// The spec of a `T` that is started with copies of these arguments, without asking T for one of its own.
template <class T, class... Args>
  requires detail::makes_child<T, Args...>
child_spec default_child(Args&&... args) {
  child_spec spec;
  spec.id(std::string(detail::type_name<T>));
  spec.set_starter(
      detail::starter_pointer(new detail::plain_starter<T, std::decay_t<Args>...>(std::forward<Args>(args)...)));
  if constexpr (detail::starts_as_supervisor<T, std::decay_t<Args>...>()) spec.type(child_type::supervisor);
  return spec;
}
template <class T, class... Args>
  requires(!detail::makes_child<T, Args...>)
detail::child_problem<T, Args...> default_child(Args&&...);

/// The spec of a `T`: what `T::child_spec(args...)` says if there is one, else one that starts it by
/// `T::start_link(args...)` if there is one, else as the supervisor, state machine or gen_server that T is. It is of
/// the type supervisor if T's init or what start_link returns says that one is started: `result<server<supervisor>>`.
template <class T, class... Args>
  requires detail::has_child_spec<T, Args...> || detail::makes_child<T, Args...>
child_spec child(Args&&... args) {
  if constexpr (detail::has_child_spec<T, Args...>)
    return T::child_spec(std::forward<Args>(args)...);
  else
    return default_child<T>(std::forward<Args>(args)...);
}
template <class T, class... Args>
  requires(!(detail::has_child_spec<T, Args...> || detail::makes_child<T, Args...>))
detail::child_problem<T, Args...> child(Args&&...);

/// The spec of children that are started with arguments of the types `Extra...` besides these.
template <class T, class... Extra, class... Args>
child_spec child_template(Args&&... args) {
  using starter = detail::template_starter<T, std::tuple<detail::stored_term<Extra>...>, std::decay_t<Args>...>;
  child_spec spec;
  if constexpr (!starter::after && !starter::before) {
    static_cast<void>(sizeof(missing_start_link<T, std::decay_t<Args>..., detail::stored_term<Extra>...>));
  } else {
    spec.id(std::string(detail::type_name<T>));
    spec.set_starter(detail::starter_pointer(new starter(std::forward<Args>(args)...)));
    if constexpr (starter::supervises) spec.type(child_type::supervisor);
  }
  return spec;
}

/// The spec of a child that a function starts.
template <class F>
child_spec child_function(child_id id, F&& function) {
  child_spec spec;
  spec.id(std::move(id)).start(std::forward<F>(function));
  return spec;
}

}  // namespace otp
