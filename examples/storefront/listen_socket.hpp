// The socket that the shop listens on. Opened before anything is started, so that a taken port is a message and not a
// half-started program; it outlives every process that accepts from it, so that nobody is refused while one is
// restarted.
#pragma once
#include <cstdint>
#include <string>

namespace storefront {

class listen_socket {
 public:
  /// Errors: std::system_error, saying which address and why.
  listen_socket(const std::string& address, std::uint16_t port);
  listen_socket(const listen_socket&) = delete;
  listen_socket& operator=(const listen_socket&) = delete;
  ~listen_socket() { close(); }

  bool is_v6() const { return v6_; }
  std::uint16_t port() const { return port_; }
  std::string url() const;
  /// Another descriptor of the same socket; the caller owns it. Errors: std::system_error.
  int duplicate() const;
  struct backlog_now {
    unsigned waiting;  ///< connected, and not accepted yet
    unsigned room;     ///< most that may wait; more are refused by the kernel
  };
  backlog_now waiting() const;
  /// Who comes from now on is refused, as soon as the duplicates are closed as well.
  void close();

 private:
  std::string address_;
  bool v6_;
  std::uint16_t port_ = 0;
  int descriptor_;
};

}  // namespace storefront
