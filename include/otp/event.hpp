// Reports: what the runtime and the behaviours have to say, as structured events through one listener.
//
// Shape   whoever has something to report builds an event; the runtime hands it to its listener on the reporting
//         thread. A listener must not wait; if it throws it is removed, that is reported, and stderr takes its place.
// Units   at most `events_per_second` of one kind reach the listener; the next one says how many were left out.
// Source  OTP's logger reports: crash, error, supervisor and progress reports.
#pragma once
#include <otp/exit_reason.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace otp {

enum class severity : std::uint8_t { debug, info, warning, error };

/// How a report is written out; 0 is no limit.
struct event_format {
  bool single_line = true;  ///< otherwise each field has a line of its own
  std::size_t depth = 0;    ///< of nested {}, [] and () in reason and fields; what is deeper becomes ...
  std::size_t chars = 0;    ///< of the whole text
};

struct event {
  /// What happened, e.g. "crash", "server_terminated", "child_terminated", "progress", "stalled", "abandoned".
  std::string_view what;
  otp::severity severity = otp::severity::info;
  otp::pid process{};
  std::string name{};  ///< of the process, or its type
  exit_reason reason{};
  std::vector<std::pair<std::string_view, std::string>> fields{};
  std::uint64_t left_out = 0;  ///< events of this kind not shown before this one

  /// The value of a field; empty if there is none.
  std::string_view field(std::string_view key) const noexcept;
  /// One line: user text is escaped and cut.
  std::string to_string() const { return to_string({}); }
  std::string to_string(const event_format& how) const;
};

class event_listener {
 public:
  virtual ~event_listener() = default;
  virtual void on_event(const event& e) = 0;
  /// Whether texts of this severity are worth making: asked by otp::log. Any thread.
  virtual bool wants(severity level) const noexcept { return level >= severity::info; }
};

/// Reports through the caller's runtime. Behaviours and users' own servers may call it.
void report(event e);

}  // namespace otp
