// Structs that are no servers, and servers started wrong.
#include <otp/gen_server.hpp>
#include <memory>
#include <string>
using namespace otp::gen_server;

// ---- arguments ---------------------------------------------------------------------------------------------------

struct with_constructor {
  explicit with_constructor(int) {}
};
struct with_init {
  static otp::init_result<with_init> init(int n) { return otp::ok(n); }
  int n;
};
struct keeps {
  explicit keeps(std::unique_ptr<int>) {}
};
struct pinned {
  pinned() = default;
  pinned(pinned&&) = delete;
};
struct looks_at {
  explicit looks_at(const pinned&) {}
};
struct changes {
  explicit changes(std::string&) {}
};
class hidden {
  hidden() = default;
};
struct abstract {
  virtual void not_there() = 0;
};
void arguments(std::unique_ptr<int> moved, pinned& p, std::string text) {
  auto a = start_link<with_constructor>();        // error: missing_init<with_constructor>
  auto b = start<with_constructor>({}, "three");  // error: missing_init<with_constructor, (char )?const ?(char)? ?\*>
  auto c = start_monitor<with_constructor>({}, 1, 2);  // error: missing_init<with_constructor, int, int>
  auto d = start_link<with_init>({}, nullptr);         // error: missing_init<with_init, std::nullptr_t>
  auto e = start_link<with_constructor>(3);            // error: options_come_first<with_constructor, int>
  auto f =
      start<with_constructor>("a name", 3);  // error: options_come_first<with_constructor, (char )?const ?(char)? ?\*>
  auto g = start_monitor<with_init>(otp::spawn_options{});  // error: options_come_first<with_init, otp::spawn_options>
  auto h = start_link<keeps>({}, moved);                    // error: needs_std_move<std::unique_ptr<int>
  auto i = start_link<looks_at>({}, p);                     // error: not_movable<pinned>
  auto j = start_link<changes>({}, text);                   // error: missing_init<changes, std::
  auto k = start_link<hidden>();                            // error: missing_init<hidden>
  auto l = start_link<abstract>();                          // error: missing_init<abstract>
  auto m = start_link<int>();                               // error: not_a_struct<int>
  auto n = start_link<with_constructor>({.name = 5}, 1);    // error: start_link
}

// ---- init --------------------------------------------------------------------------------------------------------

struct init_of_nothing {
  static void init() {}
};
struct init_of_number {
  static int init(int n) { return n; }
};
struct init_of_other {
  static otp::init_result<with_init> init() { return otp::ok(1); }
};
struct init_elsewhere {
  static otp::init_result<init_elsewhere> init(std::string) { return otp::ok(); }
};
struct init_with_wrong_state {
  explicit init_with_wrong_state(int) {}
  static otp::init_result<init_with_wrong_state> init() {
    return otp::ok(std::string("x"));  // error: otp::init_result<init_with_wrong_state>
  }
};
void inits() {
  auto a = start_link<init_of_nothing>();      // error: wrong_init_result<init_of_nothing, void>
  auto b = start_link<init_of_number>({}, 1);  // error: wrong_init_result<init_of_number, int>
  auto c = start_link<init_of_other>();        // error: wrong_init_result<init_of_other, otp::init_result<with_init> ?>
  auto d = start_link<init_elsewhere>();       // error: missing_init<init_elsewhere>
}

// ---- handlers ----------------------------------------------------------------------------------------------------

struct tick {};
struct tock {};
struct terminates_at_will {
  void terminate() {}
};
struct terminates_by_number {
  void terminate(int) {}
};
class terminates_in_secret {
  void terminate(const otp::exit_reason&) {}
};
struct formats_alone {
  std::string format_status() { return {}; }
};
struct lists_what_it_ignores {
  using messages = otp::messages<tick>;
};
struct lists_no_list {
  using messages = tick;
  void handle_info(tick) {}
};
struct answers_ticks {
  using messages = otp::messages<tick>;
  int handle_info(tick) { return 1; }
};
struct answers_downs {
  int handle_info(const otp::down&) { return 1; }
};
struct answers_all {
  int handle_info(const otp::message&) { return 1; }
};
struct continues_twice {
  void handle_continue(tick) {}
  void handle_continue(tock) {}
};
struct continues_with_two {
  void handle_continue(tick, tock) {}
};
struct continues_not {
  using continues = otp::messages<tick>;
};
struct continues_no_list {
  using continues = tick;
  void handle_continue(tick) {}
};
struct continues_with_reply {
  int handle_continue(tick) { return 1; }
};
void handlers() {
  auto a = start_link<terminates_at_will>();     // error: wrong_terminate<terminates_at_will>
  auto b = start_link<terminates_by_number>();   // error: wrong_terminate<terminates_by_number>
  auto c = start_link<terminates_in_secret>();   // error: wrong_terminate<terminates_in_secret>
  auto d = start_link<formats_alone>();          // error: wrong_format_status<formats_alone>
  auto e = start_link<lists_what_it_ignores>();  // error: missing_handle_info<lists_what_it_ignores, tick>
  auto f = start_link<lists_no_list>();          // error: wrong_messages<lists_no_list>
  auto g = start_link<answers_ticks>();          // error: wrong_handle_info_result<answers_ticks, tick, int>
  auto h = start_link<answers_downs>();          // error: wrong_handle_info_result<answers_downs, otp::down, int>
  auto i = start_link<answers_all>();            // error: wrong_handle_info_result<answers_all, otp::message, int>
  auto j = start_link<continues_twice>();        // error: missing_continues<continues_twice>
  auto k = start_link<continues_with_two>();     // error: missing_continues<continues_with_two>
  auto l = start_link<continues_not>();          // error: missing_handle_continue<continues_not, tick>
  auto m = start_link<continues_no_list>();      // error: wrong_continues<continues_no_list>
  auto n = start_link<continues_with_reply>();   // error: wrong_handle_continue_result<continues_with_reply, tick, int>
}
void entering() {
  enter_loop(terminates_by_number{});  // error: wrong_terminate<terminates_by_number>
}
