// Sees to it that every job is done: takes those that are queued from the database and starts a task for each.
//
// Shape   the server never waits for a task; it keeps the handles, and gets results and ends as messages. A task that was
//         killed is started again, and so is what an earlier runner had under way. A job that fails by itself is tried a
//         few times and then marked as failed.
// Units   so many at once as the configuration says; looks twice a second, and when somebody has queued one.
#pragma once
#include <otp/otp.hpp>

#include <map>

#include "background.hpp"

namespace storefront {

// [job_runner]
struct job_runner {
  struct look {};
  using messages = otp::messages<look, otp::task_result<bool>>;

  static constexpr otp::name<job_runner> name{"job_runner"};
  static auto start_link() { return otp::gen_server::start_link<job_runner>({.name = name}, &report); }

  /// `run` does one job and writes down that it is done; false if it has to be tried later.
  explicit job_runner(bool (*run)(std::int64_t job)) : work(run) {
    otp::send_interval(std::chrono::milliseconds(500), otp::self(this), look{});
  }

  void handle_info(look);
  void handle_cast(look) { handle_info(look{}); }
  void handle_info(const otp::task_result<bool>& result) { under_way.erase(result.reference); }
  void handle_info(const otp::down& end);
  std::string to_string() const { return std::to_string(under_way.size()) + " jobs under way"; }

  static bool report(std::int64_t job);

  struct running {
    std::int64_t job;
    otp::task<bool> task;
  };
  bool (*work)(std::int64_t job);
  std::map<otp::ref, running> under_way;
  std::map<std::int64_t, int> failures;

 private:
  bool runs(std::int64_t job) const;
};
// [/job_runner]

}  // namespace storefront
