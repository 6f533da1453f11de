// Two sensors that are faster than their server, and fifty visitors at a desk for ten.
#include "bounded_server.hpp"
#include <cstdio>

int main() {
  return otp::run([] {
    otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child<averages>(), otp::child<desk>()}}).value();
    // [use]
    auto first = otp::async(run_sensor, 1, 500);
    auto second = otp::async(run_sensor, 2, 1000);
    otp::await_many(otp::infinity, first, second);
    std::printf("averages %.1f and %.1f\n", *otp::call(averages::name, averages::average{1}),
                *otp::call(averages::name, averages::average{2}));
    // [/use]

    std::vector<otp::task<bool>> visitors;
    for (int i = 0; i < 50; ++i) visitors.push_back(otp::async([=] { return desk::serve(i).has_value(); }));
    int served = 0;
    for (auto& visitor : visitors) served += otp::await(visitor);
    std::printf("%s\n", served >= 10 && served < 50 ? "some were served, some were told to come again" : "?");
  });
}
