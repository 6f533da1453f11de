// Flags and child specifications: defaults, what is refused and how, and what types say of themselves.
#include "conformance/supervisor_support.hpp"

#include <otp/task_supervisor.hpp>

using namespace conformance;

namespace {

otp::child_spec plain(const char* id = "c") {
  return otp::child_function(id, [] { return otp::spawn_link([] { rest(); }); });
}

// The text of the refusal; empty if the spec is good.
std::string fault_of(otp::supervisor_spec spec) {
  auto checked = otp::supervisor::check(spec);
  auto begin = otp::process_count();
  auto started = otp::supervisor::start_link(std::move(spec));
  EXPECT_EQ(started.has_value(), checked.has_value());
  if (started) {
    otp::supervisor::stop(*started);
    static_cast<void>(next<otp::exit_signal>());
    return {};
  }
  EXPECT_EQ(started.error(), otp::reason::bad_argument);
  EXPECT_EQ(started.error(), checked.error());
  EXPECT_EQ(otp::process_count(), begin) << "something was started";
  return std::string(started.error().text());
}
bool says(const std::string& text, std::initializer_list<std::string_view> parts) {
  for (std::string_view part : parts)
    if (text.find(part) == std::string::npos) {
      ADD_FAILURE() << "no \"" << part << "\" in: " << text;
      return false;
    }
  return true;
}

}  // namespace

// covers: SUP-015
TEST(supervisor_specs, the_high_level_form_requires_a_strategy_and_tolerates_three_restarts_in_five_seconds) {
  supervised(5, [] {
    otp::supervisor_spec spec;
    EXPECT_EQ(spec.max_restarts, 3);
    EXPECT_EQ(spec.max_seconds, 5s);
    EXPECT_EQ(spec.auto_shutdown, otp::auto_shutdown::never);
    says(fault_of({}), {"strategy is missing", "otp::one_for_one"});
  });
}

namespace {
struct low_level {
  static otp::supervisor_init init(otp::supervisor_flags flags) { return {flags, {plain("x"), plain("y")}}; }
};
}  // namespace

// covers: SUP-015
TEST(supervisor_specs, the_low_level_form_defaults_to_one_for_one_with_one_restart_in_five_seconds) {
  supervised(20, [] {
    otp::supervisor_flags flags;
    EXPECT_EQ(flags.strategy, otp::one_for_one);
    EXPECT_EQ(flags.intensity, 1);
    EXPECT_EQ(flags.period, 5s);
    EXPECT_EQ(flags.auto_shutdown, otp::auto_shutdown::never);
    // They hold: one restart is tolerated and touches the failed child only, the second within 5 s is not.
    auto sup = otp::supervisor::start_link<low_level>({}, otp::supervisor_flags{}).value();
    otp::pid x = process_of(sup, "x");
    otp::pid y = process_of(sup, "y");
    otp::exit(x, otp::reason::kill);
    x = new_process(sup, "x", x);
    EXPECT_EQ(process_of(sup, "y"), y);
    otp::testing::advance(4s);
    otp::exit(x, otp::reason::kill);
    EXPECT_EQ(exit_from(sup), shutdown);
  });
}

// covers: SUP-016 D08
TEST(supervisor_specs, every_bad_flag_is_named_with_its_value_and_what_to_write) {
  supervised(5, [] {
    says(fault_of({.strategy = static_cast<otp::strategy>(17)}), {"strategy is 17", "otp::rest_for_one"});
    says(fault_of({.strategy = otp::one_for_one, .max_restarts = -1}), {"max_restarts is -1", "write 0"});
    says(fault_of({.strategy = otp::one_for_one, .max_seconds = 0s}), {"max_seconds is 0 ns", "5s"});
    says(fault_of({.strategy = otp::one_for_one, .max_seconds = -1ns}), {"max_seconds is -1 ns"});
    says(fault_of({.strategy = otp::one_for_one, .auto_shutdown = static_cast<otp::auto_shutdown>(9)}),
         {"auto_shutdown is 9", "otp::any_significant"});
    // All of them at once, and those of the children with them.
    says(fault_of({.max_restarts = -2, .max_seconds = -5s, .children = {plain().shutdown(-3s), otp::child_spec()}}),
         {"strategy is missing", "max_restarts is -2", "max_seconds is -5000000000", "children[0]",
          "shutdown is -3000 ms", "children[1]", "id is missing", "start is missing"});
    EXPECT_EQ(fault_of({.strategy = otp::one_for_one, .max_restarts = 0, .max_seconds = 1ns}), "");
  });
}

// covers: SUP-017
TEST(supervisor_specs, a_child_is_a_permanent_worker_with_five_seconds_to_end) {
  supervised(5, [] {
    otp::child_spec worker = otp::child<unit>(journal(), std::string("w"));
    EXPECT_EQ(worker.restart(), otp::permanent);
    EXPECT_EQ(worker.type(), otp::child_type::worker);
    EXPECT_EQ(worker.shutdown(), otp::shutdown_time(5s));
    EXPECT_FALSE(worker.is_significant());
    EXPECT_EQ(worker.modules(), strings{"conformance::unit"});
    EXPECT_EQ(worker.id(), otp::child_id("conformance::unit"));
    otp::child_spec supervisor = plain().type(otp::child_type::supervisor);
    EXPECT_TRUE(supervisor.shutdown().is_infinity());
    EXPECT_EQ(plain().type(otp::child_type::supervisor).shutdown(1s).shutdown(), otp::shutdown_time(1s));
    // As a supervisor tells it.
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {plain("p")}}).value();
    auto spec = otp::supervisor::get_childspec(sup, "p").value();
    EXPECT_EQ(spec.restart(), otp::permanent);
    EXPECT_EQ(spec.shutdown(), otp::shutdown_time(5s));
    EXPECT_EQ(spec.type(), otp::child_type::worker);
  });
}

// covers: SUP-018 SUP-091
TEST(supervisor_specs, every_fault_of_a_child_spec_is_named_at_the_start_and_when_a_child_is_added) {
  supervised(5, [] {
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one}).value();
    auto both = [&](const otp::child_spec& spec, std::initializer_list<std::string_view> parts) {
      says(fault_of({.strategy = otp::one_for_one, .children = {spec}}), parts);
      auto added = otp::supervisor::start_child(sup, spec);
      ASSERT_FALSE(added);
      EXPECT_EQ(added.error(), otp::reason::bad_argument);
      says(std::string(added.error().text()), parts);
      EXPECT_TRUE(otp::supervisor::which_children(sup).empty());
    };
    both(otp::child_spec().start([] { return otp::spawn_link([] { rest(); }); }), {"id is missing", ".id("});
    both(otp::child_spec().id("x"), {"start is missing", "otp::child<T>"});
    both(otp::child_function("x", std::function<otp::pid()>()), {"start is missing"});
    both(plain().restart(static_cast<otp::restart_type>(8)), {"restart is 8", "otp::transient"});
    both(plain().type(static_cast<otp::child_type>(4)), {"type is 4", "otp::child_type::worker"});
    both(plain().shutdown(-1ms), {"shutdown is -1 ms", "otp::brutal_kill"});
    both(plain().modules({"good", ""}), {"modules"});
    both(plain().significant(), {"significant", "permanent"});
  });
}

// covers: SUP-019
TEST(supervisor_specs, shutdown_may_be_zero_a_time_infinity_or_brutal_kill_for_workers_and_supervisors) {
  supervised(5, [] {
    for (auto type : {otp::child_type::worker, otp::child_type::supervisor})
      for (otp::shutdown_time time : {otp::shutdown_time(0s), otp::shutdown_time(1ms), otp::shutdown_time(1h),
                                      otp::shutdown_time(otp::infinity), otp::shutdown_time(otp::brutal_kill)})
        EXPECT_EQ(fault_of({.strategy = otp::one_for_one, .children = {plain().type(type).shutdown(time)}}), "")
            << time.to_string();
    says(fault_of({.strategy = otp::one_for_one, .children = {plain().shutdown(-5s)}}), {"shutdown is -5000 ms"});
  });
}

// covers: SUP-020 D07
TEST(supervisor_specs, two_children_of_one_id_are_refused) {
  supervised(5, [] {
    says(fault_of({.strategy = otp::one_for_one, .children = {plain("a"), plain("b"), plain("a")}}),
         {"duplicate_child_name", "children[2] \"a\"", "children[0]"});
    otp::supervisor_spec many{.strategy = otp::one_for_one};
    for (int i = 0; i < 3; ++i) many.children.push_back(plain().id("db_connection", i));
    EXPECT_EQ(fault_of(many), "");
    many.children.push_back(plain().id("db_connection", 1));
    says(fault_of(many), {"duplicate_child_name", "{\"db_connection\", 1}"});
    // Ids are equal as values are: 1 and "1" are two, and so are 1 and 1L.
    EXPECT_EQ(fault_of({.strategy = otp::one_for_one, .children = {plain().id(1), plain().id("1"), plain().id(1L)}}),
              "");
  });
}

// covers: SUP-021
TEST(supervisor_specs, specs_can_be_judged_without_starting_anything) {
  supervised(5, [] {
    auto before = otp::process_count();
    auto significant = plain("s").restart(otp::transient).significant();
    EXPECT_TRUE(otp::check_childspecs({}));
    EXPECT_TRUE(otp::check_childspecs({plain("a"), plain("b")}));
    EXPECT_FALSE(otp::check_childspecs({plain("a"), plain("a")}));
    EXPECT_FALSE(otp::check_childspecs({plain("a"), otp::child_spec()}));
    // Significance depends on the mode, if one is given.
    EXPECT_TRUE(otp::check_childspecs({significant}));
    EXPECT_TRUE(otp::check_childspecs({significant}, otp::any_significant));
    EXPECT_TRUE(otp::check_childspecs({significant}, otp::all_significant));
    auto never = otp::check_childspecs({significant}, otp::auto_shutdown::never);
    ASSERT_FALSE(never);
    says(std::string(never.error().text()), {"significant", "never"});
    EXPECT_FALSE(otp::check_childspecs({plain("p").significant()}, otp::any_significant));
    EXPECT_FALSE(otp::check_childspecs({}, static_cast<otp::auto_shutdown>(5)));
    EXPECT_EQ(otp::process_count(), before);
  });
}

// no meaning: SUP-022 (docs/decisions/0002-rows-without-meaning.md)
// no meaning: SUP-027 (docs/decisions/0002-rows-without-meaning.md)

namespace {

struct by_start_link {
  static otp::result<otp::pid> start_link(int a, std::string b) {
    return otp::spawn({.link = true, .label = b + std::to_string(a)}, [] { rest(); }).pid;
  }
};
struct by_own_spec {
  static otp::child_spec child_spec(int n = 0) {
    return otp::child_function("its own", [n] { return otp::child_started{otp::spawn_link([] { rest(); }), n}; })
        .restart(otp::temporary);
  }
};
otp::result<otp::pid> begin_resting() {
  return otp::spawn_link([] { rest(); });
}
struct a_server {
  explicit a_server(int n = 7) : number(n) {}
  std::string to_string() const { return std::to_string(number); }
  int number;
};

}  // namespace

// covers: SUP-023
TEST(supervisor_specs, a_child_is_given_as_a_spec_as_a_type_or_as_a_type_with_arguments) {
  supervised(10, [] {
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one,
                    .children = {plain("spec"), otp::child<a_server>(), otp::child<a_server>(8).id("with argument"),
                                 otp::child<by_start_link>(3, "three"), otp::child<by_own_spec>(5)}})
                   .value();
    EXPECT_EQ(ids_of(sup).size(), 5U);
    EXPECT_EQ(otp::sys::get_status(process_of(sup, otp::child<a_server>().id())).state, "7");
    EXPECT_EQ(otp::sys::get_status(process_of(sup, "with argument")).state, "8");
    EXPECT_EQ(otp::label(process_of(sup, otp::child<by_start_link>(0, "").id())), "three3");
    // What the type says of itself is taken: its own id, its own restart type.
    auto own = otp::supervisor::get_childspec(sup, "its own").value();
    EXPECT_EQ(own.restart(), otp::temporary);
    EXPECT_EQ(otp::child<by_own_spec>().id(), otp::child_id("its own"));
  });
}

// covers: SUP-025
TEST(supervisor_specs, what_a_type_says_of_itself_can_be_overridden_item_by_item) {
  supervised(5, [] {
    auto spec = otp::child<by_own_spec>(1)
                    .id("other", 2)
                    .restart(otp::transient)
                    .shutdown(otp::brutal_kill)
                    .type(otp::child_type::supervisor)
                    .modules({"m1", "m2"})
                    .significant();
    EXPECT_EQ(spec.id(), otp::child_id("other", 2));
    EXPECT_EQ(spec.restart(), otp::transient);
    EXPECT_TRUE(spec.shutdown().is_brutal_kill());
    EXPECT_EQ(spec.type(), otp::child_type::supervisor);
    EXPECT_EQ(spec.modules(), (strings{"m1", "m2"}));
    EXPECT_TRUE(spec.is_significant());
    spec.start([] { return otp::spawn({.link = true, .label = "replaced"}, [] { rest(); }).pid; });
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one, .auto_shutdown = otp::any_significant, .children = {spec}})
                   .value();
    EXPECT_EQ(otp::label(process_of(sup, otp::child_id("other", 2))), "replaced");
    // Copies are independent of each other.
    auto copy = spec;
    copy.id("copy");
    EXPECT_EQ(spec.id(), otp::child_id("other", 2));
  });
}

namespace {
struct a_tree {
  static otp::supervisor_spec init(int n) {
    otp::supervisor_spec spec{.strategy = otp::one_for_one};
    for (int i = 0; i < n; ++i) spec.children.push_back(plain().id(i));
    return spec;
  }
};
struct a_pool {
  static otp::dynamic_supervisor_spec init() { return {}; }
};
}  // namespace

// covers: SUP-026
TEST(supervisor_specs, a_supervisor_module_is_a_child_of_type_supervisor_under_its_own_name) {
  supervised(10, [] {
    for (const otp::child_spec& spec : {otp::child<a_tree>(2), otp::child<a_pool>()}) {
      EXPECT_EQ(spec.type(), otp::child_type::supervisor);
      EXPECT_TRUE(spec.shutdown().is_infinity());
      EXPECT_EQ(spec.restart(), otp::permanent);
    }
    EXPECT_EQ(otp::child<a_pool>().id().to_string().find("a_pool") != std::string::npos, true);
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one,
                    .children = {otp::child<a_tree>(2), otp::child<a_tree>(3).id("another"), otp::child<a_pool>(),
                                 otp::child_supervisor("inner", {.strategy = otp::one_for_all})}})
                   .value();
    EXPECT_EQ(otp::supervisor::count_children(sup).supervisors, 4U);
    EXPECT_EQ(otp::supervisor::count_children(process_of(sup, "another")).active, 3U);
    EXPECT_EQ(otp::supervisor::count_children(process_of(sup, "inner")).active, 0U);
  });
}

namespace {
struct started_tree {
  static otp::result<otp::server<otp::supervisor>> start_link() {
    return otp::supervisor::start_link({.strategy = otp::one_for_one});
  }
};
struct started_pool {
  static auto start_link(otp::start_options options) { return otp::dynamic_supervisor::start_link({}, options); }
};
struct started_module {
  static otp::supervisor_init init(int, const std::string&) {
    return otp::supervisor_spec{.strategy = otp::one_for_one};
  }
  static auto start_link(int n) { return otp::supervisor::start_link<started_module>({}, n, "text"); }
};
struct started_tasks {
  static otp::server<otp::task_supervisor> start_link() { return otp::task_supervisor::start_link().value(); }
};
struct started_server {
  static auto start_link() { return otp::gen_server::start_link<started_server>(); }
};
}  // namespace

// A tree that its module starts itself was taken for a worker, and killed after five seconds.
// covers: SUP-026
TEST(supervisor_specs, what_a_start_link_returns_says_whether_the_child_is_a_supervisor) {
  supervised(5, [] {
    std::vector<otp::child_spec> trees{otp::child<started_tree>(), otp::child<started_pool>(otp::start_options{}),
                                       otp::child<started_module>(1), otp::child<started_tasks>(),
                                       otp::child_template<started_module, int>().id("template")};
    for (const otp::child_spec& spec : trees) {
      EXPECT_EQ(spec.type(), otp::child_type::supervisor) << spec.to_string();
      EXPECT_TRUE(spec.shutdown().is_infinity());
    }
    trees.pop_back();
    EXPECT_EQ(otp::child<started_server>().type(), otp::child_type::worker);
    EXPECT_EQ(otp::child<started_server>().shutdown(), otp::shutdown_time(5s));
    EXPECT_EQ(otp::child<started_tree>().type(otp::child_type::worker).shutdown(), otp::shutdown_time(5s));
    auto sup = otp::supervisor::start_link({.strategy = otp::one_for_one, .children = trees}).value();
    EXPECT_EQ(otp::supervisor::count_children(sup).supervisors, 4U);
  });
}

// A function's address made g++ warn, under -Wextra, of a test that it is not null.
// covers: SUP-017
TEST(supervisor_specs, a_start_function_is_anything_that_can_be_called_and_may_turn_out_to_be_nothing) {
  supervised(5, [] {
    otp::result<otp::pid> (*nothing)() = nullptr;
    EXPECT_FALSE(otp::child_function("x", nothing).has_start());
    EXPECT_FALSE(otp::child_function("x", std::function<otp::pid()>()).has_start());
    auto sup = otp::supervisor::start_link(
                   {.strategy = otp::one_for_one,
                    .children = {otp::child_function("function", begin_resting),
                                 otp::child_function("pointer", &begin_resting),
                                 otp::child_function("lambda", [] { return begin_resting(); }),
                                 otp::child_function("object", std::function<otp::result<otp::pid>()>(begin_resting))}})
                   .value();
    EXPECT_EQ(otp::supervisor::count_children(sup).active, 4U);
  });
}
