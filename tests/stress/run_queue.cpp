// The run queue between real threads: every item is taken exactly once, its contents come along, the owner gets its own
// in order, and an owner that stops for ever is emptied by the others.
#include "runtime/run_queue.hpp"
#include "dice.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace {

struct item {
  std::uint64_t number = 0;
  int taken = 0;  // plain: two takers are a data race
};

constexpr unsigned thieves = 3;
constexpr std::uint64_t items = 1'000'000;

template <std::size_t Capacity>
class contest {
 public:
  using queue = otp::detail::run_queue<item, otp::detail::std_sync, Capacity>;

  contest() : all_(items) {
    for (std::uint64_t i = 0; i < items; ++i) all_[i].number = i;
  }

  // `owner_pops`: the owner works on its own queue; if not, it only pushes and is stuck in between.
  void run(bool owner_pops) {
    SCOPED_TRACE(testing::Message() << "OTP_SEED=" << stress::seed());
    std::vector<std::thread> threads;
    for (unsigned thief = 0; thief < thieves; ++thief) threads.emplace_back([this, thief] { steal(thief); });
    produce(owner_pops);
    for (std::thread& each : threads) each.join();

    std::uint64_t sum = 0;
    for (std::uint64_t each : taken_by_) sum += each;
    EXPECT_EQ(sum, items);
    EXPECT_EQ(out_of_order_.load(), 0U);
    std::uint64_t wrong = 0;
    for (const item& each : all_) wrong += each.taken == 1 ? 0 : 1;
    EXPECT_EQ(wrong, 0U);
    std::printf("taken by the owner %llu, by thieves", static_cast<unsigned long long>(taken_by_[thieves]));
    for (unsigned i = 0; i < thieves; ++i) std::printf(" %llu", static_cast<unsigned long long>(taken_by_[i]));
    std::printf("\n");
  }

 private:
  void take(unsigned who, item* one) {
    ++one->taken;
    ++taken_by_[who];
    if (taken_.fetch_add(1) + 1 == items) done_.store(true);
  }

  void produce(bool owner_pops) {
    stress::dice dice(thieves);
    std::uint64_t last = 0;
    auto take_own = [&] {
      item* one = queues_[thieves].pop();
      if (one == nullptr) return false;
      if (one->number < last) out_of_order_.fetch_add(1);
      last = one->number;
      take(thieves, one);
      return true;
    };
    for (std::uint64_t next = 0; next < items;) {
      for (std::uint64_t burst = 1 + dice.below(Capacity); burst > 0 && next < items; --burst) {
        if (!queues_[thieves].push(&all_[next])) break;
        ++next;
      }
      if (owner_pops) {
        for (std::uint64_t burst = dice.below(Capacity); burst > 0 && take_own(); --burst) {
        }
        if (dice.one_in(32)) std::this_thread::yield();
      } else {
        std::this_thread::yield();
      }
    }
    while (owner_pops && take_own()) {
    }
  }

  // Takes from the producer and from the other thieves, whose queues are filled by theft alone.
  void steal(unsigned me) {
    stress::dice dice(me);
    queue& mine = queues_[me];
    while (!done_.load()) {
      if (item* one = mine.pop()) {
        take(me, one);
        continue;
      }
      unsigned victim = static_cast<unsigned>(dice.below(thieves + 1));
      if (victim == me) victim = thieves;
      item* one = queues_[victim].steal(mine);
      if (one == nullptr) {
        std::this_thread::yield();
        continue;
      }
      std::uint64_t last = one->number;
      take(me, one);
      if (dice.one_in(4)) continue;  // leaves its loot to be stolen again
      while ((one = mine.pop()) != nullptr) {
        if (one->number < last) out_of_order_.fetch_add(1);
        last = one->number;
        take(me, one);
      }
    }
  }

  std::vector<item> all_;
  std::array<queue, thieves + 1> queues_;  // the last one is the producer's
  std::array<std::uint64_t, thieves + 1> taken_by_{};
  std::atomic<std::uint64_t> taken_{0};
  std::atomic<std::uint64_t> out_of_order_{0};
  std::atomic<bool> done_{false};
};

TEST(RunQueueStress, SmallRingWithAWorkingOwner) { contest<4>().run(true); }
TEST(RunQueueStress, LargeRingWithAWorkingOwner) { contest<256>().run(true); }
TEST(RunQueueStress, SmallRingWithAStuckOwner) { contest<4>().run(false); }
TEST(RunQueueStress, LargeRingWithAStuckOwner) { contest<256>().run(false); }

}  // namespace
