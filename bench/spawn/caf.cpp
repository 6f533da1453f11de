// Spawns an actor that ends at once, and waits for its down message.
#include "caf_counter.hpp"

namespace {

void ends_at_once(caf::event_based_actor*) {}

caf::behavior spawner(caf::stateful_actor<bench::client_state>* self) {
  self->set_down_handler([=](caf::down_msg&) {
    if (--self->state.left == 0)
      self->send(self->state.owner, bench::done::value);
    else
      self->spawn<caf::monitored>(ends_at_once);
  });
  return {
      [=](bench::go, std::int64_t spawns) {
        self->state = {spawns, caf::actor_cast<caf::actor>(self->current_sender())};
        self->spawn<caf::monitored>(ends_at_once);
      },
  };
}

}  // namespace

int main(int argc, char** argv) {
  const auto how = bench::parse(argc, argv);
  bench::caf_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  const caf::actor client = system.spawn(spawner);
  bench::per_operation("spawn", how, 1,
                       [&](std::int64_t rounds) { return bench::run_clients(self, {client}, rounds); });
  bench::stop({client});
}
