// The supervised connections to the database: several that read, and one that writes, because SQLite has one writer at
// a time and a queue in front of it is better than a fight for its lock.
//
// Shape   reads go round the readers, orders to the writer. A connection that is dead, or was killed with the request
//         in its hands, costs another try: reads change nothing, and an order that is tried again finds the first try
//         by its key. A request that was not answered within 2 s, or that met a full mailbox, is `unavailable`.
#pragma once
#include <otp/supervisor.hpp>

#include "db_connection.hpp"

namespace storefront {

class db_pool {
 public:
  static otp::supervisor_spec spec(int readers, const std::string& file, int max_restarts);

  template <class Request>
  static typename Request::reply read(const Request& request) {
    int turn = next_turn();
    return ask(request, [turn](int tries) { return reader(turn + tries); });
  }
  static db_connection::write_order::reply write(const db_connection::write_order& request) {
    return ask(request, [](int) { return std::string(writer); });
  }

  static constexpr const char* writer = "db_writer";

 private:
  static constexpr auto patience = std::chrono::seconds(2);

  static int next_turn();
  static std::string reader(int turn);
  /// Waits a little before another try; false if there is no sense in one.
  static bool may_try_again(const otp::exit_reason& why, int tries, otp::instant deadline);

  // [ask]
  template <class Request, class Choose>
  static typename Request::reply ask(const Request& request, Choose connection) {
    const otp::instant deadline = otp::now() + patience;
    for (int tries = 0;; ++tries) {
      std::string name = connection(tries);
      // A copy is sent: there may have to be another try.
      auto reply = otp::try_call(otp::name<db_connection>(name), Request(request), deadline - otp::now());
      if (reply) return std::move(*reply);
      if (!may_try_again(reply.error(), tries, deadline)) return std::unexpected(unavailable{reply.error().to_string()});
    }
  }
  // [/ask]
};

}  // namespace storefront
