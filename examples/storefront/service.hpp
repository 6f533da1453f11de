// What the shop does: from a request to its answer, by asking the servers of the tree.
#pragma once
#include <expected>

#include "http.hpp"
#include "settings.hpp"

namespace storefront {

/// Waits for whom it has to ask, at most a few seconds.
response answer(const request& asked, const settings& how);

/// A request for a websocket: the topic that it is to follow.
std::expected<std::string, response> topic_of(const request& asked, const settings& how);

response too_many_connections();

}  // namespace storefront
