// Handlers that return what nobody can use.
#include <otp/gen_server.hpp>
#include <string>

struct odd {
  struct text {
    using reply = int;
  };
  struct nothing {
    using reply = int;
  };
  struct something {
    using reply = void;
  };
  struct other_result {
    using reply = int;
  };
  struct deferred {
    using reply = int;
  };
  struct number {};
  std::string handle_call(text) { return "1"; }
  void handle_call(nothing) {}
  int handle_call(something) { return 1; }
  otp::call_result<std::string> handle_call(other_result) { return otp::reply("one"); }
  std::string handle_call(deferred, otp::from<int>) { return "1"; }
  int handle_cast(number) { return 1; }
  int handle_info(number) { return 1; }
};
void calls(otp::server<odd> s) {
  otp::call(s, odd::text{});          // error: wrong_handle_call_result<odd, odd::text, std::
  otp::call(s, odd::nothing{});       // error: wrong_handle_call_result<odd, odd::nothing, void>
  otp::call(s, odd::something{});     // error: wrong_handle_call_result<odd, odd::something, int>
  otp::call(s, odd::other_result{});  // error: wrong_handle_call_result<odd, odd::other_result, otp::call_result<std::
  otp::call(s, odd::deferred{});      // error: wrong_handle_call_result<odd, odd::deferred, std::
  otp::cast(s, odd::number{});        // error: wrong_handle_cast_result<odd, odd::number, int>
  otp::send(s, odd::number{});        // error: wrong_handle_info_result<odd, odd::number, int>
}

// A reply is no answer to a cast, and no step of a handler that nobody waits for.
struct replies {
  struct q {
    using reply = int;
  };
  otp::handler_result handle_cast(q) {
    return otp::reply(1);  // error: otp::handler_result
  }
  otp::handler_result handle_info(otp::timeout) {
    return otp::stop("over").reply(1);  // error: otp::handler_result
  }
  otp::call_result<int> handle_call(q) {
    return otp::reply(std::string("x"));  // error: otp::call_result<int>
  }
  otp::call_result<int> handle_continue(q) {
    return otp::stop("over").reply("x");  // error: otp::call_result<int>
  }
};

// A result goes to the machine at once: it is not kept and changed.
otp::handler_result kept() {
  auto step = otp::noreply();
  step.hibernate();                        // error: hibernate|this. argument
  return otp::noreply().timeout_after(5);  // error: timeout_after
}

// ---- deferred replies --------------------------------------------------------------------------------------------

void answers(otp::from<int>& number, otp::from<void>& done) {
  number.reply(std::string("x"));        // error: wrong_reply<int, std::
  number.reply();                        // error: wrong_reply<int>
  done.reply(1);                         // error: wrong_reply<void, int>
  otp::reply(number, std::string("x"));  // error: wrong_reply<int, std::
  otp::reply(number);                    // error: wrong_reply<int>
  otp::from<int> second = number;        // error: otp::from<int>
}
