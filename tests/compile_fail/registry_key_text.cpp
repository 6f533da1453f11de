// A key that is text and no std::string: it was kept as one, and never found again.
// expect: text_key_is_not_string<std::basic_string_view<char
#include <otp/registry.hpp>

constexpr otp::unique_registry<std::string_view> wrong{"wrong"};
