// News: what happens in the shop, told to whoever has subscribed.
//
// Shape   a duplicate registry of subscribers by topic. Publishing sends to each of them; nobody waits for a subscriber, and
//         a topic without any costs a look-up.
// Errors  none: who publishes has done its work already. While the registry is being restarted there are no subscribers.
#pragma once
#include <otp/registry.hpp>

#include <nlohmann/json_fwd.hpp>

#include <memory>
#include <string>

namespace storefront {

inline constexpr otp::duplicate_registry<std::string> topics{"topics"};

inline constexpr const char* all_topics[] = {"orders", "payments"};

/// One item, as all subscribers get it: one text, shared.
struct news_item {
  std::shared_ptr<const std::string> text;
};

/// `what` is an object; its topic is added.
void publish(const std::string& topic, nlohmann::json what);

}  // namespace storefront
