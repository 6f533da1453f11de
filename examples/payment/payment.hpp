// A payment from its authorization to its capture or refund: one machine per payment.
//
// Shape   callers --authorize, capture, refund--> one machine, which asks the gateway while it handles them.
//         An authorization that nobody captures in time is given back by itself.
// Errors  a payment event in a state that does not take it: invalid_event, or terminal_state at the end.
#pragma once
#include <otp/otp.hpp>

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <type_traits>

/// Who moves the money. Functions may wait; only the payment that asks waits with them.
class payment_gateway {
 public:
  virtual ~payment_gateway() = default;
  /// The id of the authorization; empty if it is declined.
  virtual std::string authorize(const std::string& card_token, std::int64_t cents) = 0;
  virtual bool capture(const std::string& auth_id) = 0;
  virtual bool refund(const std::string& auth_id, std::int64_t cents) = 0;
};

// [payment]
struct payment {
  struct pending {};
  struct authorized {
    std::string auth_id;
  };
  struct captured {
    std::string auth_id;
  };
  struct refunded {};
  using states = otp::states<pending, authorized, captured, refunded>;

  enum class error { declined, gateway_failed, invalid_amount, invalid_event, terminal_state };
  using result = std::expected<void, error>;
  struct authorize {
    using reply = result;
    std::string card_token;
  };
  struct capture {
    using reply = result;
  };
  struct refund {
    using reply = result;
    std::int64_t cents;
  };
  struct expired {};  // an authorization does not wait for ever
  using events = otp::events<authorize, capture, refund, expired>;

  otp::step<result, authorized> on(pending&, const authorize& event) {
    std::string auth_id = gateway->authorize(event.card_token, cents);
    if (auth_id.empty()) return otp::stay().reply(std::unexpected(error::declined));
    return otp::go(authorized{auth_id}).reply({}).state_timeout(hold_time, expired{});
  }
  otp::step<result, captured> on(authorized& state, const capture&) {
    if (!gateway->capture(state.auth_id)) return otp::stay().reply(std::unexpected(error::gateway_failed));
    return otp::go(captured{state.auth_id}).reply({});
  }
  otp::step<result, refunded> on(authorized& state, const refund& event) { return give_back(state.auth_id, event); }
  otp::step<result, refunded> on(captured& state, const refund& event) { return give_back(state.auth_id, event); }
  otp::step<void, refunded> on(authorized& state, const expired&) {
    gateway->refund(state.auth_id, cents);
    return otp::go(refunded{});
  }

  // What no handler takes. Without it such a call would end the machine.
  template <class State, class Event>
  result otherwise(const State&, const Event&) {
    return std::unexpected(std::is_same_v<State, refunded> ? error::terminal_state : error::invalid_event);
  }

  std::shared_ptr<payment_gateway> gateway;
  std::int64_t cents;
  otp::duration hold_time = std::chrono::hours(24 * 7);

 private:
  otp::step<result, refunded> give_back(const std::string& auth_id, const refund& event) {
    if (event.cents <= 0 || event.cents > cents) return otp::stay().reply(std::unexpected(error::invalid_amount));
    if (!gateway->refund(auth_id, event.cents)) return otp::stay().reply(std::unexpected(error::gateway_failed));
    return otp::go(refunded{}).reply({});
  }
};
// [/payment]
