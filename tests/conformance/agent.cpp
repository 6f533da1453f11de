// Agents: starting, reading and changing, failure, stopping, snapshots.
#include "conformance/gen_server_support.hpp"

#include <random>

namespace {

using namespace conformance;
using otp::reason::already_started;
using otp::reason::bad_server_type;

using list = std::vector<int>;
using lists = otp::agent<list>;
constexpr otp::name<lists> numbers{"numbers"};

auto all_of(const otp::name<lists>& who) {
  return otp::get(who, [](const list& l) { return l; });
}

// ---- starting ----------------------------------------------------------------------------------------------------

// covers: AGENT-001
TEST(agent, start_link_runs_init_in_the_new_process_and_returns_when_it_has) {
  everywhere(10, [] {
    otp::pid ran;
    bool finished = false;
    auto made = lists::start_link([&] {
                  ran = otp::self();
                  otp::sleep(1ms);
                  finished = true;
                  return list{1, 2};
                }).value();
    EXPECT_TRUE(finished);
    EXPECT_EQ(ran, made.pid());
    EXPECT_EQ(otp::get(made, [](const list& l) { return l; }), (list{1, 2}));
    auto links = otp::info(otp::self()).value().links;
    EXPECT_EQ(links, std::vector{made.pid()});
    lists::stop(made);
  });
}

// covers: AGENT-002
TEST(agent, start_makes_no_link) {
  everywhere(10, [] {
    auto made = lists::start([] { return list{7}; }).value();
    EXPECT_TRUE(otp::info(otp::self()).value().links.empty());
    otp::ref watch = otp::monitor(made);
    otp::cast(made, [](list&) { throw std::runtime_error("broken"); });
    EXPECT_EQ(reason_of(watch).what(), otp::exit_reason::kind::error);
  });
}

list from_one_to(int last) {
  list l;
  for (int i = 1; i <= last; ++i) l.push_back(i);
  return l;
}
int sum_times(const list& l, int times) {
  int sum = 0;
  for (int v : l) sum += v;
  return sum * times;
}
void append(list& l, int a, int b) {
  l.push_back(a);
  l.push_back(b);
}
std::size_t drop_and_count(list& l, std::size_t count) {
  l.resize(l.size() - count);
  return l.size();
}

// covers: AGENT-003
TEST(agent, every_function_may_be_given_with_arguments_the_state_comes_first) {
  everywhere(5, [] {
    auto made = lists::start(otp::mfa(&from_one_to, 3)).value();
    EXPECT_EQ(otp::get(made, otp::mfa(&sum_times, 2)), 12);
    otp::update(made, otp::mfa(&append, 4, 5));
    EXPECT_EQ(otp::get(made, otp::mfa(&sum_times, 1)), 15);
    EXPECT_EQ(otp::get_and_update(made, otp::mfa(&drop_and_count, std::size_t{3})), 2U);
    otp::cast(made, otp::mfa(&append, 10, 20));
    EXPECT_EQ(otp::get(made, otp::mfa(&sum_times, 1)), 33);
    EXPECT_EQ(otp::get(made, &list::size), 4U) << "a member is a function of its object";
  });
}

// covers: AGENT-004
TEST(agent, a_failed_init_is_the_error_of_the_start_and_leaves_nothing) {
  everywhere(10, [] {
    auto before = otp::process_count();
    for (int i = 0; i < 3; ++i) {
      auto made = lists::start([]() -> list { throw std::runtime_error("oops"); }, {.name = numbers});
      ASSERT_FALSE(made);
      EXPECT_EQ(made.error(), otp::reason::error("std::runtime_error", "oops"));
      EXPECT_EQ(otp::whereis(numbers), std::nullopt);
      EXPECT_EQ(otp::process_count(), before);
    }
    EXPECT_EQ(lists::start([]() -> list { otp::exit("gone"); }).error(), otp::exit_reason("gone"));
  });
}

// covers: AGENT-005
TEST(agent, a_failed_linked_start_returns_the_error_and_a_trapping_caller_sees_the_exit) {
  everywhere(10, [] {
    bool was = otp::trap_exit(true);
    auto made = lists::start_link([]() -> list { throw std::runtime_error("oops"); });
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error(), otp::reason::error("std::runtime_error", "oops"));
    EXPECT_EQ(next<otp::exit_signal>().reason, made.error());
    otp::trap_exit(was);
  });
}

// covers: AGENT-006
TEST(agent, a_start_timeout_bounds_init_and_kills_the_process) {
  for_seeds(10, [] {
    otp::pid slow;
    auto time = time_of([&] {
      auto made = lists::start(
          [&] {
            slow = otp::self();
            otp::sleep(1h);
            return list{};
          },
          {.name = numbers, .timeout = 50ms});
      ASSERT_FALSE(made);
      EXPECT_EQ(made.error(), otp::reason::timeout);
    });
    EXPECT_EQ(time, 50ms);
    EXPECT_FALSE(otp::is_alive(slow));
    EXPECT_EQ(otp::whereis(numbers), std::nullopt);
  });
}

// covers: AGENT-007
TEST(agent, may_have_any_name_and_a_taken_one_gives_its_holder) {
  static constexpr otp::unique_registry<std::string> registry{"agents"};
  everywhere(10, [] {
    otp::registry::start_link(registry).value();
    auto check = [](auto name) {
      auto first = lists::start([] { return list{1}; }, {.name = name}).value();
      EXPECT_EQ(otp::whereis(name), first.pid());
      for (auto& second : {lists::start([] { return list{2}; }, {.name = name}),
                           lists::start_link([] { return list{2}; }, {.name = name})}) {
        ASSERT_FALSE(second);
        EXPECT_EQ(second.error(), already_started);
        EXPECT_EQ(second.error().process(), first.pid());
      }
      otp::update(name, [](list& l) { l.push_back(5); });
      otp::cast(name, [](list& l) { l.push_back(6); });
      EXPECT_EQ(otp::get(name, [](const list& l) { return l; }), (list{1, 5, 6}));
      EXPECT_EQ(*otp::snapshot(name), (list{1, 5, 6}));
      lists::stop(name);
      EXPECT_EQ(otp::whereis(name), std::nullopt);
    };
    check(numbers);
    check(otp::global<lists>("numbers"));
    check(otp::via<lists>(registry, "numbers"));
  });
}

// covers: AGENT-008
TEST(agent, process_options_are_passed_through) {
  everywhere(5, [] {
    auto made = lists::start([] { return list{}; },
                             {.spawn = {.priority = otp::priority::high, .trap_exit = true, .label = "mine"}})
                    .value();
    auto i = otp::info(made).value();
    EXPECT_EQ(i.priority, otp::priority::high);
    EXPECT_TRUE(i.trap_exit);
    EXPECT_EQ(i.label, "mine");
  });
}

struct load_numbers {
  list operator()() const { return {1, 2, 3}; }
};

// covers: AGENT-009
TEST(agent, reports_show_the_users_initial_function) {
  for_seeds_with_journal(3, [](event_log& events) {
    auto made = lists::start(load_numbers()).value();
    auto i = otp::info(made).value();
    EXPECT_NE(i.label.find("load_numbers"), std::string::npos) << i.label;
    EXPECT_NE(i.type.find("otp::agent<"), std::string::npos) << i.type;
    auto other = lists::start([] { return list{}; }).value();
    EXPECT_NE(otp::info(other).value().label.find("lambda"), std::string::npos);
    otp::cast(made, [](list&) { throw std::runtime_error("broken"); });
    end_of(made);
    bool told = false;
    for (auto& field : events.one("server_terminated").fields)
      if (field.first == "label") told = field.second.find("load_numbers") != std::string::npos;
    EXPECT_TRUE(told);
  });
}

// covers: AGENT-010
TEST(agent, can_be_placed_under_a_supervisor) {
  everywhere(10, [] {
    otp::child_spec plain = otp::child<lists>(load_numbers());
    EXPECT_EQ(plain.id(), otp::child_id(std::string(otp::detail::type_name<lists>)));
    EXPECT_EQ(plain.restart(), otp::permanent);
    EXPECT_EQ(plain.shutdown(), otp::shutdown_time(5s));
    EXPECT_EQ(plain.type(), otp::child_type::worker);
    otp::child_spec other =
        otp::child<lists>(load_numbers()).id("other").restart(otp::temporary).shutdown(otp::brutal_kill).start([] {
          return lists::start_link([] { return list{9}; });
        });
    EXPECT_EQ(other.id(), otp::child_id("other"));
    EXPECT_EQ(other.restart(), otp::temporary);
    EXPECT_TRUE(other.shutdown().is_brutal_kill());
    auto top =
        otp::supervisor::start_link(
            {.strategy = otp::one_for_one, .children = {plain, other, otp::child_agent(numbers, load_numbers()).id(3)}})
            .value();
    auto by_id = [&](const otp::child_id& id) {
      return otp::server<lists>(otp::supervisor::get_child(top, id).value().process);
    };
    EXPECT_EQ(otp::get(by_id("other"), [](const list& l) { return l; }), list{9});
    EXPECT_EQ(otp::get(by_id(plain.id()), &list::size), 3U);
    EXPECT_EQ(all_of(numbers), (list{1, 2, 3}));
    otp::update(numbers, [](list& l) { l.clear(); });
    otp::ref watch = otp::monitor(otp::whereis(numbers).value());
    otp::cast(numbers, [](list&) { otp::exit("crash"); });
    reason_of(watch);
    otp::supervisor::count_children(top);
    EXPECT_EQ(all_of(numbers), (list{1, 2, 3})) << "a restarted agent begins anew";
    otp::supervisor::stop(top);
  });
}

// ---- reading and changing ----------------------------------------------------------------------------------------

// covers: AGENT-011
TEST(agent, get_runs_in_the_agent_and_changes_nothing) {
  everywhere(10, [] {
    auto made = lists::start([] { return list{1, 2}; }).value();
    EXPECT_EQ(otp::get(made, [](const list&) { return otp::self(); }), made.pid());
    EXPECT_EQ(otp::get(made, [](list copy) { return copy.push_back(3), copy.size(); }), 3U);
    EXPECT_EQ(otp::get(made, [](const auto& l) { return l.size(); }), 2U);
    bool ran = false;
    otp::get(made, [&](const list&) { ran = true; });
    EXPECT_TRUE(ran);
    // What it returns is moved back, by value; so is what it takes along.
    auto box = std::make_unique<int>(5);
    auto moved = otp::get(made, [b = std::move(box)](const list& l) mutable {
      *b += static_cast<int>(l.size());
      return std::move(b);
    });
    EXPECT_EQ(*moved, 7);
    static_assert(std::is_same_v<list, decltype(otp::get(made, [](const list& l) -> const list& { return l; }))>);
  });
}

// covers: AGENT-012
TEST(agent, update_puts_the_new_state_in_place) {
  everywhere(10, [] {
    auto made = lists::start_link([] { return list{1}; }, {.name = numbers}).value();
    otp::update(made, [](const list& l) { return list{l[0], 2}; });
    EXPECT_EQ(all_of(numbers), (list{1, 2}));
    otp::update(numbers, [](list& l) { l.push_back(3); });
    EXPECT_EQ(all_of(numbers), (list{1, 2, 3}));
    otp::update(numbers, [](list l) {
      l.pop_back();
      return l;
    });
    EXPECT_EQ(all_of(numbers), (list{1, 2}));
    auto count = otp::agent<int>::start([] { return 1; }).value();
    otp::update(count, [](int n) { return n * 10; });
    EXPECT_EQ(otp::get(count, [](int n) { return n; }), 10);
    lists::stop(numbers);
  });
}

// covers: AGENT-013
TEST(agent, get_and_update_does_both_in_one_step) {
  everywhere(10, [] {
    auto made = lists::start([] { return list{1, 2}; }).value();
    EXPECT_EQ(otp::get_and_update(made, [](const list& l) { return std::pair(l.size(), list{3}); }), 2U);
    EXPECT_EQ(otp::get(made, [](const list& l) { return l; }), list{3});
    EXPECT_EQ(otp::get_and_update(made, [](list& l) { return std::exchange(l, list{4, 5}); }), list{3});
    EXPECT_EQ(otp::get(made, [](const list& l) { return l; }), (list{4, 5}));
    // A pair is only the pair of OTP if the function has no other way to change the state.
    auto count = otp::agent<int>::start([] { return 1; }).value();
    EXPECT_EQ(otp::get_and_update(count, [](int& n) { return std::pair(n++, 77); }), std::pair(1, 77));
    EXPECT_EQ(otp::get_and_update(count, [](int n) { return std::pair(n, 50); }), 2);
    EXPECT_EQ(otp::get(count, [](int n) { return n; }), 50);

    // bug: a second that only converts to the state made the pair an answer, and changed nothing
    auto wide = otp::agent<long>::start([] { return 1L; }).value();
    EXPECT_EQ(otp::get_and_update(wide, [](long n) { return std::pair(n, 5); }), 1L);
    EXPECT_EQ(otp::get(wide, [](long n) { return n; }), 5L);
    auto text = otp::agent<std::string>::start([] { return std::string("a"); }).value();
    EXPECT_EQ(otp::get_and_update(text, [](const std::string& s) { return std::pair(s, "b"); }), "a");
    EXPECT_EQ(otp::get(text, [](const std::string& s) { return s; }), "b");
    EXPECT_EQ(otp::get_and_update(text, [](auto& s) { return s += "c"; }), "bc");

    // Nothing comes in between.
    auto tickets = otp::agent<int>::start([] { return 0; }).value();
    struct drawn {
      int number;
    };
    for (int i = 0; i < 10; ++i)
      otp::spawn([=, to = otp::self()] {
        for (int j = 0; j < 10; ++j) otp::send(to, drawn{otp::get_and_update(tickets, [](int& n) { return n++; })});
      });
    std::vector<int> seen;
    for (int i = 0; i < 100; ++i) seen.push_back(next<drawn>().number);
    std::sort(seen.begin(), seen.end());
    for (int i = 0; i < 100; ++i) EXPECT_EQ(seen[static_cast<std::size_t>(i)], i);
  });
}

// covers: AGENT-014
TEST(agent, cast_changes_the_state_without_waiting_and_never_fails) {
  everywhere(10, [] {
    auto made = lists::start([] { return list{1}; }, {.name = numbers}).value();
    otp::sys::suspend(made);
    otp::cast(made, [](list& l) { l.push_back(2); });
    otp::cast(numbers, [](const list& l) { return list{l[0], l[1], 3}; });
    otp::sys::resume(made);
    EXPECT_EQ(all_of(numbers), (list{1, 2, 3}));
    lists::stop(made);
    otp::cast(numbers, [](list&) {});
    otp::cast(made, [](list&) {});
    otp::cast(otp::global<lists>("nobody"), [](list&) {});
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: AGENT-015
TEST(agent, requests_of_one_caller_are_applied_in_order) {
  everywhere(10, [] {
    auto made = lists::start([] { return list{}; }).value();
    list expected;
    for (int i = 0; i < 60; ++i) {
      auto add = [i](list& l) { l.push_back(i); };
      if (i % 3 == 0)
        otp::update(made, add);
      else
        otp::cast(made, add);
      expected.push_back(i);
      if (i % 7 != 0) continue;
      EXPECT_EQ(otp::get(made, [](const list& l) { return l; }), expected);
    }
    EXPECT_EQ(otp::get(made, [](const list& l) { return l; }), expected);
  });
}

// covers: AGENT-016
TEST(agent, a_slow_function_delays_all_later_requests) {
  for_seeds(10, [] {
    auto made = lists::start([] { return list{}; }).value();
    struct done {
      otp::duration after;
    };
    auto begin = otp::now();
    otp::cast(made, [](list& l) {
      otp::sleep(100ms);
      l.push_back(1);
    });
    for (int i = 0; i < 3; ++i)
      otp::spawn([=, to = otp::self()] {
        EXPECT_EQ(otp::get(made, &list::size), 1U);
        otp::send(to, done{otp::now() - begin});
      });
    for (int i = 0; i < 3; ++i) EXPECT_EQ(next<done>().after, 100ms);
  });
}

// covers: AGENT-017, AGENT-018
TEST(agent, a_call_that_takes_longer_than_its_limit_exits_the_caller_with_timeout) {
  for_seeds(10, [] {
    auto made = lists::start([] { return list{}; }).value();
    auto slow = [](const list&) {
      otp::sleep(6s);
      return 1;
    };
    auto slow_change = [](list& l) {
      otp::sleep(6s);
      l.push_back(1);
      return 1;
    };
    auto wait = [&] { otp::get(made, &list::size, otp::infinity); };
    EXPECT_EQ(time_of([&] { EXPECT_EQ(cause_that([&] { otp::get(made, slow); }), otp::reason::timeout); }), 5s);
    wait();
    EXPECT_EQ(time_of([&] {
                EXPECT_EQ(cause_that([&] { otp::update(made, [](list&) { otp::sleep(6s); }); }), otp::reason::timeout);
              }),
              5s);
    wait();
    EXPECT_EQ(
        time_of([&] { EXPECT_EQ(cause_that([&] { otp::get_and_update(made, slow_change); }), otp::reason::timeout); }),
        5s);
    wait();
    EXPECT_EQ(otp::get(made, &list::size), 1U) << "a change that has begun runs on";
    EXPECT_EQ(time_of([&] { EXPECT_EQ(cause_that([&] { otp::get(made, slow, 10ms); }), otp::reason::timeout); }), 10ms);
    wait();
    EXPECT_EQ(otp::get(made, slow, otp::infinity), 1);
    EXPECT_EQ(otp::get_and_update(made, slow_change, 7s), 1);
    EXPECT_THROW(otp::get(made, slow, -1s), otp::bad_argument);
    EXPECT_EQ(end_of(otp::spawn([=] { otp::get(made, slow, 10ms); })).cause(), otp::reason::timeout);
  });
}

// covers: AGENT-020
TEST(agent, unrelated_messages_change_nothing) {
  everywhere(10, [] {
    auto made = lists::start([] { return list{1}; }).value();
    otp::send(made.pid(), 5);
    otp::send(made.pid(), list{2});
    otp::send(made.pid(), std::string("text"));
    struct other {
      void handle_cast(int) {}
    };
    otp::cast(otp::server<other>(made.pid()), 7);
    EXPECT_EQ(otp::get(made, [](const list& l) { return l; }), list{1});
  });
}

// ---- failure -----------------------------------------------------------------------------------------------------

// covers: AGENT-021
TEST(agent, a_function_that_throws_ends_the_agent_and_its_caller_exits_with_the_reason) {
  everywhere(10, [] {
    const auto expected = otp::reason::error("std::runtime_error", "broken");
    auto fails = [&](auto request) {
      auto made = lists::start([] { return list{1}; }).value();
      otp::ref watch = otp::monitor(made);
      EXPECT_EQ(cause_that([&] { request(made); }), expected);
      EXPECT_EQ(reason_of(watch), expected);
      EXPECT_EQ(reason_of(otp::spawn_monitor([=] {
                            auto again = lists::start([] { return list{}; }).value();
                            request(again);
                          }).monitor)
                    .cause(),
                expected);
    };
    fails([](auto who) { otp::get(who, [](const list&) -> int { throw std::runtime_error("broken"); }); });
    fails([](auto who) { otp::update(who, [](list&) { throw std::runtime_error("broken"); }); });
    fails([](auto who) { otp::get_and_update(who, [](list&) -> int { throw std::runtime_error("broken"); }); });
    auto made = lists::start([] { return list{}; }).value();
    EXPECT_EQ(cause_that([&] { otp::get(made, [](const list&) { otp::exit("left"); }); }), otp::exit_reason("left"));
  });
}

// covers: AGENT-022
TEST(agent, a_cast_function_that_throws_ends_the_agent_and_touches_its_sender_only_by_links) {
  everywhere(10, [] {
    auto bad = [](list&) { throw std::runtime_error("broken"); };
    auto made = lists::start([] { return list{}; }).value();
    otp::ref watch = otp::monitor(made);
    otp::cast(made, bad);
    EXPECT_EQ(reason_of(watch).what(), otp::exit_reason::kind::error);
    EXPECT_TRUE(mailbox_empty());
    EXPECT_EQ(reason_of(otp::spawn_monitor([bad] {
                          auto linked = lists::start_link([] { return list{}; }).value();
                          otp::cast(linked, bad);
                          rest();
                        }).monitor),
              otp::reason::error("std::runtime_error", "broken"));
  });
}

// covers: AGENT-026
TEST(agent, a_call_to_a_dead_or_missing_agent_exits_with_noproc) {
  everywhere(10, [] {
    auto dead = lists::start([] { return list{}; }).value();
    lists::stop(dead);
    EXPECT_EQ(cause_that([&] { otp::get(dead, &list::size); }), noproc);
    EXPECT_EQ(cause_that([&] { otp::update(dead, [](list&) {}); }), noproc);
    EXPECT_EQ(cause_that([&] { otp::get_and_update(dead, [](list&) { return 1; }); }), noproc);
    EXPECT_EQ(cause_that([&] { otp::snapshot(dead); }), noproc);
    EXPECT_EQ(cause_that([&] { otp::get(numbers, &list::size); }), noproc);
    EXPECT_EQ(cause_that([&] { otp::snapshot(numbers); }), noproc);
    // A name of another type of agent never runs the function.
    auto texts = otp::agent<std::string>::start([] { return std::string("x"); }, {.name = "numbers"}).value();
    EXPECT_EQ(cause_that([&] { otp::get(numbers, &list::size); }), bad_server_type);
    EXPECT_EQ(cause_that([&] { otp::snapshot(numbers); }), bad_server_type);
    EXPECT_EQ(*otp::snapshot(texts), "x");
    EXPECT_EQ(cause_that([&] { otp::snapshot(numbers); }), bad_server_type);
    EXPECT_EQ(cause_that([&] { otp::snapshot(otp::server<lists>(texts.pid())); }), bad_server_type);
  });
}

// ---- stopping ----------------------------------------------------------------------------------------------------

// covers: AGENT-028, AGENT-030
TEST(agent, stop_waits_for_the_end_and_frees_the_name) {
  everywhere(10, [] {
    for (int i = 0; i < 3; ++i) {
      auto made = lists::start([] { return list{}; }, {.name = numbers}).value();
      otp::ref watch = otp::monitor(made);
      otp::cast(numbers, [](list&) { otp::sleep(1ms); });
      lists::stop(numbers);
      EXPECT_FALSE(otp::is_alive(made));
      EXPECT_EQ(otp::whereis(numbers), std::nullopt);
      EXPECT_EQ(reason_of(watch), normal);
      EXPECT_EQ(cause_that([&] { lists::stop(numbers); }), noproc);
      EXPECT_EQ(cause_that([&] { lists::stop(made); }), noproc);
    }
  });
}

// covers: AGENT-029
TEST(agent, stop_takes_a_reason_and_a_limit) {
  for_seeds(10, [] {
    bool was = otp::trap_exit(true);
    auto made = lists::start_link([] { return list{}; }).value();
    lists::stop(made, shutdown);
    EXPECT_EQ(next<otp::exit_signal>().reason, shutdown);
    otp::trap_exit(was);
    auto busy = lists::start([] { return list{}; }).value();
    otp::cast(busy, [](list&) { otp::sleep(1s); });
    EXPECT_EQ(time_of([&] { EXPECT_EQ(cause_that([&] { lists::stop(busy, normal, 100ms); }), otp::reason::timeout); }),
              100ms);
    EXPECT_EQ(end_of(busy), normal) << "it ends behind what it was doing";
  });
}

// covers: AGENT-031
TEST(agent, other_reasons_than_the_expected_ones_are_reported) {
  for_seeds_with_journal(5, [](event_log& events) {
    for (otp::exit_reason why : {otp::exit_reason(normal), otp::exit_reason(shutdown), shutdown("today")}) {
      lists::stop(lists::start([] { return list{}; }).value(), why);
      EXPECT_EQ(events.count("server_terminated"), 0U) << why.to_string();
    }
    auto words = otp::agent<std::string>::start([] { return std::string("some words"); }).value();
    otp::agent<std::string>::stop(words, "abnormal");
    auto told = events.one("server_terminated");
    EXPECT_EQ(told.reason, otp::exit_reason("abnormal"));
    bool shown = false;
    for (auto& field : told.fields) shown |= field.first == "state" && field.second == "\"some words\"";
    EXPECT_TRUE(shown) << "with the state";
  });
}

// no meaning: AGENT-033 (docs/decisions/0002-rows-without-meaning.md)

// ---- snapshots ---------------------------------------------------------------------------------------------------

/// A state that counts its copies.
struct copied {
  explicit copied(int v = 0) : value(v) {}
  copied(const copied& o) : value(o.value) { ++copies; }
  copied(copied&&) = default;
  copied& operator=(const copied& o) = default;
  copied& operator=(copied&&) = default;
  int value;
  static inline std::atomic<int> copies{0};
};
using copied_agent = otp::agent<copied>;
constexpr otp::name<copied_agent> shared{"shared"};

TEST(agent_snapshot, shows_every_change_that_the_caller_has_waited_for) {
  everywhere(20, [] {
    auto made = copied_agent::start([] { return copied(1); }, {.name = shared}).value();
    for (int i = 2; i < 20; ++i) {
      EXPECT_EQ(otp::snapshot(shared)->value, i - 1);
      EXPECT_EQ(otp::snapshot(made)->value, i - 1);
      switch (i % 3) {
        case 0: otp::update(shared, [i](copied& c) { c.value = i; }); break;
        case 1: otp::update(shared, [i](const copied&) { return copied(i); }); break;
        case 2: otp::get_and_update(shared, [i](copied& c) { return std::exchange(c.value, i); }); break;
      }
    }
    otp::cast(shared, [](copied& c) { c.value = 100; });
    otp::get(shared, [](const copied&) { return 0; });
    EXPECT_EQ(otp::snapshot(shared)->value, 100);
    EXPECT_EQ(otp::get_and_update(shared, [](const copied& c) { return std::pair(c.value, copied(101)); }), 100);
    EXPECT_EQ(otp::snapshot(shared)->value, 101);
    copied_agent::stop(shared);
  });
}

TEST(agent_snapshot, copies_the_state_only_after_the_first_one_and_readers_share_the_copy) {
  everywhere(5, [] {
    auto made = copied_agent::start([] { return copied(1); }).value();
    copied::copies = 0;
    for (int i = 0; i < 10; ++i) otp::update(made, [](copied& c) { ++c.value; });
    EXPECT_EQ(copied::copies, 0);
    auto first = otp::snapshot(made);
    EXPECT_EQ(copied::copies, 1);
    EXPECT_EQ(otp::snapshot(made).get(), first.get());
    for (int i = 0; i < 5; ++i) {
      struct seen {
        const copied* where;
      };
      otp::spawn([=, to = otp::self()] { otp::send(to, seen{otp::snapshot(made).get()}); });
      EXPECT_EQ(next<seen>().where, first.get());
    }
    EXPECT_EQ(copied::copies, 1);
    otp::update(made, [](copied& c) { ++c.value; });
    EXPECT_EQ(copied::copies, 2);
    EXPECT_EQ(first->value, 11) << "a snapshot never changes";
    EXPECT_EQ(otp::snapshot(made)->value, 12);
    otp::get(made, [](const copied&) { return 0; });
    EXPECT_EQ(copied::copies, 2) << "reading is no change";
  });
}

TEST(agent_snapshot, does_not_wait_for_a_busy_agent) {
  for_seeds(10, [] {
    auto made = lists::start([] { return list{1}; }, {.name = numbers}).value();
    otp::snapshot(numbers);
    otp::cast(made, [](list& l) {
      otp::sleep(1h);
      l.push_back(2);
    });
    otp::sleep(1s);  // it is at work
    EXPECT_EQ(time_of([&] { EXPECT_EQ(*otp::snapshot(numbers), list{1}); }), 0s);
    otp::sys::get_status(made, otp::infinity);
    EXPECT_EQ(*otp::snapshot(numbers), (list{1, 2}));
    // The first one does, as long as a get would.
    auto busy = lists::start([] { return list{}; }).value();
    otp::cast(busy, [](list&) { otp::sleep(1h); });
    EXPECT_EQ(time_of([&] { EXPECT_EQ(cause_that([&] { otp::snapshot(busy, 3s); }), otp::reason::timeout); }), 3s);
  });
}

TEST(agent_snapshot, outlives_its_agent_and_is_the_new_ones_under_the_same_name) {
  everywhere(20, [] {
    otp::state_snapshot<list> kept;
    for (int i = 0; i < 5; ++i) {
      auto made = lists::start([i] { return list{i}; }, {.name = numbers}).value();
      EXPECT_EQ(*otp::snapshot(numbers), list{i});
      if (i == 2) kept = otp::snapshot(made);
      if (i == 3) {
        // Another process takes the name over, though the agent is alive.
        otp::unregister_name("numbers");
        EXPECT_EQ(cause_that([] { otp::snapshot(numbers); }), noproc);
        auto second = lists::start([] { return list{33}; }, {.name = numbers}).value();
        EXPECT_EQ(*otp::snapshot(numbers), list{33});
        EXPECT_EQ(*otp::snapshot(made), list{3});
        lists::stop(second);
      }
      otp::ref watch = otp::monitor(made);
      otp::exit(made, otp::reason::kill);
      reason_of(watch);
      EXPECT_EQ(cause_that([] { otp::snapshot(numbers); }), noproc);
      EXPECT_EQ(cause_that([&] { otp::snapshot(made); }), noproc);
    }
    EXPECT_EQ(*kept, list{2});
  });
}

TEST(agent_snapshot, of_a_dead_agent_is_freed) {
  for_seeds(5, [] {
    auto made = otp::agent<std::shared_ptr<int>>::start([] { return std::make_shared<int>(5); }).value();
    std::weak_ptr<int> watched = *otp::snapshot(made);
    EXPECT_FALSE(watched.expired());
    otp::update(made, [](std::shared_ptr<int>& p) { p = std::make_shared<int>(6); });
    otp::snapshot(made);
    EXPECT_TRUE(watched.expired()) << "nobody keeps an old version";
    watched = *otp::snapshot(made);
    otp::gen_server::stop(made);
    EXPECT_TRUE(watched.expired());
  });
}

TEST(agent_snapshot, many_readers_see_states_in_order_and_whole) {
  EXPECT_EQ(threaded([] {
              using pair = std::pair<int, int>;
              static constexpr otp::name<otp::agent<pair>> twins{"twins"};
              auto made = otp::agent<pair>::start_link([] { return pair(0, 0); }, {.name = twins}).value();
              struct done {
                int last;
              };
              constexpr int changes = 3000;
              for (int r = 0; r < 6; ++r)
                otp::spawn([to = otp::self()] {
                  int last = 0;
                  while (last < changes) {
                    for (int i = 0; i < 50; ++i) {
                      auto now = otp::snapshot(twins);
                      if (now->first != now->second || now->first < last) otp::exit("torn or out of order");
                      last = now->first;
                    }
                    otp::yield();
                  }
                  otp::send(to, done{last});
                });
              for (int i = 0; i < changes; ++i)
                otp::cast(twins, [](pair& p) {
                  ++p.first;
                  ++p.second;
                });
              for (int r = 0; r < 6; ++r) EXPECT_EQ(next<done>().last, changes);
              otp::gen_server::stop(made);
            }),
            normal);
}

/// A state that counts itself.
struct living {
  living() { ++count; }
  explicit living(int v) : value(v) { ++count; }
  living(const living& o) : value(o.value) { ++count; }
  living(living&& o) noexcept : value(o.value) { ++count; }
  living& operator=(const living&) = default;
  living& operator=(living&&) = default;
  ~living() { --count; }
  int value = 0;
  static inline std::atomic<int> count{0};
};

// Snapshots are counted by the worker that took them, and by all others together.
TEST(agent_snapshot, may_be_kept_copied_sent_and_dropped_anywhere_while_agents_come_and_go) {
  using agent = otp::agent<living>;
  static constexpr otp::name<agent> changing{"changing"};
  struct given {
    otp::state_snapshot<living> state;
  };
  struct over {};
  living::count = 0;
  std::vector<otp::state_snapshot<living>> outside;
  EXPECT_EQ(threaded(
                [&] {
                  constexpr int readers = 6, reads = 4000, agents = 30;
                  auto read = [] {
                    for (;;) try {
                        return otp::snapshot(changing, otp::infinity);
                      } catch (const otp::exited&) {  // between two agents, or with one that ends
                        otp::yield();
                      }
                  };
                  std::vector<otp::pid> all;
                  for (int r = 0; r < readers; ++r)
                    all.push_back(otp::spawn_monitor([=] {
                                    std::mt19937 chance(static_cast<unsigned>(r));
                                    auto others = otp::receive([](const std::vector<otp::pid>& a) { return a; });
                                    std::vector<otp::state_snapshot<living>> kept(5);
                                    for (int i = 0; i < reads; ++i) {
                                      auto now = read();
                                      if (now->value < 0) otp::exit("a state that was freed");
                                      auto& place = kept[chance() % kept.size()];
                                      switch (chance() % 4) {
                                        case 0: place = now; break;
                                        case 1: place = {}; break;
                                        case 2:
                                          otp::send(others[chance() % others.size()], given{std::move(now)});
                                          break;
                                        default:
                                          if (place) otp::send(others[chance() % others.size()], given{place});
                                      }
                                      while (otp::receive([&](given& g) { return (place = g.state)->value >= 0; },
                                                          otp::after(0s, [] { return false; })));
                                      if (i % 64 == 0) otp::yield();
                                    }
                                    otp::receive([](over) {});
                                  }).pid);
                  for (otp::pid p : all) otp::send(p, all);
                  for (int a = 0; a < agents; ++a) {
                    auto made = agent::start([a] { return living(a); }, {.name = changing}).value();
                    for (int i = 0; i < 20; ++i) {
                      otp::update(made, [](living& l) { ++l.value; }, otp::infinity);
                      if (i % 5 == 0) outside.push_back(read());
                      otp::yield();
                    }
                    if (a + 1 == agents) break;
                    if (a % 2) {
                      agent::stop(made);
                    } else {
                      otp::exit(made, otp::reason::kill);
                      end_of(made.pid());
                    }
                  }
                  for (otp::pid p : all) otp::send(p, over{});
                  for (int r = 0; r < readers; ++r) EXPECT_EQ(next<otp::down>().reason, normal);
                },
                {.workers = 4}),
            normal);
  EXPECT_GT(living::count, 0) << "what is held here";
  for (auto& state : outside) EXPECT_GE(state->value, 1);
  std::shared_ptr<const living> last = outside.back();
  outside.clear();
  EXPECT_EQ(last->value, last.get()->value);
  EXPECT_EQ(living::count, 1);
  last.reset();
  EXPECT_EQ(living::count, 0) << "nothing is left behind";
}

}  // namespace
