#include "runtime/parker.hpp"

#include <gtest/gtest.h>

#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <atomic>
#include <cstdint>
#include <thread>

namespace otp::detail {
namespace {

constexpr std::int64_t millisecond = 1'000'000;

std::int64_t processor_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

TEST(ParkerTest, ATokenLeftBeforeMakesParkReturnAtOnce) {
  parker<> p;
  p.unpark();
  p.park();  // would wait for ever otherwise
  EXPECT_FALSE(p.try_take()) << "the token was taken";
}

TEST(ParkerTest, TwoUnparksLeaveOneToken) {
  parker<> p;
  p.unpark();
  p.unpark();
  EXPECT_TRUE(p.park_for(0));
  EXPECT_FALSE(p.park_for(0));
}

TEST(ParkerTest, TriesToTakeWithoutWaiting) {
  parker<> p;
  EXPECT_FALSE(p.try_take());
  p.unpark();
  EXPECT_TRUE(p.try_take());
  EXPECT_FALSE(p.try_take());
}

TEST(ParkerTest, ADeadlineIsNeverEarly) {
  parker<> p;
  for (std::int64_t length : {std::int64_t{1}, 100'000L, 2 * millisecond, 10 * millisecond}) {
    const std::int64_t begin = std_sync::now();
    EXPECT_FALSE(p.park_for(length));
    EXPECT_GE(std_sync::now() - begin, length);
  }
}

TEST(ParkerTest, ADeadlineInThePastReturnsAtOnce) {
  parker<> p;
  EXPECT_FALSE(p.park_until(std_sync::now() - 1));
  EXPECT_FALSE(p.park_until(0));
  EXPECT_FALSE(p.park_until(INT64_MIN));
  EXPECT_FALSE(p.park_for(-1));
  EXPECT_FALSE(p.park_for(INT64_MIN));
}

TEST(ParkerTest, ATokenIsBetterThanADeadlineInThePast) {
  parker<> p;
  p.unpark();
  EXPECT_TRUE(p.park_until(0));
}

TEST(ParkerTest, AWaitTooLongToCountIsAWaitWithoutEnd) {
  parker<> p;
  std::thread other([&] { p.unpark(); });
  EXPECT_TRUE(p.park_for(INT64_MAX));
  other.join();
}

TEST(ParkerTest, WhatWasDoneBeforeUnparkIsSeenAfterPark) {
  for (int round = 0; round < 1000; ++round) {
    parker<> p;
    int data = 0;
    std::thread other([&] {
      data = round + 1;
      p.unpark();
    });
    p.park();
    ASSERT_EQ(data, round + 1);
    other.join();
  }
}

TEST(ParkerTest, AParkedThreadUsesNoProcessorTime) {
  parker<> p;
  const std::int64_t before = processor_time();
  EXPECT_FALSE(p.park_for(200 * millisecond));
  EXPECT_LT(processor_time() - before, 10 * millisecond);
}

std::atomic<int> signals_seen{0};

TEST(ParkerTest, ASignalNeitherEndsNorProlongsAPark) {
  struct sigaction action{};
  struct sigaction old{};
  action.sa_handler = [](int) { signals_seen.fetch_add(1); };
  sigaction(SIGUSR1, &action, &old);
  signals_seen = 0;

  parker<> p;
  std::atomic<bool> done{false};
  bool token = true;
  std::int64_t length = 0;
  std::thread sleeper([&] {
    const std::int64_t begin = std_sync::now();
    token = p.park_for(100 * millisecond);
    length = std_sync::now() - begin;
    done = true;
    p.park();  // stays a thread to signal until we let it go
  });
  while (!done) {
    pthread_kill(sleeper.native_handle(), SIGUSR1);
    std::this_thread::yield();
  }
  p.unpark();
  sleeper.join();
  sigaction(SIGUSR1, &old, nullptr);

  EXPECT_GT(signals_seen.load(), 0);
  EXPECT_FALSE(token);
  EXPECT_GE(length, 100 * millisecond);
  EXPECT_LT(length, 60'000 * millisecond) << "each signal would start the wait again";
}

}  // namespace
}  // namespace otp::detail
