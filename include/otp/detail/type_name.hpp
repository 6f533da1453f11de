// Names of types as text, taken from the compiler at compile time: no RTTI, no demangler.
#pragma once
#include <string_view>

namespace otp::detail {

template <class T>
consteval std::string_view pretty_type() {
  std::string_view text = __PRETTY_FUNCTION__;
  // g++:   "consteval std::string_view otp::detail::pretty_type() [with T = X; std::string_view = ...]"
  // clang: "std::string_view otp::detail::pretty_type() [T = X]"
  auto first = text.find("T = ") + 4;
  auto last = text.rfind("; std::string_view");
  if (last == std::string_view::npos || last < first) last = text.rfind(']');
  return text.substr(first, last - first);
}

/// "rate_limiter::check" for `struct rate_limiter::check`.
template <class T>
inline constexpr std::string_view type_name = pretty_type<T>();

}  // namespace otp::detail
