// Messages that cannot get from one process into another.
#include <otp/gen_server.hpp>
#include <otp/timer.hpp>
#include <memory>

struct once {  // moves
  using reply = int;
  std::unique_ptr<int> content;
};
struct pinned {  // does not
  using reply = int;
  pinned() = default;
  pinned(pinned&&) = delete;
};
struct made {
  struct ask {
    using reply = pinned;
  };
  pinned handle_call(ask) { return {}; }
  int handle_call(once) { return 1; }
  int handle_call(const pinned&) { return 1; }
  void handle_cast(once) {}
  void handle_cast(const pinned&) {}
  void handle_info(const once&) {}
};

void plain(otp::pid to, otp::ref alias, otp::runtime& rt, once message, const once& constant) {
  otp::send(to, message);      // error: needs_std_move<once>
  otp::send(alias, message);   // error: needs_std_move<once>
  otp::send("name", message);  // error: needs_std_move<once>
  rt.send(to, message);        // error: needs_std_move<once>
  rt.send("name", message);    // error: needs_std_move<once>
  otp::send(to, constant);     // error: not_copyable<once>
  otp::send(to, pinned());     // error: not_movable<pinned>
  otp::send(to, std::move(message));
}
void typed(otp::server<made> to, otp::runtime& rt, once message) {
  otp::call(to, message);                    // error: needs_std_move<once>
  otp::call(to, pinned());                   // error: not_movable<pinned>
  auto r = otp::try_call(to, message);       // error: needs_std_move<once>
  auto id = otp::send_request(to, message);  // error: needs_std_move<once>
  otp::cast(to, message);                    // error: needs_std_move<once>
  otp::cast(to, pinned());                   // error: not_movable<pinned>
  otp::send(to, message);                    // error: needs_std_move<once>
  rt.cast(to, message);                      // error: needs_std_move<once>
  otp::call(to, made::ask{});                // error: not_movable<pinned>
  otp::cast(to, std::move(message));
}
