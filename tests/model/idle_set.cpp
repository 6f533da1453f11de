// The idle set with real parkers under the model checker, as a scheduler uses them: no work waits while a worker
// sleeps. A worker that misses work sleeps for ever, which the checker reports as a deadlock.
#include "relacy_sync.hpp"

using otp::detail::idle_set_orders;

namespace {

// Where a worker may deviate from the rules of idle_set.hpp; the models must notice each of them.
struct rules {
  bool look_after_announce = true;  // rule 3
  bool pass_on_claim = true;        // rule 5
  bool publish_loot = true;         // rule 5
};

// The least that can be a source of work: a number of things to do.
class counter {
 public:
  void publish(int things) { things_.fetch_add(things, std::memory_order::release); }
  bool any() const { return things_.load(std::memory_order::acquire) > 0; }
  bool take() {
    int seen = things_.load(std::memory_order::acquire);
    while (seen > 0) {
      if (things_.compare_exchange_weak(seen, seen - 1, std::memory_order::acquire, std::memory_order::relaxed))
        return true;
    }
    return false;
  }

 private:
  model::atomic<int> things_{0};
};

template <class Orders, unsigned Workers>
struct machine {
  otp::detail::idle_set<model::sync, Orders> idle;
  std::array<otp::detail::parker<model::sync>, Workers> parkers;

  void wake_one() {
    const int worker = idle.claim_any();
    if (worker >= 0) parkers[static_cast<unsigned>(worker)].unpark();
  }

  // The loop of a worker up to the moment when it has something to run. `take` takes one thing, `more` tells whether
  // there is more, `loot` whether the worker has something in its own queue that others do not know of.
  template <class Take, class More, class Loot>
  void find_work(unsigned me, rules keep, Take take, More more, Loot loot) {
    bool claimed = false;
    while (!take()) {
      idle.announce(me);
      const bool found = keep.look_after_announce && take();
      if (!found) parkers[me].park();
      if (!idle.retract(me)) claimed = true;
      if (found) break;
    }
    if ((claimed && keep.pass_on_claim && more()) || (keep.publish_loot && loot())) wake_one();
  }
};

// Publishers of one thing each against one worker that does them all.
template <class Orders, unsigned Publishers, bool Look = true>
struct one_worker : rl::test_suite<one_worker<Orders, Publishers, Look>, Publishers + 1> {
  machine<Orders, 1> m;
  counter work;
  void thread(unsigned thread) {
    if (thread == Publishers) {
      for (unsigned done = 0; done < Publishers; ++done) {
        m.find_work(
            0, {.look_after_announce = Look}, [&] { return work.take(); }, [&] { return work.any(); },
            [] { return false; });
      }
    } else {
      work.publish(1);
      m.wake_one();
    }
  }
};

// The same with the worker's own queue, which nobody else may serve: the publisher claims that worker.
template <class Orders>
struct own_work : rl::test_suite<own_work<Orders>, 2> {
  machine<Orders, 2> m;
  counter work;
  void thread(unsigned thread) {
    if (thread == 1) {
      m.find_work(1, {}, [&] { return work.take(); }, [&] { return work.any(); }, [] { return false; });
    } else {
      work.publish(1);
      if (m.idle.claim(1)) m.parkers[1].unpark();
    }
  }
};

// any() instead of a claim: false means that the worker will find the work itself.
template <class Orders>
struct asked_first : rl::test_suite<asked_first<Orders>, 2> {
  machine<Orders, 1> m;
  counter work;
  void thread(unsigned thread) {
    if (thread == 1) {
      m.find_work(0, {}, [&] { return work.take(); }, [&] { return work.any(); }, [] { return false; });
    } else {
      work.publish(1);
      if (m.idle.any()) m.wake_one();
    }
  }
};

// Two workers that each take one thing and are then stuck with it for ever; two things, published one after the other
// by somebody who is stuck afterwards too. Nothing may wait behind a stuck worker while the other one sleeps.
template <class Orders, bool Pass = true>
struct two_workers : rl::test_suite<two_workers<Orders, Pass>, 3> {
  machine<Orders, 2> m;
  counter work;
  void thread(unsigned thread) {
    if (thread == 2) {
      work.publish(1);
      m.wake_one();
      work.publish(1);
      m.wake_one();
    } else {
      m.find_work(
          thread, {.pass_on_claim = Pass}, [&] { return work.take(); }, [&] { return work.any(); },
          [] { return false; });
    }
  }
};

// The same with run queues. The publisher has `Items` processes in its own queue, tells once, runs one itself where
// there are three, and is stuck. A worker that steals two of three has one that nobody can see until it has arrived in
// its own queue.
template <class Orders, unsigned Items, bool Publish = true>
struct stealing : rl::test_suite<stealing<Orders, Items, Publish>, 3> {
  struct process {
    model::var<int> runs{0};
  };
  using queue = otp::detail::run_queue<process, model::sync, 4>;
  machine<Orders, 2> m;
  std::array<process, Items> processes;
  std::array<queue, 3> queues;

  void thread(unsigned thread) {
    if (thread == 2) {
      for (process& each : processes) RL_ASSERT(queues[2].push(&each));
      m.wake_one();
      if (Items == 3) run(queues[2].pop());
      return;
    }
    queue& mine = queues[thread];
    process* running = nullptr;
    m.find_work(
        thread, {.publish_loot = Publish},
        [&] {
          running = mine.pop();
          if (running == nullptr) running = queues[2].steal(mine);
          if (running == nullptr) running = queues[1 - thread].steal(mine);
          return running != nullptr;
        },
        [&] { return !mine.empty() || !queues[2].empty() || !queues[1 - thread].empty(); },
        [&] { return !mine.empty(); });
    run(running);
  }
  void run(process* one) {
    if (one != nullptr) {
      RL_ASSERT(one->runs == 0);
      one->runs = 1;
    }
  }
};

// A worker that wakes by itself from time to time, as it does for timers, and takes its announcement back.
template <class Orders>
struct impatient : rl::test_suite<impatient<Orders>, 2> {
  machine<Orders, 1> m;
  counter work;
  void thread(unsigned thread) {
    if (thread == 1) {
      work.publish(1);
      m.wake_one();
      return;
    }
    for (int timeouts = 0; !work.take();) {
      m.idle.announce(0);
      if (work.any()) {
        static_cast<void>(m.idle.retract(0));
        continue;
      }
      if (timeouts < 2) {
        timeouts += m.parkers[0].park_until(1) ? 0 : 1;
      } else {
        m.parkers[0].park();
      }
      static_cast<void>(m.idle.retract(0));
    }
    RL_ASSERT(!m.idle.any());
  }
};

// clang-format off
struct announced_acq_rel : idle_set_orders { static constexpr auto announced = std::memory_order::acq_rel; };
struct announced_acquire : idle_set_orders { static constexpr auto announced = std::memory_order::acquire; };
struct announced_release : idle_set_orders { static constexpr auto announced = std::memory_order::release; };
struct announced_relaxed : idle_set_orders { static constexpr auto announced = std::memory_order::relaxed; };
struct published_acq_rel : idle_set_orders { static constexpr auto published = std::memory_order::acq_rel; };
struct published_acquire : idle_set_orders { static constexpr auto published = std::memory_order::acquire; };
struct published_release : idle_set_orders { static constexpr auto published = std::memory_order::release; };
struct published_relaxed : idle_set_orders { static constexpr auto published = std::memory_order::relaxed; };
struct retracted_relaxed : idle_set_orders { static constexpr auto retracted = std::memory_order::relaxed; };
// clang-format on

template <class Orders>
void mutant(model::report& report, const char* name) {
  report.mutant<one_worker<Orders, 1>, two_workers<Orders>>(name, {.switches = 4, .random = 200'000});
}

}  // namespace

int main() {
  using right = idle_set_orders;
  model::report report;
  report.check<one_worker<right, 1>>("one publisher, one worker");
  report.check<one_worker<right, 2>>("two publishers, one worker", {.switches = 3});
  report.check<own_work<right>>("work for one worker only");
  report.check<asked_first<right>>("any() before a claim");
  report.check<impatient<right>>("a worker that wakes by itself");
  report.check<two_workers<right>>("two workers, stuck after one thing each", {.switches = 3});
  report.check<stealing<right, 2>>("two workers steal one each", {.switches = 2});
  report.check<stealing<right, 3>>("two workers steal, the second from the first", {.switches = 2, .random = 300'000});

  report.misuse<one_worker<right, 1, false>>("no look after announce");
  report.misuse<two_workers<right, false>>("a claimed worker does not pass it on", {.switches = 3});
  report.misuse<stealing<right, 3, false>>("loot is not published", {.switches = 3});

  mutant<announced_acq_rel>(report, "announced is acq_rel");
  mutant<announced_acquire>(report, "announced is acquire");
  mutant<announced_release>(report, "announced is release");
  mutant<announced_relaxed>(report, "announced is relaxed");
  mutant<published_acq_rel>(report, "published is acq_rel");
  mutant<published_acquire>(report, "published is acquire");
  mutant<published_release>(report, "published is release");
  mutant<published_relaxed>(report, "published is relaxed");
  mutant<retracted_relaxed>(report, "retracted is relaxed");
  return report.status();
}
