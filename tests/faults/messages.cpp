// B: messages and mailboxes.
#include "faults/support.hpp"

#include <otp/gen_server.hpp>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <numeric>
#include <stdexcept>

using namespace faults;
using otp::exit_reason;
using otp::pid;
using otp::send_status;

namespace {

struct go {};
struct stop {};

// Counts its live copies: what the mailbox of a dead process held must be freed.
struct tracked {
  static inline std::atomic<long> alive{0};
  int number = 0;
  explicit tracked(int n = 0) : number(n) { ++alive; }
  tracked(const tracked& other) : number(other.number) { ++alive; }
  tracked(tracked&& other) noexcept : number(other.number) { ++alive; }
  ~tracked() { --alive; }
};

double seconds_of(const std::function<void()>& work) {
  auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

// covers: B01
TEST(a_message_to_a_dead_process, is_dropped_and_counted_and_no_error) {
  for_seeds(5, [] {
    auto [p, m] = otp::spawn_monitor([] {});
    reason_of(m);
    auto before = otp::counters();
    EXPECT_EQ(otp::send(p, tracked(1)), send_status::no_process);
    EXPECT_EQ(otp::send(p, std::string("x")), send_status::no_process);
    EXPECT_EQ(otp::send(pid(0xffffff), 1), send_status::no_process);
    EXPECT_EQ(otp::send(otp::ref(p, 3), 1), send_status::no_process);
    auto after = otp::counters();
    EXPECT_EQ(after.dead - before.dead, 4U);
    EXPECT_EQ(after.sent - before.sent, 4U);
    EXPECT_EQ(after.accepted, before.accepted);
    EXPECT_EQ(tracked::alive, 0);
  });
}

// covers: B02
TEST(a_message_to_a_name_that_nobody_has, is_an_error_and_by_a_timer_a_counted_drop) {
  for_seeds(5, [] {
    try {
      otp::send("nobody\n", tracked(1));
      ADD_FAILURE();
    } catch (const otp::bad_argument& e) {
      EXPECT_NE(std::string(e.what()).find("\"nobody\\n\""), std::string::npos) << e.what();
    }
    EXPECT_EQ(tracked::alive, 0);
    auto before = otp::counters();
    otp::send_after(1s, "nobody", tracked(2));
    otp::testing::advance(2s);
    auto after = otp::counters();
    EXPECT_EQ(after.sent - before.sent, 1U);
    EXPECT_EQ(after.dead - before.dead, 1U);
    EXPECT_EQ(tracked::alive, 0);
  });
}

// ---- B03: mailboxes that fill ------------------------------------------------------------------------------------

// covers: B03
TEST(ten_million_messages_to_a_process_that_never_reads, raise_an_alarm_and_are_freed_when_it_dies) {
  constexpr int count = load(10'000'000, 10'000'000, 500'000);
  program p;
  p.run([&] {
    std::size_t heap_before = heap_bytes();
    auto [victim, m] = otp::spawn_monitor([] { otp::sleep(otp::infinity); });
    for (int i = 0; i < count; ++i) otp::send(victim, tracked(i));
    ASSERT_TRUE(eventually_here([&] { return p.events().count("mailbox_alarm") > 0; }));
    auto alarm = p.events().of("mailbox_alarm")[0];
    EXPECT_EQ(alarm.process, victim);
    EXPECT_GT(std::stoll(std::string(alarm.field("messages"))), 100'000);
    EXPECT_EQ(alarm.field("setting"), "mailbox_alarm");
    EXPECT_EQ(tracked::alive, count);
    otp::exit(victim, otp::reason::kill);
    EXPECT_EQ(reason_of(m), otp::reason::killed);
    EXPECT_EQ(tracked::alive, 0);
    EXPECT_EQ(p.events().count("mailbox_alarm"), 1U) << "told once until it shrinks";
    EXPECT_EQ(otp::counters().dropped, static_cast<std::uint64_t>(count));
    if (!asan) {
      // But for what the workers keep for the next messages.
      EXPECT_LT(heap_bytes(), heap_before + (std::size_t{10} << 20)) << "before " << heap_before;
    }
  });
}

// covers: B03
TEST(a_bounded_mailbox, keeps_to_its_policy_and_shows_every_refusal) {
  constexpr int count = load(10'000'000, 1'000'000, 100'000);
  constexpr int bound = 1000;
  for (auto policy : {otp::overflow::reject, otp::overflow::drop, otp::overflow::kill}) {
    program p;
    p.run([&] {
      otp::spawn_options how;
      how.monitor = true;
      how.mailbox = {.max_messages = bound, .policy = policy};
      auto [victim, m] = otp::spawn(how, [] { otp::sleep(otp::infinity); });
      long sent = 0;
      long refused = 0;
      long gone = 0;
      for (int i = 0; i < count; ++i) switch (otp::send(victim, tracked(i))) {
          case send_status::sent: ++sent; break;
          case send_status::refused: ++refused; break;
          case send_status::no_process: ++gone; break;
        }
      EXPECT_EQ(sent + refused + gone, count);
      auto c = otp::counters();
      EXPECT_EQ(c.sent, c.accepted + c.refused + c.dead);
      switch (policy) {
        case otp::overflow::reject:
          EXPECT_EQ(sent, bound);
          EXPECT_EQ(refused, count - bound);
          EXPECT_EQ(c.refused, static_cast<std::uint64_t>(count - bound));
          break;
        case otp::overflow::drop:
          EXPECT_EQ(sent, count) << "the sender is not told";
          EXPECT_EQ(c.accepted, static_cast<std::uint64_t>(bound));
          EXPECT_EQ(c.refused, static_cast<std::uint64_t>(count - bound));
          break;
        default: EXPECT_EQ(sent, bound); EXPECT_EQ(gone, count - bound);
      }
      EXPECT_LE(tracked::alive, bound);
      // Control signals are never refused.
      otp::exit(victim, otp::reason::shutdown);
      exit_reason why = reason_of(m);
      if (policy == otp::overflow::kill) {
        EXPECT_EQ(why.what(), exit_reason::kind::memory_limit);
        EXPECT_NE(why.text().find("1000 messages"), std::string_view::npos) << why.text();
        EXPECT_NE(why.text().find("spawn_options::mailbox"), std::string_view::npos) << why.text();
      } else {
        EXPECT_EQ(why, otp::reason::shutdown);
      }
      EXPECT_EQ(tracked::alive, 0);
    });
  }
}

// covers: B03
TEST(a_mailbox_that_blocks_its_senders, loses_nothing_and_lets_go_of_senders_that_die) {
  auto body = [](int per_sender) {
    otp::spawn_options how;
    how.monitor = true;
    how.mailbox = {.max_messages = 10, .max_bytes = 100'000, .policy = otp::overflow::block};
    long received = 0;
    auto [reader, m] = otp::spawn(how, [&] {
      for (bool more = true; more;) otp::receive([&](tracked) { ++received; }, [&](const stop&) { more = false; });
    });
    std::vector<otp::ref> senders;
    for (int s = 0; s < 5; ++s)
      senders.push_back(otp::spawn_monitor([reader, per_sender] {
                          for (int i = 0; i < per_sender; ++i)
                            EXPECT_EQ(otp::send(reader, tracked(i)), send_status::sent);
                        }).monitor);
    for (auto s : senders) EXPECT_EQ(reason_of(s), otp::reason::normal);
    otp::send(reader, stop{});
    EXPECT_EQ(reason_of(m), otp::reason::normal);
    EXPECT_EQ(received, 5L * per_sender);
    // Senders that wait for room: one is killed there, the others wake when the receiver dies.
    auto [deaf, d] = otp::spawn(how, [] { otp::sleep(otp::infinity); });
    std::vector<otp::spawned> waiting;
    std::atomic<int> told_gone{0};
    for (int s = 0; s < 3; ++s)
      waiting.push_back(otp::spawn_monitor([deaf, &told_gone] {
        for (;;)
          if (otp::send(deaf, tracked(1)) == send_status::no_process) {
            ++told_gone;
            return;
          }
      }));
    ASSERT_TRUE(eventually_here([&] {
      for (auto& w : waiting)
        if (otp::info(w.pid)->status != otp::process_status::waiting) return false;
      return otp::info(deaf)->message_queue_len == 10;
    }));
    EXPECT_EQ(tracked::alive, 10 + 3 * 2) << "each sender has a message under way and what it was made from";
    otp::exit(waiting[0].pid, otp::reason::kill);
    EXPECT_EQ(reason_of(waiting[0].monitor), otp::reason::killed);
    EXPECT_EQ(tracked::alive, 10 + 2 * 2) << "the message that it was sending is freed with it";
    otp::exit(deaf, otp::reason::kill);
    reason_of(d);
    for (std::size_t s = 1; s < 3; ++s) EXPECT_EQ(reason_of(waiting[s].monitor), otp::reason::normal);
    EXPECT_EQ(told_gone, 2);
    EXPECT_EQ(tracked::alive, 0);
    auto c = otp::counters();
    EXPECT_EQ(c.sent, c.accepted + c.refused + c.dead);
  };
  for_seeds(20, [&] { body(100); });
  in_real_time([&] { body(load(200'000, 20'000, 2'000)); });
}

// covers: B03
TEST(the_limits_of_a_mailbox, belong_to_each_process_anew) {
  // A place in the table serves many processes; late senders to the one before must not fill the account of the next.
  program p;
  p.run([] {
    for (int round = 0; round < load(3000, 1000, 200); ++round) {
      otp::spawn_options how;
      how.monitor = true;
      how.mailbox = {.max_messages = 5};
      auto [first, m] = otp::spawn(how, [] { otp::receive([](const go&) {}); });
      pid sender = otp::spawn([to = first] {
        while (otp::send(to, 1) != send_status::no_process) otp::yield();
      });
      otp::yield();
      otp::exit(first, otp::reason::kill);
      reason_of(m);
      auto [second, n] = otp::spawn(how, [] { otp::receive([](const go&) {}); });
      for (int i = 0; i < 5; ++i) ASSERT_EQ(otp::send(second, i), send_status::sent) << "round " << round;
      ASSERT_EQ(otp::send(second, 6), send_status::refused);
      otp::exit(second, otp::reason::kill);
      reason_of(n);
      static_cast<void>(sender);
    }
    EXPECT_TRUE(eventually_here([] { return otp::process_count() == 1; }));
  });
}

// covers: B04
TEST(a_message_of_a_gigabyte, moves_without_a_copy_and_is_refused_where_a_limit_says_so) {
  struct big {
    std::vector<char> data;
    std::size_t message_bytes() const { return data.size(); }
  };
  program p;
  p.run([] {
    constexpr std::size_t size = std::size_t{1} << 30;
    big message{std::vector<char>(size, 'x')};
    const char* where = message.data.data();
    std::size_t resident = resident_bytes();
    auto [reader, m] = otp::spawn_monitor([where] {
      otp::receive([&](const big& b) {
        EXPECT_EQ(b.data.data(), where) << "the payload was copied";
        EXPECT_EQ(b.data.size(), std::size_t{1} << 30);
      });
    });
    EXPECT_EQ(otp::send(reader, std::move(message)), send_status::sent);
    EXPECT_EQ(reason_of(m), otp::reason::normal);
    EXPECT_LT(resident_bytes(), resident + (std::size_t{256} << 20));
    otp::spawn_options how;
    how.monitor = true;
    how.mailbox = {.max_bytes = 1 << 20};
    auto [small, n] = otp::spawn(how, [] { otp::receive([](const go&) {}); });
    EXPECT_EQ(otp::send(small, big{std::vector<char>(2 << 20)}), send_status::refused);
    how.mailbox.policy = otp::overflow::kill;
    auto [strict, s] = otp::spawn(how, [] { otp::receive([](const go&) {}); });
    EXPECT_EQ(otp::send(strict, big{std::vector<char>(2 << 20)}), send_status::no_process);
    EXPECT_NE(reason_of(s).text().find("1048576 bytes"), std::string_view::npos);
    // What can never fit is not waited for.
    how.mailbox.policy = otp::overflow::block;
    auto [patient, q] = otp::spawn(how, [] { otp::receive([](const go&) {}); });
    EXPECT_EQ(otp::send(patient, big{std::vector<char>(2 << 20)}), send_status::refused);
    otp::send(small, go{});
    otp::send(patient, go{});
    reason_of(n);
    reason_of(q);
  });
}

namespace {

struct copy_bomb {
  bool armed = false;
  explicit copy_bomb(bool a = false) : armed(a) {}
  copy_bomb(const copy_bomb& other) : armed(other.armed) {
    if (armed) throw std::runtime_error("cannot be copied");
  }
  copy_bomb(copy_bomb&&) = default;
};

// Throws when it is destroyed, unless it was moved from.
struct destructor_bomb {
  bool armed = true;
  destructor_bomb() = default;
  destructor_bomb(destructor_bomb&& other) noexcept : armed(std::exchange(other.armed, false)) {}
  ~destructor_bomb() noexcept(false) {
    if (std::exchange(armed, false)) throw std::runtime_error("destructor");
  }
};

}  // namespace

// covers: B05
TEST(a_message_whose_copy_throws, gives_the_sender_the_exception_and_queues_nothing) {
  event_log events;
  otp::runtime_options o;
  o.listener = &events;
  for_seeds(
      3,
      [&] {
        events.clear();
        pid reader = otp::spawn_link([] { otp::receive([](const stop&) {}); });
        const copy_bomb bomb(true);
        auto before = otp::counters();
        EXPECT_THROW(otp::send(reader, bomb), std::runtime_error);
        EXPECT_THROW(otp::send_after(1s, reader, bomb), std::runtime_error);
        EXPECT_THROW(otp::send_interval(1s, reader, bomb), std::runtime_error);
        otp::testing::advance(5s);
        EXPECT_EQ(otp::info(reader)->message_queue_len, 0U);
        EXPECT_EQ(otp::counters().accepted, before.accepted);
        EXPECT_EQ(otp::counters().timers, before.timers);
        // An interval timer copies later: it ends, and that is told.
        struct later {
          std::shared_ptr<int> fuse = std::make_shared<int>(3);
          later() = default;
          later(const later& other) : fuse(other.fuse) {
            if (--*fuse < 0) throw std::runtime_error("cannot be copied any more");
          }
        };
        otp::send_interval(1s, reader, later());
        otp::testing::advance(10s);
        EXPECT_EQ(otp::info(reader)->message_queue_len, 2U);
        EXPECT_EQ(otp::counters().timers, before.timers);
        EXPECT_EQ(events.count("timer_copy_failed"), 1U);
        otp::send(reader, stop{});
      },
      o);
}

// covers: B06
TEST(a_message_whose_destructor_throws, crashes_the_process_that_destroyed_it_and_nobody_else) {
  for_seeds(10, [] {
    auto destructor = [](const exit_reason& why) {
      return why.what() == exit_reason::kind::error && why.text() == "destructor";
    };
    // The receiver, having handled it.
    auto [reader, m] = otp::spawn_monitor([] {
      otp::receive([](const destructor_bomb&) {});
      ADD_FAILURE() << "it went on";
    });
    otp::send(reader, destructor_bomb());
    EXPECT_TRUE(destructor(reason_of(m)));
    auto [any, a] = otp::spawn_monitor([] {
      otp::receive([](otp::message) {});
      ADD_FAILURE() << "it went on";
    });
    otp::send(any, destructor_bomb());
    EXPECT_TRUE(destructor(reason_of(a)));
    // The sender to a dead process.
    EXPECT_TRUE(destructor(end_of([to = reader] { otp::send(to, destructor_bomb()); })));
    // The sender to a full mailbox.
    EXPECT_TRUE(destructor(end_of([] {
      otp::spawn_options how;
      how.link = true;
      how.mailbox = {.max_messages = 1};
      pid full = otp::spawn(how, [] { otp::sleep(otp::infinity); }).pid;
      otp::send(full, 1);
      otp::send(full, destructor_bomb());
    })));
    // The owner of an alias that is off: it drops the message while it takes in signals.
    auto [owner, w] = otp::spawn_monitor([] {
      otp::ref off = otp::alias();
      pid me = otp::self();
      otp::spawn([off, me] {
        otp::send(off, destructor_bomb());
        otp::send(me, go{});
      });
      otp::unalias(off);
      otp::receive([](const go&) {});
      otp::receive([](const go&) {});
    });
    EXPECT_TRUE(destructor(reason_of(w)));
    // Left in a mailbox, or in a timer: nobody is to blame.
    auto [dying, d] = otp::spawn_monitor([] { otp::receive([](const go&) {}); });
    for (int i = 0; i < 10; ++i) otp::send(dying, destructor_bomb());
    otp::send_after(1h, dying, destructor_bomb());
    otp::send(dying, go{});
    EXPECT_EQ(reason_of(d), otp::reason::normal);
    EXPECT_EQ(otp::counters().timers, 0U);
    otp::ref t = otp::send_after(1h, otp::self(), destructor_bomb());
    EXPECT_TRUE(otp::cancel_timer(t));
    EXPECT_TRUE(eventually_here([] { return otp::process_count() == 1; }));
  });
}

// covers: B07
TEST(a_sender_killed_in_a_burst, leaves_a_prefix_in_order) {
  auto body = [] {
    std::vector<int> seen;
    pid main = otp::self();
    auto [sender, m] = otp::spawn_monitor([main] {
      for (int i = 0; i < 1000; ++i) {
        otp::send(main, i);
        if (i % 7 == 0) otp::yield();
      }
      otp::receive([](const stop&) {});
    });
    for (int i = 0; i < 20; ++i) otp::yield();
    otp::exit(sender, otp::reason::kill);
    EXPECT_EQ(reason_of(m), otp::reason::killed);
    for (bool more = true; more;)
      otp::receive([&](int n) { seen.push_back(n); }, otp::after(0s, [&] { more = false; }));
    std::vector<int> prefix(seen.size());
    std::iota(prefix.begin(), prefix.end(), 0);
    EXPECT_EQ(seen, prefix);
    return seen.size();
  };
  std::size_t shortest = 1000;
  std::size_t longest = 0;
  for_seeds(50, [&] {
    std::size_t n = body();
    shortest = std::min(shortest, n);
    longest = std::max(longest, n);
  });
  EXPECT_LT(shortest, longest) << "no order cut the burst elsewhere";
  EXPECT_LT(shortest, 1000U);
  in_real_time([&] {
    for (int i = 0; i < load(500, 100, 20); ++i) body();
  });
}

// covers: B08
TEST(selective_receive, finds_a_match_behind_a_million_and_costs_each_message_once) {
  constexpr int others = load(1'000'000, 1'000'000, 200'000);
  constexpr int matches = 2000;
  program p;
  p.run([&] {
    struct other {
      int number;
    };
    struct match {
      int number;
    };
    for (int i = 0; i < others; ++i) otp::send(otp::self(), other{i});
    otp::send(otp::self(), match{-1});
    double once = seconds_of([] { otp::receive([](const match& m) { EXPECT_EQ(m.number, -1); }); });
    // Two thousand looks through a million would take two thousand times as long.
    double again = seconds_of([&] {
      for (int i = 0; i < matches; ++i) {
        otp::send(otp::self(), match{i});
        otp::receive([&](const match& m) { EXPECT_EQ(m.number, i); });
      }
    });
    EXPECT_LT(again, 20 * once + 0.5) << "the first look took " << once;
    // A condition, and several patterns: within one receive each message is looked at once, however often it is woken.
    long looks = 0;
    pid me = otp::self();
    pid feeder = otp::spawn_link([&] {
      for (int i = 0; i < matches; ++i) {
        otp::send(me, match{i});
        otp::yield();
      }
    });
    otp::receive(otp::when(
                     [&](const match& m) {
                       ++looks;
                       return m.number == matches - 1;
                     },
                     [](const match&) {}),
                 [](const go&) {});
    EXPECT_EQ(looks, matches);
    static_cast<void>(feeder);
    // The others are all there, in order.
    for (int i = 0; i < others; ++i) otp::receive([&](const other& o) { ASSERT_EQ(o.number, i); });
    for (int i = 0; i < matches - 1; ++i) otp::receive([&](const match& m) { ASSERT_EQ(m.number, i); });
    otp::receive([](const otp::message&) { ADD_FAILURE(); }, otp::after(0s, [] {}));
  });
}

// ---- B09 ---------------------------------------------------------------------------------------------------------

namespace {

struct numbered {
  int sender;
  int number;
};
struct acknowledged {};
struct some_more {};

// Keeps no stack between two steps, so idle workers steal it.
struct numbering_sender {
  numbering_sender(pid t, int w, int c) : to(t), who(w), count(c) {}
  otp::handler_result handle_cast(const some_more&) { return otp::noreply().then_continue(some_more{}); }
  otp::handler_result handle_info(const acknowledged&) {
    window += 5000;
    return otp::noreply().then_continue(some_more{});
  }
  otp::handler_result handle_continue(const some_more&) {
    for (int i = 0; i < 50 && next < count && window > 0; ++i, --window) otp::send(to, numbered{who, next++});
    if (next == count) return otp::stop(otp::reason::normal);
    if (window == 0) return otp::noreply();
    return otp::noreply().then_continue(some_more{});
  }
  using messages = otp::messages<acknowledged>;
  pid to;
  int who;
  int count;
  int next = 0;
  int window = 10'000;
};
struct introduce {
  int who;
  pid sender;
};
struct checking_receiver {
  explicit checking_receiver(std::atomic<long>* t) : total(t) {}
  void handle_cast(const introduce& i) { senders[i.who] = i.sender; }
  void handle_info(const numbered& n) {
    if (next[n.sender] != n.number)
      ADD_FAILURE() << "sender " << n.sender << ": " << n.number << " after " << next[n.sender] - 1;
    next[n.sender] = n.number + 1;
    if (next[n.sender] % 5000 == 0) otp::send(senders[n.sender], acknowledged{});
    ++*total;
  }
  using messages = otp::messages<numbered>;
  std::atomic<long>* total;
  pid senders[8];
  int next[8]{};
};

}  // namespace

// covers: B09
TEST(eight_senders, keep_their_order_while_workers_steal_from_each_other) {
  constexpr int count = load(10'000'000, 250'000, 20'000);
  program p;
  std::atomic<long> total{0};
  p.run([&] {
    auto reader = otp::gen_server::start<checking_receiver>({}, &total).value();
    std::vector<otp::server<numbering_sender>> senders;
    std::vector<otp::ref> ends;
    for (int s = 0; s < 8; ++s) {
      senders.push_back(otp::gen_server::start<numbering_sender>({}, reader.pid(), s, count).value());
      ends.push_back(otp::monitor(senders.back()));
      otp::cast(reader, introduce{s, senders.back()});
    }
    for (auto& s : senders) otp::cast(s, some_more{});
    for (auto end : ends) EXPECT_EQ(reason_of(end), otp::reason::normal);
    ASSERT_TRUE(eventually_here([&] { return total == 8L * count; }, 300s));
    otp::gen_server::stop(reader);
  });
  EXPECT_EQ(total, 8L * count) << "none lost, none twice";
  if (!std::getenv("OTP_WORKERS")) {
    EXPECT_GT(p.rt().counters().steals, 0U);
  }
}

// covers: B10
TEST(an_exit_signal_between_messages, comes_after_those_before_it_and_nothing_comes_after_it) {
  int saw_both = 0;
  for_seeds(100, [&] {
    // Not trapping: a prefix of the first two is handled, never the one behind the exit.
    std::vector<int> seen;
    auto [reader, m] = otp::spawn_monitor([&] {
      for (;;) otp::receive([&](int n) { seen.push_back(n); });
    });
    auto [sender, s] = otp::spawn_monitor([reader] {
      otp::send(reader, 1);
      otp::yield();
      otp::send(reader, 2);
      otp::yield();
      otp::exit(reader, "enough");
      otp::send(reader, 3);
    });
    EXPECT_EQ(reason_of(m), exit_reason("enough"));
    EXPECT_EQ(reason_of(s), otp::reason::normal);
    EXPECT_TRUE(seen.empty() || seen == std::vector{1} || seen == (std::vector{1, 2}));
    if (seen.size() == 2) ++saw_both;
    // Trapping: everything arrives, in the order it was sent.
    std::string order;
    auto [trapping, t] = otp::spawn({.monitor = true, .trap_exit = true}, [&] {
      for (int i = 0; i < 4; ++i)
        otp::receive([&](int n) { order += std::to_string(n); }, [&](const otp::exit_signal&) { order += "x"; });
    });
    otp::spawn([to = trapping] {
      otp::send(to, 1);
      otp::send(to, 2);
      otp::exit(to, "enough");
      otp::send(to, 3);
    });
    EXPECT_EQ(reason_of(t), otp::reason::normal);
    EXPECT_EQ(order, "12x3");
  });
  EXPECT_GT(saw_both, 0);
}

namespace {

struct with_payload {
  tracked thing{1};
};
struct end_now {};
struct slow_end {
  explicit slow_end(pid t) : told(t) {}
  void handle_cast(const end_now&) { otp::exit(otp::reason::shutdown); }
  void handle_cast(const with_payload&) {}
  void handle_info(const with_payload&) {}
  using messages = otp::messages<with_payload>;
  void terminate(const exit_reason&) {
    otp::send(told, go{});
    otp::sleep(1s);  // what arrives now waits in vain
  }
  pid told;
};

}  // namespace

// covers: B11
TEST(a_message_to_a_process_in_terminate, is_handled_or_counted_and_freed_either_way) {
  for_seeds(30, [] {
    auto server = otp::gen_server::start<slow_end>({}, otp::self()).value();
    auto m = otp::monitor(server);
    otp::cast(server, end_now{});
    int sent = 0;
    for (int i = 0; i < 5; ++i, ++sent) otp::send(server.pid(), with_payload{});
    otp::receive([](const go&) {});
    auto before = otp::counters();
    for (int i = 0; i < 5; ++i, sent += 2) {
      EXPECT_EQ(otp::send(server.pid(), with_payload{}), send_status::sent);
      otp::cast(server, with_payload{});
    }
    EXPECT_EQ(reason_of(m), otp::reason::shutdown);
    EXPECT_EQ(tracked::alive, 0);
    auto c = otp::counters();
    EXPECT_EQ(c.dropped + c.handled, before.dropped + before.handled + 10 + 5 + 1) << "the DOWN counts as well";
    EXPECT_EQ(c.accepted, c.handled + c.dropped);
  });
}

namespace {

struct again {};
struct talks_to_itself {
  void handle_info(const again&) {
    ++turns;
    otp::send(otp::self(), again{});
  }
  void handle_info(const stop&) { otp::exit(otp::reason::normal); }
  using messages = otp::messages<again, stop>;
  long turns = 0;
};

}  // namespace

// covers: B12
TEST(a_process_that_sends_to_itself_for_ever, starves_neither_others_nor_its_own_timers) {
  otp::runtime_options o;
  o.workers = 1;
  program p(o);
  p.run([] {
    // A server, and a function with a receive that always finds something.
    auto server = otp::gen_server::start_monitor<talks_to_itself>().value();
    otp::send(server.server.pid(), again{});
    otp::send_after(50ms, server.server.pid(), stop{});
    auto [loop, m] = otp::spawn_monitor([] {
      otp::send_after(50ms, otp::self(), stop{});
      otp::send(otp::self(), again{});
      for (bool more = true; more;)
        otp::receive([](const again&) { otp::send(otp::self(), again{}); }, [&](const stop&) { more = false; });
    });
    // One that looks without waiting.
    auto [poller, n] = otp::spawn_monitor([] {
      otp::send_after(50ms, otp::self(), stop{});
      for (bool more = true; more;) otp::receive([&](const stop&) { more = false; }, otp::after(0s, [] {}));
    });
    // Somebody else makes progress all the while.
    auto [other, q] = otp::spawn_monitor([] {
      for (int i = 0; i < 20; ++i) otp::sleep(1ms);
    });
    EXPECT_EQ(reason_of(q), otp::reason::normal);
    EXPECT_EQ(reason_of(m), otp::reason::normal);
    EXPECT_EQ(reason_of(n), otp::reason::normal);
    EXPECT_EQ(reason_of(server.monitor), otp::reason::normal);
    static_cast<void>(loop);
    static_cast<void>(poller);
    static_cast<void>(other);
  });
}
