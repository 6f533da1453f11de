// How the shop is, looked at every now and then: a round of checks, each a task, all at the same time.
//
// Shape   a round is a task too: it waits for its checks, so the server never does. Who asks gets the last round's report;
//         before the first one is over, they wait for it. A round that is killed is begun again.
// Units   a check has 3 s, which is more than the database's own patience; the time between rounds is in the configuration.
#pragma once
#include <otp/otp.hpp>

#include <functional>
#include <optional>
#include <vector>

#include "background.hpp"
#include "listen_socket.hpp"

namespace storefront {

/// `look` says in words how it is; it throws what is wrong.
struct health_check {
  std::string name;
  std::function<std::string()> look;
};
struct check_result {
  std::string name;
  bool good = false;
  std::string detail;
};
struct health_report {
  std::vector<check_result> checks;
  otp::instant at{};
  bool good() const;
};

/// Database, disk, listener.
std::vector<health_check> the_checks(const std::string& database_file, const listen_socket& socket);
/// One round. A check that is late is stopped.
health_report run_checks(const std::vector<health_check>& checks);

// [health]
struct health {
  struct show { using reply = health_report; };
  struct look {};
  using messages = otp::messages<look, otp::task_result<health_report>>;

  static constexpr otp::name<health> name{"health"};
  static auto start_link(std::vector<health_check> checks) {
    return otp::gen_server::start_link<health>({.name = name}, std::move(checks));
  }
  explicit health(std::vector<health_check> what) : checks(std::move(what)) { otp::send(otp::self(), look{}); }

  void handle_info(look);
  void handle_info(const otp::task_result<health_report>& result);
  void handle_info(const otp::down&) { next_round(otp::duration::zero()); }
  otp::call_result<health_report> handle_call(const show&, otp::from<health_report> from);
  std::string to_string() const { return !report ? "nothing known" : report->good() ? "well" : "not well"; }

  std::vector<health_check> checks;
  std::optional<otp::task<health_report>> round;
  std::optional<health_report> report;
  std::vector<otp::from<health_report>> waiting;

 private:
  void next_round(otp::duration in);
};
// [/health]

}  // namespace storefront
