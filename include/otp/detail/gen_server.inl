// The templates behind gen_server: they find a server's handlers and make the runners that the untyped machine calls.
#pragma once
#include <new>
#include <tuple>

namespace otp {

// What the compiler names in its first error when a struct is no server.
template <class Server>
struct not_a_struct;  // a server is a struct of yours
template <class Server>
struct wrong_messages;  // using messages = otp::messages<...>;  lists what may arrive by plain pid
template <class Server>
struct wrong_terminate;  // terminate is public and takes a const exit_reason&
template <class Server>
struct wrong_format_status;  // format_status is public and takes a server_status&
template <class Server>
struct missing_continues;  // a server with several handle_continue lists their works: using continues = messages<...>;
template <class Server>
struct wrong_continues;  // using continues = otp::messages<...>;  lists the works of handle_continue
template <class Server, class Work>
struct missing_handle_continue;  // listed in `continues`, but not handled: add  void handle_continue(const Work&)
template <class Server, class Work, class Result>
struct wrong_handle_continue_result;  // handle_continue returns nothing, or noreply() or stop() as a handler_result
template <class Server, class Result>
struct wrong_init_result;  // a static init returns otp::init_result<Server>, made by ok(...), ignore(), stop(...) ...
template <class Server, class... Args>
struct missing_init;  // what stands behind the start options goes to a static init of `Server`, or its constructor
template <class Server, class First>
struct options_come_first;  // start_link<Server>(options, args...):  write {} for no options

}  // namespace otp

namespace otp::detail {

// ---- which messages may arrive by plain pid ----------------------------------------------------------------------

template <class Server, class Message>
void run_info(turn& t, void* server, envelope* e);
template <class Server, class Work>
void run_continue(turn& t, void* server, envelope* e);

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
struct continue_parameter {
  using type = messages<>;  // no work: judged to be a wrong one
};
template <class R, class P>
struct continue_parameter<R (*)(P)> {
  using type = messages<std::remove_cvref_t<P>>;
};
template <class C, class R, class P>
struct continue_parameter<R (C::*)(P)> : continue_parameter<R (*)(P)> {};
template <class C, class R, class P>
struct continue_parameter<R (C::*)(P) const> : continue_parameter<R (*)(P)> {};
template <class C, class R, class P>
struct continue_parameter<R (C::*)(P) noexcept> : continue_parameter<R (*)(P)> {};
template <class C, class R, class P>
struct continue_parameter<R (C::*)(P) const noexcept> : continue_parameter<R (*)(P)> {};
template <class R, class P>
struct continue_parameter<R (*)(P) noexcept> : continue_parameter<R (*)(P)> {};

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
  requires(
      !requires { typename Server::continues; } && requires { &Server::handle_continue; })
struct continues_of<Server> {
  using type = typename continue_parameter<decltype(&Server::handle_continue)>::type;
};

// Whether a class has any member of a name: in a class derived from it and from one that has it too, the name is
// ambiguous. A final class cannot be asked this way, so its overloads are not noticed.
struct other_terminate {
  int terminate;
};
struct other_format_status {
  int format_status;
};
struct other_handle_continue {
  int handle_continue;
};
struct other_handle_info {
  int handle_info;
};
struct other_handle_cast {
  int handle_cast;
};
struct other_init {
  int init;
};
template <class Server, class Other>
struct both : Server, Other {};
template <class Server>
constexpr bool names_terminate() {
  if constexpr (std::is_final_v<Server>)
    return requires { &Server::terminate; };
  else
    return !requires { &both<Server, other_terminate>::terminate; };
}
template <class Server>
constexpr bool names_format_status() {
  if constexpr (std::is_final_v<Server>)
    return requires { &Server::format_status; };
  else
    return !requires { &both<Server, other_format_status>::format_status; };
}
template <class Server>
constexpr bool names_handle_continue() {
  if constexpr (std::is_final_v<Server>)
    return requires { &Server::handle_continue; };
  else
    return !requires { &both<Server, other_handle_continue>::handle_continue; };
}
/// A server that could be nothing but a store for a value: it takes messages that may carry one, starts as it is
/// constructed, and does nothing by itself. A final class cannot be asked.
template <class Server>
constexpr bool could_be_store() {
  if constexpr (!std::is_class_v<Server> || std::is_final_v<Server> || state_machine<Server> ||
                !watched_for_values<Server>)
    return false;
  else
    return requires { &both<Server, other_handle_info>::handle_info; } &&
           requires { &both<Server, other_init>::init; } && requires { &both<Server, other_terminate>::terminate; } &&
           requires { &both<Server, other_handle_continue>::handle_continue; } &&
           !(requires { &Server::handle_call; } && requires { &both<Server, other_handle_cast>::handle_cast; });
}
template <class Server>
inline stored_value_evidence evidence_of;

template <class Server>
concept has_terminate = requires(Server& s, const exit_reason& why) { s.terminate(why); };
template <class Server>
concept has_format_status = requires(Server& s, server_status& status) { s.format_status(status); };

template <class Server, class Work>
constexpr auto judge_continue() {
  if constexpr (!requires(Server& s, Work& w) { s.handle_continue(std::move(w)); }) {
    return std::type_identity<missing_handle_continue<Server, Work>>();
  } else {
    using result = decltype(std::declval<Server&>().handle_continue(std::declval<Work>()));
    if constexpr (fits_handler<result>())
      return std::type_identity<fine>();
    else
      return std::type_identity<wrong_handle_continue_result<Server, Work, result>>();
  }
}
// Of what the runtime sends, and of any other message: those that a server handles need not be listed.
template <class Server, class Message>
constexpr auto judge_own_info() {
  if constexpr (handles_info<Server, Message>)
    return judge_info<Server, Message>();
  else
    return std::type_identity<fine>();
}

template <class T>
constexpr bool is_message_list = false;
template <class... Listed>
constexpr bool is_message_list<messages<Listed...>> = true;
template <class Server, class... Listed>
constexpr auto judge_messages(messages<Listed...>) {
  return first_problem(judge_info<Server, Listed>()..., std::type_identity<fine>());
}
template <class Server, class... Listed>
constexpr auto judge_continues(messages<Listed...>) {
  return first_problem(judge_continue<Server, Listed>()..., std::type_identity<fine>());
}

template <class Server>
constexpr auto judge_server() {
  if constexpr (!std::is_class_v<Server>)
    return std::type_identity<not_a_struct<Server>>();
  else if constexpr (!is_message_list<typename messages_of<Server>::type>)
    return std::type_identity<wrong_messages<Server>>();
  else if constexpr (!is_message_list<typename continues_of<Server>::type>)
    return std::type_identity<wrong_continues<Server>>();
  else if constexpr (!has_terminate<Server> && names_terminate<Server>())
    return std::type_identity<wrong_terminate<Server>>();
  else if constexpr (!has_format_status<Server> && names_format_status<Server>())
    return std::type_identity<wrong_format_status<Server>>();
  else if constexpr (std::is_same_v<typename continues_of<Server>::type, messages<>> && names_handle_continue<Server>())
    return std::type_identity<missing_continues<Server>>();
  else
    return first_problem(judge_messages<Server>(typename messages_of<Server>::type()), judge_own_info<Server, down>(),
                         judge_own_info<Server, exit_signal>(), judge_own_info<Server, timeout>(),
                         judge_own_info<Server, timer_expired>(), judge_own_info<Server, timer_cancelled>(),
                         judge_own_info<Server, message>(),
                         judge_continues<Server>(typename continues_of<Server>::type()));
}
template <class Server>
using server_problem = typename decltype(judge_server<Server>())::type;

/// A struct whose handlers fit what it says about itself.
template <class Server>
concept well_formed_server = std::is_same_v<server_problem<Server>, fine>;

template <class Server, class... Args>
concept has_static_init = requires(Args&&... args) { Server::init(std::forward<Args>(args)...); };
/// A static init that takes something else: the constructor must not be called past it.
template <class Server>
concept names_static_init = requires { requires std::is_function_v<std::remove_pointer_t<decltype(&Server::init)>>; };

// `Given` are the arguments as the caller gives them, `Args` as they are kept until init runs.
template <class Server, class... Args>
constexpr auto judge_init() {
  if constexpr (has_static_init<Server, Args...>) {
    using result = decltype(Server::init(std::declval<Args>()...));
    if constexpr (std::is_convertible_v<result, init_result<Server>>)
      return std::type_identity<fine>();
    else
      return std::type_identity<wrong_init_result<Server, result>>();
  } else if constexpr (made_from<Server, Args...> && !names_static_init<Server>) {
    return std::type_identity<fine>();
  } else {
    return std::type_identity<missing_init<Server, Args...>>();
  }
}
template <class Server, class... Given>
constexpr auto judge_start() {
  using server = std::type_identity<server_problem<Server>>;
  if constexpr (!std::is_same_v<server, std::type_identity<fine>>)
    return server();
  else
    return first_problem(judge_storing<std::decay_t<Given>, Given>()..., judge_init<Server, std::decay_t<Given>...>());
}
template <class Server, class... Given>
using start_problem = typename decltype(judge_start<Server, Given...>())::type;
template <class Server, class... Given>
concept server_started_with = std::is_same_v<start_problem<Server, Given...>, fine>;

template <class Server, class Message>
constexpr info_entry info_entry_of() {
  return {&value_envelope<Message>::type_of, &run_info<Server, Message>};
}

// The listed messages, and those that the runtime sends if there is a handler for them.
template <class Server, class Messages>
struct info_table;
template <class Server, class... Listed>
struct info_table<Server, messages<Listed...>> {
  template <class Message>
  static constexpr bool standard = handles_info<Server, Message> && !(std::is_same_v<Message, Listed> || ...);
  static constexpr std::size_t count = sizeof...(Listed) + standard<down> + standard<exit_signal> + standard<timeout> +
                                       standard<timer_expired> + standard<timer_cancelled>;
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

// ---- runners -----------------------------------------------------------------------------------------------------

/// What a handler that may say more returns, or throws instead of returning it.
template <class Handler>
std::invoke_result_t<Handler&> thrown_or_returned(Handler& handler) {
  using result = std::invoke_result_t<Handler&>;
  if constexpr (std::is_reference_v<result>) {
    return handler();
  } else {
    try {
      return handler();
    } catch (result& thrown) {
      return std::move(thrown);
    }
  }
}

/// The same of a handle_call, of which the parts of a result may be thrown too.
template <class Reply, class Handler>
call_result<Reply> reply_thrown_or_returned(Handler& handler) {
  try {
    return thrown_or_returned(handler);
  } catch (call_result<Reply>& thrown) {
    return std::move(thrown);
  } catch (reply_step<reply_value<Reply>>& thrown) {
    return std::move(thrown);
  } catch (stop_reply_step<reply_value<Reply>>& thrown) {
    return std::move(thrown);
  }
}

template <class Handler>
void run_handler(turn& t, Handler&& handler) {
  if constexpr (std::is_void_v<std::invoke_result_t<Handler&>>) {
    handler();
  } else {
    handler_result result = thrown_or_returned(handler);
    t.set_step(std::move(result.step()));
  }
}

// gen_statem.hpp
template <class Machine, class Event>
void run_machine_call(turn& t, void* server, envelope* e);
template <class Machine, class Event>
void run_machine_cast(turn& t, void* server, envelope* e);

template <class Server, class Message>
void run_cast(turn& t, void* server, envelope* e) {
  if constexpr (state_machine<Server>) {
    run_machine_cast<Server, Message>(t, server, e);
  } else {
    auto* typed = static_cast<cast_envelope<Server, Message, &run_cast<Server, Message>>*>(e);
    if constexpr (could_be_store<Server>()) evidence_of<Server>.told(server, typed->value);
    run_handler(t,
                [&]() -> decltype(auto) { return static_cast<Server*>(server)->handle_cast(std::move(typed->value)); });
  }
}
template <class Server, class Message>
void run_typed_info(turn& t, void* server, envelope* e) {
  auto* typed = static_cast<cast_envelope<Server, Message, &run_typed_info<Server, Message>>*>(e);
  run_handler(t,
              [&]() -> decltype(auto) { return static_cast<Server*>(server)->handle_info(std::move(typed->value)); });
}
template <class Server, class Message>
void run_info(turn& t, void* server, envelope* e) {
  auto* typed = static_cast<value_envelope<Message>*>(e);
  run_handler(t,
              [&]() -> decltype(auto) { return static_cast<Server*>(server)->handle_info(std::move(typed->value)); });
}
template <class Server, class Work>
void run_continue(turn& t, void* server, envelope* e) {
  auto* typed = static_cast<value_envelope<Work>*>(e);
  run_handler(
      t, [&]() -> decltype(auto) { return static_cast<Server*>(server)->handle_continue(std::move(typed->value)); });
}

template <class Server>
concept owns_any_info = requires(Server& s, message m) { s.handle_info(std::move(m)); } &&
                        !requires(Server& s, const message& m) { s.handle_info(m); };

template <class Server>
void run_any_info(turn& t, void* server, envelope* e) {
  if constexpr (owns_any_info<Server>) {
    message m(e);
    run_handler(t, [&]() -> decltype(auto) { return static_cast<Server*>(server)->handle_info(std::move(m)); });
  } else {
    struct lent {
      explicit lent(envelope* l) : value(l) {}
      ~lent() { value.release(); }
      const message& look() const { return value; }
      message value;
    } m(e);
    run_handler(t, [&]() -> decltype(auto) { return static_cast<Server*>(server)->handle_info(m.look()); });
  }
}

template <class Server, class Request>
void run_handle_call(turn& t, void* server, envelope* e) {
  using reply_type = typename reply_of<Request>::type;
  constexpr bool shared = handles_call_from<Server, Request>;
  auto* r = static_cast<call_envelope<Server, Request>*>(e);
  auto& s = *static_cast<Server*>(server);
  constexpr bool watched = could_be_store<Server>();
  if constexpr (watched && shared) evidence_of<Server>.refute();
  auto call = [&]() -> decltype(auto) {
    if constexpr (shared) {
      clear_edge(*r);  // the caller waits for whoever holds the `from`, not for this handler
      return s.handle_call(std::move(r->request), from<reply_type>(r));
    } else {
      return s.handle_call(std::move(r->request));
    }
  };
  using returned = decltype(call());
  if constexpr (std::is_void_v<returned>) {
    if constexpr (watched) evidence_of<Server>.told(server, r->request);
    call();
    if constexpr (!shared) t.answer<false>(r, std::monostate{});
  } else if constexpr (says_more<std::remove_cvref_t<returned>>) {
    if constexpr (watched) evidence_of<Server>.refute();
    call_result<reply_type> result = reply_thrown_or_returned<reply_type>(call);
    bool stops = result.step().action == step_result::what::stop;
    t.set_step(std::move(result.step()));
    if (!result.reply()) return;
    if (stops)
      t.answer_at_end(r, std::move(*result.reply()));
    else
      t.answer<shared>(r, std::move(*result.reply()));
  } else if constexpr (watched) {
    if constexpr (!std::is_empty_v<Request>) evidence_of<Server>.refute();
    auto&& value = call();
    evidence_of<Server>.answered(server, std::as_const(value));
    t.answer<shared>(r, std::forward<decltype(value)>(value));
  } else {
    t.answer<shared>(r, call());
  }
}

template <class Server, class Request>
void run_call(turn& t, void* server, envelope* e) {
  if constexpr (state_machine<Server>)
    run_machine_call<Server, Request>(t, server, e);
  else
    run_handle_call<Server, Request>(t, server, e);
}

// ---- the type record and the body --------------------------------------------------------------------------------

template <class Server>
inline const server_type server_type_record{
    .name = type_name<Server>,
    .infos = info_table<Server, typename messages_of<Server>::type>::value.entries,
    .info_count = info_table<Server, typename messages_of<Server>::type>::count,
    .continues = continue_table<Server, typename continues_of<Server>::type>::entries,
    .continue_count = continue_table<Server, typename continues_of<Server>::type>::count,
    .any_info = []() -> runner {
      if constexpr (handles_any_info<Server>)
        return &run_any_info<Server>;
      else
        return nullptr;
    }(),
    .terminate = []() -> void (*)(void*, const exit_reason&) {
      if constexpr (has_terminate<Server>)
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
      if constexpr (has_format_status<Server>)
        return [](void* s, server_status& status) { static_cast<Server*>(s)->format_status(status); };
      else
        return nullptr;
    }(),
    .any_info_owns = owns_any_info<Server>,
    .stored = []() -> const stored_value_evidence* {
      if constexpr (could_be_store<Server>())
        return &evidence_of<Server>;
      else
        return nullptr;
    }(),
};

/// What behaviours that are servers differ in: here those of a gen_server.
template <class Server>
struct server_traits {
  using core = server_core;
  using object = Server;
  static const server_type& type() noexcept { return server_type_record<Server>; }
  template <class... Args>
  static void make(void* where, Args&&... args) {
    if constexpr (std::is_constructible_v<Server, Args...>)
      ::new (where) Server(std::forward<Args>(args)...);
    else
      ::new (where) Server{std::forward<Args>(args)...};
  }
};

template <class Server>
const server_type& server_type_of() noexcept {
  return server_traits<Server>::type();
}

/// Holds the arguments until init has run, then the server, in the same place.
template <class Server, class... Args>
class server_body final : public server_traits<Server>::core {
  using traits = server_traits<Server>;
  using core = typename traits::core;
  using object_type = typename traits::object;
  using arguments = std::tuple<Args...>;

 public:
  template <class... Given>
  server_body(const start_options& options, start_ticket* ticket, Given&&... args)
      : core(traits::type(), options, ticket) {
    if constexpr (sizeof...(Args) > 0) {
      arguments_ = new arguments(std::forward<Given>(args)...);
      holds_ = holds::arguments;
    }
  }
  ~server_body() override {
    if (holds_ == holds::arguments) delete arguments_;
    if (holds_ == holds::server) {
      if constexpr (could_be_store<Server>()) evidence_of<Server>.gone(object());
      object()->~object_type();
    }
  }

 private:
  enum class holds : std::uint8_t { nothing, arguments, server };

  object_type* object() noexcept { return std::launder(reinterpret_cast<object_type*>(storage_)); }
  void* server() noexcept override { return holds_ == holds::server ? object() : nullptr; }
  init_step init() override {
    init_step done;
    if constexpr (sizeof...(Args) > 0) {
      std::unique_ptr<arguments> given(arguments_);
      holds_ = holds::nothing;
      std::apply([&](Args&... args) { make(done, args...); }, *given);
    } else {
      make(done);
    }
    return done;
  }
  void make(init_step& done, Args&... args) {
    try {
      if constexpr (has_static_init<Server, Args...>) {
        auto run = [&] { return Server::init(std::move(args)...); };
        done = init_result<Server>(thrown_or_returned(run)).take(storage_);
      } else {
        traits::make(storage_, std::move(args)...);
      }
    } catch (init_refusal& no) {
      done.outcome = no.outcome;
      done.step.reason = std::move(no.reason);
    } catch (stop_step& s) {
      done.outcome = init_step::what::stop;
      done.step.reason = std::move(s.step.reason);
    } catch (thrown_result&) {
      done.outcome = init_step::what::stop;
      done.step.reason = misfit_thrown("bad_return_value", "init", "otp::init_result<...>");
    }
    if (done.outcome == init_step::what::ok) holds_ = holds::server;
  }

  holds holds_ = holds::nothing;
  union {
    arguments* arguments_;
    alignas(object_type) std::byte storage_[sizeof(object_type)];
  };
};

/// Around a state that exists already, for enter_loop.
template <class Server>
class entered_body final : public server_core {
 public:
  entered_body(Server&& state, const start_options& options, step_result&& first)
      : server_core(server_type_of<Server>(), options, nullptr), state_(std::move(state)), first_(std::move(first)) {}

 private:
  init_step init() override {
    init_step done;
    done.step = std::move(first_);
    return done;
  }
  void* server() noexcept override { return &state_; }
  Server state_;
  step_result first_;
};

template <class Server, class... Args>
result<started> start_server(const start_options& options, Args&&... args) {
  if (auto taken = check_name(options)) return std::unexpected(std::move(*taken));
  start_ticket* ticket = start_ticket::make();
  ticket_holder holder(ticket);
  auto body =
      std::make_unique<server_body<Server, std::decay_t<Args>...>>(options, ticket, std::forward<Args>(args)...);
  return start_body(std::move(body), holder.release(), options.spawn, options.timeout);
}

template <class Server>
[[noreturn]] void enter_server_loop(Server state, start_options options, step_result first) {
  check_entering(options);
  entered_body<Server> body(std::move(state), options, std::move(first));
  body.loop();
}

}  // namespace otp::detail
