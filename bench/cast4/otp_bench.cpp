#include "process.hpp"

static void cast4(benchmark::State& state) {
  constexpr int senders = 4;
  constexpr int batch = 10'000;
  constexpr int batches = 4;
  struct go {};
  bench::in_process(state, [&] {
    auto server = otp::gen_server::start_link<bench::counter>().value();
    for (auto _ : state) {
      otp::pid sender[senders];
      for (otp::pid& s : sender)
        s = otp::spawn_monitor([server] {
              otp::receive([](go) {});
              for (int b = 0; b < batches; ++b) {
                for (int i = 0; i < batch; ++i) otp::cast(server, bench::counter::add_one{});
                otp::call(server, bench::counter::value{}, otp::infinity);
              }
            }).pid;
      for (otp::pid s : sender) otp::send(s, go{});
      for (int i = 0; i < senders; ++i) otp::receive([](const otp::down&) {});
    }
    if (otp::call(server, bench::counter::value{}) != state.iterations() * senders * batch * batches)
      state.SkipWithError("a cast was lost");
    otp::gen_server::stop(server);
    state.SetItemsProcessed(state.iterations() * senders * batch * batches);
  });
}
BENCHMARK(cast4)->UseRealTime();
