// Skynet: each inner process starts ten, the leaves send their numbers up, the sums arrive at the root. Median of three
// after one warm-up (--quick: the million once, without one).
//
// skynet_100k  100,000 leaves
// skynet_1m    1,000,000 leaves; not before Linux 6.13, where so many stacks cannot have guards
#include "bench.hpp"

#include <otp/otp.hpp>

#include <sys/utsname.h>

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

bool kernel_has_cheap_guards() {
  utsname system{};
  int major = 0, minor = 0;
  return uname(&system) == 0 && std::sscanf(system.release, "%d.%d", &major, &minor) == 2 &&
         (major > 6 || (major == 6 && minor >= 13));
}

}  // namespace

int main(int argc, char** argv) {
  bench::options how = bench::parse(argc, argv);
  otp::runtime rt({.max_processes = 2'000'000});
  rt.start();
  auto measure = [&](const char* row, std::int64_t leaves, int times, int warm_ups) {
    bench::result(row, bench::median_of(times, warm_ups, [&] { return milliseconds(rt, leaves); }), "ms");
  };
  if (how.tiny)
    measure("skynet_100k", 1'000, 1, 0);
  else
    measure("skynet_100k", 100'000, 3, 1);
  if (!how.tiny && kernel_has_cheap_guards()) measure("skynet_1m", 1'000'000, how.quick ? 1 : 3, how.quick ? 0 : 1);
  rt.stop();
}
