// Servers: what is reported when they end, and what a status query shows.
#include <otp/sys.hpp>

#include "conformance/gen_server_support.hpp"

namespace {

using namespace conformance;
namespace gen_server = otp::gen_server;

/// Ends as it is told, and can say how it looks.
struct subject {
  enum class how { stop, exit, raise, nothing };
  struct end {
    how way;
    otp::exit_reason why{};
    std::string to_string() const { return "end it"; }
  };
  struct ask {
    using reply = int;
    how way;
    otp::exit_reason why{};
    std::string to_string() const { return "ask for the end"; }
  };
  using messages = otp::messages<end>;
  otp::handler_result carry_out(how way, const otp::exit_reason& why) {
    ++turns;
    if (way == how::stop) return otp::stop(why);
    if (way == how::exit) otp::exit(why);
    if (way == how::raise) throw std::runtime_error("raised");
    return otp::noreply();
  }
  otp::handler_result handle_cast(const end& e) { return carry_out(e.way, e.why); }
  otp::handler_result handle_info(const end& e) { return carry_out(e.way, e.why); }
  otp::call_result<int> handle_call(const ask& a) {
    if (a.way == how::stop) return otp::stop(a.why);
    carry_out(a.way, a.why);
    return otp::reply(turns);
  }
  std::string to_string() const { return "after " + std::to_string(turns) + " turns"; }
  int turns = 0;
};
using how = subject::how;
using strings = std::vector<std::string>;

/// Ends a fresh subject and returns what was reported about it.
strings reports_of(event_log& events, how way, otp::exit_reason why, int by = 0) {
  auto s = gen_server::start_monitor<subject>().value();
  if (by == 0) otp::cast(s.server, subject::end{way, why});
  if (by == 1) otp::send(s.server.pid(), subject::end{way, why});
  if (by == 2) static_cast<void>(otp::try_call(s.server, subject::ask{way, why}));
  reason_of(s.monitor);
  return events.about(s.server);
}

// covers: GS-098
TEST(gen_server_report, an_expected_end_is_not_reported) {
  for_seeds_with_journal(10, [](event_log& events) {
    for (how way : {how::stop, how::exit})
      for (otp::exit_reason why : {otp::exit_reason(normal), otp::exit_reason(shutdown), shutdown("for today")})
        for (int by = 0; by < 3; ++by) EXPECT_EQ(reports_of(events, way, why, by), strings{});
    auto s = gen_server::start<subject>().value();
    gen_server::stop(s, shutdown);
    EXPECT_EQ(events.about(s), strings{});
  });
}

// covers: GS-099
TEST(gen_server_report, any_other_end_by_itself_is_a_server_report_and_then_a_crash_report) {
  for_seeds_with_journal(10, [](event_log& events) {
    strings both{"server_terminated", "crash"};
    for (int by = 0; by < 3; ++by) {
      EXPECT_EQ(reports_of(events, how::stop, "odd", by), both);
      EXPECT_EQ(reports_of(events, how::exit, "odd", by), both);
      EXPECT_EQ(reports_of(events, how::exit, killed, by), both);
      EXPECT_EQ(reports_of(events, how::raise, {}, by), both);
    }
    auto s = gen_server::start<subject>().value();
    gen_server::stop(s, "odd");
    EXPECT_EQ(events.about(s), both);
  });
}

// covers: GS-100
TEST(gen_server_report, the_server_report_says_who_handled_what_for_whom_and_why_it_failed) {
  for_seeds_with_journal(10, [](event_log& events) {
    otp::register_name("the client", otp::self());
    auto s = gen_server::start<subject>({.name = "the subject", .spawn = {.label = "labelled"}}).value();
    otp::sys::log(s, true);
    EXPECT_EQ(otp::call(s, subject::ask{how::nothing}), 1);
    EXPECT_FALSE(otp::try_call(s, subject::ask{how::raise}));
    otp::event e = events.one("server_terminated");
    EXPECT_EQ(e.severity, otp::severity::error);
    EXPECT_EQ(e.process, s.pid());
    EXPECT_EQ(e.name, "\"the subject\"");
    EXPECT_EQ(e.reason, otp::reason::error("std::runtime_error", "raised"));
    EXPECT_EQ(e.field("type"), otp::detail::type_name<subject>);
    EXPECT_EQ(e.field("last_message"), "ask for the end");
    EXPECT_EQ(e.field("state"), "after 2 turns");
    EXPECT_EQ(e.field("label"), "labelled");
    EXPECT_NE(e.field("log").find("got call ask for the end from " + otp::self().to_string()), std::string_view::npos)
        << e.field("log");
    EXPECT_NE(e.field("client").find("the client"), std::string_view::npos);
    EXPECT_NE(e.field("client").find(otp::self().to_string()), std::string_view::npos);
    otp::event crash = events.one("crash");
    EXPECT_EQ(crash.process, s.pid());
    EXPECT_EQ(crash.reason, e.reason);
    EXPECT_EQ(crash.field("label"), "labelled");
  });
}

// covers: GS-100
TEST(gen_server_report, the_stack_of_the_exception_is_in_it_where_the_runtime_records_stacks) {
  event_log events;
  seeded(
      [&] {
        auto s = gen_server::start<subject>().value();
        EXPECT_FALSE(otp::try_call(s, subject::ask{how::raise}));
        EXPECT_TRUE(events.one("server_terminated").field("backtrace").starts_with("0x"));
      },
      1, {.record_backtraces = true, .listener = &events});
}

// covers: GS-100
TEST(gen_server_report, a_client_that_is_dead_or_none_is_said) {
  for_seeds_with_journal(10, [](event_log& events) {
    struct waits {
      struct ask {
        using reply = int;
      };
      int handle_call(ask) {
        otp::sleep(1s);
        throw std::runtime_error("late");
      }
      void handle_cast(int) { throw std::runtime_error("cast"); }
    };
    auto w = gen_server::start_monitor<waits>().value();
    otp::pid client = otp::spawn([s = w.server] { otp::call(s, waits::ask{}); });
    otp::testing::settle();
    otp::exit(client, otp::reason::kill);
    reason_of(w.monitor);
    EXPECT_EQ(events.one("server_terminated").field("client"), client.to_string() + " (dead)");
    auto v = gen_server::start_monitor<waits>().value();
    otp::cast(v.server, 3);
    reason_of(v.monitor);
    EXPECT_EQ(events.of("server_terminated")[1].field("client"), "");
    EXPECT_EQ(events.of("server_terminated")[1].field("last_message"), "3");
  });
}
// covers: GS-101
TEST(gen_server_report, a_kill_or_an_untrapped_exit_is_not_reported) {
  for_seeds_with_journal(10, [](event_log& events) {
    for (otp::exit_reason why : {otp::exit_reason(otp::reason::kill), otp::exit_reason("storm")}) {
      auto s = gen_server::start_monitor<subject>().value();
      otp::exit(s.server, why);
      reason_of(s.monitor);
      EXPECT_EQ(events.about(s.server), strings{});
    }
    // Also inside a handler that waits.
    struct waits {
      void handle_cast(int) { otp::sleep(1h); }
    };
    auto w = gen_server::start_monitor<waits>().value();
    otp::cast(w.server, 1);
    otp::testing::settle();
    otp::exit(w.server, "storm");
    reason_of(w.monitor);
    EXPECT_EQ(events.about(w.server), strings{});
  });
}

// covers: GS-102
TEST(gen_server_report, a_failed_init_is_a_crash_report_only) {
  for_seeds_with_journal(10, [](event_log& events) {
    EXPECT_FALSE(gen_server::start<told>({}, told::what::raise));
    EXPECT_EQ(events.one("crash").field("in"), "init");
    EXPECT_FALSE(gen_server::start<told>({}, told::what::stop));
    EXPECT_FALSE(gen_server::start<told>({}, told::what::exit));
    EXPECT_EQ(events.count("crash"), 3U);
    EXPECT_FALSE(gen_server::start<told>({}, told::what::stop_normal));
    EXPECT_FALSE(gen_server::start<told>({}, told::what::ignore));
    EXPECT_FALSE(gen_server::start<told>({}, told::what::error));
    struct closing {
      explicit closing(int way) {
        if (way == 0) throw otp::stop(shutdown);
        if (way == 1) throw otp::stop(shutdown("x"));
        if (way == 2) otp::exit(shutdown);
      }
    };
    for (int way = 0; way < 3; ++way) EXPECT_FALSE(gen_server::start<closing>({}, way));
    EXPECT_EQ(events.count("crash"), 3U);
    EXPECT_EQ(events.count("server_terminated"), 0U);
  });
}

/// With much to show.
struct talkative {
  struct bang {};
  void handle_cast(bang) { throw std::runtime_error("first line\nsecond line"); }
  std::string to_string() const {
    std::string deep = "{1, {2, {3, {4, [5]}}}}\nnext line ";
    return deep + std::string(5000, 'x');
  }
};

// covers: GS-103
TEST(gen_server_report, is_written_on_one_line_or_several_and_within_limits) {
  for_seeds_with_journal(3, [](event_log& events) {
    auto t = gen_server::start_monitor<talkative>({.spawn = {.label = "the talker"}}).value();
    otp::cast(t.server, talkative::bang{});
    reason_of(t.monitor);
    otp::event e = events.one("server_terminated");
    std::string line = e.to_string();
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_GT(line.size(), 5000U);
    EXPECT_NE(line.find("the talker"), std::string::npos);
    EXPECT_NE(line.find("first line\\n"), std::string::npos);
    std::string several = e.to_string({.single_line = false});
    EXPECT_GT(std::count(several.begin(), several.end(), '\n'), 3);
    std::string shallow = e.to_string({.depth = 2});
    EXPECT_NE(shallow.find("{1, {2, ...}}"), std::string::npos) << shallow;
    EXPECT_EQ(shallow.find("[5]"), std::string::npos);
    for (std::size_t limit : {100U, 500U, 2000U}) {
      std::string small = e.to_string({.chars = limit});
      EXPECT_LE(small.size(), limit);
      EXPECT_EQ(small.substr(0, 50), line.substr(0, 50));
    }
    EXPECT_NE(events.one("crash").to_string().find("the talker"), std::string::npos);
  });
}

/// Rewrites what is shown of it.
struct secretive {
  enum class mode { rewrite, fail, exit };
  struct end {};
  struct ask {
    using reply = int;
  };
  explicit secretive(mode m) : how_(m) {}
  void handle_cast(end) { throw std::runtime_error("password is 1234"); }
  int handle_call(ask) { return 5; }
  std::string to_string() const { return "password 1234"; }
  void format_status(otp::server_status& s) {
    if (how_ == mode::fail) throw std::runtime_error("cannot");
    if (how_ == mode::exit) otp::exit("cannot");
    s.state = "password ****";
    if (!s.message.empty()) s.message = "hidden";
    if (!s.reason.is_normal()) s.reason = "hidden";
    s.log.assign({"one", "two"});
  }
  mode how_;
};

// covers: GS-104
TEST(gen_server_report, format_status_rewrites_what_queries_and_reports_show) {
  for_seeds_with_journal(10, [](event_log& events) {
    auto s = gen_server::start_monitor<secretive>({}, secretive::mode::rewrite).value();
    otp::server_status status = otp::sys::get_status(s.server);
    EXPECT_EQ(status.state, "password ****");
    EXPECT_EQ(status.log, (strings{"one", "two"}));
    EXPECT_EQ(status.message, "");
    otp::cast(s.server, secretive::end{});
    // What the process ends with stays; only what is shown changes.
    EXPECT_EQ(reason_of(s.monitor), otp::reason::error("std::runtime_error", "password is 1234"));
    otp::event e = events.one("server_terminated");
    EXPECT_EQ(e.field("state"), "password ****");
    EXPECT_EQ(e.field("last_message"), "hidden");
    EXPECT_EQ(e.reason, otp::exit_reason("hidden"));
    EXPECT_EQ(e.field("log"), "one; two");
    EXPECT_EQ(e.to_string().find("1234"), std::string::npos);
  });
}
// covers: GS-105
TEST(gen_server_report, a_format_status_that_fails_leaves_a_note_and_a_server_unharmed) {
  for_seeds_with_journal(10, [](event_log& events) {
    for (auto mode : {secretive::mode::fail, secretive::mode::exit}) {
      auto s = gen_server::start_monitor<secretive>({}, mode).value();
      otp::server_status status = otp::sys::get_status(s.server);
      EXPECT_NE(status.state.find("format_status"), std::string::npos);
      EXPECT_EQ(status.state.find("1234"), std::string::npos);
      EXPECT_EQ(status.pid, s.server.pid());
      EXPECT_EQ(otp::call(s.server, secretive::ask{}), 5);
      otp::cast(s.server, secretive::end{});
      EXPECT_EQ(reason_of(s.monitor), otp::reason::error("std::runtime_error", "password is 1234"));
      otp::event e = events.of("server_terminated").back();
      EXPECT_EQ(e.field("state"), status.state);
      EXPECT_NE(e.field("last_message"), "");
    }
    struct unprintable {
      std::string to_string() const { throw 1; }
    };
    auto u = gen_server::start<unprintable>().value();
    EXPECT_NE(otp::sys::get_status(u).state.find("failed"), std::string::npos);
    gen_server::stop(u);
  });
}

struct odd_key {
  int a, b;
  std::string to_string() const { return "odd " + std::to_string(a) + "/" + std::to_string(b); }
  friend bool operator==(const odd_key&, const odd_key&) = default;
};

// covers: GS-106
TEST(gen_server_report, a_status_names_the_server_by_every_kind_of_name) {
  for_seeds(10, [] {
    auto registry = std::make_shared<test_registry>();
    auto status_of = [](otp::server_name name) {
      auto s = gen_server::start_link<subject>({.name = std::move(name)}).value();
      otp::server_status status = otp::sys::get_status(s);
      EXPECT_EQ(status.pid, s.pid());
      EXPECT_EQ(status.parent, otp::self());
      EXPECT_EQ(status.type, otp::detail::type_name<subject>);
      EXPECT_EQ(status.state, "after 0 turns");
      EXPECT_FALSE(status.suspended);
      otp::unlink(s);
      return status;
    };
    otp::server_status anonymous = status_of({});
    EXPECT_EQ(anonymous.name, anonymous.pid.to_string());
    EXPECT_EQ(status_of("local").name, "\"local\"");
    EXPECT_EQ(status_of(otp::global("g")).name, "{global, \"g\"}");
    EXPECT_EQ(status_of(otp::global(odd_key{1, 2})).name, "{global, odd 1/2}");
    EXPECT_EQ(status_of(otp::via(registry, 42)).name, "{via, test_registry, 42}");
    EXPECT_EQ(status_of(otp::via(registry, odd_key{3, 4})).name, "{via, test_registry, odd 3/4}");
    EXPECT_EQ(otp::whereis(otp::global<subject>(odd_key{9, 9})), std::nullopt);
    EXPECT_TRUE(otp::whereis(otp::global<subject>(odd_key{1, 2})));
  });
}

// A compiled program's code does not change under a running server.
// no meaning: GS-107 (docs/decisions/0002-rows-without-meaning.md)

}  // namespace
