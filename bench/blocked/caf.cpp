// 100,000 actors that wait for the answer to a request, of an actor that does not answer yet; growth of resident memory
// by one, with the handles that keep them alive.
#include "caf_counter.hpp"

namespace {

using wait_for = caf::atom_constant<caf::atom("wait")>;

std::atomic<std::int64_t> waiting = 0;

struct keeper_state {
  std::vector<caf::response_promise> kept;
};

caf::behavior keeper(caf::stateful_actor<keeper_state>* self) {
  return {
      [=](wait_for) -> caf::result<std::int64_t> {
        self->state.kept.push_back(self->make_response_promise());
        ++waiting;
        return caf::delegated<std::int64_t>();
      },
      [=](bench::done) {
        for (auto& promise : self->state.kept) promise.deliver(std::int64_t(1));
        self->state.kept.clear();
      },
  };
}

/// Ends when its request is answered.
void caller(caf::event_based_actor* self, const caf::actor& server) {
  self->request(server, caf::infinite, wait_for::value).then([](std::int64_t) { --waiting; });
}

}  // namespace

int main(int argc, char** argv) {
  const auto how = bench::parse(argc, argv);
  const int size = how.pick(100'000, 100'000, 100);
  constexpr int warm_up = 1'000;
  bench::caf_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  const caf::actor server = system.spawn(keeper);
  std::vector<caf::actor> callers;
  callers.reserve(std::size_t(warm_up + size));
  const auto block = [&](int count) {
    const std::int64_t target = waiting + count;
    for (int i = 0; i < count; ++i) callers.push_back(system.spawn(caller, server));
    while (waiting != target) std::this_thread::yield();
  };
  block(warm_up);
  const std::int64_t before = bench::resident_bytes();
  block(size);
  bench::result("blocked", double(bench::resident_bytes() - before) / double(size), "bytes");
  self->send(server, bench::done::value);
  while (waiting != 0) std::this_thread::yield();
  bench::stop({server});
}
