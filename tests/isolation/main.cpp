// The isolation checker: it reports each program that shares memory, and no other one.
//
// usage: isolation [PROGRAM...]     all of cases.cpp, each in a process of its own, and the programs given, which must
//                                   be silent; the last line says `N passed, M failed`
//        isolation --case NAME      that one, here
#include "cases.hpp"

#include <otp/testing.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

namespace {

constexpr int reported = 66;  // how ThreadSanitizer ends a program about which it had something to say

int run_case(const char* name) {
  for (const isolation::program& p : isolation::programs())
    if (std::strcmp(p.name, name) == 0) {
      try {
        for (unsigned seed = 1; seed <= 5; ++seed) otp::testing::run({.seed = seed}, p.body);
        otp::testing::explore({.seeds = 20, .shrink = false}, p.body);
      } catch (const std::exception& e) {
        std::fprintf(stderr, "%s: %s\n", name, e.what());
        return 1;
      }
      return 0;
    }
  std::fprintf(stderr, "isolation: there is no case '%s'\n", name);
  return 2;
}

struct outcome {
  int code = -1;
  std::string text;
};

outcome run(std::vector<std::string> command) {
  outcome o;
  int ends[2];
  if (pipe(ends) != 0) return o;
  std::fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], 1);
    dup2(ends[1], 2);
    close(ends[0]);
    close(ends[1]);
    std::vector<char*> arguments;
    for (std::string& s : command) arguments.push_back(s.data());
    arguments.push_back(nullptr);
    execv(arguments.front(), arguments.data());
    _exit(127);
  }
  close(ends[1]);
  char buffer[4096];
  for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
    o.text.append(buffer, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status)) o.code = WEXITSTATUS(status);
  return o;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--case") == 0) return run_case(argv[2]);
  int found = 0, sharing = 0, silent = 0, others = 0;
  auto judge = [&](const std::string& name, bool shares, const outcome& o) {
    bool told = o.code == reported && o.text.find("data race") != std::string::npos;
    bool well = shares ? told && o.text.find(name) != std::string::npos : o.code == 0;
    (shares ? sharing : others) += 1;
    (shares ? found : silent) += well;
    std::printf("  %-40s %s\n", name.c_str(), told ? "reported" : o.code == 0 ? "silent" : "FAILED");
    if (!well) std::printf("%s\n  (ended with %d)\n", o.text.c_str(), o.code);
  };
  for (const isolation::program& p : isolation::programs()) judge(p.name, p.shares, run({argv[0], "--case", p.name}));
  for (int i = 1; i < argc; ++i)
    judge(std::string(argv[i]).substr(std::string(argv[i]).rfind('/') + 1), false, run({argv[i]}));
  std::printf("planted sharing reported: %d of %d\n", found, sharing);
  std::printf("others silent: %d of %d\n", silent, others);
  int passed = found + silent;
  int failed = sharing + others - passed;
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
