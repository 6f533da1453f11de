#include "process.hpp"

static void call(benchmark::State& state) {
  bench::in_process(state, [&] {
    auto server = otp::gen_server::start_link<bench::counter>().value();
    std::int64_t calls = 0;
    for (auto _ : state) {
      otp::call(server, bench::counter::increment{});
      ++calls;
    }
    if (otp::call(server, bench::counter::value{}) != calls) state.SkipWithError("a call was lost");
    otp::gen_server::stop(server);
  });
}
BENCHMARK(call)->UseRealTime();
