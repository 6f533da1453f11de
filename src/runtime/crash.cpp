// Rules
// 1. `hooks` is published last and withdrawn first; the storage behind it changes only while it is null. A handler
//    reads it once.
// 2. `previous` and the code ranges are written under `install_lock` before `hooks` is published.
// 3. Code that runs in a signal handler uses only write(2), sigaction(2), its arguments, and this file's static
//    storage. Its report buffer belongs to whoever won `reporting`; somebody who lost it goes without a report.
#include "runtime/crash.hpp"

#include "runtime/context.hpp"
#include "runtime/stack.hpp"
#include "runtime/tls.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace otp::detail {
namespace {

constexpr std::size_t signal_stack_bytes = (with_address_sanitizer || with_thread_sanitizer ? 256 : 64) * 1024;
constexpr std::size_t landing_bytes = signal_stack_bytes;

// ---- what the machine was doing ----------------------------------------------------------------------------------

struct machine_state {
  std::uintptr_t pc = 0;
  std::uintptr_t sp = 0;
  std::uintptr_t fp = 0;
};

#if defined(__x86_64__)
constexpr bool machine_known = true;
machine_state state_of(const void* context) noexcept {
  const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  return {static_cast<std::uintptr_t>(registers[REG_RIP]), static_cast<std::uintptr_t>(registers[REG_RSP]),
          static_cast<std::uintptr_t>(registers[REG_RBP])};
}
#elif defined(__aarch64__)
constexpr bool machine_known = true;
machine_state state_of(const void* context) noexcept {
  const auto& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
  return {machine.pc, machine.sp, machine.regs[29]};
}
#else
constexpr bool machine_known = false;
machine_state state_of(const void*) noexcept { return {}; }
#endif

// ---- static state ------------------------------------------------------------------------------------------------

struct code_range {
  std::uintptr_t first = 0;
  std::uintptr_t last = 0;
};

constexpr int handled_signals[] = {SIGSEGV, SIGBUS};
constexpr std::size_t ranges_max = 64;

constinit std::mutex install_lock;
std::size_t users = 0;                         // guarded by install_lock
bool signal_ours[std::size(handled_signals)];  // our handler is in the chain; guarded by install_lock
bool terminate_ours = false;                   // guarded by install_lock
struct sigaction previous[std::size(handled_signals)];
std::terminate_handler previous_terminate = nullptr;
crash_hooks hook_storage;
constinit std::atomic<const crash_hooks*> hooks{nullptr};
code_range system_code[ranges_max];
std::size_t system_code_count = 0;
bool system_code_known = false;

constinit std::atomic<bool> reporting{false};
char report_buffer[4096];

// ---- the report --------------------------------------------------------------------------------------------------

class report {
 public:
  void text(std::string_view s) noexcept {
    for (char c : s)
      if (size_ < sizeof report_buffer) report_buffer[size_++] = c;
  }
  // What a user named: one line, no terminal control.
  void user_text(std::string_view s, std::size_t most) noexcept {
    for (char c : s.substr(0, most)) {
      auto u = static_cast<unsigned char>(c);
      char shown = u < 0x20 || u == 0x7f ? '?' : c;
      text({&shown, 1});
    }
    if (s.size() > most) text("...");
  }
  void number(std::uintmax_t value) noexcept { digits(value, 10); }
  void address(std::uintptr_t value) noexcept {
    text("0x");
    digits(value, 16);
  }
  void send() noexcept {
    const char* at = report_buffer;
    while (size_ > 0) {
      ssize_t n = ::write(2, at, size_);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      at += n;
      size_ -= static_cast<std::size_t>(n);
    }
    size_ = 0;
  }

 private:
  void digits(std::uintmax_t value, unsigned base) noexcept {
    char reversed[32];
    std::size_t n = 0;
    do reversed[n++] = "0123456789abcdef"[value % base];
    while ((value /= base) != 0);
    while (n > 0) text({&reversed[--n], 1});
  }
  std::size_t size_ = 0;
};

void say_who(report& r, const crash_hooks& h) noexcept {
  char who[512];
  std::size_t length = h.describe != nullptr ? std::min(h.describe(who, sizeof who), sizeof who) : 0;
  if (length == 0)
    r.text("the runtime's own code, outside any process");
  else
    r.user_text({who, length}, sizeof who);
}

void say_frames(report& r, const void* context) noexcept {
  void* frames[12];
  std::size_t count = capture_backtrace(frames, std::size(frames), context);
  r.text("  frames:");
  for (std::size_t i = 0; i < count; ++i) {
    r.text(" ");
    r.address(reinterpret_cast<std::uintptr_t>(frames[i]));
  }
  r.text("\n");
}

void say_fault(report& r, const void* address, const machine_state& at, const void* context) noexcept {
  r.text("  fault: address ");
  r.address(reinterpret_cast<std::uintptr_t>(address));
  if (machine_known) {
    r.text(", pc ");
    r.address(at.pc);
    r.text(", sp ");
    r.address(at.sp);
  }
  r.text("\n");
  say_frames(r, context);
}

enum class verdict : std::uint8_t { contain, not_asked_for, in_system_code, impossible_here };

void report_overflow(const crash_hooks& h, const stack& s, const void* address, const machine_state& at,
                     const void* context, verdict v) noexcept {
  if (reporting.exchange(true)) return;
  report r;
  r.text("otp: fatal: stack overflow in ");
  say_who(r, h);
  r.text("\n  stack: ");
  r.number(s.size);
  r.text(" bytes from ");
  r.address(reinterpret_cast<std::uintptr_t>(s.low));
  r.text(" to ");
  r.address(reinterpret_cast<std::uintptr_t>(s.top()));
  r.text(", a guard of ");
  r.number(s.guard);
  r.text(" bytes below\n");
  say_fault(r, address, at, context);
  if (v == verdict::in_system_code)
    r.text("  not contained: it struck inside a system library, whose locks and state are left half-way\n");
  if (v == verdict::impossible_here) r.text("  not contained: this build or thread cannot\n");
  r.text(
      "  remedy: give this process a larger stack (stack_size), or let it use less: unbounded recursion, large local "
      "arrays and std::regex "
      "are the usual causes\n");
  r.send();
  reporting.store(false);
}

void report_fault(const crash_hooks& h, int signal, const void* address, const machine_state& at,
                  const void* context) noexcept {
  if (reporting.exchange(true)) return;
  report r;
  r.text(signal == SIGBUS ? "otp: fatal: bus error (SIGBUS) in " : "otp: fatal: segmentation fault (SIGSEGV) in ");
  say_who(r, h);
  r.text("\n");
  say_fault(r, address, at, context);
  r.text(
      "  remedy: none at run time. A wild pointer may have damaged any process, so the program ends; run it under a "
      "supervisor of the "
      "operating system\n");
  r.send();
  reporting.store(false);
}

// ---- SIGSEGV and SIGBUS ------------------------------------------------------------------------------------------

// The stack pointer of an overflow is at the guard, or below it when a large frame was made before it was touched.
// Without this a wild pointer that happens to meet our guard would pass for one.
bool is_overflow(const stack& s, const void* address, const machine_state& at) noexcept {
  if (!s.guard_contains(address)) return false;
  if (!machine_known) return true;
  constexpr std::uintptr_t largest_frame = 16 << 20;
  const auto low = reinterpret_cast<std::uintptr_t>(s.low);
  return at.sp < low + 4096 && at.sp >= low - s.guard - largest_frame;
}

bool in_system_code(std::uintptr_t pc) noexcept {
  return std::any_of(system_code, system_code + system_code_count,
                     [pc](const code_range& r) { return pc >= r.first && pc < r.last; });
}

verdict judge(const crash_hooks& h, const machine_state& at) noexcept {
  if (h.contain_overflow == nullptr || h.abandon_overflow == nullptr || !h.contain_overflow())
    return verdict::not_asked_for;
  if (with_address_sanitizer || !machine_known || !system_code_known || current_signal_stack_raw() == nullptr)
    return verdict::impossible_here;
  return in_system_code(at.pc) ? verdict::in_system_code : verdict::contain;
}

extern "C" [[noreturn, gnu::used, gnu::visibility("hidden")]] void otp_crash_landed() {
  if (const crash_hooks* h = hooks.load(); h != nullptr) h->abandon_overflow();
  std::abort();
}

#if defined(__x86_64__)
extern "C" void otp_crash_landing();
asm(R"(
.pushsection .text.otp_crash_landing, "ax", @progbits
.p2align 4
.globl otp_crash_landing
.hidden otp_crash_landing
.type otp_crash_landing, @function
otp_crash_landing:
  .cfi_startproc
  .cfi_undefined %rip
  .cfi_undefined %rbp
  endbr64
  xorl %ebp, %ebp
  callq otp_crash_landed
  ud2
  .cfi_endproc
.size otp_crash_landing, .-otp_crash_landing
.popsection
)");
#endif

// The signal will return into otp_crash_landed() on the landing stack, with the signal mask of before.
void land(void* context) noexcept {
  const auto* own = static_cast<const thread_signal_stack*>(current_signal_stack_raw());
  [[maybe_unused]] const auto top = reinterpret_cast<std::uintptr_t>(own->landing_top()) & ~std::uintptr_t{63};
#if defined(__x86_64__)
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  constexpr greg_t direction_flag = 0x400;
  registers[REG_RIP] = reinterpret_cast<greg_t>(&otp_crash_landing);
  registers[REG_RSP] = static_cast<greg_t>(top);
  registers[REG_EFL] &= ~direction_flag;
#elif defined(__aarch64__)
  auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
  machine.pc = reinterpret_cast<std::uintptr_t>(&otp_crash_landed);
  machine.sp = top;
  machine.regs[29] = 0;
  machine.regs[30] = 0;
#else
  static_cast<void>(context);
#endif
}

void pass_on(int signal, siginfo_t* info, void* context) noexcept {
  const std::size_t index = signal == SIGBUS ? 1 : 0;
  const struct sigaction& before = previous[index];
  if ((before.sa_flags & SA_SIGINFO) != 0) return before.sa_sigaction(signal, info, context);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) return before.sa_handler(signal);
  const bool sent_by_somebody = info->si_code <= 0;
  if (sent_by_somebody && before.sa_handler == SIG_IGN) return;
  struct sigaction fatal = {};
  fatal.sa_handler = SIG_DFL;
  ::sigaction(signal, &fatal, nullptr);
  // A fault repeats when the handler returns: the core then shows the true context. A sent signal does not.
  if (sent_by_somebody) ::syscall(SYS_tgkill, ::getpid(), static_cast<pid_t>(::syscall(SYS_gettid)), signal);
}

void on_fault(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  const crash_hooks* h = hooks.load();
  const bool by_machine = info->si_code > 0;
  const stack* s = h != nullptr && by_machine && h->running_stack != nullptr ? h->running_stack() : nullptr;
  if (s != nullptr) {
    const machine_state at = state_of(context);
    if (is_overflow(*s, info->si_addr, at)) {
      const verdict v = judge(*h, at);
      if (v == verdict::contain) {
        land(context);
        errno = error;
        return;
      }
      report_overflow(*h, *s, info->si_addr, at, context, v);
    } else {
      // A handler that was there before may know what to do about it (a sanitizer, a garbage collector).
      const struct sigaction& before = previous[signal == SIGBUS ? 1 : 0];
      const bool nobody_else =
          (before.sa_flags & SA_SIGINFO) == 0 && (before.sa_handler == SIG_DFL || before.sa_handler == SIG_IGN);
      if (nobody_else) report_fault(*h, signal, info->si_addr, at, context);
    }
  }
  errno = error;
  pass_on(signal, info, context);
}

// ---- std::terminate ----------------------------------------------------------------------------------------------

void say_exception(report& r) {
  const std::type_info* type = abi::__cxa_current_exception_type();
  if (type == nullptr) {
    r.text(
        "  no exception: std::terminate was called, a joinable std::thread was destroyed, or a pure virtual function "
        "was called\n");
    return;
  }
  int status = 0;
  char* name = abi::__cxa_demangle(type->name(), nullptr, nullptr, &status);
  r.text("  exception: ");
  r.user_text(name != nullptr ? name : type->name(), 200);
  std::free(name);
  r.send();  // what() is foreign code: should it fail, this much is out
  try {
    throw;
  } catch (const std::exception& e) {
    r.text(": ");
    r.user_text(e.what(), 200);
  } catch (...) {
  }
  r.text("\n");
}

void report_terminate(const crash_hooks& h, int uncaught) {
  if (reporting.exchange(true)) return;  // also when saying what happened leads here again
  report r;
  r.text("otp: fatal: std::terminate in ");
  say_who(r, h);
  r.text("\n");
  say_exception(r);
  say_frames(r, nullptr);
  if (uncaught > 0)
    r.text("  cause: it was thrown by a destructor while another exception was unwinding\n");
  else if (abi::__cxa_current_exception_type() != nullptr)
    r.text("  cause: it met a noexcept function; destructors are noexcept unless they say otherwise\n");
  r.text("  remedy: catch it before the noexcept boundary, or drop the noexcept so that it ends this process alone\n");
  r.send();
  reporting.store(false);
}

bool is_default(std::terminate_handler handler) noexcept {
#if defined(__GLIBCXX__)
  if (handler == __gnu_cxx::__verbose_terminate_handler) return true;
#endif
  return handler == nullptr || handler == std::terminate_handler(std::abort);
}

[[noreturn]] void on_terminate() {
  const crash_hooks* h = hooks.load();
  stack* s = h != nullptr && h->running_stack != nullptr ? h->running_stack() : nullptr;
  if (s != nullptr) {
    // Only once a stack: a way out that ends here again has failed.
    if (h->contain_terminate != nullptr && h->abandon_terminate != nullptr && !s->terminated &&
        h->contain_terminate()) {
      s->terminated = true;
      h->abandon_terminate();
      std::abort();
    }
    report_terminate(*h, std::uncaught_exceptions());
  }
  const std::terminate_handler before = previous_terminate;
  if (before != nullptr && (s == nullptr || !is_default(before))) before();
  std::abort();
}

// ---- install -----------------------------------------------------------------------------------------------------

bool is_system_library(std::string_view path) noexcept {
  const std::string_view name = path.substr(path.rfind('/') + 1);  // npos + 1 is 0
  constexpr std::string_view names[] = {
      "libc.",      "libc-", "ld-",   "ld.",    "libgcc_s.", "libstdc++.", "libc++.",    "libc++abi.",      "libunwind",
      "libpthread", "libm.", "libm-", "libdl.", "librt.",    "linux-vdso", "linux-gate", "libboost_context"};
  return std::any_of(std::begin(names), std::end(names), [name](std::string_view n) { return name.starts_with(n); });
}

struct module_search {
  std::uintptr_t allocator = 0;  // an allocator that replaces libc's holds locks as well
  bool libc_found = false;
};

int look_at_module(dl_phdr_info* info, std::size_t, void* argument) {
  auto& search = *static_cast<module_search*>(argument);
  const std::string_view path = info->dlpi_name != nullptr ? info->dlpi_name : "";
  if (path.empty()) return 0;  // the program itself
  auto segment = [info](std::size_t i) {
    const auto& header = info->dlpi_phdr[i];
    return code_range{info->dlpi_addr + header.p_vaddr, info->dlpi_addr + header.p_vaddr + header.p_memsz};
  };
  bool avoid = is_system_library(path);
  for (std::size_t i = 0; i < info->dlpi_phnum && !avoid; ++i) {
    const code_range r = segment(i);
    avoid = info->dlpi_phdr[i].p_type == PT_LOAD && search.allocator >= r.first && search.allocator < r.last;
  }
  if (!avoid) return 0;
  const std::string_view name = path.substr(path.rfind('/') + 1);
  if (name.starts_with("libc.") || name.starts_with("libc-") || name.starts_with("ld-musl")) search.libc_found = true;
  for (std::size_t i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type != PT_LOAD || (info->dlpi_phdr[i].p_flags & PF_X) == 0) continue;
    if (system_code_count == ranges_max) {
      search.libc_found = false;  // not all of them fit: rather contain nothing
      return 1;
    }
    system_code[system_code_count++] = segment(i);
  }
  return 0;
}

void find_system_code() {
  module_search search;
  search.allocator = reinterpret_cast<std::uintptr_t>(::dlsym(RTLD_DEFAULT, "malloc"));
  system_code_count = 0;
  ::dl_iterate_phdr(look_at_module, &search);
  // Linked statically, libc, the unwinder or the C++ library is part of the program, and cannot be told from user code.
  system_code_known = search.libc_found && in_system_code(reinterpret_cast<std::uintptr_t>(&_Unwind_RaiseException)) &&
                      in_system_code(reinterpret_cast<std::uintptr_t>(&abi::__cxa_throw));
}

_Unwind_Reason_Code count_frame(_Unwind_Context*, void* count) {
  ++*static_cast<int*>(count);
  return _URC_NO_REASON;
}

// First calls allocate, bind and load. They must not do so on the last bytes of a stack or in a handler.
void touch_libraries() {
  try {
    throw 0;
  } catch (int) {
  }
  int frames = 0;
  _Unwind_Backtrace(count_frame, &frames);
  char text[64];
  static_cast<void>(std::snprintf(text, sizeof text, "%d %f %p", frames, 0.5, static_cast<void*>(text)));
  static_cast<void>(exceptions_in_flight());
}

}  // namespace

void install_crash_handlers(const crash_hooks& h) {
  std::lock_guard lock(install_lock);
  if (users++ > 0) return;
  touch_libraries();
  find_system_code();
  hook_storage = h;
  for (std::size_t i = 0; i < std::size(handled_signals); ++i) {
    if (signal_ours[i]) continue;  // somebody put a handler on top of ours, which therefore stayed
    struct sigaction ours = {};
    ours.sa_sigaction = on_fault;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigfillset(&ours.sa_mask);
    signal_ours[i] = ::sigaction(handled_signals[i], &ours, &previous[i]) == 0;
  }
  if (!terminate_ours) {
    previous_terminate = std::set_terminate(on_terminate);
    terminate_ours = true;
  }
  hooks.store(&hook_storage);
}

void uninstall_crash_handlers() noexcept {
  std::lock_guard lock(install_lock);
  if (users == 0 || --users > 0) return;
  hooks.store(nullptr);
  for (std::size_t i = 0; i < std::size(handled_signals); ++i) {
    struct sigaction now = {};
    if (::sigaction(handled_signals[i], nullptr, &now) != 0 || (now.sa_flags & SA_SIGINFO) == 0 ||
        now.sa_sigaction != on_fault)
      continue;
    signal_ours[i] = ::sigaction(handled_signals[i], &previous[i], nullptr) != 0;
  }
  if (std::get_terminate() == on_terminate) {
    std::set_terminate(previous_terminate);
    terminate_ours = false;
  }
}

// ---- thread_signal_stack -----------------------------------------------------------------------------------------

//   base_  guard | signal stack | guard | landing stack  base_ + bytes_
thread_signal_stack::thread_signal_stack() {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto round = [page](std::size_t bytes) { return (bytes + page - 1) / page * page; };
#ifdef _SC_MINSIGSTKSZ
  const auto smallest = static_cast<std::size_t>(std::max(::sysconf(_SC_MINSIGSTKSZ), 0L));
#else
  const std::size_t smallest = MINSIGSTKSZ;
#endif
  const std::size_t guard = round(16 * 1024);
  const std::size_t signal_bytes = round(std::max(signal_stack_bytes, smallest + 32 * 1024));
  bytes_ = guard + signal_bytes + guard + round(landing_bytes);
  void* memory =
      ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED)
    throw std::system_error(errno, std::generic_category(), "mapping the signal stack of a worker thread");
  base_ = static_cast<char*>(memory);
  stack_t ours{};
  ours.ss_sp = base_ + guard;
  ours.ss_size = signal_bytes;
  if (::mprotect(base_, guard, PROT_NONE) != 0 || ::mprotect(base_ + guard + signal_bytes, guard, PROT_NONE) != 0 ||
      ::sigaltstack(&ours, &before_) != 0) {
    const int error = errno;
    ::munmap(base_, bytes_);
    throw std::system_error(error, std::generic_category(), "setting up the signal stack of a worker thread");
  }
  pthread_attr_t attributes;
  if (::pthread_getattr_np(::pthread_self(), &attributes) == 0) {
    void* low = nullptr;
    std::size_t size = 0;
    if (::pthread_attr_getstack(&attributes, &low, &size) == 0) {
      thread_low_ = static_cast<const char*>(low);
      thread_top_ = thread_low_ + size;
    }
    ::pthread_attr_destroy(&attributes);
  }
  outer_ = current_signal_stack_raw();
  set_current_signal_stack_raw(this);
}

thread_signal_stack::~thread_signal_stack() {
  set_current_signal_stack_raw(outer_);
  ::sigaltstack(&before_, nullptr);
  ::munmap(base_, bytes_);
}

// ---- room --------------------------------------------------------------------------------------------------------

__attribute__((noinline, no_sanitize("address"))) void overflow_now(const stack& s) noexcept {
  const auto left = static_cast<std::size_t>(static_cast<const char*>(__builtin_frame_address(0)) - s.low);
  // Takes all that is left, so that the stack pointer is where an overflow has it.
  auto* rest = static_cast<volatile char*>(__builtin_alloca(left + 256));
  *rest = 0;
  std::abort();  // only without a guard
}

// ---- backtrace ---------------------------------------------------------------------------------------------------

__attribute__((noinline, no_sanitize("address"), no_sanitize("thread"))) std::size_t capture_backtrace(
    void** frames, std::size_t size, const void* context) noexcept {
  std::size_t count = 0;
  auto fp = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  std::uintptr_t least = fp;
  if (context != nullptr) {
    const machine_state at = state_of(context);
    if (size > 0 && at.pc != 0) frames[count++] = reinterpret_cast<void*>(at.pc);
    fp = at.fp;
    least = at.sp;
  }
  // Of a thread's own stack only what lies above its stack pointer is sure to be mapped; a process stack is mapped
  // whole.
  const crash_hooks* h = hooks.load();
  const stack* s = h != nullptr && h->running_stack != nullptr ? h->running_stack() : nullptr;
  const auto* own = static_cast<const thread_signal_stack*>(current_signal_stack_raw());
  std::uintptr_t top = 0;
  if (s != nullptr && s->contains(reinterpret_cast<const void*>(fp)))
    top = reinterpret_cast<std::uintptr_t>(s->top());
  else if (own != nullptr && own->thread_stack_contains(reinterpret_cast<const void*>(fp)) &&
           own->thread_stack_contains(reinterpret_cast<const void*>(least)))
    top = reinterpret_cast<std::uintptr_t>(own->thread_top());
  while (count < size && fp >= least && fp % alignof(void*) == 0 && fp + 2 * sizeof(void*) <= top) {
    void* const* frame = reinterpret_cast<void* const*>(fp);
    if (frame[1] == nullptr) break;
    frames[count++] = frame[1];
    least = fp + 2 * sizeof(void*);
    fp = reinterpret_cast<std::uintptr_t>(frame[0]);
  }
  return count;
}

}  // namespace otp::detail
