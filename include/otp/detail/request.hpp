// A call on its way: the request, the place for its reply, and who waits. The untyped half of `otp::call`.
//
// Rules
// 1. References: the caller's (its handle), the callee's (inbox, handler, `answer_at_end` or outstanding list), and one
//    of each `from`. Whoever answers sends one reference back to the caller, with the reply.
// 2. `progress` decides once how the request ends:
//      pending -> writing -> replied       by whoever answers first; back to pending if making the reply throws
//      pending -> replied                  by a handler while there is no `from`: nobody else writes a reply
//      pending | writing -> failing -> failed   by the server's end, a dropped `from`, a refused delivery
//      pending -> abandoned                by a caller that gives up
//    Only who moved it to `writing` touches the reply, only who moved it to `failing` touches `failure`. A writer may
//    be stuck in user code for ever, so its server's end takes the decision away from it: it finds that out when it is
//    done and sends nothing.
// 3. The reply travels through the caller's inbox like any signal, as this same envelope.
#pragma once
#include <otp/detail/envelope.hpp>
#include <otp/duration.hpp>

#include <atomic>
#include <exception>
#include <optional>
#include <variant>
#include <vector>

namespace otp::detail {

struct runtime_core;
struct foreign_waiter;

enum class request_state : std::uint8_t { pending, writing, replied, failing, failed, abandoned };

void free_waiter(foreign_waiter*) noexcept;

struct request_envelope : envelope {
  request_envelope(const envelope_type* t, void (*destroyer)(envelope*)) noexcept : envelope(t), free(destroyer) {}
  ~request_envelope() {
    if (foreign) free_waiter(foreign);
  }

  static constexpr std::uint8_t in_handler = 1;  // the server's handler has not returned yet
  static constexpr std::uint8_t dropped = 2;     // the `from` went away
  static constexpr std::uint8_t taken = 4;       // the handler was given a `from`

  void (*free)(envelope*);  // what the last reference does
  std::atomic<std::uint32_t> references{2};
  std::atomic<request_state> progress{request_state::pending};
  std::atomic<std::uint8_t> from_flags{0};
  std::atomic<bool> begun{false};  // a handler has it
  bool asynchronous : 1 = false;   // these two are fixed before it is sent
  bool run_expired : 1 = false;
  bool let_go = false;  // asynchronous: its holder has; the caller's own, as a `from` may keep the request alive
  bool traced = false;  // its server is debugged, and wants to see the reply; the server's own
  bool late = false;    // it came when the end of its server was decided; the server's own
  pid caller;
  std::uint64_t number = 0;  // of the caller's calls: identifies the edge
  std::int64_t deadline = INT64_MAX;
  runtime_core* core = nullptr;
  foreign_waiter* foreign = nullptr;             // calls from outside; owned
  request_envelope* next_outstanding = nullptr;  // the server's
  exit_reason failure;
};

/// It came back with a reply, and not with a failure: one that nobody looks at counts as late.
inline bool holds_reply(const request_envelope& r) noexcept {
  return r.progress.load(std::memory_order_relaxed) == request_state::replied;
}
void drop_reference(request_envelope* r) noexcept(false);
/// What a request is while it travels back.
extern const envelope_type reply_signal;
/// Nobody but its handler can answer it any more: it is not decided, and the references are the caller's and the
/// callee's, so there is no `from`, and only the handler could make one.
inline bool is_ours_to_answer(const request_envelope& r) noexcept {
  return r.progress.load(std::memory_order_acquire) == request_state::pending &&
         r.references.load(std::memory_order_acquire) == 2;
}
/// True for exactly one answerer: it may write the reply, then must call finish_reply or undo_reply.
bool begin_reply(request_envelope& r) noexcept;
/// Sends the request back to its caller; consumes a reference.
void finish_reply(request_envelope* r) noexcept;
/// The same and fail_request, for callers inside a bracket: where nobody took the reference it is returned, to be
/// dropped outside, since the destructors of request and reply are user code.
request_envelope* try_finish(request_envelope* r, request_state from = request_state::writing) noexcept;
request_envelope* try_fail(request_envelope* r, const exit_reason& why) noexcept;
/// Making the reply has thrown: the request is unanswered again. Keeps the references.
void undo_reply(request_envelope& r) noexcept;
/// Fails the request unless it is decided already; consumes a reference.
void fail_request(request_envelope* r, const exit_reason& why) noexcept;
/// The server stops being what the caller waits for: its handler took a `from`.
void clear_edge(request_envelope& r) noexcept;
void count_late_reply(request_envelope& r) noexcept;
/// Why a request fails that its server cannot answer any more.
exit_reason unanswered();
/// A `from` goes away: unless it was answered its caller fails, now or after the handler's result was applied.
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
/// Drops a reference; what the destructors of request and reply throw has nobody to go to.
void drop_answered(request_envelope* r) noexcept;
/// An abandoned process may not answer: it goes no further than here.
void check_may_reply();
[[noreturn]] void refuse_timeout(duration timeout);
inline void require_valid_timeout(duration timeout) {
  if (timeout.count() < 0) [[unlikely]]
    refuse_timeout(timeout);
}
void require_request(const request_envelope* r);
/// Throws bad_argument if the caller cannot wait for a reply to `what`.
void require_caller(const char* what);
instant deadline_after(duration timeout);
std::vector<std::string> each_once(std::vector<std::string> nodes);
exit_reason call_failure(exit_reason cause, const char* function, std::string server, std::string_view request,
                         duration timeout);
std::optional<pid> whereis_in(runtime_core& core, std::string_view name);

/// Where a reply of type R is put.
template <class R>
struct reply_slot {
  using stored = std::conditional_t<std::is_void_v<R>, std::monostate, R>;
  std::optional<stored> value;
};
template <class R>
using reply_value = typename reply_slot<R>::stored;

/// The part of a typed request that its `from` needs.
template <class R>
struct reply_envelope : request_envelope {
  using request_envelope::request_envelope;
  reply_slot<R> reply;
};

/// Makes the reply; the caller has begun it.
template <class Envelope, class... Value>
void make_reply(Envelope* r, Value&&... value) {
  try {
    r->reply.value.emplace(std::forward<Value>(value)...);
  } catch (...) {
    undo_reply(*r);
    throw;
  }
}

/// Answers a request; consumes a reference, except when making the reply throws.
template <class Envelope, class... Value>
bool write_reply(Envelope* r, Value&&... value) {
  if (!begin_reply(*r)) {
    count_late_reply(*r);
    drop_answered(r);
    return false;
  }
  make_reply(r, std::forward<Value>(value)...);
  finish_reply(r);
  return true;
}

/// A reference, dropped when it goes out of scope.
template <class Envelope>
struct request_holder {
  Envelope* r;
  explicit request_holder(Envelope* e) noexcept : r(e) {}
  request_holder(request_holder&& o) noexcept : r(std::exchange(o.r, nullptr)) {}
  request_holder& operator=(request_holder&& o) noexcept {
    std::swap(r, o.r);
    return *this;
  }
  ~request_holder() noexcept(false) {
    try {
      if (r) drop_reference(r);
    } catch (...) {
      if (std::uncaught_exceptions() == 0) throw;  // one exception at a time may leave the caller
    }
  }
};

}  // namespace otp::detail
