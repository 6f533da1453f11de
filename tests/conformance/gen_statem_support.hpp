// What the tests of state machines share: two machines that do what they are told, alike but for how they have their
// states: as types, or as values that are known at run time.
#pragma once
#include "conformance/gen_server_support.hpp"

#include <functional>
#include <map>
#include <set>

namespace conformance {

namespace gen_statem = otp::gen_statem;
using tests::journal;
using tests::strings;

/// What a machine that is told what to do is told, and what it notes.
template <class Machine, class... States>
struct scripted {
  using move = otp::step<void, States...>;
  using answer = otp::step<std::string, States...>;

  struct act {  // does it
    std::function<move(Machine&)> run;
  };
  struct ask {  // does it, and replies
    using reply = std::string;
    std::function<answer(Machine&)> run;
  };
  struct keep {  // is answered later
    using reply = std::string;
    std::string name;
  };
  struct note {  // is noted, unless the state is one of those that postpone notes
    std::string text;
    std::string to_string() const { return text; }
  };
  struct want {  // a call that is noted and answered with its text
    using reply = std::string;
    std::string text;
    std::string to_string() const { return text; }
  };
  using events = otp::events<act, ask, keep, note, want>;

  explicit scripted(journal j = {}) : log(std::move(j)) {}

  move noted(std::string_view state, const note& n, const otp::event_type& type) {
    if (postponing.contains(std::string(state))) {
      log.add("postponed " + n.text);
      return otp::stay().postpone();
    }
    log.add(type.to_string() + " " + n.text + " in " + std::string(state));
    if (auto then = reactions.find(n.text); then != reactions.end()) return then->second(static_cast<Machine&>(*this));
    return otp::stay();
  }
  answer wanted(std::string_view state, const want& w, const otp::event_type& type) {
    if (postponing.contains(std::string(state))) {
      log.add("postponed " + w.text);
      return otp::stay().postpone();
    }
    log.add(type.to_string() + " " + w.text + " in " + std::string(state));
    return otp::stay().reply(w.text);
  }
  void kept(const keep& k, otp::from<std::string> f) { waiting[k.name] = std::move(f); }
  otp::from<std::string> waiting_for(const std::string& name) {
    auto found = waiting.extract(name);
    return found.empty() ? otp::from<std::string>() : std::move(found.mapped());
  }

  journal log;
  std::set<std::string> postponing;
  std::map<std::string, std::function<move(Machine&)>> reactions;  // to notes, by their text
  std::map<std::string, otp::from<std::string>> waiting;
  int number = 0;
};

struct red {
  static std::string to_string() { return "red"; }
};
struct green {
  static std::string to_string() { return "green"; }
};
struct blue {
  int shade = 0;
  std::string to_string() const { return "blue" + std::to_string(shade); }
  friend bool operator==(blue, blue) = default;
};

struct by_type : scripted<by_type, red, green, blue> {
  using states = otp::states<red, green, blue>;
  using scripted::scripted;
  static auto at_red() { return red{}; }
  static auto at_green() { return green{}; }
  static auto at_blue(int shade) { return blue{shade}; }

  template <class State>
  move on(State&, const act& a) {
    return a.run(*this);
  }
  template <class State>
  answer on(State&, const ask& a) {
    return a.run(*this);
  }
  template <class State>
  void on(State&, const keep& k, otp::from<std::string> f) {
    kept(k, std::move(f));
  }
  template <class State>
  move on(State& s, const note& n, const otp::event_type& type) {
    return noted(s.to_string(), n, type);
  }
  template <class State>
  answer on(State& s, const want& w, const otp::event_type& type) {
    return wanted(s.to_string(), w, type);
  }
  std::string to_string() const { return "number " + std::to_string(number); }
};

struct colour {
  std::string name = "red";
  int shade = 0;
  std::string to_string() const { return name == "blue" ? name + std::to_string(shade) : name; }
  friend bool operator==(const colour&, const colour&) = default;
};

struct by_value : scripted<by_value, colour> {
  using state = colour;
  using scripted::scripted;
  static auto at_red() { return colour{"red"}; }
  static auto at_green() { return colour{"green"}; }
  static auto at_blue(int shade) { return colour{"blue", shade}; }

  move handle_event(const colour&, const act& a) { return a.run(*this); }
  answer handle_event(const colour&, const ask& a) { return a.run(*this); }
  void handle_event(const colour&, const keep& k, otp::from<std::string> f) { kept(k, std::move(f)); }
  move handle_event(const colour& s, const note& n, const otp::event_type& type) {
    return noted(s.to_string(), n, type);
  }
  answer handle_event(const colour& s, const want& w, const otp::event_type& type) {
    return wanted(s.to_string(), w, type);
  }
  std::string to_string() const { return "number " + std::to_string(number); }
};

/// Runs the body for both kinds of machine, each under several seeds: `body(type, journal)`.
template <class F>
void in_both_modes(unsigned seeds, F body) {
  for_seeds(seeds, [&] {
    SCOPED_TRACE("states are types");
    body(std::type_identity<by_type>(), journal());
  });
  for_seeds(seeds, [&] {
    SCOPED_TRACE("states are values");
    body(std::type_identity<by_value>(), journal());
  });
}

/// The state that a machine is in, as text.
inline std::string state_of(otp::pid machine) { return otp::sys::get_status(machine).state; }

}  // namespace conformance
