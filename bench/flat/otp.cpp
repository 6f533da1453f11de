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
  bench::result("flat_1k", bench::median_of(5, 1, [&] { return milliseconds(rt, how.pick(1'000, 1'000, 10)); }), "ms");
  if (!how.tiny) bench::result("flat_100k", milliseconds(rt, 100'000), "ms");
  rt.stop();
}
