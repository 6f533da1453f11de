// F6: life cycles over and over: a process starts, is watched, called, given timers, and ends, one in a hundred by a
// fault. Afterwards every live counter is what it was before, and memory has not grown: an hour of such a service, at
// 1,000 cycles a second, is 3.6 million of them.
#include <otp/gen_server.hpp>
#include <otp/receive.hpp>

#include "faults/support.hpp"
#include "figure.hpp"

#include <gtest/gtest.h>

#include <atomic>

namespace {

using namespace stress;
namespace reason = otp::reason;

struct tick {
  std::uint64_t number;
};
struct worker {
  struct twice {
    using reply = std::uint64_t;
    std::uint64_t number;
  };
  struct fail {
    using reply = void;
  };
  struct forget {
    using reply = void;
  };
  struct leave {};
  using messages = otp::messages<tick>;
  std::uint64_t handle_call(const twice& t) { return 2 * t.number; }
  void handle_call(const fail&) { throw std::runtime_error("a fault"); }
  void handle_call(const forget&, otp::from<void> f) { kept = std::move(f); }
  otp::handler_result handle_cast(const leave&) { return otp::stop(reason::normal); }
  void handle_info(const tick& t) { seen += t.number; }
  std::uint64_t seen = 0;
  std::optional<otp::from<void>> kept;
};

/// What must be as before, exactly.
struct live {
  std::uint64_t processes, timers, stacks;
  std::size_t names, links, monitors, messages;
};
live counted() {
  auto c = otp::counters();
  auto me = otp::info(otp::self()).value();
  return {c.processes,     c.timers,           c.stacks_live,       otp::registered().size(),
          me.links.size(), me.monitors.size(), me.message_queue_len};
}

class life {
 public:
  explicit life(std::uint64_t number) : dice_(number), number_(number) { otp::trap_exit(true); }

  void cycle() {
    const std::uint64_t n = ++cycles_;
    const bool linked = dice_.one_in(4);
    otp::start_options how;
    if (dice_.one_in(8)) how.name = text("worker %llu", static_cast<unsigned long long>(number_));
    auto started =
        linked ? otp::gen_server::start_link<worker>(std::move(how)) : otp::gen_server::start<worker>(std::move(how));
    auto server = started.value();
    otp::ref watch = otp::monitor(server);
    // One that will not come, one that comes for the server or nobody, and one that is waited for.
    otp::ref unneeded = otp::send_after(10s, otp::self(), tick{n});
    if (dice_.one_in(4)) otp::send_after(otp::duration(dice_.below(100'000)), server.pid(), tick{n});
    if (otp::call(server, worker::twice{n}) != 2 * n) ++wrong;
    if (dice_.one_in(64)) {
      otp::ref due = otp::start_timer(10us, otp::self(), otp::term(n));
      otp::receive(
          otp::when([&](const otp::timer_expired& e) { return e.timer == due; }, [](const otp::timer_expired&) {}));
    }
    otp::exit_reason why = reason::normal;
    if (dice_.one_in(100)) {
      ++faults;
      switch (dice_.below(4)) {
        case 0:  // fails its caller
          if (otp::try_call(server, worker::fail{})) ++wrong;
          why = reason::error("std::runtime_error", "a fault");
          break;
        case 1:  // is killed
          otp::exit(server, reason::kill);
          why = reason::killed;
          break;
        case 2:  // does not answer in time
          if (otp::try_call(server, worker::forget{}, 10us)) ++wrong;
          otp::exit(server, reason::kill);
          why = reason::killed;
          break;
        default:  // ends with a reason of its own, while somebody waits
          otp::exit(server, "a reason");
          if (otp::try_call(server, worker::forget{})) ++wrong;
          why = "a reason";
      }
    } else {
      otp::cast(server, worker::leave{});
    }
    otp::receive(otp::when([&](const otp::down& d) { return d.reference == watch; },
                           [&](const otp::down& d) { wrong += same(d.reason, why) ? 0 : 1; }));
    if (linked)
      otp::receive(otp::when([&](const otp::exit_signal& e) { return e.from == server.pid(); },
                             [&](const otp::exit_signal& e) { wrong += same(e.reason, why) ? 0 : 1; }));
    if (!otp::cancel_timer(unneeded)) ++wrong;
  }

  std::uint64_t faults = 0, wrong = 0;

 private:
  static bool same(const otp::exit_reason& is, const otp::exit_reason& want) {
    return want.what() == otp::exit_reason::kind::error ? is.what() == want.what() && is.text() == want.text()
                                                        : is == want;
  }
  dice dice_;
  std::uint64_t number_, cycles_ = 0;
};

/// How much y grows with each x, by least squares.
double slope(const std::vector<std::pair<double, double>>& points) {
  double n = 0, x = 0, y = 0;
  for (auto [px, py] : points) n += 1, x += px, y += py;
  double above = 0, below = 0;
  for (auto [px, py] : points) {
    above += (px - x / n) * (py - y / n);
    below += (px - x / n) * (px - x / n);
  }
  return above / below;
}

// covers: F6
TEST(soak, leaves_nothing_behind_after_millions_of_lives) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  constexpr std::uint64_t drivers = 4;
  constexpr int points = 60;
  constexpr std::uint64_t workers = 2;
  constexpr std::uint64_t stacks_kept = 2 * workers;  // by a worker, for the next one
  const auto goal = size<std::uint64_t>(10'000'000, 1'000'000, 20'000);
  const std::uint64_t warm_up = goal / 5;
  std::atomic<std::uint64_t> done{0}, faults{0}, wrong{0};
  std::vector<std::pair<double, double>> resident;  // hours of cycles, MB
  double took = 0, heap_growth = 0;
  quiet listener;
  otp::runtime rt({.workers = workers, .listener = &listener});
  rt.start();
  auto why = rt.run([&] {
    auto crowd = [&](std::uint64_t until) {
      for (std::uint64_t i = 0; i < drivers; ++i)
        otp::spawn_monitor([&, i, until] {
          life one(i + done.load() * drivers);
          while (done.fetch_add(1, std::memory_order_relaxed) < until) one.cycle();
          faults += one.faults;
          wrong += one.wrong;
        });
      for (std::uint64_t i = 0; i < drivers; ++i)
        otp::receive([](const otp::down& e) { EXPECT_EQ(e.reason, reason::normal) << e.reason.to_string(); });
      done -= drivers;  // each took one in vain
      // Timers that fire for nobody are armed until they do; a process is counted until its last step is done.
      for (int i = 0; i < 2'000 && (otp::counters().timers > 0 || otp::process_count() > 1); ++i) otp::sleep(1ms);
    };
    // Workers keep stacks and envelopes that nobody needs any more, until nothing has happened for a while.
    const live fresh = counted();
    auto settle = [&] {
      for (int i = 0; i < 10; ++i) {
        otp::sleep(3s);
        if (counted().stacks <= fresh.stacks + stacks_kept) break;
      }
      return ::faults::heap_bytes();
    };
    crowd(warm_up);
    const std::size_t heap_before = settle();
    auto begin = std::chrono::steady_clock::now();
    for (int i = 1; i <= points; ++i) {
      crowd(warm_up + goal * static_cast<std::uint64_t>(i) / points);
      resident.emplace_back(static_cast<double>(done - warm_up) / 3.6e6,
                            static_cast<double>(::faults::resident_bytes()) / (1 << 20));
    }
    took = seconds_since(begin);
    heap_growth = static_cast<double>(settle()) - static_cast<double>(heap_before);
    const live after = counted();
    EXPECT_EQ(after.processes, fresh.processes);
    EXPECT_EQ(after.timers, fresh.timers);
    EXPECT_LE(after.stacks, fresh.stacks + stacks_kept);
    EXPECT_EQ(after.names, fresh.names);
    EXPECT_EQ(after.links + after.monitors + after.messages, fresh.links + fresh.monitors + fresh.messages);
  });
  EXPECT_EQ(why, reason::normal) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
  EXPECT_EQ(wrong, 0U);
  auto c = rt.counters();
  EXPECT_EQ(c.spawned, c.exited);
  EXPECT_EQ(c.accepted, c.handled + c.unhandled + c.expired + c.dropped);
  // A sanitizer keeps what was freed. What a busy moment needs is kept too, so that a short run has no slope yet.
  if (!sanitised) {
    EXPECT_LE(heap_growth, 256 * 1024) << "bytes";
  }
  const double growth = slope(resident);
  figure("F6",
         text("%s lives with 1 %% faults: heap and every live counter as before%s", number(goal).c_str(),
              full() ? ", memory <= 0.1 MB an hour" : ""),
         (full() ? text("%.3f MB an hour, ", growth) : "") +
             text("%.1f MB, heap %+.0f bytes, %s faults, %s wrong, %.1f s", resident.back().second, heap_growth,
                  number(faults).c_str(), number(wrong).c_str(), took),
         !full() || growth <= 0.1);
}

}  // namespace
