// The code of docs/guide/agent.md, built and run.
#include "conformance/support.hpp"

#include <otp/otp.hpp>

#include <map>
#include <string>

namespace {

using namespace std::chrono_literals;

// [config]
struct settings {
  otp::duration timeout = 5s;
  int retries = 3;
  std::map<std::string, std::string> hosts;
};
settings load_config() { return {.hosts = {{"db", "10.0.0.1"}}}; }

inline constexpr otp::name<otp::agent<settings>> config{"config_cache"};
// [/config]

void use() {
  // [use]
  auto timeout = otp::get(config, [](const settings& s) { return s.timeout; });  // const: cannot change the state
  otp::update(config, [](settings& s) { s.timeout = 10s; });
  auto old = otp::get_and_update(config, [](settings& s) { return std::exchange(s.retries, 5); });
  otp::cast(config, [](settings& s) { s.hosts["cache"] = "10.0.0.2"; });  // nobody waits
  // [/use]
  EXPECT_EQ(timeout, 5s);
  EXPECT_EQ(old, 3);
}

// [snapshot]
std::string host_of(const std::string& name) {
  auto now = otp::snapshot(config);  // otp::state_snapshot<settings>
  auto found = now->hosts.find(name);
  return found == now->hosts.end() ? "localhost" : found->second;
}
// [/snapshot]

// [mfa]
void raise_retries(settings& s, int by, int most) { s.retries = std::min(s.retries + by, most); }

void raise() { otp::update(config, otp::mfa(&raise_retries, 3, 10)); }
// [/mfa]

// [slow]
// Wrong: whoever else needs the configuration waits until the disk has answered.
void reload_in_the_agent() {
  otp::update(config, [](settings& s) { s = load_config(); });
}
// Right: the caller waits for the disk, the agent only for the assignment.
void reload() {
  otp::update(config, [fresh = load_config()](settings& s) mutable { s = std::move(fresh); });
}
// [/slow]

// [race]
// Wrong: between the two calls somebody else may have done the same.
int next_wrong(otp::server<otp::agent<int>> counter) {
  int value = otp::get(counter, [](int n) { return n; });
  otp::update(counter, [=](int&) { return value + 1; });
  return value;
}
// Right: one step.
int next_number(otp::server<otp::agent<int>> counter) {
  return otp::get_and_update(counter, [](int& n) { return n++; });
}
// [/race]

// [tree]
otp::supervisor_spec tree() {
  return {.strategy = otp::one_for_one, .children = {otp::child_agent(config, &load_config)}};
}
// [/tree]

TEST(agent_guide, configuration) {
  conformance::seeded([] {
    auto top = otp::supervisor::start_link(tree()).value();
    use();
    EXPECT_EQ(host_of("db"), "10.0.0.1");
    EXPECT_EQ(host_of("cache"), "10.0.0.2");
    EXPECT_EQ(host_of("else"), "localhost");
    raise();
    raise();
    EXPECT_EQ(otp::get(config, &settings::retries), 10);
    reload();
    EXPECT_EQ(host_of("cache"), "localhost");
    otp::cast(config, [](settings& s) { s.hosts.clear(); });
    reload_in_the_agent();
    EXPECT_EQ(host_of("db"), "10.0.0.1");
    otp::supervisor::stop(top);
  });
}

TEST(agent_guide, one_step) {
  conformance::seeded([] {
    auto counter = otp::agent<int>::start_link([] { return 5; }).value();
    EXPECT_EQ(next_wrong(counter), 5);
    EXPECT_EQ(next_number(counter), 6);
    EXPECT_EQ(next_number(counter), 7);
    // [virtual_time]
    otp::cast(counter, [](int&) { otp::sleep(1h); });
    EXPECT_THROW(otp::get(counter, [](int n) { return n; }, 10ms), otp::exited);
    otp::testing::advance(1h);
    EXPECT_EQ(otp::get(counter, [](int n) { return n; }), 8);
    // [/virtual_time]
  });
}

}  // namespace
