// otp::run: one runtime, a first process, and the signals that ask a program to stop.
//
// Signals are taken by handlers and not by blocking them for signalfd: a mask and an ignored SIGPIPE would be inherited
// by every program that a process starts, handlers are not. The handler only posts a semaphore; a second signal ends
// the program from inside the handler, whatever the rest of it is doing.
#include "process/runtime_core.hpp"

#include <semaphore.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <mutex>
#include <thread>

namespace otp::detail {

namespace {

// One a run() that is going on. Never destroyed: a handler may be late.
struct stop_bell {
  sem_t posted;
  std::atomic<bool> rings{false};  // for SIGTERM and SIGINT
};

constexpr int handled[] = {SIGTERM, SIGINT, SIGPIPE};
constexpr std::size_t runs_max = 16;
std::array<stop_bell, runs_max> bells;
bool bell_taken[runs_max] = {};              // guarded by bells_lock
unsigned runs = 0;                           // that want signals; guarded by bells_lock
struct sigaction outer[std::size(handled)];  // what was there before ours; guarded by bells_lock
constinit std::mutex bells_lock;
constinit std::atomic<bool> asked{false};  // a signal has come

void on_stop_signal(int signal) {
  int error = errno;
  if (asked.exchange(true)) ::_exit(128 + signal);  // asked twice: at once
  for (stop_bell& b : bells)
    if (b.rings.load()) ::sem_post(&b.posted);
  errno = error;
}

void on_broken_pipe(int) {}  // the write says EPIPE

// The semaphore that a run() sleeps on, and its part in the handlers.
class bell {
 public:
  explicit bell(bool signals) : signals_(signals) {
    std::lock_guard lock(bells_lock);
    for (; at_ < runs_max && bell_taken[at_]; ++at_) {
    }
    if (at_ == runs_max)
      throw bad_argument("run: too many programs run at once in this process; the limit is " + unsigned_text(runs_max));
    bell_taken[at_] = true;
    ::sem_init(&bells[at_].posted, 0, 0);
    if (!signals_) return;
    bells[at_].rings.store(true);
    if (runs++ == 0) install();
    if (asked.load()) ring();  // the program is being stopped already
  }
  ~bell() {
    std::lock_guard lock(bells_lock);
    if (signals_) {
      bells[at_].rings.store(false);
      if (--runs == 0) restore();
    }
    bell_taken[at_] = false;
  }
  bell(const bell&) = delete;
  bell& operator=(const bell&) = delete;

  void ring() noexcept { ::sem_post(&bells[at_].posted); }
  /// Waits for a ring. False at the deadline, of the monotonic clock.
  bool wait(nanos deadline) noexcept {
    // ThreadSanitizer does not know sem_clockwait and keeps signals back while a thread is in it.
    constexpr nanos slice = with_thread_sanitizer ? 20'000'000 : never;
    for (;;) {
      nanos until = slice == never ? deadline : std::min(deadline, scheduler::machine_now() + slice);
      timespec time{until / 1'000'000'000, until % 1'000'000'000};
      int done =
          until == never ? ::sem_wait(&bells[at_].posted) : ::sem_clockwait(&bells[at_].posted, CLOCK_MONOTONIC, &time);
      if (done == 0 || ::sem_trywait(&bells[at_].posted) == 0) return true;
      if (scheduler::machine_now() >= deadline) return false;
    }
  }

 private:
  static void install() {
    asked.store(false);
    for (std::size_t i = 0; i < std::size(handled); ++i) {
      struct sigaction ours{};
      ours.sa_handler = handled[i] == SIGPIPE ? on_broken_pipe : on_stop_signal;
      ours.sa_flags = SA_RESTART;
      sigemptyset(&ours.sa_mask);
      ::sigaction(handled[i], &ours, &outer[i]);
      // Who ignores a broken pipe, or handles it, goes on doing so.
      if (handled[i] == SIGPIPE && outer[i].sa_handler != SIG_DFL) ::sigaction(SIGPIPE, &outer[i], nullptr);
    }
  }
  static void restore() {
    for (std::size_t i = 0; i < std::size(handled); ++i) {
      struct sigaction now{};
      ::sigaction(handled[i], nullptr, &now);
      if (now.sa_handler == on_stop_signal || now.sa_handler == on_broken_pipe)
        ::sigaction(handled[i], &outer[i], nullptr);
    }
  }

  const bool signals_;
  std::size_t at_ = 0;
};

}  // namespace

int (*run_in_place)(unique_function& body, const runtime_options&) = nullptr;

int run_program(unique_function body, const std::string_view& type, const runtime_options& options) {
  if (!body) throw bad_argument("run: the function object is empty; give one that can be called");
  if (with_isolation && run_in_place) return run_in_place(body, options);
  runtime rt(options);
  bell stop(options.handle_signals);
  rt.start();
  runtime_core& core = rt.core();
  std::atomic<bool> main_over{false};
  exit_reason why;
  std::thread waiter([&] {
    try {
      why = rt.run_to_end(std::move(body), type);
    } catch (...) {
      why = current_reason();
    }
    main_over.store(true);
    stop.ring();
  });
  bool asked_here = false;
  nanos stop_at = never;
  // Until the first process has ended; from the first signal on, at most for a part of the budget.
  while (!main_over.load()) {
    if (!stop.wait(stop_at)) break;
    if (main_over.load() || asked_here || !asked.load()) continue;
    asked_here = true;
    // The first process returns from wait_for_shutdown(); one that does not wait there is stopped with the rest.
    stop_at = core.sched.now() + options.stop_budget.count() / 4;
    core.stop_deadline.store(core.sched.now() + options.stop_budget.count());
    core.request_shutdown();
  }
  nanos left = core.stop_deadline.load() == never
                   ? options.stop_budget.count()
                   : std::max<nanos>(1'000'000, core.stop_deadline.load() - core.sched.now());
  stop_report report = rt.stop(duration(left));
  waiter.join();
  bool good = why.is_expected() || (asked_here && why == reason::killed);
  return good && report.clean() ? 0 : 1;
}

}  // namespace otp::detail
