// A thousand processes that wait for ever in a function with a name; then the program stops itself, for gdb:
// what `check` beside this file asks there. covers: F13
#include <otp/otp.hpp>

#include <csignal>

struct never {};

[[gnu::noinline]] void wait_for_the_harvest() {
  otp::receive([](never) {});
}

int main() {
  otp::runtime rt({.workers = 2});
  rt.start();
  rt.run([] {
    std::vector<otp::pid> all;
    for (int i = 0; i < 1000; ++i) all.push_back(otp::spawn([] { wait_for_the_harvest(); }));
    for (otp::pid p : all)
      while (otp::info(p)->status != otp::process_status::waiting) otp::yield();
    std::raise(SIGTRAP);
  });
}
