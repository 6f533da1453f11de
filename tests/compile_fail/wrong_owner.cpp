// Handles of tasks and requests that would be waited for by another process than the one that made them.
#include <otp/otp.hpp>

struct importer {
  struct begin {  // the server would own the task, and the caller could not wait for it
    using reply = otp::task<int>;
  };
  struct ask {
    using reply = int;
  };
  struct later {
    using reply = otp::request_id<int>;
  };
  explicit importer(otp::task<int>) {}
  importer() = default;
  otp::task<int> handle_call(begin) {
    return otp::async([] { return 1; });
  }
  int handle_call(ask) { return 1; }
  otp::request_id<int> handle_call(later) { return {}; }
  int handle_call(otp::task<int>) { return 1; }
  void handle_cast(otp::task<int>) {}
  void handle_info(otp::task<int>) {}
};

struct wait_for {
  int operator()(otp::task<int> t) const { return otp::await(t); }
};
struct start_another {
  otp::task<int> operator()() const {
    return otp::async([] { return 1; });
  }
};
constexpr otp::name<otp::task_supervisor> background{"background"};

void messages(otp::pid to, otp::server<importer> server, otp::task<int> t, otp::request_id<int> r) {
  otp::send(to, std::move(t));      // error: stays_with_its_process<otp::task<int> ?>
  otp::send("name", std::move(t));  // error: stays_with_its_process<otp::task<int> ?>
  otp::send(to, std::move(r));      // error: stays_with_its_process<otp::request_id<int> ?>
  otp::cast(server, std::move(t));  // error: stays_with_its_process<otp::task<int> ?>
  otp::send(server, std::move(t));  // error: stays_with_its_process<otp::task<int> ?>
  otp::call(server, importer::ask{});
}
void replies(otp::server<importer> server) {
  otp::call(server, importer::begin{});               // error: stays_with_its_process<otp::task<int> ?>
  auto a = otp::try_call(server, importer::later{});  // error: stays_with_its_process<otp::request_id<int> ?>
}
void starts(otp::task<int> t) {
  auto a = otp::gen_server::start_link<importer>({}, std::move(t));  // error: stays_with_its_process<otp::task<int> ?>
  auto b = otp::async(wait_for(), std::move(t));                     // error: stays_with_its_process<otp::task<int> ?>
  auto c = otp::async_nolink(background, wait_for(), std::move(t));  // error: stays_with_its_process<otp::task<int> ?>
  auto d = otp::async(start_another());                              // error: stays_with_its_process<otp::task<int> ?>
  auto e = otp::async([] { return otp::await(otp::async([] { return 1; })); });
}
