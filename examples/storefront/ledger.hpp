// What happened to payments: a row a step, never changed. A payment is what its steps say. Every function blocks.
#pragma once
#include "sqlite.hpp"

#include <optional>
#include <vector>

namespace storefront {

enum class payment_event : std::uint8_t { authorize, capture, refund, expire };
std::string_view to_string(payment_event e);

struct payment_step {
  payment_event event{};
  std::string key;        ///< of idempotency; unique in the payment
  std::int64_t cents = 0;
  std::string reference;  ///< the bank's
  std::int64_t age_seconds = 0;  ///< how long ago, when it was read
};

struct payment_record {
  std::int64_t id = 0;
  std::string user;
  std::string key;  ///< of idempotency; unique for the user
  std::int64_t cents = 0;
  std::vector<payment_step> steps;  ///< in order
};

struct opened_payment {
  std::int64_t id = 0;
  std::int64_t cents = 0;
  bool replayed = false;  ///< it had been opened before
};

/// A payment without steps. Opening it again under the same key changes nothing; it may be for another amount then.
opened_payment open_payment_row(sqlite::database& db, const std::string& user, const std::string& key, std::int64_t cents);

std::optional<payment_record> find_payment(sqlite::database& db, std::int64_t id);
/// Without their steps, the newest first.
std::vector<payment_record> payments_of(sqlite::database& db, const std::string& user, std::int64_t limit);

/// Those that are authorized for longer than this, the oldest first.
std::vector<std::int64_t> overdue_payments(sqlite::database& db, std::int64_t hold_seconds, std::int64_t limit);

/// Writes the `number`-th step of a payment, counted from 1, unless there is one already; true if it is there now.
/// Returns when it is on the disk.
bool write_step(sqlite::database& db, std::int64_t payment, std::int64_t number, const payment_step& step);

}  // namespace storefront
