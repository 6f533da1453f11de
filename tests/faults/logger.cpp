// J09, J10, J12: the log under text that is meant to do harm, under load, and with handlers that fail.
#include "faults/support.hpp"

#include <otp/gen_server.hpp>
#include <otp/logger.hpp>
#include <otp/supervisor.hpp>

#include <spdlog/sinks/base_sink.h>

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <stdexcept>
#include <thread>

#include <unistd.h>

using namespace faults;

namespace {

/// Keeps the lines; can be held, and can fail.
class test_sink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  strings lines() {
    std::lock_guard guard(mutex_);
    return lines_;
  }
  void hold() { held_ = true; }
  void release() {
    held_ = false;
    held_.notify_all();
  }
  std::atomic<bool> fails{false};

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    held_.wait(true);
    if (fails) throw std::runtime_error("disk full");
    lines_.emplace_back(message.payload.data(), message.payload.size());
  }
  void flush_() override { flushed = lines_.size(); }

 public:
  std::atomic<std::size_t> flushed{0};  // lines

 private:
  std::atomic<bool> held_{false};
  strings lines_;
};

/// A runtime with a logger that writes into a test_sink.
struct logged {
  explicit logged(otp::logger_options options = {}) : sink(std::make_shared<test_sink>()) {
    options.sinks = {sink};
    log = std::make_unique<otp::logger>(std::move(options));
  }
  template <class F>
  strings lines_of(F&& body) {
    otp::testing::run({.runtime = {.listener = log.get()}}, std::forward<F>(body));
    log->flush();
    return sink->lines();
  }
  std::shared_ptr<test_sink> sink;
  std::unique_ptr<otp::logger> log;
};

// covers: J09
TEST(log_text, of_any_bytes_is_one_line_escaped_and_cut_and_never_a_format) {
  const std::string nul("a\0b", 3);
  const strings nasty{"carriage\rreturn",      "new\nline",      "escape\033[2J",       nul,
                      "\u2028line\u2029para",  "\u202ereversed", "\u0085next\u009bcsi", "\xff\xfe broken",
                      "100% %n %s {} {0} {:d}"};
  logged l({.level = otp::severity::debug});
  strings lines = l.lines_of([&] {
    for (const std::string& text : nasty) otp::log::info("{}", text);
    for (const std::string& text : nasty) otp::log::write(otp::severity::warning, text, {{"field", text}});
    otp::log::write(otp::severity::error, std::string(1 << 20, 'x'), {{"more", std::string(1 << 20, 'y')}});
    otp::log::debug("of {} parts: {:>4}", "two", 17);
    otp::report({.what = "custom", .fields = {{"key", nul + "\n%n{}"}}});
  });
  ASSERT_EQ(lines.size(), 2 * nasty.size() + 3);
  for (const std::string& line : lines) {
    for (unsigned char c : line) EXPECT_FALSE(c < 0x20 || c == 0x7f) << line.substr(0, 200);
    for (const char* acting : {"\u2028", "\u2029", "\u202e", "\u0085", "\u009b", "\xff"})
      EXPECT_EQ(line.find(acting), std::string::npos) << line.substr(0, 200);
    EXPECT_LE(line.size(), 2 * (8 * 1024 + 100));
  }
  EXPECT_EQ(lines[0], "carriage\\rreturn");
  EXPECT_EQ(lines[1], "new\\nline");
  EXPECT_EQ(lines[2], "escape\\x1b[2J");
  EXPECT_EQ(lines[3], "a\\x00b");
  EXPECT_EQ(lines[8], nasty[8]) << "what looks like a format is text";
  EXPECT_EQ(lines[nasty.size() + 1], "new\\nline, field: new\\nline");
  EXPECT_NE(lines[2 * nasty.size()].find("...(1048576 bytes)"), std::string::npos) << "cut, and it says so";
  EXPECT_EQ(lines[2 * nasty.size() + 1], "of two parts:   17");
}

struct worker {
  struct fail {};
  void handle_cast(fail) { throw std::runtime_error("broken\n2026-01-01 error: forged line"); }
  std::string to_string() const { return "state\nof it"; }
};

TEST(log_text, of_reports_is_worded_as_otp_does_and_cannot_be_forged) {
  logged l;
  strings lines = l.lines_of([] {
    otp::supervisor_spec spec{.strategy = otp::one_for_one};
    spec.children.push_back(otp::child<worker>());
    auto s = otp::supervisor::start_link(spec, {.name = "tree"}).value();
    otp::cast(otp::server<worker>(otp::supervisor::which_children(s)[0].process), worker::fail{});
    otp::testing::settle();
  });
  auto with = [&](std::string_view begin) {
    strings found = lines;
    std::erase_if(found, [&](const std::string& line) { return !line.starts_with(begin); });
    return found;
  };
  for (const std::string& line : lines) EXPECT_EQ(line.find('\n'), std::string::npos);
  ASSERT_EQ(with("Generic server ").size(), 1U);
  EXPECT_NE(with("Generic server ")[0].find("state: state\\nof it"), std::string::npos) << with("Generic server ")[0];
  ASSERT_EQ(with("crasher: initial call: ").size(), 1U);
  EXPECT_NE(with("crasher: ")[0].find("ancestors: [\"tree\", "), std::string::npos) << with("crasher: ")[0];
  strings reports = with("supervisor: tree");
  ASSERT_EQ(reports.size(), 3U) << "started, has ended, started again";
  EXPECT_NE(reports[0].find("started: [{pid, "), std::string::npos) << reports[0];
  EXPECT_NE(reports[1].find("errorContext: child_terminated, reason: "), std::string::npos) << reports[1];
  EXPECT_NE(reports[1].find("offender: [{pid, "), std::string::npos) << reports[1];
}

// covers: J10
TEST(log_overload, a_sink_that_hangs_holds_up_nobody_and_what_was_left_out_is_counted) {
  logged l;
  l.sink->hold();
  constexpr int all = 5'000;
  std::chrono::steady_clock::duration longest{};
  otp::testing::run({.runtime = {.listener = l.log.get()}}, [&] {
    const auto before = std::chrono::steady_clock::now();
    for (int i = 0; i < all; ++i) otp::log::info("line {}", i);
    longest = std::chrono::steady_clock::now() - before;
  });
  otp::logger_counters now = l.log->counters();
  EXPECT_EQ(now.written, 0U);
  EXPECT_EQ(now.waiting, 200U) << "no more than that waits";
  EXPECT_EQ(now.dropped, all - 200U) << "drop mode";
  EXPECT_EQ(now.waits, 190U) << "sync mode, in between";
  // 190 waits of half a millisecond, and nothing else that lasts: a factor for a busy machine.
  EXPECT_LT(longest, std::chrono::seconds(20));
  l.sink->release();
  l.log->flush();
  EXPECT_TRUE(faults::eventually([&] { return l.sink->lines().size() == 201; }));
  strings lines = l.sink->lines();
  EXPECT_EQ(lines.front(), "line 0");
  EXPECT_EQ(lines[199], "line 199");
  EXPECT_EQ(lines[200], "logger: 4800 events dropped and 0 flushed, because 200 or more were waiting to be written");
  EXPECT_EQ(l.log->counters().dropped, 4800U);
}

// covers: J10
TEST(log_overload, a_million_texts_are_all_written_or_counted_and_hold_up_their_caller_for_less_than_a_millisecond) {
  logged l;
  const int all = load(1'000'000, 100'000, 50'000);
  std::size_t late = 0;
  {
    otp::runtime rt({.workers = 2, .listener = l.log.get()});
    rt.start();
    rt.run([&] {
      for (int i = 0; i < all; ++i) {
        const auto before = std::chrono::steady_clock::now();
        otp::log::info("line {}", i);
        if (std::chrono::steady_clock::now() - before > std::chrono::milliseconds(1)) ++late;
      }
    });
  }
  l.log->flush();
  otp::logger_counters now = l.log->counters();
  EXPECT_GE(now.written + now.dropped + now.flushed, static_cast<std::uint64_t>(all));
  EXPECT_EQ(now.lost, 0U);
  // Its own waits are half as long. That a busy machine takes the thread off the processor is not the logger's doing.
  EXPECT_LE(late, static_cast<std::size_t>(all) / 100);
}

// covers: J10
TEST(log_overload, flush_mode_gives_up_what_waits) {
  logged l({.sync_at = 1'000, .drop_at = 1'000, .flush_at = 50});
  l.sink->hold();
  otp::testing::run({.runtime = {.listener = l.log.get()}}, [&] {
    for (int i = 0; i < 100; ++i) otp::log::info("line {}", i);
  });
  EXPECT_EQ(l.log->counters().dropped, 50U);
  l.sink->release();
  l.log->flush();
  otp::logger_counters now = l.log->counters();
  EXPECT_GE(now.flushed, 48U) << "all but what the sink had";
  strings lines = l.sink->lines();  // it may say in one line what it left out, or in two
  auto own = std::count_if(lines.begin(), lines.end(), [](auto& line) { return line.starts_with("logger: "); });
  EXPECT_EQ(now.flushed + now.dropped + lines.size() - static_cast<std::size_t>(own), 100U);
}

TEST(log_overload, limits_that_make_no_sense_are_refused) {
  EXPECT_THROW(otp::logger({.sync_at = 300}), otp::bad_argument);
  EXPECT_THROW(otp::logger({.sync_at = 0, .drop_at = 1}), otp::bad_argument);
  EXPECT_THROW(otp::logger({.sync_at = 0, .flush_at = 0}), otp::bad_argument);
}

// covers: J12
TEST(a_log_handler_that_throws, is_removed_with_one_report_and_no_recursion) {
  logged l;
  std::atomic<int> calls = 0, others = 0, second = 0;
  event_log seen;
  EXPECT_TRUE(l.log->add_handler("broken", [&](const otp::event&) {
    ++calls;
    throw std::runtime_error("a broken handler");
  }));
  // This one fails for the report of the first.
  EXPECT_TRUE(l.log->add_handler("touchy", [&](const otp::event& e) {
    ++second;
    if (e.what == "handler_removed") throw 42;
  }));
  EXPECT_TRUE(l.log->add_handler("sound", [&](const otp::event& e) {
    ++others;
    seen.on_event(e);
  }));
  EXPECT_FALSE(l.log->add_handler("sound", [](const otp::event&) {})) << "one an id";
  strings lines = l.lines_of([] {
    otp::log::info("first");
    otp::log::info("second");
  });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(l.log->handlers(), strings{"sound"});
  EXPECT_EQ(seen.count("handler_removed"), 2U) << "each once";
  EXPECT_EQ(seen.count("log"), 2U);
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(),
                          [](const std::string& line) { return line.starts_with("handler_removed"); }),
            2);
  EXPECT_TRUE(l.log->remove_handler("sound"));
  EXPECT_FALSE(l.log->remove_handler("sound"));
}

TEST(a_log_handler_that_throws, is_removed_once_also_when_all_workers_report_at_once) {
  logged l;
  event_log seen;
  l.log->add_handler("sound", [&](const otp::event& e) {
    if (e.what == "handler_removed") seen.on_event(e);
  });
  l.log->add_handler("broken", [](const otp::event&) { throw std::runtime_error("broken"); });
  otp::runtime rt({.workers = 4, .listener = l.log.get()});
  rt.start();
  rt.run([] {
    std::vector<otp::ref> all;
    for (int i = 0; i < 8; ++i)
      all.push_back(otp::spawn_monitor([] {
                      for (int n = 0; n < 100; ++n) otp::log::info("line {}", n);
                    }).monitor);
    for (otp::ref r : all)
      otp::receive(otp::when([&](const otp::down& d) { return d.reference == r; }, [](const otp::down&) {}));
  });
  EXPECT_EQ(seen.count("handler_removed"), 1U);
}

// A handler may have a lower level than the log: then more is made, for it alone.
TEST(a_log_handler, sees_what_it_asks_for) {
  logged l({.level = otp::severity::warning});
  journal seen;
  l.log->add_handler(
      "debug", [&](const otp::event& e) { seen.add(std::string(e.field("text"))); }, otp::severity::debug);
  strings lines = l.lines_of([&] {
    otp::log::debug("d");
    otp::log::warning("w");
    l.log->remove_handler("debug");
    EXPECT_FALSE(otp::log::enabled(otp::severity::info)) << "nobody wants it any more";
    otp::log::info("i");
  });
  EXPECT_EQ(seen.take(), (strings{"d", "w"}));
  EXPECT_EQ(lines, strings{"w"});
}

TEST(a_log_sink_that_fails, costs_its_lines_which_are_counted_and_told_once) {
  logged l;
  l.sink->fails = true;
  ::testing::internal::CaptureStderr();
  l.lines_of([&] {
    for (int i = 0; i < 5; ++i) otp::log::info("lost {}", i);
    l.log->flush();
    l.sink->fails = false;
    otp::log::info("written");
  });
  std::string told = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(l.sink->lines(), strings{"written"});
  EXPECT_EQ(l.log->counters().lost, 5U);
  EXPECT_NE(told.find("disk full"), std::string::npos);
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1);
}

TEST(a_log_sink_that_fails, keeps_no_line_from_those_behind_it) {
  auto bad = std::make_shared<test_sink>(), good = std::make_shared<test_sink>();
  bad->fails = true;
  otp::logger log({.sinks = {bad, good}});
  ::testing::internal::CaptureStderr();
  otp::testing::run({.runtime = {.listener = &log}}, [] {
    for (int i = 0; i < 3; ++i) otp::log::info("line {}", i);
  });
  log.flush();
  std::string told = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(good->lines(), (strings{"line 0", "line 1", "line 2"}));
  EXPECT_EQ(log.counters().lost, 3U);
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1);
}

TEST(log_flush, returns_when_the_sinks_are_flushed_and_not_before) {
  logged l;
  otp::testing::run({.runtime = {.listener = l.log.get()}}, [&] {
    for (std::size_t i = 1; i <= 500; ++i) {
      otp::log::info("line {}", i);
      l.log->flush();
      ASSERT_EQ(l.sink->flushed, i);
    }
  });
}

TEST(log_files, have_a_line_for_each_event_with_time_and_level) {
  const std::string path = "/tmp/otp_log_" + std::to_string(::getpid());
  {
    otp::logger log({.sinks = {otp::logger::file_sink(path)}});
    otp::testing::run({.runtime = {.listener = &log}}, [] { otp::log::warning("order {} is late", 17); });
  }
  std::ifstream in(path);
  std::string line;
  ASSERT_TRUE(std::getline(in, line));
  EXPECT_TRUE(line.ends_with(" warning: order 17 is late")) << line;
  EXPECT_EQ(line.substr(10, 1), "T") << line;
  EXPECT_FALSE(std::getline(in, line));
  ::unlink(path.c_str());
  EXPECT_ANY_THROW(otp::logger::file_sink("/tmp")) << "a folder";
}

TEST(log_texts, of_no_process_and_without_listener_go_to_stderr) {
  ::testing::internal::CaptureStderr();
  otp::log::warning("outside {}", 1);
  otp::log::info("not shown");
  std::string told = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(told.find("outside 1"), std::string::npos);
  EXPECT_EQ(told.find("not shown"), std::string::npos);
}

}  // namespace
