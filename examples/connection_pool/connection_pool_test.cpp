#include "connection_pool.hpp"

#include <gtest/gtest.h>
#include <otp/testing.hpp>

namespace {

void start_tree() {
  otp::supervisor::start_link({.strategy = otp::rest_for_one,
                               .children = {otp::child_registry(connections), otp::child<db_connection_pool>(10)}})
      .value();
}

TEST(connection_pool, a_connection_that_loses_its_link_is_replaced_and_the_others_stay) {
  for (unsigned seed = 1; seed <= 20; ++seed)
    otp::testing::run({.seed = seed}, [] {
      start_tree();
      std::vector<otp::pid> before;
      for (int id = 1; id <= 10; ++id) before.push_back(otp::lookup(connections, id)->process);
      otp::send(before[2], db_connection::connection_lost{});
      otp::testing::settle();
      for (int id = 1; id <= 10; ++id) {
        otp::pid now = otp::lookup(connections, id)->process;
        EXPECT_EQ(now != before[static_cast<std::size_t>(id) - 1], id == 3) << id;
        EXPECT_EQ(db_connection::ask(id, "x"), "connection " + std::to_string(id) + ": x");
      }
    });
}

TEST(connection_pool, connections_that_die_again_and_again_take_the_pool_down_which_comes_back_once) {
  otp::testing::run([] {
    start_tree();
    otp::pid pool = *otp::whereis("db_connection_pool");
    for (int i = 0; i < 4; ++i) {  // three restarts within five seconds are tolerated
      EXPECT_EQ(otp::whereis("db_connection_pool"), pool);
      otp::exit(otp::lookup(connections, 1)->process, otp::reason::kill);
      otp::testing::settle();
    }
    EXPECT_NE(otp::whereis("db_connection_pool"), pool);
    EXPECT_EQ(otp::count(connections), 10U);
  });
}

}  // namespace
