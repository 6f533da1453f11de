#include "runtime/tls.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <thread>

#include "runtime/context.hpp"
#include "runtime/stack.hpp"

using namespace otp::detail;

namespace {

struct walk {
  stack* on = nullptr;
  context* back = nullptr;
  void* seen[3] = {};
};

// One function, three threads: an address fetched before a switch and kept in a register would show the first
// thread's value again.
[[gnu::noinline]] void read_on_three_threads(walk& w) {
  w.seen[0] = current_worker_raw();
  switch_context(w.on->ctx, *w.back);
  w.seen[1] = current_worker_raw();
  set_current_worker_raw(&w);
  switch_context(w.on->ctx, *w.back);
  w.seen[2] = current_worker_raw();
}

TEST(tls, each_thread_has_its_own_worker) {
  int a = 0;
  int b = 0;
  set_current_worker_raw(&a);
  std::thread([&] {
    EXPECT_EQ(current_worker_raw(), nullptr);
    set_current_worker_raw(&b);
    EXPECT_EQ(current_worker_raw(), &b);
  }).join();
  EXPECT_EQ(current_worker_raw(), &a);
  set_current_worker_raw(nullptr);
  EXPECT_EQ(current_worker_raw(), nullptr);
}

TEST(tls, the_accessor_reads_the_thread_that_runs_not_the_one_that_ran) {
  stack_source source;
  walk w;
  w.on = source.take();
  make_context(
      w.on->ctx, w.on->low, w.on->size,
      [](void* argument) {
        auto& self = *static_cast<walk*>(argument);
        read_on_three_threads(self);
        switch_context_final(self.on->ctx, *self.back);
      },
      &w);
  int names[3] = {};
  void* left_behind = nullptr;
  auto step = [&](int i) {
    std::thread([&, i] {
      context here;
      adopt_thread(here);
      set_current_worker_raw(&names[i]);
      w.back = &here;
      switch_context(here, w.on->ctx);
      if (i == 1) left_behind = current_worker_raw();
      destroy_context(here);
    }).join();
  };
  step(0);
  step(1);
  step(2);
  EXPECT_EQ(w.seen[0], &names[0]);
  EXPECT_EQ(w.seen[1], &names[1]);
  EXPECT_EQ(w.seen[2], &names[2]);
  EXPECT_EQ(left_behind, &w);  // the setter wrote the slot of the thread that ran it
  source.give(w.on);
}

}  // namespace
