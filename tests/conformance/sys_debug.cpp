// sys: tracing, files, the log, statistics and hooks, on servers, machines, supervisors and agents.
#include "conformance/gen_server_support.hpp"

#include <otp/sys.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include <unistd.h>

namespace {

using namespace conformance;
using tests::strings;
namespace gen_server = otp::gen_server;
namespace gen_statem = otp::gen_statem;
namespace sys = otp::sys;

struct tally {
  struct add {
    using reply = int;
    int by;
    std::string to_string() const { return "add " + std::to_string(by); }
  };
  struct later {
    using reply = int;
  };
  struct finish {
    using reply = std::string;
  };
  struct work {};
  using messages = otp::messages<add>;
  otp::call_result<int> handle_call(const add& a) {
    value += a.by;
    if (a.by == 100) return otp::reply(value).then_continue(work{});
    return otp::reply(value);
  }
  void handle_call(later, otp::from<int> from) { waiting.push_back(std::move(from)); }
  otp::call_result<std::string> handle_call(finish) { return otp::stop(normal).reply("bye"); }
  void handle_cast(const add& a) { value += a.by; }
  void handle_info(const add& a) { value += a.by; }
  void handle_continue(work) { ++value; }
  std::string to_string() const { return "tally " + std::to_string(value); }
  int value = 0;
  std::vector<otp::from<int>> waiting{};
};

/// Lines as they are without the name that stands before them.
strings without_name(strings lines) {
  for (std::string& line : lines) {
    EXPECT_TRUE(line.starts_with("*DBG* ")) << line;
    line = line.substr(line.find(' ', 6) + 1);
  }
  return lines;
}

std::string temporary(const char* what) {
  return (std::filesystem::temp_directory_path() / (std::string("otp_sys_") + what + std::to_string(::getpid())))
      .string();
}
strings lines_of(const std::string& path) {
  std::ifstream in(path);
  strings all;
  for (std::string line; std::getline(in, line);) all.push_back(line);
  return all;
}

// covers: SYS-020
TEST(sys_debug, tracing_shows_every_message_reply_and_change_of_state_until_switched_off) {
  everywhere(5, [] {
    auto t = gen_server::start_link<tally>({.name = "t"}).value();
    tests::journal seen;
    sys::trace(t, [seen](std::string_view line) { seen.add(std::string(line)); });
    const std::string me = otp::self().to_string();
    otp::call(t, tally::add{1});
    EXPECT_EQ(without_name(seen.take()),
              (strings{"got call add 1 from " + me, "sent 1 to " + me + ", new state tally 1"}));
    otp::cast(t, tally::add{2});
    otp::send(t.pid(), tally::add{3});
    otp::call(t, tally::add{100});
    EXPECT_EQ(sys::get_state(t, &tally::value), 107);
    strings lines = without_name(seen.take());
    EXPECT_EQ(lines, (strings{"got cast add 2", "new state tally 3", "got info add 3", "new state tally 6",
                              "got call add 100 from " + me, "sent 106 to " + me + ", new state tally 106",
                              "got continue " + std::string(otp::detail::type_name<tally::work>) + "{}",
                              "new state tally 107"}));
    auto later = otp::send_request(t, tally::later{});
    sys::get_status(t);
    lines = without_name(seen.take());
    ASSERT_EQ(lines.size(), 2U);
    EXPECT_EQ(lines[1], "new state tally 107") << "no reply yet";
    sys::trace(t, false);
    otp::call(t, tally::add{1});
    EXPECT_EQ(seen.take(), strings{});
    sys::trace(t, [seen](std::string_view line) { seen.add(std::string(line)); });
    EXPECT_EQ(otp::call(t, tally::finish{}), "bye");
    end_of(t);
    lines = without_name(seen.take());
    ASSERT_EQ(lines.size(), 3U);
    EXPECT_TRUE(lines[0].starts_with("got call ")) << lines[0];
    EXPECT_EQ(lines[1], "terminates with normal, state tally 108");
    EXPECT_EQ(lines[2], "sent \"bye\" to " + me + ", new state tally 108");
  });
}

// covers: SYS-020
TEST(sys_debug, tracing_writes_to_stderr_where_no_sink_is_given) {
  seeded([] {
    auto t = gen_server::start_link<tally>({.name = "t"}).value();
    ::testing::internal::CaptureStderr();
    sys::trace(t, true);
    otp::call(t, tally::add{1});
    sys::trace(t, false);
    otp::call(t, tally::add{2});
    std::string out = ::testing::internal::GetCapturedStderr();
    EXPECT_NE(out.find("got call add 1"), std::string::npos) << out;
    EXPECT_EQ(out.find("add 2"), std::string::npos) << out;
  });
}

// covers: SYS-021
TEST(sys_debug, tracing_to_a_file) {
  everywhere(2, [] {
    const std::string path = temporary("trace");
    auto t = gen_server::start_link<tally>().value();
    ASSERT_TRUE(sys::log_to_file(t, path));
    otp::call(t, tally::add{1});
    sys::close_log_file(t);
    otp::call(t, tally::add{2});
    const std::string me = otp::self().to_string();
    EXPECT_EQ(without_name(lines_of(path)),
              (strings{"got call add 1 from " + me, "sent 1 to " + me + ", new state tally 1"}));
    EXPECT_EQ(sys::get_status(t).debug, strings{});
    auto refused = sys::log_to_file(t, "/nonexistent/folder/file");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().error_type(), "open_file");
    EXPECT_NE(refused.error().to_string().find("/nonexistent/folder/file"), std::string::npos);
    EXPECT_EQ(otp::call(t, tally::add{1}), 4) << "and it lives";
    ASSERT_TRUE(sys::log_to_file(t, path));
    ASSERT_FALSE(sys::log_to_file(t, "/nonexistent/folder/file"));
    EXPECT_EQ(sys::get_status(t).debug, strings{}) << "the file of before is closed all the same";
    std::remove(path.c_str());
  });
}

// covers: SYS-022
TEST(sys_debug, the_log_keeps_the_latest_events_oldest_first) {
  everywhere(3, [] {
    auto t = gen_server::start_link<tally>().value();
    EXPECT_EQ(sys::get_log(t), strings{}) << "off";
    sys::log(t, true);
    for (int i = 1; i <= 20; ++i) otp::cast(t, tally::add{i});
    strings lines = without_name(sys::get_log(t));
    ASSERT_EQ(lines.size(), 10U);
    EXPECT_EQ(lines.front(), "got cast add 16");
    EXPECT_EQ(lines.back(), "new state tally 210");
    EXPECT_EQ(sys::get_status(t).log.size(), 10U);
    sys::log(t, false);
    EXPECT_EQ(sys::get_log(t), strings{});
    sys::log(t, 3);
    for (int i = 1; i <= 20; ++i) otp::cast(t, tally::add{0});
    EXPECT_EQ(without_name(sys::get_log(t)), (strings{"new state tally 210", "got cast add 0", "new state tally 210"}));
    for (std::size_t wrong : {std::size_t{0}, std::size_t{1'000'001}})
      EXPECT_THROW(sys::log(t, wrong), otp::bad_argument);
    try {
      sys::log(t, -1);
      ADD_FAILURE();
    } catch (const otp::bad_argument& e) {
      EXPECT_NE(std::string(e.what()).find("-1 events"), std::string::npos) << e.what();
    }
  });
}

// covers: SYS-023
TEST(sys_debug, a_log_that_is_on_stays_as_it_is) {
  seeded([] {
    auto t = gen_server::start_link<tally>().value();
    sys::log(t, true);
    for (int i = 1; i <= 20; ++i) otp::cast(t, tally::add{i});
    sys::log(t, 3);
    EXPECT_EQ(sys::get_log(t).size(), 10U) << "with its events and its size";
    otp::cast(t, tally::add{1});
    EXPECT_EQ(sys::get_log(t).size(), 10U);
    sys::log(t, false);
    sys::log(t, 3);
    for (int i = 1; i <= 20; ++i) otp::cast(t, tally::add{i});
    EXPECT_EQ(sys::get_log(t).size(), 3U) << "off, then on";
  });
}

// covers: SYS-024
TEST(sys_debug, statistics_count_messages_and_replies_since_they_were_switched_on) {
  seeded([] {
    auto t = gen_server::start_link<tally>().value();
    EXPECT_FALSE(sys::get_statistics(t)) << "no_statistics";
    otp::call(t, tally::add{1});
    otp::instant before = otp::now();
    sys::statistics(t, true);
    for (int i = 0; i < 3; ++i) otp::call(t, tally::add{1});
    otp::cast(t, tally::add{1});
    otp::send(t.pid(), tally::add{1});
    otp::sleep(2s);
    auto counted = sys::get_statistics(t);
    ASSERT_TRUE(counted);
    EXPECT_EQ(counted->messages_in, 5U);
    EXPECT_EQ(counted->messages_out, 3U);
    EXPECT_GE(counted->reductions, 5U);
    EXPECT_EQ(counted->started, before);
    EXPECT_EQ(counted->now, otp::now());
    EXPECT_EQ(counted->now - counted->started, 2s);
    sys::statistics(t, false);
    EXPECT_FALSE(sys::get_statistics(t));
  });
}

// covers: SYS-026
TEST(sys_debug, a_hook_sees_each_event_keeps_its_own_state_and_goes_when_it_is_done_or_fails) {
  tests::event_log events;
  seeded(
      [&] {
        auto t = gen_server::start_link<tally>().value();
        tests::journal seen;
        // [hook]
        // Its state: the sum of what it has seen; done at 6.
        sys::install(t, "sum", [seen, sum = 0](const sys::debug_event& e) mutable {
          if (e.what() == sys::debug_kind::in)
            if (const auto* add = e.message_if<tally::add>()) sum += add->by;
          if (e.what() == sys::debug_kind::out) seen.add("out " + e.message() + " " + e.state());
          if (e.what() == sys::debug_kind::noreply) seen.add("noreply " + e.state());
          seen.add(std::to_string(sum));
          return sum < 6;
        });
        // [/hook]
        otp::call(t, tally::add{1});
        otp::cast(t, tally::add{2});
        otp::call(t, tally::add{0});
        EXPECT_EQ(seen.take(),
                  (strings{"1", "out 1 tally 1", "1", "3", "noreply tally 3", "3", "3", "out 3 tally 3", "3"}));
        EXPECT_EQ(sys::get_status(t).debug, strings{"hook=sum"});
        otp::call(t, tally::add{3});
        EXPECT_EQ(seen.take(), strings{"6"}) << "it has seen enough";
        EXPECT_EQ(sys::get_status(t).debug, strings{});
        sys::install(t, "broken", [](const sys::debug_event&) -> bool { throw std::runtime_error("a broken hook"); });
        EXPECT_EQ(otp::call(t, tally::add{1}), 7) << "the server is not hurt";
        EXPECT_EQ(sys::get_status(t).debug, strings{});
      },
      1, {.listener = &events});
  EXPECT_EQ(events.one("debug_hook_failed").field("hook"), "broken");
}

// covers: SYS-027
TEST(sys_debug, one_hook_an_id_and_no_debug_removes_everything) {
  everywhere(3, [] {
    auto t = gen_server::start_link<tally>().value();
    tests::journal seen;
    auto note = [seen](std::string text) {
      return [seen, text](const sys::debug_event& e) {
        if (e.what() == sys::debug_kind::in) seen.add(text);
      };
    };
    EXPECT_TRUE(sys::install(t, "a", note("a")));
    EXPECT_FALSE(sys::install(t, "a", note("another a"))) << "the first one stays";
    EXPECT_TRUE(sys::install(t, "b", note("b")));
    otp::call(t, tally::add{1});
    EXPECT_EQ(seen.take(), (strings{"a", "b"}));
    EXPECT_TRUE(sys::remove(t, "a"));
    EXPECT_FALSE(sys::remove(t, "a"));
    otp::call(t, tally::add{1});
    EXPECT_EQ(seen.take(), strings{"b"});
    sys::log(t, true);
    sys::statistics(t, true);
    EXPECT_EQ(sys::get_status(t).debug, (strings{"log=10", "statistics", "hook=b"}));
    sys::no_debug(t);
    otp::call(t, tally::add{1});
    EXPECT_EQ(seen.take(), strings{});
    EXPECT_EQ(sys::get_status(t).debug, strings{});
    EXPECT_FALSE(sys::get_statistics(t));
  });
}

// covers: SYS-028
TEST(sys_debug, settings_can_be_given_at_start) {
  tests::event_log events;
  const std::string path = temporary("start");
  seeded(
      [&] {
        auto t = gen_server::start_link<tally>(
                     {.debug = {"log=2", "statistics", "log_to_file=" + path, "log=nonsense", "colour"}})
                     .value();
        EXPECT_EQ(sys::get_status(t).debug, (strings{"log_to_file=" + path, "log=2", "statistics"}));
        otp::call(t, tally::add{1});
        EXPECT_EQ(sys::get_statistics(t)->messages_in, 1U);
        EXPECT_EQ(sys::get_log(t).size(), 2U);
        EXPECT_EQ(lines_of(path).size(), 2U);
        otp::supervisor_spec none{.strategy = otp::one_for_one};
        auto s = otp::supervisor::start_link(none, {.debug = {"statistics"}}).value();
        otp::supervisor::count_children(s);
        EXPECT_EQ(sys::get_statistics(s)->messages_in, 1U);
        EXPECT_EQ(sys::get_statistics(s)->messages_out, 1U);
      },
      1, {.listener = &events});
  EXPECT_EQ(events.count("bad_debug_option"), 2U) << "what is wrong is reported, and nothing else";
  std::remove(path.c_str());
}

// covers: SYS-028
TEST(sys_debug, a_hook_can_be_given_at_start_and_each_process_has_its_own) {
  tests::event_log events;
  seeded(
      [&] {
        tests::journal seen;
        auto count = [seen, n = 0](const sys::debug_event& e) mutable {
          if (e.what() == sys::debug_kind::in) seen.add(std::to_string(++n));
          return n < 3;
        };
        otp::start_options options{.debug = {"statistics", sys::install("count", count), sys::install("count", count)}};
        auto t = gen_server::start_link<tally>(options).value();
        EXPECT_EQ(sys::get_status(t).debug, (strings{"statistics", "hook=count"}));
        EXPECT_EQ(events.one("bad_debug_option").field("option"), "hook=count") << "of the second";
        for (int i = 0; i < 4; ++i) otp::call(t, tally::add{1});
        EXPECT_EQ(seen.take(), (strings{"1", "2", "3"}));
        EXPECT_EQ(sys::get_status(t).debug, strings{"statistics"}) << "it was done";
        options.debug.pop_back();
        auto other = gen_server::start_link<tally>(options).value();
        otp::call(other, tally::add{1});
        otp::supervisor_spec none{.strategy = otp::one_for_one};
        auto s = otp::supervisor::start_link(none, options).value();
        otp::supervisor::count_children(s);
        EXPECT_EQ(seen.take(), (strings{"1", "1"}));
        EXPECT_TRUE(sys::remove(other, "count"));
        struct unlucky {
          unlucky() = default;
          unlucky(const unlucky& from) : copies(from.copies + 1) {
            if (copies > 1) throw std::runtime_error("no copy");
          }
          void operator()(const sys::debug_event&) {}
          int copies = 0;
        };
        auto u = gen_server::start_link<tally>({.debug = {sys::install("unlucky", unlucky())}}).value();
        EXPECT_EQ(sys::get_status(u).debug, strings{});
      },
      1, {.listener = &events});
  EXPECT_EQ(events.count("bad_debug_option"), 2U);
}

// A server whose report says what its log has.
TEST(sys_debug, the_report_of_a_failing_server_has_its_log) {
  tests::event_log events;
  seeded(
      [] {
        auto t = gen_server::start<tally>({.debug = {"log"}}).value();
        otp::call(t, tally::add{4});
        sys::terminate(t, "odd");
        end_of(t);
      },
      1, {.listener = &events});
  EXPECT_NE(events.one("server_terminated").field("log").find("got call add 4"), std::string_view::npos);
}

// Every behaviour is debugged in the same way.
TEST(sys_debug, agents_and_supervisors) {
  everywhere(3, [] {
    tests::journal seen;
    auto note = [seen](std::string_view line) { seen.add(std::string(line)); };
    auto a = otp::agent<int>::start_link([] { return 1; }).value();
    sys::trace(a, note);
    EXPECT_EQ(otp::get(a, [](const int& n) { return n; }), 1);
    strings lines = without_name(seen.take());
    ASSERT_EQ(lines.size(), 2U);
    EXPECT_EQ(lines[1], "sent 1 to " + otp::self().to_string() + ", new state 1");
    otp::dynamic_supervisor_spec none;
    auto s = otp::dynamic_supervisor::start_link(none).value();
    sys::trace(s, note);
    EXPECT_EQ(otp::dynamic_supervisor::count_children(s).active, 0);
    lines = seen.take();
    ASSERT_EQ(lines.size(), 2U);
    EXPECT_NE(lines[0].find("got call supervisor request"), std::string::npos) << lines[0];
    EXPECT_NE(lines[1].find("sent supervisor reply"), std::string::npos) << lines[1];
  });
}

// ---- machines ----------------------------------------------------------------------------------------------------

struct lamp {
  struct off {
    friend bool operator==(const off&, const off&) = default;
    std::string to_string() const { return "off"; }
  };
  struct on {
    int brightness = 1;
    friend bool operator==(const on&, const on&) = default;
    std::string to_string() const { return "on(" + std::to_string(brightness) + ")"; }
  };
  using states = otp::states<off, on>;
  struct press {
    using reply = std::string;
    std::string to_string() const { return "press"; }
  };
  struct dim {
    std::string to_string() const { return "dim"; }
  };
  struct blink {
    std::string to_string() const { return "blink"; }
  };
  using events = otp::events<press, dim, blink>;
  otp::step<std::string, on> on(off&, const press&) {
    ++presses;
    return otp::go(lamp_on{1}).next_event(blink{}).reply("lit");
  }
  using lamp_on = struct on;
  otp::step<std::string, off> on(lamp_on&, const press&) {
    ++presses;
    return otp::go(off{}).reply("dark");
  }
  otp::step<void> on(off&, const dim&) { return otp::stay().postpone(); }
  otp::step<void, lamp_on> on(lamp_on& s, const dim&) { return otp::go(lamp_on{s.brightness + 1}); }
  void on(lamp_on&, const blink&) {}
  void on(off&, const blink&) {}
  std::string to_string() const { return std::to_string(presses) + " presses"; }
  int presses = 0;
};

// covers: SM-146
TEST(sys_debug, the_state_of_a_machine_is_its_state_and_its_data_and_both_can_be_replaced) {
  everywhere(5, [] {
    auto m = gen_statem::start_link<lamp>().value();
    otp::machine_state<lamp> now = sys::get_state(m);
    EXPECT_TRUE(std::holds_alternative<lamp::off>(now.state));
    EXPECT_EQ(now.data.presses, 0);
    EXPECT_EQ(sys::get_state(m.pid()), "{off, 0 presses}");
    otp::machine_state<lamp> after = sys::replace_state(m, [](otp::machine_state<lamp>& s) {
      s.state = lamp::lamp_on{7};
      s.data.presses = 40;
    });
    EXPECT_EQ(std::get<lamp::lamp_on>(after.state).brightness, 7);
    EXPECT_EQ(after.data.presses, 40);
    sys::suspend(m);
    sys::replace_state(m, [](const otp::machine_state<lamp>& s) {
      auto next = s;
      ++next.data.presses;
      return next;
    });
    otp::exit_reason why = cause_that([&] {
      sys::replace_state(m, [](otp::machine_state<lamp>& s) {
        s.state = lamp::off{};
        s.data.presses = 0;
        throw std::runtime_error("no");
      });
    });
    EXPECT_EQ(why.error_type(), "callback_failed");
    EXPECT_EQ(sys::get_state(m.pid()), "{on(7), 41 presses}") << "everything is as it was";
    sys::resume(m);
    EXPECT_EQ(otp::call(m, lamp::press{}), "dark");
    EXPECT_EQ(sys::get_state(m, [](const otp::machine_state<lamp>& s) { return s.data.presses; }), 42);
  });
}

// covers: SM-154
TEST(sys_debug, the_events_of_a_machine_are_logged_and_traced_from_the_start_or_later) {
  everywhere(5, [] {
    auto m = gen_statem::start_link<lamp>({.debug = {"log=20"}}).value();
    const std::string me = otp::self().to_string();
    otp::cast(m, lamp::dim{});
    EXPECT_EQ(otp::call(m, lamp::press{}), "lit");
    sys::get_status(m);
    EXPECT_EQ(without_name(sys::get_log(m)),
              (strings{"got cast dim", "postponed cast dim", "got call press from " + me, "sent \"lit\" to " + me,
                       "consumed call " + std::string(otp::detail::type_name<lamp::press>) + ", state on(1)",
                       "inserted internal blink", "got internal blink", "consumed internal blink, state on(1)",
                       "got cast dim", "consumed cast dim, state on(2)"}));
    sys::log(m, false);
    EXPECT_EQ(sys::get_log(m), strings{});
    tests::journal seen;
    sys::trace(m, [seen](std::string_view line) { seen.add(std::string(line)); });
    otp::cast(m, lamp::dim{});
    sys::get_status(m);
    EXPECT_EQ(without_name(seen.take()), (strings{"got cast dim", "consumed cast dim, state on(3)"}));
    sys::trace(m, false);
    otp::cast(m, lamp::dim{});
    sys::get_status(m);
    EXPECT_EQ(seen.take(), strings{});
    sys::statistics(m, true);
    otp::call(m, lamp::press{});
    EXPECT_EQ(sys::get_statistics(m)->messages_in, 1U);
    EXPECT_EQ(sys::get_statistics(m)->messages_out, 1U);
  });
}

// Switching debugging on and off while calls are under way loses none of them.
TEST(sys_debug, explored) {
  otp::testing::explore({.seeds = 300}, [] {
    auto t = gen_server::start<tally>().value();
    auto caller = otp::spawn({.monitor = true}, [t] {
      for (int i = 1; i <= 3; ++i) otp::testing::require(otp::call(t, tally::add{1}) == i, "in order");
    });
    auto operator_ = otp::spawn({.monitor = true}, [t] {
      sys::log(t, true);
      sys::install(t, "hook", [](const sys::debug_event& e) { return e.what() != sys::debug_kind::out; });
      sys::no_debug(t);
    });
    otp::testing::require(reason_of(caller.monitor).is_normal(), "the caller ends well");
    otp::testing::require(reason_of(operator_.monitor).is_normal(), "the operator too");
    gen_server::stop(t);
  });
}

}  // namespace
