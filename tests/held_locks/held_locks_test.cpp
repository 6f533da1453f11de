// F09: a lock of threads held across a wait. A program of its own, because otp::held_locks stands in front of libc.
#include "faults/support.hpp"

#include <otp/blocking.hpp>

#include <mutex>
#include <shared_mutex>

using namespace faults;

// With external linkage: a report names what the dynamic symbol table has.
namespace faults {
[[gnu::noinline]] void takes_the_lock(std::mutex& m) {
  m.lock();
  asm volatile("");
}
[[gnu::noinline]] void waits() {
  otp::sleep(1ms);
  asm volatile("");
}
}  // namespace faults

namespace {

struct go {};

otp::event only_report(program& p) {
  EXPECT_EQ(p.events().count("lock_held_across_wait"), 1U);
  auto all = p.events().of("lock_held_across_wait");
  return all.empty() ? otp::event{} : all[0];
}

}  // namespace

// covers: F09
TEST(a_mutex_held_across_a_wait, is_reported_once_with_both_places) {
  program p;
  std::mutex m;
  otp::pid who;
  p.run([&] {
    who = otp::self();
    takes_the_lock(m);
    waits();
    waits();
    m.unlock();
  });
  auto report = only_report(p);
  EXPECT_EQ(report.process, who);
  EXPECT_NE(report.field("lock"), "");
  EXPECT_NE(report.field("locked_at").find("takes_the_lock"), std::string_view::npos) << report.field("locked_at");
  EXPECT_NE(report.field("waits_at").find("waits"), std::string_view::npos) << report.field("waits_at");
  EXPECT_NE(report.field("advice"), "");
}

// covers: F09
TEST(every_kind_of_wait_and_lock, is_seen) {
  auto reported = [](const std::function<void()>& body) {
    program p;
    p.run(body);
    return p.events().count("lock_held_across_wait");
  };
  std::mutex m;
  std::timed_mutex t;
  std::recursive_mutex r;
  std::shared_mutex s;
  EXPECT_EQ(reported([&] {
              std::lock_guard lock(m);
              otp::yield();
            }),
            1U);
  EXPECT_EQ(reported([&] {
              std::lock_guard lock(m);
              otp::blocking([] {});
            }),
            1U);
  EXPECT_EQ(reported([&] {
              std::lock_guard lock(m);
              otp::send_after(1ms, otp::self(), go{});
              otp::receive([](const go&) {});
            }),
            1U);
  EXPECT_EQ(reported([&] {
              EXPECT_TRUE(m.try_lock());
              otp::yield();
              m.unlock();
            }),
            1U);
  EXPECT_EQ(reported([&] {
              EXPECT_TRUE(t.try_lock_for(1s));
              otp::yield();
              t.unlock();
            }),
            1U);
  EXPECT_EQ(reported([&] {
              r.lock();
              r.lock();
              r.unlock();
              otp::yield();
              r.unlock();
            }),
            1U);
  EXPECT_EQ(reported([&] {
              std::shared_lock lock(s);
              otp::yield();
            }),
            1U);
  EXPECT_EQ(reported([&] {
              std::unique_lock lock(s);
              otp::yield();
            }),
            1U);
}

// covers: F09
TEST(locks_that_are_used_well, are_not_reported) {
  program p;
  std::mutex m;
  std::shared_mutex s;
  p.run([&] {
    std::vector<otp::ref> ends;
    for (int i = 0; i < 50; ++i)
      ends.push_back(otp::spawn_monitor([&] {
                       for (int n = 0; n < 100; ++n) {
                         {
                           std::lock_guard one(m);
                           std::unique_lock two(s);
                         }
                         otp::yield();
                         otp::register_name("name " + std::to_string(otp::self().value()), otp::self());
                         otp::unregister_name("name " + std::to_string(otp::self().value()));
                         otp::blocking([&] { std::lock_guard lock(m); });
                       }
                     }).monitor);
    for (auto end : ends) EXPECT_EQ(reason_of(end), otp::reason::normal);
    // Another thread's locks are no business of the process that waits.
    std::lock_guard lock(m);
  });
  EXPECT_EQ(p.events().count("lock_held_across_wait"), 0U);
}
