// The best practices of the guide, one after the other, in one program.
#include "../config_cache/config_cache.hpp"
#include "../connection_pool/connection_pool.hpp"
#include "../rate_limiter/rate_limiter.hpp"
#include "fulfilment.hpp"

#include <cstdio>
#include <stdexcept>
using namespace std::chrono_literals;

constexpr otp::name<otp::task_supervisor> my_tasks{"my_tasks"};
constexpr otp::unique_registry<int> my_registry{"my_registry"};

struct my_worker {
  struct slow_operation { using reply = std::string; };
  explicit my_worker(int number) : id(number) {}
  std::string handle_call(slow_operation) {
    otp::sleep(20ms);
    return "worker " + std::to_string(id) + " is done";
  }
  int id;
};

int risky_operation() { throw std::runtime_error("it went wrong"); }

int main() {
  return otp::run([] {
    // [supervise]
    otp::supervisor::start_link({.strategy = otp::rest_for_one, .children = {
        otp::child_registry(connections),
        otp::child<rate_limiter>(),            // a gen_server
        otp::child<db_connection_pool>(10),    // a supervisor
        otp::child_task_supervisor(my_tasks),  // a task supervisor
        config_cache::child(),                 // an agent
    }}).value();
    // [/supervise]
    const int worker_id = 7;
    // [registry]
    otp::registry::start_link(my_registry).value();
    auto worker = otp::gen_server::start_link<my_worker>({.name = otp::via(my_registry, worker_id)}, worker_id).value();
    otp::pid found = otp::lookup(my_registry, worker_id)->process;
    // [/registry]
    std::printf("%s\n", found == worker.pid() ? "found" : "not found");

    // [timeouts]
    std::string slow = otp::call(worker, my_worker::slow_operation{}, 30s);        // exits the caller after 30 s
    auto answer = otp::try_call(worker, my_worker::slow_operation{}, 1ms);         // a value, or the reason
    auto task = otp::async_nolink(my_tasks, [] { otp::sleep(otp::infinity); });
    auto result = otp::yield_or_shutdown(task, 10ms);                              // a late task is stopped
    // [/timeouts]
    std::printf("%s\n%s\n%s\n", slow.c_str(), answer ? "in time" : answer.error().cause().to_string().c_str(),
                result ? "in time" : result.error().to_string().c_str());

    // [nolink]
    auto risky = otp::async_nolink(my_tasks, risky_operation);  // its failure does not touch the caller
    // [/nolink]
    std::printf("%s\n", otp::yield(risky)->error().text().data());

    auto order = otp::gen_statem::start_link<fulfilment>().value();
    otp::cast(order, fulfilment::pay{});
    otp::cast(order, fulfilment::pack{"parcel 9"});
    otp::cast(order, fulfilment::ship{});
    std::printf("%s\n", otp::call(order, fulfilment::cancel{}) ? "cancelled" : "too late to cancel");
    std::printf("%s", otp::diagram<fulfilment>().c_str());
  });
}
