// The anti-patterns as otp::doctor sees them, then their better forms, about which it has nothing to say.
#include "anti_patterns.hpp"
#include <cstdio>
using namespace std::chrono_literals;

void diagnose() {
  // Here everything that runs may be judged at once; a program asks for what is older than a minute.
  auto found = otp::doctor::examine({.older_than = 0s});
  for (auto& f : found) std::printf("%s: %s\n", std::string(to_string(f.what)).c_str(), f.name.c_str());
  if (found.empty()) std::printf("nothing found\n");
}

int main() {
  int failed = otp::run([] {
    auto server = otp::gen_server::start_link<config_server>({.name = "config_server"}).value();
    for (int seconds = 1; seconds <= 4; ++seconds) {
      otp::cast(server, config_server::set_timeout{seconds * 1000});
      otp::call(server, config_server::get_timeout{});
    }
    otp::register_name("endless_task", start_endless_task());
    auto machine = otp::gen_statem::start_link<feature_flag_machine>({.name = "flag_machine"}).value();
    otp::cast(machine, feature_flag_machine::enable{});
    std::printf("%s\n", otp::call(machine, feature_flag_machine::check{}) ? "enabled" : "disabled");
    diagnose();
  });
  if (failed) return failed;
  return otp::run([] {
    otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {child_config(), child_flag()}}).value();
    start_worker().value();
    for (int seconds = 1; seconds <= 4; ++seconds) {
      set_timeout(seconds * 1000);
      get_timeout();
    }
    enable();
    std::printf("%s\n", is_enabled() ? "enabled" : "disabled");
    disable();
    diagnose();
  });
}
