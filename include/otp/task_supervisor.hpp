// A supervisor of tasks: they are its children, so that a program that stops ends them, and somebody knows them.
//
// Shape   async() and async_nolink() start a task as a child of the supervisor and give its result to the caller;
//         start_child() starts one that answers nobody. The function moves from the caller to the task: the supervisor
//         never sees it.
// Units   tasks have 5 s to end when the supervisor stops, unless told.
// Errors  async() and async_nolink() exit the caller with {max_children, call} and its like; start_child() returns it.
//         A supervisor that is not there exits the caller of all three with {noproc, call}.
// Source  Elixir's Task.Supervisor. A dynamic_supervisor underneath, and addressed like one.
#pragma once
#include <otp/dynamic_supervisor.hpp>
#include <otp/task.hpp>

namespace otp {

struct task_supervisor_spec {
  int max_restarts = 3;
  duration max_seconds = std::chrono::seconds(5);
  std::int64_t max_children = unlimited;
};

/// Of a task whose result is awaited: it is never restarted.
struct task_options {
  shutdown_time shutdown = std::chrono::seconds(5);
};
/// Of one that answers nobody.
struct task_child_options {
  restart_type restart = temporary;
  shutdown_time shutdown = std::chrono::seconds(5);
};

namespace detail {

/// Starts it as a child of a task supervisor, watched by the caller and perhaps linked to it.
task_handle start_supervised_task(const supervisor_ref& supervisor, std::unique_ptr<task_core> task, bool link,
                                  shutdown_time shutdown, const char* function);
result<pid> start_task_child(const supervisor_ref& supervisor, std::string_view task, starter_pointer starter,
                             task_child_options how);

}  // namespace detail

struct task_supervisor {
  /// Starts one, linked to the caller.
  [[nodiscard]] static result<server<task_supervisor>> start_link(task_supervisor_spec spec = {},
                                                                  start_options options = {});
  /// Starts `function(args...)`, which answers nobody; returns its process. A child that is restarted runs the same
  /// function again: a copy of it, or the same object if it cannot be copied; with copies of the arguments. Errors:
  /// max_children, bad_argument, stopping.
  template <class F, class... Args>
    requires(detail::runs_as_task<F, Args...> && (std::copy_constructible<std::decay_t<Args>> && ...))
  static result<pid> start_child(const supervisor_ref& who, task_child_options how, F&& function, Args&&... args) {
    return detail::start_task_child(
        who, detail::task_name<std::decay_t<F>>,
        detail::starter_pointer(new detail::task_starter<std::decay_t<F>, std::decay_t<Args>...>(
            detail::task_origin::of_caller(), std::forward<F>(function), std::forward<Args>(args)...)),
        how);
  }
  template <class F, class... Args>
    requires(detail::runs_as_task<F, Args...> && (std::copy_constructible<std::decay_t<Args>> && ...))
  static result<pid> start_child(const supervisor_ref& who, F&& function, Args&&... args) {
    return start_child(who, task_child_options(), std::forward<F>(function), std::forward<Args>(args)...);
  }
  template <class F>
    requires detail::runs_as_task<F>
  static result<pid> start_child(const supervisor_ref& who, F&& function, task_child_options how) {
    return start_child(who, how, std::forward<F>(function));
  }
  /// The same for a function by name: `otp::task_supervisor::start_child<fetch_user>(background, 42)`.
  template <auto Function, class... Args>
    requires detail::runs_as_task<detail::constant_function<Function, sizeof...(Args)>, Args...>
  static result<pid> start_child(const supervisor_ref& who, Args&&... args) {
    return start_child(who, task_child_options(), detail::constant_function<Function, sizeof...(Args)>(),
                       std::forward<Args>(args)...);
  }
  template <class F, class... Args>
    requires(!detail::runs_as_task<F, Args...> && !std::is_same_v<std::decay_t<F>, task_child_options>)
  static detail::task_problem<F, Args...> start_child(const supervisor_ref&, F&&, Args&&...);
  /// The processes of the live tasks, the newest first.
  static std::vector<pid> children(const supervisor_ref& who);
  static child_counts count_children(const supervisor_ref& who) { return detail::count_children(who); }
  /// Ends a task. Errors: not_found.
  static result<void> terminate_child(const supervisor_ref& who, pid task) {
    return dynamic_supervisor::terminate_child(who, task);
  }
  static void stop(const supervisor_ref& who, exit_reason why = {}, duration timeout = infinity) {
    detail::stop_supervisor(who, std::move(why), timeout);
  }
};

/// The spec of a task supervisor as a child. Its id is its name, or the key of a registry name.
child_spec child_task_supervisor(start_options options = {}, task_supervisor_spec spec = {});
template <class Name>
  requires detail::is_task_supervisor<Name>
child_spec child_task_supervisor(const Name& name, task_supervisor_spec spec = {}) {
  return child_task_supervisor(start_options{.name = name}, spec);
}

/// As async(function, args...), as a child of a task supervisor: an otp::server or otp::name of one. The task is linked
/// to the caller too: they end together.
template <class Address, class F, class... Args>
  requires detail::is_task_supervisor<Address> && detail::runs_as_task<F, Args...>
task<detail::task_value<F, Args...>> async(const Address& supervisor, task_options how, F&& function, Args&&... args) {
  return task<detail::task_value<F, Args...>>(detail::start_supervised_task(
      supervisor, detail::make_task<true>(std::forward<F>(function), std::forward<Args>(args)...), true, how.shutdown,
      "async"));
}
template <class Address, class F, class... Args>
  requires detail::is_task_supervisor<Address> && detail::runs_as_task<F, Args...>
task<detail::task_value<F, Args...>> async(const Address& supervisor, F&& function, Args&&... args) {
  return async(supervisor, task_options(), std::forward<F>(function), std::forward<Args>(args)...);
}
/// The same without the link: a task that fails does not hurt the caller, and one whose caller has ended runs on.
template <class Address, class F, class... Args>
  requires detail::is_task_supervisor<Address> && detail::runs_as_task<F, Args...>
task<detail::task_value<F, Args...>> async_nolink(const Address& supervisor, task_options how, F&& function,
                                                  Args&&... args) {
  return task<detail::task_value<F, Args...>>(detail::start_supervised_task(
      supervisor, detail::make_task<true>(std::forward<F>(function), std::forward<Args>(args)...), false, how.shutdown,
      "async_nolink"));
}
template <class Address, class F, class... Args>
  requires detail::is_task_supervisor<Address> && detail::runs_as_task<F, Args...>
task<detail::task_value<F, Args...>> async_nolink(const Address& supervisor, F&& function, Args&&... args) {
  return async_nolink(supervisor, task_options(), std::forward<F>(function), std::forward<Args>(args)...);
}
/// Both for a function by name, which reports then show: `otp::async_nolink<fetch_user>(background, 42)`.
template <auto Function, class Address, class... Args>
  requires detail::is_task_supervisor<Address> &&
           detail::runs_as_task<detail::constant_function<Function, sizeof...(Args)>, Args...>
auto async(const Address& supervisor, Args&&... args) {
  return async(supervisor, detail::constant_function<Function, sizeof...(Args)>(), std::forward<Args>(args)...);
}
template <auto Function, class Address, class... Args>
  requires detail::is_task_supervisor<Address> &&
           detail::runs_as_task<detail::constant_function<Function, sizeof...(Args)>, Args...>
auto async_nolink(const Address& supervisor, Args&&... args) {
  return async_nolink(supervisor, detail::constant_function<Function, sizeof...(Args)>(), std::forward<Args>(args)...);
}

// What cannot be a task, or goes to no task supervisor: the type says why at the caller's line.
template <class Address, class F, class... Args>
  requires(detail::is_task_supervisor<Address> && !detail::runs_as_task<F, Args...> &&
           !std::is_same_v<std::decay_t<F>, task_options>)
detail::task_problem<F, Args...> async(const Address&, F&&, Args&&...);
template <class Address, class F, class... Args>
  requires(detail::is_task_supervisor<Address> && !detail::runs_as_task<F, Args...> &&
           !std::is_same_v<std::decay_t<F>, task_options>)
detail::task_problem<F, Args...> async_nolink(const Address&, F&&, Args&&...);
template <class Address>
struct not_a_task_supervisor;  // give an otp::server<task_supervisor>, or a typed name of one
template <class Address, class... Args>
  requires(!detail::is_task_supervisor<Address>)
not_a_task_supervisor<Address> async_nolink(const Address&, Args&&...);

}  // namespace otp
