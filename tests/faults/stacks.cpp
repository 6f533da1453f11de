// F: stacks that end, exceptions across waits, and limits of memory.
#include "faults/support.hpp"
#include "overflow.hpp"

#include <otp/blocking.hpp>
#include <otp/gen_server.hpp>
#include <otp/supervisor.hpp>

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <exception>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <thread>

#if OTP_DETAIL_ASAN
#include <sanitizer/lsan_interface.h>
#endif

using namespace faults;
using otp::exit_reason;
using otp::pid;
using tests::one_large_frame;
using tests::recurse;
using tests::sink;

namespace {

struct go {};
struct dive {};
struct array {};
struct boundary {};
struct hello {
  using reply = int;
};

[[gnu::noinline]] void throw_something() { throw std::runtime_error("nobody expects it"); }
[[gnu::noinline]] void meet_noexcept() noexcept { throw_something(); }

struct diver {
  void handle_cast(const dive&) { sink = recurse(0); }
  void handle_cast(const array&) { sink = one_large_frame(sink & 7); }
  void handle_cast(const boundary&) { meet_noexcept(); }
  int handle_call(const hello&) { return 1; }
};

// What stderr and the exit say of a program whose server dies of `message`. The sanitizers end a program their own way
// after us.
template <class Message>
child_result dies_of(int signal) {
  auto child = in_child([] {
    return otp::run([] {
      auto server = otp::gen_server::start<diver>({.name = "the diver", .spawn = {.stack_size = 512 * 1024}}).value();
      otp::cast(server, Message{});
      otp::sleep(1min);
    });
  });
  if (asan || tsan)
    EXPECT_FALSE(child.exited(0)) << child.errors;
  else
    EXPECT_TRUE(child.signalled(signal)) << child.status << child.errors;
  auto says = [&](std::string_view text) {
    EXPECT_NE(child.errors.find(text), std::string::npos) << text << " in: " << child.errors;
  };
  says("process <0.");
  says("\"the diver\"");
  says("diver)");
  says(otp::detail::type_name<Message>);
  says("stack_size 524288");
  EXPECT_EQ(child.errors.find("otp: fatal", child.errors.find("otp: fatal") + 1), std::string::npos)
      << "one block, not two: " << child.errors;
  return child;
}

// Lost with the stack that they were thrown on, by design.
struct without_leak_check {
#if OTP_DETAIL_ASAN
  without_leak_check() { __lsan_disable(); }
  ~without_leak_check() { __lsan_enable(); }
#endif
};

}  // namespace

// covers: F01
TEST(endless_recursion, ends_the_program_with_a_diagnosis) {
  auto child = dies_of<dive>(SIGSEGV);
  EXPECT_NE(child.errors.find("otp: fatal: stack overflow in process"), std::string::npos) << child.errors;
  EXPECT_NE(child.errors.find("remedy: give this process a larger stack (stack_size)"), std::string::npos);
}

// covers: F02
TEST(one_local_array_of_a_mebibyte, ends_the_program_with_a_diagnosis) {
  auto child = dies_of<array>(SIGSEGV);
  EXPECT_NE(child.errors.find("otp: fatal: stack overflow in process"), std::string::npos) << child.errors;
}

// covers: F05
TEST(an_exception_that_leaves_a_noexcept_callback, ends_the_program_with_a_diagnosis) {
  auto child = dies_of<boundary>(SIGABRT);
  EXPECT_NE(child.errors.find("otp: fatal: std::terminate in process"), std::string::npos) << child.errors;
  EXPECT_NE(child.errors.find("std::runtime_error: nobody expects it"), std::string::npos) << child.errors;
  EXPECT_NE(child.errors.find("noexcept"), std::string::npos) << child.errors;
}

// covers: F01 F02
TEST(contained_overflows, end_their_process_alone_ten_thousand_times_in_a_row) {
  if (asan) GTEST_SKIP() << "AddressSanitizer owns SIGSEGV: nothing is contained";
  constexpr int rounds = tsan ? 300 : 10'000;
  otp::runtime_options o;
  o.contain_stack_overflow = true;
  o.kill_budget = 1ms;
  program p(o);
  std::size_t early = 0;
  p.run([&] {
    // A neighbour with its whole stack in use, suspended meanwhile.
    auto [neighbour, n] = otp::spawn_monitor([] {
      volatile char painted[32 * 1024];
      for (volatile char& c : painted) c = 0x5a;
      otp::receive([](const go&) {});
      for (volatile char& c : painted)
        if (c != 0x5a) otp::exit("a byte of a neighbour's stack changed");
    });
    for (int i = 0; i < rounds; ++i) {
      bool named = i % 100 == 0;
      exit_reason why = end_of(
          [&] {
            if (named) otp::register_name("deep", otp::self());
            sink = i % 2 ? recurse(0) : one_large_frame(sink & 7);
          },
          {.stack_size = 64 * 1024});
      ASSERT_EQ(why, otp::reason::stack_overflow) << why.to_string();
      if (named) {
        EXPECT_FALSE(otp::whereis("deep"));
        EXPECT_NE(why.text().find(tsan ? "131072 bytes" : "65536 bytes"), std::string_view::npos) << why.text();
        EXPECT_NE(why.text().find("stack_size"), std::string_view::npos) << why.text();
      }
      if (i == rounds / 10) early = resident_bytes();
    }
    otp::send(neighbour, go{});
    EXPECT_EQ(reason_of(n), otp::reason::normal);
    // The workers are as good as new.
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    EXPECT_EQ(otp::blocking([] { return 5; }), 5);
  });
  EXPECT_GE(p.events().count("abandoned"), 1U);
  EXPECT_EQ(p.rt().counters().abandoned, static_cast<std::uint64_t>(rounds));
  EXPECT_LT(resident_bytes(), early + (std::size_t{tsan ? 512 : 192} << 20)) << early;
  p.stop();  // its report lists them all: not a clean one
}

// covers: F01
TEST(a_server_whose_stack_overflows, is_restarted_by_its_supervisor) {
  if (asan) GTEST_SKIP() << "AddressSanitizer owns SIGSEGV: nothing is contained";
  otp::runtime_options o;
  o.contain_stack_overflow = true;
  program p(o);
  p.run([] {
    otp::trap_exit(true);
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one,
                    .children = {otp::child_function(
                        "diver", [] { return otp::gen_server::start_link<diver>({.name = "the diver"}); })}})
                   .value();
    for (int i = 0; i < 3; ++i) {
      pid before = otp::whereis("the diver").value();
      otp::ref gone = otp::monitor(before);
      otp::cast(otp::server<diver>(before), dive{});
      EXPECT_EQ(reason_of(gone), otp::reason::stack_overflow);
      EXPECT_TRUE(eventually_here([&] {
        auto now = otp::whereis("the diver");
        return now && *now != before && otp::call(otp::server<diver>(*now), hello{}) == 1;
      }));
    }
    otp::supervisor::stop(sup);
  });
  p.stop();
}

// covers: F05
TEST(a_contained_terminate, ends_its_process_with_the_exception_as_reason) {
  [[maybe_unused]] without_leak_check exceptions_are_lost;
  constexpr int rounds = asan || tsan ? 200 : 2000;
  otp::runtime_options o;
  o.contain_terminate = true;
  program p(o);
  p.run([] {
    for (int i = 0; i < rounds; ++i) {
      exit_reason why = end_of([] { meet_noexcept(); });
      ASSERT_EQ(why.what(), exit_reason::kind::error) << why.to_string();
      EXPECT_EQ(why.error_type(), "std::runtime_error");
      EXPECT_EQ(why.text(), "nobody expects it");
      EXPECT_EQ(std::uncaught_exceptions(), 0);
      EXPECT_EQ(std::current_exception(), nullptr);
    }
    exit_reason why = end_of([] { std::terminate(); });
    EXPECT_EQ(why.error_type(), "std::terminate") << why.to_string();
  });
  EXPECT_EQ(p.rt().counters().abandoned, static_cast<std::uint64_t>(rounds) + 1);
  p.stop();
}

namespace {

struct own_error : std::runtime_error {
  own_error(pid w, int n) : std::runtime_error("error " + std::to_string(n)), who(w), number(n) {}
  pid who;
  int number;
};

// Every kind of wait.
void some_wait(int kind) {
  switch (kind % 4) {
    case 0: otp::sleep(1us); break;
    case 1: otp::yield(); break;
    case 2:
      otp::send_after(1us, otp::self(), go{});
      otp::receive([](const go&) {});
      break;
    default:
      otp::blocking([] {
        try {
          throw 5;  // on a thread that is no worker
        } catch (int) {
        }
      });
  }
}

void throw_wait_and_rethrow(int seed) {
  for (int i = 0; i < 20; ++i) {
    bool came = false;
    try {
      try {
        throw own_error(otp::self(), i);
      } catch (...) {
        some_wait(seed + i);
        try {
          throw own_error(otp::self(), -i);  // a second one, over before the first goes on
        } catch (const own_error& inner) {
          some_wait(seed + i + 1);
          EXPECT_EQ(inner.number, -i);
        }
        EXPECT_NE(std::current_exception(), nullptr);
        throw;
      }
    } catch (const own_error& e) {
      came = true;
      EXPECT_EQ(e.who, otp::self()) << "somebody else's exception";
      EXPECT_EQ(e.number, i);
      EXPECT_EQ(e.what(), "error " + std::to_string(i));
    }
    EXPECT_TRUE(came);
    EXPECT_EQ(std::current_exception(), nullptr);
    EXPECT_EQ(std::uncaught_exceptions(), 0);
  }
}

struct waits_in_destructor {
  int kind;
  int expected;
  int& seen;
  ~waits_in_destructor() {
    EXPECT_EQ(std::uncaught_exceptions(), expected);
    some_wait(kind);
    EXPECT_EQ(std::uncaught_exceptions(), expected);
    ++seen;
  }
};

void unwind_with_waits(int seed) {
  int seen = 0;
  for (int i = 0; i < 10; ++i) {
    {
      waits_in_destructor calm{seed + i, 0, seen};
    }
    try {
      waits_in_destructor outer{seed + i, 1, seen};
      struct nested {
        int kind;
        int& seen;
        ~nested() {
          try {
            waits_in_destructor inner{kind, 2, seen};
            throw 2;
          } catch (int n) {
            EXPECT_EQ(n, 2);
            EXPECT_EQ(std::uncaught_exceptions(), 1);
          }
        }
      } both{seed + i, seen};
      throw own_error(otp::self(), i);
    } catch (const own_error& e) {
      EXPECT_EQ(e.who, otp::self());
    }
    EXPECT_EQ(std::uncaught_exceptions(), 0);
  }
  EXPECT_EQ(seen, 30);
}

void many(int count, void (*body)(int)) {
  std::vector<otp::ref> ends;
  for (int i = 0; i < count; ++i) ends.push_back(otp::spawn_monitor([body, i] { body(i); }).monitor);
  for (otp::ref end : ends) {
    EXPECT_EQ(reason_of(end), otp::reason::normal);
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    EXPECT_EQ(std::current_exception(), nullptr);
  }
}

}  // namespace

// covers: F03
TEST(a_wait_inside_a_catch_block, does_not_change_what_is_rethrown) {
  for_seeds(load(50, 20, 10), [] { many(30, throw_wait_and_rethrow); });
  otp::runtime_options o;
  o.workers = 2;
  in_real_time([] { many(load(500, 200, 50), throw_wait_and_rethrow); }, o);
}

// covers: F04
TEST(a_wait_in_a_destructor_during_unwinding, keeps_the_count_of_uncaught_exceptions) {
  for_seeds(load(50, 20, 10), [] { many(30, unwind_with_waits); });
  otp::runtime_options o;
  o.workers = 2;
  in_real_time([] { many(load(500, 200, 50), unwind_with_waits); }, o);
}

// covers: F04
TEST(a_killed_process_whose_destructor_waits, unwinds_beside_others_that_count_zero) {
  for_seeds(load(50, 20, 10), [] {
    int seen = 0;
    auto [victim, v] = otp::spawn_monitor([&] {
      waits_in_destructor d{0, 1, seen};
      otp::sleep(otp::infinity);
    });
    std::vector<otp::ref> others;
    for (int i = 0; i < 10; ++i)
      others.push_back(otp::spawn_monitor([] {
                         for (int n = 0; n < 20; ++n) {
                           EXPECT_EQ(std::uncaught_exceptions(), 0);
                           otp::yield();
                         }
                       }).monitor);
    otp::testing::settle();
    otp::exit(victim, otp::reason::kill);
    EXPECT_EQ(reason_of(v), otp::reason::killed);
    EXPECT_EQ(seen, 1);
    for (otp::ref o : others) EXPECT_EQ(reason_of(o), otp::reason::normal);
  });
}

namespace {

struct load_up {
  using reply = std::monostate;
  std::size_t bytes = 0;
};
struct block {
  std::string bytes;
  std::size_t message_bytes() const { return bytes.size(); }
};
// Says what its data takes, as a cache would.
struct hoarder {
  std::monostate handle_call(const load_up& l) {
    held.resize(l.bytes);
    otp::set_memory_used(held.size());
    return {};
  }
  void handle_cast(const block&) {}
  std::string held;
};

}  // namespace

// covers: F07
TEST(a_process_over_its_memory_or_mailbox_limit, is_killed_with_limit_and_use_and_restarted) {
  for_seeds(20, [] {
    otp::trap_exit(true);
    auto start = [] {
      otp::spawn_options spawn;
      spawn.memory_limit = 100'000;
      spawn.mailbox = {.max_bytes = 50'000, .policy = otp::overflow::kill};
      return otp::gen_server::start_link<hoarder>({.name = "hoarder", .spawn = spawn});
    };
    auto sup =
        otp::supervisor::start_link(
            {.strategy = otp::one_for_one, .max_restarts = 10, .children = {otp::child_function("hoarder", start)}})
            .value();
    auto replaced = [&](pid before, otp::ref gone) {
      exit_reason why = reason_of(gone);
      otp::testing::settle();
      auto now = otp::whereis("hoarder");
      EXPECT_TRUE(now && *now != before) << "not restarted";
      EXPECT_EQ(otp::call(otp::server<hoarder>(*now), load_up{10}), std::monostate{}) << "it serves again";
      return why;
    };
    // Its own data.
    pid first = otp::whereis("hoarder").value();
    otp::ref gone = otp::monitor(first);
    otp::call(otp::server<hoarder>(first), load_up{99'000});
    auto over = otp::try_call(otp::server<hoarder>(first), load_up{200'000});
    ASSERT_FALSE(over);
    exit_reason why = replaced(first, gone);
    EXPECT_EQ(why, otp::reason::memory_limit) << why.to_string();
    EXPECT_NE(why.text().find("100000 bytes"), std::string_view::npos) << "the limit: " << why.text();
    EXPECT_NE(why.text().find("200000 bytes"), std::string_view::npos) << "the use: " << why.text();
    EXPECT_NE(why.text().find("memory_limit"), std::string_view::npos) << "the setting: " << why.text();
    EXPECT_EQ(over.error().cause(), otp::reason::memory_limit) << "its caller: " << over.error().to_string();
    // Bytes in its mailbox.
    pid second = otp::whereis("hoarder").value();
    gone = otp::monitor(second);
    for (int i = 0; i < 6; ++i) otp::cast(otp::server<hoarder>(second), block{std::string(10'000, 'x')});
    why = replaced(second, gone);
    EXPECT_EQ(why, otp::reason::memory_limit) << why.to_string();
    EXPECT_NE(why.text().find("50000 bytes"), std::string_view::npos) << "the limit: " << why.text();
    EXPECT_NE(why.text().find("mailbox"), std::string_view::npos) << "the setting: " << why.text();
    otp::supervisor::stop(sup);
  });
}

namespace {

thread_local int of_the_thread = 0;

std::size_t map_limit() {
  std::ifstream file("/proc/sys/vm/max_map_count");
  std::size_t n = 0;
  file >> n;
  return n;
}

}  // namespace

// covers: F08
TEST(who_am_i, is_right_after_every_wait_and_the_thread_is_the_same) {
  otp::runtime_options o;
  o.workers = 2;
  program p(o);
  p.run([] {
    std::vector<otp::ref> ends;
    std::vector<pid> started;
    std::atomic<int> wrong{0};
    for (int i = 0; i < 50; ++i) {
      auto [who, end] = otp::spawn_monitor([i, &wrong] {
        const pid me = otp::self();
        const auto thread = std::this_thread::get_id();
        int* const place = &of_the_thread;
        for (int n = 0; n < 40; ++n) {
          errno = 0;
          of_the_thread = i;
          some_wait(i + n);
          // What belongs to the process is right; what belongs to the thread is the same variable with any value.
          if (otp::self() != me || std::this_thread::get_id() != thread || &of_the_thread != place) ++wrong;
        }
      });
      started.push_back(who);
      ends.push_back(end);
    }
    for (otp::ref end : ends) EXPECT_EQ(reason_of(end), otp::reason::normal);
    EXPECT_EQ(wrong, 0);
  });
}

// covers: F10
TEST(a_hundred_thousand_blocked_processes, work_with_guards) {
  constexpr int count = load(100'000, 100'000, tsan ? 4'000 : 20'000);
  program p;
  std::atomic<int> waiting{0};
  std::atomic<int> done{0};
  p.run([&] {
    std::vector<pid> all;
    all.reserve(count);
    for (int i = 0; i < count; ++i)
      all.push_back(otp::spawn([&] {
        ++waiting;
        otp::receive([](const go&) {});
        ++done;
      }));
    ASSERT_TRUE(eventually_here([&] { return waiting == count; }, 300s));
    EXPECT_GE(otp::counters().stacks_live, static_cast<std::uint64_t>(count));
    EXPECT_EQ(p.events().count("stack_guards"), 0U) << "no stack went without its guard";
    for (pid who : all) otp::send(who, go{});
    ASSERT_TRUE(eventually_here([&] { return done == count; }, 300s));
  });
}

// covers: F10
TEST(blocked_processes_past_the_kernels_limit, are_refused_with_the_setting_that_raises_it) {
  if (asan || tsan) GTEST_SKIP() << "the sanitizer needs the mappings for itself";
  if (map_limit() > 300'000) GTEST_SKIP() << "this machine allows " << map_limit() << " mappings";
  // Guards by mprotect take two mappings a stack: the limit of a machine without MADV_GUARD_INSTALL.
  otp::runtime_options o;
  o.guard_by_mprotect = true;
  program p(o);
  std::atomic<int> waiting{0};
  p.run([&] {
    std::vector<pid> all;
    const int most = static_cast<int>(map_limit());
    int refused = 0;
    exit_reason why;
    while (static_cast<int>(all.size()) < most && refused == 0) {
      for (int i = 0; i < 500; ++i) {
        auto [who, end] = otp::spawn_monitor([&] {
          ++waiting;
          otp::receive([](const go&) {});
        });
        all.push_back(who);
      }
      ASSERT_TRUE(eventually_here([&] { return waiting == static_cast<int>(all.size()); }));
      otp::receive(
          [&](const otp::down& d) {
            ++refused;
            why = d.reason;
          },
          otp::after(0s, [] {}));
    }
    EXPECT_GT(waiting, most / 8) << "many fit";
    ASSERT_EQ(refused, 1) << "and then the limit was told";
    EXPECT_EQ(why, otp::reason::system_limit);
    EXPECT_NE(why.to_string().find("vm.max_map_count"), std::string::npos) << why.to_string();
    EXPECT_NE(why.to_string().find(std::to_string(map_limit())), std::string::npos) << why.to_string();
    // Those that were there go on, and with room there are new ones.
    for (pid who : all) otp::send(who, go{});
    int ended_well = 0;
    for (std::size_t i = 1; i < all.size(); ++i)
      otp::receive([&](const otp::down& d) { d.reason.is_normal() ? ++ended_well : ++refused; });
    EXPECT_EQ(ended_well + refused, static_cast<int>(all.size()));
    EXPECT_GT(ended_well, most / 8);
    EXPECT_EQ(end_of([] { otp::sleep(1ms); }), otp::reason::normal);
  });
}

// covers: F12
TEST(a_burst_of_fifty_thousand_blocked_processes, gives_its_stacks_back_within_ten_seconds) {
  if (asan || tsan) GTEST_SKIP() << "shadow and quarantine of a sanitizer hide what is given back";
  constexpr int count = 50'000;
  program p;
  std::atomic<int> waiting{0};
  const std::size_t quiet = resident_bytes();
  std::size_t full = 0;
  p.run([&] {
    std::vector<pid> all;
    for (int i = 0; i < count; ++i)
      all.push_back(otp::spawn([&] {
        ++waiting;
        otp::receive([](const go&) {});
      }));
    ASSERT_TRUE(eventually_here([&] { return waiting == count; }, 300s));
    full = resident_bytes();
    for (pid who : all) otp::send(who, go{});
  });
  ASSERT_TRUE(eventually([&] { return p.rt().counters().processes == 0; }));
  EXPECT_GT(full, quiet + static_cast<std::size_t>(count) * 4096) << "a page a stack at least";
  // Two pages or more of every stack are back but for the pools of the workers; the process table keeps its places.
  auto within_the_cap = [&] { return resident_bytes() < quiet + (full - quiet) / 4; };
  EXPECT_TRUE(eventually(within_the_cap, 10s))
      << quiet << " before, " << full << " at once, " << resident_bytes() << " now";
  EXPECT_LT(p.rt().counters().stacks_live, 500U) << "but for the small pools of the workers";
}
