#include "process.hpp"

static void ping_pong(benchmark::State& state) {
  struct ping {
    otp::pid from;
  };
  struct pong {};
  bench::in_process(state, [&] {
    otp::pid partner = otp::spawn_link([] {
      for (;;) otp::receive([](const ping& p) { otp::send(p.from, pong{}); });
    });
    for (auto _ : state) {
      otp::send(partner, ping{otp::self()});
      otp::receive([](pong) {});
    }
    otp::unlink(partner);
    otp::exit(partner, otp::reason::shutdown);
  });
}
BENCHMARK(ping_pong)->UseRealTime();
