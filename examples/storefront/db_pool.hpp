// The supervised connections to the database: several that read, and one that writes, because SQLite has one writer at
// a time and a queue in front of it is better than a fight for its lock.
//
// Shape   reads go round the readers, orders to the writer. A connection that is dead, or was killed with the request
//         in its hands, costs another try: reads change nothing, and an order that is tried again finds the first try
//         by its key. A request that was not answered within 2 s, or that met a full mailbox, is `unavailable`.
#pragma once
#include <otp/supervisor.hpp>

#include "db_connection.hpp"
#include "retry.hpp"

namespace storefront {

class db_pool {
 public:
  static otp::supervisor_spec spec(int readers, const std::string& file, int max_restarts);

  /// Runs `work(database)` in a reader, or in the writer, and returns what it returns, or `unavailable`. It may run more
  /// than once.
  template <class F>
  static typename db_connection::query<F>::reply read(const F& work) {
    int turn = next_turn();
    return ask(work, [turn](int tries) { return reader(turn + tries); });
  }
  template <class F>
  static typename db_connection::query<F>::reply write(const F& work) {
    return ask(work, [](int) { return std::string(writer); });
  }

  static constexpr const char* writer = "db_writer";

 private:
  static constexpr auto patience = std::chrono::seconds(2);

  static int next_turn();
  static std::string reader(int turn);

  // [ask]
  template <class F, class Choose>
  static typename db_connection::query<F>::reply ask(const F& work, Choose connection) {
    const otp::instant deadline = otp::now() + patience;
    for (int tries = 0;; ++tries) {
      std::string name = connection(tries);
      // A copy is sent: there may have to be another try.
      auto reply = otp::try_call(otp::name<db_connection>(name), db_connection::query<F>{work}, deadline - otp::now());
      if (reply) return std::move(*reply);
      if (!worth_another_try(reply.error(), tries, deadline))
        return std::unexpected(unavailable{reply.error().to_string()});
    }
  }
  // [/ask]
};

}  // namespace storefront
