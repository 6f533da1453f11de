// What the shop does: from a request to its answer, by asking the servers of the tree.
#pragma once
#include "http.hpp"
#include "settings.hpp"

namespace storefront {

/// Waits for whom it has to ask, at most a few seconds.
response answer(const request& asked, const settings& how);

response too_many_connections();

}  // namespace storefront
