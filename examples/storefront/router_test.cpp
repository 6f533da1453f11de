#include "router.hpp"

#include <gtest/gtest.h>

#include <string>

namespace storefront {
namespace {

request order(std::string body) {
  return {.method = "POST", .target = "/orders", .body = std::move(body), .content_type = "application/json"};
}

// The status with which a request is refused; 200 if it is not.
int refused(const request& asked, bool chaos = false) {
  auto outcome = route(asked, chaos);
  return outcome ? 200 : outcome.error().status;
}

TEST(router, every_path_leads_to_its_action) {
  auto action = [](std::string target) { return route({.method = "GET", .target = std::move(target)}, false)->action; };
  EXPECT_TRUE(std::holds_alternative<show_health>(action("/health")));
  EXPECT_TRUE(std::holds_alternative<show_status>(action("/status")));
  EXPECT_TRUE(std::holds_alternative<list_products>(action("/products")));
  EXPECT_TRUE(std::holds_alternative<list_products>(action("/products?page=2")));
  EXPECT_EQ(std::get<show_product>(action("/products/12")).id, 12);
  EXPECT_EQ(std::get<show_order>(action("/orders/9223372036854775807")).id, INT64_MAX);
}

request post(std::string target, std::string body) {
  request asked{.method = "POST", .target = std::move(target), .body = std::move(body)};
  if (!asked.body.empty()) asked.content_type = "application/json";
  return asked;
}

TEST(router, steps_of_a_payment_know_their_payment_and_their_key) {
  request asked = post("/payments/7/refund", R"({"cents":40})");
  asked.idempotency_key = "k";
  auto refund = std::get<refund_payment>(route(asked, false)->action);
  EXPECT_EQ(refund.id, 7);
  EXPECT_EQ(refund.cents, 40);
  EXPECT_EQ(refund.key, "k");
  auto authorize =
      std::get<authorize_payment>(route(post("/payments/8/authorize", R"({"card":"tok_visa"})"), false)->action);
  EXPECT_EQ(authorize.id, 8);
  EXPECT_EQ(authorize.card, "tok_visa");
  EXPECT_FALSE(authorize.key.empty());
  EXPECT_EQ(std::get<capture_payment>(route(post("/payments/9/capture", ""), false)->action).id, 9);
  for (const char* target : {"/payments/0/capture", "/payments/x/capture", "/payments//capture", "/payments/1/capture/",
                             "/payments/capture", "/payments/1capture", "/payments/1/2/capture"})
    EXPECT_EQ(refused(post(target, "")), 404) << target;
}

TEST(router, an_amount_that_is_none_is_422) {
  for (const char* cents : {"0", "-1", "1.5", "\"5\"", "null", "100000001", "9223372036854775808", "-9223372036854775808",
                            "1e99", "true", "[1]"}) {
    std::string body = std::string(R"({"cents":)") + cents + "}";
    EXPECT_EQ(refused(post("/payments", body)), 422) << cents;
    EXPECT_EQ(refused(post("/payments/1/refund", body)), 422) << cents;
  }
  EXPECT_EQ(refused(post("/payments", R"({"cents":100000000})")), 200);
}

TEST(router, words_stand_in_paths) {
  auto action = [](std::string target) { return route({.method = "GET", .target = std::move(target)}, false)->action; };
  EXPECT_EQ(std::get<show_profile>(action("/profile/ada.l")).user, "ada.l");
  EXPECT_EQ(std::get<follow_news>(action("/news/orders")).topic, "orders");
  EXPECT_EQ(std::get<show_payment_diagram>(action("/payments/diagram")).id, 0);
  EXPECT_EQ(std::get<show_payment_diagram>(action("/payments/5/diagram")).id, 5);
  for (const char* target : {"/profile/", "/profile/a/b", "/profile/a%20b", "/news/", "/news"})
    EXPECT_EQ(refused({.method = "GET", .target = target}), 404) << target;
}

TEST(router, a_path_with_several_methods_names_them_all) {
  auto outcome = route({.method = "BREW", .target = "/cart"}, false);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().headers.at(0).second, "GET, HEAD, DELETE");
}

TEST(router, what_is_not_a_path_of_ours_is_404) {
  for (const char* target : {"", "/", "products", "/product", "/products/", "/products/0", "/products/01", "/products/-1",
                             "/products/+1", "/products/1x", "/products/9223372036854775808", "/products/1/2",
                             "/../health", "/%68ealth", "/health%00", "/health/..", "\\health", "http://x/health"})
    EXPECT_EQ(refused({.method = "GET", .target = target}), 404) << target;
}

TEST(router, a_wrong_method_is_405_and_names_the_right_ones) {
  auto outcome = route({.method = "DELETE", .target = "/products/1"}, false);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().status, 405);
  ASSERT_EQ(outcome.error().headers.size(), 1U);
  EXPECT_EQ(outcome.error().headers[0], (std::pair<std::string, std::string>("Allow", "GET, HEAD")));
  EXPECT_EQ(refused({.method = "GET", .target = "/orders"}), 405);
  EXPECT_EQ(refused({.method = "get", .target = "/products"}), 405);
}

TEST(router, head_is_a_get_without_its_body) { EXPECT_EQ(refused({.method = "HEAD", .target = "/products"}), 200); }

TEST(router, chaos_is_not_there_unless_asked_for) {
  request kill{.method = "POST",
               .target = "/chaos/kill",
               .body = R"({"what":"rate_limiter"})",
               .content_type = "application/json"};
  EXPECT_EQ(refused(kill), 404);
  auto outcome = route(kill, true);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(std::get<kill_something>(outcome->action).what, "rate_limiter");
  EXPECT_FALSE(outcome->limited);
}

TEST(router, an_order_is_read_from_its_body) {
  request asked = order(R"({"product":3,"quantity":2})");
  asked.user = "ada";
  asked.idempotency_key = "k-1";
  asked.content_type = "Application/JSON; charset=utf-8";
  auto outcome = route(asked, false);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->user, "ada");
  EXPECT_TRUE(outcome->limited);
  auto& wanted = std::get<submit_order>(outcome->action);
  EXPECT_EQ(wanted.product, 3);
  EXPECT_EQ(wanted.quantity, 2);
  EXPECT_EQ(wanted.key, "k-1");
}

TEST(router, an_order_without_a_key_gets_one_of_its_own) {
  auto key = [] { return std::get<submit_order>(route(order(R"({"product":3,"quantity":2})"), false)->action).key; };
  EXPECT_EQ(key().size(), 37U);
  EXPECT_NE(key(), key());
}

TEST(router, a_body_that_is_not_json_is_400) {
  for (const char* body : {"", "{", "product=1", R"({"product":1,"quantity":2}x)", "{\"product\":\"\xff\"}",
                           R"({"product":1e999,"quantity":1})"})
    EXPECT_EQ(refused(order(body)), 400) << body;
  EXPECT_EQ(refused(order(std::string(1 << 20, '['))), 400);  // deep, and yet no deep recursion
}

TEST(router, json_that_is_not_an_order_is_422) {
  for (const char* body :
       {"null", "[]", "7", "{}", R"({"product":1})", R"({"product":1,"quantity":2,"discount":100})",
        R"({"product":"1","quantity":2})", R"({"product":1.0,"quantity":2})", R"({"product":1,"quantity":0})",
        R"({"product":1,"quantity":-1})", R"({"product":1,"quantity":1001})", R"({"product":0,"quantity":1})",
        R"({"product":18446744073709551616,"quantity":1})", R"({"product":9223372036854775808,"quantity":1})",
        R"({"product":true,"quantity":1})", R"({"product":null,"quantity":1})"})
    EXPECT_EQ(refused(order(body)), 422) << body;
}

TEST(router, another_content_type_is_415) {
  request asked = order(R"({"product":3,"quantity":2})");
  for (const char* type : {"", "text/plain", "application/jsonx", "application/x-www-form-urlencoded"}) {
    asked.content_type = type;
    EXPECT_EQ(refused(asked), 415) << type;
  }
  asked.content_type.reset();
  EXPECT_EQ(refused(asked), 415);
}

TEST(router, users_and_keys_are_plain_words) {
  for (const std::string& word : {std::string(), std::string("a b"), std::string("x\ny"), std::string("\xc3\xa4"),
                                  std::string("';--"), std::string(65, 'u')}) {
    request asked{.method = "GET", .target = "/products", .user = word};
    EXPECT_EQ(refused(asked), 400) << word;
  }
  request asked = order(R"({"product":3,"quantity":2})");
  asked.idempotency_key = std::string(129, 'k');
  EXPECT_EQ(refused(asked), 400);
  asked.idempotency_key = std::string(128, 'k');
  EXPECT_EQ(refused(asked), 200);
}

TEST(router, an_error_is_json_whatever_it_quotes) {
  EXPECT_EQ(error_response(404, "not_found", "say \"please\"").body,
            R"({"error":{"code":"not_found","message":"say \"please\""}})");
  EXPECT_EQ(error_response(404, "not_found", "\xff").body,
            "{\"error\":{\"code\":\"not_found\",\"message\":\"\xef\xbf\xbd\"}}");
}

}  // namespace
}  // namespace storefront
