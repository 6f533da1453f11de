// One client calls one idle counter server, one call after the other.
#include "caf_counter.hpp"

int main(int argc, char** argv) {
  const auto how = bench::parse(argc, argv);
  bench::caf_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  const caf::actor server = system.spawn(bench::counter);
  const caf::actor client = system.spawn(bench::calling_client, server);
  bench::per_operation("call", how, 1, [&](std::int64_t rounds) {
    const std::int64_t before = bench::value_of(self, server);
    const std::int64_t elapsed = bench::run_clients(self, {client}, rounds);
    bench::check(bench::value_of(self, server) == before + rounds, "the server counted another number of calls");
    return elapsed;
  });
  bench::stop({client, server});
}
