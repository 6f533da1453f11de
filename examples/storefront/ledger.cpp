#include "ledger.hpp"

#include <array>

namespace storefront {

namespace {

constexpr std::array<std::string_view, 4> events{"authorize", "capture", "refund", "expire"};

payment_event event_of(std::string_view text) {
  for (std::size_t i = 0; i < events.size(); ++i)
    if (events[i] == text) return static_cast<payment_event>(i);
  throw std::logic_error("the ledger has an unknown event: " + std::string(text));
}

}  // namespace

std::string_view to_string(payment_event e) { return events[static_cast<std::size_t>(e)]; }

opened_payment open_payment_row(sqlite::database& db, const std::string& user, const std::string& key,
                                std::int64_t cents) {
  sqlite::transaction all_or_nothing(db);
  {
    auto rows = db.query("SELECT id, cents FROM payments WHERE user = ?1 AND idempotency_key = ?2", user, key);
    if (rows.next()) return {rows.integer(0), rows.integer(1), true};
  }
  db.execute("INSERT INTO payments (user, idempotency_key, cents) VALUES (?1, ?2, ?3)", user, key, cents);
  opened_payment opened{db.last_id(), cents, false};
  all_or_nothing.commit();
  return opened;
}

std::optional<payment_record> find_payment(sqlite::database& db, std::int64_t id) {
  payment_record found;
  {
    auto rows = db.query("SELECT id, user, idempotency_key, cents FROM payments WHERE id = ?1", id);
    if (!rows.next()) return std::nullopt;
    found = {rows.integer(0), rows.text(1), rows.text(2), rows.integer(3), {}};
  }
  for (auto rows = db.query("SELECT event, idempotency_key, cents, reference, unixepoch('now') - unixepoch(at) "
                            "FROM payment_steps WHERE payment = ?1 ORDER BY number",
                            id);
       rows.next();)
    found.steps.push_back(
        {event_of(rows.text(0)), rows.text(1), rows.integer(2), rows.text(3), std::max<std::int64_t>(0, rows.integer(4))});
  return found;
}

std::vector<payment_record> payments_of(sqlite::database& db, const std::string& user, std::int64_t limit) {
  std::vector<payment_record> all;
  for (auto rows = db.query("SELECT id, user, idempotency_key, cents FROM payments WHERE user = ?1 "
                            "ORDER BY id DESC LIMIT ?2",
                            user, limit);
       rows.next();)
    all.push_back({rows.integer(0), rows.text(1), rows.text(2), rows.integer(3), {}});
  return all;
}

std::vector<std::int64_t> overdue_payments(sqlite::database& db, std::int64_t hold_seconds, std::int64_t limit) {
  std::vector<std::int64_t> all;
  // Authorized and nothing more: its one step is old.
  for (auto rows = db.query("SELECT payment FROM payment_steps GROUP BY payment HAVING count(*) = 1 "
                            "AND unixepoch('now') - unixepoch(max(at)) >= ?1 ORDER BY payment LIMIT ?2",
                            hold_seconds, limit);
       rows.next();)
    all.push_back(rows.integer(0));
  return all;
}

// [write_step]
bool write_step(sqlite::database& db, std::int64_t payment, std::int64_t number, const payment_step& step) {
  sqlite::transaction all_or_nothing(db);
  {
    auto rows = db.query("SELECT event, idempotency_key FROM payment_steps WHERE payment = ?1 AND number = ?2", payment,
                         number);
    if (rows.next()) return rows.text(0) == to_string(step.event) && rows.text(1) == step.key;
  }
  db.execute(
      "INSERT INTO payment_steps (payment, number, event, idempotency_key, cents, reference) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
      payment, number, to_string(step.event), step.key, step.cents, step.reference);
  all_or_nothing.commit();
  return true;
}
// [/write_step]

}  // namespace storefront
