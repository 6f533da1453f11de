// The code of docs/guide/debugging.md and logging.md, built and run.
#include "conformance/support.hpp"

#include <otp/logger.hpp>
#include <otp/otp.hpp>
#include <otp/telemetry.hpp>

#include <spdlog/sinks/base_sink.h>

#include <map>

namespace {

using namespace std::chrono_literals;

// [cart]
struct cart {
  struct add {
    using reply = int;
    std::string item;
  };
  int handle_call(add a) {
    items.push_back(std::move(a.item));
    return static_cast<int>(items.size());
  }
  std::string to_string() const { return std::to_string(items.size()) + " items"; }  // what operators see
  std::vector<std::string> items;
};
// [/cart]

TEST(sys_guide, looks_at_a_server_and_changes_it) {
  conformance::seeded([] {
    otp::gen_server::start_link<cart>({.name = "cart 17"}).value();
    otp::server<cart> c(*otp::whereis("cart 17"));
    otp::call(c, cart::add{"book"});
    // [state]
    std::string shown = otp::sys::get_state("cart 17");                                 // as text: "1 items"
    cart copy = otp::sys::get_state(c);                                                 // typed: a copy
    auto count = otp::sys::get_state(c, [](const cart& s) { return s.items.size(); });  // or what a function reads
    otp::sys::replace_state(c, [](cart& s) { s.items.clear(); });                       // repairs what is broken
    // [/state]
    EXPECT_EQ(shown, "1 items");
    EXPECT_EQ(copy.items.size(), 1U);
    EXPECT_EQ(count, 1U);
    // [debug]
    otp::sys::log(c, 100);  // keeps the last 100 events
    otp::sys::statistics(c, true);
    otp::call(c, cart::add{"pen"});
    for (const std::string& line : otp::sys::get_log(c)) otp::log::info("{}", line);
    auto numbers = otp::sys::get_statistics(c).value();
    otp::sys::no_debug(c);  // all of it off: the server pays nothing any more
    // [/debug]
    EXPECT_EQ(numbers.messages_in, 1U);
    // [hook]
    otp::sys::install(c, "third", [n = 0](const otp::sys::debug_event& e) mutable {
      if (e.what() != otp::sys::debug_kind::in) return true;
      if (const auto* added = e.message_if<cart::add>(); added && added->item == "pen")
        otp::log::warning("pen number {} came from {}", ++n, e.other().to_string());
      return n < 3;  // after the third one it goes by itself
    });
    // [/hook]
    for (int i = 0; i < 4; ++i) otp::call(c, cart::add{"pen"});
    EXPECT_EQ(otp::sys::get_status(c).debug, std::vector<std::string>{});
    // [hold]
    otp::sys::suspend(c);  // calls, casts and messages wait in its mailbox
    otp::sys::resume(c);
    // [/hold]
  });
}

// [special]
struct meter {
  long total = 0;
};
void run_meter() {
  meter state;
  otp::sys::special_process me(state);  // from here on sys::get_state(otp::server<meter>(pid)) works
  for (;;) me.receive([&](int amount) { state.total += amount; });
}
// [/special]

TEST(sys_guide, a_plain_process) {
  conformance::seeded([] {
    otp::pid p = otp::spawn_link(&run_meter);
    otp::send(p, 5);
    EXPECT_EQ(otp::sys::get_state(otp::server<meter>(p)).total, 5);
    otp::gen_server::stop(p);
  });
}

/// Counts lines.
class counting_sink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  int lines = 0;

 protected:
  void sink_it_(const spdlog::details::log_msg&) override { ++lines; }
  void flush_() override {}
};

TEST(sys_guide, a_logger) {
  auto counts = std::make_shared<counting_sink>();
  auto handle_order = [] {
    int id = 17;
    std::string customer = "{} %s";
    // [log]
    otp::log::info("order {} paid", id);
    otp::log::warning("{}", customer);  // text of others is an argument; as a format it does not compile
    otp::log::write(otp::severity::error, "refused", {{"order", std::to_string(id)}, {"gateway", "west"}});
    // [/log]
  };
  otp::logger log({.sinks = {counts}});
  std::atomic<int> errors = 0;
  // [handler]
  log.add_handler("pager", [&](const otp::event&) { ++errors; }, otp::severity::error);
  // [/handler]
  otp::testing::run({.runtime = {.listener = &log}}, handle_order);
  log.flush();
  EXPECT_EQ(counts->lines, 3);
  EXPECT_EQ(errors, 1);
}

/// Not run: it is a program's main.
// [main]
[[maybe_unused]] int run_shop(void (*start)()) {
  otp::logger log({.sinks = {otp::logger::stderr_sink(), otp::logger::rotating_file_sink("shop.log", 10 << 20, 5)}});
  return otp::run([&] { start(); }, {.listener = &log});
}
// [/main]

// ---- telemetry ---------------------------------------------------------------------------------------------------

namespace telemetry = otp::telemetry;

// covers: J12
TEST(telemetry, a_handler_that_throws_is_detached_with_one_report_and_told_to_the_others) {
  tests::event_log events;
  conformance::seeded(
      [] {
        int calls = 0, sound = 0;
        tests::journal failures;
        telemetry::attach("broken", "shop", [&](const telemetry::occurrence&) {
          ++calls;
          throw std::runtime_error("broken");
        });
        // Sees the failure of the first, and fails for it.
        telemetry::attach("touchy", "telemetry", [](const telemetry::occurrence&) { throw 42; });
        telemetry::attach("sound", "", [&](const telemetry::occurrence& what) {
          ++sound;
          if (what.name() == "telemetry.handler.failure") failures.add(std::string(what.text("handler_id")));
        });
        telemetry::execute("shop.order", {{"cents", 5}});
        telemetry::execute("shop.order", {{"cents", 6}});
        EXPECT_EQ(calls, 1);
        EXPECT_EQ(sound, 4) << "two orders, two failures";
        auto told = failures.take();
        std::sort(told.begin(), told.end());
        EXPECT_EQ(told, (tests::strings{"broken", "touchy"}));
        ASSERT_EQ(telemetry::handlers().size(), 1U);
        EXPECT_EQ(telemetry::handlers()[0].id, "sound");
      },
      1, {.listener = &events});
  EXPECT_EQ(events.count("telemetry_handler_failed"), 2U);
}

TEST(telemetry, handlers_are_attached_to_a_prefix_once_an_id_and_run_in_the_caller) {
  conformance::everywhere(3, [] {
    tests::journal seen;
    auto note = [seen](std::string who) {
      return [seen, who, me = otp::self()](const telemetry::occurrence& what) {
        if (otp::self() == me)
          seen.add(who + " " + std::string(what.name()) + " " + std::to_string(what.value("n").value_or(-1)) + " " +
                   std::string(what.text("k")));
      };
    };
    EXPECT_FALSE(telemetry::attached("a.b"));
    telemetry::execute("a.b", {{"n", 0}});
    EXPECT_TRUE(telemetry::attach("one", "a.b", note("one")));
    EXPECT_FALSE(telemetry::attach("one", "c", note("another")));
    EXPECT_TRUE(telemetry::attach("two", "a", note("two")));
    EXPECT_TRUE(telemetry::attached("a.b.c"));
    EXPECT_FALSE(telemetry::attached("ab"));
    telemetry::execute("a.b", {{"n", 1}}, {{"k", "v"}});
    telemetry::execute("a.bc", {{"n", 2}});
    telemetry::execute("a.b.c", {});
    int made = 0;
    telemetry::execute("z", {}, [&] {
      ++made;
      return std::vector<telemetry::metadata>();
    });
    EXPECT_EQ(made, 0) << "what nobody sees is not made";
    EXPECT_EQ(seen.take(),
              (tests::strings{"one a.b 1 v", "two a.b 1 v", "two a.bc 2 ", "one a.b.c -1 ", "two a.b.c -1 "}));
    EXPECT_EQ(telemetry::handlers("a.b").size(), 2U);
    EXPECT_TRUE(telemetry::detach("two"));
    EXPECT_FALSE(telemetry::detach("two"));
    telemetry::execute("a", {});
    EXPECT_EQ(seen.take(), tests::strings{});
    telemetry::detach("one");
  });
}

TEST(telemetry, a_span_tells_its_beginning_and_its_end_with_the_time_it_took) {
  conformance::seeded([] {
    tests::journal seen;
    telemetry::attach("all", "work", [seen](const telemetry::occurrence& what) {
      auto took = what.value("duration");
      seen.add(std::string(what.name()) + " " + std::string(what.text("job")) +
               (took ? " " + std::to_string(*took / 1'000'000) : ""));
    });
    auto job = [] { return std::vector<telemetry::metadata>{{"job", "7"}}; };
    int result = telemetry::span("work.job", job, [] {
      otp::sleep(250ms);
      return 5;
    });
    EXPECT_EQ(result, 5);
    EXPECT_EQ(seen.take(), (tests::strings{"work.job.start 7", "work.job.stop 7 250"}));
    EXPECT_THROW(telemetry::span("work.job", job,
                                 []() -> int {
                                   otp::sleep(30ms);
                                   throw std::runtime_error("broken");
                                 }),
                 std::runtime_error);
    EXPECT_EQ(seen.take(), (tests::strings{"work.job.start 7", "work.job.exception 7 30"}));
    telemetry::detach("all");
    EXPECT_EQ(telemetry::span("work.job", [] { return 1; }), 1);
    EXPECT_EQ(seen.take(), tests::strings{});
  });
}

TEST(telemetry, a_call_in_a_span) {
  conformance::seeded([] {
    auto c = otp::gen_server::start_link<cart>().value();
    EXPECT_EQ(telemetry::call(c, cart::add{"book"}), 1);
    tests::journal seen;
    telemetry::attach("calls", "otp.call.stop", [seen](const telemetry::occurrence& what) {
      seen.add(std::string(what.text("request")) + " " + std::string(what.text("server")));
    });
    EXPECT_EQ(telemetry::call(c, cart::add{"pen"}), 2);
    EXPECT_EQ(seen.take(), tests::strings{std::string(otp::detail::type_name<cart::add>) + " " + c.to_string()});
  });
}

// [prometheus]
std::string prometheus_page() {
  std::string page;
  for (const otp::telemetry::metric& m : otp::telemetry::runtime_metrics()) {
    const char* kind = m.kind == otp::telemetry::metric_kind::counter ? "counter" : "gauge";
    page += "# HELP " + std::string(m.name) + " " + std::string(m.help) + "\n# TYPE " + std::string(m.name) + " " +
            kind + "\n" + std::string(m.name) + " " + std::to_string(m.value) + "\n";
  }
  return page;
}
// [/prometheus]

TEST(telemetry, the_numbers_of_the_runtime_make_a_prometheus_page) {
  conformance::seeded([] {
    auto value = [](std::string_view name) {
      for (auto& m : telemetry::runtime_metrics())
        if (m.name == name) return m.value;
      return std::uint64_t{0};
    };
    auto before = value("otp_processes_spawned_total");
    conformance::end_of(otp::spawn([] {}));
    EXPECT_EQ(value("otp_processes_spawned_total"), before + 1);
    EXPECT_EQ(value("otp_processes"), otp::process_count());
    std::string page = prometheus_page();
    EXPECT_NE(page.find("# TYPE otp_processes gauge\notp_processes 1\n"), std::string::npos) << page;
    for (auto& m : telemetry::runtime_metrics())
      EXPECT_EQ(m.name.ends_with("_total"), m.kind == telemetry::metric_kind::counter) << m.name;
  });
}

TEST(sys_guide, measures) {
  conformance::seeded([] {
    // [telemetry]
    std::map<std::string, std::int64_t> slowest;  // by request; in a program the state of a server
    otp::telemetry::attach("slowest", "otp.call.stop", [&](const otp::telemetry::occurrence& what) {
      auto& most = slowest[std::string(what.text("request"))];
      most = std::max(most, what.value("duration").value());
    });
    auto c = otp::gen_server::start_link<cart>().value();
    otp::telemetry::call(c, cart::add{"book"});                     // as otp::call, in a span "otp.call"
    otp::telemetry::execute("shop.order.paid", {{"cents", 1250}});  // something happened
    otp::telemetry::span("shop.report", [] { otp::sleep(1s); });    // something takes time
    // [/telemetry]
    EXPECT_EQ(slowest.size(), 1U);
    otp::telemetry::detach("slowest");
  });
}

}  // namespace
