// Four senders cast to one counter server at the same time; after every 10,000 casts a
// sender calls the server, which answers when it has handled them all.
#include "caf_counter.hpp"

int main(int argc, char** argv) {
  constexpr int senders = 4;
  const auto how = bench::parse(argc, argv);
  bench::caf_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  const caf::actor server = system.spawn(bench::counter);
  std::vector<caf::actor> clients;
  for (int i = 0; i < senders; ++i) clients.push_back(system.spawn(bench::casting_client, server));
  std::int64_t expected = 0;
  bench::per_operation("cast4", how, senders * bench::batch, [&](std::int64_t rounds) {
    const std::int64_t elapsed = bench::run_clients(self, clients, rounds);
    expected += rounds * senders * bench::batch;
    bench::check(bench::value_of(self, server) == expected, "the server counted another number of casts");
    return elapsed;
  });
  bench::stop(clients);
  bench::stop({server});
}
