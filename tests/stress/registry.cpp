// A crowd under one key: members join and leave all the time, somebody broadcasts to all of them, and others watch that
// nobody is found who is known to be dead. At the end the counts are exact.
#include <otp/receive.hpp>
#include <otp/registry.hpp>
#include <otp/runtime.hpp>
#include <otp/timer.hpp>

#include "stress/dice.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define OTP_SLOW_BUILD 1
#endif
#endif

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

#if defined(OTP_SLOW_BUILD) || !defined(__OPTIMIZE__)
constexpr std::size_t members_max = 3'000;
constexpr auto length = 2s;
#else
constexpr std::size_t members_max = 150'000;
constexpr auto length = 5s;
#endif
constexpr auto tick = 10ms;
constexpr int per_tick = 10;  // 1,000 joins and 1,000 leaves a second
constexpr auto broadcast_every = 100ms;

constexpr otp::duplicate_registry<int> crowd{"crowd"};
constexpr otp::unique_registry<int> badges{"badges"};

struct news {
  int number;
};
struct leave {};

double milliseconds(clock_type::duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

struct spread {
  std::vector<double> all;
  void add(clock_type::duration d) { all.push_back(milliseconds(d)); }
  double at(double part) {
    if (all.empty()) return 0;
    std::sort(all.begin(), all.end());
    return all[static_cast<std::size_t>(part * static_cast<double>(all.size() - 1))];
  }
};

// A member: a server with no stack of its own, so that 150,000 of them are cheap.
struct member {
  explicit member(int badge) {
    otp::register_key(crowd, 1).value();
    otp::register_key(badges, badge).value();
  }
  using messages = otp::messages<news, leave>;
  void handle_info(news) { heard.fetch_add(1, std::memory_order_relaxed); }
  otp::handler_result handle_info(leave) { return otp::stop(otp::reason::normal); }
  static inline std::atomic<std::uint64_t> heard{0};
};

TEST(registry, a_crowd_that_joins_leaves_and_is_told_the_news) {
  otp::runtime rt;
  rt.start();
  spread joining, leaving, broadcasting;
  std::uint64_t told = 0, checked = 0;
  auto why = rt.run([&] {
    otp::registry::start_link(crowd, {.partitions = 4}).value();
    otp::registry::start_link(badges).value();
    stress::dice dice(1);
    std::vector<std::pair<otp::pid, int>> here;
    int next_badge = 0;
    auto join = [&] {
      int badge = next_badge++;
      here.emplace_back(otp::gen_server::start<member>({}, badge).value().pid(), badge);
    };
    while (here.size() < members_max) join();
    ASSERT_EQ(otp::count(crowd), members_max);

    // Who looks on: after a `down` the process is in no answer, and its badge is free.
    std::unordered_set<std::uint64_t> known_dead;
    auto begin = clock_type::now();
    auto next_broadcast = begin;
    int number = 0;
    while (clock_type::now() - begin < length) {
      auto tick_begin = clock_type::now();
      for (int i = 0; i < per_tick; ++i) {
        std::size_t which = dice.below(here.size());
        auto who = here[which];
        here[which] = here.back();
        here.pop_back();
        auto start = clock_type::now();
        otp::monitor(who.first);
        if (dice.one_in(2))
          otp::exit(who.first, otp::reason::kill);
        else
          otp::send(who.first, leave{});
        otp::receive([&](const otp::down& d) { known_dead.insert(d.process.value()); });
        leaving.add(clock_type::now() - start);
        ASSERT_EQ(otp::lookup(badges, who.second), std::nullopt);
        ASSERT_TRUE(otp::keys(crowd, who.first).empty());
        ASSERT_TRUE(otp::values(crowd, 1, who.first).empty());
        ++checked;
      }
      for (int i = 0; i < per_tick; ++i) {
        auto start = clock_type::now();
        join();
        joining.add(clock_type::now() - start);
      }
      if (clock_type::now() >= next_broadcast) {
        next_broadcast += broadcast_every;
        auto start = clock_type::now();
        otp::dispatch(crowd, 1, [&](auto entries) {
          ASSERT_EQ(entries.size(), members_max);
          for (auto& e : entries) {
            ASSERT_FALSE(known_dead.contains(e.process.value()));
            otp::send(e.process, news{number});
          }
          told += entries.size();
        });
        broadcasting.add(clock_type::now() - start);
        ++number;
      }
      if (auto left = tick_begin + tick - clock_type::now(); left > 0ns)
        otp::sleep(std::chrono::duration_cast<otp::duration>(left));
    }
    EXPECT_EQ(otp::count(crowd), members_max);
    EXPECT_EQ(otp::count(badges), members_max);

    // All leave at once.
    std::size_t ended = 0;
    for (auto& [process, badge] : here) {
      otp::monitor(process);
      otp::send(process, leave{});
    }
    while (ended < here.size()) otp::receive([&](const otp::down&) { ++ended; });
    EXPECT_EQ(otp::count(crowd), 0U);
    EXPECT_EQ(otp::count(badges), 0U);
    EXPECT_TRUE(otp::lookup(crowd, 1).empty());
  });
  EXPECT_EQ(why, otp::reason::normal);
  EXPECT_TRUE(rt.stop().clean());
  std::printf(
      "%zu members, %llu left; ms p50/p99/max: join %.3f/%.3f/%.3f leave %.3f/%.3f/%.3f broadcast "
      "%.1f/%.1f/%.1f; %llu of %llu heard\n",
      members_max, static_cast<unsigned long long>(checked), joining.at(0.5), joining.at(0.99), joining.at(1),
      leaving.at(0.5), leaving.at(0.99), leaving.at(1), broadcasting.at(0.5), broadcasting.at(0.99), broadcasting.at(1),
      static_cast<unsigned long long>(member::heard.load()), static_cast<unsigned long long>(told));
  EXPECT_LE(member::heard.load(), told);
}

// Everybody does everything at once, on every worker; who has a key is the only one, and in the end nothing is left.
TEST(registry, many_processes_register_look_up_and_end_on_all_workers) {
  constexpr int processes = 64;
  constexpr int keys = 16;
  constexpr int rounds = 400;
  otp::runtime rt({.workers = 4});
  rt.start();
  std::vector<std::atomic<std::uint64_t>> owner(keys);
  auto why = rt.run([&] {
    otp::registry::start_link(crowd, {.partitions = 3}).value();
    otp::registry::start_link(badges, {.partitions = 2}).value();
    for (int generation = 0; generation < 4; ++generation) {
      std::vector<otp::ref> watches;
      for (int n = 0; n < processes; ++n) {
        auto body = [&owner, number = static_cast<std::uint64_t>(generation * processes + n)] {
          stress::dice dice(number);
          std::uint64_t me = otp::self().value();
          for (int round = 0; round < rounds; ++round) {
            int key = static_cast<int>(dice.below(keys));
            auto& place = owner[static_cast<std::size_t>(key)];
            switch (dice.below(8)) {
              case 0:
              case 1:
                if (otp::register_key(badges, key)) {
                  // Only its holder is here, unless the last one has died with it.
                  std::uint64_t before = place.exchange(me);
                  ASSERT_TRUE(before == 0 || !otp::is_alive(otp::pid(before))) << key;
                  ASSERT_EQ(otp::lookup(badges, key)->process, otp::self());
                  if (dice.one_in(4)) otp::yield();
                  if (dice.one_in(20)) return;  // with the key
                  ASSERT_EQ(place.exchange(0), me);
                  otp::unregister_key(badges, key);
                }
                break;
              case 2: static_cast<void>(otp::register_key(crowd, key)); break;
              case 3: otp::unregister_key(crowd, key); break;
              case 4:
                for (auto& e : otp::lookup(crowd, key)) ASSERT_TRUE(e.process);
                break;
              case 5: static_cast<void>(otp::count(crowd)); break;
              case 6: {
                auto mine = otp::keys(crowd, otp::self());
                std::size_t found = 0;
                for (int k = 0; k < keys; ++k) found += otp::values(crowd, k, otp::self()).size();
                ASSERT_EQ(mine.size(), found);
                break;
              }
              case 7:
                otp::dispatch(crowd, key, [](auto entries) {
                  for (auto& e : entries) otp::send(e.process, news{1});
                });
                break;
            }
          }
        };
        watches.push_back(otp::spawn_monitor(body).monitor);
      }
      for (std::size_t i = 0; i < watches.size(); ++i)
        otp::receive([](const otp::down& d) { ASSERT_EQ(d.reason, otp::reason::normal) << d.reason.to_string(); });
      ASSERT_EQ(otp::count(crowd), 0U);
      ASSERT_EQ(otp::count(badges), 0U);
    }
  });
  EXPECT_EQ(why, otp::reason::normal);
  EXPECT_TRUE(rt.stop().clean());
}

}  // namespace
