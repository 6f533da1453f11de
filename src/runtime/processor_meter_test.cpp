#include "runtime/processor_meter.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

using otp::detail::processor_meter;

TEST(processor_meter, counts_what_a_thread_computes_and_not_what_it_waits) {
  std::promise<processor_meter*> made;
  std::promise<void> go_on;
  std::atomic<bool> over{false};
  std::thread measured([&] {
    processor_meter meter;
    made.set_value(&meter);
    go_on.get_future().wait();
    while (!over) {
    }
  });
  processor_meter& meter = *made.get_future().get();
  processor_meter mine;
  static_cast<void>(meter.used_since_last_look());
  for (std::int64_t here = 0; here < 20'000'000;) here += mine.used_since_last_look();
  EXPECT_LT(meter.used_since_last_look(), 10'000'000) << "it waited while this thread computed for 20 ms";
  go_on.set_value();
  for (std::int64_t there = 0; there < 20'000'000;) there += meter.used_since_last_look();
  over = true;
  measured.join();
}
