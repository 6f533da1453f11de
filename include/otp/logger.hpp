// The log: reports and log texts as lines in files or on stderr, and handlers of one's own, under any load.
//
// Shape   a logger is the event listener of a runtime: otp::run(f, {.listener = &log}), and outlives it. Who reports
//         calls it; handlers run right there, the text of the default handler is made there. A thread of the logger's
//         own writes it to spdlog's sinks, so that a slow disk holds up nobody. In target otp::log.
// Units   lines that wait to be written decide how it goes on: from `sync_at` (10) a caller waits for its line to be
//         written, 0.5 ms at most; from `drop_at` (200) texts are dropped before they are made, and counted; at
//         `flush_at` (1000) all that wait are. A line says afterwards how many. A field is cut at 8 KiB.
// Errors  a handler that throws is removed, which is reported once to the others. A sink that throws (disk full) loses
//         the line, which the other sinks write; it is told on stderr once, and is tried again with the next.
// Source  logger, logger_std_h and logger_olp. Differs: handlers are functions; no burst limit, since the runtime
//         limits each kind of report already (docs/decisions/0011-logger.md).
#pragma once
#include <otp/event.hpp>
#include <otp/log.hpp>

#include <functional>
#include <memory>

namespace spdlog::sinks {
class sink;
}

namespace otp {

/// How a logger writes and protects itself.
struct logger_options {
  otp::severity level = severity::info;  ///< what is less is not made
  std::size_t sync_at = 10;
  std::size_t drop_at = 200;
  std::size_t flush_at = 1000;
  event_format format{};
  /// Where lines go; none: stderr. With file_sink() and its kin they look as OTP's do, others keep their own pattern.
  std::vector<std::shared_ptr<spdlog::sinks::sink>> sinks{};
};

struct logger_counters {
  std::uint64_t written = 0;  ///< by every sink
  std::uint64_t dropped = 0;  ///< by drop mode, not made
  std::uint64_t flushed = 0;  ///< by flush mode, made and not written
  std::uint64_t lost = 0;     ///< a sink failed
  std::uint64_t waits = 0;    ///< callers that waited in sync mode
  std::size_t waiting = 0;    ///< lines, now
};

class logger final : public event_listener {
 public:
  using handler = std::function<void(const event&)>;

  /// Errors: bad_argument for limits that are not in order.
  explicit logger(logger_options options = {});
  /// Writes what waits.
  ~logger() override;
  logger(const logger&) = delete;
  logger& operator=(const logger&) = delete;

  void on_event(const event& e) override;
  bool wants(severity level) const noexcept override;
  void set_level(severity level) noexcept;

  /// Calls `run` for every event of this severity or more, in whoever reports it: several at a time, and not for long.
  /// It must not wait. False if there is one of this id.
  bool add_handler(std::string id, handler run, severity level = severity::info);
  bool remove_handler(std::string_view id);
  std::vector<std::string> handlers() const;

  /// Returns when what was logged before has been written and the sinks are flushed, or was given up.
  void flush();
  logger_counters counters() const;

  static std::shared_ptr<spdlog::sinks::sink> stderr_sink();
  /// Appends to a file, whose folder is made if there is none. Errors: std::exception if it cannot be opened.
  static std::shared_ptr<spdlog::sinks::sink> file_sink(const std::string& path);
  /// The same with up to `files` older ones of so many bytes.
  static std::shared_ptr<spdlog::sinks::sink> rotating_file_sink(const std::string& path, std::size_t bytes,
                                                                 std::size_t files);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// An event as OTP's formatter words it: "crasher: initial call: ..., pid: ...", "supervisor: ..., errorContext: ...".
/// Without time and level. In one line what would act on a terminal is escaped.
std::string log_text(const event& e, const event_format& how = {});

}  // namespace otp
