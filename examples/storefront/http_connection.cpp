// HTTP by Boost.Beast; websocket.cpp is the other file that includes it.
#include "http_connection.hpp"

#include <otp/otp.hpp>

#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket/rfc6455.hpp>

#include <array>
#include <sstream>

#include "counters.hpp"
#include "http.hpp"
#include "service.hpp"
#include "websocket.hpp"

namespace storefront {

namespace {

namespace http = boost::beast::http;
using boost::asio::ip::tcp;
using boost::system::error_code;
using parser = http::request_parser<http::string_body>;

constexpr std::uint32_t header_bytes_max = 32 * 1024;
constexpr std::size_t fields_max = 100;
constexpr std::size_t target_bytes_max = 8 * 1024;
constexpr std::uint64_t body_bytes_max = 1024 * 1024;

class connection {
 public:
  connection(tcp::socket socket, const settings& how, bool overloaded)
      : socket_(std::move(socket)), settings_(how), overloaded_(overloaded) {
    error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
  }

  // [serve]
  void serve() {
    while (a_request_begins()) {
      otp::trap_exit(true);  // from here on, who wants us to end has to wait for the answer
      bool another = serve_request();
      otp::trap_exit(false);
      if (!another || asked_to_end()) break;
    }
    if (!handed_over_) close();
  }
  // [/serve]

 private:
  // Waits for the first bytes of a request; false if none come.
  bool a_request_begins() {
    if (buffer_.size() > 0) return true;  // the client did not wait for the last answer
    error_code error;
    std::size_t got =
        socket_.async_read_some(buffer_.prepare(4096), otp::use_process[error].within(settings_.idle_timeout));
    buffer_.commit(got);
    return !error;
  }

  // Whether there may be another request on this connection.
  bool serve_request() {
    parser incoming;
    incoming.header_limit(header_bytes_max);
    incoming.body_limit(body_bytes_max);
    error_code error;
    http::async_read_header(socket_, buffer_, incoming, otp::use_process[error].within(settings_.header_timeout));
    if (error) return give_up(error, incoming);
    if (auto refused = refuse_header(incoming)) return write(*refused, incoming, false);
    if (!invite_body(incoming)) return false;
    http::async_read(socket_, buffer_, incoming, otp::use_process[error].within(settings_.body_timeout));
    if (error) return give_up(error, incoming);
    if (overloaded_) return write(too_many_connections(), incoming, false);
    if (boost::beast::websocket::is_upgrade(incoming.get())) return upgrade(incoming);
    return write(answer(request_of(incoming.get()), settings_), incoming, incoming.get().keep_alive());
  }

  // What Beast lets through and we do not: ambiguity is an error, never a guess.
  static std::optional<response> refuse_header(const parser& incoming) {
    const auto& header = incoming.get();
    bool chunked = incoming.chunked();
    bool has_body = header.method() == http::verb::post || header.method() == http::verb::put;
    if (header.count(http::field::host) > 1 || (header.version() == 11 && header.count(http::field::host) == 0))
      return error_response(400, "bad_request", "a request has one Host");
    if (header.count(http::field::transfer_encoding) > 0 && (!chunked || header.version() == 10))
      return error_response(400, "bad_request", "the only transfer encoding is chunked");
    if (header.target().size() > target_bytes_max) return error_response(414, "uri_too_long", "at most 8 KiB");
    if (static_cast<std::size_t>(std::distance(header.begin(), header.end())) > fields_max)
      return error_response(431, "too_many_fields", "a header has at most 100 fields");
    if (has_body && !chunked && header.count(http::field::content_length) == 0)
      return error_response(411, "length_required", "send Content-Length, or the body in chunks");
    if (auto expect = header.find(http::field::expect);
        expect != header.end() && !boost::beast::iequals(expect->value(), "100-continue"))
      return error_response(417, "expectation_failed", "the only expectation that can be met is 100-continue");
    return std::nullopt;
  }

  // A client that asks before it sends a body is told to go on.
  bool invite_body(const parser& incoming) {
    if (incoming.get().count(http::field::expect) == 0 || incoming.is_done()) return true;
    error_code error;
    boost::asio::async_write(socket_, boost::asio::buffer(std::string_view("HTTP/1.1 100 Continue\r\n\r\n")),
                             otp::use_process[error].within(settings_.body_timeout));
    return !error;
  }

  static request request_of(http::request<http::string_body>& from) {
    request asked{.method = std::string(from.method_string()),
                  .target = std::string(from.target()),
                  .body = std::move(from.body())};
    auto copy = [&](std::string_view name, std::optional<std::string>& to) {
      if (auto field = from.find(name); field != from.end()) to = std::string(field->value());
    };
    copy("X-User", asked.user);
    copy("Idempotency-Key", asked.idempotency_key);
    copy("Content-Type", asked.content_type);
    return asked;
  }

  // The connection becomes a subscriber's. False: there is no other request on it.
  bool upgrade(parser& incoming) {
    std::ostringstream received;
    received << incoming.get() << boost::beast::buffers_to_string(buffer_.data());
    auto topic = topic_of(request_of(incoming.get()), settings_);
    if (!topic) return write(topic.error(), incoming, false);
    handed_over_ = true;
    if (auto wire = accept_websocket(std::move(socket_), received.str(), settings_.body_timeout)) {
      counters.count_answer(101);
      start_subscriber(std::move(wire), *topic);
    }
    return false;
  }

  // The client has gone, or has broken a rule and is told which.
  bool give_up(error_code error, const parser& incoming) {
    if (error == boost::asio::error::timed_out)
      return write(error_response(408, "timeout", "the request did not come to its end in time"), incoming, false);
    if (error == http::error::body_limit)
      return write(error_response(413, "body_too_large", "a body has at most 1 MiB"), incoming, false);
    if (error == http::error::header_limit) {
      if (incoming.get().target().empty())
        return write(error_response(414, "uri_too_long", "at most 8 KiB"), incoming, false);
      return write(error_response(431, "header_too_large", "a header has at most 32 KiB"), incoming, false);
    }
    bool gone = error == http::error::end_of_stream || error == http::error::partial_message;
    if (error.category() != http::make_error_code(http::error::bad_method).category() || gone) return false;
    return write(error_response(400, "bad_request", error.message()), incoming, false);
  }

  // Returns whether the connection may go on.
  bool write(const response& what, const parser& incoming, bool keep_alive) {
    keep_alive = keep_alive && !asked_to_end();
    http::response<http::string_body> message(static_cast<http::status>(what.status), 11);
    message.set(http::field::content_type, std::string(what.type));
    message.set(http::field::cache_control, "no-store");
    for (auto& [name, value] : what.headers) message.set(name, value);
    message.body() = what.body;
    message.prepare_payload();
    message.keep_alive(keep_alive);
    http::response_serializer<http::string_body> serializer(message);
    error_code error;
    auto token = otp::use_process[error].within(settings_.body_timeout);
    if (incoming.is_header_done() && incoming.get().method() == http::verb::head)
      http::async_write_header(socket_, serializer, token);
    else
      http::async_write(socket_, serializer, token);
    counters.count_answer(what.status);
    return keep_alive && !error;
  }

  // Whether an exit signal has come while the process trapped them.
  bool asked_to_end() {
    if (!ending_)
      ending_ = otp::receive([](const otp::exit_signal&) { return true; }, otp::after(0s, [] { return false; }));
    return ending_;
  }

  // Whoever is still sending would lose our last answer to a reset: their bytes are taken, and dropped, for a while.
  void close() {
    error_code error;
    socket_.shutdown(tcp::socket::shutdown_send, error);
    otp::instant deadline = otp::now() + 1s;
    std::array<char, 4096> dropped;
    while (!error) socket_.async_read_some(boost::asio::buffer(dropped), otp::use_process[error].by(deadline));
  }

  tcp::socket socket_;
  const settings& settings_;
  bool overloaded_;
  bool ending_ = false;
  bool handed_over_ = false;
  boost::beast::flat_buffer buffer_{64 * 1024};
};

}  // namespace

void serve(tcp::socket socket, const settings& how, bool overloaded) {
  connection(std::move(socket), how, overloaded).serve();
}

}  // namespace storefront
