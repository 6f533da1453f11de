// One thread at a time; what threads do to each other is in tests/model and tests/stress.
#include "runtime/run_queue.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

namespace otp::detail {
namespace {

template <std::size_t Capacity>
class filled {
 public:
  using queue_type = run_queue<int, std_sync, Capacity>;

  explicit filled(std::size_t items, std::uint64_t first = 0) : queue(first) {
    for (std::size_t i = 0; i < items; ++i) {
      numbers.at(i) = static_cast<int>(i);
      EXPECT_TRUE(queue.push(&numbers.at(i)));
    }
  }

  std::array<int, 2 * Capacity> numbers{};
  queue_type queue;
};

template <class Queue>
std::vector<int> drain(Queue& queue) {
  std::vector<int> all;
  while (const int* item = queue.pop()) all.push_back(*item);
  return all;
}

TEST(RunQueueTest, IsEmptyAtFirst) {
  run_queue<int> queue;
  run_queue<int> thief;
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.pop(), nullptr);
  EXPECT_EQ(queue.steal(thief), nullptr);
  EXPECT_EQ(queue.capacity(), 256U);
}

TEST(RunQueueTest, GivesItsOwnerTheOldestFirst) {
  filled<8> f(5);
  EXPECT_EQ(f.queue.size(), 5U);
  EXPECT_EQ(drain(f.queue), (std::vector{0, 1, 2, 3, 4}));
  EXPECT_TRUE(f.queue.empty());
}

TEST(RunQueueTest, RefusesWhenFullAndAcceptsAfterAPop) {
  filled<4> f(4);
  int late = 99;
  EXPECT_FALSE(f.queue.push(&late));
  EXPECT_EQ(*f.queue.pop(), 0);
  EXPECT_TRUE(f.queue.push(&late));
  EXPECT_FALSE(f.queue.push(&late));
  EXPECT_EQ(drain(f.queue), (std::vector{1, 2, 3, 99}));
}

TEST(RunQueueTest, AThiefTakesTheOlderHalfInOrder) {
  filled<8> f(6);
  filled<8>::queue_type thief;
  EXPECT_EQ(*f.queue.steal(thief), 0);
  EXPECT_EQ(drain(thief), (std::vector{1, 2}));
  EXPECT_EQ(drain(f.queue), (std::vector{3, 4, 5}));
}

TEST(RunQueueTest, AThiefRoundsUp) {
  filled<8> f(5);
  filled<8>::queue_type thief;
  EXPECT_EQ(*f.queue.steal(thief), 0);
  EXPECT_EQ(thief.size(), 2U);
  EXPECT_EQ(f.queue.size(), 2U);
}

TEST(RunQueueTest, AThiefTakesTheLastOne) {
  filled<8> f(1);
  filled<8>::queue_type thief;
  EXPECT_EQ(*f.queue.steal(thief), 0);
  EXPECT_TRUE(thief.empty());
  EXPECT_TRUE(f.queue.empty());
  EXPECT_EQ(f.queue.steal(thief), nullptr);
}

TEST(RunQueueTest, AThiefTakesNoMoreThanItHasRoomFor) {
  filled<8> f(8);
  filled<8> thief(7);
  EXPECT_EQ(*f.queue.steal(thief.queue), 0);  // one to run, one in the last slot
  EXPECT_EQ(thief.queue.size(), 8U);
  EXPECT_EQ(f.queue.size(), 6U);
  EXPECT_EQ(drain(thief.queue), (std::vector{0, 1, 2, 3, 4, 5, 6, 1}));
}

TEST(RunQueueTest, AThiefWithoutRoomTakesTheOneItRuns) {
  filled<8> f(8);
  filled<8> thief(8);
  EXPECT_EQ(*f.queue.steal(thief.queue), 0);
  EXPECT_EQ(thief.queue.size(), 8U);
  EXPECT_EQ(f.queue.size(), 7U);
}

TEST(RunQueueTest, AStuckOwnerLosesEverythingToThieves) {
  filled<8> f(8);
  filled<8>::queue_type thief;
  std::vector<int> all;
  while (const int* first = f.queue.steal(thief)) {
    all.push_back(*first);
    for (int each : drain(thief)) all.push_back(each);
  }
  EXPECT_EQ(all, (std::vector{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(RunQueueTest, KeepsItsOrderWhereTheNumbersEnd) {
  const std::uint64_t near_the_end = ~std::uint64_t{0} - 2;
  filled<8> f(8, near_the_end);
  EXPECT_EQ(f.queue.size(), 8U);
  EXPECT_FALSE(f.queue.push(f.numbers.data()));
  filled<8>::queue_type thief(near_the_end);
  EXPECT_EQ(*f.queue.steal(thief), 0);
  EXPECT_EQ(drain(thief), (std::vector{1, 2, 3}));
  EXPECT_EQ(drain(f.queue), (std::vector{4, 5, 6, 7}));
}

TEST(RunQueueTest, GoesRoundManyTimes) {
  run_queue<int, std_sync, 4> queue;
  std::array<int, 3> numbers{0, 1, 2};
  for (int round = 0; round < 100; ++round) {
    for (int& each : numbers) ASSERT_TRUE(queue.push(&each));
    ASSERT_EQ(drain(queue), (std::vector{0, 1, 2}));
  }
}

}  // namespace
}  // namespace otp::detail
