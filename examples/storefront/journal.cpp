#include "journal.hpp"

#include <cstdio>

namespace storefront {

std::string plain_id(std::string_view printed) {
  if (printed.size() >= 2 && printed.front() == '"' && printed.back() == '"')
    printed = printed.substr(1, printed.size() - 2);
  return std::string(printed);
}

void journal::on_event(const otp::event& e) {
  if (e.what == "progress") return;  // that a child was started is no news: its end was
  std::string line;
  if (e.what == "child_terminated") {
    std::string child = plain_id(e.field("id"));
    if (e.field("restart") == "permanent") {
      std::lock_guard lock(lock_);
      ++restarts_[child];
    }
    line = child + " " + std::string(e.field("child")) + " ended: " + e.reason.to_string() + "\n";
  } else {
    line = e.to_string() + "\n";
  }
  std::fputs(line.c_str(), stderr);
}

std::uint64_t journal::restarts(const std::string& child) const {
  std::lock_guard lock(lock_);
  auto found = restarts_.find(child);
  return found == restarts_.end() ? 0 : found->second;
}

std::uint64_t journal::restarts() const {
  std::lock_guard lock(lock_);
  std::uint64_t sum = 0;
  for (auto& [child, count] : restarts_) sum += count;
  return sum;
}

std::map<std::string, std::uint64_t> journal::all_restarts() const {
  std::lock_guard lock(lock_);
  return restarts_;
}

journal& the_journal() {
  static journal program;
  return program;
}

}  // namespace storefront
