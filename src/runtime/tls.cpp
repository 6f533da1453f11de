#include "runtime/tls.hpp"

namespace otp::detail {

constinit thread_local thread_slots the_thread_slots;

}  // namespace otp::detail
