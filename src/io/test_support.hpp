// What the tests of this room share: a runtime for one body, and waiting for processes.
#pragma once
#include <otp/asio.hpp>
#include <otp/receive.hpp>
#include <otp/runtime.hpp>

#include <boost/asio/ip/tcp.hpp>

#include <gtest/gtest.h>

#include <utility>

namespace otp::io_test {

/// Runs a body as a process of a fresh runtime, which stops in order afterwards.
template <class Body>
void run(Body body, runtime_options options = {.workers = 2}) {
  runtime rt(options);
  rt.start();
  exit_reason why = rt.run(std::move(body));
  EXPECT_TRUE(why.is_normal()) << why.to_string();
  EXPECT_TRUE(rt.stop().clean());
}

inline boost::asio::ip::tcp::endpoint any_port() { return {boost::asio::ip::address_v4::loopback(), 0}; }

/// Until the process waits, or is gone.
inline void until_waiting(pid who) {
  for (;;) {
    auto seen = info(who);
    if (!seen || seen->status == process_status::waiting) return;
    yield();
  }
}

/// Why a process ended that was spawned with a monitor.
inline exit_reason reason_of(const spawned& child) {
  return receive(
      when([&](const down& d) { return d.reference == child.monitor; }, [](const down& d) { return d.reason; }));
}

}  // namespace otp::io_test
