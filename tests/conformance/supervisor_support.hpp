// What the supervisor tests share: children that write down what happens to them, and a listener that keeps reports.
#pragma once
#include <otp/dynamic_supervisor.hpp>
#include <otp/partition_supervisor.hpp>
#include <otp/supervisor.hpp>

#include <otp/sys.hpp>

#include <functional>

#include "conformance/support.hpp"

namespace otp {
inline void PrintTo(const child_id& id, std::ostream* out) { *out << id.to_string(); }
}  // namespace otp

namespace conformance {

using tests::event_log;
using tests::journal;
using tests::strings;

/// A child that writes down its start and its end. It traps exits, so that its end is told by terminate.
struct unit {
  struct finish {
    otp::exit_reason why;
  };
  struct name_of {
    using reply = std::string;
  };
  unit(journal to, std::string called) : log(std::move(to)), name(std::move(called)) {
    otp::trap_exit(true);
    log.add("+" + name);
  }
  otp::handler_result handle_cast(const finish& f) { return otp::stop(f.why); }
  std::string handle_call(name_of) { return name; }
  void terminate(const otp::exit_reason& why) { log.add("-" + name + " " + why.to_string()); }

  journal log;
  std::string name;
};

inline otp::child_spec unit_spec(const journal& log, const std::string& name) {
  return otp::child<unit>(log, name).id(name);
}

/// A child that ignores `shutdown`: only a kill ends it.
struct stubborn {
  explicit stubborn(journal to) : log(std::move(to)) { otp::trap_exit(true); }
  void terminate(const otp::exit_reason&) {
    log.add("asked");
    rest();
  }
  journal log;
};

/// Ends a unit with a reason, as if by itself.
inline void finish(otp::pid child, otp::exit_reason why) { otp::cast(otp::server<unit>(child), unit::finish{why}); }

/// The process of a child; none if it has none. Looked up by the id.
inline otp::pid process_of(const otp::supervisor_ref& sup, const otp::child_id& id) {
  auto info = otp::supervisor::get_child(sup, id);
  return info ? info->process : otp::pid();
}
inline otp::child_state state_of(const otp::supervisor_ref& sup, const otp::child_id& id) {
  return otp::supervisor::get_child(sup, id).value().state;
}
/// Waits until a child is in a state, its process another one than `before`. On the seeded engine nothing waits for
/// real.
inline otp::pid new_process(const otp::supervisor_ref& sup, const otp::child_id& id, otp::pid before) {
  for (int i = 0; i < 60'000; ++i) {
    otp::pid now = process_of(sup, id);
    if (now && now != before) return now;
    otp::sleep(1ms);
  }
  throw std::runtime_error("the child does not come back");
}

/// On threads a process that has ended is counted a moment longer than its `down` takes.
inline bool nobody_else_left() {
  for (int i = 0; i < 60'000 && otp::process_count() > 1; ++i) otp::sleep(1ms);
  return otp::process_count() == 1;
}

inline strings ids_of(const otp::supervisor_ref& sup) {
  strings ids;
  for (auto& child : otp::supervisor::which_children(sup)) ids.push_back(child.id.to_string());
  return ids;
}

/// A body under a trapping process: a supervisor that gives up does not take the test with it.
template <class F>
void supervised(unsigned seeds, F body) {
  for_seeds(seeds, [&] {
    otp::trap_exit(true);
    body();
  });
}
template <class F>
void supervised_logged(unsigned seeds, F body) {
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    event_log events;
    otp::runtime_options options;
    options.listener = &events;
    options.events_per_second = 100'000;
    seeded(
        [&] {
          otp::trap_exit(true);
          body(events);
        },
        seed, options);
    if (::testing::Test::HasFailure()) return;
  }
}

/// The reason of the exit signal that a linked process sent when it ended.
inline otp::exit_reason exit_from(otp::pid process) {
  return otp::receive(
      otp::when([&](const otp::exit_signal& s) { return s.from == process; },
                [](otp::exit_signal& s) { return s.reason; }),
      otp::after(patience(), []() -> otp::exit_reason { throw std::runtime_error("it does not end"); }));
}

}  // namespace conformance
