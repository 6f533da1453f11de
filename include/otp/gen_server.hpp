// A server: a process that owns a value of a type of yours and handles requests, casts and messages one at a time.
//
// Shape   `Server` is any struct. Its constructor is init and runs in the new process. What it can handle are its
//         overloads, each taking the message by value or const reference:
//
//           Reply               handle_call(const Request&)               with `using reply = Reply;` in Request
//           call_result<Reply>  handle_call(const Request&, from<Reply>)  or without the `from`
//           void, handler_result
//                               handle_cast(const Message&), handle_info(const Message&), handle_continue(const Work&)
//           the same            handle_info(const otp::message&)          whatever has no handler of its own
//           void                terminate(const exit_reason&)
//           std::string         to_string() const                         how reports show it
//           void                format_status(server_status&)             the same, in detail
//
//         A `static init_result<Server> init(args...)` replaces the constructor where init has more to say. What may
//         arrive by plain pid stands in `using messages = otp::messages<refill, tick>;`, and the works of several
//         handle_continue in `using continues = otp::messages<...>;`.
// Units   see start_options.
// Errors  starting returns the reason: already_started with the holder, timeout, ignore, what init threw or returned.
//         A handler that throws ends the server with that reason after terminate; see call.hpp for callers.
// Source  gen_server. Differs: the state is a C++ object, destroyed when the server ends, also when it is killed.
#pragma once
#include <otp/call.hpp>
#include <otp/timer.hpp>

namespace otp {

// ---- what handlers and init return -------------------------------------------------------------------------------

namespace detail {

void require_valid_idle_timeout(duration idle);

/// What handlers return may be thrown as well. One that is caught by this alone fits no result of the handler.
struct thrown_result {};

/// What every result can add: a continue step, an idle timeout, hibernation.
template <class Self>
struct step_options : thrown_result {
  using otp_step = Self;
  step_result step;
  /// Runs handle_continue(work) before the next message.
  template <class Work>
  Self&& then_continue(Work&& work) && {
    step.set_continuation(make_envelope(std::forward<Work>(work)));
    return static_cast<Self&&>(*this);
  }
  /// handle_info(otp::timeout) after this long without any message, and not at all with otp::infinity.
  Self&& timeout_after(duration idle) && {
    require_valid_idle_timeout(idle);
    step.set_timeout(step_result::idle::after, idle, nullptr);
    return static_cast<Self&&>(*this);
  }
  /// handle_info(message) after this long without any message.
  template <class Message>
  Self&& timeout_after(duration idle, Message&& message) && {
    require_valid_idle_timeout(idle);
    step.set_timeout(step_result::idle::after, idle, make_envelope(std::forward<Message>(message)));
    return static_cast<Self&&>(*this);
  }
  /// The same at a point in time, unless any message comes before; at once if it has passed.
  Self&& timeout_at(instant when) && {
    step.set_timeout(step_result::idle::at, when.time_since_epoch(), nullptr);
    return static_cast<Self&&>(*this);
  }
  template <class Message>
  Self&& timeout_at(instant when, Message&& message) && {
    step.set_timeout(step_result::idle::at, when.time_since_epoch(), make_envelope(std::forward<Message>(message)));
    return static_cast<Self&&>(*this);
  }
  /// Gives back what the server can do without until the next message.
  Self&& hibernate() && {
    step.hibernate = true;
    return static_cast<Self&&>(*this);
  }
};

template <class Value>
struct reply_step : step_options<reply_step<Value>> {
  Value value;
};
struct noreply_step : step_options<noreply_step> {};
template <class Value>
struct stop_reply_step : thrown_result {
  using otp_step = stop_reply_step;
  stop_reply_step(step_result&& s, Value&& v) : step(std::move(s)), value(std::move(v)) {}
  step_result step;
  Value value;
};
struct stop_step {
  using otp_step = stop_step;
  step_result step;
  /// The reply to the request being handled, sent when terminate has run.
  template <class Value = std::monostate>
  stop_reply_step<std::decay_t<Value>> reply(Value&& value = {}) && {
    return {std::move(step), std::forward<Value>(value)};
  }
};

}  // namespace detail

/// {reply, Value, State}
template <class Value>
detail::reply_step<std::decay_t<Value>> reply(Value&& value) {
  return {{}, std::forward<Value>(value)};
}
inline detail::reply_step<std::monostate> reply() { return {}; }
/// {noreply, State}
inline detail::noreply_step noreply() { return {}; }
/// {stop, Reason, State}
inline detail::stop_step stop(exit_reason why) {
  detail::stop_step s;
  s.step.action = detail::step_result::what::stop;
  s.step.reason = std::move(why);
  return s;
}

/// What a handle_call may return when a plain reply is not all there is to say.
template <class Reply>
class call_result : public detail::thrown_result {
 public:
  using otp_step = call_result;
  template <class Value>
    requires std::convertible_to<Value, detail::reply_value<Reply>>
  call_result(detail::reply_step<Value> r) : step_(std::move(r.step)), reply_(std::in_place, std::move(r.value)) {}
  call_result(detail::noreply_step r) : step_(std::move(r.step)) {}
  call_result(detail::stop_step r) : step_(std::move(r.step)) {}
  template <class Value>
    requires std::convertible_to<Value, detail::reply_value<Reply>>
  call_result(detail::stop_reply_step<Value> r) : step_(std::move(r.step)), reply_(std::in_place, std::move(r.value)) {}

  detail::step_result& step() noexcept { return step_; }
  std::optional<detail::reply_value<Reply>>& reply() noexcept { return reply_; }

 private:
  detail::step_result step_;
  std::optional<detail::reply_value<Reply>> reply_;
};

/// What handle_cast, handle_info and handle_continue may return instead of nothing.
class handler_result : public detail::thrown_result {
 public:
  using otp_step = handler_result;
  handler_result(detail::noreply_step r) : step_(std::move(r.step)) {}
  handler_result(detail::stop_step r) : step_(std::move(r.step)) {}
  detail::step_result& step() noexcept { return step_; }

 private:
  detail::step_result step_;
};

namespace detail {
template <class Server, class... Args>
concept made_from =
    std::is_constructible_v<Server, Args...> || requires(Args&&... args) { Server{std::forward<Args>(args)...}; };
template <class... Args>
struct ok_step : step_options<ok_step<Args...>> {
  std::tuple<Args...> arguments;
};
struct init_refusal {
  init_step::what outcome;
  exit_reason reason;
};
}  // namespace detail

/// What a static init returns: the server made from these arguments, or why there is none. A constructor, which returns
/// nothing, says the latter by `throw otp::ignore()`, `throw otp::stop(reason)` or `throw otp::init_error(reason)`.
template <class Server>
class init_result {
 public:
  template <class... Args>
    requires detail::made_from<Server, Args...>
  init_result(detail::ok_step<Args...> ok) : make_(new maker_of<Args...>(std::move(ok.arguments))) {
    init_.step = std::move(ok.step);
  }
  init_result(detail::init_refusal no) {
    init_.outcome = no.outcome;
    init_.step.reason = std::move(no.reason);
  }
  init_result(detail::stop_step s) {
    init_.outcome = detail::init_step::what::stop;
    init_.step.reason = std::move(s.step.reason);
  }
  detail::init_step take(void* where) {
    if (make_) make_->make(where);
    return std::move(init_);
  }

 private:
  struct maker {
    virtual ~maker() = default;
    virtual void make(void* where) = 0;
  };
  template <class... Args>
  struct maker_of final : maker {
    explicit maker_of(std::tuple<Args...>&& a) : arguments(std::move(a)) {}
    void make(void* where) override {
      std::apply(
          [&](Args&... args) {
            if constexpr (std::is_constructible_v<Server, Args...>)
              ::new (where) Server(std::move(args)...);
            else
              ::new (where) Server{std::move(args)...};
          },
          arguments);
    }
    std::tuple<Args...> arguments;
  };
  std::unique_ptr<maker> make_;
  detail::init_step init_;
};

/// {ok, State}: the server is constructed from these arguments.
template <class... Args>
detail::ok_step<std::decay_t<Args>...> ok(Args&&... args) {
  return {{}, {std::forward<Args>(args)...}};
}
/// ignore: no server, no error.
inline detail::init_refusal ignore() { return {detail::init_step::what::ignore, {}}; }
/// {error, Reason}: the start fails with the reason, the process ends with `normal`.
inline detail::init_refusal init_error(exit_reason why) { return {detail::init_step::what::error, std::move(why)}; }

}  // namespace otp

#include <otp/detail/gen_server.inl>

namespace otp {

/// A server and the monitor it was started with.
template <class Server>
struct monitored_server {
  otp::server<Server> server;
  ref monitor;
};

namespace gen_server {

/// Starts a server, linked to the caller, and waits for its init. `args` go to its constructor or static init.
/// Errors: bad_argument for a name that cannot be one.
template <class Server, class... Args>
  requires detail::server_started_with<Server, Args...>
[[nodiscard]] result<server<Server>> start_link(start_options options = {}, Args&&... args) {
  detail::check_options(options);
  options.spawn.link = true;
  auto done = detail::start_server<Server>(options, std::forward<Args>(args)...);
  if (!done) return std::unexpected(std::move(done.error()));
  return server<Server>(done->process);
}
/// The same without a link.
template <class Server, class... Args>
  requires detail::server_started_with<Server, Args...>
[[nodiscard]] result<server<Server>> start(start_options options = {}, Args&&... args) {
  detail::check_options(options);
  options.spawn.link = false;
  auto done = detail::start_server<Server>(options, std::forward<Args>(args)...);
  if (!done) return std::unexpected(std::move(done.error()));
  return server<Server>(done->process);
}
/// The same with a monitor.
template <class Server, class... Args>
  requires detail::server_started_with<Server, Args...>
[[nodiscard]] result<monitored_server<Server>> start_monitor(start_options options = {}, Args&&... args) {
  detail::check_options(options);
  options.spawn.link = false;
  options.spawn.monitor = true;
  auto done = detail::start_server<Server>(options, std::forward<Args>(args)...);
  if (!done) return std::unexpected(std::move(done.error()));
  return monitored_server<Server>{server<Server>(done->process), done->monitor};
}

// A struct that is no server, or cannot be made from these arguments: the type of these says why, and stands in the
// compiler's first error at the caller's line.
template <class Server, class... Args>
  requires(!detail::server_started_with<Server, Args...>)
detail::start_problem<Server, Args...> start_link(start_options = {}, Args&&...);
template <class Server, class... Args>
  requires(!detail::server_started_with<Server, Args...>)
detail::start_problem<Server, Args...> start(start_options = {}, Args&&...);
template <class Server, class... Args>
  requires(!detail::server_started_with<Server, Args...>)
detail::start_problem<Server, Args...> start_monitor(start_options = {}, Args&&...);
template <class Server, class First, class... Args>
  requires(!std::is_convertible_v<First, start_options>)
options_come_first<Server, std::decay_t<First>> start_link(First&&, Args&&...);
template <class Server, class First, class... Args>
  requires(!std::is_convertible_v<First, start_options>)
options_come_first<Server, std::decay_t<First>> start(First&&, Args&&...);
template <class Server, class First, class... Args>
  requires(!std::is_convertible_v<First, start_options>)
options_come_first<Server, std::decay_t<First>> start_monitor(First&&, Args&&...);

/// Asks a server to end with `why`, behind everything sent before, and returns when it is gone. Any server: gen_server,
/// supervisor ... Errors: exits the caller with noproc, timeout, calling_self, or another reason the server ended with.
template <detail::server_address Address>
void stop(const Address& who, exit_reason why = {}, duration timeout = infinity) {
  auto target = detail::address_of<Address>::find(who);
  detail::stop_process(target.value_or(pid()), detail::address_of<Address>::text(who), std::move(why), timeout);
}
void stop(pid who, exit_reason why = {}, duration timeout = infinity);

/// Makes the calling process, started by proc_lib, the server of this state. `first` may add what init could: an idle
/// timeout, hibernation, a continue. Never returns. Errors: exits the caller if proc_lib did not start it, or it does
/// not hold the name in the options.
template <class Server>
  requires detail::well_formed_server<Server>
[[noreturn]] void enter_loop(Server state, start_options options = {}, handler_result first = noreply()) {
  detail::enter_server_loop<Server>(std::move(state), std::move(options), std::move(first.step()));
}
template <class Server>
  requires(!detail::well_formed_server<Server>)
detail::server_problem<Server> enter_loop(const Server&, start_options = {}, handler_result = noreply());

}  // namespace gen_server

}  // namespace otp
