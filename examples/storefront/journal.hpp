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
  /// How often a permanent child of that id ended, and so was started again.
  std::uint64_t restarts(const std::string& child) const;
  std::uint64_t restarts() const;
  std::map<std::string, std::uint64_t> all_restarts() const;

 private:
  mutable std::mutex lock_;
  std::map<std::string, std::uint64_t> restarts_;
};

/// The program's.
journal& the_journal();

/// An id of a child as plain text: without the quotes that reports put around it.
std::string plain_id(std::string_view printed);

}  // namespace storefront
