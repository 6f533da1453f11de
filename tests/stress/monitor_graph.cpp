// F2: a random graph of processes that watch each other and are linked, half of which is killed while it is being
// woven. Who lives gets exactly one DOWN for every monitor of a dead one, exactly one EXIT for every link to one, and
// none for the living, for a monitor that was removed or a link that was taken back; when it hears, the name is free.
#include <otp/gen_server.hpp>
#include <otp/receive.hpp>

#include "figure.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <unordered_map>

namespace {

using namespace stress;

constexpr std::uint32_t monitors_each = 10;
constexpr std::uint32_t links_each = 2;

std::string name_of(std::uint32_t vertex) { return "vertex " + std::to_string(vertex); }

/// A link from a vertex to one with a higher number, so that no two make the same one. Written by the first of them.
struct link_record {
  enum step : std::uint8_t { none, begun, linked, unlinking, unlinked };
  std::uint32_t to = 0;
  std::atomic<std::uint8_t> step{none};
};

struct graph {
  explicit graph(std::uint32_t n) : size(n), pids(n), links(std::size_t{n} * links_each), incoming(n) {}
  const std::uint32_t size;
  // Complete before anybody weaves.
  std::vector<otp::pid> pids;
  std::vector<link_record> links;  // by vertex
  std::vector<std::vector<std::uint32_t>> incoming;
  std::atomic<std::uint64_t> monitored{0}, linked{0}, downs{0}, exits{0};
  // What is wrong.
  std::atomic<std::uint64_t> stray{0}, twice{0}, name_held{0}, wrong_reason{0};

  link_record& link(std::uint32_t vertex, std::uint32_t i) { return links[std::size_t{vertex} * links_each + i]; }
};

/// What a living vertex still waits for, and what it got too much of.
struct verdict {
  std::uint64_t missing = 0, too_many = 0;
};

struct vertex {
  struct weave {};
  struct cut {};
  struct woven {  // answered when it has woven: what it is told of the dead at once is in its mailbox then
    using reply = void;
  };
  struct judge {
    using reply = verdict;
    const std::vector<bool>* dead;
  };

  vertex(graph* in, std::uint32_t number) : g(in), me(number) {}

  void handle_cast(const weave&) {
    dice d(me);
    for (std::uint32_t i = 0; i < std::max(monitors_each, links_each); ++i) {
      if (i < monitors_each) {
        auto to = static_cast<std::uint32_t>(d.below(g->size));
        if (to == me) to = (to + 1) % g->size;
        edges.emplace(otp::monitor(g->pids[to]), edge{to, 0, false});
      }
      if (i < links_each) {
        link_record& l = g->link(me, i);
        if (l.to == 0) continue;
        l.step = link_record::begun;
        otp::link(g->pids[l.to]);
        l.step = link_record::linked;
        ++g->linked;
      }
    }
    g->monitored += monitors_each;
  }
  /// Takes some monitors and links back.
  void handle_cast(const cut&) {
    dice d(me + (std::uint64_t{1} << 32));
    for (auto& [reference, e] : edges)
      if (d.one_in(8)) {
        otp::demonitor(reference, {.flush = true});
        e.removed = true;
      }
    for (std::uint32_t i = 0; i < links_each; ++i)
      if (link_record& l = g->link(me, i); l.to != 0 && d.one_in(8)) {
        l.step = link_record::unlinking;
        otp::unlink(g->pids[l.to]);
        l.step = link_record::unlinked;
      }
  }
  void handle_info(const otp::down& e) {
    ++g->downs;
    auto found = edges.find(e.reference);
    if (found == edges.end() || found->second.removed) {
      ++g->stray;
      return;
    }
    if (++found->second.downs > 1) ++g->twice;
    heard(g->pids[found->second.to], found->second.to, e.reason);
  }
  void handle_info(const otp::exit_signal& e) {
    ++g->exits;
    if (++exits[e.from] > 1) ++g->twice;
    if (e.reason != otp::reason::killed && e.reason != otp::reason::noproc) ++g->wrong_reason;
    if (auto holder = otp::whereis(name_of(number_of(e.from))); holder == e.from) ++g->name_held;
  }
  void handle_call(const woven&) {}
  verdict handle_call(const judge& j) {
    const std::vector<bool>& dead = *j.dead;
    verdict v;
    auto expect = [&](std::uint64_t got, std::uint64_t least, std::uint64_t most) {
      if (got < least) v.missing += least - got;
      if (got > most) v.too_many += got - most;
    };
    for (const auto& [reference, e] : edges) {
      // Of a removed one a DOWN may have come before, also when it was then told to forget it.
      std::uint64_t due = dead[e.to] ? 1 : 0;
      expect(e.downs, e.removed ? 0 : due, due);
    }
    auto exits_of = [&](std::uint32_t other) {
      auto found = exits.find(g->pids[other]);
      return found == exits.end() ? 0 : found->second;
    };
    for (std::uint32_t i = 0; i < links_each; ++i) {
      link_record& l = g->link(me, i);
      if (l.to == 0) continue;
      std::uint64_t due = dead[l.to] && l.step != link_record::none ? 1 : 0;
      expect(exits_of(l.to), l.step == link_record::linked ? due : 0, due);
    }
    for (std::uint32_t from : g->incoming[me])
      for (std::uint32_t i = 0; i < links_each; ++i) {
        link_record& l = g->link(from, i);
        if (l.to != me) continue;
        auto step = l.step.load();
        bool may = dead[from] && step != link_record::none && step != link_record::unlinked;
        expect(exits_of(from), may && step == link_record::linked ? 1 : 0, may ? 1 : 0);
      }
    return v;
  }

  void heard(otp::pid gone, std::uint32_t number, const otp::exit_reason& why) {
    if (why != otp::reason::killed && why != otp::reason::noproc) ++g->wrong_reason;
    if (auto holder = otp::whereis(name_of(number)); holder == gone) ++g->name_held;
  }
  std::uint32_t number_of(otp::pid who) const {
    for (std::uint32_t i = 0; i < links_each; ++i)
      if (auto to = g->link(me, i).to; g->pids[to] == who) return to;
    for (std::uint32_t from : g->incoming[me])
      if (g->pids[from] == who) return from;
    ++g->stray;
    return 0;
  }

  struct edge {
    std::uint32_t to;
    std::uint64_t downs;
    bool removed;
  };
  struct number_hash {
    std::size_t operator()(const otp::ref& r) const { return std::hash<std::uint64_t>()(r.number()); }
  };
  graph* g;
  std::uint32_t me;
  std::unordered_map<otp::ref, edge, number_hash> edges;
  std::map<otp::pid, std::uint64_t> exits;
};

struct totals {
  std::uint64_t monitors = 0, links = 0, downs = 0, exits = 0, wrong = 0, missing = 0;
};

// Weaves a graph while half of it is killed, judges the other half, and kills that too.
void round(std::uint32_t vertices, dice& d, totals& all) {
  graph g(vertices);
  for (std::uint32_t i = 0; i < vertices; ++i) {
    g.pids[i] = otp::gen_server::start<vertex>({.name = name_of(i), .spawn = {.trap_exit = true}}, &g, i).value();
    for (std::uint32_t l = 0; l < links_each && i + 1 < vertices; ++l) {
      auto to = i + 1 + static_cast<std::uint32_t>(d.below(vertices - i - 1));
      bool again = false;
      for (std::uint32_t earlier = 0; earlier < l; ++earlier) again = again || g.link(i, earlier).to == to;
      if (again) continue;
      g.link(i, l).to = to;
      g.incoming[to].push_back(i);
    }
  }
  const std::size_t before = otp::process_count();
  std::vector<bool> dead(vertices, false);
  std::vector<std::uint32_t> order(vertices);
  for (std::uint32_t i = 0; i < vertices; ++i) order[i] = i;
  for (std::uint32_t i = vertices; i > 1; --i) std::swap(order[i - 1], order[d.below(i)]);
  order.resize(vertices / 2);
  for (std::uint32_t i : order) {
    dead[i] = true;
    otp::monitor(g.pids[i]);
  }
  // Weavers and killers at once.
  std::vector<otp::ref> busy;
  for (std::uint32_t part = 0; part < 4; ++part) {
    busy.push_back(otp::spawn_monitor([&, part, chance = dice(d.roll())]() mutable {
                     for (std::uint32_t i = part; i < vertices; i += 4) {
                       otp::cast(otp::server<vertex>(g.pids[i]), vertex::weave{});
                       if (chance.one_in(2)) otp::cast(otp::server<vertex>(g.pids[i]), vertex::cut{});
                       if (chance.one_in(64)) otp::yield();
                     }
                   }).monitor);
    busy.push_back(otp::spawn_monitor([&, part, chance = dice(d.roll())]() mutable {
                     for (std::size_t i = part; i < order.size(); i += 4) {
                       otp::exit(g.pids[order[i]], otp::reason::kill);
                       if (chance.one_in(32)) otp::yield();
                     }
                   }).monitor);
  }
  for (std::size_t left = busy.size() + order.size(); left > 0; --left) otp::receive([](const otp::down&) {});
  while (otp::process_count() > before - order.size()) otp::sleep(1ms);  // counted until all signals are out
  auto judged = [&] {
    verdict sum;
    for (std::uint32_t i = 0; i < vertices; ++i) {
      if (dead[i]) continue;
      verdict v = otp::call(otp::server<vertex>(g.pids[i]), vertex::judge{&dead}, 60s);
      sum.missing += v.missing;
      sum.too_many += v.too_many;
    }
    return sum;
  };
  for (std::uint32_t i = 0; i < vertices; ++i)
    if (!dead[i]) otp::call(otp::server<vertex>(g.pids[i]), vertex::woven{}, 60s);
  verdict end = judged();
  EXPECT_EQ(end.missing, 0U) << "a DOWN or an EXIT is lost";
  EXPECT_EQ(end.too_many, 0U) << "a DOWN or an EXIT that nobody waits for";
  for (std::uint32_t i = 0; i < vertices; ++i)
    if (!dead[i]) otp::exit(g.pids[i], otp::reason::kill);
  while (otp::process_count() > before - vertices) otp::sleep(1ms);
  EXPECT_EQ(g.stray, 0U);
  EXPECT_EQ(g.twice, 0U);
  EXPECT_EQ(g.name_held, 0U) << "a name was still held when the signal came";
  EXPECT_EQ(g.wrong_reason, 0U);
  EXPECT_EQ(otp::info(otp::self())->message_queue_len, 0U);
  all.monitors += g.monitored;
  all.links += g.linked;
  all.downs += g.downs;
  all.exits += g.exits;
  all.wrong += end.too_many + g.stray + g.twice + g.name_held + g.wrong_reason;
  all.missing += end.missing;
}

// covers: F2
TEST(monitor_graph, tells_each_survivor_of_each_death_exactly_once) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  const auto vertices = size<std::uint32_t>(10'000, 10'000, 500);
  const auto goal = size<std::uint64_t>(1'000'000, 200'000, 10'000);
  totals all;
  quiet listener;
  otp::runtime rt({.workers = 3, .listener = &listener});
  rt.start();
  auto begin = std::chrono::steady_clock::now();
  auto why = rt.run([&] {
    dice d(0);
    // A vertex that is killed before its turn sets no monitors.
    while (all.monitors < goal && !testing::Test::HasFailure()) round(vertices, d, all);
  });
  double took = seconds_since(begin);
  EXPECT_EQ(why, otp::reason::normal) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
  auto c = rt.counters();
  EXPECT_EQ(c.processes, 0U);
  EXPECT_EQ(c.accepted, c.handled + c.unhandled + c.expired + c.dropped);
  figure("F2", "one DOWN for each monitor, one EXIT for each link, names free before",
         text("%s lost, %s wrong of %s monitors and %s links (%s DOWN, %s EXIT) in %.1f s", number(all.missing).c_str(),
              number(all.wrong).c_str(), number(all.monitors).c_str(), number(all.links).c_str(),
              number(all.downs).c_str(), number(all.exits).c_str(), took));
}

}  // namespace
