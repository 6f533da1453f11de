// Stacks for processes that wait: where they come from, their guards, and the caches in front.
//
// Shape   worker -> its stack_pool (a few, no lock) -> the runtime's stack_source (a mutex) -> the kernel.
// Units   bytes; 64 KiB a stack by default, with 16 KiB of guard below, and a page more where the two were an even
//         number of pages. A guard of one page is jumped by the first large frame that is compiled without
//         -fstack-clash-protection.
// Errors  stack_exhausted, whose text names the limit that was met and the setting that raises it.
//
// Rules
// 1. A stack has one owner at a time: the kernel's mapping belongs to the source, the right to run on it or to give
//    it back to whoever took it. `next` belongs to the list that it is in.
// 2. stack_pool belongs to one thread. stack_source is everybody's; all its fields are guarded by its mutex, and no
//    system call that grows with the number of stacks is made under it.
// 3. A context parked in the pool of one worker never starts on another: the pool drops it when the stack goes back
//    to the source. So nothing on a pooled stack may need a destructor.
// 4. Memory of a stack that is out is never unmapped, not even when the source ends: somebody may still run on it.
//
// Guards  MADV_GUARD_INSTALL (Linux 6.13) puts a guard inside one mapping, so that a million stacks need a few
//         dozen maps. Where it is refused (older kernels; memory locked by mlockall), or on request, mprotect: two
//         maps a stack, which vm.max_map_count limits to about 32,600. Slabs grow, because the kernel joins
//         neighbouring maps only sometimes.
#pragma once
#include "runtime/context.hpp"

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace otp::detail {

class stack_source;

/// The header of a stack. It lies outside the stack's memory, so an overflow cannot reach it.
struct stack {
  context ctx;
  char* low = nullptr;    // first usable byte; the guard lies right below
  std::size_t size = 0;   // usable bytes
  std::size_t guard = 0;  // 0: none was to be had (options::allow_unguarded), a canary stands in for it
  stack* next = nullptr;
  void* owner = nullptr;    // the room above: who runs or waits on it
  void* user[4] = {};       // the room above
  bool terminated = false;  // left by the terminate handler; see crash.cpp

  char* top() const noexcept { return low + size; }
  /// Bytes up to where a context starts: a little below the top, elsewhere on each stack. Without that the hot ends of
  /// all stacks would lie in the same few sets of the caches, and a round through a hundred processes miss on each.
  std::size_t start_size() const noexcept {
    const auto page = reinterpret_cast<std::uintptr_t>(low) >> 12U;
    return size - static_cast<std::size_t>((page * 0x9e3779b97f4a7c15U) >> 59U) * 64;
  }
  bool contains(const void* address) const noexcept { return address >= low && address < low + size; }
  bool guard_contains(const void* address) const noexcept { return address >= low - guard && address < low; }
  bool has_own_size() const noexcept { return own_size_; }

 private:
  friend class stack_source;
  stack* above_ = nullptr;  // in the list of dirty ones: which was used after it
  enum class state : std::uint8_t { out, idle, idle_clean, retired };
  state state_ = state::out;  // guarded by the source
  bool own_size_ = false;     // mapped for itself alone
  bool mprotected_ = false;   // its guard costs two maps
  std::size_t index_ = 0;     // of one with a size of its own: where the source lists it
};

/// No further stack is to be had. What it was, how many there are, which limit, and what to set.
class stack_exhausted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// 64 KiB hold what ordinary library calls need (getaddrinfo and printf: 10 KiB, a throw: 5 KiB); sanitizers make
/// frames larger.
inline constexpr std::size_t default_stack_size = (with_address_sanitizer || with_thread_sanitizer ? 256 : 64) * 1024;
/// A smaller request is raised to this: a signal frame with wide registers alone takes 4 KiB.
inline constexpr std::size_t smallest_stack_size = (with_address_sanitizer || with_thread_sanitizer ? 128 : 16) * 1024;
/// -fstack-clash-protection touches every page of a large frame in order; on AArch64 g++ touches only every 64 KiB.
#if defined(__aarch64__)
inline constexpr std::size_t default_guard_size = 64 * 1024;
#else
inline constexpr std::size_t default_guard_size = 16 * 1024;
#endif

class stack_source {
 public:
  struct options {
    std::size_t size = default_stack_size;
    std::size_t guard = default_guard_size;
    bool force_mprotect = false;
    bool allow_unguarded = false;  // at the limit: a stack without guard, checked by a canary when it comes back
    /// Told once each: guards fell back to mprotect; stacks without a guard are handed out. Called without the lock
    /// held.
    void (*notice)(const char* text, void* argument) = nullptr;
    void* notice_argument = nullptr;
    std::size_t map_count_max = 0;  // 0: what vm.max_map_count says
  };

  struct counters {
    std::size_t live = 0;        // out: running, waiting, or cached in a pool
    std::size_t idle = 0;        // here, ready to be taken
    std::size_t idle_dirty = 0;  // of these, with pages that trim() would give back
    std::size_t retired = 0;     // never handed out again
    std::size_t unguarded = 0;   // live or idle ones without a guard
    std::size_t high_water = 0;  // most that were live at once
    std::size_t bytes = 0;       // address space of all of them, guards included
    bool guards_by_mprotect = false;
  };

  stack_source() : stack_source(options()) {}
  explicit stack_source(const options&);
  ~stack_source();
  stack_source(const stack_source&) = delete;
  stack_source& operator=(const stack_source&) = delete;

  /// A stack of the default size; its context has to be made.
  stack* take();
  /// A stack of at least `size` bytes.
  stack* take(std::size_t size);
  /// One or more of the default size, linked by `next`: at most `wanted`, and more than one only from the idle
  /// ones.
  stack* take_list(std::size_t wanted);

  /// Takes it back; its context is destroyed. Reports and aborts if the canary of an unguarded stack was
  /// overwritten.
  void give(stack*) noexcept;
  void give_list(stack* first) noexcept;

  /// For a stack that ended without unwinding: something may still point into it. Its memory is given back to the
  /// kernel, its addresses fault from now on, and it is never handed out again.
  void retire(stack*) noexcept;

  /// Gives the pages of idle stacks back to the kernel, but for the `keep` used last. Returns how many it trimmed.
  std::size_t trim(std::size_t keep) noexcept;

  counters count() const;
  bool guards_by_mprotect() const;
  std::size_t stack_size() const noexcept { return options_.size; }

 private:
  struct slab {
    char* base = nullptr;
    std::size_t bytes = 0;
    stack* headers = nullptr;  // `count` of them; the first `carved` are constructed
    std::size_t count = 0;
    std::size_t carved = 0;
  };
  enum class guarded : std::uint8_t { inside, by_mprotect, no_more_maps, refused };

  stack* pop_idle() noexcept;
  stack* carve();
  void add_slab();
  stack* map_alone(std::size_t size);
  void forget_alone(stack&) noexcept;
  void unmap_alone(stack*) noexcept;
  guarded protect(char* guard_base);
  void set_guard(stack&, guarded) noexcept;
  bool acceptable(guarded g) const noexcept { return g <= guarded::by_mprotect || options_.allow_unguarded; }
  void fall_back(int error);
  void hand_out(stack&) noexcept;
  void take_in(stack&) noexcept;
  std::size_t slot_bytes() const noexcept { return options_.size + options_.guard; }
  [[noreturn]] void throw_no_guard(guarded, int error) const;
  [[noreturn]] void throw_no_memory(std::size_t bytes, int error) const;

  mutable std::mutex mutex_;
  options options_;
  const std::size_t page_;
  std::vector<slab> slabs_;        // only the last one may have slots left
  std::vector<stack*> own_sized_;  // all of them, idle ones too
  stack* dirty_ = nullptr;         // idle, used last first
  stack* dirty_last_ = nullptr;    // its other end
  stack* clean_ = nullptr;         // idle, without pages
  stack* idle_own_ = nullptr;      // idle ones of a size of their own
  std::size_t idle_own_count_ = 0;
  std::size_t mprotected_ = 0;  // guards that cost two maps each
  std::size_t next_slab_;
  bool by_mprotect_;
  bool guard_tried_ = false;              // the first guard by advice was seen to work
  const char* pending_notice_ = nullptr;  // to be told once the lock is released
  bool told_unguarded_ = false;
  counters counters_;
};

/// The few stacks that a worker keeps for itself.
class stack_pool {
 public:
  struct options {
    std::size_t keep = 64;   // more idle ones than this, and half of them go back
    std::size_t batch = 16;  // fetched at once, if the source has idle ones
  };

  explicit stack_pool(stack_source& source) : stack_pool(source, options()) {}
  stack_pool(stack_source&, const options&);
  ~stack_pool();
  stack_pool(const stack_pool&) = delete;
  stack_pool& operator=(const stack_pool&) = delete;

  /// The one given back last. Its context is parked (`ctx.ready()`), or has to be made.
  stack* take();
  /// Keeps the context as it is: parked where it suspended, or ended.
  void give(stack*) noexcept;
  /// Sends back what has not been needed since the last call.
  void trim() noexcept;

  std::size_t idle() const noexcept { return idle_; }
  stack_source& source() const noexcept { return source_; }

 private:
  void send_back(std::size_t) noexcept;

  stack_source& source_;
  options options_;
  stack* first_ = nullptr;
  std::size_t idle_ = 0;
  std::size_t unused_ = 0;  // least that were idle at once since the last trim()
};

/// How deep the stack was used since its pages were fresh: by this process or by one that had it before, back to
/// the last trim. Finds the lowest nonzero word in the pages that are present, by one mincore(2) per 16 MiB; pages
/// swapped out do not count.
std::size_t used_bytes(const stack&) noexcept;

/// False: a stack without a guard was overrun, and what lies below it is damaged. Always true for a guarded one.
bool canary_intact(const stack&) noexcept;

}  // namespace otp::detail
