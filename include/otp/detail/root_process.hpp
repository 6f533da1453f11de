// Processes that are nobody's child, for parts of the library that a whole runtime has once.
#pragma once
#include <otp/detail/unique_function.hpp>
#include <otp/pid.hpp>

#include <string_view>

namespace otp::detail {

/// A process without a parent, whoever starts it: the stop of the runtime turns to it first.
pid spawn_root(unique_function function, const std::string_view& type);
/// Makes wait_for_shutdown() return in the caller's runtime.
void ask_for_shutdown();

}  // namespace otp::detail
