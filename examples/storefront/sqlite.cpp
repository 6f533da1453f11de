#include "sqlite.hpp"

namespace sqlite {

namespace {

[[noreturn]] void fail(sqlite3* connection, int code) {
  throw error(code, connection ? sqlite3_errmsg(connection) : sqlite3_errstr(code));
}
[[noreturn]] void fail(sqlite3_stmt* statement) {
  sqlite3* connection = sqlite3_db_handle(statement);
  fail(connection, sqlite3_extended_errcode(connection));
}

}  // namespace

void rows::release::operator()(sqlite3_stmt* statement) const {
  sqlite3_reset(statement);  // returns the error of the last step, which next() has thrown already
  sqlite3_clear_bindings(statement);
}

bool rows::next() {
  switch (sqlite3_step(statement_.get())) {
    case SQLITE_ROW: return true;
    case SQLITE_DONE: return false;
    default: fail(statement_.get());
  }
}

std::string rows::text(int column) const {
  auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  return bytes ? std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))) : "";
}

database::database(const std::string& file, std::chrono::milliseconds busy_timeout) {
  // NOMUTEX: two threads never use one connection at the same time, because its process waits while it is in use.
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE;
  sqlite3* opened = nullptr;
  int code = sqlite3_open_v2(file.c_str(), &opened, flags, nullptr);
  connection_.reset(opened);  // must be closed also when opening failed
  if (code != SQLITE_OK) fail(opened, code);
  sqlite3_busy_timeout(opened, static_cast<int>(busy_timeout.count()));
}

void database::run_script(sql statements) {
  int code = sqlite3_exec(connection_.get(), statements.text(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(connection_.get(), code);
}

sqlite3_stmt* database::prepare(sql statement) {
  auto& prepared = prepared_[statement.text()];
  if (!prepared) {
    sqlite3_stmt* made = nullptr;
    int code = sqlite3_prepare_v3(connection_.get(), statement.text(), -1, SQLITE_PREPARE_PERSISTENT, &made, nullptr);
    if (code != SQLITE_OK) fail(connection_.get(), code);
    prepared.reset(made);
  }
  if (sqlite3_stmt_busy(prepared.get()))
    throw std::logic_error("this statement is still giving rows; let its `rows` go before it runs again");
  return prepared.get();
}

void database::bind(sqlite3_stmt* statement, int place, std::int64_t value) {
  if (sqlite3_bind_int64(statement, place, value) != SQLITE_OK) fail(statement);
}
void database::bind(sqlite3_stmt* statement, int place, std::string_view value) {
  if (sqlite3_bind_text64(statement, place, value.data(), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8) != SQLITE_OK)
    fail(statement);
}

transaction::~transaction() {
  if (!database_.in_transaction()) return;  // committed, or rolled back by SQLite itself after a write failed
  try {
    database_.execute("ROLLBACK");
  } catch (const error&) {
    // The connection is broken; the file is not: whoever opens it next rolls back from the log.
  }
}

}  // namespace sqlite
