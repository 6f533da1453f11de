// Bugs that the tests plant: proof that exploring finds them (tests/sim). The library knows nothing of them: outside of
// that test's build `planted` is a constant, and what hangs on it is not compiled in.
#pragma once
#include <cstdint>

namespace otp::detail {

enum class bug : std::uint8_t {
  none,
  name_after_down,          // watchers hear of an end while the name is still held
  stop_before_the_end,      // stop() returns before the process and its name are gone
  silent_dead,              // a monitor of a dead process gives no DOWN
  down_twice,               // a monitor that arrives late gives two DOWNs
  demonitor_keeps_down,     // demonitor with flush leaves the DOWN in the mailbox
  link_to_dying_lost,       // a link that arrives at a dead process is forgotten
  unlink_not_acknowledged,  // an unlink is over before the other side knows of it
  exit_overtakes,           // exit signals are handled before messages that came earlier
  normal_kills,             // an exit signal `normal` ends a linked process
  kill_travels,             // `killed` of a linked process cannot be trapped
  restart_in_shutdown,      // a child that dies while its supervisor stops is started again
  intensity_off_by_one,     // one restart more than is allowed
  window_does_not_slide,    // restarts are counted in fixed periods
  one_for_all_twice,        // a child of a restarted group is started twice
  unlink_before_shutdown,   // a supervisor that is killed while it stops a child leaves it behind
  cancel_lies,              // a timer that was due fires after its cancel said that it would not
  timer_outlives,           // the timers of a process stay when it ends
  bound_drops_exits,        // a full mailbox refuses exit signals
};

namespace {
#ifdef OTP_PLANTED_BUGS
}
extern bug planted_bug;
namespace {
inline bool planted(bug b) noexcept { return planted_bug == b; }
#else
constexpr bool planted(bug) noexcept { return false; }
#endif
}  // namespace

}  // namespace otp::detail
