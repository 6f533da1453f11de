#include "websocket.hpp"

#include <otp/asio.hpp>
#include <otp/otp.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>

namespace storefront {

namespace {

namespace websocket = boost::beast::websocket;
using boost::asio::ip::tcp;
using boost::system::error_code;
using namespace std::chrono_literals;

// Rules. After the handshake the stream belongs to the I/O context: whoever wants something of it posts a function there,
// and the context runs its handlers one at a time. `owner_` is written once, there, before it is read. The handlers hold
// the wire, so it lives as long as an operation is under way; closing the socket ends them all.
// [wire]
class websocket_wire final : public news_wire, public std::enable_shared_from_this<websocket_wire> {
 public:
  explicit websocket_wire(tcp::socket socket) : stream_(std::move(socket)), runtime_(*otp::runtime::current()) {
    // A client whose machine has gone is found out by a ping.
    stream_.set_option(websocket::stream_base::timeout{5s, 30s, true});
    stream_.read_message_max(4096);
    // News that nobody reads wait in the subscriber, where they are counted, and not in the kernel.
    error_code ignored;
    stream_.next_layer().set_option(boost::asio::socket_base::send_buffer_size(16 * 1024), ignored);
  }

  bool accept(const std::string& received, otp::duration within) {
    error_code error;
    stream_.async_accept(boost::asio::buffer(received), otp::use_process[error].within(within));
    return !error;
  }

  void attach(otp::pid owner) override {
    in_context([this, owner] {
      owner_ = owner;
      read();
    });
  }

  void write(std::shared_ptr<const std::string> text) override {
    in_context([this, text] {
      auto bytes = boost::asio::buffer(*text);
      stream_.async_write(bytes, [self = shared_from_this(), text](error_code error, std::size_t) {
        if (!error) self->tell(wire_written{});  // otherwise reading has failed as well
      });
    });
  }

  void close(bool goodbye) noexcept override {
    try {
      in_context([this, goodbye] {
        if (std::exchange(closed_, true)) return;
        if (!goodbye) return hang_up();
        stream_.async_close(websocket::close_code::going_away,
                            [self = shared_from_this()](error_code) { self->hang_up(); });
      });
    } catch (const std::bad_alloc&) {
      // Then the ping finds out.
    }
  }

 private:
  template <class F>
  void in_context(F function) {
    boost::asio::post(stream_.get_executor(), [self = shared_from_this(), function] { function(); });
  }
  // Clients have nothing to say; reading tells when they go, and answers their pings.
  void read() {
    stream_.async_read(incoming_, [self = shared_from_this()](error_code error, std::size_t) {
      if (error) return self->tell(wire_closed{error.message()});
      self->incoming_.clear();
      self->read();
    });
  }
  void hang_up() {
    error_code ignored;
    stream_.next_layer().close(ignored);
  }
  template <class Message>
  void tell(Message what) {
    try {
      runtime_.send(owner_, std::move(what));
    } catch (const otp::bad_argument&) {
      // The program has stopped.
    }
  }

  websocket::stream<tcp::socket> stream_;
  otp::runtime& runtime_;
  otp::pid owner_;
  boost::beast::flat_buffer incoming_{8192};
  bool closed_ = false;
};
// [/wire]

}  // namespace

std::shared_ptr<news_wire> accept_websocket(tcp::socket socket, const std::string& received, otp::duration within) {
  auto wire = std::make_shared<websocket_wire>(std::move(socket));
  return wire->accept(received, within) ? wire : nullptr;
}

}  // namespace storefront
