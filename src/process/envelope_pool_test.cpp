// The memory of envelopes: what a worker keeps of it, and that any message finds its way through it.
#include "process/envelope_pool.hpp"

#include "runtime/context.hpp"

#include <otp/receive.hpp>
#include <otp/runtime.hpp>
#include <otp/testing.hpp>

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <set>
#include <thread>
#include <utility>
#include <vector>

namespace otp::detail {
namespace {

void* block(std::size_t size_class) { return ::operator new(size_class * envelope_pool::step); }

TEST(envelope_pool, gives_back_what_it_was_given_class_by_class) {
  envelope_pool pool;
  EXPECT_EQ(pool.take(1), nullptr);
  void* small = block(1);
  void* large = block(8);
  EXPECT_TRUE(pool.give(small, 1));
  EXPECT_TRUE(pool.give(large, 8));
  EXPECT_EQ(pool.take(2), nullptr);
  EXPECT_EQ(pool.take(1), small);
  EXPECT_EQ(pool.take(1), nullptr);
  EXPECT_EQ(pool.take(8), large);
  ::operator delete(small);
  ::operator delete(large);
}

TEST(envelope_pool, is_full_at_its_limit_whatever_the_class_and_has_room_again_after_a_take) {
  envelope_pool pool;
  std::size_t kept = 0;
  std::size_t size_class = 1;
  void* next = block(size_class);
  while (pool.give(next, size_class)) {
    kept += size_class * envelope_pool::step;
    size_class = size_class % 8 + 1;
    next = block(size_class);
  }
  ::operator delete(next);  // refused, so still ours
  EXPECT_LE(kept, envelope_pool::kept_max);
  EXPECT_GT(kept + size_class * envelope_pool::step, envelope_pool::kept_max);
  void* taken = pool.take(8);
  ASSERT_NE(taken, nullptr);
  EXPECT_TRUE(pool.give(taken, 8));
  pool.trim();
  for (std::size_t c = 1; c <= 8; ++c) EXPECT_EQ(pool.take(c), nullptr);
  void* again = block(8);
  EXPECT_TRUE(pool.give(again, 8));
}

TEST(envelope_depot, gets_a_chain_from_a_full_pool_and_hands_it_to_an_empty_one) {
  envelope_depot depot;
  envelope_pool full(&depot);
  envelope_pool empty(&depot);
  EXPECT_EQ(empty.take(2), nullptr);
  std::size_t given = 0;
  std::set<void*> blocks;
  for (; given < envelope_pool::kept_max / (2 * envelope_pool::step) + 1; ++given) {
    void* next = block(2);
    blocks.insert(next);
    ASSERT_TRUE(full.give(next, 2));
  }
  EXPECT_EQ(empty.take(3), nullptr) << "of another class";
  std::size_t taken = 0;
  while (void* there = empty.take(2)) {
    EXPECT_EQ(blocks.count(there), 1U);
    ::operator delete(there);
    ++taken;
  }
  EXPECT_EQ(taken, envelope_depot::chain_length);
}

TEST(envelope_depot, is_full_at_its_limit_and_then_the_pool_refuses) {
  envelope_depot depot;
  envelope_pool pool(&depot);
  std::size_t given = 0;
  void* next = block(8);
  for (; pool.give(next, 8); ++given) next = block(8);
  ::operator delete(next);
  const std::size_t bytes = given * 8 * envelope_pool::step;
  EXPECT_LE(bytes, envelope_depot::kept_max + envelope_pool::kept_max);
  EXPECT_GT(bytes + 8 * envelope_pool::step * envelope_depot::chain_length,
            envelope_depot::kept_max + envelope_pool::kept_max);
  depot.trim();
  envelope_pool another(&depot);
  EXPECT_EQ(another.take(8), nullptr);
}

TEST(envelope_depot, serves_workers_that_send_to_each_other_at_once) {
  envelope_depot depot;
  std::atomic<int> ready{0};
  auto work = [&](std::size_t size_class) {
    envelope_pool pool(&depot);
    ++ready;
    while (ready.load() < 4) std::this_thread::yield();
    for (int round = 0; round < 200; ++round) {
      std::vector<void*> held;
      for (int i = 0; i < 100; ++i) {
        void* memory = pool.take(size_class);
        held.push_back(memory ? memory : block(size_class));
        std::memset(held.back(), 0xee, size_class * envelope_pool::step);
      }
      for (void* memory : held)
        if (!pool.give(memory, size_class)) ::operator delete(memory);
      // One chain goes to the depot, for whoever runs out first.
      envelope_block* chain = nullptr;
      for (std::size_t n = 0; n < envelope_depot::chain_length; ++n) {
        void* memory = pool.take(size_class);
        chain = ::new (memory ? memory : block(size_class)) envelope_block{chain, nullptr};
      }
      if (!depot.give(chain, size_class))
        while (chain) ::operator delete(std::exchange(chain, chain->next));
    }
  };
  std::thread a(work, 1);
  std::thread b(work, 1);
  std::thread c(work, 2);
  work(2);
  a.join();
  b.join();
  c.join();
}

template <std::size_t Bytes>
struct sized {
  std::array<std::uint8_t, Bytes> bytes{};
};
struct alignas(64) aligned {
  int value = 0;
};

template <std::size_t Bytes>
void there_and_back(pid echo) {
  sized<Bytes> sent;
  sent.bytes.fill(static_cast<std::uint8_t>(Bytes));
  send(echo, sent);
  receive([&](const sized<Bytes>& got) { EXPECT_EQ(got.bytes, sent.bytes); });
}

TEST(envelopes, of_every_size_and_alignment_arrive_as_they_were_sent) {
  otp::testing::run({}, [] {
    pid me = self();
    pid echo = spawn([me] {
      for (;;)
        receive([&](const sized<1>& m) { send(me, m); }, [&](const sized<31>& m) { send(me, m); },
                [&](const sized<32>& m) { send(me, m); }, [&](const sized<200>& m) { send(me, m); },
                [&](const sized<224>& m) { send(me, m); }, [&](const sized<225>& m) { send(me, m); },
                [&](const sized<5000>& m) { send(me, m); },
                [&](const aligned& m) {
                  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&m) % alignof(aligned), 0U);
                  send(me, m);
                });
    });
    for (int round = 0; round < 3; ++round) {
      there_and_back<1>(echo);
      there_and_back<31>(echo);
      there_and_back<32>(echo);
      there_and_back<200>(echo);
      there_and_back<224>(echo);
      there_and_back<225>(echo);
      there_and_back<5000>(echo);
      send(echo, aligned{round});
      receive([&](const aligned& m) {
        EXPECT_EQ(m.value, round);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&m) % alignof(aligned), 0U);
      });
    }
    exit(echo, reason::kill);
  });
}

TEST(envelopes, are_made_of_memory_that_the_worker_has_kept) {
  if (with_address_sanitizer || with_thread_sanitizer) GTEST_SKIP() << "nothing is kept under a sanitizer: rule 4";
  otp::testing::run({}, [] {
    std::set<const void*> places;
    for (int i = 0; i < 100; ++i) {
      send(self(), sized<100>{});
      receive([&](const sized<100>& m) { places.insert(&m); });
    }
    EXPECT_LE(places.size(), 2U);
  });
}

}  // namespace
}  // namespace otp::detail
