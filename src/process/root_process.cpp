#include <otp/detail/root_process.hpp>

#include "process/runtime_core.hpp"

namespace otp::detail {

pid spawn_root(unique_function function, const std::string_view& type) {
  runtime_core& core = require_runtime("start");
  if (process* p = current_process()) check_abandoned(*p);
  return spawn_body(core, nullptr, make_function_body(std::move(function), type, process_kind::root), {}).pid;
}

void ask_for_shutdown() { require_runtime("request_shutdown").request_shutdown(); }

}  // namespace otp::detail
