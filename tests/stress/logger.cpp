// The log under load: many threads, handlers that come and go and fail, a sink that is slow. Nothing is written twice,
// lost without being counted, or in another order than its thread logged it.
#include <otp/logger.hpp>

#include <gtest/gtest.h>
#include <spdlog/sinks/base_sink.h>

#include <atomic>
#include <charconv>
#include <map>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

class checking_sink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  std::uint64_t lines = 0, removals = 0;
  bool in_order = true;

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    std::string_view text(message.payload.data(), message.payload.size());
    if (text.starts_with("handler_removed")) ++removals;
    if (text.starts_with("logger: ") || text.starts_with("handler_removed")) return;
    int thread = 0, number = 0;
    const char* end = text.data() + text.size();
    auto [at, bad] = std::from_chars(text.data(), end, thread);
    std::from_chars(at + 1, end, number);
    auto [last, fresh] = last_.try_emplace(thread, -1);
    if (number <= last->second) in_order = false;
    last->second = number;
    if (++lines % 64 == 0) std::this_thread::yield();
  }
  void flush_() override {}

 private:
  std::map<int, int> last_;
};

TEST(stress_logger, every_text_is_written_once_in_order_or_counted) {
  auto sink = std::make_shared<checking_sink>();
  constexpr int threads = 4, each = 20'000;
  std::atomic<std::uint64_t> handled = 0, failures = 0;
  otp::logger_counters last;
  {
    otp::logger log({.flush_at = 250, .sinks = {sink}});
    log.add_handler("counts", [&](const otp::event& e) {
      if (e.what == "log") ++handled;
      if (e.what == "handler_removed") ++failures;
    });
    std::atomic<bool> over = false;
    std::thread changes([&] {
      for (int i = 0; !over; ++i) {
        log.add_handler("passing", [i](const otp::event&) {
          if (i % 3 == 0) throw std::runtime_error("fails");
        });
        log.set_level(i % 2 ? otp::severity::info : otp::severity::debug);
        log.remove_handler("passing");
      }
    });
    std::vector<std::thread> all;
    for (int t = 0; t < threads; ++t)
      all.emplace_back([&, t] {
        for (int n = 0; n < each; ++n) {
          otp::event e{.what = "log", .severity = otp::severity::info};
          e.fields.emplace_back("text", std::to_string(t) + " " + std::to_string(n));
          log.on_event(e);
        }
      });
    for (std::thread& t : all) t.join();
    over = true;
    changes.join();
    log.flush();
    last = log.counters();
    EXPECT_EQ(last.waiting, 0U);
  }
  EXPECT_TRUE(sink->in_order);
  // Reports about removed handlers are events too, and may have been dropped or flushed like any.
  EXPECT_EQ(sink->lines + sink->removals + last.dropped + last.flushed, std::uint64_t{threads} * each + failures);
  EXPECT_EQ(handled, std::uint64_t{threads} * each) << "a handler sees everything";
  EXPECT_GT(last.written, 0U);
}

}  // namespace
