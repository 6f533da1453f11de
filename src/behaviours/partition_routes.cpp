#include "behaviours/partition_routes.hpp"

namespace otp::detail {

void partition_directory::add(pid supervisor, std::shared_ptr<partition_routes> routes) {
  std::lock_guard lock(lock_);
  entries_.insert(supervisor.value(), std::move(routes));
}

void partition_directory::remove(pid supervisor) noexcept {
  std::lock_guard lock(lock_);
  entries_.erase(supervisor.value());
}

std::shared_ptr<partition_routes> partition_directory::find(pid supervisor) const {
  std::lock_guard lock(lock_);
  const auto* found = entries_.find(supervisor.value());
  return found ? *found : nullptr;
}

partition_directory& partition_directory::here() {
  static const char key = 0;
  return static_cast<partition_directory&>(
      keep_with_runtime(&key, []() -> std::unique_ptr<kept> { return std::make_unique<partition_directory>(); }));
}

}  // namespace otp::detail
