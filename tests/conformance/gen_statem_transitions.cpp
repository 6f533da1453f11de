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
// covers: SM-028
TEST(gen_statem_transitions, what_the_runtime_sends_is_info_too_and_so_is_any_other_message) {
  struct machine {
    struct only {};
    using states = otp::states<only>;
    struct watch {
      otp::pid whom;
    };
    using events = otp::events<watch>;
    explicit machine(journal j) : log(std::move(j)) {}
    void on(only&, const watch& w) { otp::monitor(w.whom); }
    void on(only&, const otp::down& d, const otp::event_type& type) {
      log.add(type.to_string() + " down " + d.reason.to_string());
    }
    void on(only&, const otp::message& any, const otp::event_type& type) {
      log.add(type.to_string() + " " + any.to_string());
    }
    journal log;
  };
  for_seeds(20, [] {
    journal log;
    auto m = gen_statem::start<machine>({}, log).value();
    otp::pid other = sleeper();
    otp::cast(m, machine::watch{other});
    otp::testing::settle();
    otp::exit(other, "done");
    otp::testing::settle();
    otp::send(m.pid(), 42);
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"info down \"done\"", "info 42"}));
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
