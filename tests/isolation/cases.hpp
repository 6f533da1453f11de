// Small programs for the isolation checker: those that share memory without a message, and those that do not.
#pragma once
#include <vector>

namespace isolation {

struct program {
  const char* name;
  void (*body)();
  bool shares;  // it has to be reported, by its name
};

const std::vector<program>& programs();

}  // namespace isolation
