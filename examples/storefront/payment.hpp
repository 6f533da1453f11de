// A payment: one state machine each, started when it is first asked for, with its steps in the ledger.
//
// Shape   found by its number in a registry, started under a dynamic supervisor. A step asks the gateway, is written to
//         the ledger, and only then taken and acknowledged. A machine that is started again reads its steps; who asks
//         meanwhile waits. Nobody's question for a while, and the machine goes: the ledger has all it knows.
// Errors  a refusal, with nothing changed. Where the machine cannot know whether a step was written, it says `unavailable`
//         and reads the ledger again.
// Source  the payment workflow of the OTP guide. Differs: its memory is a table, so a kill costs a payment nothing.
#pragma once
#include <otp/otp.hpp>
#include <otp/gen_statem.hpp>
#include <otp/registry.hpp>

#include <expected>

#include "gateway.hpp"
#include "ledger.hpp"

namespace storefront {
using namespace std::chrono_literals;

inline constexpr otp::unique_registry<std::int64_t> payments{"payments"};

struct payment_view {
  std::int64_t id = 0;
  std::int64_t cents = 0;
  std::int64_t refunded_cents = 0;
  std::string state;
  bool replayed = false;  ///< the step had been taken before
};

// [payment]
struct payment {
  struct loading { static constexpr auto word = "loading"; };
  struct pending { static constexpr auto word = "pending"; };
  struct authorized { static constexpr auto word = "authorized"; std::string reference; std::int64_t age_seconds = 0; };
  struct captured { static constexpr auto word = "captured"; std::string reference; };
  struct refunded { static constexpr auto word = "refunded"; };
  using states = otp::states<loading, pending, authorized, captured, refunded>;

  enum class refusal { declined, gateway_failed, invalid_amount, invalid_event, terminal_state, key_reused, unavailable };
  using outcome = std::expected<payment_view, refusal>;
  struct authorize { using reply = outcome; std::string key, card; };
  struct capture { using reply = outcome; std::string key; };
  struct refund { using reply = outcome; std::string key; std::int64_t cents = 0; };
  struct show { using reply = payment_view; };
  struct load {};
  struct expire {};  // an authorization does not wait for ever
  struct leave {};
  using events = otp::events<authorize, capture, refund, show, load, expire, leave>;

  payment(std::int64_t number, std::shared_ptr<payment_gateway> bank) : id(number), gateway(std::move(bank)) {}
  static otp::result<otp::server<payment>> start_link(std::int64_t id, std::shared_ptr<payment_gateway> bank);

  // What the ledger says is not known, and whoever asks has to wait.
  otp::step<void> enter(loading&) { return otp::stay().state_timeout(0s, load{}); }
  otp::step<void, pending, authorized, captured, refunded> on(loading&, const load&);
  otp::step<outcome> on(loading&, const authorize&) { return otp::stay().postpone(); }
  otp::step<outcome> on(loading&, const capture&) { return otp::stay().postpone(); }
  otp::step<outcome> on(loading&, const refund&) { return otp::stay().postpone(); }
  otp::step<payment_view> on(loading&, const show&) { return otp::stay().postpone(); }

  otp::step<void> enter(pending&) { return otp::stay().state_timeout(rest, leave{}); }
  otp::step<outcome, authorized, loading> on(pending&, const authorize& event);
  otp::step<void> on(pending&, const leave&) { return otp::stop(otp::reason::normal); }

  otp::step<void> enter(authorized& state);
  otp::step<outcome, captured, loading> on(authorized& state, const capture& event);
  otp::step<outcome, refunded, loading> on(authorized& state, const refund& event);
  otp::step<void, refunded, loading> on(authorized& state, const expire&);

  otp::step<void> enter(captured&) { return otp::stay().state_timeout(rest, leave{}); }
  otp::step<outcome, refunded, loading> on(captured& state, const refund& event);
  otp::step<void> on(captured&, const leave&) { return otp::stop(otp::reason::normal); }

  otp::step<void> enter(refunded&) { return otp::stay().state_timeout(rest, leave{}); }
  otp::step<void> on(refunded&, const leave&) { return otp::stop(otp::reason::normal); }

  // What no handler takes: a step that was taken before, asked for again, or one that does not fit the state.
  template <class State>
  payment_view otherwise(const State&, const show&) {
    return view(State::word);
  }
  template <class State, class Event>
    requires requires(const Event& e) { e.key; }
  outcome otherwise(const State&, const Event& event) {
    if (const payment_step* before = step_under(event.key)) {
      if (!is_that(*before, event)) return std::unexpected(refusal::key_reused);
      payment_view same = view(State::word);
      same.replayed = true;
      return same;
    }
    return std::unexpected(std::is_same_v<State, refunded> ? refusal::terminal_state : refusal::invalid_event);
  }
  std::string to_string() const { return "payment " + std::to_string(id); }

  std::int64_t id;
  std::shared_ptr<payment_gateway> gateway;
  payment_record record;

 private:
  static constexpr otp::duration rest = std::chrono::minutes(5);
  static bool is_that(const payment_step& step, const authorize&) { return step.event == payment_event::authorize; }
  static bool is_that(const payment_step& step, const capture&) { return step.event == payment_event::capture; }
  static bool is_that(const payment_step& step, const refund& event) {
    return step.event == payment_event::refund && step.cents == event.cents;
  }
  const payment_step* step_under(const std::string& key) const;
  payment_view view(const char* state) const;
  bool write(payment_step step);
  template <class Target>
  otp::step<outcome, Target, loading> take(payment_step step, Target target);
  otp::step<outcome, refunded, loading> give_back(const std::string& reference, const refund& event);
};
// [/payment]

}  // namespace storefront
