// F12: stacks. Processes that overflow theirs end alone, ten thousand in a row; a hundred thousand wait at once, each
// with a guard, in a handful of mappings; and what such a crowd needed goes back to the kernel when it is gone.
#include <otp/receive.hpp>

#include "faults/support.hpp"
#include "figure.hpp"
#include "overflow.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <fstream>

namespace {

using namespace stress;
using tests::one_large_frame;
using tests::recurse;
using tests::sink;

struct go {};

/// Paints part of its stack, waits, and tells how many bytes have changed meanwhile.
template <std::size_t Bytes>
void painted(std::atomic<std::uint64_t>& waiting, std::atomic<std::uint64_t>& changed, char colour) {
  volatile char paint[Bytes];
  for (volatile char& c : paint) c = colour;
  ++waiting;
  otp::receive([](const go&) {});
  for (volatile char& c : paint)
    if (c != colour) ++changed;
}

std::size_t mappings() {
  std::ifstream file("/proc/self/maps");
  std::size_t lines = 0;
  for (std::string line; std::getline(file, line);) ++lines;
  return lines;
}

// covers: F12 F01 F02
TEST(stacks, that_overflow_end_their_process_and_touch_no_neighbour) {
  if (asan) GTEST_SKIP() << "AddressSanitizer owns SIGSEGV: nothing is contained";
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  const auto overflows = size<std::uint64_t>(10'000, 10'000, 300);
  constexpr std::uint64_t neighbours = 64, divers = 2;
  std::atomic<std::uint64_t> waiting{0}, changed{0}, diagnosed{0};
  quiet listener;
  otp::runtime rt({.kill_budget = 1ms, .contain_stack_overflow = true, .listener = &listener});
  rt.start();
  auto begin = std::chrono::steady_clock::now();
  auto why = rt.run([&] {
    std::vector<otp::spawned> beside;
    auto one_beside = [&](std::uint64_t i) {
      beside.push_back(
          otp::spawn_monitor([&, i] { painted<32 * 1024>(waiting, changed, static_cast<char>(0x40 + i % 64)); }));
    };
    for (std::uint64_t i = 0; i < neighbours / 2; ++i) one_beside(i);
    std::vector<otp::ref> ends;
    for (std::uint64_t who = 0; who < divers; ++who)
      ends.push_back(otp::spawn_monitor([&, who] {
                       dice d(who);
                       for (std::uint64_t i = who; i < overflows; i += divers) {
                         bool deep = d.one_in(2);
                         otp::spawn_options how{.monitor = true};
                         if (d.one_in(2)) how.stack_size = (64 + 16 * d.below(4)) * 1024;
                         otp::spawn(how, [deep] { sink = deep ? recurse(0) : one_large_frame(sink & 7); });
                         otp::receive([&](const otp::down& e) {
                           if (e.reason == otp::reason::stack_overflow) ++diagnosed;
                         });
                       }
                     }).monitor);
    // More of them while it goes on: these get stacks between those that are given up.
    for (std::uint64_t i = neighbours / 2; i < neighbours; ++i) {
      otp::sleep(1ms);
      one_beside(i);
    }
    for (otp::ref end : ends)
      otp::receive(otp::when([&](const otp::down& e) { return e.reference == end; },
                             [](const otp::down& e) { EXPECT_EQ(e.reason, otp::reason::normal); }));
    for (auto& b : beside) otp::send(b.pid, go{});
    for (std::uint64_t i = 0; i < neighbours; ++i)
      otp::receive([](const otp::down& e) { EXPECT_EQ(e.reason, otp::reason::normal); });
  });
  double took = seconds_since(begin);
  EXPECT_EQ(why, otp::reason::normal) << why.to_string();
  EXPECT_EQ(diagnosed, overflows);
  EXPECT_EQ(changed, 0U);
  EXPECT_EQ(rt.counters().abandoned, overflows);
  EXPECT_EQ(rt.stop().abandoned.size(), overflows);  // what a process held that was jumped out of stays
  figure("F12", text("%s stack overflows, contained: each an exit, neighbours unchanged", number(overflows).c_str()),
         text("%s exits, %s bytes changed in %llu neighbours, %.1f s", number(diagnosed).c_str(),
              number(changed).c_str(), static_cast<unsigned long long>(neighbours), took));
}

// covers: F12 F11
TEST(stacks, of_a_hundred_thousand_waiting_processes_have_guards_and_go_back_to_the_kernel) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  const auto crowd = size<std::uint64_t>(100'000, 100'000, 3'000);
  std::atomic<std::uint64_t> waiting{0}, changed{0};
  std::size_t maps_before = 0, maps = 0;
  double before = 0, high = 0, low = 0, trimmed_s = 0;
  auto resident_mb = [] { return static_cast<double>(faults::resident_bytes()) / (1 << 20); };
  quiet listener;
  otp::runtime rt({.listener = &listener});
  rt.start();
  auto why = rt.run([&] {
    maps_before = mappings();
    before = resident_mb();
    std::vector<otp::spawned> all;
    for (std::uint64_t i = 0; i < crowd; ++i)
      all.push_back(otp::spawn_monitor([&, i] { painted<512>(waiting, changed, static_cast<char>(1 + i % 100)); }));
    while (waiting < crowd) otp::sleep(1ms);
    maps = mappings();
    high = resident_mb();
    EXPECT_GE(otp::counters().stacks_live, crowd);
    for (auto& p : all) otp::send(p.pid, go{});
    for (std::uint64_t i = 0; i < crowd; ++i)
      otp::receive([](const otp::down& e) { EXPECT_EQ(e.reason, otp::reason::normal); });
    all = {};
    auto begin = std::chrono::steady_clock::now();
    // What a control block takes stays: a place in the table is never unmapped. That is a fifth; the page of a stack,
    // four fifths.
    const double enough = before + 0.25 * (high - before);
    while ((low = resident_mb()) > enough && seconds_since(begin) < 30) otp::sleep(20ms);
    trimmed_s = seconds_since(begin);
  });
  EXPECT_EQ(why, otp::reason::normal) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
  EXPECT_EQ(changed, 0U);
  if (!sanitised) {
    EXPECT_LE(maps, maps_before + 1'000) << "a guard costs a mapping: is this Linux older than 6.13?";
  }
  figure("F12", text("%s blocked processes with guards; trimmed within 10 s", number(crowd).c_str()),
         text("%zu mappings more, %.0f MB, %.0f MB %.1f s later, %s bytes changed", maps - maps_before, high, low,
              trimmed_s, number(changed).c_str()),
         trimmed_s <= 10);
}

// Where the kernel is older, guards are mappings: as many stacks as it allows, and a reason past that.
// covers: F12 F10
TEST(stacks, with_guards_by_mprotect_reach_the_kernels_limit_and_say_so) {
  if (sanitised) GTEST_SKIP() << "a sanitizer needs mappings of its own";
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  std::uint64_t allowed = 65'530;
  std::ifstream("/proc/sys/vm/max_map_count") >> allowed;
  if (allowed > 200'000) GTEST_SKIP() << "vm.max_map_count is " << allowed;
  const std::uint64_t crowd = allowed / 2 + 5'000;  // a stack and its guard are two
  std::atomic<std::uint64_t> waiting{0}, changed{0};
  std::uint64_t normal = 0, refused = 0, other = 0;
  quiet listener;
  otp::runtime rt({.guard_by_mprotect = true, .listener = &listener});
  rt.start();
  auto why = rt.run([&] {
    auto ended = [&](const otp::down& e) {
      ++(e.reason == otp::reason::normal ? normal : e.reason == otp::reason::system_limit ? refused : other);
    };
    std::vector<otp::pid> all;
    for (std::uint64_t i = 0; i < crowd; ++i)
      all.push_back(otp::spawn_monitor([&, i] { painted<512>(waiting, changed, static_cast<char>(1 + i % 100)); }).pid);
    // Those that get no stack end; the others wait at the same time.
    while (waiting < crowd) otp::receive(ended, otp::after(1ms, [] {}));
    for (otp::pid p : all) otp::send(p, go{});
    while (normal + refused + other < crowd) otp::receive(ended);
  });
  EXPECT_EQ(why, otp::reason::normal) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
  EXPECT_GE(normal, allowed * 9 / 20);
  EXPECT_GT(refused, 0U);
  EXPECT_EQ(other, 0U);
  EXPECT_EQ(changed, 0U);
  figure("F12",
         text("guards by mprotect under vm.max_map_count = %s: nearly half as many stacks, and a reason past that",
              number(allowed).c_str()),
         text("%s waited and ended as they should, %s ended with system_limit", number(normal).c_str(),
              number(refused).c_str()));
}

}  // namespace
