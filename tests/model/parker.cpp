// The parker under the model checker: no token is lost, whatever the deadline and the kernel do, and what was done
// before an unpark() is visible after the park() that took its token. A lost wake-up shows as a deadlock.
#include "relacy_sync.hpp"

using otp::detail::parker_orders;

namespace {

constexpr auto relaxed = std::memory_order::relaxed;

template <class Orders>
struct one_unpark : rl::test_suite<one_unpark<Orders>, 2> {
  otp::detail::parker<model::sync, Orders> parker;
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
template <class Orders, unsigned Wakers>
struct several_unparks : rl::test_suite<several_unparks<Orders, Wakers>, Wakers + 1> {
  otp::detail::parker<model::sync, Orders> parker;
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
template <class Orders>
struct deadline : rl::test_suite<deadline<Orders>, 2> {
  otp::detail::parker<model::sync, Orders> parker;
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
template <class Orders>
struct ping_pong : rl::test_suite<ping_pong<Orders>, 2> {
  std::array<otp::detail::parker<model::sync, Orders>, 2> parkers;
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
template <class Orders>
struct elsewhere : rl::test_suite<elsewhere<Orders>, 2> {
  otp::detail::parker<model::sync, Orders> parker;
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

// clang-format off
struct unpark_acquire : parker_orders { static constexpr auto unpark = std::memory_order::acquire; };
struct unpark_release : parker_orders { static constexpr auto unpark = std::memory_order::release; };
struct unpark_relaxed : parker_orders { static constexpr auto unpark = std::memory_order::relaxed; };
struct park_acquire : parker_orders { static constexpr auto park = std::memory_order::acquire; };
struct park_release : parker_orders { static constexpr auto park = std::memory_order::release; };
struct park_relaxed : parker_orders { static constexpr auto park = std::memory_order::relaxed; };
// clang-format on

template <class Orders>
void mutant(model::report& report, const char* name) {
  report.mutant<one_unpark<Orders>, several_unparks<Orders, 1>, deadline<Orders>, elsewhere<Orders>>(name);
}

}  // namespace

int main() {
  model::report report;
  report.check<one_unpark<parker_orders>>("one unpark");
  report.check<several_unparks<parker_orders, 1>>("a flag and an unpark");
  report.check<several_unparks<parker_orders, 2>>("two flags, two unparks");
  report.check<deadline<parker_orders>>("a deadline against an unpark");
  report.check<ping_pong<parker_orders>>("there and back again, twice", {.switches = 5});
  report.check<elsewhere<parker_orders>>("asleep elsewhere");

  mutant<unpark_acquire>(report, "unpark is acquire");
  mutant<unpark_release>(report, "unpark is release");
  mutant<unpark_relaxed>(report, "unpark is relaxed");
  mutant<park_acquire>(report, "park is acquire");
  mutant<park_release>(report, "park is release");
  mutant<park_relaxed>(report, "park is relaxed");
  return report.status();
}
