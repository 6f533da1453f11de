// Crash reports: who makes one, what it says, and how it is written.
#include "conformance/gen_server_support.hpp"

#include <otp/proc_lib.hpp>

namespace {

using namespace conformance;
namespace proc_lib = otp::proc_lib;
using tests::strings;

/// Starts a library process that ends as told, and returns its reason.
template <class F>
otp::exit_reason end_of_library_process(F end) {
  return reason_of(proc_lib::start_monitor([end] {
                     proc_lib::init_ack();
                     end();
                   })
                       .value()
                       .monitor);
}

// covers: SYS-041
TEST(sys_reports, an_exception_ends_a_library_process_with_its_type_and_text_and_an_exit_with_its_reason) {
  everywhere(5, [] {
    EXPECT_EQ(end_of_library_process([] { throw std::logic_error("a bug"); }),
              otp::reason::error("std::logic_error", "a bug"));
    EXPECT_EQ(end_of_library_process([] { throw 42; }), otp::reason::error("int", "42"))
        << "a thrown value is told from an exit with it";
    EXPECT_EQ(end_of_library_process([] { otp::exit(42); }), 42);
    EXPECT_EQ(end_of_library_process([] { otp::exit(shutdown("x")); }), shutdown("x"));
  });
  seeded(
      [] {
        otp::exit_reason why = end_of_library_process([] { throw std::logic_error("a bug"); });
        ASSERT_TRUE(why.backtrace());
        EXPECT_FALSE(why.backtrace()->empty()) << "with the stack, where the runtime records it";
      },
      1, {.record_backtraces = true});
}

// covers: SYS-042
TEST(sys_reports, every_abnormal_end_by_its_own_doing_is_reported_and_no_other) {
  for_seeds_with_journal(5, [](event_log& events) {
    for (otp::exit_reason why : {otp::exit_reason(normal), otp::exit_reason(shutdown), shutdown("x")})
      end_of_library_process([why] { otp::exit(why); });
    EXPECT_EQ(events.count("crash"), 0U);
    end_of_library_process([] { otp::exit("odd"); });
    EXPECT_EQ(events.count("crash"), 1U);
    end_of_library_process([] { otp::exit(otp::exit_reason(killed)); });
    EXPECT_EQ(events.count("crash"), 2U);
    end_of_library_process([] { throw std::runtime_error("broken"); });
    EXPECT_EQ(events.count("crash"), 3U);
    auto s = proc_lib::start_monitor([] {
               proc_lib::init_ack();
               rest();
             }).value();
    otp::exit(s.process, "from outside");
    EXPECT_EQ(reason_of(s.monitor), "from outside");
    EXPECT_EQ(events.count("crash"), 3U) << "an exit signal is not its own doing";
  });
}

struct note {
  int number;
  std::string to_string() const { return "note " + std::to_string(number); }
};

// covers: SYS-044
TEST(sys_reports, a_crash_report_says_all_that_is_known_of_the_process_and_its_neighbours) {
  for_seeds_with_journal(3, [](event_log& events) {
    otp::register_name("starter", otp::self());
    otp::trap_exit(true);
    otp::pid neighbour, crashed;
    auto s = proc_lib::start_monitor([&] {
               crashed = otp::self();
               otp::register_name("crashes", otp::self());
               otp::set_label("the label");
               otp::put("key", "value");
               neighbour = otp::spawn_link([] { rest(); });
               otp::pid trapping = otp::spawn({.link = true, .trap_exit = true}, [] { rest(); }).pid;
               otp::register_name("neighbour", neighbour);
               otp::send(otp::self(), note{1});
               otp::send(otp::self(), note{2});
               proc_lib::init_ack();
               otp::receive([](int) {});
               static_cast<void>(trapping);
               throw std::runtime_error("broken");
             }).value();
    otp::send(s.process, 1);
    reason_of(s.monitor);
    otp::event e = events.one("crash");
    EXPECT_EQ(e.process, crashed);
    EXPECT_EQ(e.severity, otp::severity::error);
    EXPECT_EQ(e.reason, otp::reason::error("std::runtime_error", "broken"));
    EXPECT_EQ(e.field("class"), "error");
    EXPECT_NE(e.field("initial_call"), "");
    EXPECT_EQ(e.field("registered_name"), "crashes");
    EXPECT_EQ(e.field("label"), "the label");
    EXPECT_EQ(e.field("ancestors"), "\"starter\"");
    EXPECT_EQ(e.field("message_queue_len"), "2");
    EXPECT_EQ(e.field("messages"), "note 1, note 2");
    EXPECT_NE(e.field("links").find(neighbour.to_string()), std::string_view::npos);
    EXPECT_EQ(e.field("dictionary"), "{\"key\", \"value\"}");
    EXPECT_EQ(e.field("trap_exit"), "false");
    EXPECT_EQ(e.field("status"), "running");
    EXPECT_NE(e.field("neighbours").find("\"neighbour\""), std::string_view::npos) << e.field("neighbours");
    std::string_view neighbours = e.field("neighbours");
    EXPECT_EQ(neighbours.find("(initial call "), neighbours.rfind("(initial call "))
        << "those that trap exits are not taken along: " << neighbours;
    end_of(neighbour);
  });
}

TEST(sys_reports, the_ancestors_go_up_to_the_root_as_far_as_they_live) {
  for_seeds_with_journal(3, [](event_log& events) {
    otp::register_name("root", otp::self());
    struct worker {
      struct fail {};
      void handle_cast(fail) { throw std::runtime_error("broken"); }
    };
    otp::supervisor_spec spec{.strategy = otp::one_for_one};
    spec.children.push_back(otp::child<worker>());
    auto s = otp::supervisor::start_link(spec, {.name = "tree"}).value();
    otp::pid child = otp::supervisor::which_children(s)[0].process;
    otp::ref gone = otp::monitor(child);
    otp::cast(otp::server<worker>(child), worker::fail{});
    reason_of(gone);
    EXPECT_EQ(events.one("crash").field("ancestors"), "\"tree\", \"root\"");
  });
}

// What is told does not depend on the dictionary: initial call and ancestors are not kept there.
// covers: SYS-046
TEST(sys_reports, a_process_that_cleared_its_dictionary_still_gets_a_crash_report) {
  for_seeds_with_journal(3, [](event_log& events) {
    end_of_library_process([] {
      otp::put("a", 1);
      for (const otp::term& key : otp::get_keys()) otp::erase(key);
      otp::exit("abnormal");
    });
    otp::event e = events.one("crash");
    EXPECT_EQ(e.field("dictionary"), "");
    EXPECT_NE(e.field("initial_call"), "");
    EXPECT_EQ(e.reason, "abnormal");
  });
}

// covers: SYS-047
TEST(sys_reports, an_error_after_hibernation_is_reported_with_the_original_initial_call) {
  for_seeds_with_journal(3, [](event_log& events) {
    struct sleepy {
      struct nap {};
      struct fail {};
      otp::handler_result handle_cast(nap) { return otp::noreply().hibernate(); }
      void handle_cast(fail) { throw std::runtime_error("woken"); }
    };
    auto s = otp::gen_server::start<sleepy>().value();
    otp::cast(s, sleepy::nap{});
    EXPECT_TRUE(otp::sys::get_status(s).hibernating);
    otp::cast(s, sleepy::fail{});
    end_of(s);
    EXPECT_EQ(events.one("crash").field("initial_call"), std::string(otp::detail::type_name<sleepy>) + "::init");
    events.clear();
    auto body = [] { otp::hibernate([] { throw std::runtime_error("woken"); }); };
    otp::pid p = otp::spawn(body);
    otp::send(p, 1);
    end_of(p);
    EXPECT_EQ(events.one("crash").field("initial_call"), otp::detail::type_name<decltype(body)>);
  });
}

// covers: SYS-048
TEST(sys_reports, of_a_plain_process_errors_are_reported_and_exits_are_not) {
  // An uncaught exit of a plain process was reported like a crash.
  for_seeds_with_journal(5, [](event_log& events) {
    end_of(otp::spawn([] { throw std::runtime_error("broken"); }));
    EXPECT_EQ(events.count("crash"), 1U);
    end_of(otp::spawn([] { throw 42; }));
    EXPECT_EQ(events.count("crash"), 2U);
    end_of(otp::spawn([] { otp::exit("odd"); }));
    end_of(otp::spawn([] { otp::exit(42); }));
    end_of(otp::spawn([] { otp::call(otp::name<told>("nobody"), told::get{}); }));
    EXPECT_EQ(events.count("crash"), 2U);
  });
}

struct nested {
  std::string to_string() const { return "{a, {b, {c, {d, {e}}}}}"; }
};

// covers: SYS-049
TEST(sys_reports, a_crash_report_is_written_with_limits_of_depth_and_size_and_any_names) {
  for_seeds_with_journal(2, [](event_log& events) {
    end_of_library_process([] {
      otp::register_name("größe-雪", otp::self());
      otp::put("nested", nested{});
      throw std::runtime_error("ünïcode {1, {2, {3}}}");
    });
    otp::event e = events.one("crash");
    std::string full = e.to_string();
    EXPECT_NE(full.find("größe-雪"), std::string::npos) << full;
    EXPECT_NE(full.find("ünïcode"), std::string::npos) << full;
    EXPECT_EQ(full.find('\n'), std::string::npos);
    for (std::size_t chars : {20U, 60U, 61U, 62U, 63U, 64U, 100U}) {
      std::string cut = e.to_string({.chars = chars});
      EXPECT_LE(cut.size(), chars);
      EXPECT_TRUE(cut.ends_with("..."));
    }
    std::string shallow = e.to_string({.depth = 2});
    EXPECT_LT(shallow.size(), full.size());
    EXPECT_NE(shallow.find("..."), std::string::npos);
    std::string lines = e.to_string({.single_line = false});
    EXPECT_GT(std::count(lines.begin(), lines.end(), '\n'), 5);
  });
}

// A report must not fail for what it tells of: the text of a message is user code.
TEST(sys_reports, a_crash_whose_messages_cannot_be_shown_is_reported_without_them) {
  struct unspeakable {
    std::string to_string() const { throw std::runtime_error("no"); }
  };
  for_seeds_with_journal(2, [](event_log& events) {
    end_of_library_process([] {
      otp::send(otp::self(), unspeakable{});
      throw std::runtime_error("broken");
    });
    otp::event e = events.one("crash");
    EXPECT_EQ(e.reason, otp::reason::error("std::runtime_error", "broken"));
  });
}

// A handler that takes a reason by value and fails: the message was shown after it had been moved from, and a reason
// without its details took the program down.
TEST(sys_reports, a_reason_that_was_moved_from_can_be_shown) {
  for_seeds_with_journal(2, [](event_log& events) {
    struct mover {
      void handle_cast(otp::exit_reason why) {
        otp::exit_reason taken = std::move(why);
        throw std::runtime_error(taken.to_string());
      }
    };
    for (otp::exit_reason why : {otp::exit_reason("text"), shutdown("x"), otp::reason::error("a", "b")}) {
      auto m = otp::gen_server::start<mover>().value();
      otp::cast(m, why);
      end_of(m);
      otp::exit_reason left = std::move(why);
      EXPECT_FALSE(why.to_string().empty());  // NOLINT(bugprone-use-after-move): what this is about
      EXPECT_EQ(why.cause(), why);
      EXPECT_FALSE(why.call());
    }
    EXPECT_EQ(events.count("server_terminated"), 3U);
  });
}

}  // namespace
