// The first program: a server, its supervisor, and a crash between two calls. The README shows it.
// [hello]
#include <otp/otp.hpp>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
using namespace std::chrono_literals;

struct counter {                                         // any struct: nothing to inherit
  struct add { using reply = int; std::string word; };   // a request names its reply
  struct crash {};

  static constexpr otp::name<counter> name{"counter"};   // a typed name
  static auto start_link() { return otp::gen_server::start_link<counter>({.name = name}); }
  static int count(std::string word) { return otp::call(name, add{std::move(word)}); }

  int handle_call(const add& request) { return ++words[request.word]; }
  void handle_cast(crash) { throw std::runtime_error("let it crash"); }

  std::map<std::string, int> words;
};

int main() {
  return otp::run([] {
    otp::supervisor::start_link({.strategy = otp::one_for_one, .children = {otp::child<counter>()}}).value();
    counter::count("hello");
    std::printf("hello: %d\n", counter::count("hello"));  // 2

    otp::cast(counter::name, counter::crash{});  // the supervisor starts a fresh counter
    while (!otp::try_call(counter::name, counter::add{"again"})) otp::sleep(1ms);
    std::printf("hello: %d\n", counter::count("hello"));  // 1
  });
}
// [/hello]
