#include "subscriber.hpp"

#include <otp/dynamic_supervisor.hpp>

#include "config.hpp"
#include "counters.hpp"

namespace storefront {
using namespace std::chrono_literals;

subscriber::subscriber(std::shared_ptr<news_wire> to, const std::string& topic) : wire_(std::move(to)) {
  otp::trap_exit(true);  // so that terminate says goodbye
  otp::register_key(topics, topic).value();
  ++counters.subscribers;
  ++counters.subscribers_open;
  wire_->attach(otp::self());
  // From this item on, the client misses nothing.
  waiting_.push_back(std::make_shared<const std::string>(R"({"subscribed":")" + topic + R"("})"));
  write_next();
}

subscriber::~subscriber() {
  --counters.subscribers_open;
  wire_->close(false);  // nothing, if terminate has been there
}

// [news]
otp::handler_result subscriber::handle_info(const news_item& item) {
  if (std::ssize(waiting_) >= config_now()->news_backlog_max) return drop("too many items wait for it");
  waiting_.push_back(item.text);
  if (!writing_) write_next();
  return otp::noreply();
}

void subscriber::write_next() {
  if (waiting_.empty()) return;
  writing_ = true;
  deadline_ = otp::send_after(std::chrono::seconds(config_now()->news_patience_seconds), otp::self(), too_slow{written_});
  wire_->write(std::move(waiting_.front()));
  waiting_.pop_front();
}

otp::handler_result subscriber::handle_info(wire_written) {
  otp::cancel_timer(deadline_);
  writing_ = false;
  ++written_;
  write_next();
  return otp::noreply();
}

otp::handler_result subscriber::handle_info(too_slow late) {
  if (!writing_ || late.item != written_) return otp::noreply();  // it was written just then
  return drop("it takes nothing");
}
// [/news]

otp::handler_result subscriber::drop(const char* why) {
  ++counters.subscribers_dropped;
  return otp::stop(otp::reason::shutdown(std::string("the client does not read: ") + why));
}

// [child_news]
otp::child_spec child_news(std::int64_t subscribers_max, int max_restarts) {
  return otp::child_supervisor(
      "news", {.strategy = otp::rest_for_one,
               .max_restarts = max_restarts,
               .children = {otp::child_registry(topics),
                            otp::child_dynamic_supervisor({.name = "subscribers"}, {.max_children = subscribers_max})}});
}
// [/child_news]

bool start_subscriber(std::shared_ptr<news_wire> wire, const std::string& topic) {
  try {
    auto spec = otp::child<subscriber>(wire, topic).restart(otp::temporary).shutdown(3s);
    if (otp::dynamic_supervisor::start_child("subscribers", std::move(spec))) return true;
  } catch (const otp::exited&) {
    // Their supervisor is just being restarted.
  }
  wire->close(true);
  return false;
}

}  // namespace storefront
