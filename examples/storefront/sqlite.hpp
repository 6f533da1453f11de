// SQLite as C++ values: a database, statements that can only be literals, their rows, a transaction.
//
// Shape   one connection belongs to one process at a time. Every function may block: call them inside otp::blocking.
// Errors  sqlite::error, with SQLite's own words and its extended result code.
#pragma once
#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>

namespace sqlite {

class error : public std::runtime_error {
 public:
  error(int code, const std::string& text) : std::runtime_error(text), code_(code) {}
  int code() const { return code_; }  ///< extended: SQLITE_IOERR_FSYNC, not only SQLITE_IOERR
  /// Somebody else holds the lock: the connection is sound, and trying again may help.
  bool busy() const { return (code_ & 0xff) == SQLITE_BUSY; }

 private:
  int code_;
};

/// The text of a statement. Only a literal makes one, so no statement can be put together from somebody's input:
/// values go in as bound parameters.
class sql {
 public:
  template <std::size_t Size>
  consteval sql(const char (&literal)[Size]) : text_(literal) {}
  constexpr const char* text() const { return text_; }

 private:
  const char* text_;
};

/// The rows of a query, one after the other. The statement is free for its next use when this goes.
class rows {
 public:
  explicit rows(sqlite3_stmt* statement) : statement_(statement) {}
  rows(rows&& other) noexcept = default;
  rows& operator=(rows&& other) noexcept = default;

  /// Steps to the next row; false after the last one.
  bool next();
  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  std::string text(int column) const;

 private:
  struct release {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, release> statement_;
};

class database {
 public:
  /// Opens a file that exists. A symbolic link is refused; another connection's lock is waited for as long as given.
  database(const std::string& file, std::chrono::milliseconds busy_timeout);

  /// Prepares the statement, or takes it from those prepared before, and binds ?1, ?2 ... to the values.
  template <class... Values>
  rows query(sql statement, const Values&... values) {
    sqlite3_stmt* prepared = prepare(statement);
    rows result(prepared);
    int place = 0;
    (bind(prepared, ++place, values), ...);
    return result;
  }
  /// The same for a statement without rows; returns how many rows it changed.
  template <class... Values>
  int execute(sql statement, const Values&... values) {
    query(statement, values...).next();
    return sqlite3_changes(connection_.get());
  }
  /// Several statements at once, without values: a schema, for example.
  void run_script(sql statements);

  std::int64_t last_id() const { return sqlite3_last_insert_rowid(connection_.get()); }
  bool in_transaction() const { return sqlite3_get_autocommit(connection_.get()) == 0; }

 private:
  sqlite3_stmt* prepare(sql statement);
  static void bind(sqlite3_stmt* statement, int place, std::int64_t value);
  static void bind(sqlite3_stmt* statement, int place, std::string_view value);

  struct close {
    void operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }
  };
  struct finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3, close> connection_;
  std::unordered_map<const char*, std::unique_ptr<sqlite3_stmt, finalize>> prepared_;  // by the literal's address
};

/// Everything until commit(), or nothing. Takes the write lock at once, so that it cannot fail half-way for want of it.
class transaction {
 public:
  explicit transaction(database& on) : database_(on) { database_.execute("BEGIN IMMEDIATE"); }
  transaction(const transaction&) = delete;
  transaction& operator=(const transaction&) = delete;
  ~transaction();
  void commit() { database_.execute("COMMIT"); }

 private:
  database& database_;
};

}  // namespace sqlite
