#include "profile.hpp"

#include "test_shop.hpp"

namespace storefront {
namespace {

using namespace std::chrono_literals;

struct profile_test : test_shop {
  static void fill() {
    db_pool::write([](sqlite::database& db) { return place_order(db, {"ada", "k", 2, 3}); }).value().value();
    db_pool::write([](sqlite::database& db) { return open_payment_row(db, "ada", "k", 500); }).value();
    put_into_cart_of("ada", {1, 2}).value().value();
  }
};

TEST_F(profile_test, has_all_its_parts) {
  with_shop([] {
    fill();
    profile found = gather_profile("ada", 1s);
    EXPECT_EQ(found.orders.value().at(0).quantity, 3);
    EXPECT_EQ(found.payments.value().at(0).cents, 500);
    EXPECT_EQ(found.cart.value().lines.at(1), 2);
    EXPECT_TRUE(gather_profile("eve", 1s).orders.value().empty());
  });
}

TEST_F(profile_test, a_part_that_is_late_costs_that_part_and_no_more_time_than_given) {
  with_shop([] {
    fill();
    otp::server<cart> ada(only_child("cart_sup"));
    otp::sys::suspend(ada);  // it answers nobody now
    otp::instant begin = otp::now();
    profile found = gather_profile("ada", 500ms);
    EXPECT_LE(otp::now() - begin, 500ms);
    EXPECT_FALSE(found.cart);
    EXPECT_EQ(found.orders.value().size(), 1U);
    EXPECT_EQ(found.payments.value().size(), 1U);
    EXPECT_TRUE(otp::task_supervisor::children(background).empty());
    otp::sys::resume(ada);
    EXPECT_TRUE(gather_profile("ada", 500ms).cart);
  });
}

TEST_F(profile_test, parts_that_fail_cost_themselves) {
  with_shop([&] {
    fill();
    std::filesystem::rename(file, file + ".away");
    for (const char* name : {"db_reader_1", "db_reader_2"}) kill(name);
    profile found = gather_profile("ada", 4s);
    std::filesystem::rename(file + ".away", file);
    EXPECT_FALSE(found.orders);
    EXPECT_FALSE(found.payments);
    EXPECT_EQ(found.cart.value().lines.at(1), 2);
  });
}

}  // namespace
}  // namespace storefront
