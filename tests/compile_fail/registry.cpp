// What a registry cannot do.
// covers: REG-044, REG-056, REG-072
#include <otp/registry.hpp>

struct plain {  // no == and no hash
  int value;
};
struct no_hash {
  int value;
  friend bool operator==(const no_hash&, const no_hash&) = default;
};
struct pinned {
  pinned() = default;
  pinned(const pinned&) = delete;
};
struct no_default {
  explicit no_default(int v) : value(v) {}
  int value;
};
struct cart {
  struct total {
    using reply = int;
  };
  int handle_call(total) { return 0; }
};

constexpr otp::unique_registry<std::string, int> carts{"carts"};
constexpr otp::duplicate_registry<std::string, int> topics{"topics"};
constexpr otp::unique_registry<int, no_default> strict{"strict"};

// With a lambda written in the call g++ adds an error of its own at the end, about a local type.
inline constexpr auto f1 = [](int v) { return v + 1; };
inline constexpr auto f2 = [](int) { return 1; };
inline constexpr auto f3 = [](const std::string&) { return 1; };
inline constexpr auto f4 = [](auto&, otp::pid, int) {};
inline constexpr auto f5 = [](const std::string&) { return 1; };
inline constexpr auto f6 = [](int) {};
inline constexpr auto f7 = [] {};

void many_holders() {
  otp::update_value(topics, "a", f1);          // error: needs_unique_registry<.*duplicate_registry
  auto name = otp::via<cart>(topics, "a");     // error: needs_unique_registry<.*duplicate_registry
  auto with = otp::via<cart>(topics, "a", 1);  // error: needs_unique_registry<.*duplicate_registry
}
void specifications() {
  otp::select(carts, 1);                   // error: not_a_selection<.*int>
  otp::select(carts, f2);                  // error: not_a_selection<
  otp::count_select(carts, f3);            // error: not_a_selection<
  otp::count_select(carts, f4);            // error: not_a_selection<
  otp::match(carts, "a", f5);              // error: not_a_match<
  otp::count_match(topics, "a", 7);        // error: not_a_match<.*int>
  otp::unregister_match(topics, "a", f6);  // error: not_a_match<
}
void locks() {
  otp::lock(carts, no_hash{1}, f7);  // error: not_a_registry_key<no_hash>
  otp::lock(carts, 5, f7);
}
