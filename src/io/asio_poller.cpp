#include "io/asio_poller.hpp"

#include <boost/asio/post.hpp>

#include <sys/timerfd.h>

#include <cerrno>
#include <new>
#include <optional>
#include <system_error>

namespace otp::detail {

namespace {

constexpr char our_key = 0;
constexpr int burst = 256;                           // handlers run before the processes they made ready get a turn
constexpr nanos look_interval = 20'000;              // a busy worker asks the kernel no more often
constexpr auto nap = std::chrono::milliseconds(10);  // where there was no memory to set the alarm

int make_timerfd() {
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "io: timerfd_create");
  return fd;
}

}  // namespace

asio_poller& asio_poller::of(runtime_core& core, const char* what) {
  if (core.sched.seeded())
    throw bad_argument(std::string(what) +
                       ": the seeded engine has no real I/O; put what talks to the outside behind a process of its own "
                       "and replace it in the test, or run the test under otp::run");
  return static_cast<asio_poller&>(core.service(
      &our_key, [](runtime_core& c) -> std::unique_ptr<runtime_service> { return std::make_unique<asio_poller>(c); }));
}

asio_poller::asio_poller(runtime_core& core)
    : runtime_service(&our_key), core_(core), work_(context_.get_executor()), alarm_(context_, make_timerfd()) {
  core_.sched.attach(this);
}

asio_poller::~asio_poller() { core_.sched.attach(nullptr); }

template <class How>
std::size_t asio_poller::step(How how) noexcept {
  std::optional<exit_reason> thrown;
  try {
    return how(context_);
  } catch (...) {
    thrown = exit_reason::of_current_exception();
  }
  core_.emit({.what = "io_handler_failed",
              .severity = severity::error,
              .reason = std::move(*thrown),
              .fields = {{"advice", "an exception left a handler of otp::io(); use otp::use_process in a process"}}});
  return 1;
}

// False: there was no memory for it.
bool asio_poller::set_alarm(nanos deadline) noexcept {
  if (deadline == never) return true;
  if (deadline < alarm_at_) {
    // Set too early is a wake-up for nothing, so it is only ever moved forward.
    itimerspec at{};
    at.it_value.tv_sec = deadline / 1'000'000'000;
    at.it_value.tv_nsec = deadline % 1'000'000'000;
    if (timerfd_settime(alarm_.native_handle(), TFD_TIMER_ABSTIME, &at, nullptr) != 0) return false;
    alarm_at_ = deadline;
  }
  if (alarm_expected_) return true;
  try {
    alarm_.async_wait(boost::asio::posix::descriptor_base::wait_read, [this](const boost::system::error_code&) {
      alarm_expected_ = false;
      alarm_at_ = never;
    });
    alarm_expected_ = true;
  } catch (...) {
    return false;
  }
  return true;
}

void asio_poller::poll(nanos deadline) {
  using context = boost::asio::io_context;
  if (deadline == 0) {
    // Before a worker parks it comes with a deadline; this look is for workers that are too busy to park.
    if (core_.sched.now() - looked_at_ < look_interval) return;
  } else if (set_alarm(deadline)) {
    step([](context& c) { return c.run_one(); });
  } else {
    step([](context& c) { return c.run_one_for(nap); });
  }
  for (int i = 0; i < burst; ++i)
    if (step([](context& c) { return c.poll_one(); }) == 0) break;
  looked_at_ = core_.sched.now();
  if (!context_.stopped()) return;
  context_.restart();
  core_.emit({.what = "io_stopped",
              .severity = severity::warning,
              .fields = {{"advice", "otp::io().stop() has no effect: the runtime owns the context"}}});
}

struct asio_poller::wake_request {
  template <class T>
  struct memory {
    using value_type = T;
    explicit memory(asio_poller& p) noexcept : poller(&p) {}
    template <class U>
    memory(const memory<U>& other) noexcept : poller(other.poller) {}
    T* allocate(std::size_t count) {
      return static_cast<T*>(fits(count) ? poller->wake_memory_ : ::operator new(count * sizeof(T)));
    }
    void deallocate(T* p, std::size_t count) noexcept {
      if (!fits(count)) ::operator delete(p);
    }
    static bool fits(std::size_t count) noexcept { return count * sizeof(T) <= sizeof wake_memory_; }
    template <class U>
    bool operator==(const memory<U>& other) const noexcept {
      return poller == other.poller;
    }
    asio_poller* poller;
  };
  using allocator_type = memory<void>;
  allocator_type get_allocator() const noexcept { return allocator_type(*poller); }
  void operator()() const noexcept { poller->woken_.store(false); }

  asio_poller* poller;
};

void asio_poller::wake() noexcept {
  if (!woken_.exchange(true)) boost::asio::post(context_, wake_request{this});
}

}  // namespace otp::detail
