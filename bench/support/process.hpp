// Runs a benchmark's loop as a process of ours: what is measured is one process talking to others.
#pragma once
#include <otp/otp.hpp>

#include <benchmark/benchmark.h>

namespace bench {

/// A runtime with one worker per CPU, as a program has it.
inline otp::runtime& the_runtime() {
  static otp::runtime rt;
  if (!rt.started()) rt.start();
  return rt;
}

/// Runs `body` as a process and waits for its end; a failed one fails the benchmark.
template <class Body>
void in_process(benchmark::State& state, Body&& body) {
  otp::exit_reason why = the_runtime().run(body);
  if (!why.is_normal()) state.SkipWithError(why.to_string().c_str());
}

/// A server with an integer.
struct counter {
  struct increment {
    using reply = std::int64_t;
  };
  struct value {
    using reply = std::int64_t;
  };
  struct add_one {};
  std::int64_t handle_call(increment) { return ++count; }
  std::int64_t handle_call(value) const { return count; }
  void handle_cast(add_one) { ++count; }
  std::int64_t count = 0;
};

}  // namespace bench
