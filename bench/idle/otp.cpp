// The processor time that a running system takes while nothing is asked of it: 10,000 idle servers, of which a hundred
// have a timer that ticks once a second.
#include "bench.hpp"

#include <otp/otp.hpp>

#include <thread>

namespace {

struct ticking {
  struct tick {};
  struct value {
    using reply = std::int64_t;
  };
  using messages = otp::messages<tick>;
  explicit ticking(bool ticks) {
    if (ticks) otp::send_interval(std::chrono::seconds(1), otp::self(this), tick{});
  }
  void handle_info(tick) { ++count; }
  std::int64_t handle_call(value) const { return count; }
  std::int64_t count = 0;
};

}  // namespace

int main(int argc, char** argv) {
  bench::options how = bench::parse(argc, argv);
  const int servers = how.pick(10'000, 10'000, 100);
  const auto length = std::chrono::milliseconds(how.pick(10'000, 3'000, 10));
  otp::runtime rt;
  rt.start();
  std::vector<otp::server<ticking>> started;
  rt.run([&] {
    for (int i = 0; i < servers; ++i) started.push_back(otp::gen_server::start<ticking>({}, i < 100).value());
  });
  std::this_thread::sleep_for(how.tiny ? std::chrono::milliseconds(1) : std::chrono::milliseconds(500));
  const std::int64_t before = bench::processor_nanoseconds();
  const std::int64_t start = bench::now();
  std::this_thread::sleep_for(length);
  const double seconds = double(bench::now() - start) / 1e9;
  bench::result("idle", double(bench::processor_nanoseconds() - before) / 1e3 / seconds, "us/s");
  if (!how.tiny)
    bench::check(rt.call(started.front(), ticking::value{}) >= length / std::chrono::seconds(1),
                 "the timers stand still");
  rt.stop();
}
