// The processor time that a running system takes while nothing is asked of it: 10,000 idle actors, of which a hundred
// have a timer that ticks once a second.
#include "caf_counter.hpp"

namespace {

using tick = caf::atom_constant<caf::atom("tick")>;

caf::behavior ticking(caf::stateful_actor<bench::counter_state>* self, bool ticks) {
  const auto next = [=] { self->delayed_send(self, std::chrono::seconds(1), tick::value); };
  if (ticks) next();
  return {
      [=](tick) {
        ++self->state.count;
        next();
      },
      [=](bench::value) { return self->state.count; },
  };
}

}  // namespace

int main(int argc, char** argv) {
  const auto how = bench::parse(argc, argv);
  const auto length = std::chrono::milliseconds(how.pick(10'000, 3'000, 10));
  bench::caf_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  std::vector<caf::actor> actors;
  for (int i = 0; i < 10'000; ++i) actors.push_back(system.spawn(ticking, i < 100));
  bench::await_counters(10'000);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const std::int64_t before = bench::processor_nanoseconds();
  const std::int64_t start = bench::now();
  std::this_thread::sleep_for(length);
  const double seconds = double(bench::now() - start) / 1e9;
  bench::result("idle", double(bench::processor_nanoseconds() - before) / 1e3 / seconds, "us/s");
  bench::check(bench::value_of(self, actors.front()) >= length.count() / 1'000, "the timers stand still");
  bench::stop(actors);
}
