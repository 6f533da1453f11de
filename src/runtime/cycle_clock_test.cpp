#include "runtime/cycle_clock.hpp"

#include "runtime/scheduler.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include <unistd.h>

namespace otp::detail {
namespace {

// A processor whose counter makes `per_nano` cycles a nanosecond.
struct machine {
  double per_nano = 3.1;
  nanos now = 5'000'000'000;
  std::uint64_t cycles = 77'000'000'000;

  void pass(nanos length) {
    now += length;
    cycles += static_cast<std::uint64_t>(std::llround(double(length) * per_nano));
  }
  // Reading the clock takes some 20 ns.
  void read(cycle_clock& c) {
    const std::uint64_t before = cycles;
    const nanos said = now;
    pass(20);
    c.set(before, said, cycles);
  }
  void learn(cycle_clock& c) {
    for (int i = 0; i < 75; ++i) {
      read(c);
      pass(900'000);
    }
    read(c);
  }
};

// At most so much ahead, and never behind.
void expect_right(cycle_clock& c, const machine& m, const char* when = "") {
  const nanos said = c.at(m.cycles);
  EXPECT_GE(said, m.now) << when;
  EXPECT_LE(said, m.now + 200) << when;
}

TEST(cycle_clock, is_unknown_until_its_rate_was_measured_twice) {
  cycle_clock c;
  machine m;
  EXPECT_EQ(c.at(m.cycles), cycle_clock::unknown);
  m.read(c);
  m.pass(cycle_clock::first_base);
  m.read(c);
  EXPECT_EQ(c.at(m.cycles), cycle_clock::unknown);
  m.pass(cycle_clock::first_base - 1'000);
  m.read(c);
  EXPECT_EQ(c.at(m.cycles), cycle_clock::unknown);
  m.pass(1'000);
  m.read(c);
  expect_right(c, m);
}

// The counter runs on, the clock stands still.
TEST(cycle_clock, learns_nothing_from_a_time_in_which_the_machine_was_suspended) {
  cycle_clock c;
  machine m;
  m.read(c);
  for (int i = 0; i < 3; ++i) {
    m.cycles += 40'000'000'000;
    m.pass(cycle_clock::first_base);
    m.read(c);
    EXPECT_EQ(c.at(m.cycles), cycle_clock::unknown);
    m.pass(cycle_clock::first_base + i * 1'000'000);
    m.read(c);
    EXPECT_EQ(c.at(m.cycles), cycle_clock::unknown);
  }
  m.learn(c);
  m.pass(5'000);
  expect_right(c, m);
}

TEST(cycle_clock, counts_on_from_the_last_reading) {
  cycle_clock c;
  machine m;
  m.learn(c);
  for (int i = 0; i < 1'000; ++i) {
    m.pass(99);
    expect_right(c, m);
  }
}

TEST(cycle_clock, does_not_count_further_than_its_reach) {
  cycle_clock c;
  machine m;
  m.learn(c);
  m.pass(cycle_clock::reach - 1'000);
  EXPECT_NE(c.at(m.cycles), cycle_clock::unknown);
  m.pass(2'000);
  EXPECT_EQ(c.at(m.cycles), cycle_clock::unknown);
}

TEST(cycle_clock, never_goes_back) {
  cycle_clock c;
  machine m;
  m.learn(c);
  std::mt19937 chance(7);
  nanos before = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (chance() % 4 == 0) m.read(c);
    m.pass(chance() % 300);
    const nanos said = c.at(m.cycles);
    ASSERT_GE(said, before);
    before = said;
  }
  EXPECT_EQ(c.latest(before - 100), before);
}

TEST(cycle_clock, a_reading_in_which_the_thread_was_stopped_does_not_count) {
  cycle_clock c;
  machine m;
  m.learn(c);
  const std::uint64_t before = m.cycles;
  const nanos said = m.now;
  m.pass(40'000);  // stopped here, after the clock was read
  c.set(before, said, before + cycle_clock::longest_reading);
  m.pass(100);
  expect_right(c, m);
}

// As much as ntpd slews it.
TEST(cycle_clock, a_slewed_clock_is_followed) {
  for (double slew : {-490e-6, 490e-6}) {
    cycle_clock c;
    machine m;
    m.learn(c);
    m.per_nano *= 1 + slew;
    for (int i = 0; i < 20'000; ++i) {
      m.pass(30'000);
      expect_right(c, m, slew < 0 ? "the clock goes faster" : "the clock goes slower");
      if (i % 3 == 2) m.read(c);
    }
  }
}

TEST(cycle_clock, begins_anew_when_the_counter_jumps) {
  for (const std::int64_t jump : {std::int64_t{-70'000'000'000}, std::int64_t{40'000'000}, std::int64_t{1} << 50}) {
    cycle_clock c;
    machine m;
    m.learn(c);
    m.cycles += static_cast<std::uint64_t>(jump);  // the machine was moved
    EXPECT_EQ(c.at(m.cycles), cycle_clock::unknown) << jump;
    m.read(c);
    EXPECT_EQ(c.at(m.cycles), cycle_clock::unknown) << jump;
    m.learn(c);
    m.pass(5'000);
    expect_right(c, m);
  }
}

TEST(cycle_clock, begins_anew_when_the_clock_jumps) {
  cycle_clock c;
  machine m;
  m.learn(c);
  m.now += 50'000;
  m.read(c);
  EXPECT_EQ(c.at(m.cycles), cycle_clock::unknown);
}

TEST(cycle_clock, is_used_where_the_kernel_keeps_time_by_the_same_counter) {
  const auto root = std::filesystem::temp_directory_path() / ("cycle_clock_" + std::to_string(getpid()));
  const auto folder = root / "sys/devices/system/clocksource/clocksource0";
  EXPECT_FALSE(cycle_clock::usable(root.c_str()));
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "current_clocksource") << "hpet\n";
  EXPECT_FALSE(cycle_clock::usable(root.c_str()));
  std::ofstream(folder / "current_clocksource") << "tsc\n";
  std::ifstream cpu("/proc/cpuinfo");
  const std::string about{std::istreambuf_iterator<char>(cpu), {}};
  EXPECT_EQ(cycle_clock::usable(root.c_str()), about.find(" nonstop_tsc") != std::string::npos);
  std::filesystem::remove_all(root);
}

// The real one, against the real clock.
TEST(cycle_clock, agrees_with_the_clock_of_this_machine) {
  if (!cycle_clock::usable()) GTEST_SKIP() << "this machine's counter is not to be trusted";
  cycle_clock c;
  int quick = 0;
  auto read = [&] {
    const std::uint64_t before = cycle_clock::count();
    const nanos said = scheduler::machine_now();
    const std::uint64_t after = cycle_clock::count();
    if (after - before < cycle_clock::longest_reading) ++quick;
    c.set(before, said, after);
  };
  read();
  const nanos start = scheduler::machine_now();
  nanos now = start;
  std::uint64_t known = 0;
  for (; now < start + 200'000'000; now = scheduler::machine_now()) {
    const nanos said = c.at(cycle_clock::count());
    const nanos after = scheduler::machine_now();
    if (said == cycle_clock::unknown) {
      read();
      continue;
    }
    ++known;
    ASSERT_GE(said, now);
    ASSERT_LE(said, after + 500);
  }
  if (quick < 100) GTEST_SKIP() << "reading the clock takes too long here, as under a sanitizer";
  EXPECT_GT(known, 1'000U);
}

}  // namespace
}  // namespace otp::detail
