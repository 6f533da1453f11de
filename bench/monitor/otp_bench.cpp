#include "process.hpp"

static void monitor(benchmark::State& state) {
  bench::in_process(state, [&] {
    auto server = otp::gen_server::start_link<bench::counter>().value();
    for (auto _ : state) {
      otp::ref watching = otp::monitor(server.pid());
      if (!otp::demonitor(watching, {.info = true})) state.SkipWithError("the monitor was gone");
    }
    otp::gen_server::stop(server);
  });
}
BENCHMARK(monitor)->UseRealTime();
