#include "process.hpp"

#include <otp/agent.hpp>

namespace {
struct settings {
  std::int64_t retries = 3;
  std::vector<std::int64_t> limits = std::vector<std::int64_t>(100, 7);
};
constexpr otp::name<otp::agent<settings>> config{"config"};

void read(benchmark::State& state) {
  if (otp::get(config, [](const settings& s) { return s.retries; }) != 3) state.SkipWithError("the state is another");
}
void read_snapshot(benchmark::State& state) {
  if (otp::snapshot(config)->retries != 3) state.SkipWithError("the state is another");
}

/// Two processes read at once, from the start of the first to the end of both.
void two_at_once(benchmark::State& state, void (*read_one)(benchmark::State&)) {
  constexpr int readers = 2;
  constexpr std::int64_t count = 1'000;  // of each reader in an iteration
  bench::in_process(state, [&] {
    auto agent = otp::agent<settings>::start_link([] { return settings{}; }, {.name = config}).value();
    while (state.KeepRunningBatch(state.max_iterations)) {
      for (int i = 0; i < readers; ++i)
        otp::spawn_monitor([&state, read_one, reads = count * state.max_iterations] {
          for (std::int64_t done = 1; done <= reads; ++done) {
            read_one(state);
            if (done % 100'000 == 0) otp::yield();
          }
        });
      for (int i = 0; i < readers; ++i) otp::receive([](const otp::down&) {});
    }
    otp::gen_server::stop(agent);
    state.SetItemsProcessed(state.iterations() * readers * count);
  });
}
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
      read_snapshot(state);
    }
    otp::gen_server::stop(agent);
  });
}
BENCHMARK(agent_snapshot)->UseRealTime();

static void agent_get_2(benchmark::State& state) { two_at_once(state, read); }
BENCHMARK(agent_get_2)->UseRealTime();

static void agent_snapshot_2(benchmark::State& state) { two_at_once(state, read_snapshot); }
BENCHMARK(agent_snapshot_2)->UseRealTime();
