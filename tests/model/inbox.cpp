// The inbox under the model checker: per-sender order, nothing lost or doubled, one waker per sleep, one owner at a
// time, closing and opening against pushes, and a wake-up for something that is not in the inbox.
//
// The models have no process and no scheduler: the thread that is told to schedule the owner runs the owner on the
// spot, as a worker would. The owner's state is plain data, so two owners at once, or one that does not see what its
// predecessor wrote, are data races.
#include "relacy_sync.hpp"

using otp::detail::inbox_orders;
using otp::detail::push_result;

namespace {

struct alignas(16) node {
  model::var<node*> next;
  model::var<int> payload;
};

constexpr auto relaxed = std::memory_order::relaxed;
constexpr auto seq_cst = std::memory_order::seq_cst;

// A process of `Nodes` possible messages; message i is nodes[i], and its payload is i + 1.
template <class Orders, unsigned Nodes>
struct process {
  otp::detail::inbox<node, model::sync, Orders> inbox;
  std::array<node, Nodes> nodes;

  model::var<int> state{0};          // the owner's own: one owner at a time
  std::array<int, Nodes> handled{};  // how often, and in which order: the checker's books, not shared data
  std::array<int, Nodes> position{};
  int handled_count = 0;

  push_result send(unsigned i) {
    nodes[i].payload = static_cast<int>(i) + 1;
    return inbox.push(&nodes[i]);
  }

  void handle_chain(node* chain) {
    while (chain != nullptr) {
      node* const rest = chain->next;
      const unsigned i = static_cast<unsigned>(chain->payload) - 1;
      RL_ASSERT(&nodes[i] == chain);
      ++handled[i];
      position[i] = handled_count++;
      chain = rest;
    }
  }

  // What a worker does with a process that it was given: handle, then rest.
  void run_owner() {
    for (;;) {
      state = state + 1;
      if (node* chain = inbox.take_all()) {
        handle_chain(chain);
      } else if (inbox.try_sleep()) {
        return;
      } else if (inbox.closed()) {
        return;
      }
    }
  }

  void send_and_run(unsigned i) {
    const push_result result = send(i);
    RL_ASSERT(result != push_result::closed);
    if (result == push_result::wake) run_owner();
  }

  void check_all_handled() {
    for (unsigned i = 0; i < Nodes; ++i) RL_ASSERT(handled[i] == 1);
    RL_ASSERT(inbox.count() == 0);
    RL_ASSERT(inbox.try_wake());  // it sleeps
  }
};

// Two senders, of two messages and of `Second`, to a sleeping owner.
template <class Orders, unsigned Second>
struct two_senders : rl::test_suite<two_senders<Orders, Second>, 2> {
  process<Orders, 2 + Second> p;
  void before() { p.inbox.open_asleep(); }
  void thread(unsigned sender) {
    p.send_and_run(2 * sender);
    if (sender == 0 || Second == 2) p.send_and_run(2 * sender + 1);
  }
  void after() {
    p.check_all_handled();
    RL_ASSERT(p.position[0] < p.position[1]);
    if constexpr (Second == 2) RL_ASSERT(p.position[2] < p.position[3]);
  }
};

// Three senders and nobody who runs the owner: one of them is told to, and the chain is whole.
template <class Orders>
struct three_pushes : rl::test_suite<three_pushes<Orders>, 3> {
  process<Orders, 3> p;
  int wakes = 0;
  void before() { p.inbox.open_asleep(); }
  void thread(unsigned sender) {
    if (p.send(sender) == push_result::wake) ++wakes;
  }
  void after() {
    RL_ASSERT(wakes == 1);
    RL_ASSERT(p.inbox.count() == 3);
    p.run_owner();
    p.check_all_handled();
  }
};

// Somebody who keeps the owner from taking looks at what has arrived, against a sender of two.
template <class Orders>
struct visitor : rl::test_suite<visitor<Orders>, 2> {
  process<Orders, 2> p;
  void before() { p.inbox.open_awake(); }
  void thread(unsigned thread) {
    if (thread == 0) {
      RL_ASSERT(p.send(0) == push_result::queued);
      RL_ASSERT(p.send(1) == push_result::queued);
    } else {
      int seen = 0;
      for (const node* n = p.inbox.newest(); n != nullptr; n = n->next) {
        RL_ASSERT(seen == 0 || n->payload == 1);
        ++seen;
      }
      RL_ASSERT(!p.inbox.asleep());
    }
  }
  void after() {
    p.run_owner();
    p.check_all_handled();
  }
};

// Three senders of one message each.
template <class Orders>
struct three_senders : rl::test_suite<three_senders<Orders>, 3> {
  process<Orders, 3> p;
  void before() { p.inbox.open_asleep(); }
  void thread(unsigned sender) { p.send_and_run(sender); }
  void after() { p.check_all_handled(); }
};

// A sender of two against a closer, who is not the owner. Each message is handled, or drained by the closer, or
// refused.
template <class Orders>
struct close_race : rl::test_suite<close_race<Orders>, 2> {
  process<Orders, 2> p;
  model::var<int> reason{0};
  std::array<int, 2> refused{};
  std::array<int, 2> drained{};

  void before() { p.inbox.open_asleep(); }
  void thread(unsigned thread) {
    if (thread == 0) {
      for (unsigned i = 0; i < 2; ++i) {
        const push_result result = p.send(i);
        if (result == push_result::wake) p.run_owner();
        if (result == push_result::closed) {
          RL_ASSERT(reason == 7);
          ++refused[i];
        }
      }
    } else {
      reason = 7;
      for (node* chain = p.inbox.close(); chain != nullptr; chain = chain->next)
        ++drained[static_cast<unsigned>(chain->payload) - 1];
      RL_ASSERT(p.inbox.close() == nullptr);
    }
  }
  void after() {
    for (unsigned i = 0; i < 2; ++i) RL_ASSERT(p.handled[i] + drained[i] + refused[i] == 1);
    RL_ASSERT(refused[0] <= refused[1]);
    RL_ASSERT(p.inbox.closed());
  }
};

// The same with two senders and the owner awake in one of them: close meets take_all and try_sleep.
template <class Orders>
struct close_running : rl::test_suite<close_running<Orders>, 3> {
  process<Orders, 2> p;
  std::array<int, 2> refused{};
  std::array<int, 2> drained{};

  void before() { p.inbox.open_awake(); }
  void thread(unsigned thread) {
    if (thread == 2) {
      for (node* chain = p.inbox.close(); chain != nullptr; chain = chain->next)
        ++drained[static_cast<unsigned>(chain->payload) - 1];
      return;
    }
    const push_result result = p.send(thread);
    if (result == push_result::closed) ++refused[thread];
    if (thread == 0 || result == push_result::wake) p.run_owner();
  }
  void after() {
    for (unsigned i = 0; i < 2; ++i) RL_ASSERT(p.handled[i] + drained[i] + refused[i] == 1);
    RL_ASSERT(p.inbox.closed());
  }
};

// Something for the owner that is not in the inbox (rule 5): a flag and try_wake() against an owner that goes to sleep.
// `LookAgain` false is an owner that breaks the rule and looks before try_sleep() only.
template <class Orders, bool LookAgain = true>
struct flag : rl::test_suite<flag<Orders, LookAgain>, 2> {
  process<Orders, 1> p;
  model::atomic<int> raised{0};
  bool seen = false;

  void before() { p.inbox.open_awake(); }
  void run_owner() {
    for (;;) {
      p.state = p.state + 1;
      if (raised.load(seq_cst) != 0) seen = true;
      if (node* chain = p.inbox.take_all()) p.handle_chain(chain);
      if (!p.inbox.try_sleep()) continue;
      if (!LookAgain || seen || raised.load(seq_cst) == 0 || !p.inbox.try_wake()) return;
    }
  }
  void thread(unsigned thread) {
    if (thread == 0) {
      run_owner();
    } else {
      raised.store(1, seq_cst);
      if (p.inbox.try_wake()) run_owner();
    }
  }
  void after() { RL_ASSERT(seen); }
};

// Two who wake without a message and one sender, at a sleeping owner: one of them schedules it.
template <class Orders>
struct wakers : rl::test_suite<wakers<Orders>, 3> {
  process<Orders, 1> p;
  void before() { p.inbox.open_asleep(); }
  void thread(unsigned thread) {
    if (thread == 0) {
      p.send_and_run(0);
    } else if (p.inbox.try_wake()) {
      p.run_owner();
    }
  }
  void after() { p.check_all_handled(); }
};

// A control block that is opened while somebody with an old handle pushes: refused, or wakes an owner whose first state
// it sees. The third thread wakes it without a message.
template <class Orders>
struct open_race : rl::test_suite<open_race<Orders>, 3> {
  process<Orders, 1> p;
  bool refused = false;
  void thread(unsigned thread) {
    if (thread == 0) {
      p.state = 1;
      p.inbox.open_asleep();
    } else if (thread == 1) {
      const push_result result = p.send(0);
      refused = result == push_result::closed;
      if (result == push_result::wake) p.run_owner();
    } else if (p.inbox.try_wake()) {
      p.run_owner();
    }
  }
  void after() { RL_ASSERT(p.handled[0] + (refused ? 1 : 0) == 1); }
};

template <class Orders>
void mutant(model::report& report, const char* name) {
  report.mutant<two_senders<Orders, 2>, close_race<Orders>, flag<Orders>, wakers<Orders>, open_race<Orders>>(
      name, {.switches = 3, .random = 20'000});
}

// `wake` has one mutant: it needs to acquire, and is seq_cst only because g++ 12 refuses a failure order above it.
// clang-format off
struct push_relaxed : inbox_orders { static constexpr auto push = std::memory_order::relaxed; };
struct push_wake_acquire : inbox_orders { static constexpr auto push_wake = std::memory_order::acquire; };
struct push_wake_release : inbox_orders { static constexpr auto push_wake = std::memory_order::release; };
struct push_wake_relaxed : inbox_orders { static constexpr auto push_wake = std::memory_order::relaxed; };
struct take_relaxed : inbox_orders { static constexpr auto take = std::memory_order::relaxed; };
struct sleep_acq_rel : inbox_orders { static constexpr auto sleep = std::memory_order::acq_rel; };
struct sleep_release : inbox_orders { static constexpr auto sleep = std::memory_order::release; };
struct sleep_relaxed : inbox_orders { static constexpr auto sleep = std::memory_order::relaxed; };
struct wake_relaxed : inbox_orders { static constexpr auto wake = std::memory_order::relaxed; };
struct wake_missed_acquire : inbox_orders { static constexpr auto wake_missed = std::memory_order::acquire; };
struct wake_missed_relaxed : inbox_orders { static constexpr auto wake_missed = std::memory_order::relaxed; };
struct close_acquire : inbox_orders { static constexpr auto close = std::memory_order::acquire; };
struct close_release : inbox_orders { static constexpr auto close = std::memory_order::release; };
struct close_relaxed : inbox_orders { static constexpr auto close = std::memory_order::relaxed; };
struct refused_relaxed : inbox_orders { static constexpr auto refused = std::memory_order::relaxed; };
struct open_relaxed : inbox_orders { static constexpr auto open = std::memory_order::relaxed; };
// clang-format on

}  // namespace

int main() {
  model::report report;
  report.check<two_senders<inbox_orders, 1>>("two senders, of two and of one");
  report.check<two_senders<inbox_orders, 2>>("two senders of two", {.switches = 7});
  report.check<visitor<inbox_orders>>("a visitor while a sender pushes");
  report.check<three_pushes<inbox_orders>>("three pushes");
  report.check<three_senders<inbox_orders>>("three senders of one", {.switches = 5});
  report.check<close_race<inbox_orders>>("close against a sender and its owner");
  report.check<close_running<inbox_orders>>("close against a running owner and a sender");
  report.check<flag<inbox_orders>>("a flag and try_wake against try_sleep");
  report.check<wakers<inbox_orders>>("two wakers and a sender");
  report.check<open_race<inbox_orders>>("open against a sender and a waker");
  report.misuse<flag<inbox_orders, false>>("owner does not look again after try_sleep");

  mutant<push_relaxed>(report, "push is relaxed");
  mutant<push_wake_acquire>(report, "push_wake is acquire");
  mutant<push_wake_release>(report, "push_wake is release");
  mutant<push_wake_relaxed>(report, "push_wake is relaxed");
  mutant<take_relaxed>(report, "take is relaxed");
  mutant<sleep_acq_rel>(report, "sleep is acq_rel");
  mutant<sleep_release>(report, "sleep is release");
  mutant<sleep_relaxed>(report, "sleep is relaxed");
  mutant<wake_relaxed>(report, "wake is relaxed");
  mutant<wake_missed_acquire>(report, "wake_missed is acquire");
  mutant<wake_missed_relaxed>(report, "wake_missed is relaxed");
  mutant<close_acquire>(report, "close is acquire");
  mutant<close_release>(report, "close is release");
  mutant<close_relaxed>(report, "close is relaxed");
  mutant<refused_relaxed>(report, "refused is relaxed");
  mutant<open_relaxed>(report, "open is relaxed");
  return report.status();
}
