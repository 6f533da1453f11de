// Registries: looking up, matching, selecting, dispatching.
#include "conformance/registry_support.hpp"

#include <map>
#include <variant>

namespace {

using namespace conformance;

// covers: REG-035
TEST(registry_lookup, finds_none_or_one_in_a_unique_and_any_number_in_a_duplicate_registry) {
  with_unique([] {
    EXPECT_EQ(otp::lookup(unique_names, "a"), std::nullopt);
    otp::register_key(unique_names, "a", 1).value();
    EXPECT_EQ(otp::lookup(unique_names, "a"), (otp::registration<int>{otp::self(), 1}));
    worker w;
    EXPECT_EQ(w.run([] { return otp::lookup(unique_names, "a"); }), (otp::registration<int>{otp::self(), 1}));
    EXPECT_EQ(otp::lookup(unique_names, "b"), std::nullopt);
  });
  with_duplicate([] {
    EXPECT_TRUE(otp::lookup(groups, "a").empty());
    otp::register_key(groups, "a", 1).value();
    otp::register_key(groups, "a", 2).value();
    EXPECT_EQ(otp::lookup(groups, "a"), (std::vector<otp::registration<int>>{{otp::self(), 1}, {otp::self(), 2}}));
    EXPECT_TRUE(otp::lookup(groups, "b").empty());
  });
}

// covers: REG-036
TEST(registry_lookup, asks_no_keeper) {
  with_unique([] {
    for (otp::pid keeper : keepers_of("unique_names")) otp::sys::suspend(keeper);
    otp::register_key(unique_names, "a", 1).value();
    EXPECT_EQ(otp::lookup(unique_names, "a")->value, 1);
    EXPECT_EQ(otp::whereis(otp::via(unique_names, "a")), otp::self());
    EXPECT_EQ(otp::keys(unique_names, otp::self()), std::vector<std::string>{"a"});
    EXPECT_EQ(otp::values(unique_names, "a", otp::self()), std::vector{1});
    EXPECT_EQ(otp::count(unique_names), 1U);
    EXPECT_EQ(otp::select(unique_names, [](auto& key, otp::pid, int) { return key; }).size(), 1U);
    otp::unregister_key(unique_names, "a");
    EXPECT_EQ(otp::lookup(unique_names, "a"), std::nullopt);
    for (otp::pid keeper : keepers_of("unique_names")) otp::sys::resume(keeper);
  });
}

// covers: REG-037, REG-038
TEST(registry_lookup, keys_lists_the_keys_of_a_process) {
  with_unique([] {
    worker w;
    EXPECT_TRUE(otp::keys(unique_names, w.pid()).empty());
    EXPECT_TRUE(otp::keys(unique_names, otp::pid()).empty());
    w.run([] {
      for (auto* key : {"b", "a"}) otp::register_key(unique_names, key, 1).value();
      return 0;
    });
    otp::register_key(unique_names, "mine", 1).value();
    EXPECT_EQ(sorted(otp::keys(unique_names, w.pid())), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(otp::keys(unique_names, otp::self()), std::vector<std::string>{"mine"});
    w.end();
    EXPECT_TRUE(otp::keys(unique_names, w.pid()).empty());
  });
  with_duplicate([] {
    worker w;
    EXPECT_TRUE(otp::keys(groups, w.pid()).empty());
    w.run([] {
      for (auto* key : {"b", "a", "b"}) otp::register_key(groups, key, 1).value();
      return 0;
    });
    EXPECT_EQ(sorted(otp::keys(groups, w.pid())), (std::vector<std::string>{"a", "b", "b"}));
    EXPECT_TRUE(otp::keys(groups, otp::self()).empty());
  });
}

// covers: REG-039
TEST(registry_lookup, values_lists_what_a_process_stored_under_a_key) {
  with_unique([] {
    worker w;
    w.run([] { return otp::register_key(unique_names, "a", 4).has_value(); });
    EXPECT_EQ(otp::values(unique_names, "a", w.pid()), std::vector{4});
    EXPECT_TRUE(otp::values(unique_names, "a", otp::self()).empty());
    EXPECT_TRUE(otp::values(unique_names, "b", w.pid()).empty());
  });
  with_duplicate([] {
    worker w;
    w.run([] { return otp::register_key(groups, "a", 4).has_value(); });
    otp::register_key(groups, "a", 1).value();
    otp::register_key(groups, "b", 2).value();
    otp::register_key(groups, "a", 1).value();
    EXPECT_EQ(otp::values(groups, "a", otp::self()), (std::vector{1, 1}));
    EXPECT_EQ(otp::values(groups, "a", w.pid()), std::vector{4});
    EXPECT_TRUE(otp::values(groups, "b", w.pid()).empty());
  });
}

// covers: REG-040
TEST(registry_lookup, count_gives_the_entries_of_all_partitions) {
  with_unique([] {
    EXPECT_EQ(otp::count(unique_names), 0U);
    std::vector<worker> all(10);
    for (std::size_t i = 0; i < all.size(); ++i)
      all[i].run([i] { return otp::register_key(unique_names, std::to_string(i), 1).has_value(); });
    EXPECT_EQ(otp::count(unique_names), 10U);
  });
  with_duplicate([] {
    EXPECT_EQ(otp::count(groups), 0U);
    std::vector<worker> all(10);
    for (auto& w : all)
      w.run([] {
        for (auto* key : {"a", "a", "b"}) otp::register_key(groups, key, 1).value();
        return 0;
      });
    EXPECT_EQ(otp::count(groups), 30U);
    all[0].run([] { return otp::unregister_key(groups, "a"), 0; });
    all[1].end();
    EXPECT_EQ(otp::count(groups), 25U);
  });
}

// covers: REG-042
TEST(registry_lookup, update_value_replaces_the_callers_value) {
  with_unique([] {
    auto add = [](int v) { return v + 10; };
    EXPECT_EQ(otp::update_value(unique_names, "a", add), std::nullopt);
    otp::register_key(unique_names, "a", 1).value();
    EXPECT_EQ(otp::update_value(unique_names, "a", add), (std::pair{11, 1}));
    EXPECT_EQ(otp::lookup(unique_names, "a")->value, 11);
    EXPECT_EQ(otp::values(unique_names, "a", otp::self()), std::vector{11});
    worker w;
    EXPECT_EQ(w.run([add] { return otp::update_value(unique_names, "a", add); }), std::nullopt);
    EXPECT_EQ(otp::lookup(unique_names, "a")->value, 11);
    // The function runs in the caller, with nothing locked; what it throws changes nothing.
    EXPECT_EQ(otp::update_value(unique_names, "a", [](int v) { return v + otp::lookup(unique_names, "a")->value; }),
              (std::pair{22, 11}));
    EXPECT_THROW(otp::update_value(unique_names, "a", [](int) -> int { throw std::runtime_error("no"); }),
                 std::runtime_error);
    EXPECT_EQ(otp::update_value(unique_names, "a", [](int v) { return otp::unregister_key(unique_names, "a"), v; }),
              std::nullopt);
    EXPECT_EQ(otp::lookup(unique_names, "a"), std::nullopt);
  });
}

// ---- matching ----------------------------------------------------------------------------------------------------

using point = std::tuple<std::string, std::variant<int, double>, std::variant<int, double>>;
constexpr otp::unique_registry<std::string, point> one_point{"one_point"};
constexpr otp::duplicate_registry<std::string, point> points{"points"};

// covers: REG-045, REG-046, REG-047, REG-049, REG-051
TEST(registry_lookup, match_returns_the_entries_under_a_key_whose_value_the_function_takes) {
  with_unique(
      [] {
        point value{"at", 1, 1};
        otp::register_key(one_point, "p", value).value();
        std::vector<otp::registration<point>> found{{otp::self(), value}}, none;
        auto with = [&](auto wanted) {
          auto matched = otp::match(one_point, "p", wanted);
          EXPECT_EQ(otp::count_match(one_point, "p", wanted), matched.size());
          return matched;
        };
        EXPECT_EQ(with([](const point&) { return true; }), found);
        EXPECT_EQ(with([](const point& v) { return std::get<0>(v) == "at"; }), found);
        EXPECT_EQ(with([](const point& v) { return std::get<0>(v) == "to"; }), none);
        EXPECT_EQ(with([](const point& v) { return std::get<1>(v) == std::get<2>(v); }), found) << "equal parts";
        EXPECT_EQ(with([](const point& v) { return v == point{"at", 1.0, 1}; }), none) << "1.0 is not 1";
        EXPECT_EQ(with([](const point& v) { return std::holds_alternative<int>(std::get<1>(v)); }), found);
        EXPECT_EQ(with([](const point& v) { return std::holds_alternative<double>(std::get<1>(v)); }), none);
        EXPECT_EQ(with([](otp::pid p, const point&) { return p == otp::self(); }), found);
        EXPECT_EQ(with([](otp::pid p, const point&) { return p != otp::self(); }), none);
        EXPECT_TRUE(otp::match(one_point, "q", [](const point&) { return true; }).empty());
        EXPECT_EQ(otp::count_match(one_point, "q", [](const point&) { return true; }), 0U);
      },
      one_point);
  with_duplicate(
      [] {
        otp::register_key(points, "p", point{"a", 1, 2}).value();
        otp::register_key(points, "p", point{"b", 2, 2}).value();
        otp::register_key(points, "p", point{"c", 2, 2.0}).value();
        otp::register_key(points, "q", point{"d", 2, 2}).value();
        auto named = [&](auto wanted) {
          std::string names;
          auto matched = otp::match(points, "p", wanted);
          EXPECT_EQ(otp::count_match(points, "p", wanted), matched.size());
          for (auto& m : matched) names += std::get<0>(m.value);
          return names;
        };
        EXPECT_EQ(named([](const point&) { return true; }), "abc");
        EXPECT_EQ(named([](const point& v) { return std::get<1>(v) == std::get<2>(v); }), "b");
        EXPECT_EQ(named([](const point& v) { return std::get<1>(v) == std::variant<int, double>(2); }), "bc");
        EXPECT_EQ(named([](const point& v) { return std::get<0>(v) > "a" && std::get<2>(v).index() == 1; }), "c");
      },
      points);
}

// covers: REG-048
TEST(registry_lookup, a_map_value_is_matched_by_the_pairs_that_it_contains) {
  using map = std::map<std::string, int>;
  static constexpr otp::unique_registry<std::string, map> with_map{"with_map"};
  with_unique(
      [] {
        otp::register_key(with_map, "key", map{{"a", 1}, {"b", 2}}).value();
        auto contains = [](const map& pairs) {
          return [pairs](const map& value) {
            return std::all_of(pairs.begin(), pairs.end(), [&](const auto& p) {
              auto held = value.find(p.first);
              return held != value.end() && held->second == p.second;
            });
          };
        };
        EXPECT_EQ(otp::count_match(with_map, "key", contains({{"a", 1}})), 1U);
        EXPECT_EQ(otp::count_match(with_map, "key", contains({})), 1U);
        EXPECT_EQ(otp::count_match(with_map, "key", contains({{"a", 2}})), 0U);
        EXPECT_EQ(otp::count_match(with_map, "key", contains({{"c", 1}})), 0U);
      },
      with_map);
}

// covers: REG-050
TEST(registry_lookup, a_wildcard_as_key_is_an_ordinary_key) {
  with_unique([] {
    auto any = [](int) { return true; };
    otp::register_key(unique_names, "a", 1).value();
    EXPECT_TRUE(otp::match(unique_names, "_", any).empty());
    EXPECT_EQ(otp::count_match(unique_names, "_", any), 0U);
    otp::register_key(unique_names, "_", 2).value();
    EXPECT_EQ(otp::match(unique_names, "_", any), (std::vector<otp::registration<int>>{{otp::self(), 2}}));
    EXPECT_EQ(otp::count_match(unique_names, "_", any), 1U);
  });
}

// ---- selecting ---------------------------------------------------------------------------------------------------

using row = std::tuple<std::string, otp::pid, int>;
auto whole = [](const std::string& key, otp::pid process, int value) { return row(key, process, value); };

// covers: REG-052, REG-054, REG-058
TEST(registry_lookup, select_puts_every_entry_through_the_specification) {
  auto check = [](const auto& in) {
    worker w;
    w.run([&in] {
      otp::register_key(in, "b", 2).value();
      otp::register_key(in, "_", 3).value();
      return 0;
    });
    for (int i = 0; i < 100; ++i) otp::register_key(in, "n" + std::to_string(i), i).value();
    EXPECT_EQ(otp::select(in, whole).size(), 102U);
    EXPECT_EQ(otp::count_select(in, [](auto&, otp::pid, int) { return true; }), 102U);

    // Of a chosen key, process or value; shaped as the specification says.
    auto of = [](otp::pid p) {
      return [p](const std::string& key, otp::pid process, int) {
        return process == p ? std::optional(key) : std::nullopt;
      };
    };
    EXPECT_EQ(sorted(otp::select(in, of(w.pid()))), (std::vector<std::string>{"_", "b"}));
    EXPECT_EQ(otp::select(in, of(otp::self())).size(), 100U);
    auto under = [](std::string wanted) {
      return [wanted](const std::string& key, otp::pid process, int value) {
        return key == wanted ? std::optional(row(key, process, value)) : std::nullopt;
      };
    };
    EXPECT_EQ(otp::select(in, under("_")), (std::vector<row>{{"_", w.pid(), 3}}));
    EXPECT_EQ(otp::select(in, under("$1")), std::vector<row>{});
    EXPECT_EQ(sorted(otp::select(in, [](auto&, otp::pid, int v) { return v < 3 ? std::optional(v) : std::nullopt; })),
              (std::vector{0, 1, 2, 2}));
    EXPECT_EQ(otp::count_select(in, [](auto& key, otp::pid, int v) { return v > 97 || key == "_"; }), 3U);
    otp::unregister_match(in, "n5", [](int) { return true; });
    w.end();
    EXPECT_EQ(otp::select(in, whole).size(), 99U);
  };
  with_unique([&] { check(unique_names); });
  with_duplicate([&] { check(groups); });
}

// covers: REG-053
TEST(registry_lookup, select_on_an_empty_registry_is_empty) {
  with_unique([] {
    EXPECT_TRUE(otp::select(unique_names, whole).empty());
    EXPECT_EQ(otp::count_select(unique_names, [](auto&, otp::pid, int) { return true; }), 0U);
    otp::register_key(unique_names, "a", 1).value();
    otp::unregister_key(unique_names, "a");
    EXPECT_TRUE(otp::select(unique_names, whole).empty());
  });
  with_duplicate([] { EXPECT_TRUE(otp::select(groups, whole).empty()); });
}

// covers: REG-055, REG-057
TEST(registry_lookup, several_specifications_are_alternatives_and_the_first_that_matches_shapes) {
  auto check = [](const auto& in) {
    for (int i = 1; i <= 3; ++i) otp::register_key(in, "k" + std::to_string(i), i).value();
    auto at_least = [](int least, std::string name) {
      return [=](const std::string& key, otp::pid, int v) {
        return v >= least ? std::optional(name + key) : std::nullopt;
      };
    };
    EXPECT_EQ(sorted(otp::select(in, at_least(3, "first "), at_least(2, "second "))),
              (std::vector<std::string>{"first k3", "second k2"}));
    EXPECT_EQ(sorted(otp::select(in, at_least(2, "a "), at_least(3, "b "), at_least(0, "c "))),
              (std::vector<std::string>{"a k2", "a k3", "c k1"}));
    auto is = [](std::string wanted) {
      return [wanted](const std::string& key, otp::pid, int) { return key == wanted; };
    };
    EXPECT_EQ(otp::count_select(in, is("k1")), 1U);
    EXPECT_EQ(otp::count_select(in, is("k1"), is("k3")), 2U);
    EXPECT_EQ(otp::count_select(in, is("k1"), is("k1"), is("k9")), 1U) << "an entry counts once";
  };
  with_unique([&] { check(unique_names); });
  with_duplicate([&] { check(groups); });
}

// ---- dispatching -------------------------------------------------------------------------------------------------

// covers: REG-059, REG-060, REG-061
TEST(registry_lookup, dispatch_calls_the_function_in_the_caller_with_the_entries_of_the_key) {
  with_unique([] {
    int calls = 0;
    auto count = [&](std::vector<otp::registration<int>> entries) {
      ++calls;
      EXPECT_EQ(entries, (std::vector<otp::registration<int>>{{otp::self(), 1}}));
    };
    otp::dispatch(unique_names, "a", count);
    EXPECT_EQ(calls, 0);
    otp::register_key(unique_names, "a", 1).value();
    otp::register_key(unique_names, "b", 2).value();
    otp::dispatch(unique_names, "a", count);
    EXPECT_EQ(calls, 1);
    otp::dispatch(unique_names, "a", count, {.parallel = true});
  });
  with_duplicate([] {
    std::vector<worker> all(10);
    for (auto& w : all)
      w.run([] {
        otp::register_key(groups, "a", 1).value();
        otp::register_key(groups, "b", 2).value();
        return 0;
      });
    std::vector<otp::pid> seen;
    otp::pid where;
    otp::dispatch(groups, "a", [&](auto entries) {
      where = otp::self();
      for (auto& e : entries) {
        EXPECT_EQ(e.value, 1);
        seen.push_back(e.process);
      }
    });
    EXPECT_EQ(where, otp::self());
    std::vector<otp::pid> expected;
    for (auto& w : all) expected.push_back(w.pid());
    EXPECT_EQ(sorted(seen), sorted(expected));
    otp::dispatch(groups, "c", [](auto&&) { ADD_FAILURE(); });
    for (auto& w : all) w.end();
    otp::dispatch(groups, "a", [](auto&&) { ADD_FAILURE() << "nobody is there any more"; });
    otp::dispatch(groups, "a", [](auto&&) { ADD_FAILURE(); }, {.parallel = true});
  });
}

struct part {
  otp::pid where;
  std::vector<otp::pid> members;
};
auto tell_part(otp::pid to) {
  return [to](std::vector<otp::registration<int>> entries) { otp::send(to, part{otp::self(), pids_in(entries)}); };
}

// covers: REG-063
TEST(registry_lookup, a_parallel_dispatch_runs_a_process_a_partition_and_returns_when_all_are_done) {
  everywhere(20, [] {
    otp::registry::start_link(groups, {.partitions = 4}).value();
    std::vector<worker> all(24);
    std::vector<otp::pid> expected;
    for (auto& w : all) {
      w.run([] { return otp::register_key(groups, "a", 1).has_value(); });
      expected.push_back(w.pid());
    }
    otp::dispatch(groups, "a", tell_part(otp::self()), {.parallel = true});
    std::vector<otp::pid> seen, where;
    while (auto p = waiting<part>()) {  // all of it is there: dispatch has waited
      EXPECT_FALSE(p->members.empty());
      seen.insert(seen.end(), p->members.begin(), p->members.end());
      where.push_back(p->where);
    }
    EXPECT_EQ(sorted(seen), sorted(expected));
    EXPECT_GT(where.size(), 1U);
    where.push_back(otp::self());
    std::sort(where.begin(), where.end());
    EXPECT_EQ(std::unique(where.begin(), where.end()), where.end()) << "each in a process of its own";
    EXPECT_TRUE(mailbox_empty());
  });
}
// covers: REG-063
TEST(registry_lookup, what_a_parallel_dispatch_throws_ends_the_caller) {
  everywhere(10, [] {
    otp::registry::start_link(groups, {.partitions = 4}).value();
    std::vector<worker> all(24);
    for (auto& w : all) w.run([] { return otp::register_key(groups, "a", 1).has_value(); });
    auto fail = [] { otp::dispatch(groups, "a", [](auto) { otp::exit("no"); }, {.parallel = true}); };
    EXPECT_EQ(reason_of(otp::spawn_monitor(fail).monitor), otp::exit_reason("no"));
    bool was = otp::trap_exit(true);
    try {
      fail();
      ADD_FAILURE();
    } catch (const otp::exited& e) {
      EXPECT_EQ(e.reason(), otp::exit_reason("no"));
    }
    EXPECT_TRUE(mailbox_empty());
    otp::dispatch(groups, "a", [](auto) {}, {.parallel = true});
    EXPECT_TRUE(mailbox_empty()) << "no exits of its helpers either";
    otp::trap_exit(was);
  });
}

// covers: REG-064
TEST(registry_lookup, with_one_partition_or_by_key_a_parallel_dispatch_runs_in_the_caller) {
  for (otp::registry_options options : {otp::registry_options{.partitions = 1},
                                        otp::registry_options{.partitions = 4, .partition_by = otp::partition_by::key}})
    everywhere(5, [options] {
      otp::registry::start_link(groups, options).value();
      std::vector<worker> all(10);
      for (auto& w : all) w.run([] { return otp::register_key(groups, "a", 1).has_value(); });
      otp::dispatch(groups, "a", tell_part(otp::self()), {.parallel = true});
      auto p = next<part>();
      EXPECT_EQ(p.where, otp::self());
      EXPECT_EQ(p.members.size(), 10U);
      EXPECT_TRUE(mailbox_empty());
    });
}

void tell_each(std::vector<otp::registration<int>> entries, std::string text, int times) {
  for (auto& e : entries)
    for (int i = 0; i < times; ++i) otp::send(e.process, text);
}

// covers: REG-066
TEST(registry_lookup, dispatch_takes_a_function_with_arguments_the_entries_come_first) {
  with_duplicate([] {
    otp::register_key(groups, "a", 1).value();
    otp::dispatch(groups, "a", otp::mfa(&tell_each, "hello", 2));
    otp::dispatch(groups, "a", otp::mfa(&tell_each, "in parallel", 1), {.parallel = true});
    EXPECT_EQ(next<std::string>(), "hello");
    EXPECT_EQ(next<std::string>(), "hello");
    EXPECT_EQ(next<std::string>(), "in parallel");
  });
}

}  // namespace
