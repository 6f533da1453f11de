#include "process.hpp"

#include <memory>
#include <vector>

// 200 processes, each of which sends a message to every other and waits for all answers.
static void big(benchmark::State& state) {
  constexpr int processes = 200;
  constexpr int messages = processes * (processes - 1) * 2;
  struct members {
    std::shared_ptr<const std::vector<otp::pid>> all;
  };
  struct go {};
  struct ping {
    otp::pid from;
  };
  struct pong {};
  struct done {};
  bench::in_process(state, [&] {
    otp::pid owner = otp::self();
    std::vector<otp::pid> pids;
    for (int i = 0; i < processes; ++i)
      pids.push_back(otp::spawn_link([owner] {
        auto all = otp::receive([](const members& m) { return m.all; });
        otp::pid self = otp::self();
        int missing = 0;
        for (;;)
          otp::receive(
              [&](go) {
                missing = int(all->size()) - 1;
                for (otp::pid other : *all)
                  if (other != self) otp::send(other, ping{self});
              },
              [](const ping& p) { otp::send(p.from, pong{}); },
              [&](pong) {
                if (--missing == 0) otp::send(owner, done{});
              });
      }));
    auto all = std::make_shared<const std::vector<otp::pid>>(pids);
    for (otp::pid member : pids) otp::send(member, members{all});
    for (auto _ : state) {
      for (otp::pid member : pids) otp::send(member, go{});
      for (int i = 0; i < processes; ++i) otp::receive([](done) {});
    }
    state.SetItemsProcessed(state.iterations() * messages);
    for (otp::pid member : pids) {
      otp::unlink(member);
      otp::monitor(member);
      otp::exit(member, otp::reason::kill);
    }
    for (int i = 0; i < processes; ++i) otp::receive([](const otp::down&) {});
  });
}
BENCHMARK(big)->UseRealTime();
