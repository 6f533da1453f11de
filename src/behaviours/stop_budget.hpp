// How the budget of a runtime's stop is divided down the tree.
//
// Rules
// 1. One table per runtime, kept by the runtime; its lock covers the entries. It is used only while the runtime stops.
// 2. A supervisor that waits for a child enters when it will lose patience with it; a child that is a supervisor itself
//    looks there for its own limit, and stays an eighth of the time under it, so that it can name its culprit before it
//    becomes one.
#pragma once
#include "base/flat_table.hpp"

#include <otp/detail/behaviour.hpp>

#include <mutex>

namespace otp::detail {

class stop_budget final : public kept {
 public:
  static constexpr std::int64_t none = INT64_MAX;

  /// By when a process whose parent is `parent` has to be over; `none` while the runtime is not being stopped.
  std::int64_t limit_under(pid parent) const noexcept;
  /// `me` will lose patience with the child it stops at `moment`.
  void set(pid me, std::int64_t moment);
  void forget(pid me) noexcept;

  /// The table of the caller's runtime.
  static stop_budget& here();

 private:
  mutable std::mutex lock_;
  flat_table<std::uint64_t, std::int64_t> limits_;  // guarded by lock_
};

}  // namespace otp::detail
