// F19: a lone message into a runtime in which nothing happens, after a gap that often ends just as a worker goes to
// sleep. Each one is handled, and soon: with more workers than processors too, where the one that was woken has to be
// given the processor.
#include <otp/gen_server.hpp>
#include <otp/receive.hpp>

#include "figure.hpp"
#include "runtime/parker.hpp"

#include <gtest/gtest.h>

#include <sched.h>

namespace {

using namespace stress;
using clock_type = std::chrono::steady_clock;

struct lone {
  clock_type::time_point sent;
};

/// What the sender waits for: the answer of whoever got the message.
struct answers {
  otp::detail::parker<> sender;
  std::atomic<std::int64_t> nanoseconds{0};
  void got(const lone& m) {
    nanoseconds = (clock_type::now() - m.sent).count();
    sender.unpark();
  }
};

struct idler {
  using messages = otp::messages<lone>;
  explicit idler(answers* a) : to(a) {}
  void handle_info(const lone& m) { to->got(m); }
  answers* to;
};

/// Runs the calling thread, and the ones that it starts, on the first `count` of its processors.
class few_processors {
 public:
  explicit few_processors(int count) {
    EXPECT_EQ(::sched_getaffinity(0, sizeof before_, &before_), 0);
    cpu_set_t some;
    CPU_ZERO(&some);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&some) < count; ++cpu)
      if (CPU_ISSET(cpu, &before_)) CPU_SET(cpu, &some);
    EXPECT_EQ(::sched_setaffinity(0, sizeof some, &some), 0);
  }
  few_processors(const few_processors&) = delete;
  few_processors& operator=(const few_processors&) = delete;
  ~few_processors() { ::sched_setaffinity(0, sizeof before_, &before_); }

 private:
  cpu_set_t before_{};
};

void lone_messages(unsigned workers, int processors) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  const auto gaps = size<int>(1'000'000, 20'000, 1'000);
  few_processors limit(processors);
  samples waits;  // ms
  answers back;
  quiet listener;
  otp::runtime rt({.workers = workers, .listener = &listener});
  rt.start();
  // One without a stack, which any worker may run, and one that only its own worker can go on with.
  otp::pid server, waiter;
  auto why = rt.run([&] { server = otp::gen_server::start<idler>({}, &back).value(); });
  EXPECT_EQ(why, otp::reason::normal);
  waiter = rt.spawn([&] {
    for (;;) otp::receive([&](const lone& m) { back.got(m); });
  });
  dice d(workers);
  const std::uint64_t parks_before = rt.counters().parks;
  for (int i = 0; i < gaps; ++i) {
    // A worker that finds nothing looks for some 100 us more: around there it parks.
    auto length = std::chrono::nanoseconds(d.one_in(2) ? d.below(20'000) : 60'000 + d.below(90'000));
    if (processors > 1 || length < 5us) {
      spin_for(length);
    } else {
      timespec t{0, length.count()};
      ::nanosleep(&t, nullptr);
    }
    ASSERT_EQ(rt.send(d.one_in(2) ? server : waiter, lone{clock_type::now()}), otp::send_status::sent);
    ASSERT_TRUE(back.sender.park_for(std::chrono::nanoseconds(20s).count())) << "message " << i << " is not handled";
    waits.add(static_cast<double>(back.nanoseconds) / 1e6);
  }
  auto c = rt.counters();
  EXPECT_TRUE(rt.stop().clean());
  figure("F19",
         text("a lone message, %u workers on %d processors, %s gaps: worst <= 50 ms", workers, processors,
              number(static_cast<std::uint64_t>(gaps)).c_str()),
         text("p50 %.3f ms, p99.9 %.3f ms, worst %.1f ms, %s parks", waits.at(0.5), waits.at(0.999), waits.max(),
              number(c.parks - parks_before).c_str()),
         waits.max() <= 50);
}

// covers: F19
TEST(wake_up, of_two_workers_on_one_processor) { lone_messages(2, 1); }

// covers: F19
TEST(wake_up, of_eight_workers_on_two_processors) { lone_messages(8, 2); }

}  // namespace
