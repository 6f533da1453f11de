// Functions that cannot be tasks, and what is no task.
#include <otp/async_stream.hpp>
#include <memory>

struct pinned {
  pinned() = default;
  pinned(pinned&&) = delete;
};
struct of_int {
  int operator()(int) const { return 1; }
};
struct to_pinned {
  pinned operator()() const { return {}; }
};
struct of_pinned {
  void operator()(const pinned&) const {}
};
struct changing {  // cannot be called by several tasks at once
  int operator()(int) { return 1; }
};
struct good {
  int operator()() const { return 1; }
};
constexpr otp::name<otp::task_supervisor> background{"background"};
struct some_server {
  int handle_call(int) { return 1; }
};
constexpr otp::name<some_server> other{"other"};

void tasks(otp::server<otp::task_supervisor> sup, otp::pid process) {
  auto a = otp::async(of_int());                                // error: not_callable_with<of_int>
  auto b = otp::async(of_int(), process);                       // error: not_callable_with<of_int, otp::pid>
  auto c = otp::async(to_pinned());                             // error: not_movable<pinned>
  auto d = otp::async(background, of_int());                    // error: not_callable_with<of_int>
  auto e = otp::async_nolink(sup, to_pinned());                 // error: not_movable<pinned>
  auto f = otp::async_nolink(other, good());                    // error: not_a_task_supervisor<otp::name<some_server>
  auto g = otp::async_nolink(process, good());                  // error: not_a_task_supervisor<otp::pid>
  auto h = otp::async_stream(5, of_int());                      // error: not_a_range<int>
  auto i = otp::async_stream(std::vector<int>(), of_pinned());  // error: not_callable_with<const of_pinned, int>
  auto j = otp::async_stream_nolink(sup, std::vector<int>(), good());  // error: not_callable_with<const good, int>
  auto k = otp::async_stream(std::vector<int>(), changing());          // error: not_callable_with<const changing, int>
  auto l = otp::await(5);                                              // error: not_a_task<int>
  auto m = otp::task_supervisor::start_child(background, of_int());    // error: not_callable_with<of_int>
  otp::task<>::start(of_int());                                        // error: not_callable_with<of_int>
  auto fine = otp::async([p = std::make_unique<int>()]() mutable { return std::move(p); });
}
