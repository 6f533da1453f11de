// E01-E03, and decisions about calls: servers that stop, do not understand, or fail at the end; requests nobody waits
// for any more.
#include "faults/support.hpp"

#include <otp/gen_server.hpp>
#include <otp/sys.hpp>

#include <memory>
#include <stdexcept>

using namespace faults;
using otp::exit_reason;
namespace reason = otp::reason;
namespace gen_server = otp::gen_server;

namespace {

/// Stops in every way, after a wait in terminate if it is told so.
struct quitter {
  struct stop {
    using reply = int;
    exit_reason why;
  };
  struct defer_and_stop {
    using reply = int;
    exit_reason why;
  };
  struct keep {
    using reply = int;
  };
  explicit quitter(otp::duration wait = 0s) : at_end(wait) {}
  otp::call_result<int> handle_call(const stop& s) { return otp::stop(s.why); }
  otp::call_result<int> handle_call(const defer_and_stop& s, otp::from<int> f) {
    kept.push_back(std::move(f));
    return otp::stop(s.why);
  }
  void handle_call(keep, otp::from<int> f) { kept.push_back(std::move(f)); }
  void terminate(const exit_reason&) { otp::sleep(at_end); }
  otp::duration at_end;
  std::vector<otp::from<int>> kept;
};

// covers: E01
TEST(a_server_that_stops_without_replying, fails_its_callers_with_its_reason) {
  for_seeds(30, [] {
    for (exit_reason why : {exit_reason("bye"), exit_reason(reason::normal), exit_reason(reason::shutdown)}) {
      auto q = gen_server::start<quitter>().value();
      auto kept = otp::send_request(q, quitter::keep{});
      auto stopped = otp::send_request(q, quitter::stop{why});
      auto behind = otp::send_request(q, quitter::keep{});
      EXPECT_FALSE(otp::wait_response(kept, 0s));
      for (auto* id : {&kept, &stopped, &behind}) EXPECT_EQ(otp::wait_response(*id).value().error().cause(), why);
      auto r = gen_server::start<quitter>().value();
      EXPECT_EQ(otp::try_call(r, quitter::defer_and_stop{why}).error().cause(), why);
    }
  });
}
// covers: E01
TEST(a_server_that_stops_without_replying, does_so_when_terminate_is_over) {
  for_seeds(20, [] {
    auto q = gen_server::start<quitter>({}, 10s).value();
    otp::instant before = otp::now();
    EXPECT_EQ(otp::try_call(q, quitter::stop{"bye"}, otp::infinity).error().cause(), exit_reason("bye"));
    EXPECT_EQ(otp::now() - before, 10s);
    // Killed in its terminate, it ends with that.
    auto r = gen_server::start<quitter>({}, 10s).value();
    otp::exit_after(3s, r, reason::kill);
    before = otp::now();
    EXPECT_EQ(otp::try_call(r, quitter::stop{"bye"}, otp::infinity).error().cause(), reason::killed);
    EXPECT_EQ(otp::now() - before, 3s);
  });
}

struct unheard_of {
  int number;
};
struct small_server {
  struct ask {
    using reply = int;
  };
  int handle_call(ask) { return 1; }
};

// covers: E02
TEST(an_unknown_message, a_hundred_thousand_times_is_survived_and_told_with_a_limit) {
  program p({.workers = 2, .events_per_second = 10});
  otp::server<small_server> s;
  const int count = load(100'000, 100'000, 20'000);
  p.run([&] {
    s = gen_server::start<small_server>().value();
    for (int i = 0; i < count; ++i) otp::send(s.pid(), unheard_of{i});
    EXPECT_EQ(otp::call(s, small_server::ask{}, otp::infinity), 1);
    EXPECT_EQ(otp::counters().unhandled, static_cast<std::uint64_t>(count));
    EXPECT_EQ(otp::info(s).value().message_queue_len, 0U);
    // The next one after a quiet second says how many were left out.
    otp::sleep(1100ms);
    otp::send(s.pid(), unheard_of{-1});
    EXPECT_EQ(otp::call(s, small_server::ask{}), 1);
  });
  std::uint64_t shown = 0, left_out = 0;
  for (auto& e : p.events().of("unhandled_message")) {
    ++shown;
    left_out += e.left_out;
    EXPECT_EQ(e.process, s.pid());
  }
  EXPECT_EQ(shown + left_out, static_cast<std::uint64_t>(count + 1));
  EXPECT_LT(shown, static_cast<std::uint64_t>(count / 10));
}

/// Fails at the end.
struct sore_loser {
  enum class way { raise, exit };
  struct end {
    using reply = int;
    exit_reason why;
  };
  explicit sore_loser(way w) : how(w) {}
  otp::call_result<int> handle_call(const end& e) { return otp::stop(e.why); }
  void terminate(const exit_reason&) {
    if (how == way::exit) otp::exit("an exit of its own");
    throw std::logic_error("in terminate");
  }
  way how;
};

// covers: E03
TEST(an_exception_in_terminate, is_reported_and_the_reason_stays_the_first_one) {
  event_log events;
  for_seeds(10,
            [&] {
              events.clear();
              auto s = gen_server::start_monitor<sore_loser>({}, sore_loser::way::raise).value();
              EXPECT_EQ(otp::try_call(s.server, sore_loser::end{"first"}).error().cause(), exit_reason("first"));
              EXPECT_EQ(reason_of(s.monitor), exit_reason("first"));
              auto reports = events.of("terminate_failed");
              ASSERT_EQ(reports.size(), 1U);
              EXPECT_EQ(reports[0].process, s.server.pid());
              EXPECT_EQ(reports[0].reason, reason::error("std::logic_error", "in terminate"));
              EXPECT_EQ(reports[0].field("original_reason"), "\"first\"");
              EXPECT_EQ(events.count("server_terminated"), 1U);
              // Also when the end was expected.
              auto n = gen_server::start_monitor<sore_loser>({}, sore_loser::way::raise).value();
              gen_server::stop(n.server);
              EXPECT_EQ(reason_of(n.monitor), reason::normal);
              EXPECT_EQ(events.count("terminate_failed"), 2U);
              // An exit is no accident: it is the server's last word (GS-092).
              auto e = gen_server::start_monitor<sore_loser>({}, sore_loser::way::exit).value();
              EXPECT_EQ(otp::try_call(e.server, sore_loser::end{"first"}).error().cause(),
                        exit_reason("an exit of its own"));
              EXPECT_EQ(reason_of(e.monitor), exit_reason("an exit of its own"));
            },
            {.listener = &events});
}

// ---- requests that nobody waits for ------------------------------------------------------------------------------

/// Counts which requests it runs.
struct counting {
  struct normal {
    using reply = int;
  };
  struct always {
    using reply = int;
    static constexpr bool run_expired = true;
  };
  struct busy {
    otp::duration length;
  };
  struct counts {
    using reply = std::pair<int, int>;
  };
  int handle_call(normal) { return ++normals; }
  int handle_call(always) { return ++alwayses; }
  void handle_cast(busy b) { otp::sleep(b.length); }
  std::pair<int, int> handle_call(counts) { return {normals, alwayses}; }
  int normals = 0, alwayses = 0;
};

// covers: B14
TEST(a_request_whose_caller_gave_up, is_skipped_and_counted_unless_it_says_otherwise) {
  for_seeds(20, [] {
    auto c = gen_server::start<counting>().value();
    otp::cast(c, counting::busy{10s});
    // Past its deadline; from a caller that was killed; given up with its handle; to be run all the same.
    EXPECT_EQ(otp::try_call(c, counting::normal{}, 1s).error().cause(), reason::timeout);
    otp::pid killed = otp::spawn([c] { otp::call(c, counting::normal{}, otp::infinity); });
    otp::testing::settle();
    otp::exit(killed, reason::kill);
    {
      auto dropped = otp::send_request(c, counting::normal{});
    }
    EXPECT_EQ(otp::try_call(c, counting::always{}, 1s).error().cause(), reason::timeout);
    auto waits = otp::send_request(c, counting::normal{});
    EXPECT_EQ(otp::wait_response(waits).value(), 1);
    EXPECT_EQ(otp::call(c, counting::counts{}), std::make_pair(1, 1));
    EXPECT_EQ(otp::counters().expired, 3U);
    // One that has begun runs to its end.
    struct slow {
      struct ask {
        using reply = int;
      };
      int handle_call(ask) {
        otp::sleep(5s);
        return ++done;
      }
      struct get {
        using reply = int;
      };
      int handle_call(get) { return done; }
      int done = 0;
    };
    auto s = gen_server::start<slow>().value();
    EXPECT_EQ(otp::try_call(s, slow::ask{}, 1s).error().cause(), reason::timeout);
    EXPECT_EQ(otp::call(s, slow::get{}, 1min), 1);
  });
}

// Deadlines are not handed on: what a handler asks others for has a timeout of its own.
// covers: B14
TEST(a_deadline, is_not_inherited) {
  for_seeds(10, [] {
    struct front {
      struct ask {
        using reply = int;
      };
      explicit front(otp::server<counting> b) : back(b) {}
      int handle_call(ask) {
        otp::sleep(2s);  // its caller has given up by now
        return otp::call(back, counting::normal{});
      }
      otp::server<counting> back;
    };
    auto back = gen_server::start<counting>().value();
    auto f = gen_server::start<front>({}, back).value();
    EXPECT_FALSE(otp::try_call(f, front::ask{}, 1s));
    otp::sleep(5s);
    EXPECT_EQ(otp::call(back, counting::counts{}), std::make_pair(1, 0));
  });
}

// ---- mailboxes ---------------------------------------------------------------------------------------------------

// covers: B16
TEST(a_request_that_a_full_mailbox_refuses_or_drops, fails_its_caller_at_once) {
  for_seeds(10, [] {
    for (auto policy : {otp::overflow::reject, otp::overflow::drop}) {
      auto c = gen_server::start<counting>({.spawn = {.mailbox = {.max_messages = 1, .policy = policy}}}).value();
      otp::cast(c, counting::busy{10s});
      otp::testing::settle();
      otp::cast(c, counting::busy{0s});
      otp::instant before = otp::now();
      EXPECT_EQ(otp::try_call(c, counting::normal{}, otp::infinity).error().cause(), reason::system_limit);
      auto id = otp::send_request(c, counting::normal{});
      EXPECT_EQ(otp::wait_response(id).value().error().cause(), reason::system_limit);
      EXPECT_EQ(otp::now(), before);
    }
  });
}

// ---- destructors -------------------------------------------------------------------------------------------------

struct explosive {
  explosive() = default;
  explosive(explosive&& o) noexcept : armed(std::exchange(o.armed, false)) {}
  ~explosive() noexcept(false) {
    if (armed) throw std::runtime_error("boom");
  }
  bool armed = true;
};
struct handles_nothing {
  void handle_cast(const explosive&) {}
  void terminate(const exit_reason&) { ++terminations; }
  static inline int terminations = 0;
};

// covers: B06
TEST(a_message_whose_destructor_throws, is_a_crash_of_the_server_with_terminate) {
  for_seeds(10, [] {
    int before = handles_nothing::terminations;
    auto handled = gen_server::start_monitor<handles_nothing>().value();
    otp::cast(handled.server, explosive());
    EXPECT_EQ(reason_of(handled.monitor), reason::error("std::runtime_error", "boom"));
    auto unhandled = gen_server::start_monitor<handles_nothing>().value();
    otp::send(unhandled.server.pid(), explosive());
    EXPECT_EQ(reason_of(unhandled.monitor), reason::error("std::runtime_error", "boom"));
    EXPECT_EQ(handles_nothing::terminations, before + 2);
  });
}

}  // namespace
