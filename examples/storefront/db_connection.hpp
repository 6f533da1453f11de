// A process that owns one connection to the database and runs what others ask of it, one request at a time.
//
// Shape   requests are functions of catalogue.hpp and orders.hpp; they run through otp::blocking, so that only this
//         process, and who asked, waits for the disk.
// Errors  what SQLite refuses (locked, disk full, I/O error) is an answer, `unavailable`, and the connection is opened
//         anew: the shop goes on with what still works. Any other exception is a bug: the process crashes, and its
//         supervisor starts a fresh one.
#pragma once
#include <otp/otp.hpp>

#include <expected>
#include <optional>
#include <vector>

#include "catalogue.hpp"
#include "orders.hpp"

namespace storefront {

struct unavailable {
  std::string why;
};

// [db_connection]
struct db_connection {
  template <class T>
  using answer = std::expected<T, unavailable>;

  struct ping { using reply = answer<bool>; };
  struct read_products { using reply = answer<std::vector<product>>; };
  struct read_product { using reply = answer<std::optional<product>>; std::int64_t id; };
  struct read_order { using reply = answer<std::optional<order>>; std::int64_t id; std::string user; };
  struct write_order { using reply = answer<std::expected<placed_order, refusal>>; order_request order; };
  struct connect {};
  using messages = otp::messages<connect>;

  static otp::result<otp::server<db_connection>> start_link(std::string name, std::string file);
  static otp::init_result<db_connection> init(std::string file) {
    return otp::ok(std::move(file)).then_continue(connect{});
  }
  explicit db_connection(std::string path) : file(std::move(path)) {}

  void handle_continue(connect);
  void handle_info(connect) { handle_continue({}); }

  ping::reply handle_call(const ping&);
  read_products::reply handle_call(const read_products&);
  read_product::reply handle_call(const read_product& asked);
  read_order::reply handle_call(const read_order& asked);
  write_order::reply handle_call(const write_order& asked);

  std::string to_string() const { return database ? "connected" : "not connected"; }

  std::string file;
  std::optional<sqlite::database> database;

 private:
  template <class Work>
  auto run(Work work) -> answer<std::invoke_result_t<Work, sqlite::database&>>;
};
// [/db_connection]

}  // namespace storefront
