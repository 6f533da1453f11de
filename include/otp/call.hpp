// Talking to servers: calls that wait, casts that do not, requests answered later, and the `from` that a handler may
// keep.
//
// Shape   caller --request--> server's mailbox --handler--> reply --> caller. The request is moved in and owns the
//         place for its reply; a reply that comes after the caller gave up goes nowhere.
// Units   timeouts are otp::duration; the default is otp::call_timeout (5 s), otp::infinity never ends, 0 is allowed.
// Errors  call() exits the caller with {cause, call}: noproc, timeout, calling_self, deadlock, bad_server_type,
//         no_reply, system_limit (a full mailbox), or the reason the server ended with. try_call() returns it instead.
//         A negative timeout is bad_argument. A message that the server has no handler for does not compile; cast()
//         never fails.
// Source  gen_server:call/3, cast/2, reply/2, send_request/2 and multi_call/4. Differs: a request whose caller gave up
//         is skipped, a dropped `from` fails its caller, a cycle of calls fails (docs/decisions/0004-calls.md).
#pragma once
#include <otp/detail/server_core.hpp>
#include <otp/runtime.hpp>

namespace otp {

template <class Reply>
class from;

// What the compiler names in its first error when a message does not fit its server.
template <class Address>
struct not_a_server;  // calls and casts go to an otp::server<S>, or a typed name: of a pid make otp::server<S>(pid)
template <class Server, class Request>
struct missing_handle_call;  // `Server` has no public handle_call for `Request`: add  Reply handle_call(const Request&)
template <class Server, class Message>
struct missing_handle_cast;  // `Server` has no public handle_cast for `Message`: add  void handle_cast(const Message&)
template <class Server, class Message>
struct missing_handle_info;  // `Server` has no public handle_info for `Message`: add  void handle_info(const Message&)
template <class Request>
struct missing_reply;  // a request names its reply: add  using reply = ...;
template <class Request>
struct reply_is_reference;  // a reply is a value: a reference would escape its process
template <class Server, class Request, class Result>
struct wrong_handle_call_result;  // handle_call returns the request's reply, or call_result of it, or has a `from`
template <class Server, class Message, class Result>
struct wrong_handle_cast_result;  // handle_cast returns nothing, or noreply() or stop() as a handler_result
template <class Server, class Message, class Result>
struct wrong_handle_info_result;  // the same for handle_info
template <class Reply, class... Value>
struct wrong_reply;  // a from<Reply> answers with a Reply, which cannot be made from a `Value`

template <class Machine, class Event>
struct unknown_event;  // the state machine does not know it: list it in  using events = otp::events<...>;
template <class Machine, class Event>
struct event_wants_a_call;  // `Event` has a reply: use otp::call or send_request

class handler_result;
template <class Reply>
class call_result;
template <class Reply>
class request_id;

/// What a state machine can be told, by call, cast or plain send, by its timers or itself: see gen_statem.hpp.
template <class... Events>
struct events {};

namespace detail {

template <class Reply>
inline constexpr bool bound_to_process<request_id<Reply>> = true;

template <class T>
constexpr bool is_event_list = false;
template <class... Events>
constexpr bool is_event_list<events<Events...>> = true;
/// A struct with a list of events is a state machine; every other one is a server.
template <class T>
concept state_machine = is_event_list<typename T::events>;
// gen_statem.hpp
template <class Machine, class Event>
constexpr auto judge_machine_call();
template <class Machine, class Event>
constexpr auto judge_machine_cast();
template <class Machine, class Event>
constexpr auto judge_machine_send();

template <class Request>
struct reply_of {
  using type = void;
  static constexpr bool named = false;
};
template <class Request>
  requires requires { typename Request::reply; }
struct reply_of<Request> {
  using type = typename Request::reply;
  static constexpr bool named = true;
};
template <class Request>
using reply_t = typename reply_of<std::decay_t<Request>>::type;

template <class Server, class Request>
concept handles_call_plain = requires(Server& s, Request& r) { s.handle_call(std::move(r)); };
template <class Server, class Request>
concept handles_call_from = requires(Server& s, Request& r, from<typename reply_of<Request>::type> f) {
  s.handle_call(std::move(r), std::move(f));
};
template <class Server, class Request>
concept handles_call = handles_call_from<Server, Request> || handles_call_plain<Server, Request>;
template <class Server, class Message>
concept handles_cast = requires(Server& s, Message& m) { s.handle_cast(std::move(m)); };
template <class Server, class Message>
concept handles_info = requires(Server& s, Message& m) { s.handle_info(std::move(m)); };
template <class Server>
concept handles_any_info = requires(Server& s, const message& m) { s.handle_info(m); } ||
                           requires(Server& s, message m) { s.handle_info(std::move(m)); };

// otp::reply(...), noreply(), stop(...) and what they become: a reply type that takes anything must not swallow them.
template <class T>
concept says_more = requires { typename T::otp_step; };

template <class Reply, class Result>
constexpr bool fits_call(bool has_from) {
  if constexpr (std::is_void_v<Result>)
    return std::is_void_v<Reply> || has_from;
  else if constexpr (says_more<std::remove_cvref_t<Result>>)
    return std::is_convertible_v<Result, call_result<Reply>>;
  else
    return !std::is_void_v<Reply> && std::is_convertible_v<Result, reply_value<Reply>>;
}
template <class Result>
constexpr bool fits_handler() {
  if constexpr (std::is_void_v<Result>)
    return true;
  else
    return std::is_convertible_v<Result, handler_result>;
}

// Nothing wrong with a call: `fine`. Otherwise the type that says what is.
template <class Server, class Request>
constexpr auto judge_call() {
  if constexpr (state_machine<Server>) {
    return judge_machine_call<Server, Request>();
  } else if constexpr (std::is_reference_v<typename reply_of<Request>::type>) {
    return std::type_identity<reply_is_reference<Request>>();
  } else if constexpr (!handles_call<Server, Request>) {
    return std::type_identity<missing_handle_call<Server, Request>>();
  } else if constexpr (!reply_of<Request>::named) {
    return std::type_identity<missing_reply<Request>>();
  } else if constexpr (bound_to_process<typename reply_of<Request>::type>) {
    return std::type_identity<stays_with_its_process<typename reply_of<Request>::type>>();
  } else if constexpr (!std::is_move_constructible_v<reply_value<typename reply_of<Request>::type>>) {
    return std::type_identity<not_movable<typename reply_of<Request>::type>>();
  } else {
    using reply = typename reply_of<Request>::type;
    if constexpr (handles_call_from<Server, Request>) {
      using result =
          decltype(std::declval<Server&>().handle_call(std::declval<Request>(), std::declval<from<reply>>()));
      if constexpr (fits_call<reply, result>(true))
        return std::type_identity<fine>();
      else
        return std::type_identity<wrong_handle_call_result<Server, Request, result>>();
    } else {
      using result = decltype(std::declval<Server&>().handle_call(std::declval<Request>()));
      if constexpr (fits_call<reply, result>(false))
        return std::type_identity<fine>();
      else
        return std::type_identity<wrong_handle_call_result<Server, Request, result>>();
    }
  }
}
template <class Server, class Message>
constexpr auto judge_cast() {
  if constexpr (state_machine<Server>) {
    return judge_machine_cast<Server, Message>();
  } else if constexpr (!handles_cast<Server, Message>) {
    return std::type_identity<missing_handle_cast<Server, Message>>();
  } else {
    using result = decltype(std::declval<Server&>().handle_cast(std::declval<Message>()));
    if constexpr (fits_handler<result>())
      return std::type_identity<fine>();
    else
      return std::type_identity<wrong_handle_cast_result<Server, Message, result>>();
  }
}
template <class Server, class Message>
constexpr auto judge_info() {
  if constexpr (!handles_info<Server, Message>) {
    return std::type_identity<missing_handle_info<Server, Message>>();
  } else {
    using result = decltype(std::declval<Server&>().handle_info(std::declval<Message>()));
    if constexpr (fits_handler<result>())
      return std::type_identity<fine>();
    else
      return std::type_identity<wrong_handle_info_result<Server, Message, result>>();
  }
}
template <class Server, class Message>
constexpr auto judge_send() {
  if constexpr (state_machine<Server>)
    return judge_machine_send<Server, Message>();
  else if constexpr (!handles_info<Server, Message> && handles_any_info<Server>)
    return std::type_identity<fine>();
  else
    return judge_info<Server, Message>();
}

// Whether the server finds the handler of such a message by its type, as it does for one that came by plain pid.
template <class Message, class... Listed>
constexpr bool is_listed(messages<Listed...>) {
  return (std::is_same_v<Message, Listed> || ...);
}
template <class Server, class Message>
constexpr bool listed_message() {
  if constexpr (requires { is_listed<Message>(typename Server::messages()); })
    return is_listed<Message>(typename Server::messages());
  else
    return false;
}

template <class Server>
const server_type& server_type_of() noexcept;  // gen_server.hpp
template <class Server, class Request>
void run_call(turn&, void*, envelope*);
template <class Server, class Message>
void run_cast(turn&, void*, envelope*);
template <class Server, class Message>
void run_typed_info(turn&, void*, envelope*);

template <class Server, class Request>
struct call_envelope final : reply_envelope<typename reply_of<Request>::type> {
  template <class R>
  explicit call_envelope(R&& r);
  [[no_unique_address]] Request request;
};

template <class Server, class Message, runner Run>
struct cast_envelope final : envelope {
  template <class M>
  explicit cast_envelope(M&& m);
  [[no_unique_address]] Message value;
};

template <class Server, class Request>
struct call_types {
  static void destroy_request(envelope* e) { drop_reference(static_cast<request_envelope*>(e)); }
  static void free_request(envelope* e) { delete static_cast<call_envelope<Server, Request>*>(e); }
  static const void* payload(const envelope* e) {
    return &static_cast<const call_envelope<Server, Request>*>(e)->request;
  }
  static const void* reply_value_of(const request_envelope* r) {
    return &*static_cast<const call_envelope<Server, Request>*>(r)->reply.value;
  }
  static const server_envelope_type request;
};
template <class Server, class Request>
inline const server_envelope_type call_types<Server, Request>::request{
    {signal::request, &record_of<Request>, destroy_request, payload},
    &server_type_of<Server>(),
    &run_call<Server, Request>,
    &record_of<reply_value<typename reply_of<Request>::type>>,
    reply_value_of};

inline void account_for(envelope& e, std::size_t size) { e.bytes = bytes_of(size); }

template <class Server, class Request>
template <class R>
call_envelope<Server, Request>::call_envelope(R&& r)
    : reply_envelope<typename reply_of<Request>::type>(&call_types<Server, Request>::request,
                                                       &call_types<Server, Request>::free_request),
      request(std::forward<R>(r)) {
  std::size_t size = sizeof(*this);
  if constexpr (requires { request.message_bytes(); }) size += request.message_bytes();
  account_for(*this, size);
  if constexpr (requires { requires Request::run_expired; }) this->run_expired = true;
}

template <class Server, class Message, runner Run>
struct cast_types {
  static const server_envelope_type type;
};
template <class Server, class Message, runner Run>
inline const server_envelope_type cast_types<Server, Message, Run>::type{
    {signal::cast, &record_of<Message>,
     [](envelope* e) { delete static_cast<cast_envelope<Server, Message, Run>*>(e); },
     [](const envelope* e) -> const void* {
       return &static_cast<const cast_envelope<Server, Message, Run>*>(e)->value;
     }},
    &server_type_of<Server>(),
    Run};
template <class Server, class Message, runner Run>
template <class M>
cast_envelope<Server, Message, Run>::cast_envelope(M&& m)
    : envelope(&cast_types<Server, Message, Run>::type), value(std::forward<M>(m)) {
  std::size_t size = sizeof(*this);
  if constexpr (std::is_convertible_v<const Message&, std::string_view>) size += std::string_view(value).size();
  if constexpr (requires { value.message_bytes(); }) size += value.message_bytes();
  account_for(*this, size);
}

// ---- addresses ---------------------------------------------------------------------------------------------------

/// What a call can be sent to: a typed reference, or a name said to belong to a server type. `find` asks the caller's
/// runtime, `find_in` the one given.
template <class Address>
struct address_of;
template <class Server>
struct address_of<server<Server>> {
  using type = Server;
  static std::optional<pid> find(const server<Server>& a) { return a.pid() ? std::optional(a.pid()) : std::nullopt; }
  static std::optional<pid> find_in(runtime_core&, const server<Server>& a) { return find(a); }
  static std::string text(const server<Server>& a) { return a.to_string(); }
};
template <class Server>
struct address_of<name<Server>> {
  using type = Server;
  static std::optional<pid> find(const name<Server>& a) { return otp::whereis(a.text()); }
  static std::optional<pid> find_in(runtime_core& in, const name<Server>& a) { return whereis_in(in, a.text()); }
  static std::string text(const name<Server>& a) { return quoted(a.text()); }
};
template <class Server>
struct address_of<via_name<Server>> {
  using type = Server;
  static std::optional<pid> find(const via_name<Server>& a) { return server_name(a).whereis(); }
  static std::optional<pid> find_in(runtime_core& in, const via_name<Server>& a) { return server_name(a).whereis(in); }
  static std::string text(const via_name<Server>& a) { return server_name(a).to_string(); }
};
template <class Server>
struct address_of<global_name<Server>> {
  using type = Server;
  static std::optional<pid> find(const global_name<Server>& a) { return server_name(a).whereis(); }
  static std::optional<pid> find_in(runtime_core& in, const global_name<Server>& a) {
    return server_name(a).whereis(in);
  }
  static std::string text(const global_name<Server>& a) { return server_name(a).to_string(); }
};

/// For who does not mind that nobody is there: an address may know how to look without throwing.
template <class Address>
std::optional<pid> find_if_any(const Address& to) {
  if constexpr (requires { address_of<Address>::find_if_any(to); })
    return address_of<Address>::find_if_any(to);
  else
    return address_of<Address>::find(to);
}

template <class Address>
concept server_address = requires(const Address& a) { address_of<Address>::find(a); };
template <class Address>
using server_at = typename address_of<Address>::type;

// The first of these that is not fine.
template <class First, class... Rest>
constexpr auto first_problem(First first, Rest... rest) {
  if constexpr (!std::is_same_v<First, std::type_identity<fine>> || sizeof...(Rest) == 0)
    return first;
  else
    return first_problem(rest...);
}

template <class Address, class Request>
using call_problem = typename decltype(first_problem(judge_call<server_at<Address>, std::decay_t<Request>>(),
                                                     judge_storing<std::decay_t<Request>, Request>()))::type;
template <class Address, class Message>
using cast_problem = typename decltype(first_problem(judge_cast<server_at<Address>, stored_message<Message>>(),
                                                     judge_storing<stored_message<Message>, Message>()))::type;
template <class Address, class Message>
using send_problem = typename decltype(first_problem(judge_send<server_at<Address>, stored_message<Message>>(),
                                                     judge_storing<stored_message<Message>, Message>()))::type;

template <class Address, class Request>
concept callable_at = std::is_same_v<call_problem<Address, Request>, fine>;
template <class Address, class Message>
concept castable_at = std::is_same_v<cast_problem<Address, Message>, fine>;
template <class Address, class Message>
concept sendable_at = std::is_same_v<send_problem<Address, Message>, fine>;

template <class Request>
using call_outcome = std::expected<reply_value<reply_t<Request>>, exit_reason>;

// `core` is null for a caller that is a process.
template <class Address, class Request>
call_outcome<Request> call_address(runtime_core* core, const Address& to, Request&& request, duration timeout) {
  using request_type = std::decay_t<Request>;
  using envelope_t = call_envelope<server_at<Address>, request_type>;
  auto failed = [&](exit_reason cause) {
    return std::unexpected(
        call_failure(std::move(cause), "call", address_of<Address>::text(to), type_name<request_type>, timeout));
  };
  require_valid_timeout(timeout);
  std::optional<pid> target;
  if (core)
    target = address_of<Address>::find_in(*core, to);
  else
    target = address_of<Address>::find(to);
  if (!target) return failed(reason::noproc);
  request_holder<envelope_t> holder(new envelope_t(std::forward<Request>(request)));
  std::optional<exit_reason> why =
      core ? call_from_outside(*core, *target, holder.r, timeout) : call_and_wait(*target, holder.r, timeout);
  if (why) return failed(std::move(*why));
  return call_outcome<Request>(std::in_place, std::move(*holder.r->reply.value));
}

template <class Request>
reply_t<Request> reply_or_exit(call_outcome<Request>&& outcome) {
  if (!outcome) throw exited(std::move(outcome.error()));
  if constexpr (!std::is_void_v<reply_t<Request>>) return std::move(*outcome);
}
template <class Request>
result<reply_t<Request>> reply_or_reason(call_outcome<Request>&& outcome) {
  if constexpr (!std::is_void_v<reply_t<Request>>) {
    return std::move(outcome);
  } else {
    if (!outcome) return std::unexpected(std::move(outcome.error()));
    return {};
  }
}

}  // namespace detail

// ---- calls -------------------------------------------------------------------------------------------------------

/// Sends a request and waits for its reply. A failure exits the caller.
template <detail::server_address Address, class Request>
  requires detail::callable_at<Address, Request>
detail::reply_t<Request> call(const Address& to, Request&& request, duration timeout = call_timeout) {
  return detail::reply_or_exit<Request>(detail::call_address(nullptr, to, std::forward<Request>(request), timeout));
}
/// As call, but a failure is returned.
template <detail::server_address Address, class Request>
  requires detail::callable_at<Address, Request>
result<detail::reply_t<Request>> try_call(const Address& to, Request&& request, duration timeout = call_timeout) {
  return detail::reply_or_reason<Request>(detail::call_address(nullptr, to, std::forward<Request>(request), timeout));
}

// A call that cannot be answered: its type says why, and stands in the compiler's first error at the caller's line.
template <detail::server_address Address, class Request>
  requires(!detail::callable_at<Address, Request>)
detail::call_problem<Address, Request> call(const Address&, Request&&, duration = call_timeout);
template <detail::server_address Address, class Request>
  requires(!detail::callable_at<Address, Request>)
detail::call_problem<Address, Request> try_call(const Address&, Request&&, duration = call_timeout);
template <class Address, class Request>
  requires(!detail::server_address<Address>)
not_a_server<Address> call(const Address&, Request&&, duration = call_timeout);
template <class Address, class Request>
  requires(!detail::server_address<Address>)
not_a_server<Address> try_call(const Address&, Request&&, duration = call_timeout);

namespace detail {
template <class Address, class Request>
struct outside_call {
  static constexpr bool fits = false;
  using problem = not_a_server<Address>;
};
template <server_address Address, class Request>
struct outside_call<Address, Request> {
  static constexpr bool fits = callable_at<Address, Request>;
  using problem = call_problem<Address, Request>;
  using reply = reply_t<Request>;
};
template <class Address, class Message>
struct outside_cast {
  static constexpr bool fits = false;
  using problem = not_a_server<Address>;
};
template <server_address Address, class Message>
struct outside_cast<Address, Message> {
  static constexpr bool fits = castable_at<Address, Message>;
  using problem = cast_problem<Address, Message>;
};
}  // namespace detail

template <class Address, class Request>
  requires detail::outside_call<Address, Request>::fits
typename detail::outside_call<Address, Request>::reply runtime::call(const Address& to, Request&& request,
                                                                     duration timeout) {
  return detail::reply_or_exit<Request>(detail::call_address(core_.get(), to, std::forward<Request>(request), timeout));
}
template <class Address, class Request>
  requires detail::outside_call<Address, Request>::fits
result<typename detail::outside_call<Address, Request>::reply> runtime::try_call(const Address& to, Request&& request,
                                                                                 duration timeout) {
  return detail::reply_or_reason<Request>(
      detail::call_address(core_.get(), to, std::forward<Request>(request), timeout));
}

// ---- casts and messages ------------------------------------------------------------------------------------------

/// Sends a message for handle_cast. Never fails; a missing server is no error. Waits only for room in a mailbox whose
/// policy is `block`.
template <detail::server_address Address, class Message>
  requires detail::castable_at<Address, Message>
void cast(const Address& to, Message&& message) {
  using server_t = detail::server_at<Address>;
  using message_t = detail::stored_message<Message>;
  using envelope_t = detail::cast_envelope<server_t, message_t, &detail::run_cast<server_t, message_t>>;
  if (auto target = detail::find_if_any(to))
    detail::send_envelope(*target, new envelope_t(std::forward<Message>(message)));
}
template <detail::server_address Address, class Message>
  requires(!detail::castable_at<Address, Message>)
detail::cast_problem<Address, Message> cast(const Address&, Message&&);
template <class Address, class Message>
  requires(!detail::server_address<Address>)
not_a_server<Address> cast(const Address&, Message&&);

template <class Address, class Message>
  requires detail::outside_cast<Address, Message>::fits
void runtime::cast(const Address& to, Message&& message) {
  using server_t = detail::server_at<Address>;
  using message_t = detail::stored_message<Message>;
  using envelope_t = detail::cast_envelope<server_t, message_t, &detail::run_cast<server_t, message_t>>;
  if (auto target = detail::address_of<Address>::find_in(*core_, to))
    send_from_outside(*target, new envelope_t(std::forward<Message>(message)));
}

/// Sends a message for handle_info to a server whose type is known. One that stands in the server's `messages` arrives
/// as if sent by plain pid; any other goes to its handler only, and a receive inside of the server does not see it.
/// Errors: bad_argument if a local name is not registered.
template <detail::server_address Address, class Message>
  requires detail::sendable_at<Address, Message>
send_status send(const Address& to, Message&& message) {
  using server_t = detail::server_at<Address>;
  using message_t = detail::stored_message<Message>;
  auto target = detail::address_of<Address>::find(to);
  if (!target)
    throw bad_argument("send: nobody is registered as " + detail::address_of<Address>::text(to) +
                       "; start the server first, or look with otp::whereis");
  if constexpr (detail::handles_info<server_t, message_t> && !detail::listed_message<server_t, message_t>()) {
    using envelope_t = detail::cast_envelope<server_t, message_t, &detail::run_typed_info<server_t, message_t>>;
    return detail::send_envelope(*target, new envelope_t(std::forward<Message>(message)));
  } else {
    return detail::send_envelope(*target, detail::make_envelope(std::forward<Message>(message)));
  }
}
template <detail::server_address Address, class Message>
  requires(!detail::sendable_at<Address, Message>)
detail::send_problem<Address, Message> send(const Address&, Message&&);

/// Who is meant by an address now.
template <detail::server_address Address>
std::optional<pid> whereis(const Address& address) {
  return detail::address_of<Address>::find(address);
}

// ---- deferred replies --------------------------------------------------------------------------------------------

/// The right to answer one request. Movable to any process or thread; dropped unanswered it fails its caller.
template <class Reply>
class from {
 public:
  using envelope_type = detail::reply_envelope<Reply>;
  from() = default;
  explicit from(envelope_type* r) noexcept : request_(r) {
    r->references.fetch_add(1, std::memory_order_relaxed);  // the maker holds one
    // Made by the server before anybody else can see the request's flags.
    r->from_flags.store(detail::request_envelope::taken | detail::request_envelope::in_handler,
                        std::memory_order_relaxed);
  }
  from(from&& other) noexcept : request_(std::exchange(other.request_, nullptr)) {}
  from& operator=(from&& other) noexcept {
    std::swap(request_, other.request_);
    return *this;
  }
  ~from() {
    if (request_) detail::from_dropped(request_);
  }
  explicit operator bool() const noexcept { return request_; }

  /// The process that waits; none for a call from outside.
  pid caller() const noexcept { return request_ ? request_->caller : pid(); }

  /// Answers. Always succeeds: a caller that is gone or was answered already is counted, not reported. What making the
  /// reply throws arrives here, and the request is still unanswered.
  template <class Value = detail::reply_value<Reply>>
    requires(!std::is_void_v<Reply> && std::is_convertible_v<Value, detail::reply_value<Reply>>)
  void reply(Value&& value) {
    answer(std::forward<Value>(value));
  }
  void reply()
    requires std::is_void_v<Reply>
  {
    answer();
  }
  wrong_reply<Reply> reply()
    requires(!std::is_void_v<Reply>);
  template <class Value>
    requires(std::is_void_v<Reply> || !std::is_convertible_v<Value, detail::reply_value<Reply>>)
  wrong_reply<Reply, std::remove_cvref_t<Value>> reply(Value&&);
  /// For a machine that inserts the call: the right as the reference that stands for it.
  [[nodiscard]] envelope_type* release() noexcept { return std::exchange(request_, nullptr); }

 private:
  template <class... Value>
  void answer(Value&&... value) {
    if (!request_) return;
    detail::check_may_reply();
    request_->references.fetch_add(1, std::memory_order_relaxed);  // write_reply consumes one
    detail::request_holder<envelope_type> spare(request_);
    bool made = detail::write_reply(request_, std::forward<Value>(value)...);
    static_cast<void>(made);
    spare.r = nullptr;
  }
  envelope_type* request_ = nullptr;
};

namespace detail {
template <class Reply, class... Value>
concept replies_with =
    (sizeof...(Value) == (std::is_void_v<Reply> ? 0 : 1)) && (std::is_convertible_v<Value, reply_value<Reply>> && ...);
}  // namespace detail
/// Answers through `to`, from any process.
template <class Reply, class... Value>
  requires detail::replies_with<Reply, Value...>
void reply(from<Reply>& to, Value&&... value) {
  to.reply(std::forward<Value>(value)...);
}
template <class Reply, class... Value>
  requires detail::replies_with<Reply, Value...>
void reply(from<Reply>&& to, Value&&... value) {
  to.reply(std::forward<Value>(value)...);
}
template <class Reply, class... Value>
  requires(!detail::replies_with<Reply, Value...>)
wrong_reply<Reply, std::remove_cvref_t<Value>...> reply(from<Reply>&, Value&&...);

// ---- asynchronous requests ---------------------------------------------------------------------------------------

/// A request whose reply arrives like a message. It belongs to the process that sent it.
template <class Reply>
class request_id {
 public:
  request_id() = default;
  request_id(detail::reply_envelope<Reply>* r, std::string server, std::string_view request)
      : request_(r), server_(std::move(server)), name_(request) {}
  request_id(request_id&& o) noexcept
      : request_(std::exchange(o.request_, nullptr)), server_(std::move(o.server_)), name_(o.name_) {}
  request_id& operator=(request_id&& o) noexcept {
    std::swap(request_, o.request_);
    std::swap(server_, o.server_);
    std::swap(name_, o.name_);
    return *this;
  }
  ~request_id() {
    if (request_) detail::abandon_request(request_);
  }
  explicit operator bool() const noexcept { return request_; }
  detail::reply_envelope<Reply>* envelope() const noexcept { return request_; }
  const std::string& server() const noexcept { return server_; }

  /// The reply that has arrived: a value or why there is none. Consumes the request.
  result<Reply> take_response() {
    detail::request_holder<detail::reply_envelope<Reply>> holder(std::exchange(request_, nullptr));
    if (holder.r->progress.load() != detail::request_state::replied)
      return std::unexpected(detail::call_failure(holder.r->failure, "send_request", server_, name_, infinity));
    if constexpr (std::is_void_v<Reply>)
      return {};
    else
      return result<Reply>(std::in_place, std::move(*holder.r->reply.value));
  }

 private:
  detail::reply_envelope<Reply>* request_ = nullptr;
  std::string server_;
  std::string_view name_;
};

/// Sends a request without waiting. Never fails: what goes wrong arrives as the response.
template <detail::server_address Address, class Request>
  requires detail::callable_at<Address, Request>
request_id<detail::reply_t<Request>> send_request(const Address& to, Request&& request) {
  using request_t = std::decay_t<Request>;
  auto target = detail::address_of<Address>::find(to);
  detail::request_holder holder(
      new detail::call_envelope<detail::server_at<Address>, request_t>(std::forward<Request>(request)));
  detail::send_request(target.value_or(pid()), holder.r);
  return {std::exchange(holder.r, nullptr), detail::address_of<Address>::text(to), detail::type_name<request_t>};
}
template <detail::server_address Address, class Request>
  requires(!detail::callable_at<Address, Request>)
detail::call_problem<Address, Request> send_request(const Address&, Request&&);
template <class Address, class Request>
  requires(!detail::server_address<Address>)
not_a_server<Address> send_request(const Address&, Request&&);

/// Waits for the response; empty at the deadline, and the request stays pending.
template <class Reply>
std::optional<result<Reply>> wait_response(request_id<Reply>& request, instant deadline) {
  detail::require_request(request.envelope());
  if (detail::wait_response(request.envelope(), deadline) == detail::response_state::timeout) return std::nullopt;
  return request.take_response();
}
template <class Reply>
std::optional<result<Reply>> wait_response(request_id<Reply>& request, duration timeout = infinity) {
  return wait_response(request, detail::deadline_after(timeout));
}
/// As wait_response, but at the timeout the request is given up: a late reply goes nowhere.
template <class Reply>
std::optional<result<Reply>> receive_response(request_id<Reply>& request, instant deadline) {
  auto response = wait_response(request, deadline);
  if (!response) request = request_id<Reply>();
  return response;
}
template <class Reply>
std::optional<result<Reply>> receive_response(request_id<Reply>& request, duration timeout = infinity) {
  return receive_response(request, detail::deadline_after(timeout));
}
/// Whether a message that was received is the response to the request; then what it says, and both are used up.
template <class Reply>
std::optional<result<Reply>> check_response(message& received, request_id<Reply>& request) {
  if (!request || received.envelope() != static_cast<detail::envelope*>(request.envelope())) return std::nullopt;
  received = message();
  return request.take_response();
}

/// Whether a request whose response was handled stays listed in its collection.
enum class handled : std::uint8_t { removed, kept };

/// Requests of one reply type under labels; their responses come in the order of completion.
template <class Reply, class Label>
class request_id_collection {
 public:
  struct response {
    Label label;
    result<Reply> value;
  };
  /// Errors: bad_argument for a request that was added already, or has no response to come.
  void add(request_id<Reply> request, Label label) {
    if (!request)
      throw bad_argument("request_id_collection: this request is in a collection already, or was answered or given up");
    entries_.push_back({std::move(request), std::move(label)});
  }
  std::size_t size() const noexcept { return entries_.size(); }
  std::vector<Label> labels() const {
    std::vector<Label> all;
    for (auto& e : entries_) all.push_back(e.label);
    return all;
  }
  /// The next response; empty at the deadline, or at once if no response is to come.
  std::optional<response> wait(instant deadline, handled then = handled::removed) {
    std::vector<detail::request_envelope*> pending;
    for (auto& e : entries_)
      if (e.request) pending.push_back(e.request.envelope());
    if (pending.empty()) return std::nullopt;
    std::size_t which = detail::wait_any_response(pending, deadline);
    if (which == pending.size()) return std::nullopt;
    return take(pending[which], then);
  }
  std::optional<response> wait(duration timeout = infinity, handled then = handled::removed) {
    return wait(detail::deadline_after(timeout), then);
  }
  /// Whether a received message answers one of the requests; then what it says, and the message is used up.
  std::optional<response> check(message& received, handled then = handled::removed) {
    if (!received) return std::nullopt;
    for (auto& e : entries_)
      if (auto* r = e.request.envelope(); received.envelope() == static_cast<detail::envelope*>(r)) {
        received = message();
        return take(r, then);
      }
    return std::nullopt;
  }

 private:
  struct entry {
    request_id<Reply> request;  // none: handled and kept
    Label label;
  };
  response take(const detail::request_envelope* which, handled then) {
    auto at = entries_.begin();
    while (at->request.envelope() != which) ++at;
    if (then == handled::kept) return {at->label, at->request.take_response()};
    entry e = std::move(*at);
    entries_.erase(at);
    return {std::move(e.label), e.request.take_response()};
  }
  std::vector<entry> entries_;
};

// ---- several servers ---------------------------------------------------------------------------------------------

/// The name of this node: "nonode@nohost" while it is not part of a cluster.
std::string this_node();

template <class Reply>
struct multi_call_result {
  std::vector<std::pair<std::string, detail::reply_value<Reply>>> replies;  ///< by node
  std::vector<std::string> bad_nodes;                                       ///< each once
};

/// Calls the server of that name on each node.
template <class Server, class Request>
  requires detail::callable_at<name<Server>, Request>
multi_call_result<detail::reply_t<Request>> multi_call(std::vector<std::string> nodes, const name<Server>& to,
                                                       const Request& request, duration timeout = infinity) {
  multi_call_result<detail::reply_t<Request>> all;
  detail::require_valid_timeout(timeout);
  for (const std::string& node : detail::each_once(std::move(nodes))) {
    if (node == this_node()) {
      if (auto reply = detail::call_address(nullptr, to, Request(request), timeout)) {
        all.replies.emplace_back(node, std::move(*reply));
        continue;
      }
    }
    all.bad_nodes.push_back(node);
  }
  return all;
}
template <class Server, class Request>
  requires detail::callable_at<name<Server>, Request>
auto multi_call(const name<Server>& to, const Request& request, duration timeout = infinity) {
  return multi_call({this_node()}, to, request, timeout);
}
template <class Server, class Request>
  requires(!detail::callable_at<name<Server>, Request>)
detail::call_problem<name<Server>, Request> multi_call(std::vector<std::string>, const name<Server>&, const Request&,
                                                       duration = infinity);
template <class Server, class Request>
  requires(!detail::callable_at<name<Server>, Request>)
detail::call_problem<name<Server>, Request> multi_call(const name<Server>&, const Request&, duration = infinity);

/// Casts to the server of that name on each node; nodes and names that are not there are ignored.
template <class Server, class Message>
  requires detail::castable_at<name<Server>, const Message&>
void abcast(std::vector<std::string> nodes, const name<Server>& to, const Message& message) {
  for (const std::string& node : detail::each_once(std::move(nodes)))
    if (node == this_node()) return cast(to, message);
}
template <class Server, class Message>
  requires detail::castable_at<name<Server>, const Message&>
void abcast(const name<Server>& to, const Message& message) {
  return cast(to, message);
}
template <class Server, class Message>
  requires(!detail::castable_at<name<Server>, const Message&>)
detail::cast_problem<name<Server>, const Message&> abcast(std::vector<std::string>, const name<Server>&,
                                                          const Message&);
template <class Server, class Message>
  requires(!detail::castable_at<name<Server>, const Message&>)
detail::cast_problem<name<Server>, const Message&> abcast(const name<Server>&, const Message&);

}  // namespace otp
