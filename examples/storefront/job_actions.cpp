#include <nlohmann/json.hpp>

#include "actions.hpp"
#include "db_pool.hpp"
#include "job_runner.hpp"
#include "jobs.hpp"

namespace storefront {

using nlohmann::json;

// [queue]
response act(const queue_report& asked, const customer& by) {
  auto queued = db_pool::write([user = by.name, key = asked.key](sqlite::database& db) { return queue_job(db, user, key); });
  if (!queued) return database_unavailable();
  otp::cast(job_runner::name, job_runner::look{});  // nobody there to hear it: it looks by itself
  response answer = json_response(202, {{"id", queued->id}, {"state", "queued"}});
  answer.headers.emplace_back("Location", "/jobs/" + std::to_string(queued->id));
  if (queued->replayed) answer.headers.emplace_back("Idempotent-Replayed", "true");
  return answer;
}
// [/queue]

response act(const show_job& asked, const customer& by) {
  auto found = db_pool::read([id = asked.id, user = by.name](sqlite::database& db) { return find_job(db, id, user); });
  if (!found) return database_unavailable();
  if (!*found) return error_response(404, "not_found", "you have no such job");
  json body{{"id", (*found)->id}, {"state", (*found)->state}};
  if ((*found)->state == "done") body["report"] = json::parse((*found)->result);
  if ((*found)->state == "failed") body["why"] = (*found)->result;
  return json_response(200, body);
}

}  // namespace storefront
