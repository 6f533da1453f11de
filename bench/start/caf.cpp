// Spawns 10,000 idle counter servers and waits until all of them have started: CAF has no start that returns when its
// actor has. They are stopped before the next round, outside of the time taken.
#include "caf_counter.hpp"

int main(int argc, char** argv) {
  const auto how = bench::parse(argc, argv);
  bench::caf_config config;
  caf::actor_system system{config};
  std::vector<caf::actor> servers;
  servers.reserve(bench::batch);
  bench::per_operation("start", how, bench::batch, [&](std::int64_t rounds) {
    std::int64_t elapsed = 0;
    for (std::int64_t round = 0; round < rounds; ++round) {
      elapsed += bench::timed([&] {
        for (int i = 0; i < bench::batch; ++i) servers.push_back(system.spawn(bench::counter));
        bench::await_counters(bench::batch);
      });
      bench::stop(servers);
      servers.clear();
      bench::await_counters(0);
    }
    return elapsed;
  });
}
