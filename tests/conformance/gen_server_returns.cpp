// Servers: what handle_call may return, and the `from` that answers later.
#include "conformance/gen_server_support.hpp"

#include <thread>

namespace {

using namespace conformance;
namespace gen_server = otp::gen_server;

struct ended {
  otp::exit_reason why;
};
struct work {
  int number;
};

/// Does what the request says.
struct office {
  enum class way {
    plain,
    reply,
    reply_continue,
    reply_timeout,
    reply_hibernate,
    defer,
    defer_continue,
    drop,
    no_from,
    stop,
    stop_reply,
    raise,
    exit,
    reply_and_raise,
    reply_twice,
    bad_timeout,
    bad_timeout_reply,
    from_and_value,
  };
  struct ask {
    using reply = std::string;
    way how;
  };
  struct plain {
    using reply = std::string;
  };
  struct refuse {
    using reply = std::string;
  };
  struct seen {
    using reply = std::vector<std::string>;
  };
  struct answer {
    enum class where { cast, info, continued, terminate } at;
    std::string text;
  };
  using messages = otp::messages<answer>;
  using continues = otp::messages<work, answer>;

  explicit office(otp::pid o = {}) : owner(o) {}

  otp::call_result<std::string> handle_call(const ask& a, otp::from<std::string> f) {
    switch (a.how) {
      case way::plain: break;
      case way::reply: return otp::reply("reply");
      case way::reply_continue: return otp::reply("continue").then_continue(work{1});
      case way::reply_timeout: return otp::reply("timeout").timeout_after(1s);
      case way::reply_hibernate: return otp::reply("hibernate").hibernate();
      case way::defer: kept.push_back(std::move(f)); return otp::noreply();
      case way::defer_continue:
        kept.push_back(std::move(f));
        return otp::noreply().then_continue(answer{answer::where::continued, "continued"});
      case way::drop: return otp::noreply();
      case way::no_from: break;
      case way::stop: return otp::stop("stopped");
      case way::stop_reply: return otp::stop("stopped").reply("last words");
      case way::raise: throw std::logic_error("raised");
      case way::exit: otp::exit("exited");
      case way::reply_and_raise: f.reply("before"); throw std::logic_error("after");
      case way::reply_twice:
        f.reply("first");
        f.reply("second");
        return otp::reply("third");
      case way::bad_timeout: kept.push_back(std::move(f)); return otp::noreply().timeout_after(-1s);
      case way::bad_timeout_reply: return otp::reply("never seen").timeout_after(-1ns);
      case way::from_and_value: kept.push_back(std::move(f)); return otp::reply("value");
    }
    return otp::reply("plain");
  }
  std::string handle_call(plain) { return "just a value"; }
  otp::call_result<std::string> handle_call(refuse) { return otp::noreply(); }
  std::vector<std::string> handle_call(seen) { return log; }
  otp::handler_result handle_cast(const answer& a) {
    if (a.at == answer::where::continued) return otp::noreply().then_continue(a);
    if (a.at == answer::where::terminate) {
      last = a.text;
      return otp::stop("answering at the end");
    }
    give(a);
    return otp::noreply();
  }
  void handle_info(const answer& a) { give(a); }
  void handle_info(otp::timeout) { log.push_back("timeout"); }
  void handle_continue(work w) { log.push_back("work " + std::to_string(w.number)); }
  void handle_continue(const answer& a) { give(a); }
  void terminate(const otp::exit_reason& why) {
    if (!last.empty()) give({answer::where::terminate, last});
    if (owner) otp::send(owner, ended{why});
  }
  void give(const answer& a) {
    for (auto& f : kept) f.reply(a.text);
    kept.clear();
  }

  otp::pid owner;
  std::vector<otp::from<std::string>> kept;
  std::vector<std::string> log;
  std::string last;
};
using way = office::way;

// covers: GS-042
TEST(gen_server_returns, a_reply_may_add_a_timeout_hibernation_or_a_continue) {
  for_seeds(20, [] {
    auto o = gen_server::start<office>().value();
    EXPECT_EQ(otp::call(o, office::plain{}), "just a value");
    EXPECT_EQ(otp::call(o, office::ask{way::reply}), "reply");
    EXPECT_EQ(otp::call(o, office::ask{way::reply_continue}), "continue");
    EXPECT_EQ(otp::call(o, office::seen{}), std::vector<std::string>{"work 1"});
    EXPECT_EQ(otp::call(o, office::ask{way::reply_timeout}), "timeout");
    otp::sleep(2s);
    EXPECT_EQ(otp::call(o, office::seen{}), (std::vector<std::string>{"work 1", "timeout"}));
    EXPECT_EQ(otp::call(o, office::ask{way::reply_hibernate}), "hibernate");
    EXPECT_TRUE(otp::sys::get_status(o).hibernating);
    EXPECT_EQ(otp::call(o, office::plain{}), "just a value");
    EXPECT_FALSE(otp::sys::get_status(o).hibernating);
  });
}

// covers: GS-043
TEST(gen_server_returns, a_deferred_reply_may_come_from_any_callback) {
  everywhere(30, [] {
    using where = office::answer::where;
    auto o = gen_server::start<office>().value();
    auto answered_by = [&](auto give) {
      auto id = otp::send_request(o, office::ask{way::defer});
      give();
      return otp::wait_response(id).value().value();
    };
    EXPECT_EQ(answered_by([&] { otp::cast(o, office::answer{where::cast, "1"}); }), "1");
    EXPECT_EQ(answered_by([&] { otp::send(o.pid(), office::answer{where::info, "2"}); }), "2");
    EXPECT_EQ(answered_by([&] { otp::cast(o, office::answer{where::continued, "3"}); }), "3");
    EXPECT_EQ(otp::call(o, office::ask{way::defer_continue}), "continued");
    EXPECT_EQ(answered_by([&] { otp::cast(o, office::answer{where::terminate, "good bye"}); }), "good bye");
  });
}

// covers: GS-044
TEST(gen_server_returns, any_process_that_has_the_from_may_answer) {
  struct broker {
    struct ask {
      using reply = int;
    };
    void handle_call(ask, otp::from<int> f) {
      auto shared = std::make_shared<otp::from<int>>(std::move(f));
      otp::spawn([shared] { otp::reply(*shared, 7); });
    }
  };
  everywhere(20, [] {
    auto b = gen_server::start<broker>().value();
    EXPECT_EQ(otp::call(b, broker::ask{}), 7);
  });
  // And any thread.
  struct exporter {
    struct ask {
      using reply = int;
    };
    explicit exporter(std::vector<std::thread>& t) : threads(t) {}
    void handle_call(ask, otp::from<int> f) {
      threads.emplace_back([kept = std::move(f)]() mutable { kept.reply(8); });
    }
    std::vector<std::thread>& threads;
  };
  std::vector<std::thread> threads;
  EXPECT_EQ(threaded([&] {
              auto e = gen_server::start<exporter>({}, std::ref(threads)).value();
              for (int i = 0; i < 50; ++i) EXPECT_EQ(otp::call(e, exporter::ask{}), 8);
            }),
            normal);
  for (auto& t : threads) t.join();
}

// covers: GS-045
TEST(gen_server_returns, a_reply_always_succeeds) {
  for_seeds(20, [] {
    auto o = gen_server::start<office>().value();
    // A client that has given up, and one that is dead.
    EXPECT_EQ(otp::try_call(o, office::ask{way::defer}, 1s).error().cause(), otp::reason::timeout);
    otp::pid dead = otp::spawn([o] { otp::call(o, office::ask{way::defer}, otp::infinity); });
    otp::testing::settle();
    otp::exit(dead, otp::reason::kill);
    EXPECT_EQ(end_of(dead), noproc) << "as for all who look after the kill";
    otp::cast(o, office::answer{office::answer::where::cast, "to nobody"});
    EXPECT_EQ(otp::call(o, office::plain{}), "just a value");
    EXPECT_EQ(otp::counters().late_replies, 2U);
    EXPECT_TRUE(mailbox_empty());
    // Several answers to one request: the first counts.
    EXPECT_EQ(otp::call(o, office::ask{way::reply_twice}), "first");
    EXPECT_EQ(otp::call(o, office::ask{way::from_and_value}), "value");
    otp::cast(o, office::answer{office::answer::where::cast, "again"});
    EXPECT_EQ(otp::call(o, office::plain{}), "just a value");
    EXPECT_TRUE(mailbox_empty());
    EXPECT_EQ(otp::counters().late_replies, 5U);
  });
}

// covers: GS-050
TEST(gen_server_returns, stop_without_reply_fails_the_client_with_the_reason) {
  everywhere(20, [] {
    auto o = gen_server::start<office>({}, otp::self()).value();
    EXPECT_EQ(cause_that([&] { otp::call(o, office::ask{way::stop}); }), otp::exit_reason("stopped"));
    EXPECT_EQ(next<ended>().why, otp::exit_reason("stopped"));
    auto p = gen_server::start_monitor<office>({}, otp::self()).value();
    EXPECT_EQ(otp::call(p.server, office::ask{way::stop_reply}), "last words");
    EXPECT_EQ(waiting<ended>().value().why, otp::exit_reason("stopped"));  // terminate has run before
    EXPECT_EQ(reason_of(p.monitor), otp::exit_reason("stopped"));
  });
}

/// Stops from deep inside of each of its handlers.
struct deep {
  struct dig {
    using reply = int;
    bool answers = false;
  };
  struct later {};
  explicit deep(otp::pid o) : owner(o) {}
  static void bottom() { throw otp::stop("from below"); }
  void handle_call(dig d, otp::from<int> f) {
    if (d.answers) f.reply(1);
    kept = std::move(f);
    bottom();
  }
  void handle_cast(int) { bottom(); }
  otp::handler_result handle_cast(later l) { return otp::noreply().then_continue(l); }
  void handle_continue(later) { bottom(); }
  void handle_info(const otp::message&) { bottom(); }
  void terminate(const otp::exit_reason& why) { otp::send(owner, ended{why}); }
  otp::pid owner;
  otp::from<int> kept;
};

// As in OTP, where a throw out of a callback is its return value.
// covers: GS-050 GS-060 GS-078
TEST(gen_server_returns, a_stop_that_is_thrown_is_a_stop) {
  for_seeds(20, [] {
    const otp::exit_reason why("from below");
    auto stops = [&](auto how) {
      auto d = gen_server::start_monitor<deep>({}, otp::self()).value();
      how(d.server);
      EXPECT_EQ(next<ended>().why, why);
      EXPECT_EQ(reason_of(d.monitor), why);
    };
    stops([&](auto d) { EXPECT_EQ(otp::try_call(d, deep::dig{}).error().cause(), why); });
    stops([](auto d) { EXPECT_EQ(otp::try_call(d, deep::dig{true}), 1); });
    stops([](auto d) { otp::cast(d, 1); });
    stops([](auto d) { otp::cast(d, deep::later{}); });
    stops([](auto d) { otp::send(d.pid(), 1); });
    EXPECT_TRUE(mailbox_empty());
  });
}

/// Throws what it could return.
struct thrower {
  enum class what { reply, reply_continue, noreply, plain_noreply, stop_reply, bare_reply, bare_stop_reply, misfit };
  struct ask {
    using reply = int;
    what how;
  };
  struct seen {
    using reply = std::vector<std::string>;
  };
  using messages = otp::messages<what>;
  explicit thrower(otp::pid o) : owner(o) {}
  otp::call_result<int> handle_call(const ask& a, otp::from<int> f) {
    switch (a.how) {
      case what::reply: throw otp::call_result<int>(otp::reply(1));
      case what::reply_continue: throw otp::call_result<int>(otp::reply(2).then_continue(work{2}));
      case what::noreply: kept = std::move(f); throw otp::call_result<int>(otp::noreply().then_continue(work{3}));
      case what::plain_noreply: kept = std::move(f); throw otp::noreply().then_continue(work{4});
      case what::stop_reply: break;
      case what::bare_reply: throw otp::reply(8).then_continue(work{8});
      case what::bare_stop_reply: throw otp::stop("stopped").reply(9);
      case what::misfit: throw otp::reply("of another type");
    }
    throw otp::call_result<int>(otp::stop("stopped").reply(5));
  }
  std::vector<std::string> handle_call(seen) { return log; }
  otp::handler_result handle_cast(what) { throw otp::handler_result(otp::noreply().then_continue(work{6})); }
  otp::handler_result handle_info(what) { throw otp::noreply().then_continue(work{7}); }
  otp::handler_result handle_continue(work w) {
    log.push_back("work " + std::to_string(w.number));
    if (w.number == 3 || w.number == 4) kept.reply(w.number);
    throw otp::handler_result(otp::noreply());
  }
  void terminate(const otp::exit_reason& why) { otp::send(owner, ended{why}); }
  otp::pid owner;
  otp::from<int> kept;
  std::vector<std::string> log;
};

// Only a stop was; any other ended the server as an error of that type.
// covers: GS-042 GS-043 GS-050 GS-060
TEST(gen_server_returns, whatever_a_handler_may_return_may_be_thrown) {
  for_seeds(20, [] {
    using what = thrower::what;
    auto t = gen_server::start_monitor<thrower>({}, otp::self()).value();
    EXPECT_EQ(otp::call(t.server, thrower::ask{what::reply}), 1);
    EXPECT_EQ(otp::call(t.server, thrower::ask{what::reply_continue}), 2);
    EXPECT_EQ(otp::call(t.server, thrower::ask{what::noreply}), 3);
    EXPECT_EQ(otp::call(t.server, thrower::ask{what::plain_noreply}), 4);
    otp::cast(t.server, what::reply);
    otp::send(t.server.pid(), what::reply);
    EXPECT_EQ(otp::call(t.server, thrower::seen{}),
              (std::vector<std::string>{"work 2", "work 3", "work 4", "work 6", "work 7"}));
    EXPECT_EQ(otp::call(t.server, thrower::ask{what::stop_reply}), 5);
    EXPECT_EQ(next<ended>().why, otp::exit_reason("stopped"));
    EXPECT_EQ(reason_of(t.monitor), otp::exit_reason("stopped"));
  });
}

// What was thrown by its parts ended the server as an error of a type of ours.
// covers: GS-042 GS-043
TEST(gen_server_returns, a_reply_that_is_thrown_counts_or_its_reason_says_what_to_write) {
  for_seeds(10, [] {
    using what = thrower::what;
    auto t = gen_server::start_monitor<thrower>({}, otp::self()).value();
    EXPECT_EQ(otp::call(t.server, thrower::ask{what::bare_reply}), 8);
    EXPECT_EQ(otp::call(t.server, thrower::seen{}), std::vector<std::string>{"work 8"});
    EXPECT_EQ(otp::call(t.server, thrower::ask{what::bare_stop_reply}), 9);
    EXPECT_EQ(reason_of(t.monitor), otp::exit_reason("stopped"));
    t = gen_server::start_monitor<thrower>({}, otp::self()).value();
    otp::exit_reason why = otp::try_call(t.server, thrower::ask{what::misfit}).error().cause();
    EXPECT_EQ(why.error_type(), "bad_return_value");
    EXPECT_NE(why.text().find("return it, or throw otp::call_result<Reply>(...)"), std::string_view::npos);
  });
}

/// Its static init throws what it may return.
struct thrown_init {
  explicit thrown_init(int v) : value(v) {}
  static otp::init_result<thrown_init> init(int v) {
    if (v < 0) throw otp::ok(v);
    throw otp::init_result<thrown_init>(otp::ok(v));
  }
  struct get {
    using reply = int;
  };
  int handle_call(get) const { return value; }
  int value;
};
TEST(gen_server_returns, a_result_of_init_may_be_thrown_as_what_init_returns) {
  for_seeds(5, [] {
    EXPECT_EQ(otp::call(gen_server::start<thrown_init>({}, 3).value(), thrown_init::get{}), 3);
    otp::exit_reason why = gen_server::start<thrown_init>({}, -3).error();
    EXPECT_EQ(why.error_type(), "bad_return_value");
    EXPECT_NE(why.text().find("otp::init_result"), std::string_view::npos);
  });
}

// A handler's result is fixed by its type: tests/compile_fail/gen_server_result.cpp shows the refusal of another.
// no meaning: GS-051 (docs/decisions/0002-rows-without-meaning.md)

// covers: GS-053
TEST(gen_server_returns, an_exception_ends_the_server_with_itself_an_exit_with_its_reason) {
  everywhere(20, [] {
    auto o = gen_server::start_monitor<office>({}, otp::self()).value();
    otp::exit_reason raised = otp::reason::error("std::logic_error", "raised");
    EXPECT_EQ(cause_that([&] { otp::call(o.server, office::ask{way::raise}); }), raised);
    EXPECT_EQ(next<ended>().why, raised);
    EXPECT_EQ(reason_of(o.monitor), raised);
    auto p = gen_server::start_monitor<office>({}, otp::self()).value();
    EXPECT_EQ(cause_that([&] { otp::call(p.server, office::ask{way::exit}); }), otp::exit_reason("exited"));
    EXPECT_EQ(next<ended>().why, otp::exit_reason("exited"));
    EXPECT_EQ(reason_of(p.monitor), otp::exit_reason("exited"));
    // Answered, then thrown: the client has its answer, the server its end.
    auto q = gen_server::start_monitor<office>().value();
    EXPECT_EQ(otp::call(q.server, office::ask{way::reply_and_raise}), "before");
    EXPECT_EQ(reason_of(q.monitor), otp::reason::error("std::logic_error", "after"));
  });
}

// A reply from handle_cast, handle_info or handle_continue does not compile: tests/compile_fail/gen_server_result.cpp.
// no meaning: GS-054 (docs/decisions/0002-rows-without-meaning.md)

// covers: GS-055
TEST(gen_server_returns, an_invalid_timeout_makes_the_whole_result_invalid) {
  everywhere(20, [] {
    for (way how : {way::bad_timeout, way::bad_timeout_reply}) {
      auto o = gen_server::start_monitor<office>({}, otp::self()).value();
      otp::exit_reason why = cause_that([&] { otp::call(o.server, office::ask{how}); });
      EXPECT_EQ(why.error_type(), "otp::bad_argument");
      EXPECT_NE(why.text().find("-1"), std::string_view::npos);
      EXPECT_EQ(next<ended>().why, why);
      EXPECT_EQ(reason_of(o.monitor), why);
    }
  });
}

// Ours: a `from` that is dropped fails its caller at once (docs/decisions/0004-calls.md).
// covers: GS-043
TEST(gen_server_returns, a_dropped_from_fails_its_caller_at_once) {
  for_seeds(20, [] {
    auto o = gen_server::start<office>().value();
    EXPECT_EQ(time_of([&] {
                EXPECT_EQ(cause_that([&] { otp::call(o, office::ask{way::drop}, otp::infinity); }), no_reply);
                // A handler without a `from` that does not reply has nothing to answer with later.
                EXPECT_EQ(cause_that([&] { otp::call(o, office::refuse{}, otp::infinity); }), no_reply);
              }),
              0s);
    EXPECT_EQ(otp::call(o, office::plain{}), "just a value");
  });
}

/// Keeps one `from` and lets go of it when told.
struct keeper {
  struct ask {
    using reply = void;
  };
  struct let_go {};
  struct replace {
    using reply = void;
  };
  void handle_call(ask, otp::from<void> f) { kept = std::move(f); }
  void handle_call(replace, otp::from<void> f) {
    kept = std::move(f);  // the one before goes here
    kept.reply();
  }
  void handle_cast(let_go) { kept = otp::from<void>(); }
  otp::from<void> kept;
};
// covers: GS-043
TEST(gen_server_returns, a_from_dropped_later_or_replaced_fails_its_caller_too) {
  for_seeds(20, [] {
    auto k = gen_server::start<keeper>().value();
    auto first = otp::send_request(k, keeper::ask{});
    EXPECT_FALSE(otp::wait_response(first, 1s));
    otp::cast(k, keeper::let_go{});
    EXPECT_EQ(otp::wait_response(first).value().error().cause(), no_reply);
    auto second = otp::send_request(k, keeper::ask{});
    EXPECT_FALSE(otp::wait_response(second, 1s));
    otp::call(k, keeper::replace{});
    EXPECT_EQ(otp::wait_response(second).value().error().cause(), no_reply);
    EXPECT_TRUE(mailbox_empty());
  });
}

}  // namespace
