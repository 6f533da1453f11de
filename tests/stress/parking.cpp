// Parkers, idle set and run queues together, as a scheduler uses them: no wake-up is lost, no work waits while a worker
// sleeps, every task runs exactly once.
//
// A lost wake-up would hang; the test gives up after a minute without progress, says the seed, and ends the program.
#include "dice.hpp"
#include "runtime/idle_set.hpp"
#include "runtime/parker.hpp"
#include "runtime/run_queue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace {

using otp::detail::std_sync;

constexpr std::int64_t minute = 60'000'000'000;

struct task {
  task* next = nullptr;  // in the list of what comes from outside
  unsigned children = 0;
  std::int64_t published = 0;
  std::atomic<int> runs{0};
};

class pool {
 public:
  explicit pool(unsigned workers) : workers_(workers) {
    for (unsigned i = 0; i < workers; ++i) states_.push_back(std::make_unique<state>());
    for (unsigned i = 0; i < workers; ++i) threads_.emplace_back([this, i] { loop(i); });
  }

  ~pool() {
    stopping_.store(true);
    for (unsigned i = 0; i < workers_; ++i) states_[i]->parker.unpark();
    for (std::thread& each : threads_) each.join();
  }

  /// From any thread.
  void submit(task& one) {
    {
      const std::lock_guard lock(outside_lock_);
      one.next = outside_;
      outside_ = &one;
    }
    outside_count_.fetch_add(1);
    wake_one();
  }

  /// Waits until so many tasks have run since the pool began; ends the program if it takes a minute. It looks a number
  /// of times before it sleeps: who finds out soon comes back with the next task while the worker is falling asleep.
  void wait_for(std::uint64_t tasks, unsigned looks) {
    for (unsigned i = 0; i < looks && done_.load() < tasks; ++i) std::this_thread::yield();
    target_.store(tasks);
    while (done_.load() < tasks) {
      if (!waiter_.park_for(minute) && done_.load() < tasks) {
        std::printf("OTP_SEED=%llu: hangs at %llu of %llu tasks\n", static_cast<unsigned long long>(stress::seed()),
                    static_cast<unsigned long long>(done_.load()), static_cast<unsigned long long>(tasks));
        std::fflush(stdout);
        std::abort();
      }
    }
  }

  /// The children that a task makes come from here.
  std::vector<task>* nursery = nullptr;
  std::atomic<std::size_t> born{0};

  std::int64_t worst_wait() const {
    std::int64_t worst = 0;
    for (const auto& each : states_) worst = std::max(worst, each->worst_wait);
    return worst;
  }
  std::uint64_t parks() const {
    std::uint64_t sum = 0;
    for (const auto& each : states_) sum += each->parks.load();
    return sum;
  }

 private:
  struct state {
    otp::detail::parker<> parker;
    otp::detail::run_queue<task, std_sync, 16> ready;
    std::int64_t worst_wait = 0;
    std::atomic<std::uint64_t> parks{0};
  };

  void wake_one() {
    const int worker = idle_.claim_any();
    if (worker >= 0) states_[static_cast<unsigned>(worker)]->parker.unpark();
  }

  task* take_outside() {
    if (outside_count_.load() == 0) return nullptr;
    const std::lock_guard lock(outside_lock_);
    task* const one = outside_;
    if (one == nullptr) return nullptr;
    outside_ = one->next;
    outside_count_.fetch_sub(1);
    return one;
  }

  task* find(unsigned me) {
    if (task* one = states_[me]->ready.pop()) return one;
    if (task* one = take_outside()) return one;
    for (unsigned i = 1; i < workers_; ++i) {
      if (task* one = states_[(me + i) % workers_]->ready.steal(states_[me]->ready)) return one;
    }
    return nullptr;
  }

  bool more() const {
    if (outside_count_.load() > 0) return true;
    return std::any_of(states_.begin(), states_.end(), [](const auto& each) { return !each->ready.empty(); });
  }

  void loop(unsigned me) {
    stress::dice dice(100 + me);
    while (!stopping_.load()) {
      bool claimed = false;
      task* one = find(me);
      while (one == nullptr && !stopping_.load()) {
        std::uint64_t wait = dice.below(std::uint64_t{1} << dice.below(12));
        for (; wait > 0; --wait)
          static_cast<void>(more());  // the dangerous moment: it has looked, and is not in the set
        idle_.announce(me);
        one = find(me);
        if (one == nullptr && !stopping_.load()) {
          states_[me]->parks.fetch_add(1);
          states_[me]->parker.park();
        }
        if (!idle_.retract(me)) claimed = true;
        if (one == nullptr) one = find(me);
      }
      if (one == nullptr) return;
      if ((claimed && more()) || !states_[me]->ready.empty()) wake_one();
      run(me, *one);
    }
  }

  void run(unsigned me, task& one) {
    if (one.published != 0) {
      states_[me]->worst_wait = std::max(states_[me]->worst_wait, std_sync::now() - one.published);
    }
    one.runs.fetch_add(1);
    for (unsigned i = 0; i < one.children; ++i) {
      task& child = (*nursery)[born.fetch_add(1)];
      if (states_[me]->ready.push(&child)) {
        wake_one();
      } else {
        submit(child);
      }
    }
    if (done_.fetch_add(1) + 1 >= target_.load()) waiter_.unpark();
  }

  const unsigned workers_;
  otp::detail::idle_set<> idle_;
  std::vector<std::unique_ptr<state>> states_;
  std::atomic<bool> stopping_{false};
  std::mutex outside_lock_;
  task* outside_ = nullptr;  // under the lock
  std::atomic<int> outside_count_{0};
  std::atomic<std::uint64_t> done_{0};
  std::atomic<std::uint64_t> target_{~std::uint64_t{0}};
  otp::detail::parker<> waiter_;
  std::vector<std::thread> threads_;
};

class ParkingStress : public testing::TestWithParam<unsigned> {};

// One task at a time into a pool that sleeps: the plainest wake-up, over and over.
TEST_P(ParkingStress, ALoneTaskIsAlwaysFound) {
  constexpr unsigned gaps = 100'000;
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << stress::seed());
  std::vector<task> tasks(gaps);
  std::int64_t worst = 0;
  std::uint64_t parks = 0;
  {
    pool p(GetParam());
    stress::dice dice(0);
    for (unsigned i = 0; i < gaps; ++i) {
      for (std::uint64_t wait = dice.below(32); wait > 0; --wait) static_cast<void>(p.parks());
      tasks[i].published = std_sync::now();
      p.submit(tasks[i]);
      p.wait_for(i + 1, dice.one_in(4) ? 0 : 1000);
    }
    worst = p.worst_wait();
    parks = p.parks();
  }
  for (const task& each : tasks) ASSERT_EQ(each.runs.load(), 1);
  std::printf("%u workers, %u gaps: worst wait %.2f ms, %llu parks\n", GetParam(), gaps,
              static_cast<double>(worst) / 1e6, static_cast<unsigned long long>(parks));
}

// Bursts from two outside threads; tasks make tasks; the pool runs dry between the bursts.
TEST_P(ParkingStress, BurstsOfTasksThatMakeTasksAllRunOnce) {
  constexpr unsigned bursts = 1000;
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << stress::seed());
  stress::dice plan(1);
  std::uint64_t expected = 0;
  for (unsigned burst = 0; burst < bursts; ++burst) {
    const unsigned roots = 1 + static_cast<unsigned>(plan.below(8));
    std::vector<task> tasks(roots);
    std::size_t children = 0;
    for (task& root : tasks) {
      root.children = static_cast<unsigned>(plan.below(24));  // more than a ring holds: some overflow
      children += root.children;
    }
    std::vector<task> nursery(children);
    pool p(GetParam());
    p.nursery = &nursery;
    std::thread other([&] {
      for (unsigned i = 0; i < roots; i += 2) p.submit(tasks[i]);
    });
    for (unsigned i = 1; i < roots; i += 2) p.submit(tasks[i]);
    p.wait_for(roots + children, 0);
    other.join();
    for (const task& each : tasks) ASSERT_EQ(each.runs.load(), 1) << "in burst " << burst;
    for (const task& each : nursery) ASSERT_EQ(each.runs.load(), 1) << "in burst " << burst;
    expected += roots + children;
  }
  std::printf("%u workers: %llu tasks in %u bursts\n", GetParam(), static_cast<unsigned long long>(expected), bursts);
}

INSTANTIATE_TEST_SUITE_P(Workers, ParkingStress, testing::Values(1U, 2U, 4U));

// The parker alone: two threads that wake each other, so that every token but the last is needed to go on.
TEST(ParkerStress, ThereAndBackAgain) {
  constexpr int rounds = 200'000;
  std::array<otp::detail::parker<>, 2> parkers;
  int ball = 0;
  std::thread other([&] {
    for (int i = 0; i < rounds; ++i) {
      parkers[1].park();
      ++ball;
      parkers[0].unpark();
    }
  });
  for (int i = 0; i < rounds; ++i) {
    ++ball;
    parkers[1].unpark();
    parkers[0].park();
  }
  other.join();
  EXPECT_EQ(ball, 2 * rounds);
}

// Tokens against deadlines: each token is taken once, by a park that ended with it.
TEST(ParkerStress, DeadlinesLoseNoToken) {
  constexpr int tokens = 100'000;
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << stress::seed());
  otp::detail::parker<> sleeper;
  otp::detail::parker<> giver;
  int timeouts = 0;
  std::thread other([&] {
    stress::dice dice(2);
    for (int taken = 0; taken < tokens;) {
      if (sleeper.park_for(static_cast<std::int64_t>(dice.below(6'000)))) {
        ++taken;
        giver.unpark();  // asks for the next
      } else {
        ++timeouts;
      }
    }
  });
  for (int given = 0; given < tokens; ++given) {
    sleeper.unpark();
    giver.park();
  }
  other.join();
  EXPECT_FALSE(sleeper.try_take());
  EXPECT_FALSE(giver.try_take());
  std::printf("%d tokens, %d deadlines\n", tokens, timeouts);
}

}  // namespace
