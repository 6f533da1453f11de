// Ten connections; the third one loses its link, and is there again under its number.
#include "connection_pool.hpp"
#include <cstdio>
using namespace std::chrono_literals;

int main() {
  return otp::run([] {
    // [use]
    otp::supervisor::start_link({.strategy = otp::rest_for_one,
                                 .children = {otp::child_registry(connections), otp::child<db_connection_pool>(10)}}).value();
    otp::pid before = otp::lookup(connections, 3)->process;
    otp::send(before, db_connection::connection_lost{});
    while (!otp::lookup(connections, 3) || otp::lookup(connections, 3)->process == before) otp::sleep(1ms);
    std::printf("%s\n", db_connection::ask(3, "select 1").c_str());
    std::printf("%zu connections\n", otp::count(connections));
    // [/use]
  });
}
