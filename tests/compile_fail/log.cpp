// Log texts whose format is not known when they are compiled.
#include <otp/log.hpp>

void texts(const std::string& customer) {
  otp::log::info(customer);           // error: is not a constant expression
  otp::log::error(customer.c_str());  // error: is not a constant expression
  otp::log::info("{}", customer);
}
