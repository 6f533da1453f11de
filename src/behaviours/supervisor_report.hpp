// The reports of supervisors.
#pragma once
#include "behaviours/child_table.hpp"

#include <otp/event.hpp>

namespace otp::detail {

/// How reports call a supervisor.
struct supervisor_identity {
  pid process;
  std::string name;  // as it was registered; else module and pid
};

std::string joined(const std::vector<std::string>& faults);
std::string significance_fault(const std::string& place, bool dynamic);
child_info info_of(const child_record& c, bool with_id);
std::string to_string(strategy s);

/// What the reports of one child are about: OTP's error contexts, and progress.
namespace report_context {
inline constexpr std::string_view progress = "progress";
inline constexpr std::string_view child_terminated = "child_terminated";
inline constexpr std::string_view start_error = "start_error";
inline constexpr std::string_view shutdown_error = "shutdown_error";
inline constexpr std::string_view gave_up = "shutdown";  // reached_max_restart_intensity
}  // namespace report_context

void report_child(std::string_view context, const supervisor_identity& who, const exit_reason& why,
                  const child_record& child);
/// Many children of a dynamic supervisor at once.
void report_children(std::string_view context, const supervisor_identity& who, const exit_reason& why,
                     std::size_t number, const child_spec& one_of_them);

}  // namespace otp::detail
