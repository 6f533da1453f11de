// Crash storms: 10,000 actors that throw at once, and 10,000 that are taken along by a link.
#include "caf_counter.hpp"

#include <stdexcept>

namespace {

constexpr int actors = 10'000;
using ready = caf::atom_constant<caf::atom("ready")>;
using fall = caf::atom_constant<caf::atom("fall")>;

caf::behavior fragile(caf::event_based_actor* self) {
  // Instead of CAF's own handler, which prints what was thrown.
  self->set_exception_handler(
      [](std::exception_ptr&) { return caf::make_error(caf::exit_reason::unhandled_exception); });
  return {
      [=](fall) { throw std::runtime_error("crash"); },
  };
}

struct watcher_state {
  std::int64_t left = 0;
  caf::actor owner;
  caf::actor hub;
  std::vector<caf::actor> fragiles;
};

/// Sets a storm up when it is told to `go`, and lets it loose when it is told to `fall`.
caf::behavior watcher(caf::stateful_actor<watcher_state>* self, bool linked) {
  self->set_down_handler([=](caf::down_msg& down) {
    bench::check(bool(down.reason), "an actor did not crash");
    if (--self->state.left == 0) self->send(self->state.owner, bench::done::value);
  });
  return {
      [=](bench::go) {
        self->state = {actors, caf::actor_cast<caf::actor>(self->current_sender()), {}, {}};
        for (int i = 0; i < actors; ++i) self->state.fragiles.push_back(self->spawn<caf::monitored>(fragile));
        if (linked) {
          self->state.hub = self->system().spawn([fragiles = self->state.fragiles](caf::event_based_actor* hub) {
            for (const auto& each : fragiles) hub->link_to(each);
            return fragile(hub);
          });
        }
        return ready::value;
      },
      [=](fall) {
        if (linked) return self->send(self->state.hub, fall::value);
        for (const auto& each : self->state.fragiles) self->send(each, fall::value);
      },
  };
}

}  // namespace

int main(int argc, char** argv) {
  const auto how = bench::parse(argc, argv);
  bench::caf_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  const auto measure = [&](const char* row, bool linked) {
    const caf::actor client = system.spawn(watcher, linked);
    bench::per_operation(row, how, actors, [&](std::int64_t rounds) {
      std::int64_t elapsed = 0;
      for (std::int64_t i = 0; i < rounds; ++i) {
        self->send(client, bench::go::value);
        self->receive([](ready) {});
        elapsed += bench::timed([&] {
          self->send(client, fall::value);
          self->receive([](bench::done) {});
        });
      }
      return elapsed;
    });
    bench::stop({client});
  };
  measure("storm", false);
  measure("storm_links", true);
}
