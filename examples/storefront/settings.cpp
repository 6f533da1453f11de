#include "settings.hpp"

#include <arpa/inet.h>

#include <CLI/CLI.hpp>

#include <cstdlib>

namespace storefront {

namespace {

bool is_loopback(const std::string& address) {
  in_addr v4;
  if (inet_pton(AF_INET, address.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  return address == "::1";
}

std::string an_address(const std::string& text) {
  in6_addr any;
  bool valid = inet_pton(AF_INET, text.c_str(), &any) == 1 || inet_pton(AF_INET6, text.c_str(), &any) == 1;
  return valid ? "" : "'" + text + "' is not an address such as 127.0.0.1 or ::1";
}

// What every option alone cannot see.
void check_together(const settings& s) {
  if (is_loopback(s.address)) return;
  if (!s.open_to_others)
    throw CLI::ValidationError("--listen", s.address + " can be reached by others, and this shop has no login; add "
                                                       "--open-to-others if that is meant");
  if (s.chaos) throw CLI::ValidationError("--chaos", "anybody could kill its parts; it needs a loopback address");
}

}  // namespace

settings settings_from(int argc, char** argv) {
  settings s;
  auto seconds = [](otp::duration& to) {
    return [&to](const double& given) {
      if (!(given > 0 && given <= 86400)) throw CLI::ValidationError("a time has to be more than 0 and at most 86400 s");
      to = std::chrono::duration_cast<otp::duration>(std::chrono::duration<double>(given));
    };
  };
  CLI::App app("A small shop: HTTP/1.1 and JSON over SQLite, under one supervision tree.", "storefront");
  app.add_option("--port", s.port, "TCP port; 0 takes a free one")->capture_default_str();
  app.add_option("--data", s.data, "folder of the database, made if it is not there")->capture_default_str();
  app.add_option("--config", s.config_path, "file of the configuration; config.json in the data folder, unless told");
  app.add_option("--pool", s.pool, "database connections for reading")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--max-connections", s.connections_max, "HTTP connections at a time; one more is answered with 503")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--max-subscribers", s.subscribers_max, "websockets at a time; one more is answered with 503")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--listen", s.address, "address to listen on")->check(an_address)->capture_default_str();
  app.add_flag("--open-to-others", s.open_to_others, "allow a --listen address that is not loopback");
  app.add_flag("--chaos", s.chaos, R"(allow POST /chaos/kill {"what": ...}: parts of the program killed on request)");
  app.add_option_function<double>("--header-timeout", seconds(s.header_timeout), "seconds for a header [5]");
  app.add_option_function<double>("--body-timeout", seconds(s.body_timeout), "seconds for a body, or an answer [10]");
  app.add_option_function<double>("--idle-timeout", seconds(s.idle_timeout), "seconds between requests [30]");
  try {
    app.parse(argc, argv);
    check_together(s);
  } catch (const CLI::ParseError& e) {
    std::exit(app.exit(e) == 0 ? 0 : 2);
  }
  return s;
}

}  // namespace storefront
