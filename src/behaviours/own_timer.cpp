// The timers that a server sets for itself: an idle timeout, hibernation, those of a state machine.
#include <otp/timer.hpp>

#include "behaviours/server_parts.hpp"

namespace otp::detail {

namespace {

struct own_timer_envelope final : envelope {
  own_timer_envelope(const envelope_type& t, std::uint64_t n) noexcept : envelope(&t), number(n) {}
  static void free(envelope* e) { delete static_cast<own_timer_envelope*>(e); }
  std::uint64_t number;
};

}  // namespace

// Casts, which a receive passes over; without a record, by which process_info leaves them out.
constinit const envelope_type idle_expired{signal::cast, nullptr, own_timer_envelope::free, nullptr};
constinit const envelope_type hibernate_due{signal::cast, nullptr, own_timer_envelope::free, nullptr};
constinit const envelope_type machine_timer_due{signal::cast, nullptr, own_timer_envelope::free, nullptr};

ref start_own_timer(const envelope_type& type, instant when, std::uint64_t number) {
  timer_request request{.to = self(), .when = when};
  request.payload = new own_timer_envelope(type, number);
  return arm_timer(std::move(request));
}

std::uint64_t number_of_own_timer(const envelope& e) noexcept {
  return static_cast<const own_timer_envelope&>(e).number;
}

}  // namespace otp::detail
