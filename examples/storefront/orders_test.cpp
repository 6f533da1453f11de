#include "orders.hpp"

#include "catalogue.hpp"
#include "store.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace storefront {
namespace {

constexpr std::int64_t scarce = 12, scarce_stock = 25;

struct folder {
  folder() {
    char pattern[] = "/tmp/storefront_test.XXXXXX";
    path = mkdtemp(pattern);
  }
  ~folder() { std::filesystem::remove_all(path); }
  std::string path;
};

struct orders : testing::Test {
  folder data;
  sqlite::database db = open_store(prepare_store(data.path));
  std::int64_t stock(std::int64_t product) { return find_product(db, product)->stock; }
};

std::string why_unusable(const std::string& path) {
  try {
    prepare_store(path);
    return "";
  } catch (const unusable_store& e) {
    return e.what();
  }
}

TEST_F(orders, the_catalogue_is_there_from_the_first_start_and_stays) {
  EXPECT_EQ(all_products(db).size(), 12U);
  EXPECT_EQ(find_product(db, 9)->name, "Ethiopia Sidamo, 250 g");
  EXPECT_FALSE(find_product(db, 13));
  ASSERT_TRUE(place_order(db, {"ada", "k1", 9, 1}));
  prepare_store(data.path);
  EXPECT_EQ(stock(9), 999'999);
}

TEST_F(orders, an_order_takes_its_stock_and_can_be_read_by_its_user_only) {
  auto placed = place_order(db, {"ada", "k1", 2, 3});
  ASSERT_TRUE(placed);
  EXPECT_FALSE(placed->replayed);
  EXPECT_EQ(placed->order.total_cents, 3 * 3450);
  EXPECT_EQ(stock(2), 999'997);
  EXPECT_EQ(find_order(db, placed->order.id, "ada"), placed->order);
  EXPECT_FALSE(find_order(db, placed->order.id, "eve"));
}

TEST_F(orders, the_same_key_again_changes_nothing_and_returns_the_first_order) {
  auto first = place_order(db, {"ada", "k1", 2, 3});
  auto again = place_order(db, {"ada", "k1", 2, 3});
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->replayed);
  EXPECT_EQ(again->order, first->order);
  EXPECT_EQ(stock(2), 999'997);
}

TEST_F(orders, a_key_is_its_users_own_and_belongs_to_one_order) {
  ASSERT_TRUE(place_order(db, {"ada", "k1", 2, 3}));
  EXPECT_EQ(place_order(db, {"ada", "k1", 2, 4}).error(), refusal::key_reused);
  auto other = place_order(db, {"bob", "k1", 2, 4});
  ASSERT_TRUE(other);
  EXPECT_FALSE(other->replayed);
}

TEST_F(orders, stock_is_never_sold_twice) {
  EXPECT_EQ(place_order(db, {"ada", "k1", scarce, scarce_stock + 1}).error(), refusal::out_of_stock);
  EXPECT_TRUE(place_order(db, {"ada", "k2", scarce, scarce_stock}));
  EXPECT_EQ(place_order(db, {"bob", "k3", scarce, 1}).error(), refusal::out_of_stock);
  EXPECT_EQ(stock(scarce), 0);
  EXPECT_EQ(place_order(db, {"bob", "k4", 99, 1}).error(), refusal::unknown_product);
}

TEST_F(orders, a_refused_order_leaves_no_transaction_open) {
  EXPECT_FALSE(place_order(db, {"ada", "k1", 99, 1}));
  EXPECT_FALSE(db.in_transaction());
  EXPECT_TRUE(place_order(db, {"ada", "k1", 1, 1}));
}

TEST_F(orders, a_transaction_that_is_not_committed_never_was) {
  {
    sqlite::transaction unfinished(db);
    db.execute("UPDATE products SET stock = 0 WHERE id = ?1", std::int64_t{1});
  }
  EXPECT_EQ(stock(1), 1'000'000);
}

TEST_F(orders, a_lock_held_by_somebody_else_is_a_busy_error_in_bounded_time) {
  sqlite::database other = open_store(data.path + "/storefront.db");
  sqlite::transaction holding(other);
  try {
    static_cast<void>(place_order(db, {"ada", "k1", 1, 1}));
    FAIL() << "two writers at a time";
  } catch (const sqlite::error& e) {
    EXPECT_TRUE(e.busy()) << e.what();
  }
}

TEST_F(orders, values_are_stored_literally) {
  constexpr char bytes[] = "a'); DROP TABLE orders; --\"\0%s\xf0\x9f\x98\x80";
  std::string hostile(bytes, sizeof bytes - 1);  // with the NUL inside
  auto placed = place_order(db, {hostile, hostile, 1, 1});
  ASSERT_TRUE(placed);
  EXPECT_EQ(placed->order.user, hostile);
  EXPECT_TRUE(find_order(db, placed->order.id, hostile));
}

TEST_F(orders, the_files_are_for_their_owner_alone) {
  ASSERT_TRUE(place_order(db, {"ada", "k1", 1, 1}));
  for (const char* name : {"/storefront.db", "/storefront.db-wal", "/storefront.db-shm"}) {
    struct stat is;
    ASSERT_EQ(stat((data.path + name).c_str(), &is), 0) << name;
    EXPECT_EQ(is.st_mode & 0777, 0600U) << name;
  }
}

TEST(store, what_cannot_be_used_is_named_with_the_reason) {
  folder data;
  std::ofstream(data.path + "/file") << "x";
  EXPECT_NE(why_unusable(data.path + "/file").find("it is not a folder"), std::string::npos);
  EXPECT_NE(why_unusable(data.path + "/no/such/folder").find("No such file or directory"), std::string::npos);

  std::ofstream(data.path + "/storefront.db") << std::string(4096, 'x');
  EXPECT_NE(why_unusable(data.path).find("file is not a database"), std::string::npos);

  std::filesystem::remove(data.path + "/storefront.db");
  std::filesystem::create_symlink("/etc/passwd", data.path + "/storefront.db");
  EXPECT_NE(why_unusable(data.path).find("it is a symbolic link"), std::string::npos);
}

TEST(store, tables_of_a_newer_program_are_left_alone) {
  folder data;
  open_store(prepare_store(data.path)).run_script("PRAGMA user_version = 7");
  EXPECT_NE(why_unusable(data.path).find("newer version"), std::string::npos);
}

TEST(store, a_folder_behind_a_link_is_as_good_as_any) {
  folder data;
  std::filesystem::create_directory(data.path + "/real");
  std::filesystem::create_symlink(data.path + "/real", data.path + "/link");
  EXPECT_EQ(prepare_store(data.path + "/link"), data.path + "/real/storefront.db");
}

}  // namespace
}  // namespace storefront
