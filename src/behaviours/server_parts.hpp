// What server_core (gen_server.cpp) and machine_core (gen_statem.cpp) share besides the class itself.
#pragma once
#include <otp/detail/server_core.hpp>

#include "behaviours/debugging.hpp"
#include "process/runtime_core.hpp"

namespace otp::detail {

std::string_view name_of(const envelope_type& type);
/// Where what a destructor of the user's throws has nowhere to go.
void drop_quietly(envelope* e) noexcept;
/// A message as text. The text is the user's code, and must not hurt who reports.
std::string text_of_payload(const envelope_type& type, const envelope& e);

/// As guard(), for what runs for every message.
template <class F>
std::optional<exit_reason> guard_callback(process& p, F&& code) {
  worker& here = *scheduler::current();  // before the handler, which may wait
  const bool watched = core_of(here).watched;
  return guarded(p, [&] {
    if (watched) [[unlikely]]
      at_point(here, "callback");
    code();
  });
}

/// What a server's own timers send it: no message of a user's, and nothing that a receive in a handler may find. One
/// that was cancelled too late carries an old number.
extern const envelope_type idle_expired;
extern const envelope_type hibernate_due;
extern const envelope_type machine_timer_due;
ref start_own_timer(const envelope_type& type, instant when, std::uint64_t number);
std::uint64_t number_of_own_timer(const envelope& e) noexcept;

struct server_core::rare {
  otp::pid self;
  server_name name;
  duration hibernate_after = infinity;
  std::vector<debug_option> debug_options;  // until it has started
  std::unique_ptr<debugging> debug;         // while something is switched on
  ref idle_timer;
  std::uint64_t idle_number = 0;  // of the idle timeout that counts; 0: none
  std::uint64_t idle_last = 0;
  duration idle_time = infinity;  // how long it is; infinity: it has a deadline, and is not begun anew
  envelope* idle_message = nullptr;
  ref hibernate_timer;
  std::uint64_t hibernate_number = 0;
  bool suspended = false;
  ~rare() { drop_quietly(idle_message); }
};

/// Why a server stops.
struct server_core::ending {
  exit_reason why;
  request_envelope* request = nullptr;  // being handled
  bool answered = false;                // its reply is made and leaves when terminate has run
  std::string message{};                // being handled
  bool listed = false;                  // the request is among the outstanding already
};

}  // namespace otp::detail
