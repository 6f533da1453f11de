// Ending a process: by its own exit, by an error, by a signal; and what others see first.
#include "conformance/support.hpp"

#include "runtime/context.hpp"

#include <functional>
#include <map>
#include <unwind.h>

using namespace conformance;

// covers: PROC-032
TEST(process_exit, exit_ends_the_process_with_exactly_its_reason) {
  everywhere(3, [] {
    for (const otp::exit_reason& why : abnormal_reasons()) {
      EXPECT_EQ(reason_of(otp::spawn_monitor([why] { otp::exit(why); }).monitor), why) << why.to_string();
      auto waited = otp::spawn_monitor([why] {
        otp::yield();
        otp::exit(why);
      });
      EXPECT_EQ(reason_of(waited.monitor), why) << why.to_string();
    }
    EXPECT_EQ(reason_of(otp::spawn_monitor([] { otp::exit(normal); }).monitor), normal);
    // Its own exit is no signal: `kill` is a reason like any other.
    EXPECT_EQ(reason_of(otp::spawn_monitor([] { otp::exit(otp::reason::kill); }).monitor), otp::reason::kill);
  });
}

// covers: PROC-032 PROC-087
TEST(process_exit, a_reason_of_any_size_arrives_intact) {
  everywhere(2, [] {
    std::string large(8 << 20, 'x');
    large[4 << 20] = '\0';
    auto texts = otp::spawn_monitor([&] { otp::exit(large); });
    otp::exit_reason got = reason_of(texts.monitor);
    ASSERT_TRUE(got.get_if<std::string>());
    EXPECT_EQ(*got.get_if<std::string>(), large);

    std::map<std::string, std::vector<double>> nested;
    for (int i = 0; i < 2000; ++i) nested[std::to_string(i)] = std::vector<double>(50, i / 3.0);
    auto maps = otp::spawn_monitor([&] { otp::exit(shutdown(nested)); });
    got = reason_of(maps.monitor);
    EXPECT_TRUE(got.is_shutdown());
    EXPECT_EQ(got.value(), otp::term(nested));
  });
}

// covers: PROC-033
TEST(process_exit, an_own_exit_can_be_caught_and_the_process_goes_on) {
  everywhere(3, [] {
    for (const otp::exit_reason& why : abnormal_reasons()) {
      auto made = otp::spawn_monitor([why, to = otp::self()] {
        try {
          otp::exit(why);
        } catch (const otp::exited& e) {
          otp::send(to, e.reason());
        }
        otp::yield();
        otp::exit("later");
      });
      EXPECT_EQ(next<otp::exit_reason>(), why);
      EXPECT_EQ(reason_of(made.monitor), otp::exit_reason("later"));
    }
    // By any handler that takes a std::exception, and by one that takes everything.
    EXPECT_NO_THROW(try { otp::exit("caught"); } catch (const std::exception&){});
    EXPECT_NO_THROW(try { otp::exit(normal); } catch (...){});
  });
}

namespace {
struct odd_value {
  int number;
};
struct not_copyable : std::exception {
  not_copyable() = default;
  not_copyable(const not_copyable&) = delete;
  not_copyable(not_copyable&&) = default;
  const char* what() const noexcept override { return "only moves"; }
};
}  // namespace

// covers: PROC-034
TEST(process_exit, an_uncaught_error_is_the_reason_with_its_type_and_text) {
  everywhere(3, [] {
    auto reason_for = [](auto body) { return reason_of(otp::spawn_monitor(std::move(body)).monitor); };
    auto runtime_error = reason_for([] { throw std::runtime_error("disk on fire"); });
    EXPECT_EQ(runtime_error.what(), otp::exit_reason::kind::error);
    EXPECT_EQ(runtime_error.error_type(), "std::runtime_error");
    EXPECT_EQ(runtime_error.text(), "disk on fire");
    EXPECT_EQ(runtime_error, otp::reason::error("std::runtime_error", "disk on fire"));

    EXPECT_EQ(reason_for([] { static_cast<void>(std::vector<int>().at(3)); }).error_type(), "std::out_of_range");
    EXPECT_EQ(reason_for([] { otp::send("nobody is called that", 1); }).error_type(), "otp::bad_argument");
    EXPECT_EQ(reason_for([] {
                otp::yield();
                throw not_copyable();
              }).text(),
              "only moves");
    // A result that holds a reason, taken for a value: that reason.
    EXPECT_EQ(reason_for([] { static_cast<void>(otp::result<int>(std::unexpect, otp::reason::timeout).value()); }),
              otp::reason::timeout);
    // Caught and thrown on it is the same.
    EXPECT_EQ(reason_for([] {
                try {
                  throw std::invalid_argument("first");
                } catch (const std::exception&) {
                  otp::yield();
                  throw;
                }
              }),
              otp::reason::error("std::invalid_argument", "first"));
  });
}

namespace {
[[gnu::noinline]] void thrower(int depth) {
  if (depth == 0) throw std::runtime_error("deep inside");
  thrower(depth - 1);
  asm volatile("");  // no tail call
}
bool in_thrower(void* address) {
  return _Unwind_FindEnclosingFunction(static_cast<char*>(address) - 1) == reinterpret_cast<void*>(thrower);
}
}  // namespace

// covers: PROC-034
TEST(process_exit, the_reason_of_an_error_holds_the_stack_trace_if_the_runtime_records_them) {
  auto body = [] {
    auto trace_of = [](otp::ref m) {
      otp::exit_reason why = reason_of(m);
      EXPECT_EQ(why, otp::reason::error("std::runtime_error", "deep inside")) << "equal with and without";
      auto trace = why.backtrace() ? *why.backtrace() : std::vector<void*>();
      // AddressSanitizer throws in its own name: its frames lead.
      if (otp::detail::with_address_sanitizer)
        trace.erase(trace.begin(), std::find_if(trace.begin(), trace.end(), in_thrower));
      return trace;
    };
    auto trace = trace_of(otp::spawn_monitor([] { thrower(3); }).monitor);
    ASSERT_GE(trace.size(), 5u);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_TRUE(in_thrower(trace[i])) << "frame " << i;
    EXPECT_FALSE(in_thrower(trace[4]));
    // What was caught inside is no part of it; and a process that waits while it unwinds keeps its own.
    struct waits_at_end {
      ~waits_at_end() { otp::sleep(10ms); }
    };
    auto slow = otp::spawn_monitor([] {
      try {
        thrower(9);
      } catch (const std::exception&) {
      }
      waits_at_end w;
      thrower(1);
    });
    otp::sleep(5ms);
    auto quick = otp::spawn_monitor([] { thrower(5); });
    trace = trace_of(quick.monitor);
    EXPECT_EQ(std::count_if(trace.begin(), trace.end(), in_thrower), 6);
    trace = trace_of(slow.monitor);
    EXPECT_EQ(std::count_if(trace.begin(), trace.end(), in_thrower), 2);
  };
  seeded(body, 1, {.record_backtraces = true});
  EXPECT_EQ(threaded(body, {.workers = 2, .record_backtraces = true}), normal);
  seeded([] {
    otp::exit_reason why = reason_of(otp::spawn_monitor([] { thrower(3); }).monitor);
    EXPECT_TRUE(!why.backtrace() || why.backtrace()->empty()) << "not unless asked for";
  });
}

// covers: PROC-034
TEST(process_exit, the_links_of_a_process_that_crashes_see_the_error_and_it_is_reported_once) {
  recorder reports;
  seeded(
      [] {
        otp::trap_exit(true);
        otp::spawn_link([] { throw std::logic_error("a bug"); });
        EXPECT_EQ(next<otp::exit_signal>().reason, otp::reason::error("std::logic_error", "a bug"));
      },
      1, {.listener = &reports});
  EXPECT_EQ(reports.count("crash"), 1u);
}

// covers: PROC-035
TEST(process_exit, an_uncaught_thrown_value_is_the_reason_with_its_type) {
  everywhere(3, [] {
    auto reason_for = [](auto body) { return reason_of(otp::spawn_monitor(std::move(body)).monitor); };
    EXPECT_EQ(reason_for([] { throw 42; }), otp::reason::error("int", "42"));
    EXPECT_EQ(reason_for([] { throw "a literal"; }), otp::reason::error("char const*", "a literal"));
    EXPECT_EQ(reason_for([] { throw std::string("a text"); }).text(), "a text");
    auto odd = reason_for([] { throw odd_value{3}; });
    EXPECT_EQ(odd.what(), otp::exit_reason::kind::error);
    EXPECT_NE(odd.error_type().find("odd_value"), std::string_view::npos);
    // It is never mistaken for an exit with that value.
    EXPECT_NE(reason_for([] { throw 42; }), otp::exit_reason(42));
  });
}

// A call to a function that does not exist is refused by the compiler; the run-time form is an empty function object.
// no meaning: PROC-036 (docs/decisions/0002-rows-without-meaning.md)
TEST(process_exit, an_empty_function_object_is_refused_and_creates_no_process) {
  seeded([] {
    auto before = otp::counters();
    EXPECT_THROW(otp::spawn(std::function<void()>()), otp::bad_argument);
    EXPECT_THROW(otp::spawn_link(std::function<int()>()), otp::bad_argument);
    EXPECT_THROW(otp::spawn_monitor(std::move_only_function<void()>()), otp::bad_argument);
    EXPECT_THROW(otp::spawn(static_cast<void (*)()>(nullptr)), otp::bad_argument);
    EXPECT_EQ(otp::counters().spawned, before.spawned);
    EXPECT_TRUE(otp::info(otp::self())->links.empty());
  });
}

// covers: PROC-038
TEST(process_exit, no_handler_in_the_target_stops_an_exit_signal) {
  // Differs from OTP: destructors of the target run (docs/decisions/0003-kill-unwinds.md); none of them can stop it.
  everywhere(20, [] {
    for (otp::exit_reason why :
         {otp::exit_reason("fatal"), otp::exit_reason(otp::reason::kill), otp::exit_reason(shutdown)}) {
      auto [target, m] = otp::spawn_monitor([to = otp::self()] {
        struct cleanup {
          otp::pid to;
          ~cleanup() { otp::send(to, std::string("destructor")); }
        } at_end{to};
        otp::send(to, 0);
        try {
          rest();
        } catch (const std::exception&) {
          otp::send(to, std::string("caught as an exception"));
        }
        otp::send(to, std::string("went on"));
      });
      next<int>();
      otp::exit(target, why);
      EXPECT_EQ(reason_of(m), why == otp::reason::kill ? otp::exit_reason(killed) : why);
      EXPECT_EQ(waiting<std::string>(), "destructor");
      EXPECT_TRUE(mailbox_empty());
    }
  });
}

// covers: PROC-038
TEST(process_exit, a_target_that_swallows_everything_meets_the_signal_again_and_ends_with_its_reason) {
  for_seeds(20, [] {
    auto [target, m] = otp::spawn_monitor([to = otp::self()] {
      otp::send(to, 0);
      try {
        rest();
      } catch (...) {
        otp::send(to, std::string("swallowed"));
      }
      try {
        otp::sleep(1h);
      } catch (...) {
        otp::send(to, std::string("swallowed again"));
      }
      otp::exit("a reason of its own");  // not a wait; but its fate is decided
    });
    next<int>();
    otp::exit(target, "fatal");
    auto start = otp::now();
    EXPECT_EQ(reason_of(m), otp::exit_reason("fatal"));
    EXPECT_EQ(otp::now(), start) << "the second wait did not wait";
    EXPECT_EQ(waiting<std::string>(), "swallowed");
    EXPECT_EQ(waiting<std::string>(), "swallowed again");
  });
}

// covers: PROC-038
TEST(process_exit, a_signal_that_comes_before_the_first_step_or_before_the_last_counts) {
  for_seeds(20, [] {
    // Before it ran at all: its function never starts.
    auto ran = std::make_shared<bool>(false);
    auto unborn = otp::spawn_monitor([ran] {
      *ran = true;
      rest();
    });
    otp::exit(unborn.pid, "too early");
    EXPECT_EQ(reason_of(unborn.monitor), otp::exit_reason("too early"));
    EXPECT_FALSE(*ran);
  });
  EXPECT_EQ(threaded([] {
              // While it computes: at the end of its function at the latest.
              std::atomic<int> stage{0};
              auto busy = otp::spawn_monitor([&] {
                stage = 1;
                while (stage != 2) std::this_thread::yield();
              });
              while (stage != 1) std::this_thread::yield();
              otp::exit(busy.pid, "while it ran");
              stage = 2;
              EXPECT_EQ(reason_of(busy.monitor), otp::exit_reason("while it ran"));
            }),
            normal);
}

// covers: PROC-039
TEST(process_exit, a_pending_timeout_does_not_disturb_a_process_that_is_ended) {
  for_seeds(30, [] {
    for (otp::duration at : {0ms, 5ms, 10ms, 11ms}) {  // before, at and after the timeouts of 10 ms
      auto in_receive = otp::spawn_monitor([] {
        otp::receive([](int) {}, otp::after(10ms, [] {}));
        rest();
      });
      auto asleep = otp::spawn_monitor([] {
        otp::sleep(10ms);
        rest();
      });
      otp::sleep(at);
      otp::exit(in_receive.pid, "ended");
      otp::exit(asleep.pid, otp::reason::kill);
      EXPECT_EQ(reason_of(in_receive.monitor), otp::exit_reason("ended"));
      EXPECT_EQ(reason_of(asleep.monitor), killed);
      otp::testing::advance(1s);
      EXPECT_TRUE(mailbox_empty());
    }
  });
}

// covers: PROC-040
TEST(process_exit, a_name_is_free_before_anybody_hears_of_the_end) {
  everywhere(20, [] {
    otp::trap_exit(true);
    for (int round = 0; round < 50; ++round) {
      auto made = otp::spawn({.link = round % 2 == 0, .monitor = round % 2 == 1}, [round, to = otp::self()] {
        otp::register_name("the one", otp::self());
        otp::send(to, 0);
        if (round % 5 == 0) return;
        if (round % 5 == 1) throw std::runtime_error("crash");
        rest();
      });
      next<int>();
      if (round % 5 == 2) otp::exit(made.pid, otp::reason::kill);
      if (round % 5 > 2) otp::exit(made.pid, "end");
      if (round % 2 == 0) {
        next<otp::exit_signal>();
      } else {
        next<otp::down>();
      }
      ASSERT_FALSE(otp::whereis("the one"));
      ASSERT_TRUE(otp::registered().empty());
      ASSERT_NO_THROW(otp::register_name("the one", otp::self())) << "the name can be taken at once";
      otp::unregister_name("the one");
    }
  });
}
