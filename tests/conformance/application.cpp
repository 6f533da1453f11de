// Applications: loading, starting, stopping, dying.
#include <otp/application.hpp>

#include "conformance/supervisor_support.hpp"

#include <otp/gen_server.hpp>
#include <otp/task.hpp>

#include <functional>

using namespace conformance;
using otp::application;

namespace {

/// What the applications of a test do and write down. One test runs at a time.
struct script {
  journal log;
  std::function<otp::result<otp::pid>(const otp::term&)> start;
  std::function<void()> prep_stop;
  std::function<void()> stop;
  std::function<otp::result<void>(std::string_view, const otp::term&)> phase;
  std::vector<std::string> applications;
  std::vector<std::string> optional;
  std::vector<otp::env_entry> phases;
};
script* now = nullptr;

struct with_script {
  with_script() { now = &mine; }
  ~with_script() { now = nullptr; }
  script mine;
};

/// A top process that writes down its end.
otp::pid top_process(const std::string& name) {
  return otp::gen_server::start_link<unit>({}, now->log, name).value().pid();
}

template <char Name>
struct app {
  static otp::application_spec application() {
    return {.name = std::string(1, Name), .description = std::string("the application ") + Name, .version = "1.2"};
  }
  otp::pid start() { return top_process(std::string(1, Name)); }
};

/// The one whose callbacks do what the test says.
struct scripted {
  static otp::application_spec application() {
    return {.name = "scripted",
            .applications = now->applications,
            .optional_applications = now->optional,
            .start_phases = now->phases,
            .argument = 42,
            .env = {{"port", 8080}, {"host", "localhost"}}};
  }
  otp::result<otp::pid> start(otp::start_type type, const otp::term& argument) {
    EXPECT_EQ(type, otp::start_type::normal);
    if (now->start) return now->start(argument);
    return top_process("top");
  }
  otp::result<void> start_phase(std::string_view phase, otp::start_type, const otp::term& argument) {
    now->log.add("phase " + std::string(phase) + " " + argument.to_string());
    return now->phase ? now->phase(phase, argument) : otp::result<void>();
  }
  void prep_stop() {
    if (!now) return;  // the test is over, its runtime stops
    state += "prepared";
    now->log.add("prep_stop");
    if (now->prep_stop) now->prep_stop();
  }
  void stop() {
    if (!now) return;
    now->log.add("stop " + state);
    if (now->stop) now->stop();
  }
  std::string state;
};

struct metrics {
  static otp::application_spec application() { return {.name = "metrics", .env = {{"every", 10s}}}; }
  otp::pid start() { return top_process("metrics"); }
};
struct including {
  using included_applications = otp::application_list<metrics>;
  static otp::application_spec application() { return {.name = "including"}; }
  otp::pid start() { return top_process("including"); }
};

strings names(const std::vector<otp::application_info>& all) {
  strings found;
  for (auto& a : all) found.push_back(a.name);
  return found;
}
bool runs(std::string_view name) {
  auto all = names(application::started_applications());
  return std::count(all.begin(), all.end(), name) == 1;
}
std::string module_of(std::string_view name) {
  return *application::get_key(name, "mod").value().get_if<std::string>();
}
void end_top(std::string_view name, otp::exit_reason why) { finish(application::top_process(name).value(), why); }

/// A body with a script, on both engines.
template <class F>
void scripted_everywhere(unsigned seeds, F body) {
  everywhere(seeds, [body] {
    with_script s;
    body(s.mine);
  });
}
template <class F>
void scripted_seeds(unsigned seeds, F body) {
  for_seeds(seeds, [body] {
    with_script s;
    body(s.mine);
  });
}

}  // namespace

// covers: APP-001 APP-004 APP-005
TEST(application_load, it_makes_spec_and_settings_known_and_starts_nothing) {
  scripted_seeds(3, [](script&) {
    EXPECT_TRUE(application::load<including>().has_value());
    EXPECT_EQ(application::load<including>().error(), otp::already_loaded{"including"});
    EXPECT_EQ(application::load<metrics>().error(), otp::already_loaded{"metrics"});  // it came with the other
    EXPECT_EQ(otp::process_count(), 1U);
    EXPECT_EQ(application::get_env<otp::duration>("metrics", "every"), 10s);
    EXPECT_EQ(names(application::loaded_applications()), (strings{"including", "metrics"}));
    EXPECT_TRUE(application::started_applications().empty());
    EXPECT_TRUE(application::load<app<'a'>>().has_value());
    auto spec = application::spec("a").value();
    EXPECT_EQ(spec.description, "the application a");
    EXPECT_EQ(*application::get_key("a", "vsn")->get_if<std::string>(), "1.2");
    EXPECT_EQ(*application::get_key("including", "included_applications")->get_if<strings>(), strings{"metrics"});
    EXPECT_NE(application::get_key("a", "mod")->get_if<std::string>()->find("app<"), std::string::npos);
    EXPECT_FALSE(application::spec("nobody"));
    EXPECT_FALSE(application::get_key("nobody", "vsn"));
    EXPECT_THROW(application::get_key("a", "colour"), otp::bad_argument);
    EXPECT_TRUE(application::start("a").has_value());
    EXPECT_EQ(application::loaded_applications().size(), 3U);
    auto running = application::started_applications();
    ASSERT_EQ(running.size(), 1U);
    EXPECT_EQ(running[0].name, "a");
    EXPECT_EQ(running[0].description, "the application a");
    EXPECT_EQ(running[0].version, "1.2");
  });
}

// covers: APP-002
TEST(application_load, an_unknown_one_and_every_fault_of_a_spec_are_told) {
  scripted_seeds(3, [](script&) {
    auto unknown = application::start("nobody").error();
    EXPECT_EQ(unknown, otp::no_such_application{"nobody"});
    EXPECT_NE(unknown.to_string().find("load"), std::string::npos);
    EXPECT_EQ(application::ensure_all_started("nobody").error(),
              (otp::start_failed{"nobody", otp::no_such_application{"nobody"}}));
    auto refused = [](otp::application_spec spec, std::initializer_list<const char*> parts) {
      try {
        static_cast<void>(application::load(spec));
        ADD_FAILURE() << "it was loaded";
      } catch (const otp::bad_argument& e) {
        for (const char* part : parts) EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
      }
    };
    for (const char* bad : {"", "2nd", "with blank", "a-b"}) refused({.name = bad}, {"name", "letter"});
    refused({.name = "x", .applications = {"x", "y", "y"}}, {"names itself", "\"y\" stands there twice"});
    refused({.name = "x", .applications = {"y"}, .optional_applications = {"y"}}, {"optional_applications"});
    refused({.name = "x", .start_phases = {{"go", 1}}}, {"start_phases", "start_phase("});
    refused({.name = "x", .env = {{"k", 1}, {"k", 2}, {"", 3}}}, {"\"k\" stands there twice", "empty"});
    EXPECT_TRUE(application::loaded_applications().empty());
  });
}

// covers: APP-003
TEST(application_load, unloading_forgets_it_unless_it_runs) {
  scripted_seeds(3, [](script&) {
    application::load<app<'a'>>().value();
    application::put_env("a", "k", 1);
    application::start("a").value();
    EXPECT_EQ(application::unload("a").error(), otp::reason::running);
    application::stop("a").value();
    EXPECT_TRUE(application::unload("a").has_value());
    EXPECT_FALSE(application::spec("a"));
    EXPECT_FALSE(application::get_env<int>("a", "k"));
    EXPECT_EQ(application::unload("a").error(), otp::not_loaded{"a"});
  });
}

// What was loaded with another one stayed when that one was unloaded, and could not be loaded again.
// covers: APP-003
TEST(application_load, unloading_forgets_what_it_includes_unless_that_runs) {
  scripted_seeds(3, [](script&) {
    application::load<including>().value();
    EXPECT_TRUE(application::unload("including").has_value());
    EXPECT_TRUE(application::loaded_applications().empty());
    EXPECT_FALSE(application::get_env<otp::duration>("metrics", "every"));
    EXPECT_TRUE(application::load<including>().has_value());
    application::start("metrics").value();
    EXPECT_TRUE(application::unload("including").has_value());
    EXPECT_TRUE(runs("metrics"));
    EXPECT_TRUE(application::stop("metrics").has_value());
    EXPECT_TRUE(application::unload("metrics").has_value());
  });
}

// covers: APP-006 APP-009 APP-017
TEST(application_start, it_loads_and_calls_start_with_type_and_argument) {
  scripted_everywhere(10, [](script& s) {
    otp::term given;
    s.start = [&](const otp::term& argument) -> otp::result<otp::pid> {
      given = argument;
      return top_process("top");
    };
    EXPECT_TRUE(application::start<scripted>().has_value());
    EXPECT_EQ(given, otp::term(42));
    EXPECT_EQ(s.log.take(), strings{"+top"});
    EXPECT_TRUE(otp::is_alive(application::top_process("scripted").value()));
    EXPECT_EQ(application::start("scripted").error(), otp::reason::already_started);
    EXPECT_TRUE(application::ensure_started("scripted").has_value());
    EXPECT_TRUE(s.log.take().empty());
    EXPECT_TRUE(application::stop("scripted").has_value());
    EXPECT_TRUE(application::ensure_started("scripted").has_value());
    EXPECT_TRUE(runs("scripted"));
  });
}

// covers: APP-007
TEST(application_start, what_it_needs_must_run) {
  scripted_seeds(5, [](script& s) {
    s.applications = {"a", "b"};
    s.optional = {"c"};
    application::load<scripted>().value();
    EXPECT_EQ(application::start("scripted").error(), otp::not_started{"a"});
    application::start<app<'a'>>().value();
    EXPECT_EQ(application::start("scripted").error(), otp::not_started{"b"});
    application::start<app<'b'>>().value();
    EXPECT_TRUE(application::start("scripted").has_value());  // c is not even loaded
    application::stop("scripted").value();
    application::load<app<'c'>>().value();
    EXPECT_EQ(application::start("scripted").error(), otp::not_started{"c"});
    application::start("c").value();
    EXPECT_TRUE(application::start("scripted").has_value());
  });
}

// covers: APP-010
TEST(application_start, one_without_code_runs_no_process) {
  scripted_seeds(3, [](script&) {
    application::load({.name = "settings_only", .env = {{"k", 1}}}).value();
    EXPECT_TRUE(application::start("settings_only", otp::permanent).has_value());
    EXPECT_TRUE(runs("settings_only"));
    EXPECT_EQ(otp::process_count(), 1U);
    EXPECT_EQ(application::start("settings_only").error(), otp::reason::already_started);
    EXPECT_TRUE(application::stop("settings_only").has_value());
    EXPECT_FALSE(runs("settings_only"));
  });
}

// covers: APP-011 APP-012
TEST(application_start, what_the_callback_returns_or_throws_is_the_answer) {
  scripted_everywhere(5, [](script& s) {
    auto failure = [&](auto start) {
      s.start = start;
      auto failed = application::start<scripted>();
      EXPECT_FALSE(failed);
      EXPECT_FALSE(runs("scripted"));
      if (!failed && failed.error().call()) {
        EXPECT_EQ(failed.error().call()->function, "start");
        EXPECT_EQ(failed.error().call()->server, "scripted");
        EXPECT_EQ(failed.error().to_string(),
                  "{" + failed.error().cause().to_string() + ", " + module_of("scripted") + "::start(normal, 42)}");
      }
      return failed ? otp::exit_reason() : failed.error().cause();
    };
    using result = otp::result<otp::pid>;
    EXPECT_EQ(failure([](const otp::term&) -> result { return std::unexpected(otp::exit_reason("no disk")); }),
              "no disk");
    EXPECT_EQ(failure([](const otp::term&) -> result { throw std::runtime_error("raised"); }),
              otp::bad_return{otp::reason::error("std::runtime_error", "raised")});
    EXPECT_EQ(failure([](const otp::term&) -> result { otp::exit("left"); }), otp::bad_return{"left"});
    EXPECT_EQ(failure([](const otp::term&) -> result { otp::exit(normal); }), otp::bad_return{normal});
    EXPECT_EQ(failure([](const otp::term&) -> result { throw 5; }).get_if<otp::bad_return>()->why.error_type(), "int");
    EXPECT_NE(failure([](const otp::term&) -> result { return otp::pid(); }).get_if<otp::bad_return>(), nullptr);
    s.log.take();
    s.start = nullptr;
    EXPECT_TRUE(application::start("scripted").has_value());
    EXPECT_TRUE(runs("scripted"));
  });
}

// covers: APP-013
TEST(application_start, a_top_supervisor_that_does_not_start_tells_the_child) {
  scripted_seeds(10, [](script& s) {
    s.start = [](const otp::term&) -> otp::result<otp::pid> {
      auto sup = otp::supervisor::start_link(
          {.strategy = otp::one_for_one, .children = {otp::child_function("bad", []() -> otp::result<otp::pid> {
                                           return std::unexpected(otp::exit_reason("no room"));
                                         })}});
      if (!sup) return std::unexpected(sup.error());
      return sup->pid();
    };
    auto why = application::start<scripted>().error();
    EXPECT_EQ(why.cause(), shutdown(otp::failed_to_start_child{"bad", "no room"}));
    EXPECT_EQ(why.call()->function, "start");
  });
}

// covers: APP-015
TEST(application_start, one_that_takes_long_does_not_hold_up_others) {
  scripted_seeds(10, [](script& s) {
    s.start = [](const otp::term&) -> otp::result<otp::pid> {
      otp::sleep(1s);
      return top_process("top");
    };
    application::load<scripted>().value();
    otp::instant begun = otp::now();
    otp::pid me = otp::self();
    otp::spawn([me] { otp::send(me, application::start("scripted").has_value()); });
    otp::testing::settle();
    EXPECT_TRUE(application::start<app<'a'>>().has_value());
    EXPECT_EQ(otp::now(), begun);
    EXPECT_TRUE(application::start("scripted").has_value());  // waits for the other one's
    EXPECT_EQ(otp::now() - begun, 1s);
    EXPECT_EQ(application::start("scripted").error(), otp::reason::already_started);
    EXPECT_TRUE(next<bool>());
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: APP-016
TEST(application_start, an_unknown_restart_type_is_refused) {
  scripted_seeds(1, [](script&) {
    application::load<app<'a'>>().value();
    EXPECT_THROW(static_cast<void>(application::start("a", static_cast<otp::restart_type>(9))), otp::bad_argument);
    EXPECT_FALSE(runs("a"));
  });
}

// covers: APP-018
TEST(application_start, ensure_all_started_starts_what_is_needed_first) {
  scripted_everywhere(5, [](script& s) {
    s.applications = {"b", "c"};
    application::load<scripted>().value();
    application::load<app<'a'>>().value();
    application::load<app<'c'>>().value();
    application::load({.name = "b", .applications = {"a"}, .optional_applications = {"missing"}}).value();
    application::start("c").value();
    EXPECT_EQ(application::ensure_all_started("scripted").value(), (strings{"a", "b", "scripted"}));
    EXPECT_EQ(names(application::started_applications()), (strings{"scripted", "b", "a", "c"}));
    EXPECT_TRUE(application::ensure_all_started("scripted").value().empty());
    // One that fails takes back what was started for it.
    for (const char* name : {"scripted", "b", "a"}) application::stop(name).value();
    s.start = [](const otp::term&) -> otp::result<otp::pid> { return std::unexpected(otp::exit_reason("no disk")); };
    auto failed = application::ensure_all_started("scripted");
    ASSERT_FALSE(failed);
    auto* why = failed.error().get_if<otp::start_failed>();
    ASSERT_NE(why, nullptr);
    EXPECT_EQ(why->application, "scripted");
    EXPECT_EQ(why->why.cause(), "no disk");
    EXPECT_EQ(names(application::started_applications()), strings{"c"});
    application::load({.name = "x", .applications = {"y"}}).value();
    application::load({.name = "y", .applications = {"x"}}).value();
    EXPECT_THROW(static_cast<void>(application::ensure_all_started("x")), otp::bad_argument);
    application::load({.name = "z", .applications = {"nobody"}}).value();
    EXPECT_EQ(application::ensure_all_started("z").error(),
              (otp::start_failed{"nobody", otp::no_such_application{"nobody"}}));
  });
}

// covers: APP-020
TEST(application_start, phases_run_in_order_before_start_returns) {
  scripted_everywhere(5, [](script& s) {
    s.phases = {{"open", 1}, {"announce", "here"}};
    EXPECT_TRUE(application::start<scripted>().has_value());
    EXPECT_EQ(s.log.take(), (strings{"+top", "phase open 1", "phase announce \"here\""}));
    application::stop("scripted").value();
    s.log.take();
    s.phase = [](std::string_view phase, const otp::term&) -> otp::result<void> {
      if (phase == "announce") return std::unexpected(otp::exit_reason("nobody listens"));
      return {};
    };
    auto failed = application::start("scripted").error();
    EXPECT_EQ(failed.cause(), "nobody listens");
    EXPECT_EQ(failed.call()->function, "start_phase");
    EXPECT_FALSE(runs("scripted"));
    EXPECT_EQ(failed.to_string(),
              "{\"nobody listens\", " + module_of("scripted") + "::start_phase(\"announce\", normal, \"here\")}");
    // As in OTP, neither prep_stop() nor stop() is called for what did not start.
    EXPECT_EQ(s.log.take(), (strings{"+top", "phase open 1", "phase announce \"here\"", "-top shutdown"}));
    s.phase = [](std::string_view, const otp::term&) -> otp::result<void> { throw std::runtime_error("raised"); };
    EXPECT_NE(application::start("scripted").error().cause().get_if<otp::bad_return>(), nullptr);
    s.phase = nullptr;
    EXPECT_TRUE(application::start("scripted").has_value());
  });
}

// covers: APP-021
TEST(application_start, a_process_knows_the_application_it_belongs_to) {
  scripted_seeds(5, [](script& s) {
    std::optional<std::string> in_child;
    s.start = [&](const otp::term&) -> otp::result<otp::pid> {
      otp::pid top = otp::spawn_link([&] {
        otp::spawn_link([&] { in_child = application::get_application(); });
        rest();
      });
      return top;
    };
    application::start<scripted>().value();
    otp::testing::settle();
    EXPECT_EQ(in_child, "scripted");
    EXPECT_EQ(application::get_application(application::top_process("scripted").value()), "scripted");
    EXPECT_FALSE(application::get_application());
    EXPECT_FALSE(application::get_application(otp::spawn([] {})));
  });
}

// covers: APP-022 APP-024 APP-027
TEST(application_stop, prep_stop_then_the_top_process_then_stop) {
  scripted_everywhere(10, [](script& s) {
    application::start<scripted>().value();
    EXPECT_TRUE(application::stop("scripted").has_value());
    EXPECT_EQ(s.log.take(), (strings{"+top", "prep_stop", "-top shutdown", "stop prepared"}));
    EXPECT_EQ(application::stop("scripted").error(), otp::not_started{"scripted"});
    EXPECT_EQ(application::stop("nobody").error(), otp::not_started{"nobody"});
    EXPECT_TRUE(application::spec("scripted").has_value());
    // A crash of prep_stop leaves the state as it was; one of stop changes nothing.
    s.prep_stop = [] { throw std::runtime_error("not ready"); };
    s.stop = [] { throw std::runtime_error("cannot"); };
    EXPECT_TRUE(application::start("scripted").has_value());
    EXPECT_TRUE(application::stop("scripted").has_value());
    EXPECT_EQ(s.log.take(), (strings{"+top", "prep_stop", "-top shutdown", "stop "}));
    EXPECT_FALSE(runs("scripted"));
  });
  event_log events;
  otp::runtime_options options;
  options.listener = &events;
  seeded(
      [&] {
        with_script s;
        s.mine.prep_stop = [] { throw std::runtime_error("not ready"); };
        application::start<scripted>().value();
        application::stop("scripted").value();
        auto e = events.one("application_callback_failed");
        EXPECT_EQ(e.field("callback"), "prep_stop");
        EXPECT_EQ(e.field("application"), "scripted");
        EXPECT_EQ(e.reason, otp::reason::error("std::runtime_error", "not ready"));
      },
      1, options);
}

// covers: APP-026
TEST(application_stop, whoever_belongs_to_it_ends_with_it) {
  scripted_everywhere(10, [](script& s) {
    otp::pid me = otp::self();
    s.start = [me](const otp::term&) -> otp::result<otp::pid> {
      return otp::spawn_link([me] {
        otp::send(me, otp::spawn([me] {
                    otp::trap_exit(true);
                    otp::send(me, otp::spawn([] { rest(); }));
                    rest();
                  }));
        rest();
      });
    };
    application::start<scripted>().value();
    otp::pid stray = next<otp::pid>(), other = next<otp::pid>();
    otp::ref a = otp::monitor(stray), b = otp::monitor(other);
    otp::pid outside = sleeper();
    application::stop("scripted").value();
    EXPECT_EQ(reason_of(a), killed);
    EXPECT_EQ(reason_of(b), killed);
    EXPECT_TRUE(otp::is_alive(outside));
    otp::exit(outside, otp::reason::kill);
  });
}

// covers: APP-028
TEST(application_stop, neither_what_it_needs_nor_what_needs_it_stops) {
  scripted_seeds(5, [](script& s) {
    s.applications = {"a"};
    application::start<app<'a'>>().value();
    application::start<scripted>().value();
    application::stop("scripted").value();
    EXPECT_TRUE(runs("a"));
    application::start("scripted").value();
    EXPECT_TRUE(application::stop("a").has_value());
    EXPECT_TRUE(runs("scripted"));
    EXPECT_TRUE(application::start("a").has_value());
  });
}

// covers: APP-029
TEST(application_end, a_temporary_one_is_only_reported) {
  event_log events;
  otp::runtime_options options;
  options.listener = &events;
  for (unsigned seed = 1; seed <= 10; ++seed)
    seeded(
        [&] {
          events.clear();
          with_script s;
          application::start<app<'a'>>().value();
          application::start<scripted>().value();
          s.mine.log.take();
          end_top("scripted", "broken");
          otp::testing::settle();
          EXPECT_FALSE(runs("scripted"));
          EXPECT_TRUE(runs("a"));
          auto e = events.one("application_exited");
          EXPECT_EQ(e.field("application"), "scripted");
          EXPECT_EQ(e.field("type"), "temporary");
          EXPECT_EQ(e.reason, "broken");
          EXPECT_EQ(s.mine.log.take(), (strings{"-top \"broken\"", "prep_stop", "stop prepared"}));
          // Until it is stopped, what needs it can still be started.
          application::load({.name = "needs_it", .applications = {"scripted"}}).value();
          EXPECT_TRUE(application::start("needs_it").has_value());
          application::stop("needs_it").value();
          EXPECT_TRUE(application::stop("scripted").has_value());
          EXPECT_EQ(application::stop("scripted").error(), otp::not_started{"scripted"});
          EXPECT_EQ(application::start("needs_it").error(), otp::not_started{"scripted"});
          EXPECT_TRUE(application::start("scripted").has_value());
          EXPECT_EQ(application::start("scripted").error(), otp::reason::already_started);
        },
        seed, options);
}

// covers: APP-030 APP-032
TEST(application_end, a_permanent_one_takes_the_system_with_it_and_a_transient_one_unless_it_ends_well) {
  auto after = [](otp::restart_type type, otp::exit_reason why) {
    bool down = false;
    scripted_seeds(10, [&](script& s) {
      application::start<app<'a'>>().value();
      application::start<scripted>(type).value();
      s.log.take();
      end_top("scripted", why);
      otp::testing::settle();
      down = !runs("a");
      auto lines = s.log.take();
      EXPECT_EQ(std::count(lines.begin(), lines.end(), "-a shutdown"), down ? 1 : 0);
      if (down) {
        otp::wait_for_shutdown();  // which the end of the system makes return
        EXPECT_TRUE(application::started_applications().empty());
      }
    });
    return down;
  };
  EXPECT_TRUE(after(otp::permanent, normal));
  EXPECT_TRUE(after(otp::permanent, "broken"));
  EXPECT_FALSE(after(otp::transient, normal));
  EXPECT_TRUE(after(otp::transient, shutdown));
  EXPECT_TRUE(after(otp::transient, "broken"));
  EXPECT_FALSE(after(otp::temporary, "broken"));
  // Who is asked to stop hurts nobody.
  scripted_seeds(5, [](script&) {
    application::start<app<'a'>>().value();
    for (auto type : {otp::permanent, otp::transient, otp::temporary}) {
      application::start<scripted>(type).value();
      EXPECT_TRUE(application::stop("scripted").has_value());
      otp::testing::settle();
      EXPECT_TRUE(runs("a"));
    }
  });
}

// covers: APP-034
TEST(application_end, the_system_stops_them_in_reverse_order_of_their_start) {
  for (bool threads : {false, true}) {
    with_script s;
    auto body = [] {
      application::start<app<'a'>>().value();
      application::start<scripted>().value();
      application::start<app<'b'>>().value();
      now->log.take();
    };
    if (threads)
      EXPECT_EQ(threaded(body), normal);
    else
      seeded(body);
    EXPECT_EQ(s.mine.log.take(),
              (strings{"-b shutdown", "prep_stop", "-top shutdown", "stop prepared", "-a shutdown"}));
  }
}

// covers: APP-034
TEST(application_end, a_function_comes_first_and_a_limit_kills) {
  with_script s;
  seeded([] {
    application::set_shutdown(
        {.timeout = 100ms, .first = [](const otp::exit_reason& why) { now->log.add("first " + why.to_string()); }});
    now->start = [](const otp::term&) -> otp::result<otp::pid> {
      return otp::gen_server::start_link<stubborn>({}, now->log).value().pid();
    };
    application::start<app<'a'>>().value();
    application::start<scripted>().value();
    now->log.take();
    EXPECT_THROW(application::set_shutdown({.timeout = -1s}), otp::bad_argument);
  });
  auto lines = s.mine.log.take();
  ASSERT_GE(lines.size(), 3U);
  EXPECT_EQ(lines.front(), "first shutdown");
  EXPECT_EQ(lines.back(), "-a shutdown");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), "asked"), 1);
}

// covers: APP-035
TEST(application_end, asking_for_the_top_process_meanwhile_is_answered) {
  scripted_seeds(10, [](script& s) {
    s.start = [](const otp::term&) -> otp::result<otp::pid> {
      return otp::spawn_link([] {
        otp::trap_exit(true);
        static_cast<void>(next<otp::exit_signal>());
        otp::sleep(10s);
        otp::exit(shutdown);
      });
    };
    EXPECT_EQ(application::top_process("scripted").error(), otp::not_started{"scripted"});
    application::start<scripted>().value();
    otp::pid me = otp::self();
    otp::spawn([me] { otp::send(me, application::stop("scripted").has_value()); });
    otp::sleep(1s);
    otp::instant asked = otp::now();
    EXPECT_EQ(application::top_process("scripted").error(), otp::reason::stopping);
    EXPECT_EQ(otp::now(), asked);
    EXPECT_TRUE(next<bool>());
    EXPECT_EQ(application::top_process("scripted").error(), otp::not_started{"scripted"});
  });
}

// A starter that is killed leaves no half-started application.
TEST(application_start, a_starter_that_is_killed_leaves_nothing) {
  scripted_seeds(20, [](script& s) {
    s.start = [](const otp::term&) -> otp::result<otp::pid> {
      otp::sleep(1s);
      return top_process("top");
    };
    application::load<scripted>().value();
    otp::pid starter = otp::spawn([] { static_cast<void>(application::start("scripted")); });
    otp::sleep(500ms);
    otp::exit(starter, otp::reason::kill);
    otp::sleep(2s);
    EXPECT_FALSE(runs("scripted"));
    s.log.take();
    EXPECT_TRUE(application::start("scripted").has_value());
    EXPECT_EQ(s.log.take(), strings{"+top"});
  });
}

// Of 20 that start one application at once, one does; all find it running.
TEST(application_start, many_starters_start_it_once) {
  scripted_everywhere(10, [](script& s) {
    application::load<scripted>().value();
    otp::pid me = otp::self();
    for (int i = 0; i < 20; ++i)
      otp::spawn_link([me] {
        auto done = application::ensure_started("scripted");
        otp::send(me, done.has_value() && runs("scripted"));
      });
    for (int i = 0; i < 20; ++i) EXPECT_TRUE(next<bool>());
    EXPECT_EQ(s.log.take(), strings{"+top"});
  });
}

// One that had ended by itself could not be started at once: its supervisor was still there under the same id, and that
// refusal was taken for a running application.
// covers: APP-012 APP-017 APP-029
TEST(application_start, one_that_has_ended_by_itself_starts_at_once) {
  scripted_seeds(300, [](script& s) {
    application::start<scripted>().value();
    for (int way = 0; way < 3; ++way) {
      end_top("scripted", "broken");
      while (runs("scripted")) otp::yield();
      if (way == 0) {
        EXPECT_TRUE(application::start("scripted").has_value());
      }
      if (way == 1) {
        EXPECT_TRUE(application::ensure_started("scripted").has_value());
      }
      if (way == 2) {
        EXPECT_EQ(application::ensure_all_started("scripted").value(), strings{"scripted"});
      }
      EXPECT_TRUE(runs("scripted"));
    }
    // A start() that returns already_started has not started it.
    application::stop("scripted").value();
    s.start = [](const otp::term&) -> otp::result<otp::pid> {
      return std::unexpected(otp::exit_reason(otp::exit_reason::kind::already_started, "another"));
    };
    EXPECT_FALSE(application::ensure_started("scripted"));
    EXPECT_FALSE(application::ensure_all_started("scripted"));
  });
  scripted_everywhere(1, [](script&) {
    application::start<scripted>().value();
    for (int i = 0; i < 50; ++i) {
      end_top("scripted", "broken");
      while (runs("scripted")) otp::yield();
      EXPECT_TRUE(application::ensure_started("scripted").has_value());
      EXPECT_TRUE(runs("scripted"));
    }
  });
}

// A process that start() itself had spawned outlived the application.
// covers: APP-026
TEST(application_stop, what_start_spawned_ends_with_it) {
  scripted_everywhere(10, [](script& s) {
    otp::pid alone, linked;
    s.start = [&](const otp::term&) -> otp::result<otp::pid> {
      alone = otp::spawn([] { rest(); });
      linked = otp::spawn_link([] {
        otp::trap_exit(true);
        rest();
      });
      return top_process("top");
    };
    application::start<scripted>().value();
    EXPECT_EQ(application::get_application(alone), "scripted");
    otp::ref a = otp::monitor(alone), b = otp::monitor(linked);
    EXPECT_TRUE(application::stop("scripted").has_value());
    EXPECT_EQ(reason_of(a), killed);
    EXPECT_EQ(reason_of(b), killed);
    s.log.take();
    EXPECT_TRUE(application::start("scripted").has_value());
    a = otp::monitor(alone);
    end_top("scripted", "broken");
    EXPECT_EQ(reason_of(a), killed);
  });
}

// Who asked during a stop was refused, in place of being served after it.
TEST(application_stop, requests_during_a_stop_wait_for_its_end) {
  scripted_seeds(20, [](script& s) {
    s.stop = [] { otp::sleep(100ms); };
    auto during_stop = [&](auto request) {
      if (!runs("scripted")) application::start<scripted>().value();
      auto stopped = otp::async([] { return application::stop("scripted").has_value(); });
      otp::sleep(10ms);
      const otp::instant begun = otp::now();
      auto answer = request();
      EXPECT_EQ(otp::now() - begun, 90ms);
      EXPECT_TRUE(otp::await(stopped));
      return answer;
    };
    EXPECT_TRUE(during_stop([] { return application::start("scripted"); }).has_value());
    EXPECT_TRUE(runs("scripted"));
    EXPECT_TRUE(during_stop([] { return application::ensure_started("scripted"); }).has_value());
    EXPECT_TRUE(runs("scripted"));
    EXPECT_EQ(during_stop([] { return application::ensure_all_started("scripted"); }).value(), strings{"scripted"});
    EXPECT_TRUE(runs("scripted"));
    EXPECT_EQ(during_stop([] { return application::stop("scripted"); }).error(), otp::not_started{"scripted"});
    EXPECT_TRUE(during_stop([] { return application::unload("scripted"); }).has_value());
    EXPECT_FALSE(application::spec("scripted"));
    EXPECT_TRUE(mailbox_empty());
  });
}

// The same from inside the application would wait for itself.
TEST(application_stop, its_own_processes_are_answered_at_once) {
  scripted_everywhere(5, [](script& s) {
    otp::result<void> in_start, ensured, in_stop, stopped, unloaded;
    s.start = [&](const otp::term&) -> otp::result<otp::pid> {
      in_start = application::start("scripted");
      ensured = application::ensure_started("scripted");
      return top_process("top");
    };
    s.stop = [&] {
      in_stop = application::start("scripted");
      stopped = application::stop("scripted");
      unloaded = application::unload("scripted");
    };
    EXPECT_TRUE(application::start<scripted>().has_value());
    EXPECT_EQ(in_start.error(), otp::reason::already_started);
    EXPECT_TRUE(ensured.has_value());
    EXPECT_TRUE(application::stop("scripted").has_value());
    EXPECT_EQ(in_stop.error(), otp::reason::stopping);
    EXPECT_EQ(stopped.error(), otp::not_started{"scripted"});
    EXPECT_EQ(unloaded.error(), otp::reason::running);
  });
}

// A second start was answered already_started while nothing ran yet, also if the first one failed then.
TEST(application_start, all_who_ask_during_a_start_get_its_result) {
  scripted_seeds(20, [](script& s) {
    bool good = false;
    int started = 0;
    s.start = [&](const otp::term&) -> otp::result<otp::pid> {
      ++started;
      otp::sleep(200ms);
      if (!good) return std::unexpected(otp::exit_reason("no disk"));
      return top_process("top");
    };
    application::load<scripted>().value();
    for (good = false;; good = true) {
      started = 0;
      std::vector<otp::task<otp::result<void>>> asked;
      for (int i = 0; i < 4; ++i)
        asked.push_back(otp::async(
            [i] { return i % 2 ? application::start("scripted") : application::ensure_started("scripted"); }));
      for (auto& one : asked) {
        otp::result<void> answer = otp::await(one);
        EXPECT_EQ(answer.has_value(), good);
        if (!answer) {
          EXPECT_EQ(answer.error().cause(), "no disk");
        }
      }
      EXPECT_EQ(started, 1);
      EXPECT_EQ(runs("scripted"), good);
      if (good) break;
    }
  });
}

// An application whose keeper was killed stayed in its stop for ever.
TEST(application_stop, it_ends_also_if_whoever_takes_note_is_killed) {
  auto kill_its_processes = [] {
    for (otp::pid p : otp::processes())
      if (p != otp::self() && application::get_application(p)) otp::exit(p, otp::reason::kill);
  };
  scripted_seeds(20, [&](script& s) {
    application::start<scripted>().value();
    otp::pid master = otp::info(application::top_process("scripted").value())->group_leader;
    otp::exit(process_of(master, "keeper"), otp::reason::kill);
    otp::testing::settle();
    EXPECT_TRUE(application::stop("scripted").has_value());
    EXPECT_EQ(application::stop("scripted").error(), otp::not_started{"scripted"});
    EXPECT_TRUE(application::start("scripted").has_value());
    // Who has asked for the stop is killed, then what hangs in it.
    s.stop = [] { rest(); };
    for (int way = 0; way < 3; ++way) {
      otp::pid asker = otp::spawn([] { static_cast<void>(application::stop("scripted")); });
      otp::sleep(1s);
      otp::exit(asker, otp::reason::kill);
      otp::sleep(1s);
      kill_its_processes();
      if (way == 0) {
        EXPECT_TRUE(application::start("scripted").has_value());
      }
      if (way == 1) {
        EXPECT_EQ(application::stop("scripted").error(), otp::not_started{"scripted"});
      }
      if (way == 2) {
        EXPECT_TRUE(application::unload("scripted").has_value());
      }
      if (way == 1) {
        EXPECT_TRUE(application::start("scripted").has_value());
      }
    }
  });
}

// The end of a top process that start() had only spawned went unnoticed.
TEST(application_start, a_top_process_that_is_not_linked_is_linked) {
  scripted_everywhere(10, [](script& s) {
    s.start = [](const otp::term&) -> otp::result<otp::pid> { return otp::spawn([] { rest(); }); };
    EXPECT_TRUE(application::start<scripted>().has_value());
    otp::exit(application::top_process("scripted").value(), otp::reason::kill);
    while (runs("scripted")) otp::yield();
    s.start = [](const otp::term&) -> otp::result<otp::pid> {
      otp::pid gone = otp::spawn([] {});
      while (otp::is_alive(gone)) otp::yield();
      return gone;
    };
    static_cast<void>(application::start("scripted"));
    while (runs("scripted")) otp::yield();
  });
}

// A top process that ended during the phases, before the start was over, was stopped without prep_stop().
TEST(application_end, prep_stop_comes_first_also_if_it_ends_during_its_start) {
  scripted_seeds(10, [](script& s) {
    s.phases = {{"open", 1}};
    otp::pid top;
    s.start = [&](const otp::term&) -> otp::result<otp::pid> { return top = top_process("top"); };
    s.phase = [&](std::string_view, const otp::term&) -> otp::result<void> {
      finish(top, "broken");
      otp::sleep(100ms);
      return {};
    };
    static_cast<void>(application::start<scripted>());
    otp::testing::settle();
    EXPECT_FALSE(runs("scripted"));
    EXPECT_EQ(s.log.take(), (strings{"+top", "phase open 1", "-top \"broken\"", "prep_stop", "stop prepared"}));
    s.phase = nullptr;
    s.start = nullptr;
    EXPECT_TRUE(application::start("scripted").has_value());
  });
}

// A permanent application that does not start left the system as it was.
TEST(application_start, a_failed_start_ends_the_system_if_its_end_would) {
  auto after = [](otp::restart_type type, bool leaves) {
    bool down = false;
    scripted_seeds(10, [&](script& s) {
      application::start<app<'a'>>().value();
      s.start = [leaves](const otp::term&) -> otp::result<otp::pid> {
        if (leaves) otp::exit(normal);
        return std::unexpected(otp::exit_reason("no disk"));
      };
      EXPECT_FALSE(application::start<scripted>(type));
      otp::testing::settle();
      down = !runs("a");
      if (down) otp::wait_for_shutdown();
    });
    return down;
  };
  EXPECT_TRUE(after(otp::permanent, false));
  EXPECT_TRUE(after(otp::permanent, true));
  EXPECT_TRUE(after(otp::transient, false));
  EXPECT_FALSE(after(otp::transient, true));
  EXPECT_FALSE(after(otp::temporary, false));
  // One that was not even tried does nothing.
  scripted_seeds(3, [](script& s) {
    application::start<app<'a'>>().value();
    s.applications = {"missing"};
    EXPECT_EQ(application::start<scripted>(otp::permanent).error(), otp::not_started{"missing"});
    otp::testing::settle();
    EXPECT_TRUE(runs("a"));
  });
}

// One that runs was asked for what it needs: that was started again.
// covers: APP-018
TEST(application_start, ensure_all_started_leaves_alone_what_runs) {
  scripted_seeds(5, [](script& s) {
    s.applications = {"a"};
    application::load<app<'a'>>().value();
    application::load<scripted>().value();
    EXPECT_EQ(application::ensure_all_started("scripted").value(), (strings{"a", "scripted"}));
    application::stop("a").value();
    EXPECT_TRUE(application::ensure_all_started("scripted").value().empty());
    EXPECT_FALSE(runs("a"));
  });
}

// covers: APP-018
TEST(application_start, ensure_all_started_takes_several) {
  scripted_seeds(5, [](script& s) {
    s.applications = {"a"};
    for (auto done : {application::load<app<'a'>>(), application::load<app<'b'>>(), application::load<scripted>()})
      EXPECT_TRUE(done.has_value());
    EXPECT_EQ(application::ensure_all_started({"b", "scripted", "a"}).value(), (strings{"b", "a", "scripted"}));
    EXPECT_TRUE(application::ensure_all_started({"b"}).value().empty());
    for (const char* name : {"scripted", "a", "b"}) application::stop(name).value();
    const strings both{"b", "nobody"};
    EXPECT_EQ(application::ensure_all_started(both).error(),
              (otp::start_failed{"nobody", otp::no_such_application{"nobody"}}));
    EXPECT_TRUE(application::started_applications().empty());
  });
}
