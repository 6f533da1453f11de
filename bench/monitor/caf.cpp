// Watches a live actor and stops watching it.
#include "caf_counter.hpp"

namespace {

caf::behavior watcher(caf::event_based_actor* self, const caf::actor& watched) {
  return {
      [=](bench::go, std::int64_t rounds) {
        for (std::int64_t i = 0; i < rounds; ++i) {
          self->monitor(watched);
          self->demonitor(watched);
        }
        return bench::done::value;
      },
  };
}

}  // namespace

int main(int argc, char** argv) {
  const auto how = bench::parse(argc, argv);
  bench::caf_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  const caf::actor watched = system.spawn(bench::counter);
  const caf::actor client = system.spawn(watcher, watched);
  bench::per_operation("monitor", how, 1,
                       [&](std::int64_t rounds) { return bench::run_clients(self, {client}, rounds); });
  bench::stop({client, watched});
}
