#include "process.hpp"

static void ring(benchmark::State& state) {
  constexpr int processes = 1'000;
  struct token {
    std::int64_t left;
  };
  struct done {};
  bench::in_process(state, [&] {
    otp::pid owner = otp::self();
    auto node = [owner](otp::pid next) {
      for (;;)
        otp::receive([&](token t) {
          if (t.left == 0)
            otp::send(owner, done{});
          else
            otp::send(next, token{t.left - 1});
        });
    };
    otp::pid first = otp::spawn([=] {
      otp::pid next = otp::self();
      for (int i = 1; i < processes; ++i) next = otp::spawn_link([=] { node(next); });
      node(next);
    });
    for (auto _ : state) {
      otp::send(first, token{processes});
      otp::receive([](done) {});
    }
    otp::monitor(first);
    otp::exit(first, otp::reason::kill);
    otp::receive([](const otp::down&) {});
    state.SetItemsProcessed(state.iterations() * processes);
  });
}
BENCHMARK(ring)->UseRealTime();
