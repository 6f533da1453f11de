#include "tree.hpp"

#include <otp/dynamic_supervisor.hpp>
#include <otp/otp.hpp>

#include "background.hpp"
#include "cart.hpp"
#include "config.hpp"
#include "db_pool.hpp"
#include "health.hpp"
#include "job_runner.hpp"
#include "listener.hpp"
#include "payment_desk.hpp"
#include "rate_limiter.hpp"
#include "status.hpp"
#include "subscriber.hpp"

namespace storefront {

// [tree]
otp::result<otp::server<otp::supervisor>> start_link(const settings& how, const std::string& file,
                                                     const listen_socket& socket) {
  auto shared = std::make_shared<const settings>(how);
  // Who asks for chaos kills on purpose: that is no sign of a part that cannot work.
  const int max_restarts = how.chaos ? 300 : 10;
  const std::int64_t connections_max = static_cast<std::int64_t>(how.connections_max) + 100;  // these hear a 503

  return otp::supervisor::start_link(
      {.strategy = otp::one_for_one,
       .max_restarts = max_restarts,
       .max_seconds = 10s,
       // Started in this order and stopped in the opposite one: no new connections, then those that are open finish
       // their requests, then the database is closed. The one who looks at all of it comes last.
       .children =
           {
               otp::child<status>().id("status"),
               otp::child<rate_limiter>().id("rate_limiter"),
               child_config(how.config),
               otp::child_supervisor("db", db_pool::spec(how.pool, file, max_restarts), {.name = "db"}),
               otp::child_task_supervisor(background),
               child_news(static_cast<std::int64_t>(how.subscribers_max), max_restarts),
               child_carts(max_restarts),
               child_payments(how.gateway, max_restarts),
               otp::child<job_runner>().id("job_runner"),
               otp::child_dynamic_supervisor({.name = "connections"}, {.max_children = connections_max}),
               otp::child_function("listener", [shared, &socket] {
                 otp::pid accepting = otp::spawn_link([shared, &socket] { accept_connections(socket, shared); });
                 otp::register_name("listener", accepting);
                 return accepting;
               }),
               otp::child<health>(the_checks(file, socket)).id("health"),
           }},
      {.name = "storefront"});
}
// [/tree]

}  // namespace storefront
