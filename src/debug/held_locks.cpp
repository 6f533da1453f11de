// otp::held_locks: tells when a process waits while it holds a lock of threads, with both places. For debug builds.
//
// Such a lock blocks the OS thread of whoever wants it next; if that is the thread of its holder, for ever. Nothing in
// C++ notices, so this file stands in front of the lock functions of libc: a program that links it keeps, per worker, a
// list of the locks that are held on it, and the scheduler asks for the list before it suspends a stack. A program that
// does not link it pays one load of a pointer at every suspension.
//
// Rules
// 1. A list belongs to the OS thread of its worker. It is found by the worker and not by a thread_local variable.
// 2. Before libc's own functions are found, and on threads that are no workers, calls are passed on and that is all.
// 3. What was told is forgotten: the holder will unlock it some day, and others run on this thread meanwhile.
#include "process/runtime_core.hpp"
#include "runtime/crash.hpp"
#include "runtime/stall_probe.hpp"
#include "runtime/tls.hpp"

#include <dlfcn.h>
#include <pthread.h>

#include <cerrno>
#include <cstdlib>
#include <new>

#if OTP_DETAIL_ASAN || OTP_DETAIL_TSAN
#error "otp::held_locks replaces the same functions as the sanitizers; build without it"
#endif

namespace otp::detail {

namespace {

struct held {
  const void* lock = nullptr;
  std::array<void*, 12> frames{};
  std::size_t count = 0;
};
struct held_list {
  std::array<held, 32> locks;
  std::size_t count = 0;
};

held_list* list_of(worker& w, bool make) noexcept {
  if (!w.debug && make) {
    void* memory = std::malloc(sizeof(held_list));
    if (memory) w.debug = new (memory) held_list;
  }
  return static_cast<held_list*>(w.debug);
}

[[gnu::noinline]] void note_locked(const void* lock) noexcept {
  auto* w = static_cast<worker*>(current_worker_raw());
  if (!w || !w->running) return;
  held_list* list = list_of(*w, true);
  if (!list || list->count == list->locks.size()) return;
  held& h = list->locks[list->count++];
  h.lock = lock;
  h.count = capture_backtrace(h.frames.data(), h.frames.size());
}

void note_unlocked(const void* lock) noexcept {
  auto* w = static_cast<worker*>(current_worker_raw());
  held_list* list = w ? list_of(*w, false) : nullptr;
  if (!list) return;
  for (std::size_t i = list->count; i-- > 0;)
    if (list->locks[i].lock == lock) {
      for (std::size_t after = i + 1; after < list->count; ++after) list->locks[after - 1] = list->locks[after];
      --list->count;
      return;
    }
}

std::string place(void* const* frames, std::size_t count) {
  constexpr std::size_t own = 2;  // note_locked and the lock function, or tell and the scheduler
  stall_trace trace;
  for (std::size_t i = own; i < count && trace.count < trace.frames.size(); ++i)
    trace.frames[trace.count++] = frames[i];
  return trace.text();
}

[[gnu::noinline]] void tell() noexcept {
  worker& w = *scheduler::current();
  held_list* list = list_of(w, false);
  process* p = current_process();
  if (!list || list->count == 0 || !p) return;
  held_list seen = *list;
  list->count = 0;
  try {
    void* here[24];
    std::size_t depth = capture_backtrace(here, std::size(here));
    runtime_core& core = core_of(w);
    for (std::size_t i = 0; i < seen.count; ++i) {
      const held& h = seen.locks[i];
      char address[32];
      std::snprintf(address, sizeof address, "%p", h.lock);
      core.emit([&]() -> event {
        return {.what = "lock_held_across_wait",
                .severity = severity::error,
                .process = p->self(),
                .name = core.describe(p->self()),
                .fields = {{"lock", address},
                           {"locked_at", place(h.frames.data(), h.count)},
                           {"waits_at", place(here, depth)},
                           {"advice", "unlock it before the wait; while this process waits, others block on it"}}};
      });
    }
  } catch (...) {
    // No memory for the report.
  }
}

// In front of libc's function of the same name.
template <class Function>
Function next(const char* name, std::atomic<Function>& known) noexcept {
  Function f = known.load(std::memory_order_acquire);
  if (!f) {
    f = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
    if (!f) std::abort();
    known.store(f, std::memory_order_release);
  }
  return f;
}

using mutex_function = int (*)(pthread_mutex_t*);
using timed_function = int (*)(pthread_mutex_t*, const timespec*);
using clock_function = int (*)(pthread_mutex_t*, clockid_t, const timespec*);
using rwlock_function = int (*)(pthread_rwlock_t*);

bool taken(int result) noexcept { return result == 0 || result == EOWNERDEAD; }

}  // namespace

}  // namespace otp::detail

using namespace otp::detail;

// Referred to by the link options of otp::held_locks, so that this file is linked.
extern "C" {
extern const int otp_held_locks;
const int otp_held_locks = [] {
  suspension_check.store(tell);
  return 1;
}();

int pthread_mutex_lock(pthread_mutex_t* m) noexcept {
  static constinit std::atomic<mutex_function> real{nullptr};
  int result = next("pthread_mutex_lock", real)(m);
  if (taken(result)) note_locked(m);
  return result;
}
int pthread_mutex_trylock(pthread_mutex_t* m) noexcept {
  static constinit std::atomic<mutex_function> real{nullptr};
  int result = next("pthread_mutex_trylock", real)(m);
  if (taken(result)) note_locked(m);
  return result;
}
int pthread_mutex_timedlock(pthread_mutex_t* m, const timespec* until) noexcept {
  static constinit std::atomic<timed_function> real{nullptr};
  int result = next("pthread_mutex_timedlock", real)(m, until);
  if (taken(result)) note_locked(m);
  return result;
}
int pthread_mutex_clocklock(pthread_mutex_t* m, clockid_t clock, const timespec* until) noexcept {
  static constinit std::atomic<clock_function> real{nullptr};
  int result = next("pthread_mutex_clocklock", real)(m, clock, until);
  if (taken(result)) note_locked(m);
  return result;
}
int pthread_mutex_unlock(pthread_mutex_t* m) noexcept {
  static constinit std::atomic<mutex_function> real{nullptr};
  note_unlocked(m);
  return next("pthread_mutex_unlock", real)(m);
}

int pthread_rwlock_rdlock(pthread_rwlock_t* l) noexcept {
  static constinit std::atomic<rwlock_function> real{nullptr};
  int result = next("pthread_rwlock_rdlock", real)(l);
  if (taken(result)) note_locked(l);
  return result;
}
int pthread_rwlock_wrlock(pthread_rwlock_t* l) noexcept {
  static constinit std::atomic<rwlock_function> real{nullptr};
  int result = next("pthread_rwlock_wrlock", real)(l);
  if (taken(result)) note_locked(l);
  return result;
}
int pthread_rwlock_tryrdlock(pthread_rwlock_t* l) noexcept {
  static constinit std::atomic<rwlock_function> real{nullptr};
  int result = next("pthread_rwlock_tryrdlock", real)(l);
  if (taken(result)) note_locked(l);
  return result;
}
int pthread_rwlock_trywrlock(pthread_rwlock_t* l) noexcept {
  static constinit std::atomic<rwlock_function> real{nullptr};
  int result = next("pthread_rwlock_trywrlock", real)(l);
  if (taken(result)) note_locked(l);
  return result;
}
int pthread_rwlock_unlock(pthread_rwlock_t* l) noexcept {
  static constinit std::atomic<rwlock_function> real{nullptr};
  note_unlocked(l);
  return next("pthread_rwlock_unlock", real)(l);
}
}
