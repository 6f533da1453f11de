// A profile of a user, and what there is of the profile of one who does not exist.
#include "profile.hpp"
#include <cstdio>

void print(const profile& p) {
  std::printf("'%s', theme '%s', %zu recent\n", p.user.name.c_str(), p.prefs.at("theme").c_str(), p.recent.size());
}

int main() {
  return otp::run([] {
    // [use]
    otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child_task_supervisor(profile_tasks)}}).value();
    print(fetch_profile(123));             // takes as long as the slowest part, not as all of them
    print(fetch_profile_supervised(-456));  // no such user: the rest is there
    // [/use]
  });
}
