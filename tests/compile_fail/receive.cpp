// Handlers of a receive that say no type.
#include <otp/receive.hpp>
#include <chrono>

struct ping {};
struct both {
  void operator()(int) const {}
  void operator()(char) const {}
};
// With a lambda written in the call g++ adds an error of its own at the end, about a local type.
inline constexpr auto anything = [](auto&&) {};
inline constexpr auto two = [](int, int) {};
inline constexpr auto good = [](const ping&) {};
inline constexpr auto yes = [](const ping&) { return true; };

void receives() {
  otp::receive(anything);                // error: not_a_pattern<
  otp::receive(two);                     // error: not_a_pattern<
  otp::receive(both());                  // error: not_a_pattern<both>
  otp::receive(good, both());            // error: not_a_pattern<both>
  otp::receive(otp::when(yes, both()));  // error: not_a_pattern<both>
  otp::receive(good, otp::when(yes, good), otp::after(std::chrono::seconds(1), [] {}));
}
