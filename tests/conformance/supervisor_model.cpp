// Supervisors against a model: random lives of random supervisors, one event at a time, compared step by step with what
// the rules say; then many events at once, after which nobody may be lost, doubled or left behind.
#include "conformance/supervisor_support.hpp"

#include <array>
#include <map>
#include <random>

using namespace conformance;

namespace {

class dice {
 public:
  explicit dice(std::uint64_t seed) : engine_(seed) {}
  int below(int n) { return static_cast<int>(engine_() % static_cast<std::uint64_t>(n)); }
  bool one_in(int n) { return below(n) == 0; }

 private:
  std::mt19937_64 engine_;
};

// What the next starts of each child will do: '+' starts, 'f' fails, 'i' declines; then '+' for ever.
class outcomes {
 public:
  void plan(const std::string& id, std::string steps) const { (*steps_)[id] = std::move(steps); }
  char next(const std::string& id) const {
    std::string& steps = (*steps_)[id];
    if (steps.empty()) return '+';
    char step = steps.front();
    steps.erase(0, 1);
    return step;
  }
  outcomes copy() const {
    outcomes other;
    *other.steps_ = *steps_;
    return other;
  }

 private:
  std::shared_ptr<std::map<std::string, std::string>> steps_ = std::make_shared<std::map<std::string, std::string>>();
};

struct rules {
  otp::strategy strategy;
  int tolerated;
  otp::duration period;
  otp::auto_shutdown mode;
};

// The rules, written down as naively as possible.
struct model {
  struct child {
    std::string id;
    otp::restart_type restart;
    bool significant;
    bool running;
  };

  void stop(std::size_t at) {
    if (children[at].running) log.push_back("-" + children[at].id + " shutdown");
    children[at].running = false;
  }
  void end() {
    for (std::size_t i = children.size(); i-- > 0;) stop(i);
    alive = false;
  }
  void forget(std::size_t at) { children.erase(children.begin() + static_cast<std::ptrdiff_t>(at)); }
  std::size_t find(const std::string& id) const {
    std::size_t at = 0;
    while (at < children.size() && children[at].id != id) ++at;
    return at;
  }

  // '+', 'f' or 'i'.
  char begin(std::size_t at) {
    char how = starts.next(children[at].id);
    children[at].running = how == '+';
    if (how == '+') log.push_back("+" + children[at].id);
    return how;
  }
  bool start() {
    for (std::size_t i = 0; i < children.size();) {
      char how = begin(i);
      if (how == 'f') {
        end();
        return false;
      }
      if (how == 'i' && children[i].restart == otp::temporary)
        forget(i);
      else
        ++i;
    }
    return true;
  }

  void restart(std::string id, otp::instant now) {
    for (;;) {
      std::size_t at = find(id);
      children[at].running = false;
      std::erase_if(stamps, [&](otp::instant t) { return now - t > given.period; });
      if (static_cast<int>(stamps.size()) >= given.tolerated) return end();
      stamps.push_back(now);
      if (given.strategy == otp::one_for_one) {
        if (begin(at) != 'f') return;
        continue;
      }
      std::size_t first = given.strategy == otp::one_for_all ? 0 : at;
      for (std::size_t i = children.size(); i-- > first;) {
        stop(i);
        if (children[i].restart == otp::temporary) forget(i);
      }
      bool failed = false;
      if (given.strategy == otp::rest_for_one) first = find(id);
      for (std::size_t i = first; i < children.size() && !failed;) {
        char result = begin(i);
        if (result == 'f') {
          failed = true;
          id = children[i].id;
        } else if (result == 'i' && children[i].restart == otp::temporary) {
          forget(i);
        } else {
          ++i;
        }
      }
      if (!failed) return;
    }
  }

  void ended(const std::string& id, const otp::exit_reason& why, otp::instant now) {
    std::size_t at = find(id);
    child c = children[at];
    if (why != killed) log.push_back("-" + id + " " + why.to_string());
    if (c.restart == otp::permanent || (c.restart == otp::transient && !why.is_expected())) return restart(id, now);
    children[at].running = false;
    if (c.restart == otp::temporary) forget(at);
    if (!c.significant || given.mode == otp::auto_shutdown::never) return;
    if (given.mode == otp::all_significant)
      for (auto& other : children)
        if (other.significant && other.running) return;
    end();
  }

  rules given;
  outcomes starts;
  std::vector<child> children{};
  std::vector<otp::instant> stamps{};
  strings log{};
  bool alive = true;
};

otp::child_spec spec_of(const model::child& c, const journal& log, const outcomes& starts) {
  return otp::child_function(c.id,
                             [id = c.id, log, starts]() -> otp::result<otp::pid> {
                               char how = starts.next(id);
                               if (how == 'f') return std::unexpected(otp::exit_reason("not now"));
                               if (how == 'i') return std::unexpected(otp::exit_reason(otp::reason::ignore));
                               return otp::gen_server::start_link<unit>({}, log, id).value().pid();
                             })
      .restart(c.restart)
      .significant(c.significant);
}

// A random supervisor, its model, and random events for both.
class life {
 public:
  explicit life(std::uint64_t seed) : roll_(seed) {
    how_.strategy =
        std::array{otp::one_for_one, otp::rest_for_one, otp::one_for_all}[static_cast<std::size_t>(roll_.below(3))];
    how_.tolerated = roll_.one_in(4) ? roll_.below(3) : 2 + roll_.below(8);
    how_.period = std::chrono::seconds(1 + roll_.below(10));
    how_.mode = std::array{otp::auto_shutdown::never, otp::any_significant,
                           otp::all_significant}[static_cast<std::size_t>(roll_.below(3))];
    model_.given = how_;
    for (int n = roll_.below(7); n > 0; --n) model_.children.push_back(fresh());
    if (roll_.one_in(6) && !model_.children.empty()) plan(any());
  }

  bool start() {
    otp::supervisor_spec spec{.strategy = how_.strategy,
                              .max_restarts = how_.tolerated,
                              .max_seconds = how_.period,
                              .auto_shutdown = how_.mode};
    for (auto& c : model_.children) spec.children.push_back(spec_of(c, log_, starts_));
    model_.starts = starts_.copy();
    auto made = otp::supervisor::start_link(std::move(spec));
    bool good = model_.start();
    EXPECT_EQ(made.has_value(), good);
    if (made) sup_ = made->pid();
    compare("start");
    return good && made;
  }

  // One event, and everything that it causes.
  bool step() {
    std::string what = event();
    otp::testing::settle();
    compare(what);
    return model_.alive && !::testing::Test::HasFailure();
  }

  // Several at once, from several processes.
  void burst() {
    std::vector<otp::ref> asked;
    auto children = otp::supervisor::which_children(sup_);
    for (int i = 0; i < 12; ++i) {
      std::string id = roll_.one_in(4) || model_.children.empty() ? fresh().id : any();
      otp::pid sup = sup_;
      if (roll_.one_in(3)) plan(id);
      otp::pid child;
      if (!children.empty())
        child = children[static_cast<std::size_t>(roll_.below(static_cast<int>(children.size())))].process;
      switch (roll_.below(5)) {
        case 0:
          if (child) finish(child, "crash");
          break;
        case 1:
          if (child) otp::exit(child, otp::reason::kill);
          break;
        case 2:
          asked.push_back(
              otp::spawn_monitor([sup, id] { static_cast<void>(otp::supervisor::terminate_child(sup, id)); }).monitor);
          break;
        case 3:
          asked.push_back(
              otp::spawn_monitor([sup, id] { static_cast<void>(otp::supervisor::restart_child(sup, id)); }).monitor);
          break;
        case 4: {
          auto added = spec_of({id, otp::transient, false, false}, log_, starts_);
          asked.push_back(otp::spawn_monitor([sup, added] {
                            static_cast<void>(otp::supervisor::start_child(sup, added));
                          }).monitor);
          break;
        }
      }
    }
    for (otp::ref r : asked) static_cast<void>(reason_of(r));
    otp::testing::settle();
    if (!otp::is_alive(sup_)) {
      EXPECT_EQ(otp::process_count(), 1U) << "somebody outlived the supervisor";
      return;
    }
    std::size_t running = 0;
    std::map<std::string, int> seen;
    for (auto& child : otp::supervisor::which_children(sup_)) {
      EXPECT_EQ(++seen[child.id.to_string()], 1);
      EXPECT_NE(child.state, otp::child_state::restarting);
      if (child.state != otp::child_state::running) continue;
      ++running;
      EXPECT_TRUE(otp::is_alive(child.process)) << child.id.to_string();
    }
    EXPECT_EQ(otp::process_count(), running + 2) << "a process that is no child, or a child that is no process";
    EXPECT_EQ(otp::supervisor::count_children(sup_).active, running);
    EXPECT_EQ(otp::info(sup_)->monitors.size(), 0U);
    EXPECT_EQ(otp::info(sup_)->links.size(), running + 1);
  }

  void stop() {
    if (!otp::is_alive(sup_)) return;
    otp::supervisor::stop(sup_);
    EXPECT_EQ(otp::process_count(), 1U);
  }

 private:
  model::child fresh() {
    model::child c;
    c.id = std::string(1, static_cast<char>('a' + names_ % 26)) + std::to_string(names_ / 26);
    ++names_;
    c.restart = std::array{otp::permanent, otp::permanent, otp::transient,
                           otp::temporary}[static_cast<std::size_t>(roll_.below(4))];
    c.significant = how_.mode != otp::auto_shutdown::never && c.restart != otp::permanent && roll_.one_in(2);
    c.running = false;
    return c;
  }
  std::string any() {
    if (model_.children.empty() || roll_.one_in(12)) return "nobody";
    return model_.children[static_cast<std::size_t>(roll_.below(static_cast<int>(model_.children.size())))].id;
  }
  void plan(const std::string& id) {
    std::string steps;
    for (int n = 1 + roll_.below(3); n > 0; --n) steps += "ffi+"[roll_.below(4)];
    starts_.plan(id, steps);
    model_.starts.plan(id, steps);
  }

  std::string event() {
    otp::instant now = otp::now();
    std::string id = any();
    std::size_t at = model_.find(id);
    bool there = at < model_.children.size();
    bool running = there && model_.children[at].running;
    if (roll_.one_in(4)) plan(id);
    switch (roll_.below(9)) {
      case 0:
      case 1:
      case 2: {
        if (!running) return "nothing";
        otp::exit_reason why = std::array<otp::exit_reason, 6>{
            "crash", "crash", killed, normal, shutdown, shutdown("done")}[static_cast<std::size_t>(roll_.below(6))];
        if (why == killed)
          otp::exit(process_of(sup_, id), otp::reason::kill);
        else
          finish(process_of(sup_, id), why);
        model_.ended(id, why, now);
        return id + " ends with " + why.to_string();
      }
      case 3: {
        auto done = otp::supervisor::terminate_child(sup_, id);
        EXPECT_EQ(done ? otp::exit_reason() : done.error(),
                  there ? otp::exit_reason() : otp::exit_reason(otp::reason::not_found));
        if (there) {
          model_.stop(at);
          if (model_.children[at].restart == otp::temporary) model_.forget(at);
        }
        return "terminate " + id;
      }
      case 4: {
        auto done = otp::supervisor::restart_child(sup_, id);
        otp::exit_reason answer = done ? otp::exit_reason() : done.error();
        if (!there) {
          EXPECT_EQ(answer, otp::reason::not_found);
        } else if (running) {
          EXPECT_EQ(answer, otp::reason::running);
        } else {
          char how = model_.begin(at);
          EXPECT_EQ(answer, how == 'f' ? otp::exit_reason("not now") : otp::exit_reason());
          EXPECT_EQ(done && done->process, how == '+');
        }
        return "restart " + id;
      }
      case 5: {
        auto done = otp::supervisor::delete_child(sup_, id);
        otp::exit_reason answer = done ? otp::exit_reason() : done.error();
        EXPECT_EQ(answer, !there    ? otp::exit_reason(otp::reason::not_found)
                          : running ? otp::exit_reason(otp::reason::running)
                                    : otp::exit_reason());
        if (there && !running) model_.forget(at);
        return "delete " + id;
      }
      case 6: {
        model::child c = fresh();
        if (there && roll_.one_in(3)) c.id = id;
        if (roll_.one_in(3)) plan(c.id);
        auto done = otp::supervisor::start_child(sup_, spec_of(c, log_, starts_));
        otp::exit_reason answer = done ? otp::exit_reason() : done.error();
        if (std::size_t place = model_.find(c.id); place < model_.children.size()) {
          EXPECT_EQ(answer,
                    model_.children[place].running ? otp::reason::already_started : otp::reason::already_present);
        } else {
          model_.children.push_back(c);
          char how = model_.begin(place);
          EXPECT_EQ(answer, how == 'f' ? otp::exit_reason("not now") : otp::exit_reason());
          if (how == 'f' || (how == 'i' && c.restart == otp::temporary)) model_.forget(place);
        }
        return "add " + c.id;
      }
      default: {
        auto length = std::chrono::milliseconds(roll_.below(4) * 500);
        otp::testing::advance(roll_.one_in(3) ? how_.period : otp::duration(length));
        return "time passes";
      }
    }
  }

  void compare(const std::string& after) {
    SCOPED_TRACE("after: " + after);
    EXPECT_EQ(log_.take(), std::exchange(model_.log, {}));
    if (!sup_) return;
    EXPECT_EQ(otp::is_alive(sup_), model_.alive);
    if (!otp::is_alive(sup_) || !model_.alive) {
      EXPECT_EQ(otp::process_count(), 1U);
      return;
    }
    strings expected;
    for (auto& c : model_.children) expected.push_back("\"" + c.id + "\"" + (c.running ? " runs" : ""));
    strings found;
    auto children = otp::supervisor::which_children(sup_);
    for (auto c = children.rbegin(); c != children.rend(); ++c)
      found.push_back(c->id.to_string() + (c->state == otp::child_state::running ? " runs" : ""));
    EXPECT_EQ(found, expected);
    auto running = std::count_if(model_.children.begin(), model_.children.end(), [](auto& c) { return c.running; });
    EXPECT_EQ(otp::process_count(), static_cast<std::size_t>(running) + 2);
  }

  dice roll_;
  rules how_{};
  journal log_;
  outcomes starts_;
  model model_{};
  otp::pid sup_;
  int names_ = 0;
};

}  // namespace

// covers: SUP-028 SUP-029 SUP-030 SUP-031 SUP-036 SUP-037 SUP-038 SUP-047 SUP-050 SUP-072 SUP-076 SUP-078 SUP-080
// SUP-096 SUP-099
TEST(supervisor_model, random_lives_go_as_the_rules_say) {
  supervised(300, [] {
    life l(otp::testing::seed());
    if (!l.start()) return;
    for (int i = 0; i < 60; ++i)
      if (!l.step()) return;
    l.stop();
  });
}

TEST(supervisor_model, whatever_happens_at_once_nobody_is_lost_doubled_or_left_behind) {
  supervised(300, [] {
    life l(otp::testing::seed());
    if (!l.start()) return;
    for (int i = 0; i < 5; ++i)
      if (!l.step()) return;
    l.burst();
    l.stop();
  });
}

namespace {

// A worker of a tree under fire: it may be slow to start and slow to end, slower than its supervisor waits.
struct soldier {
  soldier(int start_ms, int end_ms) : end(end_ms) {
    if (end >= 0) otp::trap_exit(true);
    otp::sleep(std::chrono::milliseconds(start_ms));
  }
  void terminate(const otp::exit_reason&) { otp::sleep(std::chrono::milliseconds(end)); }
  int end;
};

// A tree of so many levels below the top; what it consists of when all is well goes to `size`.
otp::child_spec branch(dice& roll, int levels, const std::string& name, std::size_t& size) {
  ++size;
  if (levels == 0) {
    int start = roll.one_in(4) ? roll.below(300) : 0;
    int end = roll.one_in(3) ? -1 : roll.one_in(8) ? 2000 : roll.one_in(3) ? roll.below(200) : 0;
    auto spec = otp::child<soldier>(start, end).id(name).shutdown(500ms);
    if (roll.one_in(8)) spec.shutdown(otp::brutal_kill);
    return spec;
  }
  otp::supervisor_spec spec{.strategy = std::array{otp::one_for_one, otp::rest_for_one,
                                                   otp::one_for_all}[static_cast<std::size_t>(roll.below(3))],
                            .max_restarts = 1'000'000};
  for (int i = 0, n = 2 + roll.below(3); i < n; ++i)
    spec.children.push_back(branch(roll, roll.one_in(4) ? 0 : levels - 1, name + std::to_string(i), size));
  return otp::child_supervisor(name, std::move(spec));
}

// Everybody below a supervisor, as the supervisors say.
void collect(const otp::supervisor_ref& sup, std::vector<otp::child_info>& all) {
  for (auto& child : otp::supervisor::which_children(sup)) {
    all.push_back(child);
    if (child.type == otp::child_type::supervisor && child.process) collect(child.process, all);
  }
}

}  // namespace

// covers: SUP-045 SUP-046 D05 D10
TEST(supervisor_model, a_tree_under_fire_is_whole_again_when_it_ends) {
  supervised(60, [] {
    dice roll(otp::testing::seed());
    std::size_t size = 0;
    auto root = otp::supervisor::start_link({.strategy = otp::one_for_one,
                                             .max_restarts = 1'000'000,
                                             .children = {branch(roll, 3, "a", size), branch(roll, 2, "b", size)}})
                    .value();
    ASSERT_EQ(otp::process_count(), size + 2);
    for (int wave = 0; wave < 6; ++wave) {
      auto targets = otp::processes();
      for (int shots = 1 + roll.below(8); shots > 0; --shots) {
        otp::pid target = targets[static_cast<std::size_t>(roll.below(static_cast<int>(targets.size())))];
        if (target == otp::self() || target == root.pid()) continue;
        if (roll.one_in(2))
          otp::exit(target, otp::reason::kill);
        else
          otp::exit(target, "hit");
        if (roll.one_in(3)) otp::testing::advance(std::chrono::milliseconds(roll.below(400)));
      }
      otp::testing::advance(1min);
      std::vector<otp::child_info> all;
      collect(root, all);
      EXPECT_EQ(all.size(), size);
      for (auto& child : all) EXPECT_TRUE(child.process && otp::is_alive(child.process)) << child.id.to_string();
      EXPECT_EQ(otp::process_count(), size + 2) << "somebody was left behind";
      if (::testing::Test::HasFailure()) return;
    }
    otp::supervisor::stop(root);
    EXPECT_EQ(otp::process_count(), 1U);
  });
}

// covers: SUP-126 SUP-138 SUP-140 SUP-142
TEST(supervisor_model, the_children_of_a_dynamic_supervisor_are_those_that_it_tells_of) {
  supervised(60, [] {
    dice roll(otp::testing::seed());
    journal log;
    auto sup = otp::dynamic_supervisor::start_link({.max_restarts = 1'000'000, .max_children = 30}).value();
    std::vector<otp::pid> known;
    for (int wave = 0; wave < 10; ++wave) {
      std::vector<otp::ref> asked;
      for (int i = 0; i < 15; ++i) {
        otp::pid child =
            known.empty() ? otp::self() : known[static_cast<std::size_t>(roll.below(static_cast<int>(known.size())))];
        auto restart =
            std::array{otp::permanent, otp::transient, otp::temporary}[static_cast<std::size_t>(roll.below(3))];
        switch (roll.below(4)) {
          case 0:
            if (child != otp::self()) otp::exit(child, otp::reason::kill);
            break;
          case 1:
            if (child != otp::self()) finish(child, roll.one_in(2) ? otp::exit_reason("crash") : otp::exit_reason());
            break;
          case 2:
            asked.push_back(otp::spawn_monitor([sup, child] {
                              static_cast<void>(otp::dynamic_supervisor::terminate_child(sup, child));
                            }).monitor);
            break;
          case 3:
            asked.push_back(otp::spawn_monitor([sup, log, restart] {
                              static_cast<void>(otp::dynamic_supervisor::start_child(
                                  sup, otp::child<unit>(log, std::string("u")).restart(restart)));
                            }).monitor);
            break;
        }
      }
      for (otp::ref r : asked) EXPECT_EQ(reason_of(r), normal);
      otp::testing::settle();
      known.clear();
      for (auto& child : otp::dynamic_supervisor::which_children(sup)) {
        EXPECT_EQ(child.state, otp::child_state::running);
        EXPECT_TRUE(otp::is_alive(child.process));
        known.push_back(child.process);
      }
      auto counts = otp::dynamic_supervisor::count_children(sup);
      EXPECT_EQ(counts.specs, known.size());
      EXPECT_EQ(counts.active, known.size());
      EXPECT_LE(counts.specs, 30U);
      EXPECT_EQ(otp::process_count(), known.size() + 2);
      EXPECT_EQ(otp::info(sup)->monitors.size(), 0U);
    }
    otp::dynamic_supervisor::stop(sup);
    EXPECT_EQ(otp::process_count(), 1U);
    auto lines = log.take();
    EXPECT_GT(lines.size(), 0U);
  });
}
