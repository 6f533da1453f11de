#include "process/control.hpp"

#include "process/envelope_pool.hpp"

#include <mutex>
#include <new>

namespace otp::detail {

namespace {

constexpr envelope_type control(signal kind) {
  return {kind, nullptr, [](envelope* e) { delete static_cast<control_envelope*>(e); },
          [](const envelope*) -> const void* { return nullptr; }};
}

template <class Envelope>
constexpr envelope_type in_flight(signal kind) {
  return {kind, nullptr, [](envelope* e) { delete static_cast<Envelope*>(e); },
          [](const envelope* e) -> const void* { return &static_cast<const Envelope*>(e)->value; }};
}

}  // namespace

constinit const envelope_type exit_type = in_flight<exit_envelope>(signal::exit);
constinit const envelope_type fatal_type = in_flight<exit_envelope>(signal::exit);
constinit const envelope_type link_exit_type = in_flight<exit_envelope>(signal::exit);
constinit const envelope_type link_type = control(signal::link);
constinit const envelope_type unlink_type = control(signal::unlink);
constinit const envelope_type unlink_ack_type = control(signal::unlink_ack);
constinit const envelope_type monitor_type = in_flight<down_envelope>(signal::monitor);
constinit const envelope_type demonitor_type = control(signal::demonitor);
constinit const envelope_type down_type = in_flight<down_envelope>(signal::down);
constinit const envelope_type wake_type = control(signal::wake);
constinit const envelope_type timer_set_type = control(signal::timer_gone);
constinit const envelope_type timer_gone_type = control(signal::timer_gone);

constinit const envelope_type alias_type = {signal::alias, nullptr,
                                            [](envelope* e) { delete static_cast<alias_envelope*>(e); },
                                            [](const envelope*) -> const void* { return nullptr; }};

namespace {

constexpr std::size_t signal_size = 64;
constexpr std::size_t size_class = envelope_pool::class_of(signal_size);
static_assert(envelope_pool::class_of(sizeof(control_envelope)) == size_class &&
              envelope_pool::class_of(sizeof(exit_envelope)) == size_class);

// Filled when the first runtime starts and again whenever memory is there; never freed.
struct reserve {
  static constexpr std::size_t capacity = 256;
  std::mutex lock;
  void* blocks[capacity];
  std::size_t count = 0;
};
reserve& the_reserve() {
  static reserve* r = new reserve;
  return *r;
}

}  // namespace

void fill_signal_reserve() noexcept {
  reserve& r = the_reserve();
  std::lock_guard lock(r.lock);
  while (r.count < reserve::capacity) {
    void* block = ::operator new(signal_size, std::nothrow);
    if (!block) return;
    r.blocks[r.count++] = block;
  }
}

void* signal_memory() {
  if (void* memory = envelope_memory_or_null(signal_size)) return memory;
  reserve& r = the_reserve();
  std::lock_guard lock(r.lock);
  if (r.count == 0) throw std::bad_alloc();
  return r.blocks[--r.count];
}

exit_envelope* make_exit(const envelope_type& type, pid from, const exit_reason& why) noexcept {
  auto* e = ::new (signal_memory()) exit_envelope(exit_signal{from, why});
  e->type = &type;
  return e;
}

alias_envelope::alias_envelope(std::uint64_t n, envelope* message) : envelope(&alias_type), number(n), inner(message) {
  bytes = message->bytes;
}

alias_envelope::~alias_envelope() noexcept(false) {
  if (inner) destroy(inner);
}

}  // namespace otp::detail
