// expect: not_copyable<once>
#include <otp/timer.hpp>
#include <memory>
struct once {
  std::unique_ptr<int> content;
};
// Each period sends a copy.
void wrong(otp::pid to) { otp::send_interval(std::chrono::seconds(1), to, once()); }
