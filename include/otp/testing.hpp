// The seeded engine for tests: the whole library and a user's unchanged program on one thread, in an order drawn from a
// seed, with a clock that moves only when nothing can run.
//
// Shape   run() starts a fresh runtime on the calling thread, runs `body` as its first process, and returns when that
//         process has ended and everything it left behind was stopped. Timers, timeouts and sleeps cost no real time.
// Errors  an exception of the body arrives at the caller of run(). If nothing can ever happen again while the body
//         still waits, run() throws `stuck`, naming the processes and what they wait for.
//         OTP_SEED in the environment replaces the seed of every run.
#pragma once
#include <otp/runtime.hpp>

#include <cstdint>
#include <functional>

namespace otp::testing {

struct options {
  std::uint64_t seed = 1;
  runtime_options runtime{};
};

/// The body still waited when nothing could happen any more.
class stuck : public std::exception {
 public:
  explicit stuck(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

void run(const std::function<void()>& body);
void run(const options& how, const std::function<void()>& body);

/// In the body: lets this much time pass. Everything that becomes due in it runs to rest before it returns.
void advance(duration length);
/// In the body: lets everything that can run now run to rest, without time passing.
void settle();
/// The seed of the present run.
std::uint64_t seed();

}  // namespace otp::testing
