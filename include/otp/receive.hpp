// Selective receive: takes the earliest message that one of the patterns matches, and leaves the others in order.
//
// Shape   each handler's parameter type is its pattern; `when` adds a condition, a `message` parameter takes anything.
//         The chosen handler runs in the caller, with the message moved out.
// Source  Erlang's receive ... after.
#pragma once
#include <otp/process.hpp>

namespace otp {

// What the compiler names in its first error when something is no clause of a receive.
template <class Handler>
struct not_a_pattern;  // a handler takes one message, whose type is written out: [](const ping& p) { ... }

namespace detail {

struct pattern {
  const envelope_type* type;                            // null: any user message
  bool (*guard)(const void* handler, const envelope&);  // null: none
  const void* handler;
};

/// The first matching envelope, taken out; null at the timeout. `which` is the pattern's place.
envelope* receive_envelope(const pattern* patterns, std::size_t count, duration timeout, std::size_t& which);

template <class F>
struct parameter_of {};
template <class F>
  requires requires { &F::operator(); }
struct parameter_of<F> : parameter_of<decltype(&F::operator())> {};
template <class C, class R, class P>
struct parameter_of<R (C::*)(P) const> {
  using parameter = std::remove_cvref_t<P>;
  using result = R;
};
template <class C, class R, class P>
struct parameter_of<R (C::*)(P)> : parameter_of<R (C::*)(P) const> {};
template <class C, class R, class P>
struct parameter_of<R (C::*)(P) const noexcept> : parameter_of<R (C::*)(P) const> {};
template <class C, class R, class P>
struct parameter_of<R (C::*)(P) noexcept> : parameter_of<R (C::*)(P) const> {};
template <class R, class P>
struct parameter_of<R (*)(P)> {
  using parameter = std::remove_cvref_t<P>;
  using result = R;
};

template <class F>
struct after_clause {
  duration timeout;
  F handler;
};
template <class Guard, class F>
struct guarded_clause {
  Guard guard;
  F handler;
};

template <class H>
struct clause {
  static constexpr bool is_after = false;
  using parameter = typename parameter_of<H>::parameter;
  using result = typename parameter_of<H>::result;
  static pattern make(const H&) {
    if constexpr (std::is_same_v<parameter, message>)
      return {nullptr, nullptr, nullptr};
    else
      return {&value_envelope<parameter>::type_of, nullptr, nullptr};
  }
  template <class Handler>
  static result run(Handler& handler, envelope* e) {
    message owned(e);
    parameter* value = nullptr;
    if constexpr (std::is_same_v<parameter, message>)
      value = &owned;
    else
      value = owned.get_if<parameter>();
    if constexpr (std::is_invocable_v<Handler&, parameter>)
      return handler(std::move(*value));
    else
      return handler(*value);  // a handler that takes a reference
  }
};
template <class Guard, class F>
struct clause<guarded_clause<Guard, F>> {
  static constexpr bool is_after = false;
  using parameter = typename parameter_of<F>::parameter;
  using result = typename parameter_of<F>::result;
  static pattern make(const guarded_clause<Guard, F>& self) {
    return {&value_envelope<parameter>::type_of,
            [](const void* handler, const envelope& e) -> bool {
              return static_cast<const guarded_clause<Guard, F>*>(handler)->guard(
                  static_cast<const value_envelope<parameter>&>(e).value);
            },
            &self};
  }
  template <class Clause>
  static result run(Clause& self, envelope* e) {
    return clause<F>::run(self.handler, e);
  }
};
template <class F>
struct clause<after_clause<F>> {
  static constexpr bool is_after = true;
  using result = std::invoke_result_t<F&>;
};

template <class H>
constexpr auto judge_clause() {
  if constexpr (requires { typename parameter_of<H>::parameter; })
    return std::type_identity<fine>();
  else
    return std::type_identity<not_a_pattern<H>>();
}
template <class H>
constexpr auto judge_handler(std::type_identity<H>) {
  return judge_clause<H>();
}
template <class Guard, class F>
constexpr auto judge_handler(std::type_identity<guarded_clause<Guard, F>>) {
  return judge_clause<F>();
}
template <class F>
constexpr auto judge_handler(std::type_identity<after_clause<F>>) {
  return std::type_identity<fine>();
}
constexpr auto first_bad_handler() { return std::type_identity<fine>(); }
template <class First, class... Rest>
constexpr auto first_bad_handler(First first, Rest... rest) {
  if constexpr (std::is_same_v<First, std::type_identity<fine>>)
    return first_bad_handler(rest...);
  else
    return first;
}
template <class... Handlers>
using receive_problem =
    typename decltype(first_bad_handler(judge_handler(std::type_identity<std::decay_t<Handlers>>())...))::type;

// Runs the clause that the receive chose: the `which`-th pattern, or `after` if nothing was found.
template <class Result, class First, class... Rest>
Result run_clause(std::size_t which, envelope* found, First& first, Rest&... rest) {
  using chosen = clause<std::decay_t<First>>;
  if constexpr (chosen::is_after) {
    if (!found) return first.handler();
    if constexpr (sizeof...(Rest) > 0) return run_clause<Result>(which, found, rest...);
  } else {
    if (found && which == 0) return chosen::run(first, found);
    if constexpr (sizeof...(Rest) > 0) return run_clause<Result>(which - 1, found, rest...);
  }
  __builtin_unreachable();  // without `after` a receive does not time out
}

}  // namespace detail

/// The timeout of a receive: with 0 the mailbox is looked through once. Last argument only.
template <class F>
detail::after_clause<std::decay_t<F>> after(duration timeout, F&& handler) {
  return {timeout, std::forward<F>(handler)};
}

/// A pattern with a condition, `otp::when([&](const down& d) { return d.reference == ref; }, [](const down&) {...})`.
/// The condition must depend on nothing but the message while the receive waits.
template <class Guard, class F>
detail::guarded_clause<std::decay_t<Guard>, std::decay_t<F>> when(Guard&& guard, F&& handler) {
  return {std::forward<Guard>(guard), std::forward<F>(handler)};
}

namespace detail {
/// Receives by way of `take`, which is receive_envelope() or something that wraps it.
template <class Take, class... Handlers>
auto receive_by(Take&& take, Handlers&... handlers) {
  using result = std::common_type_t<typename clause<std::decay_t<Handlers>>::result...>;
  constexpr std::size_t count = (std::size_t{0} + ... + (clause<std::decay_t<Handlers>>::is_after ? 0 : 1));
  pattern patterns[count + 1] = {};
  duration timeout = infinity;
  std::size_t at = 0;
  auto collect = [&]<class H>(H& handler) {
    if constexpr (clause<std::decay_t<H>>::is_after)
      timeout = handler.timeout;
    else
      patterns[at++] = clause<std::decay_t<H>>::make(handler);
  };
  (collect(handlers), ...);
  std::size_t which = 0;
  envelope* found = take(patterns, count, timeout, which);
  return run_clause<result>(which, found, handlers...);
}
}  // namespace detail

/// Waits for a message that a handler takes, runs that handler and returns what it returns.
template <class... Handlers>
  requires(sizeof...(Handlers) > 0 && std::is_same_v<detail::receive_problem<Handlers...>, detail::fine>)
auto receive(Handlers&&... handlers) {
  return detail::receive_by(&detail::receive_envelope, handlers...);
}
template <class... Handlers>
  requires(sizeof...(Handlers) > 0 && !std::is_same_v<detail::receive_problem<Handlers...>, detail::fine>)
detail::receive_problem<Handlers...> receive(Handlers&&...);

}  // namespace otp
