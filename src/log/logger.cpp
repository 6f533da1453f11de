// The logger: handlers that are called by who reports, and a thread that writes for the default one.
//
// Rules
// 1. `handlers` is a list that never changes: who changes it publishes another one under `handlers_lock`, and a caller
//    takes the present one along. So a handler may run once more after it was removed, and never while the lock is
//    held.
// 2. `lines` and `done` belong to `lock`. `waiting` counts the lines in `lines` and those that the writer holds; it is
//    raised under the lock and lowered by the writer, and read by callers without it to choose the mode.
// 3. A caller waits for a line of its own only (sync mode), at most `sync_wait`, and never for a sink: no lock is held
//    while a sink or a handler runs.
#include <otp/logger.hpp>

#include "base/text.hpp"
#include "process/event_state.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <spdlog/details/log_msg.h>
#include <spdlog/details/os.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace otp {

namespace {

constexpr auto sync_wait = std::chrono::microseconds(500);
// As OTP's default template: time level: text.
constexpr const char* pattern = "%Y-%m-%dT%H:%M:%S.%f%z %l: %v";

spdlog::level::level_enum level_of(severity s) {
  switch (s) {
    case severity::debug: return spdlog::level::debug;
    case severity::info: return spdlog::level::info;
    case severity::warning: return spdlog::level::warn;
    case severity::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

struct logger::state {
  struct line {
    severity level;
    spdlog::log_clock::time_point at;
    std::string text;
  };
  struct named_handler {
    std::string id;
    severity level;
    handler run;
  };
  using handler_list = std::vector<std::shared_ptr<const named_handler>>;

  logger_options options;
  std::atomic<severity> level;
  std::atomic<severity> lowest;  // of the level and all handlers: what is worth making

  mutable std::mutex handlers_lock;
  std::shared_ptr<const handler_list> handlers = std::make_shared<handler_list>();  // guarded by handlers_lock

  std::mutex lock;
  std::condition_variable arrived;   // for the writer
  std::condition_variable progress;  // for who waits for a line
  std::vector<line> lines;           // guarded by lock
  std::uint64_t pushed = 0;          // guarded by lock
  std::uint64_t done = 0;            // of those, written or given up; guarded by lock
  bool ending = false;               // guarded by lock
  std::atomic<std::size_t> waiting{0};
  std::atomic<bool> flush_wanted{false};
  std::vector<char> failing;  // by sink: its last line was lost, and that was told; the writer's own

  std::atomic<std::uint64_t> written{0}, dropped{0}, flushed{0}, lost{0}, waits{0};
  std::thread writer;

  std::shared_ptr<const handler_list> all_handlers() const {
    std::lock_guard guard(handlers_lock);
    return handlers;
  }
  // Inside of handlers_lock.
  void publish(handler_list list) {
    severity least = level.load();
    for (auto& h : list) least = std::min(least, h->level);
    lowest = least;
    handlers = std::make_shared<const handler_list>(std::move(list));
  }

  // ---- callers ---------------------------------------------------------------------------------------------------

  void hand_out(const event& e) {
    const auto present = all_handlers();
    for (auto& h : *present) {
      if (e.severity < h->level) continue;
      std::string why;
      try {
        h->run(e);
        continue;
      } catch (...) {
        why = exit_reason::of_current_exception().to_string();
      }
      if (!take_out(*h)) continue;  // somebody else has, and reports it
      event gone{.what = "handler_removed",
                 .severity = severity::error,
                 .fields = {{"handler", h->id}, {"error", why}, {"why", "it threw; it is called no more"}}};
      // Each of these takes a handler out before it reports: it comes to an end.
      enqueue(gone);
      hand_out(gone);
    }
  }

  bool take_out(const named_handler& which) {
    std::lock_guard guard(handlers_lock);
    handler_list rest = *handlers;
    if (std::erase_if(rest, [&](auto& h) { return h.get() == &which; }) == 0) return false;
    publish(std::move(rest));
    return true;
  }

  void enqueue(const event& e) {
    if (e.severity < level.load(std::memory_order_relaxed)) return;
    const std::size_t before = waiting.load(std::memory_order_relaxed);
    if (before >= options.flush_at) flush_wanted = true;
    if (before >= options.drop_at || before >= options.flush_at) {
      dropped.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    line made{e.severity, spdlog::details::os::now(), log_text(e, options.format)};
    std::uint64_t mine = 0;
    {
      std::lock_guard guard(lock);
      lines.push_back(std::move(made));
      mine = ++pushed;
      waiting.fetch_add(1, std::memory_order_relaxed);
    }
    arrived.notify_one();
    if (before < options.sync_at) return;
    waits.fetch_add(1, std::memory_order_relaxed);
    std::unique_lock guard(lock);
    progress.wait_for(guard, sync_wait, [&] { return done >= mine; });
  }

  // ---- the writer ------------------------------------------------------------------------------------------------

  void run() {
    std::uint64_t dropped_told = 0, flushed_told = 0;
    std::vector<line> batch;
    failing.resize(options.sinks.size());
    std::unique_lock guard(lock);
    for (;;) {
      arrived.wait(guard, [&] { return ending || !lines.empty(); });
      if (lines.empty()) return;
      batch.swap(lines);
      guard.unlock();
      std::size_t held = 0;  // settled when the sinks have been flushed: flush() waits for the last of them
      for (std::size_t i = 0; i < batch.size(); ++i) {
        if (flush_wanted.exchange(false)) {
          std::vector<line> more;
          {
            std::lock_guard those_too(lock);
            more.swap(lines);
          }
          const std::size_t rest = batch.size() - i + more.size();
          flushed += rest;
          held = rest;
          break;
        }
        write(batch[i]);
        if (i + 1 < batch.size())
          settle(1);
        else
          held = 1;
      }
      batch.clear();
      // What was left out is said when there is room again, in one line.
      const std::uint64_t lost_now = dropped.load() - dropped_told, flushed_now = flushed.load() - flushed_told;
      if ((lost_now || flushed_now) && waiting.load() < options.sync_at) {
        dropped_told += lost_now;
        flushed_told += flushed_now;
        write({severity::warning, spdlog::details::os::now(),
               fmt::format("logger: {} events dropped and {} flushed, because {} or more were waiting to be written",
                           lost_now, flushed_now, std::min(options.drop_at, options.flush_at))});
      }
      for (std::size_t i = 0; i < options.sinks.size(); ++i) of_sink(i, [](auto& sink) { sink.flush(); });
      settle(held);
      guard.lock();
    }
  }

  void settle(std::size_t count) {
    {
      std::lock_guard guard(lock);
      done += count;
    }
    waiting.fetch_sub(count, std::memory_order_relaxed);
    progress.notify_all();
  }

  void write(const line& l) {
    spdlog::details::log_msg message(l.at, spdlog::source_loc{}, "otp", level_of(l.level), l.text);
    bool everywhere = true;
    for (std::size_t i = 0; i < options.sinks.size(); ++i) {
      if (of_sink(i, [&](auto& sink) { sink.log(message); }))
        failing[i] = false;
      else
        everywhere = false;
    }
    (everywhere ? written : lost).fetch_add(1, std::memory_order_relaxed);
  }

  // Each sink for itself: what one throws keeps no line from the others.
  template <class Act>
  bool of_sink(std::size_t i, Act&& act) {
    std::string why;
    try {
      act(*options.sinks[i]);
      return true;
    } catch (const std::exception& e) {
      why = e.what();
    } catch (...) {
      why = "unknown";
    }
    if (!failing[i])
      detail::write_line_to_stderr("[error] logger: a sink failed, its lines are lost: " + detail::one_line(why, 1024));
    failing[i] = true;
    return false;
  }
};

logger::logger(logger_options options) : state_(std::make_unique<state>()) {
  if (options.sync_at > options.drop_at || options.drop_at < 2 || options.flush_at < 2)
    throw bad_argument(fmt::format(
        "logger: sync_at is {}, drop_at {}, flush_at {}; give sync_at <= drop_at, and 2 or more for the others",
        options.sync_at, options.drop_at, options.flush_at));
  if (options.sinks.empty()) options.sinks.push_back(stderr_sink());
  state_->level = options.level;
  state_->lowest = options.level;
  state_->options = std::move(options);
  // Signals are for the program's own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    state_->writer = std::thread([s = state_.get()] { s->run(); });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

logger::~logger() {
  {
    std::lock_guard guard(state_->lock);
    state_->ending = true;
  }
  state_->arrived.notify_one();
  state_->writer.join();
}

void logger::on_event(const event& e) {
  state_->enqueue(e);
  state_->hand_out(e);
}

bool logger::wants(severity level) const noexcept { return level >= state_->lowest.load(std::memory_order_relaxed); }

void logger::set_level(severity level) noexcept {
  state_->level = level;
  std::lock_guard guard(state_->handlers_lock);
  severity least = level;
  for (auto& h : *state_->handlers) least = std::min(least, h->level);
  state_->lowest = least;
}

bool logger::add_handler(std::string id, handler run, severity level) {
  if (!run) throw bad_argument("logger.add_handler: the function object is empty; give one that can be called");
  std::lock_guard guard(state_->handlers_lock);
  state::handler_list list = *state_->handlers;
  for (auto& h : list)
    if (h->id == id) return false;
  list.push_back(std::make_shared<state::named_handler>(std::move(id), level, std::move(run)));
  state_->publish(std::move(list));
  return true;
}

bool logger::remove_handler(std::string_view id) {
  std::shared_ptr<const state::handler_list> before;  // a handler's end is user code: after the lock
  std::lock_guard guard(state_->handlers_lock);
  before = state_->handlers;
  state::handler_list rest = *before;
  if (std::erase_if(rest, [&](auto& h) { return h->id == id; }) == 0) return false;
  state_->publish(std::move(rest));
  return true;
}

std::vector<std::string> logger::handlers() const {
  std::vector<std::string> ids;
  const auto present = state_->all_handlers();
  for (auto& h : *present) ids.push_back(h->id);
  return ids;
}

void logger::flush() {
  std::unique_lock guard(state_->lock);
  const std::uint64_t until = state_->pushed;
  state_->progress.wait(guard, [&] { return state_->done >= until; });
}

logger_counters logger::counters() const {
  const state& s = *state_;
  return {.written = s.written,
          .dropped = s.dropped,
          .flushed = s.flushed,
          .lost = s.lost,
          .waits = s.waits,
          .waiting = s.waiting};
}

namespace {
template <class Sink>
std::shared_ptr<spdlog::sinks::sink> as_otp_writes(std::shared_ptr<Sink> sink) {
  sink->set_pattern(pattern);
  return sink;
}
}  // namespace

// Only the writer uses a sink: those without a lock of their own would do. Who shares one with other loggers may.
std::shared_ptr<spdlog::sinks::sink> logger::stderr_sink() {
  return as_otp_writes(std::make_shared<spdlog::sinks::stderr_sink_mt>());
}
std::shared_ptr<spdlog::sinks::sink> logger::file_sink(const std::string& path) {
  return as_otp_writes(std::make_shared<spdlog::sinks::basic_file_sink_mt>(path));
}
std::shared_ptr<spdlog::sinks::sink> logger::rotating_file_sink(const std::string& path, std::size_t bytes,
                                                                std::size_t files) {
  return as_otp_writes(std::make_shared<spdlog::sinks::rotating_file_sink_mt>(path, bytes, files));
}

}  // namespace otp
