// What the task tests share.
#pragma once
#include <otp/task.hpp>

#include "conformance/support.hpp"

namespace conformance {

using tests::event_log;
using tests::journal;
using tests::strings;

/// Lets a task go on when its owner says so.
struct go {};
inline void wait_for_go() {
  otp::receive([](go) {});
}

/// A task that waits for `go`, then returns.
template <class T>
auto on_go(T value) {
  return otp::async([value = std::move(value)]() mutable {
    wait_for_go();
    return std::move(value);
  });
}

/// The exit that a function ends with; nothing if it returns.
template <class F>
std::optional<otp::exit_reason> exit_of(F&& function) {
  try {
    static_cast<void>(function());
  } catch (const otp::exited& e) {
    return e.reason();
  }
  return std::nullopt;
}
/// The text of the bad_argument that a function throws.
template <class F>
std::string refusal_of(F&& function) {
  try {
    static_cast<void>(function());
  } catch (const otp::bad_argument& e) {
    return e.what();
  }
  return {};
}

/// The reason that a process ends with which does this.
template <class F>
otp::exit_reason ends_with(F function) {
  auto [process, monitor] = otp::spawn_monitor(std::move(function));
  return reason_of(monitor);
}

}  // namespace conformance
