// Crash to supervised restart: the median of one child, and the sustained rate of a hundred.
#include "tree.hpp"

namespace {

void latency(int trees) {
  constexpr int crashes = 50;
  std::vector<std::int64_t> samples;
  for (int tree = 0; tree < trees + trees / 4; ++tree) {
    otp::pid supervisor = bench::start_tree(1);
    otp::pid child = bench::reports(1).front();
    for (int i = 0; i < crashes; ++i) {
      std::int64_t crashed = bench::now();
      otp::cast(otp::server<bench::worker>(child), bench::worker::crash{});
      otp::receive([&](bench::up u) { child = u.child; });
      if (tree >= trees / 4) samples.push_back(bench::now() - crashed);
    }
    bench::stop_tree(supervisor);
  }
  std::sort(samples.begin(), samples.end());
  bench::result("restart", double(samples[samples.size() / 2]), "ns");
}

void rate(int restarts) {
  constexpr int children = 100;
  otp::pid supervisor = bench::start_tree(children);
  std::vector<otp::pid> first = bench::reports(children);
  std::int64_t elapsed = bench::timed([&] {
    for (otp::pid child : first) otp::cast(otp::server<bench::worker>(child), bench::worker::crash{});
    for (int i = 0; i < restarts; ++i)
      otp::receive([&](bench::up u) {
        if (i < restarts - children) otp::cast(otp::server<bench::worker>(u.child), bench::worker::crash{});
      });
  });
  bench::stop_tree(supervisor);
  bench::result("restart_rate", restarts / (double(elapsed) / 1e9), "per_s");
}

}  // namespace

int main(int argc, char** argv) {
  bench::options how = bench::parse(argc, argv);
  bench::silence quiet;
  otp::runtime rt({.listener = &quiet});
  rt.start();
  bench::check(rt.run([&] { latency(how.pick(40, 40, 4)); }).is_normal(), "the measuring process failed");
  bench::check(rt.run([&] { rate(how.pick(100'000, 20'000, 200)); }).is_normal(), "the measuring process failed");
  rt.stop();
}
