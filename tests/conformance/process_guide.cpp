// The code of docs/guide/processes.md, built and run.
#include "conformance/support.hpp"

#include <otp/blocking.hpp>

#include <cerrno>
#include <cstring>
#include <fcntl.h>

namespace {

// [messages]
struct deposit {
  int amount;
};
struct balance_please {
  otp::pid reply_to;
};

void account() {
  int balance = 0;
  for (;;)
    otp::receive([&](deposit d) { balance += d.amount; }, [&](balance_please q) { otp::send(q.reply_to, balance); });
}
// [/messages]

// [receive]
int ask_for_balance(otp::pid account) {
  otp::send(account, balance_please{otp::self()});
  return otp::receive([](int balance) { return balance; }, otp::after(std::chrono::seconds(1), [] { return -1; }));
}
// [/receive]

// [trap]
std::string run_guarded(void (*job)()) {
  otp::trap_exit(true);
  otp::pid child = otp::spawn_link(job);
  return otp::receive(otp::when([=](const otp::exit_signal& s) { return s.from == child; },
                                [](otp::exit_signal s) { return s.reason.to_string(); }));
}
// [/trap]

// [monitor]
otp::exit_reason wait_for_end(otp::pid process) {
  otp::ref watch = otp::monitor(process);
  return otp::receive(
      otp::when([=](const otp::down& d) { return d.reference == watch; }, [](otp::down d) { return d.reason; }));
}
// [/monitor]

// [alias]
std::optional<int> ask_once(otp::pid account) {
  otp::ref reply_to = otp::alias(otp::alias_mode::reply);
  otp::send(account, reply_to);
  auto answer = otp::receive([](int balance) { return std::optional(balance); },
                             otp::after(std::chrono::seconds(1), [] { return std::optional<int>(); }));
  otp::unalias(reply_to);  // an answer that is late goes nowhere
  return answer;
}
// [/alias]

// [timers]
struct refresh {};

void cache() {
  otp::ref timer = otp::send_interval(std::chrono::minutes(1), otp::self(), refresh());
  for (bool open = true; open;)
    otp::receive([](refresh) { /* look whether anything is stale */ },
                 [&](otp::exit_signal) {
                   otp::cancel_timer(timer);
                   open = false;
                 });
}
// [/timers]

// [hibernate]
void next_job() {
  otp::receive([](deposit) { /* ... */ });
  otp::hibernate(next_job);  // no stack, until there is a message again
}
// [/hibernate]

// [errno]
std::string read_settings(const char* path) {
  int file = ::open(path, O_RDONLY | O_CLOEXEC);
  int error = errno;  // at once: after a wait it is somebody else's
  if (file < 0) {
    otp::send("log", std::string("cannot read ") + path);
    otp::sleep(std::chrono::milliseconds(10));
    return std::strerror(error);
  }
  ::close(file);
  return "read";
}
// [/errno]

}  // namespace

using namespace conformance;

TEST(process_guide, the_code_of_the_page_does_what_the_page_says) {
  for_seeds(10, [] {
    otp::pid bank = otp::spawn(account);
    otp::send(bank, deposit{5});
    otp::send(bank, deposit{37});
    EXPECT_EQ(ask_for_balance(bank), 42);
    EXPECT_EQ(ask_for_balance(sleeper()), -1);
    EXPECT_FALSE(ask_once(bank)) << "an account does not understand references";

    otp::spawn([bank, to = otp::self()] { otp::send(to, wait_for_end(bank)); });
    otp::testing::settle();
    otp::exit(bank, "closed");
    EXPECT_EQ(next<otp::exit_reason>(), otp::exit_reason("closed"));
  });
  for_seeds(10, [] {
    EXPECT_EQ(run_guarded([] { throw std::runtime_error("no more"); }), "{error, std::runtime_error: \"no more\"}");
    EXPECT_EQ(run_guarded([] {}), "normal");
    otp::pid answering = otp::spawn([] { otp::receive([](otp::ref r) { otp::send(r, 7); }); });
    EXPECT_EQ(ask_once(answering), 7);

    auto cached = otp::spawn({.monitor = true, .trap_exit = true}, cache);
    otp::testing::advance(std::chrono::minutes(10));
    otp::exit(cached.pid, shutdown);
    EXPECT_EQ(reason_of(cached.monitor), normal);
    EXPECT_EQ(otp::counters().timers, 0u);

    otp::pid worker = otp::spawn(next_job);
    for (int i = 0; i < 3; ++i) otp::send(worker, deposit{i});
    otp::testing::settle();
    EXPECT_EQ(otp::info(worker)->status, otp::process_status::waiting);
    EXPECT_EQ(otp::info(worker)->stack_size, 0u);
    EXPECT_EQ(otp::info(worker)->message_queue_len, 0u);

    otp::register_name("log", otp::self());
    EXPECT_EQ(read_settings("/nonexistent/settings"), std::strerror(ENOENT));
    EXPECT_EQ(next<std::string>(), "cannot read /nonexistent/settings");
  });
}
