// Links: both ways, once, and gone when either side says so.
#include "conformance/support.hpp"

using namespace conformance;

namespace {
std::vector<otp::pid> links_of(otp::pid p) {
  auto known = otp::info(p);
  return known ? known->links : std::vector<otp::pid>();
}
std::vector<otp::pid> my_links() { return links_of(otp::self()); }

// Links with, unlinks from or ends for whom it is told to.
struct do_link {
  otp::pid with;
};
struct do_unlink {
  otp::pid from;
};
struct do_exit {
  otp::exit_reason why;
};
otp::pid obedient() {
  return otp::spawn([owner = otp::self()] {
    for (;;)
      otp::receive([&](do_link& l) { otp::link(l.with), otp::send(owner, true); },
                   [&](do_unlink& u) { otp::unlink(u.from), otp::send(owner, true); },
                   [](do_exit& e) { otp::exit(e.why); });
  });
}
template <class T>
void tell(otp::pid who, T what) {
  otp::send(who, std::move(what));
  next<bool>();
}
}  // namespace

// covers: PROC-061
TEST(process_links, a_link_holds_both_ways_and_is_one_however_often_it_is_asked_for) {
  everywhere(20, [] {
    otp::trap_exit(true);
    otp::pid me = otp::self();
    otp::pid peer = obedient();
    otp::link(peer);
    EXPECT_EQ(my_links(), std::vector{peer});
    EXPECT_EQ(links_of(peer), std::vector{me});
    otp::link(peer);
    tell(peer, do_link{me});
    tell(peer, do_link{me});
    EXPECT_EQ(my_links(), std::vector{peer});
    EXPECT_EQ(links_of(peer), std::vector{me});
    otp::send(peer, do_exit{"over"});
    EXPECT_EQ(next<otp::exit_signal>().reason, otp::exit_reason("over"));
    EXPECT_EQ(end_of(peer), noproc);
    EXPECT_TRUE(mailbox_empty()) << "one signal for one link";
    EXPECT_TRUE(my_links().empty());
  });
}

// covers: PROC-061
TEST(process_links, one_unlink_by_either_side_removes_it) {
  everywhere(20, [] {
    otp::trap_exit(true);
    otp::pid me = otp::self();
    for (bool i_unlink : {true, false}) {
      for (bool i_linked : {true, false}) {
        otp::pid peer = obedient();
        if (i_linked)
          for (int i = 0; i < 3; ++i) otp::link(peer);
        else
          for (int i = 0; i < 3; ++i) tell(peer, do_link{me});
        if (i_unlink)
          otp::unlink(peer);
        else
          tell(peer, do_unlink{me});
        EXPECT_TRUE(my_links().empty());
        EXPECT_TRUE(links_of(peer).empty());
        otp::ref m = otp::monitor(peer);
        otp::send(peer, do_exit{"unheard"});
        EXPECT_EQ(reason_of(m), otp::exit_reason("unheard"));
        EXPECT_TRUE(mailbox_empty());
      }
    }
    // And the end of this side does not reach the other.
    otp::pid survivor = obedient();
    auto gone = otp::spawn_monitor([survivor] {
      otp::link(survivor);
      otp::unlink(survivor);
      otp::exit("alone");
    });
    EXPECT_EQ(reason_of(gone.monitor), otp::exit_reason("alone"));
    EXPECT_TRUE(otp::is_alive(survivor));
    EXPECT_TRUE(links_of(survivor).empty());
  });
}

// covers: PROC-061
TEST(process_links, many_links_of_one_process_are_told_apart) {
  everywhere(5, [] {
    otp::trap_exit(true);
    std::vector<otp::pid> peers;
    for (int i = 0; i < 60; ++i) otp::link(peers.emplace_back(obedient()));
    for (std::size_t i = 0; i < 60; i += 3) otp::unlink(peers[i]);
    EXPECT_EQ(my_links().size(), 40u);
    for (std::size_t i = 0; i < 60; i += 6) otp::link(peers[i]);
    EXPECT_EQ(my_links().size(), 50u);
    for (std::size_t i = 0; i < 60; ++i) {
      otp::ref m = otp::monitor(peers[i]);
      otp::send(peers[i], do_exit{static_cast<int>(i)});
      EXPECT_EQ(reason_of(m), otp::exit_reason(static_cast<int>(i)));
      auto got = waiting<otp::exit_signal>();
      bool linked = i % 3 != 0 || i % 6 == 0;
      // The two signals of one process have an order: here the link was told first.
      EXPECT_EQ(got.has_value(), linked) << i;
      if (got) {
        EXPECT_EQ(got->reason, otp::exit_reason(static_cast<int>(i)));
      }
    }
    EXPECT_TRUE(my_links().empty());
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-062
TEST(process_links, linking_to_oneself_does_nothing) {
  everywhere(5, [] {
    auto made = otp::spawn_monitor([to = otp::self()] {
      otp::link(otp::self());
      otp::link(otp::self());
      otp::send(to, my_links());
      otp::unlink(otp::self());
      otp::trap_exit(true);
      otp::link(otp::self());
      otp::send(to, mailbox_empty());
      otp::exit("own");
    });
    EXPECT_TRUE(next<std::vector<otp::pid>>().empty());
    EXPECT_TRUE(next<bool>());
    EXPECT_EQ(reason_of(made.monitor), otp::exit_reason("own"));
  });
}

// covers: PROC-063
TEST(process_links, linking_to_a_dead_process_gives_noproc) {
  everywhere(10, [] {
    otp::trap_exit(true);
    for (otp::exit_reason its_reason :
         {otp::exit_reason(normal), otp::exit_reason("long ago"), otp::exit_reason(killed)}) {
      auto [dead, m] = otp::spawn_monitor([its_reason] { otp::exit(its_reason); });
      reason_of(m);
      for (int i = 0; i < 2; ++i) {
        EXPECT_NO_THROW(otp::link(dead));
        auto got = waiting<otp::exit_signal>();
        ASSERT_TRUE(got) << "at once";
        EXPECT_EQ(got->from, dead);
        EXPECT_EQ(got->reason, noproc);
        EXPECT_TRUE(my_links().empty());
      }
      // Who does not trap ends with it.
      auto plain = otp::spawn_monitor([dead, to = otp::self()] {
        otp::link(dead);
        otp::send(to, 1);
      });
      EXPECT_EQ(reason_of(plain.monitor), noproc);
    }
    EXPECT_TRUE(mailbox_empty());
    EXPECT_THROW(otp::link(otp::pid()), otp::bad_argument);
    EXPECT_THROW(otp::unlink(otp::pid()), otp::bad_argument);
  });
}

// covers: PROC-063 PROC-003
TEST(process_links, a_link_that_races_with_the_end_gives_the_real_reason_or_noproc_once) {
  bool real = false;
  bool late = false;
  auto body = [&] {
    otp::trap_exit(true);
    for (int i = 0; i < 100; ++i) {
      otp::pid child = otp::spawn([i] { otp::exit(i); });
      if (i % 3) otp::yield();
      otp::link(child);
      auto got = next<otp::exit_signal>();
      EXPECT_EQ(got.from, child);
      EXPECT_TRUE(got.reason == noproc || got.reason == otp::exit_reason(i)) << got.reason.to_string();
      (got.reason == noproc ? late : real) = true;
      EXPECT_TRUE(mailbox_empty());
      EXPECT_TRUE(my_links().empty());
    }
  };
  for_seeds(20, body);
  EXPECT_TRUE(real && late);
  EXPECT_EQ(threaded(body), normal);
}

// covers: PROC-065
TEST(process_links, unlinking_always_succeeds) {
  everywhere(10, [] {
    otp::pid stranger = sleeper();
    EXPECT_NO_THROW(otp::unlink(stranger));
    otp::link(stranger);
    EXPECT_NO_THROW(otp::unlink(stranger));
    EXPECT_NO_THROW(otp::unlink(stranger));
    EXPECT_NO_THROW(otp::unlink(otp::self()));
    otp::exit(stranger, otp::reason::kill);
    end_of(stranger);
    EXPECT_NO_THROW(otp::unlink(stranger));
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-065
TEST(process_links, after_unlink_returned_no_exit_of_that_link_arrives) {
  auto body = [] {
    otp::trap_exit(true);
    for (int i = 0; i < 200; ++i) {
      otp::pid child = otp::spawn_link([i] {
        if (i % 2) otp::yield();
        otp::exit("racing");
      });
      if (i % 3) otp::yield();
      otp::unlink(child);
      bool arrived_before = waiting<otp::exit_signal>().has_value();
      end_of(child);
      otp::yield();
      EXPECT_FALSE(waiting<otp::exit_signal>()) << (arrived_before ? "twice" : "after the unlink");
      EXPECT_TRUE(my_links().empty());
    }
    EXPECT_TRUE(mailbox_empty());
  };
  for_seeds(20, body);
  EXPECT_EQ(threaded(body), normal);
}

// covers: PROC-067
TEST(process_links, a_link_can_be_made_again_and_to_a_peer_that_is_gone_it_gives_noproc) {
  everywhere(20, [] {
    otp::trap_exit(true);
    otp::pid peer = obedient();
    for (int i = 0; i < 5; ++i) {
      otp::link(peer);
      otp::unlink(peer);
    }
    otp::link(peer);
    EXPECT_EQ(my_links(), std::vector{peer});
    EXPECT_EQ(links_of(peer), std::vector{otp::self()});
    otp::unlink(peer);
    otp::ref m = otp::monitor(peer);
    otp::send(peer, do_exit{"its old reason"});
    EXPECT_EQ(reason_of(m), otp::exit_reason("its old reason"));
    otp::link(peer);
    EXPECT_EQ(waiting<otp::exit_signal>()->reason, noproc);
    EXPECT_TRUE(mailbox_empty());

    // The re-made link is a real one.
    otp::pid other = obedient();
    otp::link(other);
    otp::unlink(other);
    otp::link(other);
    otp::send(other, do_exit{"linked again"});
    EXPECT_EQ(next<otp::exit_signal>().reason, otp::exit_reason("linked again"));
  });
}

// covers: PROC-067
TEST(process_links, unlink_and_link_again_while_the_peer_ends_gives_one_signal) {
  auto body = [] {
    otp::trap_exit(true);
    for (int i = 0; i < 100; ++i) {
      otp::pid child = otp::spawn_link([] { otp::exit("own reason"); });
      if (i % 2) otp::yield();
      otp::unlink(child);
      bool seen = waiting<otp::exit_signal>().has_value();
      otp::link(child);
      auto got = next<otp::exit_signal>();
      EXPECT_EQ(got.from, child);
      // Linked again in time: its reason; too late, or it was seen already: noproc.
      EXPECT_TRUE(got.reason == noproc || (!seen && got.reason == otp::exit_reason("own reason")));
      end_of(child);
      EXPECT_TRUE(mailbox_empty());
    }
  };
  for_seeds(20, body);
  EXPECT_EQ(threaded(body), normal);
}

// covers: PROC-061 PROC-065
TEST(process_links, both_sides_may_link_and_unlink_at_once) {
  auto body = [] {
    otp::trap_exit(true);
    otp::pid me = otp::self();
    auto churn = [](otp::pid with) {
      for (int i = 0; i < 200; ++i) {
        otp::link(with);
        if (i % 3 == 0) otp::yield();
        otp::unlink(with);
        if (i % 5 == 0) otp::yield();
      }
    };
    auto [peer, m] = otp::spawn_monitor([me, churn] {
      otp::trap_exit(true);
      churn(me);
      otp::unlink(me);
      next<int>();
      otp::exit("done");
    });
    churn(peer);
    otp::unlink(peer);
    otp::send(peer, 1);
    EXPECT_EQ(reason_of(m), otp::exit_reason("done"));
    EXPECT_TRUE(my_links().empty());
    EXPECT_TRUE(mailbox_empty()) << "both unlinked last";
  };
  for_seeds(20, body);
  EXPECT_EQ(threaded(body), normal);
}

// covers: PROC-068
TEST(process_links, the_set_of_links_can_be_seen_and_loses_who_ends_or_is_unlinked) {
  everywhere(10, [] {
    otp::trap_exit(true);
    otp::pid me = otp::self();
    otp::pid a = obedient();
    otp::pid b = obedient();
    otp::pid c = obedient();
    otp::pid hub = obedient();
    auto sorted = [](std::vector<otp::pid> v) {
      std::sort(v.begin(), v.end());
      return v;
    };
    for (otp::pid p : {a, b, c, me}) tell(hub, do_link{p});
    EXPECT_EQ(sorted(links_of(hub)), sorted({a, b, c, me}));
    EXPECT_EQ(my_links(), std::vector{hub});
    EXPECT_EQ(links_of(a), std::vector{hub});
    tell(hub, do_unlink{b});
    EXPECT_EQ(sorted(links_of(hub)), sorted({a, c, me}));
    EXPECT_TRUE(links_of(b).empty());
    otp::ref m = otp::monitor(c);
    otp::send(c, do_exit{normal});
    reason_of(m);
    EXPECT_EQ(sorted(links_of(hub)), sorted({a, me}));
    otp::send(hub, do_exit{"hub"});
    EXPECT_EQ(next<otp::exit_signal>().from, hub);
    EXPECT_TRUE(my_links().empty());
    end_of(a);
    EXPECT_TRUE(otp::is_alive(b));
    EXPECT_FALSE(otp::is_alive(a));
  });
}
