// Why a process ended, or why an operation could not be done.
//
// Shape   a 16-byte value; copies share their details. It compares by content and prints like OTP's reason.
// Source  Erlang's exit reasons. `reason::shutdown` is the atom, `reason::shutdown(x)` the pair {shutdown, x};
//         a failed call's reason is the pair {cause, description of the call}: `cause()` and `call()`.
#pragma once
#include <otp/duration.hpp>
#include <otp/pid.hpp>
#include <otp/term.hpp>

#include <cstdint>
#include <exception>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace otp {

class exit_reason;

namespace detail {
struct reason_detail;
}

/// The request of a failed call, as its exit reason tells it.
struct call_description {
  std::string function;  ///< "call", "stop", "send_request" ...
  std::string server;    ///< name or pid that was called
  std::string request;   ///< type of the request
  duration timeout{};    ///< negative: it has none, and `request` is all of it
};

class exit_reason {
 public:
  enum class kind : std::uint8_t {
    normal,
    shutdown,
    kill,
    killed,
    noproc,
    noconnection,
    timeout,
    deadlock,  // details: the cycle
    calling_self,
    bad_server_type,     // details: what runs there
    no_reply,            // a `from` was dropped unanswered
    ignore,              // a start function declined
    already_started,     // details: the holder's pid
    already_registered,  // the same, of a key in a registry
    already_present,
    not_found,
    running,
    restarting,
    max_children,
    system_limit,  // details: which limit, and the setting
    bad_argument,  // details: what was given and what is accepted
    stack_overflow,
    memory_limit,  // details: limit and use
    stopping,      // the runtime or supervisor is shutting down
    simple_one_for_one,
    shutdown_with,  // {shutdown, term}
    error,          // an exception: type, text, backtrace
    call_failed,    // {cause, call}
    value,          // any user value
  };

  exit_reason() = default;  ///< normal
  exit_reason(kind which) noexcept : kind_(which) {}
  exit_reason(kind which, std::string details);
  exit_reason(kind which, const char* details) : exit_reason(which, std::string(details)) {}
  /// Any value of the user's; text is the usual one.
  template <class T>
    requires(!std::is_base_of_v<exit_reason, std::remove_cvref_t<T>> && !std::is_convertible_v<T, exit_reason::kind> &&
             !requires(const T& t) { t.otp_exit_reason(); })
  exit_reason(T&& value) : exit_reason(kind::value, term(std::forward<T>(value))) {}
  template <class Constant>
    requires requires(const Constant& t) { t.otp_exit_reason(); }
  exit_reason(const Constant& constant) : exit_reason(constant.otp_exit_reason()) {}

  exit_reason(const exit_reason& other) noexcept;
  exit_reason(exit_reason&& other) noexcept : kind_(other.kind_), detail_(std::exchange(other.detail_, nullptr)) {}
  exit_reason& operator=(exit_reason other) noexcept {
    std::swap(kind_, other.kind_);
    std::swap(detail_, other.detail_);
    return *this;
  }
  ~exit_reason() {
    if (detail_) release();
  }

  static exit_reason with_term(kind which, term value) { return exit_reason(which, std::move(value)); }
  static exit_reason of_error(std::string_view type, std::string text, std::vector<void*> backtrace = {});
  static exit_reason of_call(exit_reason cause, call_description call);
  static exit_reason of_pid(kind which, otp::pid process);
  /// The reason that the exception being handled stands for. Call it inside a catch block only.
  static exit_reason of_current_exception();

  kind what() const noexcept { return kind_; }
  bool is_normal() const noexcept { return kind_ == kind::normal; }
  /// `shutdown` or {shutdown, x}.
  bool is_shutdown() const noexcept;
  /// normal, shutdown or {shutdown, x}: what no supervisor restarts a transient child for, and nobody reports.
  bool is_expected() const noexcept { return is_normal() || is_shutdown(); }

  /// The cause inside a failed call's reason; otherwise the reason itself.
  exit_reason cause() const;
  /// The call that failed, if this is the reason of one.
  const call_description* call() const noexcept;
  /// The user's value or the term of {shutdown, term}; empty otherwise.
  term value() const;
  template <class T>
  const T* get_if() const noexcept {
    const term* held = held_term();
    return held ? held->get_if<T>() : nullptr;
  }
  /// The process that `already_started` and `already_registered` name.
  otp::pid process() const noexcept;
  /// Type and text of an exception; details of the other kinds.
  std::string_view error_type() const noexcept;
  std::string_view text() const noexcept;
  /// Where an exception was thrown, when the runtime records backtraces.
  const std::vector<void*>* backtrace() const noexcept;

  std::string to_string() const;
  friend bool operator==(const exit_reason& left, const exit_reason& right) noexcept;

 private:
  exit_reason(kind which, term value);
  exit_reason(kind which, detail::reason_detail* detail) noexcept : kind_(which), detail_(detail) {}
  void release() noexcept;
  const term* held_term() const noexcept;

  kind kind_ = kind::normal;
  detail::reason_detail* detail_ = nullptr;
};

namespace reason {

/// A reason without details, usable as a constant.
struct constant {
  exit_reason::kind kind;
  exit_reason otp_exit_reason() const noexcept { return exit_reason(kind); }
  friend bool operator==(const exit_reason& left, const constant& right) noexcept { return left.what() == right.kind; }
};

struct shutdown_constant : constant {
  /// {shutdown, value}
  template <class T>
  exit_reason operator()(T&& value) const {
    return exit_reason::with_term(exit_reason::kind::shutdown_with, term(std::forward<T>(value)));
  }
};

inline constexpr constant normal{exit_reason::kind::normal};
inline constexpr shutdown_constant shutdown{{exit_reason::kind::shutdown}};
inline constexpr constant kill{exit_reason::kind::kill};
inline constexpr constant killed{exit_reason::kind::killed};
inline constexpr constant noproc{exit_reason::kind::noproc};
inline constexpr constant noconnection{exit_reason::kind::noconnection};
inline constexpr constant timeout{exit_reason::kind::timeout};
inline constexpr constant deadlock{exit_reason::kind::deadlock};
inline constexpr constant calling_self{exit_reason::kind::calling_self};
inline constexpr constant bad_server_type{exit_reason::kind::bad_server_type};
inline constexpr constant no_reply{exit_reason::kind::no_reply};
inline constexpr constant ignore{exit_reason::kind::ignore};
inline constexpr constant already_started{exit_reason::kind::already_started};
inline constexpr constant already_registered{exit_reason::kind::already_registered};
inline constexpr constant already_present{exit_reason::kind::already_present};
inline constexpr constant not_found{exit_reason::kind::not_found};
inline constexpr constant running{exit_reason::kind::running};
inline constexpr constant restarting{exit_reason::kind::restarting};
inline constexpr constant max_children{exit_reason::kind::max_children};
inline constexpr constant system_limit{exit_reason::kind::system_limit};
inline constexpr constant bad_argument{exit_reason::kind::bad_argument};
inline constexpr constant stack_overflow{exit_reason::kind::stack_overflow};
inline constexpr constant memory_limit{exit_reason::kind::memory_limit};
inline constexpr constant stopping{exit_reason::kind::stopping};
inline constexpr constant simple_one_for_one{exit_reason::kind::simple_one_for_one};

/// What an exception of that type and text would be.
inline exit_reason error(std::string_view type, std::string text) {
  return exit_reason::of_error(type, std::move(text));
}

}  // namespace reason

/// An expected outcome: a value, or the reason why there is none.
template <class T>
using result = std::expected<T, exit_reason>;

/// Thrown by `exit(reason)` in the process itself and by a failed `call`: it ends the process unless it is caught.
class exited : public std::exception {
 public:
  explicit exited(exit_reason why) : reason_(std::move(why)), text_(reason_.to_string()) {}
  const exit_reason& reason() const noexcept { return reason_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  exit_reason reason_;
  std::string text_;
};

/// Thrown at the caller's own mistakes: what was given, what is accepted, what to write.
class bad_argument : public std::exception {
 public:
  explicit bad_argument(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

}  // namespace otp
