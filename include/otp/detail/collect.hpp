// Waiting for the results and the ends of several processes at once: what tasks are awaited with.
//
// Shape   a task's owner watches it, and the monitor's reference is the address of the result: the result comes first,
//         then the `down`. Both are messages; collecting takes those of the given references out of the mailbox, and
//         leaves all others where they are.
#pragma once
#include <otp/detail/envelope.hpp>
#include <otp/duration.hpp>

namespace otp::detail {

/// The type of a result on its way. At its owner it becomes the message that `arrived` says.
struct result_envelope_type : envelope_type {
  const envelope_type* arrived;
  ref (*reference)(const envelope&);
};

/// Sends a result to the process that watches the caller; dropped unless the monitor is still there.
void send_result(ref to, envelope* e);

/// A monitor whose result or end is waited for.
struct awaited {
  std::uint64_t number = 0;                      // of the reference
  const result_envelope_type* result = nullptr;  // null: only the end is of interest
  envelope* value = nullptr;                     // the result's message, once it is here; owned
  envelope* end = nullptr;                       // the `down`; owned
  std::size_t place = 0;                         // of the last one that was taken, among all that were
  bool noticed = false;                          // one of the two has arrived while collect() waited

  awaited() = default;
  awaited(ref watch, const result_envelope_type* type) noexcept : number(watch.number()), result(type) {}
  awaited(awaited&& o) noexcept
      : number(o.number),
        result(o.result),
        value(std::exchange(o.value, nullptr)),
        end(std::exchange(o.end, nullptr)),
        place(o.place),
        noticed(o.noticed) {}
  awaited& operator=(awaited&&) = delete;
  ~awaited() { drop(); }
  void drop() noexcept;  // what the value's destructor throws has nobody to go to
  bool decided() const noexcept { return value || end; }
  bool died() const noexcept { return end && !value; }
  /// Why it ended; only if `end` is here.
  const exit_reason& why() const noexcept;
};

enum class collect_until : std::uint8_t {
  enough,         // that many are decided, or more
  exactly,        // that many: what has come for others stays in the mailbox
  enough_or_end,  // or one has died without a result
};

/// Waits until `wanted` of them are decided, at most for `timeout`: 0 looks and does not wait. Returns how many are.
/// What has come for those that are decided is taken out of the mailbox together with the rest.
std::size_t collect(awaited* all, std::size_t count, std::size_t wanted, duration timeout,
                    collect_until until = collect_until::enough);

/// Nobody waits for it any more: the monitor goes, and so do its `down` and, unless that was taken already, its result,
/// also those that are still to come. Takes effect at once in the process that watches, else when that has read its
/// signals.
void forget(ref watch, const result_envelope_type& result, bool end_only = false) noexcept;

}  // namespace otp::detail
