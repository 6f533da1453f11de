#include "programs.hpp"

#include <otp/otp.hpp>

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace sim {

namespace {

using namespace std::chrono_literals;
using otp::detail::bug;
using otp::testing::require;
namespace faults = otp::testing::faults;

struct done {};
struct number {
  int value;
};
struct ping {
  otp::pid from;
  std::uint64_t ref = 0;
  int value = 0;
};
struct pong {
  std::uint64_t ref = 0;
  int value = 0;
};

void wait_for(int processes) {
  for (int i = 0; i < processes; ++i) otp::receive([](done) {});
}

/// Whether a message of this type comes before nothing can happen any more.
template <class T>
bool receives() {
  return otp::receive([](const T&) { return true; }, otp::after(1min, [] { return false; }));
}

struct idle {
  struct get {
    using reply = int;
  };
  int handle_call(get) { return 1; }
};

// ---- names ---------------------------------------------------------------------------------------------------------

void check_then_register(bool broken) {
  otp::pid body = otp::self();
  for (int i = 0; i < 2; ++i)
    otp::spawn([=] {
      if (!broken || !otp::whereis("x")) try {
          otp::register_name("x", otp::self());
        } catch (const otp::bad_argument&) {
          require(!broken, "the name was free a moment ago");
        }
      otp::send(body, done{});
      otp::sleep(1s);
    });
  wait_for(2);
}

void name_after_down(bool) {
  otp::pid other = otp::spawn([] {
    otp::register_name("x", otp::self());
    otp::receive([](done) {});
  });
  otp::ref watch = otp::monitor(other);
  otp::send(other, done{});
  otp::receive([&](const otp::down& d) { require(d.reference == watch, "its end"); });
  try {
    otp::register_name("x", otp::self());
  } catch (const otp::bad_argument&) {
    otp::testing::fail("the holder is gone, and the name is not free");
  }
}

void stop_before_the_end(bool) {
  auto first = otp::gen_server::start_link<idle>({.name = "x"}).value();
  otp::gen_server::stop(otp::pid(first));
  require(otp::gen_server::start_link<idle>({.name = "x"}).has_value(), "it has stopped: its name is free");
}

// ---- monitors and links --------------------------------------------------------------------------------------------

void silent_dead(bool) {
  otp::pid other = otp::spawn([] {});
  otp::monitor(other);
  require(receives<otp::down>(), "a monitor always ends with a DOWN");
}

void down_twice(bool) {
  otp::pid other = otp::spawn([] {});
  otp::monitor(other);
  require(receives<otp::down>(), "one DOWN");
  require(!receives<otp::down>(), "and no other");
}

void demonitor_keeps_down(bool) {
  otp::pid other = otp::spawn([] {});
  otp::ref watch = otp::monitor(other);
  otp::demonitor(watch, {.flush = true});
  require(!receives<otp::down>(), "nothing is left of a monitor that was flushed");
}

void link_to_dying_lost(bool) {
  otp::trap_exit(true);
  otp::pid other = otp::spawn([] {});
  otp::link(other);
  require(receives<otp::exit_signal>(), "a link always ends with an exit signal");
}

void unlink_not_acknowledged(bool) {
  otp::spawn([] {
    otp::pid me = otp::self();
    otp::pid other = otp::spawn_link([me] {
      otp::unlink(me);
      otp::link(me);
      otp::sleep(1h);
    });
    otp::unlink(other);
    otp::sleep(1h);
  });
  otp::testing::settle();  // now both know of a link, or neither: explore() looks at it
}

void exit_overtakes(bool) {
  otp::pid me = otp::self();
  otp::pid other = otp::spawn([me] {
    otp::trap_exit(true);
    otp::send(me, done{});
    int seen = 0;
    for (int i = 0; i < 2; ++i)
      otp::receive([&](const number&) { require(seen++ == 0, "the message was first"); },
                   [&](const otp::exit_signal&) { require(seen++ == 1, "the exit signal came behind the message"); });
    otp::send(me, done{});
  });
  wait_for(1);
  otp::send(other, number{1});
  otp::exit(other, otp::reason::shutdown);
  wait_for(1);
}

void normal_kills(bool) {
  otp::pid me = otp::self();
  otp::spawn([me] {
    otp::pid child = otp::spawn_link([me] {
      otp::sleep(1s);
      otp::send(me, done{});
    });
    static_cast<void>(child);
  });
  require(receives<done>(), "who is linked to a process that ends normally lives");
}

void kill_travels(bool) {
  otp::pid me = otp::self();
  otp::pid watched = otp::spawn([] { otp::sleep(1h); });
  otp::spawn([me, watched] {
    otp::trap_exit(true);
    otp::link(watched);
    otp::send(me, done{});
    otp::receive([&](const otp::exit_signal& e) {
      require(e.reason == otp::reason::killed || e.reason == otp::reason::noproc, "killed, not kill");
    });
    otp::send(me, done{});
  });
  wait_for(1);
  otp::exit(watched, otp::reason::kill);
  require(receives<done>(), "`killed` can be trapped");
}

// ---- calls made by hand --------------------------------------------------------------------------------------------

// A call without references takes any reply for its own.
void late_reply(bool broken) {
  otp::pid server = otp::spawn([] {
    for (int i = 0; i < 2; ++i)
      otp::receive([](const ping& p) {
        if (p.value == 1) otp::sleep(10ms);
        otp::send(p.from, pong{p.ref, p.value * 10});
      });
  });
  auto call = [&](std::uint64_t ref, int value, otp::duration limit) -> std::optional<int> {
    otp::send(server, ping{otp::self(), ref, value});
    return otp::receive(otp::when([&](const pong& p) { return broken || p.ref == ref; },
                                  [](const pong& p) { return std::optional(p.value); }),
                        otp::after(limit, []() -> std::optional<int> { return std::nullopt; }));
  };
  call(1, 1, 10ms);
  auto second = call(2, 2, 1s);
  require(second == 20, "the answer to the second question");
}

// References that come round: the reply to a call that was given up answers the one that got its number.
void reference_wraps(bool broken) {
  otp::pid server = otp::spawn([] {
    for (;;)
      otp::receive([](const ping& p) {
        if (p.value == 0) otp::sleep(8ms);
        otp::send(p.from, pong{p.ref, p.value});
      });
  });
  std::uint64_t last = 0;
  for (int i = 0; i < 5; ++i) {
    std::uint64_t ref = broken ? ++last % 4 : ++last;
    otp::send(server, ping{otp::self(), ref, i});
    otp::receive(otp::when([&](const pong& p) { return p.ref == ref; },
                           [&](const pong& p) { require(p.value == i, "the reply to this request"); }),
                 otp::after(2ms, [] {}));
  }
}

// ---- supervisors ---------------------------------------------------------------------------------------------------

// Spawn, then link: who dies in between is never restarted.
void child_dies_before_link(bool broken) {
  otp::pid me = otp::self();
  otp::spawn([me, broken] {
    otp::trap_exit(true);
    otp::pid child;
    for (int lives = 0; lives < 2; ++lives) {
      child = broken ? otp::spawn([] {}) : otp::spawn_link([] {});
      if (broken) otp::link(child);
      otp::receive([&](const otp::exit_signal& e) {
        require(e.from == child && e.reason == otp::reason::normal, "its end, with its reason");
      });
    }
    otp::send(me, done{});
  });
  wait_for(1);
}

struct worker {
  static constexpr otp::name<worker> name{"worker"};
  static auto start_link() { return otp::gen_server::start_link<worker>({.name = name}); }
  struct get {
    using reply = int;
  };
  int handle_call(get) { return 1; }
};

/// Whose child has begun to stop; of the run that goes on.
bool shutting_down = false;
int instances = 0;

struct early {  // the first child, which is stopped last
  static constexpr otp::name<early> name{"early"};
  static auto start_link() { return otp::gen_server::start_link<early>({.name = name}); }
  early() { require(!shutting_down, "nobody is started while the tree stops"); }
  struct get {
    using reply = int;
  };
  int handle_call(get) { return 1; }
};
struct late {  // takes its time to stop
  static auto start_link() { return otp::gen_server::start_link<late>({.spawn = {.trap_exit = true}}); }
  struct get {
    using reply = int;
  };
  int handle_call(get) { return 1; }
  void terminate(const otp::exit_reason&) {
    shutting_down = true;
    otp::sleep(10ms);
  }
};

void restart_in_shutdown(bool) {
  otp::trap_exit(true);
  shutting_down = false;
  auto tree =
      otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child<early>(), otp::child<late>()}})
          .value();
  otp::spawn([] {
    otp::sleep(5ms);
    if (auto victim = otp::whereis("early")) otp::exit(*victim, otp::reason::kill);
  });
  otp::supervisor::stop(tree, otp::reason::shutdown);
}

void kill_worker_at(std::initializer_list<otp::duration> moments) {
  otp::trap_exit(true);
  static_cast<void>(
      otp::supervisor::start_link(
          {.strategy = otp::one_for_one, .max_restarts = 2, .max_seconds = 5s, .children = {otp::child<worker>()}})
          .value());
  otp::instant start = otp::now();
  for (otp::duration moment : moments) {
    otp::sleep(moment - (otp::now() - start));
    if (auto victim = otp::whereis("worker")) otp::exit(*victim, otp::reason::kill);
    otp::testing::settle();
  }
}
// What explore() counts again: so many restarts, and no more.
void intensity_off_by_one(bool) { kill_worker_at({1s, 2s, 3s, 4s}); }
void window_does_not_slide(bool) { kill_worker_at({8s, 9s, 11s, 12s}); }

struct counted {
  static auto start_link() { return otp::gen_server::start_link<counted>(); }
  counted() { require(++instances <= 2, "one of each child"); }
  ~counted() { --instances; }
  struct get {
    using reply = int;
  };
  int handle_call(get) { return 1; }
};

void one_for_all_twice(bool) {
  instances = 0;
  auto tree = otp::supervisor::start_link({.strategy = otp::one_for_all,
                                           .children = {otp::child<counted>().id("a"), otp::child<counted>().id("b")}})
                  .value();
  auto children = otp::supervisor::which_children(tree);
  otp::exit(children.front().process, otp::reason::kill);
  otp::testing::settle();
  require(instances == 2, "both run again");
}

void unlink_before_shutdown(bool) {
  otp::trap_exit(true);
  auto tree = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child<worker>()}});
  if (!tree) return;  // killed while it started
  otp::exit(otp::pid(*tree), otp::reason::shutdown);
  otp::receive([](const otp::exit_signal&) {});
  otp::testing::settle();
}

// ---- timers --------------------------------------------------------------------------------------------------------

void cancel_lies(bool) {
  otp::pid me = otp::self();
  otp::spawn([me] {
    otp::sleep(10ms);
    otp::send(me, done{});
  });
  otp::testing::settle();
  otp::ref timer = otp::send_after(10ms, me, number{1});  // due at the moment at which it is cancelled
  wait_for(1);
  bool pending = otp::cancel_timer(timer).has_value();
  require(receives<number>() != pending, "either it was cancelled, or it fires");
}

void timer_outlives(bool) {
  otp::pid other = otp::spawn([] {
    otp::send_after(1h, otp::self(), done{});
    otp::receive([](const ping&) {});
  });
  otp::send(other, ping{});
  otp::testing::settle();  // it has ended, and its timer with it: explore() looks at it
}

// ---- mailboxes -----------------------------------------------------------------------------------------------------

void bound_drops_exits(bool) {
  otp::trap_exit(true);
  otp::pid me = otp::self();
  otp::pid consumer = otp::spawn({.mailbox = {.max_messages = 2}}, [] { otp::receive([](done) {}); }).pid;
  otp::ref watch = otp::monitor(consumer);
  otp::spawn([=] {
    for (int i = 0; i < 3; ++i) otp::send(consumer, number{i});
    otp::send(me, done{});
  });
  otp::exit(consumer, otp::reason::shutdown);
  require(
      otp::receive([&](const otp::down& d) { return d.reference == watch; }, otp::after(1min, [] { return false; })),
      "an exit signal is never refused");
}

// ---- what distribution will be made of
// -------------------------------------------------------------------------------

struct up {
  int connection;
};
struct frame {
  int connection;
  int value;
};
struct node_down {
  int connection;
};

// Two connections, one after the other: what is left of the first arrives in the second.
void old_connection(bool broken) {
  otp::pid me = otp::self();
  auto connect = [me](int id) {
    return otp::spawn([me, id] {
      otp::send(me, up{id});
      for (int i = 0; i < 2; ++i) otp::send(me, frame{id, i});
    });
  };
  otp::pid first = connect(1);
  int current = 0;
  otp::receive([&](const up& u) { current = u.connection; });
  otp::exit(first, otp::reason::kill);
  connect(2);
  bool renewed = false;
  while (otp::receive(
      [&](const up& u) {
        current = u.connection;
        renewed = true;
        return true;
      },
      [&](const frame& f) {
        if (!broken && f.connection != current) return true;
        require(!renewed || f.connection == 2, "a message of the old connection in the new one");
        return true;
      },
      otp::after(1s, [] { return false; }))) {
  }
}

// The end of a connection is told by somebody else than its messages.
void nodedown_first(bool broken) {
  otp::pid me = otp::self();
  otp::pid connection = otp::spawn([me] {
    otp::receive([](done) {});
    otp::send(me, frame{1, 1});
  });
  if (broken)
    otp::spawn([=] {
      otp::monitor(connection);
      otp::send(me, up{1});
      otp::receive([](const otp::down&) {});
      otp::send(me, node_down{1});
    });
  else
    otp::monitor(connection);
  if (broken) otp::receive([](const up&) {});
  otp::send(connection, done{});
  bool down = false;
  for (int i = 0; i < 2; ++i)
    otp::receive([&](const frame&) { require(!down, "a message after the node was down"); },
                 [&](const node_down&) { down = true; }, [&](const otp::down&) { down = true; });
}

// ---- what jobs will be made of
// ---------------------------------------------------------------------------------------

struct take {};
struct job {
  int attempt;
};
struct queue {
  struct claim {
    using reply = std::optional<job>;
  };
  struct acknowledge {
    using reply = bool;
    int attempt;
  };
  struct lease_over {
    int attempt;
  };
  using messages = otp::messages<lease_over>;
  explicit queue(bool b) : broken(b) {}
  std::optional<job> handle_call(claim) {
    if (finished || leased) return std::nullopt;
    leased = true;
    ++attempt;
    otp::send_after(10ms, otp::self(), lease_over{attempt});
    return job{attempt};
  }
  bool handle_call(acknowledge a) {
    if (!broken && (!leased || a.attempt != attempt)) return false;
    require(leased && a.attempt == attempt, "who lost the lease cannot finish the job");
    leased = false;
    finished = true;
    return true;
  }
  void handle_info(lease_over l) {
    if (!finished && l.attempt == attempt) leased = false;
  }
  bool broken;
  bool leased = false;
  bool finished = false;
  int attempt = 0;
};

void lease_lost(bool broken) {
  auto jobs = otp::gen_server::start_link<queue>({}, broken).value();
  otp::pid me = otp::self();
  for (int i = 0; i < 2; ++i)
    otp::spawn([=] {
      for (int tries = 0; tries < 3; ++tries) {
        if (auto j = otp::call(jobs, queue::claim{})) {
          otp::sleep(i == 0 ? 10ms : 1ms);  // the work; the first is as slow as its lease is long
          otp::call(jobs, queue::acknowledge{j->attempt});
        }
        otp::sleep(5ms);
      }
      otp::send(me, done{});
    });
  wait_for(2);
}

struct lock_server {
  struct acquire {
    using reply = int;  // the term, 0 if somebody else leads
    int who;
  };
  struct tick {
    using reply = bool;
    int term;
  };
  struct lease_over {
    int term;
  };
  using messages = otp::messages<lease_over>;
  explicit lock_server(bool b) : broken(b) {}
  int handle_call(acquire a) {
    if (leader != 0 && leader != a.who) return 0;
    leader = a.who;
    otp::send_after(10ms, otp::self(), lease_over{++term});
    return term;
  }
  bool handle_call(tick t) {
    if (!broken && (t.term != term || ticked)) return false;
    require(!ticked, "one tick a minute");
    return ticked = true;
  }
  void handle_info(lease_over l) {
    if (l.term == term) leader = 0;
  }
  bool broken;
  bool ticked = false;
  int leader = 0;
  int term = 0;
};

void two_leaders(bool broken) {
  auto lock = otp::gen_server::start_link<lock_server>({}, broken).value();
  otp::pid me = otp::self();
  for (int i = 1; i <= 2; ++i)
    otp::spawn([=] {
      for (int tries = 0; tries < 2; ++tries) {
        if (int term = otp::call(lock, lock_server::acquire{i})) {
          otp::sleep(i == 1 ? 10ms : 1ms);  // believes to lead as long as the lease lasts
          if (otp::call(lock, lock_server::tick{term})) break;
        }
        otp::sleep(10ms);
      }
      otp::send(me, done{});
    });
  wait_for(2);
}

}  // namespace

void canary() { otp::testing::fail("the canary sings"); }

const std::vector<program>& programs() {
  static const std::vector<program> all = {
      {"check, then register", check_then_register},
      {"name released after DOWN", name_after_down, bug::name_after_down},
      {"stop returns before the name is free", stop_before_the_end, bug::stop_before_the_end},
      {"monitor of the dead without DOWN", silent_dead, bug::silent_dead},
      {"DOWN twice", down_twice, bug::down_twice},
      {"demonitor without flush", demonitor_keeps_down, bug::demonitor_keeps_down},
      {"late reply", late_reply},
      {"reply to the wrong caller after a reference wraps", reference_wraps},
      {"link to a dying process lost", link_to_dying_lost, bug::link_to_dying_lost},
      {"unlink without acknowledgement", unlink_not_acknowledged, bug::unlink_not_acknowledged},
      {"exit overtakes a message", exit_overtakes, bug::exit_overtakes},
      {"exit with normal kills", normal_kills, bug::normal_kills},
      {"killed travels along links as a kill", kill_travels, bug::kill_travels},
      {"child dies before its link", child_dies_before_link},
      {"restart while shutting down", restart_in_shutdown, bug::restart_in_shutdown},
      {"intensity off by one", intensity_off_by_one, bug::intensity_off_by_one},
      {"intensity window does not slide", window_does_not_slide, bug::window_does_not_slide},
      {"one_for_all starts a child twice", one_for_all_twice, bug::one_for_all_twice},
      {"orphan when the supervisor is killed",
       unlink_before_shutdown,
       bug::unlink_before_shutdown,
       {faults::kill_any()}},
      {"timer fires after its cancel", cancel_lies, bug::cancel_lies},
      {"timer of a dead owner", timer_outlives, bug::timer_outlives},
      {"mailbox bound drops an EXIT", bound_drops_exits, bug::bound_drops_exits},
      {"message of an old connection in a new one", old_connection},
      {"nodedown before the last message", nodedown_first},
      {"job acknowledged after its lease was lost", lease_lost},
      {"cron tick twice with two leaders", two_leaders},
  };
  return all;
}

}  // namespace sim
