// A one_for_one supervisor of N children, all killed at once; the time until N successors have reported.
#include "tree.hpp"

namespace {

double milliseconds(otp::runtime& rt, int size) {
  double elapsed = 0;
  otp::exit_reason why = rt.run([&] {
    otp::pid supervisor = bench::start_tree(size);
    std::vector<otp::pid> children = bench::reports(size);
    elapsed = double(bench::timed([&] {
                for (otp::pid child : children) otp::exit(child, otp::reason::kill);
                bench::reports(size);
              })) /
              1e6;
    bench::stop_tree(supervisor);
  });
  bench::check(why.is_normal(), "the measuring process failed");
  return elapsed;
}

}  // namespace

int main(int argc, char** argv) {
  bench::options how = bench::parse(argc, argv);
  bench::silence quiet;
  otp::runtime rt({.listener = &quiet});
  rt.start();
  milliseconds(rt, 1'000);
  std::vector<double> samples;
  for (int i = 0; i < 5; ++i) samples.push_back(milliseconds(rt, 1'000));
  std::sort(samples.begin(), samples.end());
  bench::result("flat_1k", samples[2], "ms");
  if (!how.quick) bench::result("flat_100k", milliseconds(rt, 100'000), "ms");
  rt.stop();
}
