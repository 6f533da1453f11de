// 100,000 processes that wait in a call, of a server that does not answer yet; growth of resident memory by one.
#include "bench.hpp"

#include <otp/otp.hpp>

namespace {

struct keeper {
  struct wait {
    using reply = std::int64_t;
  };
  struct waiting {
    using reply = std::size_t;
  };
  struct answer {};
  void handle_call(wait, otp::from<std::int64_t> from) { kept.push_back(std::move(from)); }
  std::size_t handle_call(waiting) const { return kept.size(); }
  void handle_cast(answer) {
    for (auto& from : kept) from.reply(1);
    kept.clear();
  }
  std::vector<otp::from<std::int64_t>> kept;
};

}  // namespace

int main(int argc, char** argv) {
  bench::options how = bench::parse(argc, argv);
  const std::size_t processes = how.pick(100'000, 100'000, 100);
  otp::runtime rt;
  rt.start();
  otp::exit_reason why = rt.run([&] {
    auto server = otp::gen_server::start<keeper>().value();
    auto block = [&](std::size_t count) {
      std::size_t target = otp::call(server, keeper::waiting{}) + count;
      for (std::size_t i = 0; i < count; ++i)
        otp::spawn_monitor([server] { otp::call(server, keeper::wait{}, otp::infinity); });
      while (otp::call(server, keeper::waiting{}) < target) otp::yield();
    };
    block(1'000);
    std::int64_t before = bench::resident_bytes();
    block(processes);
    bench::result("blocked", double(bench::resident_bytes() - before) / double(processes), "bytes");
    otp::cast(server, keeper::answer{});
    for (std::size_t i = 0; i < processes + 1'000; ++i)
      otp::receive([](const otp::down& d) { bench::check(d.reason.is_normal(), "a caller failed"); });
  });
  bench::check(why.is_normal(), "the measuring process failed");
  rt.stop();
}
