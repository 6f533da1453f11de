// The global names of a runtime that is a cluster of one node.
//
// Rules
// 1. One table per runtime, kept by the runtime (detail::keep_with_runtime); its lock covers the entries.
// 2. An entry may outlive its process for a moment: who finds it looks whether the process is still there. Nothing is
//    called under the lock that could wait for a process.
#pragma once
#include <otp/detail/behaviour.hpp>
#include <otp/server_name.hpp>

#include <mutex>
#include <vector>

namespace otp::detail {

class global_names final : public name_registry, public kept {
 public:
  explicit global_names(runtime_core& core) : core_(core) {}
  bool register_name(const term& key, pid process) override;
  void unregister_name(const term& key) override;
  void release_name(const term& key, pid process) override;
  std::optional<pid> whereis_name(const term& key) const override;
  std::string to_string() const override { return "global"; }

 private:
  struct entry {
    term key;
    pid holder;
  };
  runtime_core& core_;
  mutable std::mutex lock_;
  std::vector<entry> entries_;  // guarded by lock_
};

/// The table of a runtime.
global_names& globals(runtime_core& core);

}  // namespace otp::detail
