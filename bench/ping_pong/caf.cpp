// Two actors throw one message to and fro.
#include "caf_counter.hpp"

namespace {

using ping = caf::atom_constant<caf::atom("ping")>;
using pong = caf::atom_constant<caf::atom("pong")>;

caf::behavior ponger(caf::event_based_actor* self) {
  return {
      [=](ping, const caf::actor& from) { self->send(from, pong::value); },
  };
}

caf::behavior pinger(caf::stateful_actor<bench::client_state>* self, const caf::actor& partner) {
  return {
      [=](bench::go, std::int64_t rounds) {
        self->state = {rounds, caf::actor_cast<caf::actor>(self->current_sender())};
        self->send(partner, ping::value, caf::actor{self});
      },
      [=](pong) {
        if (--self->state.left == 0)
          self->send(self->state.owner, bench::done::value);
        else
          self->send(partner, ping::value, caf::actor{self});
      },
  };
}

}  // namespace

int main(int argc, char** argv) {
  const auto how = bench::parse(argc, argv);
  bench::caf_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  const caf::actor partner = system.spawn(ponger);
  const caf::actor client = system.spawn(pinger, partner);
  bench::per_operation("ping_pong", how, 1,
                       [&](std::int64_t rounds) { return bench::run_clients(self, {client}, rounds); });
  bench::stop({client, partner});
}
