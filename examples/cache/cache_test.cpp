#include "cache.hpp"

#include <gtest/gtest.h>
#include <otp/testing.hpp>

#include <memory>
#include <stdexcept>

namespace {

using namespace std::chrono_literals;

/// A slow loader that counts.
struct library {
  std::map<std::string, int> loads;
  std::vector<otp::pid> readers;
  cache::loader loader() {
    return [this](const std::string& key) {
      ++loads[key];
      readers.push_back(otp::self());
      otp::sleep(1s);
      if (key == "torn") throw std::runtime_error("page missing");
      return key + " " + std::to_string(loads[key]);
    };
  }
};

/// Asks in a process of its own; the answer arrives as a message.
void ask(otp::server<cache> c, std::string key, otp::duration within = otp::call_timeout) {
  otp::spawn([=, to = otp::self()] {
    auto got = otp::try_call(c, cache::get{key}, within);
    otp::send(to, got ? *got : cache::answer(std::unexpected(got.error().cause())));
  });
}
cache::answer next_answer() {
  return otp::receive([](cache::answer a) { return a; });
}

TEST(cache, loads_a_key_once_for_all_who_ask_meanwhile) {
  otp::testing::run([] {
    library l;
    auto c = cache::start_link(l.loader(), 1min).value();
    otp::instant start = otp::now();
    for (int i = 0; i < 100; ++i) ask(c, "a");
    for (int i = 0; i < 100; ++i) EXPECT_EQ(next_answer(), "a 1");
    EXPECT_EQ(otp::now() - start, 1s);
    EXPECT_EQ(otp::call(c, cache::get{"a"}), "a 1");  // kept
    EXPECT_EQ(otp::now() - start, 1s);
    EXPECT_EQ(l.loads["a"], 1);
  });
}

TEST(cache, answers_others_while_it_loads) {
  otp::testing::run([] {
    library l;
    auto c = cache::start_link(l.loader(), 1min).value();
    otp::call(c, cache::get{"a"});
    otp::instant start = otp::now();
    ask(c, "b");
    otp::testing::settle();
    EXPECT_EQ(otp::call(c, cache::get{"a"}), "a 1");
    EXPECT_EQ(otp::now(), start);
    EXPECT_EQ(next_answer(), "b 1");
  });
}

TEST(cache, keeps_a_value_for_its_time_and_no_longer) {
  otp::testing::run([] {
    library l;
    auto c = cache::start_link(l.loader(), 1min).value();
    EXPECT_EQ(otp::call(c, cache::get{"a"}), "a 1");
    otp::testing::advance(1min - 1ns);
    EXPECT_EQ(otp::call(c, cache::get{"a"}), "a 1");
    otp::testing::advance(1ns);
    EXPECT_EQ(otp::sys::get_status(c).state, "0 entries, 0 loads running");
    EXPECT_EQ(otp::call(c, cache::get{"a"}), "a 2");
  });
}

// The timer of a value that was forgotten does not end the life of the next one.
TEST(cache, forgets_on_request) {
  otp::testing::run([] {
    library l;
    auto c = cache::start_link(l.loader(), 1min).value();
    otp::call(c, cache::get{"a"});
    otp::testing::advance(30s);
    otp::cast(c, cache::forget{"a"});
    otp::cast(c, cache::forget{"never seen"});
    EXPECT_EQ(otp::call(c, cache::get{"a"}), "a 2");
    otp::testing::advance(40s);
    EXPECT_EQ(otp::call(c, cache::get{"a"}), "a 2");
    EXPECT_EQ(l.loads["a"], 2);
  });
}

TEST(cache, a_load_that_fails_fails_those_who_wait_and_is_tried_again) {
  otp::testing::run([] {
    library l;
    auto c = cache::start_link(l.loader(), 1min).value();
    for (int i = 0; i < 3; ++i) ask(c, "torn");
    for (int i = 0; i < 3; ++i) EXPECT_EQ(next_answer().error(), otp::reason::error("std::runtime_error", "page missing"));
    EXPECT_EQ(otp::sys::get_status(c).state, "0 entries, 0 loads running");
    ask(c, "torn");
    otp::testing::settle();
    otp::exit(l.readers.back(), otp::reason::kill);
    EXPECT_EQ(next_answer().error(), otp::reason::killed);
    EXPECT_EQ(l.loads["torn"], 2);
  });
}

TEST(cache, a_visitor_who_leaves_early_costs_the_others_nothing) {
  otp::testing::run([] {
    library l;
    auto c = cache::start_link(l.loader(), 1min).value();
    ask(c, "a", 500ms);
    ask(c, "a");
    EXPECT_EQ(next_answer().error(), otp::reason::timeout);
    EXPECT_EQ(next_answer(), "a 1");
    EXPECT_EQ(l.loads["a"], 1);
  });
}

}  // namespace
