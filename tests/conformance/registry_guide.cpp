// The code of docs/guide/registry.md, built and run.
#include "conformance/support.hpp"

#include <otp/otp.hpp>

#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;

// [constants]
struct cart_info {
  std::string customer;
};
inline constexpr otp::unique_registry<std::string, cart_info> carts{"carts"};  // one process a key
inline constexpr otp::duplicate_registry<std::string> topics{"topics"};        // any number
// [/constants]

// [cart]
struct cart {
  struct add_item {
    using reply = int;  // how many there are now
    std::string item;
  };

  static auto start_link(std::string user) {
    return otp::gen_server::start_link<cart>({.name = otp::via(carts, user, cart_info{user})});
  }
  static int add(std::string user, std::string item) {
    return otp::call(otp::via<cart>(carts, user), add_item{std::move(item)});
  }

  int handle_call(add_item a) {
    items.push_back(std::move(a.item));
    return static_cast<int>(items.size());
  }
  std::vector<std::string> items;
};
// [/cart]

// [tree]
otp::supervisor_spec shop() {
  return {.strategy = otp::rest_for_one,
          .children = {
              otp::child_registry(carts, {.partitions = 4}),
              otp::child_registry(topics),
              otp::child_function("carts' supervisor",
                                  [] { return otp::dynamic_supervisor::start_link({}, {.name = "cart_sup"}); })
                  .type(otp::child_type::supervisor),
          }};
}

// The cart of a user, started when it is first asked for.
otp::pid cart_of(std::string user) {
  if (auto found = otp::lookup(carts, user)) return found->process;
  auto made = otp::dynamic_supervisor::start_child("cart_sup", otp::child<cart>(user));
  if (made) return made->process;
  return made.error().process();  // somebody else was faster: already_started names the holder
}
// [/tree]

TEST(registry_guide, one_server_a_user) {
  conformance::seeded([] {
    auto tree = otp::supervisor::start_link(shop()).value();
    otp::pid ann = cart_of("ann");
    EXPECT_EQ(cart_of("ann"), ann);
    EXPECT_NE(cart_of("bob"), ann);
    EXPECT_EQ(cart::add("ann", "tea"), 1);
    EXPECT_EQ(cart::add("ann", "cup"), 2);
    EXPECT_EQ(otp::lookup(carts, "ann")->value.customer, "ann");
    EXPECT_EQ(cart::start_link("ann").error().process(), ann);
    otp::supervisor::stop(tree);
  });
}

// [publish]
struct order_placed {
  int number;
};

void subscribe(std::string topic) { otp::register_key(topics, topic).value(); }

void publish(const std::string& topic, order_placed what) {
  otp::dispatch(topics, topic, [&](auto subscribers) {
    for (auto& s : subscribers) otp::send(s.process, what);
  });
}
// [/publish]

TEST(registry_guide, publish_and_subscribe) {
  conformance::seeded([] {
    otp::registry::start_link(topics).value();
    publish("orders", {1});  // nobody is there: nobody is told
    subscribe("orders");
    publish("orders", {2});
    publish("returns", {3});
    otp::receive([](order_placed o) { EXPECT_EQ(o.number, 2); });
    EXPECT_TRUE(conformance::mailbox_empty());
  });
}

// [look]
std::vector<std::string> carts_of(const std::string& customer) {
  return otp::select(carts, [&](const std::string& key, otp::pid, const cart_info& info) {
    return info.customer == customer ? std::optional(key) : std::nullopt;
  });
}
// [/look]

// [lock]
int charge_once(const std::string& user, int& balance) {
  return otp::lock(carts, user, [&] { return balance -= 5; });  // nobody else runs here for this user
}
// [/lock]

TEST(registry_guide, looks_and_locks) {
  conformance::seeded([] {
    otp::registry::start_link(carts).value();
    cart::start_link("ann").value();
    otp::register_key(carts, "ann's second", cart_info{"ann"}).value();
    auto found = carts_of("ann");
    std::sort(found.begin(), found.end());
    EXPECT_EQ(found, (std::vector<std::string>{"ann", "ann's second"}));
    int balance = 12;
    EXPECT_EQ(charge_once("ann", balance), 7);
  });
}

// [listener]
struct cart_log {
  using messages = otp::messages<otp::key_registered<std::string, cart_info>, otp::key_unregistered<std::string>>;

  void handle_info(const otp::key_registered<std::string, cart_info>& m) { lines.push_back("opened " + m.key); }
  void handle_info(const otp::key_unregistered<std::string>& m) { lines.push_back("closed " + m.key); }

  struct get {
    using reply = std::vector<std::string>;
  };
  std::vector<std::string> handle_call(get) { return lines; }
  std::vector<std::string> lines;
};

void start_with_log() {
  otp::gen_server::start_link<cart_log>({.name = "cart_log"}).value();
  otp::registry::start_link(carts, {.listeners = {"cart_log"}}).value();
}
// [/listener]

TEST(registry_guide, listens) {
  conformance::seeded([] {
    start_with_log();
    auto ann = cart::start_link("ann").value();
    otp::gen_server::stop(ann);
    otp::testing::settle();
    constexpr otp::name<cart_log> log{"cart_log"};
    EXPECT_EQ(otp::call(log, cart_log::get{}), (std::vector<std::string>{"opened ann", "closed ann"}));
  });
}

}  // namespace
