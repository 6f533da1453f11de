// D: supervisors that are killed, stopped in the middle of something, or given children that do not behave; and starts
// that fail (A07, A08), as their starters see them.
#include "faults/support.hpp"

#include <otp/dynamic_supervisor.hpp>
#include <otp/gen_server.hpp>
#include <otp/partition_supervisor.hpp>
#include <otp/proc_lib.hpp>
#include <otp/supervisor.hpp>
#include <otp/sys.hpp>

#include <algorithm>
#include <latch>
#include <memory>
#include <stdexcept>
#include <thread>

using namespace faults;
using otp::exit_reason;
using otp::pid;
using otp::reason::killed;
using otp::reason::noproc;
using otp::reason::normal;
using otp::reason::shutdown;

namespace {

[[noreturn]] void rest() {
  for (;;) otp::receive(otp::when([](const std::monostate&) { return false; }, [](const std::monostate&) {}));
}

// A worker that writes down its start and its end, which takes as long as told.
struct unit {
  struct finish {
    exit_reason why;
  };
  unit(journal to, std::string called, otp::duration last = 0s)
      : log(std::move(to)), name(std::move(called)), end(last) {
    otp::trap_exit(true);
    log.add("+" + name);
  }
  otp::handler_result handle_cast(const finish& f) { return otp::stop(f.why); }
  void terminate(const exit_reason& why) {
    if (end > 0s) log.add("asked " + name);
    otp::sleep(end);
    log.add("-" + name + " " + why.to_string());
  }
  journal log;
  std::string name;
  otp::duration end;
};

otp::child_spec unit_spec(const journal& log, const std::string& name, otp::duration end = 0s) {
  return otp::child<unit>(log, name, end).id(name);
}
void finish(pid child, exit_reason why) { otp::cast(otp::server<unit>(child), unit::finish{std::move(why)}); }
pid process_of(const otp::supervisor_ref& sup, const otp::child_id& id) {
  return otp::supervisor::get_child(sup, id).value().process;
}
// The exit signals that wait in the mailbox, oldest first.
std::vector<exit_reason> exits() {
  std::vector<exit_reason> all;
  while (auto one = otp::receive([](otp::exit_signal& s) { return std::optional(s.reason); },
                                 otp::after(0s, [] { return std::optional<exit_reason>(); })))
    all.push_back(*one);
  return all;
}

// ---- starts that fail --------------------------------------------------------------------------------------------

enum class fault { thrown, exited, refused, normal_exit, ignored };

void fail(fault how) {
  if (how == fault::thrown) throw std::runtime_error("no luck");
  if (how == fault::exited) otp::exit("no luck");
  if (how == fault::normal_exit) otp::exit(normal);
}
struct failing {
  static otp::init_result<failing> init(fault how) {
    fail(how);
    if (how == fault::refused) return otp::stop("no luck");
    return otp::ignore();
  }
  int unused = 0;
};
struct failing_module {
  static otp::supervisor_init init(fault how) {
    fail(how);
    if (how == fault::refused)
      return otp::supervisor_spec{.strategy = otp::one_for_one,
                                  .children = {otp::child_function("child", []() -> pid { otp::exit("no luck"); })}};
    return otp::ignore();
  }
};

// Every way to start a process that may fail, as {name, what it returned}.
std::vector<std::pair<std::string, std::function<std::optional<exit_reason>(fault)>>> starters() {
  auto outcome = [](const auto& made) { return made ? std::nullopt : std::optional<exit_reason>(made.error()); };
  return {
      {"gen_server", [=](fault how) { return outcome(otp::gen_server::start_link<failing>({.name = "wanted"}, how)); }},
      {"supervisor",
       [=](fault how) { return outcome(otp::supervisor::start_link<failing_module>({.name = "wanted"}, how)); }},
      {"proc_lib", [=](fault how) {
         return outcome(otp::proc_lib::start_link([how] {
           otp::register_name("wanted", otp::self());
           fail(how);
           if (how == fault::refused) otp::proc_lib::init_fail("no luck");
           otp::exit(normal);  // nothing to do, and says so
         }));
       }}};
}

}  // namespace

// covers: A07
TEST(fault_supervisors, a_start_that_fails_gives_its_reason_and_leaves_the_name_free) {
  for_seeds(30, [] {
    otp::trap_exit(true);
    for (auto& [kind, start] : starters())
      for (fault how : {fault::thrown, fault::exited, fault::refused, fault::normal_exit, fault::ignored}) {
        SCOPED_TRACE(kind + " " + std::to_string(static_cast<int>(how)));
        auto why = start(how);
        // At once: the name can be taken by whoever sees the error.
        EXPECT_FALSE(otp::whereis("wanted"));
        otp::register_name("wanted", otp::self());
        otp::unregister_name("wanted");
        ASSERT_TRUE(why);
        switch (how) {
          case fault::thrown: EXPECT_EQ(*why, otp::reason::error("std::runtime_error", "no luck")); break;
          case fault::exited: EXPECT_EQ(*why, "no luck"); break;
          case fault::refused:
            if (kind == "supervisor")
              EXPECT_EQ(*why, shutdown(otp::failed_to_start_child{"child", "no luck"}));
            else
              EXPECT_EQ(*why, "no luck");
            break;
          case fault::normal_exit: EXPECT_EQ(*why, normal); break;
          case fault::ignored:
            EXPECT_EQ(*why, kind == "proc_lib" ? exit_reason() : exit_reason(otp::reason::ignore));
            break;
        }
        EXPECT_EQ(otp::process_count(), 1U);
      }
  });
}

// covers: A08
TEST(fault_supervisors, a_start_that_fails_is_one_error_and_one_exit_signal) {
  for_seeds(30, [] {
    otp::trap_exit(true);
    for (auto& [kind, start] : starters())
      for (fault how : {fault::thrown, fault::exited, fault::refused, fault::normal_exit, fault::ignored}) {
        SCOPED_TRACE(kind + " " + std::to_string(static_cast<int>(how)));
        auto why = start(how);
        ASSERT_TRUE(why);
        // The signal is there when the error is, and no other comes later.
        auto signals = exits();
        ASSERT_EQ(signals.size(), 1U);
        EXPECT_EQ(signals[0], how == fault::ignored ? exit_reason() : *why);
        otp::testing::settle();
        EXPECT_TRUE(exits().empty());
      }
    // Who does not trap exits survives a start that declines, and gets no message of it.
    for (auto& [kind, start] : starters()) {
      SCOPED_TRACE(kind);
      EXPECT_EQ(end_of([&begin = start] {
                  ASSERT_TRUE(begin(fault::ignored));
                  otp::testing::settle();
                  EXPECT_EQ(otp::info(otp::self())->message_queue_len, 0U);
                }),
                normal);
      // And dies of one that fails, with its reason.
      EXPECT_EQ(end_of([&begin = start] {
                  static_cast<void>(begin(fault::exited));
                  ADD_FAILURE() << "it outlived a linked process that failed";
                }),
                "no luck");
    }
  });
}

// ---- the supervisor is killed ------------------------------------------------------------------------------------

namespace {

// Three levels with every kind of supervisor: 1 + 4 supervisors and 4 * 5 workers, of which some trap exits.
constexpr std::size_t tree_size = 25;

otp::result<pid> start_tree(const journal& log) {
  auto plain = [](int n) { return otp::child_function(n, [] { return otp::spawn_link([] { rest(); }); }); };
  otp::supervisor_spec inner{.strategy = otp::rest_for_one,
                             .children = {plain(1), plain(2), unit_spec(log, "u"), unit_spec(log, "v"), plain(3)}};
  otp::supervisor_spec simple{.strategy = otp::simple_one_for_one,
                              .children = {otp::child_template<unit, journal, std::string>()}};
  auto root = otp::supervisor::start_link(
      {.strategy = otp::one_for_all,
       .children = {otp::child_supervisor("inner", std::move(inner)),
                    otp::child_dynamic_supervisor({.name = "dynamic"}),
                    otp::child_supervisor("simple", std::move(simple)),
                    otp::child_partition_supervisor(
                        {.name = "partitions"},
                        {.child = otp::child<unit>(log, std::string("p"), otp::duration(0)), .partitions = 5})}},
      {.name = "root"});
  if (!root) return std::unexpected(root.error());
  for (int i = 0; i < 5; ++i) {
    static_cast<void>(otp::dynamic_supervisor::start_child("dynamic", i % 2 ? plain(i) : unit_spec(log, "d")).value());
    static_cast<void>(
        otp::supervisor::start_child(process_of(*root, "simple"), otp::extra(log, std::string("s"))).value());
  }
  return root->pid();
}

}  // namespace

// covers: D10
TEST(fault_supervisors, when_a_supervisor_is_killed_all_its_descendants_end) {
  auto body = [] {
    otp::trap_exit(true);
    journal log;
    std::size_t before = otp::process_count();
    pid root = start_tree(log).value();
    ASSERT_EQ(otp::process_count(), before + tree_size);
    std::vector<otp::ref> ends;
    for (pid p : otp::processes())
      if (p != otp::self()) ends.push_back(otp::monitor(p));
    log.take();
    otp::exit(root, otp::reason::kill);
    for (otp::ref end : ends) {
      exit_reason why = reason_of(end);
      EXPECT_TRUE(why == killed || why == shutdown) << why.to_string();
    }
    EXPECT_TRUE(eventually_here([&] { return otp::process_count() == before; })) << otp::process_count();
    for (const char* name : {"root", "dynamic", "partitions"}) EXPECT_FALSE(otp::whereis(name));
    // Those that trap exits were told, once each, and nobody was started meanwhile.
    auto lines = log.take();
    EXPECT_EQ(lines.size(), 2U + 3U + 5U + 5U);
    for (auto& line : lines) EXPECT_EQ(line[0], '-') << line;
    ASSERT_EQ(exits(), std::vector<exit_reason>{killed});
  };
  for_seeds(100, body);
  in_real_time(body);
}

// ---- a child that is exiting by itself ---------------------------------------------------------------------------

// covers: D11
TEST(fault_supervisors, a_child_that_is_exiting_by_itself_is_terminated_once_and_keeps_its_reason) {
  event_log events;
  otp::runtime_options options;
  options.listener = &events;
  struct end {
    exit_reason why;
    otp::restart_type restart;
    bool odd;  // such an end is reported
  };
  for_seeds(
      100,
      [&] {
        otp::trap_exit(true);
        for (const end& e : {end{"own", otp::permanent, true}, end{"own", otp::transient, true},
                             end{"own", otp::temporary, true}, end{normal, otp::permanent, true},
                             end{normal, otp::transient, false}, end{shutdown, otp::permanent, false}}) {
          SCOPED_TRACE(e.why.to_string());
          // Slow: it is in its terminate when it is asked to end. Quick: anything may come first.
          for (bool slow : {true, false}) {
            journal log;
            auto sup =
                otp::supervisor::start_link({.strategy = otp::one_for_one,
                                             .children = {unit_spec(log, "child", slow ? 1s : 0s).restart(e.restart)}})
                    .value();
            pid child = process_of(sup, "child");
            otp::ref watch = otp::monitor(child);
            events.clear();
            log.take();
            finish(child, e.why);
            if (slow) otp::testing::settle();
            auto done = otp::supervisor::terminate_child(sup, "child");
            exit_reason why = reason_of(watch);
            otp::testing::settle();
            auto lines = log.take();
            if (slow) {
              ASSERT_TRUE(done);
              EXPECT_EQ(why, e.why);
              EXPECT_EQ(lines, (strings{"asked child", "-child " + e.why.to_string()}));
              auto reports = events.of("shutdown_error");
              ASSERT_EQ(reports.size(), e.odd ? 1U : 0U);
              if (e.odd) {
                EXPECT_EQ(reports[0].reason, e.why);
              }
            } else {
              // By its own reason, by ours, or it had ended before and its successor was terminated.
              EXPECT_TRUE(why == e.why || why == shutdown) << why.to_string();
              EXPECT_TRUE(done || (e.restart == otp::temporary && done.error() == otp::reason::not_found));
              EXPECT_TRUE(lines.size() == 1 || lines.size() == 3) << lines.size();
            }
            for (auto& event : events.all()) EXPECT_NE(event.reason, noproc) << event.what;
            EXPECT_EQ(otp::supervisor::count_children(sup).active, 0U);
            otp::supervisor::stop(sup);
            EXPECT_EQ(exits(), std::vector<exit_reason>{normal});
          }
        }
      },
      options);
}

// covers: D11
TEST(fault_supervisors, the_end_of_a_child_that_the_supervisor_has_not_looked_at_is_no_noproc) {
  event_log events;
  otp::runtime_options options;
  options.listener = &events;
  for_seeds(
      30,
      [&] {
        otp::trap_exit(true);
        journal log;
        auto sup =
            otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {unit_spec(log, "child")}}).value();
        pid child = process_of(sup, "child");
        log.take();
        events.clear();
        // The request is first in its mailbox, the end of the child second: when it is asked to end it is gone.
        otp::sys::suspend(sup);
        otp::ref asked =
            otp::spawn_monitor([sup] { EXPECT_TRUE(otp::supervisor::terminate_child(sup, "child")); }).monitor;
        otp::testing::settle();
        finish(child, "own");
        otp::testing::settle();
        otp::sys::resume(sup);
        EXPECT_EQ(reason_of(asked), normal);
        EXPECT_EQ(log.take(), strings{"-child \"own\""});
        auto reports = events.of("shutdown_error");
        ASSERT_EQ(reports.size(), 1U);
        EXPECT_EQ(reports[0].reason, exit_reason("own"));
        EXPECT_EQ(otp::supervisor::count_children(sup).active, 0U);
      },
      options);
}

// ---- start_child while it shuts down -----------------------------------------------------------------------------

// covers: D14
TEST(fault_supervisors, a_supervisor_that_shuts_down_refuses_to_start_children_at_once) {
  for_seeds(50, [] {
    otp::trap_exit(true);
    for (bool dynamic : {false, true}) {
      journal log;
      pid sup = dynamic ? otp::dynamic_supervisor::start_link().value().pid()
                        : otp::supervisor::start_link({.strategy = otp::one_for_one}).value().pid();
      ASSERT_TRUE(otp::supervisor::start_child(sup, unit_spec(log, "slow", 4s)));
      log.take();
      auto refused = [&](const char* id) {
        auto added = otp::supervisor::start_child(sup, unit_spec(log, id));
        ASSERT_FALSE(added);
        EXPECT_EQ(added.error(), otp::reason::stopping);
      };
      // One that comes before the order but has to wait for it, one that comes while the child takes its time.
      otp::sys::suspend(sup);
      otp::ref waiting = otp::spawn_monitor([&] { refused("waiting"); }).monitor;
      otp::testing::settle();
      otp::ref watch = otp::monitor(sup);
      otp::spawn([sup] { otp::supervisor::stop(sup); });
      otp::testing::advance(2s);
      EXPECT_EQ(reason_of(waiting), normal);
      auto begin = otp::now();
      refused("late");
      if (!dynamic) {
        EXPECT_EQ(otp::supervisor::restart_child(sup, "slow").error(), otp::reason::stopping);
      }
      EXPECT_EQ(otp::now(), begin);
      EXPECT_EQ(reason_of(watch), normal);
      EXPECT_EQ(otp::now() - begin, 2s);
      EXPECT_EQ(log.take(), (strings{"asked slow", "-slow shutdown"}));
      otp::testing::settle();
      EXPECT_EQ(otp::process_count(), 1U);
      // And later there is nobody to ask.
      try {
        refused("too late");
        ADD_FAILURE() << "a supervisor that is gone has answered";
      } catch (const otp::exited& e) {
        EXPECT_EQ(e.reason().cause(), noproc);
      }
      exits();
    }
  });
}

// covers: D14
TEST(fault_supervisors, who_adds_children_to_a_supervisor_that_ends_is_answered_and_no_child_is_left) {
  auto body = [] {
    otp::trap_exit(true);
    for (int round = 0; round < 5; ++round) {
      pid sup = otp::dynamic_supervisor::start_link().value().pid();
      std::vector<otp::ref> adders;
      for (int i = 0; i < 4; ++i)
        adders.push_back(otp::spawn_monitor([sup] {
                           for (;;) {
                             auto made = otp::dynamic_supervisor::start_child(
                                 sup, otp::child_function("x", [] { return otp::spawn_link([] { rest(); }); }));
                             if (!made) {
                               EXPECT_EQ(made.error(), otp::reason::stopping);
                               return;
                             }
                           }
                         }).monitor);
      while (otp::dynamic_supervisor::count_children(sup).active < 20) otp::yield();
      otp::dynamic_supervisor::stop(sup);
      for (otp::ref adder : adders) {
        exit_reason why = reason_of(adder);
        EXPECT_TRUE(why == normal || why.cause() == noproc || why.cause() == normal) << why.to_string();
      }
      EXPECT_TRUE(eventually_here([] { return otp::process_count() == 1; })) << otp::process_count();
    }
  };
  for_seeds(20, body);
  in_real_time(body);
}

// ---- a start that does not end -----------------------------------------------------------------------------------

namespace {

// A server whose init never returns, or whose start function waits itself.
struct endless {
  endless() { rest(); }
};

otp::supervisor_spec hangs_at(const journal& log, otp::child_spec last) {
  return {.strategy = otp::one_for_one, .children = {unit_spec(log, "first"), std::move(last)}};
}

}  // namespace

// covers: D15
TEST(fault_supervisors, a_start_that_does_not_end_has_its_shutdown_time_when_the_tree_is_stopped) {
  event_log events;
  otp::runtime_options options;
  options.listener = &events;
  for_seeds(
      30,
      [&] {
        otp::trap_exit(true);
        for (auto& [spec, patience] :
             {std::pair(otp::child<endless>().id("endless").shutdown(3s), otp::duration(3s)),
              std::pair(otp::child<endless>().id("endless").shutdown(otp::brutal_kill), otp::duration(0s)),
              std::pair(otp::child_function("endless", []() -> pid { rest(); }), otp::duration(5s))}) {
          journal log;
          events.clear();
          auto starter = otp::spawn_monitor([&log, &first = spec] {
            static_cast<void>(otp::supervisor::start_link(
                {.strategy = otp::one_for_one, .children = {otp::child_supervisor("inner", hangs_at(log, first))}}));
            ADD_FAILURE() << "it started";
          });
          otp::testing::advance(1h);  // nothing ends it
          EXPECT_EQ(log.take(), strings{"+first"});
          auto begin = otp::now();
          // The starter ends: its supervisor ends, and so on down the tree.
          otp::exit(starter.pid, otp::reason::kill);
          EXPECT_EQ(reason_of(starter.monitor), killed);
          otp::testing::advance(patience);
          EXPECT_EQ(otp::process_count(), 1U);
          EXPECT_EQ(otp::now() - begin, patience);
          EXPECT_EQ(log.take(), strings{"-first shutdown"});
          bool named = false;
          for (auto& e : events.of("start_error")) named = named || e.field("id") == "\"endless\"";
          EXPECT_TRUE(named);
        }
      },
      options);
}

// covers: D15
TEST(fault_supervisors, a_runtime_stops_by_its_deadline_and_names_the_child_whose_start_hangs) {
  // A start function that waits can be called back; the tree stops cleanly and the report names the child.
  {
    program p;
    journal log;
    std::latch hanging(1);
    p.rt().spawn([&] {
      static_cast<void>(otp::supervisor::start_link(
          {.strategy = otp::one_for_one,
           .children = {otp::child_supervisor("inner", hangs_at(log, otp::child_function("patient", [&]() -> pid {
                                                                       hanging.count_down();
                                                                       rest();
                                                                     }).shutdown(otp::infinity)))}}));
    });
    hanging.wait();
    auto begin = std::chrono::steady_clock::now();
    auto report = p.stop(1s);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
    EXPECT_TRUE(report.clean());
    bool named = false;
    for (auto& e : p.events().of("start_error")) named = named || e.field("id") == "\"patient\"";
    EXPECT_TRUE(named);
    EXPECT_EQ(log.take(), (strings{"+first", "-first shutdown"}));
  }
  // One that blocks its thread cannot: the supervisor that runs it is given up, and the child is named.
  {
    program p;
    journal log;
    std::latch hanging(1);
    std::latch release(1);
    p.rt().spawn([&] {
      static_cast<void>(otp::supervisor::start_link(
          {.strategy = otp::one_for_one,
           .children = {unit_spec(log, "elder"),
                        otp::child_supervisor("inner", hangs_at(log, otp::child_function("deaf", [&]() -> pid {
                                                                  hanging.count_down();
                                                                  release.wait();
                                                                  return otp::spawn_link([] { rest(); });
                                                                })))}}));
    });
    hanging.wait();
    std::thread later([&] {
      // Not before the inner supervisor was given up: what it does from then on no longer matters.
      eventually([&] {
        for (auto& e : p.events().of("abandoned"))
          if (e.field("cause").find("deaf") != std::string::npos) return true;
        return false;
      });
      release.count_down();
    });
    auto begin = std::chrono::steady_clock::now();
    auto report = p.stop(1s);
    later.join();
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
    std::string left;
    for (auto& l : report.abandoned) left += l.name + ": " + l.why + "\n";
    EXPECT_NE(left.find("starting child \"deaf\""), std::string::npos) << left;
    // Whoever waits on a stack of the same thread cannot run either; those without a stack are ended.
    EXPECT_EQ(p.rt().counters().processes, 0U);
  }
}

// ---- too many at once --------------------------------------------------------------------------------------------

// A process that was killed and had not had its turn when the kill budget was over was abandoned, and its state kept
// for good, though all that was late was the machine. covers: D09
TEST(fault_supervisors, children_that_wait_for_their_turn_to_die_are_not_given_up) {
  otp::runtime_options options;
  options.workers = 1;
  options.kill_budget = 1ns;
  program p(options);
  p.run([&] {
    otp::trap_exit(true);
    constexpr int children = load(20'000, 5'000, 2'000);
    otp::supervisor_spec spec{.strategy = otp::one_for_one, .max_restarts = children};
    struct idle {};
    for (int i = 0; i < children; ++i) spec.children.push_back(otp::child<idle>().id(i));
    auto sup = otp::supervisor::start_link(std::move(spec)).value();
    auto before = otp::supervisor::which_children(sup);
    for (auto& child : before) otp::exit(child.process, otp::reason::kill);
    EXPECT_TRUE(eventually_here([&] {
      return otp::counters().exited >= static_cast<std::uint64_t>(children) &&
             otp::supervisor::count_children(sup).active == static_cast<std::size_t>(children);
    }));
    otp::supervisor::stop(sup);
  });
  EXPECT_EQ(p.events().count("abandoned"), 0U);
  EXPECT_EQ(p.rt().counters().abandoned, 0U);
}

// ---- order -------------------------------------------------------------------------------------------------------

// covers: D16
TEST(fault_supervisors, a_tree_of_three_levels_stops_in_strict_reverse_start_order) {
  for_seeds(50, [] {
    otp::trap_exit(true);
    journal log;
    auto level = [&](const std::string& name, std::vector<otp::child_spec> children) {
      return otp::child_supervisor(name, {.strategy = otp::one_for_one, .children = std::move(children)},
                                   {.name = name});
    };
    auto one = [&](const std::string& name) { return unit_spec(log, name, 1s); };
    auto root = otp::supervisor::start_link(
                    {.strategy = otp::one_for_one,
                     .children = {level("A", {one("a1"), level("B", {one("b1"), one("b2")}), one("a2")}), one("c"),
                                  level("D", {level("E", {one("e1"), one("e2")}), one("d1")})}})
                    .value();
    EXPECT_EQ(log.take(), (strings{"+a1", "+b1", "+b2", "+a2", "+c", "+e1", "+e2", "+d1"}));
    // The supervisors write down their ends through who watches them: a worker's end takes a second, so the times tell.
    auto begin = otp::now();
    for (const char* name : {"A", "B", "D", "E"})
      otp::spawn([&log, name, begin, watched = otp::whereis(name).value()] {
        EXPECT_EQ(reason_of(otp::monitor(watched)), shutdown);
        log.add("after " + std::to_string((otp::now() - begin) / 1s) + " s " + name);
      });
    otp::testing::settle();
    otp::supervisor::stop(root);
    otp::testing::settle();
    strings supervisors;
    strings workers;
    for (auto& line : log.take()) (line.starts_with("after") ? supervisors : workers).push_back(line);
    strings expected;
    for (const char* name : {"d1", "e2", "e1", "c", "a2", "b2", "b1", "a1"}) {
      expected.push_back(std::string("asked ") + name);
      expected.push_back(std::string("-") + name + " shutdown");
    }
    EXPECT_EQ(workers, expected);
    std::sort(supervisors.begin(), supervisors.end());
    EXPECT_EQ(supervisors, (strings{"after 3 s D", "after 3 s E", "after 7 s B", "after 8 s A"}));
    EXPECT_EQ(otp::now() - begin, 8s);
    EXPECT_EQ(otp::process_count(), 1U);
  });
}
