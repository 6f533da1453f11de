// F1: numbered messages, of which none is lost, comes twice, or overtakes another: four senders to one server, and a
// mesh of processes that send to each other, move between workers and are killed. What was sent to a process that
// lives is there; the rest is counted with its reason.
#include <otp/gen_server.hpp>
#include <otp/receive.hpp>

#include "figure.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <unordered_map>

namespace {

using namespace stress;

struct numbered {
  std::uint32_t from;  // place of the sender
  otp::pid sender;
  std::uint64_t number;  // among those of this sender to this receiver
};

/// What is wrong with messages, if anything.
struct faults {
  std::atomic<std::uint64_t> lost{0}, twice{0};  // or overtaken: a gap, and a number that was there before
  std::uint64_t sum() const { return lost + twice; }
  void judge(std::uint64_t number, std::uint64_t& next) {
    if (number > next) lost += number - next;
    if (number < next) ++twice;
    next = number + 1;
  }
};

void check_conservation(const otp::runtime_counters& c) {
  EXPECT_EQ(c.sent, c.accepted + c.dead + c.refused);
  EXPECT_EQ(c.accepted, c.handled + c.unhandled + c.expired + c.dropped);
  EXPECT_EQ(c.unhandled, 0U);
  EXPECT_EQ(c.processes, 0U);
  EXPECT_EQ(c.abandoned, 0U);
}

// ---- four to one -------------------------------------------------------------------------------------------------

constexpr std::size_t senders = 4;

struct sink {
  struct count {
    using reply = std::uint64_t;
    std::size_t from;
  };
  explicit sink(faults* f) : wrong(f) {}
  void handle_cast(const numbered& m) { wrong->judge(m.number, next[m.from]); }
  std::uint64_t handle_call(const count& c) { return next[c.from]; }
  faults* wrong;
  std::array<std::uint64_t, senders> next{};
};

// covers: F1
TEST(message_integrity, of_four_senders_to_one_server) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  const auto each = size<std::uint64_t>(50'000'000, 5'000'000, 200'000) / senders;
  faults wrong;
  std::atomic<std::uint64_t> miscounted{0};
  quiet listener;
  otp::runtime rt({.workers = 3, .listener = &listener});
  rt.start();
  auto begin = std::chrono::steady_clock::now();
  auto why = rt.run([&] {
    auto to = otp::gen_server::start<sink>({}, &wrong).value();
    std::vector<otp::ref> ends;
    for (std::uint32_t from = 0; from < senders; ++from)
      ends.push_back(otp::spawn_monitor([&, from, to] {
                       dice d(from);
                       std::uint64_t sent = 0;
                       while (sent < each) {
                         for (auto burst = std::min(each - sent, 1 + d.below(4'000)); burst > 0; --burst)
                           otp::cast(to, numbered{from, otp::self(), sent++});
                         // The request comes behind the casts, so the answer says that all of them were handled.
                         if (otp::call(to, sink::count{from}, otp::infinity) != sent) ++miscounted;
                       }
                     }).monitor);
    for (otp::ref end : ends)
      otp::receive(otp::when([&](const otp::down& d) { return d.reference == end; },
                             [](const otp::down& d) { EXPECT_EQ(d.reason, otp::reason::normal); }));
    otp::ref gone = otp::monitor(to);
    otp::exit(to, otp::reason::shutdown);
    otp::receive(otp::when([&](const otp::down& d) { return d.reference == gone; }, [](const otp::down&) {}));
  });
  double took = seconds_since(begin);
  EXPECT_EQ(why, otp::reason::normal) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
  EXPECT_EQ(wrong.lost, 0U);
  EXPECT_EQ(wrong.twice, 0U);
  EXPECT_EQ(miscounted, 0U);
  check_conservation(rt.counters());
  EXPECT_EQ(rt.counters().dropped + rt.counters().dead, 0U);
  figure("F1", "4 senders to 1: 0 lost, twice or out of order",
         text("%s wrong of %s in %.1f s", number(wrong.sum()).c_str(), number(each * senders).c_str(), took));
}

// ---- a mesh ------------------------------------------------------------------------------------------------------

constexpr std::uint32_t places = 64;

struct probe {
  otp::pid from;
};
struct probed {};
struct finish {};

/// One process to another: each process that had a place counts as one of its own.
using pair = std::pair<otp::pid, otp::pid>;
struct mesh {
  std::array<std::atomic<std::uint64_t>, places> holders{};
  // Each is written by the process in that place alone.
  struct alignas(64) counter {
    std::atomic<std::uint64_t> sent{0};
  };
  std::array<counter, places> sent;
  std::atomic<bool> over{false};
  faults wrong;
  std::mutex lock;
  // Under the lock, written by processes that end.
  std::map<pair, std::uint64_t> sent_to, received_from;
  std::uint64_t received = 0;

  std::uint64_t all_sent() const {
    std::uint64_t sum = 0;
    for (const counter& c : sent) sum += c.sent.load(std::memory_order_relaxed);
    return sum;
  }
};

/// What one process of the mesh does, be it a server or a loop; closes its books when the process ends or is killed.
class peer {
 public:
  peer(mesh* m, std::uint32_t place, std::uint64_t life)
      : mesh_(m), place_(place), dice_((life << 8) + place), me_(otp::self()) {
    mesh_->holders[place].store(me_.value());
    for (int i = 0; i < 16; ++i) pass_on();
  }
  peer(const peer&) = delete;
  peer& operator=(const peer&) = delete;
  ~peer() {
    std::lock_guard lock(mesh_->lock);
    for (std::uint32_t i = 0; i < places; ++i) {
      if (out_[i].who) earlier_out_.emplace_back(out_[i]);
      if (in_[i].who) earlier_in_[in_[i].who] = in_[i].next;
    }
    for (const side& s : earlier_out_) mesh_->sent_to[{me_, s.who}] += s.next;
    for (const auto& [who, next] : earlier_in_) mesh_->received_from[{who, me_}] += next;
    mesh_->received += received_;
  }

  void take(const numbered& m) {
    side& s = in_[m.from];
    if (s.who != m.sender) {  // another process has that place now
      if (s.who) earlier_in_[s.who] = s.next;
      auto known = earlier_in_.find(m.sender);
      s = {m.sender, known == earlier_in_.end() ? 0 : known->second};
    }
    mesh_->wrong.judge(m.number, s.next);
    ++received_;
    if (!mesh_->over.load(std::memory_order_relaxed)) pass_on();
  }

 private:
  struct side {
    otp::pid who;
    std::uint64_t next = 0;
  };

  // To anybody; to somebody else if that one is just gone.
  void pass_on() {
    for (int attempt = 0; attempt < 4; ++attempt) {
      auto place = static_cast<std::uint32_t>(dice_.below(places));
      otp::pid to(mesh_->holders[place].load());
      if (!to) continue;
      side& s = out_[place];
      if (s.who != to) {
        if (s.who) earlier_out_.emplace_back(s);
        s = {to, 0};
      }
      if (otp::send(to, numbered{place_, me_, s.next}) != otp::send_status::sent) continue;
      ++s.next;
      auto& count = mesh_->sent[place_].sent;
      count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      return;
    }
  }

  mesh* mesh_;
  std::uint32_t place_;
  dice dice_;
  otp::pid me_;
  std::array<side, places> in_{}, out_{};
  std::vector<side> earlier_out_;
  std::map<otp::pid, std::uint64_t> earlier_in_;
  std::uint64_t received_ = 0;
};

/// Without a stack: any worker may take it.
struct peer_server {
  using messages = otp::messages<numbered, probe, finish>;
  peer_server(mesh* m, std::uint32_t place, std::uint64_t life) : self(m, place, life) {}
  void handle_info(const numbered& m) { self.take(m); }
  void handle_info(const probe& p) { otp::send(p.from, probed{}); }
  otp::handler_result handle_info(const finish&) { return otp::stop(otp::reason::normal); }
  peer self;
};
/// With one.
void peer_loop(mesh* m, std::uint32_t place, std::uint64_t life) {
  peer self(m, place, life);
  for (bool on = true; on;)
    otp::receive([&](const numbered& n) { self.take(n); }, [](const probe& p) { otp::send(p.from, probed{}); },
                 [&](const finish&) { on = false; });
}

// covers: F1
TEST(message_integrity, of_a_mesh_of_processes_that_move_and_are_killed) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  const auto goal = size<std::uint64_t>(50'000'000, 5'000'000, 100'000);
  mesh m;
  std::uint64_t kills = 0;
  quiet listener;
  otp::runtime rt({.workers = 3, .listener = &listener});
  rt.start();
  auto begin = std::chrono::steady_clock::now();
  auto why = rt.run([&] {
    dice d(1'000);
    std::array<otp::spawned, places> running;
    std::array<bool, places> killed{};
    std::uint64_t lives = 0;
    auto start = [&](std::uint32_t place) {
      std::uint64_t life = ++lives;
      killed[place] = false;
      if (place % 2) {
        running[place] = otp::spawn_monitor([&m, place, life] { peer_loop(&m, place, life); });
      } else {
        otp::pid server = otp::gen_server::start<peer_server>({}, &m, place, life).value();
        running[place] = {server, otp::monitor(server)};
      }
    };
    for (std::uint32_t place = 0; place < places; ++place) start(place);
    auto restart = [&](const otp::down& e) {
      EXPECT_EQ(e.reason, otp::reason::killed) << e.reason.to_string();
      for (std::uint32_t place = 0; place < places; ++place)
        if (running[place].monitor == e.reference) return start(place);
      ADD_FAILURE() << "a monitor that nobody set";
    };
    std::size_t dying = 0;
    while (m.all_sent() < goal || dying > 0) {
      otp::receive(
          [&](const otp::down& e) {
            restart(e);
            --dying;
          },
          otp::after(otp::duration(d.below(4'000'000)), [&] {
            if (dying > 0 || m.all_sent() >= goal) return;
            for (auto hits = 1 + d.below(3); hits > 0; --hits) {
              auto place = d.below(places);
              if (std::exchange(killed[place], true)) continue;
              otp::exit(running[place].pid, otp::reason::kill);
              ++dying;
              ++kills;
            }
          }));
    }
    m.over = true;
    // After the first round nobody sends any more; the second comes behind everything that was sent.
    for (int round = 0; round < 2; ++round) {
      for (const auto& r : running) otp::send(r.pid, probe{otp::self()});
      for (std::uint32_t i = 0; i < places; ++i) otp::receive([](const probed&) {});
    }
    for (const auto& r : running) otp::send(r.pid, finish{});
    for (std::uint32_t i = 0; i < places; ++i)
      otp::receive([](const otp::down& e) { EXPECT_EQ(e.reason, otp::reason::normal) << e.reason.to_string(); });
    EXPECT_EQ(otp::info(otp::self())->message_queue_len, 0U) << "a DOWN came twice";
    // Who lived to the end has got all that was sent to it.
    std::lock_guard lock(m.lock);
    for (const auto& [who, count] : m.sent_to) {
      auto got = m.received_from.find(who);
      std::uint64_t received = got == m.received_from.end() ? 0 : got->second;
      ASSERT_LE(received, count);
      if (std::any_of(running.begin(), running.end(), [&](const auto& r) { return r.pid == who.second; })) {
        ASSERT_EQ(received, count) << who.first.to_string() << " to " << who.second.to_string();
      }
    }
  });
  double took = seconds_since(begin);
  EXPECT_EQ(why, otp::reason::normal) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
  EXPECT_EQ(m.wrong.lost, 0U);
  EXPECT_EQ(m.wrong.twice, 0U);
  auto c = rt.counters();
  check_conservation(c);
  EXPECT_EQ(m.all_sent(), m.received + c.dropped) << "what did not arrive was in the mailbox of a killed process";
  figure("F1", "a mesh with kills: 0 lost, twice or out of order",
         text("%s wrong of %s, %s kills, %s dropped with the killed, %s steals, in %.1f s",
              number(m.wrong.sum()).c_str(), number(m.all_sent()).c_str(), number(kills).c_str(),
              number(c.dropped).c_str(), number(c.steals).c_str(), took));
}

}  // namespace
