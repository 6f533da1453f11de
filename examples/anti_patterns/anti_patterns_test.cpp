#include "anti_patterns.hpp"

#include <gtest/gtest.h>
#include <otp/testing.hpp>

namespace {

using namespace std::chrono_literals;
using otp::doctor::rule;

// [found]
TEST(anti_patterns, are_found_when_they_have_lived_for_a_minute) {
  otp::testing::run([] {
    otp::pid server = otp::gen_server::start_link<config_server>({.name = "config_server"}).value().pid();
    otp::pid task = start_endless_task();
    otp::testing::advance(61s);
    auto found = otp::doctor::examine();
    ASSERT_EQ(found.size(), 2U) << otp::doctor::to_string(found);
    EXPECT_EQ(found[0].what, rule::unsupervised_process);
    EXPECT_EQ(found[0].process, server);
    EXPECT_EQ(found[1].what, rule::long_task);
    EXPECT_EQ(found[1].process, task);
  });
}
// [/found]

TEST(anti_patterns, a_server_that_only_stores_is_found_by_what_it_is_asked) {
  otp::testing::run([] {
    auto server = otp::gen_server::start_link<config_server>({.name = "config_server"}).value();
    for (int i = 0; i < 4; ++i) {
      otp::cast(server, config_server::set_timeout{i});
      EXPECT_EQ(otp::call(server, config_server::get_timeout{}), i);
    }
    auto found = otp::doctor::examine();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].what, rule::value_server);
    EXPECT_EQ(found[0].process, server.pid());
  });
}

TEST(anti_patterns, about_the_better_forms_there_is_nothing_to_say) {
  otp::testing::run([] {
    otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {child_config(), child_flag()}}).value();
    start_worker().value();
    for (int i = 0; i < 10; ++i) {
      set_timeout(i);
      EXPECT_EQ(get_timeout(), i);
      enable();
      EXPECT_TRUE(is_enabled());
      disable();
      EXPECT_FALSE(is_enabled());
    }
    otp::testing::advance(2min);
    EXPECT_EQ(otp::doctor::to_string(otp::doctor::examine()), "nothing found\n");
    EXPECT_EQ(otp::doctor::to_string(otp::doctor::examine({.older_than = 0s})), "nothing found\n");
  });
}

TEST(anti_patterns, a_flag_as_a_machine_works_too) {
  otp::testing::run([] {
    auto machine = otp::gen_statem::start_link<feature_flag_machine>().value();
    EXPECT_FALSE(otp::call(machine, feature_flag_machine::check{}));
    otp::cast(machine, feature_flag_machine::disable{});
    otp::cast(machine, feature_flag_machine::enable{});
    otp::cast(machine, feature_flag_machine::enable{});
    EXPECT_TRUE(otp::call(machine, feature_flag_machine::check{}));
  });
}

}  // namespace
