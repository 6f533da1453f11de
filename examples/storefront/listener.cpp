#include "listener.hpp"

#include <otp/asio.hpp>
#include <otp/dynamic_supervisor.hpp>
#include <otp/otp.hpp>

#include <boost/asio/ip/tcp.hpp>

#include "counters.hpp"
#include "http_connection.hpp"

namespace storefront {

namespace {

using boost::asio::ip::tcp;

// [start_connection]
void start_connection(tcp::socket accepted, std::shared_ptr<const settings> how) {
  bool overloaded = counters.connections_open >= how->connections_max;
  if (overloaded) ++counters.connections_refused;
  auto socket = std::make_shared<tcp::socket>(std::move(accepted));  // shared, because a child_spec is copied
  auto serve_it = [socket, how, overloaded] {
    open_connection counted;
    serve(std::move(*socket), *how, overloaded);
  };
  auto child = otp::child_function("connection", [serve_it] {
    return otp::spawn({.link = true, .label = "http connection"}, serve_it);
  });
  static_cast<void>(otp::dynamic_supervisor::start_child("connections", std::move(child).restart(otp::temporary).shutdown(8s)));
}
// [/start_connection]

bool out_of_descriptors(boost::system::error_code error) {
  namespace errc = boost::system::errc;
  return error == errc::too_many_files_open || error == errc::too_many_files_open_in_system ||
         error == errc::no_buffer_space || error == errc::not_enough_memory;
}

}  // namespace

void accept_connections(const listen_socket& from, std::shared_ptr<const settings> how) {
  tcp::acceptor acceptor(otp::io(), from.is_v6() ? tcp::v6() : tcp::v4(), from.duplicate());
  otp::instant said{};
  for (;;) {
    boost::system::error_code error;
    tcp::socket socket = acceptor.async_accept(otp::use_process[error]);
    if (!error) {
      ++counters.connections;
      try {
        start_connection(std::move(socket), how);
      } catch (const otp::exited&) {
        otp::sleep(1ms);  // their supervisor is just being restarted: this one is closed, the next may have more luck
      }
    } else if (out_of_descriptors(error)) {
      if (otp::now() - said >= 1s) {
        said = otp::now();
        otp::report({.what = "accept_paused",
                     .severity = otp::severity::warning,
                     .process = otp::self(),
                     .fields = {{"why", error.message()}}});
      }
      otp::sleep(100ms);  // whoever waits, waits in the kernel's queue until a descriptor is free
    } else if (error != boost::asio::error::connection_aborted) {
      throw boost::system::system_error(error, "accept");
    }
  }
}

}  // namespace storefront
