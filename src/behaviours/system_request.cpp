#include "behaviours/system_request.hpp"

namespace otp::detail {

namespace {
constinit const envelope_type system_signal = {signal::system, nullptr,
                                               [](envelope* e) { drop_reference(static_cast<request_envelope*>(e)); },
                                               [](const envelope*) -> const void* { return nullptr; }};
constinit const envelope_type stop_signal = {signal::stop, nullptr,
                                             [](envelope* e) { delete static_cast<stop_envelope*>(e); },
                                             [](const envelope*) -> const void* { return nullptr; }};
}  // namespace

stop_envelope::stop_envelope(exit_reason r) : envelope(&stop_signal), why(std::move(r)) {}

system_request::system_request(system_op what)
    : reply_envelope(&system_signal, [](envelope* e) { delete static_cast<system_request*>(e); }), op(what) {}

}  // namespace otp::detail
