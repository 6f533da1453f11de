// An actor system as a careful user of CAF 0.17 sets it up.
#pragma once
#include <caf/all.hpp>
#include <thread>

namespace bench {

struct caf_config : caf::actor_system_config {
  caf_config() {
    // One worker a core, as the other runtimes have. CAF's own default is never less than four.
    set("scheduler.max-threads", std::size_t(std::thread::hardware_concurrency()));
  }
};

}  // namespace bench
