// 200 actors, each of which sends a message to every other and waits for all answers.
#include "caf_counter.hpp"

namespace {

constexpr int actors = 200;
constexpr std::int64_t messages = actors * (actors - 1) * 2;
using join = caf::atom_constant<caf::atom("join")>;
using ping = caf::atom_constant<caf::atom("ping")>;
using pong = caf::atom_constant<caf::atom("pong")>;

struct member_state {
  std::vector<caf::actor> others;
  caf::actor owner;
  int missing = 0;
};

caf::behavior member(caf::stateful_actor<member_state>* self) {
  return {
      [=](join, const caf::actor& other) { self->state.others.push_back(other); },
      [=](bench::go) {
        self->state.owner = caf::actor_cast<caf::actor>(self->current_sender());
        self->state.missing = actors - 1;
        for (const auto& other : self->state.others) self->send(other, ping::value, caf::actor{self});
      },
      [=](ping, const caf::actor& from) { self->send(from, pong::value); },
      [=](pong) {
        if (--self->state.missing == 0) self->send(self->state.owner, bench::done::value);
      },
  };
}

}  // namespace

int main(int argc, char** argv) {
  const auto how = bench::parse(argc, argv);
  bench::caf_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  std::vector<caf::actor> members;
  for (int i = 0; i < actors; ++i) members.push_back(system.spawn(member));
  for (const auto& each : members)
    for (const auto& other : members)
      if (each != other) self->send(each, join::value, other);
  bench::per_operation("big", how, messages, [&](std::int64_t rounds) {
    return bench::timed([&] {
      for (std::int64_t round = 0; round < rounds; ++round) {
        for (const auto& each : members) self->send(each, bench::go::value);
        std::size_t ended = 0;
        self->receive_for(ended, members.size())([](bench::done) {});
      }
    });
  });
  bench::stop(members);
}
