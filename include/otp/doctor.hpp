// Looks through the running processes for designs that OTP has something better for.
//
// Shape   examine() runs in the caller, visits every process for a moment and asks none; it lets others run in between.
//         Nothing is recorded for it while nobody asks, except by servers that look like a mere store for a value.
// Units   times are otp::duration; an age is known to 0.2 s.
// Errors  bad_argument outside of a process, or for a negative age.
// Source  the anti-patterns of the OTP guides; Erlang has no such module.
#pragma once
#include <otp/process.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace otp::doctor {

enum class rule : std::uint8_t {
  /// It lives long, and no supervisor would hear of its end: none is linked to it, nor to the process that started it
  /// and is linked to it, and so on. Not meant are the first process, which runs under otp::run or runtime::run, and a
  /// supervisor at the top of a tree.
  unsupervised_process,
  /// A task lives long. Tasks are for work that ends; what goes on is a server.
  long_task,
  /// A server has done nothing so far but store a value (a number, an enum, a text, a plain struct) and give it back,
  /// at least four different ones. Its type is judged by all its messages since the program began, so `process` is
  /// any one of that type, of whatever age.
  value_server,
};
/// "unsupervised_process" ...
std::string_view to_string(rule what) noexcept;

struct finding {
  rule what{};
  pid process;
  std::string name;  ///< the name it is registered under; empty if it has none
  std::string type;  ///< of the function or server that it runs
  duration age{};
  std::string advice;  ///< what to write instead
  /// One line with all of it.
  std::string to_string() const;
};

struct options {
  duration older_than =
      std::chrono::minutes(1);  ///< how long an unsupervised process and a task may live; 0: not at all
};

/// What is to be said about the caller's runtime now, by rule and pid.
std::vector<finding> examine(options how = {});

/// One line a finding, or "nothing found".
std::string to_string(const std::vector<finding>& all);

}  // namespace otp::doctor
