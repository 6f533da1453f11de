#include "process.hpp"

#include <otp/registry.hpp>

namespace {
constexpr otp::unique_registry<std::int64_t> registered{"registered"};
constexpr std::int64_t names = 1000;
}  // namespace

// Looks a key up among a thousand, which the looking process holds.
static void registry_lookup(benchmark::State& state) {
  bench::in_process(state, [&] {
    otp::registry::start_link(registered).value();
    for (std::int64_t key = 0; key < names; ++key) otp::register_key(registered, key).value();
    std::int64_t key = 0;
    for (auto _ : state) {
      auto found = otp::lookup(registered, key);
      if (!found) state.SkipWithError("a key was not found");
      benchmark::DoNotOptimize(found);
      key = key + 1 == names ? 0 : key + 1;
    }
    for (key = 0; key < names; ++key) otp::unregister_key(registered, key);  // or it would end with the registry
    otp::registry::stop(registered, otp::reason::normal);
  });
}
BENCHMARK(registry_lookup)->UseRealTime();

// Calls a server by its key in a registry.
static void via_call(benchmark::State& state) {
  bench::in_process(state, [&] {
    otp::registry::start_link(registered).value();
    auto server = otp::gen_server::start_link<bench::counter>({.name = otp::via(registered, 7)}).value();
    auto name = otp::via<bench::counter>(registered, 7);
    std::int64_t calls = 0;
    for (auto _ : state) {
      otp::call(name, bench::counter::increment{});
      ++calls;
    }
    if (otp::call(name, bench::counter::value{}) != calls) state.SkipWithError("a call was lost");
    otp::gen_server::stop(server);
    otp::registry::stop(registered, otp::reason::normal);
  });
}
BENCHMARK(via_call)->UseRealTime();
