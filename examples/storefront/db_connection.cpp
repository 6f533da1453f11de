#include "db_connection.hpp"

#include "store.hpp"

namespace storefront {
using namespace std::chrono_literals;

// [start_link]
otp::result<otp::server<db_connection>> db_connection::start_link(std::string name, std::string file) {
  // More than this many requests in the mailbox, and the next caller is told at once instead of waiting in vain.
  otp::start_options options{.name = name, .spawn = {.mailbox = {.max_messages = 256}}};
  auto started = otp::gen_server::start_link<db_connection>(options, file);
  if (started || started.error() != otp::reason::already_started) return started;
  // The supervisor before this one was killed, and its child cannot end before the disk has answered.
  otp::ref predecessor = otp::monitor(started.error().process());
  otp::receive(otp::when([&](const otp::down& d) { return d.reference == predecessor; }, [](const otp::down&) {}),
               otp::after(5s, [] {}));
  otp::demonitor(predecessor, {.flush = true});
  return otp::gen_server::start_link<db_connection>(options, file);
}
// [/start_link]

void db_connection::handle_continue(connect) {
  try {
    database = otp::blocking([this] { return open_store(file); });
  } catch (const sqlite::error& e) {
    otp::report({.what = "database_unavailable",
                 .severity = otp::severity::warning,
                 .process = otp::self(),
                 .fields = {{"why", e.what()}}});
    otp::send_after(200ms, otp::self(), connect{});
  }
}

// [run]
template <class Work>
auto db_connection::run(Work work) -> answer<std::invoke_result_t<Work, sqlite::database&>> {
  if (!database) return std::unexpected(unavailable{"there is no connection to the database"});
  try {
    return otp::blocking([&] { return work(*database); });
  } catch (const sqlite::error& e) {
    if (!e.busy()) {
      database.reset();
      otp::send(otp::self(), connect{});
    }
    return std::unexpected(unavailable{e.what()});
  }
}
// [/run]

db_connection::ping::reply db_connection::handle_call(const ping&) {
  return run([](sqlite::database& db) { return db.query("SELECT 1").next(); });
}
db_connection::read_products::reply db_connection::handle_call(const read_products&) { return run(all_products); }
db_connection::read_product::reply db_connection::handle_call(const read_product& asked) {
  return run([&](sqlite::database& db) { return find_product(db, asked.id); });
}
db_connection::read_order::reply db_connection::handle_call(const read_order& asked) {
  return run([&](sqlite::database& db) { return find_order(db, asked.id, asked.user); });
}
db_connection::write_order::reply db_connection::handle_call(const write_order& asked) {
  return run([&](sqlite::database& db) { return place_order(db, asked.order); });
}

}  // namespace storefront
