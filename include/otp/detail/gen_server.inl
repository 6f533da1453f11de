// The templates behind gen_server: they find a server's handlers and make the runners that the untyped machine calls.
#pragma once
#include <new>
#include <tuple>

namespace otp::detail {

// ---- which messages may arrive by plain pid ----------------------------------------------------------------------

template <class Server, class Message>
void run_info(server_core& core, void* server, envelope* e);
template <class Server, class Work>
void run_continue(server_core& core, void* server, envelope* e);

template <class Server>
struct messages_of {
  using type = messages<>;
};
template <class Server>
  requires requires { typename Server::messages; }
struct messages_of<Server> {
  using type = typename Server::messages;
};

/// The parameter of a handle_continue that is not overloaded; several are listed in `using continues`.
template <class F>
struct continue_parameter;
template <class C, class R, class P>
struct continue_parameter<R (C::*)(P)> {
  using type = messages<std::remove_cvref_t<P>>;
};
template <class C, class R, class P>
struct continue_parameter<R (C::*)(P) const> {
  using type = messages<std::remove_cvref_t<P>>;
};
template <class Server>
struct continues_of {
  using type = messages<>;
};
template <class Server>
  requires requires { typename Server::continues; }
struct continues_of<Server> {
  using type = typename Server::continues;
};
template <class Server>
  requires(!requires { typename Server::continues; } && requires { &Server::handle_continue; })
struct continues_of<Server> {
  using type = typename continue_parameter<decltype(&Server::handle_continue)>::type;
};

template <class Server, class Message>
constexpr info_entry info_entry_of() {
  if constexpr (!handles_info<Server, Message>) {
    static_cast<void>(sizeof(missing_handle_info<Server, Message>));
    return {};
  } else {
    return {&value_envelope<Message>::type_of, &run_info<Server, Message>};
  }
}

template <class Server, class Listed>
struct info_table;
template <class Server, class... Listed>
struct info_table<Server, messages<Listed...>> {
  // The standard signals need no entry in `messages`; a handler for one is enough.
  template <class Message>
  static constexpr bool standard = handles_info<Server, Message> && !(std::is_same_v<Message, Listed> || ...);
  static constexpr std::size_t count =
      sizeof...(Listed) + standard<down> + standard<exit_signal> + standard<timeout> + standard<timer_expired> +
      standard<timer_cancelled>;
  struct table {
    info_entry entries[count + 1];
  };
  static constexpr table make() {
    table t{{info_entry_of<Server, Listed>()...}};
    std::size_t at = sizeof...(Listed);
    auto add = [&]<class Message>(std::type_identity<Message>) {
      if constexpr (standard<Message>) t.entries[at++] = info_entry_of<Server, Message>();
    };
    add(std::type_identity<down>{});
    add(std::type_identity<exit_signal>{});
    add(std::type_identity<timeout>{});
    add(std::type_identity<timer_expired>{});
    add(std::type_identity<timer_cancelled>{});
    return t;
  }
  static constexpr table value = make();
};

template <class Server, class Listed>
struct continue_table;
template <class Server, class... Listed>
struct continue_table<Server, messages<Listed...>> {
  static constexpr std::size_t count = sizeof...(Listed);
  static constexpr info_entry entries[count + 1] = {
      {&value_envelope<Listed>::type_of, &run_continue<Server, Listed>}..., {}};
};

template <class Server>
concept handles_any_info = requires(Server& s, const message& m) { s.handle_info(m); } ||
                           requires(Server& s, message m) { s.handle_info(std::move(m)); };

// ---- runners -----------------------------------------------------------------------------------------------------

template <class Handler>
void run_handler(server_core& core, Handler&& handler) {
  if constexpr (std::is_void_v<std::invoke_result_t<Handler&>>) {
    handler();
  } else {
    handler_result result = handler();
    core.set_step(std::move(result.step()));
  }
}

template <class Server, class Message>
void run_cast(server_core& core, void* server, envelope* e) {
  auto* typed = static_cast<cast_envelope<Server, Message, &run_cast<Server, Message>>*>(e);
  run_handler(core, [&]() -> decltype(auto) { return static_cast<Server*>(server)->handle_cast(std::move(typed->value)); });
}
template <class Server, class Message>
void run_typed_info(server_core& core, void* server, envelope* e) {
  auto* typed = static_cast<cast_envelope<Server, Message, &run_typed_info<Server, Message>>*>(e);
  run_handler(core, [&]() -> decltype(auto) { return static_cast<Server*>(server)->handle_info(std::move(typed->value)); });
}
template <class Server, class Message>
void run_info(server_core& core, void* server, envelope* e) {
  auto* typed = static_cast<value_envelope<Message>*>(e);
  run_handler(core, [&]() -> decltype(auto) { return static_cast<Server*>(server)->handle_info(std::move(typed->value)); });
}
template <class Server, class Work>
void run_continue(server_core& core, void* server, envelope* e) {
  auto* typed = static_cast<value_envelope<Work>*>(e);
  run_handler(core,
              [&]() -> decltype(auto) { return static_cast<Server*>(server)->handle_continue(std::move(typed->value)); });
}
template <class Server>
void run_any_info(server_core& core, void* server, envelope* e) {
  message m(e);
  run_handler(core, [&]() -> decltype(auto) {
    if constexpr (requires(Server& s, message x) { s.handle_info(std::move(x)); })
      return static_cast<Server*>(server)->handle_info(std::move(m));
    else
      return static_cast<Server*>(server)->handle_info(static_cast<const message&>(m));
  });
}

template <class Server, class Request>
void run_call(server_core& core, void* server, envelope* e) {
  using reply_type = typename reply_of<Request>::type;
  auto* r = static_cast<call_envelope<Server, Request>*>(e);
  auto& s = *static_cast<Server*>(server);
  auto call = [&]() -> decltype(auto) {
    if constexpr (handles_call_from<Server, Request>) {
      clear_edge(*r);  // the caller waits for whoever holds the `from`, not for this handler
      return s.handle_call(std::move(r->request), from<reply_type>(r));
    } else {
      return s.handle_call(std::move(r->request));
    }
  };
  using returned = decltype(call());
  if constexpr (std::is_void_v<returned>) {
    static_assert(std::is_void_v<reply_type> || handles_call_from<Server, Request>,
                  "this handle_call returns nothing, but its request names a reply: return it, or take a `from`");
    call();
    if constexpr (std::is_void_v<reply_type> && !handles_call_from<Server, Request>) core.answer(r, std::monostate{});
  } else if constexpr (std::is_convertible_v<returned, call_result<reply_type>> &&
                       !std::is_convertible_v<returned, reply_value<reply_type>>) {
    // A call_result, or one of otp::reply(...), otp::stop(...) returned as it is.
    call_result<reply_type> result = call();
    bool stops = result.step().action == step_result::what::stop;
    core.set_step(std::move(result.step()));
    if (result.reply() && stops) core.answer_at_end(r, std::move(*result.reply()));
    if (result.reply() && !stops) core.answer(r, std::move(*result.reply()));
  } else {
    core.answer(r, call());
  }
}

// ---- the type record and the body --------------------------------------------------------------------------------

template <class Server>
inline const server_type server_type_record{
    .name = type_name<Server>,
    .infos = info_table<Server, typename messages_of<Server>::type>::value.entries,
    .info_count = info_table<Server, typename messages_of<Server>::type>::count,
    .continues = continue_table<Server, typename continues_of<Server>::type>::entries,
    .continue_count = continue_table<Server, typename continues_of<Server>::type>::count,
    .any_info =
        []() -> runner {
      if constexpr (handles_any_info<Server>)
        return &run_any_info<Server>;
      else
        return nullptr;
    }(),
    .terminate = []() -> void (*)(void*, const exit_reason&) {
      if constexpr (requires(Server& s, const exit_reason& why) { s.terminate(why); })
        return [](void* s, const exit_reason& why) { static_cast<Server*>(s)->terminate(why); };
      else
        return nullptr;
    }(),
    .state = []() -> std::string (*)(const void*) {
      if constexpr (has_member_text<Server>)
        return [](const void* s) { return std::string(static_cast<const Server*>(s)->to_string()); };
      else
        return nullptr;
    }(),
    .format_status = []() -> void (*)(void*, server_status&) {
      if constexpr (requires(Server& s, server_status& status) { s.format_status(status); })
        return [](void* s, server_status& status) { static_cast<Server*>(s)->format_status(status); };
      else
        return nullptr;
    }(),
};

template <class Server>
const server_type& server_type_of() noexcept {
  return server_type_record<Server>;
}

template <class Server, class... Args>
concept has_static_init = requires(Args&&... args) {
  { Server::init(std::forward<Args>(args)...) } -> std::same_as<init_result<Server>>;
};

/// Holds the arguments until init has run, then the server, in the same place.
template <class Server, class... Args>
class server_body final : public server_core {
  using arguments = std::tuple<Args...>;

 public:
  template <class... Given>
  server_body(const start_options& options, start_ticket* ticket, Given&&... args)
      : server_core(server_type_of<Server>(), options, ticket), arguments_(new arguments(std::forward<Given>(args)...)) {}
  ~server_body() override {
    if (holds_ == holds::arguments) delete arguments_;
    if (holds_ == holds::server) object()->~Server();
  }

 private:
  enum class holds : std::uint8_t { arguments, nothing, server };

  Server* object() noexcept { return std::launder(reinterpret_cast<Server*>(storage_)); }
  init_step init() override {
    std::unique_ptr<arguments> given(arguments_);
    holds_ = holds::nothing;
    init_step done;
    if constexpr (has_static_init<Server, Args...>) {
      done = std::apply([](Args&... args) { return Server::init(std::move(args)...); }, *given).take(storage_);
    } else {
      std::apply(
          [&](Args&... args) {
            if constexpr (std::is_constructible_v<Server, Args...>)
              new (storage_) Server(std::move(args)...);
            else
              new (storage_) Server{std::move(args)...};
          },
          *given);
    }
    if (done.outcome == init_step::what::ok) holds_ = holds::server;
    return done;
  }
  void* server() noexcept override { return holds_ == holds::server ? object() : nullptr; }

  holds holds_ = holds::arguments;
  union {
    arguments* arguments_;
    alignas(Server) std::byte storage_[sizeof(Server)];
  };
};

/// Around a state that exists already, for enter_loop.
template <class Server>
class entered_body final : public server_core {
 public:
  entered_body(Server&& state, const start_options& options)
      : server_core(server_type_of<Server>(), options, nullptr), state_(std::move(state)) {}

 private:
  init_step init() override { return {}; }
  void* server() noexcept override { return &state_; }
  Server state_;
};

template <class Server, class... Args>
result<started> start_server(const start_options& options, Args&&... args) {
  if (auto taken = check_name(options)) return std::unexpected(std::move(*taken));
  start_ticket* ticket = start_ticket::make();
  ticket_holder holder(ticket);
  auto body = std::make_unique<server_body<Server, std::decay_t<Args>...>>(options, ticket, std::forward<Args>(args)...);
  ticket->add_reference();  // the body's
  return start_body(std::move(body), holder.release(), options.spawn, options.timeout);
}

template <class Server>
[[noreturn]] void enter_server_loop(Server state, start_options options) {
  check_entering(options);
  entered_body<Server> body(std::move(state), options);
  body.loop();
}

}  // namespace otp::detail
