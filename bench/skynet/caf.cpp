// A tree of actors ten wide: each leaf sends its number to its parent, each parent sends the sum of its ten children
// up. Median of three after one warm-up (--quick: the million once, without one).
//
// skynet_100k  100,000 leaves
// skynet_1m    1,000,000 leaves
#include "caf_counter.hpp"

namespace {

struct node_state {
  int missing = 10;
  std::int64_t sum = 0;
};

caf::behavior node(caf::stateful_actor<node_state>* self, const caf::actor& parent, std::int64_t number,
                   std::int64_t leaves) {
  if (leaves == 1) {
    self->send(parent, number);
    return {};  // no behaviour: the actor ends
  }
  const std::int64_t share = leaves / 10;
  for (int i = 0; i < 10; ++i) self->spawn(node, caf::actor{self}, number + i * share, share);
  return {
      [=](std::int64_t part) {
        self->state.sum += part;
        if (--self->state.missing > 0) return;
        self->send(parent, self->state.sum);
        self->quit();
      },
  };
}

double milliseconds(caf::actor_system& system, std::int64_t leaves) {
  caf::scoped_actor self{system};
  std::int64_t sum = 0;
  const std::int64_t elapsed = bench::timed([&] {
    system.spawn(node, caf::actor{self}, std::int64_t(0), leaves);
    self->receive([&](std::int64_t total) { sum = total; });
  });
  bench::check(sum == leaves * (leaves - 1) / 2, "the sum of the leaves");
  return double(elapsed) / 1e6;
}

}  // namespace

int main(int argc, char** argv) {
  const auto how = bench::parse(argc, argv);
  bench::caf_config config;
  caf::actor_system system{config};
  const auto measure = [&](const char* row, std::int64_t leaves, int times, int warm_ups) {
    bench::result(row, bench::median_of(times, warm_ups, [&] { return milliseconds(system, leaves); }), "ms");
  };
  measure("skynet_100k", 100'000, 3, 1);
  measure("skynet_1m", 1'000'000, how.quick ? 1 : 3, how.quick ? 0 : 1);
}
