#include <otp/exit_reason.hpp>

#include <cxxabi.h>
#include <fmt/format.h>

#include <cstdlib>
#include <typeinfo>

namespace otp {

std::string pid::to_string() const { return value_ == 0 ? "<none>" : fmt::format("<0.{}.{}>", index(), generation()); }

std::string ref::to_string() const {
  return number_ == 0 ? "#ref<none>" : fmt::format("#ref<0.{}.{}>", owner_.index(), number_);
}

namespace detail {

struct reason_detail {
  std::atomic<std::uint32_t> references{1};
  std::string type;
  std::string text;
  term value;
  pid process;
  exit_reason cause;
  call_description call;
  std::vector<void*> backtrace;
};

}  // namespace detail

using detail::reason_detail;

exit_reason::exit_reason(kind which, std::string details) : kind_(which), detail_(new reason_detail) {
  detail_->text = std::move(details);
}

exit_reason::exit_reason(kind which, term value) : kind_(which), detail_(new reason_detail) {
  detail_->value = std::move(value);
}

exit_reason::exit_reason(const exit_reason& other) noexcept : kind_(other.kind_), detail_(other.detail_) {
  if (detail_) detail_->references.fetch_add(1, std::memory_order_relaxed);  // the copier already holds one
}

void exit_reason::release() noexcept {
  if (detail_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete detail_;
}

exit_reason exit_reason::of_error(std::string_view type, std::string text, std::vector<void*> backtrace) {
  auto* detail = new reason_detail;
  detail->type = type;
  detail->text = std::move(text);
  detail->backtrace = std::move(backtrace);
  return {kind::error, detail};
}

exit_reason exit_reason::of_call(exit_reason cause, call_description call) {
  auto* detail = new reason_detail;
  detail->cause = std::move(cause);
  detail->call = std::move(call);
  return {kind::call_failed, detail};
}

exit_reason exit_reason::of_pid(kind which, otp::pid process) {
  auto* detail = new reason_detail;
  detail->process = process;
  return {which, detail};
}

exit_reason exit_reason::of_current_exception() {
  auto type = [] {
    const std::type_info* info = abi::__cxa_current_exception_type();
    if (!info) return std::string("unknown");
    int status = 0;
    char* plain = abi::__cxa_demangle(info->name(), nullptr, nullptr, &status);
    std::string name = status == 0 ? plain : info->name();
    std::free(plain);
    return name;
  };
  try {
    throw;
  } catch (const exited& e) {
    return e.reason();
  } catch (const std::bad_expected_access<exit_reason>& e) {
    return e.error();  // a failed `.value()` of a result ends the process with the reason that it held
  } catch (const std::exception& e) {
    return of_error(type(), e.what());
  } catch (const std::string& text) {
    return of_error(type(), text);
  } catch (const char* text) {
    return of_error(type(), text ? text : "");
  } catch (int value) {
    return of_error(type(), detail::integer_text(value));
  } catch (...) {
    return of_error(type(), "");
  }
}

bool exit_reason::is_shutdown() const noexcept {
  if (kind_ == kind::shutdown || kind_ == kind::shutdown_with) return true;
  // In OTP the reason {shutdown, {gen_server, call, ...}} of a failed call matches {shutdown, _} too.
  return kind_ == kind::call_failed && detail_ && detail_->cause.kind_ == kind::shutdown;
}

exit_reason exit_reason::cause() const { return kind_ == kind::call_failed && detail_ ? detail_->cause : *this; }

const call_description* exit_reason::call() const noexcept {
  return kind_ == kind::call_failed && detail_ ? &detail_->call : nullptr;
}

term exit_reason::value() const { return detail_ ? detail_->value : term(); }
const term* exit_reason::held_term() const noexcept { return detail_ ? &detail_->value : nullptr; }
pid exit_reason::process() const noexcept { return detail_ ? detail_->process : pid(); }
std::string_view exit_reason::error_type() const noexcept { return detail_ ? detail_->type : std::string_view(); }
std::string_view exit_reason::text() const noexcept { return detail_ ? detail_->text : std::string_view(); }
const std::vector<void*>* exit_reason::backtrace() const noexcept { return detail_ ? &detail_->backtrace : nullptr; }

namespace {

std::string_view atom(exit_reason::kind kind) {
  using enum exit_reason::kind;
  switch (kind) {
    case normal: return "normal";
    case shutdown: return "shutdown";
    case kill: return "kill";
    case killed: return "killed";
    case noproc: return "noproc";
    case noconnection: return "noconnection";
    case timeout: return "timeout";
    case deadlock: return "deadlock";
    case calling_self: return "calling_self";
    case bad_server_type: return "bad_server_type";
    case no_reply: return "no_reply";
    case ignore: return "ignore";
    case already_started: return "already_started";
    case already_registered: return "already_registered";
    case already_present: return "already_present";
    case not_found: return "not_found";
    case running: return "running";
    case restarting: return "restarting";
    case max_children: return "max_children";
    case system_limit: return "system_limit";
    case bad_argument: return "bad_argument";
    case stack_overflow: return "stack_overflow";
    case memory_limit: return "memory_limit";
    case stopping: return "stopping";
    case simple_one_for_one: return "simple_one_for_one";
    case shutdown_with: return "shutdown";
    case error: return "error";
    case call_failed: return "call_failed";
    case value: return "value";
  }
  return "unknown";
}

std::string timeout_text(duration timeout) {
  if (timeout == infinity) return "infinity";
  if (timeout.count() % 1'000'000 == 0) return fmt::format("{} ms", timeout.count() / 1'000'000);
  return fmt::format("{} ns", timeout.count());
}

}  // namespace

std::string exit_reason::to_string() const {
  if (!detail_) return std::string(atom(kind_));  // also one that was moved from
  switch (kind_) {
    case kind::value: return detail_->value.to_string();
    case kind::shutdown_with: return "{shutdown, " + detail_->value.to_string() + "}";
    case kind::error: return fmt::format("{{error, {}: {}}}", detail_->type, detail::quoted(detail_->text));
    case kind::call_failed:
      if (detail_->call.timeout.count() < 0)
        return fmt::format("{{{}, {}}}", detail_->cause.to_string(), detail_->call.request);
      return fmt::format("{{{}, {}({}, {}, {})}}", detail_->cause.to_string(), detail_->call.function,
                         detail_->call.server, detail_->call.request, timeout_text(detail_->call.timeout));
    default: break;
  }
  if (detail_->process) return fmt::format("{{{}, {}}}", atom(kind_), detail_->process.to_string());
  if (!detail_->value.empty()) return fmt::format("{{{}, {}}}", atom(kind_), detail_->value.to_string());
  return fmt::format("{{{}, {}}}", atom(kind_), detail::quoted(detail_->text, 1000));
}

bool operator==(const exit_reason& left, const exit_reason& right) noexcept {
  if (left.kind_ != right.kind_) return false;
  if (left.detail_ == right.detail_) return true;
  if (!left.detail_ || !right.detail_) return false;
  const reason_detail& l = *left.detail_;
  const reason_detail& r = *right.detail_;
  return l.type == r.type && l.text == r.text && l.value == r.value && l.process == r.process && l.cause == r.cause &&
         l.call.function == r.call.function && l.call.server == r.call.server && l.call.request == r.call.request &&
         l.call.timeout == r.call.timeout;
}

}  // namespace otp
