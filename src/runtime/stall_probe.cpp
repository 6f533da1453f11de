#include "runtime/stall_probe.hpp"

#include "runtime/crash.hpp"
#include "runtime/tls.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>

#include <cerrno>
#include <cstdlib>

namespace otp::detail {

namespace {

// One question at a time (lock); the handler answers only the worker that is asked.
struct question {
  std::mutex lock;
  std::atomic<worker*> asked{nullptr};
  std::atomic<bool> answered{false};
  stall_trace answer;  // written by the handler before `answered`
};
question& the_question() {
  static question* q = new question;  // the handler may run when static destructors have
  return *q;
}

void answer(int, siginfo_t*, void* context) {
  int saved = errno;
  auto* w = static_cast<worker*>(current_worker_raw());
  question& q = the_question();
  worker* expected = w;
  if (w && q.asked.compare_exchange_strong(expected, nullptr)) {
    q.answer.count =
        exceptions_in_flight() ? 0 : capture_backtrace(q.answer.frames.data(), q.answer.frames.size(), context);
    q.answered.store(true);
  }
  errno = saved;
}

void install() {
  static const bool once = [] {
    struct sigaction action{};
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigaction(SIGURG, &action, nullptr);
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace

stall_trace probe_worker(worker& w) {
  pthread_t thread = w.os_thread.load();
  if (!thread) return {};
  install();
  question& q = the_question();
  std::lock_guard lock(q.lock);
  q.answered.store(false);
  q.asked.store(&w);
  if (pthread_kill(thread, SIGURG) != 0) {
    q.asked.store(nullptr);
    return {};
  }
  nanos limit = scheduler::machine_now() + 50'000'000;
  while (!q.answered.load() && scheduler::machine_now() < limit) {
    timespec nap{0, 200'000};
    nanosleep(&nap, nullptr);
  }
  worker* expected = &w;
  if (!q.answered.load() && q.asked.compare_exchange_strong(expected, nullptr)) return {};
  while (!q.answered.load()) sched_yield();  // the handler has begun: it is about to say so
  return q.answer;
}

std::string stall_trace::text() const {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    if (i) out += " < ";
    Dl_info info{};
    if (dladdr(frames[i], &info) && info.dli_sname) {
      int status = 0;
      char* plain = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status);
      out += fmt::format("{}+{:#x}", status == 0 ? plain : info.dli_sname,
                         static_cast<char*>(frames[i]) - static_cast<char*>(info.dli_saddr));
      std::free(plain);
    } else {
      out += fmt::format("{}", frames[i]);
    }
  }
  return out;
}

}  // namespace otp::detail
