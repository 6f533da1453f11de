// What the command line says.
#pragma once
#include <otp/duration.hpp>

#include <cstdint>
#include <string>

namespace storefront {
using namespace std::chrono_literals;

struct settings {
  std::string address = "127.0.0.1";
  std::uint16_t port = 8080;  ///< 0: any free one
  bool open_to_others = false;
  std::string data = "storefront-data";
  int pool = 4;  ///< connections for reading; one more writes
  std::size_t connections_max = 500;  ///< well below the usual limit of 1024 descriptors
  bool chaos = false;
  otp::duration header_timeout = 5s;  ///< from the first byte of a request to the end of its header
  otp::duration body_timeout = 10s;   ///< then until the end of its body, and again for taking the answer
  otp::duration idle_timeout = 30s;   ///< between two requests, and before the first
};

/// Reads the command line. Leaves the program after --help (exit code 0) or a mistake (2), with a message.
settings settings_from(int argc, char** argv);

}  // namespace storefront
