// Applications: settings and where they come from.
#include <otp/application.hpp>

#include "conformance/support.hpp"

#include <otp/gen_server.hpp>

#include <cstdlib>
#include <fstream>

using namespace conformance;
using otp::application;
using tests::strings;

namespace {

tests::journal* changes_seen = nullptr;

struct idle {};

struct shop {
  static otp::application_spec application() {
    return {.name = "shop",
            .env = {{"port", 8080}, {"host", "localhost"}, {"timeout", otp::duration(5s)}, {"rate", 0.5}}};
  }
  otp::pid start() { return otp::gen_server::start_link<idle>().value(); }
  void config_change(const otp::env_changes& changes) {
    std::string line = "shop:";
    for (auto& [key, value] : changes.changed) line += " ~" + key + "=" + value.to_string();
    for (auto& [key, value] : changes.added) line += " +" + key + "=" + value.to_string();
    for (auto& key : changes.removed) line += " -" + key;
    changes_seen->add(line);
  }
};
struct store {
  static otp::application_spec application() { return {.name = "store", .env = {{"path", "/tmp"}}}; }
  otp::pid start() { return otp::gen_server::start_link<idle>().value(); }
  void config_change(const otp::env_changes&) { changes_seen->add("store"); }
};

template <class F>
std::string refusal_of(F&& function) {
  try {
    static_cast<void>(function());
  } catch (const otp::bad_argument& e) {
    return e.what();
  }
  return {};
}
void expect_all(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts) EXPECT_NE(text.find(part), std::string::npos) << text;
}

}  // namespace

// covers: APP-036
TEST(application_env, get_gives_a_value_a_default_or_none_and_fetch_says_why) {
  seeded([] {
    application::load<shop>().value();
    EXPECT_EQ(application::get_env<int>("shop", "port"), 8080);
    EXPECT_EQ(application::get_env<std::string>("shop", "host"), "localhost");
    EXPECT_EQ(application::get_env<std::chrono::milliseconds>("shop", "timeout"), 5000ms);
    EXPECT_EQ(application::get_env<double>("shop", "rate"), 0.5);
    EXPECT_FALSE(application::get_env<int>("shop", "colour"));
    EXPECT_FALSE(application::get_env<int>("nobody", "port"));
    EXPECT_EQ(application::get_env<int>("shop", "colour", 7), 7);
    EXPECT_EQ(application::get_env<int>("shop", "port", 7), 8080);
    EXPECT_EQ(application::fetch_env<int>("shop", "port"), 8080);
    EXPECT_EQ(application::fetch_env<int>("nobody", "port").error(), otp::not_loaded{"nobody"});
    auto missing = application::fetch_env<int>("shop", "colour").error();
    EXPECT_EQ(missing, otp::reason::not_found);
    expect_all(missing.to_string(), {"shop", "colour", "host, port, rate, timeout", "SHOP_COLOUR"});
    EXPECT_EQ(application::require_env<int>("shop", "port"), 8080);
    expect_all(refusal_of([] { return application::require_env<int>("shop", "colour"); }), {"shop", "colour", "port"});
    expect_all(refusal_of([] { return application::require_env<int>("nobody", "port"); }), {"not_loaded", "nobody"});
    // Another type than it has.
    expect_all(refusal_of([] { return application::get_env<int>("shop", "host"); }),
               {"\"host\" of \"shop\"", "localhost", "a whole number"});
    expect_all(refusal_of([] { return application::get_env<std::string>("shop", "port"); }), {"port", "8080", "text"});
    application::put_env("shop", "port", 70'000);
    expect_all(refusal_of([] { return application::get_env<std::uint16_t>("shop", "port"); }), {"70000", "fits"});
    application::put_env("shop", "port", -1);
    expect_all(refusal_of([] { return application::get_env<unsigned>("shop", "port"); }), {"-1", "from 0 on"});
  });
}

// covers: APP-037
TEST(application_env, changes_take_effect_at_once_for_all) {
  everywhere(3, [] {
    application::load<shop>().value();
    application::put_env("shop", "port", 9090);
    otp::pid me = otp::self();
    otp::spawn_link([me] { otp::send(me, application::get_env<int>("shop", "port").value()); });
    EXPECT_EQ(next<int>(), 9090);
    application::put_all_env("shop", {{"host", "example"}, {"new", true}});
    EXPECT_EQ(application::get_env<std::string>("shop", "host"), "example");
    EXPECT_EQ(application::get_env<bool>("shop", "new"), true);
    application::delete_env("shop", "new");
    application::delete_env("shop", "never");
    application::delete_env("nobody", "never");
    EXPECT_FALSE(application::get_env<bool>("shop", "new"));
    EXPECT_EQ(application::get_all_env("shop").size(), 4U);
    EXPECT_TRUE(application::get_all_env("nobody").empty());
    // Before it is loaded, too: that goes before the defaults.
    application::put_env("store", "path", "/var");
    application::load<store>().value();
    EXPECT_EQ(application::get_env<std::string>("store", "path"), "/var");
    expect_all(refusal_of([] {
                 application::put_env("no name", "k", 1);
                 return 0;
               }),
               {"no name"});
    expect_all(refusal_of([] {
                 application::put_all_env("shop", {{"k", 1}, {"k", 2}});
                 return 0;
               }),
               {"\"k\"", "twice"});
  });
}

// covers: APP-036
TEST(application_env, a_file_gives_text_that_is_read_as_what_is_asked_for) {
  seeded([] {
    application::load<shop>().value();
    auto text =
        "# what a shop needs\n"
        "[shop]\n"
        "port = 9000   # the door\n"
        "  host=\"a \\\"quoted\\\" name # not a comment\"\n"
        "timeout = 250ms\n"
        "long = infinity\n"
        "rate = 1.25\r\n"
        "open = true\n"
        "empty =\n"
        "\n"
        "[store]\n"
        "path = /var/store\n";
    EXPECT_TRUE(application::load_config_text(text, "shop.conf").has_value());
    EXPECT_EQ(application::get_env<int>("shop", "port"), 9000);
    EXPECT_EQ(application::get_env<std::string>("shop", "port"), "9000");
    EXPECT_EQ(application::get_env<std::uint16_t>("shop", "port"), 9000);
    EXPECT_EQ(application::get_env<std::string>("shop", "host"), "a \"quoted\" name # not a comment");
    EXPECT_EQ(application::get_env<otp::duration>("shop", "timeout"), 250ms);
    EXPECT_EQ(application::get_env<otp::duration>("shop", "long"), otp::infinity);
    EXPECT_EQ(application::get_env<double>("shop", "rate"), 1.25);
    EXPECT_EQ(application::get_env<bool>("shop", "open"), true);
    EXPECT_EQ(application::get_env<std::string>("shop", "empty"), "");
    for (const char* key : {"host", "rate", "timeout", "empty"})
      expect_all(refusal_of([&] { return application::get_env<int>("shop", key); }), {key, "whole number"});
    expect_all(refusal_of([] { return application::get_env<otp::duration>("shop", "port"); }), {"9000", "250ms"});
    expect_all(refusal_of([] { return application::get_env<bool>("shop", "port"); }), {"true or false"});
    // One that is loaded later.
    application::load<store>().value();
    EXPECT_EQ(application::get_env<std::string>("store", "path"), "/var/store");
  });
}

TEST(application_env, a_bad_file_names_the_line_and_changes_nothing) {
  seeded([] {
    application::load<shop>().value();
    auto refused = [](const char* text, std::initializer_list<const char*> parts) {
      auto done = application::load_config_text(text, "shop.conf");
      ASSERT_FALSE(done);
      EXPECT_EQ(done.error(), otp::reason::bad_argument);
      for (const char* part : parts)
        EXPECT_NE(done.error().text().find(part), std::string::npos) << done.error().to_string();
      EXPECT_EQ(application::get_env<int>("shop", "port"), 8080);
    };
    refused("[shop]\nport = 1\nnonsense\n", {"shop.conf:3:", "nonsense", "key = value"});
    refused("port = 1\n", {"shop.conf:1:", "[application]"});
    refused("[shop\nport = 1\n", {"shop.conf:1:", "[name]"});
    refused("[2shop]\n", {"shop.conf:1:"});
    refused("[shop] port\n", {"shop.conf:1:"});
    refused("[shop]\nport = 1\nport = 2\n", {"shop.conf:3:", "above"});
    refused("[shop]\nport = 1\nhost = \"open\n", {"shop.conf:3:", "quotes"});
    refused("[shop]\nport = 1\nhost = \"a\" b\n", {"shop.conf:3:", "quotes"});
    refused("[shop]\nport = 1\n = 2\n", {"shop.conf:3:", "key"});
    refused("[shop]\nport = 1\ntwo words = 2\n", {"shop.conf:3:", "one word"});
    auto missing = application::load_config("/nonexistent/shop.conf");
    EXPECT_EQ(missing.error(), otp::reason::not_found);
    expect_all(std::string(missing.error().text()), {"/nonexistent/shop.conf"});
    EXPECT_FALSE(application::load_config("/"));
    std::string path = testing::TempDir() + "otp_application_env.conf";
    std::ofstream(path) << "[shop]\nport = 1234\n";
    EXPECT_TRUE(application::load_config(path).has_value());
    EXPECT_EQ(application::get_env<int>("shop", "port"), 1234);
    std::remove(path.c_str());
  });
}

TEST(application_env, environment_variables_go_before_files) {
  seeded([] {
    application::load<shop>().value();
    ::setenv("SHOP_PORT", "7000", 1);
    ::setenv("SHOP_COLOUR", "red", 1);  // not a setting of the shop's
    application::load_config_text("[shop]\nport = 9000\nhost = file\n", "shop.conf").value();
    EXPECT_TRUE(application::load_config_from_variables("shop").has_value());
    ::unsetenv("SHOP_PORT");
    ::unsetenv("SHOP_COLOUR");
    EXPECT_EQ(application::get_env<int>("shop", "port"), 7000);
    EXPECT_EQ(application::get_env<std::string>("shop", "host"), "file");
    EXPECT_FALSE(application::get_env<std::string>("shop", "colour"));
    EXPECT_EQ(application::load_config_from_variables("nobody").error(), otp::not_loaded{"nobody"});
  });
}

// covers: APP-039
TEST(application_env, a_changed_configuration_is_told_once_to_those_that_run_and_changed) {
  for_seeds(5, [] {
    tests::journal seen;
    changes_seen = &seen;
    application::load_config_text("[shop]\nport = 1\nhost = a\ncolour = red\n[store]\npath = /x\n", "one").value();
    application::start<shop>().value();
    application::start<store>().value();
    auto reload = [&](const char* text) {
      application::load_config_text(text, "next").value();
      otp::testing::settle();
      return seen.take();
    };
    EXPECT_TRUE(reload("[shop]\nport = 1\nhost = a\ncolour = red\n[store]\npath = /x\n").empty());
    // Changed, new, gone, and back to its default.
    EXPECT_EQ(reload("[shop]\nport = 2\nsize = big\n[store]\npath = /x\n"),
              strings{"shop: ~host=\"localhost\" ~port=\"2\" +size=\"big\" -colour"});
    EXPECT_EQ(application::get_env<std::string>("shop", "host"), "localhost");
    EXPECT_EQ(reload("[shop]\nport = 2\nsize = big\n[store]\npath = /y\n"), strings{"store"});
    application::stop("shop").value();
    EXPECT_TRUE(reload("[shop]\nport = 3\nsize = big\n[store]\npath = /y\n").empty());
    EXPECT_EQ(application::get_env<int>("shop", "port"), 3);
    changes_seen = nullptr;
  });
}

// Variables that were read while the application ran changed its settings behind its back.
// covers: APP-039
TEST(application_env, variables_are_told_to_one_that_runs) {
  for_seeds(5, [] {
    tests::journal seen;
    changes_seen = &seen;
    application::start<shop>().value();
    ::setenv("SHOP_PORT", "7000", 1);
    application::load_config_from_variables("shop").value();
    otp::testing::settle();
    EXPECT_EQ(seen.take(), strings{"shop: ~port=\"7000\""});
    application::load_config_from_variables("shop").value();
    ::unsetenv("SHOP_PORT");
    otp::testing::settle();
    EXPECT_TRUE(seen.take().empty());
    application::stop("shop").value();
    changes_seen = nullptr;
  });
}
