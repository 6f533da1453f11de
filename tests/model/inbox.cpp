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

// The production orders, to be weakened one at a time.
struct orders {
  static inline std::memory_order push = inbox_orders::push;
  static inline std::memory_order push_wake = inbox_orders::push_wake;
  static inline std::memory_order take = inbox_orders::take;
  static inline std::memory_order sleep = inbox_orders::sleep;
  static inline std::memory_order wake = inbox_orders::wake;
  static inline std::memory_order wake_missed = inbox_orders::wake_missed;
  static inline std::memory_order close = inbox_orders::close;
  static inline std::memory_order refused = inbox_orders::refused;
  static inline std::memory_order open = inbox_orders::open;
};

struct alignas(16) node {
  model::var<node*> next;
  model::var<int> payload;
};

constexpr auto relaxed = std::memory_order::relaxed;
constexpr auto seq_cst = std::memory_order::seq_cst;

// A process of `Nodes` possible messages; message i is nodes[i], and its payload is i + 1.
template <unsigned Nodes>
struct process {
  otp::detail::inbox<node, model::sync, orders> inbox;
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
template <unsigned Second>
struct two_senders : rl::test_suite<two_senders<Second>, 2> {
  process<2 + Second> p;
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
struct three_pushes : rl::test_suite<three_pushes, 3> {
  process<3> p;
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
struct visitor : rl::test_suite<visitor, 2> {
  process<2> p;
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
struct three_senders : rl::test_suite<three_senders, 3> {
  process<3> p;
  void before() { p.inbox.open_asleep(); }
  void thread(unsigned sender) { p.send_and_run(sender); }
  void after() { p.check_all_handled(); }
};

// A sender of two against a closer, who is not the owner. Each message is handled, or drained by the closer, or
// refused.
struct close_race : rl::test_suite<close_race, 2> {
  process<2> p;
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
struct close_running : rl::test_suite<close_running, 3> {
  process<2> p;
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
struct flag : rl::test_suite<flag, 2> {
  static inline bool look_again = true;  // rule 5; left out, the owner looks before try_sleep() only
  process<1> p;
  model::atomic<int> raised{0};
  bool seen = false;

  void before() { p.inbox.open_awake(); }
  void run_owner() {
    for (;;) {
      p.state = p.state + 1;
      if (raised.load(seq_cst) != 0) seen = true;
      if (node* chain = p.inbox.take_all()) p.handle_chain(chain);
      if (!p.inbox.try_sleep()) continue;
      if (!look_again || seen || raised.load(seq_cst) == 0 || !p.inbox.try_wake()) return;
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
struct wakers : rl::test_suite<wakers, 3> {
  process<1> p;
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
struct open_race : rl::test_suite<open_race, 3> {
  process<1> p;
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

}  // namespace

int main() {
  model::report report("inbox");
  report.check<two_senders<1>>("two senders, of two and of one");
  report.check<two_senders<2>>("two senders of two", {.switches = 7});
  report.check<visitor>("a visitor while a sender pushes");
  report.check<three_pushes>("three pushes");
  report.check<three_senders>("three senders of one", {.switches = 5});
  report.check<close_race>("close against a sender and its owner");
  report.check<close_running>("close against a running owner and a sender");
  report.check<flag>("a flag and try_wake against try_sleep");
  report.check<wakers>("two wakers and a sender");
  report.check<open_race>("open against a sender and a waker");
  report.misuse<flag>("the owner does not look again after try_sleep", flag::look_again);

  const auto mutant = [&](const char* name, std::memory_order& field, std::memory_order weaker) {
    report.mutant<two_senders<2>, close_race, flag, wakers, open_race>(name, field, weaker,
                                                                       {.switches = 3, .random = 20'000});
  };
  mutant("push", orders::push, std::memory_order::relaxed);
  mutant("push_wake", orders::push_wake, std::memory_order::acquire);
  mutant("push_wake", orders::push_wake, std::memory_order::release);
  mutant("push_wake", orders::push_wake, std::memory_order::relaxed);
  mutant("take", orders::take, std::memory_order::relaxed);
  mutant("sleep", orders::sleep, std::memory_order::acq_rel);
  mutant("sleep", orders::sleep, std::memory_order::release);
  mutant("sleep", orders::sleep, std::memory_order::relaxed);
  // `wake` needs no more than to acquire; it is seq_cst because g++ 12 wants no failure order above it.
  mutant("wake", orders::wake, std::memory_order::relaxed);
  mutant("wake_missed", orders::wake_missed, std::memory_order::acquire);
  mutant("wake_missed", orders::wake_missed, std::memory_order::relaxed);
  mutant("close", orders::close, std::memory_order::acquire);
  mutant("close", orders::close, std::memory_order::release);
  mutant("close", orders::close, std::memory_order::relaxed);
  mutant("refused", orders::refused, std::memory_order::relaxed);
  mutant("open", orders::open, std::memory_order::relaxed);
  return report.status();
}
