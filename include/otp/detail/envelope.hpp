// What travels through an inbox: a header that the untyped machine reads, and a payload that only templates touch.
#pragma once
#include <otp/exit_reason.hpp>
#include <otp/pid.hpp>
#include <otp/term.hpp>

#include <cstdint>
#include <type_traits>
#include <utility>

namespace otp::detail {

enum class signal : std::uint8_t {
  message,  // a user's value
  request,  // a call that waits for its reply
  cast,     // a message whose handler its sender named: only servers of its type take it
  reply,    // that request on its way back
  exit,     // a link broke, or somebody called exit(pid, reason)
  link,
  unlink,
  unlink_ack,
  monitor,
  demonitor,
  down,
  timer_gone,  // a timer for this process was cancelled elsewhere
  wake,        // a wait timed out, or something outside of messages came about
  stop,        // gen_server::stop and its kin, behind everything sent before
  system,      // sys requests: handled by behaviours between two messages
};

struct envelope;

/// One per type of envelope; its address is the identity of the payload's type for messages.
struct envelope_type {
  signal kind;
  const type_record* record;   // of the payload; null for signals without one
  void (*destroy)(envelope*);  // may throw what the payload's destructor throws
  const void* (*payload)(const envelope*);
};

struct alignas(16) envelope {
  explicit envelope(const envelope_type* t) noexcept : type(t) {}
  envelope(const envelope&) = delete;
  envelope& operator=(const envelope&) = delete;

  envelope* next = nullptr;  // the inbox's, then the receiver's
  std::uint64_t to = 0;      // pid it was sent to: a place in the process table may have changed its tenant meanwhile
  const envelope_type* type;
  std::uint32_t sent_at = 0;        // milliseconds of the sender's coarse clock, for the age of the oldest message
  std::uint32_t bytes : 31 = 0;     // what it is accounted for, cut at 2 GiB
  std::uint32_t accounted : 1 = 0;  // it takes room in a bounded mailbox
};
static_assert(sizeof(envelope) == 32);

template <class T>
struct value_envelope final : envelope {
  template <class U>
  explicit value_envelope(U&& u) : envelope(&type_of), value(std::forward<U>(u)) {
    std::size_t size = sizeof(*this);
    if constexpr (std::is_convertible_v<const T&, std::string_view>) size += std::string_view(value).size();
    if constexpr (requires { value.message_bytes(); }) size += value.message_bytes();
    bytes = size > 0x7fffffffU ? 0x7fffffffU : static_cast<std::uint32_t>(size);
  }
  static const envelope_type type_of;
  T value;
};

template <class T>
inline constexpr envelope_type value_envelope<T>::type_of{
    signal::message, &record_of<T>, [](envelope* e) { delete static_cast<value_envelope*>(e); },
    [](const envelope* e) -> const void* { return &static_cast<const value_envelope*>(e)->value; }};

/// What a message of static type `T` is kept as: by value, text as std::string.
template <class T>
using stored_message = stored_term<T>;

template <class T>
envelope* make_envelope(T&& value) {
  return new value_envelope<stored_message<T>>(std::forward<T>(value));
}

inline void destroy(envelope* e) { e->type->destroy(e); }

}  // namespace otp::detail
