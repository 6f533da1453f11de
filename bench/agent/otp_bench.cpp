#include "process.hpp"

#include <otp/agent.hpp>

namespace {
struct settings {
  std::int64_t retries = 3;
  std::vector<std::int64_t> limits = std::vector<std::int64_t>(100, 7);
};
constexpr otp::name<otp::agent<settings>> config{"config"};
}  // namespace

// Asks an agent for a part of its state.
static void agent_get(benchmark::State& state) {
  bench::in_process(state, [&] {
    auto agent = otp::agent<settings>::start_link([] { return settings{}; }).value();
    for (auto _ : state) {
      std::int64_t retries = otp::get(agent, [](const settings& s) { return s.retries; });
      if (retries != 3) state.SkipWithError("the state is another");
    }
    otp::gen_server::stop(agent);
  });
}
BENCHMARK(agent_get)->UseRealTime();

// Reads the same from the published copy, by the agent's name.
static void agent_snapshot(benchmark::State& state) {
  bench::in_process(state, [&] {
    auto agent = otp::agent<settings>::start_link([] { return settings{}; }, {.name = config}).value();
    for (auto _ : state) {
      std::int64_t retries = otp::snapshot(config)->retries;
      if (retries != 3) state.SkipWithError("the state is another");
    }
    otp::gen_server::stop(agent);
  });
}
BENCHMARK(agent_snapshot)->UseRealTime();
