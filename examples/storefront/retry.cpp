#include "retry.hpp"

#include "counters.hpp"

namespace storefront {
using namespace std::chrono_literals;

bool worth_another_try(const otp::exit_reason& why, int tries, otp::instant deadline) {
  auto cause = why.cause();
  bool in_vain = cause == otp::reason::timeout || cause.what() == otp::exit_reason::kind::system_limit ||
                 cause == otp::reason::max_children;
  otp::duration pause = 1ms * std::min(1 << std::min(tries, 6), 50);
  if (in_vain || otp::now() + pause >= deadline) return false;
  ++counters.retries;
  otp::sleep(pause);
  return true;
}

}  // namespace storefront
