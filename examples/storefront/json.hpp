// How the shop's values look as JSON.
#pragma once
#include <nlohmann/json_fwd.hpp>

namespace storefront {

struct product;
struct order;
struct cart_view;
struct payment_view;
struct payment_record;

void to_json(nlohmann::json& to, const product& p);
void to_json(nlohmann::json& to, const order& o);
void to_json(nlohmann::json& to, const cart_view& c);
void to_json(nlohmann::json& to, const payment_view& p);
void to_json(nlohmann::json& to, const payment_record& p);

}  // namespace storefront
