// One thread at a time; the protocol between threads is in tests/model and tests/stress.
#include "runtime/idle_set.hpp"

#include <gtest/gtest.h>

namespace otp::detail {
namespace {

TEST(IdleSetTest, NobodyIsIdleAtFirst) {
  idle_set<> idle;
  EXPECT_FALSE(idle.any());
  EXPECT_EQ(idle.claim_any(), -1);
  EXPECT_FALSE(idle.claim(0));
  EXPECT_FALSE(idle.contains(0));
}

TEST(IdleSetTest, AnAnnouncedWorkerIsClaimedOnce) {
  idle_set<> idle;
  idle.announce(3);
  EXPECT_TRUE(idle.any());
  EXPECT_TRUE(idle.contains(3));
  EXPECT_EQ(idle.claim_any(), 3);
  EXPECT_EQ(idle.claim_any(), -1);
  EXPECT_FALSE(idle.contains(3));
}

TEST(IdleSetTest, RetractTellsWhetherSomebodyHasClaimed) {
  idle_set<> idle;
  idle.announce(1);
  EXPECT_TRUE(idle.retract(1));
  EXPECT_FALSE(idle.any());

  idle.announce(1);
  EXPECT_EQ(idle.claim_any(), 1);
  EXPECT_FALSE(idle.retract(1));
}

TEST(IdleSetTest, ClaimsTheWorkerAskedFor) {
  idle_set<> idle;
  idle.announce(2);
  idle.announce(5);
  EXPECT_FALSE(idle.claim(3));
  EXPECT_TRUE(idle.claim(5));
  EXPECT_FALSE(idle.claim(5));
  EXPECT_TRUE(idle.contains(2));
  EXPECT_EQ(idle.claim_any(), 2);
}

TEST(IdleSetTest, ClaimsEachWorkerOnce) {
  idle_set<> idle;
  for (unsigned worker = 0; worker < idle_set<>::workers_max; ++worker) idle.announce(worker);
  for (int worker = 0; worker < static_cast<int>(idle_set<>::workers_max); ++worker) {
    EXPECT_EQ(idle.claim_any(), worker);
  }
  EXPECT_EQ(idle.claim_any(), -1);
}

TEST(IdleSetTest, AnnouncingTwiceIsAnnouncingOnce) {
  idle_set<> idle;
  idle.announce(63);
  idle.announce(63);
  EXPECT_EQ(idle.claim_any(), 63);
  EXPECT_EQ(idle.claim_any(), -1);
}

}  // namespace
}  // namespace otp::detail
