// Where the partitions of a partition supervisor are, for those who address them.
//
// Rules
// 1. The supervisor writes, in its own process; anyone reads. `count` is what keys are spread over; a slot is 0 while
//    its partition has no process.
// 2. The runtime keeps a table of all of them, by supervisor; its lock covers the table only.
#pragma once
#include "base/flat_table.hpp"

#include <otp/detail/behaviour.hpp>

#include <atomic>
#include <memory>
#include <mutex>

namespace otp::detail {

struct partition_routes {
  explicit partition_routes(std::size_t n)
      : size(n), count(n), processes(std::make_unique<std::atomic<std::uint64_t>[]>(n)) {}
  const std::size_t size;
  std::atomic<std::size_t> count;
  std::unique_ptr<std::atomic<std::uint64_t>[]> processes;
};

class partition_directory final : public kept {
 public:
  void add(pid supervisor, std::shared_ptr<partition_routes> routes);
  void remove(pid supervisor) noexcept;
  std::shared_ptr<partition_routes> find(pid supervisor) const;
  /// The directory of the caller's runtime.
  static partition_directory& here();

 private:
  mutable std::mutex lock_;
  flat_table<std::uint64_t, std::shared_ptr<partition_routes>> entries_;  // guarded by lock_
};

}  // namespace otp::detail
