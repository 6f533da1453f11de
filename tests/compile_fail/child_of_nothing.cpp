// expect: missing_start_link<not_startable, int>
// covers: SUP-024
#include <otp/supervisor.hpp>

struct not_startable {
  explicit not_startable(const char*) {}
};

otp::child_spec wrong() { return otp::child<not_startable>(42); }
