// Functions that do not fit the state of the server they are sent to.
#include <otp/agent.hpp>
#include <otp/gen_statem.hpp>
#include <otp/registry.hpp>
#include <otp/supervisor.hpp>
#include <otp/sys.hpp>

struct cart {
  int items = 0;
};
struct other {
  int items = 0;
};
struct once {  // moves
  std::unique_ptr<int> content;
};
struct fixed {  // cannot be assigned
  const int number = 1;
};

struct tree {
  static otp::supervisor_spec init(int) { return {}; }
};
struct noted {  // is moved only
  void operator()(const otp::sys::debug_event&) {}
  std::unique_ptr<int> content;
};

constexpr otp::name<cart> shop{"shop"};
constexpr otp::name<otp::supervisor> top{"top"};
constexpr otp::name<tree> inner{"inner"};
constexpr otp::name<otp::registry> names{"names"};
constexpr otp::name<once> single{"single"};
constexpr otp::name<fixed> constant{"constant"};
constexpr otp::name<otp::agent<cart>> box{"box"};

// With a lambda written in the call g++ adds an error of its own at the end, about a local type.
inline constexpr auto of_other = [](const other& s) { return s.items; };
inline constexpr auto writes = [](cart& s) { return ++s.items; };
inline constexpr auto nothing = [](const cart&) {};
inline constexpr auto reads = [](const cart& s) { return s.items; };
inline constexpr auto empty = [](cart& s) { s.items = 0; };
inline constexpr auto made = [](const cart&) { return cart{}; };
inline constexpr auto other_made = [](const cart&) { return other{}; };
inline constexpr auto clear_other = [](other& s) { s.items = 0; };
inline constexpr auto clear_once = [](once& s) { s.content.reset(); };
inline constexpr auto fresh_fixed = [](const fixed&) { return fixed{}; };
inline constexpr auto sees_int = [](int) {};
inline constexpr auto sees = [](const otp::sys::debug_event&) {};

void reading() {
  otp::sys::get_state(shop, of_other);  // error: not_a_state_reader<cart
  otp::sys::get_state(shop, writes);    // error: not_a_state_reader<cart
  otp::sys::get_state(shop, nothing);   // error: not_a_state_reader<cart
  otp::sys::get_state(box, of_other);   // error: not_a_state_reader<cart
  otp::sys::get_state(single);          // error: state_needs_copy<once>
  otp::sys::get_state(shop);
  otp::sys::get_state(shop, reads);
  otp::sys::get_state(shop, &cart::items);
  otp::sys::get_state(box, reads, otp::infinity);
}
void of_supervisors() {
  otp::sys::get_state(top, reads);       // error: has_no_state_of_its_own<otp::supervisor>
  otp::sys::get_state(inner, reads);     // error: has_no_state_of_its_own<tree>
  otp::sys::replace_state(names, made);  // error: has_no_state_of_its_own<otp::registry>
  otp::sys::get_state(top);
  otp::sys::get_state(inner, otp::infinity);
  otp::sys::get_state(names);
}
void replacing() {
  otp::sys::replace_state(shop, other_made);       // error: not_a_state_change<cart
  otp::sys::replace_state(shop, clear_other);      // error: not_a_state_change<cart
  otp::sys::replace_state(single, clear_once);     // error: not_a_state_change<once
  otp::sys::replace_state(constant, fresh_fixed);  // error: state_needs_assignment<fixed>
  otp::sys::replace_state(shop, empty);
  otp::sys::replace_state(shop, made);
}
void hooks(otp::pid process) {
  otp::sys::install(process, "id", sees_int);  // error: not_a_debug_hook<
  otp::sys::install(process, "id", sees);
  otp::sys::install("id", sees_int);  // error: not_a_debug_hook<
  otp::sys::install("id", noted());   // error: not_a_debug_hook<noted>
  otp::sys::install("id", sees);
}
