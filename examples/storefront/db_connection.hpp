// A process that owns one connection to the database and runs what others ask of it, one request at a time.
//
// Shape   a request is a function of the database, as those of catalogue.hpp and orders.hpp; it runs through
//         otp::blocking, so that only this process, and who asked, waits for the disk.
// Errors  what SQLite refuses (locked, disk full, I/O error) is an answer, `unavailable`, and the connection is opened
//         anew: the shop goes on with what still works. Any other exception is a bug: the process crashes, and its
//         supervisor starts a fresh one.
#pragma once
#include <otp/otp.hpp>

#include <expected>
#include <optional>

#include "sqlite.hpp"

namespace storefront {

struct unavailable {
  std::string why;
};

// [db_connection]
struct db_connection {
  template <class T>
  using answer = std::expected<T, unavailable>;

  template <class F>
  struct query {
    using reply = answer<std::invoke_result_t<const F&, sqlite::database&>>;
    F function;
  };
  struct connect {};
  using messages = otp::messages<connect>;

  static otp::result<otp::server<db_connection>> start_link(std::string name, std::string file);
  static otp::init_result<db_connection> init(std::string file) {
    return otp::ok(std::move(file)).then_continue(connect{});
  }
  explicit db_connection(std::string path) : file(std::move(path)) {}

  void handle_continue(connect);
  void handle_info(connect) { handle_continue({}); }
  template <class F>
  typename query<F>::reply handle_call(const query<F>& asked) {
    return run(asked.function);
  }

  std::string to_string() const { return database ? "connected" : "not connected"; }

  std::string file;
  std::optional<sqlite::database> database;

 private:
  template <class F>
  typename query<F>::reply run(const F& work) {
    if (!database) return std::unexpected(unavailable{"there is no connection to the database"});
    try {
      return otp::blocking([&] { return work(*database); });
    } catch (const sqlite::error& e) {
      if (!e.busy()) reconnect();
      return std::unexpected(unavailable{e.what()});
    }
  }
  void reconnect();
};
// [/db_connection]

}  // namespace storefront
