#include "runtime/cpus.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <thread>

using otp::detail::usable_cpus;

namespace {

// A folder that stands for / with a control group of its own.
class machine {
 public:
  machine() {
    root_ = std::filesystem::temp_directory_path() / "otp-cpus-XXXXXX";
    if (!::mkdtemp(root_.data())) throw std::system_error(errno, std::generic_category(), root_);
  }
  ~machine() { std::filesystem::remove_all(root_); }
  machine(const machine&) = delete;
  machine& operator=(const machine&) = delete;

  void file(const std::string& path, const std::string& text) const {
    std::filesystem::path where = root_ + path;
    std::filesystem::create_directories(where.parent_path());
    std::ofstream(where) << text;
  }
  unsigned cpus() const { return usable_cpus(root_); }

 private:
  std::string root_;
};

unsigned all_of_them() { return usable_cpus("/nowhere"); }

}  // namespace

TEST(usable_cpus, without_a_control_group_is_the_affinity) {
  cpu_set_t mask;
  ASSERT_EQ(::sched_getaffinity(0, sizeof mask, &mask), 0);
  EXPECT_EQ(all_of_them(), static_cast<unsigned>(CPU_COUNT(&mask)));
  EXPECT_EQ(machine().cpus(), all_of_them());
}

// covers: J06
TEST(usable_cpus, of_a_thread_that_may_use_one_core_is_one) {
  unsigned seen = 0;
  std::thread([&] {
    cpu_set_t mask;
    ASSERT_EQ(::sched_getaffinity(0, sizeof mask, &mask), 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; ++i)
      if (CPU_ISSET(i, &mask)) {
        CPU_SET(i, &one);
        break;
      }
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    seen = usable_cpus("/nowhere");
  }).join();
  EXPECT_EQ(seen, 1U);
}

// covers: J06
TEST(usable_cpus, of_half_a_core_is_one_and_of_one_and_a_half_two) {
  machine m;
  m.file("/proc/self/cgroup", "0::/service\n");
  m.file("/sys/fs/cgroup/service/cpu.max", "50000 100000\n");
  EXPECT_EQ(m.cpus(), 1U);
  m.file("/sys/fs/cgroup/service/cpu.max", "150000 100000\n");
  EXPECT_EQ(m.cpus(), std::min(2U, all_of_them()));
  m.file("/sys/fs/cgroup/service/cpu.max", "100000 100000\n");
  EXPECT_EQ(m.cpus(), 1U);
  m.file("/sys/fs/cgroup/service/cpu.max", "max 100000\n");
  EXPECT_EQ(m.cpus(), all_of_them());
}

TEST(usable_cpus, follow_the_smallest_quota_on_the_way_up) {
  machine m;
  m.file("/proc/self/cgroup", "0::/outer/inner\n");
  m.file("/sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
  m.file("/sys/fs/cgroup/outer/cpu.max", "20000 100000\n");
  EXPECT_EQ(m.cpus(), 1U);
}

TEST(usable_cpus, read_groups_of_version_1) {
  machine m;
  m.file("/proc/self/cgroup", "7:memory:/x\n4:cpu,cpuacct:/service\n");
  m.file("/sys/fs/cgroup/cpu,cpuacct/service/cpu.cfs_quota_us", "25000\n");
  m.file("/sys/fs/cgroup/cpu,cpuacct/service/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(m.cpus(), 1U);
  m.file("/sys/fs/cgroup/cpu,cpuacct/service/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(m.cpus(), all_of_them());
}

TEST(usable_cpus, are_not_led_astray_by_what_cannot_be_read) {
  machine m;
  m.file("/proc/self/cgroup", "no colon\n:\n0::/../../elsewhere\n4:cpu:/x\n0::/odd\n0::");
  m.file("/sys/fs/cgroup/odd/cpu.max", "-5 0\n");
  m.file("/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "many\n");
  EXPECT_EQ(m.cpus(), all_of_them());
}
