#include "process.hpp"

#include <vector>

static void pairs(benchmark::State& state) {
  constexpr int pairs = 100;
  constexpr int calls = 100;
  struct go {};
  bench::in_process(state, [&] {
    std::vector<otp::server<bench::counter>> servers;
    for (int i = 0; i < pairs; ++i) servers.push_back(otp::gen_server::start_link<bench::counter>().value());
    for (auto _ : state) {
      std::vector<otp::pid> clients;
      for (auto server : servers)
        clients.push_back(otp::spawn_monitor([server] {
                            otp::receive([](go) {});
                            for (int i = 0; i < calls; ++i) otp::call(server, bench::counter::increment{});
                          }).pid);
      for (otp::pid client : clients) otp::send(client, go{});
      for (int i = 0; i < pairs; ++i) otp::receive([](const otp::down&) {});
    }
    for (auto server : servers) {
      if (otp::call(server, bench::counter::value{}) != state.iterations() * calls)
        state.SkipWithError("a call was lost");
      otp::gen_server::stop(server);
    }
    state.SetItemsProcessed(state.iterations() * pairs * calls);
  });
}
BENCHMARK(pairs)->UseRealTime();
