// Adding, stopping, restarting, deleting and looking at the children of a running supervisor.
#include <ctime>

#include "conformance/supervisor_support.hpp"

using namespace conformance;

namespace {

otp::result<otp::pid> refused(otp::exit_reason why) { return std::unexpected(std::move(why)); }
otp::pid resting() {
  return otp::spawn_link([] { rest(); });
}
auto empty() { return otp::supervisor::start_link({.strategy = otp::one_for_one}).value(); }

}  // namespace

// covers: SUP-071
TEST(supervisor_children, an_added_child_stands_behind_all_others) {
  supervised(20, [] {
    journal log;
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::rest_for_one, .children = {unit_spec(log, "a"), unit_spec(log, "b")}})
                   .value();
    auto added = otp::supervisor::start_child(sup, unit_spec(log, "c"));
    ASSERT_TRUE(added);
    EXPECT_EQ(added->process, process_of(sup, "c"));
    EXPECT_TRUE(added->info.empty());
    EXPECT_EQ(ids_of(sup), (strings{"\"c\"", "\"b\"", "\"a\""}));
    log.take();
    finish(process_of(sup, "b"), "crash");
    otp::testing::settle();
    EXPECT_EQ(log.take(), (strings{"-b \"crash\"", "-c shutdown", "+b", "+c"}));
  });
}

// covers: SUP-072 D07
TEST(supervisor_children, an_id_that_exists_is_answered_with_its_process_or_that_it_has_none) {
  supervised(20, [] {
    auto sup = empty();
    otp::pid child = otp::supervisor::start_child(sup, otp::child_function("c", resting)).value().process;
    auto again = otp::supervisor::start_child(sup, otp::child_function("c", resting));
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error(), otp::reason::already_started);
    EXPECT_EQ(again.error().process(), child);
    ASSERT_TRUE(otp::supervisor::terminate_child(sup, "c"));
    auto present = otp::supervisor::start_child(sup, otp::child_function("c", resting));
    ASSERT_FALSE(present);
    EXPECT_EQ(present.error(), otp::reason::already_present);
    EXPECT_EQ(otp::supervisor::count_children(sup).specs, 1U);
    EXPECT_EQ(otp::supervisor::count_children(sup).active, 0U);
  });
}

// covers: SUP-073
TEST(supervisor_children, a_child_whose_start_fails_is_not_kept) {
  supervised(20, [] {
    auto sup = empty();
    auto failed = otp::supervisor::start_child(sup, otp::child_function("c", [] { return refused("no room"); }));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error(), otp::exit_reason("no room"));
    struct broken {
      broken() { throw std::runtime_error("init"); }
    };
    auto thrown = otp::supervisor::start_child(sup, otp::child<broken>());
    ASSERT_FALSE(thrown);
    EXPECT_EQ(thrown.error(), otp::reason::error("std::runtime_error", "init"));
    EXPECT_TRUE(otp::supervisor::which_children(sup).empty());
    EXPECT_TRUE(otp::supervisor::start_child(sup, otp::child_function("c", resting)));
  });
}

namespace {
struct named {
  static auto start_link() { return otp::gen_server::start_link<named>({.name = "outside"}); }
};
}  // namespace

// covers: SUP-074
TEST(supervisor_children, a_child_that_runs_outside_of_the_supervisor_is_named) {
  supervised(20, [] {
    auto outside = named::start_link().value();
    auto sup = empty();
    auto added = otp::supervisor::start_child(sup, otp::child<named>());
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error(), otp::reason::already_started);
    EXPECT_EQ(added.error().process(), outside.pid());
    EXPECT_TRUE(otp::supervisor::which_children(sup).empty());
  });
}

// covers: SUP-075 D04
TEST(supervisor_children, a_child_that_declines_is_kept_unless_it_is_temporary) {
  supervised(20, [] {
    for (otp::restart_type restart : {otp::permanent, otp::transient, otp::temporary}) {
      auto sup = empty();
      auto added = otp::supervisor::start_child(
          sup, otp::child_function("c", [] { return refused(otp::reason::ignore); }).restart(restart));
      ASSERT_TRUE(added);
      EXPECT_EQ(added->process, otp::pid());
      EXPECT_EQ(otp::supervisor::count_children(sup).specs, restart == otp::temporary ? 0U : 1U);
    }
  });
}

// covers: SUP-076 SUP-077
TEST(supervisor_children, a_terminated_child_is_not_restarted_and_keeps_its_spec) {
  supervised(20, [] {
    journal log;
    auto sup =
        otp::supervisor::start_link({.strategy = otp::one_for_all,
                                     .children = {unit_spec(log, "p"), unit_spec(log, "tr").restart(otp::transient),
                                                  unit_spec(log, "te").restart(otp::temporary)}})
            .value();
    log.take();
    for (const char* id : {"p", "tr", "te"}) EXPECT_TRUE(otp::supervisor::terminate_child(sup, id)) << id;
    otp::testing::advance(1min);
    EXPECT_EQ(log.take(), (strings{"-p shutdown", "-tr shutdown", "-te shutdown"}));
    EXPECT_EQ(ids_of(sup), (strings{"\"tr\"", "\"p\""}));
    EXPECT_TRUE(otp::supervisor::terminate_child(sup, "p"));  // it has no process: nothing to do
    EXPECT_EQ(otp::supervisor::terminate_child(sup, "te").error(), otp::reason::not_found);
    EXPECT_EQ(otp::supervisor::terminate_child(sup, "never seen").error(), otp::reason::not_found);
  });
}

// covers: SUP-078 D12
TEST(supervisor_children, restart_child_starts_a_child_that_has_no_process) {
  supervised(20, [] {
    int starts = 0;
    auto sup = empty();
    otp::supervisor::start_child(sup, otp::child_function("c",
                                                          [&]() -> otp::result<otp::pid> {
                                                            if (++starts == 2) return refused("not the second time");
                                                            return resting();
                                                          }))
        .value();
    EXPECT_EQ(otp::supervisor::restart_child(sup, "c").error(), otp::reason::running);
    EXPECT_EQ(otp::supervisor::restart_child(sup, "x").error(), otp::reason::not_found);
    ASSERT_TRUE(otp::supervisor::terminate_child(sup, "c"));
    EXPECT_EQ(otp::supervisor::restart_child(sup, "c").error(), otp::exit_reason("not the second time"));
    EXPECT_EQ(state_of(sup, "c"), otp::child_state::undefined);  // the spec is kept
    auto third = otp::supervisor::restart_child(sup, "c");
    ASSERT_TRUE(third);
    EXPECT_EQ(third->process, process_of(sup, "c"));
    EXPECT_EQ(starts, 3);
  });
}

// covers: SUP-079
TEST(supervisor_children, restart_child_of_one_that_declines_is_ok_with_no_process) {
  supervised(20, [] {
    bool declines = false;
    auto sup = empty();
    otp::supervisor::start_child(sup, otp::child_function("c",
                                                          [&]() -> otp::result<otp::pid> {
                                                            if (declines) return refused(otp::reason::ignore);
                                                            return resting();
                                                          }))
        .value();
    ASSERT_TRUE(otp::supervisor::terminate_child(sup, "c"));
    declines = true;
    auto again = otp::supervisor::restart_child(sup, "c");
    ASSERT_TRUE(again);
    EXPECT_EQ(again->process, otp::pid());
    EXPECT_EQ(state_of(sup, "c"), otp::child_state::undefined);
  });
}

// covers: SUP-080 D12
TEST(supervisor_children, delete_child_forgets_a_child_that_has_no_process) {
  supervised(20, [] {
    auto sup = empty();
    otp::pid child = otp::supervisor::start_child(sup, otp::child_function("c", resting)).value().process;
    EXPECT_EQ(otp::supervisor::delete_child(sup, "c").error(), otp::reason::running);
    EXPECT_EQ(process_of(sup, "c"), child);
    EXPECT_EQ(otp::supervisor::delete_child(sup, "x").error(), otp::reason::not_found);
    ASSERT_TRUE(otp::supervisor::terminate_child(sup, "c"));
    EXPECT_TRUE(otp::supervisor::delete_child(sup, "c"));
    EXPECT_EQ(otp::supervisor::delete_child(sup, "c").error(), otp::reason::not_found);
    EXPECT_TRUE(otp::supervisor::which_children(sup).empty());
  });
}

// covers: SUP-081
TEST(supervisor_children, a_temporary_child_that_is_gone_leaves_its_id_free) {
  supervised(20, [] {
    journal log;
    auto sup = empty();
    auto spec = [&] { return unit_spec(log, "t").restart(otp::temporary); };
    for (int way = 0; way < 2; ++way) {
      ASSERT_TRUE(otp::supervisor::start_child(sup, spec()));
      if (way == 0) {
        EXPECT_TRUE(otp::supervisor::terminate_child(sup, "t"));
      } else {
        finish(process_of(sup, "t"), "crash");
        otp::testing::settle();
      }
      EXPECT_EQ(otp::supervisor::restart_child(sup, "t").error(), otp::reason::not_found);
      EXPECT_EQ(otp::supervisor::delete_child(sup, "t").error(), otp::reason::not_found);
    }
    EXPECT_TRUE(otp::supervisor::start_child(sup, spec()));
  });
}

// covers: SUP-082
TEST(supervisor_children, permanent_and_transient_children_that_ended_for_good_keep_their_id) {
  supervised(20, [] {
    journal log;
    auto sup =
        otp::supervisor::start_link({.strategy = otp::one_for_one,
                                     .children = {unit_spec(log, "p"), unit_spec(log, "t1").restart(otp::transient),
                                                  unit_spec(log, "t2").restart(otp::transient)}})
            .value();
    ASSERT_TRUE(otp::supervisor::terminate_child(sup, "p"));
    ASSERT_TRUE(otp::supervisor::terminate_child(sup, "t1"));
    finish(process_of(sup, "t2"), normal);
    otp::testing::settle();
    for (const char* id : {"p", "t1", "t2"})
      EXPECT_EQ(otp::supervisor::start_child(sup, unit_spec(log, id)).error(), otp::reason::already_present) << id;
  });
}

// covers: SUP-084
TEST(supervisor_children, children_are_addressed_by_id_and_a_process_is_just_an_unknown_one) {
  supervised(20, [] {
    journal log;
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {unit_spec(log, "a")}}).value();
    otp::pid a = process_of(sup, "a");
    EXPECT_EQ(otp::supervisor::terminate_child(sup, a).error(), otp::reason::not_found);
    EXPECT_EQ(otp::supervisor::restart_child(sup, a).error(), otp::reason::not_found);
    EXPECT_EQ(otp::supervisor::delete_child(sup, a).error(), otp::reason::not_found);
    EXPECT_EQ(otp::supervisor::get_child(sup, a).error(), otp::reason::not_found);
    EXPECT_TRUE(otp::is_alive(a));
    // Unless it is the id.
    ASSERT_TRUE(otp::supervisor::start_child(sup, otp::child_function(a, resting)));
    EXPECT_TRUE(otp::supervisor::terminate_child(sup, a));
    EXPECT_TRUE(otp::is_alive(a));
  });
}

// covers: SUP-085
TEST(supervisor_children, which_children_tells_of_all_the_newest_first) {
  supervised(20, [] {
    journal log;
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one,
                    .children = {unit_spec(log, "a"), otp::child_supervisor("b", {.strategy = otp::one_for_one}),
                                 otp::child_function("c", [] { return refused(otp::reason::ignore); })}})
                   .value();
    ASSERT_TRUE(otp::supervisor::start_child(sup, otp::child_function("d", resting).modules({"one", "two"})));
    auto children = otp::supervisor::which_children(sup);
    ASSERT_EQ(children.size(), 4U);
    EXPECT_EQ(children[0].id, otp::child_id("d"));
    EXPECT_EQ(children[0].modules, (strings{"one", "two"}));
    EXPECT_TRUE(otp::is_alive(children[0].process));
    EXPECT_EQ(children[1].id, otp::child_id("c"));
    EXPECT_EQ(children[1].state, otp::child_state::undefined);
    EXPECT_EQ(children[1].process, otp::pid());
    EXPECT_EQ(children[2].id, otp::child_id("b"));
    EXPECT_EQ(children[2].type, otp::child_type::supervisor);
    EXPECT_EQ(children[3].id, otp::child_id("a"));
    EXPECT_EQ(children[3].type, otp::child_type::worker);
    EXPECT_EQ(children[3].state, otp::child_state::running);
    EXPECT_EQ(children[3].modules, strings{"conformance::unit"});
  });
}

// covers: SUP-086 SUP-088
TEST(supervisor_children, one_child_and_its_spec_can_be_looked_up) {
  supervised(20, [] {
    journal log;
    auto sup =
        otp::supervisor::start_link({.strategy = otp::one_for_one,
                                     .children = {unit_spec(log, "a").id("a", 1).shutdown(2s).restart(otp::transient)}})
            .value();
    auto child = otp::supervisor::get_child(sup, {"a", 1});
    ASSERT_TRUE(child);
    EXPECT_EQ(child->id, otp::child_id("a", 1));
    EXPECT_TRUE(otp::is_alive(child->process));
    EXPECT_EQ(child->type, otp::child_type::worker);
    auto spec = otp::supervisor::get_childspec(sup, {"a", 1});
    ASSERT_TRUE(spec);
    EXPECT_EQ(spec->id(), otp::child_id("a", 1));
    EXPECT_EQ(spec->shutdown(), otp::shutdown_time(2s));
    EXPECT_EQ(spec->restart(), otp::transient);
    EXPECT_EQ(spec->type(), otp::child_type::worker);
    EXPECT_EQ(spec->modules(), strings{"conformance::unit"});
    EXPECT_FALSE(spec->is_significant());
    EXPECT_TRUE(spec->has_start());
    // It is a spec that can be used.
    EXPECT_TRUE(otp::supervisor::start_child(sup, spec->id("again")));
    EXPECT_EQ(otp::supervisor::get_child(sup, {"a", 2}).error(), otp::reason::not_found);
    EXPECT_EQ(otp::supervisor::get_childspec(sup, "a").error(), otp::reason::not_found);
  });
}

// covers: SUP-087
TEST(supervisor_children, count_children_counts_specs_live_processes_and_declared_types) {
  supervised(20, [] {
    journal log;
    auto expect = [](const otp::supervisor_ref& sup, std::size_t specs, std::size_t active, std::size_t supervisors,
                     std::size_t workers) {
      auto n = otp::supervisor::count_children(sup);
      EXPECT_EQ(n.specs, specs);
      EXPECT_EQ(n.active, active);
      EXPECT_EQ(n.supervisors, supervisors);
      EXPECT_EQ(n.workers, workers);
    };
    auto sup = empty();
    expect(sup, 0, 0, 0, 0);
    static_cast<void>(otp::supervisor::start_child(sup, unit_spec(log, "a")));
    static_cast<void>(otp::supervisor::start_child(sup, otp::child_supervisor("s", {.strategy = otp::one_for_one})));
    static_cast<void>(otp::supervisor::start_child(
        sup, otp::child_function("i", [] { return refused(otp::reason::ignore); }).type(otp::child_type::supervisor)));
    expect(sup, 3, 2, 2, 1);
    EXPECT_TRUE(otp::supervisor::terminate_child(sup, "a"));
    expect(sup, 3, 1, 2, 1);
    EXPECT_TRUE(otp::supervisor::delete_child(sup, "a"));
    expect(sup, 2, 1, 2, 0);
    // A dead process that nobody noticed is not active.
    otp::pid loose =
        otp::supervisor::start_child(sup, otp::child_function("l", [] { return otp::spawn([] { rest(); }); }))
            .value()
            .process;
    expect(sup, 3, 2, 2, 1);
    otp::exit(loose, otp::reason::kill);
    static_cast<void>(end_of(loose));
    expect(sup, 3, 1, 2, 1);
  });
}

namespace {
struct my_module {
  static otp::supervisor_spec init() { return {.strategy = otp::one_for_one}; }
};
}  // namespace

// covers: SUP-089
TEST(supervisor_children, the_module_of_a_supervisor_can_be_asked_for) {
  supervised(10, [] {
    auto sup = otp::supervisor::start_link<my_module>().value();
    EXPECT_NE(otp::supervisor::callback_module(sup).find("my_module"), std::string::npos);
    EXPECT_NE(otp::info(sup)->type.find("supervisor:"), std::string::npos);
    EXPECT_NE(otp::info(sup)->type.find("my_module"), std::string::npos);
    EXPECT_EQ(otp::supervisor::callback_module(empty()), "supervisor");
  });
}

// covers: SUP-090
TEST(supervisor_children, every_request_to_a_supervisor_that_is_not_there_exits_the_caller_with_noproc) {
  supervised(5, [] {
    auto gone = empty();
    otp::supervisor::stop(gone);
    auto spec = otp::child_function("c", resting);
    std::vector<std::pair<const char*, std::function<void(const otp::supervisor_ref&)>>> requests{
        {"start_child", [&](auto& who) { static_cast<void>(otp::supervisor::start_child(who, spec)); }},
        {"start_child", [&](auto& who) { static_cast<void>(otp::supervisor::start_child(who, otp::extra(1))); }},
        {"terminate_child", [&](auto& who) { static_cast<void>(otp::supervisor::terminate_child(who, "c")); }},
        {"restart_child", [&](auto& who) { static_cast<void>(otp::supervisor::restart_child(who, "c")); }},
        {"delete_child", [&](auto& who) { static_cast<void>(otp::supervisor::delete_child(who, "c")); }},
        {"which_children", [&](auto& who) { otp::supervisor::which_children(who); }},
        {"count_children", [&](auto& who) { otp::supervisor::count_children(who); }},
        {"get_child", [&](auto& who) { static_cast<void>(otp::supervisor::get_child(who, "c")); }},
        {"get_childspec", [&](auto& who) { static_cast<void>(otp::supervisor::get_childspec(who, "c")); }},
        {"callback_module", [&](auto& who) { otp::supervisor::callback_module(who); }},
        {"stop", [&](auto& who) { otp::supervisor::stop(who); }},
    };
    for (otp::supervisor_ref who : {otp::supervisor_ref(gone), otp::supervisor_ref("nobody"),
                                    otp::supervisor_ref(otp::global("nobody")), otp::supervisor_ref(otp::pid())})
      for (auto& [name, request] : requests) {
        try {
          request(who);
          ADD_FAILURE() << name << " returned";
        } catch (const otp::exited& e) {
          EXPECT_EQ(e.reason().cause(), noproc) << name;
          ASSERT_NE(e.reason().call(), nullptr);
          EXPECT_EQ(e.reason().call()->function, name);
        }
      }
  });
}

// Which child it was about did not stand in the reason.
// covers: SUP-090
TEST(supervisor_children, the_reason_of_a_failed_request_names_the_child) {
  supervised(1, [] {
    auto why = [](auto request) -> std::string {
      try {
        static_cast<void>(request());
      } catch (const otp::exited& e) {
        return e.reason().to_string();
      }
      return "nothing";
    };
    EXPECT_EQ(why([] { return otp::supervisor::start_child("nobody", otp::child_function("c", resting)); }),
              "{noproc, start_child(\"nobody\", child \"c\", infinity)}");
    EXPECT_EQ(why([] { return otp::supervisor::terminate_child("nobody", otp::child_id("c", 1)); }),
              "{noproc, terminate_child(\"nobody\", child {\"c\", 1}, infinity)}");
    EXPECT_EQ(why([] { return otp::supervisor::which_children("nobody"); }),
              "{noproc, which_children(\"nobody\", supervisor request, infinity)}");
  });
}

// covers: SUP-090
TEST(supervisor_children, requests_wait_without_limit) {
  supervised(5, [] {
    auto sup = empty();
    struct slow_start {
      slow_start() { otp::sleep(24h * 100); }
    };
    auto begin = otp::now();
    EXPECT_TRUE(otp::supervisor::start_child(sup, otp::child<slow_start>()));
    EXPECT_EQ(otp::now() - begin, 24h * 100);
  });
}

// covers: SUP-090
TEST(supervisor_children, the_end_of_the_supervisor_fails_those_who_wait) {
  supervised(20, [] {
    struct slow_end {
      slow_end() { otp::trap_exit(true); }
      void terminate(const otp::exit_reason&) { otp::sleep(3s); }
    };
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child<slow_end>().id("s")}})
                   .value();
    std::vector<otp::ref> waiting;
    waiting.push_back(
        otp::spawn_monitor([sup] { static_cast<void>(otp::supervisor::terminate_child(sup, "s")); }).monitor);
    otp::testing::settle();
    waiting.push_back(otp::spawn_monitor([sup] { otp::supervisor::which_children(sup); }).monitor);
    otp::testing::settle();
    otp::exit(sup, otp::reason::kill);
    for (otp::ref w : waiting) EXPECT_EQ(reason_of(w).cause(), killed);
  });
}

// covers: SUP-093
TEST(supervisor_children, what_a_temporary_child_was_started_with_is_not_kept) {
  supervised(20, [] {
    auto argument = std::make_shared<int>(1);
    auto spec = [&](const char* id) { return otp::child_function(id, [held = argument] { return resting(); }); };
    auto sup =
        otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {spec("t").restart(otp::temporary)}})
            .value();
    EXPECT_EQ(argument.use_count(), 1);
    ASSERT_TRUE(otp::supervisor::start_child(sup, spec("u").restart(otp::temporary)));
    EXPECT_EQ(argument.use_count(), 1);
    EXPECT_FALSE(otp::supervisor::get_childspec(sup, "t").value().has_start());
    ASSERT_TRUE(otp::supervisor::start_child(sup, spec("p")));
    EXPECT_EQ(argument.use_count(), 2);
  });
}

// covers: SUP-094
TEST(supervisor_children, starting_and_stopping_many_children_is_linear) {
  struct idle {};
  // In time of the processor: the machine may be busy with other things.
  auto work = [](int n) {
    std::clock_t time = 0;
    seeded([&] {
      std::clock_t begin = std::clock();
      otp::supervisor_spec spec{.strategy = otp::one_for_one};
      for (int i = 0; i < n; ++i) spec.children.push_back(otp::child<idle>().id(i));
      auto sup = otp::supervisor::start_link(spec).value();
      for (int i = 0; i < n; ++i) EXPECT_TRUE(otp::supervisor::start_child(sup, otp::child<idle>().id("added", i)));
      for (int i = 0; i < n; ++i) EXPECT_TRUE(otp::supervisor::terminate_child(sup, i));
      for (int i = 0; i < n; ++i) EXPECT_TRUE(otp::supervisor::delete_child(sup, i));
      otp::supervisor::stop(sup);
      EXPECT_EQ(otp::process_count(), 1U);
      time = std::clock() - begin;
    });
    return time;
  };
  // Ten times the children: about ten times the work, where a quadratic step would make it a hundred times.
  auto few = work(1000);
  EXPECT_LT(work(10'000), 40 * few);
}
