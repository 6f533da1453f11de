// Registries: names of servers, metadata, listeners, locks.
#include "conformance/registry_support.hpp"

namespace {

using namespace conformance;

struct counter {
  struct add {
    using reply = int;
    int by;
  };
  struct nudge {};
  using messages = otp::messages<nudge>;
  counter() = default;
  explicit counter(bool* ended) : ended_(ended) {}
  int handle_call(add a) { return total_ += a.by; }
  void handle_cast(nudge) { ++total_; }
  void handle_info(nudge) { total_ += 100; }
  void terminate(const otp::exit_reason&) {
    if (ended_) *ended_ = true;
  }

 private:
  int total_ = 0;
  bool* ended_ = nullptr;
};

// covers: REG-068
TEST(registry_names, a_server_is_started_and_addressed_by_its_key) {
  with_unique([] {
    auto name = otp::via<counter>(unique_names, "first");
    EXPECT_EQ(otp::whereis(name), std::nullopt);
    auto server = otp::gen_server::start<counter>({.name = name}).value();
    EXPECT_EQ(otp::whereis(name), server.pid());
    EXPECT_EQ(otp::whereis(otp::via(unique_names, "first")), server.pid());
    EXPECT_EQ(otp::lookup(unique_names, "first")->process, server.pid());
    EXPECT_EQ(otp::call(name, counter::add{5}), 5);
    otp::cast(name, counter::nudge{});
    EXPECT_EQ(otp::call(name, counter::add{0}), 6);
    otp::send(name, counter::nudge{});
    EXPECT_EQ(otp::try_call(name, counter::add{0}), 106);
    auto request = otp::send_request(name, counter::add{1});
    EXPECT_EQ(otp::receive_response(request), 107);
    EXPECT_EQ(otp::keys(unique_names, server), std::vector<std::string>{"first"});
    // Other names stand beside it; a key that is not there is nobody.
    auto second = otp::gen_server::start<counter>({.name = otp::via(unique_names, "second")}).value();
    EXPECT_NE(second.pid(), server.pid());
    EXPECT_EQ(otp::call(otp::via<counter>(unique_names, "second"), counter::add{0}), 0);
    auto missing = otp::via<counter>(unique_names, "missing");
    EXPECT_EQ(otp::try_call(missing, counter::add{0}).error().cause(), noproc);
    otp::cast(missing, counter::nudge{});
    // A cast never fails, also where there is not even a registry.
    otp::cast(otp::via<counter>(otp::unique_registry<std::string>("no registry"), "key"), counter::nudge{});
    otp::gen_server::stop(name);
    EXPECT_EQ(otp::whereis(name), std::nullopt);
    auto again = otp::try_call(name, counter::add{0});
    EXPECT_EQ(again.error().cause(), noproc);
    EXPECT_EQ(again.error().call()->server, "{via, unique_names, \"first\"}");
    EXPECT_TRUE(otp::gen_server::start<counter>({.name = name}));
  });
}
// covers: REG-068
TEST(registry_names, every_behaviour_takes_such_a_name) {
  with_unique([] {
    auto name = otp::via(unique_names, "tree");
    auto tree = otp::supervisor::start_link({.strategy = otp::one_for_one}, {.name = name}).value();
    EXPECT_EQ(otp::whereis(name), tree.pid());
    EXPECT_TRUE(otp::supervisor::start_child(name, otp::child_function("one", [] {
                                               return otp::gen_server::start_link<counter>(
                                                   {.name = otp::via(unique_names, "child")});
                                             })));
    EXPECT_EQ(otp::supervisor::count_children(name).active, 1U);
    EXPECT_EQ(otp::server_name(name).id(), otp::term("tree"));
    auto dynamic = otp::dynamic_supervisor::start_link({}, {.name = otp::via(unique_names, "dynamic")}).value();
    EXPECT_EQ(otp::whereis(otp::via(unique_names, "dynamic")), dynamic.pid());
    auto child = otp::via<counter>(unique_names, "child");
    EXPECT_EQ(otp::call(child, counter::add{3}), 3);
    // A restarted child is found under the same key.
    otp::ref watch = otp::monitor(otp::whereis(child).value());
    otp::exit(otp::whereis(child).value(), otp::reason::kill);
    reason_of(watch);
    otp::supervisor::count_children(name);
    EXPECT_EQ(otp::call(child, counter::add{3}), 3);
    otp::supervisor::stop(name);
    EXPECT_EQ(otp::whereis(child), std::nullopt);
  });
}
// covers: REG-068
TEST(registry_names, a_call_from_outside_of_the_runtime_finds_it) {
  recorder quiet;
  otp::runtime rt({.workers = 2, .listener = &quiet});
  rt.start();
  auto name = otp::via<counter>(unique_names, "outside");
  EXPECT_THROW(rt.call(name, counter::add{1}), otp::bad_argument);
  otp::pid owner = rt.spawn([&] {
    otp::registry::start_link(unique_names).value();
    otp::gen_server::start_link<counter>({.name = name}).value();
    otp::register_name("up", otp::self());
    otp::receive([](int) {});
  });
  while (!rt.whereis("up")) sched_yield();
  EXPECT_EQ(rt.call(name, counter::add{4}), 4);
  rt.cast(name, counter::nudge{});
  EXPECT_EQ(rt.try_call(name, counter::add{0}), 5);
  rt.send(owner, 1);
  EXPECT_TRUE(rt.stop().clean());
}

// covers: REG-069
TEST(registry_names, a_second_server_under_the_name_gives_the_first) {
  with_unique([] {
    auto name = otp::via<counter>(unique_names, "taken");
    auto first = otp::gen_server::start<counter>({.name = name}).value();
    for (auto& second :
         {otp::gen_server::start<counter>({.name = name}), otp::gen_server::start_link<counter>({.name = name}),
          otp::gen_server::start<counter>({.name = otp::via(unique_names, "taken", 9)})}) {
      ASSERT_FALSE(second);
      EXPECT_EQ(second.error(), already_started);
      EXPECT_EQ(second.error().process(), first.pid());
    }
    EXPECT_EQ(otp::lookup(unique_names, "taken"), (otp::registration<int>{first.pid(), 0}));
    // Also if the holder is no server.
    otp::register_key(unique_names, "mine", 1).value();
    EXPECT_EQ(otp::gen_server::start<counter>({.name = otp::via(unique_names, "mine")}).error().process(), otp::self());
  });
}

// covers: REG-070, REG-071
TEST(registry_names, a_name_with_a_value_stores_it_and_resolves_without) {
  static constexpr otp::unique_registry<int, std::string> texts{"texts"};
  with_unique(
      [] {
        auto with = otp::gen_server::start<counter>({.name = otp::via(texts, 1, "a value")}).value();
        EXPECT_EQ(otp::lookup(texts, 1), (otp::registration<std::string>{with.pid(), "a value"}));
        EXPECT_EQ(otp::whereis(otp::via<counter>(texts, 1)), with.pid());
        EXPECT_EQ(otp::whereis(otp::via<counter>(texts, 1, "another")), with.pid());
        EXPECT_EQ(otp::call(otp::via<counter>(texts, 1), counter::add{1}), 1);
        auto without = otp::gen_server::start<counter>({.name = otp::via(texts, 2)}).value();
        EXPECT_EQ(otp::lookup(texts, 2), (otp::registration<std::string>{without.pid(), ""}));
        using row = std::pair<int, std::string>;
        EXPECT_EQ(sorted(otp::select(texts, [](int key, otp::pid, const std::string& v) { return row(key, v); })),
                  (std::vector<row>{{1, "a value"}, {2, ""}}));
      },
      texts);
}

// ---- metadata ----------------------------------------------------------------------------------------------------

// covers: REG-075, REG-076, REG-077
TEST(registry_names, metadata_is_read_by_key_and_is_no_entry) {
  everywhere(5, [] {
    otp::registry::start_link(groups, {.meta = {{"limit", 5}, {7, "seven"}}}).value();
    EXPECT_EQ(otp::meta(groups, "limit"), otp::term(5));
    EXPECT_EQ(otp::meta<int>(groups, "limit"), 5);
    EXPECT_EQ(otp::meta<std::string>(groups, 7), "seven");
    EXPECT_EQ(otp::meta(groups, "unknown"), std::nullopt);
    EXPECT_EQ(otp::meta<int>(groups, "unknown"), std::nullopt);
    EXPECT_THROW(otp::meta<std::string>(groups, "limit"), otp::bad_argument);
    otp::put_meta(groups, "limit", "none");
    EXPECT_EQ(otp::meta<std::string>(groups, "limit"), "none");
    otp::put_meta(groups, "new", 1.5);
    EXPECT_EQ(otp::meta<double>(groups, "new"), 1.5);
    otp::delete_meta(groups, "limit");
    otp::delete_meta(groups, "limit");
    otp::delete_meta(groups, "never");
    EXPECT_EQ(otp::meta(groups, "limit"), std::nullopt);
    EXPECT_EQ(otp::count(groups), 0U);
    EXPECT_TRUE(otp::select(groups, [](auto& key, otp::pid, int) { return key; }).empty());
    EXPECT_TRUE(otp::lookup(groups, "new").empty());
    worker w;
    w.run([] { return otp::put_meta(groups, "by another", 1), 0; });
    w.end();
    EXPECT_EQ(otp::meta<int>(groups, "by another"), 1) << "it belongs to the registry";
  });
}

// ---- listeners ---------------------------------------------------------------------------------------------------

using joined = otp::key_registered<std::string, int>;
using gone = otp::key_unregistered<std::string>;

// covers: REG-078
TEST(registry_names, listeners_hear_of_every_registration_and_unregistration) {
  auto check = [](const auto& in, std::string name) {
    otp::register_name("listener", otp::self());
    otp::registry::start_link(in, {.partitions = 2, .listeners = {"listener", "not there"}}).value();
    worker w;
    w.run([&in] {
      for (auto* key : {"a", "b", "c"}) otp::register_key(in, key, 1).value();
      return otp::unregister_key(in, "b"), 0;
    });
    for (auto* key : {"a", "b", "c"}) {
      auto m = next<joined>();
      EXPECT_EQ(m.registry, name);
      EXPECT_EQ(m.key, key);
      EXPECT_EQ(m.process, w.pid());
      EXPECT_EQ(m.value, 1);
    }
    auto first = next<gone>();
    EXPECT_EQ(first.registry, name);
    EXPECT_EQ(first.key, "b");
    EXPECT_EQ(first.process, w.pid());
    w.end();  // who ends has unregistered itself
    EXPECT_EQ(next<gone>().key, "a");
    EXPECT_EQ(next<gone>().key, "c");
    otp::unregister_key(in, "never");
    EXPECT_TRUE(mailbox_empty());
    otp::register_key(in, "mine", 5).value();
    EXPECT_EQ(next<joined>().value, 5);
    otp::unregister_match(in, "mine", [](int v) { return v == 5; });
    EXPECT_EQ(next<gone>().key, "mine");
    EXPECT_TRUE(mailbox_empty());
  };
  everywhere(10, [&] { check(unique_names, "unique_names"); });
  everywhere(10, [&] { check(groups, "groups"); });
}
// Three entries under a key were given up with three messages, and some of them with a message too.
// covers: REG-078
TEST(registry_names, a_key_is_given_up_once_however_many_entries_its_process_had) {
  with_duplicate([] {
    otp::registry::stop(groups);
    otp::register_name("listener", otp::self());
    otp::registry::start_link(groups, {.partitions = 2, .listeners = {"listener"}}).value();
    auto enter = [](std::string key, int times) {
      for (int i = 0; i < times; ++i) otp::register_key(groups, key, i).value();
      return 0;
    };
    worker other;
    other.run([=] { return enter("shared", 2); });
    enter("shared", 3);
    for (int i = 0; i < 5; ++i) next<joined>();
    otp::unregister_match(groups, "shared", [](int v) { return v == 1; });
    otp::unregister_match(groups, "shared", [](int v) { return v == 7; });
    EXPECT_TRUE(mailbox_empty()) << "it still has the key";
    otp::unregister_match(groups, "shared", [](int v) { return v != 1; });
    EXPECT_EQ(next<gone>().process, otp::self());
    EXPECT_TRUE(mailbox_empty());
    enter("shared", 3);
    for (int i = 0; i < 3; ++i) next<joined>();
    otp::unregister_key(groups, "shared");
    EXPECT_EQ(next<gone>().process, otp::self());
    EXPECT_TRUE(mailbox_empty());
    // An end gives up every key once, too.
    other.run([=] { return enter("own", 3); });
    for (int i = 0; i < 3; ++i) next<joined>();
    other.end();
    EXPECT_EQ(next<gone>().key, "shared");
    EXPECT_EQ(next<gone>().key, "own");
    for (otp::pid keeper : keepers_of("groups")) otp::sys::get_status(keeper);
    EXPECT_TRUE(mailbox_empty());
  });
}
// covers: REG-078
TEST(registry_names, a_listener_may_be_a_server_that_lists_the_messages) {
  struct audit {
    struct get {
      using reply = std::vector<std::string>;
    };
    using messages = otp::messages<joined, gone>;
    std::vector<std::string> handle_call(get) { return seen; }
    void handle_info(const joined& m) { seen.push_back("+" + m.key); }
    void handle_info(const gone& m) { seen.push_back("-" + m.key); }
    std::vector<std::string> seen;
  };
  everywhere(10, [] {
    auto server = otp::gen_server::start_link<audit>({.name = "audit"}).value();
    otp::registry::start_link(unique_names, {.listeners = {"audit"}}).value();
    auto one = otp::gen_server::start<counter>({.name = otp::via(unique_names, "one")}).value();
    otp::gen_server::stop(one);
    auto keeper = keepers_of("unique_names").front();
    otp::sys::get_status(keeper);
    EXPECT_EQ(otp::call(server, audit::get{}), (std::vector<std::string>{"+one", "-one"}));
  });
}

// covers: REG-079
TEST(registry_names, a_refused_registration_notifies_nobody) {
  everywhere(5, [] {
    otp::register_name("listener", otp::self());
    otp::registry::start_link(unique_names, {.listeners = {"listener"}}).value();
    otp::register_key(unique_names, "a", 1).value();
    next<joined>();
    EXPECT_FALSE(otp::register_key(unique_names, "a", 2));
    worker w;
    EXPECT_FALSE(w.run([] { return otp::register_key(unique_names, "a", 2).has_value(); }));
    EXPECT_FALSE(otp::gen_server::start<counter>({.name = otp::via(unique_names, "a")}));
    EXPECT_TRUE(mailbox_empty());
  });
}

// ---- locks -------------------------------------------------------------------------------------------------------

struct entered {
  int who;
};
struct leave {};

/// A process that takes the lock of a key, says so, and keeps it until it is told to leave.
otp::pid locker(std::string key, int who) {
  return otp::spawn([=, to = otp::self()] {
    otp::lock(unique_names, key, [&] {
      otp::send(to, entered{who});
      otp::receive([](leave) {});
    });
  });
}
/// Nobody comes into a lock, however long one waits.
void expect_nobody_enters() {
  if (time_is_virtual) otp::testing::settle();
  EXPECT_FALSE(waiting<entered>());
}

// covers: REG-090
TEST(registry_names, a_lock_runs_the_function_in_the_caller_one_at_a_time_in_order) {
  with_unique([] {
    EXPECT_EQ(otp::lock(unique_names, "key", [] { return otp::self(); }), otp::self());
    otp::lock(unique_names, "key", [] {});
    std::vector<otp::pid> all{locker("key", 0)};
    EXPECT_EQ(next<entered>().who, 0);
    auto keepers = keepers_of("unique_names");
    for (int i = 1; i < 5; ++i) {
      all.push_back(locker("key", i));
      // It stands in line before the next one comes.
      while (otp::info(all.back()).value().status != otp::process_status::waiting) otp::yield();
      for (otp::pid k : keepers) otp::sys::get_status(k);
    }
    for (int i = 0; i < 5; ++i) {
      expect_nobody_enters();
      otp::send(all[static_cast<std::size_t>(i)], leave{});
      if (i == 4) break;
      EXPECT_EQ(next<entered>().who, i + 1);
    }
    for (otp::pid p : all) end_of(p);
    EXPECT_EQ(otp::lock(unique_names, "key", [] { return 5; }), 5);
  });
}

// covers: REG-091
TEST(registry_names, locks_of_different_keys_do_not_exclude_each_other_and_are_no_entries) {
  with_unique([] {
    otp::register_key(unique_names, "a", 1).value();
    auto a = locker("a", 1);
    EXPECT_EQ(next<entered>().who, 1) << "a registered key is not a locked one";
    auto b = locker("b", 2);
    EXPECT_EQ(next<entered>().who, 2);
    EXPECT_EQ(otp::lookup(unique_names, "b"), std::nullopt);
    EXPECT_EQ(otp::count(unique_names), 1U);
    EXPECT_EQ(otp::lock(unique_names, "c", [] { return otp::lock(unique_names, "d", [] { return 3; }); }), 3);
    otp::send(a, leave{});
    otp::send(b, leave{});
    end_of(a);
    end_of(b);
  });
}

// Only a key of the registry's own type could be locked.
// covers: REG-091
TEST(registry_names, a_lock_may_have_a_key_of_another_type) {
  with_unique([] {
    EXPECT_EQ(
        otp::lock(
            unique_names, 5,
            [] { return otp::lock(unique_names, 5L, [] { return otp::lock(unique_names, "5", [] { return 3; }); }); }),
        3);
    auto holder = otp::spawn([to = otp::self()] {
      otp::lock(unique_names, std::pair(otp::self(), 1), [&] {
        otp::send(to, entered{1});
        otp::receive([](leave) {});
      });
    });
    EXPECT_EQ(next<entered>().who, 1);
    auto waiter = otp::spawn([holder, to = otp::self()] {
      otp::lock(unique_names, std::pair(holder, 1), [&] { otp::send(to, entered{2}); });
    });
    EXPECT_EQ(otp::lock(unique_names, std::pair(holder, 2), [] { return 4; }), 4);
    expect_nobody_enters();
    otp::send(holder, leave{});
    EXPECT_EQ(next<entered>().who, 2);
    end_of(holder);
    end_of(waiter);
  });
}

// covers: REG-092
TEST(registry_names, a_lock_is_released_when_the_function_fails_or_its_holder_dies) {
  with_unique([] {
    EXPECT_THROW(otp::lock(unique_names, "key", []() -> int { throw std::runtime_error("no"); }), std::runtime_error);
    EXPECT_EQ(otp::lock(unique_names, "key", [] { return 1; }), 1);
    for (bool kill : {false, true}) {
      auto holder = locker("key", 1);
      next<entered>();
      auto waiter = locker("key", 2);
      expect_nobody_enters();
      otp::exit(holder, kill ? otp::exit_reason(otp::reason::kill) : otp::exit_reason("crash"));
      EXPECT_EQ(next<entered>().who, 2);
      otp::send(waiter, leave{});
      end_of(waiter);
    }
    EXPECT_EQ(otp::lock(unique_names, "key", [] { return 2; }), 2);
  });
}

// covers: REG-093
TEST(registry_names, a_waiter_that_dies_before_its_turn_is_skipped) {
  with_unique([] {
    auto holder = locker("key", 1);
    next<entered>();
    auto waiter = locker("key", 2);
    while (otp::info(waiter).value().status != otp::process_status::waiting) otp::yield();
    for (otp::pid k : keepers_of("unique_names")) otp::sys::get_status(k);
    auto last = locker("key", 3);
    otp::ref watch = otp::monitor(waiter);
    otp::exit(waiter, otp::reason::kill);
    reason_of(watch);
    expect_nobody_enters();
    otp::send(holder, leave{});
    EXPECT_EQ(next<entered>().who, 3);
    otp::send(last, leave{});
    end_of(last);
  });
}

}  // namespace
