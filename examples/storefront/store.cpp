#include "store.hpp"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>

namespace storefront {

namespace {

constexpr std::int64_t schema_version = 2;  // the user_version that the last step of make_tables sets

[[noreturn]] void unusable(const std::string& what, const std::string& why, const std::string& help = "") {
  throw unusable_store(what + ": " + why + (help.empty() ? "" : "; " + help));
}

// SQLite refuses links anywhere in a path when it is told not to follow them: ours are resolved here, once.
std::string real_folder(const std::string& folder) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    unusable("cannot make the data folder '" + folder + "'", std::strerror(errno),
             "give one that can be made with --data");
  std::array<char, PATH_MAX> path;
  struct stat is;
  if (!realpath(folder.c_str(), path.data()) || stat(path.data(), &is) != 0)
    unusable("cannot use the data folder '" + folder + "'", std::strerror(errno));
  if (!S_ISDIR(is.st_mode)) unusable("cannot use the data folder '" + folder + "'", "it is not a folder");
  if (access(path.data(), R_OK | W_OK | X_OK) != 0)
    unusable("cannot use the data folder '" + folder + "'", std::strerror(errno),
             "this program has to read and write in it");
  return path.data();
}

// Made by us and not by SQLite, so that nobody else can read it from the first moment on; the log files beside it get
// the same mode. Before any connection is open: closing a descriptor of the file would drop that connection's locks.
void make_file(const std::string& file) {
  int descriptor = open(file.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (descriptor < 0)
    unusable("cannot open '" + file + "'", errno == ELOOP ? "it is a symbolic link" : std::strerror(errno));
  close(descriptor);
}

std::int64_t version_of(sqlite::database& db) {
  auto rows = db.query("PRAGMA user_version");
  return rows.next() ? rows.integer(0) : 0;
}

// One function a version: a file of an older program takes those that it lacks.
void make_version_1(sqlite::database& db) {
  db.run_script(R"(
    CREATE TABLE products (
      id          INTEGER PRIMARY KEY,
      name        TEXT    NOT NULL,
      price_cents INTEGER NOT NULL CHECK (price_cents >= 0),
      stock       INTEGER NOT NULL CHECK (stock >= 0)
    ) STRICT;
    CREATE TABLE orders (
      id              INTEGER PRIMARY KEY AUTOINCREMENT,
      user            TEXT    NOT NULL,
      idempotency_key TEXT    NOT NULL,
      product         INTEGER NOT NULL REFERENCES products (id),
      quantity        INTEGER NOT NULL CHECK (quantity > 0),
      total_cents     INTEGER NOT NULL,
      placed_at       TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
      UNIQUE (user, idempotency_key)
    ) STRICT;
    INSERT INTO products (id, name, price_cents, stock) VALUES
      ( 1, 'Espresso cups, set of four',     2490, 1000000),
      ( 2, 'Moka pot, 6 cups',               3450, 1000000),
      ( 3, 'Hand grinder, steel burrs',      8900, 1000000),
      ( 4, 'Kettle with thermometer',        6500, 1000000),
      ( 5, 'Paper filters, 100 pieces',       390, 1000000),
      ( 6, 'Dripper, white porcelain',       1890, 1000000),
      ( 7, 'Kitchen scale, 0.1 g',           2990, 1000000),
      ( 8, 'Milk jug, 350 ml',               1450, 1000000),
      ( 9, 'Ethiopia Sidamo, 250 g',         1090, 1000000),
      (10, 'Colombia Huila, 250 g',           990, 1000000),
      (11, 'Decaf, Swiss water, 250 g',      1040, 1000000),
      (12, 'Signed first print of the menu', 9900, 25);
    PRAGMA user_version = 1;
  )");
}

void make_version_2(sqlite::database& db) {
  db.run_script(R"(
    CREATE TABLE payments (
      id              INTEGER PRIMARY KEY AUTOINCREMENT,
      user            TEXT    NOT NULL,
      idempotency_key TEXT    NOT NULL,
      cents           INTEGER NOT NULL CHECK (cents > 0),
      opened_at       TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
      UNIQUE (user, idempotency_key)
    ) STRICT;
    CREATE TABLE payment_steps (
      payment         INTEGER NOT NULL REFERENCES payments (id),
      number          INTEGER NOT NULL,
      event           TEXT    NOT NULL CHECK (event IN ('authorize', 'capture', 'refund', 'expire')),
      idempotency_key TEXT    NOT NULL,
      cents           INTEGER NOT NULL CHECK (cents > 0),
      reference       TEXT    NOT NULL,
      at              TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
      PRIMARY KEY (payment, number),
      UNIQUE (payment, idempotency_key)
    ) STRICT;
    CREATE TABLE jobs (
      id              INTEGER PRIMARY KEY AUTOINCREMENT,
      user            TEXT    NOT NULL,
      idempotency_key TEXT    NOT NULL,
      state           TEXT    NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'done', 'failed')),
      result          TEXT    NOT NULL DEFAULT '',
      queued_at       TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
      UNIQUE (user, idempotency_key)
    ) STRICT;
    CREATE INDEX unfinished_jobs ON jobs (id) WHERE state = 'queued';
    CREATE INDEX orders_of_user ON orders (user);
    PRAGMA user_version = 2;
  )");
}

}  // namespace

sqlite::database open_store(const std::string& file) {
  sqlite::database db(file, std::chrono::milliseconds(500));
  // WAL: readers never wait for the writer. FULL: a commit is on the disk before it is acknowledged; NORMAL would
  // survive every crash of this program but could lose the last orders to a power cut.
  db.run_script(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;");
  return db;
}

std::string prepare_store(const std::string& folder) {
  std::string file = real_folder(folder) + "/storefront.db";
  make_file(file);
  try {
    auto db = open_store(file);
    sqlite::transaction first_start(db);
    std::int64_t version = version_of(db);
    if (version < 1) make_version_1(db);
    if (version < 2) make_version_2(db);
    if (version > schema_version)
      unusable("cannot use '" + file + "'", "its tables were made by a newer version of this program",
               "give another folder with --data");
    first_start.commit();
  } catch (const sqlite::error& e) {
    unusable("cannot use '" + file + "'", e.what(), "move it away for a new one, or give another folder with --data");
  }
  return file;
}

}  // namespace storefront
