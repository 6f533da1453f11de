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

void db_connection::reconnect() {
  database.reset();
  otp::send(otp::self(), connect{});
}

}  // namespace storefront
