// What a process keeps about itself, and what others can learn of it.
#include "conformance/support.hpp"

#include <functional>
#include <thread>

using namespace conformance;

namespace {
otp::process_info about(otp::pid p) {
  auto known = otp::info(p);
  if (!known) throw std::runtime_error("the process is gone");
  return *known;
}
otp::pid dead_process() {
  auto [dead, m] = otp::spawn_monitor([] {});
  reason_of(m);
  return dead;
}
}  // namespace

// covers: PROC-131
TEST(process_state, setting_a_flag_returns_its_value_before) {
  everywhere(3, [] {
    EXPECT_FALSE(otp::trap_exit(true));
    EXPECT_TRUE(otp::trap_exit(true));
    EXPECT_TRUE(about(otp::self()).trap_exit);
    EXPECT_TRUE(otp::trap_exit(false));
    EXPECT_FALSE(otp::trap_exit(false));
    EXPECT_EQ(otp::set_priority(otp::priority::high), otp::priority::normal);
    EXPECT_EQ(otp::set_priority(otp::priority::low), otp::priority::high);
    EXPECT_THROW(otp::set_priority(static_cast<otp::priority>(4)), otp::bad_argument);
    EXPECT_THROW(otp::set_priority(static_cast<otp::priority>(200)), otp::bad_argument);
    EXPECT_EQ(otp::set_priority(otp::priority::normal), otp::priority::low) << "unchanged by what was refused";
    // Flags are of one process.
    otp::trap_exit(true);
    otp::spawn([to = otp::self()] { otp::send(to, otp::trap_exit(false)); });
    EXPECT_FALSE(next<bool>());
    EXPECT_TRUE(otp::trap_exit(false));
  });
}

// covers: PROC-132
TEST(process_state, there_are_four_priorities_and_normal_is_the_default) {
  everywhere(3, [] {
    EXPECT_EQ(about(otp::self()).priority, otp::priority::normal);
    EXPECT_EQ(about(sleeper()).priority, otp::priority::normal);
    for (auto p : {otp::priority::low, otp::priority::normal, otp::priority::high, otp::priority::max}) {
      auto made = otp::spawn({.monitor = true, .priority = p}, [to = otp::self()] {
        otp::send(to, about(otp::self()).priority);
        next<int>();
      });
      EXPECT_EQ(next<otp::priority>(), p);
      EXPECT_EQ(about(made.pid).priority, p);
      otp::send(made.pid, 1);
      EXPECT_EQ(reason_of(made.monitor), normal);
      otp::set_priority(p);
      EXPECT_EQ(about(otp::self()).priority, p);
    }
    EXPECT_THROW(otp::spawn({.priority = static_cast<otp::priority>(9)}, [] {}), otp::bad_argument);
  });
}

// covers: PROC-132
TEST(process_state, lower_priorities_make_progress_beside_busy_higher_ones) {
  auto body = [] {
    auto over = std::make_shared<std::atomic<bool>>(false);
    std::vector<otp::ref> all;
    for (auto p : {otp::priority::normal, otp::priority::high, otp::priority::max})
      for (int i = 0; i < 3; ++i) {
        // Busy in a loop on a stack, and busy with messages.
        all.push_back(otp::spawn({.monitor = true, .priority = p}, [over] {
                        while (!*over) otp::yield();
                      }).monitor);
        all.push_back(otp::spawn({.monitor = true, .priority = p}, [over] {
                        while (!*over) otp::send(otp::self(), 1), next<int>();
                        while (waiting<int>()) {
                        }
                        otp::yield();
                      }).monitor);
      }
    auto low = otp::spawn({.monitor = true, .priority = otp::priority::low}, [over] {
      for (int i = 0; i < 100; ++i) otp::yield();
      for (int i = 0; i < 100; ++i) otp::send(otp::self(), i), next<int>();
      *over = true;
    });
    EXPECT_EQ(reason_of(low.monitor), normal);
    for (otp::ref m : all) EXPECT_EQ(reason_of(m), normal);
  };
  for_seeds(3, body);
  EXPECT_EQ(threaded(body, {.workers = 1}), normal);
  EXPECT_EQ(threaded(body, {.workers = 2}), normal);
}

// covers: PROC-133
TEST(process_state, a_live_process_tells_what_is_asked_and_a_dead_one_nothing) {
  everywhere(3, [] {
    otp::pid me = otp::self();
    otp::pid watched = sleeper();
    auto made = otp::spawn({.monitor = true, .priority = otp::priority::high, .trap_exit = true, .label = "subject"},
                           [me, watched] {
                             otp::link(me);
                             otp::monitor(watched);
                             otp::put("key", 5);
                             next<double>();
                             otp::send(me, 1);
                             next<double>();
                           });
    otp::register_name("subject", made.pid);
    otp::send(made.pid, 1.0);
    next<int>();
    otp::send(made.pid, 7);
    otp::process_info i = about(made.pid);
    EXPECT_EQ(i.pid, made.pid);
    EXPECT_EQ(i.name, "subject");
    EXPECT_EQ(i.label, "subject");
    EXPECT_FALSE(i.type.empty());
    EXPECT_EQ(i.parent, me);
    EXPECT_TRUE(i.trap_exit);
    EXPECT_EQ(i.priority, otp::priority::high);
    EXPECT_EQ(i.links, std::vector{me});
    EXPECT_EQ(i.monitors, std::vector{watched});
    EXPECT_EQ(i.monitored_by, std::vector{me});
    EXPECT_EQ(i.message_queue_len, 1u);
    EXPECT_EQ(i.messages, std::vector<std::string>{"7"});
    EXPECT_EQ(i.dictionary.size(), 1u);
    otp::send(made.pid, 2.0);
    EXPECT_EQ(reason_of(made.monitor), normal);
    EXPECT_FALSE(otp::info(made.pid));
    EXPECT_FALSE(otp::info(otp::pid()));
    EXPECT_FALSE(otp::info(dead_process()));
    EXPECT_TRUE(otp::info(me));
    auto all = otp::processes();
    EXPECT_NE(std::find(all.begin(), all.end(), me), all.end());
    EXPECT_NE(std::find(all.begin(), all.end(), watched), all.end());
    EXPECT_EQ(std::find(all.begin(), all.end(), made.pid), all.end());
  });
}

// covers: PROC-134
TEST(process_state, looking_at_a_mailbox_shows_it_in_order_and_does_not_change_it) {
  everywhere(10, [] {
    // Of one that has not run, of one that waits, of one that reads other types, and of oneself.
    for (int kind = 0; kind < 4; ++kind) {
      otp::pid p = otp::self();
      if (kind == 0) p = sleeper();
      if (kind == 1) p = sleeper(), otp::yield(), otp::yield();
      if (kind == 2)
        p = otp::spawn([] {
          for (;;) otp::receive([](double) {});
        });
      std::vector<std::string> expected;
      for (int i = 0; i < 30; ++i) {
        otp::send(p, i);
        expected.push_back(std::to_string(i));
        EXPECT_EQ(about(p).message_queue_len, expected.size());
        EXPECT_EQ(about(p).messages, expected);
      }
      otp::ref m = otp::monitor(sleeper());  // control signals are no messages
      otp::demonitor(m);
      otp::exit(p, normal);
      EXPECT_EQ(about(p).message_queue_len, kind == 3 ? 0u : 30u);
      if (kind == 3) break;
      otp::exit(p, otp::reason::kill);
    }
  });
}

// covers: PROC-134
TEST(process_state, what_was_sent_to_a_process_shows_in_what_is_asked_about_it_next) {
  // A question acts like a signal of the asker's: it is answered after all that the asker sent before.
  everywhere(20, [] {
    otp::pid me = otp::self();
    otp::trap_exit(true);
    for (bool settled : {false, true}) {
      otp::pid p = sleeper();
      if (settled) otp::yield();
      otp::link(p);
      EXPECT_EQ(about(p).links, std::vector{me});
      otp::unlink(p);
      EXPECT_TRUE(about(p).links.empty());
      otp::ref m = otp::monitor(p);
      EXPECT_EQ(about(p).monitored_by, std::vector{me});
      otp::demonitor(m);
      EXPECT_TRUE(about(p).monitored_by.empty());
      otp::send(p, 1);
      EXPECT_EQ(about(p).message_queue_len, 1u);
      otp::exit(p, normal);
      EXPECT_TRUE(otp::is_alive(p));
      otp::exit(p, "fatal");
      auto after = otp::info(p);
      EXPECT_TRUE(!after || after->status == otp::process_status::exiting);
      EXPECT_FALSE(otp::is_alive(p));
      // One that traps gets it as a message.
      otp::pid t = otp::spawn({.trap_exit = true}, [] { next<int>(); }).pid;
      otp::exit(t, "trapped");
      EXPECT_TRUE(otp::is_alive(t));
      EXPECT_EQ(about(t).messages, std::vector<std::string>{"{EXIT, " + me.to_string() + ", \"trapped\"}"});
      otp::send(t, 1);
      end_of(t);
    }
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-135
TEST(process_state, a_blocked_process_waits_and_the_asker_runs) {
  everywhere(5, [] {
    for (auto mine : {otp::priority::low, otp::priority::normal, otp::priority::high, otp::priority::max})
      for (auto theirs : {otp::priority::low, otp::priority::max}) {
        otp::set_priority(mine);
        std::vector<otp::pid> blocked;
        blocked.push_back(otp::spawn({.priority = theirs}, [to = otp::self()] {
                            otp::send(to, 1);
                            rest();
                          }).pid);
        blocked.push_back(otp::spawn({.priority = theirs}, [to = otp::self()] {
                            otp::send(to, 1);
                            otp::sleep(otp::infinity);
                          }).pid);
        blocked.push_back(otp::spawn({.priority = theirs, .stack_size = 256 * 1024}, [to = otp::self()] {
                            otp::send(to, 1);
                            otp::receive([](double) {}, otp::after(100h, [] {}));
                          }).pid);
        for (int i = 0; i < 3; ++i) next<int>();
        for (otp::pid p : blocked) {
          // It said that it would wait; on threads it may still be on its way there.
          while (about(p).status != otp::process_status::waiting) otp::yield();
          otp::send(p, std::string("ignored"));
          while (about(p).status != otp::process_status::waiting) otp::yield();
        }
        EXPECT_EQ(about(otp::self()).status, otp::process_status::running);
        for (otp::pid p : blocked) otp::exit(p, otp::reason::kill);
      }
    otp::set_priority(otp::priority::normal);
  });
  seeded([] {
    otp::pid fresh = sleeper();
    EXPECT_EQ(about(fresh).status, otp::process_status::runnable) << "it has not had its turn";
    otp::testing::settle();
    EXPECT_EQ(about(fresh).status, otp::process_status::waiting);
    otp::pid polite = otp::spawn([] {
      for (;;) otp::yield();
    });
    EXPECT_EQ(about(polite).status, otp::process_status::runnable);
    otp::exit(polite, otp::reason::kill);
    EXPECT_EQ(about(polite).status, otp::process_status::exiting);
    otp::yield();
    end_of(polite);
    EXPECT_FALSE(otp::info(polite));
  });
}

// covers: PROC-136
TEST(process_state, one_that_computes_without_receiving_is_asked_and_not_disturbed) {
  EXPECT_EQ(threaded([] {
              struct shared {
                std::atomic<int> stage{0};
                std::atomic<std::uint64_t> rounds{0};
              };
              auto s = std::make_shared<shared>();
              auto busy = otp::spawn({.monitor = true, .label = "busy"}, [s, to = otp::self()] {
                otp::link(to);
                otp::put("round", 0);
                s->stage = 1;
                while (s->stage == 1) s->rounds.fetch_add(1);
                // And one that is in and out of the runtime all the time.
                for (int i = 0; s->stage == 2; ++i) {
                  otp::put("round", i);
                  static_cast<void>(otp::get("round"));
                  otp::unlink(to);
                  otp::link(to);
                }
              });
              while (s->stage != 1) std::this_thread::yield();
              for (int i = 0; i < 200; ++i) {
                auto i_see = about(busy.pid);
                ASSERT_EQ(i_see.status, otp::process_status::running);
                ASSERT_EQ(i_see.label, "busy");
                ASSERT_EQ(i_see.links, std::vector{otp::self()});
                ASSERT_EQ(i_see.dictionary.size(), 1u);
                ASSERT_TRUE(otp::is_alive(busy.pid));
              }
              otp::send(busy.pid, 1);
              EXPECT_EQ(about(busy.pid).messages, std::vector<std::string>{"1"}) << "also what it has not taken in";
              auto before = s->rounds.load();
              while (s->rounds.load() == before) std::this_thread::yield();
              s->stage = 2;
              for (int i = 0; i < 2000; ++i) {
                auto i_see = about(busy.pid);
                ASSERT_LE(i_see.links.size(), 1u);
                ASSERT_EQ(i_see.dictionary.size(), 1u);
                ASSERT_EQ(otp::label(busy.pid), "busy");
              }
              s->stage = 3;
              EXPECT_EQ(reason_of(busy.monitor), normal);
            }),
            normal);
}

// covers: PROC-138
TEST(process_state, a_process_that_is_exiting_or_has_exited_is_not_alive) {
  everywhere(10, [] {
    EXPECT_TRUE(otp::is_alive(otp::self()));
    EXPECT_FALSE(otp::is_alive(otp::pid()));
    EXPECT_FALSE(otp::is_alive(dead_process()));
    otp::pid p = sleeper();
    EXPECT_TRUE(otp::is_alive(p)) << "alive from the moment spawn returns";
    otp::exit(p, otp::reason::kill);
    EXPECT_FALSE(otp::is_alive(p));
    end_of(p);
    EXPECT_FALSE(otp::is_alive(p));
    // While its destructors run, for itself and for others.
    auto ending = otp::spawn_monitor([to = otp::self()] {
      struct slow_end {
        otp::pid to;
        ~slow_end() {
          otp::send(to, otp::is_alive(otp::self()));
          next<int>();
        }
      } at_end{to};
      otp::send(to, 1);
      rest();
    });
    next<int>();
    otp::exit(ending.pid, "end");
    EXPECT_FALSE(next<bool>());
    EXPECT_FALSE(otp::is_alive(ending.pid));
    EXPECT_EQ(about(ending.pid).status, otp::process_status::exiting);
    otp::send(ending.pid, 2);
    EXPECT_EQ(reason_of(ending.monitor), otp::exit_reason("end"));
  });
}

// covers: PROC-139
TEST(process_state, the_dictionary_keeps_pairs_and_tells_what_was_there_before) {
  everywhere(3, [] {
    EXPECT_TRUE(otp::get("a").empty());
    EXPECT_TRUE(otp::put("a", 1).empty());
    EXPECT_EQ(otp::put("a", 2), otp::term(1));
    EXPECT_EQ(otp::get("a"), otp::term(2));
    EXPECT_TRUE(otp::put(std::string("b"), 2).empty());
    EXPECT_TRUE(otp::put(7, "seven").empty());
    EXPECT_TRUE(otp::put(7L, "another seven").empty()) << "a key of another type is another key";
    EXPECT_EQ(otp::get(7), otp::term("seven"));
    EXPECT_EQ(otp::get(std::string("a")), otp::term(2)) << "text is text";
    auto keys = otp::get_keys();
    EXPECT_EQ(keys.size(), 4u);
    for (otp::term key : {otp::term("a"), otp::term("b"), otp::term(7), otp::term(7L)})
      EXPECT_EQ(std::count(keys.begin(), keys.end(), key), 1);
    auto twos = otp::get_keys(2);
    EXPECT_EQ(twos.size(), 2u);
    EXPECT_EQ(std::count(twos.begin(), twos.end(), otp::term(7)), 0);
    EXPECT_TRUE(otp::get_keys("nothing has this value").empty());
    EXPECT_EQ(otp::erase("a"), otp::term(2));
    EXPECT_TRUE(otp::erase("a").empty());
    EXPECT_TRUE(otp::get("a").empty());
    EXPECT_EQ(otp::get_keys().size(), 3u);
    EXPECT_EQ(otp::get_keys(2), std::vector<otp::term>{"b"});
    for (otp::term key : otp::get_keys()) otp::erase(key);
    EXPECT_TRUE(otp::get_keys().empty());
  });
}

// covers: PROC-140
TEST(process_state, a_dictionary_belongs_to_its_process_and_can_be_read_by_asking) {
  everywhere(5, [] {
    otp::put("mine", 1);
    otp::pid other = otp::spawn([to = otp::self()] {
      otp::send(to, otp::get("mine").empty());
      otp::put("theirs", "value");
      otp::put("more", 2);
      otp::send(to, otp::self());
      rest();
    });
    EXPECT_TRUE(next<bool>());
    next<otp::pid>();
    EXPECT_TRUE(otp::get("theirs").empty());
    auto whole = about(other).dictionary;
    EXPECT_EQ(whole, (std::vector<std::pair<otp::term, otp::term>>{{"theirs", "value"}, {"more", 2}}));
    auto one = std::find_if(whole.begin(), whole.end(), [](auto& pair) { return pair.first == otp::term("more"); });
    ASSERT_NE(one, whole.end());
    EXPECT_EQ(one->second, otp::term(2));
    EXPECT_EQ(about(otp::self()).dictionary.size(), 1u);
  });
}

// covers: PROC-141
TEST(process_state, the_group_leader_can_be_read_and_replaced) {
  everywhere(5, [] {
    otp::pid leader = sleeper();
    otp::pid p = otp::spawn([] {
      for (;;) otp::receive([](otp::pid& to) { otp::send(to, otp::group_leader()); });
    });
    otp::set_group_leader(leader, p);
    EXPECT_EQ(about(p).group_leader, leader);
    otp::send(p, otp::self());
    EXPECT_EQ(next<otp::pid>(), leader);
    otp::set_group_leader(otp::self(), p);
    EXPECT_EQ(about(p).group_leader, otp::self());
    otp::set_group_leader(leader, otp::self());
    EXPECT_EQ(otp::group_leader(), leader);
    EXPECT_THROW(otp::set_group_leader(leader, dead_process()), otp::bad_argument);
    EXPECT_THROW(otp::set_group_leader(otp::pid(), p), otp::bad_argument);
    EXPECT_EQ(about(p).group_leader, otp::self());
  });
}

// covers: PROC-142
TEST(process_state, a_label_can_be_set_and_read_by_others) {
  everywhere(5, [] {
    EXPECT_FALSE(otp::label(otp::self()));
    otp::set_label("first");
    EXPECT_EQ(otp::label(otp::self()), "first");
    otp::set_label("second <b>\n");
    EXPECT_EQ(otp::label(otp::self()), "second <b>\n");
    auto other = otp::spawn_monitor([to = otp::self()] {
      otp::set_label("worker 7");
      otp::send(to, 1);
      next<int>();
    });
    next<int>();
    EXPECT_EQ(otp::label(other.pid), "worker 7");
    EXPECT_EQ(about(other.pid).label, "worker 7");
    otp::send(other.pid, 1);
    reason_of(other.monitor);
    EXPECT_FALSE(otp::label(other.pid)) << "gone";
    EXPECT_FALSE(otp::label(sleeper())) << "never set";
    EXPECT_FALSE(otp::label(otp::pid()));
  });
}

namespace {
struct on_the_stack {
  otp::pid tell;
  ~on_the_stack() { otp::send(tell, std::string("unwound")); }
};
}  // namespace

// covers: PROC-143
TEST(process_state, hibernate_drops_the_stack_and_goes_on_in_another_function_when_a_message_is_there) {
  everywhere(10, [] {
    for (bool own_stack : {false, true}) {
      otp::spawn_options options{.monitor = true, .stack_size = own_stack ? std::size_t{256} * 1024 : 0};
      auto made = otp::spawn(options, [to = otp::self()] {
        on_the_stack outer{to};
        otp::put("kept", 1);
        otp::sleep(0ms);
        otp::yield();
        try {
          on_the_stack inner{to};
          otp::hibernate([to] {
            EXPECT_EQ(otp::get("kept"), otp::term(1)) << "the process is the same, only its stack is gone";
            otp::send(to, std::string("resumed"));
            otp::send(to, next<int>());
            throw std::runtime_error("no handler of the old stack is left");
          });
        } catch (const std::exception&) {
          otp::send(to, std::string("caught by the old stack"));
        }
      });
      EXPECT_EQ(next<std::string>(), "unwound");
      EXPECT_EQ(next<std::string>(), "unwound");
      while (about(made.pid).status != otp::process_status::waiting) otp::yield();
      if (!own_stack) {
        EXPECT_EQ(about(made.pid).stack_size, 0u) << "while it hibernates it has none";
      }
      EXPECT_TRUE(otp::is_alive(made.pid));
      otp::send(made.pid, 7);
      EXPECT_EQ(next<std::string>(), "resumed");
      EXPECT_EQ(next<int>(), 7) << "the message is still in the mailbox";
      EXPECT_EQ(reason_of(made.monitor).text(), "no handler of the old stack is left");
      EXPECT_TRUE(mailbox_empty());
    }
  });
}

// covers: PROC-143
TEST(process_state, hibernate_resumes_at_once_if_a_message_is_there_already) {
  everywhere(10, [] {
    auto made = otp::spawn_monitor([to = otp::self()] {
      otp::send(otp::self(), 1);
      otp::hibernate([to] {
        otp::send(to, next<int>());
        // Again, and as often as it likes.
        otp::send(otp::self(), 2);
        otp::hibernate([to] {
          otp::send(to, next<int>());
          otp::hibernate([to] { otp::send(to, next<int>()); });
        });
      });
    });
    EXPECT_EQ(next<int>(), 1);
    EXPECT_EQ(next<int>(), 2);
    otp::send(made.pid, std::string("any message wakes it"));
    otp::yield();
    otp::send(made.pid, 3);
    EXPECT_EQ(next<int>(), 3);
    EXPECT_EQ(reason_of(made.monitor), normal) << "it ends when the last function returns";
  });
}

// covers: PROC-143
TEST(process_state, a_hibernating_process_takes_signals_and_keeps_its_links_monitors_and_name) {
  everywhere(10, [] {
    otp::trap_exit(true);
    auto hibernating = [] { otp::hibernate([] { otp::exit("woken"); }); };
    auto made = otp::spawn({.link = true, .monitor = true}, hibernating);
    otp::register_name("asleep", made.pid);
    for (int i = 0; i < 5; ++i) otp::yield();
    EXPECT_EQ(otp::whereis("asleep"), made.pid);
    EXPECT_EQ(about(made.pid).links, std::vector{otp::self()});
    otp::exit(made.pid, normal);
    otp::ref m = otp::monitor(made.pid);
    otp::demonitor(m);
    for (int i = 0; i < 5; ++i) otp::yield();
    EXPECT_TRUE(otp::is_alive(made.pid)) << "signals that are no message do not wake it";
    otp::exit(made.pid, "ended asleep");
    EXPECT_EQ(reason_of(made.monitor), otp::exit_reason("ended asleep"));
    EXPECT_EQ(next<otp::exit_signal>().reason, otp::exit_reason("ended asleep"));
    // A trapped exit is a message.
    auto traps = otp::spawn({.monitor = true, .trap_exit = true}, hibernating);
    for (int i = 0; i < 5; ++i) otp::yield();
    otp::exit(traps.pid, "trapped");
    EXPECT_EQ(reason_of(traps.monitor), otp::exit_reason("woken"));
    EXPECT_THROW(otp::hibernate(std::function<void()>()), otp::bad_argument);
  });
}

// covers: PROC-143
TEST(process_state, hibernate_without_a_function_waits_in_place_for_any_message) {
  everywhere(10, [] {
    auto made = otp::spawn_monitor([to = otp::self()] {
      otp::hibernate();
      otp::send(to, std::string("first"));
      otp::send(otp::self(), 0);
      otp::hibernate();  // one is there
      otp::send(to, std::string("second"));
      EXPECT_EQ(next<int>(), 5) << "the messages are still there, in order";
      EXPECT_EQ(next<int>(), 0);
    });
    for (int i = 0; i < 5; ++i) otp::yield();
    EXPECT_TRUE(mailbox_empty());
    otp::send(made.pid, 5);
    EXPECT_EQ(next<std::string>(), "first");
    EXPECT_EQ(next<std::string>(), "second");
    EXPECT_EQ(reason_of(made.monitor), normal);
  });
}
