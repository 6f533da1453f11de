// A value that cannot be copied to who looks it up.
// expect: not_a_registry_value<pinned>
#include <otp/registry.hpp>

struct pinned {
  pinned() = default;
  pinned(const pinned&) = delete;
};
constexpr otp::unique_registry<int, pinned> wrong{"wrong"};
