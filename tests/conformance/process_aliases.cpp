// Aliases: addresses that can be shut off, alone or together with a monitor.
#include "conformance/support.hpp"

using namespace conformance;

namespace {
// Sends through an alias from another process and waits until it is done.
template <class T>
void send_from_elsewhere(otp::ref alias, T value) {
  reason_of(otp::spawn_monitor([alias, value] { otp::send(alias, value); }).monitor);
}
}  // namespace

// covers: PROC-089
TEST(process_aliases, what_is_sent_to_an_active_alias_arrives_like_any_message) {
  everywhere(10, [] {
    otp::ref a = otp::alias();
    EXPECT_EQ(a.owner(), otp::self());
    EXPECT_NE(a, otp::alias());
    EXPECT_EQ(otp::send(a, 1), otp::send_status::sent);
    otp::send(otp::self(), 2);
    otp::send(a, 3);
    EXPECT_EQ(otp::info(otp::self())->messages, (std::vector<std::string>{"1", "2", "3"}));
    for (int i = 1; i <= 3; ++i) EXPECT_EQ(next<int>(), i);
    send_from_elsewhere(a, std::string("text"));
    send_from_elsewhere(a, 4);
    EXPECT_EQ(otp::receive([](otp::message m) { return m.take<std::string>(); }), "text");
    EXPECT_EQ(next<int>(), 4);
    EXPECT_TRUE(otp::unalias(a));
  });
}

// covers: PROC-090
TEST(process_aliases, unalias_tells_whether_it_was_an_active_alias_of_the_caller) {
  everywhere(5, [] {
    otp::ref a = otp::alias();
    auto other = otp::spawn_monitor([a, to = otp::self()] { otp::send(to, otp::unalias(a)); });
    EXPECT_FALSE(next<bool>()) << "somebody else's";
    reason_of(other.monitor);
    otp::send(a, 1);
    EXPECT_EQ(waiting<int>(), 1) << "and it works as before";
    EXPECT_TRUE(otp::unalias(a));
    EXPECT_FALSE(otp::unalias(a)) << "inactive";
    EXPECT_FALSE(otp::unalias(otp::ref(otp::self(), 55555))) << "unknown";
    EXPECT_FALSE(otp::unalias(otp::ref()));
    EXPECT_FALSE(otp::unalias(otp::monitor(sleeper()))) << "a monitor that is no alias";
    otp::ref reply = otp::alias(otp::alias_mode::reply);
    EXPECT_TRUE(otp::unalias(reply)) << "not used yet";
    otp::send(reply, 2);
    reply = otp::alias(otp::alias_mode::reply);
    otp::send(reply, 3);
    EXPECT_FALSE(otp::unalias(reply)) << "used";
    EXPECT_EQ(waiting<int>(), 3);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-091
TEST(process_aliases, a_reply_alias_takes_one_message) {
  everywhere(10, [] {
    otp::ref a = otp::alias(otp::alias_mode::reply);
    auto before = otp::counters();
    for (int i = 1; i <= 3; ++i) otp::send(a, i);
    EXPECT_EQ(waiting<int>(), 1);
    EXPECT_TRUE(mailbox_empty());
    EXPECT_EQ(otp::counters().dropped - before.dropped, 2u);
    // Of several senders exactly one gets through.
    otp::ref raced = otp::alias(otp::alias_mode::reply);
    std::vector<otp::ref> senders;
    for (int i = 0; i < 10; ++i) senders.push_back(otp::spawn_monitor([raced, i] { otp::send(raced, i); }).monitor);
    for (otp::ref m : senders) reason_of(m);
    EXPECT_TRUE(waiting<int>());
    EXPECT_TRUE(mailbox_empty());
    EXPECT_FALSE(otp::unalias(raced));
  });
}

// covers: PROC-092
TEST(process_aliases, what_is_in_the_mailbox_when_an_alias_is_shut_off_stays) {
  everywhere(10, [] {
    otp::ref a = otp::alias();
    otp::send(a, 1);
    send_from_elsewhere(a, 2);
    EXPECT_TRUE(otp::unalias(a));
    send_from_elsewhere(a, 3);
    EXPECT_EQ(waiting<int>(), 1);
    EXPECT_EQ(waiting<int>(), 2);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-094
TEST(process_aliases, an_alias_of_a_process_that_has_ended_takes_nothing) {
  everywhere(10, [] {
    auto owner = otp::spawn_monitor([to = otp::self()] {
      otp::send(to, otp::alias());
      otp::send(to, otp::alias(otp::alias_mode::reply));
    });
    otp::ref plain = next<otp::ref>();
    otp::ref reply = next<otp::ref>();
    reason_of(owner.monitor);
    auto before = otp::counters();
    EXPECT_NO_THROW(otp::send(plain, 1));
    EXPECT_NO_THROW(otp::send(reply, 1));
    EXPECT_EQ(otp::counters().dead - before.dead, 2u);
    EXPECT_EQ(otp::counters().accepted, before.accepted);
  });
}

// covers: PROC-095
TEST(process_aliases, an_option_that_an_alias_cannot_have_is_an_error) {
  seeded([] {
    EXPECT_THROW(otp::alias(otp::alias_mode::none), otp::bad_argument);
    EXPECT_THROW(otp::alias(otp::alias_mode::demonitor), otp::bad_argument);
    EXPECT_THROW(otp::alias(static_cast<otp::alias_mode>(77)), otp::bad_argument);
  });
}

// covers: PROC-096
TEST(process_aliases, explicit_unalias_one_reference_is_monitor_and_alias_and_the_alias_lasts) {
  everywhere(10, [] {
    // After the down.
    otp::pid target = sleeper();
    otp::ref r = otp::monitor(target, {.alias = otp::alias_mode::explicit_unalias});
    otp::send(r, 1);
    EXPECT_EQ(waiting<int>(), 1);
    otp::exit(target, "gone");
    EXPECT_EQ(reason_of(r), otp::exit_reason("gone"));
    send_from_elsewhere(r, 2);
    EXPECT_EQ(waiting<int>(), 2);
    EXPECT_FALSE(otp::demonitor(r, {.info = true})) << "the monitor is gone";
    otp::send(r, 3);
    EXPECT_EQ(waiting<int>(), 3);
    EXPECT_TRUE(otp::unalias(r));
    otp::send(r, 4);
    EXPECT_FALSE(otp::unalias(r));
    EXPECT_TRUE(mailbox_empty());

    // After demonitor.
    target = sleeper();
    r = otp::monitor(target, {.alias = otp::alias_mode::explicit_unalias});
    EXPECT_TRUE(otp::demonitor(r, {.info = true}));
    otp::send(r, 5);
    EXPECT_EQ(waiting<int>(), 5);
    otp::exit(target, "unheard");
    end_of(target);
    EXPECT_TRUE(otp::unalias(r));
    EXPECT_TRUE(mailbox_empty());

    // Shut off first: the monitor stays.
    target = sleeper();
    r = otp::monitor(target, {.alias = otp::alias_mode::explicit_unalias});
    EXPECT_TRUE(otp::unalias(r));
    otp::send(r, 6);
    EXPECT_FALSE(waiting<int>());
    otp::exit(target, "heard");
    EXPECT_EQ(reason_of(r), otp::exit_reason("heard"));

    // Of one that is dead already, and of a name that nobody has: as after the down.
    r = otp::monitor(target, {.alias = otp::alias_mode::explicit_unalias});
    EXPECT_EQ(reason_of(r), noproc);
    otp::send(r, 7);
    EXPECT_EQ(waiting<int>(), 7);
    r = otp::monitor("nobody", {.alias = otp::alias_mode::explicit_unalias});
    EXPECT_EQ(reason_of(r), noproc);
    otp::send(r, 8);
    EXPECT_EQ(waiting<int>(), 8);

    // Of oneself: a reference, and no alias.
    for (auto mode : {otp::alias_mode::explicit_unalias, otp::alias_mode::demonitor, otp::alias_mode::reply}) {
      r = otp::monitor(otp::self(), {.alias = mode});
      otp::send(r, 9);
      EXPECT_FALSE(otp::unalias(r));
    }
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-097
TEST(process_aliases, demonitor_mode_the_alias_ends_with_the_monitor) {
  everywhere(10, [] {
    otp::pid target = sleeper();
    otp::ref r = otp::monitor(target, {.alias = otp::alias_mode::demonitor});
    otp::send(r, 1);
    otp::send(r, 2);
    EXPECT_EQ(waiting<int>(), 1);
    EXPECT_EQ(waiting<int>(), 2);
    otp::exit(target, "gone");
    EXPECT_EQ(reason_of(r), otp::exit_reason("gone"));
    otp::send(r, 3);
    EXPECT_FALSE(otp::unalias(r));
    EXPECT_TRUE(mailbox_empty());

    target = sleeper();
    r = otp::monitor(target, {.alias = otp::alias_mode::demonitor});
    otp::demonitor(r);
    otp::send(r, 4);
    EXPECT_FALSE(otp::unalias(r));
    EXPECT_TRUE(mailbox_empty());

    // noproc is a down like any other.
    otp::exit(target, otp::reason::kill);
    end_of(target);
    r = otp::monitor(target, {.alias = otp::alias_mode::demonitor});
    EXPECT_EQ(reason_of(r), noproc);
    otp::send(r, 5);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: PROC-091 PROC-097
TEST(process_aliases, reply_mode_of_a_monitor_ends_with_the_first_message_or_the_down) {
  everywhere(10, [] {
    otp::pid target = sleeper();
    otp::ref r = otp::monitor(target, {.alias = otp::alias_mode::reply});
    send_from_elsewhere(r, 1);
    send_from_elsewhere(r, 2);
    EXPECT_EQ(waiting<int>(), 1);
    EXPECT_TRUE(otp::info(otp::self())->monitors.empty()) << "the reply removes the monitor too";
    EXPECT_TRUE(otp::info(target)->monitored_by.empty());
    otp::exit(target, "unheard");
    end_of(target);
    EXPECT_TRUE(mailbox_empty());

    target = sleeper();
    r = otp::monitor(target, {.alias = otp::alias_mode::reply});
    otp::exit(target, "no answer");
    EXPECT_EQ(reason_of(r), otp::exit_reason("no answer"));
    otp::send(r, 3);
    EXPECT_TRUE(mailbox_empty()) << "a late answer is dropped";
  });
}
