#include "jobs.hpp"

#include <nlohmann/json.hpp>

namespace storefront {

queued_job queue_job(sqlite::database& db, const std::string& user, const std::string& key) {
  sqlite::transaction all_or_nothing(db);
  {
    auto rows = db.query("SELECT id FROM jobs WHERE user = ?1 AND idempotency_key = ?2", user, key);
    if (rows.next()) return {rows.integer(0), true};
  }
  db.execute("INSERT INTO jobs (user, idempotency_key) VALUES (?1, ?2)", user, key);
  queued_job queued{db.last_id(), false};
  all_or_nothing.commit();
  return queued;
}

std::optional<job> find_job(sqlite::database& db, std::int64_t id, const std::string& user) {
  auto rows = db.query("SELECT id, state, result FROM jobs WHERE id = ?1 AND user = ?2", id, user);
  if (!rows.next()) return std::nullopt;
  return job{rows.integer(0), rows.text(1), rows.text(2)};
}

std::vector<std::int64_t> unfinished_jobs(sqlite::database& db, std::int64_t limit) {
  std::vector<std::int64_t> all;
  for (auto rows = db.query("SELECT id FROM jobs WHERE state = 'queued' ORDER BY id LIMIT ?1", limit); rows.next();)
    all.push_back(rows.integer(0));
  return all;
}

bool finish_job(sqlite::database& db, std::int64_t id, const std::string& state, const std::string& result) {
  return db.execute("UPDATE jobs SET state = ?2, result = ?3 WHERE id = ?1 AND state = 'queued'", id, state, result) == 1;
}

std::string sales_report(sqlite::database& db) {
  nlohmann::json products = nlohmann::json::array();
  std::int64_t orders = 0, cents = 0;
  for (auto rows = db.query("SELECT product, count(*), sum(quantity), sum(total_cents) FROM orders GROUP BY product "
                            "ORDER BY product");
       rows.next();) {
    products.push_back({{"product", rows.integer(0)},
                        {"orders", rows.integer(1)},
                        {"quantity", rows.integer(2)},
                        {"total_cents", rows.integer(3)}});
    orders += rows.integer(1);
    cents += rows.integer(3);
  }
  return nlohmann::json{{"orders", orders}, {"total_cents", cents}, {"products", std::move(products)}}.dump();
}

}  // namespace storefront
