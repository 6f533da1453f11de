// Three visitors want the same page at the same time, and it is drawn once.
#include "cache.hpp"

#include <cstdio>
using namespace std::chrono_literals;

std::string draw_page(const std::string& key) {
  if (key.empty()) throw std::invalid_argument("a page has a name");
  std::printf("drawing %s\n", key.c_str());
  otp::sleep(20ms);
  return "<" + key + ">";
}

int main() {
  return otp::run([] {
    auto pages = cache::start_link(draw_page, 100ms).value();

    std::vector<otp::ref> visitors;
    for (int i = 0; i < 3; ++i)
      visitors.push_back(
          otp::spawn_monitor([=] { std::printf("%s\n", otp::call(pages, cache::get{"news"})->c_str()); }).monitor);
    for (otp::ref visitor : visitors)
      otp::receive(otp::when([=](const otp::down& d) { return d.reference == visitor; }, [](const otp::down&) {}));

    cache::answer again = otp::call(pages, cache::get{"news"});  // kept
    std::printf("again %s\n", again->c_str());
    otp::sleep(200ms);
    otp::call(pages, cache::get{"news"});  // too old

    cache::answer nothing = otp::call(pages, cache::get{""});
    std::printf("%s\n", nothing.error().to_string().c_str());
  });
}
