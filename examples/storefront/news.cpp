#include "news.hpp"

#include <otp/otp.hpp>

#include <nlohmann/json.hpp>

#include "counters.hpp"

namespace storefront {

// [publish]
void publish(const std::string& topic, nlohmann::json what) {
  try {
    otp::dispatch(topics, topic, [&](auto subscribers) {
      what["topic"] = topic;
      news_item item{std::make_shared<const std::string>(what.dump())};
      for (auto& s : subscribers) otp::send(s.process, item);
      counters.news += subscribers.size();
    });
  } catch (const otp::bad_argument&) {
    // The registry is just being restarted, and its members ended with it.
  }
}
// [/publish]

}  // namespace storefront
