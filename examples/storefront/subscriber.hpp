// A subscriber to news: one server for each websocket, between the registry's news and the wire.
//
// Shape   joins the registry under its topic; what is published goes into a queue, and from there to the wire one by one.
//         Nobody waits for a client: one that does not read fills its own queue and is dropped.
// Units   queue and patience are in the configuration.
// Errors  a wire that closes ends the server with `normal`; one that does not take its news, with {shutdown, why}.
#pragma once
#include <otp/otp.hpp>

#include <deque>
#include <memory>
#include <string>

#include "news.hpp"

namespace storefront {

/// The other side of a subscriber: who writes to the client. Functions do not wait; what comes of them are messages.
class news_wire {
 public:
  virtual ~news_wire() = default;
  /// Once: `owner` gets wire_closed when the client has gone.
  virtual void attach(otp::pid owner) = 0;
  /// Not before the one before was written: `owner` gets wire_written.
  virtual void write(std::shared_ptr<const std::string> text) = 0;
  /// Says goodbye if there is somebody to hear it, or just hangs up.
  virtual void close(bool goodbye) noexcept = 0;
};
struct wire_written {};
struct wire_closed {
  std::string why;
};

// [subscriber]
class subscriber {
 public:
  struct too_slow { std::uint64_t item; };
  using messages = otp::messages<news_item, wire_written, wire_closed, too_slow>;

  subscriber(std::shared_ptr<news_wire> to, const std::string& topic);
  subscriber(const subscriber&) = delete;
  subscriber& operator=(const subscriber&) = delete;
  ~subscriber();

  otp::handler_result handle_info(const news_item& item);
  otp::handler_result handle_info(wire_written);
  otp::handler_result handle_info(const wire_closed&) { return otp::stop(otp::reason::normal); }
  otp::handler_result handle_info(too_slow late);
  // The registry has gone, and our entry with it: the client has to subscribe anew.
  otp::handler_result handle_info(const otp::exit_signal& end) { return otp::stop(end.reason); }
  void terminate(const otp::exit_reason&) { wire_->close(!writing_); }
  std::string to_string() const { return std::to_string(waiting_.size()) + " items wait"; }

 private:
  void write_next();
  otp::handler_result drop(const char* why);

  std::shared_ptr<news_wire> wire_;
  std::deque<std::shared_ptr<const std::string>> waiting_;
  bool writing_ = false;
  std::uint64_t written_ = 0;
  otp::ref deadline_{};
};
// [/subscriber]

/// The registry of topics, and the supervisor of all subscribers, who are none without it.
otp::child_spec child_news(std::int64_t subscribers_max, int max_restarts);
/// Gives the wire to a new subscriber; false if there is no room for one.
bool start_subscriber(std::shared_ptr<news_wire> wire, const std::string& topic);

}  // namespace storefront
