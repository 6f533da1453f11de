// The timers that users set: a message, an exit signal or a function, found again by reference.
//
// Rules
// 1. The timers of a worker's wheel are one shard, under the lock of that wheel: entries, states, places.
// 2. An entry's `state`: armed -> firing by the expiry, armed -> free by a cancel that still gets it out of the wheel,
//    armed or firing -> cancelled by one that does not; the expiry then frees it. So when a cancel says that a timer
//    was pending, its message does not come.
// 3. A place lasts as long as the table and knows its generation, so who holds a stale reference finds another one; its
//    entry is freed when many are unused. Nobody but the expiry touches an entry without the lock. One that is being
//    set up is free, not among the unused, and known to who sets it up only.
// 4. No user code runs under the lock.
// 5. A target that is a process lists its timers (process_extra::timers), told by signals when somebody else set or
//    cancelled them; when it ends it takes them out.
// 6. The timers that a process sets are in one wheel as long as one of them may be pending (process_extra::timers_on),
//    and a wheel has one driver at a time: so they fire in the order of their expiry.
#pragma once
#include "process/runtime_core.hpp"

#include <otp/timer.hpp>

namespace otp::detail {

class timer_table {
 public:
  explicit timer_table(runtime_core& core);
  ~timer_table();

  /// For what runs on this worker.
  ref arm(worker& here, timer_request&& request);
  std::optional<duration> cancel(worker& here, ref timer);
  std::optional<duration> read(worker& here, ref timer);
  void target_ended(std::uint64_t number) noexcept;
  /// The target of a pending timer that is dead, if there is one; nothing may run meanwhile.
  pid dead_target() noexcept;
  std::size_t size() const noexcept;

 private:
  enum class state : std::uint8_t { free, armed, firing, cancelled };
  struct entry : timer {
    timer_table* table = nullptr;
    std::uint64_t number = 0;  // of the present or next arming
    state now = state::free;
    timer_request request;
  };
  struct place {
    std::unique_ptr<entry> held;  // null: unused, and given back after a burst
    std::uint64_t number = 0;     // of the present or next arming
  };
  struct shard {
    std::vector<place> places;
    std::vector<std::uint32_t> unused;   // room for all places
    std::atomic<std::size_t> in_use{0};  // read by anyone
  };
  static constexpr std::size_t entries_kept = 1024;  // unused ones, per shard

  struct taken {
    nanos deadline = 0;
    pid target{};
  };

  unsigned wheel_of(process& me, const worker& here);
  void note_expiry(process& me, std::uint64_t number, const timer_request& request);
  bool is_pending(std::uint64_t number) noexcept;
  void add_place(shard&, unsigned number_of_shard);
  entry& reserve(shard&, unsigned number_of_shard);
  void start(shard&, entry&, timer_request& request, worker& on) noexcept;
  ref arm_for_others(const worker& here, process* me, timer_request& request);
  static void fired(timer& t) noexcept;
  void expire(entry& e) noexcept;
  /// False: the timer has no target any more.
  bool act(entry& e, envelope* message) noexcept;
  static entry* find(shard&, std::uint64_t number) noexcept;
  static void free_entry(shard&, entry&) noexcept;
  std::optional<taken> take_out(std::uint64_t number, bool wait) noexcept;
  static unsigned shard_of(std::uint64_t number) noexcept;
  bool known(std::uint64_t number) const noexcept;
  spin_lock& lock_of(std::uint64_t number) noexcept { return core_.sched.shard(shard_of(number)).timers_lock; }

  runtime_core& core_;
  std::vector<shard> shards_;  // one a worker
};

}  // namespace otp::detail
