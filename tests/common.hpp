// What all test programs share: how values print in a failing test, a listener that keeps what it hears, a journal.
#pragma once
#include <otp/event.hpp>
#include <otp/pid.hpp>
#include <otp/term.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace otp {
inline void PrintTo(const pid& p, std::ostream* out) { *out << p.to_string(); }
inline void PrintTo(const ref& r, std::ostream* out) { *out << r.to_string(); }
inline void PrintTo(const term& t, std::ostream* out) { *out << t.to_string(); }
inline void PrintTo(const exit_reason& r, std::ostream* out) { *out << r.to_string(); }
namespace reason {
inline void PrintTo(const constant& r, std::ostream* out) { *out << exit_reason(r).to_string(); }
}  // namespace reason
}  // namespace otp

namespace tests {

using strings = std::vector<std::string>;

/// Keeps every event, whole. Any thread.
class event_log final : public otp::event_listener {
 public:
  void on_event(const otp::event& e) override {
    std::lock_guard lock(lock_);
    seen_.push_back(e);
    changed_.notify_all();
  }
  std::vector<otp::event> all() const {
    std::lock_guard lock(lock_);
    return seen_;
  }
  std::vector<otp::event> of(std::string_view what) const {
    std::vector<otp::event> found = all();
    std::erase_if(found, [&](const otp::event& e) { return e.what != what; });
    return found;
  }
  std::size_t count(std::string_view what) const { return of(what).size(); }
  /// The only event of a kind.
  otp::event one(std::string_view what) const {
    auto found = of(what);
    EXPECT_EQ(found.size(), 1U) << what;
    return found.empty() ? otp::event{} : found.front();
  }
  /// The kinds of all events about a process, in order.
  strings about(otp::pid process) const {
    strings kinds;
    for (auto& e : all())
      if (e.process == process) kinds.emplace_back(e.what);
    return kinds;
  }
  /// The first one of a kind; a thread that is no process waits for it. None after the deadline.
  std::optional<otp::event> wait(std::string_view what,
                                 std::chrono::seconds deadline = std::chrono::seconds(60)) const {
    std::unique_lock lock(lock_);
    std::optional<otp::event> found;
    changed_.wait_for(lock, deadline, [&] {
      for (auto& e : seen_)
        if (e.what == what) {
          found = e;
          return true;
        }
      return false;
    });
    return found;
  }
  void clear() {
    std::lock_guard lock(lock_);
    seen_.clear();
  }

 private:
  mutable std::mutex lock_;
  mutable std::condition_variable changed_;
  std::vector<otp::event> seen_;
};

/// What happened, in order. Copies write to the same list: children may outlive the test's body.
class journal {
 public:
  void add(std::string line) const {
    std::lock_guard lock(shared_->lock);
    shared_->lines.push_back(std::move(line));
  }
  /// What was added since the last look.
  strings take() const {
    std::lock_guard lock(shared_->lock);
    return std::exchange(shared_->lines, {});
  }

 private:
  struct state {
    std::mutex lock;
    strings lines;
  };
  std::shared_ptr<state> shared_ = std::make_shared<state>();
};

}  // namespace tests
