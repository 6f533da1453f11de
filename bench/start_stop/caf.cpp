// Starts 100,000 actors that wait, tells each to stop, and waits until all have gone. They count themselves: the time
// of so many down messages to one actor grows with more than their number in CAF 0.17.
#include "caf_counter.hpp"

namespace {

using stop = caf::atom_constant<caf::atom("stop")>;

struct waiting_state {
  static inline std::atomic<std::int64_t> gone = 0;
  ~waiting_state() { ++gone; }
};

caf::behavior waiting(caf::stateful_actor<waiting_state>* self) {
  return {
      [=](stop) { self->quit(); },
  };
}

}  // namespace

int main(int argc, char** argv) {
  const auto how = bench::parse(argc, argv);
  const int actors = how.pick(100'000, 100'000, 100);
  bench::caf_config config;
  caf::actor_system system{config};
  const auto milliseconds = [&] {
    std::vector<caf::actor> started;
    started.reserve(std::size_t(actors));
    waiting_state::gone = 0;
    return double(bench::timed([&] {
             for (int i = 0; i < actors; ++i) started.push_back(system.spawn(waiting));
             for (const auto& each : started) caf::anon_send(each, stop::value);
             while (waiting_state::gone != actors) std::this_thread::yield();
           })) /
           1e6;
  };
  bench::result("start_stop", bench::median_of(how.pick(3, 3, 1), 1, milliseconds), "ms");
}
