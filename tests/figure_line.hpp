// The line of a figure of docs/reliability.md: its id, whether it is met, the goal, what was reached. Goes to stdout,
// and to the file that OTP_FIGURES names, from which ./test shows all of them.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <string>

namespace tests {

inline void write_figure(const char* id, const char* verdict, const std::string& goal, const std::string& reached) {
  auto write = [&](std::FILE* to) {
    std::fprintf(to, "%-4s %-8s goal: %s; reached: %s\n", id, verdict, goal.c_str(), reached.c_str());
    std::fflush(to);
  };
  write(stdout);
  if (const char* name = std::getenv("OTP_FIGURES"))
    if (std::FILE* file = std::fopen(name, "a")) {
      write(file);
      std::fclose(file);
    }
}

}  // namespace tests
