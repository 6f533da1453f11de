// Tasks: await and await_many.
#include "conformance/task_support.hpp"

#include <algorithm>
#include <ctime>
#include <deque>
#include <limits>
#include <numeric>
#include <random>

using namespace conformance;

// covers: TASK-019
TEST(task_await, it_returns_the_result) {
  everywhere(20, [] {
    EXPECT_EQ(otp::await(otp::async([] { return 1; })), 1);
    EXPECT_EQ(otp::await(otp::async([](int a, int b) { return a + b; }, 1, 2)), 3);
    EXPECT_EQ(otp::await(otp::completed(std::string("x"))), "x");
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: TASK-020 TASK-021 TASK-023
TEST(task_await, after_its_limit_it_exits_with_timeout_and_leaves_the_task_running) {
  for_seeds(10, [] {
    auto t = on_go(1);
    otp::instant start = otp::now();
    auto why = exit_of([&] { return otp::await(t); });
    EXPECT_EQ(otp::now() - start, 5s);
    ASSERT_TRUE(why);
    EXPECT_EQ(why->cause(), otp::reason::timeout);
    ASSERT_NE(why->call(), nullptr);
    EXPECT_EQ(why->call()->function, "await");
    EXPECT_EQ(why->call()->server, t.pid().to_string());
    EXPECT_EQ(why->call()->request, t.function());
    EXPECT_EQ(why->call()->timeout, 5s);
    EXPECT_TRUE(otp::is_alive(t.pid()));
    // It is not watched any more, and its result goes nowhere.
    EXPECT_TRUE(otp::info(t.pid())->monitored_by.empty());
    otp::send(t.pid(), go{});
    otp::testing::settle();
    EXPECT_FALSE(otp::is_alive(t.pid()));
    EXPECT_TRUE(mailbox_empty());
    EXPECT_NE(refusal_of([&] { return otp::await(t); }).find("given up"), std::string::npos);

    auto slow = otp::async([] {
      otp::sleep(24h);
      return 2;
    });
    EXPECT_EQ(otp::await(slow, otp::infinity), 2);
    auto none = on_go(1);
    EXPECT_EQ(exit_of([&] { return otp::await(none, 0s); })->cause(), otp::reason::timeout);
    auto wrong = otp::completed(1);
    EXPECT_NE(refusal_of([&] { return otp::await(wrong, -1s); }).find("timeout"), std::string::npos);
  });
}

// covers: TASK-024 E06
TEST(task_await, a_task_that_died_first_makes_the_owner_exit_with_its_reason) {
  everywhere(20, [] {
    otp::trap_exit(true);
    auto reason_of_await = [](auto function) {
      auto t = otp::async(std::move(function));
      auto why = exit_of([&] { return otp::await(t, otp::infinity); });
      EXPECT_TRUE(why && why->call() && why->call()->function == "await");
      return why ? why->cause() : otp::exit_reason("it returned");
    };
    EXPECT_EQ(reason_of_await([] { otp::exit(normal); }), normal);
    EXPECT_EQ(reason_of_await([] { otp::exit("own"); }), "own");
    EXPECT_EQ(reason_of_await([]() -> int { throw 5; }).error_type(), "int");
    EXPECT_EQ(reason_of_await([]() -> int { throw std::logic_error("x"); }),
              otp::reason::error("std::logic_error", "x"));
    auto dead = otp::async([] { otp::exit("before"); });
    EXPECT_EQ(end_of(dead.pid()).is_normal(), false);
    EXPECT_EQ(exit_of([&] { return otp::await(dead); })->cause(), "before");
    for (int i = 0; i < 5; ++i) static_cast<void>(next<otp::exit_signal>());
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: TASK-025
TEST(task_await, a_lost_node_is_told_by_its_name) {
  seeded([] {
    otp::trap_exit(true);
    auto t = on_go(1);
    // There are no other nodes yet: the message is what a lost one would send.
    otp::send(otp::self(), otp::down{t.reference(), t.pid(), {}, otp::reason::noconnection, {}});
    auto why = exit_of([&] { return otp::await(t); });
    EXPECT_EQ(why->cause().to_string(), "{nodedown, \"" + otp::this_node() + "\"}");
    EXPECT_EQ(why->call()->function, "await");
  });
}

// covers: TASK-026 E06
TEST(task_await, only_the_owner_may_ask_and_is_named_otherwise) {
  everywhere(5, [] {
    struct handles {
      otp::task<int> one;
      std::vector<otp::task<int>> many;
    };
    auto shared = std::make_shared<handles>();
    shared->one = on_go(1);
    shared->many.push_back(on_go(2));
    otp::pid me = otp::self();
    auto other = otp::async([shared, me] {
      auto names_both = [&](const std::string& text, const otp::task<int>& t) {
        EXPECT_NE(text.find(me.to_string()), std::string::npos) << text;
        EXPECT_NE(text.find(otp::self().to_string()), std::string::npos) << text;
        EXPECT_NE(text.find(t.pid().to_string()), std::string::npos) << text;
      };
      names_both(refusal_of([&] { return otp::await(shared->one); }), shared->one);
      names_both(refusal_of([&] { return otp::await_many(shared->many); }), shared->many[0]);
      names_both(refusal_of([&] { return otp::await_many(shared->one); }), shared->one);
      names_both(refusal_of([&] { return otp::yield(shared->one); }), shared->one);
      names_both(refusal_of([&] { return otp::yield_many(shared->many); }), shared->many[0]);
      names_both(refusal_of([&] { return otp::ignore(shared->one); }), shared->one);
      names_both(refusal_of([&] { return otp::shutdown(shared->one); }), shared->one);
      names_both(refusal_of([&] { return otp::shutdown(shared->one, otp::brutal_kill); }), shared->one);
    });
    otp::await(other, otp::infinity);
    // Nothing happened to them.
    otp::send(shared->one.pid(), go{});
    otp::send(shared->many[0].pid(), go{});
    EXPECT_EQ(otp::await(shared->one), 1);
    EXPECT_EQ(otp::await(shared->many[0]), 2);
  });
}

// covers: E06
TEST(task_await, awaiting_twice_or_nothing_is_a_clear_error) {
  seeded([] {
    auto t = otp::async([] { return 1; });
    EXPECT_EQ(otp::await(t), 1);
    for (auto text : {refusal_of([&] { return otp::await(t); }), refusal_of([&] { return otp::yield(t); }),
                      refusal_of([&] { return otp::await_many(t); })})
      EXPECT_NE(text.find("already"), std::string::npos) << text;
    otp::task<int> none;
    for (auto text : {refusal_of([&] { return otp::await(none); }), refusal_of([&] { return otp::shutdown(none); }),
                      refusal_of([&] { return otp::ignore(none); })})
      EXPECT_NE(text.find("there is no task"), std::string::npos) << text;
    auto moved = on_go(1);
    auto kept = std::move(moved);
    EXPECT_NE(refusal_of([&] { return otp::await(moved); }).find("no task"), std::string::npos);
    EXPECT_NE(refusal_of([&] { return otp::await_many(1s, kept, kept); }).find("twice"), std::string::npos);
    EXPECT_TRUE(kept);
  });
}

// covers: TASK-028 TASK-035
TEST(task_await, messages_that_are_not_of_the_task_stay) {
  everywhere(10, [] {
    auto t = otp::async([] { return 1; });
    auto other = otp::async([] { return 1; });
    otp::ref of_t = t.reference();
    otp::send(otp::self(), 5);
    otp::send(otp::self(), otp::task_result<int>{otp::ref(otp::self(), 1'000'000), 9});
    otp::send(otp::self(), otp::task_result<std::string>{of_t, "of another type"});
    EXPECT_EQ(otp::await(t), 1);
    // A second message with a reference that was answered.
    otp::send(otp::self(), otp::task_result<int>{of_t, 2});
    otp::send(otp::self(), otp::task_result<int>{other.reference(), 1});
    otp::send(otp::self(), otp::task_result<int>{other.reference(), 1});
    EXPECT_EQ(otp::await_many(other), std::tuple(1));
    EXPECT_EQ(next<int>(), 5);
    EXPECT_EQ(next<otp::task_result<int>>().value, 9);
    EXPECT_EQ(next<otp::task_result<std::string>>().value, "of another type");
    EXPECT_EQ(next<otp::task_result<int>>().reference, of_t);
    EXPECT_EQ(next<otp::task_result<int>>().reference, other.reference());
  });
}

namespace {
/// A mailbox as it should be: plain numbers, results of two types and ends of many tasks, in the order of their
/// arrival.
class task_heap {
 public:
  explicit task_heap(std::mt19937& chance) : chance_(chance) {
    const int count = 5 + static_cast<int>(chance_() % 60);
    for (int i = 0; i < count; ++i) {
      if (chance_() % 2)
        numbers_.push_back(on_go(i));
      else
        texts_.push_back(on_go(std::to_string(i)));
      if (chance_() % 8 == 0)
        crashing_.push_back(otp::async([]() -> int {
          wait_for_go();
          otp::exit("on purpose");
        }));
    }
    std::vector<otp::pid> all;
    for (auto& t : numbers_) all.push_back(t.pid());
    for (auto& t : texts_) all.push_back(t.pid());
    for (auto& t : crashing_) all.push_back(t.pid());
    std::shuffle(all.begin(), all.end(), chance_);
    for (otp::pid p : all) {
      if (chance_() % 3 == 0) plain();
      if (chance_() % 2) otp::yield();
      otp::send(p, go{});
    }
    if (chance_() % 2) otp::testing::settle();
  }
  void act() {
    switch (chance_() % 9) {
      case 0: plain(); break;
      case 1:
        if (plain_.empty()) break;
        EXPECT_EQ(next<int>(), plain_.front());
        plain_.pop_front();
        break;
      case 2:
        if (auto t = one_of(crashing_)) {
          EXPECT_EQ(exit_of([&] { return otp::await(*t); })->cause(), "on purpose");
        }
        break;
      case 3:
        if (auto t = one_of(numbers_)) otp::shutdown(*t, otp::brutal_kill);
        break;
      case 4: static_cast<void>(one_of(texts_)); break;  // given up
      case 5:
        if (auto t = one_of(texts_)) {
          auto came = otp::yield(*t, chance_() % 2 ? 0s : 1s);
          if (came) awaited_.push_back(came->value());
        }
        break;
      case 6:
        if (auto t = one_of(texts_)) awaited_.push_back(otp::await(*t));
        break;
      default:
        if (auto t = one_of(numbers_)) awaited_.push_back(std::to_string(otp::await(*t)));
        break;
    }
  }
  bool over() const { return numbers_.empty() && texts_.empty() && crashing_.empty(); }
  /// No result is had twice, and what is left are the plain ones in their order, and the exits of linked tasks.
  void check() {
    otp::testing::settle();
    std::ranges::sort(awaited_);
    EXPECT_EQ(std::ranges::adjacent_find(awaited_), awaited_.end());
    for (int n : plain_) EXPECT_EQ(next<int>(), n);
    otp::process_info mine = *otp::info(otp::self());
    EXPECT_TRUE(mine.monitors.empty());
    while (otp::receive([](const otp::exit_signal&) { return true; }, otp::after(0s, [] { return false; })));
    EXPECT_TRUE(mailbox_empty());
  }

 private:
  template <class T>
  std::optional<T> one_of(std::vector<T>& all) {
    if (all.empty()) return {};
    std::swap(all[chance_() % all.size()], all.back());
    T last = std::move(all.back());
    all.pop_back();
    return last;
  }
  void plain() {
    otp::send(otp::self(), ++last_plain_);
    plain_.push_back(last_plain_);
  }
  std::mt19937& chance_;
  std::vector<otp::task<int>> numbers_, crashing_;
  std::vector<otp::task<std::string>> texts_;
  std::deque<int> plain_;
  int last_plain_ = 0;
  std::vector<std::string> awaited_;
};
}  // namespace

// covers: TASK-019 TASK-028
TEST(task_await, one_by_one_in_any_order_each_finds_its_own_and_leaves_the_rest) {
  for (unsigned seed = 1; seed <= 200; ++seed)
    seeded([seed] {
      otp::trap_exit(true);
      std::mt19937 chance(seed);
      task_heap heap(chance);
      while (!heap.over()) heap.act();
      heap.check();
    });
}

// covers: TASK-019 TASK-028
TEST(task_await, results_and_ends_that_were_passed_over_are_messages_for_a_receive) {
  seeded([] {
    constexpr int count = 40;
    std::vector<otp::task<int>> all;
    for (int i = 0; i < count; ++i) all.push_back(on_go(i));
    for (auto& t : all) {
      otp::send(t.pid(), go{});
      otp::testing::settle();
    }
    EXPECT_EQ(otp::await(all[count - 1]), count - 1);  // walks past all others
    EXPECT_EQ(next<otp::task_result<int>>().value, 0);
    EXPECT_EQ(next<otp::down>().process, all[0].pid());
    EXPECT_EQ(otp::await(all[20]), 20);
    // Whatever comes first, then what comes behind it.
    for (int i = 1; i < count - 1; ++i) {
      if (i == 20) continue;
      otp::receive([&](const otp::message& m) {
        ASSERT_NE(m.get_if<otp::task_result<int>>(), nullptr);
        EXPECT_EQ(m.get_if<otp::task_result<int>>()->value, i);
      });
      otp::receive([&](const otp::message& m) {
        ASSERT_NE(m.get_if<otp::down>(), nullptr);
        EXPECT_EQ(m.get_if<otp::down>()->process, all[static_cast<std::size_t>(i)].pid());
      });
    }
    EXPECT_TRUE(mailbox_empty());
  });
}

// bug: a result of another type, sent by hand with the reference of a task, was taken for that task's
// covers: TASK-028 TASK-035
TEST(task_await, a_result_of_another_type_or_a_second_one_deep_in_the_mailbox_is_not_its_own) {
  seeded([] {
    auto t = on_go(1);
    auto u = on_go(std::string("u"));
    for (int i = 0; i < 8; ++i) otp::send(otp::self(), i);
    otp::send(otp::self(), otp::task_result<std::string>{t.reference(), "of another type"});
    otp::send(u.pid(), go{});
    otp::testing::settle();
    EXPECT_EQ(otp::await(u), "u");  // walks past it
    otp::send(t.pid(), go{});
    otp::testing::settle();
    EXPECT_EQ(otp::await(t), 1);
    auto v = on_go(2);
    auto w = on_go(3);
    otp::send(otp::self(), otp::task_result<int>{v.reference(), 20});
    for (auto* each : {&v, &w}) {
      otp::send(each->pid(), go{});
      otp::testing::settle();
    }
    EXPECT_EQ(otp::await(w), 3);   // walks past both
    EXPECT_EQ(otp::await(v), 20);  // the first
    for (int i = 0; i < 8; ++i) EXPECT_EQ(next<int>(), i);
    EXPECT_EQ(next<otp::task_result<std::string>>().value, "of another type");
    EXPECT_EQ(next<otp::task_result<int>>().value, 2);
    EXPECT_TRUE(mailbox_empty());
  });
}

// bug: an end that was sent by hand in front of the result counted twice, and another task was waited for in vain
// covers: TASK-029
TEST(task_await, an_end_in_front_of_the_result_is_counted_once) {
  seeded([] {
    std::vector<otp::task<int>> all;
    all.push_back(on_go(1));
    all.push_back(on_go(2));
    otp::send(otp::self(), otp::down{all[0].reference(), all[0].pid(), {}, otp::reason::noconnection, {}});
    for (auto& t : all) {
      otp::send(t.pid(), go{});
      otp::testing::settle();
    }
    otp::instant start = otp::now();
    auto came = otp::yield_many(all, {.timeout = 1h});
    EXPECT_EQ(otp::now(), start);
    ASSERT_TRUE(came[0] && came[1]);
    EXPECT_EQ(came[0]->value() + came[1]->value(), 3);
  });
}

// covers: TASK-029
TEST(task_await, await_many_gives_results_in_the_order_of_the_tasks) {
  everywhere(20, [] {
    auto a = on_go(std::string("a"));
    auto b = on_go(2);
    auto c = on_go(3.5);
    for (otp::pid p : {c.pid(), a.pid(), b.pid()}) otp::send(p, go{});
    EXPECT_EQ(otp::await_many(otp::infinity, a, b, c), (std::tuple<std::string, int, double>("a", 2, 3.5)));
    std::vector<otp::task<int>> all;
    for (int i = 0; i < 40; ++i) all.push_back(on_go(i));
    for (int i = 40; i-- > 0;) otp::send(all[static_cast<std::size_t>(i)].pid(), go{});
    auto values = otp::await_many(otp::infinity, all);
    for (int i = 0; i < 40; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], i);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: TASK-030
TEST(task_await, await_many_of_nothing_returns_at_once) {
  seeded([] {
    std::vector<otp::task<int>> none;
    EXPECT_TRUE(otp::await_many(none).empty());
    EXPECT_TRUE(otp::await_many(0s, none).empty());
    EXPECT_TRUE(otp::yield_many(none).empty());
  });
}

// covers: TASK-031
TEST(task_await, the_limit_covers_all_together) {
  for_seeds(10, [] {
    std::vector<otp::task<int>> all;
    for (int i = 1; i <= 3; ++i)
      all.push_back(otp::async([i] {
        otp::sleep(i * 40ms);
        return i;
      }));
    otp::instant start = otp::now();
    auto why = exit_of([&] { return otp::await_many(100ms, all); });
    EXPECT_EQ(otp::now() - start, 100ms);
    ASSERT_TRUE(why);
    EXPECT_EQ(why->cause(), otp::reason::timeout);
    EXPECT_EQ(why->call()->function, "await_many");
    EXPECT_NE(why->call()->server.find(all[2].pid().to_string()), std::string::npos);
    EXPECT_TRUE(otp::is_alive(all[2].pid()));
    otp::testing::advance(1s);
    EXPECT_TRUE(mailbox_empty());
    std::vector<otp::task<int>> slow;
    slow.push_back(on_go(1));
    start = otp::now();
    EXPECT_TRUE(exit_of([&] { return otp::await_many(slow); }));
    EXPECT_EQ(otp::now() - start, 5s);
  });
}

// covers: TASK-032
TEST(task_await, await_many_exits_as_soon_as_one_dies) {
  for (unsigned failing : {0U, 7U, 19U}) {
    for_seeds(10, [failing] {
      otp::trap_exit(true);
      for (otp::exit_reason why :
           {otp::exit_reason(normal), otp::exit_reason("own"), otp::reason::error("std::runtime_error", "raised")}) {
        std::vector<otp::task<int>> all;
        for (unsigned i = 0; i < 20; ++i)
          all.push_back(otp::async([=] {
            if (i != failing) otp::sleep(otp::infinity);
            if (why.what() == otp::exit_reason::kind::error) throw std::runtime_error("raised");
            otp::exit(why);
            return 1;
          }));
        otp::instant start = otp::now();
        auto seen = exit_of([&] { return otp::await_many(all); });
        EXPECT_EQ(otp::now(), start);
        ASSERT_TRUE(seen);
        EXPECT_EQ(seen->cause(), why);
        EXPECT_EQ(seen->call()->function, "await_many");
      }
    });
  }
  seeded([] {
    auto a = on_go(1);
    auto b = on_go(1);
    otp::send(otp::self(), otp::down{b.reference(), b.pid(), {}, otp::reason::noconnection, {}});
    auto why = exit_of([&] { return otp::await_many(1s, a, b); });
    EXPECT_EQ(why->cause().to_string(), "{nodedown, \"" + otp::this_node() + "\"}");
  });
}

// bug: of several tasks that had died already, await_many told the end of the first in the list
// covers: TASK-032
TEST(task_await, await_many_of_several_dead_exits_with_the_first_that_died) {
  for_seeds(10, [] {
    otp::trap_exit(true);
    auto dies = [](otp::duration time, const char* why) {
      return otp::async([=] {
        otp::sleep(time);
        otp::exit(why);
        return 1;
      });
    };
    for (int more : {0, 10}) {
      std::vector<otp::task<int>> all;
      all.push_back(dies(2s, "second"));
      for (int i = 0; i < more; ++i) all.push_back(otp::async([] { return 1; }));
      all.push_back(dies(1s, "first"));
      all.push_back(dies(3s, "third"));
      otp::sleep(4s);
      auto why = exit_of([&] { return otp::await_many(5s, all); });
      ASSERT_TRUE(why);
      EXPECT_EQ(why->cause(), "first");
    }
  });
}

TEST(task_await, await_many_takes_tasks_that_have_no_name) {
  everywhere(10, [] {
    EXPECT_EQ(otp::await_many(otp::async([] { return 1; }), otp::async([] { return std::string("two"); })),
              (std::tuple<int, std::string>(1, "two")));
    auto named = otp::async([] { return 1; });
    EXPECT_EQ(otp::await_many(1min, named, otp::completed(2)), std::tuple(1, 2));
    auto started = [] {
      std::vector<otp::task<int>> all;
      all.push_back(otp::async([] { return 1; }));
      all.push_back(otp::async([] { return 2; }));
      return all;
    };
    EXPECT_EQ(otp::await_many(started()), (std::vector{1, 2}));
    EXPECT_EQ(otp::await_many(1min, started()), (std::vector{1, 2}));
    EXPECT_TRUE(mailbox_empty());
  });
}

// bug: an await walked on to the mailbox's end when it had its result and its `down` already: tasks that were awaited
// in turn took time with the square of their number; in any other order they did in spite of that
TEST(task_await, many_one_by_one_in_any_order_take_time_in_proportion_to_their_number) {
  recorder quiet;
  otp::runtime rt({.workers = 1, .listener = &quiet});
  rt.start();
  auto processor_time = [&](std::size_t count) {
    std::clock_t least = std::numeric_limits<std::clock_t>::max();
    for (int i = 0; i < 3; ++i)
      rt.run([&] {
        std::vector<otp::task<std::size_t>> tasks;
        for (std::size_t n = 0; n < count; ++n) tasks.push_back(otp::async([n] { return n; }));
        while (otp::info(otp::self())->message_queue_len < 2 * count)  // all results, and all ends
          for (int turn = 0; turn < 500; ++turn) otp::yield();         // looking costs more than a turn of everybody
        std::vector<std::size_t> order(count);
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::shuffle(order.begin(), order.end(), std::mt19937(static_cast<unsigned>(i)));
        std::clock_t start = std::clock();
        for (std::size_t n : order) EXPECT_EQ(otp::await(tasks[n]), n);
        least = std::min(least, std::clock() - start);
      });
    return double(least);
  };
  double few = processor_time(2'000);
  EXPECT_LT(processor_time(8'000), 10 * few);  // 4 times as many; squared it would be 16 times the time, and was more
}
