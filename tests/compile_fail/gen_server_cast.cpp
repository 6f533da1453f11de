// Casts and messages that no handler takes.
// covers: GS-058 GS-065
#include <otp/gen_server.hpp>

struct counter {
  struct add {
    using reply = int;
    int amount;
  };
  struct clear {};
  struct tick {};
  using messages = otp::messages<tick>;
  int handle_call(const add& a) { return total += a.amount; }
  void handle_cast(clear) { total = 0; }
  void handle_info(tick) {}
  int total = 0;
};
struct unknown {};

void unhandled(otp::server<counter> c, otp::name<counter> n, otp::runtime& rt) {
  otp::cast(c, unknown{});          // error: missing_handle_cast<counter, unknown>
  otp::cast(n, counter::add{1});    // error: missing_handle_cast<counter, counter::add>
  otp::cast(c, counter::tick{});    // error: missing_handle_cast<counter, counter::tick>
  otp::abcast(n, unknown{});        // error: missing_handle_cast<counter, unknown>
  otp::abcast({""}, n, unknown{});  // error: missing_handle_cast<counter, unknown>
  rt.cast(c, unknown{});            // error: missing_handle_cast<counter, unknown>
  otp::send(c, unknown{});          // error: missing_handle_info<counter, unknown>
  otp::send(n, counter::clear{});   // error: missing_handle_info<counter, counter::clear>
}

// What is no address of a server. (A message to a pid or a name's text is sent, not cast.)
void elsewhere(counter& object, otp::pid p, otp::runtime& rt) {
  otp::cast(p, counter::clear{});          // error: not_a_server<otp::pid>
  otp::cast("counter", counter::clear{});  // error: not_a_server<char ?\[8\]>
  otp::cast(object, counter::clear{});     // error: not_a_server<counter>
  rt.cast(p, counter::clear{});            // error: not_a_server<otp::pid>
}

// An address belongs to its type of server.
struct another {};
otp::server<another> mixed_up(otp::server<counter> c) {
  return c;  // error: server<another>
}
otp::server<counter> by_itself(otp::pid p) {
  return p;  // error: server<counter>
}
