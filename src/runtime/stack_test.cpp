#include "runtime/stack.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

using namespace otp::detail;

namespace {

constexpr bool sanitized = with_address_sanitizer || with_thread_sanitizer;

std::size_t map_count() {
  std::ifstream maps("/proc/self/maps");
  return static_cast<std::size_t>(std::count(std::istreambuf_iterator<char>(maps), {}, '\n'));
}

std::size_t status_kib(const std::string& name) {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line))
    if (line.starts_with(name)) return std::strtoull(line.c_str() + name.size(), nullptr, 10);
  return 0;
}

// How a child that runs `body` ends: its signal, or its exit code.
struct ending {
  int signal = 0;
  int code = 0;
};
template <class Body>
ending in_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGSEGV, SIG_DFL);  // a sanitizer's handler would turn the signal into an exit code
    ::signal(SIGBUS, SIG_DFL);
    rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return {WIFSIGNALED(status) ? WTERMSIG(status) : 0, WIFEXITED(status) ? WEXITSTATUS(status) : 0};
}

#if OTP_DETAIL_ASAN || OTP_DETAIL_TSAN
__attribute__((no_sanitize("address"), no_sanitize("thread")))
#endif
void poke(char* at) {
  *static_cast<volatile char*>(at) = 1;
}

void touch_all(stack& s) {
  for (std::size_t i = 0; i < s.size; i += 1024) poke(s.low + i);
}

std::vector<stack*> take_many(stack_source& source, std::size_t count) {
  std::vector<stack*> all;
  all.reserve(count);
  while (all.size() < count) all.push_back(source.take());
  return all;
}

void give_all(stack_source& source, const std::vector<stack*>& all) {
  for (stack* s : all) source.give(s);
}

// Both kinds of guard; on a kernel without guards inside a mapping both are made by mprotect.
class guard_kinds : public testing::TestWithParam<bool> {
 protected:
  static stack_source::options chosen() {
    stack_source::options o;
    o.force_mprotect = GetParam();
    return o;
  }
};
INSTANTIATE_TEST_SUITE_P(both, guard_kinds, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "mprotect" : "installed"; });

TEST_P(guard_kinds, every_byte_of_a_stack_is_usable_and_the_guard_below_it_faults) {
  stack_source source(chosen());
  const auto all = take_many(source, 3);
  for (stack* s : all) {
    EXPECT_EQ(s->size, default_stack_size);
    EXPECT_GE(s->guard, default_guard_size);
    touch_all(*s);
    poke(s->top() - 1);
    EXPECT_EQ(in_child([s] { poke(s->low); }).signal, 0);
    EXPECT_EQ(in_child([s] { poke(s->low - 1); }).signal, SIGSEGV);
    EXPECT_EQ(in_child([s] { poke(s->low - s->guard); }).signal, SIGSEGV);
  }
  give_all(source, all);
}

TEST_P(guard_kinds, a_guard_survives_being_given_back_trimmed_and_taken_again) {
  stack_source source(chosen());
  stack* s = source.take();
  touch_all(*s);
  source.give(s);
  EXPECT_EQ(source.trim(0), 1U);
  stack* again = source.take();
  ASSERT_EQ(again, s);
  touch_all(*again);
  EXPECT_EQ(in_child([again] { poke(again->low - 1); }).signal, SIGSEGV);
  source.give(again);
}

TEST_P(guard_kinds, a_stack_of_its_own_size_has_its_own_guard) {
  stack_source source(chosen());
  stack* s = source.take(1'000'000);
  EXPECT_GE(s->size, 1'000'000U);
  EXPECT_LT(s->size, 1'000'000U + 65536);
  EXPECT_TRUE(s->has_own_size());
  touch_all(*s);
  EXPECT_EQ(in_child([s] { poke(s->low - 1); }).signal, SIGSEGV);
  EXPECT_EQ(in_child([s] { poke(s->low - s->guard); }).signal, SIGSEGV);
  source.give(s);
  EXPECT_EQ(source.take(1'000'000), s);  // kept for the next one
  source.give(s);
  const std::size_t bytes = source.count().bytes;
  EXPECT_EQ(source.trim(0), 1U);
  EXPECT_LT(source.count().bytes, bytes);
}

TEST_P(guard_kinds, a_retired_stack_faults_and_is_never_handed_out_again) {
  stack_source source(chosen());
  stack* s = source.take();
  touch_all(*s);
  source.retire(s);
  EXPECT_EQ(in_child([s] { poke(s->low + s->size / 2); }).signal, SIGSEGV);
  EXPECT_EQ(in_child([s] { poke(s->top() - 1); }).signal, SIGSEGV);
  const auto more = take_many(source, 40);
  EXPECT_EQ(std::count(more.begin(), more.end(), s), 0);
  for (stack* x : more) touch_all(*x);
  give_all(source, more);
  const auto now = source.count();
  EXPECT_EQ(now.retired, 1U);
  EXPECT_EQ(now.live, 0U);
}

TEST(stack_source, the_last_one_given_back_is_the_first_one_taken) {
  stack_source source;
  stack* a = source.take();
  stack* b = source.take();
  source.give(b);
  source.give(a);
  EXPECT_EQ(source.take(), a);
  EXPECT_EQ(source.take(), b);
  source.give(a);
  source.give(b);
}

TEST(stack_source, counters_return_to_their_baseline) {
  stack_source source;
  const auto all = take_many(source, 100);
  auto now = source.count();
  EXPECT_EQ(now.live, 100U);
  EXPECT_EQ(now.idle, 0U);
  EXPECT_EQ(now.high_water, 100U);
  EXPECT_GE(now.bytes, 100 * (default_stack_size + default_guard_size));
  give_all(source, all);
  now = source.count();
  EXPECT_EQ(now.live, 0U);
  EXPECT_EQ(now.idle, 100U);
  EXPECT_EQ(now.idle_dirty, 100U);
  EXPECT_EQ(now.high_water, 100U);
  EXPECT_EQ(source.trim(30), 70U);
  now = source.count();
  EXPECT_EQ(now.idle, 100U);
  EXPECT_EQ(now.idle_dirty, 30U);
  EXPECT_EQ(source.trim(30), 0U);  // nothing is trimmed twice
  const std::size_t bytes = now.bytes;
  give_all(source, take_many(source, 100));
  EXPECT_EQ(source.count().bytes, bytes);
}

// Neighbours must not share the sets of a TLB: see the constructor.
TEST(stack_source, stacks_lie_an_odd_number_of_pages_apart) {
  for (std::size_t size : {smallest_stack_size, default_stack_size, default_stack_size + 4096}) {
    stack_source::options o;
    o.size = size;
    stack_source source(o);
    stack* s = source.take();
    EXPECT_EQ((s->size + s->guard) / 4096 % 2, 1U);
    EXPECT_EQ(s->size, size);
    EXPECT_GE(s->guard, default_guard_size);
    source.give(s);
  }
}

TEST(stack_source, sizes_are_rounded_up_to_something_usable) {
  stack_source::options o;
  o.size = 1;
  o.guard = 1;
  stack_source source(o);
  stack* s = source.take();
  EXPECT_EQ(s->size, smallest_stack_size);
  EXPECT_GE(s->guard, 4096U);
  stack* own = source.take(default_stack_size * 3 + 1);
  EXPECT_GE(own->size, default_stack_size * 3 + 1);
  EXPECT_EQ(own->size % 4096, 0U);
  EXPECT_THROW(source.take(SIZE_MAX), stack_exhausted);
  source.give(s);
  source.give(own);
}

TEST(stack_source, trimming_gives_memory_back_to_the_kernel) {
  const std::size_t count = sanitized ? 64 : 1000;
  stack_source source;
  const auto all = take_many(source, count);
  for (stack* s : all) touch_all(*s);
  for (stack* s : all) EXPECT_EQ(used_bytes(*s), s->size);
  const std::size_t before = status_kib("VmRSS:");
  give_all(source, all);
  EXPECT_EQ(source.trim(10), count - 10);
  std::size_t empty = 0;
  for (stack* s : all) empty += used_bytes(*s) == 0;
  EXPECT_EQ(empty, count - 10);
  for (std::size_t i = count - 10; i < count; ++i) EXPECT_NE(used_bytes(*all[i]), 0U) << "one of those used last";
  EXPECT_LT(status_kib("VmRSS:"), before - (count - 10) * default_stack_size / 1024 * 9 / 10);
}

TEST(stack_source, many_trimmers_and_takers_lose_no_stack) {
  stack_source source;
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < (sanitized ? 30 : 200); ++i) {
        const auto mine = take_many(source, 50);
        for (stack* s : mine) poke(s->top() - 1);
        give_all(source, mine);
        source.trim(static_cast<std::size_t>(i % 40));
      }
    });
  for (auto& t : threads) t.join();
  const auto now = source.count();
  EXPECT_EQ(now.live, 0U);
  EXPECT_LE(now.high_water, 200U);
  EXPECT_LE(now.idle,
            200U + 4 * 64);  // a batch that is being trimmed is replaced by new ones if somebody needs it meanwhile
  auto all = take_many(source, now.idle);
  EXPECT_EQ(source.count().idle, 0U);
  for (stack* s : all) touch_all(*s);
  give_all(source, all);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::unique(all.begin(), all.end()), all.end());
}

TEST(stack_source, guards_inside_mappings_keep_the_number_of_maps_small) {
  stack_source source;
  stack* probe = source.take();
  source.give(probe);
  if (source.guards_by_mprotect()) GTEST_SKIP() << "this kernel has no guards inside mappings";
  const std::size_t count = sanitized ? 5'000 : 250'000;
  const std::size_t before = map_count();
  const auto all = take_many(source, count);
  EXPECT_LT(map_count(), before + 100);
  EXPECT_EQ(source.count().live, count);
  EXPECT_EQ(in_child([&] { poke(all.back()->low - 1); }).signal, SIGSEGV);
  EXPECT_EQ(in_child([&] { poke(all[count / 2]->low - 1); }).signal, SIGSEGV);
  give_all(source, all);
}

TEST(stack_source, at_the_map_limit_the_error_names_the_setting_its_value_and_the_number_of_stacks) {
  stack_source::options o;
  o.force_mprotect = true;
  // Without a sanitizer the true limit; with one so many stacks would take gigabytes of shadow memory.
  if (sanitized) o.map_count_max = 1000;
  std::size_t limit = o.map_count_max;
  if (limit == 0) {
    std::ifstream("/proc/sys/vm/max_map_count") >> limit;
    if (limit > 200'000) limit = o.map_count_max = 65530;
  }
  stack_source source(o);
  std::vector<stack*> all;
  std::string text;
  try {
    for (;;) all.push_back(source.take());
  } catch (const stack_exhausted& e) {
    text = e.what();
  }
  EXPECT_GE(all.size(), (limit - 400) / 2);
  EXPECT_LE(all.size(), limit / 2);
  EXPECT_NE(text.find("vm.max_map_count is " + std::to_string(limit)), std::string::npos) << text;
  EXPECT_NE(text.find(std::to_string(all.size()) + " stacks"), std::string::npos) << text;
  EXPECT_NE(text.find("sysctl -w vm.max_map_count="), std::string::npos) << text;
  // Refused, not broken: the program can still map memory, and one given back can be taken again.
  void* memory = ::mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_NE(memory, MAP_FAILED);
  ::munmap(memory, 1 << 20);
  source.give(all.back());
  EXPECT_EQ(source.take(), all.back());
  EXPECT_THROW(source.take(), stack_exhausted);
  EXPECT_THROW(source.take(1 << 20), stack_exhausted);
  EXPECT_EQ(source.count().live, all.size());
  give_all(source, all);
}

TEST(stack_source, without_address_space_the_error_names_the_limits) {
  if (sanitized) GTEST_SKIP() << "a sanitizer needs all the address space there is";
  const ending e = in_child([] {
    const rlim_t bytes = status_kib("VmSize:") * 1024 + (1UL << 30);
    const rlimit limit{bytes, bytes};
    ::setrlimit(RLIMIT_AS, &limit);
    stack_source source;
    std::size_t taken = 0;
    try {
      for (;; ++taken) source.take();
    } catch (const stack_exhausted& x) {
      const std::string text = x.what();
      const bool named = text.find("ulimit -v") != std::string::npos &&
                         text.find("Cannot allocate memory") != std::string::npos &&
                         text.find(std::to_string(taken) + " stacks") != std::string::npos;
      // Most of the gigabyte was used before giving up, although slabs grow far beyond what is left.
      ::_exit(named && taken > 10'000 ? 7 : 8);
    }
  });
  EXPECT_EQ(e.code, 7);
}

struct told {
  int times = 0;
  std::string last;
  static void hear(const char* text, void* argument) {
    auto& self = *static_cast<told*>(argument);
    ++self.times;
    self.last = text;
  }
};

// covers: F11
TEST(stack_source, locked_memory_falls_back_to_mprotect_says_so_once_and_still_guards) {
  if (sanitized) GTEST_SKIP() << "locking a sanitizer's shadow memory takes more memory than there is";
  const ending e = in_child([] {
    if (::mlockall(MCL_CURRENT | MCL_FUTURE) != 0) ::_exit(9);
    told notice;
    stack_source::options o;
    o.notice = told::hear;
    o.notice_argument = &notice;
    stack_source source(o);
    const auto all = take_many(source, 100);
    for (stack* s : all) touch_all(*s);
    for (std::size_t i = 0; i < all.size(); i += 20) {
      const ending child = in_child([s = all[i]] { poke(s->low - 1); });
      if (child.signal != SIGSEGV) ::_exit(10);
    }
    if (!source.guards_by_mprotect()) ::_exit(11);
    if (notice.times != 1) ::_exit(12);
    if (notice.last.find("mprotect") == std::string::npos || notice.last.find("vm.max_map_count") == std::string::npos)
      ::_exit(13);
    if (notice.last.find("mlockall") == std::string::npos && notice.last.find("Linux 6.13") == std::string::npos)
      ::_exit(14);
    ::_exit(7);
  });
  if (e.code == 9) GTEST_SKIP() << "not allowed to lock memory";
  EXPECT_EQ(e.code, 7);
}

TEST(stack_source, unguarded_stacks_are_an_option_are_announced_once_and_carry_a_canary) {
  told notice;
  stack_source::options o;
  o.force_mprotect = true;
  o.allow_unguarded = true;
  o.map_count_max = 276;  // 256 stay free for the program: room for ten guards
  o.notice = told::hear;
  o.notice_argument = &notice;
  stack_source source(o);
  const auto all = take_many(source, 30);
  EXPECT_EQ(source.count().unguarded, 20U);
  EXPECT_EQ(notice.times, 1);
  EXPECT_NE(notice.last.find("vm.max_map_count"), std::string::npos);
  stack* bare = all.back();
  EXPECT_EQ(bare->guard, 0U);
  EXPECT_TRUE(canary_intact(*bare));
  EXPECT_EQ(used_bytes(*bare), 0U);
  const ending e = in_child([&] {
    ::close(2);
    std::memset(bare->low + 8, 0, 8);
    if (canary_intact(*bare)) ::_exit(3);
    source.give(bare);
  });
  EXPECT_EQ(e.signal, SIGABRT);
  give_all(source, all);
}

TEST(stack_source, a_stack_that_is_still_out_stays_usable_when_its_source_ends) {
  stack* kept = nullptr;
  stack* kept_own = nullptr;
  {
    stack_source source;
    kept = source.take();
    kept_own = source.take(default_stack_size * 2);
  }
  touch_all(*kept);
  touch_all(*kept_own);
  EXPECT_EQ(used_bytes(*kept), kept->size);
}

TEST(used_bytes, is_the_distance_from_the_top_to_the_deepest_word_written) {
  stack_source source;
  stack* s = source.take();
  EXPECT_EQ(used_bytes(*s), 0U);
  poke(s->top() - 100);
  EXPECT_EQ(used_bytes(*s), 104U);  // in words of eight bytes
  poke(s->top() - 20'000);
  EXPECT_EQ(used_bytes(*s), 20'000U);
  source.give(s);
  stack* large = source.take(40 << 20);
  poke(large->top() - 8);
  EXPECT_EQ(used_bytes(*large), 8U);
  poke(large->low + (3 << 20));
  EXPECT_EQ(used_bytes(*large), large->size - (3 << 20));
  source.give(large);
}

TEST(stack_pool, keeps_a_few_and_sends_the_rest_back) {
  stack_source source;
  {
    stack_pool pool(source, {.keep = 10, .batch = 4});
    std::vector<stack*> all(50);
    for (stack*& s : all) s = pool.take();
    for (stack* s : all) pool.give(s);
    EXPECT_LE(pool.idle(), 10U);
    EXPECT_EQ(source.count().live, pool.idle());
    EXPECT_EQ(source.count().idle, 50 - pool.idle());
    stack* again = pool.take();
    EXPECT_EQ(again, all.back());
    pool.give(again);
  }
  EXPECT_EQ(source.count().live, 0U);
}

TEST(stack_pool, trimming_sends_back_what_was_not_needed_since_the_last_time) {
  stack_source source;
  stack_pool pool(source, {.keep = 64, .batch = 1});
  std::vector<stack*> all(20);
  for (stack*& s : all) s = pool.take();
  for (stack* s : all) pool.give(s);
  pool.trim();
  EXPECT_EQ(pool.idle(), 20U);  // all of them were in use since
  for (int i = 0; i < 5; ++i) all[static_cast<std::size_t>(i)] = pool.take();
  for (int i = 0; i < 5; ++i) pool.give(all[static_cast<std::size_t>(i)]);
  pool.trim();
  EXPECT_EQ(pool.idle(), 5U);
  pool.trim();
  EXPECT_EQ(pool.idle(), 0U);
  EXPECT_EQ(source.count().idle, 20U);
}

TEST(stack_pool, fetches_several_idle_ones_at_once) {
  stack_source source;
  give_all(source, take_many(source, 20));
  stack_pool pool(source, {.keep = 64, .batch = 8});
  stack* s = pool.take();
  EXPECT_EQ(pool.idle(), 7U);
  EXPECT_EQ(source.count().idle, 12U);
  pool.give(s);
}

TEST(stack_pool, a_stack_of_its_own_size_goes_straight_back) {
  stack_source source;
  stack_pool pool(source);
  stack* s = source.take(default_stack_size * 2);
  pool.give(s);
  EXPECT_EQ(pool.idle(), 0U);
  EXPECT_EQ(source.count().live, 0U);
}

TEST(stack_pool, a_parked_context_stays_parked_in_the_pool_and_is_dropped_by_the_source) {
  stack_source source;
  stack_pool pool(source, {.keep = 4, .batch = 1});
  context here;
  adopt_thread(here);
  struct parked {
    context& back;
    stack* mine;
    int rounds = 0;
  };
  stack* s = pool.take();
  EXPECT_FALSE(s->ctx.ready());
  parked p{here, s};
  make_context(
      s->ctx, s->low, s->size,
      [](void* argument) {
        auto& self = *static_cast<parked*>(argument);
        for (;;) {
          ++self.rounds;
          switch_context(self.mine->ctx, self.back);
        }
      },
      &p);
  switch_context(here, s->ctx);
  pool.give(s);
  stack* again = pool.take();
  ASSERT_EQ(again, s);
  ASSERT_TRUE(again->ctx.ready());
  switch_context(here, again->ctx);
  EXPECT_EQ(p.rounds, 2);
  pool.give(again);
  pool.trim();
  pool.trim();
  EXPECT_EQ(pool.idle(), 0U);
  stack* fresh = source.take();
  EXPECT_EQ(fresh, s);
  EXPECT_FALSE(fresh->ctx.ready());
  source.give(fresh);
  destroy_context(here);
}

}  // namespace
