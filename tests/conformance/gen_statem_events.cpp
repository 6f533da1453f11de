// State machines: events that are postponed, and events that transitions insert.
#include "conformance/gen_statem_support.hpp"

namespace {

using namespace conformance;

/// Has the machine postpone notes and wants in these states.
template <class M>
void postpone_in(otp::server<M> m, std::set<std::string> in) {
  otp::cast(m, typename M::act{[in](M& data) -> typename M::move {
              data.postponing = in;
              return otp::stay();
            }});
}
template <class M>
typename M::act to_green() {
  return {[](M&) -> typename M::move { return otp::go(M::at_green()); }};
}

// covers: SM-051 SM-052
TEST(gen_statem_events, postponed_events_come_back_after_a_change_oldest_first_and_before_what_waits) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    auto m = gen_statem::start<M>({}, log).value();
    postpone_in<M>(m, {"red"});
    for (const char* text : {"1", "2"}) otp::cast(m, note{text});
    otp::cast(m, typename M::act{[](M&) -> typename M::move { return otp::stay(); }});
    otp::send(m, note{"3"});
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"postponed 1", "postponed 2", "postponed 3"}));
    EXPECT_EQ(otp::sys::get_status(m).postponed, (strings{"cast 1", "cast 2", "info 3"}));
    otp::sys::suspend(m);
    otp::cast(m, to_green<M>());
    otp::cast(m, note{"4"});
    otp::sys::resume(m);
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"cast 1 in green", "cast 2 in green", "info 3 in green", "cast 4 in green"}));
    EXPECT_TRUE(otp::sys::get_status(m).postponed.empty());
  });
}
// covers: SM-051
TEST(gen_statem_events, an_event_may_be_postponed_again_and_keeps_its_place) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    auto m = gen_statem::start<M>({}, log).value();
    postpone_in<M>(m, {"red", "green"});
    for (const char* text : {"1", "2"}) otp::cast(m, note{text});
    otp::cast(m, to_green<M>());
    otp::cast(m, note{"3"});
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"postponed 1", "postponed 2", "postponed 1", "postponed 2", "postponed 3"}));
    otp::cast(m, typename M::act{[](M&) -> typename M::move { return otp::go(M::at_blue(1)); }});
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"cast 1 in blue1", "cast 2 in blue1", "cast 3 in blue1"}));
  });
}
// covers: SM-051
TEST(gen_statem_events, one_postponed_by_the_transition_that_changes_the_state_comes_back_at_once) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    otp::cast(m, typename M::act{[](M& data) -> typename M::move {
                data.log.add("run " + std::to_string(++data.number));
                if (data.number > 1) return otp::stay();
                return otp::go(M::at_green()).postpone();
              }});
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"run 1", "run 2"}));
  });
}

// covers: SM-055
TEST(gen_statem_events, a_postponed_call_keeps_its_caller_waiting_until_it_is_handled) {
  in_both_modes(20, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    postpone_in<M>(m, {"red", "green"});
    auto id = otp::send_request(m, typename M::want{"it"});
    EXPECT_FALSE(otp::wait_response(id, 1s));
    otp::cast(m, to_green<M>());  // postponed once more
    EXPECT_FALSE(otp::wait_response(id, 1s));
    otp::cast(m, typename M::act{[](M&) -> typename M::move { return otp::go(M::at_blue(2)); }});
    EXPECT_EQ(otp::wait_response(id)->value(), "it");
    EXPECT_EQ(log.take(), (strings{"postponed it", "postponed it", "call it in blue2"}));
  });
}
// covers: SM-055
TEST(gen_statem_events, what_else_becomes_of_a_postponed_call) {
  in_both_modes(20, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start_monitor<M>({}, log).value();
    postpone_in<M>(m.server, {"red"});
    // Its caller gives up: it is not handled any more, and neither is that of a caller that has died.
    EXPECT_EQ(otp::try_call(m.server, typename M::want{"late"}, 1s).error().cause(), otp::reason::timeout);
    otp::pid dead = otp::spawn([s = m.server] { otp::call(s, typename M::want{"dead"}, otp::infinity); });
    otp::testing::settle();
    otp::exit(dead, otp::reason::kill);
    otp::testing::settle();
    log.take();
    otp::cast(m.server, to_green<M>());
    otp::testing::settle();
    EXPECT_EQ(log.take(), strings{});
    // The machine ends: it fails with the reason. Twice postponed, and once.
    postpone_in<M>(m.server, {"green", "blue1"});
    auto once = otp::send_request(m.server, typename M::want{"twice"});
    otp::cast(m.server, typename M::act{[](M&) -> typename M::move { return otp::go(M::at_blue(1)); }});
    auto twice = otp::send_request(m.server, typename M::want{"once"});
    otp::cast(m.server, typename M::act{[](M&) -> typename M::move { return otp::stop("over"); }});
    EXPECT_EQ(otp::wait_response(once)->error().cause(), "over");
    EXPECT_EQ(otp::wait_response(twice)->error().cause(), "over");
    EXPECT_EQ(reason_of(m.monitor), "over");
  });
}

/// Postpones calls in every way that a handler can.
struct postponer {
  struct first {};
  struct second {};
  using states = otp::states<first, second>;
  enum class how { answered, with_from, kept_from, deferred, unanswered };
  struct ask {
    using reply = std::string;
    how way;
  };
  struct next {};
  struct release {};
  using events = otp::events<ask, next, release>;

  otp::step<std::string> on(first&, const ask& a, otp::from<std::string> f) {
    if (a.way == how::answered) return otp::stay().reply("early").postpone();
    if (a.way == how::kept_from) kept = std::move(f);
    return otp::stay().postpone();
  }
  otp::step<std::string> on(second&, const ask& a, otp::from<std::string> f) {
    ++seen;
    if (a.way == how::deferred) {
      kept = std::move(f);
      return otp::stay();
    }
    if (a.way == how::unanswered) return otp::stay();
    return otp::stay().reply("late");
  }
  otp::step<void, second> on(first&, const next&) { return otp::go(second{}); }
  void on(second&, const release&) { kept.reply("released"); }
  otp::from<std::string> kept;
  int seen = 0;
  std::string to_string() const { return std::to_string(seen); }
};
// covers: SM-055 SM-050
TEST(gen_statem_events, a_postponed_call_and_its_from) {
  for_seeds(20, [] {
    using how = postponer::how;
    auto asked = [](how way, auto then) {
      auto m = gen_statem::start<postponer>().value();
      auto id = otp::send_request(m, postponer::ask{way});
      otp::cast(m, postponer::next{});
      otp::testing::settle();
      EXPECT_EQ(otp::sys::get_status(m).data, "1");  // in its second state
      then(m);
      return otp::wait_response(id).value();
    };
    auto nothing = [](otp::server<postponer>) {};
    EXPECT_EQ(asked(how::answered, nothing).value(), "early");
    EXPECT_EQ(asked(how::with_from, nothing).value(), "late");
    EXPECT_EQ(asked(how::kept_from, nothing).value(), "late");
    EXPECT_EQ(asked(how::deferred, [](otp::server<postponer> m) { otp::cast(m, postponer::release{}); }).value(),
              "released");
    EXPECT_EQ(asked(how::unanswered, nothing).error().cause(), otp::reason::no_reply);
  });
}

// covers: SM-057
TEST(gen_statem_events, a_later_no_undoes_a_postpone) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    otp::cast(m, typename M::act{[](M& data) -> typename M::move {
                data.log.add("handled");
                return otp::stay().postpone().postpone(false);
              }});
    otp::cast(m, to_green<M>());
    otp::testing::settle();
    EXPECT_EQ(log.take(), strings{"handled"});
  });
}

// covers: SM-058
TEST(gen_statem_events, internal_and_timeout_events_may_be_postponed_too) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    auto m = gen_statem::start<M>({}, log).value();
    postpone_in<M>(m, {"red"});
    otp::cast(
        m, typename M::act{[](M&) -> typename M::move {
          return otp::stay().next_event(note{"inner"}).state_timeout(1s, note{"state"}).timeout(7, 2s, note{"named"});
        }});
    otp::sleep(3s);
    otp::cast(m, typename M::act{[](M&) -> typename M::move { return otp::stay().event_timeout(1s, note{"event"}); }});
    otp::sleep(3s);
    log.take();
    otp::cast(m, to_green<M>());
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"internal inner in green", "state_timeout state in green",
                                   "{timeout, 7} named in green", "event_timeout event in green"}));
  });
}

// covers: SM-059 SM-060
TEST(gen_statem_events, inserted_events_are_handled_in_order_before_what_waits) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    auto m = gen_statem::start<M>({}, log).value();
    otp::sys::suspend(m);
    otp::cast(m, typename M::act{[](M& data) -> typename M::move {
                data.reactions["b"] = [](M&) ->
                    typename M::move { return otp::stay().next_event(note{"b1"}).next_event(note{"b2"}); };
                return otp::stay().next_event(note{"a"}).next_event(note{"b"}).next_event(note{"c"});
              }});
    otp::cast(m, note{"outside"});
    otp::sys::resume(m);
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"internal a in red", "internal b in red", "internal b1 in red", "internal b2 in red",
                                   "internal c in red", "cast outside in red"}));
  });
}

// covers: SM-061
TEST(gen_statem_events, after_a_change_come_inserted_then_postponed_then_queued_then_new_events) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    auto m = gen_statem::start<M>({}, log).value();
    postpone_in<M>(m, {"red"});
    otp::cast(m, note{"p1"});
    otp::cast(m, note{"p2"});
    otp::testing::settle();
    log.take();
    otp::sys::suspend(m);
    // The act that moves is itself inserted, with another note behind it in the queue.
    otp::cast(m, typename M::act{[](M&) -> typename M::move {
                return otp::stay()
                    .next_event(typename M::act{[](M&) -> typename M::move {
                      return otp::go(M::at_green()).next_event(note{"i1"}).next_event(note{"i2"});
                    }})
                    .next_event(note{"queued"});
              }});
    otp::cast(m, note{"new"});
    otp::sys::resume(m);
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"internal i1 in green", "internal i2 in green", "cast p1 in green",
                                   "cast p2 in green", "internal queued in green", "cast new in green"}));
  });
}

// covers: SM-063
TEST(gen_statem_events, any_kind_of_event_may_be_inserted_and_comes_as_that_kind) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    using note = typename M::note;
    using kind = otp::event_kind;
    auto m = gen_statem::start<M>({}, log).value();
    auto id = otp::send_request(m, typename M::keep{"1"});
    otp::cast(m, typename M::act{[](M& data) -> typename M::move {
                return otp::stay()
                    .next_event(note{"1"}, kind::internal)
                    .next_event(note{"2"}, kind::cast)
                    .next_event(note{"3"}, kind::info)
                    .next_event(note{"4"}, kind::event_timeout)
                    .next_event(note{"5"}, kind::state_timeout)
                    .next_event(note{"6"}, {kind::timeout, "t"})
                    .next_event(typename M::want{"7"}, data.waiting_for("1"));
              }});
    EXPECT_EQ(otp::wait_response(id)->value(), "7");
    EXPECT_EQ(log.take(), (strings{"internal 1 in red", "cast 2 in red", "info 3 in red", "event_timeout 4 in red",
                                   "state_timeout 5 in red", "{timeout, \"t\"} 6 in red", "call 7 in red"}));
    // One that is inserted as a call can be postponed, and its caller waits.
    id = otp::send_request(m, typename M::keep{"2"});
    postpone_in<M>(m, {"red"});
    otp::cast(m, typename M::act{[](M& data) -> typename M::move {
                return otp::stay().next_event(typename M::want{"later"}, data.waiting_for("2"));
              }});
    EXPECT_FALSE(otp::wait_response(id, 1s));
    otp::cast(m, to_green<M>());
    EXPECT_EQ(otp::wait_response(id)->value(), "later");
  });
}

/// Inserts calls of whoever waits, for handlers that stop, throw, postpone, keep or drop what they are given.
struct inserts {
  struct here {};
  struct there {};
  using states = otp::states<here, there>;
  enum class what { stop, raise, stop_with_from, raise_with_from, postpone, keep, drop, answer, again, sleep };
  struct keep {
    using reply = int;
  };
  struct inner {
    using reply = int;
    what how;
  };
  struct shared {
    using reply = int;
    what how;
  };
  struct insert {
    what how;
  };
  struct move {};
  struct answer_kept {};
  using events = otp::events<keep, inner, shared, insert, move, answer_kept>;
  template <class State>
  void on(State&, const keep&, otp::from<int> f) {
    waiting = std::move(f);
  }
  template <class State>
  otp::step<void> on(State&, const insert& i) {
    if (i.how == what::stop || i.how == what::raise) return otp::stay().next_event(inner{i.how}, std::move(waiting));
    return otp::stay().next_event(shared{i.how}, std::move(waiting));
  }
  otp::step<int> on(here&, const inner& i) {
    if (i.how == what::raise) throw std::runtime_error("raised");
    return otp::stop("stopped");
  }
  otp::step<int> on(here&, const shared& s, otp::from<int> f) {
    switch (s.how) {
      case what::stop_with_from: return otp::stop("stopped");
      case what::raise_with_from: throw std::runtime_error("raised");
      case what::postpone: return otp::stay().postpone();
      case what::keep: waiting = std::move(f); return otp::stay();
      case what::answer: f.reply(1); return otp::stay().reply(2);
      case what::again: return otp::stay().next_event(shared{what::answer}, std::move(f));
      case what::sleep: otp::sleep(10s); return otp::stay();
      default: return otp::stay();
    }
  }
  int on(there&, const shared&) { return 3; }
  otp::step<void, there> on(here&, move) { return otp::go(there{}); }
  void on(there&, move) {}
  template <class State>
  void on(State&, answer_kept) {
    waiting.reply(4);
  }
  otp::from<int> waiting;
};
/// What the caller of a call gets that a transition inserts; `then` is done when it was handled.
std::string insert_a_call(inserts::what how, const std::function<void(const otp::server<inserts>&)>& then = {}) {
  auto m = gen_statem::start<inserts>().value();
  auto id = otp::send_request(m, inserts::keep{});
  otp::cast(m, inserts::insert{how});
  otp::testing::settle();
  if (then) then(m);
  auto answer = otp::wait_response(id, 5s);
  if (!answer) return "none";
  return *answer ? std::to_string(**answer) : answer->error().cause().to_string();
}
// The caller of an inserted call was told no_reply where the machine ended.
// covers: SM-041 SM-063
TEST(gen_statem_events, the_caller_of_an_inserted_call_gets_the_reason_that_the_machine_ends_with) {
  using what = inserts::what;
  for_seeds(10, [] {
    const std::string raised = otp::reason::error("std::runtime_error", "raised").to_string();
    EXPECT_EQ(insert_a_call(what::stop), "\"stopped\"");
    EXPECT_EQ(insert_a_call(what::stop_with_from), "\"stopped\"");
    EXPECT_EQ(insert_a_call(what::raise), raised);
    EXPECT_EQ(insert_a_call(what::raise_with_from), raised);
    // Ended from outside: while it is handled, and while it waits.
    auto end = [](const otp::server<inserts>& m) { otp::exit(m, "from outside"); };
    EXPECT_EQ(insert_a_call(what::sleep, end), "\"from outside\"");
    EXPECT_EQ(insert_a_call(what::postpone, end), "\"from outside\"");
  });
}
// The caller of an inserted call was told no_reply when a handler with a `from` postponed it.
// covers: SM-055 SM-063
TEST(gen_statem_events, an_inserted_call_is_as_good_as_one_that_came) {
  using what = inserts::what;
  for_seeds(10, [] {
    auto move = [](const otp::server<inserts>& m) {
      otp::sleep(1s);
      otp::cast(m, inserts::move{});
    };
    EXPECT_EQ(insert_a_call(what::postpone, move), "3");
    EXPECT_EQ(insert_a_call(what::postpone), "none");
    EXPECT_EQ(insert_a_call(what::keep), "none");
    auto answer = [](const otp::server<inserts>& m) { otp::cast(m, inserts::answer_kept{}); };
    EXPECT_EQ(insert_a_call(what::keep, answer), "4");
    EXPECT_TRUE(insert_a_call(what::drop).starts_with("{no_reply"));
    EXPECT_EQ(insert_a_call(what::answer), "1") << "the first one";
    EXPECT_EQ(insert_a_call(what::again), "1");
  });
}
// Handed on, a call belongs to another machine than the one that ends.
// covers: SM-063
TEST(gen_statem_events, an_inserted_call_of_another_machine_fails_with_the_one_that_held_it) {
  struct holder {
    struct only {};
    using states = otp::states<only>;
    struct take {
      std::shared_ptr<otp::from<int>> from;
    };
    using events = otp::events<take, inserts::shared>;
    otp::step<void> on(only&, const take& t) { return otp::stay().next_event(inserts::shared{}, std::move(*t.from)); }
    otp::step<int> on(only&, const inserts::shared&, otp::from<int>) { return otp::stop("stopped"); }
  };
  struct giver {
    struct only {};
    using states = otp::states<only>;
    using events = otp::events<inserts::keep>;
    explicit giver(otp::server<holder> h) : to(h) {}
    void on(only&, const inserts::keep&, otp::from<int> f) {
      otp::cast(to, typename holder::take{std::make_shared<otp::from<int>>(std::move(f))});
    }
    otp::server<holder> to;
  };
  for_seeds(10, [] {
    auto h = gen_statem::start<holder>().value();
    auto g = gen_statem::start<giver>({}, h).value();
    EXPECT_EQ(otp::try_call(g, inserts::keep{}, 5s).error().cause(), otp::reason::no_reply);
    EXPECT_TRUE(otp::is_alive(g));
  });
}

// covers: SM-064 SM-125
TEST(gen_statem_events, what_cannot_be_inserted_ends_the_machine) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal&) {
    using move = typename M::move;
    auto ended_by = [](std::function<move(M&)> what) {
      auto m = gen_statem::start_monitor<M>().value();
      otp::cast(m.server, typename M::act{std::move(what)});
      otp::exit_reason why = reason_of(m.monitor);
      EXPECT_EQ(why.error_type(), "bad_action_from_state_function");
      return std::string(why.text());
    };
    // No such kind.
    EXPECT_NE(ended_by([](M&) -> move {
                return otp::stay().next_event(typename M::note{"x"}, static_cast<otp::event_kind>(77));
              }).find("unknown"),
              std::string::npos);
    // A call of nobody.
    EXPECT_NE(ended_by([](M&) -> move {
                return otp::stay().next_event(typename M::want{"x"}, otp::event_kind::call);
              }).find("from"),
              std::string::npos);
    EXPECT_NE(ended_by([](M&) -> move {
                return otp::stay().next_event(typename M::want{"x"}, otp::from<std::string>());
              }).find("from"),
              std::string::npos);
    // No event of this machine.
    EXPECT_NE(ended_by([](M&) -> move { return otp::stay().next_event(42); }).find("int"), std::string::npos);
  });
}

// covers: SM-058
TEST(gen_statem_events, an_event_that_was_moved_away_cannot_be_postponed) {
  struct machine {
    struct only {};
    using states = otp::states<only>;
    struct gift {
      std::unique_ptr<int> value;
      bool refuse = false;
    };
    using events = otp::events<gift>;
    otp::step<void> on(only&, gift g) {
      sum += *g.value;
      if (g.refuse) return otp::stay().postpone();
      return otp::stay();
    }
    std::string to_string() const { return std::to_string(sum); }
    int sum = 0;
  };
  for_seeds(5, [] {
    auto m = gen_statem::start_monitor<machine>().value();
    otp::cast(m.server, machine::gift{std::make_unique<int>(3)});
    EXPECT_EQ(otp::sys::get_status(m.server).data, "3");
    otp::cast(m.server, machine::gift{std::make_unique<int>(4), true});
    EXPECT_EQ(reason_of(m.monitor).error_type(), "bad_action_from_state_function");
  });
}

}  // namespace
