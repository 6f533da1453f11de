// Kills parts of the program on request, to show that the rest goes on. Reachable with --chaos only.
#pragma once
#include <otp/process.hpp>

#include <optional>
#include <string>

namespace storefront {

/// Kills any process of a kind (connection, db_connection, payment, cart, task, subscriber) or one by its name, such as
/// "rate_limiter" or "db": chaos.cpp lists them. Returns whom; none if there is none.
std::optional<otp::pid> chaos_kill(const std::string& what);

}  // namespace storefront
