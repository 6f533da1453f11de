// Kills parts of the program on request, to show that the rest goes on. Reachable with --chaos only.
#pragma once
#include <otp/process.hpp>

#include <optional>
#include <string>

namespace storefront {

/// Kills a process of this kind: "connection" or "db_connection" (any of them), or one by its name: "rate_limiter",
/// "db_writer", "listener", "status", "db", "connections". Returns whom; none if there is none.
std::optional<otp::pid> chaos_kill(const std::string& what);

}  // namespace storefront
