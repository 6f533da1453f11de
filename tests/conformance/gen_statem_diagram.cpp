// State machines: their diagrams, as Mermaid text.
#include "conformance/gen_statem_support.hpp"

namespace {

using namespace conformance;

struct turnstile {
  struct locked {};
  struct unlocked {};
  using states = otp::states<locked, unlocked>;
  struct coin {
    using reply = bool;
  };
  struct push {};
  struct count {
    using reply = int;
  };
  using events = otp::events<coin, push, count>;
  otp::step<bool, unlocked> on(locked&, coin) { return otp::go(unlocked{}).reply(true); }
  otp::step<bool, unlocked> on(unlocked&, coin) { return otp::stay().reply(false); }
  otp::step<void, locked> on(unlocked&, push) { return otp::go(locked{}); }
  int on(unlocked&, count) { return 1; }
  int otherwise(const auto&, const auto&) { return 0; }
};

// States, moves and events are those of the types; one that stays does not show.
TEST(gen_statem_diagram, shows_where_each_state_leads_and_by_which_event) {
  EXPECT_EQ(otp::diagram<turnstile>(), R"(stateDiagram-v2
    [*] --> locked
    locked --> unlocked : coin
    unlocked --> unlocked : coin
    unlocked --> locked : push
)");
}

TEST(gen_statem_diagram, of_a_running_machine_marks_the_current_state) {
  everywhere(5, [] {
    auto m = gen_statem::start<turnstile>({.name = "turnstile"}).value();
    std::string mark = "    classDef current stroke-width:4px\n    class ";
    EXPECT_EQ(otp::diagram(m), otp::diagram<turnstile>() + mark + "locked current\n");
    EXPECT_TRUE(otp::call(m, turnstile::coin{}));
    EXPECT_EQ(otp::diagram(m), otp::diagram<turnstile>() + mark + "unlocked current\n");
    EXPECT_EQ(otp::diagram(otp::name<turnstile>("turnstile")), otp::diagram(m));
    otp::sys::suspend(m);
    EXPECT_EQ(otp::diagram(m, 1s), otp::diagram<turnstile>() + mark + "unlocked current\n");
    gen_statem::stop(m, otp::reason::kill);
    EXPECT_EQ(cause_that([&] { static_cast<void>(otp::diagram(m)); }), noproc);
  });
}

namespace first {
struct idle {};
}  // namespace first
namespace second {
struct idle {};
}  // namespace second
template <class T>
struct holding {};

/// Names that Mermaid would not take, and several states to start in.
struct awkward {
  struct end {};
  struct note {};
  using states = otp::states<first::idle, second::idle, holding<std::pair<int, char>>, end, note>;
  using initial = otp::states<first::idle, holding<std::pair<int, char>>>;
  struct go {};
  struct stop {};
  using events = otp::events<go, stop>;
  otp::step<void, second::idle, end> on(first::idle&, go) { return otp::go(second::idle{}); }
  otp::step<void, note> on(holding<std::pair<int, char>>&, go) { return otp::go(note{}); }
  otp::step<void, end> on(second::idle&, stop) { return otp::go(end{}); }
  otp::step<void, end> on(note&, const otp::down&) { return otp::go(end{}); }
};

TEST(gen_statem_diagram, gives_awkward_names_an_id_and_shows_them_whole_where_short_ones_are_not_unique) {
  std::string text = otp::diagram<awkward>();
  std::size_t lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  EXPECT_EQ(lines, 14U);
  // The whole names of types in a nameless namespace are the compiler's own.
  EXPECT_NE(text.find("first#58;#58;idle\" as s1\n"), std::string::npos);
  EXPECT_NE(text.find("second#58;#58;idle\" as s2\n"), std::string::npos);
  EXPECT_NE(text.find("    state \"holding#lt;std#58;#58;pair#lt;int, char#gt;"), std::string::npos) << text;
  std::string edges = text.substr(text.find("    [*]"));
  EXPECT_EQ(edges, R"(    [*] --> s1
    [*] --> s3
    s1 --> s2 : go
    s1 --> s4 : go
    s2 --> s4 : stop
    s3 --> s5 : go
    s4 --> [*]
    s5 --> s4 : down
)");
}

}  // namespace
