// How many restarts a supervisor has made lately: exact, in memory for no more than it tolerates.
#pragma once
#include <otp/duration.hpp>

#include <cstddef>
#include <vector>

namespace otp::detail {

class restart_window {
 public:
  restart_window() = default;
  restart_window(int tolerated, duration period) : tolerated_(static_cast<std::size_t>(tolerated)), period_(period) {}

  /// One more restart. False: more than are tolerated lie within the period. One that is exactly a period old counts.
  bool add(instant now) {
    if (tolerated_ == 0) return false;
    if (stamps_.size() < tolerated_) {
      // Grows only while all stamps count: otherwise the oldest one's place is free.
      if (stamps_.empty() || counts(stamps_[oldest_], now)) {
        if (oldest_ != 0) unroll();
        stamps_.push_back(now);
        return true;
      }
    } else if (counts(stamps_[oldest_], now)) {
      return false;
    }
    stamps_[oldest_] = now;
    oldest_ = oldest_ + 1 == stamps_.size() ? 0 : oldest_ + 1;
    return true;
  }

 private:
  bool counts(instant stamp, instant now) const { return now - stamp <= period_; }
  void unroll() {
    std::vector<instant> in_order;
    in_order.reserve(stamps_.size() * 2);
    for (std::size_t i = 0; i < stamps_.size(); ++i) in_order.push_back(stamps_[(oldest_ + i) % stamps_.size()]);
    stamps_ = std::move(in_order);
    oldest_ = 0;
  }

  std::size_t tolerated_ = 0;
  duration period_{};
  std::vector<instant> stamps_;  // a ring: the oldest at `oldest_`
  std::size_t oldest_ = 0;
};

}  // namespace otp::detail
