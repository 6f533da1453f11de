// Who has the configuration: an agent, which is asked for snapshots, and the file that outlives it.
//
// Shape   readers take a snapshot and ask nobody. A change is checked, written to the file and put into the agent, in the
//         agent, so that two changes do not cross; an agent that is started again reads the file. So a change that was
//         acknowledged is not lost, whoever dies.
// Errors  a file or text with anything wrong in it is refused as a whole, with all that is wrong; what was, stays.
#pragma once
#include <otp/otp.hpp>

#include <memory>
#include <mutex>
#include <stdexcept>

#include "configuration.hpp"

namespace storefront {

/// A configuration file that cannot be used; the text says which, and all that is wrong with it.
class bad_config_file : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The file, and the last good configuration that was in it. Every function blocks.
class config_file {
 public:
  using outcome = std::expected<configuration, std::vector<bad_key>>;

  /// A file that `must_exist`; or else there may be none, and everything has its default. Errors: bad_config_file.
  config_file(std::string path, bool must_exist);

  /// What the file says now.
  outcome read();
  /// Replaces the file: whole or not at all. Errors: std::system_error.
  void write(const configuration& c);
  /// What was last read or written.
  configuration last();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool must_exist_;
  std::mutex lock_;
  configuration last_;  // lock_
};

// [config]
inline constexpr otp::name<otp::agent<configuration>> config{"config"};

/// The agent as a child. It starts with what the file says; with what was good before if that is good no more.
otp::child_spec child_config(const std::shared_ptr<config_file>& file);

/// The configuration as it is now. Waits, up to a second, for an agent that is just being restarted.
otp::state_snapshot<configuration> config_now();
// [/config]

/// Why a change was refused: what is wrong with it; or nothing is, and it cannot be written.
struct config_refusal {
  std::vector<bad_key> wrong;
  std::string unwritable{};
};

/// Puts `text`, or with none what the file says, into file and agent.
std::expected<configuration, config_refusal> change_config_to(const std::shared_ptr<config_file>& file,
                                                              const std::string& text);

}  // namespace storefront
