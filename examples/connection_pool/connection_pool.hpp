// A fixed number of connections to a database, each a process; one that loses its link is replaced by a fresh one.
#pragma once
#include <otp/otp.hpp>
#include <string>

// [pool]
inline constexpr otp::unique_registry<int> connections{"connections"};

struct db_connection {
  struct query { using reply = std::string; std::string sql; };
  struct connection_lost {};  // from whoever watches the link
  using messages = otp::messages<connection_lost>;

  static auto start_link(int id) {
    return otp::gen_server::start_link<db_connection>({.name = otp::via(connections, id)}, id);
  }
  static std::string ask(int id, std::string sql) { return otp::call(otp::via<db_connection>(connections, id), query{std::move(sql)}); }

  explicit db_connection(int number) : id(number), handle(establish_connection(number)) {}
  std::string handle_call(const query& q) { return handle + ": " + q.sql; }
  // Not mended here: the supervisor starts this worker afresh.
  otp::handler_result handle_info(connection_lost) { return otp::stop("connection_lost"); }

  static std::string establish_connection(int id) { return "connection " + std::to_string(id); }  // what a driver would give
  int id;
  std::string handle;
};

struct db_connection_pool {
  static auto start_link(int pool_size) { return otp::supervisor::start_link<db_connection_pool>({.name = "db_connection_pool"}, pool_size); }
  static otp::supervisor_spec init(int pool_size) {
    otp::supervisor_spec spec{.strategy = otp::one_for_one, .max_restarts = 3, .max_seconds = std::chrono::seconds(5)};
    for (int id = 1; id <= pool_size; ++id) spec.children.push_back(otp::child<db_connection>(id).id("db_connection", id));
    return spec;
  }
};
// [/pool]
