// otp::doctor has nothing to say about the examples, however long they run.
#include "../bounded_server/bounded_server.hpp"
#include "../cache/cache.hpp"
#include "../config_cache/config_cache.hpp"
#include "../connection_pool/connection_pool.hpp"
#include "../payment/payment.hpp"
#include "../profile/profile.hpp"
#include "../rate_limiter/rate_limiter.hpp"
#include "fulfilment.hpp"

#define main main_of_hello
#include "../hello/main.cpp"
#undef main

#include <gtest/gtest.h>
#include <otp/testing.hpp>

namespace {

using namespace std::chrono_literals;

struct bank final : payment_gateway {
  std::string authorize(const std::string& card_token, std::int64_t) override { return "auth-" + card_token; }
  bool capture(const std::string&) override { return true; }
  bool refund(const std::string&, std::int64_t) override { return true; }
};

struct measure_now {};
struct sensor {
  using messages = otp::messages<measure_now>;
  sensor() { otp::send_interval(1s, otp::self(), measure_now{}); }
  void handle_info(measure_now) { run_sensor(1, 10); }
};

void start_everything() {
  otp::supervisor::start_link(
      {.strategy = otp::rest_for_one,
       .children = {otp::child_registry(connections), otp::child<rate_limiter>(), otp::child<db_connection_pool>(10),
                    otp::child_task_supervisor(profile_tasks), config_cache::child(), otp::child<counter>(),
                    otp::child<averages>(), otp::child<desk>(), otp::child<sensor>(),
                    otp::child<cache>([](const std::string& key) { return key; }, 1h),
                    otp::child_dynamic_supervisor({.name = "payments"})}})
      .value();
}

void use_everything() {
  for (int i = 1; i <= 10; ++i) {
    rate_limiter::check_rate("ada");
    db_connection::ask(i, "select 1");
    fetch_profile(i);
    fetch_profile_supervised(-i);
    config_cache::put(&settings::retry_attempts, i);
    EXPECT_EQ(config_cache::get(&settings::retry_attempts), i);
    counter::count("word");
    desk::serve(i);
    otp::call(otp::name<cache>("cache"), cache::get{"key"});
    auto made = otp::dynamic_supervisor::start_child(
        "payments", otp::child<payment>(std::make_shared<bank>(), 100, otp::duration(1h)).restart(otp::temporary));
    auto pay = otp::server<payment>(made.value().process);
    EXPECT_TRUE(otp::call(pay, payment::authorize{"visa"}));
    auto order = otp::dynamic_supervisor::start_child("payments", otp::child<fulfilment>().restart(otp::temporary));
    otp::cast(otp::server<fulfilment>(order.value().process), fulfilment::pay{});
  }
}

TEST(doctor, has_nothing_to_say_about_the_examples_in_their_tree) {
  otp::testing::run([] {
    start_everything();
    use_everything();
    EXPECT_GT(otp::process_count(), 40U);
    EXPECT_EQ(otp::doctor::to_string(otp::doctor::examine({.older_than = 0s})), "nothing found\n");
    otp::testing::advance(2min);
    EXPECT_EQ(otp::doctor::to_string(otp::doctor::examine()), "nothing found\n");
  });
}

TEST(fulfilment, what_has_left_the_house_cannot_be_cancelled) {
  otp::testing::run([] {
    auto order = otp::gen_statem::start_link<fulfilment>().value();
    otp::cast(order, fulfilment::ship{});  // not packed yet: nothing happens
    EXPECT_TRUE(otp::call(order, fulfilment::cancel{}));
    auto next = otp::gen_statem::start_link<fulfilment>().value();
    otp::cast(next, fulfilment::pay{});
    otp::cast(next, fulfilment::pack{"parcel 9"});
    otp::cast(next, fulfilment::ship{});
    EXPECT_FALSE(otp::call(next, fulfilment::cancel{}));
    EXPECT_NE(otp::diagram(next).find("class shipped current"), std::string::npos);
    otp::sleep(24h * 31);
    EXPECT_NE(otp::diagram(next).find("class cancelled current"), std::string::npos);
  });
}

}  // namespace
