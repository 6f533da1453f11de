// The way of an event from who reports it to the listener: limited in rate, and never fatal.
#include <otp/event.hpp>

#include "process/event_state.hpp"
#include "process/runtime_core.hpp"

#include <fmt/format.h>
#include <unistd.h>

namespace otp {

using namespace detail;

std::string_view event::field(std::string_view key) const noexcept {
  for (auto& [k, v] : fields)
    if (k == key) return v;
  return {};
}

namespace {

// The text without what is nested deeper than `depth`; brackets inside quotes are text.
std::string to_depth(std::string_view text, std::size_t depth) {
  if (depth == 0) return std::string(text);
  std::string out;
  std::size_t level = 0;
  bool quoted = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    char c = text[at];
    bool escape = quoted && c == '\\' && at + 1 < text.size();
    if (c == '"') quoted = !quoted;
    bool opens = !quoted && (c == '{' || c == '[' || c == '(');
    bool closes = !quoted && (c == '}' || c == ']' || c == ')');
    if (closes && level > 0) --level;
    if (level < depth || (level == depth && !opens && !closes)) {
      out += c;
      if (escape) out += text[at + 1];
    } else if (level == depth && opens) {
      out += "...";
    }
    if (opens) ++level;
    if (escape) ++at;
  }
  return out;
}

}  // namespace

std::string event::to_string(const event_format& how) const {
  static constexpr std::string_view names[] = {"debug", "info", "warning", "error"};
  constexpr std::size_t field_max = 8 * 1024;
  std::string_view between = how.single_line ? " " : "\n    ";
  std::string text = fmt::format("[{}] {}", names[static_cast<int>(severity)], what);
  if (process) text += " " + (name.empty() ? process.to_string() : detail::escaped(name, field_max));
  if (!reason.is_normal()) text += fmt::format("{}reason: {}", between, to_depth(reason.to_string(), how.depth));
  for (auto& [key, value] : fields)
    if (!value.empty())
      text += fmt::format("{}{}: {}", between, key, detail::escaped(to_depth(value, how.depth), field_max));
  if (left_out) text += fmt::format("{}({} events of this kind left out)", between, left_out);
  if (how.chars != 0 && text.size() > how.chars) {
    constexpr std::string_view cut = "...";
    std::size_t keep = how.chars > cut.size() ? how.chars - cut.size() : 0;
    while (keep > 0 && (static_cast<unsigned char>(text[keep]) & 0xc0) == 0x80) --keep;  // not inside of a character
    text.resize(keep);
    text += cut.substr(0, how.chars);
  }
  return text;
}

void report(event e) { require_runtime("report").emit(std::move(e)); }

}  // namespace otp

namespace otp::detail {

namespace {

// Standard error, one line an event. A closed or full stderr must not hurt: what cannot be written is lost.
class stderr_listener final : public event_listener {
 public:
  void on_event(const event& e) override {
    if (e.severity < severity::warning) return;
    std::string line = e.to_string() + "\n";
    const char* at = line.data();
    std::size_t left = line.size();
    while (left > 0) {
      ssize_t n = write(STDERR_FILENO, at, left);
      if (n <= 0) return;
      at += n;
      left -= static_cast<std::size_t>(n);
    }
  }
};

stderr_listener the_stderr_listener;

}  // namespace

// A fixed window of a second per kind of event: simple, and exact under virtual time.
static bool has_room(runtime_core::event_state::kind& kind, nanos now, unsigned most) noexcept {
  if (now - kind.window_start >= 1'000'000'000) {
    kind.window_start = now;
    kind.shown = 0;
  }
  if (kind.shown < most) return true;
  ++kind.left_out;
  return false;
}

bool runtime_core::wants_event(std::string_view what) {
  std::lock_guard lock(events->lock);
  return !events->removed && has_room(events->kinds[std::string(what)], sched.now(), options.events_per_second);
}

void runtime_core::emit(event e) noexcept {
  try {
    event_listener* to = nullptr;
    {
      std::lock_guard lock(events->lock);
      if (events->removed) return;
      auto& kind = events->kinds[std::string(e.what)];
      if (!has_room(kind, sched.now(), options.events_per_second)) return;
      ++kind.shown;
      e.left_out = std::exchange(kind.left_out, 0);
      to = options.listener ? options.listener : &the_stderr_listener;
    }
    try {
      to->on_event(e);
    } catch (...) {
      std::lock_guard lock(events->lock);
      if (to == &the_stderr_listener || events->removed) return;
      events->removed = true;
      event last{.what = "listener_removed",
                 .severity = severity::error,
                 .reason = exit_reason::of_current_exception(),
                 .fields = {{"why", "the event listener threw; it gets no more events"}}};
      the_stderr_listener.on_event(last);
    }
  } catch (...) {
    // No memory for a report: the report is what is given up.
  }
}

}  // namespace otp::detail
