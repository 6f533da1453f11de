#include "process.hpp"

#include <string>

namespace {

struct parcel {
  otp::pid from;
  std::string bytes;
};
struct received {
  std::size_t size;
};

}  // namespace

// A message with bytes of its own: they are made, sent, looked at by the receiver, which answers with their number, and
// freed.
static void payload(benchmark::State& state) {
  bench::in_process(state, [&] {
    otp::pid receiver = otp::spawn_link([] {
      for (;;) otp::receive([](parcel p) { otp::send(p.from, received{p.bytes.back() == 'x' ? p.bytes.size() : 0}); });
    });
    auto size = std::size_t(state.range(0));
    for (auto _ : state) {
      otp::send(receiver, parcel{otp::self(), std::string(size, 'x')});
      if (otp::receive([](received r) { return r.size; }) != size) state.SkipWithError("bytes were lost");
    }
    otp::unlink(receiver);
    otp::exit(receiver, otp::reason::shutdown);
  });
}
BENCHMARK(payload)->Name("payload_16")->Arg(16)->UseRealTime();
BENCHMARK(payload)->Name("payload_1k")->Arg(1'024)->UseRealTime();
BENCHMARK(payload)->Name("payload_64k")->Arg(65'536)->UseRealTime();
BENCHMARK(payload)->Name("payload_1m")->Arg(1'048'576)->UseRealTime();
