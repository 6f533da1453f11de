// The untyped half of every server: its life from init to terminate, and what its handlers' results do.
//
// Shape   a typed body derives from server_core and supplies the server object; templates make small envelopes with a
//         function that runs the right handler. Everything else is compiled once, in gen_server.cpp.
// Rules   1. A `turn` is one run of a handler: what it asked for, applied when user code has returned.
//         2. rare_ (the pointer), outstanding_ and ticket_ change inside a runtime_bracket only: an
//            abandonment reads them from another thread.
//         3. User code is never called from inside a catch block, and never inside a bracket; that goes for the
//            destructors of messages, requests and replies too.
//         4. Every request that reached the server is in one of two places, where its end finds it: being handled
//            (process::handling), or outstanding_.
#pragma once
#include <otp/detail/behaviour.hpp>
#include <otp/detail/stored_value.hpp>
#include <otp/event.hpp>
#include <otp/server_name.hpp>

#include <memory>
#include <optional>
#include <vector>

namespace otp {

/// What handle_info gets when the server was idle for as long as it asked.
struct timeout {
  friend bool operator==(timeout, timeout) = default;
};

namespace detail {
struct hook_maker;  // sys.hpp
}

/// What sys can switch on when a process starts: "trace", "log", "log=20", "log_to_file=/path", "statistics", or a
/// hook, otp::sys::install(id, hook), of which each process that starts has a copy.
class debug_option {
 public:
  template <std::convertible_to<std::string_view> Text>
  debug_option(const Text& text) : text_(std::string_view(text)) {}
  debug_option(std::string id, std::shared_ptr<const detail::hook_maker> hook)
      : text_(std::move(id)), hook_(std::move(hook)) {}

  const std::string& text() const noexcept { return text_; }  ///< of a hook its id
  const std::shared_ptr<const detail::hook_maker>& hook() const noexcept { return hook_; }
  std::string to_string() const { return hook_ ? "hook=" + text_ : text_; }

 private:
  std::string text_;
  std::shared_ptr<const detail::hook_maker> hook_;
};

struct start_options {
  server_name name{};
  duration timeout = infinity;          ///< for init; past it the server is killed and the start fails with `timeout`
  duration hibernate_after = infinity;  ///< idle this long, the server gives back what it can do without
  spawn_options spawn{};  ///< priority, stack_size, mailbox, trap_exit, label; link and monitor are the start form's
  std::vector<debug_option> debug{};  ///< what is none, or cannot be done, is reported and ignored
};

/// What a status query or a report shows of a server; `format_status` may rewrite it.
struct server_status {
  std::string name;
  std::string type;
  otp::pid pid;
  otp::pid parent;
  bool suspended = false;
  bool hibernating = false;
  std::string state;      ///< the server's to_string(), or its type; of a machine its state
  exit_reason reason{};   ///< reports only
  std::string message{};  ///< reports only: what was being handled
  std::vector<std::string> log{};
  std::vector<std::string> debug{};  ///< what is switched on, and the hooks
  std::vector<std::pair<std::string, std::string>> dictionary{};
  // Of machines (gen_statem.hpp) only.
  std::string data{};           ///< the machine's to_string(), or its type
  std::string callback_mode{};  ///< "state_functions" or "handle_event_function", and whether there are enter calls
  std::string state_type{};     ///< of the current state
  std::vector<std::string> timers{};     ///< that run, each with its content
  std::vector<std::string> postponed{};  ///< oldest first
  std::vector<std::string> queue{};      ///< inserted and retried events, next first
};

namespace sys {
enum class debug_kind : std::uint8_t;
struct debug_facts;
}  // namespace sys

namespace detail {

class turn;

/// How the untyped machine runs one kind of envelope on one type of server.
using runner = void (*)(turn& t, void* server, envelope* e);

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
  bool any_info_owns = false;                               // it is handle_info(message): takes the envelope over
  const stored_value_evidence* stored = nullptr;            // of types that could be nothing but a store
};

/// The type of an envelope that names its handler: what `kind` cast and request envelopes have.
struct server_envelope_type : envelope_type {
  const server_type* server;
  runner run;
  // Of a request: its reply, for who debugs the server.
  const type_record* reply = nullptr;
  const void* (*reply_value)(const request_envelope*) = nullptr;
};

template <class Server>
struct inspected;  // sys.hpp

/// What a handler asks for besides its reply.
struct step_result {
  enum class what : std::uint8_t { go_on, stop } action = what::go_on;
  enum class idle : std::uint8_t { none, after, at } timeout = idle::none;
  bool hibernate = false;
  duration time{};                      // of the timeout: from now, or since the clock's epoch
  envelope* timeout_message = nullptr;  // owned; null: otp::timeout
  envelope* continuation = nullptr;     // owned
  exit_reason reason{};

  /// Nothing but going on.
  bool plain() const noexcept { return action == what::go_on && timeout == idle::none && !hibernate && !continuation; }
  step_result() = default;
  step_result(step_result&& o) noexcept
      : action(o.action),
        timeout(o.timeout),
        hibernate(o.hibernate),
        time(o.time),
        timeout_message(std::exchange(o.timeout_message, nullptr)),
        continuation(std::exchange(o.continuation, nullptr)),
        reason(std::move(o.reason)) {}
  step_result& operator=(step_result&& o) noexcept {
    action = o.action;
    timeout = o.timeout;
    hibernate = o.hibernate;
    time = o.time;
    std::swap(timeout_message, o.timeout_message);
    std::swap(continuation, o.continuation);
    reason = std::move(o.reason);
    return *this;
  }
  ~step_result() {
    drop(timeout_message);
    drop(continuation);
  }
  void set_timeout(idle kind, duration length, envelope* message) {
    drop(std::exchange(timeout_message, message));
    timeout = kind;
    time = length;
  }
  void set_continuation(envelope* work) { drop(std::exchange(continuation, work)); }

 private:
  static void drop(envelope* e) noexcept;  // what a payload's destructor throws goes nowhere
};

/// How init ended, other than by an exception.
struct init_step {
  enum class what : std::uint8_t { ok, ignore, stop, error } outcome = what::ok;
  step_result step;
};

/// One run of a handler: what it leaves behind.
class turn {
 public:
  explicit turn(request_envelope* r = nullptr) noexcept : request(r) {}

  void set_step(step_result&& s) {
    if (!s.plain()) step.emplace(std::move(s));
  }
  /// Answers the request being handled. `shared`: there may be a `from`, which may answer too.
  template <bool shared, class Envelope, class Value>
  void answer(Envelope* r, Value&& value) {
    const bool begun = shared && !is_ours_to_answer(*r);
    if (begun) {
      if (!begin_reply(*r)) return count_late_reply(*r);  // its `from` was faster
      make_reply(r, std::forward<Value>(value));
    } else {
      r->reply.value.emplace(std::forward<Value>(value));
    }
    request = nullptr;
    finish_handled(r, begun);
  }
  /// The same, but the reply leaves when terminate has run.
  template <class Envelope, class Value>
  void answer_at_end(Envelope* r, Value&& value) {
    if (!begin_reply(*r)) return count_late_reply(*r);
    make_reply(r, std::forward<Value>(value));
    answered = true;
  }
  bool stops() const noexcept { return step && step->action == step_result::what::stop; }

  request_envelope* request;        // being handled; null: none, or it was answered and is gone
  bool answered = false;            // by answer_at_end
  std::optional<step_result> step;  // what the handler asked for besides its reply
};

class server_core : public process_body {
 public:
  /// Takes a reference of its own to the ticket.
  server_core(const server_type& type, const start_options& options, start_ticket* ticket);
  ~server_core() override;

  bool start() final;
  void receive(envelope* e) override;
  bool has_work() const noexcept override { return continuation_ != nullptr; }
  void work() override;
  void ended(const exit_reason& why) noexcept final;
  void given_up(const exit_reason& why) noexcept final;
  start_ticket* release_ticket() noexcept final { return std::exchange(ticket_, nullptr); }
  const std::string_view& type() const noexcept final { return type_.name; }
  std::string initial_call() const final { return std::string(type_.name) + "::init"; }
  void replying(const request_envelope& r) noexcept final;
  std::string_view doing() const noexcept final;
  bool reports_itself() const noexcept final { return true; }
  process_kind kind() const noexcept final { return process_kind::server; }
  bool only_stores() const noexcept final { return type_.stored && type_.stored->shown(); }

  otp::pid parent() const noexcept { return parent_; }

  /// Runs the loop in the calling process, which has a state already (enter_loop). Never returns.
  [[noreturn]] void loop();

 protected:
  /// Makes the server object. May throw; what it throws is the init's failure.
  virtual init_step init() = 0;
  virtual void* server() noexcept = 0;
  /// Init is done: what it asked for.
  virtual void begin(init_step&& done);
  /// What a behaviour of its own adds to the status.
  virtual void add_status(server_status&) {}
  virtual bool is_machine() const noexcept { return false; }
  /// What to do about a message that has no handler.
  virtual std::string advice(const envelope_type& type);

  // What follows is for server_core and machine_core.
  struct rare;  // what most servers never need
  struct subject;
  struct ending;
  rare& more();
  bool take_name();
  void start_debugging();
  bool is_debugged() const noexcept;  // ask where rare_ is set
  void tell_in(const envelope_type& type, const envelope& e);
  void tell(sys::debug_facts&& seen);
  void tell_state(sys::debug_kind what);
  std::string state_text() const;
  void run(runner r, envelope* e);
  void end_run(turn& t, const envelope_type& type, envelope* left, bool handled, std::optional<exit_reason> failed);
  void run_request(request_envelope* r);
  void refuse_request(request_envelope* r, const server_type& wanted);
  void end_request(turn& t, const envelope_type& type, request_envelope* r, std::optional<exit_reason> failed);
  void run_info(envelope* e);
  void run_system(request_envelope* r);
  void stay_suspended();
  void dispatch(envelope* e);
  bool own_timer(envelope* e);
  void skip_expired(request_envelope* r) noexcept;
  static bool late_response(envelope* e) noexcept;
  void apply(turn& t, std::string text);
  void settle(request_envelope* r);
  void leave(request_envelope* r) noexcept;
  void drop_request(request_envelope* r, const exit_reason* why) noexcept;
  void list(request_envelope* r, request_envelope*& left) noexcept;
  void stop(ending end);
  void set_idle_timeout(step_result& step);
  void cancel_idle_timeout();
  void pause_idle_timeout();
  void restart_idle_times();
  void restart_hibernate_timer();
  void fall_asleep();
  void unhandled(envelope* e, const char* what);
  bool discard(envelope* e, const char* what);
  bool is_parent_exit(const envelope& e) const noexcept;
  void report_crash(const exit_reason& why, const char* in);
  void report_end(const exit_reason& why, const ending& end);
  server_status status();
  void show(server_status& s);
  request_envelope* fail_outstanding(const exit_reason& why) noexcept;

  const server_type& type_;
  start_ticket* ticket_;
  rare* rare_ = nullptr;
  otp::pid parent_;
  std::atomic<const type_record*> doing_{nullptr};  // read by others
  envelope* continuation_ = nullptr;
  request_envelope* outstanding_ = nullptr;  // a ring; the last one, whose next is the first
  bool hibernating_ = false;
};

/// Why a server ends whose handler throws a result that is none of its own; `result` is what it could throw.
exit_reason misfit_thrown(const char* kind, std::string_view where, std::string_view result);
/// Throws bad_argument for options that are not the user's to set.
void check_options(const start_options& options);
/// already_started, if the name in the options is held; throws bad_argument if it cannot be a name.
std::optional<exit_reason> check_name(const start_options& options);
/// Throws exited unless the caller was started by proc_lib and holds the name in the options.
void check_entering(const start_options& options);
void stop_process(pid who, std::string text, exit_reason why, duration timeout);
}  // namespace detail
}  // namespace otp
