// 1,000,000 idle servers (quick: 100,000), as `start` starts them; growth of resident memory by one.
#include "bench.hpp"

#include <otp/otp.hpp>

namespace {

struct counter {
  struct value {
    using reply = std::int64_t;
  };
  std::int64_t handle_call(value) const { return count; }
  std::int64_t count = 0;
};

}  // namespace

int main(int argc, char** argv) {
  bench::options how = bench::parse(argc, argv);
  int servers = how.pick(1'000'000, 100'000, 1'000);
  otp::runtime rt;
  rt.start();
  otp::exit_reason why = rt.run([&] {
    for (int i = 0; i < 1'000; ++i) otp::gen_server::start<counter>().value();
    std::int64_t before = bench::resident_bytes();
    for (int i = 0; i < servers; ++i) otp::gen_server::start<counter>().value();
    bench::result("memory", double(bench::resident_bytes() - before) / servers, "bytes");
    bench::check(otp::process_count() > std::size_t(servers), "a server is missing");
  });
  bench::check(why.is_normal(), "the measuring process failed");
  rt.stop();
}
