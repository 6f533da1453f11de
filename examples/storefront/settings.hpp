// What the command line says.
#pragma once
#include <otp/duration.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace storefront {
using namespace std::chrono_literals;

class config_file;
class payment_gateway;

struct settings {
  std::string address = "127.0.0.1";
  std::uint16_t port = 8080;  ///< 0: any free one
  bool open_to_others = false;
  std::string data = "storefront-data";
  std::string config_path{};            ///< empty: config.json in the data folder, if it is there
  int pool = 4;  ///< connections for reading; one more writes
  std::size_t connections_max = 500;  ///< well below the usual limit of 1024 descriptors
  std::size_t subscribers_max = 200;  ///< to news
  bool chaos = false;
  otp::duration header_timeout = 5s;  ///< from the first byte of a request to the end of its header
  otp::duration body_timeout = 10s;   ///< then until the end of its body, and again for taking the answer
  otp::duration idle_timeout = 30s;   ///< between two requests, and before the first

  // Not of the command line: what main has made of it, for those who need it.
  std::shared_ptr<config_file> config{};
  std::shared_ptr<payment_gateway> gateway{};
};

/// Reads the command line. Leaves the program after --help (exit code 0) or a mistake (2), with a message.
settings settings_from(int argc, char** argv);

}  // namespace storefront
