#include "runtime/stack.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#if OTP_DETAIL_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#endif

namespace otp::detail {
namespace {

constexpr int advise_guard_install = 102;  // MADV_GUARD_INSTALL; newer than the headers of Debian 12

constexpr std::size_t first_slab = 16;
// Guards inside one mapping: the fewer mappings the better. 8,192 slots of 80 KiB are 640 MiB of address space.
constexpr std::size_t largest_slab = 8192;
// Guards by mprotect cost maps anyway, and locked memory is filled as soon as it is mapped.
constexpr std::size_t largest_slab_mprotect = 64;
// Maps that stay free for the rest of the program: at the limit malloc and thread creation fail too.
constexpr std::size_t map_headroom = 256;
constexpr std::size_t idle_own_max = 16;
constexpr std::size_t trim_batch = 64;

constexpr std::uint64_t canary_word = 0x6f74702d67756172;  // "otp-guar"
constexpr std::size_t canary_words = 8;

std::size_t read_max_map_count() {
  std::size_t value = 65530;  // the kernel's default, should /proc be missing
  int file = ::open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
  if (file < 0) return value;
  char text[32] = {};
  if (::read(file, text, sizeof text - 1) > 0) value = std::strtoull(text, nullptr, 10);
  ::close(file);
  return value;
}

// Whether some memory of this program is locked, which is one reason to refuse a guard.
bool memory_is_locked() {
  FILE* file = std::fopen("/proc/self/status", "re");
  if (file == nullptr) return false;
  char line[128];
  unsigned long locked = 0;
  while (std::fgets(line, sizeof line, file) != nullptr)
    if (std::sscanf(line, "VmLck: %lu kB", &locked) == 1) break;
  std::fclose(file);
  return locked != 0;
}

std::size_t round_up(std::size_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

int install_guard(char* base, std::size_t bytes) {
  for (int i = 0; i < 100; ++i) {  // the kernel gives up with EAGAIN when it keeps meeting page faults in the range
    if (::madvise(base, bytes, advise_guard_install) == 0) return 0;
    if (errno != EAGAIN && errno != EINTR) return errno;
  }
  return EAGAIN;
}

// Whether the kernel cannot read there: asked without being hit. Emulators take advice that they do not know, and do
// nothing.
bool faults(const char* address) { return ::syscall(SYS_faccessat, AT_FDCWD, address, F_OK) != 0 && errno == EFAULT; }

void* map_memory(std::size_t bytes) {
  void* base =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  // Else the first touch of a stack may cost 2 MiB. Refused by kernels without huge pages, which is as good.
  ::madvise(base, bytes, MADV_NOHUGEPAGE);
  return base;
}

// The leak checker looks for pointers on stacks that it knows. Each stack by itself: a region with guards in it
// would fault under its eyes.
void register_root([[maybe_unused]] const stack& s) {
#if OTP_DETAIL_ASAN
  __lsan_register_root_region(s.low, s.size);
#endif
}
void unregister_root([[maybe_unused]] const stack& s) {
#if OTP_DETAIL_ASAN
  __lsan_unregister_root_region(s.low, s.size);
#endif
}
// An idle stack is nobody's: touching it is reported, and what it still points to does not hide a leak.
void mark_unusable([[maybe_unused]] const stack& s) {
#if OTP_DETAIL_ASAN
  __asan_poison_memory_region(s.low, s.size);
#endif
}
void mark_usable([[maybe_unused]] const char* base, [[maybe_unused]] std::size_t bytes) {
#if OTP_DETAIL_ASAN
  __asan_unpoison_memory_region(base, bytes);
#endif
}

void place_canary(stack& s) {
  if (s.guard != 0) return;
  for (std::size_t i = 0; i < canary_words; ++i)
    std::memcpy(s.low + i * sizeof canary_word, &canary_word, sizeof canary_word);
}

// Headers of stacks that outlive their source, so that the leak checker finds whose they are.
struct kept_headers {
  const stack* first;
  kept_headers* next;
};
constinit std::atomic<kept_headers*> kept{nullptr};

void keep_headers(const stack* first) {
  auto* entry = new (std::nothrow) kept_headers{first, kept.load()};
  if (entry == nullptr) return;  // they stay all the same
  while (!kept.compare_exchange_weak(entry->next, entry)) {
  }
}

}  // namespace

bool canary_intact(const stack& s) noexcept {
  if (s.guard != 0) return true;
  for (std::size_t i = 0; i < canary_words; ++i)
    if (std::memcmp(s.low + i * sizeof canary_word, &canary_word, sizeof canary_word) != 0) return false;
  return true;
}

#if OTP_DETAIL_ASAN
__attribute__((no_sanitize("address")))
#endif
std::size_t
used_bytes(const stack& s) noexcept {
  constexpr std::size_t pages_at_once = 4096;
  unsigned char present[pages_at_once];
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t skipped = s.guard == 0 ? canary_words * sizeof canary_word : 0;
  for (std::size_t done = 0; done < s.size; done += pages_at_once * page) {
    const std::size_t bytes = std::min(pages_at_once * page, s.size - done);
    if (::mincore(s.low + done, bytes, present) != 0) return s.size;  // cannot tell: the careful answer
    for (std::size_t i = 0; i < bytes / page; ++i) {
      if ((present[i] & 1) == 0) continue;
      const char* base = s.low + done + i * page;
      const auto* words = reinterpret_cast<const volatile std::uintptr_t*>(base);
      const std::size_t first = done == 0 && i == 0 ? skipped / sizeof *words : 0;
      for (std::size_t w = first; w < page / sizeof *words; ++w)
        if (words[w] != 0) return s.size - static_cast<std::size_t>(base - s.low) - w * sizeof *words;
    }
  }
  return 0;
}

// ---- stack_source ------------------------------------------------------------------------------------------------

stack_source::stack_source(const options& o)
    : options_(o),
      page_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))),
      next_slab_(first_slab),
      by_mprotect_(o.force_mprotect) {
  options_.size = round_up(std::max(options_.size, smallest_stack_size), page_);
  options_.guard = round_up(std::max(options_.guard, page_), page_);
  // The hot ends of all stacks lie this far apart. Were it an even number of pages, only every second set of the second
  // TLB, or every fourth, would hold them: a token through 1,000 processes takes 100 ns a hop with 20 pages, 70
  // with 21.
  if ((options_.size + options_.guard) / page_ % 2 == 0) options_.guard += page_;
}

stack_source::~stack_source() {
  // A stack that is still out belongs to a process that was abandoned, or to code that runs on it this moment. What
  // it lies in stays mapped and known to the leak checker.
  for (const slab& s : slabs_) {
    bool in_use =
        std::any_of(s.headers, s.headers + s.carved, [](const stack& x) { return x.state_ == stack::state::out; });
    if (in_use) {
      keep_headers(s.headers);
      continue;
    }
    for (std::size_t i = 0; i < s.carved; ++i) {
      if (s.headers[i].state_ != stack::state::retired) unregister_root(s.headers[i]);
      std::destroy_at(&s.headers[i]);
    }
    std::allocator<stack>().deallocate(s.headers, s.count);
    mark_usable(s.base, s.bytes);
    ::munmap(s.base, s.bytes);
  }
  for (stack* s : own_sized_) {
    if (s->state_ == stack::state::out)
      keep_headers(s);
    else
      unmap_alone(s);
  }
}

stack* stack_source::take() { return take_list(1); }

stack* stack_source::take_list(std::size_t wanted) {
  stack* first = nullptr;
  const char* notice = nullptr;
  {
    std::lock_guard lock(mutex_);
    first = pop_idle();
    if (first == nullptr) first = carve();  // may throw; a pending notice is told by the next one who gets through
    hand_out(*first);
    for (std::size_t n = 1; n < wanted; ++n) {
      stack* more = pop_idle();
      if (more == nullptr) break;
      hand_out(*more);
      more->next = first;
      first = more;
    }
    notice = std::exchange(pending_notice_, nullptr);
  }
  if (notice != nullptr && options_.notice != nullptr) options_.notice(notice, options_.notice_argument);
  return first;
}

stack* stack_source::take(std::size_t size) {
  if (size > PTRDIFF_MAX / 2) {
    std::lock_guard lock(mutex_);
    throw_no_memory(size, ENOMEM);
  }
  size = round_up(std::max(size, smallest_stack_size), page_);
  if (size == options_.size) return take();
  stack* found = nullptr;
  const char* notice = nullptr;
  {
    std::lock_guard lock(mutex_);
    for (stack** link = &idle_own_; *link != nullptr; link = &(*link)->next)
      if ((*link)->size == size) {
        found = *link;
        *link = found->next;
        --idle_own_count_;
        --counters_.idle;
        --counters_.idle_dirty;
        break;
      }
    if (found == nullptr) found = map_alone(size);
    hand_out(*found);
    notice = std::exchange(pending_notice_, nullptr);
  }
  if (notice != nullptr && options_.notice != nullptr) options_.notice(notice, options_.notice_argument);
  return found;
}

void stack_source::hand_out(stack& s) noexcept {
  s.state_ = stack::state::out;
  s.next = nullptr;
  s.terminated = false;
  mark_usable(s.low, s.size);
  place_canary(s);
  counters_.high_water = std::max(counters_.high_water, ++counters_.live);
}

stack* stack_source::pop_idle() noexcept {
  stack*& list = dirty_ != nullptr ? dirty_ : clean_;
  stack* s = list;
  if (s == nullptr) return nullptr;
  list = s->next;
  --counters_.idle;
  if (s->state_ != stack::state::idle) return s;
  --counters_.idle_dirty;
  (dirty_ != nullptr ? dirty_->above_ : dirty_last_) = nullptr;
  return s;
}

stack_source::guarded stack_source::protect(char* base) {
  if (!by_mprotect_) {
    int error = install_guard(base, options_.guard);
    if (error == 0 && !std::exchange(guard_tried_, true) && !faults(base)) error = ENOSYS;
    if (error == 0) return guarded::inside;
    fall_back(error);
  }
  std::size_t max = options_.map_count_max != 0 ? options_.map_count_max : read_max_map_count();
  if (2 * (mprotected_ + 1) + map_headroom > max) return guarded::no_more_maps;
  if (::mprotect(base, options_.guard, PROT_NONE) == 0) {
    ++mprotected_;
    return guarded::by_mprotect;
  }
  return errno == ENOMEM ? guarded::no_more_maps : guarded::refused;
}

void stack_source::fall_back(int error) {
  by_mprotect_ = true;
  next_slab_ = std::min(next_slab_, largest_slab_mprotect);
  if (error != EINVAL && error != ENOSYS)
    pending_notice_ =
        "the kernel refused a stack guard by MADV_GUARD_INSTALL; guards are made by mprotect from now on, which "
        "limits waiting processes to about half of vm.max_map_count";
  else if (error == EINVAL && memory_is_locked())
    pending_notice_ =
        "the kernel refused a stack guard by MADV_GUARD_INSTALL because memory is locked (mlockall); guards are made "
        "by "
        "mprotect from now on, which limits waiting processes to about half of vm.max_map_count";
  else
    pending_notice_ =
        "this kernel has no stack guards by MADV_GUARD_INSTALL (Linux 6.13 or later has); guards are made by mprotect, "
        "which limits waiting processes to about half of vm.max_map_count";
}

stack* stack_source::carve() {
  if (slabs_.empty() || slabs_.back().carved == slabs_.back().count) add_slab();
  slab& from = slabs_.back();
  char* base = from.base + from.carved * slot_bytes();
  const guarded guard = protect(base);
  if (!acceptable(guard)) throw_no_guard(guard, errno);
  stack* s = std::construct_at(&from.headers[from.carved]);
  ++from.carved;
  s->low = base + options_.guard;
  s->size = options_.size;
  set_guard(*s, guard);
  register_root(*s);
  return s;
}

void stack_source::set_guard(stack& s, guarded how) noexcept {
  s.mprotected_ = how == guarded::by_mprotect;
  if (how <= guarded::by_mprotect) {
    s.guard = options_.guard;
    return;
  }
  ++counters_.unguarded;
  if (!std::exchange(told_unguarded_, true))
    pending_notice_ =
        "no further stack guard is to be had (vm.max_map_count); new stacks have none from now on, and an overflow is "
        "noticed only after it did damage";
}

void stack_source::add_slab() {
  slabs_.reserve(slabs_.size() + 1);
  for (std::size_t count = next_slab_;; count /= 2) {
    const std::size_t bytes = count * slot_bytes();
    char* base = static_cast<char*>(map_memory(bytes));
    if (base == nullptr) {
      int error = errno;
      if (count == 1) throw_no_memory(slot_bytes(), error);
      continue;  // a limit on address space or strict overcommit: the rest of it may still hold some
    }
    stack* headers = nullptr;
    try {
      headers = std::allocator<stack>().allocate(count);
    } catch (...) {
      ::munmap(base, bytes);
      throw;
    }
    slabs_.push_back({base, bytes, headers, count, 0});
    counters_.bytes += bytes;
    next_slab_ = std::min(count * 2, by_mprotect_ ? largest_slab_mprotect : largest_slab);
    return;
  }
}

stack* stack_source::map_alone(std::size_t size) {
  const std::size_t bytes = size + options_.guard;
  own_sized_.reserve(own_sized_.size() + 1);
  auto s = std::make_unique<stack>();
  char* base = static_cast<char*>(map_memory(bytes));
  if (base == nullptr) throw_no_memory(bytes, errno);
  const guarded guard = protect(base);
  if (!acceptable(guard)) {
    const int error = errno;
    ::munmap(base, bytes);
    throw_no_guard(guard, error);
  }
  s->low = base + options_.guard;
  s->size = size;
  s->own_size_ = true;
  s->index_ = own_sized_.size();
  set_guard(*s, guard);
  counters_.bytes += bytes;
  register_root(*s);
  own_sized_.push_back(s.get());
  return s.release();
}

// Takes it off the books; what is left is to unmap it, without the lock.
void stack_source::forget_alone(stack& s) noexcept {
  own_sized_[s.index_] = own_sized_.back();
  own_sized_[s.index_]->index_ = s.index_;
  own_sized_.pop_back();
  counters_.bytes -= s.size + options_.guard;
  if (s.guard == 0) --counters_.unguarded;
  if (s.mprotected_) --mprotected_;
}

void stack_source::unmap_alone(stack* s) noexcept {
  if (s->state_ != stack::state::retired) unregister_root(*s);
  mark_usable(s->low, s->size);
  ::munmap(s->low - options_.guard, s->size + options_.guard);
  delete s;
}

void stack_source::give(stack* s) noexcept {
  s->next = nullptr;
  give_list(s);
}

void stack_source::give_list(stack* first) noexcept {
  for (stack* s = first; s != nullptr; s = s->next) {
    if (!canary_intact(*s)) {
      static const char text[] =
          "otp: fatal: a process stack without a guard was overrun, and memory below it was overwritten. Give the "
          "process a larger "
          "stack (stack_size), or raise vm.max_map_count so that every stack gets its guard.\n";
      static_cast<void>(!::write(2, text, sizeof text - 1));
      std::abort();
    }
    destroy_context(s->ctx);
    s->owner = nullptr;
    std::fill(std::begin(s->user), std::end(s->user), nullptr);
    mark_unusable(*s);
  }
  stack* surplus = nullptr;
  {
    std::lock_guard lock(mutex_);
    while (first != nullptr) {
      stack* s = std::exchange(first, first->next);
      --counters_.live;
      if (s->own_size_ && idle_own_count_ >= idle_own_max) {
        forget_alone(*s);
        s->next = surplus;
        surplus = s;
        continue;
      }
      take_in(*s);
    }
  }
  while (surplus != nullptr) unmap_alone(std::exchange(surplus, surplus->next));
}

void stack_source::take_in(stack& s) noexcept {
  s.state_ = stack::state::idle;
  stack*& list = s.own_size_ ? idle_own_ : dirty_;
  if (s.own_size_) {
    ++idle_own_count_;
  } else {
    s.above_ = nullptr;
    (dirty_ != nullptr ? dirty_->above_ : dirty_last_) = &s;
  }
  s.next = list;
  list = &s;
  ++counters_.idle;
  ++counters_.idle_dirty;
}

void stack_source::retire(stack* s) noexcept {
  destroy_context(s->ctx);
  unregister_root(*s);
  // The whole slot becomes guard: a stray pointer faults instead of finding another process.
  bool joined = false;  // with the guards around it: then these maps are free again
  if (s->mprotected_ || guards_by_mprotect() || install_guard(s->low, s->size) != 0) {
    joined = ::mprotect(s->low, s->size, PROT_NONE) == 0 && s->mprotected_;
    ::madvise(s->low, s->size, MADV_DONTNEED);  // mprotect keeps the pages, a guard has none
  }
  mark_unusable(*s);
  std::lock_guard lock(mutex_);
  if (joined) {
    s->mprotected_ = false;
    --mprotected_;
  }
  s->state_ = stack::state::retired;
  if (s->guard == 0) --counters_.unguarded;
  --counters_.live;
  ++counters_.retired;
}

std::size_t stack_source::trim(std::size_t keep) noexcept {
  std::size_t trimmed = 0;
  stack* own = nullptr;
  {
    std::lock_guard lock(mutex_);
    own = std::exchange(idle_own_, nullptr);
    counters_.idle -= idle_own_count_;
    counters_.idle_dirty -= idle_own_count_;
    trimmed += std::exchange(idle_own_count_, 0);
    for (stack* s = own; s != nullptr; s = s->next) forget_alone(*s);
  }
  while (own != nullptr) unmap_alone(std::exchange(own, own->next));

  // In batches, so that a burst of takers meanwhile finds idle stacks, and never waits for the kernel.
  for (;;) {
    stack* batch = nullptr;
    {
      std::lock_guard lock(mutex_);
      // From the far end: a walk over all that is kept, for each batch, would take the square of their number.
      for (std::size_t i = 0; i < trim_batch && counters_.idle_dirty - idle_own_count_ > keep; ++i) {
        stack* s = dirty_last_;
        dirty_last_ = s->above_;
        (dirty_last_ != nullptr ? dirty_last_->next : dirty_) = nullptr;
        s->next = batch;
        batch = s;
        --counters_.idle;
        --counters_.idle_dirty;
      }
    }
    if (batch == nullptr) return trimmed;
    stack* last = nullptr;
    std::size_t count = 0;
    for (stack* s = batch; s != nullptr; s = s->next, ++count) {
      ::madvise(s->low, s->size, MADV_DONTNEED);
      last = s;
    }
    trimmed += count;
    std::lock_guard lock(mutex_);
    for (stack* s = batch; s != nullptr; s = s->next) s->state_ = stack::state::idle_clean;
    last->next = clean_;
    clean_ = batch;
    counters_.idle += count;
  }
}

stack_source::counters stack_source::count() const {
  std::lock_guard lock(mutex_);
  counters now = counters_;
  now.guards_by_mprotect = by_mprotect_;
  return now;
}

bool stack_source::guards_by_mprotect() const {
  std::lock_guard lock(mutex_);
  return by_mprotect_;
}

void stack_source::throw_no_guard(guarded why, int error) const {
  const std::size_t max = options_.map_count_max != 0 ? options_.map_count_max : read_max_map_count();
  const std::string have =
      std::to_string(counters_.live + counters_.idle) + " stacks of " + std::to_string(options_.size) + " bytes exist";
  if (why == guarded::refused)
    throw stack_exhausted(
        "no further process stack: the kernel refuses its guard (mprotect: " + std::string(std::strerror(error)) +
        "); " + have + ", vm.max_map_count is " + std::to_string(max) + ". Allow unguarded stacks to go on without.");
  throw stack_exhausted(
      "no further process stack: " + have + ", guards by mprotect take two memory maps each, and vm.max_map_count is " +
      std::to_string(max) +
      ". Every process that waits in the middle of its code holds a stack. Raise the limit (sysctl -w " +
      "vm.max_map_count=" + std::to_string(std::max<std::size_t>(4 * max, 262144)) +
      "), use Linux 6.13 or later without locked memory, where a guard takes no map, or let fewer processes wait at "
      "once.");
}

void stack_source::throw_no_memory(std::size_t bytes, int error) const {
  std::size_t have = counters_.live + counters_.idle;
  throw stack_exhausted("no further process stack: mapping " + std::to_string(bytes) + " bytes failed (" +
                        std::strerror(error) + "); " + std::to_string(have) + " stacks with " +
                        std::to_string(counters_.bytes) + " bytes of address space exist, and vm.max_map_count is " +
                        std::to_string(read_max_map_count()) +
                        ". Look at the limits on address space (ulimit -v), locked memory (ulimit -l), overcommit "
                        "(vm.overcommit_memory=2 counts stacks in full) and memory maps (vm.max_map_count); or set a "
                        "smaller stack_size.");
}

// ---- stack_pool --------------------------------------------------------------------------------------------------

stack_pool::stack_pool(stack_source& source, const options& o) : source_(source), options_(o) {}

stack_pool::~stack_pool() { send_back(idle_); }

stack* stack_pool::take() {
  if (first_ == nullptr) {
    first_ = source_.take_list(options_.batch);
    for (const stack* s = first_; s != nullptr; s = s->next) ++idle_;
  }
  stack* s = first_;
  first_ = s->next;
  s->next = nullptr;
  --idle_;
  unused_ = std::min(unused_, idle_);
  return s;
}

void stack_pool::give(stack* s) noexcept {
  if (s->has_own_size()) return source_.give(s);
  s->terminated = false;
  s->next = first_;
  first_ = s;
  if (++idle_ > options_.keep) send_back(idle_ - options_.keep / 2);
}

void stack_pool::trim() noexcept {
  send_back(unused_);
  unused_ = idle_;
}

void stack_pool::send_back(std::size_t count) noexcept {
  stack* batch = nullptr;
  for (std::size_t i = 0; i < count; ++i) {
    stack* s = first_;
    first_ = s->next;
    s->next = batch;
    batch = s;
  }
  idle_ -= count;
  unused_ = std::min(unused_, idle_);
  if (batch != nullptr) source_.give_list(batch);
}

}  // namespace otp::detail
