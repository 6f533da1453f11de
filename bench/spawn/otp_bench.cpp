#include "process.hpp"

static void spawn(benchmark::State& state) {
  bench::in_process(state, [&] {
    for (auto _ : state) {
      otp::spawn_monitor([] {});
      otp::receive([](const otp::down&) {});
    }
  });
}
BENCHMARK(spawn)->UseRealTime();
