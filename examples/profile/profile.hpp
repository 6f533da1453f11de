// A user's profile, gathered from three services at the same time.
//
// Source  the aggregator of the OTP guides, with its failures made good. A supervised `async` links its caller as the
//         other one does, so a part that may fail is asked for by `async_nolink`, and its end is a value.
#pragma once
#include <otp/otp.hpp>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

// [services]
struct user_data { int id = 0; std::string name; };
using preferences = std::map<std::string, std::string>;
using activity = std::vector<std::string>;

inline user_data fetch_user_data(int user_id) {
  otp::sleep(std::chrono::milliseconds(100));  // a service that takes its time
  if (user_id < 0) throw std::runtime_error("no such user");
  return {user_id, "User " + std::to_string(user_id)};
}
inline preferences fetch_preferences(int) {
  otp::sleep(std::chrono::milliseconds(150));
  return {{"theme", "dark"}, {"notifications", "on"}};
}
inline activity fetch_recent_activity(int) {
  otp::sleep(std::chrono::milliseconds(200));
  return {"login"};
}
// [/services]

// [profile]
struct profile { user_data user; preferences prefs; activity recent; };

// All or nothing: a part that fails takes the caller with it, and the other parts.
inline profile fetch_profile(int user_id) {
  auto user = otp::async<fetch_user_data>(user_id);
  auto prefs = otp::async<fetch_preferences>(user_id);
  auto recent = otp::async<fetch_recent_activity>(user_id);
  auto [u, p, r] = otp::await_many(std::chrono::seconds(5), user, prefs, recent);  // each keeps its own type
  return {std::move(u), std::move(p), std::move(r)};
}

inline constexpr otp::name<otp::task_supervisor> profile_tasks{"profile_tasks"};

// What fails or is late costs its part, and has a fallback.
inline profile fetch_profile_supervised(int user_id) {
  auto user = otp::async_nolink<fetch_user_data>(profile_tasks, user_id);
  auto prefs = otp::async_nolink<fetch_preferences>(profile_tasks, user_id);
  auto recent = otp::async_nolink<fetch_recent_activity>(profile_tasks, user_id);
  auto until = otp::now() + std::chrono::seconds(5);
  return {.user = otp::yield_or_shutdown(user, until - otp::now()).value_or(user_data{}),
          .prefs = otp::yield_or_shutdown(prefs, until - otp::now()).value_or(preferences{}),
          .recent = otp::yield_or_shutdown(recent, until - otp::now()).value_or(activity{})};
}
// [/profile]
