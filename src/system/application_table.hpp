// What a runtime knows of its applications: specs, settings, and who runs.
//
// Rules
// 1. One table per runtime, kept by the runtime; its lock covers everything. Nothing is called under the lock that
//    could wait, and no code of the user's but copies of what it put in.
// 2. An entry is `starting` for one starter at a time; others wait for a note that has the outcome. Who finds it
//    `stopping` waits for the end of its supervisor and looks again.
// 3. The keeper of an application takes its entry out of `running` and `stopping`, before its processes are gone. A
//    keeper may be killed: then whoever sees that the supervisor has ended does it.
#pragma once
#include <otp/application.hpp>

#include "base/isolation.hpp"

#include <map>
#include <mutex>

namespace otp::detail {

enum class application_state : std::uint8_t { loaded, starting, running, stopping };

struct application_entry {
  application_definition definition;
  application_state state = application_state::loaded;
  restart_type type = temporary;
  bool asked_to_stop = false;
  bool exited = false;        // it has ended by itself; nobody has stopped it since
  std::uint64_t attempt = 0;  // of the last start
  std::uint64_t order = 0;    // of the starts
  pid master{};               // its supervisor
  pid keeper{};
  pid top{};
  std::vector<ref> waiting{};  // who waits for the start to be decided

  void has_ended();
  /// Does it for a keeper that was killed, if the supervisor has ended by itself since.
  void note_lost_end();
};

using settings = std::map<std::string, term, std::less<>>;

struct application_table final : kept {
  std::mutex lock;
  std::map<std::string, application_entry, std::less<>> entries;
  std::map<std::string, settings, std::less<>> env;
  std::map<std::string, settings, std::less<>> configured;  // by file or variable: for applications loaded later
  std::map<std::string, settings, std::less<>> from_files;  // of those, what the last file said
  system_shutdown shutdown;
  std::uint64_t starts = 0;
  std::uint64_t attempts = 0;
  bool going_down = false;
  exit_reason down_because;

  static application_table& here();
  application_entry* find(std::string_view name);
};

/// Waits for the end of the supervisor of an application that is being stopped.
void wait_for_end(std::string_view name, pid master);
/// The supervisor of an application that was being stopped has ended.
void note_end(std::string_view name, pid master);

/// Tells a running application of its changed settings.
void tell_config_change(pid keeper, env_changes changes);

}  // namespace otp::detail
