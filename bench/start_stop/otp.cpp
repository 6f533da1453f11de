// Starts 100,000 processes that wait, tells each to stop, and waits for all DOWN messages; starts and stops a server.
#include "bench.hpp"

#include <otp/otp.hpp>

namespace {

struct stop {};
struct server {};

double milliseconds(int processes) {
  std::vector<otp::pid> started;
  started.reserve(std::size_t(processes));
  return double(bench::timed([&] {
           for (int i = 0; i < processes; ++i)
             started.push_back(otp::spawn_monitor([] { otp::receive([](stop) {}); }).pid);
           for (otp::pid process : started) otp::send(process, stop{});
           for (int i = 0; i < processes; ++i)
             otp::receive([](const otp::down& d) { bench::check(d.reason.is_normal(), "a process failed"); });
         })) /
         1e6;
}

}  // namespace

int main(int argc, char** argv) {
  bench::options how = bench::parse(argc, argv);
  otp::runtime rt;
  rt.start();
  otp::exit_reason why = rt.run([&] {
    int processes = how.pick(100'000, 100'000, 100);
    bench::result("start_stop", bench::median_of(how.pick(3, 3, 1), 1, [&] { return milliseconds(processes); }), "ms");
    bench::per_operation("server_stop", how, 1, [](std::int64_t rounds) {
      return bench::timed([&] {
        for (std::int64_t i = 0; i < rounds; ++i) otp::gen_server::stop(otp::gen_server::start<server>().value());
      });
    });
  });
  bench::check(why.is_normal(), "the measuring process failed");
  rt.stop();
}
