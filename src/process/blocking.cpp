#include "process/blocking_pool.hpp"

#include <exception>
#include <thread>

namespace otp::detail {

namespace {
constexpr auto idle_limit = std::chrono::seconds(10);
}

void blocking_pool::submit(ticket t) {
  std::lock_guard lock(lock_);
  waiting_.push_back(t);
  if (idle_ >= waiting_.size()) {
    wake_.notify_one();
  } else if (threads_ < threads_max_) {
    try {
      std::thread([this] { work(); }).detach();
      ++threads_;
    } catch (...) {
      if (threads_ == 0) {
        waiting_.pop_back();
        throw;
      }
      // Without another thread the job waits for one of those that exist.
    }
  }
  core_.sched.works_apart(1);
}

void blocking_pool::work() {
  std::unique_lock lock(lock_);
  for (;;) {
    ++idle_;
    bool more = wake_.wait_for(lock, idle_limit, [&] { return stopping_ || !waiting_.empty(); });
    --idle_;
    if (!more || (stopping_ && waiting_.empty())) break;
    ticket t = waiting_.front();
    waiting_.pop_front();
    lock.unlock();
    t.job->call();
    t.done->store(true);
    core_.sched.works_apart(-1);
    send_wake(core_, t.who, t.token);
    lock.lock();
  }
  --threads_;
  gone_.notify_all();
}

bool blocking_pool::stop(nanos patience) {
  std::unique_lock lock(lock_);
  stopping_ = true;
  core_.sched.works_apart(-static_cast<int>(waiting_.size()));
  waiting_.clear();  // whoever waited for them has been declared dead
  wake_.notify_all();
  auto over = [&] { return threads_ == 0; };
  if (patience == never) {
    gone_.wait(lock, over);
    return true;
  }
  return gone_.wait_for(lock, std::chrono::nanoseconds(patience), over);
}

void run_blocking(blocking_job& job) {
  process& p = require_process("blocking");
  runtime_core& core = *runtime_core::current();
  check_fate(p);
  if (core.sched.seeded()) {
    job.call();  // one thread: a call that blocks is a step like any other
    return;
  }
  prepare_to_suspend(core);
  std::atomic<bool> done{false};
  wait_state w;
  w.token = &job;
  core.blocking->submit({&job, p.self(), &job, &done});
  // The job refers to this stack: whatever happens to the process, it waits here until the job is done.
  while (!done.load()) {
    w.satisfied = false;
    wait_uninterrupted(p, w);
  }
  check_fate(p);
}

}  // namespace otp::detail
