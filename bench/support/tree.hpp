// The supervised trees of the restart benchmarks: children that report when they are up, and reports switched off.
#pragma once
#include "bench.hpp"

#include <otp/otp.hpp>

#include <vector>

namespace bench {

struct up {
  otp::pid child;
};

struct worker {
  struct crash {};
  explicit worker(otp::pid tester) { otp::send(tester, up{otp::self()}); }
  [[noreturn]] void handle_cast(crash) { throw 1; }
};

struct silence final : otp::event_listener {
  void on_event(const otp::event&) override {}
};

inline otp::pid start_tree(int size) {
  otp::supervisor_spec spec{
      .strategy = otp::one_for_one, .max_restarts = 10'000'000, .max_seconds = std::chrono::seconds(1)};
  for (int id = 0; id < size; ++id)
    spec.children.push_back(otp::child<worker>(otp::self()).id(id).shutdown(otp::brutal_kill));
  return otp::supervisor::start_link(std::move(spec)).value();
}

inline void stop_tree(otp::pid supervisor) {
  otp::monitor(supervisor);
  otp::unlink(supervisor);
  otp::exit(supervisor, otp::reason::shutdown);
  otp::receive([](const otp::down&) {});
}

inline std::vector<otp::pid> reports(int count) {
  std::vector<otp::pid> children;
  for (int i = 0; i < count; ++i) otp::receive([&](up u) { children.push_back(u.child); });
  return children;
}

}  // namespace bench
