// otp::doctor: each rule, and what looks like it and is not meant.
#include "common.hpp"

#include <otp/otp.hpp>
#include <otp/testing.hpp>

#include <algorithm>

namespace {

using namespace std::chrono_literals;
using otp::doctor::rule;

struct nothing {};

std::vector<otp::doctor::finding> about(rule what, otp::doctor::options how = {}) {
  auto all = otp::doctor::examine(how);
  std::erase_if(all, [&](auto& f) { return f.what != what; });
  return all;
}
bool names(const std::vector<otp::doctor::finding>& all, otp::pid who) {
  return std::any_of(all.begin(), all.end(), [&](auto& f) { return f.process == who; });
}
void wait_for_ever() {
  otp::receive([](nothing) {});
}

// ---- unsupervised processes ----------------------------------------------------------------------------------------

struct plain_server {
  struct ping {
    using reply = int;
  };
  int handle_call(ping) { return 1; }
};

TEST(doctor, finds_an_unsupervised_process_once_it_is_a_minute_old) {
  otp::testing::run([] {
    otp::pid alone = otp::spawn(wait_for_ever);
    otp::pid linked = otp::spawn_link(wait_for_ever);
    otp::pid server = otp::gen_server::start_link<plain_server>({.name = "lonely"}).value().pid();
    otp::testing::advance(59s);
    EXPECT_EQ(otp::doctor::to_string(otp::doctor::examine()), "nothing found\n");
    otp::testing::advance(2s);
    auto found = about(rule::unsupervised_process);
    ASSERT_EQ(found.size(), 3U);
    EXPECT_TRUE(names(found, alone));
    EXPECT_TRUE(names(found, linked));
    EXPECT_TRUE(names(found, server));
    auto& f = *std::find_if(found.begin(), found.end(), [&](auto& each) { return each.process == server; });
    EXPECT_EQ(f.name, "lonely");
    EXPECT_NE(f.type.find("plain_server"), std::string::npos);
    EXPECT_GE(f.age, 60s);
    EXPECT_LE(f.age, 62s);
    EXPECT_NE(f.to_string().find("unsupervised_process: " + server.to_string() + " lonely ("), std::string::npos);
    EXPECT_NE(f.advice.find("supervisor"), std::string::npos);
  });
}

TEST(doctor, is_silent_about_children_of_every_kind_of_supervisor_and_what_lives_with_them) {
  otp::testing::run([] {
    static constexpr otp::unique_registry<std::string> names_of_people{"people"};
    static constexpr otp::name<otp::task_supervisor> tasks{"tasks"};
    static constexpr otp::name<otp::agent<int>> number{"number"};
    otp::supervisor::start_link(
        {.strategy = otp::one_for_one,
         .children = {otp::child_registry(names_of_people), otp::child_task_supervisor(tasks),
                      otp::child_agent(number, [] { return 1; }), otp::child_dynamic_supervisor({.name = "dynamic"}),
                      otp::child_partition_supervisor({.name = "parts"},
                                                      {.child = otp::child<plain_server>(), .partitions = 2}),
                      otp::child_function("helpers",
                                          [] {
                                            return otp::spawn_link([] {
                                              otp::spawn_link([] {
                                                otp::spawn_link(wait_for_ever);  // lives and dies with a child
                                                wait_for_ever();
                                              });
                                              wait_for_ever();
                                            });
                                          })}})
        .value();
    otp::dynamic_supervisor::start_child("dynamic", otp::child<plain_server>()).value();
    otp::testing::advance(1h);
    EXPECT_EQ(otp::doctor::to_string(otp::doctor::examine()), "nothing found\n");
    EXPECT_EQ(otp::doctor::to_string(otp::doctor::examine({.older_than = 0s})), "nothing found\n");
    EXPECT_GE(otp::process_count(), 14U);
  });
}

// A link is what tells a supervisor of the end: without it even a child's own helper is left alone.
TEST(doctor, finds_what_a_child_has_started_and_not_linked) {
  otp::testing::run([] {
    otp::pid helper;
    otp::supervisor::start_link({.strategy = otp::one_for_one,
                                 .children = {otp::child_function("owner",
                                                                  [&] {
                                                                    return otp::spawn_link([&] {
                                                                      helper = otp::spawn_monitor(wait_for_ever).pid;
                                                                      wait_for_ever();
                                                                    });
                                                                  })}})
        .value();
    otp::testing::advance(61s);
    auto found = otp::doctor::examine();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].process, helper);
  });
}

// To have started a supervisor is not to be supervised; nor is a supervisor whose starter nobody supervises.
TEST(doctor, finds_who_stands_above_a_supervisor_of_its_own) {
  otp::testing::run([] {
    otp::pid below;
    otp::pid owner = otp::spawn_link([&] {
      below = otp::supervisor::start_link(
                  {.strategy = otp::one_for_one, .children = {otp::child<plain_server>().id("under")}})
                  .value()
                  .pid();
      wait_for_ever();
    });
    otp::testing::advance(61s);
    auto found = otp::doctor::examine();
    EXPECT_TRUE(names(found, owner));
    EXPECT_TRUE(names(found, below));
    EXPECT_EQ(found.size(), 2U) << otp::doctor::to_string(found);  // its child is supervised
  });
}

TEST(doctor, does_not_mind_the_first_process_of_a_runtime_but_those_that_others_start_from_outside) {
  otp::runtime rt({.workers = 1});
  rt.start();
  otp::pid outside = rt.spawn(wait_for_ever);
  std::vector<otp::doctor::finding> found;
  rt.run([&] { found = otp::doctor::examine({.older_than = 0s}); });
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].process, outside);
}

TEST(doctor, does_not_mind_applications) {
  struct part {
    static otp::application_spec application() { return {.name = "part", .description = "", .version = "1"}; }
    auto start() {
      return otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child<plain_server>()}});
    }
  };
  otp::testing::run([] {
    otp::application::load<part>().value();
    otp::application::ensure_all_started("part").value();
    otp::testing::advance(61s);
    EXPECT_EQ(otp::doctor::to_string(otp::doctor::examine()), "nothing found\n");
  });
}

// ---- tasks ---------------------------------------------------------------------------------------------------------

TEST(doctor, finds_a_task_once_it_is_a_minute_old_however_it_was_started) {
  otp::testing::run([] {
    static constexpr otp::name<otp::task_supervisor> tasks{"tasks"};
    otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child_task_supervisor(tasks)}})
        .value();
    auto asked = otp::async(wait_for_ever);
    auto apart = otp::async_nolink(tasks, wait_for_ever);
    otp::task<>::start(wait_for_ever);
    otp::testing::advance(59s);
    EXPECT_TRUE(otp::doctor::examine().empty());
    otp::testing::advance(2s);
    auto found = otp::doctor::examine();
    EXPECT_EQ(found.size(), 3U) << otp::doctor::to_string(found);
    for (auto& f : found) EXPECT_EQ(f.what, rule::long_task);
    EXPECT_TRUE(names(found, asked.pid()));
    EXPECT_TRUE(names(found, apart.pid()));
    otp::shutdown(asked, otp::brutal_kill);
    otp::shutdown(apart, otp::brutal_kill);
  });
}

// ---- servers that only store ---------------------------------------------------------------------------------------

struct timeout_store {
  struct get {
    using reply = int;
  };
  struct set {
    int value;
  };
  int handle_call(get) { return timeout; }
  void handle_cast(set s) { timeout = s.value; }
  int timeout = 5000;
};

TEST(doctor, finds_a_server_that_only_stores_a_value_and_gives_it_back) {
  otp::testing::run([] {
    auto s = otp::gen_server::start_link<timeout_store>().value();
    EXPECT_EQ(otp::call(s, timeout_store::get{}), 5000);
    for (int i = 1; i <= 4; ++i) {
      EXPECT_TRUE(about(rule::value_server).empty()) << i;
      otp::cast(s, timeout_store::set{i});
      EXPECT_EQ(otp::call(s, timeout_store::get{}), i);
    }
    auto found = about(rule::value_server);
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].process, s.pid());
    EXPECT_NE(found[0].advice.find("agent"), std::string::npos);
  });
}

// Both by calls, and a text: handlers that are overloaded.
struct motto {
  struct get {
    using reply = std::string;
  };
  struct set {
    using reply = void;
    std::string text;
  };
  const std::string& handle_call(get) const { return text; }
  void handle_call(const set& s) { text = s.text; }
  std::string text;
};

TEST(doctor, finds_a_store_that_is_set_by_calls_and_started_again_meanwhile) {
  otp::testing::run([] {
    for (int life = 0; life < 2; ++life) {
      auto s = otp::gen_server::start_link<motto>().value();
      EXPECT_EQ(otp::call(s, motto::get{}), "");
      for (int i = 0; i < 2; ++i) {
        otp::call(s, motto::set{"a text of more than fifteen characters " + std::to_string(2 * life + i)});
        otp::call(s, motto::get{});
        otp::call(s, motto::get{});
      }
      EXPECT_EQ(about(rule::value_server).size(), life == 0 ? 0U : 1U);
      otp::gen_server::stop(s);
    }
  });
}

// What has the messages of a store and is none.
struct counter {
  struct total {
    using reply = int;
  };
  struct add {
    int amount;
  };
  int handle_call(total) { return sum; }
  void handle_cast(add a) { sum += a.amount; }
  int sum = 0;
};
struct ticking {
  struct get {
    using reply = int;
  };
  struct set {
    int value;
  };
  struct tick {};
  using messages = otp::messages<tick>;
  int handle_call(get) { return value; }
  void handle_cast(set s) { value = s.value; }
  void handle_info(tick) { value = 0; }
  int value = 0;
};
struct slot {
  struct take {
    using reply = int;
  };
  struct put {
    int value;
  };
  int handle_call(take) { return std::exchange(value, 0); }
  void handle_cast(put p) { value = p.value; }
  int value = 0;
};
struct with_more {
  struct get {
    using reply = int;
  };
  struct square {
    using reply = int;
    int of;
  };
  struct set {
    int value;
  };
  int handle_call(get) { return value; }
  int handle_call(square s) { return s.of * s.of; }
  void handle_cast(set s) { value = s.value; }
  int value = 0;
};

template <class Server, class Set, class Get>
void store_and_ask(const Server& s) {
  for (int i = 1; i <= 10; ++i) {
    otp::cast(s, Set{i});
    otp::call(s, Get{});
  }
}

TEST(doctor, is_silent_about_servers_that_do_more_with_the_same_messages) {
  otp::testing::run([] {
    auto sums = otp::gen_server::start_link<counter>().value();
    store_and_ask<decltype(sums), counter::add, counter::total>(sums);
    auto ticks = otp::gen_server::start_link<ticking>().value();
    store_and_ask<decltype(ticks), ticking::set, ticking::get>(ticks);
    auto once = otp::gen_server::start_link<slot>().value();
    store_and_ask<decltype(once), slot::put, slot::take>(once);
    EXPECT_EQ(otp::call(once, slot::take{}), 0);
    auto squares = otp::gen_server::start_link<with_more>().value();
    store_and_ask<decltype(squares), with_more::set, with_more::get>(squares);
    EXPECT_EQ(otp::call(squares, with_more::square{3}), 9);
    auto a = otp::agent<int>::start_link([] { return 0; }).value();
    for (int i = 1; i <= 10; ++i) {
      otp::update(a, [i](int& now) { now = i; });
      EXPECT_EQ(otp::get(a, [](const int& now) { return now; }), i);
    }
    EXPECT_EQ(otp::doctor::to_string(otp::doctor::examine()), "nothing found\n");
  });
}

// Many servers of the type, on all workers: one is watched, and what the others hold does not refute it.
struct shared_store {
  struct get {
    using reply = int;
  };
  struct set {
    int value;
  };
  int handle_call(get) { return value; }
  void handle_cast(set s) { value = s.value; }
  int value = 0;
};

TEST(doctor, judges_a_type_while_many_servers_of_it_run_and_end_on_all_workers) {
  otp::runtime rt;
  rt.start();
  rt.run([] {
    std::vector<otp::server<shared_store>> all;
    for (int i = 0; i < 8; ++i) all.push_back(otp::gen_server::start<shared_store>().value());
    std::vector<otp::ref> clients;
    for (int i = 0; i < 8; ++i)
      clients.push_back(otp::spawn_monitor([=] {
                          for (int n = 1; n <= 1000; ++n) {
                            otp::cast(all[static_cast<std::size_t>(i)], shared_store::set{i * 10'000 + n});
                            otp::call(all[static_cast<std::size_t>(i)], shared_store::get{});
                          }
                        }).monitor);
    for (otp::ref client : clients)
      otp::receive(otp::when([=](const otp::down& d) { return d.reference == client; }, [](const otp::down&) {}));
    EXPECT_EQ(about(rule::value_server).size(), 8U);
  });
}

// ---- asking --------------------------------------------------------------------------------------------------------

TEST(doctor, is_asked_by_processes_with_ages_that_make_sense) {
  EXPECT_THROW(static_cast<void>(otp::doctor::examine()), otp::bad_argument);
  otp::testing::run([] {
    EXPECT_THROW(static_cast<void>(otp::doctor::examine({.older_than = -1s})), otp::bad_argument);
    EXPECT_TRUE(otp::doctor::examine({.older_than = otp::infinity}).empty());
  });
  EXPECT_EQ(otp::doctor::to_string(rule::long_task), "long_task");
}

// The age is that of the process, not of its place in the table.
TEST(doctor, counts_the_age_from_the_spawn_also_for_a_process_with_a_stack_of_its_own) {
  otp::testing::run([] {
    for (int i = 0; i < 3; ++i) {
      auto [p, monitor] = otp::spawn({.monitor = true, .stack_size = 128 * 1024}, [] { otp::sleep(10s); });
      otp::testing::settle();
      EXPECT_LE(otp::info(p)->age, 200ms);
      EXPECT_EQ(otp::info(p)->stack_size, 128U * 1024);
      otp::testing::advance(5s);
      EXPECT_NEAR(std::chrono::duration<double>(otp::info(p)->age).count(), 5.0, 0.2);
      otp::receive([](const otp::down&) {});
    }
  });
}

}  // namespace
