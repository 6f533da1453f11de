// Timers: a message, an exit signal or a function, later or again and again.
//
// Shape   the runtime keeps the message and sends it to a process or a name when the time has come, never earlier. A
//         timer for a process vanishes when that process ends; a name is looked up at expiry.
// Units   otp::duration from now, or an absolute otp::instant. 0 is "at once" and still asynchronous.
// Errors  bad_argument for a negative time.
// Source  erlang:send_after/3, start_timer/3, cancel_timer/2, read_timer/1 and the timer module. An interval timer
//         sends one message a period whether or not its target is busy, as in OTP; if the timer itself is late by
//         several periods (a stalled program), they become one message, and the rhythm is kept.
#pragma once
#include <otp/process.hpp>

#include <memory>

namespace otp {

namespace detail {
/// What a timer has besides a message for a process.
struct timer_details {
  std::string name{};
  exit_reason reason{};
  unique_function function{};                 // apply, once
  std::shared_ptr<unique_function> shared{};  // apply, every period
  term wrapped{};                             // start_timer
};
struct timer_request {
  enum class what : std::uint8_t { send, exit, apply } action = what::send;
  bool wrap = false;  // start_timer
  pid to{};
  instant when{};
  duration every{};                              // interval timers
  envelope* payload = nullptr;                   // owned once armed
  envelope* (*copy)(const envelope&) = nullptr;  // interval timers: makes the next message
  std::unique_ptr<timer_details> more{};

  timer_details& details() {
    if (!more) more = std::make_unique<timer_details>();
    return *more;
  }
};
ref arm_timer(timer_request&& request);
ref apply_once(duration delay, unique_function function);
ref apply_every(duration period, unique_function function);
instant after_now(duration delay);  ///< throws bad_argument for a negative one; saturates

template <class T>
envelope* copy_payload(const envelope& e) {
  return new value_envelope<T>(static_cast<const value_envelope<T>&>(e).value);
}
template <class T>
timer_request one_shot(instant when, T&& value, std::string_view name = {}) {
  timer_request request;
  request.when = when;
  if (!name.empty()) request.details().name = name;
  request.payload = make_envelope(std::forward<T>(value));  // last: nobody frees it until it is armed
  return request;
}
}  // namespace detail

template <class T>
ref send_after(duration delay, pid to, T&& value) {
  auto request = detail::one_shot(detail::after_now(delay), std::forward<T>(value));
  request.to = to;
  return detail::arm_timer(std::move(request));
}
template <class T>
ref send_after(duration delay, std::string_view name, T&& value) {
  return detail::arm_timer(detail::one_shot(detail::after_now(delay), std::forward<T>(value), name));
}
/// At an absolute time; one that has passed fires at once.
template <class T>
ref send_at(instant when, pid to, T&& value) {
  auto request = detail::one_shot(when, std::forward<T>(value));
  request.to = to;
  return detail::arm_timer(std::move(request));
}
template <class T>
ref send_at(instant when, std::string_view name, T&& value) {
  return detail::arm_timer(detail::one_shot(when, std::forward<T>(value), name));
}

/// As send_after, but what arrives is `timer_expired{ref, payload}`.
ref start_timer(duration delay, pid to, term payload);
ref start_timer(duration delay, std::string_view name, term payload);
ref start_timer_at(instant when, pid to, term payload);
ref start_timer_at(instant when, std::string_view name, term payload);

/// Sends a copy of `value` every `period`, first after one period, until cancelled or the target ends.
template <class T>
ref send_interval(duration period, pid to, const T& value) {
  auto request = detail::one_shot(detail::after_now(period), value);
  request.to = to;
  request.every = period;
  request.copy = &detail::copy_payload<detail::stored_message<T>>;
  return detail::arm_timer(std::move(request));
}
/// Runs a function in a fresh process, once or every period. A run that takes longer than a period does not hold the
/// next one up: they then share the function object.
template <class F>
ref apply_after(duration delay, F&& function) {
  return detail::apply_once(delay, detail::checked(std::forward<F>(function)));
}
template <class F>
ref apply_interval(duration period, F&& function) {
  return detail::apply_every(period, detail::checked(std::forward<F>(function)));
}
ref exit_after(duration delay, pid process, exit_reason why);
ref exit_after(duration delay, std::string_view name, exit_reason why);
ref kill_after(duration delay, pid process);
ref kill_after(duration delay, std::string_view name);

/// What was left if the timer was still pending: its message will not come. None if it fired, was cancelled, or never
/// was.
std::optional<duration> cancel_timer(ref timer);
std::optional<duration> read_timer(ref timer);
/// Returns at once; with `info` the caller gets a `timer_cancelled` message.
void cancel_timer_async(ref timer, bool info = true);

}  // namespace otp
