// How processes are named: pids, references, typed server references and registered names.
//
// Shape   all of them are small values. None keeps a process alive; a handle to a dead process stays valid and dead.
// Source  Erlang's pid and reference. Differs: a server reference carries the server's type.
#pragma once
#include <otp/term.hpp>

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace otp {

/// The identity of a process: never reused for another one. Prints as <0.index.generation>.
class pid {
 public:
  constexpr pid() = default;
  constexpr explicit pid(std::uint64_t value) : value_(value) {}

  constexpr explicit operator bool() const { return value_ != 0; }
  friend constexpr auto operator<=>(const pid&, const pid&) = default;

  constexpr std::uint64_t value() const { return value_; }
  constexpr std::uint32_t index() const { return static_cast<std::uint32_t>(value_ & 0xffffff); }
  constexpr std::uint64_t generation() const { return value_ >> 24; }
  std::string to_string() const;

 private:
  std::uint64_t value_ = 0;  // low 24 bits: place in the process table; the rest: how often that place was taken
};

/// A unique reference: of a monitor, an alias, a timer, a request.
class ref {
 public:
  constexpr ref() = default;
  constexpr ref(pid owner, std::uint64_t number) : owner_(owner), number_(number) {}

  constexpr explicit operator bool() const { return number_ != 0; }
  friend constexpr auto operator<=>(const ref&, const ref&) = default;

  /// The process that made it.
  constexpr pid owner() const { return owner_; }
  constexpr std::uint64_t number() const { return number_; }
  std::string to_string() const;

 private:
  pid owner_;
  std::uint64_t number_ = 0;
};

/// A process that runs a server of type `Server`, as far as the holder knows: a call checks it.
template <class Server>
class server {
 public:
  constexpr server() = default;
  constexpr explicit server(otp::pid process) : pid_(process) {}

  constexpr otp::pid pid() const { return pid_; }
  constexpr operator otp::pid() const { return pid_; }
  constexpr explicit operator bool() const { return static_cast<bool>(pid_); }
  friend constexpr auto operator<=>(const server&, const server&) = default;
  std::string to_string() const { return pid_.to_string(); }

 private:
  otp::pid pid_;
};

/// A registered name that belongs to servers of type `Server`. Usually a constant: `otp::name<cache>{"cache"}`.
template <class Server>
class name {
 public:
  constexpr name() = default;
  constexpr explicit name(const char* text) : text_(text) {}
  constexpr explicit name(std::string_view text) : text_(text) {}

  constexpr std::string_view text() const { return text_; }

 private:
  std::string_view text_;
};

}  // namespace otp
