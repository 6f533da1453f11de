#include "process.hpp"

// Receives a message that stands behind 1,000 others, which it does not take.
static void selective(benchmark::State& state) {
  constexpr int waiting = 1'000;
  struct other {
    std::int64_t number;
  };
  struct wanted {
    std::int64_t number;
  };
  bench::in_process(state, [&] {
    for (int i = 0; i < waiting; ++i) otp::send(otp::self(), other{i});
    std::int64_t sent = 0;
    for (auto _ : state) {
      otp::send(otp::self(), wanted{++sent});
      std::int64_t received = otp::receive([](wanted w) { return w.number; });
      if (received != sent) state.SkipWithError("another message was received");
    }
    for (int i = 0; i < waiting; ++i)
      if (otp::receive([](other o) { return o.number; }) != i) state.SkipWithError("what waits lost its order");
  });
}
BENCHMARK(selective)->UseRealTime();
