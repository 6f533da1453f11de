// When asking a process again makes sense: it died with the request in its hands, or is just being restarted.
#pragma once
#include <otp/otp.hpp>

namespace storefront {

/// Whether another try may help, before the deadline; if so, waits a little. Not if nobody answered in time or a mailbox
/// is full: more requests would make it worse.
bool worth_another_try(const otp::exit_reason& why, int tries, otp::instant deadline);

}  // namespace storefront
