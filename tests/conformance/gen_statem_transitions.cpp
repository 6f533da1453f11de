// State machines: where a handler's result leads, what it changes, and its replies.
#include "conformance/gen_statem_support.hpp"

namespace {

using namespace conformance;

// covers: SM-024 SM-032 SM-033
TEST(gen_statem_transitions, next_state_replaces_state_and_data_and_keep_state_only_the_data) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    EXPECT_EQ(state_of(m), "red");
    otp::cast(m, typename M::act{[](M& data) -> typename M::move {
                data.number = 1;
                return otp::go(M::at_green());
              }});
    EXPECT_EQ(state_of(m), "green");
    EXPECT_EQ(otp::sys::get_status(m).data, "number 1");
    otp::cast(m, typename M::act{[](M& data) -> typename M::move {
                data.number = 2;
                return otp::stay();
              }});
    EXPECT_EQ(state_of(m), "green");
    EXPECT_EQ(otp::sys::get_status(m).data, "number 2");
    otp::cast(m, typename M::act{[](M&) -> typename M::move { return otp::stay(); }});
    EXPECT_EQ(otp::sys::get_status(m).data, "number 2");
    EXPECT_EQ(
        otp::call(m, typename M::ask{[](M&) -> typename M::answer { return otp::go(M::at_blue(3)).reply("moved"); }}),
        "moved");
    EXPECT_EQ(state_of(m), "blue3");
  });
}

// covers: SM-025
TEST(gen_statem_transitions, a_state_may_be_any_value) {
  struct nested {
    std::vector<std::pair<std::string, int>> stack;
    bool operator==(const nested&) const = default;
  };
  struct machine {
    using state = std::variant<int, nested>;
    struct push {
      using reply = std::size_t;
      std::string name;
    };
    using events = otp::events<push>;
    otp::step<std::size_t, state> handle_event(const state& s, const push& p) {
      nested next = std::holds_alternative<nested>(s) ? std::get<nested>(s) : nested{};
      next.stack.emplace_back(p.name, 1);
      std::size_t size = next.stack.size();
      return otp::go(state(std::move(next))).reply(size);
    }
  };
  for_seeds(5, [] {
    auto m = gen_statem::start<machine>().value();
    EXPECT_EQ(otp::call(m, machine::push{"a"}), 1U);
    EXPECT_EQ(otp::call(m, machine::push{"b"}), 2U);
  });
}

// covers: SM-028 SM-029
TEST(gen_statem_transitions, an_event_says_how_it_came) {
  in_both_modes(20, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    EXPECT_EQ(otp::call(m, typename M::want{"1"}), "1");
    otp::cast(m, typename M::note{"2"});
    otp::send(m, typename M::note{"3"});
    otp::send(m.pid(), typename M::note{"4"});
    otp::send_after(1s, m, typename M::note{"5"});
    otp::sleep(2s);
    EXPECT_EQ(log.take(),
              (strings{"call 1 in red", "cast 2 in red", "info 3 in red", "info 4 in red", "info 5 in red"}));
  });
}
/// What a machine writes down that watches a process: of its end, and of a plain message.
template <class Machine>
strings heard_by() {
  journal log;
  auto m = gen_statem::start<Machine>({}, log).value();
  otp::pid other = sleeper();
  otp::cast(m, typename Machine::watch{other});
  otp::testing::settle();
  otp::exit(other, "done");
  otp::testing::settle();
  otp::send(m.pid(), 42);
  otp::testing::settle();
  return log.take();
}

struct takes_info {
  struct only {};
  using states = otp::states<only>;
  struct watch {
    otp::pid whom;
  };
  using events = otp::events<watch>;
  explicit takes_info(journal j) : log(std::move(j)) {}
  void on(only&, const watch& w) { otp::monitor(w.whom); }
  void on(only&, const otp::down& d, const otp::event_type& type) {
    log.add(type.to_string() + " down " + d.reason.to_string());
  }
  void on(only&, const otp::message& any, const otp::event_type& type) {
    log.add(type.to_string() + " " + any.to_string());
  }
  journal log;
};

// covers: SM-028
TEST(gen_statem_transitions, what_the_runtime_sends_is_info_too_and_so_is_any_other_message) {
  for_seeds(20, [] { EXPECT_EQ(heard_by<takes_info>(), (strings{"info down \"done\"", "info 42"})); });
}

/// Counts its copies that are there; may throw when it goes.
struct counted {
  explicit counted(std::shared_ptr<int> c) : count(std::move(c)) { ++*count; }
  counted(counted&& o) noexcept : count(std::exchange(o.count, nullptr)) {}
  counted& operator=(counted&&) = delete;
  ~counted() {
    if (count) --*count;
  }
  std::string to_string() const { return "counted"; }
  std::shared_ptr<int> count;
};
struct keeps_messages {
  struct taker {};
  struct looker {};
  struct swapper {};
  struct leaver {};
  struct thrower {};
  using states = otp::states<taker, looker, swapper, leaver, thrower>;
  struct next {};
  using events = otp::events<next>;
  otp::step<void, looker> on(taker&, next) { return otp::go(looker{}); }
  otp::step<void, swapper> on(looker&, next) { return otp::go(swapper{}); }
  otp::step<void, leaver> on(swapper&, next) { return otp::go(leaver{}); }
  otp::step<void, thrower> on(leaver&, next) { return otp::go(thrower{}); }
  void on(taker&, otp::message m) { kept = std::move(m); }
  void on(looker&, const otp::message&) {}
  void on(swapper&, otp::message&& m) { kept = std::move(m); }
  void on(leaver&, otp::message&&) {}
  void on(thrower&, otp::message) { throw std::runtime_error("with it"); }
  otp::message kept;
};
// A message that a handler took by value was destroyed twice.
// covers: SM-028
TEST(gen_statem_transitions, a_message_may_be_taken_over_and_is_freed_once) {
  for_seeds(5, [] {
    for (bool debugged : {false, true}) {
      auto count = std::make_shared<int>(0);
      auto m = gen_statem::start_monitor<keeps_messages>().value();
      if (debugged) otp::sys::log(m.server, 10);
      auto send = [&] {
        otp::send(m.server.pid(), counted(count));
        otp::testing::settle();
        return *count;
      };
      EXPECT_EQ(send(), 1);
      EXPECT_EQ(send(), 1) << "the new one is kept, the one before is gone";
      otp::cast(m.server, keeps_messages::next{});
      EXPECT_EQ(send(), 1) << "looked at";
      otp::cast(m.server, keeps_messages::next{});
      EXPECT_EQ(send(), 1) << "the one before, in its place, is gone";
      otp::cast(m.server, keeps_messages::next{});
      EXPECT_EQ(send(), 1) << "left where it was";
      otp::cast(m.server, keeps_messages::next{});
      otp::testing::settle();
      send();
      EXPECT_EQ(reason_of(m.monitor), otp::reason::error("std::runtime_error", "with it"));
      EXPECT_EQ(*count, 0);
    }
  });
}
// Killed while its handler has it.
// covers: SM-028
TEST(gen_statem_transitions, a_message_that_was_taken_over_is_freed_once_by_a_kill_too) {
  struct machine {
    struct only {};
    using states = otp::states<only>;
    using events = otp::events<>;
    void on(only&, otp::message) { otp::sleep(10s); }
  };
  for_seeds(5, [] {
    auto count = std::make_shared<int>(0);
    auto m = gen_statem::start_monitor<machine>().value();
    otp::send(m.server.pid(), counted(count));
    otp::testing::settle();
    EXPECT_EQ(*count, 1);
    otp::exit(m.server, otp::reason::kill);
    EXPECT_EQ(reason_of(m.monitor), killed);
    EXPECT_EQ(*count, 0);
  });
}
struct takes_all {
  struct only {};
  using states = otp::states<only>;
  struct watch {
    otp::pid whom;
  };
  using events = otp::events<watch>;
  explicit takes_all(journal j) : log(std::move(j)) {}
  void on(only&, const watch& w) { otp::monitor(w.whom); }
  void otherwise(const auto&, const auto& any) { log.add(std::string(otp::detail::type_name<decltype(any)>)); }
  journal log;
};
struct catches_info {
  struct only {};
  using states = otp::states<only>;
  struct watch {
    otp::pid whom;
  };
  using events = otp::events<watch>;
  explicit catches_info(journal j) : log(std::move(j)) {}
  void on(only&, const watch& w) { otp::monitor(w.whom); }
  void otherwise(const only&, const otp::down& d) { log.add("down " + d.reason.to_string()); }
  void otherwise(const only&, const otp::message& any) { log.add("any " + any.to_string()); }
  journal log;
};

// What the runtime sends did not reach an `otherwise`, unless some state had a handler of its own for it.
// covers: SM-028
TEST(gen_statem_transitions, what_the_runtime_sends_reaches_otherwise) {
  for_seeds(5, [] {
    EXPECT_EQ(heard_by<catches_info>(), (strings{"down \"done\"", "any 42"}));
    // One that takes events of any type gets the listed ones and those of the runtime.
    strings seen = heard_by<takes_all>();
    ASSERT_EQ(seen.size(), 1U);
    EXPECT_NE(seen[0].find("down"), std::string::npos);
  });
}

// covers: SM-030
TEST(gen_statem_transitions, a_cast_always_succeeds) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal&) {
    otp::cast(otp::name<M>("nobody"), typename M::note{"x"});
    auto m = gen_statem::start<M>().value();
    gen_statem::stop(m);
    otp::cast(m, typename M::note{"x"});
    otp::cast(otp::server<M>(), typename M::note{"x"});
    otp::cast(otp::global<M>("nobody"), typename M::note{"x"});
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: SM-031
TEST(gen_statem_transitions, a_result_may_be_thrown) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal&) {
    auto m = gen_statem::start_monitor<M>().value();
    EXPECT_EQ(otp::call(m.server, typename M::ask{[](M&) -> typename M::answer {
                          throw typename M::answer(otp::go(M::at_green()).reply("thrown"));
                        }}),
              "thrown");
    EXPECT_EQ(state_of(m.server), "green");
    otp::cast(m.server, typename M::act{[](M&) -> typename M::move { throw otp::stop("thrown stop"); }});
    EXPECT_EQ(reason_of(m.monitor), "thrown stop");
  });
}

/// Throws what its handlers may return, and what they may not.
struct thrower {
  struct one {};
  struct two {};
  struct three {};
  using states = otp::states<one, two, three>;
  struct ask {
    using reply = std::string;
    int how;
  };
  struct plain {
    using reply = int;
    int how;
  };
  struct tell {
    int how;
  };
  using events = otp::events<ask, plain, tell>;
  explicit thrower(journal j = {}) : log(std::move(j)) {}
  [[noreturn]] static void deep_down(int how) {
    if (how == 0) throw otp::stay().reply(std::string("stay"));
    if (how == 1) throw otp::go(two{}).reply(std::string("go"));
    if (how == 2) throw otp::stop("x").reply(std::string("stop"));
    if (how == 3) throw otp::stop_and_reply("x").reply(std::string("stop_and_reply"));
    if (how == 4) throw otp::go(two{}).reply("a literal").state_timeout(1s, tell{0});
    if (how == 5) throw otp::repeat_state().reply({});
    if (how == 6) throw otp::go(three{}).reply("not among the targets");
    if (how == 7) throw otp::stay().reply(4.5);
    if (how == 8) throw otp::step<int>(otp::stay().reply(1));
    if (how == 9) throw otp::stop("x").reply(4.5);
    throw otp::go(two{});
  }
  otp::step<std::string, two> on(one&, const ask& a) { deep_down(a.how); }
  otp::step<std::string, three> on(two&, const ask&) { return otp::go(three{}).reply("three"); }
  int on(one&, const plain& p) {
    if (p.how == 0) throw otp::stop("stopped");
    throw otp::stay().reply(1);
  }
  void on(one&, const tell& t) {
    if (t.how == 0) throw otp::stay();
    if (t.how == 1) throw otp::stay().state_timeout(1s, tell{7});
    if (t.how == 2) throw otp::go(two{});
    if (t.how == 3) throw otp::noreply();
    if (t.how == 7) log.add("timeout");
  }
  void on(two&, const tell&) {}
  void enter(one&) {
    if (!log.take().empty()) throw otp::stay().state_timeout(1s, tell{7});
  }
  void terminate(const otp::exit_reason& why) { log.add(std::string(why.text())); }
  journal log;
};
// What a handler threw ended the machine, unless it was of the handler's own result type or a stop.
// covers: SM-031
TEST(gen_statem_transitions, whatever_a_handler_may_return_may_be_thrown) {
  for_seeds(5, [] {
    auto ask = [](int how) { return otp::call(gen_statem::start<thrower>().value(), thrower::ask{how}); };
    EXPECT_EQ(ask(0), "stay");
    EXPECT_EQ(ask(1), "go");
    EXPECT_EQ(ask(2), "stop");
    EXPECT_EQ(ask(3), "stop_and_reply");
    EXPECT_EQ(ask(4), "a literal");
    EXPECT_EQ(ask(5), "");
    for (int how : {2, 3}) {
      auto m = gen_statem::start_monitor<thrower>().value();
      otp::call(m.server, thrower::ask{how});
      EXPECT_EQ(reason_of(m.monitor), "x");
    }
    auto m = gen_statem::start<thrower>().value();
    otp::call(m, thrower::ask{4});
    EXPECT_EQ(otp::sys::get_status(m).timers.size(), 1U);
    EXPECT_EQ(otp::call(m, thrower::ask{}), "three");
    // Of a handler that returns nothing, and of an enter call that returns nothing.
    journal log;
    m = gen_statem::start<thrower>({}, log).value();
    for (int how : {0, 1}) otp::cast(m, thrower::tell{how});
    otp::sleep(2s);
    EXPECT_EQ(log.take(), strings{"timeout"});
    log.add("throw in enter");
    m = gen_statem::start<thrower>({}, log).value();
    otp::sleep(2s);
    EXPECT_EQ(log.take(), strings{"timeout"});
    auto stopped = gen_statem::start_monitor<thrower>().value();
    otp::cast(stopped.server, thrower::tell{0});
    EXPECT_EQ(otp::try_call(stopped.server, thrower::plain{0}).error().cause(), "stopped");
  });
}
// covers: SM-031
TEST(gen_statem_transitions, what_a_handler_throws_and_could_not_return_ends_the_machine_and_says_what_to_write) {
  for_seeds(5, [] {
    auto why = [](auto event) {
      auto m = gen_statem::start_monitor<thrower>().value();
      if constexpr (std::is_same_v<decltype(event), thrower::tell>)
        otp::cast(m.server, event);
      else
        EXPECT_FALSE(otp::try_call(m.server, event));
      otp::exit_reason end = reason_of(m.monitor);
      EXPECT_EQ(end.error_type(), "bad_return_from_state_function");
      return std::string(end.text());
    };
    auto says = [](const std::string& text, std::initializer_list<const char*> parts) {
      for (const char* part : parts) EXPECT_NE(text.find(part), std::string::npos) << text;
    };
    says(why(thrower::ask{6}), {"go(", "three", "return it, or throw", "step<"});
    says(why(thrower::ask{7}), {"reply(double)", "step<"});
    says(why(thrower::ask{8}), {"return it, or throw otp::step<...>(...)"});
    says(why(thrower::ask{9}), {"return it, or throw otp::step<...>(...)"});
    says(why(thrower::plain{1}), {"reply(int)", "let it return otp::step<...>"});
    says(why(thrower::tell{2}), {"go(", "two", "let it return otp::step<...>"});
    says(why(thrower::tell{3}), {"otp::step<...>"});
  });
}

/// Postponed events tell whether a transition was a change.
template <class M>
bool changes(const journal& log, otp::server<M> m, std::function<typename M::move(M&)> how) {
  otp::cast(m, typename M::act{[](M& data) -> typename M::move {
              data.postponing = {"red", "green", "blue0", "blue1"};
              return otp::stay();
            }});
  otp::cast(m, typename M::note{"probe"});
  otp::testing::settle();
  log.take();
  otp::cast(m, typename M::act{std::move(how)});
  otp::testing::settle();
  bool again = log.take() == strings{"postponed probe"};
  // Let the probe go.
  otp::cast(m, typename M::act{[](M& data) -> typename M::move {
              data.postponing = {};
              return otp::go(M::at_blue(99));
            }});
  otp::cast(m, typename M::act{[](M&) -> typename M::move { return otp::go(M::at_blue(0)); }});
  otp::testing::settle();
  EXPECT_EQ(log.take(), strings{"cast probe in blue99"});
  return again;
}
// covers: SM-034 SM-035 SM-037
TEST(gen_statem_transitions, a_change_is_a_state_that_is_not_equal_whatever_the_form) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    using move = typename M::move;
    EXPECT_FALSE(changes<M>(log, m, [](M&) -> move { return otp::stay(); }));
    EXPECT_FALSE(changes<M>(log, m, [](M& data) -> move {
      ++data.number;
      return otp::stay();
    }));
    EXPECT_FALSE(changes<M>(log, m, [](M&) -> move { return otp::repeat_state(); }));
    EXPECT_FALSE(changes<M>(log, m, [](M&) -> move { return otp::go(M::at_blue(0)); }));
    EXPECT_TRUE(changes<M>(log, m, [](M&) -> move { return otp::go(M::at_blue(1)); }));
    EXPECT_TRUE(changes<M>(log, m, [](M&) -> move { return otp::go(M::at_green()); }));
  });
  // Of a type without == there is one state only.
  for_seeds(5, [] {
    journal log;
    auto m = gen_statem::start<by_type>({}, log).value();
    otp::cast(m, by_type::act{[](by_type&) -> by_type::move { return otp::go(green{}); }});
    otp::cast(m, by_type::act{[](by_type& data) -> by_type::move {
                data.postponing = {"green"};
                return otp::stay();
              }});
    otp::cast(m, by_type::note{"probe"});
    otp::cast(m, by_type::act{[](by_type&) -> by_type::move { return otp::go(green{}); }});
    otp::testing::settle();
    EXPECT_EQ(log.take(), strings{"postponed probe"});
  });
}

// covers: SM-035
TEST(gen_statem_transitions, going_to_an_equal_state_keeps_the_state_timer) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    using move = typename M::move;
    otp::cast(m, typename M::act{
                     [](M&) -> move { return otp::go(M::at_blue(1)).state_timeout(10s, typename M::note{"late"}); }});
    otp::sleep(5s);
    otp::cast(m, typename M::act{[](M&) -> move { return otp::go(M::at_blue(1)); }});
    otp::sleep(6s);
    EXPECT_EQ(log.take(), strings{"state_timeout late in blue1"});
  });
}

// covers: SM-038
TEST(gen_statem_transitions, stop_ends_with_normal_or_with_its_reason) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal&) {
    using move = typename M::move;
    auto m = gen_statem::start_monitor<M>().value();
    otp::cast(m.server, typename M::act{[](M&) -> move { return otp::stop(normal); }});
    EXPECT_EQ(reason_of(m.monitor), normal);
    m = gen_statem::start_monitor<M>().value();
    otp::cast(m.server, typename M::act{[](M&) -> move { return otp::stop("enough"); }});
    EXPECT_EQ(reason_of(m.monitor), "enough");
    // A caller gets the reason, unless it gets a reply.
    m = gen_statem::start_monitor<M>().value();
    auto failed = otp::try_call(m.server, typename M::ask{[](M&) -> typename M::answer { return otp::stop("no"); }});
    EXPECT_EQ(failed.error().cause(), "no");
  });
}

struct last_words {
  struct quiet {};
  struct loud {
    int volume;
    std::string to_string() const { return "loud " + std::to_string(volume); }
  };
  using states = otp::states<quiet, loud>;
  struct shout {
    int volume;
  };
  struct end {
    std::string data;
  };
  using events = otp::events<shout, end>;
  explicit last_words(journal j) : log(std::move(j)) {}
  otp::step<void, loud> on(quiet&, const shout& s) { return otp::go(loud{s.volume}); }
  otp::step<void> on(loud&, const end& e) {
    data = e.data;
    return otp::stop("end");
  }
  otp::step<void> on(quiet&, const end& e) {
    data = e.data;
    return otp::stop("end");
  }
  void terminate(const loud& l, const otp::exit_reason& why) {
    log.add(l.to_string() + ", " + data + ", " + why.to_string());
  }
  void terminate(const otp::exit_reason& why) { log.add("otherwise " + data + ", " + why.to_string()); }
  std::string data;
  journal log;
};
// covers: SM-039
TEST(gen_statem_transitions, a_stop_hands_new_data_and_the_state_to_terminate) {
  for_seeds(10, [] {
    journal log;
    auto m = gen_statem::start_monitor<last_words>({}, log).value();
    otp::cast(m.server, last_words::shout{3});
    otp::cast(m.server, last_words::end{"new data"});
    reason_of(m.monitor);
    EXPECT_EQ(log.take(), strings{"loud 3, new data, \"end\""});
    m = gen_statem::start_monitor<last_words>({}, log).value();
    otp::cast(m.server, last_words::end{"data"});
    reason_of(m.monitor);
    EXPECT_EQ(log.take(), strings{"otherwise data, \"end\""});
  });
}

// A bad action had the machine terminate in the state that it was leaving.
// covers: SM-115
TEST(gen_statem_transitions, a_bad_action_terminates_the_machine_in_the_new_state) {
  struct machine {
    struct first {};
    struct second {
      int value;
    };
    using states = otp::states<first, second>;
    struct move {
      using reply = std::string;
      bool bad_reply;
    };
    using events = otp::events<move>;
    explicit machine(journal j) : log(std::move(j)) {}
    otp::step<std::string, second> on(first&, const move& m) {
      ++data;
      if (m.bad_reply) return otp::go(second{2}).reply("sent").reply(otp::from<int>(), 1);
      return otp::go(second{1}).state_timeout(-1s, m).reply("not sent");
    }
    void terminate(const first&, const otp::exit_reason&) { log.add("in the first"); }
    void terminate(const second& s, const otp::exit_reason&) {
      log.add("in the second, " + std::to_string(s.value) + ", data " + std::to_string(data));
    }
    int data = 0;
    journal log;
  };
  for_seeds(5, [] {
    journal log;
    auto m = gen_statem::start<machine>({}, log).value();
    EXPECT_EQ(otp::try_call(m, machine::move{false}).error().cause().error_type(), "bad_action_from_state_function");
    EXPECT_EQ(log.take(), strings{"in the second, 1, data 1"});
    m = gen_statem::start<machine>({}, log).value();
    EXPECT_EQ(otp::call(m, machine::move{true}), "sent");
    otp::testing::settle();
    EXPECT_EQ(log.take(), strings{"in the second, 2, data 1"});
  });
}

/// Asks the machine to keep three requests and returns them.
template <class M>
std::vector<otp::request_id<std::string>> three_waiting(otp::server<M> m) {
  std::vector<otp::request_id<std::string>> ids;
  for (const char* name : {"1", "2", "3"}) ids.push_back(otp::send_request(m, typename M::keep{name}));
  return ids;
}
/// The order in which responses come.
strings order_of(std::vector<otp::request_id<std::string>> ids) {
  otp::request_id_collection<std::string, int> all;
  for (auto& id : ids) all.add(std::move(id), 0);
  strings got;
  while (all.size() > 0) {
    auto response = all.wait(patience());
    got.push_back(response->value ? *response->value : response->value.error().cause().to_string());
  }
  return got;
}

// covers: SM-040 SM-041
TEST(gen_statem_transitions, stop_and_reply_answers_in_order_and_then_terminates) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal&) {
    auto m = gen_statem::start_monitor<M>().value();
    auto ids = three_waiting<M>(m.server);
    ids.push_back(otp::send_request(m.server, typename M::ask{[](M& data) -> typename M::answer {
                                      return otp::stop_and_reply("over")
                                          .reply(data.waiting_for("2"), "second")
                                          .reply("own")
                                          .reply(data.waiting_for("1"), "first");
                                    }}));
    EXPECT_EQ(order_of(std::move(ids)), (strings{"second", "own", "first", "\"over\""}));
    EXPECT_EQ(reason_of(m.monitor), "over");
    m = gen_statem::start_monitor<M>().value();
    EXPECT_EQ(otp::call(m.server,
                        typename M::ask{[](M&) -> typename M::answer { return otp::stop("over").reply("good bye"); }}),
              "good bye");
    EXPECT_EQ(reason_of(m.monitor), "over");
  });
}

// covers: SM-045 SM-046
TEST(gen_statem_transitions, several_callers_are_answered_in_the_order_of_the_actions) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal&) {
    auto m = gen_statem::start<M>().value();
    auto ids = three_waiting<M>(m);
    ids.push_back(otp::send_request(m, typename M::ask{[](M& data) -> typename M::answer {
                                      return otp::go(M::at_green())
                                          .reply(data.waiting_for("3"), "c")
                                          .reply(data.waiting_for("1"), "a")
                                          .reply("own")
                                          .reply(data.waiting_for("2"), "b");
                                    }}));
    EXPECT_EQ(order_of(std::move(ids)), (strings{"c", "a", "own", "b"}));
    ids = three_waiting<M>(m);
    ids.push_back(otp::send_request(m, typename M::ask{[](M& data) -> typename M::answer {
                                      return otp::stay()
                                          .reply("own")
                                          .postpone(false)
                                          .reply(data.waiting_for("2"), "b")
                                          .reply(data.waiting_for("3"), "c")
                                          .reply(data.waiting_for("1"), "a");
                                    }}));
    EXPECT_EQ(order_of(std::move(ids)), (strings{"own", "b", "c", "a"}));
  });
}

// covers: SM-048
TEST(gen_statem_transitions, any_process_may_reply_for_the_machine) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal&) {
    auto m = gen_statem::start<M>().value();
    auto ids = three_waiting<M>(m);
    otp::cast(m, typename M::act{[](M& data) -> typename M::move {
                auto froms = std::make_shared<std::map<std::string, otp::from<std::string>>>(std::move(data.waiting));
                otp::spawn([froms] {
                  for (auto& [name, from] : *froms) otp::reply(from, "for " + name);
                });
                return otp::stay();
              }});
    EXPECT_EQ(order_of(std::move(ids)), (strings{"for 1", "for 2", "for 3"}));
  });
}

// covers: SM-049 SM-125
TEST(gen_statem_transitions, a_reply_without_a_from_ends_the_machine) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal&) {
    auto m = gen_statem::start_monitor<M>().value();
    otp::cast(m.server, typename M::act{[](M&) -> typename M::move {
                return otp::stay().reply(otp::from<std::string>(), "to whom?");
              }});
    EXPECT_EQ(reason_of(m.monitor).error_type(), "bad_action_from_state_function");
  });
}
// covers: SM-126
TEST(gen_statem_transitions, a_bad_reply_of_a_stop_has_a_reason_of_its_own_and_those_before_it_were_sent) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal&) {
    auto m = gen_statem::start_monitor<M>().value();
    auto ids = three_waiting<M>(m.server);
    otp::cast(m.server, typename M::act{[](M& data) -> typename M::move {
                return otp::stop_and_reply("over")
                    .reply(data.waiting_for("1"), "before")
                    .reply(data.waiting_for("nobody"), "bad")
                    .reply(data.waiting_for("2"), "after");
              }});
    EXPECT_EQ(otp::wait_response(ids[0])->value(), "before");
    EXPECT_EQ(reason_of(m.monitor).error_type(), "bad_reply_action_from_state_function");
    EXPECT_FALSE(otp::wait_response(ids[1])->has_value());
  });
}

// covers: SM-050
TEST(gen_statem_transitions, only_the_first_reply_answers_a_call) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    auto id = otp::send_request(m, typename M::keep{"1"});
    otp::cast(m, typename M::act{[](M& data) -> typename M::move {
                auto from = data.waiting_for("1");
                from.reply("first");
                from.reply("second");
                return otp::stay().reply(std::move(from), "third");
              }});
    EXPECT_EQ(otp::wait_response(id)->value(), "first");
    EXPECT_EQ(otp::call(m, typename M::want{"next"}), "next");
    otp::testing::settle();
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: SM-042 SM-043
TEST(gen_statem_transitions, of_actions_that_set_the_same_the_last_counts) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    using note = typename M::note;
    otp::cast(m, typename M::act{[](M&) -> typename M::move {
                return otp::stay()
                    .postpone()
                    .state_timeout(1s, note{"first"})
                    .timeout("t", 1s, note{"t1"})
                    .hibernate()
                    .state_timeout(2s, note{"second"})
                    .timeout("t", 3s, note{"t2"})
                    .postpone(false)
                    .hibernate(false);
              }});
    otp::testing::settle();
    EXPECT_FALSE(otp::sys::get_status(m).hibernating);
    EXPECT_TRUE(otp::sys::get_status(m).postponed.empty());
    otp::sleep(4s);
    EXPECT_EQ(log.take(), (strings{"state_timeout second in red", "{timeout, \"t\"} t2 in red"}));
    // One alone is as good as several.
    otp::cast(m, typename M::act{[](M&) -> typename M::move { return otp::stay().hibernate(); }});
    otp::testing::settle();
    EXPECT_TRUE(otp::sys::get_status(m).hibernating);
  });
}

// covers: SM-123
// no meaning: SM-023 (docs/decisions/0002-rows-without-meaning.md)
// no meaning: SM-124 (docs/decisions/0002-rows-without-meaning.md)
TEST(gen_statem_transitions, an_event_without_a_handler_ends_the_machine) {
  struct machine {
    struct open {};
    struct closed {};
    using states = otp::states<open, closed>;
    struct close {
      using reply = int;
    };
    struct knock {};
    using events = otp::events<close, knock>;
    otp::step<int, closed> on(open&, const close&) { return otp::go(closed{}).reply(1); }
    void on(closed&, const knock&) {}
  };
  for_seeds(10, [] {
    auto m = gen_statem::start_monitor<machine>().value();
    otp::cast(m.server, machine::knock{});
    otp::exit_reason why = reason_of(m.monitor);
    EXPECT_EQ(why.error_type(), "function_clause");
    EXPECT_NE(why.text().find("knock"), std::string_view::npos);
    EXPECT_NE(why.text().find("open"), std::string_view::npos);
    m = gen_statem::start_monitor<machine>().value();
    EXPECT_EQ(otp::call(m.server, machine::close{}), 1);
    EXPECT_EQ(otp::try_call(m.server, machine::close{}).error().cause().error_type(), "function_clause");
    reason_of(m.monitor);
  });
}

/// What a pushed callback module is elsewhere: a state that holds the one to return to.
struct detour {
  struct road {
    int at = 0;
  };
  struct town {
    road back;
  };
  using states = otp::states<road, town>;
  struct drive {};
  struct enter_town {};
  struct leave_town {};
  struct where {
    using reply = std::string;
  };
  using events = otp::events<drive, enter_town, leave_town, where>;
  void on(road& r, drive) { ++r.at; }
  void on(town&, drive) {}
  otp::step<void, town> on(road& r, enter_town) { return otp::go(town{r}); }
  otp::step<void, road> on(town& t, leave_town) { return otp::go(t.back); }
  std::string on(road& r, where) { return "road " + std::to_string(r.at); }
  std::string on(town& t, where) { return "town off road " + std::to_string(t.back.at); }
};
// covers: SM-032
// no meaning: SM-104 (docs/decisions/0002-rows-without-meaning.md)
// no meaning: SM-105 (docs/decisions/0002-rows-without-meaning.md)
// no meaning: SM-106 (docs/decisions/0002-rows-without-meaning.md)
TEST(gen_statem_transitions, a_state_may_hold_the_one_to_return_to) {
  for_seeds(5, [] {
    auto m = gen_statem::start<detour>().value();
    otp::cast(m, detour::drive{});
    otp::cast(m, detour::enter_town{});
    otp::cast(m, detour::drive{});
    EXPECT_EQ(otp::call(m, detour::where{}), "town off road 1");
    otp::cast(m, detour::leave_town{});
    otp::cast(m, detour::drive{});
    EXPECT_EQ(otp::call(m, detour::where{}), "road 2");
  });
}

}  // namespace
