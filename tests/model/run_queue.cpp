// The run queue under the model checker: every item is taken exactly once, by the owner in order, and by a thief with
// everything its owner wrote into it; a slot goes back to the owner only when the thief has read it; the owner may stop
// for ever.
#include "relacy_sync.hpp"

using otp::detail::run_queue_orders;

namespace {

// The production orders, to be weakened one at a time.
struct orders {
  static inline std::memory_order publish = run_queue_orders::publish;
  static inline std::memory_order publish_loot = run_queue_orders::publish_loot;
  static inline std::memory_order look = run_queue_orders::look;
  static inline std::memory_order taken = run_queue_orders::taken;
  static inline std::memory_order reuse = run_queue_orders::reuse;
};

struct item {
  model::var<int> written{0};  // by who pushed it
  int taken = 0;               // the checker's books
  int position = -1;
};

template <unsigned Items>
struct world {
  using queue = otp::detail::run_queue<item, model::sync, 2, orders>;
  std::array<item, Items> items;
  int taken_count = 0;

  void push(queue& to, unsigned i) {
    items[i].written = 1;
    RL_ASSERT(to.push(&items[i]));
  }
  void take(item* taken) {
    RL_ASSERT(taken != nullptr && taken->written == 1);
    taken->written = 2;  // the item is ours
    ++taken->taken;
    taken->position = taken_count++;
  }
  bool drain(queue& from) {
    bool any = false;
    while (item* next = from.pop()) {
      take(next);
      any = true;
    }
    return any;
  }
  void check_all_taken() {
    for (item& each : items) RL_ASSERT(each.taken == 1);
  }
};

// The owner pushes items through two slots, making room when there is none; a thief helps itself once or more.
template <unsigned Items, int Thefts>
struct owner_and_thief : rl::test_suite<owner_and_thief<Items, Thefts>, 2> {
  using world_t = world<Items>;
  world_t w;
  typename world_t::queue mine{~std::uint64_t{0} - 1};  // the indices pass zero on the way
  typename world_t::queue loot;

  void thread(unsigned thread) {
    if (thread == 0) {
      for (item& each : w.items) {
        each.written = 1;
        while (!mine.push(&each)) {
          if (item* oldest = mine.pop()) w.take(oldest);
        }
      }
      w.drain(mine);
    } else {
      for (int i = 0; i < Thefts; ++i) {
        if (item* first = mine.steal(loot)) w.take(first);
        w.drain(loot);
      }
    }
  }
  void after() {
    RL_ASSERT(mine.size() == 0 && loot.size() == 0);
    w.check_all_taken();
  }
};

// Two thieves and an owner, who pushed two items: nobody gets the same one.
struct two_thieves : rl::test_suite<two_thieves, 3> {
  using world_t = world<2>;
  world_t w;
  typename world_t::queue mine;
  std::array<typename world_t::queue, 2> loot;

  void thread(unsigned thread) {
    if (thread == 2) {
      w.push(mine, 0);
      w.push(mine, 1);
      if (item* oldest = mine.pop()) w.take(oldest);
    } else {
      if (item* first = mine.steal(loot[thread])) w.take(first);
    }
  }
  void after() {
    w.drain(mine);
    w.drain(loot[0]);
    w.drain(loot[1]);
    w.check_all_taken();
  }
};

// A batch: four items in a ring of four, half of them move at once, and the owner of the loot keeps their order while
// the victim takes its own from the same end.
struct batch : rl::test_suite<batch, 2> {
  using queue = otp::detail::run_queue<item, model::sync, 4, orders>;
  world<4> w;
  queue mine;
  queue loot;

  void before() {
    for (item& each : w.items) {
      each.written = 1;
      RL_ASSERT(mine.push(&each));
    }
  }
  void thread(unsigned thread) {
    if (thread == 0) {
      for (int i = 0; i < 2; ++i) {
        if (item* oldest = mine.pop()) w.take(oldest);
      }
    } else {
      int last = -1;
      if (item* first = mine.steal(loot)) {
        for (item* next = first; next != nullptr; next = loot.pop()) {
          const int index = static_cast<int>(next - w.items.data());
          RL_ASSERT(index > last);
          last = index;
          w.take(next);
        }
      }
    }
  }
  void after() {
    while (item* next = mine.pop()) w.take(next);
    w.check_all_taken();
  }
};

// A thief's thief: the item has been through two queues, and its contents came along.
struct second_hand : rl::test_suite<second_hand, 3> {
  using queue = otp::detail::run_queue<item, model::sync, 4, orders>;
  world<4> w;
  queue mine;
  queue loot;
  queue second;

  void thread(unsigned thread) {
    if (thread == 0) {
      for (unsigned i = 0; i < 4; ++i) {
        w.items[i].written = 1;
        RL_ASSERT(mine.push(&w.items[i]));
      }
    } else if (thread == 1) {
      if (item* first = mine.steal(loot)) w.take(first);
    } else {
      if (item* first = loot.steal(second)) w.take(first);
    }
  }
  void after() {
    while (item* next = mine.pop()) w.take(next);
    while (item* next = loot.pop()) w.take(next);
    while (item* next = second.pop()) w.take(next);
    w.check_all_taken();
  }
};

// A full ring whose owner never pops: if it can push again, a thief has finished reading that slot, and whatever the
// thief did before the theft lies in the past. (Were it not so, the thief could read the new item in the old one's
// place.)
struct slot_comes_back : rl::test_suite<slot_comes_back, 2> {
  using world_t = world<3>;
  world_t w;
  typename world_t::queue mine;
  typename world_t::queue loot;
  model::var<int> before_theft{0};
  bool third_pushed = false;

  void before() {
    w.push(mine, 0);
    w.push(mine, 1);
  }
  void thread(unsigned thread) {
    if (thread == 0) {
      w.items[2].written = 1;
      third_pushed = mine.push(&w.items[2]);
      if (third_pushed) RL_ASSERT(before_theft == 1);
    } else {
      before_theft = 1;
      w.take(mine.steal(loot));
    }
  }
  void after() {
    if (!third_pushed) w.push(mine, 2);
    w.drain(mine);
    w.drain(loot);
    w.check_all_taken();
  }
};

// The same for the ring of a thief: it fills its own ring by stealing, and a second thief has taken from there.
struct loot_slot_comes_back : rl::test_suite<loot_slot_comes_back, 2> {
  using queue = otp::detail::run_queue<item, model::sync, 4, orders>;
  world<8> w;
  queue mine;
  queue full;
  queue third;
  model::var<int> before_theft{0};
  std::size_t moved = 0;

  void before() {
    for (unsigned i = 0; i < 8; ++i) {
      w.items[i].written = 1;
      RL_ASSERT((i < 4 ? mine : full).push(&w.items[i]));
    }
  }
  void thread(unsigned thread) {
    if (thread == 0) {  // the owner of `full`: it can keep loot only where the other thief has made room
      w.take(mine.steal(full));
      moved = 4 - mine.size() - 1;
      if (moved != 0) RL_ASSERT(before_theft == 1);
    } else {
      before_theft = 1;
      w.take(full.steal(third));
    }
  }
  void after() {
    while (item* next = mine.pop()) w.take(next);
    while (item* next = full.pop()) w.take(next);
    while (item* next = third.pop()) w.take(next);
    w.check_all_taken();
  }
};

// An owner that is stuck in user code for ever after its pushes: thieves get everything out, without it.
struct stuck_owner : rl::test_suite<stuck_owner, 2> {
  using world_t = world<2>;
  world_t w;
  typename world_t::queue mine;
  typename world_t::queue loot;

  void before() {
    w.push(mine, 0);
    w.push(mine, 1);
  }
  void thread(unsigned) {
    static_cast<void>(mine.size());
    if (rl::thread_index() == 0) return;
    while (item* next = mine.steal(loot)) w.take(next);
  }
  void after() { w.check_all_taken(); }
};

}  // namespace

int main() {
  model::report report("run queue and stealing");
  report.check<owner_and_thief<1, 1>>("one item, one theft");
  report.check<owner_and_thief<3, 1>>("three items, two slots, one theft", {.switches = 4});
  report.check<owner_and_thief<4, 2>>("four items, two slots, two thefts", {.switches = 3});
  report.check<two_thieves>("two items, two thieves", {.switches = 3});
  report.check<batch>("a batch keeps its order", {.switches = 6});
  report.check<second_hand>("stolen twice", {.switches = 3});
  report.check<slot_comes_back>("a slot comes back");
  report.check<loot_slot_comes_back>("a slot of the loot comes back", {.switches = 6});
  report.check<stuck_owner>("the owner is stuck");

  const auto mutant = [&](const char* name, std::memory_order& field, std::memory_order weaker) {
    report.mutant<owner_and_thief<4, 2>, two_thieves, second_hand, slot_comes_back, loot_slot_comes_back>(
        name, field, weaker, {.switches = 3, .random = 20'000});
  };
  mutant("publish", orders::publish, std::memory_order::relaxed);
  mutant("publish_loot", orders::publish_loot, std::memory_order::relaxed);
  mutant("look", orders::look, std::memory_order::relaxed);
  mutant("taken", orders::taken, std::memory_order::relaxed);
  mutant("reuse", orders::reuse, std::memory_order::relaxed);
  return report.status();
}
