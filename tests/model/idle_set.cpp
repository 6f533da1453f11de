// The idle set with real parkers under the model checker, as a scheduler uses them: no work waits while a worker
// sleeps. A worker that misses work sleeps for ever, which the checker reports as a deadlock.
#include "relacy_sync.hpp"

using otp::detail::idle_set_orders;

namespace {

// The production orders, to be weakened one at a time.
struct orders {
  static inline std::memory_order announced = idle_set_orders::announced;
  static inline std::memory_order published = idle_set_orders::published;
  static inline std::memory_order retracted = idle_set_orders::retracted;
};

// What a worker owes to the rules of idle_set.hpp, to be left out one at a time.
struct rules {
  static inline bool look_after_announce = true;  // rule 3
  static inline bool pass_on_claim = true;        // rule 5
  static inline bool publish_loot = true;         // rule 5
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

template <unsigned Workers>
struct machine {
  otp::detail::idle_set<model::sync, orders> idle;
  std::array<otp::detail::parker<model::sync>, Workers> parkers;

  void wake_one() {
    const int worker = idle.claim_any();
    if (worker >= 0) parkers[static_cast<unsigned>(worker)].unpark();
  }

  // The loop of a worker up to the moment when it has something to run. `take` takes one thing, `more` tells whether
  // there is more, `loot` whether the worker has something in its own queue that others do not know of.
  template <class Take, class More, class Loot>
  void find_work(unsigned me, Take take, More more, Loot loot) {
    bool claimed = false;
    while (!take()) {
      idle.announce(me);
      const bool found = rules::look_after_announce && take();
      if (!found) parkers[me].park();
      if (!idle.retract(me)) claimed = true;
      if (found) break;
    }
    if ((claimed && rules::pass_on_claim && more()) || (rules::publish_loot && loot())) wake_one();
  }
};

// Publishers of one thing each against one worker that does them all.
template <unsigned Publishers>
struct one_worker : rl::test_suite<one_worker<Publishers>, Publishers + 1> {
  machine<1> m;
  counter work;
  void thread(unsigned thread) {
    if (thread == Publishers) {
      for (unsigned done = 0; done < Publishers; ++done) {
        m.find_work(0, [&] { return work.take(); }, [&] { return work.any(); }, [] { return false; });
      }
    } else {
      work.publish(1);
      m.wake_one();
    }
  }
};

// The same with the worker's own queue, which nobody else may serve: the publisher claims that worker.
struct own_work : rl::test_suite<own_work, 2> {
  machine<2> m;
  counter work;
  void thread(unsigned thread) {
    if (thread == 1) {
      m.find_work(1, [&] { return work.take(); }, [&] { return work.any(); }, [] { return false; });
    } else {
      work.publish(1);
      if (m.idle.claim(1)) m.parkers[1].unpark();
    }
  }
};

// any() instead of a claim: false means that the worker will find the work itself.
struct asked_first : rl::test_suite<asked_first, 2> {
  machine<1> m;
  counter work;
  void thread(unsigned thread) {
    if (thread == 1) {
      m.find_work(0, [&] { return work.take(); }, [&] { return work.any(); }, [] { return false; });
    } else {
      work.publish(1);
      if (m.idle.any()) m.wake_one();
    }
  }
};

// Two workers that each take one thing and are then stuck with it for ever; two things, published one after the other
// by somebody who is stuck afterwards too. Nothing may wait behind a stuck worker while the other one sleeps.
struct two_workers : rl::test_suite<two_workers, 3> {
  machine<2> m;
  counter work;
  void thread(unsigned thread) {
    if (thread == 2) {
      work.publish(1);
      m.wake_one();
      work.publish(1);
      m.wake_one();
    } else {
      m.find_work(thread, [&] { return work.take(); }, [&] { return work.any(); }, [] { return false; });
    }
  }
};

// The same with run queues. The publisher has `Items` processes in its own queue, tells once, runs one itself where
// there are three, and is stuck. A worker that steals two of three has one that nobody can see until it has arrived in
// its own queue.
template <unsigned Items>
struct stealing : rl::test_suite<stealing<Items>, 3> {
  struct process {
    model::var<int> runs{0};
  };
  using queue = otp::detail::run_queue<process, model::sync, 4>;
  machine<2> m;
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
        thread,
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
struct impatient : rl::test_suite<impatient, 2> {
  machine<1> m;
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

}  // namespace

int main() {
  model::report report("parking with the idle set");
  report.check<one_worker<1>>("one publisher, one worker");
  report.check<one_worker<2>>("two publishers, one worker", {.switches = 3});
  report.check<own_work>("work for one worker only");
  report.check<asked_first>("any() before a claim");
  report.check<impatient>("a worker that wakes by itself");
  report.check<two_workers>("two workers, stuck after one thing each", {.switches = 3});
  report.check<stealing<2>>("two workers steal one each", {.switches = 2});
  report.check<stealing<3>>("two workers steal, the second from the first", {.switches = 2, .random = 300'000});

  report.misuse<one_worker<1>>("a worker does not look after announce", rules::look_after_announce);
  report.misuse<two_workers>("a claimed worker does not pass it on", rules::pass_on_claim, {.switches = 3});
  report.misuse<stealing<3>>("loot is not published", rules::publish_loot, {.switches = 3});

  const auto mutant = [&](const char* name, std::memory_order& field, std::memory_order weaker) {
    report.mutant<one_worker<1>, two_workers>(name, field, weaker, {.switches = 4, .random = 200'000});
  };
  mutant("announced", orders::announced, std::memory_order::acq_rel);
  mutant("announced", orders::announced, std::memory_order::acquire);
  mutant("announced", orders::announced, std::memory_order::release);
  mutant("announced", orders::announced, std::memory_order::relaxed);
  mutant("published", orders::published, std::memory_order::acq_rel);
  mutant("published", orders::published, std::memory_order::acquire);
  mutant("published", orders::published, std::memory_order::release);
  mutant("published", orders::published, std::memory_order::relaxed);
  mutant("retracted", orders::retracted, std::memory_order::relaxed);
  return report.status();
}
