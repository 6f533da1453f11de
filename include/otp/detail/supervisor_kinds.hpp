// Which types are supervisors: for those who must know without knowing supervisors.
#pragma once
#include <otp/call.hpp>

#include <concepts>
#include <type_traits>

namespace otp {

struct supervisor;
struct dynamic_supervisor;
struct partition_supervisor;
struct task_supervisor;
struct registry;

namespace detail {

/// What its static init returns makes a type a supervisor: see supervisor.hpp, dynamic_supervisor.hpp.
template <class R>
struct supervisor_init_result {
  static constexpr bool is = false;
};
template <class T, class... Args>
concept supervisor_module = requires(Args... args) {
  requires supervisor_init_result<std::decay_t<decltype(T::init(std::move(args)...))>>::is;
};

template <class Function>
struct returned_by;
template <class R, class... Args>
struct returned_by<R (*)(Args...)> {
  using type = R;
};
template <class R, class... Args>
struct returned_by<R (*)(Args...) noexcept> {
  using type = R;
};
/// A supervisor by its init, whatever that takes. One that is overloaded is found if it can be called without
/// arguments.
template <class T>
concept supervising_module = supervisor_module<T> || requires {
  requires supervisor_init_result<std::decay_t<typename returned_by<decltype(&T::init)>::type>>::is;
};

/// Processes of these types are supervisors.
template <class T>
inline constexpr bool is_supervisor =
    std::is_same_v<T, supervisor> || std::is_same_v<T, dynamic_supervisor> || std::is_same_v<T, partition_supervisor> ||
    std::is_same_v<T, task_supervisor> || std::is_same_v<T, registry>;
template <supervising_module T>
inline constexpr bool is_supervisor<T> = true;

/// What a start function that returns an `R` starts is a supervisor.
template <class R>
inline constexpr bool starts_supervisor = false;
template <class T>
inline constexpr bool starts_supervisor<server<T>> = is_supervisor<T>;
template <class T>
inline constexpr bool starts_supervisor<result<T>> = starts_supervisor<T>;

}  // namespace detail
}  // namespace otp
