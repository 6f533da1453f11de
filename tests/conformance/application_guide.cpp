// The code of docs/guide/application.md, built and run.
#include <otp/application.hpp>

#include "conformance/supervisor_support.hpp"

#include <otp/gen_server.hpp>

namespace {

using namespace std::chrono_literals;

// [store]
struct store_keeper {
  explicit store_keeper(std::string where) : path(std::move(where)) {}
  std::string path;
};

struct store {
  static otp::application_spec application() {
    return {.name = "store", .description = "what is for sale", .version = "1.0", .env = {{"path", "shop.db"}}};
  }
  auto start() {
    return otp::supervisor::start_link(
        {.strategy = otp::one_for_one,
         .children = {otp::child<store_keeper>(otp::application::require_env<std::string>("store", "path"))}});
  }
};
// [/store]

// [shop]
struct door {
  explicit door(std::uint16_t at) : port(at) {}
  std::uint16_t port;
};

struct shop {
  static otp::application_spec application() {
    return {.name = "shop",
            .description = "the shop itself",
            .version = "2.3",
            .applications = {"store"},  // runs before it is started
            .env = {{"port", 8080}, {"patience", 5s}}};
  }
  otp::result<otp::pid> start() {
    auto port = otp::application::require_env<std::uint16_t>("shop", "port");
    auto top = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child<door>(port)}});
    if (!top) return std::unexpected(top.error());
    return top->pid();
  }
  void prep_stop() { open = false; }  // before the tree is stopped: refuse new customers
  void stop() {}                      // after it
  void config_change(const otp::env_changes& changes) { reloads += changes.changed.size(); }

  bool open = true;
  std::size_t reloads = 0;
};
// [/shop]

// [main]
otp::result<void> start_everything(const std::string& file) {
  using otp::application;
  for (auto done : {application::load<store>(), application::load<shop>()})
    if (!done) return done;
  if (!file.empty())
    if (auto read = application::load_config(file); !read) return read;  // names the line
  if (auto read = application::load_config_from_variables("shop"); !read) return read;
  auto started = application::ensure_all_started("shop", otp::permanent);
  if (!started) return std::unexpected(started.error());  // {"shop", why}
  return {};
}

int run_shop(const std::string& file) {
  return otp::run([file] {
    start_everything(file).value();
    otp::wait_for_shutdown();
  });
}
// [/main]

}  // namespace

using namespace conformance;

TEST(application_guide, the_code_of_the_page_does_what_the_page_says) {
  for_seeds(5, [] {
    static_cast<void>(run_shop);
    EXPECT_TRUE(start_everything("").has_value());
    auto running = otp::application::started_applications();
    ASSERT_EQ(running.size(), 2U);
    EXPECT_EQ(running[0].name, "shop");
    EXPECT_EQ(running[1].name, "store");
    EXPECT_EQ(otp::application::get_env<otp::duration>("shop", "patience"), 5s);
    EXPECT_EQ(start_everything("/nonexistent").error(), otp::already_loaded{"store"});
  });
}

// [test]
TEST(shop, it_takes_its_port_from_the_configuration) {
  otp::testing::run([] {
    otp::application::load<store>().value();
    otp::application::load<shop>().value();
    otp::application::load_config_text("[shop]\nport = high\n", "shop.conf").value();
    auto failed = otp::application::ensure_all_started("shop");
    EXPECT_NE(failed.error().to_string().find("a whole number"), std::string::npos);
    otp::application::put_env("shop", "port", 9090);
    EXPECT_TRUE(otp::application::ensure_all_started("shop").has_value());
  });
}
// [/test]
