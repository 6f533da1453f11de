// F13: what a crash costs: from the throw to the DOWN of a watcher, from the throw to the restarted server, and how
// many restarts a supervisor makes in a second.
#include <otp/gen_server.hpp>
#include <otp/receive.hpp>
#include <otp/supervisor.hpp>

#include "figure.hpp"

#include <gtest/gtest.h>

#include <atomic>

namespace {

using namespace stress;
using clock_type = std::chrono::steady_clock;

double microseconds(clock_type::duration d) { return std::chrono::duration<double, std::micro>(d).count(); }

struct blow {};

/// Writes down when it crashes.
struct fuse {
  explicit fuse(clock_type::time_point* b) : blown(b) {}
  void handle_cast(const blow&) {
    *blown = clock_type::now();
    throw std::runtime_error("blown");
  }
  clock_type::time_point* blown;
};
/// The same as a child: it also tells when it is there.
struct restarting_fuse {
  struct started {
    otp::pid who;
    clock_type::time_point at;
  };
  restarting_fuse(otp::pid t, clock_type::time_point* b) : blown(b) {
    otp::send(t, started{otp::self(), clock_type::now()});
  }
  void handle_cast(const blow&) {
    *blown = clock_type::now();
    throw std::runtime_error("blown");
  }
  clock_type::time_point* blown;
};

// covers: F13
TEST(crash_cost, from_the_throw_to_the_down_and_to_the_restart) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  const auto rounds = size<int>(200'000, 20'000, 500);
  samples to_down, to_restart;
  quiet listener;
  otp::runtime rt({.listener = &listener});
  rt.start();
  auto why = rt.run([&] {
    clock_type::time_point blown;
    for (int i = 0; i < rounds; ++i) {
      auto server = otp::gen_server::start<fuse>({}, &blown).value();
      otp::ref gone = otp::monitor(server);
      otp::cast(server, blow{});
      otp::receive([&](const otp::down& d) {
        EXPECT_EQ(d.reference, gone);
        EXPECT_EQ(d.reason.text(), "blown");
      });
      to_down.add(microseconds(clock_type::now() - blown));
    }
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one,
                                            .max_restarts = rounds + 1,
                                            .max_seconds = 3600s,
                                            .children = {otp::child<restarting_fuse>(otp::self(), &blown)}})
                   .value();
    otp::pid server;
    otp::receive([&](const restarting_fuse::started& s) { server = s.who; });
    for (int i = 0; i < rounds; ++i) {
      otp::cast(otp::server<restarting_fuse>(server), blow{});
      otp::receive([&](const restarting_fuse::started& s) {
        EXPECT_NE(s.who, server);
        server = s.who;
        to_restart.add(microseconds(s.at - blown));
      });
    }
    otp::supervisor::stop(sup);
  });
  EXPECT_EQ(why, otp::reason::normal) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
  figure("F13", "throw to DOWN p50 <= 10 us",
         text("p50 %.1f us, p99 %.1f us, of %s", to_down.at(0.5), to_down.at(0.99), number(to_down.count()).c_str()),
         to_down.at(0.5) <= 10);
  figure("F13", "crash to restarted p50 <= 25 us, p99 <= 200 us",
         text("p50 %.1f us, p99 %.1f us, of %s", to_restart.at(0.5), to_restart.at(0.99),
              number(to_restart.count()).c_str()),
         to_restart.at(0.5) <= 25 && to_restart.at(0.99) <= 200);
}

/// A child that crashes as soon as it is started, until all crashes are used up.
struct unlucky {
  explicit unlucky(std::atomic<std::int64_t>* c) : crashes(c) { otp::cast(otp::self(this), blow{}); }
  void handle_cast(const blow&) {
    if (crashes->fetch_sub(1) > 0) throw std::runtime_error("blown");
  }
  std::atomic<std::int64_t>* crashes;
};

// covers: F13
TEST(crash_cost, of_restarts_one_after_the_other) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  constexpr int children = 100;
  const auto crashes = size<int>(1'000'000, 200'000, 5'000);
  std::atomic<std::int64_t> left{crashes};
  double took = 0;
  quiet listener;
  otp::runtime rt({.listener = &listener});
  rt.start();
  auto why = rt.run([&] {
    otp::supervisor_spec spec{.strategy = otp::one_for_one, .max_restarts = crashes, .max_seconds = 3600s};
    for (int i = 0; i < children; ++i) spec.children.push_back(otp::child<unlucky>(&left).id(i));
    auto begin = clock_type::now();
    auto sup = otp::supervisor::start_link(std::move(spec)).value();
    // All that are still there have had their turn, and not crashed.
    while (left.load() > -children) otp::sleep(1ms);
    took = seconds_since(begin);
    auto all = otp::supervisor::which_children(sup);
    EXPECT_EQ(all.size(), static_cast<std::size_t>(children));
    for (auto& c : all) EXPECT_TRUE(otp::is_alive(c.process));
    EXPECT_EQ(left, -children) << "a child was started once too often";
    EXPECT_EQ(otp::process_count(), static_cast<std::size_t>(children) + 2);
    otp::supervisor::stop(sup);
  });
  EXPECT_EQ(why, otp::reason::normal) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
  double rate = crashes / took;
  figure("F13", ">= 100,000 crashes and restarts a second",
         text("%s a second, of %s", number(static_cast<std::uint64_t>(rate)).c_str(),
              number(static_cast<std::uint64_t>(crashes)).c_str()),
         rate >= 1e5);
}

}  // namespace
