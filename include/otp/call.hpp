// Talking to servers: calls that wait, casts that do not, requests answered later, and the `from` that a handler may
// keep.
//
// Shape   caller --request--> server's mailbox --handler--> reply --> caller. The request is moved in and owns the
// place for
//         its reply; a reply that comes after the caller gave up goes nowhere.
// Units   timeouts are otp::duration; the default is otp::call_timeout (5 s), otp::infinity never ends.
// Errors  call() exits the caller with {cause, call}: noproc, timeout, calling_self, deadlock, bad_server_type,
// no_reply, or
//         the reason the server ended with. try_call() returns it instead. A message that the server has no handler for
//         does not compile; cast() never fails.
// Source  gen_server:call/3, cast/2, reply/2, send_request/2 and multi_call/4. Differs: a request whose caller gave up
// is
//         skipped, a dropped `from` fails its caller, a cycle of calls fails (docs/decisions/0004-calls.md).
#pragma once
#include <otp/detail/server_core.hpp>

namespace otp {

template <class Reply>
class from;
struct no_reply_type;
template <class Server, class Request>
struct missing_handle_call;  // `Server` has no handle_call for `Request`: add  Reply handle_call(const Request&)
template <class Server, class Message>
struct missing_handle_cast;  // `Server` has no handle_cast for `Message`: add  void handle_cast(const Message&)
template <class Server, class Message>
struct missing_handle_info;  // `Server` has no handle_info for `Message`: add  void handle_info(const Message&)
template <class Request>
struct missing_reply;  // a request names its reply: add  using reply = ...;

namespace detail {

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

template <class Server, class Request>
concept handles_call_plain = requires(Server& s, Request& r) { s.handle_call(std::move(r)); };
template <class Server, class Request>
concept handles_call_from = requires(Server& s, Request& r, from<typename reply_of<Request>::type> f) {
  s.handle_call(std::move(r), std::move(f));
};
template <class Server, class Request>
concept handles_call = handles_call_plain<Server, Request> || handles_call_from<Server, Request>;
template <class Server, class Message>
concept handles_cast = requires(Server& s, Message& m) { s.handle_cast(std::move(m)); };
template <class Server, class Message>
concept handles_info = requires(Server& s, Message& m) { s.handle_info(std::move(m)); };

template <class Server>
const server_type& server_type_of() noexcept;  // gen_server.hpp
template <class Server, class Request>
void run_call(server_core&, void*, envelope*);
template <class Server, class Message>
void run_cast(server_core&, void*, envelope*);
template <class Server, class Message>
void run_typed_info(server_core&, void*, envelope*);

template <class Server, class Request>
struct call_envelope final : reply_envelope<typename reply_of<Request>::type> {
  template <class R>
  explicit call_envelope(R&& r);
  Request request;
};

template <class Server, class Message, runner Run>
struct cast_envelope final : envelope {
  template <class M>
  explicit cast_envelope(M&& m);
  Message value;
};

template <class Server, class Request>
struct call_types {
  static void destroy_request(envelope* e) { drop_reference(static_cast<request_envelope*>(e)); }
  static void free_request(envelope* e) { delete static_cast<call_envelope<Server, Request>*>(e); }
  static const void* payload(const envelope* e) {
    return &static_cast<const call_envelope<Server, Request>*>(e)->request;
  }
  static const server_envelope_type request;
};
template <class Server, class Request>
inline const server_envelope_type call_types<Server, Request>::request{
    {signal::request, &record_of<Request>, destroy_request, payload},
    &server_type_of<Server>(),
    &run_call<Server, Request>};

template <class Server, class Request>
template <class R>
call_envelope<Server, Request>::call_envelope(R&& r)
    : reply_envelope<typename reply_of<Request>::type>(&call_types<Server, Request>::request,
                                                       &call_types<Server, Request>::free_request),
      request(std::forward<R>(r)) {
  std::size_t size = sizeof(*this);
  if constexpr (requires { request.message_bytes(); }) size += request.message_bytes();
  this->bytes = size > 0x7fffffffU ? 0x7fffffffU : static_cast<std::uint32_t>(size);
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
  if constexpr (requires { value.message_bytes(); }) size += value.message_bytes();
  this->bytes = size > 0x7fffffffU ? 0x7fffffffU : static_cast<std::uint32_t>(size);
}

// ---- addresses ---------------------------------------------------------------------------------------------------

/// What a call can be sent to: a typed reference, or a name said to belong to a server type.
template <class Address>
struct address_of;
template <class Server>
struct address_of<server<Server>> {
  using type = Server;
  static std::optional<pid> find(const server<Server>& a) { return a.pid() ? std::optional(a.pid()) : std::nullopt; }
  static std::string text(const server<Server>& a) { return a.to_string(); }
};
template <class Server>
struct address_of<name<Server>> {
  using type = Server;
  static std::optional<pid> find(const name<Server>& a) { return otp::whereis(a.text()); }
  static std::string text(const name<Server>& a) { return quoted(a.text()); }
};
template <class Server>
struct address_of<via_name<Server>> {
  using type = Server;
  static std::optional<pid> find(const via_name<Server>& a) { return a.registry->whereis_name(a.key); }
  static std::string text(const via_name<Server>& a) { return server_name(a).to_string(); }
};
template <class Server>
struct address_of<global_name<Server>> {
  using type = Server;
  static std::optional<pid> find(const global_name<Server>& a) { return server_name(a).whereis(); }
  static std::string text(const global_name<Server>& a) { return server_name(a).to_string(); }
};

template <class Address>
concept server_address = requires(const Address& a) { address_of<Address>::find(a); };

template <class Server, class Request>
constexpr void check_call() {
  if constexpr (!handles_call<Server, Request>)
    static_cast<void>(sizeof(missing_handle_call<Server, Request>));
  else if constexpr (!reply_of<Request>::named)
    static_cast<void>(sizeof(missing_reply<Request>));
}

template <class Envelope>
struct request_holder {
  Envelope* r;
  explicit request_holder(Envelope* e) noexcept : r(e) {}
  request_holder(request_holder&& o) noexcept : r(std::exchange(o.r, nullptr)) {}
  request_holder& operator=(request_holder&& o) noexcept {
    std::swap(r, o.r);
    return *this;
  }
  ~request_holder() noexcept(false) {
    if (r) drop_reference(r);
  }
};

template <class Reply>
using reply_value = typename reply_slot<Reply>::stored;

template <class Address, class Request>
std::expected<reply_value<typename reply_of<Request>::type>, exit_reason> call_address(const Address& to,
                                                                                       Request&& request,
                                                                                       duration timeout) {
  using request_type = std::decay_t<Request>;
  using server_t = typename address_of<Address>::type;
  using envelope_t = call_envelope<server_t, request_type>;
  auto failed = [&](exit_reason cause) {
    return std::unexpected(
        call_failure(std::move(cause), "call", address_of<Address>::text(to), type_name<request_type>, timeout));
  };
  require_valid_timeout(timeout);
  auto target = address_of<Address>::find(to);
  if (!target) return failed(reason::noproc);
  request_holder<envelope_t> holder(new envelope_t(std::forward<Request>(request)));
  if (auto why = call_and_wait(*target, holder.r, timeout)) return failed(std::move(*why));
  return std::move(*holder.r->reply.value);
}

}  // namespace detail

// ---- calls -------------------------------------------------------------------------------------------------------

/// Sends a request and waits for its reply. A failure exits the caller.
template <detail::server_address Address, class Request>
typename detail::reply_of<std::decay_t<Request>>::type call(const Address& to, Request&& request,
                                                            duration timeout = call_timeout) {
  detail::check_call<typename detail::address_of<Address>::type, std::decay_t<Request>>();
  if constexpr (detail::handles_call<typename detail::address_of<Address>::type, std::decay_t<Request>>) {
    auto reply = detail::call_address(to, std::forward<Request>(request), timeout);
    if (!reply) throw exited(std::move(reply.error()));
    if constexpr (!std::is_void_v<typename detail::reply_of<std::decay_t<Request>>::type>) return std::move(*reply);
  }
}

/// As call, but a failure is returned.
template <detail::server_address Address, class Request>
result<typename detail::reply_of<std::decay_t<Request>>::type> try_call(const Address& to, Request&& request,
                                                                        duration timeout = call_timeout) {
  using reply_type = typename detail::reply_of<std::decay_t<Request>>::type;
  detail::check_call<typename detail::address_of<Address>::type, std::decay_t<Request>>();
  if constexpr (detail::handles_call<typename detail::address_of<Address>::type, std::decay_t<Request>>) {
    auto reply = detail::call_address(to, std::forward<Request>(request), timeout);
    if constexpr (std::is_void_v<reply_type>) {
      if (!reply) return std::unexpected(std::move(reply.error()));
      return {};
    } else {
      return reply;
    }
  }
}

// ---- casts and messages ------------------------------------------------------------------------------------------

/// Sends a message for handle_cast. Never fails and never waits; a missing server is no error.
template <detail::server_address Address, class Message>
void cast(const Address& to, Message&& message) {
  using server_t = typename detail::address_of<Address>::type;
  using message_t = std::decay_t<Message>;
  if constexpr (!detail::handles_cast<server_t, message_t>) {
    static_cast<void>(sizeof(missing_handle_cast<server_t, message_t>));
  } else {
    using envelope_t = detail::cast_envelope<server_t, message_t, &detail::run_cast<server_t, message_t>>;
    auto target = detail::address_of<Address>::find(to);
    auto* e = new envelope_t(std::forward<Message>(message));
    if (target)
      detail::send_envelope(*target, e);
    else
      detail::destroy(e);
  }
}

/// Sends a message for handle_info to a server whose type is known. Errors: bad_argument if a local name is not
/// registered.
template <detail::server_address Address, class Message>
send_status send(const Address& to, Message&& message) {
  using server_t = typename detail::address_of<Address>::type;
  using message_t = std::decay_t<Message>;
  if constexpr (!detail::handles_info<server_t, message_t>) {
    static_cast<void>(sizeof(missing_handle_info<server_t, message_t>));
    return send_status::no_process;
  } else {
    using envelope_t = detail::cast_envelope<server_t, message_t, &detail::run_typed_info<server_t, message_t>>;
    auto target = detail::address_of<Address>::find(to);
    if (!target)
      throw bad_argument("send: nobody is registered as " + detail::address_of<Address>::text(to) +
                         "; start the server first, or look with otp::whereis");
    return detail::send_envelope(*target, new envelope_t(std::forward<Message>(message)));
  }
}

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
  from(from&& other) noexcept
      : request_(std::exchange(other.request_, nullptr)), answered_(std::exchange(other.answered_, false)) {}
  from& operator=(from&& other) noexcept {
    std::swap(request_, other.request_);
    std::swap(answered_, other.answered_);
    return *this;
  }
  ~from() {
    if (request_) release();
  }

  /// The process that waits; none for a call from outside.
  pid caller() const noexcept { return request_ ? request_->caller : pid(); }

  /// Answers. Always succeeds: a caller that is gone or was answered already is counted, not reported.
  template <class... Value>
    requires(std::is_void_v<Reply> ? sizeof...(Value) == 0 : sizeof...(Value) == 1)
  void reply(Value&&... value) {
    if (!request_) return;
    detail::check_may_reply();
    answered_ = true;
    request_->references.fetch_add(1, std::memory_order_relaxed);  // write_reply consumes one
    detail::write_reply(request_, std::forward<Value>(value)...);
  }

 private:
  void release() noexcept {
    if (answered_)
      detail::drop_answered(request_);
    else
      detail::from_dropped(request_);
  }
  envelope_type* request_ = nullptr;
  bool answered_ = false;
};

/// Answers through `from`, from any process.
template <class Reply, class... Value>
void reply(from<Reply>& to, Value&&... value) {
  to.reply(std::forward<Value>(value)...);
}

// ---- asynchronous requests ---------------------------------------------------------------------------------------

/// A request whose reply arrives like a message.
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
      return std::move(*holder.r->reply.value);
  }

 private:
  detail::reply_envelope<Reply>* request_ = nullptr;
  std::string server_;
  std::string_view name_;
};

/// Sends a request without waiting. Never fails: what goes wrong arrives as the response.
template <detail::server_address Address, class Request>
request_id<typename detail::reply_of<std::decay_t<Request>>::type> send_request(const Address& to, Request&& request) {
  using request_t = std::decay_t<Request>;
  using server_t = typename detail::address_of<Address>::type;
  detail::check_call<server_t, request_t>();
  if constexpr (detail::handles_call<server_t, request_t>) {
    auto target = detail::address_of<Address>::find(to);
    detail::request_holder holder(new detail::call_envelope<server_t, request_t>(std::forward<Request>(request)));
    detail::send_request(target.value_or(pid()), holder.r);
    return {std::exchange(holder.r, nullptr), detail::address_of<Address>::text(to), detail::type_name<request_t>};
  }
}

/// Waits for the response; empty at the timeout, and the request stays pending.
template <class Reply>
std::optional<result<Reply>> wait_response(request_id<Reply>& request, duration timeout = infinity) {
  return wait_response(request, detail::deadline_after(timeout));
}
template <class Reply>
std::optional<result<Reply>> wait_response(request_id<Reply>& request, instant deadline) {
  detail::require_request(request.envelope());
  if (detail::wait_response(request.envelope(), deadline) == detail::response_state::timeout) return std::nullopt;
  return request.take_response();
}
/// As wait_response, but at the timeout the request is given up: a late reply goes nowhere.
template <class Reply>
std::optional<result<Reply>> receive_response(request_id<Reply>& request, duration timeout = infinity) {
  auto response = wait_response(request, timeout);
  if (!response) request = request_id<Reply>();
  return response;
}
/// Whether a message that was received is the response to the request; then what it says. `message` is consumed.
template <class Reply>
std::optional<result<Reply>> check_response(message& received, request_id<Reply>& request) {
  if (!request || received.envelope() != static_cast<detail::envelope*>(request.envelope())) return std::nullopt;
  received = message();
  return request.take_response();
}

/// Requests of one reply type under labels; their responses come in the order of completion.
template <class Reply, class Label>
class request_id_collection {
 public:
  struct response {
    Label label;
    result<Reply> value;
  };
  void add(request_id<Reply> request, Label label) {
    for (auto& e : entries_)
      if (e.request.envelope() == request.envelope())
        throw bad_argument("request_id_collection: this request is in the collection already");
    entries_.push_back({std::move(request), std::move(label)});
  }
  std::size_t size() const noexcept { return entries_.size(); }
  std::vector<Label> labels() const {
    std::vector<Label> all;
    for (auto& e : entries_) all.push_back(e.label);
    return all;
  }
  /// The next response; empty at the timeout, or at once if there is no request. A handled request is removed.
  std::optional<response> wait(duration timeout = infinity) { return wait(detail::deadline_after(timeout)); }
  std::optional<response> wait(instant deadline) {
    if (entries_.empty()) return std::nullopt;
    std::vector<detail::request_envelope*> pending;
    for (auto& e : entries_) pending.push_back(e.request.envelope());
    std::size_t which = detail::wait_any_response(pending, deadline);
    if (which == pending.size()) return std::nullopt;
    return take(which);
  }
  /// Whether a received message answers one of the requests.
  std::optional<response> check(message& received) {
    for (std::size_t i = 0; i < entries_.size(); ++i)
      if (received.envelope() == static_cast<detail::envelope*>(entries_[i].request.envelope())) {
        received = message();
        return take(i);
      }
    return std::nullopt;
  }

 private:
  struct entry {
    request_id<Reply> request;
    Label label;
  };
  response take(std::size_t at) {
    entry e = std::move(entries_[at]);
    entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(at));
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
multi_call_result<typename detail::reply_of<std::decay_t<Request>>::type> multi_call(std::vector<std::string> nodes,
                                                                                     const name<Server>& to,
                                                                                     const Request& request,
                                                                                     duration timeout = infinity) {
  multi_call_result<typename detail::reply_of<Request>::type> all;
  detail::check_call<Server, Request>();
  for (const std::string& node : detail::each_once(std::move(nodes))) {
    if (node == this_node()) {
      auto reply = detail::call_address(to, Request(request), timeout);
      if (reply) {
        all.replies.emplace_back(node, std::move(*reply));
        continue;
      }
    }
    all.bad_nodes.push_back(node);
  }
  return all;
}
template <class Server, class Request>
auto multi_call(const name<Server>& to, const Request& request, duration timeout = infinity) {
  return multi_call({this_node()}, to, request, timeout);
}

/// Casts to the server of that name on each node; nodes and names that are not there are ignored.
template <class Server, class Message>
void abcast(std::vector<std::string> nodes, const name<Server>& to, const Message& message) {
  for (const std::string& node : detail::each_once(std::move(nodes)))
    if (node == this_node()) cast(to, Message(message));
}
template <class Server, class Message>
void abcast(const name<Server>& to, const Message& message) {
  cast(to, Message(message));
}

}  // namespace otp
