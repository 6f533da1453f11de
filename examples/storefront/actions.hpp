// The answers to what can be asked for, each by asking the servers of the tree: one file a use case.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "router.hpp"
#include "settings.hpp"

namespace storefront {

/// Who asks, and of which program.
struct customer {
  const std::string& name;
  const settings& how;
};

response json_response(int status, const nlohmann::json& body);
/// With Retry-After.
response try_later(int status, std::string_view code, std::string_view message);
response database_unavailable();

// service.cpp
response act(const show_health&, const customer&);
response act(const show_status&, const customer&);
response act(const show_doctor&, const customer&);
response act(const list_products&, const customer&);
response act(const show_product& asked, const customer&);
response act(const submit_order& asked, const customer& by);
response act(const show_order& asked, const customer& by);
response act(const follow_news& asked, const customer&);
response act(const kill_something& asked, const customer&);
// cart_actions.cpp
response act(const show_cart&, const customer& by);
response act(const put_in_cart& asked, const customer& by);
response act(const empty_cart&, const customer& by);
// payment_actions.cpp
response act(const open_payment& asked, const customer& by);
response act(const show_payment& asked, const customer& by);
response act(const authorize_payment& asked, const customer& by);
response act(const capture_payment& asked, const customer& by);
response act(const refund_payment& asked, const customer& by);
response act(const show_payment_diagram& asked, const customer& by);
// job_actions.cpp
response act(const queue_report& asked, const customer& by);
response act(const show_job& asked, const customer& by);
// profile_actions.cpp
response act(const show_profile& asked, const customer& by);
// config_actions.cpp
response act(const show_config&, const customer&);
response act(const change_config& asked, const customer& by);

}  // namespace storefront
