// The envelopes of control signals.
#pragma once
#include <otp/message.hpp>

namespace otp::detail {

/// Memory of envelopes for a signal that must not fail to be sent: there is a reserve kept for that.
void* signal_memory();
void fill_signal_reserve() noexcept;

struct control_envelope final : envelope {
  control_envelope(const envelope_type* t, pid sender, std::uint64_t n) noexcept
      : envelope(t), from(sender), number(n) {}
  static void* operator new(std::size_t) { return signal_memory(); }
  static void operator delete(void* memory) noexcept { free_envelope_memory(memory, sizeof(control_envelope)); }
  pid from;
  std::uint64_t number;  // of the monitor, the unlink, the timer; the token of a wake
};

/// An exit signal is the message that a trapping receiver gets; accepting it only changes the envelope's type.
using exit_envelope = value_envelope<exit_signal>;
exit_envelope* make_exit(const envelope_type& type, pid from, const exit_reason& why) noexcept;

/// A monitor travels to its target as the down message that will come back, so that dying needs no memory for it.
using down_envelope = value_envelope<down>;

/// A user's message on its way through an alias.
struct alias_envelope final : envelope {
  alias_envelope(std::uint64_t n, envelope* message);
  ~alias_envelope() noexcept(false);
  std::uint64_t number;
  envelope* inner;
};

extern const envelope_type exit_type;       // exit(pid, reason)
extern const envelope_type fatal_type;      // the same, not to be trapped
extern const envelope_type link_exit_type;  // a linked process ended
extern const envelope_type link_type;
extern const envelope_type unlink_type;
extern const envelope_type unlink_ack_type;
extern const envelope_type monitor_type;
extern const envelope_type demonitor_type;
extern const envelope_type down_type;
extern const envelope_type wake_type;
extern const envelope_type timer_set_type;
extern const envelope_type timer_gone_type;
extern const envelope_type alias_type;

}  // namespace otp::detail
