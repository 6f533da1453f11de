// Registries: how they start, and what happens when a registered process, a keeper or the registry ends.
#include "conformance/registry_support.hpp"

namespace {

using namespace conformance;

// covers: REG-001
TEST(registry_life, is_started_under_a_name_with_a_policy_partitions_listeners_and_metadata) {
  static constexpr otp::duplicate_registry<int> plain{"plain"};
  everywhere(10, [] {
    otp::register_name("listener", otp::self());
    auto one = otp::registry::start_link(plain).value();
    auto two = otp::registry::start_link(unique_names, {.partitions = 3,
                                                        .partition_by = otp::partition_by::process,
                                                        .listeners = {"listener"},
                                                        .meta = {{"limit", 5}}})
                   .value();
    EXPECT_EQ(otp::whereis("plain"), one.pid());
    EXPECT_EQ(otp::whereis("unique_names"), two.pid());
    EXPECT_EQ(keepers_of("plain").size(), 1U);
    EXPECT_EQ(keepers_of("unique_names").size(), 3U);
    EXPECT_EQ(otp::meta<int>(unique_names, "limit"), 5);
    otp::register_key(unique_names, "a", 1).value();
    EXPECT_EQ((next<otp::key_registered<std::string, int>>().value), 1);
    otp::register_key(plain, 1).value();
    EXPECT_EQ(otp::lookup(plain, 1).size(), 1U);

    auto again = otp::registry::start_link(unique_names);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error(), already_started);
    EXPECT_EQ(again.error().process(), two.pid());
    EXPECT_EQ(otp::lookup(unique_names, "a")->process, otp::self()) << "the one that runs is not harmed";
  });
}

// covers: REG-002
TEST(registry_life, has_as_many_keepers_as_partitions) {
  for (int partitions : {1, 2, 7, 256}) {
    seeded([&] {
      otp::registry::start_link(unique_names, {.partitions = partitions}).value();
      auto counts = otp::supervisor::count_children("unique_names");
      EXPECT_EQ(counts.active, static_cast<std::size_t>(partitions));
      EXPECT_EQ(counts.workers, static_cast<std::size_t>(partitions));
      EXPECT_EQ(keepers_of("unique_names").size(), static_cast<std::size_t>(partitions));
    });
  }
}

// covers: REG-003
TEST(registry_life, options_that_cannot_be_are_an_argument_error_and_start_nothing) {
  everywhere(5, [] {
    auto before = otp::process_count();
    std::vector<otp::registry_options> wrong{
        {.partitions = 0},           {.partitions = -1},
        {.partitions = 257},         {.partition_by = static_cast<otp::partition_by>(7)},
        {.listeners = {""}},         {.listeners = {"fine", std::string(256, 'x')}},
        {.meta = {{otp::term(), 1}}}};
    for (auto& options : wrong)
      EXPECT_THROW(static_cast<void>(otp::registry::start_link(unique_names, options)), otp::bad_argument);
    for (std::string name : {"", "undefined", "none"})
      EXPECT_THROW(static_cast<void>(otp::registry::start_link(otp::unique_registry<int>(name))), otp::bad_argument);
    try {
      static_cast<void>(otp::registry::start_link(unique_names, {.partitions = 0, .listeners = {""}}));
    } catch (const otp::bad_argument& e) {
      EXPECT_NE(std::string(e.what()).find("partitions is 0; write 1 to 256"), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find("the listener \"\""), std::string::npos) << e.what();
    }
    EXPECT_EQ(otp::process_count(), before);
    EXPECT_EQ(otp::whereis("unique_names"), std::nullopt);
  });
}

// covers: REG-004
TEST(registry_life, is_a_supervised_supervisor_whose_id_is_its_name) {
  everywhere(10, [] {
    otp::child_spec spec = otp::child_registry(unique_names, {.partitions = 2});
    EXPECT_EQ(spec.id(), otp::child_id("unique_names"));
    EXPECT_EQ(spec.type(), otp::child_type::supervisor);
    auto top =
        otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {spec, otp::child_registry(groups)}})
            .value();
    auto mine = otp::supervisor::get_child(top, "unique_names").value();
    EXPECT_EQ(mine.process, otp::whereis("unique_names"));
    EXPECT_EQ(mine.type, otp::child_type::supervisor);
    EXPECT_EQ(keepers_of("unique_names").size(), 2U);
    EXPECT_EQ(otp::info(mine.process).value().type, "registry");

    // It is restarted like any child, and works again.
    otp::ref watch = otp::monitor(mine.process);
    otp::exit(mine.process, otp::reason::kill);
    EXPECT_EQ(reason_of(watch), killed);
    otp::supervisor::which_children(top);  // answered behind the restart
    EXPECT_NE(otp::whereis("unique_names"), mine.process);
    EXPECT_TRUE(otp::register_key(unique_names, "a", 1));
    otp::unregister_key(unique_names, "a");
    otp::supervisor::stop(top);
    EXPECT_THROW(otp::count(unique_names), otp::bad_argument);
  });
}

// covers: REG-005
TEST(registry_life, every_operation_on_an_unknown_registry_is_an_argument_error) {
  static constexpr otp::unique_registry<std::string, int> unknown{"unknown"};
  static constexpr otp::duplicate_registry<std::string, int> unknown_groups{"unknown_groups"};
  auto check = [] {
    auto yes = [](int) { return true; };
    auto all = [](const std::string&, otp::pid, int) { return true; };
    EXPECT_THROW(static_cast<void>(otp::register_key(unknown, "a", 1)), otp::bad_argument);
    EXPECT_THROW(static_cast<void>(otp::register_key(unknown_groups, "a", 1)), otp::bad_argument);
    EXPECT_THROW(otp::unregister_key(unknown, "a"), otp::bad_argument);
    EXPECT_THROW(otp::unregister_match(unknown, "a", yes), otp::bad_argument);
    EXPECT_THROW(otp::update_value(unknown, "a", [](int v) { return v; }), otp::bad_argument);
    EXPECT_THROW(otp::lookup(unknown, "a"), otp::bad_argument);
    EXPECT_THROW(otp::lookup(unknown_groups, "a"), otp::bad_argument);
    EXPECT_THROW(otp::keys(unknown, otp::self()), otp::bad_argument);
    EXPECT_THROW(otp::values(unknown, "a", otp::self()), otp::bad_argument);
    EXPECT_THROW(otp::count(unknown), otp::bad_argument);
    EXPECT_THROW(otp::match(unknown, "a", yes), otp::bad_argument);
    EXPECT_THROW(otp::count_match(unknown, "a", yes), otp::bad_argument);
    EXPECT_THROW(otp::select(unknown, all), otp::bad_argument);
    EXPECT_THROW(otp::count_select(unknown, all), otp::bad_argument);
    EXPECT_THROW(otp::dispatch(unknown, "a", [](const auto&) {}), otp::bad_argument);
    EXPECT_THROW(otp::meta(unknown, "a"), otp::bad_argument);
    EXPECT_THROW(otp::put_meta(unknown, "a", 1), otp::bad_argument);
    EXPECT_THROW(otp::delete_meta(unknown, "a"), otp::bad_argument);
    EXPECT_THROW(otp::lock(unknown, "a", [] {}), otp::bad_argument);
    EXPECT_THROW(otp::whereis(otp::via(unknown, "a")), otp::bad_argument);
    EXPECT_THROW(static_cast<void>(otp::gen_server::start<worker>({.name = otp::via(unknown, "a")})),
                 otp::bad_argument);
    try {
      otp::lookup(unknown, "a");
    } catch (const otp::bad_argument& e) {
      EXPECT_EQ(std::string(e.what()),
                "lookup: there is no registry \"unknown\"; start it first, with otp::child_registry in a supervisor");
    }
  };
  everywhere(3, [&] {
    check();
    // The same after one of that name has ended.
    otp::registry::start_link(unknown).value();
    otp::registry::start_link(unknown_groups).value();
    EXPECT_EQ(otp::count(unknown), 0U);
    otp::registry::stop(unknown);
    otp::registry::stop(unknown_groups);
    check();
  });
}
// covers: REG-005
TEST(registry_life, a_constant_of_another_type_is_an_argument_error) {
  everywhere(3, [] {
    otp::registry::start_link(unique_names).value();
    try {
      static_cast<void>(otp::register_key(otp::duplicate_registry<int>("unique_names"), 1));
      ADD_FAILURE();
    } catch (const otp::bad_argument& e) {
      EXPECT_NE(std::string(e.what()).find("unique_registry<"), std::string::npos) << e.what();
      EXPECT_NE(std::string(e.what()).find("duplicate_registry<int"), std::string::npos) << e.what();
    }
    // The name of a process that is no registry.
    otp::register_name("just_a_process", otp::self());
    EXPECT_THROW(otp::count(otp::unique_registry<int>("just_a_process")), otp::bad_argument);
  });
}

// covers: REG-006
TEST(registry_life, duplicate_registries_are_partitioned_by_process_or_by_key) {
  for (auto by : {otp::partition_by::process, otp::partition_by::key})
    everywhere(3, [by] {
      otp::registry::start_link(groups, {.partitions = 4, .partition_by = by}).value();
      std::vector<worker> all(20);
      for (auto& w : all) w.run([] { return otp::register_key(groups, "a", 1).has_value(); });
      EXPECT_EQ(otp::lookup(groups, "a").size(), 20U);
      int calls = 0;
      otp::dispatch(groups, "a", [&](const auto& entries) { calls += static_cast<int>(entries.size()); });
      EXPECT_EQ(calls, 20);
      // Which shows in a parallel dispatch: by key, all members of a key are in one partition.
      struct part {
        otp::pid where;
        std::size_t size;
      };
      otp::dispatch(groups, "a",
                    [to = otp::self()](const auto& entries) { otp::send(to, part{otp::self(), entries.size()}); },
                    {.parallel = true});
      std::size_t seen = 0;
      int parts = 0;
      for (; seen < 20; ++parts) {
        auto p = next<part>();
        EXPECT_EQ(p.where == otp::self(), by == otp::partition_by::key);
        seen += p.size;
      }
      EXPECT_EQ(parts == 1, by == otp::partition_by::key);
    });
}

// ---- the end of a registered process -----------------------------------------------------------------------------

// covers: REG-030
TEST(registry_life, the_entries_of_a_process_go_with_it_for_any_reason) {
  auto reasons = abnormal_reasons();
  reasons.insert(reasons.end(), {otp::exit_reason(normal), otp::exit_reason(otp::reason::kill)});
  with_unique([&] {
    for (auto& why : reasons) {
      worker w;
      w.run([] {
        for (auto* key : {"a", "b", "c"}) otp::register_key(unique_names, key, 1).value();
        return 0;
      });
      otp::ref watch = otp::monitor(w.pid());
      if (why == otp::reason::kill)
        otp::exit(w.pid(), why);
      else
        w.end(why);
      reason_of(watch);
      EXPECT_EQ(otp::count(unique_names), 0U);
      for (auto* key : {"a", "b", "c"}) {
        EXPECT_EQ(otp::lookup(unique_names, key), std::nullopt);
        EXPECT_TRUE(otp::register_key(unique_names, key, 2)) << why.to_string();
        otp::unregister_key(unique_names, key);
      }
    }
  });
  with_duplicate([&] {
    otp::register_key(groups, "a", 0).value();
    for (auto& why : reasons) {
      worker w;
      w.run([] {
        for (auto* key : {"a", "a", "b"}) otp::register_key(groups, key, 1).value();
        return 0;
      });
      EXPECT_EQ(otp::lookup(groups, "a").size(), 3U);
      otp::ref watch = otp::monitor(w.pid());
      if (why == otp::reason::kill)
        otp::exit(w.pid(), why);
      else
        w.end(why);
      reason_of(watch);
      EXPECT_EQ(otp::lookup(groups, "a"), (std::vector<otp::registration<int>>{{otp::self(), 0}}));
      EXPECT_TRUE(otp::lookup(groups, "b").empty());
      EXPECT_TRUE(otp::keys(groups, w.pid()).empty());
      EXPECT_TRUE(otp::values(groups, "a", w.pid()).empty());
    }
  });
}

/// Counts how many there are.
struct counted {
  counted() { ++alive; }
  counted(const counted&) { ++alive; }
  ~counted() { --alive; }
  friend bool operator==(const counted&, const counted&) = default;
  static inline std::atomic<int> alive{0};
};

// covers: REG-031
TEST(registry_life, clean_up_leaves_nothing_in_any_table) {
  static constexpr otp::unique_registry<std::string, counted> held{"held"};
  static constexpr otp::duplicate_registry<std::string, counted> held_by_many{"held_by_many"};
  for (int partitions : {1, 8})
    for_seeds(5, [&] {
      otp::registry::start_link(held, {.partitions = partitions}).value();
      otp::registry::start_link(held_by_many, {.partitions = partitions}).value();
      {
        std::vector<worker> all(20);
        for (std::size_t i = 0; i < all.size(); ++i)
          all[i].run([i] {
            otp::register_key(held, "key" + std::to_string(i)).value();
            for (int j = 0; j < 3; ++j) otp::register_key(held_by_many, "key" + std::to_string(i % 4)).value();
            return 0;
          });
        EXPECT_EQ(counted::alive, 80);
        for (auto& w : all) w.end("enough");
      }
      otp::testing::settle();  // the keepers have heard of it
      EXPECT_EQ(counted::alive, 0);
      EXPECT_EQ(otp::count(held), 0U);
      EXPECT_EQ(otp::count(held_by_many), 0U);
      EXPECT_TRUE(otp::select(held, [](auto& key, otp::pid, auto&) { return key; }).empty());
      for (const char* name : {"held", "held_by_many"})
        for (otp::pid keeper : keepers_of(name))
          EXPECT_EQ(otp::info(keeper).value().links.size(), 1U) << "but for the supervisor";
    });
}

// covers: REG-032
TEST(registry_life, while_the_keeper_has_not_cleaned_up_the_dead_are_not_found_and_their_keys_are_free) {
  with_unique([] {
    worker w;
    auto keeper = w.run([] {
      otp::register_key(unique_names, "a", 1).value();
      return otp::register_key(unique_names, "b", 1).value();
    });
    otp::sys::suspend(keeper);
    w.end();
    EXPECT_EQ(otp::lookup(unique_names, "a"), std::nullopt);
    EXPECT_EQ(otp::whereis(otp::via(unique_names, "a")), std::nullopt);
    EXPECT_EQ(otp::count(unique_names), 0U);
    EXPECT_TRUE(otp::register_key(unique_names, "a", 2)) << "its clean-up is not waited for";
    otp::sys::resume(keeper);
    otp::sys::get_status(keeper);  // behind the clean-up
    EXPECT_EQ(otp::lookup(unique_names, "a"), (otp::registration<int>{otp::self(), 2}))
        << "the late clean-up spares it";
    EXPECT_EQ(otp::count(unique_names), 1U);
  });
}

// covers: REG-034
TEST(registry_life, a_keeper_survives_the_ends_of_registered_processes) {
  with_unique([] {
    auto before = keepers_of("unique_names");
    for (auto& why : abnormal_reasons()) {
      worker w;
      w.run([] { return otp::register_key(unique_names, "a", 1).has_value(); });
      w.end(why);
    }
    EXPECT_EQ(keepers_of("unique_names"), before);
    for (otp::pid keeper : before) {
      otp::sys::get_status(keeper);
      EXPECT_TRUE(otp::is_alive(keeper));
    }
  });
}

// ---- the end of a keeper -----------------------------------------------------------------------------------------

// covers: REG-083, REG-084
TEST(registry_life, a_crashed_keeper_takes_its_processes_along_and_is_back) {
  auto check = [](const auto& in, std::string_view name) {
    worker w;
    auto keeper = w.run([&in] { return otp::register_key(in, "a", 1).value(); });
    struct joined {};
    otp::pid survivor = otp::spawn({.trap_exit = true}, [&in, to = otp::self()] {
                          otp::register_key(in, "b", 1).value();
                          otp::send(to, joined{});
                          while (next<otp::exit_signal>().from) continue;  // until the runtime stops
                        }).pid;
    next<joined>();
    otp::ref watch = otp::monitor(w.pid());
    for (otp::pid k : keepers_of(name)) {
      otp::ref of_keeper = otp::monitor(k);
      otp::exit(k, otp::reason::kill);
      EXPECT_EQ(reason_of(of_keeper), killed);
    }
    EXPECT_FALSE(otp::is_alive(keeper));
    EXPECT_EQ(reason_of(watch), killed);
    EXPECT_TRUE(otp::is_alive(survivor));
    EXPECT_EQ(keepers_of(name).size(), otp::supervisor::count_children(name).active);
    EXPECT_EQ(otp::count(in), 0U) << "who is left is not registered any more";
    EXPECT_TRUE(otp::register_key(in, "a", 2));
    EXPECT_EQ(otp::count(in), 1U);
    worker again;
    EXPECT_TRUE(again.run([&in] { return otp::register_key(in, "c", 2).has_value(); }));
    again.end();
  };
  for (int partitions : {1, 3}) {
    everywhere(20, [&] {
      otp::registry::start_link(unique_names, {.partitions = partitions}).value();
      check(unique_names, "unique_names");
    });
    everywhere(20, [&] {
      otp::registry::start_link(groups, {.partitions = partitions}).value();
      check(groups, "groups");
    });
  }
}

// covers: REG-088
TEST(registry_life, metadata_survives_a_keepers_crash) {
  with_unique([] {
    otp::put_meta(unique_names, "limit", 5);
    auto keeper = keepers_of("unique_names").front();
    otp::ref watch = otp::monitor(keeper);
    otp::exit(keeper, otp::reason::kill);
    reason_of(watch);
    keepers_of("unique_names");
    EXPECT_EQ(otp::meta<int>(unique_names, "limit"), 5);
  });
}

// covers: REG-089
TEST(registry_life, stopping_the_registry_ends_its_processes_unless_they_trap_exits) {
  with_unique([] {
    worker w;
    w.run([] { return otp::register_key(unique_names, "a", 1).has_value(); });
    struct told {
      otp::exit_reason why;
    };
    struct joined {};
    otp::spawn({.trap_exit = true}, [to = otp::self()] {
      otp::register_key(unique_names, "b", 1).value();
      otp::send(to, joined{});
      otp::send(to, told{next<otp::exit_signal>().reason});
    });
    next<joined>();
    otp::ref watch = otp::monitor(w.pid());
    otp::registry::stop(unique_names);
    EXPECT_EQ(reason_of(watch), shutdown);
    EXPECT_EQ(next<told>().why, shutdown);
  });
}

}  // namespace
