// Boost.Beast's composed operations in processes: an HTTP exchange, deadlines, kills in the middle of a message.
#include "io/test_support.hpp"

#include <otp/asio.hpp>
#include <otp/receive.hpp>
#include <otp/runtime.hpp>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>

#include <gtest/gtest.h>

#include <string>

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using namespace std::chrono_literals;
using otp::use_process;
using otp::io_test::any_port;
using otp::io_test::reason_of;
using otp::io_test::run;
using otp::io_test::until_waiting;

struct connection {
  beast::tcp_stream client;
  beast::tcp_stream server;
};
connection connect() {
  tcp::acceptor acceptor(otp::io(), any_port());
  connection both{beast::tcp_stream(otp::io()), beast::tcp_stream(otp::io())};
  both.client.socket().connect(acceptor.local_endpoint());
  both.server.socket() = acceptor.async_accept(use_process);
  return both;
}

TEST(beast_test, requests_and_responses_of_any_size_are_plain_code) {
  run([] {
    auto [client, server] = connect();
    otp::spawned service = otp::spawn({.monitor = true}, [s = std::move(server)]() mutable {
      beast::flat_buffer buffer;
      for (;;) {
        http::request<http::string_body> request;
        error_code ec;
        http::async_read(s, buffer, request, use_process[ec]);
        if (ec == http::error::end_of_stream) return;
        ASSERT_FALSE(ec) << ec.message();
        http::response<http::string_body> response(http::status::ok, request.version());
        response.body() = request.body();
        response.keep_alive(request.keep_alive());
        response.prepare_payload();
        http::async_write(s, response, use_process);
      }
    });
    beast::flat_buffer buffer;
    for (std::size_t size : {0, 1, 100, 100'000, 900'000}) {
      http::request<http::string_body> request(http::verb::post, "/", 11);
      request.body() = std::string(size, 'x');
      request.prepare_payload();
      // Large messages go through many partial writes and reads on both sides at once.
      http::async_write(client, request, use_process.within(60s));
      http::response<http::string_body> response;
      http::async_read(client, buffer, response, use_process.within(60s));
      EXPECT_EQ(response.body(), request.body());
    }
    client.close();
    EXPECT_EQ(reason_of(service), otp::reason::normal);
  });
}

TEST(beast_test, a_header_that_does_not_come_in_time_is_a_timeout_also_when_it_comes_in_drops) {
  run([] {
    auto [client, server] = connect();
    otp::pid drops = otp::spawn([c = std::move(client)]() mutable {
      std::string endless = "GET / HTTP/1.1\r\nX-Long: ";
      for (;;) {
        asio::async_write(c, asio::buffer(endless), use_process);
        endless = "y";
        otp::sleep(1ms);
      }
    });
    beast::flat_buffer buffer;
    http::request_parser<http::empty_body> parser;
    error_code ec;
    otp::instant start = otp::now();
    http::async_read_header(server, buffer, parser, use_process.within(30ms)[ec]);
    EXPECT_EQ(ec, asio::error::timed_out);
    EXPECT_GE(otp::now() - start, 30ms);
    otp::exit(drops, otp::reason::kill);
  });
}

TEST(beast_test, a_process_killed_in_the_middle_of_a_message_unwinds) {
  run([] {
    for (bool reads : {true, false}) {
      auto [client, server] = connect();
      otp::spawned half = otp::spawn({.monitor = true}, [s = std::move(server), reads]() mutable {
        if (reads) {
          beast::flat_buffer buffer;
          http::request<http::string_body> request;
          http::async_read(s, buffer, request, use_process);
        } else {
          http::response<http::string_body> response(http::status::ok, 11);
          response.body() = std::string(16U << 20U, 'x');
          response.prepare_payload();
          http::async_write(s, response, use_process);
        }
      });
      if (reads) asio::write(client, asio::buffer("POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nonly this"));
      until_waiting(half.pid);
      otp::exit(half.pid, otp::reason::kill);
      EXPECT_EQ(reason_of(half), otp::reason::killed);
    }
  });
}

TEST(beast_test, a_websocket_talks_until_its_process_is_killed) {
  run([] {
    auto [client, server] = connect();
    otp::spawned echo = otp::spawn({.monitor = true}, [s = std::move(server)]() mutable {
      beast::websocket::stream<beast::tcp_stream> ws(std::move(s));
      ws.async_accept(use_process);
      for (;;) {
        beast::flat_buffer buffer;
        ws.async_read(buffer, use_process);
        ws.async_write(buffer.data(), use_process);
      }
    });
    beast::websocket::stream<beast::tcp_stream> ws(std::move(client));
    ws.async_handshake("localhost", "/", use_process);
    for (std::size_t size : {1, 1000, 100'000}) {
      std::string sent(size, 'x');
      ws.async_write(asio::buffer(sent), use_process);
      beast::flat_buffer got;
      ws.async_read(got, use_process);
      EXPECT_EQ(beast::buffers_to_string(got.data()), sent);
    }
    until_waiting(echo.pid);
    otp::exit(echo.pid, otp::reason::kill);
    EXPECT_EQ(reason_of(echo), otp::reason::killed);
    beast::flat_buffer rest;
    error_code ec;
    ws.async_read(rest, use_process[ec]);
    EXPECT_TRUE(ec);
  });
}

}  // namespace
