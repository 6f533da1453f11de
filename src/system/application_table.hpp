// What a runtime knows of its applications: specs, settings, and who runs.
//
// Rules
// 1. One table per runtime, kept by the runtime; its lock covers everything. Nothing is called under the lock that
// could
//    wait, and no code of the user's but copies of what it put in.
// 2. An entry is `starting` for one starter at a time; others wait for a note that it is decided. The keeper of an
//    application takes its entry out of `running`, before its processes are gone.
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
  std::uint64_t order = 0;  // of the starts
  pid master{};             // its supervisor
  pid keeper{};
  pid top{};
  std::vector<ref> waiting{};  // who waits for the start to be decided
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
  bool going_down = false;
  exit_reason down_because;

  static application_table& here();
  application_entry* find(std::string_view name);
};

/// Tells a running application of its changed settings.
void tell_config_change(pid keeper, env_changes changes);

}  // namespace otp::detail
