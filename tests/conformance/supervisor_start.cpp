// Starting a supervisor: order, failures, names, what start functions may return.
#include "conformance/supervisor_support.hpp"

using namespace conformance;

namespace {

struct listed {
  static otp::supervisor_spec init(journal log) {
    return {.strategy = otp::one_for_one, .children = {unit_spec(log, "a"), unit_spec(log, "b")}};
  }
};
struct declining {
  static otp::supervisor_init init() { return otp::ignore(); }
};
struct broken {
  static otp::supervisor_spec init() { throw std::runtime_error("no plan"); }
};

otp::result<otp::pid> refused(otp::exit_reason why) { return std::unexpected(std::move(why)); }

}  // namespace

// covers: SUP-001
TEST(supervisor_start, children_start_one_after_the_other_and_all_before_start_link_returns) {
  supervised(20, [] {
    journal log;
    struct slow {
      slow(journal log, std::string name) {
        log.add("begin " + name);
        otp::sleep(10ms);
        log.add("end " + name);
      }
    };
    auto spec = [&](const char* name) { return otp::child<slow>(log, std::string(name)).id(name); };
    auto sup =
        otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {spec("a"), spec("b"), spec("c")}});
    ASSERT_TRUE(sup);
    EXPECT_EQ(log.take(), (strings{"begin a", "end a", "begin b", "end b", "begin c", "end c"}));
    EXPECT_EQ(otp::supervisor::count_children(*sup).active, 3U);
  });
}

// covers: SUP-002
TEST(supervisor_start, it_is_linked_to_its_starter_and_traps_exits) {
  supervised(20, [] {
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one}).value();
    auto info = otp::info(sup).value();
    EXPECT_TRUE(info.trap_exit);
    EXPECT_EQ(info.links, std::vector<otp::pid>{otp::self()});
    // The end of the starter ends it; a starter that it does not belong to does not.
    otp::pid inner;
    otp::pid starter = otp::spawn([&, owner = otp::self()] {
      inner = otp::supervisor::start_link({.strategy = otp::one_for_one}).value();
      otp::send(owner, std::string("started"));
      rest();
    });
    next<std::string>();
    otp::ref gone = otp::monitor(inner);
    otp::exit(starter, "my reason");
    EXPECT_EQ(reason_of(gone), otp::exit_reason("my reason"));
    EXPECT_TRUE(otp::is_alive(sup));
  });
}

// covers: SUP-003
TEST(supervisor_start, init_may_decline) {
  supervised(20, [] {
    auto sup = otp::supervisor::start_link<declining>({.name = "declining"});
    ASSERT_FALSE(sup);
    EXPECT_EQ(sup.error(), otp::reason::ignore);
    EXPECT_FALSE(otp::whereis("declining"));
    EXPECT_EQ(next<otp::exit_signal>().reason, normal);
  });
}

// covers: SUP-004
TEST(supervisor_start, an_init_that_throws_makes_the_start_fail_with_what_it_threw) {
  supervised(20, [] {
    auto sup = otp::supervisor::start_link<broken>({.name = "broken"});
    ASSERT_FALSE(sup);
    EXPECT_EQ(sup.error(), otp::reason::error("std::runtime_error", "no plan"));
    EXPECT_FALSE(otp::whereis("broken"));
    EXPECT_EQ(next<otp::exit_signal>().reason, sup.error());
  });
}

// covers: SUP-005
TEST(supervisor_start, a_taken_name_is_answered_with_its_holder) {
  supervised(20, [] {
    journal log;
    auto first = otp::supervisor::start_link({.strategy = otp::one_for_one}, {.name = "taken"}).value();
    auto second = otp::supervisor::start_link<listed>({.name = "taken"}, log);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error(), otp::reason::already_started);
    EXPECT_EQ(second.error().process(), first.pid());
    EXPECT_EQ(log.take(), strings{});
    EXPECT_TRUE(mailbox_empty());
  });
}

namespace {
// A registry of three lines.
struct small_registry final : otp::name_registry {
  bool register_name(const otp::term& key, otp::pid process) override {
    if (whereis_name(key)) return false;
    held.emplace_back(key, process);
    return true;
  }
  void unregister_name(const otp::term& key) override {
    std::erase_if(held, [&](auto& e) { return e.first == key; });
  }
  std::optional<otp::pid> whereis_name(const otp::term& key) const override {
    for (auto& [k, p] : held)
      if (k == key && otp::is_alive(p)) return p;
    return std::nullopt;
  }
  std::string to_string() const override { return "small registry"; }
  std::vector<std::pair<otp::term, otp::pid>> held;
};
}  // namespace

// covers: SUP-006
TEST(supervisor_start, it_may_be_anonymous_or_named_in_every_way_and_requests_take_every_reference) {
  supervised(10, [] {
    journal log;
    auto use = [&](const otp::supervisor_ref& who) {
      EXPECT_EQ(otp::supervisor::which_children(who).size(), 1U);
      EXPECT_EQ(otp::supervisor::count_children(who).workers, 1U);
      EXPECT_EQ(otp::supervisor::get_child(who, "u").value().id, otp::child_id("u"));
      EXPECT_EQ(otp::supervisor::get_childspec(who, "u").value().id(), otp::child_id("u"));
      EXPECT_TRUE(otp::supervisor::terminate_child(who, "u"));
      EXPECT_TRUE(otp::supervisor::restart_child(who, "u"));
      EXPECT_TRUE(otp::supervisor::terminate_child(who, "u"));
      EXPECT_TRUE(otp::supervisor::delete_child(who, "u"));
      EXPECT_TRUE(otp::supervisor::start_child(who, unit_spec(log, "v")));
      otp::supervisor::stop(who);
      EXPECT_EQ(next<otp::exit_signal>().reason, normal);
    };
    auto start = [&](otp::server_name name) {
      return otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {unit_spec(log, "u")}},
                                         {.name = std::move(name)})
          .value();
    };
    use(start({}));
    use(start({}).pid());
    start("a local name");
    use("a local name");
    start("another");
    use(otp::name<otp::supervisor>{"another"});
    start(otp::global("a global name"));
    use(otp::global("a global name"));
    auto registry = std::make_shared<small_registry>();
    start(otp::via(registry, 17));
    use(otp::via(registry, 17));
    EXPECT_TRUE(registry->held.empty());
    // A name that is none is refused.
    EXPECT_THROW(
        static_cast<void>(otp::supervisor::start_link({.strategy = otp::one_for_one}, {.name = std::string(300, 'x')})),
        otp::bad_argument);
  });
}

// covers: SUP-007
TEST(supervisor_start, a_start_function_may_add_information_for_who_asked) {
  supervised(10, [] {
    int starts = 0;
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one}).value();
    auto started = otp::supervisor::start_child(
        sup, otp::child_function("c", [&] { return otp::child_started{otp::spawn_link([] { rest(); }), ++starts}; }));
    ASSERT_TRUE(started);
    EXPECT_EQ(started->info, otp::term(1));
    EXPECT_EQ(started->process, process_of(sup, "c"));
    ASSERT_TRUE(otp::supervisor::terminate_child(sup, "c"));
    auto again = otp::supervisor::restart_child(sup, "c");
    ASSERT_TRUE(again);
    EXPECT_EQ(again->info, otp::term(2));
    // A restart by the supervisor itself has nobody to tell.
    otp::pid before = again->process;
    otp::exit(before, otp::reason::kill);
    EXPECT_NE(new_process(sup, "c", before), before);
    EXPECT_EQ(starts, 3);
  });
}

// covers: SUP-008
TEST(supervisor_start, a_child_that_declines_keeps_its_place_and_the_start_goes_on) {
  supervised(10, [] {
    for (otp::restart_type restart : {otp::permanent, otp::transient}) {
      journal log;
      auto sup = otp::supervisor::start_link(
                     {.strategy = otp::one_for_one,
                      .children = {otp::child_function("declines", [] { return refused(otp::reason::ignore); })
                                       .restart(restart),
                                   unit_spec(log, "b")}})
                     .value();
      EXPECT_EQ(log.take(), strings{"+b"});
      EXPECT_EQ(ids_of(sup), (strings{"\"b\"", "\"declines\""}));
      EXPECT_EQ(state_of(sup, "declines"), otp::child_state::undefined);
      EXPECT_EQ(process_of(sup, "declines"), otp::pid());
    }
  });
}

// covers: SUP-009
TEST(supervisor_start, a_temporary_child_that_declines_leaves_nothing_behind) {
  supervised(10, [] {
    auto declines = [](const char* id) {
      return otp::child_function(id, [] { return refused(otp::reason::ignore); }).restart(otp::temporary);
    };
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {declines("first")}}).value();
    EXPECT_TRUE(otp::supervisor::which_children(sup).empty());
    auto later = otp::supervisor::start_child(sup, declines("later"));
    ASSERT_TRUE(later);
    EXPECT_EQ(later->process, otp::pid());
    EXPECT_TRUE(otp::supervisor::which_children(sup).empty());
  });
}

// covers: SUP-010 D01
TEST(supervisor_start, a_child_that_fails_undoes_the_start) {
  supervised(50, [] {
    journal log;
    auto sup =
        otp::supervisor::start_link({.strategy = otp::one_for_one,
                                     .children = {unit_spec(log, "a"), unit_spec(log, "b"),
                                                  otp::child_function("third", [] { return refused("no disk"); }),
                                                  unit_spec(log, "d"), unit_spec(log, "e")}},
                                    {.name = "undone"});
    ASSERT_FALSE(sup);
    EXPECT_EQ(sup.error(), shutdown(otp::failed_to_start_child{"third", "no disk"}));
    EXPECT_NE(sup.error().to_string().find("third"), std::string::npos);
    EXPECT_NE(sup.error().to_string().find("no disk"), std::string::npos);
    EXPECT_EQ(log.take(), (strings{"+a", "+b", "-b shutdown", "-a shutdown"}));
    EXPECT_FALSE(otp::whereis("undone"));
    EXPECT_EQ(next<otp::exit_signal>().reason, sup.error());
    EXPECT_EQ(otp::process_count(), 1U);
  });
}

// covers: SUP-011
TEST(supervisor_start, a_start_function_that_throws_exits_or_returns_no_process_has_failed) {
  supervised(10, [] {
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one}).value();
    auto reason = [&](auto function) {
      auto made = otp::supervisor::start_child(sup, otp::child_function("c", function));
      EXPECT_FALSE(made);
      return made ? otp::exit_reason() : made.error();
    };
    EXPECT_EQ(reason([]() -> otp::pid { throw std::logic_error("wrong"); }),
              otp::reason::error("std::logic_error", "wrong"));
    EXPECT_EQ(reason([]() -> otp::pid { otp::exit("left"); }), otp::exit_reason("left"));
    EXPECT_EQ(reason([] { return refused(42); }), otp::exit_reason(42));
    EXPECT_EQ(reason([] { return otp::result<void>(); }), otp::reason::bad_argument);
    EXPECT_EQ(reason([] { return otp::pid(); }), otp::reason::bad_argument);
    EXPECT_TRUE(otp::supervisor::which_children(sup).empty());
    EXPECT_TRUE(otp::is_alive(sup));
  });
}

// covers: SUP-012
TEST(supervisor_start, a_value_that_a_start_function_throws_counts_as_returned) {
  supervised(10, [] {
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one}).value();
    auto thrown = otp::supervisor::start_child(
        sup, otp::child_function("c", []() -> otp::pid { throw otp::child_started{otp::spawn_link(rest), "info"}; }));
    ASSERT_TRUE(thrown);
    EXPECT_EQ(thrown->info, otp::term("info"));
    EXPECT_EQ(process_of(sup, "c"), thrown->process);
    EXPECT_TRUE(
        otp::supervisor::start_child(sup, otp::child_function("d", []() -> otp::pid { throw otp::spawn_link(rest); })));
    auto error = otp::supervisor::start_child(
        sup, otp::child_function("e", []() -> otp::pid { throw otp::exit_reason("thrown"); }));
    ASSERT_FALSE(error);
    EXPECT_EQ(error.error(), otp::exit_reason("thrown"));
  });
}

// covers: SUP-013
TEST(supervisor_start, while_a_child_is_being_started_no_request_is_answered) {
  supervised(20, [] {
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one}).value();
    struct sleeper_in_init {
      sleeper_in_init() { otp::sleep(10s); }
    };
    otp::spawn([sup] { static_cast<void>(otp::supervisor::start_child(sup, otp::child<sleeper_in_init>())); });
    otp::testing::settle();
    auto begin = otp::now();
    EXPECT_EQ(otp::supervisor::count_children(sup).active, 1U);
    EXPECT_GE(otp::now() - begin, 10s);
  });
}

// covers: SUP-014
TEST(supervisor_start, the_end_of_a_child_that_is_not_linked_goes_unnoticed) {
  supervised(10, [] {
    int starts = 0;
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one,
                                            .children = {otp::child_function("loose",
                                                                             [&] {
                                                                               ++starts;
                                                                               return otp::spawn([] { rest(); });
                                                                             })}})
                   .value();
    otp::pid child = process_of(sup, "loose");
    otp::exit(child, otp::reason::kill);
    EXPECT_EQ(end_of(child), noproc) << "as for all who look after the kill";
    otp::testing::advance(1s);
    EXPECT_EQ(starts, 1);
    EXPECT_EQ(process_of(sup, "loose"), child);
    EXPECT_EQ(otp::supervisor::count_children(sup).active, 0U);
    // It is stopped like any other: there is nothing left to stop.
    EXPECT_TRUE(otp::supervisor::terminate_child(sup, "loose"));
  });
}

TEST(supervisor_start, a_supervisor_starts_restarts_and_stops_on_threads) {
  EXPECT_EQ(threaded([] {
              otp::trap_exit(true);
              journal log;
              auto sup = otp::supervisor::start_link<listed>({.name = "threaded"}, log).value();
              otp::pid before = process_of("threaded", "a");
              finish(before, "crash");
              EXPECT_NE(new_process("threaded", "a", before), before);
              otp::supervisor::stop(sup);
              EXPECT_EQ(log.take(), (strings{"+a", "+b", "-a \"crash\"", "+a", "-b shutdown", "-a shutdown"}));
            }),
            normal);
}
