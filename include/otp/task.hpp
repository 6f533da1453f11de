// A task: a process that runs one function and gives its result to the process that started it.
//
// Shape   owner --function--> task's process --result--> owner. async() links the two and lets the owner watch the
//         task; await() takes the result out of the owner's mailbox, where it arrives as a task_result<T>, followed by
//         the `down` of the monitor. Only the owner can wait. A server need not: it can list task_result<T> in its
//         messages.
// Units   timeouts are otp::duration; the default of await and yield is otp::call_timeout (5 s), otp::infinity is
//         allowed.
// Errors  await() exits the caller with {cause, await}: timeout, or the reason that the task ended with. yield()
//         returns that reason. bad_argument for who does not own the task, and for a second await. What the function
//         throws is the exit reason of the task, and through the link the owner's.
// Source  Elixir's Task. Differs: a handle that is dropped lets go of its result (docs/decisions/0008-tasks.md).
#pragma once
#include <otp/detail/task_core.hpp>

namespace otp {

template <class T>
class task;
struct task_supervisor;

// What the compiler names in its first error when a function cannot be a task.
template <class Function, class... Args>
struct not_callable_with;  // the task's function takes other arguments
template <class Task>
struct not_a_task;  // what is awaited is a task<T>, as async() returns it

/// What the owner of a task finds in its mailbox when the function has returned.
template <class T>
struct task_result {
  ref reference;  ///< task<T>::reference()
  T value;        ///< std::monostate for a function that returns nothing
  std::string to_string() const { return "{" + reference.to_string() + ", " + detail::text_of(value) + "}"; }
};

namespace detail {

template <class T>
inline constexpr bool bound_to_process<task<T>> = true;

template <class F, class... Args>
constexpr bool calls_const = requires(F& f, const Args&... args) { f(args...); };
template <class F, class... Args>
constexpr bool calls_moved = requires(F& f, Args&... args) { f(std::move(args)...); };
/// The arguments stay for the report of a failure, unless the function takes them over.
template <class F, class... Args>
  requires(calls_const<F, Args...> || calls_moved<F, Args...>)
decltype(auto) call_task(F& f, Args&... args) {
  if constexpr (calls_const<F, Args...>)
    return f(std::as_const(args)...);
  else
    return f(std::move(args)...);
}
template <class F, class... Args>
using task_return = std::decay_t<decltype(call_task(std::declval<F&>(), std::declval<Args&>()...))>;

template <class F, class... Args>
constexpr auto judge_task() {
  if constexpr (!calls_const<F, Args...> && !calls_moved<F, Args...>)
    return std::type_identity<not_callable_with<F, Args...>>();
  else if constexpr (!std::is_move_constructible_v<reply_value<task_return<F, Args...>>>)
    return std::type_identity<not_movable<task_return<F, Args...>>>();
  else if constexpr (bound_to_process<task_return<F, Args...>>)
    return std::type_identity<stays_with_its_process<task_return<F, Args...>>>();
  else if constexpr ((bound_to_process<Args> || ...))
    return first_problem(judge_storing<Args, Args&&>()...);
  else
    return std::type_identity<fine>();
}
template <class F, class... Args>
using task_problem = typename decltype(judge_task<std::decay_t<F>, std::decay_t<Args>...>())::type;
/// A function that can be a task, with its arguments.
template <class F, class... Args>
concept runs_as_task = std::is_same_v<task_problem<F, Args...>, fine>;
/// The type of its result.
template <class F, class... Args>
using task_value = task_return<std::decay_t<F>, std::decay_t<Args>...>;

template <class Address>
constexpr bool is_task_supervisor = false;
template <server_address Address>
constexpr bool is_task_supervisor<Address> = std::is_same_v<server_at<Address>, task_supervisor>;

template <class T>
inline constexpr result_envelope_type result_of_task{
    {signal::result, &record_of<task_result<T>>,
     [](envelope* e) { delete static_cast<value_envelope<task_result<T>>*>(e); },
     [](const envelope* e) -> const void* { return &static_cast<const value_envelope<task_result<T>>*>(e)->value; }},
    &value_envelope<task_result<T>>::type_of,
    [](const envelope& e) { return static_cast<const value_envelope<task_result<T>>&>(e).value.reference; }};

template <class F>
void refuse_empty_task(const F& f) {
  if constexpr (can_be_empty<F>)
    if (!static_cast<bool>(f)) throw bad_argument("a task's function object is empty; give one that can be called");
}

template <bool WithResult, class F, class... Args>
class task_call final : public task_core {
 public:
  template <class G, class... Given>
  explicit task_call(G&& f, Given&&... args) : function_(std::forward<G>(f)), arguments_(std::forward<Given>(args)...) {
    refuse_empty_task(function_);
  }
  const std::string_view& type() const noexcept override { return task_name<F>; }

 private:
  envelope* call() override {
    F function(std::move(function_));
    return std::apply(
        [&](Args&... args) -> envelope* {
          using returned = decltype(call_task(function, args...));
          if constexpr (!WithResult) {
            static_cast<void>(call_task(function, args...));
            return nullptr;
          } else if constexpr (std::is_void_v<returned>) {
            call_task(function, args...);
            return made(std::monostate());
          } else {
            return made(call_task(function, args...));
          }
        },
        arguments_);
  }
  template <class V>
  envelope* made(V&& value) const {
    using stored = std::decay_t<V>;
    auto* e = new value_envelope<task_result<stored>>(task_result<stored>{reply_to(), std::forward<V>(value)});
    e->type = &result_of_task<stored>;
    return e;
  }
  std::string arguments() const override {
    std::string all;
    std::apply([&](const Args&... args) { ((all += (all.empty() ? "" : ", ") + text_of(args)), ...); }, arguments_);
    return all;
  }

  F function_;
  std::tuple<Args...> arguments_;
};

template <bool WithResult, class F, class... Args>
std::unique_ptr<task_core> make_task(F&& f, Args&&... args) {
  return std::make_unique<task_call<WithResult, std::decay_t<F>, std::decay_t<Args>...>>(std::forward<F>(f),
                                                                                         std::forward<Args>(args)...);
}

template <class V>
V take_result(task_slot& slot) {
  message owned(std::exchange(slot.value, nullptr));
  return std::move(static_cast<value_envelope<task_result<V>>*>(owned.envelope())->value.value);
}
template <class V>
std::optional<result<V>> yielded(task_slot& slot) {
  if (slot.value) return result<V>(std::in_place, take_result<V>(slot));
  if (slot.end) return result<V>(std::unexpect, std::move(*slot.end));
  return std::nullopt;
}

/// A function that cannot be copied, run by each life of a child.
template <class F>
struct shared_function {
  std::shared_ptr<const F> function;
  template <class... Args>
  decltype(auto) operator()(const Args&... args) const {
    return (*function)(args...);
  }
};
template <class F>
inline constexpr std::string_view task_name<shared_function<F>> = task_name<F>;

/// Starts functions as children: each run has a copy of the function, or all share one that cannot be copied. The
/// arguments are copied for each.
template <class F, class... Args>
class task_starter final : public child_starter {
 public:
  template <class G, class... Given>
  explicit task_starter(std::optional<task_origin> origin, G&& f, Given&&... args)
      : function_(std::make_shared<const F>(std::forward<G>(f))),
        arguments_(std::forward<Given>(args)...),
        origin_(std::move(origin)) {
    refuse_empty_task(*function_);
  }
  result<child_started> start(const extra_arguments& extra, extra_side) const override {
    if (!extra.empty()) return std::unexpected(wrong_extra(type_name<F>, extra.tuple().type_name(), "no"));
    auto task = make();
    if (origin_) task->started_for(*origin_);
    return child_started{start_loose_task(std::move(task), true), {}};
  }
  std::string_view module() const noexcept override { return type_name<F>; }
  std::string to_string() const override { return starter_text(type_name<F>, sizeof...(Args)); }

 private:
  std::unique_ptr<task_core> make() const {
    return std::apply(
        [&](const Args&... args) {
          if constexpr (std::is_copy_constructible_v<F>)
            return make_task<false>(F(*function_), args...);
          else
            return make_task<false>(shared_function<F>{function_}, args...);
        },
        arguments_);
  }
  std::shared_ptr<const F> function_;
  std::tuple<Args...> arguments_;
  std::optional<task_origin> origin_;  // none: whoever runs start()
};

}  // namespace detail

/// The right to one task's result. Movable; only the process that started the task can wait for it. Dropped, it neither
/// stops nor unlinks the task: a result that comes later goes nowhere.
template <class T = void>
class [[nodiscard]] task {
 public:
  using value_type = detail::reply_value<T>;

  task() = default;
  task(task&& other) noexcept
      : handle_(std::exchange(other.handle_, {})), value_(std::exchange(other.value_, std::nullopt)) {}
  task& operator=(task&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(value_, other.value_);
    return *this;
  }
  ~task() {
    if (handle_.is == detail::task_handle::state::open) detail::drop_task(handle_, detail::result_of_task<value_type>);
  }

  /// Its process; none for completed().
  otp::pid pid() const noexcept { return handle_.process; }
  /// The process that started it.
  otp::pid owner() const noexcept { return handle_.owner; }
  /// Of the monitor, and in its task_result.
  ref reference() const noexcept { return handle_.watch; }
  /// The name of the function, or of its type.
  std::string_view function() const noexcept { return handle_.function ? *handle_.function : std::string_view("none"); }
  /// Whether its result or end can still be had.
  explicit operator bool() const noexcept {
    return handle_.is == detail::task_handle::state::open || handle_.is == detail::task_handle::state::completed;
  }

  /// Starts a function that nobody waits for, not linked to the caller.
  template <class F, class... Args>
    requires detail::runs_as_task<F, Args...>
  static otp::pid start(F&& function, Args&&... args) {
    return detail::start_loose_task(detail::make_task<false>(std::forward<F>(function), std::forward<Args>(args)...),
                                    false);
  }
  /// The same, linked.
  template <class F, class... Args>
    requires detail::runs_as_task<F, Args...>
  static otp::pid start_link(F&& function, Args&&... args) {
    return detail::start_loose_task(detail::make_task<false>(std::forward<F>(function), std::forward<Args>(args)...),
                                    true);
  }
  template <class F, class... Args>
    requires(!detail::runs_as_task<F, Args...>)
  static detail::task_problem<F, Args...> start(F&&, Args&&...);
  template <class F, class... Args>
    requires(!detail::runs_as_task<F, Args...>)
  static detail::task_problem<F, Args...> start_link(F&&, Args&&...);
  /// For otp::child<otp::task<>>(function): see child_task.
  template <class F>
    requires detail::runs_as_task<F>
  static otp::child_spec child_spec(F&& function) {
    otp::child_spec spec;
    spec.id("otp::task").restart(temporary);
    spec.set_starter(detail::starter_pointer(new detail::task_starter<std::decay_t<F>>({}, std::forward<F>(function))));
    return spec;
  }

  // For the functions below.
  explicit task(detail::task_handle handle) noexcept : handle_(handle) {}
  task(detail::task_handle handle, value_type value) : handle_(handle), value_(std::move(value)) {}
  detail::task_slot slot() noexcept { return {handle_, detail::result_of_task<value_type>}; }
  detail::task_handle& handle() noexcept { return handle_; }
  std::optional<value_type>& value() noexcept { return value_; }

 private:
  detail::task_handle handle_;
  std::optional<value_type> value_;  // of completed()
};

namespace detail {
template <class T>
constexpr bool is_task = false;
template <class T>
constexpr bool is_task<task<T>> = true;
template <class Task>
using value_of_task = typename std::remove_cvref_t<Task>::value_type;

/// The value of a completed() task, once.
template <class T>
value_of_task<task<T>> take_completed(task<T>& t) {
  t.handle().is = task_handle::state::over;
  return *std::exchange(t.value(), std::nullopt);
}
template <class T>
bool is_completed(task<T>& t) noexcept {
  return t.handle().is == task_handle::state::completed;
}
template <class T>
value_of_task<task<T>> awaited_value(task<T>& t, task_slot& slot) {
  return is_completed(t) ? take_completed(t) : take_result<value_of_task<task<T>>>(slot);
}
template <class T>
std::optional<result<value_of_task<task<T>>>> yielded_value(task<T>& t, task_slot& slot) {
  if (slot.left) return std::nullopt;
  if (is_completed(t)) return result<value_of_task<task<T>>>(std::in_place, take_completed(t));
  return yielded<value_of_task<task<T>>>(slot);
}
template <class T>
std::vector<task_slot> slots_of(std::vector<task<T>>& tasks) {
  std::vector<task_slot> all;
  all.reserve(tasks.size());
  for (auto& t : tasks) all.push_back(t.slot());
  return all;
}
template <class... Tasks, std::size_t... I>
std::tuple<value_of_task<Tasks>...> await_tuple(duration timeout, std::index_sequence<I...>, Tasks&... tasks) {
  task_slot slots[] = {tasks.slot()...};
  await_tasks(slots, sizeof...(Tasks), timeout, "await_many");
  return std::tuple<value_of_task<Tasks>...>{awaited_value(tasks, slots[I])...};
}
template <class... Tasks, std::size_t... I>
std::tuple<std::optional<result<value_of_task<Tasks>>>...> yield_tuple(duration timeout, late_tasks late,
                                                                       std::size_t limit, std::index_sequence<I...>,
                                                                       Tasks&... tasks) {
  task_slot slots[] = {tasks.slot()...};
  yield_tasks(slots, sizeof...(Tasks), limit, timeout, late, "yield_many");
  return {yielded_value(tasks, slots[I])...};
}
}  // namespace detail

// ---- starting ----------------------------------------------------------------------------------------------------

/// Starts `function(args...)` in a process linked to the caller; its result is for await(). The arguments are kept
/// until the task has ended, for the report of its failure, unless the function takes them over.
template <class F, class... Args>
  requires(detail::runs_as_task<F, Args...> && !detail::is_task_supervisor<std::decay_t<F>>)
task<detail::task_value<F, Args...>> async(F&& function, Args&&... args) {
  return task<detail::task_value<F, Args...>>(
      detail::start_task(detail::make_task<true>(std::forward<F>(function), std::forward<Args>(args)...)));
}
/// The same for a function by name, which reports then show: `otp::async<fetch_user>(42)`.
template <auto Function, class... Args>
  requires detail::runs_as_task<detail::constant_function<Function, sizeof...(Args)>, Args...>
auto async(Args&&... args) {
  return async(detail::constant_function<Function, sizeof...(Args)>(), std::forward<Args>(args)...);
}
template <class F, class... Args>
  requires(!detail::runs_as_task<F, Args...> && !detail::is_task_supervisor<std::decay_t<F>>)
detail::task_problem<F, Args...> async(F&&, Args&&...);

/// A task without a process, whose result is there at once.
template <class T>
task<std::decay_t<T>> completed(T&& value) {
  return {detail::task_handle{.owner = self(), .is = detail::task_handle::state::completed}, std::forward<T>(value)};
}

/// The spec of a task as a child: its supervisor starts it and does not wait for the function. `temporary` unless told.
template <class F>
  requires detail::runs_as_task<F>
child_spec child_task(F&& function) {
  return task<>::child_spec(std::forward<F>(function));
}

// ---- waiting -----------------------------------------------------------------------------------------------------

/// The result. Exits the caller if the task has ended without one, or the time is over; the task then runs on.
template <class T>
detail::value_of_task<task<T>> await(task<T>& t, duration timeout = call_timeout) {
  detail::task_slot slot = t.slot();
  detail::await_tasks(&slot, 1, timeout, "await");
  return detail::awaited_value(t, slot);
}
template <class T>
detail::value_of_task<task<T>> await(task<T>&& t, duration timeout = call_timeout) {
  return await(t, timeout);
}
template <class Task>
  requires(!detail::is_task<std::remove_cvref_t<Task>>)
not_a_task<Task> await(Task&&, duration = call_timeout);

/// The results of all, within one time, each with its type. Exits the caller as soon as one has ended without a result;
/// if several have, with the reason of the first that did.
template <class... Tasks>
  requires(sizeof...(Tasks) > 0 && (detail::is_task<std::remove_reference_t<Tasks>> && ...))
std::tuple<detail::value_of_task<Tasks>...> await_many(duration timeout, Tasks&&... tasks) {
  return detail::await_tuple(timeout, std::index_sequence_for<Tasks...>(), tasks...);
}
template <class T>
std::vector<detail::value_of_task<task<T>>> await_many(duration timeout, std::vector<task<T>>& tasks) {
  auto slots = detail::slots_of(tasks);
  detail::await_tasks(slots.data(), slots.size(), timeout, "await_many");
  std::vector<detail::value_of_task<task<T>>> values;
  values.reserve(tasks.size());
  for (std::size_t i = 0; i < tasks.size(); ++i) values.push_back(detail::awaited_value(tasks[i], slots[i]));
  return values;
}
template <class T>
auto await_many(duration timeout, std::vector<task<T>>&& tasks) {
  return await_many(timeout, tasks);
}
template <class First, class... Tasks>
  requires(detail::is_task<std::remove_reference_t<First>> && (detail::is_task<std::remove_reference_t<Tasks>> && ...))
auto await_many(First&& first, Tasks&&... tasks) {
  return await_many(call_timeout, first, tasks...);
}
template <class T>
auto await_many(std::vector<task<T>>& tasks) {
  return await_many(call_timeout, tasks);
}
template <class T>
auto await_many(std::vector<task<T>>&& tasks) {
  return await_many(call_timeout, tasks);
}

/// What has come of it by then: its result, why it ended, or nothing yet; then it can be asked again.
template <class T>
std::optional<result<detail::value_of_task<task<T>>>> yield(task<T>& t, duration timeout = call_timeout) {
  detail::task_slot slot = t.slot();
  detail::yield_tasks(&slot, 1, 1, timeout, detail::late_tasks::nothing, "yield");
  return detail::yielded_value(t, slot);
}

using detail::late_tasks;

struct yield_many_options {
  duration timeout = call_timeout;              ///< for all together
  late_tasks on_timeout = late_tasks::nothing;  ///< what becomes of those that are late, if the time passes
  std::size_t limit =
      SIZE_MAX;  ///< returns as soon as so many have a result or have ended; the others stay as they are
};

/// The same for several tasks, in their order. Of those that are ready, no more than `limit` are told.
template <class T>
std::vector<std::optional<result<detail::value_of_task<task<T>>>>> yield_many(std::vector<task<T>>& tasks,
                                                                              yield_many_options how = {}) {
  auto slots = detail::slots_of(tasks);
  detail::yield_tasks(slots.data(), slots.size(), how.limit, how.timeout, how.on_timeout, "yield_many");
  std::vector<std::optional<result<detail::value_of_task<task<T>>>>> all;
  all.reserve(tasks.size());
  for (std::size_t i = 0; i < tasks.size(); ++i) all.push_back(detail::yielded_value(tasks[i], slots[i]));
  return all;
}
template <class... Tasks>
  requires(sizeof...(Tasks) > 0 && (detail::is_task<Tasks> && ...))
auto yield_many(yield_many_options how, Tasks&... tasks) {
  return detail::yield_tuple(how.timeout, how.on_timeout, how.limit, std::index_sequence_for<Tasks...>(), tasks...);
}
template <class... Tasks>
  requires(sizeof...(Tasks) > 0 && (detail::is_task<Tasks> && ...))
auto yield_many(duration timeout, Tasks&... tasks) {
  return yield_many(yield_many_options{.timeout = timeout}, tasks...);
}

// ---- giving up ---------------------------------------------------------------------------------------------------

/// Unlinks it and stops waiting for it; the task runs on. What has come of it already is returned.
template <class T>
std::optional<result<detail::value_of_task<task<T>>>> ignore(task<T>& t) {
  detail::task_slot slot = t.slot();
  detail::ignore_task(slot);
  return detail::yielded_value(t, slot);
}

/// Asks it to end and kills it if it takes longer than `time`; otp::brutal_kill kills it at once. Its result if it has
/// one. Nothing if it ended as it was asked to: with `shutdown`, or by brutal_kill. Otherwise why it has ended:
/// `killed` for one that had to be, `noproc` for one whose result was taken before.
template <class T>
std::optional<result<detail::value_of_task<task<T>>>> shutdown(task<T>& t,
                                                               shutdown_time time = std::chrono::seconds(5)) {
  detail::task_slot slot = t.slot();
  detail::shutdown_task(slot, time);
  return detail::yielded_value(t, slot);
}
template <class T>
auto shutdown(task<T>&& t, shutdown_time time = std::chrono::seconds(5)) {
  return shutdown(t, time);
}

/// yield(), and shutdown() of a task that is late. Its result, or why there is none: `timeout` if it ended when it was
/// asked to, `killed` if it had to be.
template <class T>
result<detail::value_of_task<task<T>>> yield_or_shutdown(task<T>& t, duration timeout = call_timeout) {
  auto answer = yield(t, timeout);
  if (!answer) answer = shutdown(t);
  if (!answer) return std::unexpected(exit_reason(reason::timeout));
  return std::move(*answer);
}
template <class T>
auto yield_or_shutdown(task<T>&& t, duration timeout = call_timeout) {
  return yield_or_shutdown(t, timeout);
}

// ---- who ---------------------------------------------------------------------------------------------------------

/// In a task: the process that started it, that one's own callers, and so on. Empty elsewhere.
std::vector<pid> callers();
/// The process that spawned the caller, the one that spawned that, and so on, as far as they live; the last of these
/// may have ended. In a supervised task the first is its supervisor.
std::vector<pid> ancestors();

}  // namespace otp
