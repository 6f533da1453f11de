// What the tests of servers share: a listener that keeps events whole, a registry of the test's own, and short forms.
#pragma once
#include <otp/otp.hpp>

#include "conformance/support.hpp"

namespace otp {
inline void PrintTo(const server_status& s, std::ostream* out) { *out << s.name << " " << s.state; }
}  // namespace otp

namespace conformance {

using otp::reason::calling_self;
using otp::reason::no_reply;
using tests::event_log;

/// Runs the body once under each of n seeds, with a fresh event_log.
template <class F>
void for_seeds_with_journal(unsigned n, F&& body) {
  for (unsigned seed = 1; seed <= n; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    event_log events;
    seeded([&] { body(events); }, seed, {.listener = &events});
    if (::testing::Test::HasFailure()) return;
  }
}

/// A registry like a user's: it counts what it is asked.
class test_registry final : public otp::name_registry {
 public:
  bool register_name(const otp::term& key, otp::pid process) override {
    std::lock_guard lock(lock_);
    ++registered;
    for (auto& [k, p] : entries_)
      if (k == key && otp::is_alive(p)) return false;
    std::erase_if(entries_, [&](auto& e) { return e.first == key; });
    entries_.emplace_back(key, process);
    return true;
  }
  void unregister_name(const otp::term& key) override {
    std::lock_guard lock(lock_);
    ++unregistered;
    std::erase_if(entries_, [&](auto& e) { return e.first == key; });
  }
  std::optional<otp::pid> whereis_name(const otp::term& key) const override {
    std::lock_guard lock(lock_);
    ++asked;
    for (auto& [k, p] : entries_)
      if (k == key) return p;
    return std::nullopt;
  }
  std::string to_string() const override { return "test_registry"; }

  mutable int asked = 0;
  int registered = 0;
  int unregistered = 0;

 private:
  mutable std::mutex lock_;
  std::vector<std::pair<otp::term, otp::pid>> entries_;
};

/// A server that collects what happens to it.
struct collector {
  struct get {
    using reply = std::vector<std::string>;
  };
  struct note {
    std::string text;
  };
  using messages = otp::messages<note>;

  std::vector<std::string> handle_call(get) { return seen; }
  void handle_cast(const note& n) { seen.push_back("cast " + n.text); }
  void handle_info(const note& n) { seen.push_back("info " + n.text); }
  void handle_info(otp::timeout) { seen.push_back("timeout"); }
  void handle_info(const otp::exit_signal& e) { seen.push_back("exit " + e.reason.to_string()); }
  void handle_continue(const note& n) { seen.push_back("continue " + n.text); }

  std::vector<std::string> seen;
};

/// A server whose init does what it is told.
struct told {
  enum class what {
    ok,
    ignore,
    stop,
    stop_normal,
    error,
    raise,
    exit,
    throw_ignore,
    throw_stop,
    throw_error,
    throw_int
  };
  struct get {
    using reply = int;
  };
  explicit told(int v) : value(v) {}
  static otp::init_result<told> init(what w, bool* terminated = nullptr) {
    switch (w) {
      case what::ok: return otp::ok(7);
      case what::ignore: return otp::ignore();
      case what::stop: return otp::stop("no room");
      case what::stop_normal: return otp::stop(normal);
      case what::error: return otp::init_error("not today");
      case what::raise: throw std::runtime_error("broken");
      case what::exit: otp::exit("gone");
      case what::throw_ignore: throw otp::ignore();
      case what::throw_stop: throw otp::stop("thrown");
      case what::throw_error: throw otp::init_error("thrown error");
      case what::throw_int: throw 42;
    }
    static_cast<void>(terminated);
    return otp::ignore();
  }
  int handle_call(get) { return value; }
  void terminate(const otp::exit_reason&) { ++terminations; }
  int value;
  static inline std::atomic<int> terminations{0};
};

/// The reason that some code exits its caller with.
template <class F>
otp::exit_reason reason_that(F&& code) {
  try {
    code();
  } catch (const otp::exited& e) {
    return e.reason();
  }
  ADD_FAILURE() << "it should have exited the caller";
  return {};
}
/// The cause in it: what OTP writes first in the pair {cause, call}.
template <class F>
otp::exit_reason cause_that(F&& code) {
  return reason_that(std::forward<F>(code)).cause();
}

/// The time that some code takes, by the runtime's clock.
template <class F>
otp::duration time_of(F&& code) {
  otp::instant before = otp::now();
  code();
  return otp::now() - before;
}

}  // namespace conformance
