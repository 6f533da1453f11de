// How many workers this program should have: what the kernel lets it use, not what the machine has.
#pragma once
#include <string>

namespace otp::detail {

/// The CPUs of the affinity mask, or fewer if the control group has a smaller quota: half a core is one worker. At
/// least 1. `root` stands before /proc and /sys, for tests.
unsigned usable_cpus(const std::string& root = {});

}  // namespace otp::detail
