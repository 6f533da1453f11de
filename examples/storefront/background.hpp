// The supervisor of all tasks: jobs, parts of profiles, health checks.
#pragma once
#include <otp/task_supervisor.hpp>

namespace storefront {

inline constexpr otp::name<otp::task_supervisor> background{"background"};

}  // namespace storefront
