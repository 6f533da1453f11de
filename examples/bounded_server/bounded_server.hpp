// Data that comes faster than it can be worked off: servers with a bounded mailbox push back on who sends.
//
// Shape   sensors --cast, waits for room--> averages: nothing is lost, the source is slowed down.
//         visitors --call, refused when full--> desk: who cannot be slowed down is told at once.
#pragma once
#include <otp/otp.hpp>
#include <expected>
#include <map>
#include <optional>

// [waits]
struct averages {
  struct reading { int sensor; double value; };
  struct average { using reply = std::optional<double>; int sensor; };

  static constexpr otp::name<averages> name{"averages"};
  static auto start_link() {
    // While a hundred messages wait, who sends one more waits as well.
    otp::mailbox_limits bounded{.max_messages = 100, .policy = otp::overflow::block};
    return otp::gen_server::start_link<averages>({.name = name, .spawn = {.mailbox = bounded}});
  }

  void handle_cast(const reading& r) {
    otp::sleep(std::chrono::microseconds(100));  // the work
    auto& [sum, count] = seen[r.sensor];
    sum += r.value;
    ++count;
  }
  std::optional<double> handle_call(const average& asked) const {
    auto found = seen.find(asked.sensor);
    if (found == seen.end()) return std::nullopt;
    return found->second.sum / found->second.count;
  }

  struct total { double sum = 0; int count = 0; };
  std::map<int, total> seen;
};

// Written as if the server were infinitely fast; a cast that finds the mailbox full takes as long as it takes.
inline void run_sensor(int number, int readings) {
  for (int i = 0; i < readings; ++i) otp::cast(averages::name, averages::reading{number, static_cast<double>(i)});
}
// [/waits]

// [refuses]
struct desk {
  struct visit { using reply = int; int visitor; };
  struct busy {};

  static constexpr otp::name<desk> name{"desk"};
  static auto start_link() {
    return otp::gen_server::start_link<desk>({.name = name, .spawn = {.mailbox = {.max_messages = 10}}});
  }
  // Answers, or says at once that there are too many: a web server would turn that into 503.
  static std::expected<int, busy> serve(int visitor) {
    auto answer = otp::try_call(name, visit{visitor});
    if (answer) return *answer;
    if (answer.error().cause() == otp::reason::system_limit) return std::unexpected(busy{});
    otp::exit(answer.error());
  }

  int handle_call(const visit&) {
    otp::sleep(std::chrono::milliseconds(1));
    return ++served;
  }
  int served = 0;
};
// [/refuses]
