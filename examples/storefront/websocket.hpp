// A websocket as the wire of a subscriber.
#pragma once
#include <boost/asio/ip/tcp.hpp>

#include "subscriber.hpp"

namespace storefront {

/// Answers a request for a websocket, of which `received` has the bytes, and what came after it. Waits until that is
/// written; none if the client has gone.
std::shared_ptr<news_wire> accept_websocket(boost::asio::ip::tcp::socket socket, const std::string& received,
                                            otp::duration within);

}  // namespace storefront
