// The whole program as one supervision tree.
#pragma once
#include <otp/supervisor.hpp>

#include <memory>

#include "listen_socket.hpp"
#include "settings.hpp"

namespace storefront {

/// Starts everything, linked to the caller. `file` is the database, made by prepare_store.
otp::result<otp::server<otp::supervisor>> start_link(const settings& how, const std::string& file,
                                                     const listen_socket& socket);

}  // namespace storefront
