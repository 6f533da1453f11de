// A type of one's own that is text to whoever reads it.
// expect: text_key_is_not_string<user_name>
#include <otp/registry.hpp>

struct user_name {
  std::string text;
  operator std::string_view() const { return text; }
  friend bool operator==(const user_name&, const user_name&) = default;
};
template <>
struct std::hash<user_name> {
  std::size_t operator()(const user_name& name) const { return std::hash<std::string>()(name.text); }
};
constexpr otp::unique_registry<user_name> wrong{"wrong"};
