// Log texts of the program, on their way to the listener.
#include <otp/log.hpp>

#include "process/event_state.hpp"

#include <fmt/format.h>

namespace otp {

namespace log {

bool enabled(severity level) noexcept {
  const detail::runtime_core* core = detail::runtime_core::current();
  const event_listener* to = core ? core->options.listener : nullptr;
  return to ? to->wants(level) : level >= severity::warning;
}

void write(severity level, std::string text, fields more) noexcept try {
  detail::runtime_core* core = detail::runtime_core::current();
  event e{.what = "log", .severity = level};
  e.fields.emplace_back("text", std::move(text));
  for (auto& field : more) e.fields.push_back(std::move(field));
  if (!core) {
    if (level >= severity::warning) detail::write_line_to_stderr(e.to_string());
    return;
  }
  if (detail::process* p = detail::current_process()) {
    if (p->attention.load(std::memory_order_relaxed) == detail::attention::fence) return;  // its listener may be gone
    e.process = p->self();
    e.name = core->describe(e.process);
  }
  core->emit(std::move(e));
} catch (...) {
  // No memory for a text: the text is what is given up.
}

}  // namespace log

namespace detail {

void log_formatted(severity level, fmt::string_view text, fmt::format_args args) noexcept {
  std::string made;
  try {
    made = fmt::vformat(text, args);
  } catch (...) {
    try {
      made = "(the text could not be made: a formatter threw) ";
      made.append(text.data(), text.size());
    } catch (...) {
      return;
    }
  }
  log::write(level, std::move(made));
}

}  // namespace detail

}  // namespace otp
