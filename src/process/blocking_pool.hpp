// Threads for otp::blocking: started when needed, up to a limit, ended when idle for a while.
#pragma once
#include "process/runtime_core.hpp"
#include "runtime/processor_meter.hpp"

#include <otp/blocking.hpp>

#include <deque>
#include <vector>

namespace otp::detail {

class blocking_pool {
 public:
  blocking_pool(runtime_core& core, unsigned threads_max) : core_(core), threads_max_(threads_max) {}
  ~blocking_pool() { stop(never); }

  struct ticket {
    blocking_job* job;
    pid who;
    const void* token;
    std::atomic<bool>* done;
  };
  void submit(ticket t);
  /// Waits for the jobs that run; those that have not begun are not run. False: one of them did not return in time,
  /// and its thread is left to itself.
  bool stop(nanos patience);
  /// How many jobs have computed since the last look instead of waiting in the kernel. For the watchdog.
  unsigned computing();

 private:
  struct runner {
    processor_meter meter;
    bool busy = false;
  };
  void work();

  runtime_core& core_;
  const unsigned threads_max_;
  std::mutex lock_;
  std::condition_variable wake_;
  std::deque<ticket> waiting_;    // guarded by lock_
  std::vector<runner*> runners_;  // a thread each, on its stack; guarded by lock_, and what they point to
  unsigned threads_ = 0;          // guarded by lock_
  unsigned idle_ = 0;             // guarded by lock_
  bool stopping_ = false;         // guarded by lock_
  std::condition_variable gone_;
};

}  // namespace otp::detail
