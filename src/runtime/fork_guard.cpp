#include "runtime/fork_guard.hpp"

#include "runtime/tls.hpp"

#include <pthread.h>

#include <cerrno>
#include <system_error>

namespace otp::detail {

constinit std::atomic<std::uint32_t> forks_since_start{0};

namespace {

void in_the_child() {
  forks_since_start.fetch_add(1, std::memory_order_relaxed);
  set_current_worker_raw(nullptr);
  set_current_signal_stack_raw(nullptr);
}

}  // namespace

void register_fork_guard() {
  static const int error = pthread_atfork(nullptr, nullptr, in_the_child);
  if (error != 0) throw std::system_error(error, std::generic_category(), "registering the fork guard");
}

}  // namespace otp::detail
