// Latencies of an open loop: when requests are due, and how the waits are told.
#pragma once
#include "bench.hpp"

#include <cmath>
#include <string>

namespace bench {

/// The instants at which requests are due: exponentially distributed gaps around a mean, the same ones each time.
class arrivals {
 public:
  explicit arrivals(double mean_gap) : mean_gap_(mean_gap) {}
  /// Nanoseconds until the next one.
  double next_gap() {
    state_ = (state_ * 1'103'515'245 + 12'345) % 2'147'483'648;  // the BEAM's program draws the same numbers
    return -mean_gap_ * std::log((double(state_) + 1) / 2'147'483'649.0);
  }

 private:
  std::int64_t state_ = 42;
  double mean_gap_;
};

/// The value below which so many of a thousand lie. Sorts.
inline std::int64_t per_mille(std::vector<std::int64_t>& samples, std::size_t thousandths) {
  check(!samples.empty(), "there are no samples");
  std::sort(samples.begin(), samples.end());
  return samples[std::min(samples.size() - 1, samples.size() * thousandths / 1'000)];
}

/// The rows <name>_p50, _p99, _p999, in microseconds.
inline void percentiles(const std::string& name, std::vector<std::int64_t> samples) {
  result((name + "_p50").c_str(), double(per_mille(samples, 500)) / 1e3, "us");
  result((name + "_p99").c_str(), double(per_mille(samples, 990)) / 1e3, "us");
  result((name + "_p999").c_str(), double(per_mille(samples, 999)) / 1e3, "us");
}

}  // namespace bench
