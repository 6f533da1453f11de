// The way of an event from who reports it to the listener: limited in rate, and never fatal.
#include <otp/event.hpp>

#include "process/event_state.hpp"
#include "process/runtime_core.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace otp {

using namespace detail;

std::string_view event::field(std::string_view key) const noexcept {
  for (auto& [k, v] : fields)
    if (k == key) return v;
  return {};
}

namespace detail {

// Brackets inside quotes are text.
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

}  // namespace detail

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

void report(event e) {
  runtime_core& core = require_runtime("report");
  if (process* p = current_process()) check_abandoned(*p);  // its listener may be gone
  core.emit(std::move(e));
}

}  // namespace otp

namespace otp::detail {

namespace {

// A write to a pipe without a reader sends SIGPIPE to the thread that writes, which ends the program unless somebody
// handles it: held back meanwhile, and taken away if it came.
class without_broken_pipe {
 public:
  without_broken_pipe() noexcept {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~without_broken_pipe() {
    const timespec at_once{};
    if (!was_pending_) sigtimedwait(&pipe_, nullptr, &at_once);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  without_broken_pipe(const without_broken_pipe&) = delete;
  without_broken_pipe& operator=(const without_broken_pipe&) = delete;

 private:
  sigset_t pipe_;
  sigset_t before_;
  bool was_pending_;
};

// One line an event.
bool write_to_stderr(const event& e) { return e.severity < severity::warning || write_line_to_stderr(e.to_string()); }

}  // namespace

// A closed, full or stuck one must not hurt: nobody waits for it, and what cannot be written is counted.
bool write_line_to_stderr(std::string_view text) {
  std::string line = std::string(text) + "\n";
  const char* at = line.data();
  std::size_t left = line.size();
  without_broken_pipe quiet;
  while (left > 0) {
    // What poll() finds writable takes PIPE_BUF bytes without blocking.
    pollfd out{STDERR_FILENO, POLLOUT, 0};
    if (poll(&out, 1, 0) < 0 && errno == EINTR) continue;
    if (!(out.revents & POLLOUT)) return false;
    ssize_t n = write(STDERR_FILENO, at, std::min<std::size_t>(left, PIPE_BUF));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += n;
    left -= static_cast<std::size_t>(n);
  }
  return true;
}

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
  return has_room(events->kinds[std::string(what)], sched.now(), options.events_per_second);
}

void runtime_core::forget_listener() noexcept {
  std::lock_guard lock(events->lock);
  events->removed = true;
}

void runtime_core::emit(event e) noexcept {
  if (explorer) [[unlikely]]
    explorer->reported(e);
  try {
    event_listener* to = options.listener;
    {
      std::lock_guard lock(events->lock);
      if (events->removed) to = nullptr;
      // What a program logs is for its listener to limit, which knows how busy it is.
      if (!to || e.what != "log") {
        auto& kind = events->kinds[std::string(e.what)];
        if (!has_room(kind, sched.now(), options.events_per_second)) return;
        ++kind.shown;
        e.left_out = std::exchange(kind.left_out, 0);
      }
    }
    if (!to) {
      if (!write_to_stderr(e)) count(counter::reports_lost);
      return;
    }
    try {
      to->on_event(e);
    } catch (...) {
      {
        std::lock_guard lock(events->lock);
        if (events->removed) return;
        events->removed = true;
      }
      event last{.what = "listener_removed",
                 .severity = severity::error,
                 .reason = current_reason(),
                 .fields = {{"why", "the event listener threw; events go to stderr from now on"}}};
      if (!write_to_stderr(last)) count(counter::reports_lost);
    }
  } catch (...) {
    // No memory for a report: the report is what is given up.
  }
}

}  // namespace otp::detail
