// The whole way of a request to the database and back, with a supervisor, virtual time and a real file.
#include "db_pool.hpp"

#include "catalogue.hpp"
#include "counters.hpp"
#include "orders.hpp"
#include "store.hpp"

#include <gtest/gtest.h>
#include <otp/testing.hpp>

#include <cstdlib>
#include <filesystem>

namespace storefront {
namespace {
using namespace std::chrono_literals;

struct db_pool_test : testing::Test {
  db_pool_test() {
    char pattern[] = "/tmp/storefront_test.XXXXXX";
    folder = mkdtemp(pattern);
    file = prepare_store(folder);
  }
  ~db_pool_test() override { std::filesystem::remove_all(folder); }

  // Runs the body with a pool of three readers and the writer, all of them connected.
  void with_pool(const std::function<void()>& body) {
    otp::testing::run([&] {
      otp::supervisor::start_link(db_pool::spec(3, file, 1000), {.name = "db"}).value();
      otp::testing::settle();
      body();
    });
  }
  static auto order(std::string key) {
    return db_pool::write([=](sqlite::database& db) { return place_order(db, {"ada", key, 1, 2}); });
  }
  static auto products() { return db_pool::read(&all_products); }
  static void kill(const std::string& name) { otp::exit(otp::whereis(name).value(), otp::reason::kill); }

  std::string folder, file;
};

TEST_F(db_pool_test, reads_go_round_the_readers_and_orders_to_the_writer) {
  with_pool([] {
    for (int i = 0; i < 6; ++i) EXPECT_TRUE(products());
    EXPECT_TRUE(order("k1").value());
    auto handled = [](const char* name) { return otp::info(otp::whereis(name).value())->messages_in; };
    EXPECT_EQ(handled("db_reader_1"), handled("db_reader_2"));
    EXPECT_EQ(handled("db_reader_2"), handled("db_reader_3"));
    EXPECT_EQ(handled("db_writer"), 1U);
  });
}

TEST_F(db_pool_test, a_dead_connection_costs_a_request_another_try_and_nothing_else) {
  with_pool([] {
    std::uint64_t retries = counters.retries;
    for (int i = 0; i < 50; ++i) {
      for (const char* name : {"db_reader_1", "db_reader_2", "db_reader_3", "db_writer"}) kill(name);
      EXPECT_TRUE(products());
      kill("db_writer");
      EXPECT_TRUE(order("k" + std::to_string(i)).value());
    }
    EXPECT_GT(counters.retries, retries);
  });
  sqlite::database db = open_store(file);
  EXPECT_EQ(find_product(db, 1)->stock, 1'000'000 - 50 * 2);
}

TEST_F(db_pool_test, an_order_whose_answer_was_lost_is_found_by_its_key) {
  with_pool([] {
    auto first = order("k1").value().value();
    auto again = order("k1").value().value();
    EXPECT_EQ(again.order, first.order);
    EXPECT_TRUE(again.replayed);
  });
}

TEST_F(db_pool_test, without_any_connection_a_request_ends_with_unavailable_in_bounded_time) {
  otp::testing::run([] {
    otp::instant begin = otp::now();
    EXPECT_FALSE(products());
    EXPECT_FALSE(order("k1"));
    EXPECT_LE(otp::now() - begin, 4s);
  });
}

TEST_F(db_pool_test, a_database_that_cannot_be_opened_is_unavailable_until_it_can) {
  std::filesystem::rename(file, file + ".away");
  with_pool([&] {
    EXPECT_FALSE(products());
    EXPECT_FALSE(order("k1"));
    std::filesystem::rename(file + ".away", file);
    otp::testing::advance(1s);
    EXPECT_TRUE(products());
    EXPECT_TRUE(order("k1"));
  });
}

TEST_F(db_pool_test, a_lock_held_by_another_program_makes_orders_unavailable_and_leaves_reads_alone) {
  with_pool([&] {
    {
      sqlite::database other = open_store(file);
      sqlite::transaction holding(other);
      EXPECT_FALSE(order("k1"));
      EXPECT_TRUE(products());
    }
    EXPECT_TRUE(order("k1").value());
  });
}

}  // namespace
}  // namespace storefront
