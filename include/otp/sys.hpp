// Looking at a running server and holding it: for operators, between two messages of the server's.
//
// Shape   a request to the server's own loop, served also while it is suspended. Works on all that runs that loop.
// Errors  as call(): exits the caller with {cause, call}.
// Source  Erlang's sys: get_status/1, suspend/1, resume/1.
#pragma once
#include <otp/call.hpp>

namespace otp::sys {

server_status get_status(pid server, duration timeout = call_timeout);
/// Until resume() the server handles no requests, casts or messages; stop() and sys requests still work.
void suspend(pid server, duration timeout = call_timeout);
void resume(pid server, duration timeout = call_timeout);

}  // namespace otp::sys
