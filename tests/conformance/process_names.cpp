// Registered names: one process a name, one name a process.
#include "conformance/support.hpp"

using namespace conformance;

namespace {
otp::pid dead_process() {
  auto [dead, m] = otp::spawn_monitor([] {});
  reason_of(m);
  return dead;
}
}  // namespace

// covers: PROC-101
TEST(process_names, a_registered_process_is_found_and_addressed_by_its_name) {
  everywhere(5, [] {
    otp::pid echo = otp::spawn([] {
      for (;;) otp::receive([](std::pair<otp::pid, int>& m) { otp::send(m.first, m.second); });
    });
    otp::register_name("echo", echo);
    EXPECT_EQ(otp::whereis("echo"), echo);
    EXPECT_EQ(otp::info(echo)->name, "echo");
    otp::send("echo", std::pair(otp::self(), 5));
    EXPECT_EQ(next<int>(), 5);
    otp::register_name("me", otp::self());
    EXPECT_EQ(otp::whereis("me"), otp::self());
    otp::spawn([] { otp::send("me", 6); });
    EXPECT_EQ(next<int>(), 6);
    otp::unregister_name("me");
    // Names are any text, up to 255 bytes.
    for (std::string name : {std::string("a"), std::string(255, 'n'), std::string("with space\nand \"quotes\" <b>"),
                             std::string("\xc3\xa4\xff")}) {
      otp::register_name(name, otp::self());
      EXPECT_EQ(otp::whereis(name), otp::self());
      otp::unregister_name(name);
    }
  });
}

// covers: PROC-102
TEST(process_names, a_taken_name_is_an_error_and_stays_with_its_holder) {
  seeded([] {
    otp::pid holder = sleeper();
    otp::register_name("taken", holder);
    for (otp::pid who : {otp::self(), sleeper()}) {
      try {
        otp::register_name("taken", who);
        FAIL() << "registered twice";
      } catch (const otp::bad_argument& e) {
        EXPECT_NE(std::string_view(e.what()).find(holder.to_string()), std::string_view::npos) << e.what();
      }
      EXPECT_EQ(otp::whereis("taken"), holder);
      EXPECT_TRUE(otp::info(who)->name.empty());
    }
  });
}

// covers: PROC-103
TEST(process_names, a_process_has_one_name) {
  seeded([] {
    otp::pid p = sleeper();
    otp::register_name("first", p);
    EXPECT_THROW(otp::register_name("second", p), otp::bad_argument);
    EXPECT_THROW(otp::register_name("first", p), otp::bad_argument);
    EXPECT_EQ(otp::whereis("first"), p);
    EXPECT_FALSE(otp::whereis("second"));
    otp::unregister_name("first");
    otp::register_name("second", p);
    EXPECT_EQ(otp::info(p)->name, "second");
  });
}

// covers: PROC-104
TEST(process_names, a_dead_process_and_a_reserved_or_malformed_name_are_errors) {
  everywhere(3, [] {
    EXPECT_THROW(otp::register_name("dead", dead_process()), otp::bad_argument);
    EXPECT_THROW(otp::register_name("nobody", otp::pid()), otp::bad_argument);
    EXPECT_FALSE(otp::whereis("dead"));
    otp::pid p = sleeper();
    for (std::string name : {std::string("undefined"), std::string("none"), std::string(), std::string(256, 'x'),
                             std::string("with\0nul", 8)})
      EXPECT_THROW(otp::register_name(name, p), otp::bad_argument) << name;
    EXPECT_TRUE(otp::registered().empty());
    EXPECT_TRUE(otp::info(p)->name.empty());
  });
}

// covers: PROC-104 PROC-040
TEST(process_names, a_name_given_while_its_process_ends_is_never_left_behind) {
  auto body = [] {
    for (int i = 0; i < 300; ++i) {
      auto [p, m] = otp::spawn_monitor([i] {
        if (i % 2) otp::yield();
      });
      if (i % 3) otp::yield();
      bool done = true;
      try {
        otp::register_name("fleeting", p);
      } catch (const otp::bad_argument&) {
        done = false;
      }
      reason_of(m);
      ASSERT_FALSE(otp::whereis("fleeting")) << done;
      ASSERT_TRUE(otp::registered().empty());
    }
  };
  for_seeds(10, body);
  EXPECT_EQ(threaded(body), normal);
}

// covers: PROC-105
TEST(process_names, of_many_that_race_for_a_name_exactly_one_gets_it) {
  auto body = [] {
    for (int round = 0; round < 30; ++round) {
      constexpr int racers = 64;
      std::vector<otp::pid> all;
      for (int i = 0; i < racers; ++i)
        all.push_back(otp::spawn([to = otp::self()] {
          next<int>();
          bool won = true;
          try {
            otp::register_name("prize", otp::self());
          } catch (const otp::bad_argument&) {
            won = false;
          }
          otp::send(to, std::pair(otp::self(), won));
          next<int>();
        }));
      for (otp::pid p : all) otp::send(p, 1);
      otp::pid winner;
      int won = 0;
      for (int i = 0; i < racers; ++i) {
        auto [who, got] = next<std::pair<otp::pid, bool>>();
        if (got) winner = who, ++won;
      }
      ASSERT_EQ(won, 1);
      ASSERT_EQ(otp::whereis("prize"), winner);
      std::vector<otp::ref> ends;
      for (otp::pid p : all) {
        ends.push_back(otp::monitor(p));
        otp::send(p, 2);
      }
      for (otp::ref m : ends) reason_of(m);
      ASSERT_FALSE(otp::whereis("prize"));
    }
  };
  for_seeds(3, body);
  EXPECT_EQ(threaded(body), normal);
}

// covers: PROC-106
TEST(process_names, anybody_may_unregister_a_name_and_its_process_lives_on) {
  everywhere(5, [] {
    otp::pid p = sleeper();
    otp::register_name("shared", p);
    auto other = otp::spawn_monitor([] { otp::unregister_name("shared"); });
    EXPECT_EQ(reason_of(other.monitor), normal);
    EXPECT_FALSE(otp::whereis("shared"));
    EXPECT_TRUE(otp::is_alive(p));
    EXPECT_TRUE(otp::info(p)->name.empty());
    EXPECT_THROW(otp::unregister_name("shared"), otp::bad_argument);
    EXPECT_THROW(otp::unregister_name("never"), otp::bad_argument);
    otp::register_name("shared", otp::self());  // free for another
    otp::exit(p, "end");
    end_of(p);
    EXPECT_EQ(otp::whereis("shared"), otp::self()) << "the end of a former holder does not touch it";
    otp::unregister_name("shared");
  });
}

// covers: PROC-107
TEST(process_names, an_unknown_name_gives_none) {
  seeded([] {
    EXPECT_FALSE(otp::whereis("nobody"));
    EXPECT_FALSE(otp::whereis(""));
    EXPECT_FALSE(otp::whereis(std::string(1000, 'x')));
    otp::register_name("somebody", otp::self());
    EXPECT_FALSE(otp::whereis("somebod"));
    EXPECT_FALSE(otp::whereis("Somebody"));
    EXPECT_TRUE(otp::whereis("somebody"));
  });
}

// covers: PROC-108
TEST(process_names, the_names_can_be_listed_and_a_process_without_one_has_an_empty_name) {
  everywhere(5, [] {
    EXPECT_TRUE(otp::registered().empty());
    EXPECT_TRUE(otp::info(otp::self())->name.empty());
    otp::pid a = sleeper();
    otp::pid b = sleeper();
    otp::register_name("b", b);
    otp::register_name("a", a);
    otp::register_name("me", otp::self());
    EXPECT_EQ(otp::registered(), (std::vector<std::string>{"a", "b", "me"}));
    EXPECT_EQ(otp::info(otp::self())->name, "me");
    otp::exit(b, otp::reason::kill);
    end_of(b);
    otp::unregister_name("me");
    EXPECT_EQ(otp::registered(), std::vector<std::string>{"a"});
    EXPECT_TRUE(otp::info(otp::self())->name.empty());
  });
}
