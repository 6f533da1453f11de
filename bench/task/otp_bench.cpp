#include "process.hpp"

static void task(benchmark::State& state) {
  bench::in_process(state, [&] {
    std::int64_t sum = 0, expected = 0;
    for (auto _ : state) {
      ++expected;
      sum += otp::await(otp::async([expected] { return expected; }));
    }
    if (sum != expected * (expected + 1) / 2) state.SkipWithError("a result is wrong");
  });
}
BENCHMARK(task)->UseRealTime();
