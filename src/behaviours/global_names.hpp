// The global names of a runtime that is a cluster of one node.
//
// Rules
// 1. One table per runtime, kept by the runtime (detail::keep_with_runtime); its lock covers the entries.
// 2. An entry may outlive its process for a moment; who finds it looks whether the process is alive.
#pragma once
#include <otp/detail/behaviour.hpp>
#include <otp/server_name.hpp>

#include <mutex>
#include <vector>

namespace otp::detail {

class global_names final : public name_registry, public kept {
 public:
  bool register_name(const term& key, pid process) override;
  void unregister_name(const term& key) override;
  std::optional<pid> whereis_name(const term& key) const override;
  std::string to_string() const override { return "global"; }

 private:
  struct entry {
    term key;
    pid holder;
  };
  mutable std::mutex lock_;
  std::vector<entry> entries_;  // guarded by lock_
};

/// The table of the caller's runtime.
global_names& globals();

}  // namespace otp::detail
