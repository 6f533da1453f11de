// Resident memory of an idle server: how much the program grows over 100,000 of them (full: 1,000,000), which never
// get a message. The handles that keep them alive are part of it.
#include "caf_counter.hpp"

int main(int argc, char** argv) {
  const auto how = bench::parse(argc, argv);
  const std::int64_t size = how.quick ? 100'000 : 1'000'000;
  constexpr std::int64_t warm_up = 1'000;  // the allocators' first pages
  bench::caf_config config;
  caf::actor_system system{config};
  std::vector<caf::actor> servers;
  servers.reserve(std::size_t(warm_up + size));
  const auto start = [&](std::int64_t up_to) {
    while (std::int64_t(servers.size()) < up_to) servers.push_back(system.spawn(bench::counter));
    bench::await_counters(up_to);
  };
  start(warm_up);
  const std::int64_t before = bench::resident_bytes();
  start(warm_up + size);
  bench::result("memory", double(bench::resident_bytes() - before) / double(size), "bytes");
  bench::stop(servers);
}
