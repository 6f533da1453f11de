// The code of docs/guide/gen_server.md, built and run.
#include "conformance/support.hpp"

#include <otp/gen_server.hpp>
#include <otp/sys.hpp>
#include <otp/testing.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;

// [stack]
struct stack {
  struct push {  // a cast: nobody waits for it
    std::string item;
  };
  struct pop {  // a request: it names its reply
    using reply = std::optional<std::string>;
  };

  void handle_cast(push p) { items.push_back(std::move(p.item)); }
  std::optional<std::string> handle_call(pop) {
    if (items.empty()) return std::nullopt;
    std::string item = std::move(items.back());
    items.pop_back();
    return item;
  }
  std::vector<std::string> items;
};
// [/stack]

// [use]
std::string last_of_two() {
  auto plates = otp::gen_server::start_link<stack>().value();
  otp::cast(plates, stack::push{"blue"});
  otp::cast(plates, stack::push{"white"});
  return otp::call(plates, stack::pop{}).value();
}
// [/use]

// [init]
struct connection {
  struct connect {};  // what init leaves for later

  static otp::init_result<connection> init(std::string host) {
    if (host.empty()) return otp::init_error("no host");
    if (host == "none") return otp::ignore();
    return otp::ok(std::move(host)).then_continue(connect{});
  }
  void handle_continue(connect) { connected = true; }

  std::string host;
  bool connected = false;
};
// [/init]

// [results]
struct door {
  struct open {
    using reply = bool;
  };
  struct demolish {
    using reply = std::string;
  };

  // A plain reply, or reply(), noreply() and stop() with what goes with them.
  otp::call_result<bool> handle_call(open) {
    bool was_closed = !std::exchange(is_open, true);
    return otp::reply(was_closed).timeout_after(10s);
  }
  otp::call_result<std::string> handle_call(demolish) { return otp::stop(otp::reason::shutdown).reply("dust"); }
  // After ten seconds without any message.
  void handle_info(otp::timeout) { is_open = false; }

  bool is_open = false;
};
// [/results]

// [info]
struct watchman {
  struct watch {
    otp::pid whom;
  };
  struct rounds {};
  using messages = otp::messages<rounds>;  // what may come by plain pid

  watchman() { otp::send_interval(1min, otp::self(), rounds{}); }
  void handle_cast(watch w) { watched[otp::monitor(w.whom)] = w.whom; }
  void handle_info(rounds) { ++walks; }
  void handle_info(const otp::down& d) { watched.erase(d.reference); }  // the runtime's messages need no listing
  void handle_info(const otp::message&) { ++strange; }                  // everything else

  std::map<otp::ref, otp::pid> watched;
  int walks = 0, strange = 0;
};
// [/info]

// [requests]
std::vector<std::string> pop_from_all(const std::vector<otp::server<stack>>& stacks) {
  otp::request_id_collection<std::optional<std::string>, std::size_t> open;
  for (std::size_t i = 0; i < stacks.size(); ++i) open.add(otp::send_request(stacks[i], stack::pop{}), i);

  std::vector<std::string> items;
  otp::instant deadline = otp::now() + 1s;  // one for all
  while (auto response = open.wait(deadline))
    if (response->value && *response->value) items.push_back(**response->value);
  return items;
}
// [/requests]

// [try_call]
std::string pop_or_default(otp::server<stack> s) {
  auto item = otp::try_call(s, stack::pop{}, 100ms);
  if (!item) return "no answer: " + item.error().cause().to_string();
  return item->value_or("empty");
}
// [/try_call]

// [terminate]
struct notebook {
  struct line {
    std::string text;
  };
  void handle_cast(line l) { lines.push_back(std::move(l.text)); }
  void terminate(const otp::exit_reason&) { saved = lines; }
  std::string to_string() const { return std::to_string(lines.size()) + " lines"; }

  std::vector<std::string> lines;
  static inline std::vector<std::string> saved;
};
// [/terminate]

TEST(gen_server_guide, a_stack) {
  otp::testing::run([] {
    EXPECT_EQ(last_of_two(), "white");
    auto s = otp::gen_server::start<stack>().value();
    EXPECT_EQ(pop_or_default(s), "empty");
    otp::cast(s, stack::push{"red"});
    EXPECT_EQ(pop_or_default(s), "red");
    otp::sys::suspend(s);
    EXPECT_EQ(pop_or_default(s), "no answer: timeout");
    otp::sys::resume(s);
    otp::gen_server::stop(s);
    EXPECT_EQ(pop_or_default(s), "no answer: noproc");
  });
}

TEST(gen_server_guide, init) {
  otp::testing::run([] {
    EXPECT_TRUE(otp::gen_server::start<connection>({}, "example.org"));
    EXPECT_EQ(otp::gen_server::start<connection>({}, "").error(), otp::exit_reason("no host"));
    EXPECT_EQ(otp::gen_server::start<connection>({}, "none").error(), otp::reason::ignore);
  });
}

// [virtual_time]
TEST(gen_server_guide, a_door_closes_after_ten_seconds) {
  otp::testing::run([] {
    auto d = otp::gen_server::start<door>().value();
    EXPECT_TRUE(otp::call(d, door::open{}));
    otp::testing::advance(9s);
    EXPECT_FALSE(otp::call(d, door::open{}));  // still open; the ten seconds start again
    otp::testing::advance(10s);
    EXPECT_TRUE(otp::call(d, door::open{}));
  });
}
// [/virtual_time]

TEST(gen_server_guide, results) {
  otp::testing::run([] {
    auto d = otp::gen_server::start_monitor<door>().value();
    EXPECT_EQ(otp::call(d.server, door::demolish{}), "dust");
    otp::receive(otp::when([&](const otp::down& e) { return e.reference == d.monitor; },
                           [](const otp::down& e) { EXPECT_EQ(e.reason, otp::reason::shutdown); }));
  });
}

TEST(gen_server_guide, other_messages) {
  otp::testing::run([] {
    struct seen {
      struct counts {
        using reply = std::array<std::size_t, 3>;
      };
    };
    struct visible : watchman {
      using watchman::handle_cast;
      using watchman::handle_info;
      std::array<std::size_t, 3> handle_call(seen::counts) {
        return {watched.size(), static_cast<std::size_t>(walks), static_cast<std::size_t>(strange)};
      }
    };
    using counts = std::array<std::size_t, 3>;
    auto w = otp::gen_server::start<visible>().value();
    otp::pid sleeper = otp::spawn([] { otp::sleep(90s); });
    otp::cast(w, watchman::watch{sleeper});
    otp::send(w.pid(), std::string("what is this"));
    EXPECT_EQ(otp::call(w, seen::counts{}), (counts{1, 0, 1}));
    otp::testing::advance(2min);
    EXPECT_EQ(otp::call(w, seen::counts{}), (counts{0, 2, 1}));
  });
}

TEST(gen_server_guide, requests) {
  otp::testing::run([] {
    std::vector<otp::server<stack>> stacks;
    for (const char* item : {"a", "b", "c"}) {
      stacks.push_back(otp::gen_server::start<stack>().value());
      otp::cast(stacks.back(), stack::push{item});
    }
    stacks.push_back(otp::gen_server::start<stack>().value());  // empty
    otp::sys::suspend(stacks[2]);                               // late
    std::vector<std::string> items = pop_from_all(stacks);
    std::sort(items.begin(), items.end());
    EXPECT_EQ(items, (std::vector<std::string>{"a", "b"}));
  });
}

TEST(gen_server_guide, terminate) {
  otp::testing::run([] {
    auto n = otp::gen_server::start<notebook>().value();
    otp::cast(n, notebook::line{"first"});
    EXPECT_EQ(otp::sys::get_status(n).state, "1 lines");
    otp::gen_server::stop(n);
    EXPECT_EQ(notebook::saved, std::vector<std::string>{"first"});
  });
}

}  // namespace
