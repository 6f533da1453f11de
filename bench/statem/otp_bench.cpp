#include "process.hpp"

namespace {

/// Changes its state at every flip, and counts them.
struct lamp {
  struct off {};
  struct lit {};
  using states = otp::states<off, lit>;
  struct flip {
    using reply = std::int64_t;
  };
  struct value {
    using reply = std::int64_t;
  };
  using events = otp::events<flip, value>;
  otp::step<std::int64_t, lit> on(off&, flip) { return otp::go(lit{}).reply(++count); }
  otp::step<std::int64_t, off> on(lit&, flip) { return otp::go(off{}).reply(++count); }
  std::int64_t on(off&, value) { return count; }
  std::int64_t on(lit&, value) { return count; }
  std::int64_t count = 0;
};

}  // namespace

static void statem(benchmark::State& state) {
  bench::in_process(state, [&] {
    auto machine = otp::gen_statem::start_link<lamp>().value();
    std::int64_t calls = 0;
    for (auto _ : state) {
      otp::call(machine, lamp::flip{});
      ++calls;
    }
    if (otp::call(machine, lamp::value{}) != calls) state.SkipWithError("a call was lost");
    otp::gen_statem::stop(machine);
  });
}
BENCHMARK(statem)->UseRealTime();
