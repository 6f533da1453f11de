#include "behaviours/stop_budget.hpp"

#include <otp/duration.hpp>

#include <algorithm>

namespace otp::detail {

std::int64_t stop_budget::limit_under(pid parent) const noexcept {
  std::int64_t end = stop_deadline();
  if (end == none) return none;
  std::int64_t now = otp::now().time_since_epoch().count();
  {
    std::lock_guard lock(lock_);
    if (const std::int64_t* theirs = limits_.find(parent.value())) {
      std::int64_t left = std::max<std::int64_t>(*theirs - now, 0);
      return now + left - left / 8;
    }
  }
  // Nobody above it shares the budget: it is the tree's root. What it leaves is for those who do not listen.
  std::int64_t left = std::max<std::int64_t>(end - now, 0);
  return now + left / 8 * 5;
}

void stop_budget::set(pid me, std::int64_t moment) {
  std::lock_guard lock(lock_);
  if (std::int64_t* mine = limits_.find(me.value()))
    *mine = moment;
  else
    limits_.insert(me.value(), moment);
}

void stop_budget::forget(pid me) noexcept {
  std::lock_guard lock(lock_);
  limits_.erase(me.value());
}

stop_budget& stop_budget::here() {
  static const char key = 0;
  return static_cast<stop_budget&>(
      keep_with_runtime(&key, []() -> std::unique_ptr<kept> { return std::make_unique<stop_budget>(); }));
}

}  // namespace otp::detail
