// A call on its way: the request, the place for its reply, and who waits. The untyped half of `otp::call`.
//
// Rules
// 1. Two references: the caller's (its handle), the callee's (inbox, handler, `from` or outstanding list). The callee's
//    goes back to the caller with the reply.
// 2. `progress` decides once how the request ends: pending -> writing -> replied | failed by whoever answers first,
//    pending -> abandoned by a caller that gives up. Only who moved it to `writing` touches reply and failure.
// 3. The reply travels through the caller's inbox like any signal, as this same envelope.
#pragma once
#include <otp/detail/envelope.hpp>
#include <otp/duration.hpp>

#include <atomic>
#include <optional>
#include <variant>

namespace otp::detail {

struct runtime_core;
struct foreign_waiter;

enum class request_state : std::uint8_t { pending, writing, replied, failed, abandoned };

struct request_envelope : envelope {
  request_envelope(const envelope_type* t, void (*destroyer)(envelope*)) noexcept : envelope(t), free(destroyer) {}

  static constexpr std::uint8_t in_handler = 1;  // the server's handler has not returned yet
  static constexpr std::uint8_t dropped = 2;     // the `from` went away
  static constexpr std::uint8_t taken = 4;       // the handler was given a `from`

  void (*free)(envelope*);  // what the last reference does
  std::atomic<std::uint32_t> references{2};
  std::atomic<request_state> progress{request_state::pending};
  std::atomic<std::uint8_t> from_flags{0};
  bool asynchronous = false;
  bool run_expired = false;
  pid caller;
  std::uint64_t number = 0;  // of the caller's calls: identifies the edge
  std::int64_t deadline = INT64_MAX;
  runtime_core* core = nullptr;
  foreign_waiter* foreign = nullptr;  // set for calls from outside
  const void* server_type = nullptr;
  std::string_view server_name;
  exit_reason failure;
};

void drop_reference(request_envelope* r) noexcept(false);
/// What a request is while it travels back.
extern const envelope_type reply_signal;
/// True for exactly one answerer: it may write the reply, then must call finish_reply.
bool begin_reply(request_envelope& r) noexcept;
/// Sends the request back to its caller; consumes the callee's reference.
void finish_reply(request_envelope* r) noexcept;
/// As finish_reply, for one that begin_reply took and whose `failure` was written.
void finish_failed(request_envelope* r) noexcept;
/// Fails the request unless it is decided already; consumes the callee's reference.
void fail_request(request_envelope* r, const exit_reason& why) noexcept;
/// The server stops being what the caller waits for: its handler took a `from`.
void clear_edge(request_envelope& r) noexcept;
void count_late_reply(request_envelope& r) noexcept;
/// A `from` went away without an answer: fails the caller now, or after the handler's result was applied.
void from_dropped(request_envelope* r) noexcept;

/// A call waits here. Returns the reason if it failed; the caller keeps its reference and reads the reply.
std::optional<exit_reason> call_and_wait(pid to, request_envelope* r, duration timeout);
/// The same from a thread that is not a worker of the runtime.
std::optional<exit_reason> call_from_outside(runtime_core& core, pid to, request_envelope* r, duration timeout);
/// Sends without waiting; the reply arrives like a message.
void send_request(pid to, request_envelope* r);
enum class response_state : std::uint8_t { ready, timeout };
/// Waits until the reply of an asynchronous request has arrived and takes it out of the mailbox.
response_state wait_response(request_envelope* r, instant deadline);
/// Waits for the response of any of these; the place of the one that has arrived, or their number at the deadline.
std::size_t wait_any_response(const std::vector<request_envelope*>& requests, instant deadline);
/// The holder of an asynchronous request lets go of it: a late reply goes nowhere.
void abandon_request(request_envelope* r) noexcept;
/// A `from` that has answered goes away.
void drop_answered(request_envelope* r) noexcept;
/// An abandoned process may not answer: it goes no further than here.
void check_may_reply();
void require_valid_timeout(duration timeout);
void require_request(const request_envelope* r);
instant deadline_after(duration timeout);
std::vector<std::string> each_once(std::vector<std::string> nodes);
exit_reason call_failure(exit_reason cause, const char* function, std::string server, std::string_view request,
                         duration timeout);

/// Where a reply of type R is put.
template <class R>
struct reply_slot {
  using stored = std::conditional_t<std::is_void_v<R>, std::monostate, R>;
  std::optional<stored> value;
};

/// The part of a typed request that its `from` needs.
template <class R>
struct reply_envelope : request_envelope {
  using request_envelope::request_envelope;
  reply_slot<R> reply;
};

}  // namespace otp::detail
