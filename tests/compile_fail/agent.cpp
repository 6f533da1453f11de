// Functions that do not fit the agent they are sent to.
#include <otp/agent.hpp>

struct settings {
  int retries = 3;
};
struct once {  // moves
  std::unique_ptr<int> content;
};
struct other {};

constexpr otp::name<otp::agent<settings>> config{"config"};
constexpr otp::name<otp::agent<once>> single{"single"};
constexpr otp::name<other> server{"server"};

// With a lambda written in the call g++ adds an error of its own at the end, about a local type.
inline constexpr auto writes = [](settings& s) { return ++s.retries; };
inline constexpr auto of_int = [](int) { return 1; };
inline constexpr auto copy = [](const settings& s) { return s; };
inline constexpr auto text = [](settings&) { return "text"; };
inline constexpr auto takes_int = [](int) {};
inline constexpr auto nothing = [](settings&) {};
inline constexpr auto change = [](settings& s) { return s; };
inline constexpr auto reads = [](const settings& s) { return s.retries; };
inline constexpr auto reads_copy = [](settings s) noexcept { return s.retries; };
inline constexpr auto wrong_pair = [](const settings& s) { return std::pair(s.retries, "no settings"); };
int reads_plainly(const settings& s) { return s.retries; }
inline constexpr auto settings_of = [](int) { return settings{}; };
inline constexpr auto no_settings = [] { return "text"; };
inline constexpr auto null = [] { return nullptr; };
inline constexpr auto one = [] { return 1; };

void readers(otp::pid process) {
  otp::get(config, writes);  // error: not_a_reader<settings
  otp::get(config, of_int);  // error: not_a_reader<settings
  otp::get(config, 7);       // error: not_a_reader<settings, int>
  otp::get(server, copy);    // error: not_an_agent<otp::name<other>
  otp::get(process, copy);   // error: not_an_agent<otp::pid>
  otp::get(config, [](const settings& s) { return s.retries; });
  otp::get(config, &settings::retries);
}
void changes(otp::pid process) {
  otp::update(config, text);                    // error: not_a_change<settings
  otp::update(config, takes_int);               // error: not_a_change<settings
  otp::update(process, nothing);                // error: not_an_agent<otp::pid>
  otp::get_and_update(config, nothing);         // error: not_a_reader_and_change<settings
  otp::get_and_update(config, of_int);          // error: not_a_reader_and_change<settings
  otp::get_and_update(config, reads);           // error: updates_nothing<settings
  otp::get_and_update(config, reads_copy);      // error: updates_nothing<settings
  otp::get_and_update(config, wrong_pair);      // error: updates_nothing<settings
  otp::get_and_update(config, &reads_plainly);  // error: updates_nothing<settings
  otp::get_and_update(server, change);          // error: not_an_agent<otp::name<other>
  otp::cast(config, takes_int);                 // error: missing_handle_cast<otp::agent<settings>
  otp::update(config, [](settings& s) { ++s.retries; });
}
void snapshots() {
  auto copy = otp::snapshot(single);  // error: snapshot_needs_copy<once>
  auto none = otp::snapshot(server);  // error: not_an_agent<otp::name<other>
}
void starts() {
  auto a = otp::agent<settings>::start_link(no_settings);  // error: not_an_init<settings
  auto b = otp::agent<settings>::start(settings_of);       // error: not_an_init<settings
  auto c = otp::agent<settings>::start(settings{});        // error: not_an_init<settings, settings>
  auto d = otp::agent<int*>::start(null);                  // error: not_an_agent_state<int
  auto e = otp::agent<const int>::start_link(one);         // error: not_an_agent_state<const int>
}
