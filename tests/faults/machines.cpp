// E04, E05: timers of a state machine that are set, changed and cancelled in one transition, and events that nobody
// ever takes.
#include "faults/support.hpp"

#include <otp/gen_statem.hpp>
#include <otp/sys.hpp>

using namespace faults;
namespace gen_statem = otp::gen_statem;

namespace {

/// Sets, changes and cancels timers as it is told, and notes what fires and when.
struct clockwork {
  struct running {};
  struct moved {};
  using states = otp::states<running, moved>;
  enum class what { set, again, cancel, update };
  enum class which { state, event, named };
  struct order {
    std::vector<std::pair<which, what>> acts;
    bool move = false;
  };
  struct rang {
    which timer;
    int version;  // 1: as set first; 2: as set again; 3: by an update
  };
  using events = otp::events<order, rang>;

  explicit clockwork(journal j) : fired(std::move(j)) {}

  otp::step<void, moved> on(running&, const order& o) {
    if (!o.move) return carry_out(otp::stay(), o);
    return carry_out(otp::go(moved{}), o);
  }
  void on(running&, const rang& r) { note(r); }
  void on(moved&, const rang& r) { note(r); }
  void on(moved&, const order&) {}

  // 1 s as set first, 2 s as set again.
  template <class Step>
  static Step carry_out(Step step, const order& o) {
    for (auto [timer, act] : o.acts) {
      const otp::duration time = act == what::again ? 2s : 1s;
      const rang event{timer, act == what::set ? 1 : act == what::again ? 2 : 3};
      const bool cancels = act == what::cancel, updates = act == what::update;
      switch (timer) {
        case which::state:
          step = cancels   ? std::move(step).cancel_state_timeout()
                 : updates ? std::move(step).update_state_timeout(event)
                           : std::move(step).state_timeout(time, event);
          break;
        case which::event:
          step = cancels   ? std::move(step).cancel_event_timeout()
                 : updates ? std::move(step).update_event_timeout(event)
                           : std::move(step).event_timeout(time, event);
          break;
        case which::named:
          step = cancels   ? std::move(step).cancel_timeout("t")
                 : updates ? std::move(step).update_timeout("t", event)
                           : std::move(step).timeout("t", time, event);
          break;
      }
    }
    return step;
  }
  void note(const rang& r) const {
    static constexpr const char* names[] = {"state", "event", "named"};
    fired.add(std::string(names[static_cast<int>(r.timer)]) + " " + std::to_string(r.version) + " at " +
              std::to_string(otp::now().time_since_epoch() / 1s - began));
  }
  std::int64_t began = otp::now().time_since_epoch() / 1s;
  journal fired;
};

using what = clockwork::what;
using which = clockwork::which;

/// What fires in ten seconds, in order.
strings fired_by(clockwork::order o) {
  journal fired;
  auto m = gen_statem::start<clockwork>({}, fired).value();
  otp::cast(m, std::move(o));
  otp::sleep(10s);
  otp::server_status now = otp::sys::get_status(m);
  EXPECT_EQ(now.timers, strings{}) << "nothing is left";
  gen_statem::stop(m);
  strings seen = fired.take();
  std::sort(seen.begin(), seen.end());
  return seen;
}

// covers: E04
TEST(timers_of_one_transition, of_several_that_set_the_same_the_last_counts_and_fires_once) {
  for_seeds(5, [] {
    for (bool move : {false, true}) {
      for (which t : {which::state, which::event, which::named}) {
        const std::string name = t == which::state ? "state" : t == which::event ? "event" : "named";
        auto one = [&](std::vector<what> acts) {
          clockwork::order o{.acts = {}, .move = move};
          for (what a : acts) o.acts.emplace_back(t, a);
          return fired_by(o);
        };
        EXPECT_EQ(one({what::set}), strings{name + " 1 at 1"});
        EXPECT_EQ(one({what::set, what::again}), strings{name + " 2 at 2"}) << "changed";
        EXPECT_EQ(one({what::again, what::set}), strings{name + " 1 at 1"});
        EXPECT_EQ(one({what::set, what::cancel}), strings{}) << "cancelled";
        EXPECT_EQ(one({what::set, what::cancel, what::again}), strings{name + " 2 at 2"}) << "and set once more";
        EXPECT_EQ(one({what::set, what::update}), strings{name + " 3 at 0"}) << "of none that ran before: at once";
        EXPECT_EQ(one({what::cancel, what::update}), strings{name + " 3 at 0"}) << "of none: at once";
        EXPECT_EQ(one({what::cancel}), strings{});
      }
    }
  });
}

// covers: E04
TEST(timers_of_one_transition, of_different_kinds_do_not_touch_each_other_but_for_the_event_that_one_waits_for) {
  for_seeds(5, [] {
    const std::vector<std::pair<which, what>> all{{which::state, what::set},   {which::event, what::set},
                                                  {which::named, what::again}, {which::state, what::again},
                                                  {which::named, what::set},   {which::event, what::cancel},
                                                  {which::event, what::again}};
    // The named one fires at 1, which is an event: the event timeout, due at 2, is gone.
    for (bool move : {false, true})
      EXPECT_EQ(fired_by({.acts = all, .move = move}), (strings{"named 1 at 1", "state 2 at 2"}));
    EXPECT_EQ(fired_by({.acts = {{which::state, what::again}, {which::event, what::set}, {which::named, what::again}}}),
              (strings{"event 1 at 1", "named 2 at 2", "state 2 at 2"}));
  });
}

// ---- events that nobody ever takes -------------------------------------------------------------------------------

/// Postpones every event in every state; a timer of its own changes the state.
struct hoarder {
  struct one {};
  struct two {};
  using states = otp::states<one, two>;
  struct parcel {
    int number;
  };
  struct letter {
    using reply = int;
  };
  struct swap {};
  using events = otp::events<parcel, letter, swap>;
  hoarder() { otp::send_interval(1s, otp::self(), swap{}); }
  template <class State>
  otp::step<void> on(State&, const parcel&) {
    return otp::stay().postpone();
  }
  template <class State>
  otp::step<int> on(State&, const letter&) {
    return otp::stay().postpone();
  }
  otp::step<void, two> on(one&, const swap&) { return otp::go(two{}); }
  otp::step<void, one> on(two&, const swap&) { return otp::go(one{}); }
};

// covers: E05
TEST(a_machine_that_postpones_everything, looks_at_each_event_once_a_change_of_state_and_not_in_between) {
  for_seeds(5, [] {
    auto m = gen_statem::start<hoarder>().value();
    for (int i = 0; i < 100; ++i) otp::cast(m, hoarder::parcel{i});
    otp::testing::settle();
    auto reductions = [&] { return otp::info(m)->reductions; };
    auto before = reductions();
    otp::testing::settle();
    otp::sleep(900ms);
    EXPECT_EQ(reductions(), before) << "it rests";
    otp::sleep(1s);
    auto after = reductions();
    EXPECT_GE(after - before, 101U) << "the change, and each event again";
    EXPECT_LE(after - before, 105U);
    EXPECT_EQ(otp::try_call(m, hoarder::letter{}, 3s).error().cause(), otp::reason::timeout);
    EXPECT_EQ(otp::sys::get_status(m).postponed.size(), 101U);
    gen_statem::stop(m);
  });
}

// covers: E05
TEST(a_machine_that_postpones_everything, keeps_within_the_bound_of_its_mailbox) {
  // What was postponed had left the mailbox, and with it the bound: a machine that took nothing kept everything.
  for_seeds(3, [] {
    for (otp::overflow policy : {otp::overflow::reject, otp::overflow::drop}) {
      auto m = gen_statem::start<hoarder>({.spawn = {.mailbox = {.max_messages = 100, .policy = policy}}}).value();
      for (int i = 0; i < 10'000; ++i) {
        otp::cast(m, hoarder::parcel{i});
        if (i % 50 == 0) otp::testing::settle();
      }
      otp::testing::settle();
      EXPECT_LE(otp::sys::get_status(m).postponed.size() + otp::info(m)->message_queue_len, 100U);
      EXPECT_GE(otp::sys::get_status(m).postponed.size(), 99U);
      otp::sleep(3s);
      EXPECT_LE(otp::sys::get_status(m).postponed.size() + otp::info(m)->message_queue_len, 101U) << "and its timer's";
      gen_statem::stop(m);
    }
    // A bound of bytes is one too, and what is let go makes room again.
    auto m = gen_statem::start<hoarder>({.spawn = {.mailbox = {.max_messages = 3, .policy = otp::overflow::reject}}})
                 .value();
    for (int i = 0; i < 10; ++i) otp::cast(m, hoarder::parcel{i});
    otp::testing::settle();
    EXPECT_EQ(otp::sys::get_status(m).postponed.size(), 3U);
    otp::exit(m, otp::reason::kill);
  });
}

}  // namespace
