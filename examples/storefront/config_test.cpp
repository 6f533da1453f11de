#include "config.hpp"

#include <fstream>

#include "test_shop.hpp"

namespace storefront {
namespace {

struct config_test : test_shop {
  void write_file(const std::string& text) { std::ofstream(config_on_disk->path()) << text; }
};

TEST(configuration, what_is_not_named_has_its_default) {
  auto read = configuration_from(R"({"cart_idle_seconds": 60})");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->cart_idle_seconds, 60);
  EXPECT_EQ(read->cart_lines_max, configuration{}.cart_lines_max);
  EXPECT_EQ(configuration_from(to_text(*read)), *read);
}

// covers: J11
TEST(configuration, everything_that_is_wrong_is_said_at_once) {
  auto read = configuration_from(
      R"({"cart_idle_seconds": 0, "jobs_at_once": "4", "colour": "red", "profile_part_ms": 1e3, "health_interval_ms": 500,
          "health_interval_ms": 600})");
  ASSERT_FALSE(read);
  std::vector<std::string> keys;
  for (const bad_key& wrong : read.error()) keys.push_back(wrong.key);
  EXPECT_EQ(keys, (std::vector<std::string>{"cart_idle_seconds", "colour", "jobs_at_once", "profile_part_ms",
                                            "health_interval_ms"}));
  std::string text = to_text(read.error());
  for (const char* part : {"'cart_idle_seconds' is 0, accepted is a whole number from 1 to 86400",
                           "'colour' is \"red\", accepted is no such key; there are: payment_cents_max",
                           "'health_interval_ms' is there twice, accepted is each key once"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in " << text;
}

TEST(configuration, what_is_no_object_is_refused) {
  for (const char* text : {"", "{", "[]", "7", "null", "\"x\"", "{\"a\":\xff}"})
    EXPECT_FALSE(configuration_from(text)) << text;
  for (std::string open : {"[", "{\"jobs_at_once\":["}) {  // deep, and yet shown without a deep stack
    std::string deep = open;
    for (int i = 0; i < 400'000; ++i) deep += '[';
    for (int i = 0; i < 400'001; ++i) deep += ']';
    EXPECT_FALSE(configuration_from(deep + (open.front() == '{' ? "}" : "")));
  }
  EXPECT_FALSE(configuration_from(R"({"jobs_at_once": 18446744073709551615})"));
  EXPECT_FALSE(configuration_from(R"({"jobs_at_once": -9223372036854775808})"));
}

TEST_F(config_test, a_change_is_seen_by_who_looks_next_and_survives_the_agent) {
  with_shop([&] {
    ASSERT_TRUE(change_config_to(config_on_disk, R"({"jobs_at_once": 7})"));
    EXPECT_EQ(config_now()->jobs_at_once, 7);
    kill("config");
    EXPECT_EQ(config_now()->jobs_at_once, 7);
  });
  EXPECT_EQ(config_file(config_on_disk->path(), true).last().jobs_at_once, 7);
}

TEST_F(config_test, a_change_with_anything_wrong_in_it_changes_nothing) {
  with_shop([&] {
    ASSERT_TRUE(change_config_to(config_on_disk, R"({"jobs_at_once": 7})"));
    auto refused = change_config_to(config_on_disk, R"({"jobs_at_once": 8, "cart_lines_max": -1})");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().wrong.at(0).key, "cart_lines_max");
    EXPECT_EQ(config_now()->jobs_at_once, 7);
    kill("config");
    EXPECT_EQ(config_now()->jobs_at_once, 7);
  });
}

TEST_F(config_test, the_file_is_read_again_when_told_and_refused_if_it_is_bad) {
  with_shop([&] {
    write_file(R"({"jobs_at_once": 9})");
    EXPECT_EQ(change_config_to(config_on_disk, "")->jobs_at_once, 9);
    write_file(R"({"jobs_at_once": 1000, "x": 1})");
    EXPECT_EQ(change_config_to(config_on_disk, "").error().wrong.size(), 2U);
    EXPECT_EQ(config_now()->jobs_at_once, 9);
  });
}

TEST_F(config_test, an_agent_that_finds_a_bad_file_goes_on_with_what_was_good) {
  with_shop([&] {
    ASSERT_TRUE(change_config_to(config_on_disk, R"({"jobs_at_once": 7})"));
    write_file("garbage");
    kill("config");
    EXPECT_EQ(config_now()->jobs_at_once, 7);
  });
}

TEST_F(config_test, a_file_that_cannot_be_written_refuses_the_change_and_stays) {
  with_shop([&] {
    std::filesystem::create_directory(config_on_disk->path() + ".new");  // in the way of the new one
    auto refused = change_config_to(config_on_disk, R"({"jobs_at_once": 7})");
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().unwritable.find("cannot write"), std::string::npos);
    EXPECT_EQ(config_now()->jobs_at_once, configuration{}.jobs_at_once);
  });
}

TEST_F(config_test, a_bad_file_at_the_start_is_an_error_that_names_it) {
  write_file(R"({"jobs_at_once": 0})");
  try {
    config_file bad(config_on_disk->path(), false);
    FAIL() << "it was taken";
  } catch (const bad_config_file& e) {
    EXPECT_NE(std::string(e.what()).find("config.json'"), std::string::npos);
    EXPECT_NE(std::string(e.what()).find("from 1 to 64"), std::string::npos);
  }
  EXPECT_THROW(config_file(folder + "/nothing.json", true), bad_config_file);
}

}  // namespace
}  // namespace storefront
