#include "runtime/cpus.hpp"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string_view>

namespace otp::detail {

namespace {

std::string contents(const std::string& path) {
  std::string text;
  int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return text;
  struct closed_at_end {
    int file;
    ~closed_at_end() { ::close(file); }
  } guard{file};
  char block[4096];
  for (;;) {
    ssize_t n = ::read(file, block, sizeof block);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(block, static_cast<std::size_t>(n));
  }
  return text;
}

unsigned allowed_cpus() {
  // The mask is as long as the kernel's, which may be longer than cpu_set_t.
  for (std::size_t bytes = sizeof(cpu_set_t); bytes <= sizeof(cpu_set_t) * 64; bytes *= 2) {
    std::string mask(bytes, '\0');
    if (::sched_getaffinity(0, bytes, reinterpret_cast<cpu_set_t*>(mask.data())) == 0)
      return static_cast<unsigned>(std::max(1, CPU_COUNT_S(bytes, reinterpret_cast<const cpu_set_t*>(mask.data()))));
    if (errno != EINVAL) break;
  }
  return 1;
}

constexpr double unlimited = std::numeric_limits<double>::infinity();

// cgroup v2: "50000 100000" or "max 100000".
double quota_of_v2(const std::string& folder) {
  double quota = 0;
  double period = 0;
  return std::sscanf(contents(folder + "/cpu.max").c_str(), "%lf %lf", &quota, &period) == 2 && quota > 0 && period > 0
             ? quota / period
             : unlimited;
}

// cgroup v1: -1 is no limit.
double quota_of_v1(const std::string& folder) {
  double quota = 0;
  double period = 0;
  return std::sscanf(contents(folder + "/cpu.cfs_quota_us").c_str(), "%lf", &quota) == 1 &&
                 std::sscanf(contents(folder + "/cpu.cfs_period_us").c_str(), "%lf", &period) == 1 && quota > 0 &&
                 period > 0
             ? quota / period
             : unlimited;
}

// A group is limited by its own quota and by those of all groups above it.
template <class Quota>
double smallest_on_the_way(const std::string& mount, std::string group, Quota quota) {
  double least = quota(mount);
  while (group.size() > 1) {
    least = std::min(least, quota(mount + group));
    group.resize(group.rfind('/'));
  }
  return least;
}

double cpu_quota(const std::string& root) {
  double least = unlimited;
  std::string groups = contents(root + "/proc/self/cgroup");
  for (std::size_t at = 0; at < groups.size();) {
    std::size_t end = std::min(groups.find('\n', at), groups.size());
    std::string_view line(groups.data() + at, end - at);  // "4:cpu,cpuacct:/group", or "0::/group" of version 2
    at = end + 1;
    std::size_t first = line.find(':');
    std::size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    std::string controllers = "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
    std::string group(line.substr(second + 1));
    if (group.find("..") != group.npos) continue;  // outside of our namespace: not to be seen from here
    if (controllers == ",,") {
      least = std::min(least, smallest_on_the_way(root + "/sys/fs/cgroup", group, quota_of_v2));
      least = std::min(least, smallest_on_the_way(root + "/sys/fs/cgroup/unified", group, quota_of_v2));
    } else if (controllers.find(",cpu,") != controllers.npos) {
      least = std::min(least, smallest_on_the_way(root + "/sys/fs/cgroup/cpu", group, quota_of_v1));
      least = std::min(least, smallest_on_the_way(root + "/sys/fs/cgroup/cpu,cpuacct", group, quota_of_v1));
    }
  }
  return least;
}

}  // namespace

unsigned usable_cpus(const std::string& root) {
  unsigned allowed = allowed_cpus();
  double quota = cpu_quota(root);
  if (quota >= allowed) return allowed;
  return std::max(1U, static_cast<unsigned>(std::ceil(quota - 1e-9)));
}

}  // namespace otp::detail
