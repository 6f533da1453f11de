#include "process.hpp"

static void timer(benchmark::State& state) {
  struct late {};
  bench::in_process(state, [&] {
    for (auto _ : state) {
      otp::ref r = otp::send_after(std::chrono::seconds(5), otp::self(), late{});
      if (!otp::cancel_timer(r)) state.SkipWithError("the timer was gone");
    }
  });
}
BENCHMARK(timer)->UseRealTime();
