#include "cases.hpp"

#include <otp/async_stream.hpp>
#include <otp/gen_statem.hpp>
#include <otp/otp.hpp>
#include <otp/registry.hpp>
#include <otp/testing.hpp>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

namespace isolation {

namespace {

using namespace std::chrono_literals;
using otp::testing::require;

struct done {};
struct number {
  int value;
};
void wait_for(int processes) {
  for (int i = 0; i < processes; ++i) otp::receive([](done) {});
}
void tell(otp::pid who) { otp::send(who, done{}); }

// ---- sharing -------------------------------------------------------------------------------------------------------
// Each has its two accesses in every order, with nobody in between who could order them.

int counter_of_all = 0;
void a_global_counter() {
  otp::pid me = otp::self();
  for (int i = 0; i < 2; ++i)
    otp::spawn([me] {
      counter_of_all = counter_of_all + 1;
      tell(me);
    });
  wait_for(2);
}

struct parcel {
  std::shared_ptr<int> inside;
};
void a_message_that_its_sender_keeps() {
  otp::pid me = otp::self();
  otp::pid other = otp::spawn([me] {
    otp::receive([](const parcel& p) { *p.inside += 1; });
    tell(me);
  });
  auto kept = std::make_shared<int>(1);
  otp::send(other, parcel{kept});
  *kept = 5;
  wait_for(1);
}

// A server that gives away a pointer to its state.
struct generous {
  struct look {
    using reply = const std::vector<int>*;
  };
  struct add {
    int value;
  };
  const std::vector<int>* handle_call(look) { return &values; }
  void handle_cast(add a) { values.push_back(a.value); }
  std::vector<int> values{1, 2, 3};
};
void a_pointer_to_the_state_of_a_server() {
  auto server = otp::gen_server::start_link<generous>().value();
  const std::vector<int>* mine = otp::call(server, generous::look{});
  otp::cast(server, generous::add{4});
  otp::testing::settle();
  require(!mine->empty(), "it has some");
}

std::optional<int> setting;
void what_was_there_before_a_name() {
  otp::spawn([] {
    setting = 42;
    otp::register_name("ready", otp::self());
    otp::sleep(1h);
  });
  while (!otp::whereis("ready")) otp::sleep(1ms);
  require(setting == 42, "set before the name was");  // by luck: a name is no message
}

// [shares]
std::map<int, int>* squares = nullptr;
int square(int n) {  // a cache that is made when it is first needed
  if (!squares) squares = new std::map<int, int>;
  return (*squares)[n] = n * n;
}
void a_cache_behind_a_function() {
  otp::pid me = otp::self();
  for (int i = 0; i < 2; ++i)
    otp::spawn([me, i] {
      square(i);
      tell(me);
    });
  wait_for(2);
}
// [/shares]

void a_local_variable_by_reference() {
  otp::pid me = otp::self();
  int sum = 0;
  for (int i = 1; i <= 2; ++i)
    otp::spawn([&sum, me, i] {
      sum += i;
      tell(me);
    });
  wait_for(2);
  require(sum == 3, "both have counted");
}

// ---- not sharing ---------------------------------------------------------------------------------------------------

struct letter {
  std::string text;
  std::unique_ptr<std::vector<int>> numbers;
};
void messages() {
  otp::pid me = otp::self();
  otp::pid other = otp::spawn([me] {
    for (int i = 0; i < 20; ++i)
      otp::receive([&](letter& l) {
        l.numbers->push_back(i);
        l.text += " and back";
        otp::send(me, std::move(l));
      });
  });
  for (int i = 0; i < 20; ++i) {
    otp::send(other, letter{"there", std::make_unique<std::vector<int>>(100, i)});
    otp::receive([](letter& l) { require(l.text == "there and back" && l.numbers->size() == 101, "the same letter"); });
  }
}

// A pointer goes round: whoever has it may write.
void a_ring() {
  otp::pid me = otp::self();
  otp::pid next = me;
  for (int i = 0; i < 4; ++i)
    next = otp::spawn([next] {
      otp::receive([&](int* p) {
        ++*p;
        otp::send(next, p);
      });
    });
  int value = 0;
  otp::send(next, &value);
  otp::receive([](int*) {});
  require(value == 4, "all had it");
}

void what_cannot_change() {
  auto all = std::make_shared<const std::vector<int>>(1000, 7);
  otp::pid me = otp::self();
  for (int i = 0; i < 3; ++i)
    otp::spawn([me, all] {
      require(std::accumulate(all->begin(), all->end(), 0) == 7000, "as it was made");
      tell(me);
    });
  all.reset();
  wait_for(3);
}

std::atomic<int> hits{0};
std::mutex guard;
std::string guarded;
void what_is_made_to_be_shared() {
  otp::pid me = otp::self();
  for (int i = 0; i < 3; ++i)
    otp::spawn([me] {
      ++hits;
      {
        std::lock_guard lock(guard);
        guarded += "x";
      }
      tell(me);
    });
  wait_for(3);
}

struct bank {
  struct put {
    using reply = std::vector<int>;
    std::vector<int> coins;
  };
  struct wait {
    using reply = std::string;
  };
  struct release {};
  struct fail {};
  struct tick {};
  using messages = otp::messages<tick>;
  static constexpr otp::name<bank> name{"bank"};
  static auto start_link() { return otp::gen_server::start_link<bank>({.name = name}); }
  bank() { otp::send_after(1ms, otp::self(), tick{}); }

  std::vector<int> handle_call(put p) {
    coins.insert(coins.end(), p.coins.begin(), p.coins.end());
    return coins;
  }
  void handle_call(wait, otp::from<std::string> caller) { waiting.push_back(std::move(caller)); }
  void handle_cast(release) {
    for (auto& w : waiting) otp::reply(w, std::string(100, 'r'));
    waiting.clear();
  }
  void handle_cast(fail) { throw std::runtime_error("no more money"); }
  void handle_info(tick) { ++ticks; }

  std::vector<int> coins;
  std::vector<otp::from<std::string>> waiting;
  int ticks = 0;
};

void calls() {
  auto server = bank::start_link().value();
  otp::pid me = otp::self();
  for (int i = 0; i < 3; ++i)
    otp::spawn([=] {
      for (int n = 0; n < 5; ++n) require(!otp::call(server, bank::put{{i, n}}).empty(), "some coins");
      require(otp::call(server, bank::wait{}).size() == 100, "a reply that came late");
      tell(me);
    });
  otp::sleep(10ms);
  require(!otp::try_call(server, bank::wait{}, 1ms), "nobody releases it in time");
  otp::cast(server, bank::release{});
  wait_for(3);
  otp::sleep(1s);
  otp::gen_server::stop(otp::pid(server));
}

void supervisors() {
  auto tree =
      otp::supervisor::start_link(
          {.strategy = otp::one_for_all,
           .children = {otp::child<bank>(),
                        otp::child_function(
                            "other", [] { return otp::supervisor::start_link({.strategy = otp::one_for_one}); })}})
          .value();
  for (int i = 0; i < 3; ++i) {
    otp::cast(bank::name, bank::fail{});
    while (!otp::try_call(bank::name, bank::put{{i}})) otp::sleep(1ms);
  }
  require(otp::supervisor::which_children(tree).size() == 2, "both are there");
  otp::supervisor::stop(tree);
}

void links_and_monitors() {
  otp::trap_exit(true);
  std::vector<otp::pid> all;
  for (int i = 0; i < 4; ++i)
    all.push_back(otp::spawn_link([] { otp::receive([](done) { throw std::string("done"); }); }));
  otp::ref watch = otp::monitor(all.front());
  for (otp::pid p : all) tell(p);
  for (int i = 0; i < 4; ++i)
    otp::receive([](const otp::exit_signal& e) { require(!e.reason.to_string().empty(), "its reason"); });
  otp::receive([&](const otp::down& d) { require(d.reference == watch, "its end"); });
}

void timers() {
  otp::pid other = otp::spawn([me = otp::self()] {
    for (int i = 0; i < 3; ++i) otp::receive([](const letter& l) { require(l.text.size() == 50, "whole"); });
    tell(me);
  });
  otp::send_after(1ms, other, letter{std::string(50, 'a'), nullptr});
  otp::send_after(2ms, other, letter{std::string(50, 'b'), nullptr});
  otp::ref never = otp::send_after(1h, other, letter{std::string(50, 'c'), nullptr});
  otp::send_after(3ms, other, letter{std::string(50, 'd'), nullptr});
  require(otp::cancel_timer(never).has_value(), "it had not fired");
  wait_for(1);
}

inline constexpr otp::name<otp::agent<std::map<int, std::string>>> book{"book"};
void agents() {
  auto tree = otp::supervisor::start_link(
                  {.strategy = otp::one_for_one,
                   .children = {otp::child_agent(book, [] { return std::map<int, std::string>{{0, "zero"}}; })}})
                  .value();
  otp::pid me = otp::self();
  for (int i = 1; i < 4; ++i)
    otp::spawn([me, i] {
      otp::update(book, [i](std::map<int, std::string>& m) { m[i] = std::string(static_cast<std::size_t>(i), 'n'); });
      auto now = otp::snapshot(book);
      require(now->at(0) == "zero", "a snapshot");
      tell(me);
    });
  wait_for(3);
  require(otp::get(book, [](const auto& m) { return m.size(); }) == 4, "all of them");
  otp::supervisor::stop(tree);
}

void tasks() {
  std::vector<int> ids{1, 2, 3, 4, 5, 6};
  auto sum = otp::async([ids] { return std::accumulate(ids.begin(), ids.end(), 0); });
  std::size_t letters = 0;
  for (auto& text : otp::async_stream(ids, [](int id) { return std::string(static_cast<std::size_t>(id), 't'); },
                                      {.max_concurrency = 3}))
    if (text) letters += text->size();
  require(otp::await(sum) == 21 && letters == 21, "the same sum twice");
}

struct about {
  std::string text;
};
inline constexpr otp::unique_registry<std::string, about> directory{"directory"};
void registries() {
  auto tree =
      otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child_registry(directory)}}).value();
  otp::pid me = otp::self();
  for (int i = 0; i < 3; ++i)
    otp::spawn([me, i] {
      require(otp::register_key(directory, std::to_string(i), about{std::string(60, 'v')}).has_value(), "a free key");
      tell(me);
      otp::sleep(1s);
    });
  wait_for(3);
  for (int i = 0; i < 3; ++i)
    require(otp::lookup(directory, std::to_string(i))->value.text.size() == 60, "what was registered");
  otp::sleep(2s);
  otp::supervisor::stop(tree);
}

struct door {
  struct locked {};
  struct open {
    std::vector<int> visitors;
  };
  using states = otp::states<locked, open>;
  struct code {
    using reply = bool;
    int digits;
  };
  struct walk_in {
    int who;
  };
  struct too_long {};
  using events = otp::events<code, walk_in, too_long>;
  otp::step<bool, open> on(locked&, const code& c) {
    if (c.digits != secret) return otp::stay().reply(false);
    return otp::go(open{}).reply(true).state_timeout(10s, too_long{});
  }
  void on(open& now, const walk_in& w) { now.visitors.push_back(w.who); }
  otp::step<void, locked> on(open&, too_long) { return otp::go(locked{}); }
  bool otherwise(const auto&, const auto&) { return false; }
  int secret = 1234;
};
void machines() {
  auto d = otp::gen_statem::start_link<door>().value();
  require(!otp::call(d, door::code{1}), "wrong");
  require(otp::call(d, door::code{1234}), "right");
  for (int i = 0; i < 3; ++i) otp::spawn([d, i] { otp::cast(d, door::walk_in{i}); });
  otp::sleep(20s);
  require(otp::call(d, door::code{1234}), "locked again");
}

// What the spawner had, and what it reads when the others are gone.
void before_and_after() {
  std::vector<int> numbers(100, 1);
  int result = 0;
  otp::pid other = otp::spawn([&] { result = std::accumulate(numbers.begin(), numbers.end(), 0); });
  otp::ref watch = otp::monitor(other);
  otp::receive([&](const otp::down& d) { require(d.reference == watch, "its end"); });
  require(result == 100, "a down is a message");
}

void kills_at_work() {
  otp::trap_exit(true);
  for (int i = 0; i < 5; ++i) {
    auto server = bank::start_link().value();
    otp::spawn([server] { static_cast<void>(otp::try_call(server, bank::wait{}, 1s)); });
    otp::spawn([server] { static_cast<void>(otp::try_call(server, bank::put{std::vector<int>(50, 1)}, 1s)); });
    if (i % 2) otp::sleep(1ms);
    otp::exit(otp::pid(server), otp::reason::kill);
    otp::receive([](const otp::exit_signal&) {});
  }
  otp::sleep(2s);
}

void blocking_work() {
  otp::pid me = otp::self();
  for (int i = 0; i < 2; ++i)
    otp::spawn([me] {
      std::string text = otp::blocking([] { return std::string(80, 'b'); });
      require(text.size() == 80, "what the pool has made");
      tell(me);
    });
  wait_for(2);
}

}  // namespace

const std::vector<program>& programs() {
  static const std::vector<program> all = {
      {"a_global_counter", a_global_counter, true},
      {"a_message_that_its_sender_keeps", a_message_that_its_sender_keeps, true},
      {"a_pointer_to_the_state_of_a_server", a_pointer_to_the_state_of_a_server, true},
      {"what_was_there_before_a_name", what_was_there_before_a_name, true},
      {"a_cache_behind_a_function", a_cache_behind_a_function, true},
      {"a_local_variable_by_reference", a_local_variable_by_reference, true},
      {"messages", messages, false},
      {"a_ring", a_ring, false},
      {"what_cannot_change", what_cannot_change, false},
      {"what_is_made_to_be_shared", what_is_made_to_be_shared, false},
      {"calls", calls, false},
      {"supervisors", supervisors, false},
      {"links_and_monitors", links_and_monitors, false},
      {"timers", timers, false},
      {"agents", agents, false},
      {"tasks", tasks, false},
      {"registries", registries, false},
      {"machines", machines, false},
      {"before_and_after", before_and_after, false},
      {"kills_at_work", kills_at_work, false},
      {"blocking_work", blocking_work, false},
  };
  return all;
}

}  // namespace isolation
