// For tests: what a part of the shop needs around it, on one thread with virtual time, and a real file in a folder that
// goes with it.
#pragma once
#include <gtest/gtest.h>
#include <otp/dynamic_supervisor.hpp>
#include <otp/otp.hpp>
#include <otp/testing.hpp>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "background.hpp"
#include "cart.hpp"
#include "config.hpp"
#include "db_pool.hpp"
#include "payment_desk.hpp"
#include "store.hpp"
#include "subscriber.hpp"

namespace storefront {

struct test_shop : testing::Test {
  test_shop() {
    char pattern[] = "/tmp/storefront_test.XXXXXX";
    folder = mkdtemp(pattern);
    file = prepare_store(folder);
    config_on_disk = std::make_shared<config_file>(folder + "/config.json", false);
  }
  ~test_shop() override { std::filesystem::remove_all(folder); }

  // Runs the body beside the tree; `more` are its last children.
  void with_shop(const std::function<void()>& body, std::vector<otp::child_spec> more = {}) {
    otp::testing::run([&] {
      std::vector<otp::child_spec> children{child_config(config_on_disk),
                                            otp::child_supervisor("db", db_pool::spec(2, file, 1000), {.name = "db"}),
                                            otp::child_task_supervisor(background),
                                            child_news(10, 1000),
                                            child_carts(1000),
                                            child_payments(bank, 1000)};
      for (otp::child_spec& child : more) children.push_back(std::move(child));
      otp::supervisor::start_link(
          {.strategy = otp::one_for_one, .max_restarts = 1000, .children = std::move(children)}, {.name = "shop"})
          .value();
      otp::testing::settle();
      body();
      otp::supervisor::stop("shop");
    });
  }
  static void kill(const std::string& name) { otp::exit(otp::whereis(name).value(), otp::reason::kill); }
  // Any child of a dynamic supervisor.
  static otp::pid only_child(const char* supervisor) {
    return otp::supervisor::which_children(supervisor).at(0).process;
  }

  std::string folder, file;
  std::shared_ptr<config_file> config_on_disk;
  std::shared_ptr<payment_gateway> bank = std::make_shared<practice_gateway>();
};

}  // namespace storefront
