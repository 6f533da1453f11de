// Registries: registering and unregistering.
#include "conformance/registry_support.hpp"

#include <array>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <variant>

namespace {

/// Text to whoever reads it; equal whatever the case of its letters.
struct any_case {
  std::string text;
  operator std::string_view() const { return text; }
  std::string folded() const {
    std::string all = text;
    for (char& c : all) c = static_cast<char>(c | 0x20);
    return all;
  }
  friend bool operator==(const any_case& a, const any_case& b) { return a.folded() == b.folded(); }
};
enum class shade { light, dark, black };
bool operator==(shade a, shade b) { return (static_cast<int>(a) > 0) == (static_cast<int>(b) > 0); }

}  // namespace
template <>
struct std::hash<any_case> {
  std::size_t operator()(const any_case& key) const { return std::hash<std::string>()(key.folded()); }
};
template <>
struct std::hash<shade> {
  std::size_t operator()(shade key) const { return key == shade::dark; }
};

namespace {

using namespace conformance;

// covers: REG-007
TEST(registry_register, stores_the_caller_with_its_value_and_returns_the_keeper_responsible) {
  with_unique([] {
    auto keeper = otp::register_key(unique_names, "hello", 7).value();
    auto keepers = keepers_of("unique_names");
    EXPECT_NE(std::find(keepers.begin(), keepers.end(), keeper), keepers.end());
    EXPECT_EQ(otp::lookup(unique_names, "hello"), (otp::registration<int>{otp::self(), 7}));
    EXPECT_EQ(otp::register_key(unique_names, "world", 8), keeper) << "one keeper a process";
    worker other;
    auto its = other.run([] { return otp::register_key(unique_names, "other", 9).value(); });
    EXPECT_NE(std::find(keepers.begin(), keepers.end(), its), keepers.end());
  });
  with_duplicate([] {
    auto keeper = otp::register_key(groups, "hello", 7).value();
    auto keepers = keepers_of("groups");
    EXPECT_NE(std::find(keepers.begin(), keepers.end(), keeper), keepers.end());
    EXPECT_EQ(otp::lookup(groups, "hello"), (std::vector<otp::registration<int>>{{otp::self(), 7}}));
  });
}

// covers: REG-008
TEST(registry_register, a_process_can_only_register_itself) {
  with_unique([] {
    worker other;
    // register_key has no parameter for whom: only a name that is claimed for a process could be somebody else's.
    otp::server_name name = otp::via(unique_names, "mine");
    EXPECT_THROW(static_cast<void>(name.claim(other.pid())), otp::bad_argument);
    EXPECT_EQ(otp::lookup(unique_names, "mine"), std::nullopt);
    EXPECT_TRUE(name.claim(otp::self()));
    EXPECT_EQ(otp::whereis(otp::via(unique_names, "mine")), otp::self());
  });
}

// covers: REG-009
TEST(registry_register, one_process_holds_any_number_of_keys) {
  with_unique([] {
    for (int i = 0; i < 300; ++i) EXPECT_TRUE(otp::register_key(unique_names, "key" + std::to_string(i), i));
    EXPECT_EQ(otp::count(unique_names), 300U);
    for (int i = 0; i < 300; ++i) EXPECT_EQ(otp::lookup(unique_names, "key" + std::to_string(i))->value, i);
    for (int i = 0; i < 300; i += 2) otp::unregister_key(unique_names, "key" + std::to_string(i));
    EXPECT_EQ(otp::keys(unique_names, otp::self()).size(), 150U);
    EXPECT_EQ(otp::lookup(unique_names, "key2"), std::nullopt);
    EXPECT_EQ(otp::lookup(unique_names, "key3")->value, 3);
  });
  with_duplicate([] {
    for (int i = 0; i < 300; ++i) EXPECT_TRUE(otp::register_key(groups, "key" + std::to_string(i), i));
    EXPECT_EQ(otp::keys(groups, otp::self()).size(), 300U);
  });
}

// covers: REG-010
TEST(registry_register, a_key_of_a_live_process_is_refused_with_its_holder) {
  with_unique([] {
    worker other;
    EXPECT_TRUE(other.run([] { return otp::register_key(unique_names, "taken", 1).has_value(); }));
    auto refused = otp::register_key(unique_names, "taken", 2);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), already_registered);
    EXPECT_EQ(refused.error().process(), other.pid());
    EXPECT_EQ(refused.error().to_string(), "{already_registered, " + other.pid().to_string() + "}");
    EXPECT_EQ(otp::lookup(unique_names, "taken"), (otp::registration<int>{other.pid(), 1}));
  });
}
// covers: REG-010
TEST(registry_register, of_many_that_race_for_a_key_one_gets_it) {
  with_unique([] {
    struct outcome {
      otp::pid holder;
      bool won;
    };
    for (int i = 0; i < 10; ++i)
      otp::spawn([to = otp::self()] {
        auto done = otp::register_key(unique_names, "contested", 1);
        otp::send(to, outcome{done ? otp::self() : done.error().process(), done.has_value()});
        rest();
      });
    int winners = 0;
    std::vector<otp::pid> holders;
    for (int i = 0; i < 10; ++i) {
      auto o = next<outcome>();
      winners += o.won;
      holders.push_back(o.holder);
    }
    EXPECT_EQ(winners, 1);
    for (otp::pid p : holders) EXPECT_EQ(p, otp::lookup(unique_names, "contested")->process);
  });
}

// covers: REG-011
TEST(registry_register, a_key_that_the_caller_holds_is_refused_and_keeps_its_value) {
  with_unique([] {
    otp::register_key(unique_names, "mine", 1).value();
    auto again = otp::register_key(unique_names, "mine", 2);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error(), already_registered);
    EXPECT_EQ(again.error().process(), otp::self());
    EXPECT_EQ(otp::lookup(unique_names, "mine")->value, 1);
    EXPECT_EQ(otp::values(unique_names, "mine", otp::self()), std::vector{1});
  });
}

// covers: REG-012, REG-041
TEST(registry_register, in_a_duplicate_registry_every_registration_of_a_process_counts_in_order) {
  with_duplicate([] {
    worker other;
    for (int i = 1; i <= 40; ++i) {
      EXPECT_TRUE(otp::register_key(groups, "again", i));
      other.run([i] { return otp::register_key(groups, "again", -i).has_value(); });
    }
    EXPECT_EQ(otp::count(groups), 80U);
    std::vector<int> mine;
    for (auto& e : otp::lookup(groups, "again"))
      if (e.process == otp::self()) mine.push_back(e.value);
    std::vector<int> expected(40);
    for (int i = 0; i < 40; ++i) expected[static_cast<std::size_t>(i)] = i + 1;
    EXPECT_EQ(mine, expected);
    EXPECT_EQ(otp::values(groups, "again", otp::self()), expected);
    // Those that stay keep their order, also when most have left and the list has closed up.
    otp::unregister_match(groups, "again", [](int v) { return v % 5 != 0; });
    EXPECT_EQ(otp::values(groups, "again", otp::self()), (std::vector{5, 10, 15, 20, 25, 30, 35, 40}));
    other.end();
    EXPECT_TRUE(otp::register_key(groups, "again", 41));
    std::vector<int> left;
    for (auto& e : otp::lookup(groups, "again")) left.push_back(e.value);
    EXPECT_EQ(left, (std::vector{5, 10, 15, 20, 25, 30, 35, 40, 41}));
  });
}

// covers: REG-013
TEST(registry_register, several_processes_hold_one_key_of_a_duplicate_registry) {
  with_duplicate([] {
    std::vector<worker> all(5);
    std::vector<otp::pid> pids;
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i].run([i] { return otp::register_key(groups, "group", static_cast<int>(i)).has_value(); });
      pids.push_back(all[i].pid());
    }
    EXPECT_EQ(pids_in(otp::lookup(groups, "group")), sorted(pids));
  });
}

// covers: REG-014
TEST(registry_register, keys_of_different_types_are_different_keys) {
  static constexpr otp::unique_registry<std::variant<int, double>> numbers{"numbers"};
  static constexpr otp::duplicate_registry<otp::term> terms{"terms"};
  everywhere(5, [] {
    otp::registry::start_link(numbers).value();
    otp::registry::start_link(terms, {.partitions = 4}).value();
    otp::register_key(numbers, 1).value();
    EXPECT_EQ(otp::lookup(numbers, 1.0), std::nullopt);
    otp::register_key(numbers, 1.0).value();
    EXPECT_TRUE(otp::lookup(numbers, 1.0));
    EXPECT_EQ(otp::count(numbers), 2U);

    otp::register_key(terms, 1).value();
    for (otp::term other : {otp::term(1.0), otp::term(1L), otp::term(1U), otp::term("1"), otp::term(true)}) {
      EXPECT_TRUE(otp::lookup(terms, other).empty()) << other.to_string() << " " << other.type_name();
      otp::register_key(terms, other).value();
      EXPECT_EQ(otp::lookup(terms, other).size(), 1U);
    }
    EXPECT_EQ(otp::lookup(terms, 1).size(), 1U);
    EXPECT_EQ(otp::keys(terms, otp::self()).size(), 6U);
  });
}

// covers: REG-015, REG-016
TEST(registry_register, a_key_of_any_shape_is_taken_literally) {
  using map = std::map<std::string, int>;
  using key = std::tuple<std::string, std::vector<std::pair<int, otp::pid>>, map>;
  static constexpr otp::unique_registry<key, int> unique{"shapes"};
  static constexpr otp::duplicate_registry<map, int> maps{"maps"};
  static constexpr otp::duplicate_registry<std::string, int> words{"words"};
  everywhere(5, [] {
    otp::registry::start_link(unique).value();
    otp::registry::start_link(maps).value();
    otp::registry::start_link(words).value();
    key a{"_", {{1, otp::self()}}, {{"x", 1}}};
    key b{"_", {{1, otp::self()}, {2, otp::pid()}}, {{"x", 1}}};
    otp::register_key(unique, a, 1).value();
    otp::register_key(unique, b, 2).value();
    EXPECT_EQ(otp::lookup(unique, a)->value, 1);
    EXPECT_EQ(otp::lookup(unique, b)->value, 2);
    EXPECT_EQ(otp::lookup(unique, key{"_", {}, {}}), std::nullopt);
    // A map is found under an equal one, never under one that it contains or that contains it.
    otp::register_key(maps, map{{"a", 1}, {"b", 2}}, 1).value();
    EXPECT_EQ(otp::lookup(maps, map{{"b", 2}, {"a", 1}}).size(), 1U);
    EXPECT_TRUE(otp::lookup(maps, map{{"a", 1}}).empty());
    EXPECT_TRUE(otp::lookup(maps, map{}).empty());
    EXPECT_TRUE(otp::lookup(maps, map{{"a", 1}, {"b", 2}, {"c", 3}}).empty());
    otp::register_key(words, "$1", 1).value();
    otp::register_key(words, "plain", 2).value();
    for (const char* wild : {"_", "$2", "$_", "$$", "*", ""}) EXPECT_TRUE(otp::lookup(words, wild).empty()) << wild;
    EXPECT_EQ(otp::lookup(words, "$1").size(), 1U);
  });
}

// Equal keys were hashed by the order of their elements, or as text though their == says otherwise: both were taken.
// covers: REG-010, REG-016
TEST(registry_register, keys_that_are_equal_are_one_key_whatever_they_look_like) {
  using map = std::unordered_map<std::string, int>;
  using set = std::unordered_multiset<int>;
  static constexpr otp::unique_registry<map, int> maps{"maps"};
  static constexpr otp::unique_registry<std::pair<int, set>, int> sets{"sets"};
  static constexpr otp::unique_registry<std::tuple<any_case, int>, int> names{"names"};
  static constexpr otp::unique_registry<shade, int> shades{"shades"};
  everywhere(5, [] {
    auto twice = [](const auto& in, const auto& a, const auto& b, const auto& other) {
      otp::registry::start_link(in).value();
      ASSERT_EQ(a, b);
      otp::register_key(in, a, 1).value();
      EXPECT_EQ(otp::lookup(in, b)->value, 1);
      auto again = otp::register_key(in, b, 2);
      ASSERT_FALSE(again);
      EXPECT_EQ(again.error().process(), otp::self());
      EXPECT_FALSE(otp::lookup(in, other));
      otp::register_key(in, other, 3).value();
      otp::unregister_key(in, b);
      EXPECT_EQ(otp::count(in), 1U);
    };
    map small, large;
    large.reserve(1000);
    for (int i = 0; i < 20; ++i) small[std::to_string(i)] = i;
    for (int i = 19; i >= 0; --i) large[std::to_string(i)] = i;
    map changed = small;
    changed["7"] = 8;
    twice(maps, small, large, changed);
    set numbers{1, 2, 2, 3}, backwards{3, 2, 2, 1};
    backwards.rehash(100);
    twice(sets, std::pair(1, numbers), std::pair(1, backwards), std::pair(1, set{1, 2, 3}));
    twice(names, std::tuple(any_case{"Ann"}, 1), std::tuple(any_case{"aNN"}, 1), std::tuple(any_case{"Bob"}, 1));
    twice(shades, shade::dark, shade::black, shade::light);
  });
}

// covers: REG-018
TEST(registry_register, a_refused_registration_leaves_no_trace) {
  with_unique([] {
    worker other;
    other.run([] { return otp::register_key(unique_names, "taken", 1).has_value(); });
    for (int i = 0; i < 10; ++i) EXPECT_FALSE(otp::register_key(unique_names, "taken", 2));
    EXPECT_EQ(otp::count(unique_names), 1U);
    EXPECT_TRUE(otp::keys(unique_names, otp::self()).empty());
    for (otp::pid keeper : keepers_of("unique_names")) EXPECT_FALSE(linked_with(keeper));
    // With another key the link is there, and stays after a refusal.
    auto keeper = otp::register_key(unique_names, "mine", 1).value();
    EXPECT_FALSE(otp::register_key(unique_names, "taken", 2));
    EXPECT_FALSE(otp::register_key(unique_names, "mine", 2));
    EXPECT_TRUE(linked_with(keeper));
    EXPECT_EQ(otp::keys(unique_names, otp::self()), std::vector<std::string>{"mine"});
    EXPECT_EQ(otp::count(unique_names), 2U);
  });
}

// covers: REG-021
TEST(registry_register, unregister_removes_the_callers_entries_and_takes_none_for_an_answer) {
  with_unique([] {
    otp::register_key(unique_names, "a", 1).value();
    otp::register_key(unique_names, "b", 2).value();
    otp::unregister_key(unique_names, "a");
    EXPECT_EQ(otp::lookup(unique_names, "a"), std::nullopt);
    EXPECT_EQ(otp::keys(unique_names, otp::self()), std::vector<std::string>{"b"});
    otp::unregister_key(unique_names, "a");
    otp::unregister_key(unique_names, "never");
    EXPECT_EQ(otp::count(unique_names), 1U);
  });
}
// covers: REG-021, REG-023
TEST(registry_register, one_unregister_removes_all_duplicates_of_the_key) {
  with_duplicate([] {
    for (int i = 0; i < 30; ++i) otp::register_key(groups, "a", i).value();
    otp::register_key(groups, "b", 1).value();
    otp::unregister_key(groups, "a");
    EXPECT_TRUE(otp::lookup(groups, "a").empty());
    EXPECT_EQ(otp::keys(groups, otp::self()), std::vector<std::string>{"b"});
    EXPECT_EQ(otp::count(groups), 1U);
    otp::unregister_key(groups, "a");
  });
}

// covers: REG-022
TEST(registry_register, unregister_leaves_others_alone) {
  with_duplicate([] {
    worker other;
    other.run([] { return otp::register_key(groups, "shared", 1).has_value(); });
    otp::register_key(groups, "shared", 2).value();
    otp::unregister_key(groups, "shared");
    EXPECT_EQ(otp::lookup(groups, "shared"), (std::vector<otp::registration<int>>{{other.pid(), 1}}));
    otp::unregister_key(groups, "shared");
    EXPECT_EQ(otp::lookup(groups, "shared").size(), 1U);
  });
  with_unique([] {
    worker other;
    other.run([] { return otp::register_key(unique_names, "theirs", 1).has_value(); });
    otp::unregister_key(unique_names, "theirs");
    EXPECT_EQ(otp::lookup(unique_names, "theirs")->process, other.pid());
  });
}

// covers: REG-024
TEST(registry_register, a_freed_key_can_be_taken_at_once) {
  with_unique([] {
    worker other;
    for (int i = 0; i < 20; ++i) {
      EXPECT_TRUE(otp::register_key(unique_names, "wanted", i));
      otp::unregister_key(unique_names, "wanted");
      EXPECT_TRUE(other.run([i] { return otp::register_key(unique_names, "wanted", -i).has_value(); }));
      other.run([] { return otp::unregister_key(unique_names, "wanted"), 0; });
    }
  });
}

// covers: REG-025, REG-026
TEST(registry_register, unregister_match_removes_the_callers_entries_that_match) {
  using value = std::pair<std::string, std::variant<int, double>>;
  static constexpr otp::duplicate_registry<std::string, value> pairs{"pairs"};
  with_duplicate(
      [] {
        worker other;
        other.run([] { return otp::register_key(pairs, "key", value{"a", 1}).has_value(); });
        otp::register_key(pairs, "key", value{"a", 1}).value();
        otp::register_key(pairs, "key", value{"b", 1}).value();
        otp::register_key(pairs, "key", value{"b", 2.0}).value();
        otp::unregister_match(pairs, "key", [](const value& v) { return v == value{"b", 1.0}; });
        EXPECT_EQ(otp::count(pairs), 4U) << "1.0 is not 1";
        otp::unregister_match(pairs, "key", [](const value& v) { return v.first == "b" && v.second.index() == 0; });
        EXPECT_EQ(otp::values(pairs, "key", otp::self()), (std::vector{value{"a", 1}, value{"b", 2.0}}));
        otp::unregister_match(pairs, "elsewhere", [](const value&) { return true; });
        EXPECT_EQ(otp::values(pairs, "key", otp::self()).size(), 2U);
        otp::unregister_match(pairs, "key", [](const value&) { return true; });
        EXPECT_EQ(otp::lookup(pairs, "key"), (std::vector<otp::registration<value>>{{other.pid(), value{"a", 1}}}));
        EXPECT_TRUE(otp::keys(pairs, otp::self()).empty());
      },
      pairs);
  with_unique([] {
    otp::register_key(unique_names, "key", 3).value();
    otp::unregister_match(unique_names, "key", [](int v) { return v > 3; });
    EXPECT_TRUE(otp::lookup(unique_names, "key"));
    otp::unregister_match(unique_names, "key", [](int v) { return v > 2; });
    EXPECT_EQ(otp::lookup(unique_names, "key"), std::nullopt);
  });
}
// covers: REG-025
TEST(registry_register, the_function_given_to_unregister_match_may_use_the_registry_and_may_throw) {
  with_duplicate([] {
    for (int i = 0; i < 5; ++i) otp::register_key(groups, "key", i).value();
    otp::unregister_match(groups, "key", [](int v) {
      if (v == 0) otp::register_key(groups, "key", 10).value();
      return otp::lookup(groups, "key").size() == 6 && v < 3;
    });
    EXPECT_EQ(otp::values(groups, "key", otp::self()), (std::vector{3, 4, 10}));
    EXPECT_THROW(otp::unregister_match(groups, "key", [](int) -> bool { throw std::runtime_error("no"); }),
                 std::runtime_error);
    EXPECT_EQ(otp::lookup(groups, "key").size(), 3U);
  });
}

// covers: REG-028
TEST(registry_register, registering_links_with_the_keeper_until_the_last_key_is_given_up) {
  auto check = [](const auto& in) {
    auto keeper = otp::register_key(in, "a", 1).value();
    EXPECT_TRUE(linked_with(keeper));
    otp::register_key(in, "b", 1).value();
    otp::unregister_key(in, "a");
    EXPECT_TRUE(linked_with(keeper));
    otp::unregister_key(in, "never");
    EXPECT_TRUE(linked_with(keeper));
    otp::unregister_match(in, "b", [](int) { return true; });
    EXPECT_FALSE(linked_with(keeper));
  };
  with_unique([&] { check(unique_names); });
  with_duplicate([&] { check(groups); });
}

}  // namespace
