// The untyped half of tasks: the process that runs one function, and what its owner does with the handle.
//
// Shape   a task_core is the body of the task's process. It runs the function, sends the result to whoever watches it,
//         and ends. One that belongs to a task supervisor is made by its owner and travels to the process that the
//         supervisor has started for it.
// Rules   1. The function is destroyed before its result is sent: who has the result can rely on that.
//         2. A handle is `open` while its owner watches the task; everything that decides it makes it `over`, and takes
//            the messages with its reference out of the mailbox.
#pragma once
#include <otp/child_spec.hpp>
#include <otp/detail/collect.hpp>

namespace otp::detail {

/// Who wants a task, and on whose behalf.
struct task_origin {
  pid owner;
  std::shared_ptr<const std::vector<pid>> callers;  // the owner's own
  static task_origin of_caller();
};

class task_core : public process_body {
 public:
  /// In the owner.
  task_core() : origin_(task_origin::of_caller()) {}
  void started_for(const task_origin& origin) { origin_ = origin; }
  bool start() final;
  void watched(ref monitor) noexcept final { reply_ = monitor; }
  std::shared_ptr<const std::vector<pid>> callers() const final;
  bool reports_itself() const noexcept final { return true; }
  process_kind kind() const noexcept final { return process_kind::task; }
  /// Runs the function in the calling process, which ends with what comes of it.
  void perform();

 protected:
  const ref& reply_to() const noexcept { return reply_; }
  /// Runs the function; the message with its result if somebody wants one.
  virtual envelope* call() = 0;
  virtual std::string arguments() const = 0;

 private:
  void report_failure(const exit_reason& why) const;

  task_origin origin_;
  ref reply_;
};

/// What a task<T> holds.
struct task_handle {
  enum class state : std::uint8_t { none, open, completed, over };
  pid process{};
  pid owner{};
  ref watch{};
  const std::string_view* function = nullptr;
  state is = state::none;
};

/// One of the tasks that something is asked of, and the answer.
struct task_slot {
  task_handle* handle;
  const result_envelope_type* type;
  envelope* value = nullptr;  // the result's message; owned
  std::optional<exit_reason> end{};
  bool left = false;  // completed, but past the limit: it keeps its value

  task_slot(task_handle& h, const result_envelope_type& t) noexcept : handle(&h), type(&t) {}
  task_slot(task_slot&& o) noexcept
      : handle(o.handle), type(o.type), value(std::exchange(o.value, nullptr)), end(std::move(o.end)), left(o.left) {}
  task_slot& operator=(task_slot&&) = delete;
  ~task_slot() noexcept(false) {
    if (value) destroy(value);
  }
  bool decided() const noexcept { return value || end; }
};

/// What yield_many does with tasks that are not ready when its time is over.
enum class late_tasks : std::uint8_t { nothing, ignore, kill_task };

/// Starts it linked to the caller and watched by it.
task_handle start_task(std::unique_ptr<task_core> task);
/// Starts it without anybody to answer to.
pid start_loose_task(std::unique_ptr<task_core> task, bool link);
/// Throws bad_argument unless the caller owns it and something is to come of it.
void require_open(const task_handle& task, const char* what);
void require_task_owner(const task_handle& task, const char* what);
/// Fills in the values of all, or exits the caller.
void await_tasks(task_slot* all, std::size_t count, duration timeout, const char* what);
/// Fills in what has come of up to `limit` of them until then. Less than that is late.
void yield_tasks(task_slot* all, std::size_t count, std::size_t limit, duration timeout, late_tasks late,
                 const char* what);
void ignore_task(task_slot& task);
void shutdown_task(task_slot& task, shutdown_time time);
/// A handle is destroyed or overwritten.
void drop_task(task_handle& task, const result_envelope_type& type) noexcept;

/// "fetch_user/1" for a function that is known when the program is compiled.
template <auto Function>
consteval std::string_view pretty_function() {
  std::string_view text = __PRETTY_FUNCTION__;
  auto first = text.find("Function = ") + 11;
  auto last = text.rfind("; std::string_view");
  if (last == std::string_view::npos || last < first) last = text.rfind(']');
  text = text.substr(first, last - first);
  if (text.starts_with('&')) text.remove_prefix(1);
  return text;
}
template <auto Function, std::size_t Arity>
struct function_text {
  static constexpr std::size_t size = pretty_function<Function>().size() + (Arity > 9 ? 3 : 2);
  static constexpr auto text = [] {
    struct {
      char characters[size]{};
    } t;
    std::size_t at = 0;
    for (char c : pretty_function<Function>()) t.characters[at++] = c;
    t.characters[at++] = '/';
    if (Arity > 9) t.characters[at++] = static_cast<char>('0' + Arity / 10 % 10);
    t.characters[at] = static_cast<char>('0' + Arity % 10);
    return t;
  }();
  static constexpr std::string_view value{text.characters, size};
};
template <auto Function, std::size_t Arity>
struct constant_function {
  template <class... Args>
    requires requires(Args&&... args) { Function(static_cast<Args&&>(args)...); }
  decltype(auto) operator()(Args&&... args) const {
    return Function(static_cast<Args&&>(args)...);
  }
};
template <class F>
inline constexpr std::string_view task_name = type_name<F>;
template <auto Function, std::size_t Arity>
inline constexpr std::string_view task_name<constant_function<Function, Arity>> = function_text<Function, Arity>::value;

}  // namespace otp::detail
