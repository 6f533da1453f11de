// The partition supervisor.
#include "conformance/supervisor_support.hpp"

using namespace conformance;

namespace {

struct counter {
  struct who {
    using reply = int;
  };
  explicit counter(int n = -1) : number(n) {}
  int handle_call(who) { return number; }
  int number;
};

otp::partition_supervisor_spec spec(int n) {
  return {.child = [](int partition) { return otp::child<counter>(partition); }, .partitions = n};
}
int at(const otp::supervisor_ref& sup, auto key) {
  return otp::call(otp::partition<counter>(sup, key), counter::who{});
}

}  // namespace

// covers: SUP-150
TEST(supervisor_partition, it_starts_equal_children_with_the_ids_0_to_n_minus_1) {
  supervised(5, [] {
    auto sup = otp::partition_supervisor::start_link({.child = otp::child<counter>(), .partitions = 4}, {.name = "p"});
    ASSERT_TRUE(sup);
    EXPECT_EQ(ids_of(*sup), (strings{"3", "2", "1", "0"}));
    EXPECT_EQ(otp::partition_supervisor::partitions("p"), 4);
    EXPECT_EQ(otp::partition_supervisor::count_children("p").active, 4U);
  });
  // By default as many as the runtime has workers.
  EXPECT_EQ(threaded(
                [] {
                  auto sup =
                      otp::partition_supervisor::start_link({.child = otp::child<counter>()}, {.name = "p"}).value();
                  EXPECT_EQ(otp::partition_supervisor::partitions(sup), 3);
                },
                {.workers = 3}),
            normal);
}

// covers: SUP-151
TEST(supervisor_partition, name_child_and_number_are_judged_together) {
  supervised(5, [] {
    auto refused = [](otp::partition_supervisor_spec s, otp::start_options options,
                      std::initializer_list<const char*> parts) {
      auto sup = otp::partition_supervisor::start_link(std::move(s), std::move(options));
      ASSERT_FALSE(sup);
      EXPECT_EQ(sup.error(), otp::reason::bad_argument);
      for (const char* part : parts)
        EXPECT_NE(sup.error().text().find(part), std::string::npos) << sup.error().to_string();
    };
    refused(spec(2), {}, {"name is missing"});
    refused({.partitions = 2}, {.name = "p"}, {"child is missing"});
    refused(spec(0), {.name = "p"}, {"partitions is 0"});
    refused(spec(-3), {.name = "p"}, {"partitions is -3"});
    refused({.partitions = -1, .strategy = otp::simple_one_for_one}, {},
            {"name is missing", "child is missing", "partitions is -1", "strategy"});
    refused({.child = otp::child_spec(), .partitions = 1, .max_restarts = -1}, {.name = "p"},
            {"start is missing", "max_restarts is -1"});
    EXPECT_EQ(otp::process_count(), 1U);
  });
  // A function of another number of arguments does not compile.
  static_assert(std::is_constructible_v<otp::partition_children, otp::child_spec (*)(int)>);
  static_assert(!std::is_constructible_v<otp::partition_children, otp::child_spec (*)()>);
  static_assert(!std::is_constructible_v<otp::partition_children, otp::child_spec (*)(int, int)>);
}

// covers: SUP-152
TEST(supervisor_partition, its_id_as_a_child_is_its_name) {
  supervised(5, [] {
    EXPECT_EQ(otp::child_partition_supervisor({.name = "one"}, spec(1)).id(), otp::child_id("one"));
    EXPECT_EQ(otp::child_partition_supervisor({.name = otp::global(5)}, spec(1)).id(), otp::child_id(5));
    EXPECT_EQ(otp::child_partition_supervisor({.name = otp::via(nullptr, otp::term("key"))}, spec(1)).id(),
              otp::child_id("key"));
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one,
                                            .children = {otp::child_partition_supervisor({.name = "one"}, spec(1)),
                                                         otp::child_partition_supervisor({.name = "two"}, spec(2))}});
    ASSERT_TRUE(sup);
    EXPECT_EQ(otp::supervisor::get_child(*sup, "two").value().type, otp::child_type::supervisor);
    EXPECT_EQ(otp::partition_supervisor::partitions("two"), 2);
  });
}

// covers: SUP-153 SUP-154
TEST(supervisor_partition, integer_keys_go_by_their_absolute_value_and_others_by_their_hash) {
  supervised(5, [] {
    static_cast<void>(otp::partition_supervisor::start_link(spec(5), {.name = "p"}).value());
    for (int key = 0; key < 12; ++key) {
      EXPECT_EQ(at("p", key), key % 5);
      EXPECT_EQ(at("p", -key), key % 5);
      EXPECT_EQ(at("p", static_cast<std::uint8_t>(key)), key % 5);
    }
    EXPECT_EQ(at("p", INT64_MIN), static_cast<int>((std::uint64_t{1} << 63) % 5));
    EXPECT_EQ(at("p", UINT64_MAX), static_cast<int>(UINT64_MAX % 5));
    // The same as a registry.
    EXPECT_EQ(otp::call(otp::via<counter>(otp::partitions("p"), 7), counter::who{}), 2);
    // Any other key always finds the same one, and all are found.
    enum class colour { red, green, blue };
    EXPECT_EQ(at("p", colour::blue), 2);
    std::vector<int> hits(5);
    for (int i = 0; i < 200; ++i) {
      std::string key = "key " + std::to_string(i);
      int there = at("p", key);
      EXPECT_EQ(at("p", key), there);
      EXPECT_EQ(at("p", std::string_view(key)), there);
      EXPECT_EQ(at("p", key.c_str()), there);
      ++hits[static_cast<std::size_t>(there)];
      EXPECT_EQ(at("p", otp::self()), at("p", otp::self()));
      EXPECT_EQ(at("p", otp::child_id("a", i)), at("p", otp::child_id("a", i)));
    }
    for (int n : hits) EXPECT_GT(n, 10);
    for (otp::pid p : otp::processes()) EXPECT_GE(at("p", p), 0);
  });
}

// A number in a term or a child_id went by another route than the number.
// covers: SUP-153
TEST(supervisor_partition, a_key_finds_the_same_partition_in_whatever_it_is_kept) {
  enum class colour : signed char { red = -1, green = 7 };
  supervised(5, [] {
    static_cast<void>(otp::partition_supervisor::start_link(spec(5), {.name = "p"}).value());
    auto same = [](auto key, int there) {
      SCOPED_TRACE(otp::detail::text_of(key));
      EXPECT_EQ(at("p", key), there);
      EXPECT_EQ(at("p", otp::term(key)), there);
      EXPECT_EQ(at("p", otp::child_id(key)), there);
      EXPECT_EQ(otp::call(otp::via<counter>(otp::partitions("p"), otp::term(key)), counter::who{}), there);
      EXPECT_EQ(otp::call(otp::via<counter>(otp::partitions("p"), otp::term(otp::child_id(key))), counter::who{}),
                there);
    };
    same(7, 2);
    same(-7, 2);
    same(7U, 2);
    same(-7L, 2);
    same(INT64_MIN, static_cast<int>((std::uint64_t{1} << 63) % 5));
    same(static_cast<short>(-7), 2);
    same(static_cast<signed char>(-7), 2);
    same(static_cast<unsigned char>(7), 2);
    same('\7', 2);
    same(true, 1);
    same(u'\7', 2);
    same(colour::red, 1);
    same(colour::green, 2);
    same(std::string("key"), at("p", "key"));
    same(otp::self(), at("p", otp::self()));
    same(2.5, at("p", 2.5));
    EXPECT_EQ(at("p", otp::child_id("a", 1)), at("p", otp::term(otp::child_id("a", 1))));
  });
}

// covers: SUP-155 SUP-156
TEST(supervisor_partition, after_a_restart_its_keys_find_the_new_process) {
  supervised(20, [] {
    for (otp::server_name name : {otp::server_name("p"), otp::server_name(otp::global(99))}) {
      otp::supervisor_ref who = otp::supervisor_ref(name);
      auto sup = otp::partition_supervisor::start_link(spec(3), {.name = name}).value();
      auto address = otp::partition<counter>(who, 4);
      otp::pid before = otp::whereis(address).value();
      EXPECT_EQ(before, process_of(sup, 1));
      otp::exit(before, otp::reason::kill);
      otp::pid after = new_process(sup, 1, before);
      EXPECT_EQ(otp::whereis(address), after);
      EXPECT_EQ(otp::call(address, counter::who{}), 1);
      otp::partition_supervisor::stop(who);
    }
  });
}

// covers: SUP-157
TEST(supervisor_partition, its_children_can_be_looked_at) {
  supervised(5, [] {
    auto sup = otp::partition_supervisor::start_link(spec(2), {.name = "p"}).value();
    auto children = otp::partition_supervisor::which_children("p");
    ASSERT_EQ(children.size(), 2U);
    EXPECT_EQ(children[0].id, otp::child_id(1));
    EXPECT_EQ(children[1].id, otp::child_id(0));
    for (auto& child : children) {
      EXPECT_TRUE(otp::is_alive(child.process));
      EXPECT_EQ(child.type, otp::child_type::worker);
    }
    auto n = otp::partition_supervisor::count_children(sup);
    EXPECT_EQ(n.specs, 2U);
    EXPECT_EQ(n.active, 2U);
    EXPECT_EQ(n.workers, 2U);
    EXPECT_EQ(n.supervisors, 0U);
    EXPECT_EQ(otp::supervisor::start_child("p", otp::child<counter>()).error(), otp::reason::bad_argument);
  });
}

// covers: SUP-158
TEST(supervisor_partition, stop_returns_when_it_is_gone_and_its_name_is_free) {
  supervised(5, [] {
    auto sup = otp::partition_supervisor::start_link(spec(2), {.name = "p"}).value();
    otp::partition_supervisor::stop("p");
    EXPECT_FALSE(otp::is_alive(sup));
    EXPECT_FALSE(otp::whereis("p"));
    EXPECT_EQ(otp::process_count(), 1U);
    EXPECT_TRUE(otp::partition_supervisor::start_link(spec(2), {.name = "p"}));
  });
}

// covers: SUP-159
TEST(supervisor_partition, one_that_is_not_there_exits_the_caller_with_noproc) {
  supervised(5, [] {
    for (auto ask : std::vector<std::function<void()>>{
             [] { otp::partition_supervisor::partitions("nobody"); },
             [] { otp::partition_supervisor::count_children("nobody"); },
             [] { otp::partition_supervisor::which_children("nobody"); },
             [] { static_cast<void>(otp::partition_supervisor::resize("nobody", 1)); },
             [] { otp::partition_supervisor::stop("nobody"); }, [] { at("nobody", 1); }}) {
      try {
        ask();
        ADD_FAILURE() << "it returned";
      } catch (const otp::exited& e) {
        EXPECT_EQ(e.reason().cause(), noproc);
      }
    }
  });
}

// covers: SUP-160
TEST(supervisor_partition, resizing_stops_or_starts_partitions_in_place_and_changes_the_routes) {
  supervised(20, [] {
    auto sup = otp::partition_supervisor::start_link(spec(4), {.name = "p"}).value();
    std::vector<otp::pid> before;
    for (int i = 0; i < 4; ++i) before.push_back(process_of(sup, i));
    EXPECT_EQ(otp::partition_supervisor::resize("p", 2).value(), 4);
    EXPECT_EQ(otp::partition_supervisor::partitions("p"), 2);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(otp::is_alive(before[static_cast<std::size_t>(i)]), i < 2);
    for (int key = 0; key < 8; ++key) EXPECT_EQ(at("p", key), key % 2);
    auto n = otp::partition_supervisor::count_children("p");
    EXPECT_EQ(n.specs, 4U);
    EXPECT_EQ(n.active, 2U);
    EXPECT_EQ(ids_of(sup), (strings{"3", "2", "1", "0"}));

    EXPECT_EQ(otp::partition_supervisor::resize("p", 3).value(), 2);
    EXPECT_EQ(otp::partition_supervisor::count_children("p").active, 3U);
    for (int key = 0; key < 8; ++key) EXPECT_EQ(at("p", key), key % 3);
    EXPECT_EQ(process_of(sup, 0), before[0]);
    EXPECT_NE(process_of(sup, 2), before[2]);

    EXPECT_EQ(otp::partition_supervisor::resize("p", 0).value(), 3);
    EXPECT_EQ(otp::partition_supervisor::count_children("p").active, 0U);
    EXPECT_EQ(otp::partition_supervisor::resize("p", 4).value(), 0);
    EXPECT_EQ(otp::partition_supervisor::resize("p", 4).value(), 4);
    for (int key = 0; key < 8; ++key) EXPECT_EQ(at("p", key), key % 4);
  });
}

// A group restart started the partitions again that a resize had stopped.
// covers: SUP-160
TEST(supervisor_partition, a_group_restart_leaves_out_what_a_resize_has_stopped) {
  supervised(20, [] {
    auto resized = spec(3);
    resized.strategy = otp::one_for_all;
    auto sup = otp::partition_supervisor::start_link(std::move(resized), {.name = "p"}).value();
    ASSERT_TRUE(otp::partition_supervisor::resize("p", 2));
    otp::pid first = process_of(sup, 0);
    otp::pid second = process_of(sup, 1);
    otp::exit(second, otp::reason::kill);
    otp::testing::settle();
    EXPECT_EQ(otp::partition_supervisor::count_children("p").active, 2U);
    EXPECT_NE(process_of(sup, 0), first);
    EXPECT_NE(process_of(sup, 1), second);
    EXPECT_EQ(state_of(sup, 2), otp::child_state::undefined);
    EXPECT_EQ(otp::partition_supervisor::resize("p", 3).value(), 2);
    for (int key = 0; key < 6; ++key) EXPECT_EQ(at("p", key), key % 3);
  });
}

// covers: SUP-161
TEST(supervisor_partition, keys_of_no_partition_and_more_partitions_than_there_were_are_refused) {
  supervised(5, [] {
    auto sup = otp::partition_supervisor::start_link(spec(2), {.name = "p"}).value();
    for (int n : {3, 1000, -1}) {
      auto refused = otp::partition_supervisor::resize(sup, n);
      ASSERT_FALSE(refused);
      EXPECT_EQ(refused.error(), otp::reason::bad_argument);
      EXPECT_NE(refused.error().text().find(std::to_string(n)), std::string::npos);
    }
    EXPECT_EQ(otp::partition_supervisor::partitions(sup), 2);
    ASSERT_TRUE(otp::partition_supervisor::resize(sup, 0));
    EXPECT_THROW(at("p", 1), otp::bad_argument);
    EXPECT_THROW(at("p", "text"), otp::bad_argument);
  });
}

// covers: SUP-163
TEST(supervisor_partition, a_partition_is_no_name_that_a_process_could_take) {
  supervised(5, [] {
    static_cast<void>(otp::partition_supervisor::start_link(spec(2), {.name = "p"}).value());
    auto taken = otp::gen_server::start<counter>({.name = otp::partition<counter>("p", 1)}, 9);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error(), otp::reason::already_started);  // somebody stands there
    // Even where nobody does.
    ASSERT_TRUE(otp::partition_supervisor::resize("p", 1));
    EXPECT_THROW(otp::partitions("p")->register_name(0, otp::self()), otp::bad_argument);
    auto free = otp::gen_server::start<counter>({.name = otp::partition<counter>("no such supervisor", 1)}, 9);
    ASSERT_FALSE(free);
    EXPECT_NE(free.error().to_string().find("partition"), std::string::npos) << free.error().to_string();
  });
}
