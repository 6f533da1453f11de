// A place in a program at which a test may let something go wrong.
//
// Shape   if (otp::fault_point("journal.write")) throw disk_full();
//         Says no, after two loads, except in a run of otp::testing::explore that has planned this fault.
// Source  FoundationDB's BUGGIFY.
#pragma once
#include <string_view>

namespace otp {

bool fault_point(std::string_view name);

}  // namespace otp
