// The code of docs/guide/server_patterns.md and concurrency_patterns.md that no example has, built and run.
#include "conformance/support.hpp"

#include <otp/otp.hpp>
#include <otp/testing.hpp>

#include <functional>
#include <map>
#include <stdexcept>
#include <string>

namespace {

using namespace std::chrono_literals;

// [session]
struct session {
  struct visit {
    using reply = int;
  };
  static otp::init_result<session> init(std::string user) { return otp::ok(std::move(user)).timeout_after(30min); }
  otp::call_result<int> handle_call(visit) { return otp::reply(++visits).timeout_after(30min); }
  // Nobody came for half an hour.
  otp::handler_result handle_info(otp::timeout) { return otp::stop(otp::reason::normal); }

  std::string user;
  int visits = 0;
};
// [/session]

// [health]
constexpr otp::name<otp::task_supervisor> checks{"checks"};

struct health_monitor {
  using probe = std::function<bool()>;
  struct look {};
  struct report {
    using reply = std::map<std::string, bool>;
  };
  using messages = otp::messages<look, otp::task_result<bool>>;

  explicit health_monitor(std::map<std::string, probe> what) : probes(std::move(what)) {
    otp::send_interval(10s, otp::self(this), look{});
  }

  void handle_info(look) {
    for (auto& [reference, late] : std::exchange(running, {})) {  // with their handles nothing more comes of them
      otp::exit(late.task.pid(), otp::reason::kill);
      healthy[late.name] = false;
    }
    for (auto& [name, works] : probes) {
      auto task = otp::async_nolink(checks, works);
      const otp::ref reference = task.reference();
      running.emplace(reference, check{name, std::move(task)});
    }
  }
  void handle_info(const otp::task_result<bool>& done) { note(done.reference, done.value); }
  void handle_info(const otp::down& end) { note(end.reference, false); }  // it has thrown
  std::map<std::string, bool> handle_call(report) { return healthy; }

  struct check {
    std::string name;
    otp::task<bool> task;
  };
  void note(const otp::ref& which, bool good) {
    if (auto ended = running.extract(which)) healthy[ended.mapped().name] = good;
  }
  std::map<std::string, probe> probes;
  std::map<otp::ref, check> running;
  std::map<std::string, bool> healthy;
};

otp::supervisor_spec health(std::map<std::string, health_monitor::probe> probes) {
  return {
      .strategy = otp::rest_for_one,
      .children = {otp::child_task_supervisor(checks), otp::child<health_monitor>(std::move(probes)).id("monitor")}};
}
// [/health]

TEST(patterns_guide, a_session_ends_when_nobody_has_come_for_half_an_hour) {
  otp::testing::run([] {
    auto s = otp::gen_server::start<session>({}, "ada").value();
    otp::testing::advance(29min);
    EXPECT_EQ(otp::call(s, session::visit{}), 1);
    otp::testing::advance(29min);
    EXPECT_EQ(otp::call(s, session::visit{}), 2);
    otp::ref watch = otp::monitor(s.pid());
    otp::testing::advance(30min);
    EXPECT_EQ(otp::receive([&](const otp::down& d) { return d.reference == watch ? d.reason : otp::reason::noproc; }),
              otp::reason::normal);
  });
}

TEST(patterns_guide, a_check_that_throws_or_hangs_costs_its_own_health_only) {
  otp::testing::run([] {
    bool well = false;
    auto tree = otp::supervisor::start_link(health({
                                                {"good", [] { return true; }},
                                                {"broken", []() -> bool { throw std::runtime_error("no answer"); }},
                                                {"hangs",
                                                 [&] {
                                                   if (!well) otp::sleep(otp::infinity);
                                                   return true;
                                                 }},
                                            }))
                    .value();
    auto monitor = otp::server<health_monitor>(otp::supervisor::get_child(tree, "monitor")->process);
    using report = std::map<std::string, bool>;
    otp::testing::advance(11s);
    EXPECT_EQ(otp::call(monitor, health_monitor::report{}), (report{{"broken", false}, {"good", true}}));
    otp::testing::advance(10s);  // the one that hangs is killed, and another one is started
    EXPECT_EQ(otp::call(monitor, health_monitor::report{}),
              (report{{"broken", false}, {"good", true}, {"hangs", false}}));
    EXPECT_EQ(otp::task_supervisor::children(checks).size(), 1U);
    well = true;
    otp::testing::advance(10s);
    EXPECT_EQ(otp::call(monitor, health_monitor::report{}),
              (report{{"broken", false}, {"good", true}, {"hangs", true}}));
    EXPECT_EQ(otp::doctor::to_string(otp::doctor::examine()), "nothing found\n");
  });
}

}  // namespace
