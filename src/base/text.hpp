// Text of unknown origin, made safe to print.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace otp::detail {

/// As escaped(), but quotes and backslashes stay: for what is to be read as prose. Always one line.
std::string one_line(std::string_view text, std::size_t most);

}  // namespace otp::detail
