// A setting is read, changed, and read again from the environment.
#include "config_cache.hpp"
#include <cstdio>
using namespace std::chrono_literals;

int main() {
  return otp::run([] {
    otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {config_cache::child()}}).value();
    auto print = [] { std::printf("timeout: %d s\n", static_cast<int>(config_cache::get(&settings::timeout) / 1s)); };
    // [use]
    print();  // 5 s
    config_cache::put(&settings::timeout, 10s);
    print();  // 10 s
    config_cache::reload();
    print();  // 5 s
    // [/use]
  });
}
