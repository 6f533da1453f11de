#include "journal.hpp"

#include <cstdio>

namespace storefront {

void journal::on_event(const otp::event& e) {
  if (e.what == "child_terminated") {
    std::lock_guard lock(lock_);
    ++ended_[std::string(e.field("id"))];
  }
  std::string line = e.to_string() + "\n";
  std::fputs(line.c_str(), stderr);
}

std::uint64_t journal::restarts(const std::string& child) const {
  std::lock_guard lock(lock_);
  auto found = ended_.find(child);
  return found == ended_.end() ? 0 : found->second;
}

std::uint64_t journal::restarts() const {
  std::lock_guard lock(lock_);
  std::uint64_t sum = 0;
  for (auto& [child, count] : ended_) sum += count;
  return sum;
}

journal& the_journal() {
  static journal program;
  return program;
}

}  // namespace storefront
