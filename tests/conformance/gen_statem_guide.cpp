// The code of docs/guide/gen_statem.md, built and run.
#include "conformance/support.hpp"

#include <otp/gen_statem.hpp>
#include <otp/sys.hpp>
#include <otp/testing.hpp>

#include <map>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using conformance::for_seeds;

// [door]
struct door {
  struct locked {};
  struct open {
    int visitors = 0;  // a state may carry values
  };
  using states = otp::states<locked, open>;  // the first is the initial one

  struct code {  // a call: it names its reply
    using reply = bool;
    int digits;
  };
  struct walk_in {};  // a message
  struct too_long {};
  using events = otp::events<code, walk_in, too_long>;

  otp::step<bool, open> on(locked&, const code& c) {
    if (c.digits != secret) return otp::stay().reply(false);
    return otp::go(open{}).reply(true).state_timeout(10s, too_long{});
  }
  void on(open& now, walk_in) { ++now.visitors; }
  otp::step<void, locked> on(open&, too_long) { return otp::go(locked{}); }

  // What no handler takes.
  bool otherwise(const auto&, const auto&) { return false; }

  int secret = 1234;  // the data: members of the machine
};
// [/door]

// [use]
bool come_in() {
  auto d = otp::gen_statem::start_link<door>().value();
  otp::cast(d, door::walk_in{});  // locked: nothing happens
  bool opened = otp::call(d, door::code{1234});
  otp::cast(d, door::walk_in{});
  return opened;
}
// [/use]

// [postpone]
struct connection {
  struct down {};
  struct up {};
  using states = otp::states<down, up>;
  struct request {
    using reply = std::string;
    std::string what;
  };
  struct connected {};
  struct lost {};
  using events = otp::events<request, connected, lost>;

  // Not now: the caller waits, and the request comes again when the state has changed.
  otp::step<std::string> on(down&, const request&) { return otp::stay().postpone(); }
  std::string on(up&, const request& r) { return "answer to " + r.what; }
  otp::step<void, up> on(down&, connected) { return otp::go(up{}); }
  otp::step<void, down> on(up&, lost) { return otp::go(down{}).timeout("reconnect", 5s, connected{}); }
};
// [/postpone]

// [enter]
struct engine {
  struct idle {};
  struct running {
    int speed = 0;
  };
  using states = otp::states<idle, running>;
  struct start {};
  struct tick {};
  struct stop {};
  using events = otp::events<start, tick, stop>;

  // Runs whenever the state has changed, and once at the start.
  otp::step<void> enter(running&) { return otp::stay().timeout("tick", 1s, tick{}); }
  otp::step<void> enter(idle&, const otp::state_view& previous) {
    if (previous.is<running>()) ++stops;
    return otp::stay().cancel_timeout("tick");
  }

  otp::step<void, running> on(idle&, start) { return otp::go(running{1}); }
  otp::step<void, running> on(running& now, tick) {
    now.speed += 10;  // in place: no change of the state
    return otp::repeat_state();
  }
  otp::step<void, idle> on(running&, stop) { return otp::go(idle{}); }
  int stops = 0;
  std::string to_string() const { return std::to_string(stops) + " stops"; }
};
// [/enter]

// [several]
struct barrier {
  struct gathering {};
  struct released {};
  using states = otp::states<gathering, released>;
  struct arrive {
    using reply = int;
  };
  using events = otp::events<arrive>;

  otp::step<int, released> on(gathering&, arrive, otp::from<int> caller) {
    waiting.push_back(std::move(caller));
    if (waiting.size() < 3) return otp::stay();
    auto step = otp::go(released{});
    for (auto& who : waiting) std::move(step).reply(std::move(who), 3);
    return step;
  }
  int on(released&, arrive) { return 0; }
  std::vector<otp::from<int>> waiting;
};
// [/several]

// [values]
struct elevator {
  struct floor {
    int number = 0;
    bool moving = false;
    bool operator==(const floor&) const = default;
  };
  using state = floor;  // one type; == says what a change is
  struct press {
    int floor;
  };
  struct arrived {};
  struct where {
    using reply = int;
  };
  using events = otp::events<press, arrived, where>;

  otp::step<void, state> handle_event(const state& now, const press& p) {
    if (now.moving) return otp::stay().postpone();
    return otp::go(state{p.floor, true}).state_timeout(std::abs(p.floor - now.number) * 1s, arrived{});
  }
  otp::step<void, state> handle_event(const state& now, arrived) { return otp::go(state{now.number, false}); }
  int handle_event(const state& now, where) { return now.number; }
};
// [/values]

// [restored]
struct order {
  struct placed {};
  struct paid {
    std::string receipt;
  };
  using states = otp::states<placed, paid>;
  using initial = otp::states<placed, paid>;  // what it may start in
  struct pay {};
  struct remind {};
  struct receipt {
    using reply = std::string;
  };
  using events = otp::events<pay, remind, receipt>;

  static otp::init_result<order> init(int id, std::string stored_receipt) {
    if (id <= 0) return otp::init_error("no such order");
    if (!stored_receipt.empty()) return otp::start_in(paid{std::move(stored_receipt)}, id);
    return otp::start_in(placed{}, id).state_timeout(24h, remind{});
  }
  otp::step<void, paid> on(placed&, pay) { return otp::go(paid{"receipt " + std::to_string(id)}); }
  void on(placed&, remind) { ++reminders; }
  std::string on(paid& now, receipt) { return now.receipt; }
  std::string otherwise(const auto&, const auto&) { return "not paid"; }

  int id;
  int reminders = 0;
};
// [/restored]

TEST(gen_statem_guide, door) {
  for_seeds(5, [] {
    EXPECT_TRUE(come_in());
    auto d = otp::gen_statem::start<door>().value();
    EXPECT_FALSE(otp::call(d, door::code{1}));
    EXPECT_TRUE(otp::call(d, door::code{1234}));
    EXPECT_NE(otp::diagram(d).find("class open current"), std::string::npos);
    otp::sleep(11s);
    EXPECT_NE(otp::diagram(d).find("class locked current"), std::string::npos);
  });
}

TEST(gen_statem_guide, postpone) {
  for_seeds(5, [] {
    auto c = otp::gen_statem::start<connection>().value();
    auto id = otp::send_request(c, connection::request{"a"});
    EXPECT_FALSE(otp::wait_response(id, 1s));
    otp::cast(c, connection::connected{});
    EXPECT_EQ(otp::wait_response(id)->value(), "answer to a");
    otp::cast(c, connection::lost{});
    EXPECT_EQ(otp::call(c, connection::request{"b"}, 6s), "answer to b");
  });
}

TEST(gen_statem_guide, enter) {
  for_seeds(5, [] {
    auto e = otp::gen_statem::start<engine>().value();
    otp::cast(e, engine::start{});
    otp::sleep(3500ms);
    otp::cast(e, engine::stop{});
    otp::sleep(10s);
    EXPECT_EQ(otp::sys::get_status(e).data, "1 stops");
    EXPECT_TRUE(otp::sys::get_status(e).timers.empty());
  });
}

TEST(gen_statem_guide, several_callers) {
  for_seeds(5, [] {
    auto b = otp::gen_statem::start<barrier>().value();
    std::vector<otp::request_id<int>> ids;
    for (int i = 0; i < 3; ++i) ids.push_back(otp::send_request(b, barrier::arrive{}));
    for (auto& id : ids) EXPECT_EQ(otp::wait_response(id)->value(), 3);
    EXPECT_EQ(otp::call(b, barrier::arrive{}), 0);
  });
}

TEST(gen_statem_guide, states_that_are_values) {
  for_seeds(5, [] {
    auto e = otp::gen_statem::start<elevator>().value();
    otp::cast(e, elevator::press{4});
    otp::cast(e, elevator::press{2});
    otp::sleep(5s);
    EXPECT_EQ(otp::call(e, elevator::where{}), 2);
    otp::sleep(5s);
    EXPECT_EQ(otp::sys::get_status(e).timers.size(), 0U);
  });
}

TEST(gen_statem_guide, restored) {
  for_seeds(5, [] {
    EXPECT_EQ(otp::gen_statem::start<order>({}, 0, "").error(), "no such order");
    auto known = otp::gen_statem::start<order>({}, 7, "number 7").value();
    EXPECT_EQ(otp::call(known, order::receipt{}), "number 7");
    auto fresh = otp::gen_statem::start<order>({}, 8, "").value();
    EXPECT_EQ(otp::call(fresh, order::receipt{}), "not paid");
    otp::cast(fresh, order::pay{});
    EXPECT_EQ(otp::call(fresh, order::receipt{}), "receipt 8");
  });
}

}  // namespace
