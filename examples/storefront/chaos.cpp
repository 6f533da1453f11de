#include "chaos.hpp"

#include <otp/supervisor.hpp>

#include <random>

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

std::optional<otp::pid> victim(const std::string& what) {
  if (what == "connection") return any_child("connections");
  if (what == "db_connection") return any_child("db");
  for (const char* name : {"rate_limiter", "db_writer", "listener", "status", "db", "connections"})
    if (what == name) return otp::whereis(name);
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
