// 1,000 actors in a ring pass one token on.
#include "caf_counter.hpp"

namespace {

using join = caf::atom_constant<caf::atom("join")>;

struct node_state {
  caf::actor next;
};

caf::behavior node(caf::stateful_actor<node_state>* self, const caf::actor& owner) {
  return {
      [=](join, const caf::actor& next) { self->state.next = next; },
      [=](std::int64_t hops) {
        if (hops == 0)
          self->send(owner, bench::done::value);
        else
          self->send(self->state.next, hops - 1);
      },
  };
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int actors = 1'000;
  const auto how = bench::parse(argc, argv);
  bench::caf_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  bench::per_operation("ring", how, actors, [&](std::int64_t rounds) {
    std::vector<caf::actor> ring;
    for (int i = 0; i < actors; ++i) ring.push_back(system.spawn(node, caf::actor{self}));
    for (int i = 0; i < actors; ++i) self->send(ring[i], join::value, ring[(i + 1) % actors]);
    const std::int64_t elapsed = bench::timed([&] {
      self->send(ring.front(), rounds * actors);
      self->receive([](bench::done) {});
    });
    bench::stop(ring);
    return elapsed;
  });
}
