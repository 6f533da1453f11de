// C: registries.
#include "faults/support.hpp"

#include <otp/registry.hpp>

#include <set>

using namespace faults;
using otp::pid;

namespace {

constexpr otp::duplicate_registry<int, int> topics{"topics"};
constexpr otp::unique_registry<int> seats{"seats"};

struct ready {};
struct go {};

// A process with this many entries under each of the keys 0 to `keys` - 1, and its monitor.
otp::spawned member(int keys, int each) {
  auto made = otp::spawn_monitor([=, to = otp::self()] {
    for (int key = 0; key < keys; ++key)
      for (int i = 0; i < each; ++i) otp::register_key(topics, key, i).value();
    otp::send(to, ready{});
    otp::receive([](go) {});
  });
  otp::receive([](ready) {});
  return made;
}

}  // namespace

// covers: C11
TEST(the_owner_of_entries_under_many_keys, loses_all_of_them_together_when_it_dies) {
  constexpr int keys = 12;
  constexpr int each = 5;
  auto body = [&](int partitions) {
    otp::registry::start_link(topics, {.partitions = partitions}).value();
    auto stays = member(keys, 1);
    for (bool crash : {false, true}) {
      auto owner = member(keys, each);
      EXPECT_EQ(otp::count(topics), keys + std::size_t{keys} * each);
      if (crash)
        otp::exit(owner.pid, "crash");
      else
        otp::send(owner.pid, go{});
      // Until the end is known a look finds all of its entries or none.
      for (int looks = 0; looks < 50; ++looks) {
        auto found = otp::select(topics, [&](int, pid process, int) -> std::optional<int> {
          return process == owner.pid ? std::optional(1) : std::nullopt;
        });
        EXPECT_TRUE(found.empty() || found.size() == std::size_t{keys} * each) << found.size();
        if (found.empty()) break;
        otp::yield();
      }
      reason_of(owner.monitor);
      for (int key = 0; key < keys; ++key) {
        auto left = otp::lookup(topics, key);
        ASSERT_EQ(left.size(), 1U) << key;
        EXPECT_EQ(left[0].process, stays.pid);
        EXPECT_TRUE(otp::values(topics, key, owner.pid).empty());
      }
      EXPECT_TRUE(otp::keys(topics, owner.pid).empty());
      EXPECT_EQ(otp::count(topics), std::size_t{keys});
    }
    otp::send(stays.pid, go{});
    reason_of(stays.monitor);
    EXPECT_EQ(otp::count(topics), 0U);
  };
  for (int partitions : {1, 4}) {
    for_seeds(20, [&] { body(partitions); });
    in_real_time([&] { body(partitions); });
  }
}

// covers: C11
TEST(the_owner_of_entries_under_many_keys, is_never_seen_by_who_has_heard_of_its_end) {
  // Members end while others look, on as many threads as there are.
  in_real_time(
      [&] {
        otp::registry::start_link(topics, {.partitions = 2}).value();
        const int rounds = load(2'000, 500, 100);
        for (int round = 0; round < rounds; ++round) {
          std::vector<otp::spawned> members;
          for (int i = 0; i < 8; ++i) members.push_back(member(3, 1));
          for (auto& m : members) otp::send(m.pid, go{});
          std::set<pid> ended;
          for (std::size_t i = 0; i < members.size(); ++i) {
            otp::receive([&](const otp::down& d) { ended.insert(d.process); });
            for (int key = 0; key < 3; ++key)
              for (auto& entry : otp::lookup(topics, key)) ASSERT_FALSE(ended.contains(entry.process));
            for (pid p : ended) ASSERT_TRUE(otp::keys(topics, p).empty());
          }
          ASSERT_EQ(otp::count(topics), 0U);
        }
      },
      {.workers = 4});
}

// covers: C12
TEST(sixty_four_processes, that_want_one_key_of_a_registry_give_it_to_exactly_one) {
  auto body = [] {
    otp::registry::start_link(seats).value();
    struct outcome {
      pid who;
      pid holder;
    };
    pid previous;
    for (int round = 0; round < 20; ++round) {
      for (int i = 0; i < 64; ++i)
        otp::spawn([to = otp::self()] {
          otp::receive([](go) {}, otp::after(0s, [] {}));
          auto done = otp::register_key(seats, 1);
          otp::send(to, outcome{otp::self(), done ? otp::self() : done.error().process()});
          otp::receive([](go) {});
        });
      std::vector<pid> all;
      std::set<pid> holders;
      for (int i = 0; i < 64; ++i)
        otp::receive([&](const outcome& o) {
          all.push_back(o.who);
          holders.insert(o.holder);
        });
      ASSERT_EQ(holders.size(), 1U);
      EXPECT_NE(*holders.begin(), previous) << "who has ended holds nothing";
      EXPECT_EQ(otp::lookup(seats, 1)->process, *holders.begin());
      previous = *holders.begin();
      for (pid p : all) {
        auto m = otp::monitor(p);
        otp::send(p, go{});
        reason_of(m);
      }
    }
  };
  for_seeds(5, body);
  in_real_time(body, {.workers = 4});
}

// A key whose holder has just ended, in any way, is taken at once: nobody waits for the clean-up.
TEST(the_key_of_a_dead_process, can_be_taken_as_soon_as_its_end_is_known) {
  auto body = [] {
    otp::registry::start_link(seats).value();
    for (int round = 0; round < load(2'000, 500, 200); ++round) {
      auto [holder, watch] = otp::spawn_monitor([to = otp::self()] {
        otp::register_key(seats, 1).value();
        otp::send(to, ready{});
        otp::receive([](go) {});
      });
      otp::receive([](ready) {});
      if (round % 2)
        otp::exit(holder, otp::reason::kill);
      else
        otp::send(holder, go{});
      reason_of(watch);
      ASSERT_TRUE(otp::register_key(seats, 1)) << round;
      otp::unregister_key(seats, 1);
    }
  };
  for_seeds(3, body);
  in_real_time(body);
}
