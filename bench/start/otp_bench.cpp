#include "process.hpp"

#include <vector>

static void start(benchmark::State& state) {
  constexpr int batch = 10'000;
  bench::in_process(state, [&] {
    std::vector<otp::server<bench::counter>> servers;
    servers.reserve(batch);
    for (auto _ : state) {
      for (int i = 0; i < batch; ++i) servers.push_back(otp::gen_server::start<bench::counter>().value());
      state.PauseTiming();
      for (auto server : servers) otp::monitor(server.pid());
      for (auto server : servers) otp::exit(server.pid(), otp::reason::kill);
      for (int i = 0; i < batch; ++i) otp::receive([](const otp::down&) {});
      servers.clear();
      state.ResumeTiming();
    }
    state.SetItemsProcessed(state.iterations() * batch);
  });
}
BENCHMARK(start)->UseRealTime();
