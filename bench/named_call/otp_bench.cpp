#include "process.hpp"

namespace {
constexpr otp::name<bench::counter> counted{"counted"};
}  // namespace

static void call_by_name(benchmark::State& state) {
  bench::in_process(state, [&] {
    auto server = otp::gen_server::start_link<bench::counter>({.name = counted}).value();
    std::int64_t calls = 0;
    for (auto _ : state) {
      otp::call(counted, bench::counter::increment{});
      ++calls;
    }
    if (otp::call(counted, bench::counter::value{}) != calls) state.SkipWithError("a call was lost");
    otp::gen_server::stop(server);
  });
}
BENCHMARK(call_by_name)->UseRealTime();
