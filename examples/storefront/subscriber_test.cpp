#include "subscriber.hpp"

#include <nlohmann/json.hpp>

#include "counters.hpp"
#include "test_shop.hpp"

namespace storefront {
namespace {

using namespace std::chrono_literals;

/// A client that reads when told.
struct test_wire final : news_wire {
  void attach(otp::pid to) override { owner = to; }
  void write(std::shared_ptr<const std::string> text) override {
    EXPECT_FALSE(writing) << "two writes at a time";
    got.push_back(*text);
    writing = !reads;
    if (reads) otp::send(owner, wire_written{});
  }
  void close(bool polite) noexcept override {
    if (!std::exchange(closed, true)) goodbye = polite;
  }
  void read_one() {
    writing = false;
    otp::send(owner, wire_written{});
  }
  otp::pid owner;
  std::vector<std::string> got;
  bool reads = true, writing = false, closed = false, goodbye = false;
};

struct subscriber_test : test_shop {
  static std::shared_ptr<test_wire> subscribe(const char* topic, bool reads = true) {
    auto wire = std::make_shared<test_wire>();
    wire->reads = reads;
    EXPECT_TRUE(start_subscriber(wire, topic));
    otp::testing::settle();
    return wire;
  }
  static void tell(int count, const char* topic = "orders") {
    for (int i = 0; i < count; ++i) publish(topic, {{"number", i}});
    otp::testing::settle();
  }
};

TEST_F(subscriber_test, hears_of_its_topic_in_order_and_of_nothing_else) {
  with_shop([] {
    auto orders = subscribe("orders"), payments = subscribe("payments");
    tell(100);
    ASSERT_EQ(orders->got.size(), 101U);
    EXPECT_EQ(orders->got[0], R"({"subscribed":"orders"})");
    for (int i = 0; i < 100; ++i)
      EXPECT_EQ(orders->got[static_cast<std::size_t>(i) + 1], R"({"number":)" + std::to_string(i) + R"(,"topic":"orders"})");
    EXPECT_EQ(payments->got.size(), 1U);
  });
}

TEST_F(subscriber_test, one_that_stops_reading_is_dropped_when_its_queue_is_full_and_nobody_else_is_hurt) {
  with_shop([&] {
    change_config_to(config_on_disk, R"({"news_backlog_max": 10})").value();
    auto deaf = subscribe("orders", false), good = subscribe("orders");
    std::uint64_t dropped = counters.subscribers_dropped;
    tell(10);
    EXPECT_FALSE(deaf->closed);
    tell(1);
    EXPECT_TRUE(deaf->closed);
    EXPECT_FALSE(deaf->goodbye) << "it would not hear it";
    EXPECT_EQ(counters.subscribers_dropped, dropped + 1);
    tell(10);
    EXPECT_EQ(good->got.size(), 22U);
    EXPECT_EQ(otp::lookup(topics, "orders").size(), 1U);
  });
}

TEST_F(subscriber_test, one_that_takes_a_single_item_too_slowly_is_dropped) {
  with_shop([] {
    auto deaf = subscribe("orders", false);
    deaf->read_one();
    otp::testing::settle();
    otp::testing::advance(1h);  // nothing to read: no reason to be dropped
    EXPECT_FALSE(deaf->closed);
    tell(2);
    otp::testing::advance(9s);
    deaf->read_one();  // just in time
    otp::testing::advance(9s);
    EXPECT_FALSE(deaf->closed);
    otp::testing::advance(2s);
    EXPECT_TRUE(deaf->closed);
  });
}

TEST_F(subscriber_test, ends_when_its_client_goes_and_leaves_nothing_behind) {
  with_shop([] {
    auto wire = subscribe("orders");
    std::uint64_t open = counters.subscribers_open;
    otp::send(wire->owner, wire_closed{"gone"});
    otp::testing::settle();
    EXPECT_FALSE(otp::is_alive(wire->owner));
    EXPECT_TRUE(otp::lookup(topics, "orders").empty());
    EXPECT_EQ(counters.subscribers_open, open - 1);
  });
}

TEST_F(subscriber_test, hangs_up_when_killed_and_says_goodbye_when_stopped) {
  std::shared_ptr<test_wire> killed, stopped, without_registry;
  with_shop([&] {
    killed = subscribe("orders");
    otp::exit(killed->owner, otp::reason::kill);
    otp::testing::settle();
    EXPECT_TRUE(killed->closed);
    EXPECT_FALSE(killed->goodbye);
    without_registry = subscribe("orders");
    kill("topics");
    otp::testing::settle();
    EXPECT_TRUE(without_registry->closed);
    stopped = subscribe("orders");
    tell(1);
    EXPECT_EQ(stopped->got.size(), 2U);
  });
  EXPECT_TRUE(stopped->goodbye);
}

TEST_F(subscriber_test, one_more_than_there_is_room_for_is_refused) {
  with_shop([] {
    std::vector<std::shared_ptr<test_wire>> wires;
    for (int i = 0; i < 10; ++i) wires.push_back(subscribe("orders"));
    auto one_more = std::make_shared<test_wire>();
    EXPECT_FALSE(start_subscriber(one_more, "orders"));
    EXPECT_TRUE(one_more->closed);
    tell(1);
    for (auto& wire : wires) EXPECT_EQ(wire->got.size(), 2U);
  });
}

TEST_F(subscriber_test, without_a_registry_news_go_nowhere_and_nobody_fails) {
  otp::testing::run([] { publish("orders", {{"order", 1}}); });
}

}  // namespace
}  // namespace storefront
