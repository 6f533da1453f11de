// What is counted, by whoever does it, and shown by GET /status.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>

namespace storefront {

struct counter_set {
  std::atomic<std::uint64_t> connections{0};          ///< accepted
  std::atomic<std::uint64_t> connections_open{0};     ///< at present
  std::atomic<std::uint64_t> connections_refused{0};  ///< told that there are too many, or not even that
  std::array<std::atomic<std::uint64_t>, 6> answers{};  ///< by the first digit of the status
  std::atomic<std::uint64_t> rate_limited{0};         ///< 429
  std::atomic<std::uint64_t> unavailable{0};          ///< 503
  std::atomic<std::uint64_t> orders{0};               ///< placed
  std::atomic<std::uint64_t> replays{0};              ///< orders that were there already
  std::atomic<std::uint64_t> payment_steps{0};        ///< written to the ledger
  std::atomic<std::uint64_t> payments_read{0};        ///< machines that read their steps: they were new, or were killed
  std::atomic<std::uint64_t> news{0};                 ///< items sent to subscribers
  std::atomic<std::uint64_t> subscribers{0};          ///< that were let in
  std::atomic<std::uint64_t> subscribers_open{0};     ///< at present
  std::atomic<std::uint64_t> subscribers_dropped{0};  ///< because they did not read
  std::atomic<std::uint64_t> jobs_done{0};
  std::atomic<std::uint64_t> job_retries{0};          ///< tasks that were started again
  std::atomic<std::uint64_t> retries{0};              ///< of requests to processes that had just died
  std::atomic<std::uint64_t> kills{0};                ///< by POST /chaos/kill

  void count_answer(int status) {
    ++answers[static_cast<std::size_t>(status / 100) % answers.size()];
    if (status == 429) ++rate_limited;
    if (status == 503) ++unavailable;
  }
};

inline constinit counter_set counters;

/// Counts itself for as long as it lives.
class open_connection {
 public:
  open_connection() { ++counters.connections_open; }
  open_connection(const open_connection&) = delete;
  open_connection& operator=(const open_connection&) = delete;
  ~open_connection() { --counters.connections_open; }
};

}  // namespace storefront
