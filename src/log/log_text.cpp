// Reports in the words of OTP's logger_formatter.
#include <otp/logger.hpp>

#include "base/text.hpp"
#include "process/event_state.hpp"

#include <fmt/format.h>

namespace otp {

namespace {

constexpr std::size_t field_max = 8 * 1024;

class report_text {
 public:
  explicit report_text(const event_format& how) : how_(how) {}
  // What stands before the parts.
  void head(std::string_view text) { text_ = safe(text); }
  void part(std::string_view key, std::string_view value) {
    text_ += !how_.single_line ? "\n    " : text_.empty() ? "" : text_.ends_with(':') ? " " : ", ";
    text_ += fmt::format("{}: {}", key, safe(value));
  }
  void part_if(std::string_view key, std::string_view value) {
    if (!value.empty()) part(key, value);
  }
  void list(std::string_view key, std::string_view value) { part(key, "[" + std::string(value) + "]"); }
  void append(std::string_view text) { text_ += text; }
  std::string take() {
    if (how_.chars != 0 && text_.size() > how_.chars) {
      constexpr std::string_view cut = "...";
      std::size_t keep = how_.chars > cut.size() ? how_.chars - cut.size() : 0;
      while (keep > 0 && (static_cast<unsigned char>(text_[keep]) & 0xc0) == 0x80) --keep;  // not inside of a character
      text_.resize(keep);
      text_ += cut.substr(0, how_.chars);
    }
    return std::move(text_);
  }

 private:
  std::string safe(std::string_view value) const {
    return detail::one_line(how_.depth == 0 ? std::string(value) : detail::to_depth(value, how_.depth), field_max);
  }
  const event_format& how_;
  std::string text_;
};

void crash(report_text& out, const event& e) {
  out.head("crasher:");
  out.part("initial call", e.field("initial_call").empty() ? e.field("type") : e.field("initial_call"));
  out.part("pid", e.process.to_string());
  out.list("registered_name", e.field("registered_name"));
  out.part_if("label", e.field("label"));
  out.part_if("in", e.field("in"));
  out.part(e.field("class").empty() ? "error" : e.field("class"), e.reason.to_string());
  out.part_if("thrown_at", e.field("thrown_at"));
  out.list("ancestors", e.field("ancestors"));
  out.part_if("message_queue_len", e.field("message_queue_len"));
  out.list("messages", e.field("messages"));
  out.list("links", e.field("links"));
  out.list("dictionary", e.field("dictionary"));
  out.part_if("trap_exit", e.field("trap_exit"));
  out.part_if("status", e.field("status"));
  out.list("neighbours", e.field("neighbours"));
}

void supervisor_report(report_text& out, const event& e) {
  out.part("supervisor", e.field("supervisor"));
  if (e.what != "progress") {
    out.part("errorContext", e.field("context"));
    out.part("reason", e.field("reason"));
  }
  std::string child;
  for (std::string_view key : {"child", "children", "id", "start", "restart", "significant", "shutdown", "type"}) {
    std::string_view value = e.field(key);
    if (!value.empty())
      child += fmt::format("{}{{{}, {}}}", child.empty() ? "" : ", ", key == "child" ? "pid" : key, value);
  }
  out.list(e.what == "progress" ? "started" : "offender", child);
}

void server_terminated(report_text& out, const event& e) {
  const bool machine = !e.field("callback_mode").empty();
  out.head(fmt::format("{} {} terminating", machine ? "State machine" : "Generic server", e.name));
  out.part("reason", e.reason.to_string());
  out.part_if("label", e.field("label"));
  out.part_if("last message", e.field("last_message"));
  out.part("state", e.field("state"));
  for (std::string_view key : {"data", "callback_mode", "queue", "postponed", "timers", "client", "log", "backtrace"})
    out.part_if(key, e.field(key));
}

void task_terminated(report_text& out, const event& e) {
  out.head(fmt::format("Task {} started from {} terminating", e.process.to_string(), e.field("started_from")));
  out.part("reason", e.reason.to_string());
  for (std::string_view key : {"function", "args", "label", "callers"}) out.part_if(key, e.field(key));
}

void user_text(report_text& out, const event& e) {
  out.head(e.field("text"));
  for (auto& [key, value] : e.fields)
    if (key != "text") out.part(key, value);
}

void other(report_text& out, const event& e) {
  out.head(e.what);
  if (e.process) out.part("process", e.name.empty() ? e.process.to_string() : e.name);
  if (!e.reason.is_normal()) out.part("reason", e.reason.to_string());
  for (auto& [key, value] : e.fields) out.part_if(key, value);
}

}  // namespace

std::string log_text(const event& e, const event_format& how) {
  report_text out(how);
  if (e.what == "crash")
    crash(out, e);
  else if (!e.field("context").empty() && !e.field("supervisor").empty())
    supervisor_report(out, e);
  else if (e.what == "server_terminated")
    server_terminated(out, e);
  else if (e.what == "task_terminated")
    task_terminated(out, e);
  else if (e.what == "log")
    user_text(out, e);
  else
    other(out, e);
  if (e.left_out) out.append(fmt::format(" ({} events of this kind left out)", e.left_out));
  return out.take();
}

}  // namespace otp
