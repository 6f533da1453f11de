#include "job_runner.hpp"

#include <nlohmann/json.hpp>

#include "jobs.hpp"
#include "orders.hpp"
#include "test_shop.hpp"

namespace storefront {
namespace {

using namespace std::chrono_literals;

int slow_runs, bad_runs;

struct job_runner_test : test_shop {
  job_runner_test() { slow_runs = bad_runs = 0; }
  static std::int64_t queue(const std::string& key) {
    return db_pool::write([key](sqlite::database& db) { return queue_job(db, "ada", key); }).value().id;
  }
  static job look_at(std::int64_t id) {
    return db_pool::read([id](sqlite::database& db) { return find_job(db, id, "ada"); }).value().value();
  }
  // The shop with a runner of jobs that do this.
  void with_runner(bool (*work)(std::int64_t), const std::function<void()>& body) {
    auto start = [work] { return otp::gen_server::start_link<job_runner>({.name = job_runner::name}, work); };
    std::vector<otp::child_spec> more;
    more.push_back(otp::child_function("job_runner", start));
    with_shop(body, std::move(more));
  }
};

bool slow_job(std::int64_t id) {
  ++slow_runs;
  otp::sleep(10s);
  return job_runner::report(id);
}
bool bad_job(std::int64_t) {
  ++bad_runs;
  throw std::runtime_error("no ink");
}

TEST_F(job_runner_test, a_report_says_what_was_sold) {
  with_runner(&job_runner::report, [] {
    for (const char* key : {"a", "b"})
      db_pool::write([key](sqlite::database& db) { return place_order(db, {"ada", key, 2, 3}); }).value().value();
    std::int64_t id = queue("k");
    EXPECT_EQ(queue("k"), id);
    EXPECT_EQ(look_at(id).state, "queued");
    otp::testing::advance(1s);
    EXPECT_EQ(look_at(id).state, "done");
    auto report = nlohmann::json::parse(look_at(id).result);
    EXPECT_EQ(report["orders"], 2);
    EXPECT_EQ(report["total_cents"], 6 * 3450);
    EXPECT_EQ(report["products"][0]["quantity"], 6);
  });
}

TEST_F(job_runner_test, somebody_elses_is_not_shown) {
  with_runner(&job_runner::report, [] {
    std::int64_t id = queue("k");
    EXPECT_FALSE(db_pool::read([id](sqlite::database& db) { return find_job(db, id, "eve"); }).value());
  });
}

TEST_F(job_runner_test, a_task_that_is_killed_is_started_again) {
  with_runner(&slow_job, [] {
    std::int64_t id = queue("k");
    for (int i = 0; i < 10; ++i) {
      otp::testing::advance(1s);
      for (otp::pid task : otp::task_supervisor::children(background)) otp::exit(task, otp::reason::kill);
    }
    otp::testing::advance(11s);
    EXPECT_EQ(look_at(id).state, "done");
    EXPECT_EQ(slow_runs, 11);
  });
}

TEST_F(job_runner_test, whoever_dies_every_job_is_done_at_last) {
  with_runner(&slow_job, [] {
    std::vector<std::int64_t> ids;
    for (int i = 0; i < 10; ++i) ids.push_back(queue("k" + std::to_string(i)));
    for (const char* name : {"job_runner", "background", "job_runner", "db_writer", "db", "config"}) {
      otp::testing::advance(3s);
      kill(name);
    }
    otp::testing::advance(60s);
    for (std::int64_t id : ids) EXPECT_EQ(look_at(id).state, "done") << id;
  });
}

TEST_F(job_runner_test, no_more_run_at_once_than_the_configuration_says) {
  with_runner(&slow_job, [&] {
    change_config_to(config_on_disk, R"({"jobs_at_once": 3})").value();
    for (int i = 0; i < 10; ++i) queue("k" + std::to_string(i));
    otp::testing::advance(5s);
    EXPECT_EQ(slow_runs, 3);
    otp::testing::advance(60s);
    EXPECT_EQ(slow_runs, 10);
  });
}

TEST_F(job_runner_test, one_that_fails_by_itself_is_tried_five_times_and_then_says_why) {
  with_runner(&bad_job, [] {
    std::int64_t id = queue("k");
    otp::testing::advance(60s);
    EXPECT_EQ(bad_runs, 5);
    EXPECT_EQ(look_at(id).state, "failed");
    EXPECT_NE(look_at(id).result.find("no ink"), std::string::npos);
  });
}

}  // namespace
}  // namespace storefront
