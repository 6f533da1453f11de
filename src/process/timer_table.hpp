// The timers that users set: a message, an exit signal or a function, found again by reference.
//
// Rules
// 1. An entry's `state` changes under its shard's lock only: armed -> firing by the expiry, armed -> free by a cancel
//    that still gets it out of the wheel, armed or firing -> cancelled by one that does not; the expiry then frees it.
//    So when a cancel says that a timer was pending, its message does not come.
// 2. A place lasts as long as the table and knows its generation, so who holds a stale reference finds another one; its
//    entry is freed when many are unused. Nobody but the expiry touches an entry without the lock. One that
//    is being set up is free, not among the unused, and known to who sets it up only.
// 3. A shard's lock is taken before a wheel's, never the other way round, and never while user code runs.
// 4. A target that is a process lists its timers (process_extra::timers), told by signals when somebody else set or
//    cancelled them; when it ends it takes them out.
// 5. The timers that a process sets are in one wheel as long as one of them may be pending (process_extra::timers_on),
//    and a wheel has one driver at a time: so they fire in the order of their expiry.
#pragma once
#include "process/runtime_core.hpp"

#include <otp/timer.hpp>

namespace otp::detail {

class timer_table {
 public:
  explicit timer_table(runtime_core& core) : core_(core) {}
  ~timer_table();

  ref arm(timer_request&& request);
  std::optional<duration> cancel(ref timer);
  std::optional<duration> read(ref timer);
  void target_ended(std::uint64_t number) noexcept;
  /// The target of a pending timer that is dead, if there is one; nothing may run meanwhile.
  pid dead_target() noexcept;
  std::size_t size() const noexcept { return armed_.load(std::memory_order_relaxed); }

 private:
  enum class state : std::uint8_t { free, armed, firing, cancelled };
  struct entry : timer {
    timer_table* table = nullptr;
    std::uint64_t number = 0;  // of the present or next arming
    state now = state::free;
    timer_request request;
  };
  static constexpr unsigned shard_count = 16;
  struct place {
    std::unique_ptr<entry> held;  // null: unused, and given back after a burst
    std::uint64_t number = 0;     // of the present or next arming
  };
  struct shard {
    spin_lock lock;
    std::vector<place> places;          // guarded by lock
    std::vector<std::uint32_t> unused;  // guarded by lock; room for all places
  };
  static constexpr std::size_t entries_kept = 1024;  // unused ones, per shard

  worker* wheel_for(process& me, std::uint64_t number, const timer_request& request);
  bool is_pending(std::uint64_t number) noexcept;
  entry& reserve(shard&, unsigned number_of_shard);
  static void fired(timer& t) noexcept;
  void expire(entry& e) noexcept;
  /// False: the timer has no target any more.
  bool act(entry& e, envelope* message) noexcept;
  entry* find(shard&, std::uint64_t number) noexcept;
  void free_entry(shard&, entry&) noexcept;
  bool take_out(std::uint64_t number, nanos* deadline, pid* target, bool wait) noexcept;
  shard& shard_of(std::uint64_t number) noexcept { return shards_[number % shard_count]; }

  runtime_core& core_;
  std::array<shard, shard_count> shards_;
  std::atomic<std::size_t> armed_{0};  // a statistic
};

}  // namespace otp::detail
