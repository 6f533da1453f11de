// A function with arguments of its own, as one value: what Elixir writes as module, function, arguments.
//
// Shape   `otp::mfa(&settings::raise, 3)` called with x calls settings::raise(x, 3): what it is given comes first.
// Source  the {M, F, A} forms of Agent and Registry.
#pragma once
#include <tuple>
#include <type_traits>
#include <utility>

namespace otp {

namespace detail {

template <class F, class Object, class... Rest>
decltype(auto) invoke_with(F& function, Object&& first, Rest&&... rest) {
  if constexpr (std::is_member_function_pointer_v<F>)
    return (std::forward<Object>(first).*function)(std::forward<Rest>(rest)...);
  else if constexpr (std::is_member_object_pointer_v<F>)
    return (std::forward<Object>(first).*function);
  else
    return function(std::forward<Object>(first), std::forward<Rest>(rest)...);
}

template <class F, class... Args>
struct function_with_arguments {
  F function;
  std::tuple<Args...> arguments;

  decltype(auto) operator()()
    requires requires(F& f, Args&... args) { f(args...); }
  {
    return std::apply([&](Args&... args) -> decltype(auto) { return function(args...); }, arguments);
  }
  template <class First>
    requires requires(F& f, First&& first, Args&... args) { invoke_with(f, std::forward<First>(first), args...); }
  decltype(auto) operator()(First&& first) {
    return std::apply(
        [&](Args&... args) -> decltype(auto) { return invoke_with(function, std::forward<First>(first), args...); },
        arguments);
  }
};

}  // namespace detail

/// `function`, a function or a member function, with arguments that follow what it is called with.
template <class F, class... Args>
detail::function_with_arguments<std::decay_t<F>, std::decay_t<Args>...> mfa(F&& function, Args&&... args) {
  return {std::forward<F>(function), {std::forward<Args>(args)...}};
}

}  // namespace otp
