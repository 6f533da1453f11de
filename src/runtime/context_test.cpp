#include "runtime/context.hpp"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unwind.h>

#include <cfenv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "runtime/stack.hpp"

using namespace otp::detail;

namespace {

// A body on a stack of its own, switched to and from by hand.
class strand {
 public:
  strand(stack_source& source, std::function<void(strand&)> body)
      : source_(source), stack_(source.take()), body_(std::move(body)) {
    make_context(stack_->ctx, stack_->low, stack_->size, run, this);
  }
  ~strand() { source_.give(stack_); }  // a suspended body is dropped
  strand(const strand&) = delete;
  strand& operator=(const strand&) = delete;

  void resume(context& from) {
    from_ = &from;
    switch_context(from, stack_->ctx);
  }
  void suspend() { switch_context(stack_->ctx, *from_); }
  bool done() const { return done_; }
  stack& memory() { return *stack_; }

 private:
  static void run(void* self) {
    auto& me = *static_cast<strand*>(self);
    me.body_(me);
    me.done_ = true;
    switch_context_final(me.stack_->ctx, *me.from_);
  }

  stack_source& source_;
  stack* stack_;
  context* from_ = nullptr;
  std::function<void(strand&)> body_;
  bool done_ = false;
};

class context_test : public testing::Test {
 protected:
  void SetUp() override { adopt_thread(here); }
  void TearDown() override {
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    EXPECT_EQ(std::current_exception(), nullptr);
    destroy_context(here);
  }
  stack_source source;
  context here;
};

std::string rethrown() {
  if (!std::current_exception()) return "nothing in flight";
  try {
    throw;
  } catch (const std::exception& e) {
    return e.what();
  }
}

TEST_F(context_test, enters_with_its_argument_and_goes_on_where_it_stopped) {
  std::string trace;
  strand a(source, [&](strand& me) {
    trace += "1";
    me.suspend();
    trace += "3";
  });
  a.resume(here);
  trace += "2";
  a.resume(here);
  EXPECT_EQ(trace, "123");
  EXPECT_TRUE(a.done());
  EXPECT_FALSE(a.memory().ctx.ready());
}

TEST_F(context_test, rethrow_after_a_switch_inside_catch_finds_its_own_exception) {
  std::string a_got;
  std::string b_got;
  strand a(source, [&](strand& me) {
    try {
      throw std::runtime_error("A");
    } catch (const std::exception&) {
      me.suspend();
      a_got = rethrown();
      me.suspend();
    }
  });
  strand b(source, [&](strand& me) {
    try {
      throw std::runtime_error("B");
    } catch (const std::exception& e) {
      me.suspend();
      b_got = std::string(e.what()) + rethrown();
    }
  });
  a.resume(here);
  EXPECT_EQ(std::current_exception(), nullptr);
  b.resume(here);
  EXPECT_EQ(std::current_exception(), nullptr);
  a.resume(here);
  b.resume(here);
  a.resume(here);
  EXPECT_EQ(a_got, "A");
  EXPECT_EQ(b_got, "BB");
}

TEST_F(context_test, exception_object_lives_while_another_context_leaves_its_catch) {
  const std::string long_b(100, 'B');
  std::string got;
  strand a(source, [&](strand& me) {
    try {
      throw std::runtime_error(std::string(100, 'A'));
    } catch (const std::exception&) {
      me.suspend();
    }
    me.suspend();
  });
  strand b(source, [&](strand& me) {
    try {
      throw std::runtime_error(long_b);
    } catch (const std::exception& e) {
      me.suspend();
      got = e.what();  // freed by now if a's end of catch took b's exception off the shared list
    }
  });
  a.resume(here);
  b.resume(here);
  a.resume(here);
  b.resume(here);
  a.resume(here);
  EXPECT_EQ(got, long_b);
}

struct suspend_in_destructor {
  strand& me;
  int* uncaught;
  ~suspend_in_destructor() {
    me.suspend();
    *uncaught = std::uncaught_exceptions();
  }
};

TEST_F(context_test, uncaught_count_is_of_the_context_that_unwinds) {
  int inside = -1;
  int after = -1;
  int elsewhere = -1;
  strand a(source, [&](strand& me) {
    try {
      suspend_in_destructor d{me, &inside};
      throw 1;
    } catch (int) {
    }
    after = std::uncaught_exceptions();
  });
  strand b(source, [&](strand&) { elsewhere = std::uncaught_exceptions(); });
  a.resume(here);
  EXPECT_EQ(std::uncaught_exceptions(), 0);
  EXPECT_FALSE(exceptions_in_flight());
  b.resume(here);
  a.resume(here);
  EXPECT_EQ(elsewhere, 0);
  EXPECT_EQ(inside, 1);
  EXPECT_EQ(after, 0);
  EXPECT_TRUE(a.done());
}

TEST_F(context_test, rollback_guard_is_not_triggered_by_another_contexts_unwinding) {
  bool rolled_back = false;
  struct transaction {
    bool& rolled_back;
    int before = std::uncaught_exceptions();
    ~transaction() { rolled_back = std::uncaught_exceptions() > before; }
  };
  int ignored = 0;
  strand a(source, [&](strand& me) {
    try {
      suspend_in_destructor d{me, &ignored};
      throw 1;
    } catch (int) {
    }
  });
  strand b(source, [&](strand& me) {
    transaction t{rolled_back};
    me.suspend();
  });
  b.resume(here);
  a.resume(here);
  b.resume(here);
  EXPECT_FALSE(rolled_back);
  a.resume(here);
  EXPECT_TRUE(a.done());
}

// The runtime never moves a suspended stack; the switch would carry its exceptions all the same.
TEST_F(context_test, exception_state_goes_along_even_to_another_thread) {
  std::string got;
  strand a(source, [&](strand& me) {
    try {
      throw std::runtime_error("A");
    } catch (const std::exception&) {
      me.suspend();
      got = rethrown();
    }
  });
  a.resume(here);
  std::thread([&] {
    context there;
    adopt_thread(there);
    a.resume(there);
    EXPECT_EQ(std::current_exception(), nullptr);
    destroy_context(there);
  }).join();
  EXPECT_EQ(got, "A");
}

TEST_F(context_test, a_hundred_contexts_in_random_order_keep_their_locals_and_exceptions) {
  constexpr int contexts = 100;
  const int rounds = with_thread_sanitizer || with_address_sanitizer ? 200 : 2000;
  std::vector<std::unique_ptr<strand>> all;
  all.reserve(contexts);
  std::vector<long> sums(contexts);
  int wrong = 0;
  for (int id = 0; id < contexts; ++id)
    all.push_back(std::make_unique<strand>(source, [&, id](strand& me) {
      long sum = 0;
      double product = 1;
      for (int i = 0; i < rounds; ++i) {
        sum += id;
        product *= 1.0 + id * 1e-6;
        if (i % 7 == id % 7) {
          try {
            throw id;
          } catch (int) {
            me.suspend();
            try {
              throw;
            } catch (int v) {
              wrong += v != id;
            }
          }
        } else {
          me.suspend();
        }
      }
      double again = 1;
      for (int i = 0; i < rounds; ++i) again *= 1.0 + id * 1e-6;
      wrong += product != again;
      sums[static_cast<std::size_t>(id)] = sum;
    }));
  std::mt19937 random(1);
  for (int left = contexts; left > 0;) {
    strand& next = *all[random() % contexts];
    if (next.done()) continue;
    next.resume(here);
    if (next.done()) --left;
  }
  EXPECT_EQ(wrong, 0);
  for (int id = 0; id < contexts; ++id) EXPECT_EQ(sums[static_cast<std::size_t>(id)], static_cast<long>(id) * rounds);
}

TEST_F(context_test, a_million_switches) {
  const long rounds = with_thread_sanitizer || with_address_sanitizer ? 50'000 : 500'000;
  long count = 0;
  strand a(source, [&](strand& me) {
    for (;;) {
      ++count;
      me.suspend();
    }
  });
  for (long i = 0; i < rounds; ++i) a.resume(here);
  EXPECT_EQ(count, rounds);
}

TEST_F(context_test, threads_switch_among_their_own_contexts_at_once) {
  const int rounds = with_thread_sanitizer || with_address_sanitizer ? 300 : 10'000;
  std::vector<std::thread> threads;
  std::vector<int> finished(4);
  threads.reserve(finished.size());
  for (std::size_t t = 0; t < finished.size(); ++t)
    threads.emplace_back([&, t] {
      context mine;
      adopt_thread(mine);
      std::vector<std::unique_ptr<strand>> all;
      all.reserve(16);
      for (int i = 0; i < 16; ++i)
        all.push_back(std::make_unique<strand>(source, [&](strand& me) {
          for (int r = 0; r < rounds; ++r) {
            try {
              throw r;
            } catch (int) {
              me.suspend();
            }
          }
          ++finished[t];
        }));
      for (int r = 0; r <= rounds; ++r)
        for (auto& s : all) s->resume(mine);
      all.clear();
      destroy_context(mine);
    });
  for (auto& t : threads) t.join();
  for (int f : finished) EXPECT_EQ(f, 16);
  EXPECT_EQ(source.count().live, 0U);
}

TEST_F(context_test, rounding_mode_belongs_to_the_context) {
  int inside_before = -1;
  int inside_after = -1;
  strand a(source, [&](strand& me) {
    std::fesetround(FE_UPWARD);
    me.suspend();
    inside_after = std::fegetround();
  });
  strand b(source, [&](strand&) { inside_before = std::fegetround(); });
  a.resume(here);
  EXPECT_EQ(std::fegetround(), FE_TONEAREST);
  b.resume(here);
  a.resume(here);
  EXPECT_EQ(std::fegetround(), FE_TONEAREST);
  EXPECT_EQ(inside_before, FE_TONEAREST);
  EXPECT_EQ(inside_after, FE_UPWARD);
}

TEST_F(context_test, a_context_that_ends_in_flight_leaves_no_exception_state_behind) {
#if OTP_DETAIL_ASAN
  GTEST_SKIP() << "loses the exception objects on purpose, which the leak checker would report";
#endif
  struct leave {
    strand& me;
    context& to;
    ~leave() {
      EXPECT_EQ(std::uncaught_exceptions(), 1);
      switch_context_final(me.memory().ctx, to);
    }
  };
  strand a(source, [&](strand& me) {
    try {
      throw std::runtime_error("caught");
    } catch (...) {
      leave l{me, here};
      throw 2;
    }
  });
  a.resume(here);
  EXPECT_EQ(std::uncaught_exceptions(), 0);
  EXPECT_EQ(std::current_exception(), nullptr);
  EXPECT_FALSE(a.memory().ctx.ready());
}

[[gnu::noinline]] void touch(volatile char* bytes, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i);
}

// Dropped stacks keep what the sanitizers marked on them unless the next one to use them clears it.
TEST_F(context_test, the_stack_of_a_dropped_context_is_as_good_as_new) {
  stack* s = source.take();
  struct work {
    context& back;
    stack& s;
    std::size_t bytes;
    bool finished = false;
  };
  auto body = [](void* argument) {
    auto& w = *static_cast<work*>(argument);
    char few[512];
    touch(few, sizeof few);
    if (w.bytes > 512) {
      char many[8192];
      touch(many, sizeof many);
      w.finished = true;
    }
    switch_context(w.s.ctx, w.back);
  };
  work first{here, *s, 512};
  make_context(s->ctx, s->low, s->size, body, &first);
  switch_context(here, s->ctx);
  work second{here, *s, 8192};
  make_context(s->ctx, s->low, s->size, body, &second);
  switch_context(here, s->ctx);
  EXPECT_TRUE(second.finished);
  source.give(s);
}

std::size_t address_space_kib() {
  std::size_t kib = 0;
  FILE* file = std::fopen("/proc/self/status", "re");
  char line[128];
  while (std::fgets(line, sizeof line, file) != nullptr)
    if (std::sscanf(line, "VmSize: %zu kB", &kib) == 1) break;
  std::fclose(file);
  return kib;
}

// ASan keeps a second stack for every context, TSan a whole thread's worth of state.
TEST_F(context_test, dropping_suspended_contexts_leaks_nothing) {
  auto drop_many = [&](int count) {
    for (int i = 0; i < count; ++i) {
      strand a(source, [](strand& me) {
        char local[64];
        touch(local, sizeof local);
        me.suspend();
      });
      a.resume(here);
    }
  };
  drop_many(50);
  const std::size_t before = address_space_kib();
  drop_many(1000);
  EXPECT_LT(address_space_kib(), before + 64 * 1024);
}

struct frames_seen {
  int count = 0;
  std::uintptr_t last = 0;
};

_Unwind_Reason_Code see_frame(_Unwind_Context* context, void* argument) {
  auto& seen = *static_cast<frames_seen*>(argument);
  seen.last = _Unwind_GetIP(context);
  return ++seen.count < 100 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

TEST_F(context_test, the_unwinder_stops_cleanly_at_the_root_of_a_context) {
  frames_seen seen;
  _Unwind_Reason_Code code = _URC_NO_REASON;
  strand a(source, [&](strand& me) {
    me.suspend();
    code = _Unwind_Backtrace(see_frame, &seen);
  });
  a.resume(here);
  a.resume(here);
  EXPECT_EQ(code, _URC_END_OF_STACK);
  EXPECT_GE(seen.count, 3);
  EXPECT_LT(seen.count, 30);
}

// A register that is preserved by every function but not by the switch would show here, whatever the optimiser does
// with it.
TEST_F(context_test, an_exception_unwinds_through_frames_on_both_sides_of_a_switch) {
  std::string got;
  std::function<void(strand&, int)> descend = [&](strand& me, int depth) {
    std::string here_too(static_cast<std::size_t>(depth), 'x');
    if (depth == 0) {
      me.suspend();
      throw std::runtime_error("deep");
    }
    descend(me, depth - 1);
    got += here_too;
  };
  strand a(source, [&](strand& me) {
    try {
      descend(me, 20);
    } catch (const std::runtime_error& e) {
      got = e.what();
    }
  });
  a.resume(here);
  a.resume(here);
  EXPECT_EQ(got, "deep");
}

}  // namespace
