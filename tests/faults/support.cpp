#include "faults/support.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#if OTP_DETAIL_ASAN || OTP_DETAIL_TSAN
#include <sanitizer/allocator_interface.h>
#endif
#if OTP_DETAIL_ASAN
#include <sanitizer/lsan_interface.h>
#endif

namespace faults {

bool eventually(const std::function<bool()>& so, std::chrono::seconds deadline) {
  auto end = std::chrono::steady_clock::now() + deadline;
  while (!so()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

bool eventually_here(const std::function<bool()>& so, std::chrono::seconds deadline) {
  auto end = otp::now() + deadline;
  while (!so()) {
    if (otp::now() > end) return false;
    otp::sleep(1ms);
  }
  return true;
}

void spin_until(const std::atomic<bool>& taken) {
  auto end = std::chrono::steady_clock::now() + 60s;
  while (!taken)
    if (std::chrono::steady_clock::now() > end) {
      ADD_FAILURE() << "nobody took the process";
      return;
    }
}

// ---- what a program holds ----------------------------------------------------------------------------------------

namespace {

std::size_t entries(const char* folder) {
  std::size_t n = 0;
  if (DIR* d = ::opendir(folder)) {
    while (::readdir(d)) ++n;
    ::closedir(d);
  }
  return n;
}

}  // namespace

std::size_t open_descriptors() { return entries("/proc/self/fd") - 3; }  // ".", ".." and the look itself
std::size_t threads() { return entries("/proc/self/task") - 2; }

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t size = 0;
  std::size_t resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

std::size_t heap_bytes() {
#if OTP_DETAIL_ASAN || OTP_DETAIL_TSAN
  return __sanitizer_get_current_allocated_bytes();
#else
  struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
}

std::size_t voluntary_switches() {
  std::size_t all = 0;
  if (DIR* d = ::opendir("/proc/self/task")) {
    while (dirent* entry = ::readdir(d)) {
      if (entry->d_name[0] == '.') continue;
      std::ifstream file(std::string("/proc/self/task/") + entry->d_name + "/status");
      for (std::string line; std::getline(file, line);)
        if (line.starts_with("voluntary_ctxt_switches:")) all += std::strtoull(line.c_str() + 24, nullptr, 10);
    }
    ::closedir(d);
  }
  return all;
}

baseline::baseline() {
  // ThreadSanitizer starts a thread of its own with the first one of the program.
  if (tsan) std::thread([] {}).join();
  descriptors_ = open_descriptors();
  threads_ = threads();
}

baseline::~baseline() {
  // A thread that was joined may be listed a moment longer.
  EXPECT_TRUE(eventually([&] { return threads() <= threads_; })) << threads() << " threads, before " << threads_;
  EXPECT_EQ(open_descriptors(), descriptors_) << "descriptors were left open";
}

at_rest::at_rest(otp::runtime& rt) : rt_(rt), before_(rt.counters()) {}

void at_rest::check() const {
  auto same = [&] {
    auto now = rt_.counters();
    return now.processes == before_.processes && now.timers == before_.timers;
  };
  EXPECT_TRUE(eventually(same)) << rt_.counters().processes << " processes and " << rt_.counters().timers
                                << " timers, before " << before_.processes << " and " << before_.timers;
}

// ---- programs ----------------------------------------------------------------------------------------------------

program::program(otp::runtime_options options) {
  options.listener = &events_;
  rt_.emplace(options);
  rt_->start();
}

void program::run(const std::function<void()>& body) {
  otp::exit_reason why = rt_->run(body);
  EXPECT_TRUE(why.is_normal()) << "the first process ended with " << why.to_string();
}

otp::stop_report program::stop(otp::duration budget) {
  stopped_ = true;
  return rt_->stop(budget);
}

program::~program() {
  if (!stopped_) {
    auto report = stop();
    std::string left;
    for (auto& l : report.abandoned) left += " " + l.name + ": " + l.why;
    EXPECT_TRUE(report.clean()) << left;
    auto c = rt_->counters();
    EXPECT_EQ(c.processes, 0U);
    EXPECT_EQ(c.spawned, c.exited);
    EXPECT_EQ(c.timers, 0U);
    EXPECT_EQ(c.sent, c.accepted + c.dead + c.refused) << "accepted + refused = sent";
    EXPECT_EQ(c.accepted, c.handled + c.dropped + c.unhandled + c.expired) << "nothing accepted may vanish";
  }
  rt_.reset();
}

void in_real_time(const std::function<void()>& body, otp::runtime_options options) {
  program p(options);
  p.run(body);
}

void for_seeds(int count, const std::function<void()>& body, otp::runtime_options options) {
  static event_log nobody;
  if (!options.listener) options.listener = &nobody;
  for (int seed = 1; seed <= count; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    otp::testing::options how;
    how.seed = static_cast<std::uint64_t>(seed);
    how.runtime = options;
    try {
      otp::testing::run(how, body);
    } catch (const std::exception& e) {
      ADD_FAILURE() << e.what();
    }
    if (::testing::Test::HasFailure()) break;
  }
  nobody.clear();
}

otp::exit_reason reason_of(otp::ref monitor) {
  return otp::receive(otp::when([&](const otp::down& d) { return d.reference == monitor; },
                                [](const otp::down& d) { return d.reason; }));
}

// ---- children ----------------------------------------------------------------------------------------------------

bool child_result::exited(int code) const { return status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == code; }
bool child_result::signalled(int signal) const {
  return status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == signal;
}

namespace {

int failures() {
  const ::testing::TestResult& so_far = *::testing::UnitTest::GetInstance()->current_test_info()->result();
  int n = 0;
  for (int i = 0; i < so_far.total_part_count(); ++i) n += so_far.GetTestPartResult(i).failed();
  return n;
}

// ThreadSanitizer hardly works in a forked child of a program that has threads, and the fibers that abandoned
// processes left behind are threads for it. So there a child is this program started again for this test alone, which
// skips what it finds on the way to the in_child() in question.
constexpr const char* child_variable = "OTP_FAULTS_CHILD";
int calls_of_in_child = 0;  // in the test that runs

struct count_anew final : ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo&) override { calls_of_in_child = 0; }
};
[[maybe_unused]] const bool counting = [] {
  ::testing::UnitTest::GetInstance()->listeners().Append(new count_anew);
  return true;
}();

[[noreturn]] void start_again(int number, int errors) {
  const ::testing::TestInfo& test = *::testing::UnitTest::GetInstance()->current_test_info();
  std::string filter = std::string("--gtest_filter=") + test.test_suite_name() + "." + test.name();
  ::dup2(errors, STDERR_FILENO);
  // Nobody wants to see how the skipped ones fail.
  int shown = ::dup(STDOUT_FILENO);
  ::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
  ::setenv(child_variable, (std::to_string(number) + " " + std::to_string(shown)).c_str(), 1);
  ::execl("/proc/self/exe", "child", filter.c_str(), "--gtest_brief=1", nullptr);
  ::_exit(96);
}

}  // namespace

child_result in_child(const std::function<int()>& body, std::chrono::seconds deadline) {
  int ends[2] = {-1, STDERR_FILENO};
  ++calls_of_in_child;
  bool started_again = false;
  if (const char* wanted = tsan ? std::getenv(child_variable) : nullptr) {
    int number = 0;
    int shown = STDOUT_FILENO;
    std::sscanf(wanted, "%d %d", &number, &shown);
    if (number != calls_of_in_child) return {};
    std::fflush(nullptr);
    ::dup2(shown, STDOUT_FILENO);
    ::close(shown);
    started_again = true;
    ::unsetenv(child_variable);
  } else if (::pipe2(ends, O_CLOEXEC) != 0) {
    return {};
  }
  std::fflush(nullptr);
  ::pid_t child = started_again ? 0 : ::fork();
  if (child == 0) {
    if (tsan && !started_again) start_again(calls_of_in_child, ends[1]);
    const int failures_before = failures();
    if (!started_again) ::dup2(ends[1], STDERR_FILENO);
    struct rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);  // a core is wanted from users' programs, not from these
    int code = 98;
    try {
      code = body();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "the child threw: %s\n", e.what());
    }
    if (failures() != failures_before) code = 97;  // what was expected in vain is on stdout already
#if OTP_DETAIL_ASAN
    if (code == 0 && __lsan_do_recoverable_leak_check() != 0) code = 99;
#endif
    std::fflush(nullptr);
    ::_exit(code);
  }
  ::close(ends[1]);
  child_result result;
  auto end = std::chrono::steady_clock::now() + deadline * (asan || tsan ? 4 : 1);
  bool late = false;
  for (;;) {
    pollfd fd{ends[0], POLLIN, 0};
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    if (left <= 0) {
      late = true;
      ::kill(child, SIGKILL);
      break;
    }
    if (::poll(&fd, 1, static_cast<int>(std::min<long long>(left, 1000))) <= 0) {
      int status = 0;  // a grandchild may keep the pipe open
      if (::waitpid(child, &status, WNOHANG) == child) {
        result.status = status;
        child = 0;
        break;
      }
      continue;
    }
    char block[4096];
    ssize_t n = ::read(ends[0], block, sizeof block);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    result.errors.append(block, static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  if (child != 0) {
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    result.status = late ? -1 : status;
  }
  return result;
}

}  // namespace faults
