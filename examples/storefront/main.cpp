// A small shop as a service: HTTP and JSON in front of SQLite, under one supervision tree. docs/guide/storefront.md is
// a tour of it, tree.cpp the place to start reading.
#include <otp/otp.hpp>

#include <csignal>
#include <cstdio>
#include <exception>

#include "config.hpp"
#include "gateway.hpp"
#include "journal.hpp"
#include "store.hpp"
#include "tree.hpp"

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // nobody reads what we print: no reason to stop; run() sees to it only while it runs
  auto how = storefront::settings_from(argc, argv);
  try {
    // What may be wrong from outside is found out before anything is started.
    std::string file = storefront::prepare_store(how.data);
    const bool named = !how.config_path.empty();
    how.config =
        std::make_shared<storefront::config_file>(named ? how.config_path : how.data + "/config.json", named);
    how.gateway = std::make_shared<storefront::practice_gateway>();
    storefront::listen_socket socket(how.address, how.port);

    bool asked_to_stop = false;
    int code = otp::run(
        [&] {
          storefront::start_link(how, file, socket).value();
          std::printf("storefront listens on %s, its data is %s\n", socket.url().c_str(), file.c_str());
          std::fflush(stdout);
          otp::wait_for_shutdown();
          asked_to_stop = true;
          socket.close();
        },
        {.stop_budget = 20s, .listener = &storefront::the_journal()});
    if (!asked_to_stop) code = 1;  // a tree that gave up ends with `shutdown` as well
    std::puts(code == 0 ? "storefront stopped" : "storefront stopped with an error, see above");
    return code;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "storefront: %s\n", e.what());
    return 2;
  }
}
