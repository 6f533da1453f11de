// 100 clients, each with a counter server of its own, all calling at the same time.
#include "caf_counter.hpp"

int main(int argc, char** argv) {
  constexpr int pairs = 100;
  constexpr int calls = 10;  // of each client in a round
  const auto how = bench::parse(argc, argv);
  bench::caf_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  std::vector<caf::actor> servers;
  std::vector<caf::actor> clients;
  for (int i = 0; i < pairs; ++i) {
    servers.push_back(system.spawn(bench::counter));
    clients.push_back(system.spawn(bench::calling_client, servers.back()));
  }
  std::int64_t expected = 0;
  bench::per_operation("pairs", how, pairs * calls, [&](std::int64_t rounds) {
    const std::int64_t elapsed = bench::run_clients(self, clients, rounds * calls);
    expected += rounds * calls;
    for (const auto& server : servers)
      bench::check(bench::value_of(self, server) == expected, "a server counted another number of calls");
    return elapsed;
  });
  bench::stop(clients);
  bench::stop(servers);
}
