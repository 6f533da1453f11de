// What sys asks of a process, and how every kind of process answers it.
//
// Rules
// 1. A process that serves sys requests has a system_subject: an adapter that says what it is, made for one request.
// 2. What is switched on of a process is its `debugging`, which exists only while something is.
// 3. carry_out() runs user code (texts, hooks, functions that read or replace the state): after it being_ended() is
//    asked before anything else is done.
#pragma once
#include <otp/sys.hpp>

#include "behaviours/debugging.hpp"

namespace otp::detail {

enum class system_op : std::uint8_t {
  get_status,
  get_state,
  visit,  // get_state and replace_state, typed
  suspend,
  resume,
  terminate,
  trace,
  trace_into,
  log,
  get_log,
  log_to_file,
  statistics,
  get_statistics,
  install,
  remove,
  no_debug,
};

struct system_reply {
  std::optional<exit_reason> failure{};  // the caller exits with it
  server_status status{};
  std::string text{};
  std::vector<std::string> lines{};
  std::optional<sys::server_statistics> numbers{};
  bool done = false;
};

struct system_request final : reply_envelope<system_reply> {
  explicit system_request(system_op what);
  system_op op;
  bool on = false;
  std::size_t number = 0;  // log: how many events; 0: the usual number
  std::string text{};      // a file's path or a hook's id
  exit_reason why{};       // terminate
  std::shared_ptr<system_visitor> visitor{};
  std::unique_ptr<debug_hook> hook{};
};

/// Who answers.
class system_subject {
 public:
  virtual server_status status() = 0;
  virtual std::string state() = 0;
  /// What get_state and replace_state of this type work on; null: it has no such state.
  virtual const server_type* type() const = 0;
  virtual void* object() = 0;
  /// Where its debugging is. Changes inside a bracket only where an abandonment looks at it.
  virtual std::unique_ptr<debugging>& debug() = 0;

 protected:
  ~system_subject() = default;
};

/// What the process does next, besides answering.
struct system_order {
  enum class what : std::uint8_t { nothing, suspend, resume, terminate } next = what::nothing;
  exit_reason why{};
};

system_reply carry_out(system_subject& subject, system_request& request, system_order& order);
/// carry_out(), and the answer goes to who asked. False: the process is being ended.
bool answer_system(system_subject& subject, system_request* request, system_order& order);

/// What stop() sends: behind everything sent before, the server ends with `why`.
struct stop_envelope final : envelope {
  explicit stop_envelope(exit_reason r);
  exit_reason why;
};

extern const envelope_type system_signal;
extern const envelope_type stop_signal;

}  // namespace otp::detail
