// Calls to servers that are started when they are first asked for, one a key of a registry.
#pragma once
#include <otp/dynamic_supervisor.hpp>
#include <otp/registry.hpp>

#include "retry.hpp"

namespace storefront {

/// Asks the server of type `Server` that has this key; if there is none, starts `spec()` under the supervisor first. One
/// that dies with the request in its hands is started and asked again, so a request has to bear being made twice.
// [ask_on_demand]
template <class Server, class Registry, class Request, class Spec>
otp::result<typename Request::reply> ask_on_demand(const Registry& in, const typename Registry::key_type& key,
                                                   const char* supervisor, Spec spec, const Request& request,
                                                   otp::duration patience = std::chrono::seconds(4)) {
  const otp::instant deadline = otp::now() + patience;
  for (int tries = 0;; ++tries) {
    otp::exit_reason why;
    try {
      auto name = otp::via<Server>(in, key);
      // Of two who start it at once one is told that it is there already, which is as good.
      if (!name.find())
        if (auto started = otp::dynamic_supervisor::start_child(supervisor, spec());
            !started && started.error() != otp::reason::already_started)
          throw otp::exited(started.error());
      auto answer = otp::try_call(name, Request(request), deadline - otp::now());
      if (answer) return answer;
      why = answer.error();
    } catch (const otp::exited& e) {
      why = e.reason();  // the supervisor is just being restarted, or full
    } catch (const otp::bad_argument&) {
      why = otp::reason::noproc;  // the registry is
    }
    if (!worth_another_try(why, tries, deadline)) return std::unexpected(why);
  }
}
// [/ask_on_demand]

}  // namespace storefront
