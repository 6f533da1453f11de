// What travels through an inbox: a header that the untyped machine reads, and a payload that only templates touch.
#pragma once
#include <otp/detail/memory.hpp>
#include <otp/exit_reason.hpp>
#include <otp/pid.hpp>
#include <otp/term.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace otp {

// What the compiler names in its first error when something cannot be sent.
template <class Message>
struct needs_std_move;  // it cannot be copied to its receiver: write std::move(message)
template <class Message>
struct not_copyable;  // it is const, or sent more than once, and cannot be copied: give it a copy constructor
template <class Message>
struct stays_with_its_process;  // only who started a task or sent a request can wait for it: send what comes of it
template <class T>
struct not_movable;  // it is moved to its receiver: give it a move constructor, or send a std::unique_ptr to it

}  // namespace otp

namespace otp::detail {

enum class signal : std::uint8_t {
  // To the queue as they are:
  message,  // a user's value
  request,  // a call that waits for its reply
  cast,     // a message whose handler its sender named: only servers of its type take it
  // To be acted upon:
  alias,  // a user's value on its way through an alias
  reply,  // that request on its way back
  exit,   // a link broke, or somebody called exit(pid, reason)
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
  result,      // of a task: becomes a message if its owner still waits for it
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
  static void* operator new(std::size_t size) { return envelope_memory(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { free_envelope_memory(memory, size); }
  static void* operator new(std::size_t size, std::align_val_t alignment) { return ::operator new(size, alignment); }
  static void operator delete(void* memory, std::align_val_t alignment) noexcept {
    ::operator delete(memory, alignment);
  }
  envelope(const envelope&) = delete;
  envelope& operator=(const envelope&) = delete;

  envelope* next = nullptr;  // the inbox's, then the receiver's
  std::uint64_t to = 0;      // pid it was sent to: a place in the process table may have changed its tenant meanwhile.
                             // Of one that is `noted`, the number that it is noted under
  const envelope_type* type;
  std::uint32_t sent_at = 0;        // milliseconds of the sender's coarse clock, for the age of the oldest message
  std::uint32_t bytes : 30 = 0;     // what it is accounted for, cut at 1 GiB
  std::uint32_t accounted : 1 = 0;  // it takes room in a bounded mailbox
  std::uint32_t noted : 1 = 0;      // its receiver has noted where in the queue it is (result_notes)
};
static_assert(sizeof(envelope) == 32);
constexpr std::uint32_t bytes_of(std::size_t size) noexcept {
  constexpr std::size_t most = (std::size_t{1} << 30U) - 1;
  return static_cast<std::uint32_t>(size < most ? size : most);
}

template <class T>
struct value_envelope final : envelope {
  template <class U>
  explicit value_envelope(U&& u) : envelope(&type_of), value(std::forward<U>(u)) {
    std::size_t size = sizeof(*this);
    if constexpr (std::is_convertible_v<const T&, std::string_view>) size += std::string_view(value).size();
    if constexpr (requires { value.message_bytes(); }) size += value.message_bytes();
    bytes = bytes_of(size);
  }
  static const envelope_type type_of;
  [[no_unique_address]] T value;  // a message that only says that something is needs no more than the header
};

template <class T>
inline constexpr envelope_type value_envelope<T>::type_of{
    signal::message, &record_of<T>, [](envelope* e) { delete static_cast<value_envelope*>(e); },
    [](const envelope* e) -> const void* { return &static_cast<const value_envelope*>(e)->value; }};

/// What a message of static type `T` is kept as: by value, text as std::string.
template <class T>
using stored_message = stored_term<T>;

/// Nothing wrong. The problems of a use are types too, which say what is.
struct fine {};

/// Handles that only the process which made them can use.
template <class T>
inline constexpr bool bound_to_process = false;

template <class Stored, class Given>
constexpr auto judge_moving() {
  if constexpr (std::is_constructible_v<Stored, Given>)
    return std::type_identity<fine>();
  else if constexpr (!std::is_constructible_v<Stored, Stored>)
    return std::type_identity<not_movable<Stored>>();
  else if constexpr (std::is_const_v<std::remove_reference_t<Given>>)
    return std::type_identity<not_copyable<Stored>>();
  else
    return std::type_identity<needs_std_move<Stored>>();
}
template <class Stored, class Given>
constexpr auto judge_storing() {
  if constexpr (bound_to_process<Stored>)
    return std::type_identity<stays_with_its_process<Stored>>();
  else
    return judge_moving<Stored, Given>();
}

template <class T>
using storing_problem = typename decltype(judge_storing<stored_message<T>, T>())::type;
/// What can be kept as a message: it is copied or moved there.
template <class T>
concept storable = std::is_same_v<storing_problem<T>, fine>;

template <class T>
envelope* make_envelope(T&& value) {
  static_cast<void>(sizeof(typename decltype(judge_moving<stored_message<T>, T>())::type));
  return new value_envelope<stored_message<T>>(std::forward<T>(value));
}

inline void destroy(envelope* e) { e->type->destroy(e); }

}  // namespace otp::detail
