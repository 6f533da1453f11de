// Small programs, each with a bug to be found. In some it is the program's own: `broken` says whether it is there. In
// the others it is planted in the library.
#pragma once
#include "base/planted.hpp"

#include <otp/testing.hpp>

#include <functional>
#include <vector>

namespace sim {

struct program {
  const char* name;
  void (*body)(bool broken);
  otp::detail::bug planted = otp::detail::bug::none;  // in the library
  std::vector<otp::testing::fault> faults{};
};

/// In the order of the list in docs/testing.md.
const std::vector<program>& programs();
/// Fails in its first run, or nothing that this test says is worth anything.
void canary();

}  // namespace sim
