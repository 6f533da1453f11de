// One seeded run: a runtime, its first process, and what became of it.
#pragma once
#include "testing/engine.hpp"

#include <exception>
#include <functional>
#include <string>

namespace otp::testing {

struct session {
  detail::runtime_core* core = nullptr;
  testing::engine* engine = nullptr;  // null: the scheduler draws among the ready
  pid body;
  std::uint64_t seed = 0;
  std::exception_ptr error;  // of the body
  std::string waiting;       // who waits for ever
  static session* current;   // one seeded run a thread at a time; seeded runs do not nest

  /// Runs the body to its end and stops what is left.
  void play(const std::function<void()>& what);
};

/// The seeded run of the caller; throws bad_argument naming `what` outside of one.
session& this_session(const char* what);

/// The environment's number of this name, or `otherwise`.
std::uint64_t number_from_environment(const char* name, std::uint64_t otherwise);

}  // namespace otp::testing
