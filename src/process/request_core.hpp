// Requests, as the machine below the behaviours sees them: see otp/detail/request.hpp for the rules.
#pragma once
#include "process/process.hpp"

#include <otp/detail/request.hpp>

namespace otp::detail {

/// Takes the process's wait timer apart from it: the wheel may still hold it.
void release_wait_timer(runtime_core&, wait_timer*) noexcept;
/// A wait timer fired for an earlier wait than the present one: arms it for the present one.
void rearm_wait_timer(runtime_core&, process&);

/// The process keeps a message of so many bytes beyond its mailbox, which counts against its limits until it is given
/// back. False: it has none.
bool hold_room(process&, std::size_t bytes) noexcept;
void give_back_room(runtime_core&, process&, std::size_t bytes) noexcept;

}  // namespace otp::detail
