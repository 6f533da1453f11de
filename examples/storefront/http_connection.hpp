// One HTTP/1.1 connection: the body of its process, as plain code that waits.
//
// Shape   reads a request, asks service.hpp for the answer, writes it, and so on until either side has had enough.
//         Whoever wants the connection to end sends its process an exit signal: between two requests it ends at once,
//         in the middle of one it answers first. Killed, it closes the socket on its way out.
// Units   header 32 KiB in at most 100 fields, target 8 KiB, body 1 MiB; deadlines as in settings.hpp.
// Errors  a request that breaks the rules gets 400, 408, 411, 413, 414, 417 or 431, and the connection is closed.
#pragma once
#include <otp/asio.hpp>

#include <boost/asio/ip/tcp.hpp>

#include "settings.hpp"

namespace storefront {

/// `overloaded`: the first request is answered with 503, whatever it is.
void serve(boost::asio::ip::tcp::socket socket, const settings& how, bool overloaded);

}  // namespace storefront
