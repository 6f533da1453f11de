// The published copies of agents' states: the untyped half of otp::snapshot. Its rules are in behaviours/agent.cpp.
#pragma once
#include <otp/detail/behaviour.hpp>

#include <memory>
#include <string>
#include <string_view>

namespace otp::detail {

struct snapshot_cell;

/// What one agent publishes. Owned by the agent; closed when it goes.
class snapshot_publisher {
 public:
  snapshot_publisher() = default;
  ~snapshot_publisher() { close(); }
  snapshot_publisher(const snapshot_publisher&) = delete;
  snapshot_publisher& operator=(const snapshot_publisher&) = delete;

  /// Somebody has asked for a snapshot before: every change is published from then on.
  bool wanted() const noexcept { return cell_ != nullptr; }
  /// In the agent: readers get this copy from now on. `state_type` says of which type it is.
  void publish(const type_record* state_type, std::shared_ptr<const void> state);
  void close() noexcept;

 private:
  std::shared_ptr<snapshot_cell> cell_;
};

/// Whose snapshot is wanted: a local name, or a process.
struct snapshot_source {
  std::string_view name;
  pid process;
};
enum class snapshot_outcome : std::uint8_t {
  found,
  unpublished,  // the agent has to be asked once
  nobody,
  wrong_type,
};
/// The published state, from the cache of the worker that the caller runs on. Asks no process.
snapshot_outcome read_snapshot(const snapshot_source& whose, const type_record* state_type,
                               std::shared_ptr<const void>& state);

}  // namespace otp::detail
