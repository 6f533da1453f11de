// The actors that several works share: a server that counts, and its clients.
#pragma once
#include <atomic>
#include <thread>
#include <vector>

#include "bench.hpp"
#include "caf_system.hpp"

namespace bench {

using increment = caf::atom_constant<caf::atom("increment")>;  // a call: answered with the new count
using add_one = caf::atom_constant<caf::atom("add_one")>;      // a cast: no answer
using value = caf::atom_constant<caf::atom("value")>;
using go = caf::atom_constant<caf::atom("go")>;
using done = caf::atom_constant<caf::atom("done")>;

/// Counts what it is sent. `alive` tells how many there are: a spawn in CAF returns before the actor has started.
struct counter_state {
  static inline std::atomic<std::int64_t> alive = 0;
  std::int64_t count = 0;
  counter_state() { ++alive; }
  ~counter_state() { --alive; }
};

inline caf::behavior counter(caf::stateful_actor<counter_state>* self) {
  return {
      [=](increment) { return ++self->state.count; },
      [=](add_one) { ++self->state.count; },
      [=](value) { return self->state.count; },
  };
}

/// Waits until there are `size` counters.
inline void await_counters(std::int64_t size) {
  while (counter_state::alive != size) std::this_thread::yield();
}

struct client_state {
  std::int64_t left = 0;
  caf::actor owner;
};

/// The next of the calls that are left. They have no deadline: in CAF 0.17 one costs a message to the clock, an arm
/// and a disarm for each call.
inline void next_call(caf::stateful_actor<client_state>* self, const caf::actor& server) {
  if (self->state.left-- == 0) return self->send(self->state.owner, done::value);
  self->request(server, caf::infinite, increment::value).then([=](std::int64_t) { next_call(self, server); });
}

/// Calls `server` as often as it is told to, one call after the other, then says so.
inline caf::behavior calling_client(caf::stateful_actor<client_state>* self, const caf::actor& server) {
  return {
      [=](go, std::int64_t calls) {
        self->state = {calls, caf::actor_cast<caf::actor>(self->current_sender())};
        next_call(self, server);
      },
  };
}

constexpr int batch = 10'000;

/// The next of the batches that are left: 10,000 casts, then a call that is answered when all of them were handled.
inline void next_batch(caf::stateful_actor<client_state>* self, const caf::actor& server) {
  if (self->state.left-- == 0) return self->send(self->state.owner, done::value);
  for (int i = 0; i < batch; ++i) self->send(server, add_one::value);
  self->request(server, caf::infinite, value::value).then([=](std::int64_t) { next_batch(self, server); });
}

inline caf::behavior casting_client(caf::stateful_actor<client_state>* self, const caf::actor& server) {
  return {
      [=](go, std::int64_t batches) {
        self->state = {batches, caf::actor_cast<caf::actor>(self->current_sender())};
        next_batch(self, server);
      },
  };
}

/// Lets every client do its share; returns the nanoseconds until the last has.
inline std::int64_t run_clients(caf::scoped_actor& self, const std::vector<caf::actor>& clients, std::int64_t share) {
  return timed([&] {
    for (const auto& client : clients) self->send(client, go::value, share);
    std::size_t ended = 0;
    self->receive_for(ended, clients.size())([](done) {});
  });
}

inline std::int64_t value_of(caf::scoped_actor& self, const caf::actor& server) {
  std::int64_t found = 0;
  self->request(server, caf::infinite, value::value)
      .receive([&](std::int64_t count) { found = count; }, [](const caf::error&) { fail("no value"); });
  return found;
}

/// Ends actors that nobody waits for; the actor system's destructor waits for all of them.
inline void stop(const std::vector<caf::actor>& actors) {
  for (const auto& actor : actors) caf::anon_send_exit(actor, caf::exit_reason::kill);
}

}  // namespace bench
