// A message with bytes of its own: they are made, sent, looked at by the receiver, which answers with their number, and
// freed. They are a string, which is moved into the message and not copied out of it.
#include "caf_counter.hpp"

#include <string>

namespace {

using parcel = caf::atom_constant<caf::atom("parcel")>;
using received = caf::atom_constant<caf::atom("received")>;

caf::behavior receiver(caf::event_based_actor* self) {
  return {
      [=](parcel, const caf::actor& from, const std::string& bytes) {
        self->send(from, received::value, std::int64_t(bytes.back() == 'x' ? bytes.size() : 0));
      },
  };
}

struct sender_state {
  std::int64_t left = 0;
  std::size_t size = 0;
  caf::actor owner;
};

caf::behavior sender(caf::stateful_actor<sender_state>* self, const caf::actor& partner) {
  const auto next = [=] { self->send(partner, parcel::value, caf::actor{self}, std::string(self->state.size, 'x')); };
  return {
      [=](bench::go, std::int64_t rounds, std::int64_t size) {
        self->state = {rounds, std::size_t(size), caf::actor_cast<caf::actor>(self->current_sender())};
        next();
      },
      [=](received, std::int64_t size) {
        bench::check(std::size_t(size) == self->state.size, "bytes were lost");
        if (--self->state.left == 0)
          self->send(self->state.owner, bench::done::value);
        else
          next();
      },
  };
}

}  // namespace

int main(int argc, char** argv) {
  const auto how = bench::parse(argc, argv);
  bench::caf_config config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  const caf::actor partner = system.spawn(receiver);
  const caf::actor client = system.spawn(sender, partner);
  const auto measure = [&](const char* row, std::int64_t size) {
    bench::per_operation(row, how, 1, [&](std::int64_t rounds) {
      return bench::timed([&] {
        self->send(client, bench::go::value, rounds, size);
        self->receive([](bench::done) {});
      });
    });
  };
  measure("payload_16", 16);
  measure("payload_1k", 1'024);
  measure("payload_64k", 65'536);
  measure("payload_1m", 1'048'576);
  bench::stop({client, partner});
}
