// J: signals, forks, standard error, and how many processors there are.
#include "faults/support.hpp"

#include "process/runtime_core.hpp"
#include "runtime/cpus.hpp"

#include <otp/blocking.hpp>
#include <otp/gen_server.hpp>
#include <otp/supervisor.hpp>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <thread>

using namespace faults;
using otp::pid;

namespace {

struct go {};

std::size_t times(std::string_view text, std::string_view part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++n;
  return n;
}

// Says on stderr when it is stopped.
struct speaker {
  explicit speaker(std::string n) : name(std::move(n)) { otp::trap_exit(true); }
  void handle_cast(const go&) {}
  void terminate(const otp::exit_reason& why) {
    std::fprintf(stderr, "%s stopped: %s\n", name.c_str(), why.to_string().c_str());
  }
  std::string name;
};
otp::child_spec speaking(const std::string& name) {
  return otp::child_function(name, [name] { return otp::gen_server::start_link<speaker>({}, name); });
}

// Never lets itself be stopped, except by a kill.
struct stubborn {
  stubborn() { otp::trap_exit(true); }
  void handle_cast(const go&) {}
  void terminate(const otp::exit_reason&) {
    ::kill(::getpid(), SIGTERM);
    otp::sleep(otp::infinity);
  }
};

}  // namespace

// covers: J02
TEST(a_peer_that_closes_during_a_write, is_an_error_and_not_the_end_of_the_program) {
  auto child = in_child([] {
    return otp::run([] {
      int pipe_ends[2];
      EXPECT_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
      ::close(pipe_ends[0]);
      EXPECT_EQ(::write(pipe_ends[1], "x", 1), -1);
      EXPECT_EQ(errno, EPIPE);
      int socket_ends[2];
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socket_ends), 0);
      ::close(socket_ends[0]);
      otp::blocking([&] { EXPECT_EQ(::write(socket_ends[1], "x", 1), -1); });
      ::close(pipe_ends[1]);
      ::close(socket_ends[1]);
    });
  });
  EXPECT_TRUE(child.exited(0)) << child.status << child.errors;
}

// covers: J02
TEST(sigterm, stops_the_tree_in_order) {
  for (int signal : {SIGTERM, SIGINT}) {
    SCOPED_TRACE(signal);
    auto child = in_child([signal] {
      auto begin = std::chrono::steady_clock::now();
      int code = otp::run([signal] {
        auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one,
                                                .children = {speaking("first"), speaking("second"), speaking("third")}})
                       .value();
        otp::spawn([signal] { ::kill(::getpid(), signal); });
        otp::wait_for_shutdown();
        std::fprintf(stderr, "asked to stop\n");
        otp::supervisor::stop(sup);
      });
      EXPECT_LT(std::chrono::steady_clock::now() - begin, 20s);
      return code;
    });
    EXPECT_TRUE(child.exited(0)) << child.status << child.errors;
    EXPECT_EQ(child.errors,
              "asked to stop\nthird stopped: shutdown\nsecond stopped: shutdown\nfirst stopped: shutdown\n");
  }
}

// covers: J02
TEST(sigterm, also_stops_a_program_whose_first_process_does_not_wait_for_it) {
  auto child = in_child([] {
    otp::runtime_options o;
    o.stop_budget = 4s;
    auto begin = std::chrono::steady_clock::now();
    int code = otp::run(
        [] {
          otp::supervisor::start_link(
              {.strategy = otp::one_for_one, .children = {speaking("first"), speaking("second")}})
              .value();
          otp::spawn([] { ::kill(::getpid(), SIGTERM); });
          otp::sleep(otp::infinity);
        },
        o);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 4s * (asan || tsan ? 4 : 1));
    return code;
  });
  EXPECT_TRUE(child.exited(0)) << child.status << child.errors;
  EXPECT_EQ(child.errors, "second stopped: shutdown\nfirst stopped: shutdown\n");
}

// covers: J02
TEST(a_second_signal, ends_the_program_at_once) {
  auto child = in_child([] {
    otp::runtime_options o;
    o.stop_budget = 1h;
    return otp::run(
        [] {
          auto start = [] { return otp::gen_server::start_link<stubborn>({}); };
          auto sup = otp::supervisor::start_link(
                         {.strategy = otp::one_for_one,
                          .children = {otp::child_function("stubborn", start).shutdown(otp::infinity)}})
                         .value();
          ::kill(::getpid(), SIGTERM);  // the second one comes from its terminate
          otp::wait_for_shutdown();
          otp::supervisor::stop(sup);
        },
        o);
  });
  EXPECT_TRUE(child.exited(128 + SIGTERM)) << child.status << child.errors;
}

// covers: J02
TEST(handlers_of_the_program, are_back_after_run_and_untouched_where_they_are_not_wanted) {
  auto child = in_child([] {
    static std::atomic<int> mine{0};
    auto handler = [](int) { mine.fetch_add(1); };
    ::signal(SIGTERM, handler);
    ::signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(otp::run([] {
                struct sigaction now{};
                ::sigaction(SIGPIPE, nullptr, &now);
                EXPECT_EQ(now.sa_handler, SIG_IGN);
              }),
              0);
    ::raise(SIGTERM);
    EXPECT_EQ(mine, 1);
    otp::runtime_options o;
    o.handle_signals = false;
    EXPECT_EQ(otp::run([] { ::kill(::getpid(), SIGTERM); }, o), 0);
    EXPECT_TRUE(eventually([] { return mine == 2; }));
    return 0;
  });
  EXPECT_TRUE(child.exited(0)) << child.status << child.errors;
}

namespace {

int wait_for(::pid_t child) {
  int status = 0;
  otp::blocking([&] {
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
  });
  return status;
}

}  // namespace

// covers: J03
TEST(a_program_started_from_a_callback, runs_as_from_anywhere) {
  auto child = in_child([] {
    return otp::run([] {
      // What it finds: no signal blocked or ignored, though ours are handled.
      constexpr const char* script = "trap - TERM; kill -TERM $$; sleep 60; echo not reached";
      for (int i = 0; i < 20; ++i) {
        ::pid_t started = ::fork();
        if (started == 0) {
          if (i % 2) ::execl("/bin/sh", "sh", "-c", script, nullptr);
          ::execl("/bin/sh", "sh", "-c", "exit 7", nullptr);
          ::_exit(99);
        }
        int status = wait_for(started);
        if (i % 2) {
          EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) << status;
        } else {
          EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
        }
      }
    });
  });
  EXPECT_TRUE(child.exited(0)) << child.status << child.errors;
}

namespace {

struct silent {
  void handle_cast(const go&) {}
};

}  // namespace

// covers: J03
TEST(a_forked_child, is_told_that_the_runtime_stayed_behind_and_the_parent_is_unharmed) {
  program p;
  p.run([&] {
    auto server = otp::gen_server::start<silent>({.name = "server"}).value();
    for (int i = 0; i < 5; ++i) {
      ::pid_t forked = ::fork();
      if (forked == 0) {
        int told = 0;
        auto refuses = [&](auto&& call) {
          try {
            call();
          } catch (const otp::bad_argument& e) {
            std::string text = e.what();
            told += text.find("forked child") != text.npos && text.find("exec") != text.npos;
          } catch (...) {
          }
        };
        refuses([] { otp::spawn([] {}); });
        refuses([&] { otp::send(server.pid(), go{}); });
        refuses([] { otp::send("server", go{}); });
        refuses([&] { otp::cast(server, go{}); });
        refuses([] { otp::sleep(1ms); });
        refuses([] { otp::receive([](const go&) {}); });
        refuses([] { otp::blocking([] {}); });
        refuses([] { otp::whereis("server"); });
        refuses([&] { p.rt().spawn([] {}); });
        refuses([&] { p.rt().run([] {}); });
        refuses([&] { p.rt().stop(); });
        refuses([&] { static_cast<void>(p.rt().counters()); });
        bool alone = !otp::self() && !otp::runtime::current() && !p.rt().started();
        bool own = true;
        if (!tsan) {  // it starts no threads in a fork of many
          otp::runtime mine;
          mine.start();
          own = mine.run([] { otp::sleep(1ms); }).is_normal() && mine.stop().clean();
        }
        ::_exit(told == 12 && alone && own ? 42 : told);
      }
      ASSERT_GT(forked, 0);
      int status = wait_for(forked);
      EXPECT_TRUE(WIFEXITED(status)) << status;
      EXPECT_EQ(WEXITSTATUS(status), 42);
      EXPECT_EQ(otp::whereis("server"), server.pid());
    }
    otp::gen_server::stop(server);
  });
}

namespace {

// Ends some processes with an error, each of which is reported to stderr, and says how many of the reports were lost.
std::uint64_t lost_of(int crashes) {
  otp::runtime_options o;
  o.events_per_second = 1'000'000;
  otp::runtime rt(o);
  rt.start();
  auto why = rt.run([&] {
    for (int i = 0; i < crashes; ++i)
      EXPECT_EQ(end_of([] { throw std::runtime_error("told on stderr"); }).what(), otp::exit_reason::kind::error);
  });
  EXPECT_TRUE(why.is_normal());
  EXPECT_TRUE(rt.stop().clean());
  return rt.counters().reports_lost;
}

}  // namespace

// covers: J05
TEST(a_stderr_that_takes_nothing, holds_nobody_up_and_what_is_lost_is_counted) {
  auto with = [](const char* how, void (*spoil)()) {
    SCOPED_TRACE(how);
    auto child = in_child([spoil] {
      int before = ::dup(STDERR_FILENO);
      spoil();
      std::uint64_t lost = lost_of(200);
      ::dup2(before, STDERR_FILENO);
      std::fprintf(stderr, "lost %d\n", static_cast<int>(lost));
      return 0;
    });
    EXPECT_TRUE(child.exited(0)) << child.status << child.errors;
    return child.errors;
  };
  EXPECT_EQ(with("closed", [] { ::close(STDERR_FILENO); }), "lost 200\n");
  EXPECT_EQ(with("also stdin and stdout",
                 [] {
                   for (int fd : {0, 1, 2}) ::close(fd);
                 }),
            "lost 200\n");
  EXPECT_EQ(with("a full disk",
                 [] {
                   int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
                   ::dup2(full, STDERR_FILENO);
                   ::close(full);
                 }),
            "lost 200\n");
  EXPECT_EQ(with("a pipe whose reader is gone",
                 [] {
                   int ends[2];
                   EXPECT_EQ(::pipe(ends), 0);
                   ::close(ends[0]);
                   ::dup2(ends[1], STDERR_FILENO);
                   ::close(ends[1]);
                 }),
            "lost 200\n");
  EXPECT_EQ(with("a pipe that nobody reads",
                 [] {
                   int ends[2];
                   EXPECT_EQ(::pipe(ends), 0);
                   ::dup2(ends[1], STDERR_FILENO);
                   ::fcntl(ends[1], F_SETFL, O_NONBLOCK);
                   std::string much(4096, 'x');
                   while (::write(ends[1], much.data(), much.size()) > 0) {
                   }
                   while (::write(ends[1], "x", 1) > 0) {
                   }
                   ::fcntl(ends[1], F_SETFL, 0);  // the runtime has to find out for itself
                   ::close(ends[1]);
                 }),
            "lost 200\n");
  std::string told = with("as it should be", [] {});
  EXPECT_EQ(times(told, "told on stderr"), 200U);
  EXPECT_NE(told.find("lost 0\n"), told.npos) << told.substr(0, 500);
}

// covers: J06
TEST(workers, are_as_many_as_the_program_may_use) {
  if (std::getenv("OTP_WORKERS")) GTEST_SKIP() << "the environment says how many";
  {
    otp::runtime rt;
    EXPECT_EQ(rt.core().sched.workers(), std::min(32U, otp::detail::usable_cpus()));
  }
  auto child = in_child([] {
    cpu_set_t all;
    EXPECT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i)
      if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
    EXPECT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    program p;
    EXPECT_EQ(p.rt().core().sched.workers(), 1U);
    // And on one core all goes on as ever: timers, calls, the pool.
    p.run([] {
      auto server = otp::gen_server::start_link<speaker>({}, "on one core").value();
      otp::cast(server, go{});
      otp::send_after(5ms, otp::self(), go{});
      otp::receive([](const go&) {});
      EXPECT_EQ(otp::blocking([] { return 3; }), 3);
      EXPECT_EQ(end_of([] { otp::sleep(1ms); }), otp::reason::normal);
      otp::gen_server::stop(server);
    });
    return 0;
  });
  EXPECT_TRUE(child.exited(0)) << child.status << child.errors;
}

// covers: J06
TEST(the_environment, may_say_how_many_workers_there_are) {
  auto child = in_child([] {
    ::setenv("OTP_WORKERS", "3", 1);
    {
      otp::runtime rt({.workers = 1});
      EXPECT_EQ(rt.core().sched.workers(), 3U);
    }
    for (const char* bad : {"-1", "33", "two", "1x", "99999999999999999999"}) {
      ::setenv("OTP_WORKERS", bad, 1);
      try {
        otp::runtime rt;
        ADD_FAILURE() << bad;
      } catch (const otp::bad_argument& e) {
        EXPECT_NE(std::string(e.what()).find("OTP_WORKERS"), std::string::npos) << e.what();
        EXPECT_NE(std::string(e.what()).find(bad), std::string::npos) << e.what();
      }
    }
    return 0;
  });
  EXPECT_TRUE(child.exited(0)) << child.status << child.errors;
}
