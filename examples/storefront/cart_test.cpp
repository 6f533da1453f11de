#include "cart.hpp"

#include "test_shop.hpp"

namespace storefront {
namespace {

using namespace std::chrono_literals;
using lines = std::map<std::int64_t, std::int64_t>;

struct cart_test : test_shop {};

TEST_F(cart_test, each_user_has_one_that_keeps_what_is_put_into_it) {
  with_shop([] {
    put_into_cart_of("ada", {1, 2}).value().value();
    put_into_cart_of("ada", {3, 1}).value().value();
    put_into_cart_of("bob", {3, 9}).value().value();
    put_into_cart_of("ada", {1, 5}).value().value();  // replaces: it may be asked twice
    EXPECT_EQ(show_cart_of("ada")->lines, (lines{{1, 5}, {3, 1}}));
    put_into_cart_of("ada", {1, 0}).value().value();
    EXPECT_EQ(show_cart_of("ada")->lines, (lines{{3, 1}}));
    EXPECT_EQ(empty_cart_of("ada")->lines, lines{});
    EXPECT_EQ(show_cart_of("bob")->lines, (lines{{3, 9}}));
  });
}

TEST_F(cart_test, one_that_nobody_asks_for_goes) {
  with_shop([] {
    auto first = put_into_cart_of("ada", {1, 2}).value().value();
    otp::testing::advance(899s);
    EXPECT_EQ(show_cart_of("ada")->cart, first.cart);  // which keeps it
    otp::testing::advance(899s);
    EXPECT_EQ(otp::dynamic_supervisor::count_children("cart_sup").active, 1U);
    otp::testing::advance(2s);
    EXPECT_EQ(otp::dynamic_supervisor::count_children("cart_sup").active, 0U);
    EXPECT_EQ(show_cart_of("ada")->lines, lines{});
  });
}

TEST_F(cart_test, a_full_one_refuses_and_stays_as_it_is) {
  with_shop([&] {
    change_config_to(config_on_disk, R"({"cart_lines_max": 2})").value();
    put_into_cart_of("ada", {1, 1}).value().value();
    put_into_cart_of("ada", {2, 1}).value().value();
    EXPECT_FALSE(put_into_cart_of("ada", {3, 1}).value());
    EXPECT_TRUE(put_into_cart_of("ada", {2, 7}).value());
    EXPECT_EQ(show_cart_of("ada")->lines, (lines{{1, 1}, {2, 7}}));
  });
}

TEST_F(cart_test, one_that_is_killed_comes_back_empty_under_another_number) {
  with_shop([] {
    auto before = put_into_cart_of("ada", {1, 2}).value().value();
    otp::exit(only_child("cart_sup"), otp::reason::kill);
    auto after = show_cart_of("ada").value();
    EXPECT_EQ(after.lines, lines{});
    EXPECT_NE(after.cart, before.cart);
  });
}

TEST_F(cart_test, whoever_of_registry_and_supervisor_dies_carts_can_be_had_again) {
  with_shop([] {
    for (const char* name : {"carts", "cart_sup", "carts"}) {
      put_into_cart_of("ada", {1, 2}).value().value();
      kill(name);
      otp::testing::settle();
      EXPECT_EQ(show_cart_of("ada").value().lines, lines{}) << name;
    }
  });
}

TEST_F(cart_test, ten_who_ask_first_at_the_same_time_get_the_same) {
  with_shop([] {
    std::vector<otp::task<std::string>> asked;
    for (int i = 0; i < 10; ++i) asked.push_back(otp::async([] { return show_cart_of("ada").value().cart; }));
    auto carts = otp::await_many(5s, asked);
    EXPECT_EQ(std::count(carts.begin(), carts.end(), carts[0]), 10);
  });
}

}  // namespace
}  // namespace storefront
