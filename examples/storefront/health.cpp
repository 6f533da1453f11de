#include "health.hpp"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "config.hpp"
#include "db_pool.hpp"

namespace storefront {
using namespace std::chrono_literals;

namespace {
constexpr otp::duration check_limit = 3s;
}

bool health_report::good() const {
  return std::ranges::all_of(checks, [](const check_result& c) { return c.good; });
}

// [run_checks]
health_report run_checks(const std::vector<health_check>& checks) {
  std::vector<otp::task<std::string>> tasks;
  for (const health_check& check : checks) tasks.push_back(otp::async_nolink(background, check.look));
  auto found = otp::yield_many(tasks, {.timeout = check_limit, .on_timeout = otp::late_tasks::kill_task});
  health_report report;
  for (std::size_t i = 0; i < checks.size(); ++i) {
    auto& outcome = found[i];
    bool good = outcome && *outcome;
    report.checks.push_back({checks[i].name, good,
                             good       ? **outcome
                             : !outcome ? "no answer within 3 s"
                                        : std::string(outcome->error().text())});
  }
  report.at = otp::now();
  return report;
}
// [/run_checks]

void health::handle_info(look) {
  try {
    round = otp::async_nolink(background, [checks = checks] { return run_checks(checks); });
  } catch (const otp::exited&) {
    next_round(100ms);  // the supervisor of the tasks is just being restarted
  }
}

void health::handle_info(const otp::task_result<health_report>& result) {
  report = result.value;
  round.reset();
  for (auto& who : waiting) who.reply(*report);
  waiting.clear();
  next_round(std::chrono::milliseconds(config_now()->health_interval_ms));
}

void health::next_round(otp::duration in) {
  round.reset();
  otp::send_after(in, otp::self(this), look{});
}

otp::call_result<health_report> health::handle_call(const show&, otp::from<health_report> from) {
  if (report) return otp::reply(*report);
  waiting.push_back(std::move(from));
  return otp::noreply();
}

// [checks]
namespace {

std::string look_at_database() {
  auto answer = db_pool::read([](sqlite::database& db) { return db.query("SELECT 1").next(); });
  if (!answer) throw std::runtime_error(answer.error().why);
  return "answers";
}

std::string look_at_disk(const std::string& file) {
  struct statvfs disk;
  if (otp::blocking([&] { return statvfs(file.c_str(), &disk); }) != 0)
    throw std::system_error(errno, std::generic_category(), file);
  if (disk.f_flag & ST_RDONLY) throw std::runtime_error("it can only be read");
  const std::uint64_t free_mib = disk.f_bavail * disk.f_frsize >> 20;
  std::string text = std::to_string(free_mib) + " MiB are free";
  if (free_mib < 16) throw std::runtime_error(text);
  return text;
}

std::string look_at_listener(const listen_socket& socket) {
  if (!otp::whereis("listener")) throw std::runtime_error("nobody accepts connections");
  auto [waiting, room] = socket.waiting();
  std::string text = std::to_string(waiting) + " of at most " + std::to_string(room) + " connections wait";
  if (waiting > room / 2) throw std::runtime_error(text);
  return text;
}

}  // namespace

std::vector<health_check> the_checks(const std::string& database_file, const listen_socket& socket) {
  return {{"database", &look_at_database},
          {"disk", [database_file] { return look_at_disk(database_file); }},
          {"listener", [&socket] { return look_at_listener(socket); }}};
}
// [/checks]

}  // namespace storefront
