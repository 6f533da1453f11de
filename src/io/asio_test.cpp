// otp::use_process and the I/O context as the scheduler's poller.
#include "io/test_support.hpp"

#include <otp/asio.hpp>
#include <otp/event.hpp>
#include <otp/receive.hpp>
#include <otp/runtime.hpp>
#include <otp/testing.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/system_error.hpp>

#include <gtest/gtest.h>

#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using boost::system::system_error;
using namespace std::chrono_literals;
using otp::use_process;
using otp::io_test::any_port;
using otp::io_test::reason_of;
using otp::io_test::run;
using otp::io_test::until_waiting;

struct connection {
  tcp::socket mine;
  tcp::socket theirs;
};
connection connect() {
  tcp::acceptor acceptor(otp::io(), any_port());
  connection both{tcp::socket(otp::io()), tcp::socket(otp::io())};
  both.mine.connect(acceptor.local_endpoint());  // the kernel completes it: the backlog has room
  both.theirs = acceptor.async_accept(use_process);
  return both;
}

template <class Body>
otp::spawned spawn_watched(Body body) {
  return otp::spawn({.monitor = true}, std::move(body));
}

std::size_t open_files() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& unused : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

double processor_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// An operation with any signature that completes with the values given: `how` decides when and where.
template <class Signature, class How, class Token, class... Values>
auto complete(How how, Token&& token, Values... values) {
  return asio::async_initiate<Token, Signature>(
      [how = std::move(how)]<class Handler>(Handler handler, Values... v) mutable {
        how([all = std::make_tuple(std::move(v)...), handler = std::move(handler)]() mutable {
          std::apply(std::move(handler), std::move(all));
        });
      },
      token, std::move(values)...);
}
constexpr auto inline_now = [](auto completion) { completion(); };
constexpr auto posted = [](auto completion) { asio::post(otp::io(), std::move(completion)); };

// ---- what an operation returns -----------------------------------------------------------------------------------

TEST(asio_test, an_operation_returns_what_its_handler_would_get) {
  run([] {
    auto each_way = [](auto how) {
      static_assert(std::is_void_v<decltype(complete<void()>(how, use_process))>);
      complete<void()>(how, use_process);
      complete<void(error_code)>(how, use_process, error_code());
      EXPECT_EQ(complete<void(int)>(how, use_process, 3), 3);
      EXPECT_EQ(complete<void(error_code, int)>(how, use_process, error_code(), 4), 4);
      EXPECT_EQ((complete<void(error_code, int, std::string)>(how, use_process, error_code(), 5, std::string("x"))),
                std::make_tuple(5, std::string("x")));
      EXPECT_EQ((complete<void(int, int)>(how, use_process, 6, 7)), std::make_tuple(6, 7));
      complete<void(std::exception_ptr)>(how, use_process, std::exception_ptr());
      EXPECT_EQ((complete<void(std::exception_ptr, int)>(how, use_process, std::exception_ptr(), 8)), 8);
      EXPECT_EQ(
          *complete<void(error_code, std::unique_ptr<int>)>(how, use_process, error_code(), std::make_unique<int>(9)),
          9);
      // Arguments by reference are gone when the process goes on: it gets values.
      std::string text = complete<void(error_code, const std::string&)>(how, use_process, error_code(),
                                                                        std::string("long enough for the heap"));
      EXPECT_EQ(text, "long enough for the heap");
    };
    each_way(inline_now);
    each_way(posted);
  });
}

TEST(asio_test, an_error_is_thrown_as_a_system_error) {
  run([] {
    tcp::socket socket(otp::io());
    try {
      socket.async_connect({asio::ip::address_v4::loopback(), 1}, use_process);
      ADD_FAILURE() << "nobody listens there";
    } catch (const system_error& e) {
      EXPECT_EQ(e.code(), asio::error::connection_refused);
    }
    auto [mine, theirs] = connect();
    theirs.close();
    char byte = 0;
    EXPECT_THROW(mine.async_read_some(asio::buffer(&byte, 1), use_process), system_error);
    auto broken = std::make_exception_ptr(std::runtime_error("no"));
    EXPECT_THROW(complete<void(std::exception_ptr)>(posted, use_process, broken), std::runtime_error);
  });
}

TEST(asio_test, an_error_can_be_stored_instead_and_is_cleared_by_success) {
  run([] {
    auto [mine, theirs] = connect();
    char byte = 'a';
    error_code ec = asio::error::eof;
    EXPECT_EQ(theirs.async_write_some(asio::buffer(&byte, 1), use_process[ec]), 1U);
    EXPECT_FALSE(ec);
    theirs.close();
    EXPECT_EQ(mine.async_read_some(asio::buffer(&byte, 1), use_process[ec]), 1U);
    EXPECT_FALSE(ec);
    EXPECT_EQ(mine.async_read_some(asio::buffer(&byte, 1), use_process[ec]), 0U);
    EXPECT_EQ(ec, asio::error::eof);
    // An exception_ptr that holds a system_error is an error like any other; another exception is thrown.
    auto refused = std::make_exception_ptr(system_error(asio::error::connection_refused));
    complete<void(std::exception_ptr)>(posted, use_process[ec], refused);
    EXPECT_EQ(ec, asio::error::connection_refused);
    complete<void(std::exception_ptr)>(posted, use_process[ec], std::exception_ptr());
    EXPECT_FALSE(ec);
    auto broken = std::make_exception_ptr(std::runtime_error("no"));
    EXPECT_THROW(complete<void(std::exception_ptr)>(posted, use_process[ec], broken), std::runtime_error);
  });
}

TEST(asio_test, the_adaptors_of_asio_work_with_the_token) {
  run([] {
    auto [mine, theirs] = connect();
    theirs.close();
    char byte = 0;
    auto [ec, n] = mine.async_read_some(asio::buffer(&byte, 1), asio::as_tuple(use_process));
    EXPECT_EQ(ec, asio::error::eof);
    EXPECT_EQ(n, 0U);
    tcp::socket socket(otp::io());
    error_code refused;
    socket.async_connect({asio::ip::address_v4::loopback(), 1}, asio::redirect_error(use_process, refused));
    EXPECT_EQ(refused, asio::error::connection_refused);
  });
}

// ---- when and where it completes ---------------------------------------------------------------------------------

TEST(asio_test, a_completion_may_come_from_any_thread_before_or_after_the_process_waits) {
  run([] {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 200; ++i) {
      auto elsewhere = [&](auto completion) {
        threads.emplace_back([c = std::move(completion)]() mutable { c(); });
        if (i % 2) threads.back().join();  // completes inside of the initiation, but on another thread
      };
      EXPECT_EQ(complete<void(error_code, int)>(elsewhere, use_process, error_code(), i), i);
    }
  });
}

TEST(asio_test, only_the_process_that_asks_waits) {
  run(
      [] {
        auto [mine, theirs] = connect();
        otp::spawned reader = spawn_watched([s = std::move(mine)]() mutable {
          char byte = 0;
          s.async_read_some(asio::buffer(&byte, 1), use_process);
          EXPECT_EQ(byte, 'k');
        });
        until_waiting(reader.pid);
        // One worker: all of this happens while the reader waits.
        for (int i = 0; i < 100; ++i) EXPECT_EQ(reason_of(spawn_watched([] {})), otp::reason::normal);
        EXPECT_TRUE(otp::is_alive(reader.pid));
        theirs.async_write_some(asio::buffer("k", 1), use_process);
        EXPECT_EQ(reason_of(reader), otp::reason::normal);
      },
      {.workers = 1});
}

TEST(asio_test, a_process_that_never_waits_for_long_does_not_keep_others_from_their_io) {
  run(
      [] {
        auto [mine, theirs] = connect();
        otp::pid busy = otp::spawn([] {
          for (;;) otp::yield();
        });
        asio::write(theirs, asio::buffer("k", 1));
        char byte = 0;
        EXPECT_EQ(mine.async_read_some(asio::buffer(&byte, 1), use_process), 1U);
        otp::exit(busy, otp::reason::kill);
      },
      {.workers = 1});
}

TEST(asio_test, a_worker_that_computes_does_not_keep_the_others_from_polling) {
  otp::runtime rt({.workers = 2, .handler_limit = 1h});
  rt.start();
  for (int i = 0; i < 10; ++i) {
    // Whichever worker takes it: that one may be the one that waits in the poller.
    otp::io(rt);
    std::atomic<bool> computes{false};
    std::atomic<bool> enough{false};
    rt.spawn([&] {
      computes = true;
      computes.notify_one();
      while (!enough.load()) {
      }
    });
    computes.wait(false);
    otp::exit_reason why = rt.run([] {
      auto [mine, theirs] = connect();
      otp::spawned reader = spawn_watched([s = std::move(mine)]() mutable {
        char byte = 0;
        s.async_read_some(asio::buffer(&byte, 1), use_process);
      });
      until_waiting(reader.pid);
      theirs.async_write_some(asio::buffer("k", 1), use_process);
      EXPECT_EQ(reason_of(reader), otp::reason::normal);
    });
    EXPECT_TRUE(why.is_normal()) << why.to_string();
    enough = true;
    while (!rt.processes().empty()) std::this_thread::yield();
  }
  EXPECT_TRUE(rt.stop().clean());
}

TEST(asio_test, messages_stay_in_the_mailbox_while_an_operation_waits) {
  run([] {
    auto [mine, theirs] = connect();
    otp::pid test = otp::self();
    otp::spawned reader = spawn_watched([s = std::move(mine), test]() mutable {
      char byte = 0;
      s.async_read_some(asio::buffer(&byte, 1), use_process);
      for (int i = 0; i < 3; ++i) otp::send(test, otp::receive([](int n) { return n; }));
    });
    until_waiting(reader.pid);
    for (int i = 0; i < 3; ++i) otp::send(reader.pid, i);
    EXPECT_EQ(otp::info(reader.pid)->message_queue_len, 3U);
    theirs.async_write_some(asio::buffer("k", 1), use_process);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(otp::receive([](int n) { return n; }), i);
    EXPECT_EQ(reason_of(reader), otp::reason::normal);
  });
}

TEST(asio_test, an_operation_can_be_waited_for_inside_catch_and_in_a_destructor) {
  run([] {
    asio::steady_timer timer(otp::io());
    auto nap = [&] {
      timer.expires_after(1ms);
      timer.async_wait(use_process);
    };
    struct on_exit {
      std::function<void()> then;
      ~on_exit() { then(); }
    };
    int waits = 0;
    try {
      on_exit guard{[&] {
        nap();
        ++waits;
      }};
      throw std::runtime_error("first");
    } catch (const std::runtime_error& e) {
      nap();
      ++waits;
      EXPECT_STREQ(e.what(), "first");
    }
    EXPECT_EQ(waits, 2);
  });
}

TEST(asio_test, an_operation_that_is_dropped_fails_and_one_that_cannot_start_throws) {
  run([] {
    auto dropped = [](auto completion) { auto gone = std::move(completion); };
    try {
      complete<void(int)>(dropped, use_process, 1);
      ADD_FAILURE() << "it never completed";
    } catch (const system_error& e) {
      EXPECT_EQ(e.code(), asio::error::operation_aborted);
      EXPECT_NE(std::string(e.what()).find("dropped"), std::string::npos);
    }
    auto refuses = [](auto) { throw std::length_error("too long"); };
    EXPECT_THROW(complete<void(int)>(refuses, use_process, 1), std::length_error);
    struct unmovable_result {
      unmovable_result() = default;
      unmovable_result(const unmovable_result&) { throw std::domain_error("copied"); }
    };
    EXPECT_THROW(complete<void(unmovable_result)>(
                     [](auto completion) {
                       asio::post(otp::io(),
                                  [c = std::make_shared<decltype(completion)>(std::move(completion))] { (*c)(); });
                     },
                     use_process, unmovable_result()),
                 std::domain_error);
  });
}

TEST(asio_test, other_executors_and_coroutines_complete_into_a_process) {
  run([] {
    asio::thread_pool pool(1);
    auto strand = asio::make_strand(otp::io());
    EXPECT_EQ(complete<void(int)>([&](auto c) { asio::post(pool, std::move(c)); }, use_process, 1), 1);
    asio::post(strand, use_process);
    asio::post(pool, use_process);
    asio::steady_timer in_strand(strand, 1ms);
    in_strand.async_wait(use_process);
    asio::steady_timer elsewhere(pool, 1ms);
    elsewhere.async_wait(use_process);
    asio::steady_timer bound(otp::io(), 1ms);
    bound.async_wait(asio::bind_executor(strand, use_process));
    auto add = [](int a, int b) -> asio::awaitable<int> {
      asio::steady_timer timer(co_await asio::this_coro::executor, 1ms);
      co_await timer.async_wait(asio::use_awaitable);
      co_return a + b;
    };
    EXPECT_EQ(asio::co_spawn(otp::io(), add(1, 2), use_process), 3);
    tcp::resolver resolver(otp::io());
    EXPECT_FALSE(resolver.async_resolve("127.0.0.1", "80", use_process).empty());
    pool.join();
  });
}

// ---- deadlines ---------------------------------------------------------------------------------------------------

TEST(asio_test, an_operation_that_is_not_done_in_time_is_cancelled_and_reports_timed_out) {
  run([] {
    auto [mine, theirs] = connect();
    char bytes[4] = {};
    try {
      mine.async_read_some(asio::buffer(bytes), use_process.within(5ms));
      ADD_FAILURE() << "nobody wrote";
    } catch (const system_error& e) {
      EXPECT_EQ(e.code(), asio::error::timed_out);
    }
    error_code ec;
    mine.async_read_some(asio::buffer(bytes), use_process.within(0s)[ec]);
    EXPECT_EQ(ec, asio::error::timed_out);
    auto [ec2, n] = mine.async_read_some(asio::buffer(bytes), asio::as_tuple(use_process.within(1ms)));
    EXPECT_EQ(ec2, asio::error::timed_out);
    // What a composed operation has done until then is told, and the socket goes on.
    theirs.async_write_some(asio::buffer("abc", 3), use_process);
    EXPECT_EQ(asio::async_read(mine, asio::buffer(bytes), use_process.within(20ms)[ec]), 3U);
    EXPECT_EQ(ec, asio::error::timed_out);
    theirs.async_write_some(asio::buffer("d", 1), use_process);
    EXPECT_EQ(mine.async_read_some(asio::buffer(bytes), use_process.within(1h)[ec]), 1U);
    EXPECT_FALSE(ec);
    // A coroutine's error is an exception.
    auto forever = []() -> asio::awaitable<void> {
      asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
      co_await timer.async_wait(asio::use_awaitable);
    };
    asio::co_spawn(otp::io(), forever(), use_process.within(1ms)[ec]);
    EXPECT_EQ(ec, asio::error::timed_out);
    EXPECT_THROW(asio::co_spawn(otp::io(), forever(), use_process.within(1ms)), system_error);
  });
}

TEST(asio_test, one_deadline_covers_several_operations) {
  run([] {
    auto [mine, theirs] = connect();
    otp::instant started = otp::now();
    auto deadline = started + 30ms;
    asio::write(theirs, asio::buffer("ab", 2));
    char byte = 0;
    error_code ec;
    int reads = 0;
    while (mine.async_read_some(asio::buffer(&byte, 1), use_process.by(deadline)[ec])) ++reads;
    EXPECT_EQ(reads, 2);
    EXPECT_EQ(ec, asio::error::timed_out);
    EXPECT_GE(otp::now(), deadline);
    // The earlier of both counts; infinity is no deadline.
    mine.async_read_some(asio::buffer(&byte, 1), use_process.within(1h).by(started)[ec]);
    EXPECT_EQ(ec, asio::error::timed_out);
    mine.async_read_some(asio::buffer(&byte, 1), use_process.by(otp::now() + 1h).within(1ms)[ec]);
    EXPECT_EQ(ec, asio::error::timed_out);
    asio::write(theirs, asio::buffer("c", 1));
    EXPECT_EQ(mine.async_read_some(asio::buffer(&byte, 1), use_process.within(otp::infinity)), 1U);
  });
}

TEST(asio_test, an_operation_without_an_error_returns_although_its_time_was_up) {
  run([] {
    std::move_only_function<void()> later;
    auto held = [&](auto completion) { later = std::move(completion); };
    asio::steady_timer timer(otp::io(), 30ms);
    timer.async_wait([&](error_code) { later(); });
    EXPECT_EQ(complete<void(int)>(held, use_process.within(1ms), 1), 1);
    EXPECT_THROW(complete<void(int)>(inline_now, use_process.within(-1ns), 1), otp::bad_argument);
  });
}

// ---- a process that ends while it waits ----------------------------------------------------------------------------

// Ends a process in the middle of an operation; what is on its stack must still be there when the operation completes.
template <class Operation>
void expect_unwound_after_completion(Operation operation) {
  for (otp::exit_reason sent : {otp::exit_reason(otp::reason::kill), otp::exit_reason(std::string("other"))}) {
    bool unwound = false;
    otp::spawned child = spawn_watched([&] {
      struct guard {
        bool* flag;
        ~guard() { *flag = true; }
      } g{&unwound};
      operation();
      ADD_FAILURE() << "a process that was sent an exit signal goes on";
    });
    until_waiting(child.pid);
    otp::exit(child.pid, sent);
    otp::exit_reason why = reason_of(child);
    EXPECT_EQ(why, sent == otp::reason::kill ? otp::exit_reason(otp::reason::killed) : sent);
    EXPECT_TRUE(unwound);
  }
}

TEST(asio_test, an_exit_signal_cancels_the_operation_and_unwinds) {
  run([] {
    auto [mine, theirs] = connect();
    tcp::acceptor acceptor(otp::io(), any_port());
    std::vector<char> much(16U << 20U);
    expect_unwound_after_completion([&, s = &mine] {
      char bytes[10];
      s->async_read_some(asio::buffer(bytes), use_process);
    });
    expect_unwound_after_completion([&, s = &mine] {
      char bytes[10];
      asio::async_read(*s, asio::buffer(bytes), use_process[*std::make_unique<error_code>()]);
    });
    expect_unwound_after_completion([&, s = &mine] { asio::async_write(*s, asio::buffer(much), use_process); });
    expect_unwound_after_completion([&] { acceptor.async_accept(use_process); });
    expect_unwound_after_completion([&] {
      asio::steady_timer timer(otp::io(), 1h);
      timer.async_wait(use_process);
    });
    expect_unwound_after_completion([&] {
      asio::steady_timer timer(asio::make_strand(otp::io()), 1h);
      timer.async_wait(use_process.within(1h));
    });
    expect_unwound_after_completion([&] {
      asio::thread_pool pool(1);
      asio::steady_timer timer(pool, 1h);
      timer.async_wait(use_process);
    });
    expect_unwound_after_completion([&] {
      auto forever = []() -> asio::awaitable<void> {
        asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
        co_await timer.async_wait(asio::use_awaitable);
      };
      asio::co_spawn(otp::io(), forever(), use_process);
    });
    // The acceptor outlived the processes that waited on it.
    tcp::socket client(otp::io());
    client.connect(acceptor.local_endpoint());
    EXPECT_TRUE(acceptor.async_accept(use_process).is_open());
  });
}

TEST(asio_test, the_sockets_of_a_killed_process_are_closed) {
  run([] {
    auto [mine, theirs] = connect();
    otp::spawned child = spawn_watched([s = std::move(theirs)]() mutable {
      char byte = 0;
      s.async_read_some(asio::buffer(&byte, 1), use_process);
    });
    until_waiting(child.pid);
    otp::exit(child.pid, otp::reason::kill);
    char byte = 0;
    error_code ec;
    mine.async_read_some(asio::buffer(&byte, 1), use_process[ec]);
    EXPECT_EQ(ec, asio::error::eof);
    EXPECT_EQ(reason_of(child), otp::reason::killed);
  });
}

TEST(asio_test, a_process_that_traps_exits_goes_on_with_its_operation) {
  run([] {
    auto [mine, theirs] = connect();
    otp::spawned child = otp::spawn({.monitor = true, .trap_exit = true}, [s = std::move(mine)]() mutable {
      char byte = 0;
      EXPECT_EQ(s.async_read_some(asio::buffer(&byte, 1), use_process), 1U);
      otp::receive([](const otp::exit_signal& e) { EXPECT_EQ(e.reason, otp::reason::shutdown); });
    });
    until_waiting(child.pid);
    otp::exit(child.pid, otp::reason::shutdown);
    theirs.async_write_some(asio::buffer("k", 1), use_process);
    EXPECT_EQ(reason_of(child), otp::reason::normal);
  });
}

TEST(asio_test, an_object_destroyed_by_another_process_ends_the_operation_on_it) {
  run([] {
    for (bool killed : {false, true}) {
      auto timer = std::make_unique<asio::steady_timer>(otp::io(), 1h);
      otp::spawned child = spawn_watched([t = timer.get()] {
        error_code ec;
        t->async_wait(use_process[ec]);
        EXPECT_EQ(ec, asio::error::operation_aborted);
      });
      until_waiting(child.pid);
      timer.reset();
      if (killed) otp::exit(child.pid, otp::reason::kill);
      otp::exit_reason why = reason_of(child);
      EXPECT_TRUE(why == otp::reason::normal || (killed && why == otp::reason::killed)) << why.to_string();
    }
  });
}

TEST(asio_test, what_cannot_be_cancelled_is_waited_for_before_the_stack_unwinds) {
  run([] {
    std::move_only_function<void()> later;
    bool completed = false;
    bool unwound = false;
    bool completed_before_unwinding = false;
    otp::pid test = otp::self();
    otp::spawned child = spawn_watched([&] {
      struct guard {
        std::function<void()> then;
        ~guard() { then(); }
      } g{[&] {
        completed_before_unwinding = completed;
        unwound = true;
      }};
      complete<void(int)>(
          [&](auto completion) {
            later = std::move(completion);
            otp::send(test, std::string("started"));
          },
          use_process, 1);
    });
    otp::receive([](const std::string&) {});
    until_waiting(child.pid);
    otp::exit(child.pid, otp::reason::shutdown);
    asio::post(otp::io(), use_process);  // the cancellation has come before, and found nobody
    asio::post(otp::io(), use_process);
    asio::post(otp::io(), [&] {
      EXPECT_FALSE(unwound);
      completed = true;
      later();
    });
    EXPECT_EQ(reason_of(child), otp::reason::shutdown);
    EXPECT_TRUE(completed_before_unwinding);
  });
}

TEST(asio_test, a_killed_process_whose_operation_never_completes_is_abandoned_and_a_late_completion_is_harmless) {
  otp::runtime rt({.workers = 2, .kill_budget = 20ms});
  rt.start();
  auto later = std::make_unique<std::move_only_function<void()>>();
  EXPECT_TRUE(rt.run([&] {
                  otp::spawned child = spawn_watched([&] {
                    complete<void(int)>([&](auto completion) { *later = std::move(completion); }, use_process, 1);
                  });
                  until_waiting(child.pid);
                  otp::exit(child.pid, otp::reason::kill);
                  EXPECT_EQ(reason_of(child), otp::reason::killed);
                  (*later)();
                  later.reset();
                  asio::post(otp::io(), use_process);
                }).is_normal());
  EXPECT_EQ(rt.stop().abandoned.size(), 1U);
}

TEST(asio_test, a_composed_operation_that_overlooks_a_cancellation_is_asked_again) {
  run([] {
    struct state {
      asio::cancellation_slot slot;
      int asked = 0;
      std::move_only_function<void(error_code)> handler;
    };
    state s;
    otp::spawned child = spawn_watched([&] {
      asio::async_initiate<decltype(use_process), void(error_code)>(
          [&]<class Handler>(Handler handler) {
            s.slot = asio::get_associated_cancellation_slot(handler);
            s.handler = std::move(handler);
            s.slot.assign([&](asio::cancellation_type) {
              if (++s.asked < 3) return;
              asio::post(otp::io(), [&] { s.handler(asio::error::operation_aborted); });
            });
          },
          use_process);
    });
    until_waiting(child.pid);
    otp::exit(child.pid, otp::reason::shutdown);
    EXPECT_EQ(reason_of(child), otp::reason::shutdown);
    EXPECT_EQ(s.asked, 3);
  });
}

TEST(asio_test, a_dying_process_may_say_goodbye_in_a_destructor) {
  run([] {
    auto [mine, theirs] = connect();
    otp::spawned child = spawn_watched([s = std::move(mine)]() mutable {
      struct goodbye {
        tcp::socket& socket;
        ~goodbye() { socket.async_write_some(asio::buffer("bye", 3), use_process); }
      } g{s};
      char byte = 0;
      s.async_read_some(asio::buffer(&byte, 1), use_process);
    });
    until_waiting(child.pid);
    otp::exit(child.pid, otp::reason::kill);
    char bytes[3];
    asio::async_read(theirs, asio::buffer(bytes), use_process);
    EXPECT_EQ(std::string(bytes, 3), "bye");
    EXPECT_EQ(reason_of(child), otp::reason::killed);
  });
}

TEST(asio_test, stop_ends_processes_that_wait_for_io) {
  std::size_t before = open_files();
  for (int i = 0; i < 20; ++i) {
    otp::runtime rt({.workers = 2});
    rt.start();
    EXPECT_TRUE(rt.run([] {
                    for (int j = 0; j < 10; ++j) {
                      auto [mine, theirs] = connect();
                      until_waiting(otp::spawn([s = std::move(mine), t = std::move(theirs)]() mutable {
                        char byte = 0;
                        s.async_read_some(asio::buffer(&byte, 1), use_process);
                      }));
                    }
                  }).is_normal());
    EXPECT_TRUE(rt.stop().clean());
  }
  EXPECT_EQ(open_files(), before);
}

// ---- the context -------------------------------------------------------------------------------------------------

TEST(asio_test, there_is_no_io_under_the_seeded_engine_nor_outside_of_a_runtime) {
  EXPECT_THROW(otp::io(), otp::bad_argument);
  asio::io_context own;
  asio::steady_timer timer(own, 1h);
  EXPECT_THROW(timer.async_wait(use_process), otp::bad_argument);
  otp::testing::run([] {
    try {
      otp::io();
      ADD_FAILURE() << "there is none";
    } catch (const otp::bad_argument& e) {
      EXPECT_NE(std::string(e.what()).find("seeded"), std::string::npos);
    }
    asio::io_context mine;
    asio::steady_timer t(mine, 1h);
    EXPECT_THROW(t.async_wait(use_process), otp::bad_argument);
    std::jthread([] { EXPECT_THROW(otp::io(), otp::bad_argument); });
  });
}

struct recorder : otp::event_listener {
  std::mutex lock;
  std::vector<std::string> seen;
  void on_event(const otp::event& e) override {
    std::lock_guard guard(lock);
    seen.emplace_back(e.what);
  }
  bool has(std::string_view what) {
    std::lock_guard guard(lock);
    return std::ranges::find(seen, what) != seen.end();
  }
};

TEST(asio_test, plain_handlers_run_on_workers_and_their_exceptions_end_nobody) {
  recorder events;
  otp::runtime rt({.workers = 2, .listener = &events});
  rt.start();
  asio::io_context& io = otp::io(rt);  // from a thread that is no worker
  EXPECT_TRUE(rt.run([&] {
                  EXPECT_EQ(&otp::io(), &io);
                  otp::pid test = otp::self();
                  asio::post(io, [test] {
                    EXPECT_FALSE(otp::self());
                    EXPECT_THROW(otp::sleep(1ms), otp::bad_argument);
                    otp::send(test, 1);
                  });
                  EXPECT_EQ(otp::receive([](int n) { return n; }), 1);
                  asio::post(io, [] { throw std::runtime_error("oops"); });
                  asio::post(io, use_process);
                  io.stop();  // it is the runtime's: it goes on
                  asio::steady_timer timer(io, 1ms);
                  timer.async_wait(use_process);
                }).is_normal());
  EXPECT_TRUE(rt.stop().clean());
  EXPECT_TRUE(events.has("io_handler_failed"));
  EXPECT_TRUE(events.has("io_stopped"));
}

TEST(asio_test, work_from_outside_reaches_workers_that_wait_in_the_poller) {
  otp::runtime rt({.workers = 2});
  rt.start();
  asio::io_context& io = otp::io(rt);
  otp::pid echo = rt.spawn([] {
    for (;;) otp::receive([](otp::pid to) { otp::send(to, otp::self()); });
  });
  for (int i = 0; i < 200; ++i) {
    // A spawn, a message and a post from a foreign thread, each with all workers asleep or about to be.
    EXPECT_TRUE(rt.run([&] {
                    otp::send(echo, otp::self());
                    otp::receive([](otp::pid) {});
                  }).is_normal());
    std::atomic<bool> done{false};
    asio::post(io, [&] {
      done = true;
      done.notify_one();
    });
    done.wait(false);
  }
  EXPECT_TRUE(rt.stop().clean());
}

TEST(asio_test, the_scheduler_s_timers_stay_exact_while_a_worker_waits_in_the_poller) {
  run(
      [] {
        otp::spawned other = spawn_watched([] {
          asio::steady_timer unrelated(otp::io(), 1h);
          unrelated.async_wait(use_process);
        });
        until_waiting(other.pid);
        otp::duration shortest = otp::infinity;
        for (int i = 0; i < 200; ++i) {
          otp::instant start = otp::now();
          otp::sleep(150us);
          otp::duration slept = otp::now() - start;
          EXPECT_GE(slept, 150us);
          shortest = std::min(shortest, slept);
        }
        EXPECT_LT(shortest, 900us) << "epoll counts milliseconds; the alarm must not";
        otp::exit(other.pid, otp::reason::kill);
        EXPECT_EQ(reason_of(other), otp::reason::killed);
      },
      {.workers = 1});
}

TEST(asio_test, an_idle_service_uses_no_processor_time) {
  run([] {
    constexpr int connections = 100;
    std::vector<connection> all;
    std::vector<otp::pid> readers;
    all.reserve(connections);
    for (int i = 0; i < connections; ++i) {
      all.push_back(connect());
      readers.push_back(otp::spawn([s = &all.back().mine] {
        char byte = 0;
        s->async_read_some(asio::buffer(&byte, 1), use_process);
      }));
    }
    for (otp::pid reader : readers) until_waiting(reader);
    otp::sleep(200ms);  // the watchdog goes to sleep as well
    double before = processor_seconds();
    otp::sleep(1s);
    EXPECT_LT(processor_seconds() - before, 0.01);
    for (otp::pid reader : readers) otp::exit(reader, otp::reason::kill);
    while (otp::process_count() > 1) otp::yield();
  });
}

// covers: J04
TEST(asio_test, signals_do_not_surface_as_errors_and_lose_no_timer) {
  struct sigaction counting{};
  static std::atomic<int> caught{0};
  counting.sa_handler = [](int) { caught.fetch_add(1); };  // without SA_RESTART
  struct sigaction before{};
  sigaction(SIGUSR1, &counting, &before);
  run([] {
    std::jthread storm([](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        kill(getpid(), SIGUSR1);
        std::this_thread::sleep_for(500us);
      }
    });
    auto [mine, theirs] = connect();
    otp::spawned echo = spawn_watched([s = std::move(theirs)]() mutable {
      char bytes[64];
      error_code ec;
      while (std::size_t n = s.async_read_some(asio::buffer(bytes), use_process[ec]))
        asio::async_write(s, asio::buffer(bytes, n), use_process);
      EXPECT_EQ(ec, asio::error::eof);
    });
    int timers = 0;
    for (int i = 0; caught.load() < 1000; ++i) {
      char bytes[64] = {static_cast<char>(i)};
      asio::async_write(mine, asio::buffer(bytes), use_process);
      asio::async_read(mine, asio::buffer(bytes), use_process);
      EXPECT_EQ(bytes[0], static_cast<char>(i));
      asio::steady_timer timer(otp::io(), 1ms);
      timer.async_wait(use_process);
      otp::sleep(1ms);
      ++timers;
    }
    EXPECT_GT(timers, 10);
    mine.close();
    EXPECT_EQ(reason_of(echo), otp::reason::normal);
  });
  sigaction(SIGUSR1, &before, nullptr);
}

TEST(asio_test, a_peer_that_closes_during_a_write_gives_an_error_and_no_signal) {
  ::signal(SIGPIPE, SIG_DFL);
  run([] {
    auto [mine, theirs] = connect();
    otp::spawned writer = spawn_watched([s = std::move(mine)]() mutable {
      std::vector<char> much(16U << 20U);
      error_code ec;
      asio::async_write(s, asio::buffer(much), use_process[ec]);
      EXPECT_TRUE(ec == asio::error::broken_pipe || ec == asio::error::connection_reset) << ec.message();
    });
    until_waiting(writer.pid);
    theirs.close();
    EXPECT_EQ(reason_of(writer), otp::reason::normal);
  });
}

// ---- a service ---------------------------------------------------------------------------------------------------

TEST(asio_test, a_hundred_connections_each_have_their_process) {
  for (unsigned workers : {1U, 2U, 4U})
    run(
        [] {
          constexpr int clients = 100;
          constexpr int rounds = 50;
          tcp::acceptor acceptor(otp::io(), any_port());
          tcp::endpoint address = acceptor.local_endpoint();
          otp::pid listener = otp::spawn([a = std::move(acceptor)]() mutable {
            for (;;)
              otp::spawn([s = a.async_accept(use_process)]() mutable {
                char bytes[256];
                error_code ec;
                while (std::size_t n = s.async_read_some(asio::buffer(bytes), use_process[ec]))
                  asio::async_write(s, asio::buffer(bytes, n), use_process);
              });
          });
          std::vector<otp::spawned> all;
          for (int c = 0; c < clients; ++c)
            all.push_back(spawn_watched([c, address] {
              tcp::socket s(otp::io());
              s.async_connect(address, use_process);
              std::string sent(static_cast<std::size_t>(c + 1), static_cast<char>('a' + c % 26));
              std::string got(sent.size(), 0);
              for (int r = 0; r < rounds; ++r) {
                asio::async_write(s, asio::buffer(sent), use_process);
                asio::async_read(s, asio::buffer(got), use_process.within(60s));
                EXPECT_EQ(got, sent);
              }
            }));
          for (auto& client : all) EXPECT_EQ(reason_of(client), otp::reason::normal);
          otp::exit(listener, otp::reason::kill);
        },
        {.workers = workers});
}

}  // namespace
