// A storm of calls: named servers that crash and are restarted, replies that come at once, later, from other processes
// or never, callers that give up and callers that are killed. Whatever happens, every call ends exactly once, with its
// own reply or with a reason; no request runs twice, no reply is lost, and the runtime's own counts agree with ours.
#include <otp/otp.hpp>

#include "dice.hpp"
#include "runtime/context.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
namespace reason = otp::reason;
using kind = otp::exit_reason::kind;

constexpr bool slow = otp::detail::with_address_sanitizer || otp::detail::with_thread_sanitizer;

struct quiet final : otp::event_listener {
  void on_event(const otp::event&) override {}
};

/// What became of one call.
struct fate {
  std::atomic<std::uint8_t> begun{0};
  std::atomic<std::uint8_t> runs{0};     // of its handler
  std::atomic<std::uint8_t> answers{0};  // that somebody gave
  std::atomic<std::uint8_t> ends{0};     // returns of the call
};

/// The books of one storm.
struct ledger {
  explicit ledger(std::size_t calls) : fates(calls) {}
  std::vector<fate> fates;
  std::atomic<std::size_t> next{0};
  // How the calls ended.
  std::atomic<std::uint64_t> replied{0}, timeouts{0}, noprocs{0}, crashes{0}, kills{0}, dropped{0};
  std::atomic<std::uint64_t> wrong{0};  // somebody else's reply, or a reason that nobody gave

  /// The number of a call that is still to be made.
  std::optional<std::size_t> take() {
    std::size_t number = next++;
    if (number >= fates.size()) return std::nullopt;
    ++fates[number].begun;
    return number;
  }
  void ended(std::size_t number, const otp::result<std::size_t>& answer) {
    ++fates[number].ends;
    if (answer) {
      ++(*answer == number ? replied : wrong);
      return;
    }
    switch (const otp::exit_reason& cause = answer.error().cause(); cause.what()) {
      case kind::timeout: ++timeouts; break;
      case kind::noproc: ++noprocs; break;
      case kind::killed: ++kills; break;
      case kind::no_reply: ++dropped; break;
      case kind::error:
      case kind::value: ++crashes; break;  // an exception, or the signal of a caller
      default: ADD_FAILURE() << cause.to_string(); ++wrong;
    }
  }
  std::uint64_t sum(std::atomic<std::uint8_t> fate::* what) const {
    std::uint64_t all = 0;
    for (const fate& f : fates) all += (f.*what).load();
    return all;
  }
};

/// Answers a call with the call's number, sooner or later.
struct clerk {
  enum class way : std::uint8_t { now, later, elsewhere, never, twice, crash };
  struct ask {
    using reply = std::size_t;
    std::size_t number;
    way how;
  };
  struct settle {};

  clerk(ledger* l, std::string n) : books(l), name(std::move(n)) {}
  static auto start_link(ledger* l, std::string name) {
    return otp::gen_server::start_link<clerk>({.name = name}, l, name);
  }

  void handle_call(const ask& a, otp::from<std::size_t> f) {
    ++books->fates[a.number].runs;
    switch (a.how) {
      case way::now: answer(*books, a.number, f); break;
      case way::twice:
        answer(*books, a.number, f);
        answer(*books, a.number, f);
        break;
      case way::later:
        kept.emplace_back(a.number, std::move(f));
        if (kept.size() >= 16) settle_all();
        break;
      case way::elsewhere:
        otp::spawn([l = books, number = a.number, f = std::move(f)]() mutable {
          otp::yield();
          answer(*l, number, f);
        });
        break;
      case way::never: break;
      case way::crash: throw std::runtime_error("crash");
    }
  }
  void handle_cast(settle) { settle_all(); }

  void settle_all() {
    for (auto& [number, f] : kept) answer(*books, number, f);
    kept.clear();
  }
  static void answer(ledger& l, std::size_t number, otp::from<std::size_t>& f) {
    ++l.fates[number].answers;
    f.reply(number);
  }
  ledger* books;
  std::string name;
  std::vector<std::pair<std::size_t, otp::from<std::size_t>>> kept;
};

constexpr int clerks = 4;
std::string clerk_name(std::uint64_t i) { return "clerk " + std::to_string(i % clerks); }

clerk::way some_way(stress::dice& d) {
  if (d.one_in(200)) return clerk::way::crash;
  if (d.one_in(50)) return clerk::way::never;
  if (d.one_in(20)) return clerk::way::twice;
  switch (d.below(4)) {
    case 0: return clerk::way::later;
    case 1: return clerk::way::elsewhere;
    default: return clerk::way::now;
  }
}
otp::duration some_timeout(stress::dice& d) {
  switch (d.below(4)) {
    case 0: return 0ns;
    case 1: return std::chrono::microseconds(d.below(200));
    case 2: return 20ms;
    default: return 10s;
  }
}

/// Starts the clerks under a supervisor, and a process that has what is kept answered. Linked to the caller.
void open_office(ledger& books) {
  otp::supervisor_spec spec{.strategy = otp::one_for_one, .max_restarts = 1'000'000, .max_seconds = 60s};
  for (int i = 0; i < clerks; ++i)
    spec.children.push_back(otp::child<clerk>(&books, clerk_name(static_cast<std::uint64_t>(i))).id("clerk", i));
  otp::supervisor::start_link(std::move(spec)).value();
  otp::spawn_link([] {
    for (;;) {
      for (std::uint64_t i = 0; i < clerks; ++i) otp::cast(otp::name<clerk>(clerk_name(i)), clerk::settle{});
      otp::sleep(1ms);
    }
  });
}

void check(const ledger& books, const otp::runtime_counters& c, std::uint64_t without_end) {
  const std::uint64_t ended = books.sum(&fate::ends);
  for (const fate& f : books.fates) {
    ASSERT_EQ(f.begun.load(), 1);
    ASSERT_LE(f.runs.load(), 1) << "a request ran twice";
    ASSERT_LE(f.ends.load(), 1) << "a call ended twice";
    ASSERT_LE(f.answers.load(), 2 * f.runs.load());
  }
  EXPECT_EQ(books.wrong, 0U);
  EXPECT_EQ(books.replied + books.timeouts + books.noprocs + books.crashes + books.kills + books.dropped, ended);
  EXPECT_EQ(ended + without_end, books.fates.size()) << "a call was lost";
  // Every answer that somebody gave went to its caller, or was counted as late.
  EXPECT_EQ(books.sum(&fate::answers), books.replied + c.late_replies);
  // Every request that arrived ran, was skipped, or ended with its server.
  EXPECT_EQ(c.sent, c.accepted + c.dead + c.refused);
  EXPECT_EQ(c.accepted, c.handled + c.unhandled + c.expired + c.dropped);
  EXPECT_EQ(c.unhandled, 0U);
  EXPECT_EQ(c.processes, 0U);
  std::printf(
      "%zu calls: %llu replied, %llu timed out, %llu noproc, %llu server crashed, %llu server killed, %llu dropped; "
      "%llu without an end, %llu late replies, %llu skipped\n",
      books.fates.size(), static_cast<unsigned long long>(books.replied),
      static_cast<unsigned long long>(books.timeouts), static_cast<unsigned long long>(books.noprocs),
      static_cast<unsigned long long>(books.crashes), static_cast<unsigned long long>(books.kills),
      static_cast<unsigned long long>(books.dropped), static_cast<unsigned long long>(without_end),
      static_cast<unsigned long long>(c.late_replies), static_cast<unsigned long long>(c.expired));
}

// covers: GS-039 GS-041 B14 B15 B16
TEST(call_storm, every_call_of_a_process_ends_exactly_once) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << stress::seed());
  constexpr std::size_t calls = slow ? 30'000 : 300'000;
  constexpr std::uint64_t callers = 64;
  ledger books(calls);
  quiet listener;
  otp::runtime rt({.workers = 3, .listener = &listener});
  rt.start();
  std::uint64_t killed = 0;
  auto why = rt.run([&] {
    otp::trap_exit(true);  // the office is closed with the runtime
    open_office(books);
    std::uint64_t started = 0;
    auto start_caller = [&] {
      return otp::spawn_monitor([&books, number = ++started] {
        stress::dice d(number);
        while (auto call = books.take())
          books.ended(*call, otp::try_call(otp::name<clerk>(clerk_name(d.roll())), clerk::ask{*call, some_way(d)},
                                           some_timeout(d)));
      });
    };
    // Of these some are killed, servers too, until the work is done.
    std::vector<otp::spawned> running;
    for (std::uint64_t i = 0; i < callers; ++i) running.push_back(start_caller());
    stress::dice d(0);
    while (!running.empty()) {
      otp::receive(
          [&](const otp::down& e) {
            std::erase_if(running, [&](const otp::spawned& s) { return s.monitor == e.reference; });
            if (e.reason != reason::normal) {
              EXPECT_EQ(e.reason, reason::killed);
              ++killed;
              running.push_back(start_caller());
            }
          },
          otp::after(1ms, [&] {
            otp::exit(running[d.below(running.size())].pid, reason::kill);
            if (auto c = otp::whereis(clerk_name(d.roll())); c && d.one_in(8)) otp::exit(*c, reason::kill);
          }));
    }
  });
  EXPECT_EQ(why, reason::normal) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
  // A caller that is killed before it takes its next call leaves none behind.
  std::uint64_t unended = calls - books.sum(&fate::ends);
  EXPECT_LE(unended, killed);
  check(books, rt.counters(), unended);
}

// covers: GS-116 GS-117 GS-118 GS-122 B14 B16
TEST(call_storm, every_asynchronous_request_is_answered_once_or_given_up) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << stress::seed());
  constexpr std::size_t calls = slow ? 20'000 : 200'000;
  ledger books(calls);
  quiet listener;
  otp::runtime rt({.workers = 3, .listener = &listener});
  rt.start();
  std::atomic<std::uint64_t> given_up{0};
  auto why = rt.run([&] {
    otp::trap_exit(true);
    open_office(books);
    std::vector<otp::ref> callers;
    for (std::uint64_t i = 0; i < 16; ++i)
      callers.push_back(otp::spawn_monitor([&, i] {
                          stress::dice d(i);
                          otp::request_id_collection<std::size_t, std::size_t> open;
                          auto take_one = [&](otp::duration within) {
                            auto response = open.wait(within);
                            if (response) books.ended(response->label, response->value);
                            return response.has_value();
                          };
                          while (auto call = books.take()) {
                            std::string to = clerk_name(d.roll());
                            if (!otp::whereis(to)) otp::sleep(1ms);  // most wait for one that is just restarted
                            auto id = otp::send_request(otp::name<clerk>(to), clerk::ask{*call, some_way(d)});
                            if (d.one_in(16))
                              ++given_up;  // the handle is dropped here
                            else
                              open.add(std::move(id), *call);
                            while (open.size() > 32) take_one(1s);
                            if (d.one_in(1000))
                              if (auto c = otp::whereis(clerk_name(d.roll()))) otp::exit(*c, "go");
                            if (d.one_in(4)) take_one(0s);
                          }
                          while (open.size() > 0) ASSERT_TRUE(take_one(10s));
                          EXPECT_EQ(otp::info(otp::self())->message_queue_len, 0U);
                        }).monitor);
    for (otp::ref watch : callers)
      otp::receive(otp::when([&](const otp::down& e) { return e.reference == watch; },
                             [](const otp::down& e) { EXPECT_EQ(e.reason, reason::normal) << e.reason.to_string(); }));
  });
  EXPECT_EQ(why, reason::normal) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
  check(books, rt.counters(), given_up);
}

// covers: GS-027 GS-030 B14 B16
TEST(call_storm, every_call_from_outside_ends_exactly_once) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << stress::seed());
  constexpr std::size_t calls = slow ? 10'000 : 60'000;
  ledger books(calls);
  quiet listener;
  otp::runtime rt({.workers = 2, .listener = &listener});
  rt.start();
  otp::pid office = rt.spawn([&] {
    otp::trap_exit(true);
    open_office(books);
    otp::receive([](const otp::exit_signal&) {});
  });
  while (!rt.whereis(clerk_name(clerks - 1))) std::this_thread::yield();
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < 6; ++i)
    threads.emplace_back([&, i] {
      stress::dice d(i);
      while (auto call = books.take()) {
        books.ended(*call, rt.try_call(otp::name<clerk>(clerk_name(d.roll())), clerk::ask{*call, some_way(d)},
                                       some_timeout(d)));
        if (d.one_in(500))
          if (auto c = rt.whereis(clerk_name(d.roll()))) rt.exit(*c, reason::kill);
      }
    });
  for (auto& t : threads) t.join();
  rt.exit(office, reason::shutdown);
  EXPECT_TRUE(rt.stop().clean());
  check(books, rt.counters(), 0);
}

}  // namespace
