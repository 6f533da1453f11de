// A program's own log texts: they go where the reports go, to the runtime's listener.
//
// Shape   log::info("order {} paid", id) makes the text in the caller and hands it to the listener there: see
//         otp/logger.hpp for one that writes files. Without a listener warnings and errors go to stderr. Any process or
//         thread; never suspends, never fails.
// Units   the listener decides what is worth writing; texts are not counted against events_per_second.
// Errors  a format string is checked when it is compiled. A text that is known at run time only is an argument:
//         log::info("{}", text); as a format string it does not compile.
// Source  Erlang's logger macros. Differs: four levels.
#pragma once
#include <otp/event.hpp>

#include <fmt/core.h>

namespace otp::log {

using fields = std::vector<std::pair<std::string_view, std::string>>;

/// Whether anybody wants texts of this severity.
bool enabled(severity level) noexcept;
/// Logs a text as it is; `more` are what a listener may look for without reading it.
void write(severity level, std::string text, fields more = {}) noexcept;

}  // namespace otp::log

namespace otp::detail {
void log_formatted(severity level, fmt::string_view text, fmt::format_args args) noexcept;
}

namespace otp::log {

template <class... Args>
void debug(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(severity::debug)) detail::log_formatted(severity::debug, text, fmt::make_format_args(args...));
}
template <class... Args>
void info(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(severity::info)) detail::log_formatted(severity::info, text, fmt::make_format_args(args...));
}
template <class... Args>
void warning(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(severity::warning)) detail::log_formatted(severity::warning, text, fmt::make_format_args(args...));
}
template <class... Args>
void error(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(severity::error)) detail::log_formatted(severity::error, text, fmt::make_format_args(args...));
}

}  // namespace otp::log
