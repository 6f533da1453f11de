// Structs that are no applications.
#include <otp/application.hpp>

struct nameless {
  otp::pid start();
};
struct wrong {
  static int application();
};
struct good {
  static otp::application_spec application();
  otp::pid start();
};

void load() {
  auto a = otp::application::load<nameless>();   // error: missing_application<nameless>
  auto b = otp::application::start<nameless>();  // error: missing_application<nameless>
  auto c = otp::application::load<wrong>();      // error: missing_application<wrong>
  auto d = otp::application::load<good>();
}
