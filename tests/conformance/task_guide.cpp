// The code of docs/guide/task.md, built and run.
#include <otp/async_stream.hpp>

#include "conformance/supervisor_support.hpp"

namespace {

using namespace std::chrono_literals;

// What the services of this page answer; a test sets the slow ones.
std::chrono::milliseconds feed_takes{1};
bool feed_fails = false;

std::string fetch_user(int id) { return "user " + std::to_string(id); }
std::vector<std::string> fetch_feed(int id) {
  otp::sleep(feed_takes);
  if (feed_fails) throw std::runtime_error("the feed service is away");
  return {"entry of " + std::to_string(id)};
}

// [parallel]
struct profile {
  std::string user;
  std::vector<std::string> feed;
};

profile fetch_profile(int id) {
  auto user = otp::async([=] { return fetch_user(id); });
  auto feed = otp::async<fetch_feed>(id);  // the same; reports show the name and the argument
  auto [u, f] = otp::await_many(2s, user, feed);
  return {std::move(u), std::move(f)};
}
// [/parallel]

// [safe]
constexpr otp::name<otp::task_supervisor> background{"background"};

profile fetch_what_there_is(int id) {
  auto user = otp::async_nolink(background, [=] { return fetch_user(id); });
  auto feed = otp::async_nolink(background, [=] { return fetch_feed(id); });
  return {
      .user = otp::yield_or_shutdown(user, 1s).value_or("unknown"),
      .feed = otp::yield_or_shutdown(feed, 1s).value_or(std::vector<std::string>{}),
  };
}
// [/safe]

// [stream]
std::size_t import(const std::vector<int>& ids, std::vector<int>& failed) {
  std::size_t good = 0;
  for (auto& user : otp::async_stream_nolink(background, ids, fetch_feed,
                                             {.max_concurrency = 8,
                                              .timeout = 2s,
                                              .on_timeout = otp::on_timeout::kill_task,
                                              .zip_input_on_exit = true})) {
    if (user)
      ++good;
    else
      failed.push_back(*user.input);  // user.error() says why
  }
  return good;
}
// [/stream]

// [server]
struct mailer {
  struct sent {
    using reply = int;
  };
  struct mail {
    std::string to;
  };
  using messages = otp::messages<otp::task_result<int>>;

  void handle_cast(const mail& m) {
    auto task = otp::async_nolink(background, [to = m.to] {
      if (to.empty()) throw std::runtime_error("no address");
      return static_cast<int>(to.size());
    });
    under_way.emplace(task.reference(), std::move(task));
  }
  void handle_info(const otp::task_result<int>& result) {
    bytes += result.value;
    under_way.erase(result.reference);  // and with the handle, the `down` that follows
  }
  void handle_info(const otp::down& d) {
    if (under_way.erase(d.reference)) ++failed;
  }
  int handle_call(sent) const { return bytes; }

  std::map<otp::ref, otp::task<int>> under_way;
  int bytes = 0, failed = 0;
};
// [/server]

// [child]
otp::supervisor_spec tree() {
  return {
      .strategy = otp::rest_for_one,
      .children =
          {
              otp::child_task_supervisor(background, {.max_children = 1000}),
              otp::child_task([] { /* warm the caches, once */ }),
              otp::child<mailer>(),
          },
  };
}

otp::result<otp::pid> audit(std::string line) {
  return otp::task_supervisor::start_child(background, [line = std::move(line)] { /* write it down */ },
                                           {.restart = otp::transient, .shutdown = 30s});
}
// [/child]

}  // namespace

using namespace conformance;

TEST(task_guide, the_code_of_the_page_does_what_the_page_says) {
  for_seeds(5, [] {
    feed_takes = 1ms;
    feed_fails = false;
    auto top = otp::supervisor::start_link(tree()).value();
    profile p = fetch_profile(7);
    EXPECT_EQ(p.user, "user 7");
    EXPECT_EQ(p.feed, strings{"entry of 7"});
    EXPECT_EQ(fetch_what_there_is(7).feed, strings{"entry of 7"});
    feed_fails = true;
    EXPECT_EQ(fetch_what_there_is(7).user, "user 7");
    EXPECT_TRUE(fetch_what_there_is(7).feed.empty());
    feed_fails = false;
    feed_takes = 1h;
    EXPECT_TRUE(fetch_what_there_is(7).feed.empty());
    std::vector<int> failed;
    EXPECT_EQ(import({1, 2}, failed), 0U);
    EXPECT_EQ(failed, (std::vector{1, 2}));
    feed_takes = 1ms;
    EXPECT_EQ(import({3, 4}, failed), 2U);
    auto children = otp::supervisor::which_children(top);
    otp::server<mailer> mails(children.front().process);
    otp::cast(mails, mailer::mail{"ada@example"});
    otp::cast(mails, mailer::mail{""});
    otp::testing::settle();
    EXPECT_EQ(otp::call(mails, mailer::sent{}), 11);
    EXPECT_TRUE(audit("x").has_value());
    otp::testing::settle();
    EXPECT_TRUE(otp::task_supervisor::children(background).empty());
  });
}

// [test]
TEST(profile, a_feed_that_is_late_costs_only_the_feed) {
  otp::testing::run([] {
    otp::task_supervisor::start_link({}, {.name = background}).value();
    feed_takes = 1h;
    otp::instant start = otp::now();
    EXPECT_EQ(fetch_what_there_is(7).user, "user 7");
    EXPECT_EQ(otp::now() - start, 1s);  // of virtual time
    EXPECT_TRUE(otp::task_supervisor::children(background).empty());
  });
}
// [/test]
