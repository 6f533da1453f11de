// Where an exception was thrown: runtime_options::record_backtraces.
//
// When a catch block runs, the frames between it and the `throw` are gone. They are whole while the C++ runtime
// searches for a handler: it asks the type information of each catch clause whether it takes the exception. guarded()
// has a clause for `throw_site_probe`, a type that nobody throws and whose type information is the object below: when
// it is asked, nobody nearer to the throw takes the exception, and it notes the frames and says no. It costs nothing
// until something is thrown.
//
// Rule    what was noted belongs to the process that throws, until current_reason() takes it.
#include "process/runtime_core.hpp"

#include <cxxabi.h>
#include <unwind.h>

#include <typeinfo>

namespace otp::detail {

namespace {

struct walk {
  std::vector<void*> frames;
  std::size_t after_throw = 0;  // frames up to here belong to the C++ runtime
};

_Unwind_Reason_Code note_frame(_Unwind_Context* context, void* argument) {
  constexpr std::size_t frames_max = 48;
  auto& w = *static_cast<walk*>(argument);
  auto* function = reinterpret_cast<void*>(_Unwind_GetRegionStart(context));
  auto* address = reinterpret_cast<void*>(_Unwind_GetIP(context));
  if (w.frames.size() == frames_max || !address) return _URC_END_OF_STACK;  // the root of a stack has no caller
  w.frames.push_back(address);
  if (function == reinterpret_cast<void*>(&abi::__cxa_throw) ||
      function == reinterpret_cast<void*>(&abi::__cxa_rethrow))
    w.after_throw = w.frames.size();
  return _URC_NO_REASON;
}

void note_throw_site() noexcept {
  runtime_core* core = runtime_core::current();
  process* p = current_process();
  if (!core || !p || !core->options.record_backtraces) return;
  try {
    walk w;
    _Unwind_Backtrace(note_frame, &w);
    w.frames.erase(w.frames.begin(), w.frames.begin() + static_cast<std::ptrdiff_t>(w.after_throw));
    std::lock_guard lock(core->throw_sites_lock);
    core->throw_sites.insert_or_assign(p->self().value(), std::move(w.frames));
  } catch (const std::bad_alloc&) {
    // The exception is told without its site.
  }
}

}  // namespace

struct looking_type_info final : std::type_info {
  looking_type_info() = delete;
  bool __do_catch(const std::type_info*, void**, unsigned) const override;
};

bool looking_type_info::__do_catch(const std::type_info*, void**, unsigned) const {
  note_throw_site();
  return false;
}

// A looking_type_info under the name that the compiler gives to the type information of throw_site_probe; it emits none
// itself, because the class declares a virtual function that is never defined. Written out as what it consists of, the
// address of its functions and a name, so that it is there before anything runs.
struct constant_type_info {
  const void* functions;
  const char* name;
};
static_assert(sizeof(constant_type_info) == sizeof(std::type_info));
extern const char looking_type_info_table[3 * sizeof(void*)] __asm__("_ZTVN3otp6detail17looking_type_infoE");
extern const constant_type_info type_of_throw_site_probe __asm__("_ZTIN3otp6detail16throw_site_probeE");
constinit const constant_type_info type_of_throw_site_probe{looking_type_info_table + 2 * sizeof(void*),
                                                            "otp::detail::throw_site_probe"};

std::vector<void*> take_throw_site() noexcept {
  runtime_core* core = runtime_core::current();
  process* p = current_process();
  if (!core || !p || !core->options.record_backtraces) return {};
  std::lock_guard lock(core->throw_sites_lock);
  auto noted = core->throw_sites.find(p->self().value());
  if (noted == core->throw_sites.end()) return {};
  std::vector<void*> frames = std::move(noted->second);
  core->throw_sites.erase(noted);
  return frames;
}

}  // namespace otp::detail
