// Starting plain processes synchronously: the starter waits until the new process says that it is ready.
//
// Shape   the function runs in the new process and calls init_ack(value) or init_fail(reason); what it does before is
//         its init. Ending without either is a failed start with its exit reason.
// Errors  as gen_server's start functions.
// Source  proc_lib:start_link/3 and init_ack/1.
#pragma once
#include <otp/detail/behaviour.hpp>

namespace otp::proc_lib {

struct options {
  duration timeout = infinity;
  spawn_options spawn{};
};

namespace detail {
result<otp::detail::started> start(otp::detail::unique_function body, const std::string_view& type, options how,
                                   bool monitored = false);
}

/// Starts `body` in a process linked to the caller and waits for its init_ack; the value it gave is the result.
template <class F>
[[nodiscard]] result<otp::detail::started> start_link(F&& body, options how = {}) {
  how.spawn.link = true;
  return detail::start(otp::detail::checked(std::forward<F>(body)), otp::detail::type_name<std::decay_t<F>>,
                       std::move(how));
}
template <class F>
[[nodiscard]] result<otp::detail::started> start(F&& body, options how = {}) {
  how.spawn.link = false;
  return detail::start(otp::detail::checked(std::forward<F>(body)), otp::detail::type_name<std::decay_t<F>>,
                       std::move(how));
}
template <class F>
[[nodiscard]] result<otp::detail::started> start_monitor(F&& body, options how = {}) {
  how.spawn.link = false;
  how.spawn.monitor = true;
  return detail::start(otp::detail::checked(std::forward<F>(body)), otp::detail::type_name<std::decay_t<F>>,
                       std::move(how), true);
}

/// In the started process: it is ready. Later calls do nothing.
void init_ack(term value = {});
/// In the started process: the start failed with `why`; the process ends with it.
[[noreturn]] void init_fail(exit_reason why);

}  // namespace otp::proc_lib
