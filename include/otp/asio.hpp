// Boost.Asio as plain code: sockets, timers, DNS, TLS, HTTP. The process that asks waits, and nobody else.
//
// Shape   otp::use_process is a completion token: given to any Asio operation, it starts the operation, makes the
//         calling process wait and returns what the operation completes with. Workers with nothing to do wait for the
//         kernel; there is no thread for it. This header brings io() and the token; include <boost/asio/...> for the
//         rest, and link otp::asio.
// Units   within() takes an otp::duration, by() an otp::instant.
// Errors  an operation's error is thrown as boost::system::system_error, or put into `ec` by `use_process[ec]`.
//         A deadline that passes cancels the operation; its error is then boost::asio::error::timed_out.
//         otp::bad_argument outside of a process, and under the seeded engine, which has no real I/O.
//         A process that is killed cancels its operation, unwinds when the operation has completed, and closes its
//         sockets on the way. What cannot be cancelled (a resolver, a post) is waited for: docs/guide/io.md.
#pragma once
#include <otp/duration.hpp>
#include <otp/pid.hpp>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/system/error_code.hpp>

#include <atomic>
#include <cstddef>
#include <exception>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>

namespace otp {

class runtime;

/// The I/O context of the caller's runtime, made when first asked for. Handlers of other tokens run on some worker, one
/// at a time; they are not processes, and must not block.
boost::asio::io_context& io();
/// The same, also for threads outside of the runtime, which has to outlive what is built on it.
boost::asio::io_context& io(runtime& of);

namespace detail {
class io_operation;
}

/// The type of otp::use_process. The signature decides what the operation returns: what follows an error_code or an
/// exception_ptr is the value; several values are a std::tuple. boost::asio::as_tuple(otp::use_process) works as well.
class use_process_t {
 public:
  /// The same, with the error put into `error` instead of thrown; it is cleared if there is none.
  [[nodiscard]] constexpr use_process_t operator[](boost::system::error_code& error) const noexcept {
    use_process_t changed = *this;
    changed.error_ = &error;
    return changed;
  }
  /// The same, cancelled when it has not completed this long after its start: error::timed_out.
  [[nodiscard]] constexpr use_process_t within(duration length) const noexcept {
    use_process_t changed = *this;
    changed.length_ = length;
    return changed;
  }
  /// The same, cancelled at this instant: one deadline for several operations.
  [[nodiscard]] constexpr use_process_t by(instant deadline) const noexcept {
    use_process_t changed = *this;
    changed.deadline_ = deadline;
    return changed;
  }

 private:
  friend detail::io_operation;
  boost::system::error_code* error_ = nullptr;
  duration length_ = infinity;
  instant deadline_ = instant::max();
};

/// `std::size_t n = socket.async_read_some(buffer, otp::use_process);`
inline constexpr use_process_t use_process{};

}  // namespace otp

#include <otp/detail/asio.inl>
