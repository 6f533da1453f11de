// Streams of tasks.
#include "conformance/task_support.hpp"

#include <otp/async_stream.hpp>

using namespace conformance;

namespace {

using otp::on_timeout;

std::vector<int> numbers(int n) {
  std::vector<int> all;
  for (int i = 1; i <= n; ++i) all.push_back(i);
  return all;
}
int square(int n) { return n * n; }

/// Takes so many milliseconds and gives them back.
int takes(int milliseconds) {
  otp::sleep(milliseconds * 1ms);
  return milliseconds;
}

template <class Stream>
std::vector<int> values(Stream&& stream) {
  std::vector<int> all;
  for (auto& r : stream) all.push_back(r.value());
  return all;
}
template <class Stream>
strings texts(Stream&& stream) {
  strings all;
  for (auto& r : stream) all.push_back(r ? std::to_string(*r) : r.error().to_string());
  return all;
}

/// A source that tells what is read of it, and when it is gone.
class source {
 public:
  source(journal log, int n) : log_(std::move(log)), left_(n) {}
  source(source&& o) noexcept : log_(o.log_), left_(o.left_), real_(std::exchange(o.real_, false)) {}
  ~source() {
    if (real_) log_.add("gone");
  }
  struct iterator {
    source* of;
    int operator*() const {
      of->log_.add("read " + std::to_string(of->at_));
      return of->at_;
    }
    iterator& operator++() {
      ++of->at_;
      return *this;
    }
    bool operator!=(const iterator&) const { return of->at_ <= of->left_; }
  };
  iterator begin() {
    log_.add("begin");
    return {this};
  }
  iterator end() { return {this}; }

 private:
  journal log_;
  int left_;
  int at_ = 1;
  bool real_ = true;
};

/// How many run at the same time, at most.
struct gauge {
  std::shared_ptr<std::atomic<int>> now = std::make_shared<std::atomic<int>>(0);
  std::shared_ptr<std::atomic<int>> most = std::make_shared<std::atomic<int>>(0);
  struct holder;
};
struct gauge::holder {
  explicit holder(gauge g) : of(std::move(g)) {
    int n = ++*of.now;
    int seen = *of.most;
    while (n > seen && !of.most->compare_exchange_weak(seen, n)) {
    }
  }
  ~holder() { --*of.now; }
  gauge of;
};

/// The three kinds of streams with the same elements, function and options.
template <class F, class Check>
void each_kind(std::vector<int> elements, F function, otp::stream_options how, Check check) {
  auto sup = otp::task_supervisor::start_link().value();
  {
    SCOPED_TRACE("plain");
    check(otp::async_stream(elements, function, how));
  }
  {
    SCOPED_TRACE("supervised");
    check(otp::async_stream(sup, elements, function, how));
  }
  {
    SCOPED_TRACE("nolink");
    check(otp::async_stream_nolink(sup, elements, function, how));
  }
  if (time_is_virtual) otp::testing::settle();
  EXPECT_TRUE(otp::task_supervisor::children(sup).empty());
  EXPECT_TRUE(mailbox_empty());
  otp::task_supervisor::stop(sup);
  while (waiting<otp::exit_signal>()) {
  }
}

}  // namespace

// covers: TASK-062 TASK-100
TEST(task_stream, it_maps_a_function_over_a_sequence_one_task_each) {
  everywhere(5, [] {
    otp::trap_exit(false);
    for (int concurrency : {1, 2, 4, 40}) {
      each_kind(numbers(10), square, {.max_concurrency = concurrency},
                [](auto stream) { EXPECT_EQ(values(stream), (std::vector{1, 4, 9, 16, 25, 36, 49, 64, 81, 100})); });
      each_kind({}, square, {.max_concurrency = concurrency}, [](auto stream) { EXPECT_TRUE(values(stream).empty()); });
    }
    each_kind(numbers(3), square, {.timeout = otp::infinity},
              [](auto stream) { EXPECT_EQ(values(stream), (std::vector{1, 4, 9})); });
    // Every element has a process of its own; what is moved in is moved on; nothing becomes monostate.
    std::vector<otp::pid> seen;
    for (auto& r : otp::async_stream(numbers(5), [](int) { return otp::self(); })) seen.push_back(*r);
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
    std::vector<std::unique_ptr<int>> owned;
    owned.push_back(std::make_unique<int>(3));
    for (auto& r : otp::async_stream(std::move(owned), [](std::unique_ptr<int> p) { return p; })) EXPECT_EQ(**r, 3);
    for (auto& r : otp::async_stream(numbers(1), [](int) {})) EXPECT_EQ(*r, std::monostate());
  });
}

// covers: TASK-063 TASK-079 TASK-082
TEST(task_stream, nothing_happens_before_it_is_consumed_and_the_source_ends_once) {
  for_seeds(10, [] {
    journal log;
    {
      auto stream = otp::async_stream(source(log, 3),
                                      [log](int n) {
                                        log.add("run " + std::to_string(n));
                                        return n;
                                      },
                                      {.max_concurrency = 1});
      otp::testing::settle();
      EXPECT_EQ(otp::process_count(), 1U);
      EXPECT_TRUE(log.take().empty());
      EXPECT_EQ(values(stream), (std::vector{1, 2, 3}));
      EXPECT_EQ(log.take(), (strings{"begin", "read 1", "run 1", "read 2", "run 2", "read 3", "run 3"}));
    }
    EXPECT_EQ(log.take(), strings{"gone"});
    for (auto& r : otp::async_stream(source(log, 100), square, {.max_concurrency = 2})) {
      EXPECT_EQ(*r, 1);
      break;
    }
    auto lines = log.take();
    EXPECT_EQ(std::count(lines.begin(), lines.end(), "gone"), 1);
    EXPECT_LE(std::count_if(lines.begin(), lines.end(), [](auto& l) { return l.starts_with("read"); }), 20);
  });
}

// covers: TASK-064
TEST(task_stream, so_many_run_at_a_time) {
  for_seeds(10, [] {
    for (int concurrency : {1, 3, 8}) {
      gauge g;
      each_kind(
          numbers(20),
          [g](int n) {
            gauge::holder in(g);
            otp::sleep(10ms);
            return n;
          },
          {.max_concurrency = concurrency}, [&](auto stream) { EXPECT_EQ(values(stream), numbers(20)); });
      EXPECT_EQ(*g.most, concurrency);
    }
    for (int bad : {0, -1}) {
      auto text = refusal_of([&] { return otp::async_stream(numbers(1), square, {.max_concurrency = bad}); });
      EXPECT_NE(text.find("max_concurrency is " + std::to_string(bad)), std::string::npos) << text;
    }
  });
  // The default is the number of workers.
  EXPECT_EQ(threaded([] {
              gauge g;
              EXPECT_EQ(values(otp::async_stream(numbers(12),
                                                 [g](int n) {
                                                   gauge::holder in(g);
                                                   otp::sleep(5ms);
                                                   return n;
                                                 })),
                        numbers(12));
              EXPECT_EQ(*g.most, 3);
            }),
            normal);
}

// covers: TASK-065 TASK-066
TEST(task_stream, results_come_in_order_of_the_elements_or_of_the_ends) {
  for_seeds(10, [] {
    std::vector<int> slowest_first{50, 40, 30, 20, 10};
    each_kind(slowest_first, takes, {.max_concurrency = 5},
              [&](auto stream) { EXPECT_EQ(values(stream), slowest_first); });
    each_kind(slowest_first, takes, {.max_concurrency = 5, .ordered = false},
              [&](auto stream) { EXPECT_EQ(values(stream), (std::vector{10, 20, 30, 40, 50})); });
    each_kind({50, 40, 25, 5, 1}, takes, {.max_concurrency = 2, .ordered = false},
              [&](auto stream) { EXPECT_EQ(values(stream), (std::vector{40, 50, 5, 1, 25})); });
    // Also those that ended while the consumer did something else.
    auto stream = otp::async_stream(slowest_first, takes, {.max_concurrency = 5, .ordered = false});
    std::vector<int> all;
    for (auto& r : stream) {
      all.push_back(*r);
      otp::sleep(1s);
    }
    EXPECT_EQ(all, (std::vector{10, 20, 30, 40, 50}));
  });
}

// covers: TASK-069 TASK-101
TEST(task_stream, a_task_that_dies_gives_its_reason_if_the_consumer_survives) {
  for_seeds(10, [] {
    auto odd_ones_fail = [](int n) {
      if (n % 2) otp::exit(n);
      return n;
    };
    auto sup = otp::task_supervisor::start_link().value();
    // Without a link, nobody need trap exits.
    EXPECT_EQ(texts(otp::async_stream_nolink(sup, numbers(4), odd_ones_fail, {.max_concurrency = 4})),
              (strings{"1", "2", "3", "4"}));
    otp::trap_exit(true);
    for (int concurrency : {1, 2, 4})
      each_kind(numbers(4), odd_ones_fail, {.max_concurrency = concurrency}, [](auto stream) {
        strings seen;
        for (auto& r : stream) seen.push_back(r ? "ok " + std::to_string(*r) : "exit " + r.error().to_string());
        EXPECT_EQ(seen, (strings{"exit 1", "ok 2", "exit 3", "ok 4"}));
      });
    each_kind(
        {1}, [](int) -> int { throw std::runtime_error("raised"); }, {},
        [](auto stream) {
          for (auto& r : stream) EXPECT_EQ(r.error(), otp::reason::error("std::runtime_error", "raised"));
        });
    each_kind(
        {1},
        [](int n) {
          otp::exit(normal);
          return n;
        },
        {},
        [](auto stream) {
          for (auto& r : stream) EXPECT_EQ(r.error(), normal);
        });
  });
}

// covers: TASK-070
TEST(task_stream, a_failing_linked_task_takes_its_consumer_with_it) {
  everywhere(20, [] {
    for (bool busy : {false, true})
      EXPECT_EQ(ends_with([busy] {
                  auto stream = otp::async_stream(numbers(3),
                                                  [](int n) {
                                                    if (n == 3) otp::exit("broken");
                                                    return n;
                                                  },
                                                  {.max_concurrency = 3});
                  for (auto& r : stream) {
                    static_cast<void>(r);
                    if (busy) otp::sleep(otp::infinity);
                  }
                }),
                "broken");
    otp::trap_exit(true);
    auto sup = otp::task_supervisor::start_link().value();
    EXPECT_EQ(ends_with([sup] {
                otp::trap_exit(false);
                for (auto& r : otp::async_stream(sup, numbers(1), [](int) { otp::exit("broken"); }))
                  static_cast<void>(r);
              }),
              "broken");
  });
}

// covers: TASK-071 TASK-072
TEST(task_stream, a_task_over_its_limit_makes_the_consumer_exit) {
  for_seeds(10, [] {
    EXPECT_EQ(otp::stream_options().timeout, 5s);
    auto sup = otp::task_supervisor::start_link().value();
    auto judged = [&](auto stream, const char* name) {
      otp::instant start = otp::now();
      auto why = exit_of([&] { return values(stream); });
      EXPECT_EQ(otp::now() - start, 50ms);
      ASSERT_TRUE(why);
      EXPECT_EQ(why->cause(), otp::reason::timeout);
      EXPECT_EQ(why->call()->function, name);
      EXPECT_EQ(why->call()->timeout, 50ms);
    };
    otp::stream_options how{.max_concurrency = 2, .timeout = 50ms};
    judged(otp::async_stream(std::vector{10, 1000}, takes, how), "async_stream");
    judged(otp::async_stream(sup, std::vector{10, 1000}, takes, how), "async_stream");
    judged(otp::async_stream_nolink(sup, std::vector{10, 1000}, takes, how), "async_stream_nolink");
    otp::testing::settle();
    EXPECT_EQ(otp::process_count(), 2U);
    EXPECT_TRUE(mailbox_empty());
    // Counted from each one's start.
    EXPECT_EQ(values(otp::async_stream(std::vector{40, 40, 40, 40}, takes, {.max_concurrency = 1, .timeout = 50ms})),
              (std::vector{40, 40, 40, 40}));
    EXPECT_EQ(values(otp::async_stream(std::vector{100'000}, takes, {.timeout = otp::infinity})), std::vector{100'000});
    EXPECT_TRUE(exit_of([] { return values(otp::async_stream(std::vector{5001}, takes)); }));
    EXPECT_EQ(values(otp::async_stream(std::vector{4999}, takes)), std::vector{4999});
    auto text = refusal_of([] { return otp::async_stream(numbers(1), takes, {.timeout = -1s}); });
    EXPECT_NE(text.find("timeout is -1000000000"), std::string::npos) << text;
  });
}

// covers: TASK-073 TASK-074
TEST(task_stream, with_kill_task_only_the_late_one_is_killed) {
  for_seeds(10, [] {
    for (bool ordered : {true, false})
      each_kind({10, 1000, 20, 2000, 30}, takes,
                {.max_concurrency = 5, .timeout = 50ms, .on_timeout = on_timeout::kill_task, .ordered = ordered},
                [&](auto stream) {
                  EXPECT_EQ(texts(stream), ordered ? (strings{"10", "timeout", "20", "timeout", "30"})
                                                   : (strings{"10", "20", "30", "timeout", "timeout"}));
                });
    // Its time is kept while the consumer does other things, and others that are killed are not taken for late ones.
    otp::trap_exit(true);
    std::vector<otp::pid> tasks;
    auto stream = otp::async_stream(std::vector{0, 1, 2},
                                    [](int n) {
                                      if (n > 0) otp::sleep(otp::infinity);
                                      return otp::self().index();
                                    },
                                    {.max_concurrency = 3, .timeout = 100ms, .on_timeout = on_timeout::kill_task});
    auto at = stream.begin();
    EXPECT_TRUE(at->has_value());
    auto mine = otp::info(otp::self())->monitors;
    ASSERT_EQ(mine.size(), 2U);
    otp::exit(mine[0], otp::reason::kill);
    otp::sleep(1h);
    EXPECT_FALSE(otp::is_alive(mine[1]));
    strings ends;
    while (++at != stream.end()) ends.push_back(at->error().to_string());
    std::sort(ends.begin(), ends.end());
    EXPECT_EQ(ends, (strings{"killed", "timeout"}));
    EXPECT_NE(refusal_of([] {
                return otp::async_stream(numbers(1), takes, {.on_timeout = static_cast<on_timeout>(7)});
              }).find("on_timeout"),
              std::string::npos);
  });
}

// covers: TASK-075
TEST(task_stream, exits_can_have_their_element_with_them) {
  for_seeds(10, [] {
    otp::trap_exit(true);
    each_kind(
        {10, 1000, 7, 20},
        [](int n) {
          if (n == 7) otp::exit("unlucky");
          return takes(n);
        },
        {.max_concurrency = 4, .timeout = 50ms, .on_timeout = on_timeout::kill_task, .zip_input_on_exit = true},
        [](auto stream) {
          strings seen;
          for (auto& r : stream) {
            EXPECT_NE(r.has_value(), r.input.has_value());
            seen.push_back(r ? "ok" : std::to_string(*r.input) + " " + r.error().to_string());
          }
          EXPECT_EQ(seen, (strings{"ok", "1000 timeout", "7 \"unlucky\"", "ok"}));
        });
    for (auto& r : otp::async_stream(numbers(1), [](int) { otp::exit("x"); })) EXPECT_FALSE(r.input);
    std::vector<std::unique_ptr<int>> owned(1);
    auto text = refusal_of(
        [&] { return otp::async_stream(std::move(owned), [](std::unique_ptr<int>) {}, {.zip_input_on_exit = true}); });
    EXPECT_NE(text.find("zip_input_on_exit"), std::string::npos);
  });
}

// covers: TASK-076
TEST(task_stream, who_stops_early_leaves_no_task) {
  for_seeds(20, [] {
    for (bool ordered : {true, false})
      each_kind({0, 1000, 2000, 3000}, takes, {.max_concurrency = 4, .ordered = ordered}, [](auto stream) {
        std::size_t before = otp::process_count();
        auto all = std::move(stream);
        {
          auto owned = std::move(all);
          EXPECT_EQ(**owned.begin(), 0);
          EXPECT_GE(otp::process_count(), before);
        }
        EXPECT_LE(otp::process_count(), 2U);  // their death was waited for
      });
    // By an exception, by the consumer's death.
    EXPECT_THROW(
        {
          for (auto& r : otp::async_stream(std::vector{0, 1000, 2000}, takes, {.max_concurrency = 3})) {
            static_cast<void>(r);
            throw std::runtime_error("enough");
          }
        },
        std::runtime_error);
    EXPECT_EQ(otp::process_count(), 1U);
    auto sup = otp::task_supervisor::start_link().value();
    otp::pid consumer = otp::spawn([sup] {
      for (auto& r : otp::async_stream_nolink(sup, numbers(100), [](int) { otp::sleep(otp::infinity); },
                                              {.max_concurrency = 5, .timeout = otp::infinity}))
        static_cast<void>(r);
    });
    otp::testing::settle();
    EXPECT_EQ(otp::task_supervisor::children(sup).size(), 5U);
    otp::exit(consumer, otp::reason::kill);
    otp::testing::settle();
    EXPECT_TRUE(otp::task_supervisor::children(sup).empty());
  });
}

// bug: one element too many was read and started before a result was given to the consumer
// covers: TASK-063 TASK-078
TEST(task_stream, what_is_ready_is_given_before_more_is_started) {
  for_seeds(10, [] {
    for (bool ordered : {true, false})
      for (int concurrency : {1, 3}) {
        journal log;
        each_kind(
            numbers(10),
            [log](int n) {
              log.add("run " + std::to_string(n));
              return takes(n);
            },
            {.max_concurrency = concurrency, .ordered = ordered},
            [&](auto stream) {
              auto at = stream.begin();
              otp::sleep(5ms);
              EXPECT_EQ(log.take().size(), static_cast<std::size_t>(concurrency));
              ++at;  // also with all of them ready, the place of the one that was given is filled first
              otp::sleep(5ms);
              EXPECT_EQ(log.take(), strings{"run " + std::to_string(concurrency + 1)});
            });
      }
  });
}

// bug: a task that exited with `kill` killed its consumer, which could neither trap that nor be seen to end with `kill`
// covers: TASK-070
TEST(task_stream, kill_as_a_tasks_own_reason_is_one_like_any_other) {
  for_seeds(20, [] {
    otp::trap_exit(true);
    auto ends_with_kill = [](int) {
      otp::sleep(1s);
      otp::exit(otp::reason::kill);
    };
    EXPECT_EQ(ends_with([=] {
                for (auto& r : otp::async_stream(numbers(1), ends_with_kill)) static_cast<void>(r);
              }),
              otp::reason::kill);
    EXPECT_EQ(ends_with([=] {
                auto stream = otp::async_stream(std::vector{0, 1},
                                                [=](int n) {
                                                  if (n) ends_with_kill(n);
                                                },
                                                {.max_concurrency = 2});
                stream.begin();
                otp::trap_exit(true);
                EXPECT_EQ(next<otp::exit_signal>().reason, otp::reason::kill);
                otp::exit("trapped");
              }),
              "trapped");
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: TASK-078
TEST(task_stream, a_finished_tasks_place_is_taken_at_once) {
  for_seeds(10, [] {
    gauge g;
    otp::instant start = otp::now();
    // One slow task, the others pass it by.
    EXPECT_EQ(values(otp::async_stream(std::vector{100, 10, 10, 10, 10, 10, 10, 10, 10},
                                       [g](int n) {
                                         gauge::holder in(g);
                                         return takes(n);
                                       },
                                       {.max_concurrency = 2}))
                  .size(),
              9U);
    EXPECT_EQ(otp::now() - start, 100ms);
    EXPECT_EQ(*g.most, 2);
    gauge instant;
    values(otp::async_stream(numbers(200),
                             [instant](int n) {
                               gauge::holder in(instant);
                               otp::yield();
                               return n;
                             },
                             {.max_concurrency = 3}));
    EXPECT_LE(*instant.most, 3);
  });
  // On threads the processes are counted, not only the functions.
  EXPECT_EQ(threaded([] {
              gauge g;
              struct counted {
                gauge g;
                int operator()(int n) const {
                  gauge::holder in(g);
                  return n;
                }
              };
              EXPECT_EQ(values(otp::async_stream(numbers(2000), counted{g}, {.max_concurrency = 4})), numbers(2000));
              EXPECT_LE(*g.most, 4);
            }),
            normal);
}

// covers: TASK-080
TEST(task_stream, it_can_be_suspended_and_zipped_with_another) {
  for_seeds(10, [] {
    otp::trap_exit(true);
    auto squares = otp::async_stream(std::vector{30, 20, 10}, takes, {.max_concurrency = 3});
    auto others = otp::async_stream(numbers(3), [](int n) {
      if (n == 2) otp::exit("two");
      return n;
    });
    strings seen;
    auto a = squares.begin();
    auto b = others.begin();
    for (; a != squares.end() && b != others.end(); ++a, ++b)
      seen.push_back(std::to_string(**a) + " " + (*b ? std::to_string(**b) : b->error().to_string()));
    EXPECT_EQ(seen, (strings{"30 1", "20 \"two\"", "10 3"}));
    // A loop that is left can be gone on with.
    auto stream = otp::async_stream(numbers(4), square, {.max_concurrency = 1});
    for (auto& r : stream)
      if (*r == 4) break;
    otp::sleep(1h);
    auto rest = stream.begin();
    EXPECT_EQ(**rest, 4);
    EXPECT_EQ(**++rest, 9);
    EXPECT_EQ(**++rest, 16);
    EXPECT_TRUE(++rest == stream.end());
  });
}

// covers: TASK-081
TEST(task_stream, another_process_may_consume_it) {
  everywhere(10, [] {
    auto stream = otp::async_stream(numbers(5), square, {.max_concurrency = 2});
    auto other = otp::async([s = std::move(stream)]() mutable { return values(s); });
    EXPECT_EQ(otp::await(other, otp::infinity), (std::vector{1, 4, 9, 16, 25}));
    // But only one, once it has begun.
    auto shared = std::make_shared<decltype(otp::async_stream(numbers(5), square))>(
        otp::async_stream(numbers(5), square, {.max_concurrency = 1}));
    EXPECT_EQ(**shared->begin(), 1);
    otp::pid me = otp::self();
    auto wrong = otp::async([shared, me] {
      auto text = refusal_of([&] { return &++shared->begin(); });
      return text.find(me.to_string()) != std::string::npos && text.find(otp::self().to_string()) != std::string::npos;
    });
    EXPECT_TRUE(otp::await(wrong, otp::infinity));
  });
}

// covers: TASK-096 TASK-098
TEST(task_stream, supervised_tasks_have_the_shutdown_they_were_given) {
  for_seeds(10, [] {
    otp::trap_exit(true);
    auto sup = otp::task_supervisor::start_link().value();
    auto stubborn = [](int) {
      otp::trap_exit(true);
      otp::sleep(otp::infinity);
    };
    otp::spawn([sup] {
      otp::sleep(1s);
      otp::task_supervisor::stop(sup);
    });
    otp::instant start = otp::now();
    for (auto& r :
         otp::async_stream_nolink(sup, numbers(1), stubborn, {.timeout = otp::infinity, .shutdown = otp::brutal_kill}))
      EXPECT_EQ(r.error(), killed);
    EXPECT_EQ(otp::now() - start, 1s);
    auto text = refusal_of([&] { return otp::async_stream(sup, numbers(1), stubborn, {.shutdown = -1s}); });
    EXPECT_NE(text.find("shutdown"), std::string::npos);
  });
}

// covers: TASK-090
TEST(task_stream, a_full_supervisor_exits_the_consumer) {
  for_seeds(5, [] {
    auto sup = otp::task_supervisor::start_link({.max_children = 1}).value();
    auto why = exit_of([&] { return values(otp::async_stream(sup, numbers(4), takes, {.max_concurrency = 4})); });
    EXPECT_EQ(why->cause(), otp::reason::max_children);
    EXPECT_EQ(values(otp::async_stream(sup, numbers(4), takes, {.max_concurrency = 1})), numbers(4));
  });
}

// covers: E07
TEST(task_stream, ten_thousand_tasks_some_late_some_failing) {
  event_log events;
  otp::runtime_options options;
  options.listener = &events;
  options.events_per_second = 1'000'000;
  seeded(
      [&] {
        auto sup = otp::task_supervisor::start_link().value();
        int element = 0, crashes = 0, late = 0;
        auto work = [](int n) {
          if (n % 100 == 7) throw std::runtime_error("crash");
          if (n % 100 == 13) otp::sleep(otp::infinity);
          otp::sleep(std::chrono::milliseconds(n % 5));
          return 2 * n;
        };
        for (auto& r : otp::async_stream_nolink(sup, numbers(10'000), work,
                                                {.max_concurrency = 64,
                                                 .timeout = 100ms,
                                                 .on_timeout = on_timeout::kill_task,
                                                 .zip_input_on_exit = true})) {
          ++element;
          if (r)
            EXPECT_EQ(*r, 2 * element);
          else
            EXPECT_EQ(*r.input, element);
          if (!r) ++(r.error() == otp::reason::timeout ? late : crashes);
        }
        EXPECT_EQ(element, 10'000);
        EXPECT_EQ(crashes, 100);
        EXPECT_EQ(late, 100);
        EXPECT_EQ(events.count("task_terminated"), 100U);
        otp::testing::settle();
        EXPECT_TRUE(otp::task_supervisor::children(sup).empty());
        EXPECT_EQ(otp::process_count(), 2U);
        EXPECT_TRUE(mailbox_empty());
        EXPECT_EQ(otp::counters().timers, 0U);
      },
      1, options);
}
