// A key without a hash.
// expect: not_a_registry_key<no_hash>
#include <otp/registry.hpp>

struct no_hash {
  int value;
  friend bool operator==(const no_hash&, const no_hash&) = default;
};
constexpr otp::unique_registry<no_hash> wrong{"wrong"};
