// F10: ten times more calls than a server can handle. Its mailbox is bounded: what is accepted is answered soon, what
// is not is refused at once and counted, memory stays, others do not notice, and a second later all is as before.
//
// The load is an open loop: each request has a time at which it is due, is made then, whatever has become of the
// earlier ones, and is measured from that time on. Who waits for an answer before he asks again would measure a queue
// that he himself keeps short.
#include <otp/gen_server.hpp>

#include "faults/support.hpp"
#include "figure.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>

namespace {

using namespace stress;

constexpr std::size_t bound = 32;

struct mill {
  struct grind {
    using reply = bool;
    std::array<char, 1024> grain{};
  };
  explicit mill(std::chrono::microseconds t) : service(t) {}
  bool handle_call(const grind&) {
    spin_for(service);
    return true;
  }
  std::chrono::microseconds service;
};
struct echo {
  struct ask {
    using reply = std::uint64_t;
    std::uint64_t number;
  };
  std::uint64_t handle_call(const ask& a) { return a.number; }
};

/// What became of the requests of one phase.
struct phase {
  samples accepted_ms, unrelated_ms;  // from the time they were due
  std::uint64_t offered = 0, accepted = 0, refused = 0, wrong = 0;
  std::size_t resident_max = 0, queue_max = 0;
};

double since_due(otp::instant due) { return std::chrono::duration<double, std::milli>(otp::now() - due).count(); }

// Requests at a rate for a while; meanwhile somebody else asks another server every millisecond.
void run_phase(phase& p, otp::server<mill> to, otp::server<echo> other, double rate, otp::duration length, dice d) {
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> others_wrong{0};
  const otp::instant begin = otp::now();
  otp::ref unrelated = otp::spawn_monitor([&] {
                         std::uint64_t number = 0;
                         for (otp::instant due = begin; !over; due += 1ms) {
                           if (auto wait = due - otp::now(); wait > 0ns) otp::sleep(wait);
                           ++number;
                           if (otp::call(other, echo::ask{number}) != number) ++others_wrong;
                           p.unrelated_ms.add(since_due(due));
                         }
                       }).monitor;
  otp::request_id_collection<bool, otp::instant> open;
  auto take_one = [&](otp::instant until) {
    auto response = open.wait(until);
    if (!response) return false;
    if (response->value) {
      ++p.accepted;
      p.accepted_ms.add(since_due(response->label));
    } else if (response->value.error().cause() == otp::reason::system_limit) {
      ++p.refused;
    } else {
      ++p.wrong;
    }
    return true;
  };
  const double gap = 2e9 / rate;  // between 0 and that
  otp::instant due = begin;
  otp::instant look = begin;
  // A machine that others keep busy may let nobody ask so often: then it is over all the same.
  while (due < begin + length && otp::now() < begin + 2 * length) {
    for (int burst = 0; burst < 1024 && due <= otp::now() && due < begin + length; ++burst) {
      ++p.offered;
      open.add(otp::send_request(to, mill::grind{}), due);
      due += otp::duration(static_cast<std::int64_t>(gap * static_cast<double>(d.below(1'000'000)) / 1e6));
    }
    // Takes the answers that are there, and those that come until it is time again.
    const otp::instant next = due <= otp::now() ? otp::now() : std::max(due, otp::now() + 100us);
    while (open.size() > 0 && take_one(next)) {
    }
    if (auto wait = next - otp::now(); wait > 0ns)
      otp::sleep(wait);
    else
      otp::yield();
    if (otp::now() >= look) {
      p.resident_max = std::max(p.resident_max, faults::resident_bytes());
      p.queue_max = std::max(p.queue_max, otp::info(to)->message_queue_len);
      look = otp::now() + 50ms;
    }
  }
  while (open.size() > 0 && take_one(otp::now() + 30s)) {
  }
  over = true;
  otp::receive(otp::when([&](const otp::down& e) { return e.reference == unrelated; }, [](const otp::down&) {}));
  p.wrong += others_wrong;
}

// covers: F10
TEST(overload, of_ten_times_the_capacity_is_refused_and_harms_nobody) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  const auto service = size<std::chrono::microseconds>(100us, 100us, 4000us);
  const double capacity = 1e6 / static_cast<double>(service.count());
  const auto length = size<std::chrono::seconds>(60s, 10s, 2s);
  phase quiet_one, overloaded, afterwards;
  quiet listener;
  otp::runtime rt({.listener = &listener});
  rt.start();
  auto why = rt.run([&] {
    auto to = otp::gen_server::start<mill>(
                  {.spawn = {.mailbox = {.max_messages = bound, .policy = otp::overflow::reject}}}, service)
                  .value();
    auto other = otp::gen_server::start<echo>({}).value();
    phase warm_up;
    run_phase(warm_up, to, other, capacity / 4, 300ms, dice(0));
    run_phase(quiet_one, to, other, capacity / 4, length / 4, dice(1));
    run_phase(overloaded, to, other, 10 * capacity, length, dice(2));
    otp::sleep(200ms);
    run_phase(afterwards, to, other, capacity / 4, 800ms, dice(3));
    EXPECT_EQ(otp::info(to)->message_queue_len, 0U);
  });
  EXPECT_EQ(why, otp::reason::normal) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
  std::uint64_t refused = 0;
  for (phase* p : {&quiet_one, &overloaded, &afterwards}) {
    EXPECT_EQ(p->wrong, 0U);
    EXPECT_EQ(p->accepted + p->refused, p->offered);
    refused += p->refused;
  }
  auto c = rt.counters();
  EXPECT_GE(c.refused, refused);
  EXPECT_LE(c.refused, refused + 300) << "counted, but nobody was told";  // the warm-up may refuse some
  EXPECT_LE(overloaded.queue_max, bound);
  // What waits for the server is bounded, so its memory is.
  constexpr std::size_t place = 1024 + 256;
  const std::size_t resident_limit = quiet_one.resident_max * 11 / 10 + bound * place;
  double quiet_p99 = quiet_one.accepted_ms.at(0.99);
  double p99 = overloaded.accepted_ms.at(0.99);
  figure("F10",
         text("10x overload: accepted calls p99 <= 5x quiet and <= 50 ms, memory <= %.1f MB, each refusal counted",
              static_cast<double>(resident_limit) / (1 << 20)),
         text("p99 %.2f ms (quiet %.2f ms), %s accepted, %s refused of %s, %.1f MB (quiet %.1f MB)", p99, quiet_p99,
              number(overloaded.accepted).c_str(), number(overloaded.refused).c_str(),
              number(overloaded.offered).c_str(), static_cast<double>(overloaded.resident_max) / (1 << 20),
              static_cast<double>(quiet_one.resident_max) / (1 << 20)),
         p99 <= 5 * quiet_p99 && p99 <= 50 && overloaded.resident_max <= resident_limit &&
             overloaded.refused > 4 * overloaded.accepted);  // or it was no overload
  double others = overloaded.unrelated_ms.at(0.99);
  figure("F10", "calls to another server meanwhile: p99 <= 2x quiet",
         text("p50 %.2f ms (quiet %.2f ms), p99 %.2f ms (quiet %.2f ms)", overloaded.unrelated_ms.at(0.5),
              quiet_one.unrelated_ms.at(0.5), others, quiet_one.unrelated_ms.at(0.99)),
         others <= 2 * quiet_one.unrelated_ms.at(0.99));
  figure("F10", "within 1 s after it: p99 <= 2x quiet, nothing refused",
         text("p99 %.2f ms, %s refused", afterwards.accepted_ms.at(0.99), number(afterwards.refused).c_str()),
         afterwards.accepted_ms.at(0.99) <= 2 * quiet_p99 && afterwards.refused == 0);
}

}  // namespace
