// The I/O context of a runtime, as the scheduler's poller: a worker with nothing to run waits in the context's reactor.
//
// Rules
// 1. poll() is called by one worker at a time, so the context's handlers run one at a time, each before the next poll()
//    begins. What other threads post waits in the context until somebody polls.
// 2. Nobody waits for the kernel outside of boost::asio: the reactor is told about everything, the scheduler's deadline
//    (`alarm_`) and wake() included, so the context's own protocol is the one against lost wake-ups.
// 3. Fields without a comment belong to whoever is in poll().
#pragma once
#include "process/runtime_core.hpp"
#include "runtime/poller.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include <cstddef>

namespace otp::detail {

class asio_poller final : public runtime_service, public poller {
 public:
  /// The one of this runtime, made and attached if there is none. Errors: bad_argument under the seeded engine.
  static asio_poller& of(runtime_core&, const char* what);

  explicit asio_poller(runtime_core&);
  ~asio_poller() override;

  boost::asio::io_context& context() noexcept { return context_; }

  void poll(nanos deadline) override;
  void wake() noexcept override;

 private:
  struct wake_request;

  // Runs one handler by run_one, poll_one ... An exception that leaves a handler is reported, and is nobody's end.
  template <class How>
  std::size_t step(How how) noexcept;
  bool set_alarm(nanos deadline) noexcept;

  runtime_core& core_;                                                             // constant
  boost::asio::io_context context_;                                                // anyone's: it locks
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;  // constant
  boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>
      alarm_;                    // a timerfd in the scheduler's time: absolute, to the nanosecond
  nanos alarm_at_ = never;       // what it is set to
  bool alarm_expected_ = false;  // a handler waits for it
  nanos looked_at_ = 0;          // when poll() last looked at everything

  // wake(): one request at a time, in memory of its own, so that it cannot fail. Any thread.
  std::atomic<bool> woken_{false};  // a request is in the context; its memory is free again before this is cleared
  alignas(std::max_align_t) std::byte wake_memory_[128];
};

}  // namespace otp::detail
