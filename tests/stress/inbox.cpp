// The inbox between real threads: exact counts, the order of each sender, one owner at a time, and closing at any
// moment.
//
// As in the model, the thread that is told to schedule the owner runs it. The owner's state is plain data: two owners
// at once would lose counts, and are a data race for the thread sanitizer.
#include "runtime/inbox.hpp"
#include "dice.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <utility>
#include <vector>

namespace {

using otp::detail::push_result;

struct alignas(16) message {
  message* next = nullptr;
  unsigned sender = 0;
  std::uint64_t number = 0;
};

constexpr unsigned senders = 4;

struct process {
  otp::detail::inbox<message> inbox;

  // The owner's.
  std::array<std::uint64_t, senders> expected{};
  std::uint64_t handled = 0;
  std::uint64_t out_of_order = 0;
  std::uint64_t runs = 0;

  void run_owner() {
    ++runs;
    for (;;) {
      message* chain = inbox.take_all();
      for (; chain != nullptr; chain = chain->next) {
        if (expected[chain->sender]++ != chain->number) ++out_of_order;
        ++handled;
      }
      if (inbox.try_sleep() || inbox.closed()) return;
    }
  }
};

TEST(InboxStress, NothingIsLostDoubledOrOvertaken) {
  constexpr std::uint64_t messages = 1'000'000;
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << stress::seed());
  process p;
  p.inbox.open_asleep();
  std::array<std::uint64_t, senders> wakes{};
  std::array<std::uint64_t, senders> bare_wakes{};
  std::atomic<unsigned> missing{senders};
  std::vector<std::thread> threads;
  for (unsigned sender = 0; sender < senders; ++sender) {
    threads.emplace_back([&, sender] {
      stress::dice dice(sender);
      std::vector<message> mine(messages);
      missing.fetch_sub(1);
      while (missing.load() > 0) std::this_thread::yield();
      for (std::uint64_t i = 0; i < messages; ++i) {
        mine[i].sender = sender;
        mine[i].number = i;
        if (p.inbox.push(&mine[i]) == push_result::wake) {
          ++wakes[sender];
          p.run_owner();
        }
        if (dice.one_in(64) && p.inbox.try_wake()) {
          ++bare_wakes[sender];
          p.run_owner();
        }
        if (dice.one_in(1024)) std::this_thread::yield();
      }
      while (!p.inbox.asleep()) std::this_thread::yield();  // once it rests, it is done with our nodes
    });
  }
  for (std::thread& each : threads) each.join();

  std::uint64_t owners = 0;
  for (unsigned sender = 0; sender < senders; ++sender) {
    EXPECT_EQ(p.expected[sender], messages);
    owners += wakes[sender] + bare_wakes[sender];
  }
  EXPECT_EQ(p.handled, senders * messages);
  EXPECT_EQ(p.out_of_order, 0U);
  EXPECT_EQ(p.runs, owners) << "each wake-up is one turn of the owner";
  EXPECT_EQ(p.inbox.count(), 0U);
  EXPECT_TRUE(p.inbox.try_wake()) << "it rests in the end";
}

// A place that is closed at any moment and opened again for the next tenant. A message is handled, drained by the
// closer or refused, and exactly one of them.
TEST(InboxStress, ACloseLosesNothing) {
  constexpr unsigned rounds = 3000;
  constexpr std::uint64_t messages = 64;
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << stress::seed());
  std::uint64_t refused_in_all = 0;
  std::uint64_t drained_in_all = 0;
  process p;
  std::vector<std::array<message, messages>> nodes(senders);
  std::array<std::uint64_t, senders> refused{};
  std::uint64_t drained = 0;
  int reason = 0;  // plain: written by the closer, read by those who were refused

  std::atomic<unsigned> round{0};
  std::atomic<unsigned> arrived{0};
  auto next_round = [&](unsigned now) {  // the last to arrive checks, and opens the place again
    if (arrived.fetch_add(1) != senders) {
      while (round.load() == now) std::this_thread::yield();
      return;
    }
    std::uint64_t sum = p.handled + drained;
    for (std::uint64_t each : refused) sum += each;
    if (now != 0) {
      EXPECT_EQ(sum, senders * messages) << "in round " << now;
      EXPECT_EQ(p.out_of_order, 0U);
    }
    for (std::uint64_t& each : refused) refused_in_all += std::exchange(each, 0);
    drained_in_all += std::exchange(drained, 0);
    p.handled = 0;
    p.expected = {};
    reason = 0;
    p.inbox.open_asleep();
    arrived.store(0);
    round.store(now + 1);
  };

  std::vector<std::thread> threads;
  for (unsigned sender = 0; sender < senders; ++sender) {
    threads.emplace_back([&, sender] {
      stress::dice dice(sender);
      next_round(0);
      for (unsigned r = 1; r <= rounds; ++r) {
        for (std::uint64_t i = 0; i < messages; ++i) {
          message& one = nodes[sender][i];
          one.sender = sender;
          one.number = i;
          const push_result result = p.inbox.push(&one);
          if (result == push_result::wake) {
            if (dice.one_in(16)) std::this_thread::yield();  // the owner is late: the close finds a chain
            p.run_owner();
          }
          if (result == push_result::closed) {
            EXPECT_EQ(reason, 7);
            ++refused[sender];
          }
        }
        next_round(r);
      }
    });
  }
  threads.emplace_back([&] {
    stress::dice dice(senders);
    next_round(0);
    for (unsigned r = 1; r <= rounds; ++r) {
      for (std::uint64_t wait = dice.below(400); wait > 0; --wait) static_cast<void>(p.inbox.count());
      if (dice.one_in(8)) std::this_thread::yield();
      reason = 7;
      for (message* chain = p.inbox.close(); chain != nullptr; chain = chain->next) ++drained;
      EXPECT_EQ(p.inbox.close(), nullptr);
      next_round(r);
    }
  });
  for (std::thread& each : threads) each.join();
  std::printf("%u closes: %llu messages refused, %llu drained\n", rounds,
              static_cast<unsigned long long>(refused_in_all), static_cast<unsigned long long>(drained_in_all));
  EXPECT_GT(refused_in_all, 0U);
  EXPECT_GT(drained_in_all, 0U);
}

}  // namespace
