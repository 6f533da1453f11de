// Accepts connections, and starts a process for each.
#pragma once
#include <otp/child_spec.hpp>

#include <memory>

#include "listen_socket.hpp"
#include "settings.hpp"

namespace storefront {

/// The body of the process "listener". Never returns; an exit signal ends it while it waits for the next connection.
void accept_connections(const listen_socket& from, std::shared_ptr<const settings> how);

}  // namespace storefront
