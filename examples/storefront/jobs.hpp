// Work that a customer asked for and does not wait for: reports of sales. Every function blocks.
//
// Shape   a job is a row; it is acknowledged when that is on the disk, and it is done some time after, whoever dies
//         meanwhile: see job_runner.hpp for who does it.
#pragma once
#include "sqlite.hpp"

#include <optional>
#include <vector>

namespace storefront {

struct job {
  std::int64_t id = 0;
  std::string state;   ///< queued, done or failed
  std::string result;  ///< JSON, or why it failed
};

struct queued_job {
  std::int64_t id = 0;
  bool replayed = false;  ///< it had been asked for before
};

queued_job queue_job(sqlite::database& db, const std::string& user, const std::string& key);
/// A job is shown to the user who asked for it.
std::optional<job> find_job(sqlite::database& db, std::int64_t id, const std::string& user);
std::vector<std::int64_t> unfinished_jobs(sqlite::database& db, std::int64_t limit);
/// Ends a job, once: false if it had ended before.
bool finish_job(sqlite::database& db, std::int64_t id, const std::string& state, const std::string& result);

/// What was sold, by product, as JSON.
std::string sales_report(sqlite::database& db);

}  // namespace storefront
