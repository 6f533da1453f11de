// The rows of the table of faults once more, each with its fault at every step where it can happen: a process is killed
// before its first step, its second, and so on to its last; a signal is held up, each of them in turn; a handler
// throws, whichever it is; nobody runs for a while, at any moment. First in the plain order of things, then in random
// ones. What explore() looks at by itself (orphans, leaks, lost messages ...) it looks at in each of these runs.
//
// usage: fault_steps [--only TEXT] [--orders N]
// A line a row: how many runs that makes. The last line says `N passed, M failed`.
#include <otp/async_stream.hpp>
#include <otp/gen_statem.hpp>
#include <otp/otp.hpp>
#include <otp/registry.hpp>
#include <otp/testing.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using otp::testing::eventually;
using otp::testing::fault;
using otp::testing::require;
namespace faults = otp::testing::faults;

struct done {};
struct number {
  int value;
};
void wait_for(int processes) {
  for (int i = 0; i < processes; ++i) otp::receive([](done) {});
}
template <class T>
std::optional<T> next() {
  return otp::receive([](T& m) { return std::optional<T>(std::move(m)); },
                      otp::after(1h, [] { return std::optional<T>(); }));
}

/// A server for every purpose. What it holds in one test is named by the test.
struct worker {
  struct add {
    using reply = int;
    int value;
  };
  struct later {  // answered by nobody before `release`
    using reply = int;
  };
  struct twice {
    using reply = int;
  };
  struct stop_now {
    using reply = int;
  };
  struct release {};
  struct fall {};
  static constexpr otp::name<worker> name{"worker"};
  static auto start_link() { return otp::gen_server::start_link<worker>({.name = name}); }

  int handle_call(add a) { return total += a.value; }
  void handle_call(later, otp::from<int> caller) { waiting.push_back(std::move(caller)); }
  void handle_call(twice, otp::from<int> caller) {
    otp::reply(caller, 1);
    otp::reply(caller, 2);
  }
  otp::call_result<int> handle_call(stop_now) { return otp::stop(otp::reason::shutdown("enough")); }
  void handle_cast(release) {
    for (auto& w : waiting) otp::reply(w, 7);
    waiting.clear();
  }
  void handle_cast(fall) { throw std::runtime_error("it falls"); }

  int total = 0;
  std::vector<otp::from<int>> waiting;
};

otp::supervisor_spec tree_of(otp::strategy how, std::vector<otp::child_spec> children, int max_restarts = 1000) {
  return {.strategy = how, .max_restarts = max_restarts, .children = std::move(children)};
}
bool answers() { return otp::try_call(worker::name, worker::add{1}).has_value(); }

// ---- A -------------------------------------------------------------------------------------------------------------

// Whichever handler throws: one exit signal, one down, with the exception's text, and the tree is whole again.
void a_handler_throws() {
  otp::trap_exit(true);
  auto tree = otp::supervisor::start_link(tree_of(otp::one_for_one, {otp::child<worker>()})).value();
  otp::ref watch = otp::monitor(*otp::whereis("worker"));
  bool fell = false;
  for (int i = 0; i < 3; ++i) fell = !answers() || fell;
  if (fell) {
    auto down = next<otp::down>();
    require(down && down->reference == watch, "its end");
    require(down->reason.to_string().find("a planned crash") != std::string::npos, "with what was thrown");
  }
  eventually(1s, "it is back", answers);
  otp::supervisor::stop(tree);
}

struct slow_to_start {
  slow_to_start() { otp::sleep(1s); }
  struct get {
    using reply = int;
  };
  int handle_call(get) { return 1; }
};
// Its starter is told, once, and the name is free when it is.
void who_is_started_is_killed() {
  otp::trap_exit(true);
  auto made = otp::gen_server::start_link<slow_to_start>({.name = "slow"});
  if (made) {
    otp::exit(made->pid(), otp::reason::kill);
  } else {
    require(made.error() == otp::reason::killed, "the reason of its end");
    require(!otp::whereis("slow"), "the name is free");
  }
  require(next<otp::exit_signal>().has_value(), "one exit signal");
  require(!next<otp::exit_signal>(), "and no other");
}

struct many_states {
  many_states() { otp::trap_exit(true); }
  struct get {
    using reply = int;
  };
  int handle_call(get) {
    otp::sleep(10ms);
    return otp::try_call(worker::name, worker::add{1}).value_or(0);
  }
  void terminate(const otp::exit_reason&) { otp::sleep(10ms); }
};
// Queued, running, in a call, in init, in terminate: one end, everything given back.
void a_process_is_killed_in_whatever_state() {
  otp::trap_exit(true);
  auto helper = worker::start_link();
  auto victim = otp::gen_server::start_link<many_states>({.name = "victim"});
  if (!victim) return;
  otp::ref watch = otp::monitor(victim->pid());
  auto answer = otp::try_call(*victim, many_states::get{});
  static_cast<void>(otp::try_call(*victim, many_states::get{}, 5ms));
  otp::exit(victim->pid(), otp::reason::shutdown);
  auto down = next<otp::down>();
  require(down && down->reference == watch, "its end");
  require(down->reason == otp::reason::killed || down->reason == otp::reason::shutdown ||
              down->reason == otp::reason::noproc,
          "killed, or its own end");
  require(!answer || *answer == 1, "what the helper said");
  require(!otp::whereis("victim"), "its name is free");
  require(!next<otp::down>(), "once");
  require(otp::info(helper->pid())->message_queue_len == 0, "nothing of it is left with others");
}

// ---- B -------------------------------------------------------------------------------------------------------------

// Whatever is held up: the first two before the exit signal, the last one behind it or never.
void an_exit_signal_between_messages() {
  otp::pid me = otp::self();
  otp::pid other = otp::spawn([me] {
    otp::trap_exit(true);
    otp::send(me, done{});
    std::string seen;
    while (seen.size() < 4)
      otp::receive([&](number n) { seen += std::to_string(n.value); }, [&](const otp::exit_signal&) { seen += "x"; });
    require(seen == "12x3", "in the order in which they were sent");
    otp::send(me, done{});
  });
  wait_for(1);
  otp::send(other, number{1});
  otp::send(other, number{2});
  otp::exit(other, otp::reason::shutdown);
  otp::send(other, number{3});
  wait_for(1);
}

struct takes_its_time_to_end {
  takes_its_time_to_end() { otp::trap_exit(true); }
  struct get {
    using reply = int;
  };
  struct note {};
  int handle_call(get) { return 1; }
  void handle_cast(note) {}
  void terminate(const otp::exit_reason&) { otp::sleep(10ms); }
};
// What comes while a process ends is handled or counted: explore() counts.
void messages_to_who_is_ending() {
  otp::trap_exit(true);
  auto server = otp::gen_server::start_link<takes_its_time_to_end>();
  if (!server) return;
  otp::pid me = otp::self();
  otp::spawn([=, to = *server] {
    for (int i = 0; i < 3; ++i) {
      otp::cast(to, takes_its_time_to_end::note{});
      otp::sleep(4ms);
    }
    static_cast<void>(otp::try_call(to, takes_its_time_to_end::get{}));
    otp::send(me, done{});
  });
  otp::exit(server->pid(), otp::reason::shutdown);
  otp::receive([](done) {}, otp::after(1min, [] {}));
}

// Each call gets its own reply or none, and a late one is seen by nobody.
void replies_that_come_too_late() {
  auto server = worker::start_link().value();
  int sure = 0;
  for (int i = 1; i <= 3; ++i)
    if (auto answer = otp::try_call(server, worker::add{1}, 10ms)) {
      require(*answer > sure && *answer <= i, "the reply to this one");
      sure = *answer;
    }
  otp::sleep(1h);
  require(otp::info(otp::self())->message_queue_len == 0, "no reply is left over");
}

// A server replies twice, and to callers that are gone.
void replies_that_nobody_waits_for() {
  otp::trap_exit(true);
  auto server = worker::start_link().value();
  for (int i = 0; i < 2; ++i)
    otp::spawn([server] {
      otp::register_name("caller", otp::self());
      static_cast<void>(otp::try_call(server, worker::twice{}));
      static_cast<void>(otp::try_call(server, worker::later{}, 10ms));
      otp::unregister_name("caller");
    }),
        otp::sleep(1min);
  otp::cast(server, worker::release{});
  require(otp::call(server, worker::add{1}) == 1, "the server is unharmed");
}

// Its callers are told at once, whatever it was at.
void a_callee_dies() {
  otp::trap_exit(true);
  auto server = worker::start_link();
  if (!server) return;
  otp::instant start = otp::now();
  for (int i = 0; i < 2; ++i) {
    auto answer = otp::try_call(*server, worker::add{1});
    require(answer || answer.error().cause() == otp::reason::killed || answer.error().cause() == otp::reason::noproc,
            "its end");
  }
  require(otp::now() == start, "at once");
}

struct calls_back {
  struct ask {
    using reply = int;
    otp::pid other;
  };
  int handle_call(ask a) {
    if (!a.other) return 1;
    auto answer = otp::try_call(otp::server<calls_back>(a.other), ask{otp::self()}, 1s);
    return answer.value_or(-1);
  }
};
// Two that call each other: somebody is told, and nobody waits longer than they said.
void two_call_each_other() {
  otp::trap_exit(true);
  auto a = otp::gen_server::start_link<calls_back>({.name = "a"});
  auto b = otp::gen_server::start_link<calls_back>({.name = "b"});
  if (!a || !b) return;
  otp::pid me = otp::self();
  for (auto [to, other] : {std::pair(a->pid(), b->pid()), std::pair(b->pid(), a->pid())})
    otp::spawn([=] {
      static_cast<void>(otp::try_call(otp::server<calls_back>(to), calls_back::ask{other}, 10s));
      otp::send(me, done{});
    });
  for (int i = 0; i < 2; ++i)
    require(otp::receive([](done) { return true; }, otp::after(1min, [] { return false; })), "both come back");
}

// ---- C -------------------------------------------------------------------------------------------------------------

// As many downs and exit signals as there are monitors and links, whenever the process dies.
void one_down_a_monitor_one_exit_a_link() {
  otp::trap_exit(true);
  otp::pid other = otp::spawn([] {
    otp::register_name("other", otp::self());
    otp::sleep(10ms);
  });
  otp::ref first = otp::monitor(other);
  otp::ref second = otp::monitor(other);
  otp::ref third = otp::monitor(other);
  otp::link(other);
  otp::demonitor(second, {.flush = true});
  std::set<otp::ref> seen;
  for (int i = 0; i < 2; ++i)
    if (auto down = next<otp::down>()) seen.insert(down->reference);
  require(seen == std::set<otp::ref>{first, third}, "a down for each");
  require(next<otp::exit_signal>().has_value(), "an exit signal");
  require(!next<otp::down>() && !next<otp::exit_signal>(), "and nothing else");
  require(!otp::whereis("other"), "its name is free");
}

void unlinked_is_unlinked() {
  otp::trap_exit(true);
  otp::pid other = otp::spawn_link([] {
    otp::register_name("other", otp::self());
    otp::sleep(10ms);
    otp::exit("over");
  });
  otp::sleep(1ms);
  otp::unlink(other);
  otp::receive([](const otp::exit_signal&) {}, otp::after(0s, [] {}));
  require(!next<otp::exit_signal>(), "none after the unlink");
}

// A name is free before its holder's end is seen, and a call through it never hangs.
void a_name_whose_holder_dies() {
  otp::trap_exit(true);
  auto first = worker::start_link();
  if (!first) return;
  otp::ref watch = otp::monitor(first->pid());
  static_cast<void>(otp::try_call(worker::name, worker::add{1}));
  otp::exit(first->pid(), otp::reason::shutdown);
  auto down = next<otp::down>();
  require(down && down->reference == watch, "its end");
  require(!otp::whereis("worker"), "the name is free");
  auto answer = otp::try_call(worker::name, worker::add{1});
  require(!answer && answer.error().cause() == otp::reason::noproc, "nobody has it");
}

inline constexpr otp::unique_registry<std::string> keys{"keys"};
void the_keys_of_the_dead() {
  otp::trap_exit(true);
  auto tree = otp::supervisor::start_link(tree_of(otp::one_for_one, {otp::child_registry(keys)}));
  if (!tree) return;
  otp::pid owner = otp::spawn([] {
    otp::register_name("owner", otp::self());
    for (const char* key : {"one", "two", "three"}) static_cast<void>(otp::register_key(keys, key));
    otp::sleep(10ms);
  });
  otp::ref watch = otp::monitor(owner);
  auto down = next<otp::down>();
  require(down && down->reference == watch, "its end");
  for (const char* key : {"one", "two", "three"}) require(!otp::lookup(keys, key), "all its keys are free");
  otp::supervisor::stop(*tree);
}

// ---- D -------------------------------------------------------------------------------------------------------------

std::string journal;  // of the run that goes on
struct logged {
  static auto start_link(const char* id) { return otp::gen_server::start_link<logged>({.name = id}, id); }
  explicit logged(const char* called) : id(called) {
    otp::trap_exit(true);
    journal += std::string("+") + id;
  }
  void terminate(const otp::exit_reason&) { journal += std::string("-") + id; }
  struct get {
    using reply = int;
  };
  int handle_call(get) { return 1; }
  const char* id;
};
otp::child_spec a_child(const char* id) { return otp::child<logged>(id).id(id); }
bool all_there(std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (!otp::whereis(name)) return false;
  return true;
}
bool none_there(std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (otp::whereis(name)) return false;
  return true;
}

// Whoever dies, and then another one, while the first is being restarted: all are back, each once.
void a_sibling_crashes_during_a_restart(otp::strategy how) {
  otp::trap_exit(true);
  auto tree = otp::supervisor::start_link(tree_of(how, {a_child("a"), a_child("b"), a_child("c")}));
  if (!tree) {
    otp::testing::settle();
    require(none_there({"a", "b", "c"}), "nobody is left of a tree that was not started");
    return;
  }
  otp::ref watch = otp::monitor(otp::pid(*tree));
  otp::sleep(1s);
  if (!otp::is_alive(otp::pid(*tree))) {
    require(next<otp::down>().has_value(), "its end");
    otp::testing::settle();
    require(none_there({"a", "b", "c"}), "nobody is left of a tree that was killed");
    return;
  }
  eventually(1s, "all are back", [] { return all_there({"a", "b", "c"}); });
  require(otp::supervisor::count_children(*tree).active == 3, "each once");
  otp::demonitor(watch, {.flush = true});
  otp::supervisor::stop(*tree);
  require(none_there({"a", "b", "c"}), "all are stopped");
}
void one_for_one_restarts() { a_sibling_crashes_during_a_restart(otp::one_for_one); }
void one_for_all_restarts() { a_sibling_crashes_during_a_restart(otp::one_for_all); }
void rest_for_one_restarts() { a_sibling_crashes_during_a_restart(otp::rest_for_one); }

// The third of five does not start: those before it are stopped in reverse, those behind it never run.
void a_child_does_not_start() {
  otp::trap_exit(true);
  journal.clear();
  auto failing = otp::child_function(
      "third", []() -> otp::result<otp::pid> { return std::unexpected(otp::exit_reason("not today")); });
  auto tree = otp::supervisor::start_link(
      tree_of(otp::one_for_one, {a_child("a"), a_child("b"), failing, a_child("d"), a_child("e")}));
  require(!tree, "it is not started");
  otp::testing::settle();
  require(none_there({"a", "b", "d", "e"}), "nobody is left");
  require(journal.find("+d") == std::string::npos, "the fourth was never started");
  if (journal.find("-a") != std::string::npos && journal.find("-b") != std::string::npos)
    require(journal.find("-b") < journal.find("-a"), "in reverse");
}

// Three restarts, and the fourth ends it: with a process killed besides, no more than that.
void too_many_restarts() {
  otp::trap_exit(true);
  auto tree = otp::supervisor::start_link(tree_of(otp::one_for_one, {otp::child<worker>()}, 3));
  if (!tree) return;
  for (int i = 0; i < 8 && otp::is_alive(otp::pid(*tree)); ++i) {
    if (auto victim = otp::whereis("worker")) otp::exit(*victim, otp::reason::kill);
    otp::sleep(30ms);
  }
  auto exit = next<otp::exit_signal>();
  require(exit && exit->from == otp::pid(*tree), "it gives up");
  require(exit->reason == otp::reason::shutdown || exit->reason == otp::reason::killed, "with shutdown");
  otp::testing::settle();
  require(!otp::whereis("worker"), "and nobody is left");
}

struct stubborn {
  static auto start_link() { return otp::gen_server::start_link<stubborn>({.name = "stubborn"}); }
  stubborn() { otp::trap_exit(true); }
  struct get {
    using reply = int;
  };
  int handle_call(get) { return 1; }
  void terminate(const otp::exit_reason&) { otp::sleep(1h); }
};
void a_child_that_does_not_stop() {
  otp::trap_exit(true);
  auto tree = otp::supervisor::start_link(
      tree_of(otp::one_for_one, {a_child("a"), otp::child<stubborn>().shutdown(1s), a_child("c")}));
  if (!tree) return;
  otp::instant start = otp::now();
  otp::exit(otp::pid(*tree), otp::reason::shutdown);
  require(next<otp::exit_signal>().has_value(), "it ends");
  require(otp::now() - start <= 10s, "in time");
  otp::sleep(2h);  // if the supervisor was killed, nobody kills who takes an hour to end
  require(none_there({"a", "stubborn", "c"}), "with all its children");
}

// A tree of three levels whose top is killed at any moment: nobody below is left.
void a_supervisor_is_killed() {
  otp::trap_exit(true);
  auto tree = otp::supervisor::start_link(tree_of(
      otp::one_for_one,
      {a_child("a"), otp::child_supervisor("middle", tree_of(otp::one_for_all, {a_child("b"), a_child("c")}))}));
  if (!tree) return;
  otp::sleep(1ms);
  otp::exit(otp::pid(*tree), otp::reason::kill);
  require(next<otp::exit_signal>().has_value(), "it ends");
  otp::sleep(1min);
  require(none_there({"a", "b", "c"}), "nobody is left");
}

void a_child_that_is_ending_is_terminated() {
  otp::trap_exit(true);
  auto tree = otp::supervisor::start_link(tree_of(otp::one_for_one, {otp::child<worker>().id("worker")}));
  if (!tree) return;
  if (otp::whereis("worker")) otp::cast(worker::name, worker::fall{});
  auto stopped = otp::supervisor::terminate_child(*tree, "worker");
  if (!otp::is_alive(otp::pid(*tree))) return;
  require(stopped.has_value(), "it is stopped, however it ends");
  require(!otp::whereis("worker"), "it is gone, and stays so");
  require(otp::supervisor::delete_child(*tree, "worker").has_value(), "it is not running");
  otp::exit(otp::pid(*tree), otp::reason::shutdown);
}

// Started or refused, and never left behind.
void children_are_added_while_the_tree_stops() {
  otp::trap_exit(true);
  auto tree = otp::dynamic_supervisor::start_link({.max_children = 2}, {.name = "pool"});
  if (!tree) return;
  otp::pid me = otp::self();
  for (int i = 0; i < 3; ++i)
    otp::spawn([me, to = *tree] {
      static_cast<void>(otp::dynamic_supervisor::start_child(to, otp::child<takes_its_time_to_end>()));
      otp::send(me, done{});
    });
  otp::exit(otp::pid(*tree), otp::reason::shutdown);
  for (int i = 0; i < 3; ++i) otp::receive([](done) {}, otp::after(1min, [] {}));
  otp::sleep(1min);
  require(otp::process_count() == 1, "nobody is left");
}

// Reverse start order, whoever is killed on the way: of those that were stopped.
void a_tree_stops_in_reverse() {
  otp::trap_exit(true);
  journal.clear();
  auto tree = otp::supervisor::start_link(
      tree_of(otp::one_for_one,
              {a_child("a"), otp::child_supervisor("middle", tree_of(otp::one_for_one, {a_child("b"), a_child("c")})),
               a_child("d")}));
  if (!tree) return;
  otp::exit(otp::pid(*tree), otp::reason::shutdown);
  require(next<otp::exit_signal>().has_value(), "it ends");
  otp::sleep(1min);
  require(none_there({"a", "b", "c", "d"}), "with everybody");
  std::string stops;
  for (std::size_t i = 0; i + 1 < journal.size(); ++i)
    if (journal[i] == '-') stops += journal[i + 1];
  for (std::size_t i = 1; i < stops.size(); ++i) require(stops[i] < stops[i - 1], "in reverse: " + stops);
}

// ---- E -------------------------------------------------------------------------------------------------------------

void a_server_stops_without_replying() {
  otp::trap_exit(true);
  auto server = worker::start_link();
  if (!server) return;
  otp::pid me = otp::self();
  for (int i = 0; i < 2; ++i)
    otp::spawn([me, to = *server] {
      auto answer = otp::try_call(to, worker::later{});
      require(!answer, "nobody answers");
      const otp::exit_reason& why = answer.error().cause();
      require(why.is_expected() || why == otp::reason::noproc || why == otp::reason::killed, "the reason of its end");
      otp::send(me, done{});
    });
  static_cast<void>(otp::try_call(*server, worker::stop_now{}));
  for (int i = 0; i < 2; ++i) otp::receive([](done) {}, otp::after(1min, [] {}));
}

struct falls_at_the_end {
  falls_at_the_end() { otp::trap_exit(true); }
  struct get {
    using reply = int;
  };
  int handle_call(get) { return 1; }
  void terminate(const otp::exit_reason&) {
    if (otp::fault_point("in terminate")) throw std::runtime_error("at the end");
    otp::sleep(1ms);
  }
};
void an_exception_in_terminate() {
  otp::trap_exit(true);
  auto server = otp::gen_server::start_link<falls_at_the_end>({.name = "falls"}).value();
  otp::ref watch = otp::monitor(otp::pid(server));
  otp::exit(otp::pid(server), otp::reason::shutdown);
  auto down = next<otp::down>();
  require(down && down->reference == watch && down->reason == otp::reason::shutdown, "the first reason stays");
  require(!otp::whereis("falls"), "its name is free");
}

struct light {
  struct dark {};
  struct lit {};
  using states = otp::states<dark, lit>;
  struct push {
    using reply = bool;
  };
  struct burnt {};
  using events = otp::events<push, burnt>;
  otp::step<bool, lit> on(dark&, push) { return otp::go(lit{}).reply(true).state_timeout(1s, burnt{}); }
  otp::step<bool, dark> on(lit&, push) { return otp::go(dark{}).reply(false); }
  otp::step<void, dark> on(lit&, burnt) {
    ++burnt_out;
    return otp::go(dark{});
  }
  bool otherwise(const auto&, const auto&) { return false; }
  static inline int burnt_out = 0;
};
// A state that is left takes its timeout along; one that stays has it once.
void a_state_timeout() {
  light::burnt_out = 0;
  auto l = otp::gen_statem::start_link<light>().value();
  require(otp::call(l, light::push{}, otp::infinity), "it is lit");
  bool off = !otp::call(l, light::push{}, otp::infinity);
  require(off == (light::burnt_out == 0), "pushed in time, or burnt out before");
  otp::sleep(1h);
  require(light::burnt_out <= 2, "no timeout of a state that was left");
}

void tasks_crash() {
  otp::trap_exit(true);
  auto pool = otp::task_supervisor::start_link().value();
  auto good = otp::async_nolink(pool, [] {
    otp::register_name("good", otp::self());
    otp::sleep(10ms);
    return 1;
  });
  auto bad = otp::async_nolink(pool, []() -> int { throw std::runtime_error("a task that falls"); });
  auto first = otp::yield_or_shutdown(good, 1s);
  auto second = otp::yield_or_shutdown(bad, 1s);
  require(!first || *first == 1, "its result");
  require(!second, "none");
  otp::sleep(1min);
  require(otp::process_count() == 2, "no task is left");
  require(otp::info(otp::self())->message_queue_len == 0, "nor a message of one");
  otp::supervisor::stop(pool);
}

void a_stream_of_tasks() {
  otp::trap_exit(true);
  auto pool = otp::task_supervisor::start_link({}, {.name = "pool"});
  if (!pool) return;
  std::vector<int> ids{0, 1, 2, 3, 4, 5};
  std::vector<int> seen;
  int failed = 0;
  for (auto& one :
       otp::async_stream_nolink(*pool, ids,
                                [](int id) {
                                  if (id == 3) throw std::runtime_error("the third");
                                  return id;
                                },
                                {.max_concurrency = 2, .timeout = 1s, .on_timeout = otp::on_timeout::kill_task}))
    if (one)
      seen.push_back(*one);
    else
      ++failed;
  require(static_cast<int>(seen.size()) + failed == 6, "each of them once");
  require(std::is_sorted(seen.begin(), seen.end()), "in order");
  otp::exit(otp::pid(*pool), otp::reason::shutdown);
  otp::sleep(1min);
  require(otp::process_count() == 1, "no task is left");
}

void a_cancel_and_an_expiry() {
  otp::ref timer = otp::send_after(10ms, otp::self(), number{1});
  otp::sleep(5ms);
  otp::yield();
  bool cancelled = otp::cancel_timer(timer).has_value();
  require(next<number>().has_value() != cancelled, "one of the two");
  require(!next<number>(), "once");
}

void the_timers_of_the_dead() {
  otp::pid other = otp::spawn([] {
    otp::register_name("other", otp::self());
    otp::send_after(1h, otp::self(), number{1});
    otp::send_after(2h, otp::self(), number{2});
    otp::sleep(10ms);
  });
  otp::ref timer = otp::send_after(3h, other, number{3});
  otp::monitor(other);
  require(next<otp::down>().has_value(), "its end");
  otp::testing::settle();
  require(!otp::cancel_timer(timer), "none is left: explore() looks at the others");
}

void an_interval_and_a_pause() {
  otp::ref timer = otp::send_interval(1s, otp::self(), number{1});
  int ticks = 0;
  otp::instant start = otp::now();
  while (otp::now() - start < 10s) otp::receive([&](number) { ++ticks; }, otp::after(5s, [] {}));
  otp::cancel_timer(timer);
  require(ticks >= 7 && ticks <= 11, "one a period, and one for a stall: " + std::to_string(ticks));
}

// ---- F -------------------------------------------------------------------------------------------------------------

// What is rethrown is the process's own exception, and a killed one unwinds: nothing is lost on the way.
void waits_while_exceptions_fly() {
  otp::trap_exit(true);
  int alive = 0;
  struct waits_at_its_end {
    int& count;
    explicit waits_at_its_end(int& n) : count(n) { ++count; }
    ~waits_at_its_end() {
      try {
        otp::sleep(1ms);
      } catch (...) {
      }
      --count;
    }
  };
  for (int i = 0; i < 2; ++i)
    otp::spawn_link([&alive, i] {
      waits_at_its_end guard(alive);
      try {
        throw number{i};
      } catch (const number&) {
        otp::sleep(1ms);
        try {
          throw;
        } catch (const number& again) {
          require(again.value == i, "its own");
          throw;
        }
      }
    });
  for (int i = 0; i < 2; ++i) require(next<otp::exit_signal>().has_value(), "both end");
  require(alive == 0, "and are unwound");
}

void a_mailbox_that_is_full() {
  otp::trap_exit(true);
  otp::pid me = otp::self();
  otp::pid consumer = otp::spawn({.mailbox = {.max_messages = 2, .policy = otp::overflow::block}}, [] {
                        otp::register_name("consumer", otp::self());
                        for (;;) otp::receive([](number) { otp::sleep(1ms); });
                      }).pid;
  for (int i = 0; i < 2; ++i)
    otp::spawn([=] {
      for (int n = 0; n < 3; ++n) otp::send(consumer, number{n});
      otp::send(me, done{});
    });
  for (int i = 0; i < 2; ++i)
    require(otp::receive([](done) { return true; }, otp::after(1min, [] { return false; })),
            "who waits for room is let go");
}

// --------------------------------------------------------------------------------------------------------------------

struct row {
  const char* id;  // of the table of faults
  const char* name;
  void (*body)();
  std::vector<std::vector<fault>> plans;  // each by itself
};

std::vector<fault> one(fault f) { return {std::move(f)}; }
const fault anybody = faults::kill_any();
const fault held_up = faults::delay(20ms);
const fault stall = faults::pause(20ms);

const std::vector<row>& rows() {
  static const std::vector<row> all = {
      {"A01", "a handler throws", a_handler_throws, {one(faults::crash("worker"))}},
      {"A07 A08", "who is started is killed", who_is_started_is_killed, {one(faults::kill("slow")), one(held_up)}},
      {"A12",
       "a process is killed in whatever state",
       a_process_is_killed_in_whatever_state,
       {one(faults::kill("victim")), one(held_up), one(stall)}},
      {"B10", "an exit signal between messages", an_exit_signal_between_messages, {one(held_up), one(stall)}},
      {"B11", "messages to who is ending", messages_to_who_is_ending, {one(anybody), one(held_up), one(stall)}},
      {"B14", "replies that come too late", replies_that_come_too_late, {one(held_up), one(stall)}},
      {"B15",
       "replies that nobody waits for",
       replies_that_nobody_waits_for,
       {one(faults::kill("caller")), one(held_up)}},
      {"B16", "a callee dies", a_callee_dies, {one(faults::kill("worker"))}},
      {"B18",
       "two call each other",
       two_call_each_other,
       {one(held_up), one(faults::pause(2s)), one(faults::kill("a"))}},
      {"B03", "a mailbox that is full", a_mailbox_that_is_full, {one(faults::kill("consumer")), one(held_up)}},
      {"C01 C02 C03",
       "one down a monitor, one exit a link",
       one_down_a_monitor_one_exit_a_link,
       {one(faults::kill("other")), one(held_up), one(stall)}},
      {"C04", "unlinked is unlinked", unlinked_is_unlinked, {one(faults::kill("other")), one(held_up), one(stall)}},
      {"C09 C10", "a name whose holder dies", a_name_whose_holder_dies, {one(faults::kill("worker")), one(held_up)}},
      {"C11", "the keys of the dead", the_keys_of_the_dead, {one(faults::kill("owner")), one(held_up), one(stall)}},
      {"D01", "a child does not start", a_child_does_not_start, {one(faults::kill("a")), one(held_up)}},
      {"D02", "too many restarts", too_many_restarts, {one(faults::kill("worker")), one(anybody), one(held_up)}},
      {"D05", "restarts, one for one", one_for_one_restarts, {one(anybody), one(faults::kill("b", 2)), one(held_up)}},
      {"D05", "restarts, one for all", one_for_all_restarts, {one(anybody), one(faults::kill("b", 2)), one(held_up)}},
      {"D05", "restarts, rest for one", rest_for_one_restarts, {one(anybody), one(faults::kill("b", 2)), one(held_up)}},
      {"D06", "a child that does not stop", a_child_that_does_not_stop, {one(anybody), one(held_up)}},
      {"D10", "a supervisor is killed", a_supervisor_is_killed, {one(anybody), one(held_up)}},
      {"D11 D12",
       "a child that is ending is terminated",
       a_child_that_is_ending_is_terminated,
       {one(faults::kill("worker")), one(held_up), one(stall)}},
      {"D13 D14",
       "children are added while the tree stops",
       children_are_added_while_the_tree_stops,
       {one(anybody), one(held_up), one(stall)}},
      {"D16", "a tree stops in reverse", a_tree_stops_in_reverse, {one(faults::kill("c")), one(held_up)}},
      {"E01", "a server stops without replying", a_server_stops_without_replying, {one(anybody), one(held_up)}},
      {"E03",
       "an exception in terminate",
       an_exception_in_terminate,
       {one(faults::at_point("in terminate")), one(held_up)}},
      {"E04", "a state timeout", a_state_timeout, {one(faults::delay(2s)), one(faults::pause(2s))}},
      {"E06", "tasks crash", tasks_crash, {one(faults::kill("good")), one(held_up), one(faults::pause(2s))}},
      {"E07", "a stream of tasks", a_stream_of_tasks, {one(held_up), one(faults::pause(2s))}},
      {"E09", "a cancel and an expiry", a_cancel_and_an_expiry, {one(faults::pause(5ms)), one(held_up)}},
      {"E11", "the timers of the dead", the_timers_of_the_dead, {one(faults::kill("other")), one(held_up), one(stall)}},
      {"E12 E13", "an interval and a pause", an_interval_and_a_pause, {one(faults::pause(3s))}},
      {"F03 F04", "waits while exceptions fly", waits_while_exceptions_fly, {one(anybody), one(held_up), one(stall)}},
  };
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  std::string only;
  unsigned orders = 10;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--only") == 0) only = argv[i + 1];
    if (std::strcmp(argv[i], "--orders") == 0) orders = static_cast<unsigned>(std::strtoul(argv[i + 1], nullptr, 0));
  }
  unsigned passed = 0, failed = 0;
  std::uint64_t runs = 0;
  auto begin = std::chrono::steady_clock::now();
  for (const row& r : rows()) {
    if ((std::string(r.id) + " " + r.name).find(only) == std::string::npos) continue;
    std::uint64_t mine = 0;
    std::string wrong;
    auto start = std::chrono::steady_clock::now();
    for (const std::vector<fault>& plan : r.plans) {
      try {
        auto all = otp::testing::explore(
            {.seeds = 1'000'000, .strategy = otp::testing::strategies::every_fault(orders), .faults = plan}, r.body);
        mine += all.runs;
        if (!all.complete) wrong += "\nnot all of it was run";
      } catch (const otp::testing::failure& f) {
        wrong += std::string("\n") + f.what();
      }
    }
    runs += mine;
    (wrong.empty() ? passed : failed) += 1;
    std::printf("  %-12s %-42s %8llu runs %5.1f s%s\n", r.id, r.name, static_cast<unsigned long long>(mine),
                std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), wrong.c_str());
    std::fflush(stdout);
  }
  std::printf("faults injected: %llu runs in %.0f s\n", static_cast<unsigned long long>(runs),
              std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  std::printf("%u passed, %u failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
