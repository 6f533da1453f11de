#include "runtime/crash.hpp"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "runtime/context.hpp"
#include "runtime/stack.hpp"
#include "runtime/tls.hpp"

#include "overflow.hpp"

#if OTP_DETAIL_ASAN
#include <sanitizer/lsan_interface.h>
#endif

using namespace otp::detail;

namespace {

// ---- a runtime in small: one body at a time on one stack ------------------------------------------------------------

struct small_runtime {
  context back;
  stack* running = nullptr;
  void (*body)() = nullptr;
  bool contain = false;
  int contained = 0;
};
// Of the thread that runs it. The slot is the worker's: these tests have no other.
small_runtime& here() { return *static_cast<small_runtime*>(current_worker_raw()); }

stack* running_stack() noexcept {
  auto* r = static_cast<small_runtime*>(current_worker_raw());
  return r != nullptr ? r->running : nullptr;
}
std::size_t describe(char* text, std::size_t size) noexcept {
  static const char who[] = "process <0.12.3> (rate_\033limiter) in handle_call(check), stack_size 65536";
  const std::size_t n = std::min(size, sizeof who - 1);
  std::memcpy(text, who, n);
  return n;
}
bool contain() noexcept { return here().contain; }
void abandon() {
  small_runtime& r = here();
  ++r.contained;
  stack* dead = std::exchange(r.running, nullptr);
  switch_context_final(dead->ctx, r.back);
}

constexpr crash_hooks hooks{.running_stack = running_stack,
                            .describe = describe,
                            .contain_overflow = contain,
                            .contain_terminate = contain,
                            .abandon_overflow = abandon,
                            .abandon_terminate = abandon};

// Runs `body` on `s` until it ends, whichever way.
void run_on(stack& s, void (*body)()) {
  small_runtime& r = here();
  r.body = body;
  r.running = &s;
  make_context(
      s.ctx, s.low, s.size,
      [](void* argument) {
        auto& mine = *static_cast<stack*>(argument);
        here().body();
        here().running = nullptr;
        switch_context_final(mine.ctx, here().back);
      },
      &s);
  switch_context(r.back, s.ctx);
}

class crash_test : public testing::Test {
 protected:
  void SetUp() override {
    set_current_worker_raw(&runtime);
    adopt_thread(runtime.back);
    install_crash_handlers(hooks);
  }
  void TearDown() override {
    uninstall_crash_handlers();
    destroy_context(runtime.back);
    set_current_worker_raw(nullptr);
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    EXPECT_EQ(std::current_exception(), nullptr);
  }
  small_runtime runtime;
  thread_signal_stack signal_stack;
  stack_source source;
};

// What a child that does `body` leaves: how it ended, and what it wrote to stderr.
struct remains {
  int signal = 0;
  int code = 0;
  std::string text;
  bool says(const std::string& part) const { return text.find(part) != std::string::npos; }
};
template <class Body>
remains in_child(Body body) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], 2);
    ::close(ends[0]);
    ::close(ends[1]);
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::alarm(60);
    body();
    ::_exit(0);
  }
  ::close(ends[1]);
  remains left;
  char bytes[4096];
  for (ssize_t n = 0; (n = ::read(ends[0], bytes, sizeof bytes)) > 0;)
    left.text.append(bytes, static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  left.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  left.code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  return left;
}

// A sanitizer ends the program its own way after ours.
void expect_killed_by(const remains& left, int signal) {
  if (with_address_sanitizer || with_thread_sanitizer)
    EXPECT_TRUE(left.signal != 0 || left.code != 0) << left.text;
  else
    EXPECT_EQ(left.signal, signal) << left.text;
}

// ---- ways to die ----------------------------------------------------------------------------------------------------

using tests::one_large_frame;
using tests::recurse;
using tests::sink;

void overflow() { sink = recurse(0); }

void overflow_at_once() { sink = one_large_frame(sink & 7); }

void overflow_while_handling() {
  try {
    throw std::runtime_error("handled");
  } catch (...) {
    overflow();
  }
}

// Leaves a few hundred bytes of stack, less than printing a floating point number needs.
void overflow_in_libc() {
  const stack& s = *here().running;
  const auto left = static_cast<std::size_t>(static_cast<char*>(__builtin_frame_address(0)) - s.low);
  auto* filler = static_cast<volatile char*>(__builtin_alloca(left - 800));
  filler[0] = 1;
  char text[64];
  sink = std::snprintf(text, sizeof text, "%.40f", static_cast<double>(sink) + filler[0]);
}

void dereference_null() {
  volatile std::uintptr_t address = 8;
  *reinterpret_cast<volatile int*>(address) = 1;
}

struct thrower {
  ~thrower() noexcept(false) { throw std::logic_error("second"); }
};
[[gnu::noinline]] void throw_something() { throw std::runtime_error(std::string(64, 'n') + "\n"); }
[[gnu::noinline]] void violate_noexcept() noexcept { throw_something(); }
[[gnu::noinline]] void throw_twice() {
  try {
    thrower t;
    throw 1;
  } catch (...) {
  }
}
void terminate_directly() { std::terminate(); }

// The exception objects of a contained terminate are lost, by design.
template <class F>
void without_leak_check(F f) {
#if OTP_DETAIL_ASAN
  __lsan_disable();
#endif
  f();
#if OTP_DETAIL_ASAN
  __lsan_enable();
#endif
}

// ---- stack overflow -------------------------------------------------------------------------------------------------

TEST_F(crash_test, an_overflow_is_fatal_and_the_report_names_process_size_and_setting) {
  stack* s = source.take();
  const remains left = in_child([&] { run_on(*s, overflow); });
  expect_killed_by(left, SIGSEGV);
  EXPECT_TRUE(left.says("otp: fatal: stack overflow in process <0.12.3> (rate_?limiter) in handle_call(check)"))
      << left.text;
  EXPECT_TRUE(left.says("stack: " + std::to_string(s->size) + " bytes")) << left.text;
  EXPECT_TRUE(left.says("a guard of " + std::to_string(default_guard_size + 4096) + " bytes")) << left.text;
  EXPECT_TRUE(left.says("stack_size")) << left.text;
  EXPECT_TRUE(left.says(", pc 0x")) << left.text;
  EXPECT_FALSE(left.says("not contained")) << left.text;
  source.give(s);
}

TEST_F(crash_test, one_local_array_of_a_mebibyte_is_an_overflow_too) {
  stack* s = source.take();
  const remains left = in_child([&] { run_on(*s, overflow_at_once); });
  expect_killed_by(left, SIGSEGV);
  EXPECT_TRUE(left.says("otp: fatal: stack overflow in process <0.12.3>")) << left.text;
  source.give(s);
}

TEST_F(crash_test, an_overflow_of_the_runtimes_own_loop_says_so) {
  stack* s = source.take();
  const remains left = in_child([&] {
    uninstall_crash_handlers();
    crash_hooks nobody = hooks;
    nobody.describe = [](char*, std::size_t) noexcept -> std::size_t { return 0; };
    install_crash_handlers(nobody);
    run_on(*s, overflow);
  });
  expect_killed_by(left, SIGSEGV);
  EXPECT_TRUE(left.says("stack overflow in the runtime's own code")) << left.text;
  source.give(s);
}

// Paints the stacks below and above, which lie next to it in the slab.
class painted_neighbours {
 public:
  explicit painted_neighbours(stack_source& source) : source_(source) {
    for (int i = 0; i < 32; ++i) all_.push_back(source.take());
    std::sort(all_.begin(), all_.end(), [](const stack* a, const stack* b) { return a->low < b->low; });
    middle = all_[30];
    for (stack* s : all_)
      if (s != middle) std::memset(s->low, 0x5a, s->size);
  }
  ~painted_neighbours() {
    for (stack* s : all_) source_.give(s);
  }
  std::size_t changed_bytes() const {
    std::size_t changed = 0;
    for (const stack* s : all_)
      if (s != middle) changed += s->size - static_cast<std::size_t>(std::count(s->low, s->top(), 0x5a));
    return changed;
  }
  stack* middle = nullptr;

 private:
  stack_source& source_;
  std::vector<stack*> all_;
};

TEST_F(crash_test, ten_thousand_contained_overflows_change_no_byte_of_a_neighbour) {
  if (with_address_sanitizer) GTEST_SKIP() << "no containment under AddressSanitizer";
  painted_neighbours stacks(source);
  runtime.contain = true;
  const int rounds = with_thread_sanitizer ? 300 : 10'000;
  for (int i = 0; i < rounds; ++i) {
    run_on(*stacks.middle, i % 2 ? overflow : overflow_while_handling);
    ASSERT_EQ(std::uncaught_exceptions(), 0);
    ASSERT_EQ(std::current_exception(), nullptr);
  }
  EXPECT_EQ(runtime.contained, rounds);
  EXPECT_EQ(stacks.changed_bytes(), 0U);
}

// covers: F02
TEST_F(crash_test, a_mebibyte_array_on_a_small_stack_never_reaches_a_neighbour) {
  if (with_address_sanitizer) GTEST_SKIP() << "no containment under AddressSanitizer";
  painted_neighbours stacks(source);
  runtime.contain = true;
  for (int i = 0; i < 100; ++i) run_on(*stacks.middle, overflow_at_once);
  EXPECT_EQ(runtime.contained, 100);
  EXPECT_EQ(stacks.changed_bytes(), 0U);
}

TEST_F(crash_test, overflows_are_contained_with_guards_by_mprotect_as_well) {
  if (with_address_sanitizer) GTEST_SKIP() << "no containment under AddressSanitizer";
  stack_source by_mprotect({.force_mprotect = true});
  painted_neighbours stacks(by_mprotect);
  runtime.contain = true;
  for (int i = 0; i < 100; ++i) run_on(*stacks.middle, i % 2 ? overflow : overflow_at_once);
  EXPECT_EQ(runtime.contained, 100);
  EXPECT_EQ(stacks.changed_bytes(), 0U);
}

TEST_F(crash_test, every_thread_contains_its_own_overflows) {
  if (with_address_sanitizer) GTEST_SKIP() << "no containment under AddressSanitizer";
  const int rounds = with_thread_sanitizer ? 100 : 1000;
  std::atomic<int> contained{0};
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      small_runtime mine;
      thread_signal_stack signals;
      set_current_worker_raw(&mine);
      adopt_thread(mine.back);
      mine.contain = true;
      stack* s = source.take();
      for (int i = 0; i < rounds; ++i) run_on(*s, overflow);
      source.give(s);
      contained += mine.contained;
      destroy_context(mine.back);
      set_current_worker_raw(nullptr);
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(contained, 4 * rounds);
}

TEST_F(crash_test, an_overflow_inside_libc_is_fatal_even_where_containment_is_on) {
  if (with_address_sanitizer || with_thread_sanitizer)
    GTEST_SKIP() << "the sanitizer's interceptor would overflow instead";
  stack* s = source.take();
  const remains left = in_child([&] {
    runtime.contain = true;
    run_on(*s, overflow_in_libc);
  });
  EXPECT_EQ(left.signal, SIGSEGV) << left.text;
  EXPECT_TRUE(left.says("otp: fatal: stack overflow in process <0.12.3>")) << left.text;
  EXPECT_TRUE(left.says("not contained: it struck inside a system library")) << left.text;
  source.give(s);
}

std::size_t room = 0;
void ask_for_room() {
  const stack& s = *here().running;
  const auto have = static_cast<std::size_t>(static_cast<char*>(__builtin_frame_address(0)) - s.low);
  auto* filler = static_cast<volatile char*>(__builtin_alloca(have - room));
  filler[0] = 1;
  require_stack_room(s);
  sink = 4 + filler[0];
}

TEST_F(crash_test, the_runtime_lets_an_overflow_happen_before_it_takes_a_lock) {
  stack* s = source.take();
  sink = 0;
  room = runtime_stack_room + 4096;
  run_on(*s, ask_for_room);
  EXPECT_EQ(sink, 5);
  room = runtime_stack_room / 2;
  const remains left = in_child([&] { run_on(*s, ask_for_room); });
  expect_killed_by(left, SIGSEGV);
  EXPECT_TRUE(left.says("otp: fatal: stack overflow in process <0.12.3>")) << left.text;
  if (!with_address_sanitizer) {
    sink = 0;
    runtime.contain = true;
    for (int i = 0; i < 100; ++i) run_on(*s, ask_for_room);
    EXPECT_EQ(runtime.contained, 100);
    EXPECT_EQ(sink, 0);
  }
  source.give(s);
}

// Calls into the libraries with ever less stack left. Where that ends well, or in user code, everything must still
// work, for other threads too; where it ends inside a library the program must end, and not hang on a lock that nobody
// gives back.
using library_call = int (*)(int);
library_call call_with_little_stack = nullptr;
std::size_t stack_left = 0;

[[gnu::noinline]] int call_printf(int n) {
  char text[128];
  return std::snprintf(text, sizeof text, "%d %f %s", n, n * 1.5, "x") + std::fprintf(stderr, "%.40f\n", n * 0.1);
}
[[gnu::noinline]] int call_malloc(int n) {
  void* blocks[40];
  for (int i = 0; i < 40; ++i)
    blocks[i] = std::malloc(2000U + 16U * static_cast<unsigned>(i) + static_cast<unsigned>(n) % 7);
  for (void* b : blocks) std::free(b);
  return n;
}
[[gnu::noinline]] int call_throw(int n) {
  try {
    throw std::runtime_error("x");
  } catch (const std::exception& e) {
    return e.what()[0] + n;
  }
}
void call_all() {
  for (int i = 0; i < 3; ++i) sink = call_printf(i) + call_malloc(i) + call_throw(i);
}

TEST_F(crash_test, wherever_in_a_library_call_the_stack_ends_the_program_is_sane_or_dead) {
  if (with_address_sanitizer || with_thread_sanitizer) GTEST_SKIP() << "interceptors need more stack than is left";
  stack* s = source.take();
  runtime.contain = true;
  int contained = 0;
  int fatal = 0;
  int enough = 0;
  for (library_call call : {call_printf, call_malloc, call_throw})
    for (stack_left = 300; stack_left < 9000; stack_left += 200) {
      call_with_little_stack = call;
      const remains left = in_child([&] {
        ::alarm(10);
        run_on(*s, [] {
          const auto have =
              static_cast<std::size_t>(static_cast<char*>(__builtin_frame_address(0)) - here().running->low);
          auto* filler = static_cast<volatile char*>(__builtin_alloca(have - stack_left));
          filler[0] = 1;
          sink = call_with_little_stack(sink + filler[0]);
        });
        const bool ended_well = runtime.contained == 0;
        call_all();
        std::thread(call_all).join();
        ::_exit(ended_well ? 10 : 11);
      });
      if (left.code == 10) {
        ++enough;
      } else if (left.code == 11) {
        ++contained;
      } else {
        EXPECT_EQ(left.signal, SIGSEGV) << "with " << stack_left << " bytes left: " << left.text;
        EXPECT_TRUE(left.says("not contained: it struck inside a system library")) << left.text;
        ++fatal;
      }
    }
  EXPECT_GT(enough, 0);
  EXPECT_GT(fatal, 0);
  EXPECT_GT(contained, 0);
  source.give(s);
}

TEST_F(crash_test, a_thread_without_a_landing_stack_does_not_contain) {
  if (with_address_sanitizer) GTEST_SKIP() << "no containment under AddressSanitizer";
  const remains left = in_child([&] {
    std::thread([&] {
      small_runtime mine;
      set_current_worker_raw(&mine);
      adopt_thread(mine.back);
      mine.contain = true;
      // A signal stack from elsewhere: the report still comes.
      std::vector<char> memory(256 * 1024);
      stack_t signals{};
      signals.ss_sp = memory.data();
      signals.ss_size = memory.size();
      ::sigaltstack(&signals, nullptr);
      run_on(*source.take(), overflow);
    }).join();
  });
  expect_killed_by(left, SIGSEGV);
  EXPECT_TRUE(left.says("not contained: this build or thread cannot")) << left.text;
}

// ---- other faults
// -----------------------------------------------------------------------------------------------------

TEST_F(crash_test, a_null_pointer_in_a_process_stays_fatal_and_is_diagnosed) {
  stack* s = source.take();
  const remains left = in_child([&] {
    runtime.contain = true;
    run_on(*s, dereference_null);
  });
  expect_killed_by(left, SIGSEGV);
  if (!with_address_sanitizer && !with_thread_sanitizer) {
    EXPECT_TRUE(left.says("otp: fatal: segmentation fault (SIGSEGV) in process <0.12.3>")) << left.text;
    EXPECT_TRUE(left.says("address 0x8")) << left.text;
  }
  EXPECT_FALSE(left.says("overflow")) << left.text;
  source.give(s);
}

TEST_F(crash_test, a_wild_pointer_into_the_guard_is_no_overflow) {
  stack* s = source.take();
  const remains left = in_child([&] {
    runtime.contain = true;
    run_on(*s, [] { *const_cast<volatile char*>(here().running->low - 8) = 1; });
  });
  expect_killed_by(left, SIGSEGV);
  EXPECT_FALSE(left.says("otp: fatal: stack overflow")) << left.text;
  source.give(s);
}

TEST_F(crash_test, overflow_of_a_threads_own_stack_stays_fatal) {
  const remains left = in_child([&] {
    runtime.contain = true;
    rlimit small{1 << 20, RLIM_INFINITY};
    ::setrlimit(RLIMIT_STACK, &small);
    std::thread([] {
      thread_signal_stack signals;
      overflow();
    }).join();
  });
  expect_killed_by(left, SIGSEGV);
  EXPECT_FALSE(left.says("otp: fatal")) << left.text;
}

TEST_F(crash_test, a_segfault_that_somebody_sends_kills_the_program) {
  const remains left = in_child([&] { ::raise(SIGSEGV); });
  expect_killed_by(left, SIGSEGV);
  EXPECT_FALSE(left.says("otp: fatal")) << left.text;
}

TEST_F(crash_test, a_handler_that_was_there_before_gets_what_is_not_ours) {
  stack* s = source.take();
  const remains left = in_child([&] {
    uninstall_crash_handlers();
    ::signal(SIGSEGV, [](int) { ::_exit(42); });
    install_crash_handlers(hooks);
    run_on(*s, dereference_null);
  });
  EXPECT_EQ(left.code, 42) << left.text;
  EXPECT_FALSE(left.says("otp: fatal")) << left.text;
  const remains over = in_child([&] {
    uninstall_crash_handlers();
    struct sigaction before = {};
    before.sa_sigaction = [](int signal, siginfo_t* info, void* context) {
      ::_exit(signal == SIGSEGV && info->si_addr != nullptr && context != nullptr ? 43 : 44);
    };
    before.sa_flags = SA_SIGINFO;
    ::sigaction(SIGSEGV, &before, nullptr);
    install_crash_handlers(hooks);
    run_on(*s, overflow);
  });
  EXPECT_EQ(over.code, 43) << over.text;
  EXPECT_TRUE(over.says("otp: fatal: stack overflow")) << over.text;
  source.give(s);
}

TEST_F(crash_test, handlers_stay_until_the_last_user_is_gone_and_then_the_old_ones_are_back) {
  struct sigaction ours = {};
  ::sigaction(SIGSEGV, nullptr, &ours);
  const auto our_terminate = std::get_terminate();
  install_crash_handlers(hooks);
  uninstall_crash_handlers();
  struct sigaction now = {};
  ::sigaction(SIGSEGV, nullptr, &now);
  EXPECT_EQ(now.sa_sigaction, ours.sa_sigaction);
  uninstall_crash_handlers();
  ::sigaction(SIGSEGV, nullptr, &now);
  EXPECT_NE(now.sa_sigaction, ours.sa_sigaction);
  EXPECT_NE(std::get_terminate(), our_terminate);
  install_crash_handlers(hooks);
  ::sigaction(SIGSEGV, nullptr, &now);
  EXPECT_EQ(now.sa_sigaction, ours.sa_sigaction);
  EXPECT_EQ(std::get_terminate(), our_terminate);
}

TEST_F(crash_test, somebody_elses_handler_on_top_is_left_alone_and_ours_below_it_still_works) {
  stack* s = source.take();
  static struct sigaction below;
  const remains left = in_child([&] {
    struct sigaction theirs = {};
    theirs.sa_sigaction = [](int signal, siginfo_t* info, void* context) { below.sa_sigaction(signal, info, context); };
    theirs.sa_flags = SA_SIGINFO | SA_ONSTACK;
    ::sigaction(SIGSEGV, &theirs, &below);
    uninstall_crash_handlers();
    install_crash_handlers(hooks);
    run_on(*s, overflow);
  });
  expect_killed_by(left, SIGSEGV);
  EXPECT_TRUE(left.says("otp: fatal: stack overflow in process <0.12.3>")) << left.text;
  source.give(s);
}

// ---- std::terminate
// ---------------------------------------------------------------------------------------------------

TEST_F(crash_test, an_exception_that_meets_noexcept_is_fatal_and_diagnosed) {
  stack* s = source.take();
  const remains left = in_child([&] { run_on(*s, violate_noexcept); });
  expect_killed_by(left, SIGABRT);
  EXPECT_TRUE(left.says("otp: fatal: std::terminate in process <0.12.3> (rate_?limiter) in handle_call(check)"))
      << left.text;
  EXPECT_TRUE(left.says("std::runtime_error: " + std::string(64, 'n') + "?\n")) << left.text;
  EXPECT_TRUE(left.says("noexcept")) << left.text;
  source.give(s);
}

TEST_F(crash_test, a_destructor_that_throws_while_unwinding_is_diagnosed) {
  stack* s = source.take();
  const remains left = in_child([&] { run_on(*s, throw_twice); });
  expect_killed_by(left, SIGABRT);
  EXPECT_TRUE(left.says("std::logic_error: second")) << left.text;
  EXPECT_TRUE(left.says("thrown by a destructor while another exception was unwinding")) << left.text;
  source.give(s);
}

TEST_F(crash_test, a_terminate_without_exception_is_diagnosed) {
  stack* s = source.take();
  const remains left = in_child([&] { run_on(*s, terminate_directly); });
  expect_killed_by(left, SIGABRT);
  EXPECT_TRUE(left.says("no exception: std::terminate was called")) << left.text;
  source.give(s);
}

TEST_F(crash_test, a_what_that_throws_does_not_hide_the_diagnosis) {
  stack* s = source.take();
  const remains left = in_child([&] {
    run_on(*s, [] {
      struct bad : std::exception {
        const char* what() const noexcept override { std::terminate(); }
      };
      auto throw_it = [] { throw bad(); };
      [&]() noexcept { throw_it(); }();
    });
  });
  expect_killed_by(left, SIGABRT);
  EXPECT_TRUE(left.says("otp: fatal: std::terminate in process <0.12.3>") && left.says("::bad")) << left.text;
  source.give(s);
}

TEST_F(crash_test, terminate_outside_any_process_is_left_to_the_handler_of_before) {
  const remains left = in_child([] { violate_noexcept(); });
  expect_killed_by(left, SIGABRT);
  EXPECT_FALSE(left.says("otp: fatal")) << left.text;
  const remains custom = in_child([] {
    uninstall_crash_handlers();
    std::set_terminate([] { ::_exit(45); });
    install_crash_handlers(hooks);
    violate_noexcept();
  });
  EXPECT_EQ(custom.code, 45) << custom.text;
}

TEST_F(crash_test, ten_thousand_contained_terminates_of_each_kind_leave_exceptions_sane) {
  stack* s = source.take();
  runtime.contain = true;
  const int rounds = with_address_sanitizer || with_thread_sanitizer ? 1000 : 10'000;
  without_leak_check([&] {
    for (void (*body)() : {+[] { violate_noexcept(); }, throw_twice, terminate_directly}) {
      runtime.contained = 0;
      for (int i = 0; i < rounds; ++i) {
        s->terminated = false;
        run_on(*s, body);
      }
      EXPECT_EQ(runtime.contained, rounds);
      bool sane = false;
      try {
        throw 5;
      } catch (int v) {
        sane = v == 5 && std::uncaught_exceptions() == 0;
      }
      EXPECT_TRUE(sane);
      EXPECT_EQ(std::current_exception(), nullptr);
    }
  });
  source.give(s);
}

TEST_F(crash_test, a_way_out_that_terminates_again_is_fatal) {
  stack* s = source.take();
  const remains left = in_child([&] {
    uninstall_crash_handlers();
    crash_hooks broken = hooks;
    broken.abandon_terminate = [] { std::terminate(); };
    install_crash_handlers(broken);
    runtime.contain = true;
    run_on(*s, violate_noexcept);
  });
  expect_killed_by(left, SIGABRT);
  EXPECT_TRUE(left.says("otp: fatal: std::terminate in process")) << left.text;
  source.give(s);
}

// ---- backtraces
// -------------------------------------------------------------------------------------------------------

struct trace {
  void* frames[16] = {};
  std::size_t count = 0;
  void* caller = nullptr;
  bool has(const void* address) const { return std::find(frames, frames + count, address) != frames + count; }
};
trace* tracing = nullptr;

[[gnu::noinline]] void innermost() {
  tracing->count = capture_backtrace(tracing->frames, std::size(tracing->frames));
  tracing->caller = __builtin_return_address(0);
  sink = 1;
}
[[gnu::noinline]] void middle() {
  innermost();
  sink = 2;
}

TEST_F(crash_test, a_backtrace_on_a_process_stack_lists_its_callers_and_ends_at_the_root) {
  trace t;
  tracing = &t;
  stack* s = source.take();
  run_on(*s, middle);
  ASSERT_GE(t.count, 3U);
  EXPECT_LT(t.count, std::size(t.frames));
  EXPECT_EQ(t.frames[1], t.caller);
  source.give(s);
}

TEST_F(crash_test, a_backtrace_on_the_threads_own_stack_works_too) {
  trace t;
  tracing = &t;
  middle();
  ASSERT_GE(t.count, 3U);
  EXPECT_EQ(t.frames[1], t.caller);
}

TEST_F(crash_test, a_backtrace_has_no_more_frames_than_asked_for) {
  void* one[2] = {nullptr, this};
  EXPECT_EQ(capture_backtrace(one, 1), 1U);
  EXPECT_EQ(one[1], this);
  EXPECT_EQ(capture_backtrace(one, 0), 0U);
}

std::atomic<bool> spinning{false};
std::atomic<bool> stop_spinning{false};

void on_probe(int, siginfo_t*, void* context) {
  tracing->count = capture_backtrace(tracing->frames, std::size(tracing->frames), context);
  stop_spinning = true;
}
[[gnu::noinline]] void spin() {
  tracing->caller = __builtin_return_address(0);
  spinning = true;
  while (!stop_spinning) sink = 3;
}
[[gnu::noinline]] void spin_below() {
  spin();
  sink = 4;
}

// What the watchdog does to a worker that does not come back.
TEST_F(crash_test, a_signal_handler_sees_where_a_busy_process_of_its_thread_is) {
  trace t;
  tracing = &t;
  struct sigaction probe = {};
  struct sigaction before = {};
  probe.sa_sigaction = on_probe;
  probe.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  ::sigaction(SIGURG, &probe, &before);
  spinning = stop_spinning = false;
  const pthread_t worker = ::pthread_self();
  std::thread watchdog([&] {
    while (!spinning) std::this_thread::yield();
    ::pthread_kill(worker, SIGURG);
  });
  stack* s = source.take();
  run_on(*s, spin_below);
  watchdog.join();
  ::sigaction(SIGURG, &before, nullptr);
  ASSERT_GE(t.count, 1U);
  EXPECT_TRUE(t.has(t.caller) || with_thread_sanitizer);  // which delivers signals late, from a call of its own
  source.give(s);
}

}  // namespace
