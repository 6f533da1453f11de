// Servers: casts, other messages, and what nothing handles.
#include "conformance/gen_server_support.hpp"

namespace {

using namespace conformance;
namespace gen_server = otp::gen_server;

using strings = std::vector<std::string>;
using note = collector::note;

// covers: GS-056
TEST(gen_server_cast, never_fails) {
  everywhere(20, [] {
    auto registry = std::make_shared<test_registry>();
    auto c = gen_server::start<collector>().value();
    static_assert(std::is_void_v<decltype(otp::cast(c, note{"x"}))>);
    otp::cast(c, note{"1"});
    EXPECT_EQ(otp::call(c, collector::get{}), strings{"cast 1"});
    gen_server::stop(c);
    otp::cast(c, note{"dead"});
    otp::cast(otp::server<collector>(), note{"none"});
    otp::cast(otp::name<collector>("nobody"), note{"x"});
    otp::cast(otp::global<collector>("nobody"), note{"x"});
    otp::cast(otp::via<collector>(registry, "nobody"), note{"x"});
    otp::abcast({"other@node", otp::this_node()}, otp::name<collector>("nobody"), note{"x"});
    EXPECT_TRUE(mailbox_empty());
  });
}
// covers: GS-056 GS-057
TEST(gen_server_cast, returns_at_once) {
  for_seeds(10, [] {
    // The server is in its init, the mailbox long, the node not there: the sender does not notice.
    auto c = gen_server::start<collector>().value();
    otp::sys::suspend(c);
    EXPECT_EQ(time_of([&] {
                for (int i = 0; i < 1000; ++i) otp::cast(c, note{"x"});
                otp::abcast({"far@away", "gone@nowhere"}, otp::name<collector>("x"), note{"x"});
              }),
              0s);
    otp::sys::resume(c);
    EXPECT_EQ(otp::call(c, collector::get{}).size(), 1000U);
  });
}

// What is no server reference cannot be written down: tests/compile_fail/gen_server_cast.cpp. What is left at
// run time is a via name without a registry.
// covers: GS-058
TEST(gen_server_cast, a_via_name_without_a_registry_is_a_bad_argument) {
  for_seeds(5, [] {
    EXPECT_THROW(otp::cast(otp::via<collector>(nullptr, "x"), note{"x"}), otp::bad_argument);
    EXPECT_THROW(otp::call(otp::via<collector>(nullptr, "x"), collector::get{}), otp::bad_argument);
  });
}

/// Notices if two of its handlers run at once.
struct exclusive {
  struct get {
    using reply = int;
  };
  struct slow {};
  using messages = otp::messages<slow>;
  struct guard {
    explicit guard(exclusive& e) : server(e) { EXPECT_EQ(server.inside++, 0); }
    ~guard() { --server.inside; }
    exclusive& server;
  };
  void handle_cast(slow) {
    guard g(*this);
    otp::yield();
    ++handled;
  }
  void handle_info(slow) {
    guard g(*this);
    otp::sleep(0s);
    otp::yield();
    ++handled;
  }
  int handle_call(get) {
    guard g(*this);
    otp::yield();
    return handled;
  }
  int inside = 0;
  int handled = 0;
};

// covers: GS-059
TEST(gen_server_cast, everything_is_handled_one_at_a_time_in_the_order_of_the_mailbox) {
  everywhere(30, [] {
    auto e = gen_server::start<exclusive>().value();
    for (int i = 1; i <= 20; ++i) {
      otp::cast(e, exclusive::slow{});
      otp::send(e.pid(), exclusive::slow{});
      EXPECT_EQ(otp::call(e, exclusive::get{}, otp::infinity), 2 * i);
    }
    auto c = gen_server::start<collector>().value();
    strings order;
    for (int i = 0; i < 50; ++i) {
      std::string n = std::to_string(i);
      if (i % 3 == 0)
        otp::send(c.pid(), note{n});
      else
        otp::cast(c, note{n});
      order.push_back((i % 3 == 0 ? "info " : "cast ") + n);
    }
    EXPECT_EQ(otp::call(c, collector::get{}), order);
  });
}

/// Uses everything that handle_cast and handle_info may return.
struct flexible {
  enum class then { nothing, noreply, timeout, hibernate, go_on, stop };
  struct order {
    then what;
  };
  using messages = otp::messages<order>;
  explicit flexible(otp::pid o) : owner(o) {}
  otp::handler_result handle_cast(order o) { return carry_out(o); }
  otp::handler_result handle_info(order o) { return carry_out(o); }
  otp::handler_result handle_info(otp::timeout) {
    otp::send(owner, std::string("timeout"));
    return otp::noreply();
  }
  otp::handler_result handle_continue(order o) {
    otp::send(owner, std::string("continue"));
    return carry_out(o);
  }
  otp::handler_result carry_out(order o) {
    switch (o.what) {
      case then::timeout: return otp::noreply().timeout_after(1s);
      case then::hibernate: return otp::noreply().hibernate();
      case then::go_on: return otp::noreply().then_continue(order{then::nothing});
      case then::stop: return otp::stop("asked to");
      default: return otp::noreply();
    }
  }
  otp::pid owner;
};

// covers: GS-060
TEST(gen_server_cast, handlers_of_casts_and_messages_may_add_a_timeout_hibernate_continue_or_stop) {
  for_seeds(20, [] {
    using then = flexible::then;
    for (bool by_cast : {true, false}) {
      auto f = gen_server::start_monitor<flexible>({}, otp::self()).value();
      auto tell = [&](then t) {
        if (by_cast)
          otp::cast(f.server, flexible::order{t});
        else
          otp::send(f.server.pid(), flexible::order{t});
      };
      tell(then::nothing);
      tell(then::noreply);
      tell(then::timeout);
      EXPECT_EQ(time_of([] { EXPECT_EQ(next<std::string>(), "timeout"); }), 1s);
      tell(then::hibernate);
      EXPECT_TRUE(otp::sys::get_status(f.server).hibernating);
      tell(then::go_on);
      EXPECT_EQ(next<std::string>(), "continue");
      tell(then::stop);
      EXPECT_EQ(reason_of(f.monitor), otp::exit_reason("asked to"));
    }
  });
}

/// Takes everything that the runtime sends.
struct listener {
  struct get {
    using reply = strings;
  };
  struct watch {
    using reply = otp::ref;
    otp::pid who;
  };
  struct join {
    using reply = void;
    otp::pid who;
  };
  struct alarm {
    using reply = otp::ref;
    otp::duration after;
  };
  struct own {};
  using messages = otp::messages<own>;
  strings handle_call(get) { return std::exchange(seen, {}); }
  otp::ref handle_call(const watch& w) { return otp::monitor(w.who); }
  void handle_call(const join& j) { otp::link(j.who); }
  otp::ref handle_call(const alarm& a) { return otp::start_timer(a.after, otp::self(), "ding"); }
  void handle_info(const otp::down& d) { seen.push_back("down " + d.reason.to_string()); }
  void handle_info(const otp::exit_signal& e) { seen.push_back("exit " + e.reason.to_string()); }
  void handle_info(const otp::timer_expired& t) { seen.push_back("timer " + t.payload.to_string()); }
  void handle_info(own) { seen.push_back("own"); }
  void handle_info(const otp::message& m) { seen.push_back("other " + m.to_string()); }
  strings seen;
};

// covers: GS-061 GS-084
TEST(gen_server_cast, messages_that_are_no_calls_go_to_handle_info) {
  for_seeds(20, [] {
    auto l = gen_server::start_link<listener>({.spawn = {.trap_exit = true}}).value();
    otp::pid other = sleeper(), peer = sleeper();
    otp::call(l, listener::watch{other});
    otp::call(l, listener::join{peer});
    otp::call(l, listener::alarm{1s});
    otp::exit(other, "gone");
    otp::sleep(0s);
    otp::testing::settle();
    otp::exit(peer, "lost");
    otp::sleep(2s);
    otp::send(l.pid(), listener::own{});
    otp::send(l.pid(), 42);
    otp::send(l.pid(), std::string("text"));
    EXPECT_EQ(otp::call(l, listener::get{}),
              (strings{"down \"gone\"", "exit \"lost\"", "timer \"ding\"", "own", "other 42", "other \"text\""}));
    EXPECT_TRUE(otp::is_alive(l));
  });
}

/// Has no handler for anything but its request.
struct deaf {
  struct get {
    using reply = int;
  };
  int handle_call(get) { return 1; }
};
struct unknown {
  int number;
  std::string to_string() const { return "unknown " + std::to_string(number); }
};

// covers: GS-062 GS-063
TEST(gen_server_cast, an_unexpected_message_is_reported_and_the_server_goes_on) {
  for_seeds_with_journal(20, [](event_log& events) {
    auto d = gen_server::start<deaf>({.name = "deaf one"}).value();
    otp::send(d.pid(), unknown{7});
    EXPECT_EQ(otp::call(d, deaf::get{}), 1);
    otp::event e = events.one("unhandled_message");
    EXPECT_EQ(e.severity, otp::severity::warning);
    EXPECT_EQ(e.process, d.pid());
    EXPECT_NE(e.name.find("deaf one"), std::string::npos);
    EXPECT_EQ(e.field("server"), otp::detail::type_name<deaf>);
    EXPECT_EQ(e.field("message"), "unknown 7");
    EXPECT_EQ(otp::counters().unhandled, 1U);
  });
}

struct bad_text {
  std::string to_string() const { throw std::runtime_error("no text"); }
};
// covers: GS-062
TEST(gen_server_cast, a_message_whose_text_fails_is_reported_too) {
  for_seeds_with_journal(5, [](event_log& events) {
    auto d = gen_server::start<deaf>().value();
    otp::send(d.pid(), bad_text{});
    EXPECT_EQ(otp::call(d, deaf::get{}), 1);
    EXPECT_NE(events.one("unhandled_message").field("message").find("bad_text"), std::string_view::npos);
  });
}

/// Fails inside an existing handler.
struct fragile {
  void handle_info(const otp::message&) { throw std::bad_function_call(); }
};
// covers: GS-063
TEST(gen_server_cast, an_error_inside_an_existing_handle_info_ends_the_server) {
  for_seeds(10, [] {
    auto f = gen_server::start_monitor<fragile>().value();
    otp::send(f.server.pid(), 1);
    EXPECT_EQ(reason_of(f.monitor).error_type(), "std::bad_function_call");
  });
}

// There are no default handlers that could be called: a message without a handler does not compile
// (tests/compile_fail/gen_server_call.cpp, gen_server_cast.cpp).
// no meaning: GS-064 (docs/decisions/0002-rows-without-meaning.md)

/// Continues with something that it has no handler for.
struct unfinished {
  struct go {
    using reply = int;
  };
  struct go_quietly {};
  struct missing {};
  otp::call_result<int> handle_call(go, otp::from<int> f) {
    kept = std::move(f);
    return otp::noreply().then_continue(missing{});
  }
  otp::handler_result handle_cast(go_quietly) { return otp::noreply().then_continue(missing{}); }
  void terminate(const otp::exit_reason&) { ++terminations; }
  otp::from<int> kept;
  static inline std::atomic<int> terminations{0};
};

// A missing handle_call or handle_cast does not compile: tests/compile_fail/gen_server_call.cpp, gen_server_cast.cpp.
// covers: GS-065
TEST(gen_server_cast, a_continue_without_a_handler_ends_the_server_and_its_client_sees_it) {
  for_seeds(20, [] {
    int before = unfinished::terminations;
    auto u = gen_server::start_monitor<unfinished>().value();
    otp::exit_reason why = cause_that([&] { otp::call(u.server, unfinished::go{}); });
    EXPECT_EQ(why.error_type(), "undefined_function");
    EXPECT_NE(why.text().find("missing"), std::string_view::npos);
    EXPECT_NE(why.text().find("handle_continue"), std::string_view::npos);
    EXPECT_EQ(reason_of(u.monitor), why);
    auto v = gen_server::start_monitor<unfinished>().value();
    otp::cast(v.server, unfinished::go_quietly{});
    EXPECT_EQ(reason_of(v.monitor).error_type(), "undefined_function");
    EXPECT_EQ(unfinished::terminations, before + 2);
  });
}

/// Of another type than its callers believe.
// covers: GS-065
TEST(gen_server_cast, a_server_of_another_type_never_runs_the_wrong_code) {
  for_seeds_with_journal(20, [](event_log& events) {
    auto d = gen_server::start<deaf>({.name = "mistaken"}).value();
    otp::name<collector> mistaken("mistaken");
    otp::exit_reason why = cause_that([&] { otp::call(mistaken, collector::get{}); });
    EXPECT_EQ(why, otp::reason::bad_server_type);
    EXPECT_NE(why.text().find("deaf"), std::string_view::npos);
    EXPECT_NE(why.text().find("collector"), std::string_view::npos);
    otp::cast(mistaken, note{"x"});
    otp::send(mistaken, note{"x"});
    EXPECT_EQ(otp::call(d, deaf::get{}), 1);
    EXPECT_EQ(events.count("unhandled_message"), 2U);
  });
}

}  // namespace
