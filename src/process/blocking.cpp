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
      runners_.reserve(threads_ + 1);  // so that the thread cannot fail
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
}

void blocking_pool::work() {
  runner mine;
  std::unique_lock lock(lock_);
  runners_.push_back(&mine);
  for (;;) {
    ++idle_;
    bool more = wake_.wait_for(lock, idle_limit, [&] { return stopping_ || !waiting_.empty(); });
    --idle_;
    if (!more || (stopping_ && waiting_.empty())) break;
    ticket t = waiting_.front();
    waiting_.pop_front();
    mine.busy = true;
    lock.unlock();
    t.job->call();
    t.done->store(true);
    send_wake(core_, t.who, t.token);
    lock.lock();
    mine.busy = false;
  }
  std::erase(runners_, &mine);
  --threads_;
  gone_.notify_all();
}

unsigned blocking_pool::computing() {
  constexpr std::int64_t computes = 5'000'000;  // of the 10 ms between two looks
  constexpr unsigned most_looked_at = 64;       // a look takes a system call, under the lock
  unsigned count = 0;
  unsigned looked_at = 0;
  std::lock_guard lock(lock_);
  for (runner* r : runners_) {
    if (!r->busy) continue;
    if (++looked_at > most_looked_at) break;
    if (r->meter.used_since_last_look() >= computes) ++count;
  }
  return count;
}

bool blocking_pool::stop(nanos patience) {
  std::unique_lock lock(lock_);
  stopping_ = true;
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
