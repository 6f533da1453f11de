// Servers: requests whose responses arrive like messages.
#include "conformance/gen_server_support.hpp"

namespace {

using namespace conformance;
namespace gen_server = otp::gen_server;

/// Answers after a while, from a process of its own, so that many wait at a time.
struct clerk {
  struct later {
    using reply = int;
    otp::duration after;
    int value;
  };
  struct now {
    using reply = int;
    int value;
  };
  struct never {
    using reply = int;
  };
  struct end {
    using reply = int;
    otp::exit_reason why;
  };
  struct nothing {
    using reply = void;
  };
  struct ask_myself {
    using reply = bool;
  };
  void handle_call(const later& l, otp::from<int> f) {
    auto shared = std::make_shared<otp::from<int>>(std::move(f));
    otp::spawn([shared, l] {
      otp::sleep(l.after);
      shared->reply(l.value);
    });
  }
  int handle_call(const now& n) { return n.value; }
  void handle_call(never, otp::from<int> f) { kept.push_back(std::move(f)); }
  int handle_call(const end& e) { otp::exit(e.why); }
  void handle_call(nothing) {}
  bool handle_call(ask_myself) {
    auto id = otp::send_request(otp::self(this), now{1});
    return otp::wait_response(id, 1s).has_value();
  }
  std::vector<otp::from<int>> kept;
};

// covers: GS-116
TEST(gen_server_requests, send_request_returns_at_once_and_never_fails) {
  for_seeds(20, [] {
    auto c = gen_server::start<clerk>().value();
    otp::server<clerk> dead = gen_server::start<clerk>().value();
    gen_server::stop(dead);
    EXPECT_EQ(time_of([&] {
                auto a = otp::send_request(c, clerk::later{1s, 1});
                auto b = otp::send_request(dead, clerk::now{1});
                auto d = otp::send_request(otp::name<clerk>("nobody"), clerk::now{1});
                auto e = otp::send_request(otp::global<clerk>("nobody"), clerk::now{1});
                auto f = otp::send_request(otp::server<clerk>(), clerk::now{1});
                for (auto* r : {&a, &b, &d, &e, &f}) EXPECT_TRUE(*r);
                for (auto* r : {&b, &d, &e, &f}) {
                  EXPECT_EQ(otp::wait_response(*r, 0s).value().error().cause(), noproc);
                }
              }),
              0s);
  });
}

// covers: GS-117
TEST(gen_server_requests, a_response_is_the_reply_or_the_reason_with_the_server) {
  everywhere(20, [] {
    auto c = gen_server::start<clerk>().value();
    auto good = otp::send_request(c, clerk::now{7});
    EXPECT_EQ(otp::wait_response(good).value(), 7);
    auto none = otp::send_request(c, clerk::nothing{});
    EXPECT_TRUE(otp::wait_response(none).value().has_value());
    auto never = otp::send_request(c, clerk::never{});
    auto bad = otp::send_request(c, clerk::end{"ended"});
    auto behind = otp::send_request(c, clerk::now{1});
    for (auto* r : {&bad, &never, &behind}) {
      otp::exit_reason why = otp::wait_response(*r).value().error();
      EXPECT_TRUE(why.cause() == otp::exit_reason("ended") || (r == &behind && why.cause() == noproc));
      EXPECT_EQ(why.call()->server, c.to_string());
      EXPECT_EQ(why.call()->function, "send_request");
    }
    auto missing = otp::send_request(otp::name<clerk>("nobody"), clerk::now{1});
    EXPECT_EQ(otp::wait_response(missing).value().error().call()->server, "\"nobody\"");
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: GS-118
TEST(gen_server_requests, a_wait_may_time_out_and_be_repeated) {
  for_seeds(20, [] {
    auto c = gen_server::start<clerk>().value();
    auto id = otp::send_request(c, clerk::later{5s, 3});
    EXPECT_FALSE(otp::wait_response(id, 0s));
    EXPECT_FALSE(otp::wait_response(id, 1s));
    EXPECT_TRUE(id);
    EXPECT_EQ(time_of([&] { EXPECT_EQ(otp::wait_response(id, otp::infinity).value(), 3); }), 4s);
    EXPECT_FALSE(id);
    EXPECT_THROW(otp::wait_response(id), otp::bad_argument);  // it was answered
    // receive_response gives the request up at its timeout: a late reply goes nowhere.
    auto given_up = otp::send_request(c, clerk::later{5s, 4});
    EXPECT_FALSE(otp::receive_response(given_up, 1s));
    EXPECT_FALSE(given_up);
    otp::sleep(10s);
    EXPECT_TRUE(mailbox_empty());
    EXPECT_EQ(otp::counters().late_replies, 1U);
  });
}

// The wait of another process than the sender never ended.
// covers: GS-118
TEST(gen_server_requests, a_response_is_waited_for_by_the_process_that_asked) {
  everywhere(10, [] {
    auto c = gen_server::start<clerk>().value();
    auto id = otp::send_request(c, clerk::now{5});
    otp::ref other = otp::spawn_monitor([&id] {
                       EXPECT_THROW(otp::wait_response(id), otp::bad_argument);
                       EXPECT_THROW(otp::wait_response(id, 0s), otp::bad_argument);
                     }).monitor;
    EXPECT_EQ(reason_of(other), normal);
    EXPECT_EQ(otp::wait_response(id).value(), 5);
    // Given up by another process, it is given up.
    auto mine = otp::send_request(c, clerk::later{1s, 6});
    other = otp::spawn_monitor([moved = std::move(mine)] {}).monitor;
    EXPECT_EQ(reason_of(other), normal);
    gen_server::stop(c);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: GS-120
TEST(gen_server_requests, a_received_message_can_be_checked_against_a_request) {
  everywhere(20, [] {
    auto c = gen_server::start<clerk>().value();
    otp::send(otp::self(), std::string("unrelated"));
    auto first = otp::send_request(c, clerk::now{1});
    auto second = otp::send_request(c, clerk::now{2});
    int unrelated = 0;
    std::vector<int> got;
    while (got.size() < 2 || unrelated < 1) {
      otp::message m = otp::receive([](otp::message& any) { return std::move(any); },
                                    otp::after(patience(), []() -> otp::message { throw std::runtime_error("late"); }));
      if (auto r = otp::check_response(m, second))
        got.push_back(r->value());
      else if (auto s = otp::check_response(m, first))
        got.push_back(s->value());
      else if (m.is<std::string>())
        ++unrelated;
    }
    EXPECT_EQ(got, (std::vector<int>{1, 2}));
    EXPECT_TRUE(mailbox_empty());
    // Thrown away with its message, the response is still there for who waits for it.
    auto third = otp::send_request(c, clerk::now{3});
    otp::receive([](otp::message&) {});
    EXPECT_EQ(otp::wait_response(third).value(), 3);
  });
}
/// A server that asks another and handles the answers as they come.
struct middleman {
  struct ask {
    using reply = int;
    int what;
  };
  explicit middleman(otp::server<clerk> c) : other(c) {}
  void handle_call(const ask& a, otp::from<int> f) {
    open.emplace_back(otp::send_request(other, clerk::later{1s, a.what}), std::move(f));
  }
  void handle_info(otp::message m) {
    for (auto& [id, f] : open)
      if (auto r = otp::check_response(m, id)) return f.reply(r->value() * 10);
  }
  otp::server<clerk> other;
  std::vector<std::pair<otp::request_id<int>, otp::from<int>>> open;
};
// covers: GS-120
TEST(gen_server_requests, a_server_takes_responses_as_messages) {
  for_seeds(20, [] {
    auto m = gen_server::start<middleman>({}, gen_server::start<clerk>().value()).value();
    std::vector<otp::request_id<int>> ids;
    EXPECT_EQ(time_of([&] {
                for (int i = 0; i < 5; ++i) ids.push_back(otp::send_request(m, middleman::ask{i}));
                for (int i = 0; i < 5; ++i)
                  EXPECT_EQ(otp::wait_response(ids[static_cast<std::size_t>(i)]).value(), i * 10);
              }),
              1s);
  });
}

// covers: GS-121
TEST(gen_server_requests, leaves_nothing_behind) {
  for_seeds(5, [] {
    auto c = gen_server::start<clerk>().value();
    for (int i = 0; i < 200; ++i) {
      auto a = otp::send_request(c, clerk::now{i});
      EXPECT_EQ(otp::wait_response(a).value(), i);
      auto dropped = otp::send_request(c, clerk::now{i});  // its handle goes before the reply comes
    }
    for (int i = 0; i < 50; ++i) {
      auto arrived = otp::send_request(c, clerk::now{i});  // its handle goes when the reply is in the mailbox
      otp::testing::settle();
    }
    EXPECT_EQ(otp::call(c, clerk::now{5}), 5);
    otp::testing::settle();
    auto mine = otp::info(otp::self()).value();
    EXPECT_EQ(mine.monitors.size(), 0U);
    EXPECT_EQ(mine.message_queue_len, 0U);
    EXPECT_EQ(otp::counters().timers, 0U);
  });
}

// covers: GS-122
TEST(gen_server_requests, a_collection_gives_responses_as_they_complete_with_their_labels) {
  for_seeds(20, [] {
    auto c = gen_server::start<clerk>().value();
    otp::request_id_collection<int, std::string> all;
    EXPECT_EQ(all.size(), 0U);
    all.add(otp::send_request(c, clerk::later{3s, 3}), "three");
    all.add(otp::send_request(c, clerk::later{1s, 1}), "one");
    all.add(otp::send_request(c, clerk::later{2s, 2}), "two");
    EXPECT_EQ(all.size(), 3U);
    EXPECT_EQ(all.labels(), (std::vector<std::string>{"three", "one", "two"}));
    auto id = otp::send_request(c, clerk::later{4s, 4});
    all.add(std::move(id), "four");
    EXPECT_THROW(all.add(std::move(id), "again"), otp::bad_argument);
    EXPECT_EQ(all.size(), 4U);
    for (auto [label, value] :
         {std::pair("one", 1), std::pair("two", 2), std::pair("three", 3), std::pair("four", 4)}) {
      auto r = all.wait();
      ASSERT_TRUE(r);
      EXPECT_EQ(r->label, label);
      EXPECT_EQ(r->value, value);
    }
    EXPECT_EQ(all.size(), 0U);
  });
}
// covers: GS-122 GS-117
TEST(gen_server_requests, a_collection_over_several_servers_has_their_failures_too) {
  everywhere(20, [] {
    otp::request_id_collection<int, int> all;
    std::vector<otp::server<clerk>> servers;
    for (int i = 0; i < 20; ++i) {
      auto s = gen_server::start<clerk>().value();
      if (i % 4 == 1)
        all.add(otp::send_request(s, clerk::end{i}), i);
      else if (i % 4 == 2)
        all.add(otp::send_request(otp::name<clerk>("nobody"), clerk::now{i}), i);
      else
        all.add(otp::send_request(s, clerk::now{i}), i);
      servers.push_back(s);
    }
    std::vector<bool> seen(20);
    while (auto r = all.wait(patience())) {
      seen[static_cast<std::size_t>(r->label)] = true;
      if (r->label % 4 == 1) {
        EXPECT_EQ(r->value.error().cause(), otp::exit_reason(r->label));
      } else if (r->label % 4 == 2) {
        EXPECT_EQ(r->value.error().cause(), noproc);
      } else {
        EXPECT_EQ(r->value, r->label);
      }
    }
    EXPECT_EQ(std::count(seen.begin(), seen.end(), true), 20);
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: GS-123
TEST(gen_server_requests, a_handled_request_leaves_the_collection_only_if_asked) {
  for_seeds(10, [] {
    auto c = gen_server::start<clerk>().value();
    otp::request_id_collection<int, int> all;
    EXPECT_EQ(time_of([&] { EXPECT_FALSE(all.wait(otp::infinity)); }), 0s);  // empty: at once
    all.add(otp::send_request(c, clerk::later{1s, 1}), 1);
    all.add(otp::send_request(c, clerk::later{2s, 2}), 2);
    EXPECT_EQ(all.wait(otp::infinity, otp::handled::kept)->value, 1);
    EXPECT_EQ(all.size(), 2U);
    EXPECT_EQ(all.labels(), (std::vector<int>{1, 2}));
    EXPECT_EQ(all.wait(otp::infinity, otp::handled::removed)->value, 2);
    EXPECT_EQ(all.size(), 1U);
    EXPECT_EQ(time_of([&] { EXPECT_FALSE(all.wait(otp::infinity)); }), 0s);  // nothing is to come
    // The same by checking messages.
    all.add(otp::send_request(c, clerk::now{3}), 3);
    all.add(otp::send_request(c, clerk::now{4}), 4);
    otp::message none;
    EXPECT_FALSE(all.check(none));
    for (int expected : {3, 4}) {
      otp::message m = otp::receive([](otp::message& any) { return std::move(any); });
      auto r = all.check(m, expected == 3 ? otp::handled::kept : otp::handled::removed);
      ASSERT_TRUE(r);
      EXPECT_EQ(r->label, expected);
      EXPECT_EQ(r->value, expected);
    }
    EXPECT_EQ(all.labels(), (std::vector<int>{1, 3}));
    otp::send(otp::self(), 5);
    otp::message m = otp::receive([](otp::message& any) { return std::move(any); });
    EXPECT_FALSE(all.check(m));
    EXPECT_TRUE(m.is<int>());
  });
}

// covers: GS-125
TEST(gen_server_requests, a_deadline_may_be_absolute_and_one_that_has_passed_does_not_wait) {
  for_seeds(20, [] {
    auto c = gen_server::start<clerk>().value();
    auto id = otp::send_request(c, clerk::later{3s, 1});
    otp::instant begin = otp::now();
    EXPECT_FALSE(otp::wait_response(id, begin + 1s));
    EXPECT_EQ(otp::now(), begin + 1s);
    EXPECT_FALSE(otp::wait_response(id, begin));
    EXPECT_FALSE(otp::wait_response(id, otp::instant()));
    EXPECT_EQ(otp::now(), begin + 1s);
    EXPECT_EQ(otp::receive_response(id, begin + 5s).value(), 1);
    EXPECT_EQ(otp::now(), begin + 3s);
    otp::request_id_collection<int, int> all;
    all.add(otp::send_request(c, clerk::later{3s, 2}), 2);
    EXPECT_FALSE(all.wait(begin + 4s));
    EXPECT_EQ(otp::now(), begin + 4s);
    EXPECT_FALSE(all.wait(begin));
    EXPECT_EQ(otp::now(), begin + 4s);
    // One that is there is given also when the deadline has passed.
    otp::sleep(10s);
    EXPECT_EQ(all.wait(begin)->value, 2);
    EXPECT_THROW(all.wait(-1s), otp::bad_argument);
    auto bad = otp::send_request(c, clerk::now{1});
    EXPECT_THROW(otp::wait_response(bad, -1s), otp::bad_argument);
  });
}

// covers: GS-126
TEST(gen_server_requests, a_request_to_oneself_stays_unanswered) {
  for_seeds(10, [] {
    auto c = gen_server::start<clerk>().value();
    EXPECT_FALSE(otp::call(c, clerk::ask_myself{}));
    EXPECT_EQ(otp::call(c, clerk::now{2}), 2);
    auto id = otp::send_request(otp::server<clerk>(otp::self()), clerk::now{1});
    EXPECT_FALSE(otp::wait_response(id, 1s));
  });
}

// covers: GS-127
TEST(gen_server_requests, reply_works_with_every_from_that_there_is) {
  struct many {
    struct number {
      using reply = int;
    };
    struct text {
      using reply = std::string;
    };
    struct nothing {
      using reply = void;
    };
    struct unique {
      using reply = std::unique_ptr<int>;
    };
    struct maybe {
      using reply = std::optional<std::string>;
    };
    void handle_call(number, otp::from<int> f) { otp::reply(f, 1); }
    void handle_call(text, otp::from<std::string> f) { otp::reply(std::move(f), "text"); }
    void handle_call(nothing, otp::from<void> f) { otp::reply(f); }
    void handle_call(unique, otp::from<std::unique_ptr<int>> f) { otp::reply(f, std::make_unique<int>(2)); }
    void handle_call(maybe, otp::from<std::optional<std::string>> f) { f.reply({}); }
  };
  everywhere(10, [] {
    auto m = gen_server::start<many>().value();
    EXPECT_EQ(otp::call(m, many::number{}), 1);
    EXPECT_EQ(otp::call(m, many::text{}), "text");
    otp::call(m, many::nothing{});
    EXPECT_EQ(*otp::call(m, many::unique{}), 2);
    EXPECT_EQ(otp::call(m, many::maybe{}), std::nullopt);
    // By asynchronous request, and from outside: the same handlers.
    auto n = otp::send_request(m, many::number{});
    EXPECT_EQ(otp::wait_response(n).value(), 1);
    auto v = otp::send_request(m, many::nothing{});
    EXPECT_TRUE(otp::wait_response(v).value());
    auto u = otp::send_request(m, many::unique{});
    EXPECT_EQ(*otp::wait_response(u).value().value(), 2);
    otp::from<int> empty;
    EXPECT_FALSE(empty);
    EXPECT_FALSE(empty.caller());
    empty.reply(1);  // answers nobody
  });
}

}  // namespace
