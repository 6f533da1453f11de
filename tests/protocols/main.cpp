// The core protocols between processes in every order there is: two to four processes each, every schedule run, and the
// set of everything that may come of it compared with what OTP's rules allow.
//
// usage: protocols [--only TEXT] [--most N]
//   --only    those whose name contains this
//   --most    schedules that one may take; one that needs more has failed
// A line a protocol: how many schedules there are, what came of them. The last line says `N passed, M failed`.
#include <otp/otp.hpp>
#include <otp/testing.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using otp::testing::require;
namespace strategies = otp::testing::strategies;

struct done {};
struct number {
  int value;
};

/// What came of the run that goes on.
std::string outcome;
void note(const std::string& what) { outcome += (outcome.empty() ? "" : " ") + what; }
void note(const char* what) { note(std::string(what)); }
void note(const otp::exit_reason& why) { note(why.to_string()); }

void wait_for(int processes) {
  for (int i = 0; i < processes; ++i) otp::receive([](done) {});
}
/// The message of this type, if one comes before nothing can happen any more.
template <class T>
std::optional<T> next() {
  return otp::receive([](T& m) { return std::optional<T>(std::move(m)); },
                      otp::after(1min, [] { return std::optional<T>(); }));
}
/// The message of this type, if it is there.
template <class T>
std::optional<T> waiting() {
  return otp::receive([](T& m) { return std::optional<T>(std::move(m)); },
                      otp::after(0s, [] { return std::optional<T>(); }));
}

// ---- names ---------------------------------------------------------------------------------------------------------

// Two want a name, one asks for it: one of them gets it, and it stays free only for who asks first.
void two_register_one_looks() {
  otp::pid me = otp::self();
  std::vector<otp::pid> both;
  for (int i = 0; i < 2; ++i)
    both.push_back(otp::spawn([me] {
      bool mine = true;
      try {
        otp::register_name("x", otp::self());
      } catch (const otp::bad_argument&) {
        mine = false;
      }
      otp::send(me, number{mine});
      otp::receive([](done) {});
    }));
  auto seen = otp::whereis("x");
  int winners = 0;
  for (int i = 0; i < 2; ++i) otp::receive([&](number n) { winners += n.value; });
  require(winners == 1, "one of the two has it");
  note(!seen ? "nobody" : *seen == both[0] ? "first" : "second");
  for (otp::pid p : both) otp::send(p, done{});
}

// A name is free before its holder's end is known.
void a_name_and_the_end_of_its_holder() {
  otp::pid holder = otp::spawn([] { otp::register_name("x", otp::self()); });
  otp::ref watch = otp::monitor(holder);
  auto down = next<otp::down>();
  require(down && down->reference == watch, "its end");
  note(down->reason);
  otp::register_name("x", otp::self());
}

// ---- monitors ------------------------------------------------------------------------------------------------------

void a_monitor_and_an_end() {
  otp::pid other = otp::spawn([] { otp::exit("over"); });
  otp::monitor(other);
  auto down = next<otp::down>();
  require(down.has_value(), "one down");
  note(down->reason);
  require(!next<otp::down>(), "and no other");
}

void a_monitor_taken_back() {
  otp::pid other = otp::spawn([] {});
  otp::ref watch = otp::monitor(other);
  bool had = otp::demonitor(watch, {.flush = true, .info = true});
  note(had ? "in time" : "too late");
  require(!next<otp::down>(), "nothing is left of it");
}

void two_watch_each_other() {
  otp::pid me = otp::self();
  otp::pid other = otp::spawn([me] {
    otp::monitor(me);
    otp::receive([](done) {});
  });
  otp::monitor(other);
  otp::send(other, done{});
  auto down = next<otp::down>();
  require(down.has_value(), "its end");
  note(down->reason);
}

// ---- links ---------------------------------------------------------------------------------------------------------

void a_link_and_an_end() {
  otp::trap_exit(true);
  otp::pid other = otp::spawn([] { otp::exit("over"); });
  otp::link(other);
  auto exit = next<otp::exit_signal>();
  require(exit && exit->from == other, "one exit signal");
  note(exit->reason);
  require(!next<otp::exit_signal>(), "and no other");
}

void unlink_and_an_end() {
  otp::trap_exit(true);
  otp::pid other = otp::spawn_link([] { otp::exit("over"); });
  otp::unlink(other);
  note(waiting<otp::exit_signal>() ? "had come" : "will not come");
  require(!next<otp::exit_signal>(), "none after the unlink");
}

void both_unlink_and_one_links_again() {
  otp::pid me = otp::self();
  otp::pid other = otp::spawn_link([me] {
    otp::unlink(me);
    otp::receive([](done) {});
  });
  otp::unlink(other);
  otp::link(other);
  otp::testing::settle();
  bool mine = !otp::info(otp::self())->links.empty();
  bool theirs = !otp::info(other)->links.empty();
  require(mine == theirs, "both know of a link, or neither");
  note(mine ? "linked" : "not linked");
  otp::unlink(other);
  otp::send(other, done{});
}

void exits_and_messages_keep_their_order() {
  otp::pid me = otp::self();
  otp::pid other = otp::spawn([me] {
    otp::trap_exit(true);
    otp::send(me, done{});
    std::string seen;
    for (int i = 0; i < 3; ++i)
      otp::receive([&](number n) { seen += std::to_string(n.value); }, [&](const otp::exit_signal&) { seen += "x"; });
    note(seen);
    otp::send(me, done{});
  });
  wait_for(1);
  otp::send(other, number{1});
  otp::exit(other, otp::reason::shutdown);
  otp::send(other, number{2});
  wait_for(1);
}

void a_kill_and_an_end() {
  otp::pid other = otp::spawn([] { otp::yield(); });
  otp::ref watch = otp::monitor(other);
  otp::exit(other, otp::reason::kill);
  auto down = next<otp::down>();
  require(down && down->reference == watch, "its end");
  note(down->reason);
  require(!next<otp::down>(), "once");
}

// ---- calls ---------------------------------------------------------------------------------------------------------

struct server {
  struct ask {
    using reply = int;
    int value;
  };
  int handle_call(ask a) {
    if (a.value == 1) otp::sleep(1s);
    return a.value * 10;
  }
};

// The reply comes in the same moment as the timeout: it is in time, or it is never seen.
void a_reply_and_a_timeout() {
  otp::pid s = otp::gen_server::start<server>().value().pid();
  auto first = otp::try_call(otp::server<server>(s), server::ask{1}, 1s);
  note(first ? "in time" : first.error().cause().to_string());
  require(!first || *first == 10, "its own reply");
  require(otp::call(otp::server<server>(s), server::ask{2}) == 20, "the reply to the second request");
  require(otp::info(otp::self())->message_queue_len == 0, "nothing is left of the first");
  otp::exit(s, otp::reason::kill);
}

void a_call_and_the_end_of_the_server() {
  otp::pid s = otp::gen_server::start<server>().value().pid();
  otp::spawn([s] { otp::exit(s, otp::reason::kill); });
  auto answer = otp::try_call(otp::server<server>(s), server::ask{3});
  require(!answer || *answer == 30, "its reply");
  note(answer ? "a reply" : answer.error().cause().to_string());
}

void an_alias_taken_back() {
  otp::pid me = otp::self();
  otp::ref a = otp::alias();
  otp::spawn([=] {
    otp::send(a, number{1});
    otp::send(me, done{});
  });
  otp::unalias(a);
  note(waiting<number>() ? "had come" : "will not come");
  wait_for(1);
  require(!next<number>(), "nothing comes through it any more");
}

// ---- supervisors ---------------------------------------------------------------------------------------------------

struct child {
  static constexpr otp::name<child> name{"child"};
  static auto start_link() { return otp::gen_server::start_link<child>({.name = name}); }
  struct get {
    using reply = int;
  };
  int handle_call(get) { return 1; }
};
otp::supervisor_spec one_child() {
  return {.strategy = otp::one_for_one, .children = {otp::child<child>().id("child")}};
}

void a_child_is_killed_while_the_tree_starts() {
  otp::trap_exit(true);
  otp::spawn([] {
    if (auto victim = otp::whereis("child")) otp::exit(*victim, otp::reason::kill);
  });
  auto tree = otp::supervisor::start_link(one_child());
  note(tree ? "started" : "failed");
  otp::testing::settle();
  if (!tree) {
    require(!otp::whereis("child"), "nothing is left");
    return;
  }
  require(otp::whereis("child").has_value(), "it runs");
  otp::supervisor::stop(*tree);
}

void a_child_ends_while_it_is_stopped() {
  otp::trap_exit(true);
  auto tree = otp::supervisor::start_link(one_child()).value();
  otp::pid victim = *otp::whereis("child");
  otp::spawn([victim] { otp::exit(victim, otp::reason::kill); });
  require(otp::supervisor::terminate_child(tree, "child").has_value(), "it is stopped, however it ends");
  require(!otp::whereis("child"), "it is gone");
  otp::supervisor::stop(tree);
  note("gone");
}

void a_tree_is_stopped_while_its_child_is_killed() {
  otp::trap_exit(true);
  auto tree = otp::supervisor::start_link(one_child()).value();
  otp::pid victim = *otp::whereis("child");
  otp::spawn([victim] { otp::exit(victim, otp::reason::kill); });
  otp::exit(otp::pid(tree), otp::reason::shutdown);
  auto exit = next<otp::exit_signal>();
  require(exit && exit->from == otp::pid(tree), "its end");
  note(exit->reason);
  otp::testing::settle();
  require(!otp::whereis("child"), "nobody is started behind its back");
}

void a_child_is_started_while_the_tree_stops() {
  otp::trap_exit(true);
  auto tree = otp::supervisor::start_link({.strategy = otp::one_for_one}).value();
  otp::pid me = otp::self();
  otp::spawn([=] {
    try {
      auto made = otp::supervisor::start_child(tree, otp::child<child>());
      note(made ? "started" : "refused: " + made.error().to_string());
    } catch (const otp::exited& e) {
      note(e.reason().cause());
    }
    otp::send(me, done{});
  });
  otp::exit(otp::pid(tree), otp::reason::shutdown);
  wait_for(1);
  otp::testing::settle();
  require(!otp::whereis("child"), "it is not left behind");
}

// ---- timers --------------------------------------------------------------------------------------------------------

void a_timer_is_cancelled_when_it_is_due() {
  otp::pid me = otp::self();
  otp::spawn([me] {
    otp::sleep(1s);
    otp::send(me, done{});
  });
  otp::testing::settle();
  otp::ref timer = otp::send_after(1s, me, number{1});  // due in the moment in which it is cancelled
  wait_for(1);
  bool cancelled = otp::cancel_timer(timer).has_value();
  bool fired = next<number>().has_value();
  require(cancelled != fired, "one of the two");
  note(cancelled ? "cancelled" : "fired");
}

void a_timer_and_the_end_of_its_target() {
  otp::pid other = otp::spawn([] { otp::receive([](number) {}); });
  otp::ref watch = otp::monitor(other);
  otp::ref timer = otp::send_after(1s, other, number{1});
  otp::exit(other, otp::reason::shutdown);
  auto down = next<otp::down>();
  require(down && down->reference == watch, "its end");
  note(down->reason);
  require(!otp::cancel_timer(timer), "it went with its target");
}

// --------------------------------------------------------------------------------------------------------------------

struct protocol {
  const char* name;
  void (*body)();
  std::set<std::string> outcomes;
  unsigned preemptions = otp::testing::strategy::unbounded;
};

const std::vector<protocol>& protocols() {
  static const std::vector<protocol> all = {
      {"two register, one looks", two_register_one_looks, {"nobody", "first", "second"}, 2},
      {"a name and the end of its holder", a_name_and_the_end_of_its_holder, {"normal", "noproc"}},
      {"a monitor and an end", a_monitor_and_an_end, {"\"over\"", "noproc"}},
      {"a monitor taken back", a_monitor_taken_back, {"in time", "too late"}},
      {"two watch each other", two_watch_each_other, {"normal"}},
      {"a link and an end", a_link_and_an_end, {"\"over\"", "noproc"}},
      {"unlink and an end", unlink_and_an_end, {"had come", "will not come"}},
      {"both unlink, one links again", both_unlink_and_one_links_again, {"linked", "not linked"}},
      {"exits and messages keep their order", exits_and_messages_keep_their_order, {"1x2"}},
      {"a kill and an end", a_kill_and_an_end, {"normal", "killed", "noproc"}},
      {"a reply and a timeout", a_reply_and_a_timeout, {"in time", "timeout"}},
      {"a call and the end of the server", a_call_and_the_end_of_the_server, {"a reply", "noproc", "killed"}},
      {"an alias taken back", an_alias_taken_back, {"had come", "will not come"}},
      {"a child is killed while the tree starts", a_child_is_killed_while_the_tree_starts, {"started"}, 1},
      {"a child ends while it is stopped", a_child_ends_while_it_is_stopped, {"gone"}, 1},
      {"a tree is stopped while its child is killed", a_tree_is_stopped_while_its_child_is_killed, {"shutdown"}, 1},
      {"a child is started while the tree stops",
       a_child_is_started_while_the_tree_stops,
       {"started", "noproc", "shutdown", "refused: shutdown"},
       0},  // with 1 it does not end in 400,000 schedules
      {"a timer is cancelled when it is due", a_timer_is_cancelled_when_it_is_due, {"cancelled", "fired"}},
      {"a timer and the end of its target", a_timer_and_the_end_of_its_target, {"shutdown"}},
  };
  return all;
}

std::string list(const std::set<std::string>& all) {
  std::string text;
  for (auto& one : all) text += (text.empty() ? "" : ", ") + one;
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  std::string only;
  std::uint64_t most = 400'000;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--only") == 0) only = argv[i + 1];
    if (std::strcmp(argv[i], "--most") == 0) most = std::strtoull(argv[i + 1], nullptr, 0);
  }
  unsigned passed = 0, failed = 0;
  std::uint64_t schedules = 0;
  auto begin = std::chrono::steady_clock::now();
  for (const protocol& p : protocols()) {
    if (std::string(p.name).find(only) == std::string::npos) continue;
    std::set<std::string> seen;
    std::string wrong;
    otp::testing::explored all;
    auto start = std::chrono::steady_clock::now();
    try {
      all = otp::testing::explore({.seeds = most, .strategy = strategies::exhaustive(p.preemptions)}, [&] {
        outcome.clear();
        p.body();
        seen.insert(outcome);
      });
      if (!all.complete) wrong = "not exhausted";
      if (seen != p.outcomes) wrong += (wrong.empty() ? "" : "; ") + ("expected " + list(p.outcomes));
    } catch (const otp::testing::failure& f) {
      wrong = f.what();
    }
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    schedules += all.runs;
    (wrong.empty() ? passed : failed) += 1;
    std::string bound = p.preemptions == otp::testing::strategy::unbounded
                            ? "every order"
                            : "with " + std::to_string(p.preemptions) + " preemptions";
    std::printf("  %-46s %8llu schedules, %-18s %5.1f s  %s%s\n", p.name, static_cast<unsigned long long>(all.runs),
                bound.c_str(), seconds, list(seen).c_str(), wrong.empty() ? "" : ("\n" + wrong).c_str());
    std::fflush(stdout);
  }
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("schedules exhausted: %llu in %.0f s\n", static_cast<unsigned long long>(schedules), seconds);
  std::printf("%u passed, %u failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
