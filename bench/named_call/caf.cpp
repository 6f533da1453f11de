// As `call`, but the client has the server's registered name, and looks it up at each call.
#include "caf_counter.hpp"

namespace {

constexpr caf::atom_value counted = caf::atom("counted");

void next_call(caf::stateful_actor<bench::client_state>* self) {
  if (self->state.left-- == 0) return self->send(self->state.owner, bench::done::value);
  const auto server = caf::actor_cast<caf::actor>(self->system().registry().get(counted));
  self->request(server, caf::infinite, bench::increment::value).then([=](std::int64_t) { next_call(self); });
}

caf::behavior client(caf::stateful_actor<bench::client_state>* self) {
  return {
      [=](bench::go, std::int64_t calls) {
        self->state = {calls, caf::actor_cast<caf::actor>(self->current_sender())};
        next_call(self);
      },
  };
}

}  // namespace

int main(int argc, char** argv) {
  const auto how = bench::parse(argc, argv);
  bench::caf_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  const caf::actor server = system.spawn(bench::counter);
  system.registry().put(counted, server);
  const caf::actor caller = system.spawn(client);
  bench::per_operation("call_by_name", how, 1, [&](std::int64_t rounds) {
    const std::int64_t before = bench::value_of(self, server);
    const std::int64_t elapsed = bench::run_clients(self, {caller}, rounds);
    bench::check(bench::value_of(self, server) == before + rounds, "the server counted another number of calls");
    return elapsed;
  });
  system.registry().erase(counted);
  bench::stop({caller, server});
}
