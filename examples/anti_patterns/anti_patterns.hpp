// Three ways to take too much or too little, each with its better form.
#pragma once
#include <otp/otp.hpp>

// What the endless work would be.
inline void do_work() { otp::sleep(std::chrono::milliseconds(10)); }

// ---- a server for a simple value -----------------------------------------------------------------------------------

// [value_server]
struct config_server {
  struct get_timeout { using reply = int; };
  struct set_timeout { int value; };
  int handle_call(get_timeout) { return timeout; }
  void handle_cast(set_timeout s) { timeout = s.value; }
  int timeout = 5000;
};
// [/value_server]

// [agent]
struct config { int timeout = 5000; };
inline constexpr otp::name<otp::agent<config>> config_agent{"config"};

inline auto child_config() { return otp::child_agent(config_agent, [] { return config{}; }); }
inline int get_timeout() { return otp::get(config_agent, &config::timeout); }
inline void set_timeout(int value) { otp::update(config_agent, [=](config& c) { c.timeout = value; }); }
// [/agent]

// ---- a task that never ends ----------------------------------------------------------------------------------------

inline otp::pid start_endless_task() {
  // [endless_task]
  return otp::task<>::start([] {
    for (;;) do_work();
  });
  // [/endless_task]
}

// [worker]
struct worker {
  struct work {};
  static otp::init_result<worker> init() { return otp::ok().then_continue(work{}); }
  otp::handler_result handle_continue(work) {
    do_work();
    return otp::noreply().then_continue(work{});  // after this step; what arrived meanwhile is looked at in between
  }
};
inline auto start_worker() { return otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child<worker>()}}); }
// [/worker]

// ---- a state machine for a flag ------------------------------------------------------------------------------------

// [flag_machine]
struct feature_flag_machine {
  struct disabled {}; struct enabled {};
  using states = otp::states<disabled, enabled>;
  struct check { using reply = bool; };
  struct enable {}; struct disable {};
  using events = otp::events<check, enable, disable>;
  bool on(enabled&, check) { return true; }
  bool on(disabled&, check) { return false; }
  otp::step<void, enabled> on(disabled&, enable) { return otp::go(enabled{}); }
  otp::step<void, disabled> on(enabled&, disable) { return otp::go(disabled{}); }
  void otherwise(const auto&, const auto&) {}
};
// [/flag_machine]

// [flag]
inline constexpr otp::name<otp::agent<bool>> feature_flag{"feature_flag"};

inline auto child_flag() { return otp::child_agent(feature_flag, [] { return false; }).id("flag"); }
inline bool is_enabled() { return otp::get(feature_flag, [](bool on) { return on; }); }
inline void enable() { otp::update(feature_flag, [](bool& on) { on = true; }); }
inline void disable() { otp::update(feature_flag, [](bool& on) { on = false; }); }
// [/flag]
