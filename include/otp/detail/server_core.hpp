// The untyped half of every server: its life from init to terminate, and what its handlers' results do.
//
// Shape   a typed body derives from server_core and supplies the server object; templates make small envelopes with a
//         function that runs the right handler. Everything else is compiled once, in gen_server.cpp.
// Rules   1. `step_` is what the last handler asked for; set by its runner, applied when user code has returned.
//         2. outstanding_ holds a reference to each request that was deferred; it changes inside a runtime_bracket
//         only,
//            because an abandonment reads it from another thread.
//         3. User code is never called from inside a catch block.
#pragma once
#include <otp/detail/behaviour.hpp>
#include <otp/event.hpp>
#include <otp/server_name.hpp>

#include <vector>

namespace otp {

/// What handle_info gets when the server was idle for as long as it asked.
struct timeout {
  friend bool operator==(timeout, timeout) = default;
};

struct start_options {
  server_name name{};
  duration timeout = infinity;          ///< for init; past it the server is killed and the start fails with `timeout`
  duration hibernate_after = infinity;  ///< idle this long, the server gives back what it can do without
  spawn_options spawn{};  ///< priority, stack_size, mailbox, trap_exit, label; link and monitor are the start form's
  std::vector<std::string> debug{};  ///< "trace", "log", "statistics"; others are reported and ignored
};

/// What a status query or a report shows of a server; `format_status` may rewrite it.
struct server_status {
  std::string name;
  std::string type;
  otp::pid pid;
  otp::pid parent;
  bool suspended = false;
  std::string state;      ///< the server's to_string(), or its type
  exit_reason reason{};   ///< reports only
  std::string message{};  ///< reports only: what was being handled
  std::vector<std::string> log{};
};

namespace detail {

class server_core;

/// How the untyped machine runs one kind of envelope on one type of server.
using runner = void (*)(server_core& core, void* server, envelope* e);

struct info_entry {
  const envelope_type* type;
  runner run;
};

/// One per server type: its address is the type's identity.
struct server_type {
  std::string_view name;
  const info_entry* infos;  // what may arrive by plain pid
  std::size_t info_count;
  const info_entry* continues;
  std::size_t continue_count;
  runner any_info;                                          // handle_info(const message&), or null
  void (*terminate)(void* server, const exit_reason& why);  // or null
  std::string (*state)(const void* server);                 // or null
  void (*format_status)(void* server, server_status&);      // or null
};

/// The type of an envelope that names its handler: what `kind` cast and request envelopes have.
struct server_envelope_type : envelope_type {
  const server_type* server;
  runner run;
};

/// What a handler asks for besides its reply.
struct step_result {
  enum class what : std::uint8_t { go_on, stop } action = what::go_on;
  bool hibernate = false;
  bool has_timeout = false;
  duration timeout{};
  envelope* timeout_message = nullptr;  // owned; null: otp::timeout
  envelope* continuation = nullptr;     // owned
  exit_reason reason{};

  /// Nothing but going on.
  bool plain() const noexcept { return action == what::go_on && !hibernate && !has_timeout && !continuation; }
  step_result() = default;
  step_result(step_result&& o) noexcept { *this = std::move(o); }
  step_result& operator=(step_result&& o) noexcept {
    action = o.action;
    hibernate = o.hibernate;
    has_timeout = o.has_timeout;
    timeout = o.timeout;
    std::swap(timeout_message, o.timeout_message);
    std::swap(continuation, o.continuation);
    reason = std::move(o.reason);
    return *this;
  }
  ~step_result() {
    if (timeout_message) destroy(timeout_message);
    if (continuation) destroy(continuation);
  }
};

/// How init ended, other than by an exception.
struct init_step {
  enum class what : std::uint8_t { ok, ignore, stop, error } outcome = what::ok;
  step_result step;
};

class server_core : public process_body {
 public:
  server_core(const server_type& type, const start_options& options, start_ticket* ticket);
  ~server_core() override;

  bool start() final;
  void receive(envelope* e) final;
  bool has_work() const noexcept final;
  void work() final;
  void ended(const exit_reason& why) noexcept final;
  void given_up(const exit_reason& why) noexcept final;
  start_ticket* release_ticket() noexcept final { return std::exchange(ticket_, nullptr); }
  const std::string_view& type() const noexcept final { return type_.name; }
  std::string_view doing() const noexcept final;
  bool reports_itself() const noexcept final { return true; }

  // For runners.
  void set_step(step_result&& step) {
    if (!step.plain()) step_.reset(new step_result(std::move(step)));
  }
  /// Answers the request being handled.
  template <class Envelope, class Value>
  void answer(Envelope* r, Value&& value);
  /// The same, but the reply leaves when terminate has run.
  template <class Envelope, class Value>
  void answer_at_end(Envelope* r, Value&& value);
  otp::pid parent() const noexcept { return parent_; }

  /// Runs the loop in the calling process, which has a state already (enter_loop). Never returns.
  [[noreturn]] void loop();

 protected:
  /// Makes the server object. May throw; what it throws is the init's failure.
  virtual init_step init() = 0;
  virtual void* server() noexcept = 0;

 private:
  struct rare;  // what most servers never need
  rare& more();
  void run(runner r, envelope* e, std::string_view what);
  void run_request(request_envelope* r);
  void run_info(envelope* e);
  void run_system(request_envelope* r);
  void dispatch(envelope* e);
  void apply(request_envelope* r);
  void settle(request_envelope* r);
  void keep_for_end(request_envelope* r);
  void send_last_answer() noexcept;
  void crash(exit_reason why, request_envelope* r, std::string message);
  void stop(exit_reason why, bool report, std::string message, bool exception, request_envelope* r = nullptr);
  void set_idle_timeout(duration after, envelope* message);
  void cancel_idle_timeout();
  void unhandled(envelope* e, const char* what);
  void prune_outstanding();
  void report_end(const exit_reason& why, std::string message, bool exception, request_envelope* r);
  server_status status();
  void fail_outstanding(const exit_reason& why) noexcept;

  const server_type& type_;
  start_ticket* ticket_;
  rare* rare_ = nullptr;
  otp::pid parent_;
  std::atomic<const type_record*> doing_{nullptr};  // read by others
  envelope* continuation_ = nullptr;
  request_envelope* last_ = nullptr;  // being handled when the server began to end; see last_is_answered_
  std::unique_ptr<step_result> step_;
  bool answered_ = false;          // the request being handled was answered by its runner, and is gone
  bool last_is_answered_ = false;  // the reply of last_ is written and leaves when terminate has run; else it fails
};

/// Takes a reply slot for writing, fills it, sends it. Consumes the reference that `r` is.
template <class Envelope, class... Value>
bool write_reply(Envelope* r, Value&&... value) {
  if (!begin_reply(*r)) {
    count_late_reply(*r);
    drop_reference(r);
    return false;
  }
  try {
    r->reply.value.emplace(std::forward<Value>(value)...);
  } catch (...) {
    r->failure = exit_reason::of_current_exception();
    finish_failed(r);
    throw;
  }
  finish_reply(r);
  return true;
}

template <class Envelope, class Value>
void server_core::answer(Envelope* r, Value&& value) {
  leave_request();
  answered_ = true;  // write_reply consumes the callee's reference
  write_reply(r, std::forward<Value>(value));
}

template <class Envelope, class Value>
void server_core::answer_at_end(Envelope* r, Value&& value) {
  if (!begin_reply(*r)) return count_late_reply(*r);
  r->references.fetch_add(1, std::memory_order_relaxed);  // finish_reply consumes one
  try {
    r->reply.value.emplace(std::forward<Value>(value));
  } catch (...) {
    r->failure = exit_reason::of_current_exception();
    finish_failed(r);
    throw;
  }
  last_ = r;
  last_is_answered_ = true;
}

/// already_started, if the name in the options is held.
std::optional<exit_reason> check_name(const start_options& options);
/// Throws exited unless the caller was started by proc_lib and holds the name in the options.
void check_entering(const start_options& options);
void stop_process(pid who, std::string text, exit_reason why, duration timeout);
}  // namespace detail
}  // namespace otp
