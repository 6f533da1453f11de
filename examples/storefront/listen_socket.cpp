#include "listen_socket.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <system_error>

namespace storefront {

namespace {

constexpr int backlog = 1024;

struct socket_address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

socket_address address_of(const std::string& text, std::uint16_t port) {
  socket_address result;
  auto& v4 = reinterpret_cast<sockaddr_in&>(result.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(result.storage);
  if (inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    result.size = sizeof v4;
  } else if (inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    result.size = sizeof v6;
  } else {
    throw std::system_error(EINVAL, std::generic_category(), "'" + text + "' is not an address");
  }
  return result;
}

}  // namespace

listen_socket::listen_socket(const std::string& address, std::uint16_t port)
    : address_(address), v6_(address.find(':') != std::string::npos) {
  socket_address at = address_of(address, port);
  descriptor_ = socket(v6_ ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int on = 1;
  setsockopt(descriptor_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // connections of the last run may linger
  if (descriptor_ < 0 || bind(descriptor_, at.get(), at.size) != 0 || listen(descriptor_, backlog) != 0 ||
      getsockname(descriptor_, at.get(), &at.size) != 0) {
    std::error_code why(errno, std::generic_category());
    close();
    throw std::system_error(why, "cannot listen on " + address + " port " + std::to_string(port));
  }
  port_ = ntohs(v6_ ? reinterpret_cast<sockaddr_in6&>(at.storage).sin6_port
                    : reinterpret_cast<sockaddr_in&>(at.storage).sin_port);
}

void listen_socket::close() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

listen_socket::backlog_now listen_socket::waiting() const {
  tcp_info about{};
  socklen_t size = sizeof about;
  if (getsockopt(descriptor_, IPPROTO_TCP, TCP_INFO, &about, &size) != 0)
    throw std::system_error(errno, std::generic_category(), "the listening socket");
  return {about.tcpi_unacked, about.tcpi_sacked};  // of a listening socket they mean this
}

std::string listen_socket::url() const {
  return "http://" + (v6_ ? "[" + address_ + "]" : address_) + ":" + std::to_string(port_);
}

int listen_socket::duplicate() const {
  int copy = fcntl(descriptor_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw std::system_error(errno, std::generic_category(), "cannot duplicate the listening socket");
  return copy;
}

}  // namespace storefront
