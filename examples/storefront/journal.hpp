// Where the reports of runtime and supervisors go: a line each on standard error, and a count of restarts by child.
#pragma once
#include <otp/event.hpp>

#include <map>
#include <mutex>
#include <string>

namespace storefront {

class journal final : public otp::event_listener {
 public:
  void on_event(const otp::event& e) override;
  /// How often a child of that id was started again.
  std::uint64_t restarts(const std::string& child) const;
  std::uint64_t restarts() const;

 private:
  mutable std::mutex lock_;
  std::map<std::string, std::uint64_t> ended_;
};

/// The program's.
journal& the_journal();

}  // namespace storefront
