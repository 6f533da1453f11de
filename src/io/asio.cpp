#include <otp/asio.hpp>

#include "io/asio_poller.hpp"

#include <boost/system/system_error.hpp>

#include <algorithm>

namespace otp {

using namespace detail;

boost::asio::io_context& io() { return asio_poller::of(require_runtime("io"), "io").context(); }
boost::asio::io_context& io(runtime& of) { return asio_poller::of(of.core(), "io").context(); }

}  // namespace otp

namespace otp::detail {

namespace {

// A composed operation may overlook a cancellation that comes between two of its steps: it is asked again.
constexpr nanos patience_min = 10'000'000;
constexpr nanos patience_max = 1'000'000'000;

nanos deadline_of(scheduler& sched, duration length, instant at) {
  nanos deadline = at == instant::max() ? never : at.time_since_epoch().count();
  if (length == infinity) return deadline;
  nanos now = sched.now();
  return std::min(deadline, length.count() > never - now ? never : now + length.count());
}

}  // namespace

void io_operation::begin(const use_process_t& token) {
  process_ = &require_process("use_process");
  core_ = runtime_core::current();
  static_cast<void>(asio_poller::of(*core_, "use_process"));
  if (token.length_.count() < 0)
    throw bad_argument("use_process.within: the time is " + integer_text(token.length_.count()) +
                       " ns; give 0 or more, or otp::infinity");
  who_ = process_->self();
  error_ = token.error_;
  deadline_ = deadline_of(core_->sched, token.length_, token.deadline_);
  check_fate(*process_);
  prepare_to_suspend(*core_);  // from here on waiting cannot fail
}

io_operation::~io_operation() {
  if (pending_.load() != 0) cancel();  // the initiation threw although the operation goes on
}

void io_operation::dropped() noexcept {
  dropped_ = true;
  completed();
}

void io_operation::completed() noexcept {
  completed_.store(true);
  release();
}

void io_operation::release() noexcept {
  runtime_core& core = *core_;
  pid who = who_;
  // Inside the initiation the process itself runs, and will look before it waits.
  bool inside = current_process() == process_;
  if (pending_.fetch_sub(1) == 1 && !inside) send_wake(core, who, this);
}

void io_operation::wait() {
  std::exception_ptr no_memory;
  while (pending_.load() != 0) {
    wait_state w;
    w.token = this;
    w.deadline = deadline_;
    bool fated = false;
    try {
      fated = !wait_or_fate(*process_, w);
    } catch (...) {
      no_memory = std::current_exception();  // for the timer: nobody may leave before the operation has
    }
    if (pending_.load() == 0) break;
    if (!fated && !w.timed_out && !no_memory) continue;  // a wake-up for an earlier operation at this address
    timed_out_ = w.timed_out;
    cancel();
  }
  check_fate(*process_);
  if (no_memory) std::rethrow_exception(no_memory);
  if (failure_) std::rethrow_exception(failure_);
  if (dropped_)
    throw boost::system::system_error(boost::asio::error::operation_aborted,
                                      "the operation was dropped without completing");
}

// Asks for the cancellation and waits for the completion, whatever happens to the process meanwhile.
void io_operation::cancel() noexcept {
  for (nanos patience = patience_min; pending_.load() != 0; patience = std::min(2 * patience, patience_max)) {
    if (!completed_.load() && !cancelling_.exchange(true)) {
      pending_.fetch_add(1);
      try {
        send_cancellation_(*this);
      } catch (...) {
        cancelling_.store(false);  // no memory: the request has taken its count back, and the next round tries again
      }
    }
    wait_state w;
    w.token = this;
    w.deadline = core_->sched.now() + patience;
    try {
      wait_uninterrupted(*process_, w);
    } catch (...) {
      // No memory for the timer: the completion alone wakes this process.
      wait_state last;
      last.token = this;
      if (pending_.load() != 0) wait_uninterrupted(*process_, last);
    }
  }
}

void io_operation::send_to_context(io_operation& self) {
  boost::asio::post(asio_poller::of(*self.core_, "use_process").context(), request(self));
}

void io_operation::cancel_now() noexcept {
  if (!completed_.load()) signal_.emit(boost::asio::cancellation_type::terminal);
  cancelling_.store(false);
}

void* io_operation::allocate_request(std::size_t size) {
  return size <= sizeof request_memory_ ? request_memory_ : ::operator new(size);
}
void io_operation::free_request(void* memory, std::size_t size) noexcept {
  if (size > sizeof request_memory_) ::operator delete(memory);
}

void io_operation::judge(boost::system::error_code& error) const noexcept {
  if (timed_out_ && error == boost::asio::error::operation_aborted) error = boost::asio::error::timed_out;
}

void io_operation::settle(boost::system::error_code error) const {
  judge(error);
  if (error_)
    *error_ = error;
  else if (error)
    throw boost::system::system_error(error);
}

void io_operation::settle(const std::exception_ptr& error) const {
  if (error_) error_->clear();
  if (!error) return;
  if (!error_ && !timed_out_) std::rethrow_exception(error);
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error& e) {
    settle(e.code());
  }
}

}  // namespace otp::detail
