#include "behaviours/debugging.hpp"

#include "base/text.hpp"
#include "process/event_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace otp {

namespace detail {

namespace {

// The text of a value is user code.
template <class F>
std::string text_or_note(F&& code) {
  std::string text;
  if (guard([&] { text = code(); })) return "(its to_string failed)";
  return text;
}

}  // namespace

}  // namespace detail

namespace sys {

std::string debug_event::message() const {
  if (!seen_.message || !seen_.payload) return seen_.message ? std::string(seen_.message->name) : std::string();
  return otp::detail::text_or_note([&] { return seen_.message->text(seen_.payload); });
}

std::string debug_event::state() const {
  if (!seen_.state) return {};
  return otp::detail::text_or_note([&] { return seen_.state(seen_.subject); });
}

std::string debug_event::to_string() const {
  constexpr std::size_t most = 8 * 1024;
  auto safe = [](std::string_view text) { return otp::detail::one_line(text, most); };
  std::string line = fmt::format("*DBG* {} ", safe(seen_.name));
  std::string from = seen_.other ? fmt::format(" from {}", seen_.other.to_string()) : std::string();
  switch (seen_.what) {
    case debug_kind::in: return line + fmt::format("got {} {}{}", seen_.sort, safe(message()), from);
    case debug_kind::out:
      line += fmt::format("sent {} to {}", safe(message()),
                          seen_.other ? seen_.other.to_string() : "outside of the runtime");
      if (seen_.state) line += fmt::format(", new state {}", safe(state()));
      return line;
    case debug_kind::noreply: return line + fmt::format("new state {}", safe(state()));
    case debug_kind::consume:
      return line + fmt::format("consumed {} {}, state {}", seen_.sort, safe(message()), safe(state()));
    case debug_kind::postpone: return line + fmt::format("postponed {} {}", seen_.sort, safe(message()));
    case debug_kind::insert: return line + fmt::format("inserted {} {}", seen_.sort, safe(message()));
    case debug_kind::terminate:
      return line + fmt::format("terminates with {}, state {}",
                                seen_.reason ? safe(seen_.reason->to_string()) : std::string(), safe(state()));
  }
  return line;
}

}  // namespace sys

namespace detail {

bool debugging::on() const noexcept {
  return trace_ || trace_sink_ || file_ || log_size_ != 0 || statistics_ || !hooks_.empty();
}

void debugging::tell(const sys::debug_facts& facts) {
  if (statistics_) {
    if (facts.what == sys::debug_kind::in) ++statistics_->messages_in;
    if (facts.what == sys::debug_kind::out) ++statistics_->messages_out;
  }
  sys::debug_event e(facts);
  if (trace_ || file_ || log_size_ != 0) {
    std::string line = e.to_string();
    if (being_ended()) return;
    if (trace_) write_line_to_stderr(line);
    if (file_ && (std::fprintf(file_.get(), "%s\n", line.c_str()) < 0 || std::fflush(file_.get()) != 0)) {
      report({.what = "debug_file_failed",
              .severity = severity::warning,
              .process = self(),
              .name = std::string(facts.name),
              .fields = {{"file", path_}, {"why", "it could not be written; tracing to it is switched off"}}});
      file_.reset();
    }
    if (log_size_ != 0) {
      if (log_.size() == log_size_) log_.pop_front();
      log_.push_back(std::move(line));
    }
  }
  auto goes_on = [&](debug_hook& hook, std::string_view id) {
    bool more = false;
    auto failed = guard([&] { more = hook.see(e); });
    if (failed && !being_ended())
      report({.what = "debug_hook_failed",
              .severity = severity::warning,
              .process = self(),
              .name = std::string(facts.name),
              .reason = *failed,
              .fields = {{"hook", std::string(id)}, {"why", "it threw, and was removed"}}});
    return more && !failed;
  };
  // A hook that is taken out is destroyed by the way of all user code: guarded.
  auto drop = [](std::unique_ptr<debug_hook> hook) { guard([&] { hook.reset(); }); };
  if (trace_sink_ && !goes_on(*trace_sink_, "trace")) drop(std::move(trace_sink_));
  for (std::size_t i = 0; i < hooks_.size() && !being_ended();) {
    if (goes_on(*hooks_[i].hook, hooks_[i].id)) {
      ++i;
      continue;
    }
    auto gone = std::move(hooks_[i].hook);
    hooks_.erase(hooks_.begin() + static_cast<std::ptrdiff_t>(i));
    drop(std::move(gone));
  }
}

void debugging::trace(bool on) {
  trace_ = on;
  if (!on) trace_sink_.reset();
}

void debugging::trace_into(std::unique_ptr<debug_hook> sink) {
  trace_ = false;
  trace_sink_ = std::move(sink);
}

bool debugging::open_file(const std::string& path) {
  file_.reset();  // before the new one is tried: the two may be the same
  file_.reset(std::fopen(path.c_str(), "we"));
  path_ = path;
  return file_ != nullptr;
}

void debugging::start_log(std::size_t size) {
  if (log_size_ == 0) log_size_ = size == 0 ? usual_log : size;
}

void debugging::stop_log() noexcept {
  log_size_ = 0;
  log_.clear();
}

void debugging::start_statistics() {
  if (statistics_) return;
  statistics_.emplace();
  statistics_->started = otp::now();
  statistics_->reductions = reductions_of_caller();
}

std::optional<sys::server_statistics> debugging::statistics() const {
  auto seen = statistics_;
  if (seen) {
    seen->now = otp::now();
    seen->reductions = reductions_of_caller() - seen->reductions;
  }
  return seen;
}

bool debugging::install(std::string id, std::unique_ptr<debug_hook> hook) {
  for (const named_hook& h : hooks_)
    if (h.id == id) return false;
  hooks_.push_back({std::move(id), std::move(hook)});
  return true;
}

std::unique_ptr<debug_hook> debugging::remove(const std::string& id) {
  auto at = std::find_if(hooks_.begin(), hooks_.end(), [&](const named_hook& h) { return h.id == id; });
  if (at == hooks_.end()) return nullptr;
  auto gone = std::move(at->hook);
  hooks_.erase(at);
  return gone;
}

bool debugging::option(const debug_option& given) {
  const std::string& text = given.text();
  if (given.hook()) {
    bool done = false;
    guard([&] { done = install(text, given.hook()->make()); });  // the hook is user code, and so is its copy
    return done;
  }
  constexpr std::string_view sized_log = "log=", to_file = "log_to_file=";
  if (text == "trace") {
    trace(true);
  } else if (text == "log") {
    start_log(0);
  } else if (text == "statistics") {
    start_statistics();
  } else if (text.starts_with(to_file)) {
    return open_file(text.substr(to_file.size()));
  } else if (text.starts_with(sized_log)) {
    std::size_t size = 0;
    const char* end = text.data() + text.size();
    auto [at, error] = std::from_chars(text.data() + sized_log.size(), end, size);
    if (error != std::errc() || at != end || size == 0 || size > log_max) return false;
    start_log(size);
  } else {
    return false;
  }
  return true;
}

std::vector<std::string> debugging::settings() const {
  std::vector<std::string> all;
  if (trace_ || trace_sink_) all.emplace_back("trace");
  if (file_) all.push_back("log_to_file=" + path_);
  if (log_size_ != 0) all.push_back("log=" + unsigned_text(log_size_));
  if (statistics_) all.emplace_back("statistics");
  for (const named_hook& h : hooks_) all.push_back("hook=" + h.id);
  return all;
}

void report_bad_debug_option(const debug_option& option) {
  report(
      {.what = "bad_debug_option",
       .severity = severity::warning,
       .process = self(),
       .name = describe(self()),
       .fields = {{"option", option.to_string()},
                  {"accepted",
                   "trace, log, log=20, log_to_file=/path (of a file that can be opened), statistics, and hooks with "
                   "ids of their own, which can be copied"}}});
}

std::uint64_t reductions_of_caller() noexcept {
  const process* p = current_process();
  return p ? p->reductions.load(std::memory_order_relaxed) : 0;
}

}  // namespace detail

}  // namespace otp
