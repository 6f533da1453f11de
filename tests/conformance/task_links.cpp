// Tasks: what the death of one side does to the other.
#include "conformance/task_support.hpp"

using namespace conformance;

// covers: TASK-013
TEST(task_links, a_failing_task_takes_an_owner_with_it_that_does_not_trap_exits) {
  everywhere(20, [] {
    // Awaiting or not.
    EXPECT_EQ(ends_with([] {
                auto t = otp::async([] { otp::exit("broken"); });
                otp::sleep(otp::infinity);
              }),
              "broken");
    EXPECT_EQ(ends_with([] {
                auto t = otp::async([]() -> int { throw std::runtime_error("raised"); });
                otp::await(t, otp::infinity);
              }).cause(),
              otp::reason::error("std::runtime_error", "raised"));
    // A normal end does not.
    EXPECT_EQ(ends_with([] {
                auto t = otp::async([] {
                  otp::receive([](go) {});
                  otp::exit(normal);
                });
                otp::ref end = otp::monitor(t.pid());
                otp::send(t.pid(), go{});
                EXPECT_EQ(reason_of(end), normal);
                otp::exit("still there");
              }),
              "still there");
  });
}

// covers: TASK-014
TEST(task_links, an_owner_that_ends_abnormally_ends_its_task_with_the_same_reason) {
  everywhere(20, [] {
    otp::pid me = otp::self();
    for (otp::exit_reason why : {otp::exit_reason(shutdown), otp::exit_reason("crash")}) {
      otp::pid owner = otp::spawn([me] {
        auto t = on_go(1);
        otp::send(me, t.pid());
        otp::sleep(otp::infinity);
      });
      otp::ref r = otp::monitor(next<otp::pid>());
      otp::exit(owner, why);
      EXPECT_EQ(reason_of(r), why);
    }
    // One that ends well lets it run on.
    otp::spawn([me] {
      auto t = on_go(1);
      otp::send(me, t.pid());
    });
    otp::pid left = next<otp::pid>();
    otp::ref r = otp::monitor(left);
    otp::send(left, go{});
    EXPECT_EQ(reason_of(r), normal);
  });
}

// covers: TASK-017
TEST(task_links, awaiting_a_task_that_died_exits_also_an_owner_that_traps) {
  everywhere(20, [] {
    EXPECT_EQ(ends_with([] {
                otp::trap_exit(true);
                auto t = otp::async([] { otp::exit("broken"); });
                otp::await(t, otp::infinity);
              }).cause(),
              "broken");
    EXPECT_EQ(ends_with([] {
                otp::trap_exit(true);
                auto t = otp::async([]() -> int { throw std::runtime_error("raised"); });
                otp::await(t, otp::infinity);
              }).cause(),
              otp::reason::error("std::runtime_error", "raised"));
  });
}
