#include "process.hpp"

static void cast(benchmark::State& state) {
  constexpr int batch = 10'000;
  bench::in_process(state, [&] {
    auto server = otp::gen_server::start_link<bench::counter>().value();
    for (auto _ : state) {
      for (int i = 0; i < batch; ++i) otp::cast(server, bench::counter::add_one{});
      otp::call(server, bench::counter::value{}, otp::infinity);
    }
    if (otp::call(server, bench::counter::value{}) != state.iterations() * batch)
      state.SkipWithError("a cast was lost");
    otp::gen_server::stop(server);
    state.SetItemsProcessed(state.iterations() * batch);
  });
}
BENCHMARK(cast)->UseRealTime();
