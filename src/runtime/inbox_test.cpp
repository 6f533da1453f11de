// One thread at a time: what each operation answers in each state. What threads do to each other is in tests/model and
// tests/stress.
#include "runtime/inbox.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <new>
#include <vector>

namespace otp::detail {
namespace {

struct alignas(16) node {
  node* next = nullptr;
  int value = 0;
};

using test_inbox = inbox<node>;

std::vector<int> values(const node* chain) {
  std::vector<int> all;
  for (; chain != nullptr; chain = chain->next) all.push_back(chain->value);
  return all;
}

class InboxTest : public testing::Test {
 protected:
  InboxTest() {
    for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i].value = static_cast<int>(i);
  }
  push_result push(std::size_t i) { return in.push(&nodes[i]); }

  test_inbox in;
  std::array<node, 4> nodes;
};

TEST_F(InboxTest, IsOneWord) { EXPECT_EQ(sizeof(test_inbox), 8U); }

TEST_F(InboxTest, ZeroedMemoryIsClosed) {
  alignas(test_inbox) std::array<unsigned char, sizeof(test_inbox)> zeros;
  std::memset(zeros.data(), 0, zeros.size());
  auto* zeroed = std::launder(reinterpret_cast<test_inbox*>(zeros.data()));
  EXPECT_TRUE(zeroed->closed());
  EXPECT_EQ(zeroed->push(&nodes[0]), push_result::closed);
}

TEST_F(InboxTest, ClosedRefusesEverything) {
  EXPECT_TRUE(in.closed());
  EXPECT_EQ(push(0), push_result::closed);
  EXPECT_EQ(in.take_all(), nullptr);
  EXPECT_EQ(in.newest(), nullptr);
  EXPECT_FALSE(in.try_sleep());
  EXPECT_FALSE(in.try_wake());
  EXPECT_FALSE(in.asleep());
  EXPECT_EQ(in.close(), nullptr);
  EXPECT_EQ(in.count(), 0U);
}

TEST_F(InboxTest, OpenAwakeQueuesWithoutWaking) {
  in.open_awake();
  EXPECT_FALSE(in.closed());
  EXPECT_EQ(push(0), push_result::queued);
  EXPECT_EQ(push(1), push_result::queued);
  EXPECT_EQ(in.count(), 2U);
}

TEST_F(InboxTest, OnlyTheFirstPushToASleeperWakes) {
  in.open_asleep();
  EXPECT_TRUE(in.asleep());
  EXPECT_EQ(push(0), push_result::wake);
  EXPECT_FALSE(in.asleep());
  EXPECT_EQ(push(1), push_result::queued);
  EXPECT_EQ(values(in.take_all()), (std::vector{0, 1}));
  EXPECT_EQ(push(2), push_result::queued) << "the owner is awake until it sleeps again";
}

TEST_F(InboxTest, TakesEverythingOldestFirst) {
  in.open_awake();
  EXPECT_EQ(in.take_all(), nullptr);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(push(i), push_result::queued);
  EXPECT_EQ(values(in.take_all()), (std::vector{0, 1, 2, 3}));
  EXPECT_EQ(in.take_all(), nullptr);
  EXPECT_EQ(in.count(), 0U);
}

TEST_F(InboxTest, ANodeCanBeUsedAgainAtOnce) {
  in.open_awake();
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(push(0), push_result::queued);
    EXPECT_EQ(push(1), push_result::queued);
    EXPECT_EQ(values(in.take_all()), (std::vector{0, 1}));
  }
}

TEST_F(InboxTest, SleepsOnlyWhenNothingHasArrived) {
  in.open_awake();
  EXPECT_EQ(push(0), push_result::queued);
  EXPECT_FALSE(in.try_sleep());
  EXPECT_EQ(values(in.take_all()), std::vector{0});
  EXPECT_TRUE(in.try_sleep());
  EXPECT_EQ(push(1), push_result::wake);
}

TEST_F(InboxTest, WakesASleeperWithoutAMessageOnce) {
  in.open_asleep();
  EXPECT_TRUE(in.try_wake());
  EXPECT_FALSE(in.try_wake());
  EXPECT_EQ(push(0), push_result::queued) << "the owner was woken already";
  EXPECT_FALSE(in.try_wake()) << "there is a message, so somebody schedules the owner";
}

TEST_F(InboxTest, CloseHandsOverWhatWasNotTaken) {
  in.open_asleep();
  EXPECT_EQ(push(0), push_result::wake);
  EXPECT_EQ(push(1), push_result::queued);
  EXPECT_EQ(values(in.close()), (std::vector{0, 1}));
  EXPECT_EQ(in.close(), nullptr);
  EXPECT_TRUE(in.closed());
  EXPECT_EQ(push(2), push_result::closed);
  EXPECT_EQ(in.take_all(), nullptr);
}

TEST_F(InboxTest, ClosesASleeperWithoutWakingIt) {
  in.open_asleep();
  EXPECT_EQ(in.close(), nullptr);
  EXPECT_FALSE(in.try_wake());
}

TEST_F(InboxTest, OpensAgainAfterAClose) {
  in.open_awake();
  EXPECT_EQ(in.close(), nullptr);
  in.open_asleep();
  EXPECT_EQ(push(0), push_result::wake);
}

TEST_F(InboxTest, AVisitorSeesTheNewestFirstAndTakesNothing) {
  in.open_awake();
  EXPECT_EQ(in.newest(), nullptr);
  EXPECT_EQ(push(0), push_result::queued);
  EXPECT_EQ(push(1), push_result::queued);
  EXPECT_EQ(values(in.newest()), (std::vector{1, 0}));
  EXPECT_EQ(values(in.take_all()), (std::vector{0, 1}));
}

TEST_F(InboxTest, StopsCountingAtItsLimitAndLosesNothing) {
  in.open_awake();
  std::vector<node> many(test_inbox::count_max + 2);
  for (node& each : many) ASSERT_EQ(in.push(&each), push_result::queued);
  EXPECT_EQ(in.count(), test_inbox::count_max);
  std::size_t taken = 0;
  bool in_order = true;
  for (const node* each = in.take_all(); each != nullptr; each = each->next)
    in_order = in_order && each == &many[taken++];
  EXPECT_TRUE(in_order);
  EXPECT_EQ(taken, many.size());
  EXPECT_EQ(in.count(), 0U);
}

}  // namespace
}  // namespace otp::detail
