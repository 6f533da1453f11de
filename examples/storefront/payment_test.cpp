#include "payment.hpp"

#include "test_shop.hpp"

namespace storefront {
namespace {

using namespace std::chrono_literals;
using refusal = payment::refusal;

/// Notes what it is asked for.
struct noting_bank final : payment_gateway {
  std::string authorize(std::int64_t, const std::string& card, std::int64_t) override {
    done.push_back("authorize");
    return works ? "auth-" + card : "";
  }
  bool capture(const std::string&) override {
    done.push_back("capture");
    return works;
  }
  bool refund(const std::string&, std::int64_t cents) override {
    done.push_back("refund " + std::to_string(cents));
    return works;
  }
  bool works = true;
  std::vector<std::string> done;
};

struct payment_test : test_shop {
  payment_test() { bank = noting; }
  std::int64_t open(std::int64_t cents) {
    return db_pool::write([=, n = ++opened](sqlite::database& db) {
             return open_payment_row(db, "ada", "k" + std::to_string(n), cents);
           })
        .value()
        .id;
  }
  template <class Event>
  auto ask(std::int64_t id, const Event& event) {
    return ask_payment(id, bank, event).value();
  }
  std::string state(std::int64_t id) { return ask(id, payment::show{}).state; }
  std::vector<payment_step> steps(std::int64_t id) {
    return db_pool::read([id](sqlite::database& db) { return find_payment(db, id); }).value().value().steps;
  }

  std::shared_ptr<noting_bank> noting = std::make_shared<noting_bank>();
  int opened = 0;
};

TEST_F(payment_test, goes_from_authorization_to_capture_to_refund_and_each_step_is_in_the_ledger) {
  with_shop([&] {
    std::int64_t id = open(100);
    EXPECT_EQ(state(id), "pending");
    EXPECT_EQ(ask(id, payment::authorize{"a", "x"})->state, "authorized");
    EXPECT_EQ(ask(id, payment::capture{"c"})->state, "captured");
    EXPECT_EQ(ask(id, payment::refund{"r", 40})->refunded_cents, 40);
    EXPECT_EQ(state(id), "refunded");
    auto written = steps(id);
    ASSERT_EQ(written.size(), 3U);
    EXPECT_EQ(written[0].event, payment_event::authorize);
    EXPECT_EQ(written[0].reference, "auth-x");
    EXPECT_EQ(written[1].event, payment_event::capture);
    EXPECT_EQ(written[2].cents, 40);
  });
}

TEST_F(payment_test, what_does_not_fit_the_state_or_the_amount_changes_nothing) {
  with_shop([&] {
    std::int64_t id = open(100);
    EXPECT_EQ(ask(id, payment::capture{"c"}).error(), refusal::invalid_event);
    EXPECT_EQ(ask(id, payment::refund{"r", 1}).error(), refusal::invalid_event);
    noting->works = false;
    EXPECT_EQ(ask(id, payment::authorize{"a", "x"}).error(), refusal::declined);
    noting->works = true;
    EXPECT_TRUE(ask(id, payment::authorize{"a", "x"}));
    for (std::int64_t wrong : {0LL, -1LL, 101LL, 1LL << 62})
      EXPECT_EQ(ask(id, payment::refund{"r", wrong}).error(), refusal::invalid_amount);
    EXPECT_EQ(ask(id, payment::authorize{"b", "x"}).error(), refusal::invalid_event);
    EXPECT_EQ(ask(id, payment::capture{"a"}).error(), refusal::key_reused);
    noting->works = false;
    EXPECT_EQ(ask(id, payment::capture{"c"}).error(), refusal::gateway_failed);
    noting->works = true;
    EXPECT_EQ(state(id), "authorized");
    EXPECT_EQ(steps(id).size(), 1U);
    EXPECT_TRUE(ask(id, payment::refund{"r", 100}));
    EXPECT_EQ(ask(id, payment::capture{"c"}).error(), refusal::terminal_state);
    EXPECT_EQ(ask(id, payment::refund{"r2", 1}).error(), refusal::terminal_state);
  });
}

TEST_F(payment_test, a_step_that_is_asked_for_again_is_not_taken_again) {
  with_shop([&] {
    std::int64_t id = open(100);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(id, payment::authorize{"a", "x"})->replayed, i > 0);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(id, payment::capture{"c"})->replayed, i > 0);
    EXPECT_TRUE(ask(id, payment::authorize{"a", "x"})->replayed);
    EXPECT_TRUE(ask(id, payment::refund{"r", 60}));
    EXPECT_TRUE(ask(id, payment::refund{"r", 60})->replayed);
    EXPECT_EQ(ask(id, payment::refund{"r", 61}).error(), refusal::key_reused);
    EXPECT_EQ(noting->done, (std::vector<std::string>{"authorize", "capture", "refund 60"}));
  });
}

TEST_F(payment_test, one_that_is_killed_knows_afterwards_what_it_had_acknowledged) {
  with_shop([&] {
    std::int64_t id = open(100);
    auto kill_it = [] { otp::exit(only_child("payment_sup"), otp::reason::kill); };
    EXPECT_TRUE(ask(id, payment::authorize{"a", "x"}));
    kill_it();
    EXPECT_EQ(state(id), "authorized");
    kill_it();
    EXPECT_TRUE(ask(id, payment::capture{"c"}));
    kill_it();
    EXPECT_TRUE(ask(id, payment::capture{"c"})->replayed);
    kill("payments");  // the registry, and with it everybody in it
    EXPECT_TRUE(ask(id, payment::refund{"r", 100}));
    EXPECT_EQ(steps(id).size(), 3U);
  });
}

TEST_F(payment_test, while_the_database_is_away_steps_are_refused_and_later_as_if_nothing_had_been) {
  with_shop([&] {
    std::int64_t id = open(100);
    EXPECT_EQ(state(id), "pending");
    std::filesystem::rename(file, file + ".away");
    for (const char* name : {"db_writer", "db_reader_1", "db_reader_2"}) kill(name);
    EXPECT_EQ(ask(id, payment::authorize{"a", "x"}).error(), refusal::unavailable);
    std::filesystem::rename(file + ".away", file);
    otp::testing::advance(1s);
    EXPECT_EQ(state(id), "pending");
    EXPECT_EQ(ask(id, payment::authorize{"a", "x"})->replayed, false);
    EXPECT_EQ(steps(id).size(), 1U);
  });
}

TEST_F(payment_test, an_authorization_that_nobody_captures_is_given_back) {
  with_shop([&] {
    std::int64_t id = open(100);
    EXPECT_TRUE(ask(id, payment::authorize{"a", "x"}));
    otp::testing::advance(24h * 7 + 1s);
    auto view = ask(id, payment::show{});
    EXPECT_EQ(view.state, "refunded");
    EXPECT_EQ(view.refunded_cents, 100);
    EXPECT_EQ(ask(id, payment::capture{"c"}).error(), refusal::terminal_state);
    EXPECT_EQ(steps(id).back().event, payment_event::expire);
  });
}

TEST_F(payment_test, the_clerk_wakes_an_old_authorization_from_before_the_start) {
  std::int64_t id = 0;
  with_shop([&] {
    id = open(100);
    EXPECT_TRUE(ask(id, payment::authorize{"a", "x"}));
  });
  open_store(file).run_script("UPDATE payment_steps SET at = '2020-01-01T00:00:00.000Z'");
  with_shop([&] {
    otp::testing::advance(11s);
    EXPECT_EQ(steps(id).back().event, payment_event::expire);
  });
}

TEST_F(payment_test, one_that_nobody_asks_for_goes_and_is_there_when_asked) {
  with_shop([&] {
    std::int64_t id = open(100);
    EXPECT_TRUE(ask(id, payment::authorize{"a", "x"}));
    EXPECT_TRUE(ask(id, payment::capture{"c"}));
    otp::testing::advance(6min);
    EXPECT_EQ(otp::dynamic_supervisor::count_children("payment_sup").active, 0U);
    EXPECT_EQ(state(id), "captured");
  });
}

TEST_F(payment_test, its_diagram_is_its_graph_and_a_running_one_marks_its_state) {
  with_shop([&] {
    std::string graph = otp::diagram<payment>();
    for (const char* edge : {"loading --> pending", "pending --> authorized", "authorized --> captured",
                             "authorized --> refunded", "captured --> refunded"})
      EXPECT_NE(graph.find(edge), std::string::npos) << edge << " is not in\n" << graph;
    std::int64_t id = open(100);
    EXPECT_TRUE(ask(id, payment::authorize{"a", "x"}));
    std::string now = otp::diagram(otp::via<payment>(payments, id));
    EXPECT_NE(now, graph);
    EXPECT_NE(now.find("class authorized"), std::string::npos) << now;
  });
}

}  // namespace
}  // namespace storefront
