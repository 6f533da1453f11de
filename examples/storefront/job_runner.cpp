#include "job_runner.hpp"

#include <algorithm>

#include "config.hpp"
#include "counters.hpp"
#include "db_pool.hpp"
#include "jobs.hpp"

namespace storefront {

namespace {
constexpr int tries_max = 5;
}

bool job_runner::runs(std::int64_t job) const {
  return std::ranges::any_of(under_way, [job](const auto& entry) { return entry.second.job == job; });
}

// [look]
void job_runner::handle_info(look) {
  const auto limit = config_now()->jobs_at_once;
  if (std::ssize(under_way) >= limit) return;
  auto queued = db_pool::read([limit](sqlite::database& db) { return unfinished_jobs(db, limit); });
  if (!queued) return;  // there is a next time
  for (std::int64_t job : *queued) {
    if (runs(job) || std::ssize(under_way) >= limit) continue;
    try {
      auto task = otp::async_nolink(background, [work = work, job] { return work(job); });
      otp::ref reference = task.reference();
      under_way.emplace(reference, running{job, std::move(task)});
    } catch (const otp::exited&) {
      return;  // the supervisor of the tasks is just being restarted
    }
  }
}

void job_runner::handle_info(const otp::down& end) {
  auto ended = under_way.extract(end.reference);
  if (ended.empty()) return;
  const std::int64_t job = ended.mapped().job;
  ++counters.job_retries;
  // Killed is no fault of the job's.
  if (end.reason.what() != otp::exit_reason::kind::error || ++failures[job] < tries_max) return;
  failures.erase(job);
  static_cast<void>(db_pool::write([job, why = end.reason.to_string()](sqlite::database& db) {
    return finish_job(db, job, "failed", why);
  }));
}
// [/look]

bool job_runner::report(std::int64_t job) {
  auto text = db_pool::read(&sales_report);
  if (!text) return false;
  auto done = db_pool::write([&text, job](sqlite::database& db) { return finish_job(db, job, "done", *text); });
  if (done && *done) ++counters.jobs_done;
  return done.has_value();
}

}  // namespace storefront
