// Calls that no handler answers.
// covers: GS-058 GS-065
#include <otp/gen_server.hpp>
#include <string>

struct counter {
  struct add {
    using reply = int;
    int amount;
  };
  struct clear {};
  int handle_call(const add& a) { return total += a.amount; }
  void handle_cast(clear) { total = 0; }
  int total = 0;
};
struct unknown {
  using reply = int;
};

// What the server does not handle, in every way of asking it.
void unhandled(otp::server<counter> c, otp::name<counter> n, otp::runtime& rt) {
  otp::call(c, unknown{});                       // error: missing_handle_call<counter, unknown>
  otp::call(n, unknown{});                       // error: missing_handle_call<counter, unknown>
  otp::call(c, counter::clear{});                // error: missing_handle_call<counter, counter::clear>
  auto r = otp::try_call(c, unknown{});          // error: missing_handle_call<counter, unknown>
  auto id = otp::send_request(c, unknown{});     // error: missing_handle_call<counter, unknown>
  auto all = otp::multi_call(n, unknown{});      // error: missing_handle_call<counter, unknown>
  auto v = otp::multi_call({""}, n, unknown{});  // error: missing_handle_call<counter, unknown>
  rt.call(c, unknown{});                         // error: missing_handle_call<counter, unknown>
  auto o = rt.try_call(n, unknown{});            // error: missing_handle_call<counter, unknown>
}

// What is no address of a server.
void elsewhere(counter& object, otp::pid p, otp::runtime& rt) {
  otp::call(p, counter::add{1});                    // error: not_a_server<otp::pid>
  otp::call("counter", counter::add{1});            // error: not_a_server<char ?\[8\]>
  otp::call(object, counter::add{1});               // error: not_a_server<counter>
  auto r = otp::try_call(p, counter::add{1});       // error: not_a_server<otp::pid>
  auto id = otp::send_request(p, counter::add{1});  // error: not_a_server<otp::pid>
  rt.call(p, counter::add{1});                      // error: not_a_server<otp::pid>
  auto o = rt.try_call(p, counter::add{1});         // error: not_a_server<otp::pid>
}

// A timeout has a unit.
void without_unit(otp::server<counter> c) {
  otp::call(c, counter::add{1}, 5000);  // error: no matching function for call to
}

// Handlers that look right to a hasty eye.
class hasty {
 public:
  struct nameless {};
  struct private_one {
    using reply = int;
  };
  struct changed {
    using reply = int;
  };
  struct other_from {
    using reply = int;
  };
  struct escaping {
    using reply = int&;
  };
  int handle_call(nameless) { return 1; }
  int handle_call(changed&) { return 1; }  // by value or const reference
  void handle_call(other_from, otp::from<std::string>) {}
  int& handle_call(escaping) { return total; }

 private:
  int handle_call(private_one) { return 1; }
  int total = 0;
};
void hasty_handlers(otp::server<hasty> h) {
  otp::call(h, hasty::nameless{});     // error: missing_reply<hasty::nameless>
  otp::call(h, hasty::private_one{});  // error: missing_handle_call<hasty, hasty::private_one>
  otp::call(h, hasty::changed{});      // error: missing_handle_call<hasty, hasty::changed>
  otp::call(h, hasty::other_from{});   // error: missing_handle_call<hasty, hasty::other_from>
  otp::call(h, hasty::escaping{});     // error: reply_is_reference<hasty::escaping>
}
