// Crash storms: 10,000 processes that throw at once, and 10,000 that are taken along by a link.
#include "tree.hpp"

#include <stdexcept>

namespace {

struct go {};

/// `count` processes that throw when they are told to; the caller watches them.
std::int64_t crashes(int count) {
  std::vector<otp::pid> started;
  for (int i = 0; i < count; ++i)
    started.push_back(otp::spawn_monitor([] { otp::receive([](go) { throw std::runtime_error("crash"); }); }).pid);
  return bench::timed([&] {
    for (otp::pid process : started) otp::send(process, go{});
    for (int i = 0; i < count; ++i)
      otp::receive([](const otp::down& d) { bench::check(!d.reason.is_normal(), "a process did not crash"); });
  });
}

/// `count` processes that are linked to one, which throws; the caller watches them.
std::int64_t taken_along(int count) {
  otp::pid hub = otp::spawn([owner = otp::self(), count] {
    for (int i = 0; i < count; ++i) otp::send(owner, bench::up{otp::spawn_link([] { otp::receive([](go) {}); })});
    otp::receive([](go) { throw std::runtime_error("crash"); });
  });
  for (otp::pid process : bench::reports(count)) otp::monitor(process);
  return bench::timed([&] {
    otp::send(hub, go{});
    for (int i = 0; i < count; ++i)
      otp::receive([](const otp::down& d) { bench::check(!d.reason.is_normal(), "a process did not crash"); });
  });
}

}  // namespace

int main(int argc, char** argv) {
  bench::options how = bench::parse(argc, argv);
  bench::silence quiet;
  otp::runtime rt({.listener = &quiet});
  rt.start();
  int count = how.pick(10'000, 10'000, 100);
  auto measure = [&](const char* row, std::int64_t (*storm)(int)) {
    bench::per_operation(row, how, count, [&](std::int64_t rounds) {
      std::int64_t elapsed = 0;
      for (std::int64_t i = 0; i < rounds; ++i) elapsed += storm(count);
      return elapsed;
    });
  };
  otp::exit_reason why = rt.run([&] {
    measure("storm", crashes);
    measure("storm_links", taken_along);
  });
  bench::check(why.is_normal(), "the measuring process failed");
  rt.stop();
}
