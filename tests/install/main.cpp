// A user's program, built with nothing but the installed package.
#include <otp/asio.hpp>
#include <otp/otp.hpp>
#include <cstdlib>

struct doubler {
  struct twice {
    using reply = int;
    int value;
  };
  int handle_call(const twice& request) { return request.value * 2; }
};

int main() {
  int answer = 0;
  const int status = otp::run([&answer] {
    auto server = otp::gen_server::start_link<doubler>().value();
    answer = otp::call(server, doubler::twice{21});
  });
  return status == 0 && answer == 42 ? EXIT_SUCCESS : EXIT_FAILURE;
}
