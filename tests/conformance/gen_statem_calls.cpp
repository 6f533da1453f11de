// State machines: calls and requests, which are those of all servers.
#include "conformance/gen_statem_support.hpp"

namespace {

using namespace conformance;

/// Has the machine answer the kept request of that name after a while.
template <class M>
void answer_later(otp::server<M> m, std::string name, otp::duration time) {
  otp::spawn([=] {
    otp::sleep(time);
    otp::cast(m, typename M::act{[=](M& data) -> typename M::move {
                return otp::stay().reply(data.waiting_for(name), "for " + name);
              }});
  });
}

// covers: SM-128
TEST(gen_statem_calls, without_a_limit_a_call_waits_for_its_answer_or_the_end) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal&) {
    auto m = gen_statem::start<M>().value();
    answer_later<M>(m, "1", 1h);
    EXPECT_EQ(otp::call(m, typename M::keep{"1"}, otp::infinity), "for 1");
    otp::spawn([m] {
      otp::sleep(1h);
      gen_statem::stop(m, "the end");
    });
    EXPECT_EQ(cause_that([&] { otp::call(m, typename M::keep{"2"}, otp::infinity); }), "the end");
  });
}

// covers: SM-129
TEST(gen_statem_calls, past_its_limit_the_caller_exits_and_the_machine_goes_on) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal& log) {
    auto m = gen_statem::start<M>({}, log).value();
    EXPECT_EQ(cause_that([&] {
                otp::call(m, typename M::ask{[](M& data) -> typename M::answer {
                            otp::sleep(2s);
                            data.log.add("handled");
                            return otp::go(M::at_green()).reply("late");
                          }},
                          1s);
              }),
              otp::reason::timeout);
    EXPECT_EQ(log.take(), strings{});
    EXPECT_EQ(otp::call(m, typename M::want{"x"}), "x");
    EXPECT_EQ(log.take(), (strings{"handled", "call x in green"}));
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: SM-132
TEST(gen_statem_calls, a_machine_that_calls_itself_exits_at_once) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal&) {
    auto m = gen_statem::start_monitor<M>().value();
    otp::cast(m.server, typename M::act{[](M&) -> typename M::move {
                otp::call(otp::server<M>(otp::self()), typename M::want{"x"}, otp::infinity);
                return otp::stay();
              }});
    EXPECT_EQ(reason_of(m.monitor).cause(), otp::reason::calling_self);
  });
}
// covers: SM-132
TEST(gen_statem_calls, so_does_a_cycle_of_machines) {
  for_seeds(10, [] {
    auto a = gen_statem::start<by_type>().value();
    auto b = gen_statem::start<by_type>().value();
    auto why = otp::call(a, by_type::ask{[a, b](by_type&) -> by_type::answer {
                           by_type::ask back{[a](by_type&) -> by_type::answer {
                             auto r = otp::try_call(a, by_type::want{"x"}, otp::infinity);
                             return otp::stay().reply(r ? "no cycle" : r.error().cause().to_string());
                           }};
                           return otp::stay().reply(otp::call(b, back, otp::infinity));
                         }},
                         otp::infinity);
    EXPECT_NE(why.find("deadlock"), std::string::npos) << why;
  });
}

// covers: SM-134 SM-136
TEST(gen_statem_calls, a_request_returns_at_once_and_its_wait_can_be_repeated) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal&) {
    auto m = gen_statem::start<M>().value();
    otp::request_id<std::string> id;
    EXPECT_EQ(time_of([&] { id = otp::send_request(m, typename M::keep{"1"}); }), 0s);
    answer_later<M>(m, "1", 10s);
    EXPECT_FALSE(otp::wait_response(id, 0s));
    EXPECT_FALSE(otp::wait_response(id, 1s));
    EXPECT_EQ(otp::wait_response(id, 20s)->value(), "for 1");
    id = otp::send_request(m, typename M::want{"2"});
    EXPECT_EQ(otp::receive_response(id)->value(), "2");
    id = otp::send_request(m, typename M::want{"3"});
    otp::message m3 = otp::receive([](otp::message& any) { return std::move(any); });
    EXPECT_EQ(otp::check_response(m3, id)->value(), "3");
  });
}
// covers: SM-135
TEST(gen_statem_calls, another_message_is_no_reply) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal&) {
    auto m = gen_statem::start<M>().value();
    auto first = otp::send_request(m, typename M::keep{"1"});
    auto second = otp::send_request(m, typename M::want{"2"});
    otp::message two = otp::receive([](otp::message& any) { return std::move(any); });
    EXPECT_FALSE(otp::check_response(two, first));
    otp::message other(42);
    EXPECT_FALSE(otp::check_response(other, second));
    EXPECT_EQ(otp::check_response(two, second)->value(), "2");
  });
}

// covers: SM-138
TEST(gen_statem_calls, a_request_to_nobody_is_answered_with_noproc_and_the_server) {
  in_both_modes(5, []<class M>(std::type_identity<M>, const journal&) {
    auto dead = gen_statem::start<M>().value();
    gen_statem::stop(dead);
    auto a = otp::send_request(dead, typename M::want{"x"});
    auto b = otp::send_request(otp::name<M>("nobody"), typename M::want{"x"});
    otp::exit_reason why = otp::wait_response(a)->error();
    EXPECT_EQ(why.cause(), noproc);
    EXPECT_EQ(why.call()->server, dead.to_string());
    why = otp::wait_response(b)->error();
    EXPECT_EQ(why.cause(), noproc);
    EXPECT_EQ(why.call()->server, "\"nobody\"");
    EXPECT_TRUE(mailbox_empty());
  });
}

// covers: SM-139 SM-140 SM-141
TEST(gen_statem_calls, a_collection_gathers_requests_and_gives_whichever_response_comes_first) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal&) {
    auto m = gen_statem::start<M>().value();
    otp::request_id_collection<std::string, int> all;
    EXPECT_FALSE(all.wait(1s));  // empty: nothing is to come
    for (int i = 1; i <= 3; ++i) all.add(otp::send_request(m, typename M::keep{std::to_string(i)}), i);
    EXPECT_EQ(all.size(), 3U);
    EXPECT_EQ(all.labels(), (std::vector<int>{1, 2, 3}));
    otp::request_id<std::string> none;
    EXPECT_THROW(all.add(std::move(none), 4), otp::bad_argument);  // in a collection already
    answer_later<M>(m, "2", 1s);
    answer_later<M>(m, "3", 2s);
    answer_later<M>(m, "1", 3s);
    auto first = all.wait();
    EXPECT_EQ(first->label, 2);
    EXPECT_EQ(first->value, "for 2");
    EXPECT_EQ(all.labels(), (std::vector<int>{1, 3}));
    auto second = all.wait(10s, otp::handled::kept);
    EXPECT_EQ(second->label, 3);
    EXPECT_EQ(all.size(), 2U);
    otp::message last = otp::receive([](otp::message& any) { return std::move(any); });
    otp::message unrelated(7);
    EXPECT_FALSE(all.check(unrelated));
    auto third = all.check(last);
    EXPECT_EQ(third->label, 1);
    EXPECT_EQ(all.labels(), std::vector<int>{3});
    EXPECT_FALSE(all.wait());  // handled already
  });
}

// covers: SM-143
TEST(gen_statem_calls, a_deadline_may_be_relative_infinite_or_absolute) {
  in_both_modes(10, []<class M>(std::type_identity<M>, const journal&) {
    auto m = gen_statem::start<M>().value();
    auto id = otp::send_request(m, typename M::keep{"1"});
    otp::instant start = otp::now();
    EXPECT_EQ(time_of([&] { EXPECT_FALSE(otp::wait_response(id, start + 3s)); }), 3s);
    EXPECT_EQ(time_of([&] { EXPECT_FALSE(otp::wait_response(id, start + 1s)); }), 0s);
    EXPECT_EQ(time_of([&] { EXPECT_FALSE(otp::wait_response(id, 2s)); }), 2s);
    answer_later<M>(m, "1", 1h);
    EXPECT_EQ(otp::wait_response(id, otp::infinity)->value(), "for 1");
  });
}

}  // namespace
