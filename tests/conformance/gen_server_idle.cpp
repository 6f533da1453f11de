// Servers: idle timeouts, continues, hibernation.
#include <otp/receive.hpp>
#include <otp/sys.hpp>

#include "conformance/gen_server_support.hpp"

namespace {

using namespace conformance;
namespace gen_server = otp::gen_server;

struct happened {
  std::string what;
  otp::instant when;
};
struct reminder {
  int number;
};

/// Asks for what it is told and says when it comes.
struct sleeper_server {
  struct arm {  // a timeout, by whatever callback this arrives at
    otp::duration after;
    std::optional<reminder> with{};
    bool hibernate = false;
  };
  struct arm_at {
    otp::instant when;
    std::optional<reminder> with{};
  };
  struct arm_call : arm {
    using reply = int;
  };
  struct arm_later {
    arm what;
  };
  struct ping {
    using reply = int;
  };
  struct sleep_now {
    using reply = int;
  };
  struct rest {};
  struct chain {
    int left;
  };
  struct for_ever {};
  struct counts {
    using reply = std::vector<int>;
  };
  struct quiet {};
  using messages = otp::messages<arm, reminder, quiet>;
  using continues = otp::messages<arm, chain, for_ever>;

  explicit sleeper_server(otp::pid o) : owner(o) {}

  template <class Step>
  static Step&& with(Step&& step, const arm& a) {
    if (a.hibernate) std::move(step).hibernate();
    if (a.with)
      std::move(step).timeout_after(a.after, *a.with);
    else
      std::move(step).timeout_after(a.after);
    return std::move(step);
  }
  otp::call_result<int> handle_call(const arm_call& a) { return with(otp::reply(1), a); }
  int handle_call(ping) { return 2; }
  otp::call_result<int> handle_call(sleep_now) { return otp::reply(3).hibernate(); }
  otp::handler_result handle_cast(const arm& a) { return with(otp::noreply(), a); }
  otp::handler_result handle_cast(const arm_at& a) {
    if (a.with) return otp::noreply().timeout_at(a.when, *a.with);
    return otp::noreply().timeout_at(a.when);
  }
  otp::handler_result handle_cast(const arm_later& a) { return otp::noreply().then_continue(a.what); }
  otp::handler_result handle_cast(rest) { return otp::noreply().hibernate(); }
  otp::handler_result handle_cast(chain c) { return otp::noreply().then_continue(c); }
  otp::handler_result handle_cast(for_ever f) { return otp::noreply().then_continue(f); }
  void handle_cast(quiet) {}
  void handle_info(quiet) {}
  otp::handler_result handle_info(const arm& a) { return with(otp::noreply(), a); }
  void handle_info(otp::timeout) { tell("timeout"); }
  void handle_info(reminder r) { tell("reminder " + std::to_string(r.number)); }
  otp::handler_result handle_continue(const arm& a) { return with(otp::noreply(), a); }
  otp::handler_result handle_continue(chain c) {
    steps.push_back(c.left);
    if (c.left < 0) return otp::stop("the chain ended it");
    if (c.left > 0) return otp::noreply().then_continue(chain{c.left - 1});
    return otp::noreply();
  }
  otp::handler_result handle_continue(for_ever f) {
    ++rounds;
    return otp::noreply().then_continue(f);
  }
  std::vector<int> handle_call(counts) { return steps; }
  void tell(std::string what) { otp::send(owner, happened{std::move(what), otp::now()}); }

  otp::pid owner;
  std::vector<int> steps;
  static inline std::atomic<long> rounds{0};
};
using server_t = sleeper_server;

// covers: GS-066
TEST(gen_server_idle, a_timeout_comes_when_it_was_silent_for_so_long) {
  for_seeds(20, [] {
    auto s = gen_server::start<server_t>({}, otp::self()).value();
    auto expect_timeout = [&](auto arm) {
      otp::instant before = otp::now();
      arm();
      auto h = next<happened>();
      EXPECT_EQ(h.what, "timeout");
      EXPECT_EQ(h.when - before, 1s);
    };
    expect_timeout([&] { otp::call(s, server_t::arm_call{{1s}}); });
    expect_timeout([&] { otp::cast(s, server_t::arm{1s}); });
    expect_timeout([&] { otp::send(s.pid(), server_t::arm{1s}); });
    expect_timeout([&] { otp::cast(s, server_t::arm_later{{1s}}); });
    // 0 is at once, if nothing is in the mailbox; infinity is never.
    otp::instant before = otp::now();
    otp::cast(s, server_t::arm{0s});
    EXPECT_EQ(next<happened>().when, before);
    otp::cast(s, server_t::arm{otp::infinity});
    otp::sleep(24h);
    EXPECT_TRUE(mailbox_empty());
    EXPECT_EQ(otp::counters().timers, 0U);
  });
}

// covers: GS-067
TEST(gen_server_idle, any_message_before_cancels_it_for_good) {
  for_seeds(20, [] {
    auto s = gen_server::start<server_t>({}, otp::self()).value();
    auto undisturbed_by = [&](auto disturb) {
      otp::cast(s, server_t::arm{1s});
      otp::sleep(500ms);
      disturb();
      otp::sleep(1h);
      EXPECT_TRUE(mailbox_empty());
      EXPECT_EQ(otp::call(s, server_t::ping{}), 2);
    };
    undisturbed_by([&] { otp::call(s, server_t::ping{}); });
    undisturbed_by([&] { otp::cast(s, server_t::quiet{}); });
    undisturbed_by([&] { otp::send(s.pid(), server_t::quiet{}); });
    undisturbed_by([&] { otp::send(s.pid(), std::string("unexpected")); });
    // A message that waits in the mailbox when the timeout of 0 is asked for comes first.
    otp::sys::suspend(s);
    otp::cast(s, server_t::arm{0s});
    otp::cast(s, server_t::quiet{});
    otp::sys::resume(s);
    otp::sleep(1h);
    EXPECT_TRUE(mailbox_empty());
    // Returned again, it comes again; a system request does not count as a message.
    otp::cast(s, server_t::arm{1s});
    otp::sleep(500ms);
    otp::sys::get_status(s);
    EXPECT_EQ(next<happened>().what, "timeout");
  });
}

// covers: GS-071
TEST(gen_server_idle, a_continue_runs_before_the_next_message_and_may_go_on_or_stop) {
  for_seeds(20, [] {
    auto s = gen_server::start_monitor<server_t>({}, otp::self()).value();
    otp::sys::suspend(s.server);  // so that the messages are there when the chain begins
    otp::cast(s.server, server_t::chain{3});
    otp::cast(s.server, server_t::chain{1});
    otp::sys::resume(s.server);
    EXPECT_EQ(otp::call(s.server, server_t::counts{}), (std::vector<int>{3, 2, 1, 0, 1, 0}));
    otp::cast(s.server, server_t::chain{-1});
    EXPECT_EQ(reason_of(s.monitor), otp::exit_reason("the chain ended it"));
  });
}

// A server that continues for ever is a worker: others run, and it can be ended.
// covers: GS-071
TEST(gen_server_idle, an_endless_chain_of_continues_starves_nobody_and_can_be_ended) {
  everywhere(10, [] {
    auto s = gen_server::start_monitor<server_t>({}, otp::self()).value();
    auto other = gen_server::start<server_t>({}, otp::self()).value();
    otp::cast(s.server, server_t::for_ever{});
    long before = server_t::rounds;
    while (server_t::rounds < before + 1000) EXPECT_EQ(otp::call(other, server_t::ping{}), 2);
    otp::exit(s.server, shutdown);
    EXPECT_EQ(reason_of(s.monitor), shutdown);
  });
}

bool hibernates(otp::pid server) { return otp::sys::get_status(server).hibernating; }

// covers: GS-072 GS-074
TEST(gen_server_idle, a_hibernating_server_wakes_for_any_message_with_its_state) {
  for_seeds(20, [] {
    auto s = gen_server::start<server_t>({}, otp::self()).value();
    otp::cast(s, server_t::chain{2});
    EXPECT_EQ(otp::call(s, server_t::sleep_now{}), 3);
    EXPECT_TRUE(hibernates(s));
    EXPECT_EQ(otp::info(s).value().stack_size, 0U);
    otp::sleep(24h);
    EXPECT_TRUE(hibernates(s));
    auto wakes_for = [&](auto message) {
      message();
      EXPECT_FALSE(hibernates(s));
      EXPECT_EQ(otp::call(s, server_t::counts{}), (std::vector<int>{2, 1, 0}));
      otp::cast(s, server_t::rest{});
      EXPECT_TRUE(hibernates(s));
    };
    wakes_for([&] { otp::call(s, server_t::ping{}); });
    wakes_for([&] { otp::cast(s, server_t::quiet{}); });
    wakes_for([&] { otp::send(s.pid(), server_t::quiet{}); });
    wakes_for([&] { otp::send(s.pid(), 3.5); });
    // System requests do not wake it; after being held it sleeps on, and what came meanwhile is handled then.
    otp::sys::suspend(s);
    EXPECT_TRUE(hibernates(s));
    EXPECT_TRUE(otp::sys::get_status(s).suspended);
    otp::sys::resume(s);
    EXPECT_TRUE(hibernates(s));
    EXPECT_EQ(otp::info(s).value().stack_size, 0U);
    otp::sys::suspend(s);
    auto id = otp::send_request(s, server_t::ping{});
    EXPECT_FALSE(otp::wait_response(id, 1s));
    EXPECT_TRUE(hibernates(s));
    otp::sys::resume(s);
    EXPECT_EQ(otp::wait_response(id).value(), 2);
    EXPECT_FALSE(hibernates(s));
  });
}

struct stranger {
  int handle_call(sleeper_server::ping) { return 0; }
};

// A request that no handler saw cancelled the timeout, and nothing set it again.
// covers: GS-067 GS-072
TEST(gen_server_idle, a_request_that_is_skipped_or_sent_to_the_wrong_type_is_no_message) {
  for_seeds(20, [] {
    auto s = gen_server::start<server_t>({}, otp::self()).value();
    auto invisible = [&] {
      EXPECT_EQ(otp::try_call(s, server_t::ping{}, 0s).error().cause(), otp::reason::timeout);
      otp::server<stranger> wrong(s.pid());
      EXPECT_EQ(otp::try_call(wrong, server_t::ping{}).error().cause().what(), otp::exit_reason::kind::bad_server_type);
    };
    otp::cast(s, server_t::arm{1s});
    otp::instant before = otp::now();
    otp::sleep(500ms);
    invisible();
    auto h = next<happened>();
    EXPECT_EQ(h.what, "timeout");
    EXPECT_EQ(h.when - before, 1s);
    EXPECT_EQ(otp::call(s, server_t::sleep_now{}), 3);
    invisible();
    EXPECT_TRUE(hibernates(s));
    EXPECT_EQ(otp::counters().expired, 2U);
  });
}

// covers: GS-073
TEST(gen_server_idle, hibernation_does_not_delay_what_is_in_the_mailbox) {
  for_seeds(20, [] {
    auto s = gen_server::start<server_t>({}, otp::self()).value();
    otp::sys::suspend(s);
    otp::cast(s, server_t::rest{});
    otp::cast(s, server_t::chain{1});
    otp::cast(s, server_t::rest{});
    auto id = otp::send_request(s, server_t::counts{});
    otp::sys::resume(s);
    EXPECT_EQ(time_of([&] { EXPECT_EQ(otp::wait_response(id).value(), (std::vector<int>{1, 0})); }), 0s);
  });
}

// covers: GS-075
TEST(gen_server_idle, with_hibernate_after_it_sleeps_when_idle_for_so_long) {
  for_seeds(20, [] {
    auto s = gen_server::start<server_t>({.hibernate_after = 1s}, otp::self()).value();
    // To ask whether it sleeps begins the interval anew: as long as it is awake its timer tells.
    auto awake = [] { return otp::counters().timers == 1; };
    EXPECT_TRUE(awake());
    otp::sleep(999ms);
    EXPECT_TRUE(awake());
    otp::sleep(2ms);
    EXPECT_FALSE(awake());
    EXPECT_TRUE(hibernates(s));
    auto restarts_for = [&](auto message) {
      message();
      EXPECT_TRUE(awake());
      otp::sleep(600ms);
      message();  // restarts the interval
      otp::sleep(600ms);
      EXPECT_TRUE(awake());
      otp::sleep(500ms);
      EXPECT_FALSE(awake());
      EXPECT_TRUE(hibernates(s));
    };
    restarts_for([&] { EXPECT_EQ(otp::call(s, server_t::ping{}), 2); });
    restarts_for([&] {
      otp::cast(s, server_t::quiet{});
      otp::testing::settle();
    });
    restarts_for([&] {
      otp::send(s.pid(), server_t::quiet{});
      otp::testing::settle();
    });
    restarts_for([&] {
      otp::send(s.pid(), 'x');
      otp::testing::settle();
    });
    // A system request does not wake it, and restarts the interval of one that is awake.
    EXPECT_EQ(otp::call(s, server_t::ping{}), 2);
    for (int i = 0; i < 3; ++i) {
      otp::sleep(600ms);
      EXPECT_FALSE(hibernates(s));
    }
    otp::sleep(1001ms);
    EXPECT_TRUE(hibernates(s));
    // An idle timeout is a message too.
    otp::cast(s, server_t::arm{500ms});
    EXPECT_EQ(next<happened>().what, "timeout");
    otp::sleep(999ms);
    EXPECT_TRUE(awake());
    otp::sleep(2ms);
    EXPECT_TRUE(hibernates(s));
    otp::sys::suspend(s);
    otp::sys::resume(s);
    EXPECT_TRUE(hibernates(s));
  });
}

// covers: GS-076
TEST(gen_server_idle, a_timeout_may_carry_a_message_and_be_absolute) {
  for_seeds(20, [] {
    auto s = gen_server::start<server_t>({}, otp::self()).value();
    otp::instant before = otp::now();
    otp::cast(s, server_t::arm{1s, reminder{5}});
    auto h = next<happened>();
    EXPECT_EQ(h.what, "reminder 5");
    EXPECT_EQ(h.when - before, 1s);
    otp::cast(s, server_t::arm{1s, reminder{6}});
    otp::cast(s, server_t::quiet{});
    otp::sleep(1h);
    EXPECT_TRUE(mailbox_empty());
    // With hibernation.
    otp::cast(s, server_t::arm{1s, reminder{7}, true});
    EXPECT_TRUE(hibernates(s));
    EXPECT_EQ(next<happened>().what, "reminder 7");
    EXPECT_FALSE(hibernates(s));
    // At a point in time; one that has passed is at once.
    before = otp::now();
    otp::cast(s, server_t::arm_at{before + 3s, reminder{8}});
    EXPECT_EQ(next<happened>().when, before + 3s);
    otp::cast(s, server_t::arm_at{before + 10s});
    h = next<happened>();
    EXPECT_EQ(h.what, "timeout");
    EXPECT_EQ(h.when, before + 10s);
    otp::cast(s, server_t::arm_at{before, reminder{9}});
    EXPECT_EQ(next<happened>().when, before + 10s);
    otp::cast(s, server_t::arm_at{otp::now() + 1s});
    otp::cast(s, server_t::quiet{});
    otp::sleep(1h);
    EXPECT_TRUE(mailbox_empty());
  });
}

// A system request is a message: the silence begins anew after it.
// covers: GS-066 GS-067
TEST(gen_server_idle, a_system_request_begins_the_timeout_anew_unless_it_has_a_deadline) {
  for_seeds(10, [] {
    auto s = gen_server::start<server_t>({}, otp::self()).value();
    otp::cast(s, server_t::arm{100ms});
    for (int i = 0; i < 4; ++i) {
      otp::sleep(60ms);
      otp::sys::get_status(s);
    }
    otp::instant last = otp::now();
    EXPECT_EQ(next<happened>().when - last, 100ms);
    otp::instant deadline = otp::now() + 100ms;
    otp::cast(s, server_t::arm_at{deadline});
    otp::sleep(60ms);
    otp::sys::get_status(s);
    EXPECT_EQ(next<happened>().when, deadline);
  });
}

// covers: GS-066
TEST(gen_server_idle, a_suspended_server_does_not_time_out_and_what_came_meanwhile_cancels_it) {
  for_seeds(10, [] {
    auto s = gen_server::start<server_t>({}, otp::self()).value();
    otp::cast(s, server_t::arm{100ms});
    otp::sleep(50ms);
    otp::sys::suspend(s);
    otp::sleep(1s);
    otp::cast(s, server_t::quiet{});
    otp::sleep(1s);
    otp::sys::resume(s);
    otp::sleep(1s);
    EXPECT_TRUE(mailbox_empty()) << "the message was first";
    otp::cast(s, server_t::arm{100ms});
    otp::sys::suspend(s);
    otp::sleep(1s);
    otp::sys::resume(s);
    otp::instant resumed = otp::now();
    EXPECT_EQ(next<happened>().when - resumed, 100ms);
  });
}

namespace {
struct looks_inside {
  struct ack {};
  struct wait_for_ack {
    using reply = bool;
  };
  struct see_anything {
    using reply = bool;
  };
  using messages = otp::messages<ack>;
  bool handle_call(wait_for_ack) {
    return otp::receive([](ack) { return true; }, otp::after(1s, [] { return false; }));
  }
  bool handle_call(see_anything) {
    return otp::receive([](const otp::message&) { return true; }, otp::after(1s, [] { return false; }));
  }
  void handle_info(ack) { ++acks; }
  int acks = 0;
};
}  // namespace

// covers: GS-075
TEST(gen_server_idle, its_own_timers_are_no_messages_that_a_handler_could_receive) {
  for_seeds(10, [] {
    auto s = gen_server::start<looks_inside>({.hibernate_after = 100ms}).value();
    otp::sleep(50ms);
    otp::pid asks = otp::spawn([s] { EXPECT_FALSE(otp::call(s, looks_inside::see_anything{})); });
    otp::sleep(500ms);
    auto seen = otp::info(s.pid()).value();
    EXPECT_EQ(seen.message_queue_len, 0U);
    EXPECT_TRUE(seen.messages.empty());
    end_of(asks);
    otp::sleep(200ms);
    EXPECT_TRUE(hibernates(s)) << "when it is idle again";
  });
}

TEST(gen_server_idle, a_handler_may_receive_what_was_sent_to_the_typed_server) {
  everywhere(10, [] {
    auto s = gen_server::start<looks_inside>().value();
    otp::pid asks = otp::spawn([s] { EXPECT_TRUE(otp::call(s, looks_inside::wait_for_ack{})); });
    otp::sleep(10ms);
    otp::send(s, looks_inside::ack{});
    end_of(asks);
    EXPECT_EQ(otp::sys::get_state(s, [](const looks_inside& l) { return l.acks; }), 0);
    otp::send(s, looks_inside::ack{});
    EXPECT_EQ(otp::sys::get_state(s, [](const looks_inside& l) { return l.acks; }), 1);
  });
}

}  // namespace
