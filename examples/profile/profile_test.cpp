#include "profile.hpp"

#include <gtest/gtest.h>
#include <otp/testing.hpp>

#include <mutex>

namespace {

using namespace std::chrono_literals;

TEST(profile, takes_as_long_as_its_slowest_part) {
  otp::testing::run([] {
    otp::instant start = otp::now();
    EXPECT_EQ(fetch_profile(123).user.name, "User 123");
    EXPECT_EQ(otp::now() - start, 200ms);
  });
}

TEST(profile, a_part_that_fails_takes_its_caller_along) {
  otp::testing::run([] {
    otp::spawn_monitor([] { fetch_profile(-1); });
    auto end = otp::receive([](otp::down d) { return d.reason; });
    EXPECT_NE(end.to_string().find("no such user"), std::string::npos) << end.to_string();
    otp::testing::settle();
    EXPECT_EQ(otp::process_count(), 1U);  // the other parts have ended with it
  });
}

TEST(profile, a_part_that_fails_under_the_supervisor_has_a_fallback) {
  otp::testing::run([] {
    otp::task_supervisor::start_link({}, {.name = profile_tasks}).value();
    otp::instant start = otp::now();
    profile p = fetch_profile_supervised(-1);
    EXPECT_EQ(otp::now() - start, 200ms);
    EXPECT_EQ(p.user.name, "");
    EXPECT_EQ(p.prefs.at("theme"), "dark");
    EXPECT_EQ(p.recent, activity{"login"});
    EXPECT_TRUE(otp::task_supervisor::children(profile_tasks).empty());
  });
}

struct functions_of_failed_tasks : otp::event_listener {
  void on_event(const otp::event& e) override {
    if (e.what != "task_terminated") return;
    std::lock_guard guard(lock);
    for (auto& [key, value] : e.fields)
      if (key == "function") names.push_back(value);
  }
  std::mutex lock;
  std::vector<std::string> names;
};

TEST(profile, a_report_names_the_function_that_failed) {
  functions_of_failed_tasks heard;
  otp::testing::run({.runtime = {.listener = &heard}}, [] {
    otp::task_supervisor::start_link({}, {.name = profile_tasks}).value();
    auto linked = otp::async<fetch_preferences>(profile_tasks, 1);
    EXPECT_EQ(otp::await(linked).at("theme"), "dark");
    fetch_profile_supervised(-1);
  });
  EXPECT_EQ(heard.names, std::vector<std::string>{"fetch_user_data/1"});
}

}  // namespace
