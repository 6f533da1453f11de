// State machines whose graph has a fault.
#include <otp/gen_statem.hpp>
#include <string>
using otp::go;
using otp::stay;
using otp::gen_statem::start;
using otp::gen_statem::start_link;
using otp::gen_statem::start_monitor;

struct off {};
struct on_state {};
struct broken {};
struct press {};
struct kick {};
struct ask {
  using reply = int;
};

// ---- a move that the handler's type does not list ----------------------------------------------------------------

struct lamp {
  using states = otp::states<off, on_state, broken>;
  using events = otp::events<press, kick, ask>;
  otp::step<void, on_state> on(off&, const press&) {
    return go(broken{});  // error: (target_not_listed.*State = broken|transition<.*broken.*to .otp::step<void)
  }
  otp::step<void, off> on(on_state&, const press&) {
    if (presses > 3)
      return go(broken{});  // error: (target_not_listed.*State = broken|transition<.*broken.*to .otp::step<void)
    return go(off{});
  }
  otp::step<void, broken> on(on_state&, const kick&) { return go(broken{}); }
  otp::step<int> on(off&, const ask&) {
    return stay().reply(text);  // error: (reply_does_not_fit|transition<.*to .otp::step<int>)
  }
  otp::step<int> on(on_state&, const ask&) {
    return go(off{}).reply(1);  // error: (target_not_listed.*State = off|transition<.*off.*to .otp::step<int)
  }
  int presses = 0;
  std::string text;
};

// ---- states ------------------------------------------------------------------------------------------------------

struct island {
  using states = otp::states<off, on_state, broken>;
  using events = otp::events<press>;
  otp::step<void, on_state> on(off&, const press&) { return go(on_state{}); }
  otp::step<void, off> on(on_state&, const press&) { return go(off{}); }
  otp::step<void, broken> on(broken&, const press&) { return go(broken{}); }
};
struct behind_island {
  using states = otp::states<off, on_state, broken>;
  using events = otp::events<press>;
  void on(off&, const press&) {}
  otp::step<void, broken> on(on_state&, const press&) { return go(broken{}); }
};
struct stranger {
  using states = otp::states<off>;
  using events = otp::events<press>;
  otp::step<void, broken> on(off&, const press&) { return go(broken{}); }
};
struct twice {
  using states = otp::states<off, off>;
  using events = otp::events<press>;
  void on(off&, const press&) {}
};
struct none {
  using states = otp::states<>;
  using events = otp::events<press>;
};
struct no_list {
  using states = off;
  using events = otp::events<press>;
};
struct no_states {
  using events = otp::events<press>;
};
struct by_reference {
  using states = otp::states<off&>;
  using events = otp::events<press>;
};
struct elsewhere {
  using states = otp::states<off>;
  using initial = otp::states<broken>;
  using events = otp::events<press>;
  void on(off&, const press&) {}
};
struct needs_a_value {
  explicit needs_a_value(int) {}
};
struct valued {
  using states = otp::states<needs_a_value>;
  using events = otp::events<press>;
  void on(needs_a_value&, const press&) {}
};
void states() {
  auto a = start_link<island>();        // error: unreachable_state<island, broken>
  auto b = start<behind_island>();      // error: unreachable_state<behind_island, on_state>
  auto c = start_monitor<stranger>();   // error: target_is_no_state<stranger, broken>
  auto d = start_link<twice>();         // error: wrong_states<twice>
  auto e = start_link<none>();          // error: wrong_states<none>
  auto f = start_link<no_list>();       // error: wrong_states<no_list>
  auto g = start_link<no_states>();     // error: wrong_states<no_states>
  auto h = start_link<by_reference>();  // error: wrong_state<by_reference, off ?&>
  auto i = start_link<elsewhere>();     // error: initial_is_no_state<elsewhere, broken>
  auto j = start_link<valued>();        // error: initial_state_needs_init<valued, needs_a_value>
  auto k = start_link<valued>({}, 1);   // error: missing_init<valued, int>
  auto text = otp::diagram<island>();   // error: unreachable_state<island, broken>
}

// ---- events ------------------------------------------------------------------------------------------------------

struct deaf {
  using states = otp::states<off>;
  using events = otp::events<press, kick>;
  void on(off&, const press&) {}
};
struct deaf_but_polite {
  using states = otp::states<off>;
  using events = otp::events<press, kick>;
  void on(off&, const press&) {}
  template <class State, class Event>
  void otherwise(const State&, const Event&) {}
};
struct shy {
  using states = otp::states<off>;
  using events = otp::events<press>;

 private:
  void on(off&, const press&) {}
};
struct listless {
  using states = otp::states<off>;
  using events = press;
  void on(off&, const press&) {}
};
struct private_events {
  using states = otp::states<off>;
  using events = otp::events<press>;
  void on(off&, press&) {}  // by value or const reference
};
struct bad_results {
  using states = otp::states<off>;
  using events = otp::events<press>;
  int on(off&, const press&) { return 1; }
};
struct bad_reply {
  using states = otp::states<off>;
  using events = otp::events<ask>;
  std::string on(off&, const ask&) { return "one"; }
};
struct other_reply {
  using states = otp::states<off>;
  using events = otp::events<ask>;
  otp::step<std::string> on(off&, const ask&) { return stay().reply("one"); }
};
struct untyped {
  using states = otp::states<off>;
  using events = otp::events<press>;
  auto on(off&, const press&) { return stay(); }
};
struct bad_fallback {
  using states = otp::states<off, on_state>;
  using events = otp::events<ask>;
  otp::step<int, on_state> on(off&, const ask&) { return go(on_state{}).reply(1); }
  std::string otherwise(const on_state&, const ask&) { return "one"; }
};
void events() {
  auto a = start_link<deaf>();             // error: event_nobody_takes<deaf, kick>
  auto b = start_link<deaf_but_polite>();  // error: event_nobody_takes<deaf_but_polite, kick>
  auto c = start_link<shy>();              // error: event_nobody_takes<shy, press>
  auto d = start_link<listless>();         // error: wrong_events<listless>
  auto e = start_link<private_events>();   // error: event_nobody_takes<private_events, press>
  auto f = start_link<bad_results>();      // error: wrong_handler_result<bad_results, off, press, int>
  auto g = start_link<bad_reply>();        // error: wrong_handler_result<bad_reply, off, ask, std::
  auto h = start_link<other_reply>();      // error: wrong_handler_result<other_reply, off, ask, otp::step<std::
  auto i = start_link<untyped>();          // error: wrong_handler_result<untyped, off, press, otp::transition<
  auto j = start_link<bad_fallback>();     // error: wrong_handler_result<bad_fallback, on_state, ask, std::
  auto k = start_link<int>();              // error: not_a_struct<int>
}

// ---- enter, terminate, format_status -----------------------------------------------------------------------------

struct restless {
  using states = otp::states<off, on_state>;
  using events = otp::events<press>;
  otp::step<void, on_state> on(off&, const press&) { return go(on_state{}); }
  otp::step<void, off> enter(on_state&) { return go(off{}); }
};
struct entered_by_nobody {
  using states = otp::states<off>;
  using events = otp::events<press>;
  void on(off&, const press&) {}
  void enter(on_state&) {}
};
struct changes_a_value {
  using state = std::string;
  using events = otp::events<press>;
  void handle_event(const state&, const press&) {}
  void enter(state&) {}
};
struct terminates_at_will {
  using states = otp::states<off>;
  using events = otp::events<press>;
  void on(off&, const press&) {}
  void terminate() {}
};
struct formats_alone {
  using states = otp::states<off>;
  using events = otp::events<press>;
  void on(off&, const press&) {}
  std::string format_status() { return {}; }
};
void callbacks() {
  auto a = start_link<restless>();              // error: wrong_enter_result<restless, on_state, otp::step<void, off> ?>
  auto b = start_link<entered_by_nobody>();     // error: wrong_enter<entered_by_nobody>
  auto c = start_link<changes_a_value>();       // error: wrong_enter<changes_a_value>
  auto d = start_link<terminates_at_will>();    // error: wrong_terminate<terminates_at_will>
  auto e = start_link<formats_alone>();         // error: wrong_format_status<formats_alone>
  auto text = otp::diagram<changes_a_value>();  // error: wrong_enter<changes_a_value>
}

// ---- one reply to a caller ---------------------------------------------------------------------------------------

struct repeats_itself {
  using states = otp::states<off, on_state>;
  using events = otp::events<ask>;
  otp::step<int, on_state> on(off&, const ask&) {
    return go(on_state{}).reply(1).postpone().reply(2);  // error: replied_already<int>
  }
  otp::step<int> on(on_state&, const ask&) {
    return stay().reply(1).reply();  // error: replied_already<int>
  }
};

// ---- a state that is a value says what a change is ---------------------------------------------------------------

struct position {
  int x;
};
struct never_changes {
  using state = position;
  using events = otp::events<press>;
  otp::step<void, state> handle_event(const state& s, const press&) { return go(position{s.x + 1}); }
};
void values() {
  auto a = start_link<never_changes>();  // error: state_needs_equality<never_changes, position>
}

// ---- init --------------------------------------------------------------------------------------------------------

struct good {
  using states = otp::states<off, on_state>;
  using events = otp::events<press>;
  otp::step<void, on_state> on(off&, const press&) { return go(on_state{}); }
};
struct begins_elsewhere {
  using states = otp::states<off, on_state>;
  using events = otp::events<press>;
  static otp::init_result<begins_elsewhere> init() {
    return otp::start_in(on_state{});  // error: not_an_initial_state|start_step<.*on_state
  }
  otp::step<void, on_state> on(off&, const press&) { return go(on_state{}); }
};
struct begins_with_number {
  using states = otp::states<off>;
  using events = otp::events<press>;
  static int init() { return 1; }
  void on(off&, const press&) {}
};
struct by_name {
  using state = std::string;
  using events = otp::events<press>;
  void handle_event(const state&, const press&) {}
};
void inits() {
  auto a = start_link<good>({}, 1);           // error: missing_init<good, int>
  auto b = start_link<good>("name");          // error: options_come_first<good, (char )?const ?(char)? ?\*>
  auto c = start_link<begins_with_number>();  // error: wrong_init_result<begins_with_number, int>
  auto text = otp::diagram<by_name>();        // error: states_known_at_run_time<by_name>
}

// ---- telling a machine -------------------------------------------------------------------------------------------

struct unknown {
  using reply = int;
};
void telling(otp::server<lamp> l, otp::name<lamp> n, otp::runtime& rt) {
  otp::call(l, unknown{});            // error: unknown_event<lamp, unknown>
  otp::call(n, press{});              // error: missing_reply<press>
  otp::cast(l, ask{});                // error: event_wants_a_call<lamp, ask>
  otp::cast(n, unknown{});            // error: unknown_event<lamp, unknown>
  otp::send(l, unknown{});            // error: unknown_event<lamp, unknown>
  auto id = otp::send_request(l, 4);  // error: unknown_event<lamp, int>
  rt.call(l, unknown{});              // error: unknown_event<lamp, unknown>
  rt.cast(l, ask{});                  // error: event_wants_a_call<lamp, ask>
}
