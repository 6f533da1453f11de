// Rules
// 1. In a sanitizer build nothing instrumented runs between telling the sanitizer that the stack changes and the
//    jump, nor between arriving and telling it so: these functions are not instrumented, and they call nothing else
//    there.
// 2. ASan: start_switch before the jump, finish_switch after it, on both sides. A context that ends passes null,
//    which frees its fake stack. TSan: switch_to_fiber directly before the jump.
#include "runtime/context.hpp"

#include <cxxabi.h>

#include <cstdint>
#include <cstdlib>
#include <utility>

#if !OTP_DETAIL_OWN_JUMP
#include <boost/context/detail/fcontext.hpp>
#endif
#if OTP_DETAIL_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if OTP_DETAIL_TSAN
#include <sanitizer/tsan_interface.h>
#endif

// A shadow stack would have to be switched with the stack, and is not. An object with that mark would tell the
// loader otherwise.
#if OTP_DETAIL_OWN_JUMP && defined(__CET__) && (__CET__ & 2)
#error \
    "compile src/runtime/context.cpp with -fcf-protection=branch (or none): its stack switch does not switch shadow stacks"
#endif

#define OTP_UNINSTRUMENTED __attribute__((no_sanitize("address"), no_sanitize("thread"), no_sanitize("undefined")))
// TSan still marks entry and exit of such functions, and a stack of its own must see both or neither.
#define OTP_PART_OF_SWITCH OTP_UNINSTRUMENTED __attribute__((always_inline)) inline

namespace otp::detail {
namespace {

// A named barrier: __cxa_get_globals is declared `const`, so without it a compiler may fetch the address once per
// function.
[[gnu::noinline]] exception_globals* globals_of_this_thread() noexcept {
  auto* globals = reinterpret_cast<exception_globals*>(abi::__cxa_get_globals());
  asm volatile("" : "+r"(globals) : : "memory");
  return globals;
}

OTP_PART_OF_SWITCH void leaving([[maybe_unused]] context& from, [[maybe_unused]] context& to,
                                [[maybe_unused]] bool for_good) noexcept {
#if OTP_DETAIL_ASAN
  to.came_from = for_good ? nullptr : &from;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &from.fake_stack, to.low, to.size);
#endif
#if OTP_DETAIL_TSAN
  __tsan_switch_to_fiber(to.fiber, 0);
#endif
}

// The one who arrives also learns the bounds of the stack that was left: that is how those of an OS thread become
// known.
OTP_PART_OF_SWITCH void arrived([[maybe_unused]] context& here) noexcept {
#if OTP_DETAIL_ASAN
  void* fake_stack = here.fake_stack;
  here.fake_stack = nullptr;
  context* left = here.came_from;
  if (left != nullptr)
    __sanitizer_finish_switch_fiber(fake_stack, &left->low, &left->size);
  else
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

}  // namespace

// ---- the jump ----------------------------------------------------------------------------------------------------
//
// A suspended stack, from context::sp upward (a debugger script that wants to walk it reads this):
//
//    sp +  0  MXCSR (4 bytes), x87 control word (2 bytes)
//    sp +  8  r15, r14, r13, r12, rbx, rbp
//    sp + 56  where it goes on
//
// Of MXCSR only the control bits (0xffc0) are compared. The others are sticky flags, set by any inexact result,
// which the ABI does not preserve over a call. Loading an MXCSR that differs from the present one drains the
// pipeline: 40 to 75 ns on current processors, for every switch between a process that computed with doubles and
// one that did not.
//
// A context that was never entered has its context* in rbx and goes on in otp_context_root, which is the end of
// every backtrace: its caller is undefined, and its frame pointer zero.
#if OTP_DETAIL_OWN_JUMP

extern "C" void otp_context_jump(void** save_sp, void* load_sp) noexcept;
extern "C" void otp_context_jump_alike(void** save_sp, void* load_sp) noexcept;
extern "C" void otp_context_root() noexcept;

// The last instruction goes to where the other stack was left. A `ret` is predicted to go to where this one was: right
// when both called from the same place, and then the returns of the callers, which are alike too, are predicted as
// well. An indirect jump is predicted by history, and leaves the processor's stack of returns one too deep.
asm(R"(
.macro otp_context_jump_to name, by_return
.p2align 5
.globl \name
.protected \name
.type \name, @function
\name:
  .cfi_startproc
  endbr64
  pushq %rbp
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbp, 0
  pushq %rbx
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbx, 0
  pushq %r12
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r12, 0
  pushq %r13
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r13, 0
  pushq %r14
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r14, 0
  pushq %r15
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r15, 0
  subq $8, %rsp
  .cfi_adjust_cfa_offset 8
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movl (%rsp), %eax
  movzwl 4(%rsp), %ecx
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  xorl (%rsp), %eax
  testl $0xffc0, %eax
  jne 2f
  cmpw 4(%rsp), %cx
  jne 2f
1:
  .cfi_remember_state
  addq $8, %rsp
  .cfi_adjust_cfa_offset -8
  popq %r15
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r15
  popq %r14
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r14
  popq %r13
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r13
  popq %r12
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r12
  popq %rbx
  .cfi_adjust_cfa_offset -8
  .cfi_restore %rbx
  popq %rbp
  .cfi_adjust_cfa_offset -8
  .cfi_restore %rbp
.if \by_return
  ret
.else
  popq %rcx
  .cfi_adjust_cfa_offset -8
  .cfi_register %rip, %rcx
  notrack jmpq *%rcx
.endif
2:
  .cfi_restore_state
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  jmp 1b
  .cfi_endproc
.size \name, .-\name
.endm

.pushsection .text.otp_context_jump, "ax", @progbits
otp_context_jump_to otp_context_jump, 0
otp_context_jump_to otp_context_jump_alike, 1
.purgem otp_context_jump_to

.p2align 4
.type otp_context_root, @function
.globl otp_context_root
.hidden otp_context_root
otp_context_root:
  .cfi_startproc
  .cfi_undefined %rip
  .cfi_undefined %rbp
  endbr64
  xorl %ebp, %ebp
  movq %rbx, %rdi
  callq otp_context_start
  ud2
  .cfi_endproc
.size otp_context_root, .-otp_context_root
.popsection
)");

extern "C" [[noreturn, gnu::used, gnu::visibility("hidden")]] OTP_UNINSTRUMENTED void otp_context_start(
    context* here) noexcept {
  arrived(*here);
  here->entry(here->arg);
  std::abort();  // an entry leaves by switch_context_final()
}

namespace {

struct first_frame {
  std::uint32_t mxcsr;
  std::uint32_t control_word;
  std::uint64_t r15, r14, r13, r12;
  context* rbx;
  std::uint64_t rbp;
  void (*root)() noexcept;
};
static_assert(sizeof(first_frame) == 64);

void* make_stack(context& c, char* low, std::size_t size) {
  auto* top = reinterpret_cast<char*>(reinterpret_cast<std::uintptr_t>(low + size) & ~std::uintptr_t{15});
  auto* frame = reinterpret_cast<first_frame*>(top - sizeof(first_frame));
  *frame = {};
  std::uint32_t mxcsr = 0;
  std::uint16_t control_word = 0;
  asm volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(control_word));
  frame->mxcsr = mxcsr;
  frame->control_word = control_word;
  frame->rbx = &c;
  frame->root = otp_context_root;
  return frame;
}

[[maybe_unused]] OTP_PART_OF_SWITCH void jump(context& from, context& to) noexcept {
  otp_context_jump(&from.sp, to.sp);
}

[[noreturn]] OTP_PART_OF_SWITCH void jump_for_good(context& to) noexcept {
  void* nobody = nullptr;
  otp_context_jump(&nobody, to.sp);
  __builtin_unreachable();
}

}  // namespace

#else  // Boost's jump

namespace {

namespace bc = boost::context::detail;

// What a jump hands over: Boost tells only the one who arrives where the other one stopped.
struct passage {
  context* from;  // null: it will not run again
  context* to;
};

// The rounding mode. On x86-64 Boost's jump carries it, on AArch64 it does not.
#if defined(__aarch64__)
OTP_PART_OF_SWITCH unsigned long float_control() noexcept {
  unsigned long value;
  asm volatile("mrs %0, fpcr" : "=r"(value));
  return value;
}
OTP_PART_OF_SWITCH void set_float_control(unsigned long value) noexcept {
  if (float_control() != value) asm volatile("msr fpcr, %0" : : "r"(value));
}
#else
OTP_PART_OF_SWITCH unsigned long float_control() noexcept { return 0; }
OTP_PART_OF_SWITCH void set_float_control(unsigned long) noexcept {}
#endif

OTP_PART_OF_SWITCH void note_departure(const bc::transfer_t& t) noexcept {
  const auto* from_whom = static_cast<const passage*>(t.data);
  if (from_whom->from != nullptr) from_whom->from->sp = t.fctx;
}

[[noreturn]] OTP_PART_OF_SWITCH void start(bc::transfer_t t) noexcept {
  context* here = static_cast<const passage*>(t.data)->to;
  note_departure(t);
  set_float_control(here->float_control);
  arrived(*here);
  here->entry(here->arg);
  std::abort();  // an entry leaves by switch_context_final()
}

// The end of every backtrace. Boost would have its own `finish` as the return address, about which the unwinder
// knows nothing.
#if defined(__x86_64__) && !defined(__ILP32__)
extern "C" void otp_context_root(bc::transfer_t) noexcept;
extern "C" [[noreturn, gnu::used, gnu::visibility("hidden")]] OTP_UNINSTRUMENTED void otp_context_start(
    bc::transfer_t t) noexcept {
  start(t);
}
asm(R"(
.pushsection .text.otp_context_root, "ax", @progbits
.p2align 4
.globl otp_context_root
.hidden otp_context_root
.type otp_context_root, @function
otp_context_root:
  .cfi_startproc
  .cfi_undefined %rip
  .cfi_undefined %rbp
  endbr64
  xorl %ebp, %ebp
  subq $8, %rsp
  .cfi_adjust_cfa_offset 8
  callq otp_context_start
  ud2
  .cfi_endproc
.size otp_context_root, .-otp_context_root
.popsection
)");
#elif defined(__aarch64__)
extern "C" void otp_context_root(bc::transfer_t) noexcept;
extern "C" [[noreturn, gnu::used, gnu::visibility("hidden")]] OTP_UNINSTRUMENTED void otp_context_start(
    bc::transfer_t t) noexcept {
  start(t);
}
asm(R"(
.pushsection .text.otp_context_root, "ax", %progbits
.p2align 4
.globl otp_context_root
.hidden otp_context_root
.type otp_context_root, %function
otp_context_root:
  .cfi_startproc
  .cfi_undefined x30
  .cfi_undefined x29
  mov x29, #0
  mov x30, #0
  bl otp_context_start
  brk #1
  .cfi_endproc
.size otp_context_root, .-otp_context_root
.popsection
)");
#else
[[noreturn]] OTP_UNINSTRUMENTED void otp_context_root(bc::transfer_t t) noexcept { start(t); }
#endif

void* make_stack(context& c, char* low, std::size_t size) {
  c.float_control = float_control();
  return bc::make_fcontext(low + size, size, otp_context_root);
}

OTP_PART_OF_SWITCH void jump(context& from, context& to) noexcept {
  const unsigned long control = float_control();
  passage out{&from, &to};
  note_departure(bc::jump_fcontext(to.sp, &out));
  set_float_control(control);
}

[[noreturn]] OTP_PART_OF_SWITCH void jump_for_good(context& to) noexcept {
  passage out{nullptr, &to};
  bc::jump_fcontext(to.sp, &out);
  __builtin_unreachable();
}

}  // namespace

#endif

// ---- exception state ---------------------------------------------------------------------------------------------

// Word by word: a struct copy would read in one piece what was written in two, and wait for it.
[[gnu::cold]] void put_aside(context& from, exception_globals& globals) noexcept {
  from.aside.caught = std::exchange(globals.caught, nullptr);
  from.aside.uncaught = std::exchange(globals.uncaught, 0U);
#if defined(__arm__)
  from.aside.propagating = std::exchange(globals.propagating, nullptr);
#endif
}

[[gnu::cold]] void take_back(context& from) noexcept {
  exception_globals& globals = *from.globals;
  globals.caught = std::exchange(from.aside.caught, nullptr);
  globals.uncaught = std::exchange(from.aside.uncaught, 0U);
#if defined(__arm__)
  globals.propagating = std::exchange(from.aside.propagating, nullptr);
#endif
}

bool exceptions_in_flight() noexcept { return globals_of_this_thread()->uncaught != 0; }

// ---- contexts ----------------------------------------------------------------------------------------------------

#if !(OTP_DETAIL_OWN_JUMP && !OTP_DETAIL_ASAN && !OTP_DETAIL_TSAN)
OTP_UNINSTRUMENTED void switch_instrumented(context& from, context& to) noexcept {
  exception_globals* globals = from.globals;
  if (globals->caught != nullptr || globals->uncaught != 0) [[unlikely]]
    put_aside(from, *globals);
  to.globals = globals;
  leaving(from, to, false);
  jump(from, to);
  arrived(from);
  if (from.aside.caught != nullptr || from.aside.uncaught != 0) [[unlikely]]
    take_back(from);
}
#endif

OTP_UNINSTRUMENTED void switch_context_final(context& from, context& to) noexcept {
  exception_globals* globals = from.globals;
  *globals = {};
  to.globals = globals;
  from.sp = nullptr;
  leaving(from, to, true);
  jump_for_good(to);
}

#if OTP_DETAIL_ASAN
namespace {

// ASan frees a fake stack only on the context that owns it. So this tells it that we go there, that we end there,
// and that we are back; nobody jumps, and nothing in between needs a stack of either kind.
[[gnu::noinline]] OTP_UNINSTRUMENTED void free_fake_stack(context& c) noexcept {
  void* ours = nullptr;
  const void* low = nullptr;
  std::size_t size = 0;
  __sanitizer_start_switch_fiber(&ours, c.low, c.size);
  __sanitizer_finish_switch_fiber(c.fake_stack, &low, &size);
  __sanitizer_start_switch_fiber(nullptr, low, size);
  __sanitizer_finish_switch_fiber(ours, nullptr, nullptr);
  c.fake_stack = nullptr;
}

}  // namespace
#endif

void make_context(context& c, void* stack_low, std::size_t size, context_entry entry, void* arg) {
  destroy_context(c);
  c.entry = entry;
  c.arg = arg;
#if OTP_DETAIL_ASAN
  c.low = stack_low;
  c.size = size;
  __asan_unpoison_memory_region(stack_low, size);
#endif
#if OTP_DETAIL_TSAN
  c.fiber = __tsan_create_fiber(0);
  c.own_fiber = true;
#endif
  c.sp = make_stack(c, static_cast<char*>(stack_low), size);
}

void adopt_thread(context& c) {
  destroy_context(c);
  c.globals = globals_of_this_thread();
#if OTP_DETAIL_TSAN
  c.fiber = __tsan_get_current_fiber();
#endif
}

void destroy_context(context& c) noexcept {
#if OTP_DETAIL_ASAN
  if (c.fake_stack != nullptr) free_fake_stack(c);
  if (c.entry != nullptr) __asan_unpoison_memory_region(c.low, c.size);  // not an OS thread's: its own frames are live
  c.low = nullptr;
  c.size = 0;
#endif
#if OTP_DETAIL_TSAN
  if (c.own_fiber) __tsan_destroy_fiber(c.fiber);
  c.fiber = nullptr;
  c.own_fiber = false;
#endif
  c.sp = nullptr;
  c.globals = nullptr;
  c.aside = {};
  c.entry = nullptr;
  c.arg = nullptr;
}

}  // namespace otp::detail
