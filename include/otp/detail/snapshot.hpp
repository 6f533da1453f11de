// The published copies of agents' states: the untyped half of otp::snapshot. Its rules are in behaviours/agent.cpp.
#pragma once
#include <otp/detail/behaviour.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

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

/// A state that readers hold, with the count of them: made by each worker that reads it, for all who take it there.
struct snapshot_hold {
  const void* value;
};
void hold_again(const snapshot_hold*) noexcept;
void let_go(const snapshot_hold*) noexcept;

/// One of the holders.
class snapshot_holder {
 public:
  snapshot_holder() = default;
  explicit snapshot_holder(const snapshot_hold* counted) noexcept : held_(counted) {}
  snapshot_holder(const snapshot_holder& o) noexcept : held_(o.held_) {
    if (held_) hold_again(held_);
  }
  snapshot_holder(snapshot_holder&& o) noexcept : held_(std::exchange(o.held_, nullptr)) {}
  snapshot_holder& operator=(snapshot_holder o) noexcept {
    std::swap(held_, o.held_);
    return *this;
  }
  ~snapshot_holder() {
    if (held_) let_go(held_);
  }
  const void* value() const noexcept { return held_ ? held_->value : nullptr; }

 private:
  const snapshot_hold* held_ = nullptr;
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
/// The published state, if the worker that the caller runs on has it: for the caller to hold. Asks nobody.
const snapshot_hold* recall_snapshot(std::string_view name, pid process, const type_record* state_type);
/// The same, if anybody has it.
snapshot_outcome read_snapshot(const snapshot_source& whose, const type_record* state_type, snapshot_holder& state);

}  // namespace otp::detail
