#include "chaos.hpp"

#include <otp/supervisor.hpp>

#include <algorithm>
#include <random>
#include <string_view>
#include <utility>

#include "counters.hpp"

namespace storefront {

namespace {

// Any running child of a supervisor but the caller.
std::optional<otp::pid> any_child(const char* supervisor) {
  std::vector<otp::pid> running;
  for (const otp::child_info& child : otp::supervisor::which_children(supervisor))
    if (child.process && child.process != otp::self()) running.push_back(child.process);
  if (running.empty()) return std::nullopt;
  std::random_device chance;
  return running[chance() % running.size()];
}

// What a kind is called, and the supervisor of those that are of it.
constexpr std::pair<std::string_view, const char*> kinds[] = {
    {"connection", "connections"}, {"db_connection", "db"}, {"payment", "payment_sup"},
    {"cart", "cart_sup"},          {"task", "background"},  {"subscriber", "subscribers"}};
// Of the others there is one each, under its name.
constexpr const char* names[] = {"rate_limiter", "db_writer",   "listener",   "status",   "config",  "job_runner",
                                 "health",       "payment_clerk", "db",       "connections", "background", "topics",
                                 "payments",     "carts"};

std::optional<otp::pid> victim(const std::string& what) {
  for (auto [kind, supervisor] : kinds)
    if (what == kind) return any_child(supervisor);
  if (std::ranges::find(names, what) != std::end(names)) return otp::whereis(what);
  return std::nullopt;
}

}  // namespace

std::optional<otp::pid> chaos_kill(const std::string& what) {
  auto who = victim(what);
  if (!who) return std::nullopt;
  ++counters.kills;
  otp::exit(*who, otp::reason::kill);
  return who;
}

}  // namespace storefront
