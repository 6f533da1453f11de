// Receives a message that stands behind 1,000 others, which it does not take: with a blocking actor, whose `receive`
// selects as Erlang's does. (An event-based one sees a message that it skips once, until its behaviour changes.)
#include "caf_counter.hpp"

namespace {
using other = caf::atom_constant<caf::atom("other")>;
using wanted = caf::atom_constant<caf::atom("wanted")>;
constexpr int waiting = 1'000;
}  // namespace

int main(int argc, char** argv) {
  const auto how = bench::parse(argc, argv);
  bench::caf_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  bench::per_operation("selective", how, 1, [&](std::int64_t rounds) {
    for (std::int64_t i = 0; i < waiting; ++i) self->send(self, other::value, i);
    const std::int64_t elapsed = bench::timed([&] {
      for (std::int64_t i = 0; i < rounds; ++i) {
        self->send(self, wanted::value, i);
        self->receive([&](wanted, std::int64_t number) { bench::check(number == i, "another message was received"); });
      }
    });
    for (std::int64_t i = 0; i < waiting; ++i)
      self->receive([&](other, std::int64_t number) { bench::check(number == i, "what waits lost its order"); });
    return elapsed;
  });
}
