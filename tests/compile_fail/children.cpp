// What cannot be a child.
// covers: SUP-024
#include <otp/otp.hpp>
#include <memory>

struct not_startable {
  explicit not_startable(const char*) {}
};
struct of_pointer {
  explicit of_pointer(std::unique_ptr<int>) {}
};
struct two_works {  // does not say which
  void handle_continue(int) {}
  void handle_continue(char) {}
};
struct unstarted {  // returns nothing that could be supervised
  explicit unstarted(int) {}
  static int start_link() { return 1; }
};
constexpr otp::name<otp::agent<int>> number{"number"};

void children() {
  otp::child_spec a = otp::child<not_startable>(42);         // error: missing_start_link<not_startable, int>
  otp::child_spec b = otp::default_child<not_startable>(1);  // error: missing_start_link<not_startable, int>
  otp::child_spec c = otp::child<two_works>();               // error: missing_continues<two_works>
  otp::child_spec d = otp::child<unstarted>();               // error: missing_start_link<unstarted>
  otp::child_spec e = otp::child_agent(number, 5);           // error: not_an_init<int, int>
  // Each of its lives begins with copies of the arguments.
  otp::child_spec f = otp::child<of_pointer>(std::make_unique<int>(1));  // error: not_copyable<std::unique_ptr<int
  otp::supervisor_spec spec{.children = {otp::child<not_startable>()}};  // error: missing_start_link<not_startable>
}
