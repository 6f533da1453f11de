// F4: a tree of supervisors of three levels, of all strategies, in which processes are killed, crash, hang, start
// slowly or not at all, and supervisors are killed, all the time. After each fault the tree is again what a model of
// its strategies and intensities says, start for start, and nobody is left over who belongs to no supervisor.
//
// A guard for each region makes the faults of its branches, one after the other, and compares; the regions go on at
// the same time. Restarts are counted over an hour, so that the model needs no clock: exactly the one restart that is
// too many ends a branch.
#include <otp/gen_server.hpp>
#include <otp/receive.hpp>
#include <otp/supervisor.hpp>

#include "figure.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>

namespace {

using namespace stress;

constexpr std::size_t branches_each = 5;
constexpr int restarts_max = 12;

/// A place in the tree: who is there, and how many were there.
struct place {
  std::atomic<std::uint64_t> holder{0};
  std::atomic<std::uint64_t> starts{0};
  std::atomic<int> slow_ms{0};      // its next start takes so long
  std::atomic<int> start_fails{0};  // so many starts fail
  otp::pid pid() const { return otp::pid(holder.load()); }
};

struct branch {
  branch(otp::strategy s, std::size_t leaves) : strategy(s), leaf(leaves), expected(leaves, 1) {}
  const otp::strategy strategy;
  place self;
  std::vector<place> leaf;
  // The model, of the region's guard.
  std::vector<std::uint64_t> expected;
  std::uint64_t expected_self = 1;
  int restarts = 0;

  /// A child ends: what the supervisor does by its strategy, or, if that is once too often, the one above it.
  void child_ends(std::size_t at) {
    if (++restarts > restarts_max) return ends();
    std::size_t first = strategy == otp::one_for_all ? 0 : at;
    std::size_t last = strategy == otp::one_for_one ? at : expected.size() - 1;
    for (std::size_t i = first; i <= last; ++i) ++expected[i];
  }
  void ends() {
    restarts = 0;
    ++expected_self;
    for (auto& e : expected) ++e;
  }
};

struct region {
  explicit region(std::size_t leaves) {
    constexpr std::array kinds{otp::one_for_one, otp::rest_for_one, otp::one_for_all};
    for (std::size_t i = 0; i < branches_each; ++i)
      branches.push_back(std::make_unique<branch>(kinds[i % kinds.size()], leaves));
  }
  std::vector<std::unique_ptr<branch>> branches;
  samples heals;  // ms
  std::uint64_t faults = 0;
};

struct leaf {
  struct ping {
    using reply = bool;
  };
  struct crash {};
  struct hang {};
  explicit leaf(place* p) {
    ++p->starts;
    if (int length = p->slow_ms.exchange(0)) otp::sleep(std::chrono::milliseconds(length));
    if (p->start_fails.load() > 0) {
      --p->start_fails;
      throw std::runtime_error("does not start");
    }
    p->holder = otp::self().value();
  }
  bool handle_call(const ping&) { return true; }
  void handle_cast(const crash&) { throw std::runtime_error("crash"); }
  void handle_cast(const hang&) { otp::sleep(otp::infinity); }
};

otp::supervisor_spec branch_spec(branch* b) {
  otp::supervisor_spec spec{.strategy = b->strategy, .max_restarts = restarts_max, .max_seconds = 3600s};
  for (std::size_t i = 0; i < b->leaf.size(); ++i)
    spec.children.push_back(otp::child<leaf>(&b->leaf[i]).id("leaf", static_cast<std::uint64_t>(i)));
  return spec;
}
otp::supervisor_spec region_spec(region* r) {
  otp::supervisor_spec spec{.strategy = otp::one_for_one, .max_restarts = 1'000'000, .max_seconds = 3600s};
  for (std::size_t i = 0; i < branches_each; ++i)
    spec.children.push_back(
        otp::child_function(otp::child_id("branch", static_cast<std::uint64_t>(i)), [b = r->branches[i].get()] {
          ++b->self.starts;
          auto started = otp::supervisor::start_link(branch_spec(b));
          if (started) b->self.holder = started->pid().value();
          return started;
        }).type(otp::child_type::supervisor));
  return spec;
}

enum class comparison { equal, not_yet, too_much };

// The places against the model, then the supervisor's own list against the places.
comparison compare(const branch& b) {
  if (b.self.starts > b.expected_self) return comparison::too_much;
  bool behind = b.self.starts < b.expected_self;
  for (std::size_t i = 0; i < b.leaf.size(); ++i) {
    if (b.leaf[i].starts > b.expected[i]) return comparison::too_much;
    behind = behind || b.leaf[i].starts < b.expected[i] || !otp::is_alive(b.leaf[i].pid());
  }
  if (behind || !otp::is_alive(b.self.pid())) return comparison::not_yet;
  auto children = otp::supervisor::which_children(b.self.pid());
  if (children.size() != b.leaf.size()) return comparison::not_yet;
  for (std::size_t i = 0; i < children.size(); ++i) {  // the newest comes first
    const otp::child_info& c = children[children.size() - 1 - i];
    if (c.id != otp::child_id("leaf", static_cast<std::uint64_t>(i)) || c.state != otp::child_state::running ||
        c.process != b.leaf[i].pid())
      return comparison::not_yet;
  }
  return comparison::equal;
}

std::string difference(const branch& b) {
  std::string line = text("branch started %llu times, expected %llu;", static_cast<unsigned long long>(b.self.starts),
                          static_cast<unsigned long long>(b.expected_self));
  for (std::size_t i = 0; i < b.leaf.size(); ++i)
    if (b.leaf[i].starts != b.expected[i])
      line += text(" leaf %zu %llu, expected %llu;", i, static_cast<unsigned long long>(b.leaf[i].starts),
                   static_cast<unsigned long long>(b.expected[i]));
  return line;
}

// Makes a fault and tells the model. Returns who has to be gone.
std::vector<otp::pid> strike(branch& b, dice& d) {
  std::size_t at = d.below(b.leaf.size());
  place& p = b.leaf[at];
  const otp::pid victim = p.pid();
  std::vector<otp::pid> gone{victim};
  switch (d.below(16)) {
    case 0:  // the supervisor itself
      for (const place& each : b.leaf) gone.push_back(each.pid());
      gone.push_back(b.self.pid());
      b.ends();
      otp::exit(b.self.pid(), otp::reason::kill);
      return gone;
    case 1:
    case 2:  // hangs, until somebody notices
      otp::cast(otp::server<leaf>(victim), leaf::hang{});
      EXPECT_FALSE(otp::try_call(otp::server<leaf>(victim), leaf::ping{}, 20ms));
      b.child_ends(at);
      otp::exit(victim, otp::reason::kill);
      return gone;
    case 3:
    case 4:  // is slow to start again
      p.slow_ms = static_cast<int>(1 + d.below(20));
      break;
    case 5:  // does not start at first; each attempt counts
      if (b.strategy == otp::one_for_one && b.restarts + 2 <= restarts_max) {
        p.start_fails = 1;
        ++b.restarts;
        ++b.expected[at];
      }
      break;
    default: break;
  }
  b.child_ends(at);
  if (d.one_in(2))
    otp::exit(victim, otp::reason::kill);
  else
    otp::cast(otp::server<leaf>(victim), leaf::crash{});
  return gone;
}

// The faults of one region, at its share of the rate, until the time is over.
void guard(region& r, dice d, otp::instant end, otp::duration interval) {
  otp::instant next = otp::now() + otp::duration(d.below(static_cast<std::uint64_t>(interval.count())));
  for (; next < end && !testing::Test::HasFailure(); next += interval) {
    if (auto wait = next - otp::now(); wait > 0ns) otp::sleep(wait);
    branch& b = *r.branches[d.below(branches_each)];
    otp::instant begin = otp::now();
    std::vector<otp::pid> gone = strike(b, d);
    ++r.faults;
    comparison now = comparison::not_yet;
    while ((now = compare(b)) == comparison::not_yet ||
           std::any_of(gone.begin(), gone.end(), [](otp::pid p) { return otp::is_alive(p); })) {
      ASSERT_LT(otp::now() - begin, 60s) << "the tree does not heal: " << difference(b);
      otp::sleep(500us);
    }
    ASSERT_EQ(now, comparison::equal) << "more was started than the model says: " << difference(b);
    r.heals.add(std::chrono::duration<double, std::milli>(otp::now() - begin).count());
  }
}

// covers: F4
TEST(chaos_tree, is_as_its_model_says_after_every_fault) {
  SCOPED_TRACE(testing::Message() << "OTP_SEED=" << seed());
  const auto regions = size<std::size_t>(20, 20, 4);
  const auto leaves = size<std::size_t>(99, 99, 7);
  const auto length = size<std::chrono::seconds>(60s, 6s, 3s);
  const double rate = size(200.0, 200.0, 40.0);
  std::vector<region> tree;
  for (std::size_t i = 0; i < regions; ++i) tree.emplace_back(leaves);
  const std::size_t alive = 1 + regions * (1 + branches_each * (1 + leaves));
  std::size_t orphans = 0;
  double took = 0;
  quiet listener;
  otp::runtime rt({.listener = &listener});
  rt.start();
  auto why = rt.run([&] {
    const std::size_t before = otp::process_count();
    otp::supervisor_spec spec{.strategy = otp::one_for_one, .max_restarts = 3, .max_seconds = 3600s};
    for (std::size_t i = 0; i < regions; ++i)
      spec.children.push_back(
          otp::child_supervisor(otp::child_id("region", static_cast<std::uint64_t>(i)), region_spec(&tree[i])));
    auto top = otp::supervisor::start_link(std::move(spec)).value();
    EXPECT_EQ(otp::process_count(), before + alive);
    auto begin = std::chrono::steady_clock::now();
    std::vector<otp::ref> guards;
    auto interval = otp::duration(static_cast<std::int64_t>(1e9 * static_cast<double>(regions) / rate));
    for (std::size_t i = 0; i < regions; ++i)
      guards.push_back(
          otp::spawn_monitor([&, i, end = otp::now() + length] { guard(tree[i], dice(i), end, interval); }).monitor);
    for (otp::ref g : guards)
      otp::receive(otp::when([&](const otp::down& e) { return e.reference == g; },
                             [](const otp::down& e) { EXPECT_EQ(e.reason, otp::reason::normal); }));
    took = seconds_since(begin);
    // At rest: everybody who lives is in the tree, and nothing more was started since.
    for (int i = 0; i < 2'000 && otp::process_count() > before + alive; ++i) otp::sleep(1ms);
    orphans = otp::process_count() - (before + alive);
    EXPECT_EQ(otp::process_count(), before + alive);
    for (region& r : tree)
      for (auto& b : r.branches) EXPECT_EQ(compare(*b), comparison::equal) << difference(*b);
    otp::supervisor::stop(top);
    for (int i = 0; i < 2'000 && otp::process_count() > before; ++i) otp::sleep(1ms);
    EXPECT_EQ(otp::process_count(), before);
  });
  EXPECT_EQ(why, otp::reason::normal) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
  samples heals;
  std::uint64_t faults = 0, escalations = 0;
  for (region& r : tree) {
    heals.add(r.heals);
    faults += r.faults;
    for (auto& b : r.branches) escalations += b->expected_self - 1;
  }
  figure("F4", text("%zu processes, %.0f faults/s: healed as the model says within 1000 ms, 0 orphans", alive, rate),
         text("%s faults, %.0f/s, %s branches restarted, healed in p50 %.1f ms, max %.1f ms, %zu orphans",
              number(faults).c_str(), static_cast<double>(faults) / took, number(escalations).c_str(), heals.at(0.5),
              heals.max(), orphans),
         heals.max() <= 1000 && static_cast<double>(faults) / took >= 0.95 * rate);
}

}  // namespace
