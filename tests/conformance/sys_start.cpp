// The start library: processes that are started synchronously, and what they know of their origin.
#include "conformance/gen_server_support.hpp"

#include <otp/proc_lib.hpp>
#include <otp/sys.hpp>

namespace {

using namespace conformance;
namespace proc_lib = otp::proc_lib;

// covers: SYS-029
TEST(sys_start, the_starter_waits_for_the_acknowledgement_and_gets_its_value) {
  seeded([] {
    for (int form = 0; form < 2; ++form) {
      auto body = [] {
        otp::sleep(3s);
        proc_lib::init_ack(std::string("ready"));
        proc_lib::init_ack(std::string("said once is enough"));
        rest();
      };
      otp::result<otp::detail::started> s;
      EXPECT_EQ(time_of([&] { s = form == 0 ? proc_lib::start(body) : proc_lib::start_link(body); }), 3s);
      ASSERT_TRUE(s);
      EXPECT_EQ(s->value, otp::term("ready"));
      EXPECT_TRUE(otp::is_alive(s->process));
      otp::unlink(s->process);
      otp::exit(s->process, otp::reason::kill);
    }
    // An end without acknowledgement is a failed start, with the reason.
    EXPECT_EQ(proc_lib::start([] { throw std::runtime_error("broken"); }).error(),
              otp::reason::error("std::runtime_error", "broken"));
    EXPECT_EQ(proc_lib::start([] { proc_lib::init_fail("not today"); }).error(), "not today");
    EXPECT_EQ(proc_lib::start([] {}).error(), normal);
  });
}

// covers: SYS-031
TEST(sys_start, who_is_late_is_killed_and_the_link_leaves_no_exit_message) {
  seeded([] {
    otp::trap_exit(true);
    otp::pid late;
    auto body = [&late] {
      late = otp::self();
      otp::sleep(1h);
    };
    for (int form = 0; form < 2; ++form) {
      EXPECT_EQ(time_of([&] {
                  auto s =
                      form == 0 ? proc_lib::start(body, {.timeout = 2s}) : proc_lib::start_link(body, {.timeout = 2s});
                  EXPECT_EQ(s.error(), otp::reason::timeout);
                }),
                2s);
      EXPECT_FALSE(otp::is_alive(late));
      EXPECT_TRUE(mailbox_empty());
    }
  });
}

// covers: SYS-032
TEST(sys_start, with_link_both_are_linked_before_it_runs_and_without_a_failure_does_not_reach_the_starter) {
  everywhere(10, [] {
    otp::trap_exit(true);
    otp::pid me = otp::self();
    auto linked = proc_lib::start_link([me] {
                    auto mine = otp::info(otp::self());
                    proc_lib::init_ack(mine && mine->links == std::vector{me});
                    rest();
                  }).value();
    EXPECT_EQ(linked.value, otp::term(true));
    otp::exit(linked.process, "gone");
    EXPECT_EQ(next<otp::exit_signal>().reason, "gone");
    EXPECT_FALSE(proc_lib::start([] { otp::exit("failed"); }));
    auto loose = proc_lib::start([] {
                   proc_lib::init_ack();
                   rest();
                 }).value();
    otp::exit(loose.process, "gone");
    end_of(loose.process);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: SYS-033
TEST(sys_start, the_monitored_form_returns_the_monitor_with_the_result) {
  everywhere(10, [] {
    auto s = proc_lib::start_monitor([] {
               proc_lib::init_ack(7);
               otp::receive([](const std::string& why) { otp::exit(why); });
             }).value();
    EXPECT_EQ(s.value, otp::term(7));
    ASSERT_TRUE(s.monitor);
    otp::send(s.process, "told to");
    EXPECT_EQ(reason_of(s.monitor), "told to");
    EXPECT_EQ(proc_lib::start_monitor([] { otp::exit("failed"); }).error(), "failed");
    EXPECT_TRUE(mailbox_empty()) << "no down of a start that failed";
  });
}

// covers: SYS-035
TEST(sys_start, a_monitor_among_the_spawn_options_is_a_bad_argument) {
  // A monitor asked for there had nowhere to go: start() and start_link() returned no reference, and its down came as
  // a message that nobody knew.
  seeded([] {
    std::size_t before = otp::process_count();
    EXPECT_THROW(static_cast<void>(proc_lib::start([] {}, {.spawn = {.monitor = true}})), otp::bad_argument);
    EXPECT_THROW(static_cast<void>(proc_lib::start_link([] {}, {.spawn = {.monitor = true}})), otp::bad_argument);
    EXPECT_EQ(otp::process_count(), before) << "nothing was started";
  });
}

// covers: SYS-036
TEST(sys_start, other_spawn_options_are_passed_on) {
  everywhere(3, [] {
    auto s = proc_lib::start(
                 [] {
                   proc_lib::init_ack();
                   rest();
                 },
                 {.spawn = {.priority = otp::priority::high, .trap_exit = true, .label = "labelled"}})
                 .value();
    auto i = otp::info(s.process).value();
    EXPECT_EQ(i.priority, otp::priority::high);
    EXPECT_TRUE(i.trap_exit);
    EXPECT_EQ(i.label, "labelled");
    otp::exit(s.process, otp::reason::kill);
  });
}

// ---- ancestry ----------------------------------------------------------------------------------------------------

struct plain {
  void handle_cast(otp::exit_reason why) { otp::exit(why); }
};
struct tree {
  static otp::supervisor_spec init() { return {.strategy = otp::one_for_one}; }
};

// covers: SYS-038
TEST(sys_start, a_process_knows_its_initial_call) {
  everywhere(3, [] {
    auto s = otp::gen_server::start_link<plain>().value();
    EXPECT_EQ(otp::info(s)->initial_call, std::string(otp::detail::type_name<plain>) + "::init");
    auto t = otp::supervisor::start_link<tree>().value();
    EXPECT_EQ(otp::info(t)->initial_call, "supervisor:" + std::string(otp::detail::type_name<tree>));
    auto body = [] { rest(); };
    otp::pid p = otp::spawn_link(body);
    EXPECT_EQ(otp::info(p)->initial_call, otp::detail::type_name<decltype(body)>) << "of a function its type";
    otp::unlink(p);
    otp::exit(p, otp::reason::kill);
  });
}

// covers: SYS-039
TEST(sys_start, tasks_record_on_whose_behalf_they_run_nearest_first) {
  everywhere(5, [] {
    otp::pid me = otp::self();
    auto outer = otp::async([me] {
      otp::pid mine = otp::self();
      EXPECT_EQ(otp::callers(), std::vector{me});
      auto inner = otp::async([me, mine] { return otp::callers() == std::vector{mine, me}; });
      return otp::await(inner);
    });
    EXPECT_TRUE(otp::await(outer));
    EXPECT_EQ(otp::callers(), std::vector<otp::pid>{});
  });
}

// covers: SYS-040
TEST(sys_start, label_and_initial_call_are_seen_in_inspection_and_in_crash_reports) {
  for_seeds_with_journal(3, [](event_log& events) {
    auto s = otp::gen_server::start<plain>({.spawn = {.label = "worker 7"}}).value();
    auto i = otp::info(s).value();
    EXPECT_EQ(i.label, "worker 7");
    EXPECT_EQ(i.initial_call, std::string(otp::detail::type_name<plain>) + "::init");
    otp::cast(s, otp::exit_reason("odd"));
    end_of(s);
    otp::event crash = events.one("crash");
    EXPECT_EQ(crash.field("label"), "worker 7");
    EXPECT_EQ(crash.field("initial_call"), i.initial_call);
  });
}

}  // namespace
