// The parker under the model checker: no token is lost, whatever the deadline and the kernel do, and what was done
// before an unpark() is visible after the park() that took its token. A lost wake-up shows as a deadlock.
#include "relacy_sync.hpp"

using otp::detail::parker_orders;

namespace {

// The production orders, to be weakened one at a time.
struct orders {
  static inline std::memory_order unpark = parker_orders::unpark;
  static inline std::memory_order park = parker_orders::park;
};

constexpr auto relaxed = std::memory_order::relaxed;

struct one_unpark : rl::test_suite<one_unpark, 2> {
  otp::detail::parker<model::sync, orders> parker;
  model::var<int> data{0};
  void thread(unsigned thread) {
    if (thread == 0) {
      parker.park();
      RL_ASSERT(data == 1);
    } else {
      data = 1;
      parker.unpark();
    }
  }
};

// Each of `Wakers` raises its flag and unparks. One token may stand for several, but then every flag is up: a sleeper
// that goes back to sleep because it did not see one sleeps for ever.
template <unsigned Wakers>
struct several_unparks : rl::test_suite<several_unparks<Wakers>, Wakers + 1> {
  otp::detail::parker<model::sync, orders> parker;
  std::array<model::atomic<int>, Wakers> flags;
  void thread(unsigned thread) {
    if (thread == Wakers) {
      for (auto& flag : flags) {
        while (flag.load(relaxed) == 0) parker.park();
      }
    } else {
      flags[thread].store(1, relaxed);
      parker.unpark();
    }
  }
};

// A deadline that comes at any moment: either park took the token, or the token is still to be had.
struct deadline : rl::test_suite<deadline, 2> {
  otp::detail::parker<model::sync, orders> parker;
  model::var<int> data{0};
  void thread(unsigned thread) {
    if (thread == 0) {
      if (!parker.park_until(1)) {
        if (!parker.park_for(1)) parker.park();
      }
      RL_ASSERT(data == 1);
      RL_ASSERT(!parker.park_until(1));  // there was one token
    } else {
      data = 1;
      parker.unpark();
    }
  }
};

// There and back again: each wakes the other, twice.
struct ping_pong : rl::test_suite<ping_pong, 2> {
  std::array<otp::detail::parker<model::sync, orders>, 2> parkers;
  model::var<int> ball{0};
  void thread(unsigned thread) {
    for (int round = 0; round < 2; ++round) {
      if (thread == 0) {
        ball = ball + 1;
        parkers[1].unpark();
        parkers[0].park();
      } else {
        parkers[1].park();
        ball = ball + 1;
        parkers[0].unpark();
      }
    }
  }
  void after() { RL_ASSERT(ball == 4); }
};

// A worker that sleeps elsewhere, as one does in a poller (rule 4). The flag is relaxed: the parker's exchanges order
// it.
struct elsewhere : rl::test_suite<elsewhere, 2> {
  otp::detail::parker<model::sync, orders> parker;
  otp::detail::parker<model::sync> poller;
  model::atomic<int> polling{0};
  void thread(unsigned thread) {
    if (thread == 0) {
      polling.store(1, relaxed);
      if (!parker.try_take()) poller.park();
    } else {
      parker.unpark();
      if (polling.load(relaxed) != 0) poller.unpark();
    }
  }
};

}  // namespace

int main() {
  model::report report("parker");
  report.check<one_unpark>("one unpark");
  report.check<several_unparks<1>>("a flag and an unpark");
  report.check<several_unparks<2>>("two flags, two unparks");
  report.check<deadline>("a deadline against an unpark");
  report.check<ping_pong>("there and back again, twice", {.switches = 5});
  report.check<elsewhere>("asleep elsewhere");

  const auto mutant = [&](const char* name, std::memory_order& field, std::memory_order weaker) {
    report.mutant<one_unpark, several_unparks<1>, deadline, elsewhere>(name, field, weaker, {});
  };
  mutant("unpark", orders::unpark, std::memory_order::acquire);
  mutant("unpark", orders::unpark, std::memory_order::release);
  mutant("unpark", orders::unpark, std::memory_order::relaxed);
  mutant("park", orders::park, std::memory_order::acquire);
  mutant("park", orders::park, std::memory_order::release);
  mutant("park", orders::park, std::memory_order::relaxed);
  return report.status();
}
