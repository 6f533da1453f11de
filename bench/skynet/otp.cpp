// Skynet: each inner process starts ten, the leaves send their numbers up, the sums arrive at the root.
#include "bench.hpp"

#include <otp/otp.hpp>

#include <vector>

namespace {

struct sum {
  std::int64_t value;
};

void node(otp::pid parent, std::int64_t number, std::int64_t leaves) {
  if (leaves == 1) {
    otp::send(parent, sum{number});
    return;
  }
  std::int64_t share = leaves / 10;
  otp::pid self = otp::self();
  for (int i = 0; i < 10; ++i) otp::spawn([=] { node(self, number + i * share, share); });
  std::int64_t total = 0;
  for (int i = 0; i < 10; ++i) otp::receive([&](sum s) { total += s.value; });
  otp::send(parent, sum{total});
}

double milliseconds(otp::runtime& rt, std::int64_t leaves) {
  double elapsed = 0;
  otp::exit_reason why = rt.run([&] {
    otp::pid root = otp::self();
    elapsed = double(bench::timed([&] {
                otp::spawn_link([=] { node(root, 0, leaves); });
                otp::receive([&](sum s) { bench::check(s.value == leaves * (leaves - 1) / 2, "the sum is wrong"); });
              })) /
              1e6;
  });
  bench::check(why.is_normal(), "the root failed");
  return elapsed;
}

void measure(otp::runtime& rt, const char* row, std::int64_t leaves) {
  milliseconds(rt, leaves);
  std::vector<double> samples;
  for (int i = 0; i < 3; ++i) samples.push_back(milliseconds(rt, leaves));
  std::sort(samples.begin(), samples.end());
  bench::result(row, samples[1], "ms");
}

}  // namespace

int main(int argc, char** argv) {
  bench::options how = bench::parse(argc, argv);
  otp::runtime rt({.max_processes = 2'000'000});
  rt.start();
  measure(rt, "skynet_100k", 100'000);
  if (!how.quick) measure(rt, "skynet_1m", 1'000'000);
  rt.stop();
}
